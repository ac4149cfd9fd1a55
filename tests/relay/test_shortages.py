"""The system is temporarily out of file descriptors, threads or memory, wherever a relay or a reader needs one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Subscription
from kucoin_sync.internal import backoff
from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.testing import Exchange, KucoinServer

from ..reliability.feed import ETH, publish
from ..support.redis import LocalRedis
from ..support.shortages import RESOURCES, World, walk
from ..support.threads import LIMIT, until

SPOT = "BTC-USDT"
NUMBERS = itertools.count()
#: How many tests share the walk over a resource of which there are many acquisitions.
PARTS = {"memory": 4}


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SPOT,), seed=5)}


def relay_of(world: World, redis: LocalRedis) -> Relay:
    relay = Relay(world.stream(), redis.url, lease_seconds=0.3, on_event=world.events)
    world.closing.append(relay.close)
    return relay


def reader_of(world: World, redis: LocalRedis) -> RelayStream:
    reader = RelayStream(redis.url, on_event=world.events)
    world.closing.append(reader.close)
    return reader


def arrives(world: World, subscription: Subscription[Any]) -> None:
    """Publish until one of these messages arrives; those published while no relay holds the lease are lost."""
    first = next(NUMBERS)

    def came() -> bool:
        publish(world.server, [next(NUMBERS)])
        try:
            while int(subscription.get(timeout=0.2)["data"]["n"]) < first:
                pass  # it was published before
        except TimeoutError:
            return False
        return True

    until(came, "nothing comes through the relay any more")


def start(redis: LocalRedis, world: World) -> Iterator[None]:
    relay = relay_of(world, redis)
    yield
    world.call(relay.start)
    assert relay.wait_lease(LIMIT), "it does not take the lease"
    yield
    arrives(world, reader_of(world, redis).subscribe(ETH, timeout=LIMIT))


def takeover(redis: LocalRedis, world: World) -> Iterator[None]:
    holder, standby = relay_of(world, redis), relay_of(world, redis)
    holder.start()
    assert holder.wait_lease(LIMIT)
    standby.start()
    subscription = reader_of(world, redis).subscribe(ETH, timeout=LIMIT)
    arrives(world, subscription)
    yield
    holder.close()
    assert standby.wait_lease(LIMIT), "nobody takes over"
    arrives(world, subscription)
    yield
    arrives(world, subscription)


def reading(redis: LocalRedis, world: World) -> Iterator[None]:
    relay = relay_of(world, redis)
    relay.start()
    assert relay.wait_lease(LIMIT)
    reader = reader_of(world, redis)
    yield
    subscription = world.call(lambda: reader.subscribe(ETH, timeout=LIMIT), reader)
    arrives(world, subscription)
    yield
    arrives(world, subscription)


def book(redis: LocalRedis, world: World) -> Iterator[None]:
    relay = relay_of(world, redis)
    relay.start()
    assert relay.wait_lease(LIMIT)
    reader = reader_of(world, redis)
    yield
    opened = world.call(lambda: reader.book(SPOT), reader)
    world.retry(lambda: opened.wait_ready(timeout=LIMIT))
    yield
    before = opened.sequence
    world.server.step_exchange(50)
    until(lambda: opened.ready and opened.sequence > before, "the book does not follow the market")


OPERATIONS: dict[str, Callable[[LocalRedis, World], Iterator[None]]] = {
    each.__name__: each for each in (start, takeover, reading, book)
}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("operation", "resource", "part"),
    [
        (*each, part)
        for each in itertools.product(OPERATIONS, RESOURCES)
        for part in range(PARTS.get(each[1], 1))
        if each != ("book", "memory")  # it takes a minute
    ],
)
def test_nothing_to_be_had_for_a_moment_breaks_no_relay_and_no_reader(
    server: KucoinServer,
    redis: LocalRedis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    operation: str,
    resource: str,
    part: int,
) -> None:
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.005))
    steps = partial(OPERATIONS[operation], redis)
    print(
        walk(
            steps, monkeypatch, resource, 1, server, tmp_path, told=False, first=part + 1, step=PARTS.get(resource, 1)
        ),
        "points",
    )
