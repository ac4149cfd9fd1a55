"""Any public method may be called from inside any other one: by finalisers, handlers of signals and logs, callbacks.

A call that is made wherever the package is at work blocks nothing: each pair of public methods is tried, the inner one
between two steps (bytecodes) of the outer one, at many of them.
"""

from __future__ import annotations

import gc
import itertools
import logging
import random
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import CodeType, FrameType
from typing import Any

import pytest

import kucoin_sync
from kucoin_sync import AccountNotReady, BookNotReady, Limits, LocalBook, Message, Stream, StreamClosed, Subscription
from kucoin_sync.books import locks
from kucoin_sync.connections.groups import ConnectionGroups
from kucoin_sync.delivery import subscription as subscription_module
from kucoin_sync.recording import Recorder
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.demo import Demonstration
from kucoin_sync.testing.server import ServerLimits

from ..support.selection import THOROUGH, spread
from ..support.streams import MakeStream
from ..support.threads import package_threads, reached, until
from .feed import CLASSIC, ETH, MATCH, Feed, publish, pushed

LIMIT = 20.0
PACKAGE = str(Path(kucoin_sync.__file__).parent)
#: What tests stand for: programs, and the peer.
OUTSIDE = tuple(f"{PACKAGE}/{name}/" for name in ("testing", "cli", "contrib"))

FREE = Limits(connections_per_minute=100_000, commands_per_10s=100_000, snapshots_per_30s=100_000)

Call = Callable[[], object]
Prepare = Callable[["World"], Call]


class World:
    """A stream with all that can be held of it, and a KuCoin that it talks to."""

    def __init__(self, server: KucoinServer, folder: Path, feed: Feed = CLASSIC) -> None:
        self.server = server
        self.feed = feed
        self.folder = folder
        self.numbers = itertools.count()
        self.opened: list[Any] = []  # by calls; to be closed
        self.on_event: list[Call] = []  # each is called for one event
        self.stream = Stream(**server.stream_options, limits=FREE, on_event=self.tell)
        self.subscription = self.stream.subscribe(self.topic(), timeout=LIMIT)
        self.book = self.new_book()
        self.recorder = self.record()
        self.book.wait_ready(LIMIT)

    def tell(self, _: object) -> None:
        """Take an event."""
        if self.on_event:
            self.on_event.pop()()

    def topic(self) -> str:
        """Return a topic that nobody has yet."""
        return f"{self.feed.ticker}:A{next(self.numbers)}-USDT"

    def classic_topic(self) -> str:
        """Return a topic for a tunnel, which the UTA feed has not."""
        return f"{CLASSIC.ticker}:A{next(self.numbers)}-USDT"

    def new_book(self, **options: Any) -> LocalBook:
        """Ask the stream for a book."""
        return self.stream.book("BTC-USDT", feed=self.feed.name, **options)

    def fresh(self, **options: Any) -> Subscription[Any]:
        """Return a subscription that nobody else has."""
        return self.keep(self.stream.subscribe(self.topic(), timeout=LIMIT, **options))

    def keep(self, opened: Any) -> Any:
        """Have something closed later."""
        self.opened.append(opened)
        return opened

    def record(self) -> Recorder:
        """Return a recorder."""
        return Recorder(self.stream, self.folder / f"{id(self)}-{next(self.numbers)}.jsonl")

    def publish(self, subscription: Subscription[Any], data: object = None) -> None:
        """Have a subscription get a message."""
        self.server.publish_many([pushed(subscription.topics[0], data or {"price": "1"})])

    def check(self) -> None:
        """All works as it did before: a message comes, numbers are told, and nothing is left of what was opened."""
        self.close_opened()
        with self.stream.subscribe(self.topic(), timeout=LIMIT) as subscription:
            self.publish(subscription)
            subscription.get(timeout=LIMIT)
        until(lambda: self.counts() == (2, 1), "of the subscriptions or books of calls some are left")
        assert not self.subscription.closed
        assert not self.book.closed
        until(lambda: self.book.ready, "the book is not ready any more")

    def counts(self) -> tuple[int, int]:
        """Return the numbers of subscriptions and books."""
        stats = self.stream.stats()
        return stats["subscriptions"], stats["books"]

    def close_opened(self) -> None:
        """Close what calls have opened."""
        for opened in self.opened:
            opened.close()
        self.opened.clear()

    def close(self) -> None:
        """Close everything."""
        self.close_opened()
        self.recorder.close(timeout=LIMIT)
        self.stream.close(timeout=LIMIT)
        until(lambda: not package_threads(), "threads are left behind")


