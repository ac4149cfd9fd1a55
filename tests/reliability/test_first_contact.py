"""First contact, and every later one: what hangs, is missing or is wrong is named, within the time that was given."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

import kucoin_sync
from kucoin_sync import (
    AckTimeout,
    AuthenticationError,
    BookNotReady,
    ConnectDelayed,
    ConnectionFailed,
    Credentials,
    Limits,
    Resubscribed,
    Retrying,
    Stream,
)
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.certificates import authority_pem, client_context, server_context
from ..support.proxy import SocksProxy
from ..support.selection import first
from ..support.sockets import HOST, black_hole
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import Task
from .feed import CANARIES, ETH, MATCH, Feed, at_best, numbers, on_both, publish, seconds_of

TOKENS = "/api/v1/bullet-*"


@pytest.fixture
def server_options() -> dict[str, Any]:
    """The key of the account is the one that tests look for."""
    return {"credentials": CANARIES}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the machine of the test says of authorities and proxies."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


# Certificate authorities


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of authorities that certifi ships, for this test alone."""
    import certifi
    import requests

    path = tmp_path / "cacert.pem"
    shutil.copy(certifi.where(), path)
    for module in (requests.utils, requests.adapters):
        monkeypatch.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(path))
    return path


@pytest.mark.parametrize("own", [False, True], ids=["its own context", "ssl_context="])
@pytest.mark.parametrize("gone", ["before", "after"])
def test_the_file_of_authorities_may_be_gone(
    make_server: MakeServer, make_stream: MakeStream, events: Events, bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, own: bool, gone: str,
) -> None:  # fmt: skip
    server = make_server(tls=server_context())
    (tmp_path / "own.pem").write_text(authority_pem())
    if not own:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    if gone == "before":
        bundle.unlink()
    stream = make_stream(server, ssl_context=client_context() if own else None)
    subscription = stream.subscribe(ETH)
    if gone == "after":
        bundle.unlink()
    server.drop_connections()
    events.wait(Resubscribed, timeout=20)
    publish(server, [1])
    assert numbers(subscription, 1) == [1]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_usual_variables_name_authorities(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str,
    folder: bool,
) -> None:  # fmt: skip
    path = tmp_path / "own.pem"
    path.write_text(authority_pem())
    if folder:
        if shutil.which("openssl") is None:
            pytest.skip("the name of a file in such a folder comes from the program openssl")
        name = name.replace("FILE", "DIR")
        digest = subprocess.run(
            ["openssl", "x509", "-subject_hash", "-noout", "-in", path], capture_output=True, text=True, check=True
        )
        path.rename(tmp_path / f"{digest.stdout.strip()}.0")
    monkeypatch.setenv(name, str(tmp_path if folder else path))
    server = make_server(tls=server_context())
    assert make_stream(server).subscribe(ETH)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["absent", "nonsense"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_variable_whose_file_has_no_authorities_is_named_where_a_certificate_does_not_verify(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str,
    content: str | None,
) -> None:  # fmt: skip
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(ConnectionFailed, match=rf"does not verify.*{name} names {path}, which can't be read"):
        make_stream(make_server(tls=server_context())).subscribe(ETH)


def test_where_there_is_no_authority_at_all_that_is_said(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: Path
) -> None:
    bundle.unlink()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(ConnectionFailed, match=r"no certificate authority is known.*reinstall certifi") as caught:
        make_stream(make_server(tls=server_context())).subscribe(ETH)
    assert not caught.value.retriable


# Keys


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}", "\n\n{}\n"])
def test_a_key_with_white_space_around_it_is_a_key(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    given = [around.format(part) for part in CANARIES]
    assert make_stream(credentials=Credentials(*given)).subscribe("/account/balance")
    for name, part in zip(("KEY", "SECRET", "PASSPHRASE"), given, strict=True):
        monkeypatch.setenv(f"KUCOIN_API_{name}", part)
    assert make_stream(credentials=None).subscribe("/account/balance")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_break_inside_a_key_is_named_and_the_key_is_not(place: int) -> None:
    parts: list[Any] = list(CANARIES)
    parts[place] = f"{parts[place]}\nmore"
    with pytest.raises(AuthenticationError, match="line break") as caught:
        Credentials(*parts)
    assert not [part for part in CANARIES if part in str(caught.value)]


# URLs


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\n\n{} "])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_url_with_white_space_around_it_is_a_url(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, around: str, by: str
) -> None:
    urls = {**server.stream_options, **server.uta_urls}
    given = {name: around.format(url) for name, url in urls.items() if name.endswith("_url")}
    assert len(given) == 5
    if by == "environment":
        for name, url in given.items():
            monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)
        given = dict.fromkeys(given)
    stream = make_stream(**given)
    for topic in (ETH, "/contractMarket/tickerV2:XBTUSDTM", "/uta/ticker.SPOT:ETH-USDT", "/uta/balance.UNIFIED"):
        assert stream.subscribe(topic)


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_the_url_of_a_proxy_with_white_space_around_it_is_a_url(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int], given: str
) -> None:
    host, port = silent
    url = f" http://{host}:{port} \n"
    if given == "environment":
        monkeypatch.setenv("all_proxy", url)
    stream = make_stream(rest_url="http://kucoin.test", proxy=url if given == "argument" else None)
    only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), f"the proxy {host}:{port} has not")


