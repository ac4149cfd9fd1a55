"""A real redis-server, relays between it and a local KuCoin, and readers; no test leaves anything behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import Stream
from kucoin_sync.relay import Relay, RelayStream, source
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.redis import MISSING, LocalRedis
from ..support.relays import KEY, MakeReader, MakeRelay, RelayProcess
from ..support.streams import FAST, Events


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, where there is no Redis to run."""
    if MISSING:
        for item in items:
            if item.path.parent.name == "relay":
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(("BTC-USDT", "XBTUSDTM"), seed=5, levels=120)


@pytest.fixture
def server(nothing_left_behind: None, exchange: Exchange) -> Iterator[KucoinServer]:
    """A local KuCoin whose market moves when the test moves it."""
    with KucoinServer(exchange=exchange, credentials=KEY) as server:
        server.allow_topic("/market/match")
        yield server
    server.check()


@pytest.fixture
def redis(nothing_left_behind: None) -> Iterator[LocalRedis]:
    """A Redis that trims its streams to the entry."""
    with LocalRedis(["--stream-node-max-entries", "1"]) as redis:
        yield redis


@pytest.fixture
def make_relay(server: KucoinServer, redis: LocalRedis) -> Iterator[MakeRelay]:
    """Make relays, start them and wait until they hold the lease, unless `wait` is False; close them after the test."""
    made: list[tuple[Relay, Stream]] = []

    def make(*, wait: bool = True, credentials: Any = None, url: str = "", **options: Any) -> Relay:
        stream = Stream(**{**server.stream_options, "credentials": credentials, "limits": FAST})
        relay = Relay(stream, url or redis.url, **options)
        made.append((relay, stream))
        relay.start()
        assert not wait or relay.wait_lease(30)
        return relay

    yield make
    for relay, stream in made:
        relay.close()
        stream.close()


@pytest.fixture
def make_reader(redis: LocalRedis, events: Events) -> Iterator[MakeReader]:
    """Make readers, which are closed after the test."""
    made: list[RelayStream] = []

    def make(url: str = "", **options: Any) -> RelayStream:
        made.append(RelayStream(url or redis.url, **{"on_event": events, **options}))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay()


@pytest.fixture
def reader(relay: Relay, make_reader: MakeReader) -> RelayStream:
    return make_reader()


@pytest.fixture
def short_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make readers' requests for topics expire soon after the last renewal."""
    monkeypatch.setattr(source, "_WANTED_SECONDS", 4)
    monkeypatch.setattr(source, "_RENEW_SECONDS", 0.2)


@pytest.fixture
def run_relay(server: KucoinServer, redis: LocalRedis) -> Iterator[Callable[..., RelayProcess]]:
    """Run relays in processes of their own, which are killed after the test."""
    made: list[RelayProcess] = []

    def run(*arguments: str) -> RelayProcess:
        made.append(RelayProcess(redis.url, server, *arguments))
        return made[-1]

    yield run
    for process in made:
        process.end()
