"""The end: from any thread, in any state, by a signal. It comes within a second and leaves nothing behind."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from kucoin_sync import Event, Message, Stream, StreamClosed, Subscription
from kucoin_sync.books.manager import BookManager
from kucoin_sync.connections.group import ConnectionGroup
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.connections.topic_assignment import TopicAssignment
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..end_to_end.conftest import Events
from ..support.children import script
from ..support.processes import HEAR
from ..support.threads import LIMIT, Task, reached
from .conftest import MakeStream
from .feed import ETH, MATCH, at_best, publish, seconds_of

TOKENS = "/api/v1/bullet-*"


def ours() -> list[str]:
    """Return the names of the threads of streams that are alive."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("kucoin-io", "kucoin-callbacks"))]


STATES: dict[str, Callable[[KucoinServer, FaultProxy], object]] = {
    "token request unanswered": lambda server, proxy: server.fail_rest(TOKENS, hang=True, times=None),
    "handshake unanswered": lambda server, proxy: server.hang_handshake(),
    "handshake in a black hole": lambda server, proxy: proxy.to_client.hold(),
    "no welcome": lambda server, proxy: server.no_welcome(),
    "no ack": lambda server, proxy: server.mute(ack=True),
    "token refused, waiting to retry": lambda server, proxy: server.fail_rest(TOKENS, 500, "500000", times=None),
    "told to wait for an hour": lambda server, proxy: server.fail_rest(
        TOKENS, 429, headers={"Retry-After": "3600"}, times=None
    ),
    "server gone, waiting to retry": lambda server, proxy: server.stop(),
    "connection cut, waiting to retry": lambda server, proxy: proxy.to_client.reset_after(150),
}


@pytest.mark.parametrize("state", STATES)
def test_close_ends_a_waiting_subscribe_in_every_state_within_a_second(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, state: str
) -> None:
    STATES[state](server, proxy)

    def seconds() -> float:
        requests, events = len(server.requests), Events()
        stream = make_stream(on_event=events)
        waiting = Task(stream.subscribe, ETH, timeout=LIMIT)
        if "wait" in state:
            events.wait(Event)  # that it will retry
        else:
            server.wait_for(lambda s: len(s.requests) > requests, what="the token request")
        taken = seconds_of(stream.close)
        with pytest.raises(StreamClosed, match=r"closed while|is closed"):
            waiting.result()
        assert not ours()
        return taken

    assert at_best(1.0, seconds) <= 1.0


def test_close_from_50_threads_ends_every_wait_within_a_second(server: KucoinServer, make_stream: MakeStream) -> None:
    def seconds() -> float:
        stream = make_stream()
        subscription, silent = stream.subscribe(ETH), stream.subscribe(MATCH)
        publish(server, range(10))
        iterating = Task(list, silent)
        getting = Task(silent.get)
        began = time.monotonic()
        closing = [Task(stream.close) for _ in range(50)]
        for one in closing:
            one.result()
        taken = time.monotonic() - began
        assert iterating.result() == []
        with pytest.raises(StreamClosed):
            getting.result()
        assert len(list(subscription)) == 10, "what was received is still there"
        assert not ours()
        stream.close()
        with pytest.raises(StreamClosed, match="make a new one"):
            stream.subscribe(ETH)
        return taken

    assert at_best(1.0, seconds) <= 1.0


@pytest.mark.parametrize("inline", [False, True])
def test_close_may_be_called_from_a_callback(server: KucoinServer, make_stream: MakeStream, inline: bool) -> None:
    def seconds() -> float:
        stream, closed, taken = make_stream(), threading.Event(), []

        def callback(message: Message) -> None:
            taken.append(seconds_of(stream.close))
            closed.set()

        stream.subscribe(ETH, callback=callback, inline=inline)
        idle = stream.subscribe(MATCH)
        publish(server, [1])
        reached(closed, "close has not returned")
        assert list(idle) == []
        stream.close()
        assert not ours()
        return taken[0]

    assert at_best(1.0, seconds) <= 1.0


def test_close_may_be_called_from_on_event(server: KucoinServer, make_stream: MakeStream) -> None:
    closed = threading.Event()

    def on_event(_: object) -> None:
        made.close()
        closed.set()

    made = make_stream(on_event=on_event)
    made.subscribe(ETH, timeout=0)
    reached(closed, "close has not returned")
    with pytest.raises(StreamClosed):
        made.subscribe(MATCH)
    made.close()
    assert not ours()