# Other modules of the same name


def run_in(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where the modules of a folder come first."""
    package = str(Path(kucoin_sync.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env={**os.environ, "PYTHONPATH": package}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "raise SyntaxError",
        "import not_there",
        "from kucoin_sync import Stream",
        "import sys; sys.exit(0)",
        "class WebSocketException(Exception): pass\nWebSocketBadStatusException = WebSocketException",
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", first("websocket.py", "websocket/__init__.py"))
def test_another_module_with_the_name_websocket_is_named_with_its_file(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    done = run_in(tmp_path, "import kucoin_sync")
    assert done.returncode == 1
    said = f"ImportError: the module websocket is {file}, which is not that of websocket-client"
    assert last_line(done.stderr).startswith(said)


def test_a_stub_of_websocket_is_named(tmp_path: Path) -> None:
    done = run_in(
        tmp_path, "import sys, types; sys.modules['websocket'] = types.ModuleType('websocket'); import kucoin_sync"
    )
    assert last_line(done.stderr).startswith("ImportError: the module websocket is an object in sys.modules without")


@pytest.mark.parametrize("source", ["raise SyntaxError", "raise RuntimeError", "import sys; sys.exit(0)"], ids=repr)
def test_a_module_that_requests_imports_in_place_of_another_is_named_with_its_file(tmp_path: Path, source: str) -> None:
    (tmp_path / "socks.py").write_text(source)
    done = run_in(tmp_path, "import kucoin_sync")
    assert done.returncode == 1
    said = f"ImportError: requests can't be imported, because {tmp_path / 'socks.py'} raises "
    assert last_line(done.stderr).startswith(said)


def test_another_module_with_the_name_requests_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "requests.py").write_text("")
    done = run_in(tmp_path, "import kucoin_sync")
    assert last_line(done.stderr).startswith(f"ImportError: the module requests is {tmp_path / 'requests.py'}, which")


@pytest.mark.parametrize("source", ["", "create_connection = SOCKS5 = 1", "import not_there"], ids=repr)
def test_another_module_with_the_name_socks_is_named_with_its_file_where_a_proxy_needs_it(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "socks.py").write_text(source)
    stream = "kucoin_sync.Stream(rest_url='http://kucoin.test', proxy='socks5h://127.0.0.1:1')"
    done = run_in(tmp_path, f"import kucoin_sync; {stream}.subscribe({ETH!r})")
    said = f"needs PySocks, but the module socks is {tmp_path / 'socks.py'}, which is not that of PySocks"
    assert f"kucoin_sync.exceptions.ConnectionFailed: the SOCKS proxy 127.0.0.1:1 {said}" in done.stderr


# Steps


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """Where connections are accepted, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()


@pytest.fixture
def swallowing() -> Iterator[tuple[str, int]]:
    """Where the request for a connection is swallowed."""
    with black_hole() as port:
        yield HOST, port


@pytest.fixture
def resetting() -> Iterator[tuple[str, int]]:
    """Where connections are accepted, and reset as soon as something is said."""
    with socket.create_server((HOST, 0), backlog=50) as listener:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    accepted.recv(1)
                    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        serving = Task(serve)
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
    serving.result()


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    made = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.hangs = False
    made.released.set()
    for thread in threading.enumerate():
        if thread.name == "kucoin-dial":
            thread.join(20)


class Dns:
    """The system's name resolution, which hangs when it is told to."""

    def __init__(self) -> None:
        self.hangs = False
        self.asked, self.released = threading.Semaphore(0), threading.Event()
        self._find = socket.getaddrinfo

    def getaddrinfo(self, *args: Any, **options: Any) -> Any:
        if self.hangs:
            self.asked.release()
            self.released.wait(60)
        return self._find(*args, **options)


class Route(NamedTuple):
    """A local KuCoin, what stands on the way to it, and what makes each step fail."""

    server: KucoinServer
    dns: Dns
    silent: tuple[str, int]
    swallowing: tuple[str, int]
    resetting: tuple[str, int]
    proxy: FaultProxy


@pytest.fixture
def route(
    server: KucoinServer,
    proxy: FaultProxy,
    dns: Dns,
    silent: tuple[str, int],
    swallowing: tuple[str, int],
    resetting: tuple[str, int],
) -> Route:
    return Route(server, dns, silent, swallowing, resetting, proxy)


def token_of(address: tuple[str, int], scheme: str = "ws") -> dict[str, Any]:
    """Return how a token request is answered that names an address."""
    named = {"endpoint": f"{scheme}://{address[0]}:{address[1]}/", "pingInterval": 18000, "pingTimeout": 10000}
    body = json.dumps({"code": "200000", "data": {"token": "t", "instanceServers": [named]}})
    return {"status": 200, "body": body, "times": None}


#: What makes a step hang, and what the error says. Each works before the first contact, and before a later one.
HANGS: dict[str, tuple[Callable[[Route], object], str]] = {
    "DNS": (lambda route: setattr(route.dns, "hangs", True), r"DNS has not found the address of 127\.0\.0\.1"),
    "token request": (
        lambda route: route.server.fail_rest(TOKENS, hang=True, times=None),
        r"the token request POST /api/v1/bullet-public was not answered by 127\.0\.0\.1:\d+",
    ),
    "TCP": (
        lambda route: route.server.fail_rest(TOKENS, **token_of(route.swallowing)),
        r"the TCP connection to 127\.0\.0\.1:\d+ was not answered",
    ),
    "TLS": (
        lambda route: route.server.fail_rest(TOKENS, **token_of(route.silent, "wss")),
        r"the TLS handshake with 127\.0\.0\.1:\d+ was not finished",
    ),
    "handshake": (
        lambda route: route.server.hang_handshake(),
        r"the WebSocket handshake with 127\.0\.0\.1:\d+ was not answered",
    ),
    "handshake that is swallowed": (
        lambda route: route.proxy.to_server.hold(),
        r"the WebSocket handshake with 127\.0\.0\.1:\d+ was not answered",
    ),
    "welcome": (lambda route: route.server.no_welcome(), r"127\.0\.0\.1 has sent no welcome|no welcome"),
}
SHORT = 0.3


def only_connection_failed(subscribe: Callable[[float], object], said: str) -> None:
    """Check that subscribing fails for want of a connection, for a reason.

    On a busy machine a short timeout may be over before the step has begun: then a longer one is tried.
    """
    for timeout in (SHORT, 2.0, 5.0):
        with pytest.raises(ConnectionFailed) as caught:
            subscribe(timeout)
        assert not isinstance(caught.value, TimeoutError)
        assert "many topics" not in str(caught.value)
        if re.search(said, str(caught.value)):
            return
    pytest.fail(f"{said!r} is not in {caught.value}")


@pytest.mark.parametrize("step_timeout", [10.0, SHORT / 3], ids=["while it hangs", "after it was given up"])
@on_both("which", HANGS, ["DNS", "handshake", "handshake that is swallowed", "welcome"])
def test_first_contact_names_the_step_that_hangs(
    route: Route, make_stream: MakeStream, which: str, step_timeout: float, feed: Feed
) -> None:
    hang, said = HANGS[which]
    hang(route)
    stream = make_stream(limits=Limits(step_timeout=step_timeout))
    only_connection_failed(lambda timeout: stream.subscribe(feed.eth, timeout=timeout), said)


@pytest.mark.parametrize("step_timeout", [10.0, SHORT / 3], ids=["while it hangs", "after it was given up"])
def test_first_contact_names_the_login_that_is_not_answered(
    server: KucoinServer, make_stream: MakeStream, step_timeout: float
) -> None:
    server.refuse_auth(None, times=None)
    stream = make_stream(limits=Limits(step_timeout=step_timeout))
    said = r"127\.0\.0\.1 has answered no login|the server answered no login"
    only_connection_failed(lambda timeout: stream.subscribe("/uta/balance.UNIFIED", timeout=timeout), said)


@pytest.mark.parametrize(
    "which", [pytest.param(each, marks=() if each in ("DNS", "TLS") else pytest.mark.long) for each in HANGS]
)
def test_a_reconnect_names_the_step_that_hangs_and_so_does_who_subscribes_or_waits_for_a_book_meanwhile(
    route: Route, make_stream: MakeStream, events: Events, which: str
) -> None:
    hang, said = HANGS[which]
    stream = make_stream(limits=Limits(step_timeout=1.0))
    subscription = stream.subscribe(ETH)
    hang(route)
    route.server.drop_connections()
    route.proxy.reset()
    event = events.wait(Retrying)
    assert re.search(said, str(event.error))
    assert isinstance(event.error, ConnectionFailed)
    only_connection_failed(lambda timeout: stream.subscribe(MATCH, timeout=timeout), said)
    with pytest.raises(BookNotReady, match=said):
        stream.book("BTC-USDT").wait_ready(2 * SHORT)
    route.dns.hangs = False
    route.dns.released.set()
    route.server.reset_script()
    route.server.announce(*route.proxy.address)
    route.proxy.heal()
    route.server.wait_subscribed(ETH, timeout=20)
    publish(route.server, [1])
    assert numbers(subscription, 1) == [1]


def no_such_name(*_: object, **__: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


#: What makes a step fail, and what the error says.
FAILS: dict[str, tuple[Callable[[Route], object], str]] = {
    "DNS": (
        lambda route: setattr(route.dns, "getaddrinfo", no_such_name),
        r"the address of 127\.0\.0\.1 could not be found \(Name or service not known\)",
    ),
    "TCP": (
        lambda route: route.server.fail_rest(TOKENS, **token_of((HOST, 1))),
        r"the connection to 127\.0\.0\.1:1 failed: Connection refused",
    ),
    "TLS": (
        lambda route: route.server.fail_rest(TOKENS, **token_of(route.server.address, "wss")),
        r"TLS with 127\.0\.0\.1:\d+ failed|the connection to 127\.0\.0\.1:\d+ failed",
    ),
    "TLS that is reset": (
        lambda route: route.server.fail_rest(TOKENS, **token_of(route.resetting, "wss")),
        r"127\.0\.0\.1:\d+ failed: Connection reset by peer \(the TLS handshake with 127\.0\.0\.1:\d+ was not",
    ),
    "token request": (
        lambda route: route.server.fail_rest(TOKENS, 503, body="<html>", times=None),
        r"KuCoin answered POST /api/v1/bullet-public with code 503: not KuCoin's JSON",
    ),
    "token request that is cut": (
        lambda route: route.server.fail_rest(TOKENS, drop=True, times=None),
        r"POST /api/v1/bullet-public at 127\.0\.0\.1 failed",
    ),
    "handshake": (
        lambda route: route.server.refuse_handshake(503, times=None),
        r"127\.0\.0\.1:\d+ refused the WebSocket handshake with HTTP 503",
    ),
    "handshake that is reset": (
        lambda route: route.server.fail_rest(TOKENS, **token_of(route.resetting)),
        r"failed: Connection reset by peer \(the WebSocket handshake with 127\.0\.0\.1:\d+ was not answered",
    ),
    "handshake that is none": (
        lambda route: route.server.answer_handshake(b"220 smtp.example ESMTP\r\n\r\n", times=None),
        r"127\.0\.0\.1:\d+ did not answer with a valid WebSocket handshake",
    ),
}


@pytest.mark.parametrize("which", FAILS)
def test_first_contact_names_the_step_that_fails(
    route: Route, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    fail, said = FAILS[which]
    fail(route)
    monkeypatch.setattr(socket, "getaddrinfo", route.dns.getaddrinfo)
    stream = make_stream()
    only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), said)


@pytest.mark.parametrize("where", ["silent", "swallowing"])
@pytest.mark.parametrize("by", ["rest_url", "proxy"])
def test_a_rest_service_or_proxy_that_says_nothing_is_named(
    route: Route, make_stream: MakeStream, where: str, by: str
) -> None:
    host, port = getattr(route, where)
    url = f"http://{host}:{port}"
    said = {
        ("rest_url", "silent"): rf"the token request POST /api/v1/bullet-public was not answered by {host}:{port}",
        ("rest_url", "swallowing"): rf"the TCP connection to {host}:{port} was not answered",
        ("proxy", "silent"): rf"the proxy {host}:{port} has not opened a tunnel to api\.kucoin\.com:443",
        ("proxy", "swallowing"): rf"the TCP connection to the proxy {host}:{port} was not answered",
    }[by, where]
    options = {"rest_url": url} if by == "rest_url" else {"rest_url": "https://api.kucoin.com", "proxy": url}
    stream = make_stream(**options)
    only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), said)