# Each prepares a call of one public method, or of some that belong together.


def subscribe(world: World) -> Call:
    topic = world.topic()
    return lambda: world.keep(world.stream.subscribe(topic, timeout=LIMIT))


def subscribe_with_callback(world: World) -> Call:
    topic = world.topic()
    return lambda: world.keep(world.stream.subscribe(topic, callback=id, stale_after=100, timeout=LIMIT))


def subscribe_the_same(world: World) -> Call:
    topic = world.subscription.topics[0]
    return lambda: world.keep(world.stream.subscribe(topic, timeout=LIMIT))


def on(world: World) -> Call:
    topic = world.topic()
    return lambda: world.stream.on(topic, inline=True, timeout=LIMIT)(id) and world.stream.unsubscribe(topic)


def unsubscribe(world: World) -> Call:
    return partial(world.stream.unsubscribe, world.fresh().topics[0])


def unsubscribe_all_of_it(world: World) -> Call:
    return partial(world.stream.unsubscribe, world.fresh())


def close_subscription(world: World) -> Call:
    subscription = world.fresh()

    def call() -> None:
        subscription.close()
        assert subscription.closed

    return call


def leave_subscription(world: World) -> Call:
    subscription = world.fresh()

    def call() -> None:
        with subscription:
            pass

    return call


def abandoned_generator(world: World) -> Call:
    topic = world.topic()

    def events() -> Iterator[object]:
        with world.stream.subscribe(topic, timeout=0) as subscription:
            yield "begins"
            yield from subscription

    generator = world.keep(events())
    next(generator)
    return generator.close


def get(world: World) -> Call:
    subscription = world.fresh()
    world.publish(subscription)
    until(lambda: subscription.pending, "no message has come")
    return partial(subscription.get, timeout=LIMIT)


def get_in_vain(world: World) -> Call:
    subscription = world.fresh()

    def call() -> None:
        with pytest.raises(TimeoutError):
            subscription.get(timeout=0)

    return call


def look_at_subscription(world: World) -> Call:
    taken = world.subscription
    return lambda: (taken.pending, taken.dropped, taken.closed, taken.topics, repr(taken))


def odd_payload(world: World) -> Call:
    subscription = world.fresh()
    world.publish(subscription, {"price": [], "time": {}})
    message: Message[Any] = subscription.get(timeout=LIMIT)
    return lambda: message.payload


def open_tunnel(world: World) -> Call:
    name, topic = f"t{next(world.numbers)}", world.classic_topic()

    def call() -> None:
        tunnel = world.keep(world.stream.tunnel(name))
        tunnel.subscribe(topic, timeout=LIMIT)

    return call


def close_tunnel(world: World) -> Call:
    tunnel = world.keep(world.stream.tunnel(f"t{next(world.numbers)}"))
    tunnel.subscribe(world.classic_topic(), timeout=LIMIT)
    return tunnel.close


def open_book(world: World) -> Call:
    return lambda: world.keep(world.new_book(on_change=id))


def close_book(world: World) -> Call:
    return world.keep(world.new_book()).close


def read_book(world: World) -> Call:
    def call() -> None:
        try:
            assert world.book.best_bid and world.book.best_ask
            assert world.book.best_bid.price < world.book.best_ask.price
        except BookNotReady:
            pass  # an update is being applied further down the stack

    return call


