"""Each topic over two connections: the loss of one of them shows no gap, in messages, private messages or books."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from kucoin_sync import (
    BookResyncing,
    Connected,
    Disconnected,
    Limits,
    LocalBook,
    Message,
    Rotated,
    Stream,
    Subscription,
    topics,
)
from kucoin_sync.internal import backoff
from kucoin_sync.testing import Exchange, FaultProxy, KucoinServer
from kucoin_sync.testing.server import ServerLimits
from kucoin_sync.testing.server.connection import Connection

from ..support.books import is_true
from ..support.selection import first
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import LIMIT, Task, until
from ..support.traffic import Flow, Size, names, symbols
from .feed import CLASSIC, UTA, Feed

FREE = Limits(connections_per_minute=100_000, commands_per_10s=10_000, snapshots_per_30s=10_000)
ENDS: list[Callable[[Connection], object]] = [
    lambda connection: connection.drop(),
    lambda connection: connection.drop(rst=True),
    lambda connection: connection.close(1001, "bye"),
]


SMALL, WHOLE = Size(40, 4, 1_000, 6), Size(200, 10, 5_000, 20)


class Client:
    """A stream with two connections for each topic, and what it got."""

    def __init__(self, stream: Stream, feed: Feed, size: Size) -> None:
        self.stream = stream
        self.names = names(size, uta=feed.is_uta)
        self.got: defaultdict[str, list[Message]] = defaultdict(list)
        for topic in self.names:  # the name may differ in the pushes
            stream.subscribe(topic, callback=self.got[topic].append, inline=True, timeout=LIMIT)
        self.books: list[LocalBook] = [
            stream.book(symbol, feed="uta" if feed.is_uta else "classic") for symbol in symbols(size)
        ]
        for book in self.books:
            book.wait_ready(LIMIT)
        self.settle()

    def settle(self) -> None:
        """Wait until any one connection may be lost."""
        until(self._is_redundant, "not all topics are on two connections")

    def _is_redundant(self) -> bool:
        stats = self.stream.stats()
        return bool(stats["redundant_topics"] == stats["topics"])

    def check(self, sent: dict[str, int], events: Events) -> None:
        """All that was sent has come, once, in order, and with one epoch for each kind of connections."""
        for topic, count in sent.items():
            got = self.got[topic]
            until(lambda: len(got) >= count, f"{topic} is not complete")  # noqa: B023 - called at once
            assert [message.data["n"] for message in got] == list(range(count)), topic
            assert {message.lost for message in got} <= {0}
            assert len({message.epoch for message in got}) <= 1
        assert [book.resyncs for book in self.books] == [0] * len(self.books)
        assert not [event for event in events.all if isinstance(event, BookResyncing)]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = backoff.retry_delays
    monkeypatch.setattr(backoff, "retry_delays", lambda *args: (pause / 50 for pause in usual(*args)))


def run(
    feed: Feed, size: Size, make_server: MakeServer, make_stream: MakeStream, events: Events, rng: random.Random
) -> None:
    exchange = Exchange(symbols(size), seed=rng.getrandbits(32), levels=20)
    server = make_server(exchange=exchange, limits=ServerLimits(messages_per_10s=None, uta_messages_per_10s=None))
    client = Client(make_stream(server, redundancy=2, limits=FREE), feed, size)
    opened = [events.wait(Connected, 1 + place) for place in range(len(server.connections))]
    kinds = len({(event.market, event.private) for event in opened})
    assert len(opened) == 2 * kinds
    flow = Flow(server, client.names, size.rate)
    for number in range(size.cuts):
        end = ENDS[number % len(ENDS)]
        end(rng.choice(server.connections))
        events.wait(Disconnected, number + 1, LIMIT)
        server.wait_for(lambda s: len(s.connections) == 2 * kinds, LIMIT, "another connection")
        client.settle()
    flow.end()
    client.check(flow.sent, events)
    for book in client.books:
        until(lambda: is_true(book, exchange), f"{book!r} is behind")  # noqa: B023
    stats = client.stream.stats()
    assert stats["copies"] > 0
    assert (stats["disconnects"], stats["dropped"], stats["unrouted"]) == (size.cuts, 0, 0)


@pytest.mark.parametrize("feed", [CLASSIC, UTA], ids=str)
def test_cuts_of_one_of_two_connections_show_no_gap(
    make_server: MakeServer, make_stream: MakeStream, events: Events, rng: random.Random, feed: Feed
) -> None:
    run(feed, SMALL, make_server, make_stream, events, rng)


@pytest.mark.long
@pytest.mark.parametrize("feed", [CLASSIC, UTA], ids=str)
def test_20_cuts_under_5000_messages_a_second_over_200_topics_and_10_books_show_no_gap(
    make_server: MakeServer, make_stream: MakeStream, events: Events, rng: random.Random, feed: Feed
) -> None:
    run(feed, WHOLE, make_server, make_stream, events, rng)


@pytest.mark.parametrize("cuts", first(5, 20))
@pytest.mark.parametrize("feed", [CLASSIC, UTA], ids=str)
def test_random_cuts_of_one_of_two_connections_show_no_gap_in_a_loop(
    make_server: MakeServer, make_stream: MakeStream, events: Events, rng: random.Random, feed: Feed, cuts: int
) -> None:
    exchange = Exchange(("BTC-USDT",), seed=1, levels=20)
    server = make_server(exchange=exchange, limits=ServerLimits(messages_per_10s=None, uta_messages_per_10s=None))
    stream = make_stream(server, redundancy=2, limits=FREE)
    spot = names(SMALL, uta=feed.is_uta)[: SMALL.topics // 2]
    subscription: Subscription[Any] = stream.subscribe(*spot)
    got: defaultdict[str, list[Message]] = defaultdict(list)

    def read() -> None:
        for message in subscription:
            got[str(message.topic)].append(message)

    def redundant() -> bool:
        return bool(stream.stats()["redundant_topics"] == len(spot))

    reader = Task(read)
    until(redundant, "not all topics are on two connections")
    flow = Flow(server, spot, SMALL.rate)
    for number in range(cuts):
        before = sum(flow.sent.values())
        until(lambda: sum(flow.sent.values()) > before + rng.randrange(50), "nothing flows")  # noqa: B023
        rng.choice(ENDS)(rng.choice(server.connections))
        events.wait(Disconnected, number + 1, LIMIT)
        until(redundant, "not all topics are on two connections again")
    flow.end()
    for topic, count in flow.sent.items():
        until(lambda: len(got[topic]) >= count, f"{topic} is not complete")  # noqa: B023
    subscription.close()
    reader.result()
    for topic, count in flow.sent.items():
        assert [message.data["n"] for message in got[topic]] == list(range(count)), topic
        assert {(message.lost, message.epoch) for message in got[topic]} == {(0, got[topic][0].epoch)}
    assert stream.stats()["copies"] > 0


@pytest.mark.parametrize("feed", [CLASSIC, UTA], ids=str)
def test_rotations_of_one_of_two_connections_show_no_gap(
    make_server: MakeServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    size = Size(8, 2, 500, 0)
    exchange = Exchange(symbols(size), seed=1, levels=20)
    server = make_server(exchange=exchange, limits=ServerLimits(messages_per_10s=None, uta_messages_per_10s=None))
    client = Client(make_stream(server, redundancy=2, limits=FREE, rotate_after=1.5), feed, size)
    flow = Flow(server, client.names, size.rate)
    events.wait(Rotated, 8, LIMIT)
    flow.end()
    client.check(flow.sent, events)
    assert not [event for event in events.all if isinstance(event, Disconnected)]


@pytest.mark.parametrize("feed", [CLASSIC, UTA], ids=str)
def test_the_loss_of_both_is_told_as_with_one_connection(
    make_server: MakeServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    exchange = Exchange(("BTC-USDT",), seed=1, levels=20)
    server = make_server(exchange=exchange)
    stream = make_stream(server, redundancy=2, limits=FREE)
    book = stream.book("BTC-USDT", feed="uta" if feed.is_uta else "classic")
    book.wait_ready(LIMIT)
    subscription: Subscription[Any] = stream.subscribe(feed.eth)

    def redundant() -> bool:
        return bool(stream.stats()["redundant_topics"] == 2)

    until(redundant, "not all topics are on two connections")
    sequence = "E" if feed.is_uta else "sequence"
    data = {"s": "ETH-USDT"} if feed.is_uta else {}
    server.publish(feed.eth, {**data, sequence: 7})
    before = subscription.get(timeout=LIMIT)
    server.drop_connections()
    events.wait(Disconnected, 2, LIMIT)
    until(redundant, "not all topics are on two connections again")
    book.wait_ready(LIMIT)
    assert book.resyncs == 1
    server.publish(feed.eth, {**data, sequence: 3})
    after = subscription.get(timeout=LIMIT)
    assert (before.data[sequence], after.data[sequence]) == (7, 3), "KuCoin may have begun to count anew"
    assert after.epoch > before.epoch
    assert not subscription.pending


def test_a_book_that_has_lost_an_update_gets_a_snapshot_while_the_other_connection_goes_on(
    make_server: MakeServer, make_stream: MakeStream
) -> None:
    exchange = Exchange(("BTC-USDT",), seed=1, levels=20)
    server = make_server(exchange=exchange)
    stream = make_stream(server, redundancy=2)
    topic = str(topics.uta.book("BTC-USDT"))
    book = stream.book("BTC-USDT", feed="uta")
    book.wait_ready(LIMIT)
    until(lambda: stream.stats()["redundant_topics"] == 1, "the topic is not on two connections")
    server.skip_sequence(topic)
    server.step_exchange(100)
    until(lambda: book.resyncs == 1, "the gap was not seen")
    book.wait_ready(LIMIT)
    server.step_exchange(100)
    until(lambda: is_true(book, exchange), "the book is not the exchange's")
    assert book.resyncs == 1


def test_the_two_connections_go_to_different_servers_where_there_are_several(
    server: KucoinServer, make_proxy: Callable[[KucoinServer], FaultProxy], make_stream: MakeStream, events: Events
) -> None:
    proxies = [make_proxy(server) for _ in range(2)]
    path = urlsplit(server.endpoint()).path
    server.instance_servers = [
        {"endpoint": f"ws://{host}:{port}{path}"} for host, port in (each.address for each in proxies)
    ]
    stream = make_stream(redundancy=2, limits=FREE)
    stream.subscribe("/market/ticker:ETH-USDT")

    def are_apart() -> bool:
        return [each.connections for each in proxies] == [1, 1] and stream.stats()["redundant_topics"] == 1

    until(are_apart, "the connections are not apart")
    proxies[1].reset()
    events.wait(Disconnected)
    until(are_apart, "the connections are not apart again")
    proxies[1].close()
    until(lambda: proxies[0].connections == 2, "where one server is left, both connections go to it")


def test_redundancy_is_one_or_two() -> None:
    for wrong in (0, 3, None, "2"):
        with pytest.raises(ValueError, match="redundancy"):
            Stream(redundancy=wrong)  # type: ignore[arg-type]