def test_a_book_names_what_its_snapshot_waits_for(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest("/api/*/market/orderbook/*", hang=True, times=None)
    book = stream.book("BTC-USDT")
    server.wait_for(lambda s: any("orderbook" in request.path for request in s.requests))
    with pytest.raises(BookNotReady, match=r"the request GET /api/.*orderbook/\S+ was not answered by 127\.0\.0\.1"):
        book.wait_ready(SHORT)


def test_a_book_says_that_its_snapshot_waits_for_its_turn(server: KucoinServer, make_stream: MakeStream) -> None:
    for symbol in ("BTC-USDT", "ETH-USDT"):
        server.set_snapshot("orderbook/level2", symbol, {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]})
    stream = make_stream(limits=Limits(snapshots_per_30s=1))
    stream.book("BTC-USDT").wait_ready(20)
    limit = r"the limit of 1 requests in 30 s is reached \(Limits\.snapshots_per_30s\), .* waits for \d+\.\d s"
    with pytest.raises(BookNotReady, match=limit):
        stream.book("ETH-USDT").wait_ready(SHORT)


def test_what_was_welcomed_and_not_confirmed_is_an_ack_timeout(server: KucoinServer, stream: Stream) -> None:
    server.withhold_acks(1)
    with pytest.raises(AckTimeout, match="did not confirm"):
        stream.subscribe(ETH, timeout=SHORT)


