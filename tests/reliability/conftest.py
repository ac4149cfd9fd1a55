"""Streams to a local KuCoin through a fault proxy; no test leaves anything behind, and none lets a secret out."""

from __future__ import annotations

import logging
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from kucoin_sync import Credentials, Stream
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.selection import first
from ..support.streams import Events, MakeServer, MakeStream
from .feed import CANARIES, CLASSIC, TOKEN, UTA, Feed


@pytest.fixture(params=first(CLASSIC, UTA), ids=str)
def feed(request: pytest.FixtureRequest) -> Feed:
    """The feed of a test that runs on both."""
    found: Feed = request.param
    return found


@pytest.fixture
def servers() -> list[KucoinServer]:
    """All that a test started."""
    return []


@pytest.fixture
def streams() -> list[Stream]:
    """All that a test made."""
    return []


@pytest.fixture
def make_server(nothing_left_behind: None, servers: list[KucoinServer]) -> Iterator[MakeServer]:
    """Start local KuCoins, with an account whose secrets are looked for afterwards; errors inside fail the test."""

    def make(**options: Any) -> KucoinServer:
        servers.append(KucoinServer(**{"credentials": Credentials(*CANARIES), **options}))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        server.check()


@pytest.fixture
def server(make_server: MakeServer) -> KucoinServer:
    return make_server()


@pytest.fixture
def make_proxy(nothing_left_behind: None) -> Iterator[Callable[[KucoinServer], FaultProxy]]:
    """Put fault proxies in front of servers, whose connect tokens name them from then on."""
    proxies: list[FaultProxy] = []

    def make(server: KucoinServer) -> FaultProxy:
        proxies.append(FaultProxy(*server.address))
        proxies[-1].start()
        server.announce(*proxies[-1].address)
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()
    for proxy in proxies:
        proxy.check()


@pytest.fixture
def proxy(server: KucoinServer, make_proxy: Callable[[KucoinServer], FaultProxy]) -> FaultProxy:
    """What stands between the server and every connection to its feeds."""
    return make_proxy(server)


@pytest.fixture
def make_stream(server: KucoinServer, proxy: FaultProxy, events: Events, streams: list[Stream]) -> Iterator[MakeStream]:
    """Make streams, with default settings where the test says nothing else; they are closed after the test."""

    def make(to: KucoinServer = server, **options: Any) -> Stream:
        streams.append(Stream(**{**to.stream_options, "on_event": events, **options}))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


@pytest.fixture
def stream(make_stream: MakeStream) -> Stream:
    return make_stream()


@pytest.fixture
def rng() -> random.Random:
    """Chance that can be had again: its seed is printed, and follows from that of the whole run."""
    seed = random.getrandbits(32)
    print(f"the test's own seed is {seed}")
    return random.Random(seed)


@pytest.fixture(autouse=True)
def no_secret_gets_out(
    servers: list[KucoinServer],
    streams: list[Stream],
    events: Events,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[None]:
    """After every test, look for key, secret, passphrase and tokens in all that was logged, told, printed or warned."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        yield
    assert not warned, [str(warning.message) for warning in warned]
    said = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    said += capsys.readouterr()
    for event in events.all:
        said += [str(event), repr(event), *traceback.format_exception(getattr(event, "error", None))]
    for stream in streams:
        said += [repr(stream), str(stream.stats())]
    tokens = [handshake.query.get("token", "") for server in servers for handshake in server.handshakes]
    for secret in filter(None, (*CANARIES, TOKEN, *tokens)):
        for form in (secret, quote(secret, safe="")):
            assert not [text for text in said if form in text], "a secret got out"