def look_at_book(world: World) -> Call:
    def call() -> None:
        assert world.book.ready in (False, True) and world.book.sequence >= 0 and world.book.resyncs >= 0
        assert repr(world.book)
        with suppress(BookNotReady):
            assert world.book.partial in (False, True)

    return call


def wait_for_book(world: World) -> Call:
    def call() -> None:
        try:
            world.book.wait_ready(LIMIT)
        except BookNotReady:
            pass  # it would have had to wait

    return call


def follow_book(world: World) -> Call:
    return lambda: iter(world.book).pending


def open_account(world: World) -> Call:
    return lambda: world.keep(world.stream.account(on_change=id, rest_lag=0))


def close_account(world: World) -> Call:
    return world.keep(world.stream.account(rest_lag=0)).close


def look_at_account(world: World) -> Call:
    account = world.keep(world.stream.account(rest_lag=0))

    def call() -> None:
        assert account.ready in (False, True) and account.reconciliations >= 0
        assert repr(account) and iter(account).pending >= 0
        with suppress(AccountNotReady):
            assert account.snapshot().balances and account.balances  # the exchange trades between the two
        with suppress(AccountNotReady):
            account.wait_ready(LIMIT)

    return call


def stats(world: World) -> Call:
    return lambda: world.stream.stats()["messages"]


def look_at_stream(world: World) -> Call:
    return lambda: (repr(world.stream), world.stream.closed, world.stream.carrying(), world.stream.resume())


def observer(world: World) -> Call:
    recorder = world.recorder
    return lambda: (world.stream.remove_observer(recorder), world.stream.add_observer(recorder))


def emit(world: World) -> Call:
    return partial(world.stream.emit, kucoin_sync.Overflowed(("a topic",), 1))


def open_recorder(world: World) -> Call:
    return lambda: world.keep(world.record())


def close_recorder(world: World) -> Call:
    return world.keep(world.record()).close


def look_at_recorder(world: World) -> Call:
    return lambda: (world.recorder.stats(), world.recorder.dropped, repr(world.recorder))


METHODS = [
    subscribe,
    subscribe_with_callback,
    subscribe_the_same,
    on,
    unsubscribe,
    unsubscribe_all_of_it,
    close_subscription,
    leave_subscription,
    abandoned_generator,
    get,
    get_in_vain,
    look_at_subscription,
    odd_payload,
    open_tunnel,
    close_tunnel,
    open_book,
    close_book,
    read_book,
    look_at_book,
    wait_for_book,
    follow_book,
    open_account,
    close_account,
    look_at_account,
    stats,
    look_at_stream,
    observer,
    emit,
    open_recorder,
    close_recorder,
    look_at_recorder,
]


class Steps:
    """Calls functions between two steps of the package: each before its step, by number.

    As a finaliser's, a call's only frames are its own and, below, that of the step.
    """

    def __init__(self, calls: dict[int, Call]) -> None:
        self.calls = calls
        self.count = 0
        self.places: dict[tuple[CodeType, int], int] = {}  # the first step at each line of the package
        self.called = 0

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Trace frames of the package step by step."""
        if event == "call":
            name = frame.f_code.co_filename
            if not name.startswith(PACKAGE) or name.startswith(OUTSIDE):
                return None
            frame.f_trace_opcodes = True
        elif event == "opcode":
            self.count += 1
            self.places.setdefault((frame.f_code, frame.f_lineno), self.count)
            call = self.calls.get(self.count)
            if call is not None:
                sys.settrace(None)
                try:
                    call()
                finally:
                    self.called += 1
                    sys.settrace(self.trace)
        return self.trace

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count and call in here, on this thread."""
        sys.settrace(self.trace)
        try:
            yield
        finally:
            sys.settrace(None)