def test_a_stream_whose_name_resolution_hangs_closes_at_once(route: Route, make_stream: MakeStream) -> None:
    route.dns.hangs = True
    numbered = itertools.count()

    def seconds() -> float:
        stream = make_stream(rest_url=f"http://kucoin{next(numbered)}.test")
        stream.subscribe(ETH, timeout=0)
        assert route.dns.asked.acquire(timeout=20)
        return seconds_of(stream.close)

    assert at_best(0.5, seconds) <= 0.5


def test_a_name_resolution_that_hangs_takes_one_thread_however_often_it_is_tried(
    route: Route, make_stream: MakeStream, events: Events
) -> None:
    route.dns.hangs = True
    stream = make_stream(limits=Limits(step_timeout=0.01))
    subscription = stream.subscribe(ETH, timeout=0)
    events.wait(Retrying, 2)
    assert [thread.name for thread in threading.enumerate()].count("kucoin-dial") == 1
    route.dns.hangs = False
    route.dns.released.set()
    route.server.wait_subscribed(ETH)
    publish(route.server, [1])
    assert numbers(subscription, 1) == [1]


def test_a_connection_that_waits_for_its_turn_says_so(
    server: KucoinServer, make_stream: MakeStream, events: Events, caplog: pytest.LogCaptureFixture, feed: Feed
) -> None:
    limits = Limits(connections_per_minute=1, topics_per_connection=1)
    stream = make_stream(limits=limits)
    stream.subscribe(feed.eth)
    only_connection_failed(
        lambda timeout: stream.subscribe(feed.match, timeout=timeout),
        r"no connection was dialled within .* 1 connections were made within a minute.*waits for (59|60)\.\d s",
    )
    event = events.wait(ConnectDelayed)
    assert 50 < event.seconds <= 60
    assert (event.market, event.private) == (feed.market, False)
    assert "connections_per_minute" in event.reason
    assert str(event) in caplog.text


