"""The end: from any thread, in any state, by a signal. It comes within a second and leaves nothing behind."""

from __future__ import annotations

import json
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

from ..support.children import script
from ..support.processes import HEAR
from ..support.selection import first
from ..support.streams import Events, MakeStream
from ..support.threads import LIMIT, Task, reached, until
from .feed import Feed, at_best, on_both, publish, seconds_of

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


@on_both("state", STATES, [state for state in STATES if "token" not in state and "told" not in state])
def test_close_ends_a_waiting_subscribe_in_every_state_within_a_second(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, state: str, feed: Feed
) -> None:
    STATES[state](server, proxy)

    def seconds() -> float:
        requests, accepted, events = len(server.requests), proxy.accepted, Events()
        stream = make_stream(on_event=events)
        waiting = Task(stream.subscribe, feed.eth, timeout=LIMIT)
        if "wait" in state:
            events.wait(Event)  # that it will retry
        elif feed.is_uta:
            proxy.wait_for(lambda proxy: proxy.accepted > accepted)
        else:
            server.wait_for(lambda s: len(s.requests) > requests, what="the token request")
        taken = seconds_of(stream.close)
        with pytest.raises(StreamClosed, match=r"closed while|is closed"):
            waiting.result()
        assert not ours()
        return taken

    assert at_best(1.0, seconds) <= 1.0


def test_close_from_50_threads_ends_every_wait_within_a_second(
    server: KucoinServer, make_stream: MakeStream, feed: Feed
) -> None:
    def seconds() -> float:
        stream = make_stream()
        subscription, silent = stream.subscribe(feed.eth), stream.subscribe(feed.match)
        publish(server, range(10), feed.eth)
        until(lambda: subscription.pending == 10, "the messages did not come")
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
            stream.subscribe(feed.eth)
        return taken

    assert at_best(1.0, seconds) <= 1.0


@on_both("inline", [False, True])
def test_close_may_be_called_from_a_callback(
    server: KucoinServer, make_stream: MakeStream, inline: bool, feed: Feed
) -> None:
    def seconds() -> float:
        stream, closed, taken = make_stream(), threading.Event(), []

        def callback(message: Message) -> None:
            taken.append(seconds_of(stream.close))
            closed.set()

        stream.subscribe(feed.eth, callback=callback, inline=inline)
        idle = stream.subscribe(feed.match)
        publish(server, [1], feed.eth)
        reached(closed, "close has not returned")
        assert list(idle) == []
        stream.close()
        assert not ours()
        return taken[0]

    assert at_best(1.0, seconds) <= 1.0


def test_close_may_be_called_from_on_event(server: KucoinServer, make_stream: MakeStream, feed: Feed) -> None:
    closed = threading.Event()

    def on_event(_: object) -> None:
        made.close()
        closed.set()

    made = make_stream(on_event=on_event)
    made.subscribe(feed.eth, timeout=0)
    reached(closed, "close has not returned")
    with pytest.raises(StreamClosed):
        made.subscribe(feed.match)
    made.close()
    assert not ours()


@on_both("overflow", ["raise", "latest"])
def test_close_while_messages_pour_in_ends_within_a_second(
    server: KucoinServer, make_stream: MakeStream, overflow: str, feed: Feed
) -> None:
    def seconds() -> float:
        stream = make_stream()
        subscription = stream.subscribe(feed.eth, maxsize=100_000, overflow=overflow)
        stop = threading.Event()

        def pour() -> None:
            while not stop.is_set():
                publish(server, range(1000), feed.eth)

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
INTERRUPTED: dict[str, tuple[type, str, Callable[[Feed, Stream, Subscription], object]]] = {
    "subscribe": (
        SubscriptionManager,
        "_make",
        lambda feed, stream, taking: stream.subscribe(feed.private, timeout=LIMIT),
    ),
    "unsubscribe": (ConnectionGroup, "remove", lambda feed, stream, taking: stream.unsubscribe(feed.eth)),
    "stats": (TopicAssignment, "__len__", lambda feed, stream, taking: stream.stats()),
    "get": (MessageQueue, "_with_missing", lambda feed, stream, taking: [taking.get(timeout=LIMIT) for _ in range(3)]),
    "book": (BookManager, "_start", lambda feed, stream, taking: stream.book("ETH-USDT", feed=feed.name).wait_ready(1)),
}


@on_both("method", INTERRUPTED)
def test_a_signals_handler_may_close_the_stream_whatever_it_interrupts(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, method: str, feed: Feed
) -> None:
    stream = make_stream()
    taking = stream.subscribe(feed.eth, maxsize=2, overflow="drop_oldest")
    publish(server, range(4), feed.eth)
    stream.subscribe(feed.btc).close()  # after which all that was published has come
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
            call(feed, stream, taking)
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
    import json, signal, sys, threading
    from kucoin_sync import Stream

    options, waiting, topic, feed = json.loads(sys.argv[1]), *sys.argv[2:]

    def say_when_main_waits():
        looks = [None, None]
        while looks[-1] is None or looks[-1] != looks[-2] or looks[-1][0] != "wait":
            threading.Event().wait(0.02)
            frame = sys._current_frames()[threading.main_thread().ident]
            looks.append((frame.f_code.co_name, frame.f_lasti))
        print("ready", flush=True)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with Stream(**options) as stream:
        subscription = None
        if waiting != "subscribe":
            subscription = stream.subscribe(topic)
        assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
        book = stream.book("ETH-USDT", feed=feed) if waiting == "wait_ready" else None
        try:
            watch = threading.Thread(target=say_when_main_waits)
            watch.start()
            if book is not None:
                book.wait_ready(timeout=None)
            elif subscription is None:
                stream.subscribe(topic, timeout=None)
            elif waiting == "get":
                subscription.get()
            else:
                for message in subscription:
                    pass
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    watch.join()
    print([thread.name for thread in threading.enumerate()], flush=True)
"""


@pytest.mark.parametrize("number", first(signal.SIGINT, signal.SIGTERM))
@on_both("waiting", ["for", "get", "subscribe", "wait_ready"])
def test_a_signal_ends_every_wait_within_a_second_and_no_handler_is_installed(
    server: KucoinServer, waiting: str, number: int, feed: Feed
) -> None:
    server.fail_rest("/api/*/market/orderbook/*", hang=True, times=None)
    options = server.uta_urls if feed.is_uta else {"rest_url": server.rest_url}

    def seconds() -> float:
        if waiting == "subscribe":
            server.withhold_acks(1)
        commands = len(server.received)
        with script(SCRIPT, json.dumps(options), waiting, feed.eth, feed.name, before=HEAR) as process:
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