def bounded(call: Call) -> None:
    """Make a call on a thread of its own; where it does not end, fail with what it does."""
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)
        ended.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not ended.wait(LIMIT):
        frame = sys._current_frames()[thread.ident or 0]
        raise AssertionError(f"it hangs:\n{''.join(traceback.format_stack(frame))}")
    thread.join()
    for error in errors:
        raise error


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which something was caught that nothing should raise."""
    yield
    errors = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert not errors, [logging.Formatter().format(each) for each in errors]


@pytest.fixture
def server_options() -> dict[str, Any]:
    free = ServerLimits(
        topics_per_session=None, messages_per_10s=None, tunnels=None, sessions=None, requests_per_30s=None
    )
    return {"exchange": Demonstration(("BTC-USDT",), seed=0), "limits": free}


@pytest.fixture
def busy_server(server: KucoinServer) -> KucoinServer:
    server.run_exchange()
    return server


@pytest.fixture
def world(busy_server: KucoinServer, tmp_path: Path, feed: Feed) -> Iterator[World]:
    world = World(busy_server, tmp_path, feed)
    yield world
    bounded(world.close)


def steps_of(world: World, method: Prepare) -> list[int]:
    """Return the numbers of the steps in which a call first comes by each line of the package."""
    call, steps = method(world), Steps({})

    def run() -> None:
        with steps.watching():
            call()

    bounded(run)
    return sorted(steps.places.values())


def nest(world: World, outer: Prepare, inner: dict[int, Prepare]) -> int:
    """Make a call of one method, and inside it, before steps of these numbers, calls of others; return how many."""
    call = outer(world)
    steps = Steps({number: method(world) for number, method in inner.items()})

    def run() -> None:
        with steps.watching():
            call()

    bounded(run)
    return steps.called


def walk(world: World, outer: Prepare, rng: random.Random, together: int, times: int) -> None:
    """Nest each method in one, `together` of them at a time, `times` times."""
    places = steps_of(world, outer)
    for _ in range(times):
        inner = rng.sample(METHODS, len(METHODS))
        for start in range(0, len(inner), together):
            share = inner[start : start + together]
            nest(world, outer, dict(zip(rng.sample(places, min(len(places), len(share))), share, strict=False)))
        bounded(world.check)


@pytest.mark.parametrize("outer", spread(METHODS, 4), ids=lambda method: method.__name__)
def test_each_method_may_be_called_inside_each(world: World, rng: random.Random, outer: Prepare) -> None:
    """The world is on the classic feed, in a long run on the UTA feed, too."""
    walk(world, outer, rng, together=4, times=1)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("outer", METHODS, ids=lambda method: method.__name__)
def test_each_method_alone_may_be_called_inside_each(world: World, rng: random.Random, outer: Prepare) -> None:
    walk(world, outer, rng, together=1, times=2 if THOROUGH else 1)


# The same object, inside a call of its own: each returns calls of the methods of one fresh object.

#: How many calls are made inside one.
INSIDE = 10


def of_subscription(world: World) -> list[Call]:
    enough = INSIDE + 1  # for each call inside, and the one around them
    subscription = world.fresh(maxsize=enough, overflow="drop_oldest")
    for _ in range(enough + 2):
        world.publish(subscription)
    until(lambda: subscription.dropped == 2, "the messages have not come")

    def get() -> None:
        with suppress(TimeoutError, StreamClosed, kucoin_sync.SlowConsumer):
            subscription.get(timeout=0)

    def iterate() -> None:
        with suppress(TimeoutError, StreamClosed):
            next(iter(subscription))  # which waits for ever where none is left

    unsubscribe = partial(world.stream.unsubscribe, subscription)
    return [get, iterate, lambda: (subscription.pending, repr(subscription)), unsubscribe, subscription.close]


def of_tunnel(world: World) -> list[Call]:
    tunnel = world.keep(world.stream.tunnel(f"t{next(world.numbers)}"))
    topic = world.classic_topic()
    tunnel.subscribe(topic, timeout=LIMIT)

    def subscribe() -> None:
        with suppress(StreamClosed):
            tunnel.subscribe(world.classic_topic(), timeout=LIMIT)

    return [subscribe, lambda: tunnel.unsubscribe(topic), lambda: (tunnel.closed, repr(tunnel)), tunnel.close]


def of_book(world: World) -> list[Call]:
    book = world.keep(world.new_book())
    book.wait_ready(LIMIT)

    def wait() -> None:
        with suppress(BookNotReady, StreamClosed):
            book.wait_ready(LIMIT)

    def read() -> None:
        with suppress(BookNotReady):
            book.snapshot(3)

    return [wait, read, lambda: iter(book).pending, lambda: repr(book), book.close]


def of_recorder(world: World) -> list[Call]:
    recorder = world.keep(world.record())
    event = kucoin_sync.Connected("spot", False, 1, "a host")
    once = iter([event])

    def be_told() -> None:  # by the stream, so that nobody else calls it inside that
        for event in once:
            recorder.on_event(event)

    return [be_told, lambda: (recorder.stats(), repr(recorder)), recorder.close]


def of_redundant_stream(world: World) -> list[Call]:
    return of_stream(world, redundancy=2)


def of_stream(world: World, **options: Any) -> list[Call]:
    stream = world.keep(Stream(**world.server.stream_options, limits=FREE, **options))
    taken = stream.subscribe(world.topic(), timeout=LIMIT)

    def open_all() -> None:
        with suppress(StreamClosed):
            stream.subscribe(world.topic(), timeout=LIMIT)
            stream.tunnel(f"t{next(world.numbers)}")
            stream.book("BTC-USDT")

    return [open_all, taken.close, lambda: (stream.stats(), repr(stream)), stream.close]


@pytest.mark.parametrize(
    "of", spread([of_subscription, of_tunnel, of_book, of_recorder, of_stream, of_redundant_stream])
)
def test_each_method_may_be_called_inside_one_of_the_same_object(
    world: World, rng: random.Random, of: Callable[[World], list[Call]]
) -> None:
    for outer in range(len(of(world))):
        places = steps_of(world, lambda world, outer=outer: of(world)[outer])  # type: ignore[misc]
        for inner in range(len(of(world))):
            calls = of(world)
            steps = Steps(dict.fromkeys(rng.sample(places, min(INSIDE, len(places))), calls[inner]))

            def run(steps: Steps = steps, call: Call = calls[outer]) -> None:
                with steps.watching():
                    call()

            bounded(run)
        bounded(world.check)


# Other threads


class Visitor:
    """Makes calls between steps that some threads of the package take: those whose names begin like `thread`."""

    def __init__(self, thread: str, rng: random.Random) -> None:
        self.calls: deque[Call] = deque()
        self.ended: list[Call] = []  # those that have returned or raised
        self.errors: list[BaseException] = []
        self.thread = thread
        self.left = 0
        self._rng = rng

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Trace frames of the package step by step."""
        if event == "call":
            name = frame.f_code.co_filename
            if not name.startswith(PACKAGE) or name.startswith(OUTSIDE):
                return None
            frame.f_trace_opcodes = True
        elif event == "opcode":
            self.left -= 1
            if self.left < 0 and self.calls and threading.current_thread().name.startswith(self.thread):
                self.left = self._rng.randrange(2000)
                self.visit()
        return self.trace

    def visit(self) -> None:
        """Make the next call."""
        sys.settrace(None)
        try:
            try:
                call = self.calls.popleft()
            except IndexError:
                return  # another thread of that name was faster
            try:
                call()
            except BaseException as error:
                self.errors.append(error)
            self.ended.append(call)
        finally:
            sys.settrace(self.trace)