def test_a_command_that_waits_for_its_turn_says_so(
    server: KucoinServer, make_stream: MakeStream, caplog: pytest.LogCaptureFixture, feed: Feed
) -> None:
    stream = make_stream(limits=Limits(commands_per_10s=6))
    stream.subscribe(feed.eth)
    limit = r"waits for another \d\.\d s, because Limits\.commands_per_10s is 6 for one connection"
    with pytest.raises(AckTimeout, match=rf"{feed.match} \(1 of 1 topics\) could not be subscribed .*{limit}"):
        stream.subscribe(feed.match, timeout=SHORT)
    assert feed.commands(server, "subscribe") == [feed.eth]
    told = r"delayed: a command of connection 1 waits for \d+\.\d s, because Limits\.commands_per_10s is 6"
    assert len(re.findall(told, caplog.text)) == 1
    if not feed.is_uta:
        with pytest.raises(BookNotReady, match=limit):
            stream.book("BTC-USDT").wait_ready(SHORT)


# SOCKS proxies


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("scheme", "version", "named"),
    [("socks5", 5, False), ("socks5h", 5, True), ("socks", 5, True), ("socks4", 4, False), ("socks4a", 4, True)],
)
def test_a_socks_proxy_leads_to_kucoin(
    make_server: MakeServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, scheme: str, version: int,
    named: bool, secure: bool, given: str,
) -> None:  # fmt: skip
    pytest.importorskip("socks")
    server = make_server(tls=server_context("kucoin.test") if secure else None)
    port = server.address[1]
    server.announce("kucoin.test", port)
    find = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: find(HOST, *rest, **more))
    monkeypatch.setattr(socket, "gethostbyname", lambda host: HOST)
    login = ("a user", "a word") if version == 5 else None
    with SocksProxy(login) as proxy:
        url = f"{scheme}://{'a%20user:a%20word@' if login else ''}{HOST}:{proxy.port}"
        if given == "environment":
            monkeypatch.setenv("all_proxy", url)
        stream = make_stream(
            server,
            rest_url=f"http{'s' * secure}://kucoin.test:{port}",
            proxy=url if given == "argument" else None,
            ssl_context=client_context() if secure else None,
        )
        subscription = stream.subscribe(ETH)
        publish(server, range(100))
        assert numbers(subscription, 100) == list(range(100))
        assert proxy.asked == [(version, "kucoin.test" if named else HOST, port)] * 2
        stream.close()


