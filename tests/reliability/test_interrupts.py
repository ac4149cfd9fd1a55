"""A signal's handler raises (Ctrl-C, a time limit) at any point of a call: nothing is lost unsaid or left half done."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Limits, SlowConsumer, Stream, StreamClosed, Subscription
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import Exchange, KucoinServer, ServerLimits

from ..end_to_end.test_lone_consumer import reads
from ..support.accounts import SYMBOLS, USER
from ..support.interrupts import points_of
from ..support.recordings import push, write
from ..support.selection import THOROUGH, first
from ..support.streams import MakeServer, MakeStream, gone
from ..support.threads import LIMIT, Task, package_threads, until
from .feed import CLASSIC, UTA, Feed, on_both, pushed

POLICIES = ("raise", "drop_oldest", "drop_newest", "latest")


def iterate(subscription: Subscription[Any], got: list[Any], most: int) -> object:
    messages = iter(subscription)
    for message in messages:
        got.append(message)
        if len(got) >= most:
            break
    return messages


def take_next(subscription: Subscription[Any], got: list[Any], most: int) -> None:
    while len(got) < most:
        got.append(next(subscription))


def get(subscription: Subscription[Any], got: list[Any], most: int) -> None:
    while len(got) < most:
        got.append(subscription.get(timeout=LIMIT))


WAYS = (iterate, take_next, get)


class Numbered:
    """Numbers what it sends, and holds against it what a subscription brings and says."""

    def __init__(self, server: KucoinServer, subscription: Subscription[Any]) -> None:
        self._server = server
        self._subscription = subscription
        self._topics = subscription.topics
        self.sent = 0
        self.before: dict[str, int] = {}
        self.accounted = 0

    def send(self, count: int, do: Callable[[Callable[[], None]], object] = lambda publish: publish()) -> None:
        """Send so many; `do` may leave the publishing to another thread."""
        pushes = []
        for number in range(self.sent, self.sent + count):
            topic = self._topics[number % len(self._topics)]
            pushes.append(pushed(topic, {"n": number}))
        self.sent += count
        do(lambda: self._server.publish_many(pushes))

    def check(self, got: list[Any]) -> None:
        """Take the rest; each message was brought or is counted, in order."""
        last = self.sent - 1
        while last not in [message.data["n"] for message in got]:
            try:
                got.append(self._subscription.get(timeout=LIMIT))
            except SlowConsumer:
                pass  # the next message says how many are lost
        for message in got:
            assert message.data["n"] > self.before.get(message.topic, -1), "a message came twice, or too late"
            self.before[message.topic] = message.data["n"]
        self.accounted += sum(1 + message.lost for message in got)
        assert self.accounted == self.sent, f"{self.sent - self.accounted} messages were lost without a word"


@on_both("policy, way", list(itertools.product(POLICIES, WAYS)))
def test_each_message_that_waits_comes_or_is_counted(
    server: KucoinServer, stream: Stream, policy: str, way: Callable[..., object], feed: Feed
) -> None:
    subscription = stream.subscribe(
        feed.eth, feed.btc, overflow=policy, maxsize=20 if policy == "drop_oldest" else 1000
    )
    numbered = Numbered(server, subscription)
    got: list[Any] = []

    def fill() -> None:
        got.clear()
        seen = stream.stats()["messages"]
        numbered.send(3)
        numbered.send(27)
        until(lambda: stream.stats()["messages"] == seen + 30, "the messages did not come")

    fill()
    for _ in points_of(lambda: way(subscription, got, 2)):
        numbered.check(got)
        fill()
    numbered.check(got)


@on_both("policy, way", list(itertools.product(["raise", "drop_newest"], WAYS)))
def test_each_message_of_a_burst_comes(
    server: KucoinServer, stream: Stream, policy: str, way: Callable[..., object], feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth, overflow=policy)
    numbered = Numbered(server, subscription)
    got: list[Any] = []

    def fill() -> None:
        got.clear()
        numbered.send(200)
        until(lambda: subscription.pending == 200, "the messages did not come")

    fill()
    for _ in points_of(lambda: way(subscription, got, 4)):
        numbered.check(got)
        fill()
    numbered.check(got)


@pytest.fixture
def publisher() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Calls what it is given on a thread of its own."""
    calls: list[Callable[[], None]] = []
    asked = threading.Semaphore(0)

    def run() -> None:
        while asked.acquire() and calls:
            calls.pop()()

    thread = threading.Thread(target=run)
    thread.start()

    def call(what: Callable[[], None]) -> None:
        calls.append(what)
        asked.release()

    yield call
    asked.release()
    thread.join(LIMIT)