#: How the names of the package's threads begin.
THREADS = ("kucoin-io", "kucoin-callbacks", "kucoin-books", "kucoin-snapshots", "kucoin-recorder")


def visit_threads(server: KucoinServer, folder: Path, rng: random.Random, thread: str, times: int) -> None:
    """Make each call inside a thread of a stream, while it does what it ever does."""
    visitor = Visitor(thread, rng)
    threading.settrace(visitor.trace)
    try:
        world = World(server, folder)
        slow = world.stream.subscribe(world.topic(), maxsize=1, timeout=LIMIT)
        called = world.stream.subscribe(slow.topics[0], callback=id, timeout=LIMIT)
        inline = world.stream.subscribe(slow.topics[0], callback=id, inline=True, timeout=LIMIT)
        visit_each(visitor, world, slow, rng, times)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    for error in visitor.errors:
        raise error
    world.opened += [slow, called, inline]
    bounded(world.check)
    bounded(world.close)


def visit_each(visitor: Visitor, world: World, slow: Subscription[Any], rng: random.Random, times: int) -> None:
    """Make each call inside the threads."""
    for _ in range(times):
        calls = [method(world) for method in rng.sample(METHODS, len(METHODS))]
        visitor.ended.clear()
        visitor.calls.extend(calls)
        if visitor.thread == "kucoin-io":
            world.server.drop_connections()

        def all_made(calls: list[Call] = calls) -> bool:
            if visitor.thread == "kucoin-snapshots":
                world.new_book().wait_ready(LIMIT).close()
            for topic in (*world.subscription.topics, *slow.topics):
                world.server.publish(topic, {"price": "1"})
            return len(visitor.ended) == len(calls)

        until(all_made, f"{visitor.thread} makes no calls any more")


