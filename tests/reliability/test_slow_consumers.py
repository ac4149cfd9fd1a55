"""Consumers that are slow, stuck or broken: what they miss is counted and shown, and nobody else feels it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from kucoin_sync import CallbackFailed, CallbackSlow, Disconnected, Event, Message, SlowConsumer, Stream, Subscription
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import LIMIT, Task, reached
from .feed import Feed, at_best, numbers, on_both, publish, pushed, seconds_of

BURSTS, MAXSIZE = (100_000,), 1000
POLICIES = ("raise", "drop_oldest", "drop_newest", "latest")


class Consumer:
    """Takes 1 ms for each message, until it has one from after the burst."""

    def __init__(self, subscription: Subscription, burst: int) -> None:
        self.subscription = subscription
        self._burst = burst
        self.got: list[tuple[int, int]] = []  # (number, lost)
        self.told = 0
        self.task = Task(self._consume)

    def _consume(self) -> None:
        work = threading.Event()
        while not self.got or self.got[-1][0] < self._burst:
            assert (pending := self.subscription.pending) <= MAXSIZE, f"{pending} wait for {self.subscription}"
            try:
                message = self.subscription.get(timeout=LIMIT)
            except SlowConsumer:
                self.told += 1
                continue
            self.got.append((int(message.data["n"]), message.lost))
            work.wait(0.001)


@on_both("burst", BURSTS, (10_000, *BURSTS))
def test_a_burst_of_100000_leaves_memory_bounded_and_every_drop_counted_and_shown_in_its_place(
    server: KucoinServer, stream: Stream, events: Events, burst: int, feed: Feed
) -> None:
    subscriptions = {policy: stream.subscribe(feed.eth, maxsize=MAXSIZE, overflow=policy) for policy in POLICIES}
    witness = stream.subscribe(feed.eth, maxsize=2 * burst)
    consumers = [Consumer(subscription, burst) for subscription in subscriptions.values()]
    publish(server, range(burst), feed.eth)
    sent = burst
    for consumer in consumers:
        while not consumer.task.done.wait(0.02):
            publish(server, [sent], feed.eth)  # the first one that a consumer gets tells what it has missed before
            sent += 1
        consumer.task.result()
    assert numbers(witness, sent) == list(range(sent))
    for policy, consumer in zip(POLICIES, consumers, strict=True):
        expected = 0
        for number, lost in consumer.got:
            assert number == expected + lost, f"{policy}: {lost} missing before {number}, which should be {expected}"
            expected = number + 1
        subscription = consumer.subscription
        assert len(consumer.got) + subscription.dropped + subscription.pending == sent, policy
        assert subscription.dropped >= burst / 2, "it was a burst"
        assert bool(consumer.told) == (policy == "raise")
    assert not [event for event in events.all if isinstance(event, Disconnected)]


def topics_of(feed: Feed) -> list[str]:
    return [f"{feed.ticker}:A{number}-USDT" for number in range(50)]


class Latencies:
    """Callbacks of 49 topics that note how long a message took; the first of the 50 may be made to get stuck."""

    def __init__(self, server: KucoinServer, stream: Stream, topics: list[str]) -> None:
        self.stuck, self.freed = threading.Event(), threading.Event()
        self.worker: threading.Thread | None = None
        self.topics = topics
        self._server = server
        self._times: list[float] = []
        self._all = threading.Semaphore(0)
        stream.subscribe(topics[0], callback=self._get_stuck)
        for topic in topics[1:]:
            stream.subscribe(topic, callback=self._note)

    def _get_stuck(self, message: Message) -> None:
        if message.data.get("n") == "stuck":
            self.worker = threading.current_thread()
            self.stuck.set()
            reached(self.freed, "nobody freed the callback")

    def publish(self, topic: str, **data: object) -> None:
        """Push something."""
        self._server.publish_many([pushed(topic, data)])

    def free(self) -> None:
        """Let the callback that is stuck return, and wait until its thread has ended."""
        self.freed.set()
        if self.worker is not None:
            self.worker.join(LIMIT)

    def _note(self, message: Message) -> None:
        self._times.append(time.monotonic() - message.data["at"])
        self._all.release()

    def p99(self) -> float:
        """Return the 99th percentile in seconds of 20 messages of each topic."""
        self._times = []
        for _ in range(20):
            self.measure()
        return sorted(self._times)[-len(self._times) // 100]

    def measure(self) -> None:
        """Send each of the others a message, and wait until they have been called."""
        for topic in self.topics[1:]:
            self.publish(topic, at=time.monotonic())
        for _ in self.topics[1:]:
            assert self._all.acquire(timeout=LIMIT), "messages wait for the callback that is stuck"


@pytest.fixture
def latencies(server: KucoinServer, stream: Stream, feed: Feed) -> Iterator[Latencies]:
    latencies = Latencies(server, stream, topics_of(feed))
    yield latencies
    latencies.free()
    stream.close()


def test_a_stuck_callback_among_50_delays_no_other_and_is_named_once_in_a_warning(
    stream: Stream,
    events: Events,
    latencies: Latencies,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = stream._callbacks.executor
    monkeypatch.setattr(executor, "_warn_after", 2 * LIMIT)
    usual = latencies.p99()
    for what in ("stuck", "next"):
        latencies.publish(latencies.topics[0], n=what)
    reached(latencies.stuck, "the callback was not called")
    latencies.measure()  # nobody waits until it is named
    monkeypatch.setattr(executor, "_warn_after", 0.05)
    executor._looks.put(None)
    event = events.wait(CallbackSlow)
    monkeypatch.setattr(executor, "_warn_after", 2 * LIMIT)  # however long the machine makes the others take
    assert event.topics == (latencies.topics[0],)
    limit = 0.05 + 5 * usual
    assert at_best(limit, latencies.p99) <= limit
    assert seconds_of(stream.close) < LIMIT / 10, "nor does it hold up the end"
    latencies.free()
    named = [record for record in caplog.records if "has run for" in record.getMessage()]
    assert [(record.levelname, record.name) for record in named] == [("WARNING", "kucoin_sync")]


def test_a_stuck_callback_costs_no_heartbeat(
    make_server: MakeServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    server = make_server(ping_interval=2.0, ping_timeout=5.0)
    freed, workers = threading.Event(), []

    def stuck(_: Message) -> None:
        workers.append(threading.current_thread())
        reached(freed, "nobody freed the callback")

    with make_stream(server) as stream:
        stream.subscribe(feed.eth, callback=stuck)
        publish(server, range(100), feed.eth)
        server.wait_for(lambda s: feed.commands(s, "ping"))
        assert workers
    freed.set()
    for worker in workers:
        worker.join(LIMIT)
    assert not [event for event in events.all if isinstance(event, Disconnected)]


def test_a_consumer_that_never_reads_among_50_delays_no_other(server: KucoinServer, stream: Stream, feed: Feed) -> None:
    topics = topics_of(feed)
    asleep = stream.subscribe(topics[0], maxsize=10)
    others = [stream.subscribe(topic) for topic in topics[1:]]
    for start in range(0, 100, 10):
        for topic in topics:
            publish(server, range(start, start + 10), topic)
    for other in others:
        assert numbers(other, 100) == list(range(100))
    assert (asleep.pending, asleep.dropped) == (10, 90)


@on_both("inline", [False, True])
def test_a_callback_that_raises_is_reported_with_its_traceback_and_gets_the_next_message(
    server: KucoinServer, stream: Stream, events: Events, caplog: pytest.LogCaptureFixture, inline: bool, feed: Feed
) -> None:
    third = threading.Event()
    error = ZeroDivisionError("as planned")
    got: list[int] = []

    def callback(message: Message) -> None:
        got.append(int(message.data["n"]))
        if len(got) == 1:
            raise error
        if len(got) == 3:
            third.set()

    stream.subscribe(feed.eth, callback=callback, inline=inline)
    publish(server, range(3), feed.eth)
    assert events.wait(CallbackFailed) == CallbackFailed((feed.eth,), error)
    reached(third, "the next messages did not come")
    assert got == [0, 1, 2]
    [logged] = [record for record in caplog.records if record.exc_info]
    assert logged.levelname == "ERROR"
    assert "in callback" in logging.Formatter().format(logged), "the line at fault is named"


def test_an_on_event_that_raises_is_reported_and_hears_the_next_event(
    server: KucoinServer, make_stream: MakeStream, caplog: pytest.LogCaptureFixture, feed: Feed
) -> None:
    events = Events()

    def on_event(event: Event) -> None:
        events(event)
        raise ZeroDivisionError("as planned")

    stream = make_stream(on_event=on_event)
    subscription = stream.subscribe(feed.eth)
    server.drop_connections()
    events.wait(Disconnected)
    server.wait_subscribed(feed.eth, timeout=10)
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]
    assert "on_event raised for" in caplog.text