@pytest.mark.parametrize(
    "policy", [policy if policy == "raise" else pytest.param(policy, marks=pytest.mark.long) for policy in POLICIES]
)
@pytest.mark.parametrize(
    ("feed", "way"),
    first(*[(CLASSIC, way) for way in reversed(WAYS)], *[(UTA, way) for way in WAYS]),
)
def test_each_message_that_is_waited_for_comes(
    server: KucoinServer,
    stream: Stream,
    publisher: Callable[[Callable[[], None]], None],
    policy: str,
    way: Callable[..., object],
    feed: Feed,
) -> None:
    """After some messages, one by one, a consumer reads the socket itself."""
    subscription = stream.subscribe(feed.eth, overflow=policy)
    numbered = Numbered(server, subscription)
    got: list[Any] = []

    def one_by_one(times: int) -> list[object]:
        kept = []
        for _ in range(times):
            numbered.send(1, publisher)
            kept.append(way(subscription, got, len(got) + 1))
        return kept

    def until_it_reads() -> None:
        for _ in range(10_000):
            one_by_one(1)
            numbered.check(got)
            del got[:]
            if reads(subscription, count=2):
                return
        raise AssertionError("the consumer does not read by itself")

    until_it_reads()
    for _ in points_of(lambda: one_by_one(1)):
        numbered.check(got)
        del got[:]
        until_it_reads()
    numbered.check(got)


class Program:
    """Calls public methods that an interrupt may end; then looks for what was left half done."""

    def __init__(self, server: KucoinServer, stream: Stream, folder: Path) -> None:
        self._server = server
        self._stream = stream
        self._folder = folder
        self._made: list[Any] = []
        self._before = self._left()

    def subscribe(self) -> None:
        self._made.append(self._stream.subscribe(CLASSIC.eth, timeout=LIMIT))

    def subscribe_with_callback(self) -> None:
        self._made.append(self._stream.subscribe(CLASSIC.eth, callback=print, stale_after=60.0))

    def subscribe_without_waiting(self) -> None:
        self._made.append(self._stream.subscribe(CLASSIC.eth, timeout=0))

    def subscribe_in_a_tunnel(self) -> None:
        self._made.append(self._stream.tunnel("bt1"))
        self._made.append(self._made[-1].subscribe(CLASSIC.eth))

    def tunnel(self) -> None:
        self._made.append(self._stream.tunnel("bt1"))

    def book(self) -> None:
        self._made.append(self._stream.book("BTC-USDT"))

    def book_with_callback(self) -> None:
        self._made.append(self._stream.book("BTC-USDT", on_change=print))

    def account(self) -> None:
        self._made.append(self._stream.account(rest_lag=0))

    def account_with_callback(self) -> None:
        self._made.append(self._stream.account(rest_lag=0, on_change=print))

    def recorder(self) -> None:
        self._made.append(Recorder(self._stream, self._folder / f"{time.monotonic_ns()}.jsonl"))

    def close(self) -> None:
        for each in self._made:
            each.close()

    def check(self) -> None:
        """Nothing is left of what was made and of what was not; all can be made again."""
        self.close()
        del self._made[:]
        until(lambda: self._left() == self._before, f"{self._left()} is left and not {self._before}")
        self.subscribe()
        self.book()
        self.tunnel()
        self._server.publish(CLASSIC.eth, {"n": 1})
        self._made[0].get(timeout=LIMIT)
        self.close()
        del self._made[:]
        until(lambda: self._left() == self._before, f"{self._left()} is left and not {self._before}")

    def _left(self) -> tuple[int, int, int]:
        stats = self._stream.stats()
        return stats["subscriptions"], stats["topics"], stats["books"]


def ends_with_all_threads(stream: Stream) -> None:
    """Close a stream; no thread is left, be it one that an interrupt found while it was being started."""
    stream.close()
    gc.collect()
    until(lambda: not package_threads(), f"{package_threads()} run on")
    gc.collect()