SOCKS_FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "it refuses": ({"answer": b"\5\2\0\1" + bytes(6)}, "opened no connection to kucoin.test:80 .*not allowed"),
    "its login is wrong": ({"login": ("a", "b")}, "opened no connection to kucoin.test:80 .*authentication"),
    "it is none": ({"answer": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "opened no connection to kucoin.test:80"),
}


@pytest.mark.parametrize("how", SOCKS_FAILURES)
def test_a_socks_proxy_that_opens_no_connection_is_named(make_stream: MakeStream, how: str) -> None:
    pytest.importorskip("socks")
    options, said = SOCKS_FAILURES[how]
    with SocksProxy(**options) as proxy:
        url = f"socks5h://canary:{CANARIES[1]}@{HOST}:{proxy.port}"
        stream = make_stream(rest_url="http://kucoin.test", proxy=url)
        named = rf"the SOCKS proxy {HOST}:{proxy.port} "
        only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), named + said)
        stream.close()


def test_the_socket_of_a_socks_proxy_is_closed_where_memory_is_short(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socks")
    made: list[socket.socket] = []

    def short_of_memory(sock: socket.socket, *_: object) -> NoReturn:
        made.append(sock)
        raise MemoryError

    with SocksProxy() as proxy:
        stream = make_stream(proxy=f"socks5://{HOST}:{proxy.port}")
        with monkeypatch.context() as patch:
            patch.setattr("kucoin_sync.net.dial.CancellableSocket", short_of_memory)
            with pytest.raises(ConnectionFailed):
                stream.subscribe(ETH, timeout=SHORT)
        assert made
        assert not [sock for sock in made if sock.fileno() >= 0]
        subscription = stream.subscribe(ETH)
        publish(server, [1])
        assert numbers(subscription, 1) == [1]
        stream.close()


@pytest.mark.parametrize("where", ["silent", "swallowing"])
def test_a_socks_proxy_that_says_nothing_is_named_and_close_does_not_wait_for_it(
    route: Route, make_stream: MakeStream, where: str
) -> None:
    pytest.importorskip("socks")
    host, port = getattr(route, where)
    stream = make_stream(rest_url="http://kucoin.test", proxy=f"socks5h://{host}:{port}", limits=Limits(step_timeout=1))
    said = rf"the SOCKS proxy {host}:{port} has not opened a connection to kucoin\.test:80"
    only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), said)


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "socks5h", "socks4a"])
def test_a_name_that_is_not_found_on_the_way_through_a_socks_proxy_is_named(
    route: Route, make_stream: MakeStream, scheme: str
) -> None:
    pytest.importorskip("socks")
    route.dns.hangs = True
    name = "proxy.test" if scheme in ("socks5h", "socks4a") else "kucoin.test"
    stream = make_stream(rest_url="http://kucoin.test", proxy=f"{scheme}://proxy.test:1080")
    said = f"DNS has not found the address of {name}"
    only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), said)


