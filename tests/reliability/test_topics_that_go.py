"""Topics come and go, each of them another one: nothing is left of those that are gone."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import Limits, Stream
from kucoin_sync.contrib import options as options_module
from kucoin_sync.contrib.options import Options
from kucoin_sync.contrib.web import WebFeed
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server import ServerLimits

from ..support.selection import first
from ..support.streams import MakeStream
from .feed import CLASSIC, UTA, Feed, pushed

LIMITS = Limits(commands_per_10s=10**6, topics_per_connection=1000, connections_per_minute=10**6)
_begin = itertools.count(100_000, 100_000)  # no topic twice in a process
LEFT = 60
"""Bytes for each topic that is gone: less than its name takes."""
ENCODED = 130
"""Bytes of a command's text, which `tracemalloc` goes on to count for a while though nothing holds it."""

Churn = Callable[[int, int], None]
FILTERS = [tracemalloc.Filter(True, "*kucoin_sync/*"), tracemalloc.Filter(False, "*kucoin_sync/testing/*")]


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"limits": ServerLimits(messages_per_10s=None, uta_messages_per_10s=None)}


def publish(server: KucoinServer, topics: list[str]) -> None:
    for topic in topics:
        for _ in range(2):  # the first of each kind is decoded whole
            server.publish_many([pushed(topic, {"price": "1", "sequence": "1", "l": "1", "E": 1})])


class Ways:
    """Ways in which topics come and go; each takes the number of the first and how many."""

    def __init__(self, server: KucoinServer, stream: Stream, web: WebFeed, feed: Feed) -> None:
        self.server, self.stream, self.web, self.feed = server, stream, web, feed

    def names(self, begin: int, count: int) -> list[str]:
        return [f"{self.feed.ticker}:T{number}-USDT" for number in range(begin, begin + count)]

    def subscriptions(self, begin: int, count: int) -> None:
        self.stream.subscribe(*self.names(begin, count), timeout=30).close()

    def one_by_one(self, begin: int, count: int) -> None:
        for topic in self.names(begin, count):
            self.stream.subscribe(topic, timeout=30).close()

    def with_messages(self, begin: int, count: int) -> None:
        topics = self.names(begin, count)
        with self.stream.subscribe(*topics, timeout=30) as subscription:
            publish(self.server, topics)
            for _ in range(2 * count):
                message = subscription.get(timeout=30)
                assert message.payload.price == Decimal(1)

    def watched(self, begin: int, count: int) -> None:
        self.stream.subscribe(*self.names(begin, count), timeout=30, stale_after=60.0).close()

    def in_a_tunnel(self, begin: int, count: int) -> None:
        with self.stream.tunnel(f"t{begin}") as tunnel:
            tunnel.subscribe(*self.names(begin, count), timeout=30)

    def last_values(self, begin: int, count: int) -> None:
        for topic in self.names(begin, count):
            with suppress(TimeoutError):
                self.stream.last(topic, timeout=0)
            self.stream.unsubscribe(topic)

    def events_of_a_web_server(self, begin: int, count: int) -> None:
        topics = self.names(begin, count)
        events = self.web.events(*topics, timeout=30)
        next(events)
        publish(self.server, topics)
        next(events)
        events.close()


@pytest.fixture
def ways(server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, feed: Feed) -> Iterator[Ways]:
    def make(*arguments: object, **more: object) -> Stream:
        return Stream(*arguments, **{**more, "limits": LIMITS})  # type: ignore[arg-type]

    monkeypatch.setattr(options_module, "Stream", make)
    settings = {"REDIS_URL": "", "REST_URL": server.rest_url, "PROXY": "", "ALLOWED_TOPICS": [f"{feed.ticker}:*"]}
    urls = {name.upper(): url for name, url in server.uta_urls.items()}
    web = WebFeed(Options.read({**settings, **urls}))
    stream = make_stream(server, limits=LIMITS)
    stream.subscribe(f"{feed.ticker}:STAYS-USDT")
    yield Ways(server, stream, web, feed)
    web.close()


def grown(ways: Ways, churn: Churn, begin: int, count: int, at_once: int) -> int:
    """Return the bytes that so many more topics have left behind."""

    def go(first: int) -> None:
        for start in range(first, first + count, at_once):
            churn(start, at_once)
        for client in (ways.stream, ways.web.client):  # answered behind all the others
            client.subscribe(ways.feed.match, timeout=30).close()
        ways.server.wait_for(
            lambda server: not [each for each in server.connections if ways.feed.match in each.topics], 30
        )
        gc.collect()

    def measure() -> tracemalloc.Snapshot:
        return tracemalloc.take_snapshot().filter_traces(FILTERS)

    go(begin)
    tracemalloc.start()
    try:
        go(begin + count)  # until what is bounded is full
        before = measure()
        go(begin + 2 * count)
        after = measure()
    finally:
        tracemalloc.stop()
    differences = after.compare_to(before, "lineno")
    print(*differences[:5], sep="\n")
    return sum(each.size_diff for each in differences)


WAYS: list[tuple[str, int]] = [
    ("subscriptions", 500),
    ("events_of_a_web_server", 500),
    ("with_messages", 1000),
    ("watched", 1500),
    ("in_a_tunnel", 1500),
    ("one_by_one", 100),
    ("last_values", 500),
]


@pytest.mark.parametrize(
    ("feed", "way", "count"),
    [
        *first(*[(CLASSIC, *each) for each in WAYS], *[(UTA, *each) for each in WAYS if each[0] != "in_a_tunnel"]),
    ],
    ids=str,
)
def test_topics_that_are_gone_leave_nothing(ways: Ways, way: str, count: int, feed: Feed) -> None:
    left = LEFT + (ENCODED if way in ("one_by_one", "last_values") else 0)
    assert grown(ways, getattr(ways, way), next(_begin), count, 100) < left * count