MAKING = (
    "subscribe",
    "subscribe_with_callback",
    "subscribe_without_waiting",
    "subscribe_in_a_tunnel",
    "tunnel",
    "book",
    "book_with_callback",
    "account",
    "account_with_callback",
    "recorder",
)
#: A socket that an interrupt finds in nobody's hands yet is closed by the garbage collector.
LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings("ignore::ResourceWarning")
#: Of how many points one is visited.
EVERY = 1 if THOROUGH else 4
EVERY_CLOSE = 1 if THOROUGH else 8
NO_LIMITS = ServerLimits(messages_per_10s=None, requests_per_30s=None, sessions=None, weights_per_30s={})
UNLIMITED = Limits(connections_per_minute=1_000_000, snapshots_per_30s=1_000_000, commands_per_10s=1_000_000)


@pytest.fixture
def generous(make_server: MakeServer) -> KucoinServer:
    server = make_server(limits=NO_LIMITS)
    snapshot = {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]}
    server.set_snapshot("orderbook/level2", "BTC-USDT", snapshot)
    return server


@LEFT_TO_THE_COLLECTOR
@pytest.mark.parametrize("call", [pytest.param(call, marks=pytest.mark.long) for call in MAKING])
def test_a_call_that_is_interrupted_leaves_nothing_behind(
    generous: KucoinServer, make_stream: MakeStream, tmp_path: Path, call: str
) -> None:
    stream = make_stream(generous, limits=UNLIMITED)
    stream.subscribe(CLASSIC.btc)  # which stays
    program = Program(generous, stream, tmp_path)
    getattr(program, call)()  # which loads what it needs
    program.check()
    for _ in points_of(getattr(program, call), EVERY * 8 if "account" in call else EVERY):  # which takes many steps
        program.check()
    program.close()
    assert stream.book("BTC-USDT").wait_ready(LIMIT).best_bid is not None
    ends_with_all_threads(stream)


@LEFT_TO_THE_COLLECTOR
@pytest.mark.long
@pytest.mark.parametrize("call", [call for call in MAKING if "book" not in call and "account" not in call])
def test_a_first_call_that_is_interrupted_can_be_made_again(
    generous: KucoinServer, make_stream: MakeStream, tmp_path: Path, call: str
) -> None:
    programs: list[tuple[Stream, Program]] = []

    def begin() -> None:
        stream = make_stream(generous, limits=UNLIMITED)
        programs.append((stream, Program(generous, stream, tmp_path)))

    begin()
    for _ in points_of(lambda: getattr(programs[-1][1], call)(), EVERY):
        stream, program = programs[-1]
        program.check()
        stream.close()
        begin()
    programs[-1][1].close()
    ends_with_all_threads(programs[-1][0])


class Opened:
    """What a program has opened on a stream, and what waits for it on other threads."""

    def __init__(self, server: KucoinServer, stream: Stream) -> None:
        self._server = server
        self._stream = stream
        self.closeable: list[Any] = []
        self._waiting: list[Task[object]] = []

    def subscription(self) -> Callable[[], object]:
        return self._read(self._stream.subscribe(CLASSIC.eth, stale_after=60.0)).close  # type: ignore[no-any-return]

    def one_of_two_subscriptions(self) -> Callable[[], object]:
        """Both have one topic, so that it stays."""
        subscription = self._stream.subscribe(CLASSIC.btc, CLASSIC.eth, callback=print)
        self.closeable.append(subscription)
        return subscription.close

    def topic(self) -> Callable[[], object]:
        self._read(self._stream.subscribe(CLASSIC.eth))
        return lambda: self._stream.unsubscribe(CLASSIC.eth)

    def tunnel(self) -> Callable[[], object]:
        tunnel = self._stream.tunnel("bt1")
        self._read(tunnel.subscribe(CLASSIC.eth))
        return tunnel.close

    def book(self) -> Callable[[], object]:
        book = self._read(self._stream.book("BTC-USDT", on_change=print)).wait_ready(LIMIT)
        return book.close  # type: ignore[no-any-return]

    def account(self) -> Callable[[], object]:
        account = self._read(self._stream.account(rest_lag=0, on_change=print))
        return account.close  # type: ignore[no-any-return]

    def stream(self) -> Callable[[], object]:
        self._server.unmute()
        for each in (self.subscription, self.one_of_two_subscriptions, self.tunnel, self.book, self.account):
            each()
        self._wait(lambda: self._stream.last(CLASSIC.eth))
        self._server.mute(pong=False, ack=True)
        count = self._stream.stats()["subscriptions"]
        self._wait(lambda: self._stream.subscribe("/market/ticker:A-USDT", timeout=2 * LIMIT))
        until(lambda: self._stream.stats()["subscriptions"] > count, "a topic was not subscribed")
        return self._stream.close

    def _read(self, what: Any) -> Any:
        """Have a thread take what something brings, until that ends."""
        self.closeable.append(what)
        messages = iter(what)
        self._wait(lambda: list(messages))
        return what

    def _wait(self, call: Callable[[], object]) -> None:
        self._waiting.append(Task(call))

    def is_over(self) -> None:
        """All is closed, and nobody waits for it any more."""
        for each in self.closeable:
            assert each.closed, f"{each} is not closed"
        for waiting in self._waiting:
            with suppress(StreamClosed):
                waiting.result()


