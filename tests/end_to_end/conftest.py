"""A local KuCoin and streams to it; each test leaves no thread and no descriptor behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kucoin_sync import Stream
from kucoin_sync.net.connect_pace import connect_pace
from kucoin_sync.testing import KucoinServer, local_kucoin

from ..support.processes import EndingOnce
from ..support.sockets import open_descriptors
from ..support.streams import FAST, Events, MakeStream
from ..support.threads import until


def ours() -> list[str]:
    """Return the names of the threads of ours that there are."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kucoin-")]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which a thread of ours or a socket is left; count connects for each test by itself."""
    connect_pace._windows.clear()  # a server may have the port of an earlier test's
    sockets = open_descriptors()
    yield
    # A finaliser of an earlier test's object may run at any time, and have a call made that nobody waits for. Nor does
    # `close` wait for a thread whose callback took so long that another thread has replaced it, or for the lookup of an
    # address.
    unjoined = {"kucoin-deferred", "kucoin-callbacks", "kucoin-dial"}
    until(lambda: not unjoined & {*ours()}, "deferred calls, callbacks or lookups do not end")
    threads = ours()
    assert not threads, f"threads left behind: {threads}"
    left = open_descriptors() - sockets
    assert not left, f"descriptors left behind: {left}"


@pytest.fixture
def server(nothing_left_behind: None) -> Iterator[KucoinServer]:
    """A local KuCoin with KuCoin's own timeouts; errors inside it fail the test."""
    with KucoinServer() as server:
        yield server


@pytest.fixture
def market(nothing_left_behind: None) -> Iterator[KucoinServer]:
    """A local KuCoin on which spot and futures are traded."""
    with local_kucoin("BTC-USDT", "XBTUSDTM") as server:
        yield server


@pytest.fixture
def here(market: KucoinServer) -> list[str]:
    """The options that point a command at the market."""
    return ["--rest-url", market.rest_url, "--futures-rest-url", market.futures_rest_url]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def ending_once(monkeypatch: pytest.MonkeyPatch) -> EndingOnce:
    """Return options with which a command ends soon after a condition holds, by its own clock.

    That clock stands until then, so a slow machine has all the time that it needs. `seconds` are those of the command,
    and `module` is where it looks at them.
    """

    def options(
        happened: Callable[[], object], *, seconds: float = 30.0, module: str = "kucoin_sync.cli.feed"
    ) -> list[str]:
        since: list[float] = []

        def now() -> float:
            if not since and happened():
                since.append(time.monotonic())
            return 1000.0 + (seconds - 0.1 + time.monotonic() - since[0] if since else 0.0)

        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=now))
        return ["--seconds", str(seconds)]

    return options


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def make_stream(server: KucoinServer, events: Events) -> Iterator[MakeStream]:
    """Make streams to the local KuCoin, which are closed after the test."""
    streams: list[Stream] = []

    def make(**options: Any) -> Stream:
        stream = Stream(**{**server.stream_options, "limits": FAST, "on_event": events, **options})
        streams.append(stream)
        return stream

    yield make
    for stream in streams:
        stream.close()


@pytest.fixture
def stream(make_stream: MakeStream) -> Stream:
    return make_stream()
