"""Half an hour of faults, fifty times as fast: nothing is lost without a trace, and books equal the exchange's."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import (
    Disconnected,
    Limits,
    Message,
    Retrying,
    SlowConsumer,
    Subscription,
    topics,
)
from kucoin_sync.books import pushed_snapshots
from kucoin_sync.internal import backoff
from kucoin_sync.net import reconnecting
from kucoin_sync.testing import Exchange, FaultProxy, KucoinServer, ServerLimits

from ..support.books import is_true
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import LIMIT, Task, until
from .feed import Feed, pushed

SPEED = 50  # times as fast as the figures of KuCoin and of this package
ROUNDS = 60  # one fault in each half minute
SYMBOLS = tuple(f"B{number}-USDT" for number in range(10))


class Soak:
    """A server behind a proxy, the faults that befall a stream to it, and the books of what was sent."""

    def __init__(self, server: KucoinServer, proxy: FaultProxy, events: Events, rng: random.Random, feed: Feed) -> None:
        trades = feed.match.partition(":")[0]
        self.topics = [f"{trades}:A{number}-USDT" for number in range(200)]
        self.end = f"{trades}:END-USDT"
        self.books = [str(topics.uta.book(each)) if feed.is_uta else f"/market/level2:{each}" for each in SYMBOLS]
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        self._server = server
        self._proxy = proxy
        self._events = events
        self._rng = rng
        self._numbers = itertools.count()
        self._faults: list[Callable[[], object]] = [
            proxy.reset,
            proxy.cut,
            server.drop_connections,
            lambda: server.close_connections(rng.choice((1000, 1001, 1012)), "bye"),
            lambda: self._until_lost(proxy.to_client.hold),
            lambda: self._until_lost(proxy.to_server.hold),
            lambda: self._until_lost(lambda: proxy.to_client.hold_after(rng.randrange(2000))),
            lambda: self._until_lost(lambda: proxy.to_client.reset_after(rng.randrange(2000))),
            lambda: proxy.to_client.slice(rng.randrange(1, 50)),
            lambda: proxy.to_client.delay(rng.random() / 20),
            lambda: proxy.to_client.limit_rate(200_000),
            lambda: (server.no_welcome(times=1), proxy.reset()),
            lambda: (server.refuse_handshake(503, times=2), proxy.reset()),
            lambda: (server.reject_next(509, "service busy, please retry later"), proxy.reset()),
            lambda: (server.withhold_acks(1), proxy.cut()),
            lambda: (server.stop(), server.start()),
            lambda: server.skip_sequence(rng.choice(self.books)),
            lambda: server.send_raw(rng.randbytes(100)),
        ]
        if not feed.is_uta:  # that feed has neither tokens nor REST
            self._faults += [
                lambda: (server.expire_tokens(), proxy.reset()),
                lambda: (server.fail_rest("/api/*", rng.choice((429, 500, 503)), "500000", times=3), proxy.reset()),
                lambda: (server.fail_rest("/api/*", 200, body="<html>", times=2), proxy.reset()),
            ]
        rng.shuffle(self._faults)

    def run(self) -> None:
        """Let each fault befall the stream, in a random order, while messages flow."""
        for fault in itertools.islice(itertools.cycle(self._faults), ROUNDS):
            self._flow()
            fault()
            self._flow()
            self.settle()

    def settle(self) -> None:
        """End the fault, and wait until all is subscribed again."""
        self._proxy.heal()
        wanted = {*self.topics, self.end, *self.books}
        self._server.wait_for(
            lambda s: self._proxy.connections == len(s.connections) == 1 and s.connections[0].topics >= wanted,
            LIMIT,
            "all that is wanted",
        )

    def _flow(self) -> None:
        self._server.step_exchange(20)
        for topic in self._rng.sample(self.topics, 50):
            number = next(self._numbers)
            if self._server.publish_many([pushed(topic, {"n": number})]):
                self.sent[topic].append(number)

    def _until_lost(self, fault: Callable[[], object]) -> None:
        trouble: Any = Disconnected | Retrying  # the latter where an earlier fault has ended the connection
        count = sum(isinstance(event, trouble) for event in self._events.all)
        fault()
        self._flow()
        self._events.wait(trouble, count + 1, LIMIT)


def consume(subscription: Subscription, end: str) -> list[Message]:
    """Take messages until the last."""
    got: list[Message] = []
    while not got or got[-1].topic != end:
        try:
            got.append(subscription.get(timeout=LIMIT))
        except SlowConsumer:
            continue
    return got


@pytest.mark.long
def test_half_an_hour_of_faults_over_200_topics_and_10_books_loses_nothing_without_a_trace(
    make_server: MakeServer,
    make_proxy: Callable[[KucoinServer], FaultProxy],
    make_stream: MakeStream,
    events: Events,
    rng: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    feed: Feed,
) -> None:
    usual = backoff.retry_delays
    monkeypatch.setattr(backoff, "retry_delays", lambda *args: (pause / SPEED for pause in usual(*args)))
    monkeypatch.setattr(reconnecting, "_STABLE_SECONDS", 0.0)
    for name in ("_LONGEST_DELAY", "_WAIT"):
        monkeypatch.setattr(pushed_snapshots, name, getattr(pushed_snapshots, name) / SPEED)
    exchange = Exchange(SYMBOLS, seed=rng.getrandbits(32), levels=20)
    server = make_server(
        exchange=exchange, ping_interval=18 / SPEED, ping_timeout=10 / SPEED, limits=ServerLimits(messages_per_10s=None)
    )
    server.allow_topic("/market/match")
    proxy = make_proxy(server)
    soak = Soak(server, proxy, events, rng, feed)
    limits = Limits(
        step_timeout=10 / SPEED, connections_per_minute=100_000, commands_per_10s=10_000, snapshots_per_30s=10_000
    )
    stream = make_stream(server, limits=limits)
    whole = Task(consume, stream.subscribe(*soak.topics, soak.end, maxsize=10**6), soak.end)
    few = stream.subscribe(*soak.topics, soak.end, maxsize=100, overflow="drop_oldest")
    books = [stream.book(symbol, feed=feed.name) for symbol in SYMBOLS]
    soak.run()
    while not whole.done.wait(0.02):
        server.publish_many([pushed(soak.end, {})])  # the first may go into a connection that is gone already
    got = whole.result()

    # What was sent and did not come is missing where the epoch rises, and nowhere else.
    latest: dict[str, Message] = {}
    last_epoch = got[-1].epoch
    for message in got[:-1]:
        topic, number = message.topic, message.data["n"]
        assert topic is not None
        sent, before = soak.sent[topic], latest.get(topic)
        place = 0 if before is None else sent.index(before.data["n"]) + 1
        if number != sent[place]:
            assert number in sent[place:], "neither twice nor out of order"
            assert message.epoch > (before.epoch if before is not None else 0), "a loss without a trace"
            assert before is not None or message.epoch > 1
        assert message.lost == 0
        latest[topic] = message
    for topic, sent in soak.sent.items():
        rest = sent[sent.index(latest[topic].data["n"]) + 1 :] if topic in latest else sent
        assert not rest or topic not in latest or latest[topic].epoch < last_epoch

    # A small queue: what is not there was dropped, and shown.
    taken = consume(few, soak.end)
    assert len(taken) + few.dropped == len(got)
    assert sum(message.lost for message in taken) == few.dropped

    for book in books:
        until(lambda book=book: is_true(book, exchange), f"{book!r} is not at the exchange's sequence")
    before = {book: book.resyncs for book in books}
    for topic in soak.books:
        server.skip_sequence(topic)
    server.step_exchange(500)
    for book in books:
        until(lambda book=book: is_true(book, exchange), f"{book!r} is not at the exchange's sequence")
        assert book.resyncs > before[book], "a gap without a trace"
    print(f"{len(got)} messages over {last_epoch} connections, {sum(book.resyncs for book in books)} books begun again")
    assert last_epoch > ROUNDS / 4