@pytest.fixture
def unlimited_exchange(make_server: MakeServer) -> KucoinServer:
    return make_server(exchange=Exchange(SYMBOLS, accounts=[USER]), limits=NO_LIMITS)


CLOSING = ("subscription", "one_of_two_subscriptions", "topic", "tunnel", "book", "account")


@LEFT_TO_THE_COLLECTOR
@pytest.mark.parametrize("what", CLOSING)
def test_a_close_that_is_interrupted_is_completed_by_the_next(
    unlimited_exchange: KucoinServer, make_stream: MakeStream, what: str
) -> None:
    stream = make_stream(unlimited_exchange, limits=UNLIMITED)
    stream.subscribe(CLASSIC.btc)  # which stays

    def left() -> tuple[int, ...]:
        stats = stream.stats()
        return stats["subscriptions"], stats["topics"], stats["books"]

    before = left()
    closes: list[tuple[Opened, Callable[[], object]]] = []

    def open_another() -> None:
        opened = Opened(unlimited_exchange, stream)
        closes.append((opened, getattr(opened, what)()))

    open_another()
    for point in points_of(lambda: closes[-1][1](), EVERY_CLOSE):
        opened, close = closes.pop()
        close()
        opened.is_over()
        until(lambda: left() == before, f"{left()} is left and not {before}, after an interrupt at point {point}")
        gone(unlimited_exchange, CLASSIC.eth)
        open_another()
    closes.pop()[0].is_over()
    ends_with_all_threads(stream)


@LEFT_TO_THE_COLLECTOR
def test_a_close_of_a_stream_that_is_interrupted_is_completed_by_the_next(
    unlimited_exchange: KucoinServer, make_stream: MakeStream
) -> None:
    opened: list[Opened] = []

    def begin() -> Callable[[], object]:
        opened.append(Opened(unlimited_exchange, make_stream(unlimited_exchange, limits=UNLIMITED)))
        return opened[-1].stream()

    closes = [begin()]
    for _ in points_of(lambda: closes[-1](), EVERY_CLOSE * 4):  # which takes many steps
        closes.pop()()
        opened.pop().is_over()
        closes.append(begin())
    opened.pop().is_over()


def test_a_recorder_whose_close_is_interrupted_is_closed_by_the_next_one(
    server: KucoinServer, stream: Stream, tmp_path: Path
) -> None:
    made = [Recorder(stream, tmp_path / "0.jsonl")]
    for point in points_of(lambda: made[-1].close()):
        Task(made[-1].close).result()
        made.append(Recorder(stream, tmp_path / f"{point}.jsonl"))
    until(lambda: "kucoin-recorder" not in package_threads(), "a recorder runs on")


def test_a_replay_whose_close_is_interrupted_is_closed_by_the_next_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)])

    def started() -> ReplayStream:
        replay = ReplayStream(path, 0.001)
        looping.append(Task(list, replay.subscribe("/market/match:BTC-USDT")))
        return replay

    looping: list[Task[list[Any]]] = []
    made = [started()]
    for _ in points_of(lambda: made[-1].close()):
        Task(made[-1].close).result()
        assert looping[-1].result() == []
        made.append(started())
    looping[-1].result()
    until(lambda: not package_threads(), f"{package_threads()} run on")


@LEFT_TO_THE_COLLECTOR
def test_consumers_end_with_the_close_after_one_that_is_interrupted(
    generous: KucoinServer, make_stream: MakeStream
) -> None:
    def begin() -> None:
        made.append(make_stream(generous, limits=UNLIMITED))
        looping.append(Task(list, made[-1].subscribe(CLASSIC.eth)))

    made: list[Stream] = []
    looping: list[Task[list[Any]]] = []
    begin()
    for _ in points_of(lambda: made[-1].close(), EVERY):
        Task(made[-1].close).result()
        assert looping[-1].result() == []
        begin()
    assert looping[-1].result() == []
