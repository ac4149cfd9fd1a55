"""Events through gunicorn to a plain socket: their bytes, disconnects, and the end of the server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kucoin_sync.testing import KucoinServer

from ..support.certificates import authority_pem, server_context
from ..support.processes import Program
from ..support.selection import first
from ..support.sockets import read_head
from ..support.threads import LIMIT, Task
from .parser import EventParser, Received
from .test_sse import HOSTILE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork, which this system has not")

#: Makes its stream when it is imported: with --preload before the fork, and before gevent replaces threads and sockets.
APPLICATION = f"""
import json, threading
from kucoin_sync import Stream

stream = Stream()
ticker = stream.subscribe("/market/ticker:BTC-USDT", overflow="latest")
stream.subscribe("/market/ticker:BTC-USDT", callback=lambda message: None)

def app(environ, start_response):
    called = threading.Event()
    with stream.subscribe("/market/ticker:BTC-USDT", callback=lambda message: called.set()):
        seen = called.wait({LIMIT})
    epoch = ticker.get(timeout={LIMIT}).epoch
    start_response("200 OK", [("Content-Type", "application/json"), ("Connection", "close")])
    return [json.dumps([seen, epoch]).encode()]
"""
EXAMPLES = Path(__file__).parents[2] / "examples"
TICKER = "/market/ticker:BTC-USDT"


@contextmanager
def gunicorn(directory: Path, server: KucoinServer, *options: str) -> Iterator[str]:
    """Serve the example's application; yield its URL."""
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--chdir", str(EXAMPLES)]
    environment = {"KUCOIN_SYNC_REST_URL": server.rest_url, "KUCOIN_SYNC_REDIS_URL": "", "no_proxy": "*"}
    with Program([*command, *options, "flask_sse:create_app()"], directory, **environment) as program:
        yield program.printed(r"Listening at: (http://[\d.:]+)")


class Browser:
    """A client that reads a response without chunked encoding: all bytes after the header are events."""

    def __init__(self, url: str, path: str = "/events") -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), LIMIT)
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        self.head = read_head(self.socket).decode().lower()
        self._parser = EventParser()
        self._waiting: list[Received] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def next(self) -> Received:
        """Return the next event."""
        while not self._waiting:
            more = self.socket.recv(65536)
            assert more, "the server has ended the response"
            self._waiting = self._parser.feed(more)
        return self._waiting.pop(0)


@pytest.mark.parametrize("preload", first(False, True), ids=["no preload", "preload"])
def test_events_reach_a_browser_through_gunicorn_whatever_is_in_them(
    server: KucoinServer, tmp_path: Path, preload: bool
) -> None:
    options = ["--worker-class", "gthread", "--threads", "4", "--workers", "2", *(["--preload"] if preload else [])]
    with gunicorn(tmp_path, server, *options) as url:
        with Browser(url) as browser:
            assert browser.head.startswith("http/1.0 200 ok")
            for header in ("content-type: text/event-stream; charset=utf-8", "cache-control: no-cache"):
                assert f"\r\n{header}\r\n" in browser.head
            assert "\r\nx-accel-buffering: no\r\n" in browser.head
            server.wait_subscribed(TICKER, timeout=LIMIT)
            for number, text in enumerate(HOSTILE):
                data = {"sequence": str(number), "text": text.replace("\ud83e", "")}
                server.publish(TICKER, data, "trade.ticker")
                got = browser.next()
                assert (got.event, got.id, json.loads(got.data)) == (
                    TICKER,
                    str(number),
                    {"symbol": "BTC-USDT", **data},
                )
        server.wait_for(lambda s: not any(each.topics for each in s.connections), LIMIT, "the end of all subscriptions")


@pytest.mark.parametrize("secure", first(False, True), ids=["ws", "wss"])
@pytest.mark.parametrize("first", first(True, False), ids=["patched first", "patched after the fork"])
def test_a_stream_made_before_a_worker_of_gevent_serves_all_of_its_greenlets(
    tmp_path: Path, first: bool, secure: bool
) -> None:
    pytest.importorskip("gevent")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "gunicorn.conf.py").write_text("from gevent import monkey; monkey.patch_all()" if first else "")
    (tmp_path / "authority.pem").write_text(authority_pem())
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--worker-class", "gevent", "--preload"]
    over = threading.Event()

    def ask() -> object:
        with urllib.request.urlopen(url, timeout=LIMIT) as response:
            return json.load(response)

    def feed() -> None:
        while not over.wait(0.02):
            server.publish(TICKER, {"n": 1})

    with KucoinServer(tls=server_context() if secure else None) as server:
        environment = {"KUCOIN_SYNC_REST_URL": server.rest_url, "SSL_CERT_FILE": "authority.pem", "no_proxy": "*"}
        with Program([*command, "application:app"], tmp_path, **environment) as program:
            url = program.printed(r"Listening at: (http://[\d.:]+)")
            feeding = Task(feed)
            try:
                assert [each.result() for each in [Task(ask) for _ in range(10)]] == [[True, 2]] * 10
            finally:
                over.set()
                feeding.result()


def test_refusals_come_before_the_response_begins(server: KucoinServer, tmp_path: Path) -> None:
    with gunicorn(tmp_path, server, "--worker-class", "gthread", "--threads", "4") as url:
        for symbol, status in (("ADA-USDT", 403), ("nonsense", 400), ("%0d%0aX:1", 400), ("BTC-USDT,ADA-USDT", 403)):
            with Browser(url, f"/events?symbol={symbol}") as browser:
                assert browser.head.startswith(f"http/1.0 {status} ")
                assert "\r\nx: 1\r\n" not in browser.head
        assert server.requests == []


def test_a_server_that_is_told_to_end_does_so_with_browsers_looking(server: KucoinServer, tmp_path: Path) -> None:
    options = ["--worker-class", "gthread", "--threads", "4", "--graceful-timeout", "1"]
    with contextlib.ExitStack() as stack:
        with gunicorn(tmp_path, server, *options) as url:
            stack.enter_context(Browser(url))
            server.wait_subscribed(TICKER, timeout=LIMIT)
        server.wait_for(lambda s: not s.connections, LIMIT, "the end of the worker's connection")