@pytest.mark.parametrize("older", [True, False])
def test_a_socks_proxy_of_version_4_takes_addresses_of_version_4(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    pytest.importorskip("socks")
    find, port = socket.getaddrinfo, server.address[1]
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))]
    if older:
        found += find(HOST, port, type=socket.SOCK_STREAM)

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        return found if host == "kucoin.test" else find(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    server.announce("kucoin.test", port)
    with SocksProxy() as proxy:
        stream = make_stream(rest_url=f"http://kucoin.test:{port}", proxy=f"socks4://{HOST}:{proxy.port}")
        if older:
            assert stream.subscribe(ETH)
            assert proxy.asked == [(4, HOST, port)] * 2
        else:
            said = rf"kucoin\.test has no address of the kind that the SOCKS proxy {HOST}:{proxy.port} takes"
            only_connection_failed(lambda timeout: stream.subscribe(ETH, timeout=timeout), said)
        stream.close()


def test_without_pysocks_a_socks_proxy_is_named_with_what_to_install(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    stream = make_stream(proxy=f"socks5://user:{CANARIES[1]}@proxy.example:1080")
    with pytest.raises(ConnectionFailed, match=r"the SOCKS proxy proxy\.example:1080 needs PySocks") as caught:
        stream.subscribe(ETH)
    assert "pip install 'kucoin-sync[socks]'" in str(caught.value)
    assert not caught.value.retriable