@pytest.mark.parametrize("overflow", ["raise", "latest"])
def test_close_while_messages_pour_in_ends_within_a_second(
    server: KucoinServer, make_stream: MakeStream, overflow: str
) -> None:
    def seconds() -> float:
        stream = make_stream()
        subscription = stream.subscribe(ETH, maxsize=100_000, overflow=overflow)
        stop = threading.Event()

        def pour() -> None:
            while not stop.is_set():
                publish(server, range(1000))

        pouring = Task(pour)
        subscription.get(timeout=10)
        taken = seconds_of(stream.close)
        stop.set()
        pouring.result()
        assert len(list(subscription)) >= 0
        assert not ours()
        return taken

    assert at_best(1.0, seconds) <= 1.0


# Signals

# Where a signal may interrupt a method of the stream that holds a lock: a function called there, and the method.
INTERRUPTED: dict[str, tuple[type, str, Callable[[Stream, Subscription], object]]] = {
    "subscribe": (
        SubscriptionManager,
        "_make",
        lambda stream, taking: stream.subscribe(MATCH, private=True, timeout=LIMIT),
    ),
    "unsubscribe": (ConnectionGroup, "remove", lambda stream, taking: stream.unsubscribe(ETH)),
    "stats": (TopicAssignment, "__len__", lambda stream, taking: stream.stats()),
    "get": (MessageQueue, "_with_missing", lambda stream, taking: [taking.get(timeout=LIMIT) for _ in range(3)]),
    "book": (BookManager, "_start", lambda stream, taking: stream.book("ETH-USDT").wait_ready(LIMIT)),
}


@pytest.mark.parametrize("method", INTERRUPTED)
def test_a_signals_handler_may_close_the_stream_whatever_it_interrupts(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    stream = make_stream()
    taking = stream.subscribe(ETH, maxsize=2, overflow="drop_oldest")
    publish(server, range(4))
    stream.subscribe("/market/ticker:BTC-USDT").close()  # after which all that was published has come
    before = signal.signal(signal.SIGUSR1, lambda *_: stream.close())
    owner, name, call = INTERRUPTED[method]
    usual = getattr(owner, name)

    def interrupt(*args: object, **options: object) -> object:
        monkeypatch.setattr(owner, name, usual)
        signal.raise_signal(signal.SIGUSR1)
        return usual(*args, **options)

    try:
        monkeypatch.setattr(owner, name, interrupt)
        with suppress(StreamClosed, TimeoutError):
            call(stream, taking)
        assert getattr(owner, name) is usual, "it was interrupted"
    finally:
        signal.signal(signal.SIGUSR1, before)
    stream.close()
    for thread in threading.enumerate():
        if thread.name == "kucoin-closing":
            thread.join(LIMIT)
    assert not ours()
    assert stream.closed


SCRIPT = """
    import signal, sys, threading
    from kucoin_sync import Stream

    def say_when_main_waits():
        looks = [None, None]
        while looks[-1] is None or looks[-1] != looks[-2] or looks[-1][0] != "wait":
            threading.Event().wait(0.02)
            frame = sys._current_frames()[threading.main_thread().ident]
            looks.append((frame.f_code.co_name, frame.f_lasti))
        print("ready", flush=True)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with Stream(rest_url=sys.argv[1]) as stream:
        subscription = None
        if sys.argv[2] != "subscribe":
            subscription = stream.subscribe("/market/ticker:ETH-USDT")
        assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
        book = stream.book("ETH-USDT") if sys.argv[2] == "wait_ready" else None
        try:
            watch = threading.Thread(target=say_when_main_waits)
            watch.start()
            if book is not None:
                book.wait_ready(timeout=None)
            elif subscription is None:
                stream.subscribe("/market/ticker:ETH-USDT", timeout=None)
            elif sys.argv[2] == "get":
                subscription.get()
            else:
                for message in subscription:
                    pass
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    watch.join()
    print([thread.name for thread in threading.enumerate()], flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("waiting", ["for", "get", "subscribe", "wait_ready"])
def test_a_signal_ends_every_wait_within_a_second_and_no_handler_is_installed(
    server: KucoinServer, waiting: str, number: int
) -> None:
    if waiting == "wait_ready" and not hasattr(Stream, "book"):
        pytest.skip("this version has no local books")
    server.fail_rest("/api/*/market/orderbook/*", hang=True, times=None)

    def seconds() -> float:
        if waiting == "subscribe":
            server.withhold_acks(1)
        commands = len(server.received)
        with script(SCRIPT, server.rest_url, waiting, before=HEAR) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            server.wait_for(lambda s: len(s.received) > commands, timeout=10)
            process.send_signal(number)
            began = time.monotonic()
            said, _ = process.communicate(timeout=LIMIT)
            taken = time.monotonic() - began
        if number == signal.SIGINT:
            assert said == "interrupted\n['MainThread']\n"
            assert process.returncode == 0
        else:
            assert said == ""
            assert process.returncode == -signal.SIGTERM, "as the system does it"
        return taken

    assert at_best(1.0, seconds) <= 1.0