@pytest.mark.parametrize("thread", spread(THREADS, 3))
def test_each_method_may_be_called_inside_the_threads(
    busy_server: KucoinServer, tmp_path: Path, rng: random.Random, thread: str
) -> None:
    visit_threads(busy_server, tmp_path, rng, thread, times=1)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("thread", THREADS)
def test_each_method_may_be_called_often_inside_the_threads(
    busy_server: KucoinServer, tmp_path: Path, rng: random.Random, thread: str
) -> None:
    visit_threads(busy_server, tmp_path, rng, thread, times=5 if THOROUGH else 2)


# Where the package calls code of users


def in_a_callback(world: World, call: Call) -> None:
    subscription = world.keep(world.stream.subscribe(world.topic(), callback=lambda _: call(), timeout=LIMIT))
    world.publish(subscription)


def in_an_inline_callback(world: World, call: Call) -> None:
    topic = world.topic()
    subscription = world.keep(world.stream.subscribe(topic, callback=lambda _: call(), inline=True, timeout=LIMIT))
    world.publish(subscription)


def in_on_change(world: World, call: Call) -> None:
    once = iter([call])
    world.keep(world.new_book(on_change=lambda _: next(once, int)()))


def in_on_event(world: World, call: Call) -> None:
    world.on_event.append(call)
    world.stream.emit(kucoin_sync.Overflowed(("a topic",), 1))


def in_a_log_handler(world: World, call: Call) -> None:
    """On the I/O thread, which logs that a queue is full."""
    subscription = world.fresh(maxsize=1)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "slow consumer" in record.getMessage():
                logger.removeHandler(self)
                call()

    logger = logging.getLogger("kucoin_sync")
    logger.addHandler(Handler())
    for _ in range(2):
        world.publish(subscription)


def in_a_finaliser(world: World, call: Call) -> None:
    """On whichever thread collects garbage next."""

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            call()

    Garbage()


SEAMS = [in_a_callback, in_an_inline_callback, in_on_change, in_on_event, in_a_log_handler, in_a_finaliser]


@pytest.mark.parametrize("seam", spread(SEAMS))
def test_each_method_may_be_called_where_the_package_calls_users(
    world: World, seam: Callable[[World, Call], None]
) -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for method in METHODS:
            call = method(world)
            errors: list[BaseException] = []
            done = threading.Event()

            def once(call: Call = call, errors: list[BaseException] = errors, done: threading.Event = done) -> None:
                if not done.is_set():
                    try:
                        call()
                    except BaseException as raised:
                        errors.append(raised)
                    done.set()

            bounded(partial(seam, world, once))
            reached(done, f"{method.__name__} does not end {seam.__name__}")
            for error in errors:
                raise error
    finally:
        gc.set_threshold(*thresholds)
    bounded(world.check)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals")
def test_each_method_may_be_called_by_a_signals_handler(world: World, rng: random.Random) -> None:
    """On the main thread, where nothing may hang: the handler comes between two steps of another method."""
    calls: list[Call] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: calls.pop()())
    try:
        for method in METHODS:
            outer = rng.choice([subscribe, close_subscription, open_book, stats])
            places = steps_of(world, outer)
            call = outer(world)
            calls.append(method(world))
            with Steps(
                {rng.choice(places[: len(places) // 2]): partial(signal.raise_signal, signal.SIGUSR1)}
            ).watching():
                call()
            assert not calls, "no signal came"
    finally:
        signal.signal(signal.SIGUSR1, before)
    bounded(world.check)


def test_a_wait_without_an_end_inside_another_call_ends(world: World) -> None:
    subscription = world.fresh()

    def wait() -> None:
        for take in (subscription.get, lambda: next(iter(subscription)), lambda: next(subscription)):
            with pytest.raises(TimeoutError, match="a call from inside another one does not wait for ever"):
                take()

    steps = Steps({10: wait})

    def run() -> None:
        with steps.watching():
            world.stream.stats()

    bounded(run)
    assert steps.called == 1


@pytest.mark.parametrize("seam", [in_a_callback, in_on_change, in_on_event])
def test_a_callback_is_told_at_once_what_kucoin_refuses(world: World, seam: Callable[[World, Call], None]) -> None:
    """It holds up nobody, so that it may wait."""
    refused = f"{world.feed.ticker}:NO-USDT"
    world.server.reject_next(topic=refused)
    told: list[BaseException] = []
    done = threading.Event()

    def subscribe() -> None:
        try:
            world.stream.subscribe(refused, timeout=LIMIT)
        except kucoin_sync.SubscriptionRejected as error:
            told.append(error)
        done.set()

    seam(world, subscribe)
    reached(done, "nothing was called")
    assert told


FUTURES = "/contractMarket/tickerV2:XBTUSDTM"
#: Waits without a limit for what the thread of the topic `ETH` brings.
OWN_WAITS: dict[str, Callable[[Stream], object]] = {
    "book": lambda stream: stream.book("BTC-USDT").wait_ready(),
    "reading a book": lambda stream: stream.book("BTC-USDT").snapshot(timeout=None),
    "changes": lambda stream: next(iter(stream.book("BTC-USDT"))),
    "get": lambda stream: stream.subscribe(MATCH).get(),
    "loop": lambda stream: next(iter(stream.subscribe(MATCH))),
    "last": lambda stream: stream.last(MATCH, None),
}


@pytest.mark.parametrize("wait", OWN_WAITS)
def test_an_inline_callback_does_not_wait_for_ever_for_what_its_own_thread_brings(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    monkeypatch.setattr(subscription_module, "SHORT_WAIT", 0.01)
    monkeypatch.setattr(locks, "SHORT_WAIT", 0.01)
    stream, raised = make_stream(), SimpleQueue[BaseException]()

    def callback(_: Message) -> None:
        try:
            OWN_WAITS[wait](stream)
        except (BookNotReady, TimeoutError) as error:
            raised.put(error)

    stream.subscribe(ETH, callback=callback, inline=True)
    publish(server, [1])
    raised.get(timeout=LIMIT)


def test_an_inline_callback_may_wait_for_what_another_thread_brings(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_module, "SHORT_WAIT", 0.01)
    stream, got, asked = make_stream(), SimpleQueue[Any](), threading.Event()
    brings = ConnectionGroups.brings

    def ask(*args: Any) -> bool:
        answer = brings(*args)
        asked.set()
        return answer

    monkeypatch.setattr(ConnectionGroups, "brings", ask)
    other = stream.subscribe(FUTURES)

    def callback(_: Message) -> None:
        with suppress(TimeoutError):
            got.put(other.get())

    stream.subscribe(ETH, callback=callback, inline=True)
    publish(server, [1])
    reached(asked, "the callback does not wait")
    publish(server, [2], FUTURES)
    assert got.get(timeout=LIMIT).topic == FUTURES
