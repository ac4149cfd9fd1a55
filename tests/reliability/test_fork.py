"""Forked children stream on their own; their parent is not disturbed. Each child says over a pipe what it sees."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from kucoin_sync import (
    BookNotReady,
    BookReady,
    Connected,
    Disconnected,
    Limits,
    LocalBook,
    Stale,
    Stream,
    StreamClosed,
    Subscription,
)
from kucoin_sync.internal import signals
from kucoin_sync.net.rest import Rest
from kucoin_sync.protocol.dialect import Dialect, Server
from kucoin_sync.testing import FaultProxy, KucoinServer, local_kucoin

from ..support.certificates import client_context, server_context
from ..support.forks import Child, child, client_sockets, unix_sockets, unwarned
from ..support.selection import examples
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import LIMIT, Task, reached, until
from .feed import ETH, MATCH, Feed, numbers, on_both, publish, pushed, read

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

Say = Callable[[Any], None]
FAST = Limits(connections_per_minute=100_000, snapshots_per_30s=100_000)


def undisturbed(server: KucoinServer, events: Events) -> None:
    """Check that the parent's connection, the first, was neither closed nor made again."""
    assert not [event for event in events.all if isinstance(event, Disconnected)]
    assert len([event for event in events.all if isinstance(event, Connected)]) == 1
    assert server.connections[0] not in server.ended


def ended(server: KucoinServer, count: int = 1) -> None:
    """Wait until the children's connections have ended, at the server, too."""
    server.wait_for(lambda s: len(s.ended) >= count and len(s.connections) == 1)


ENDS = {"returns": None, "sys.exit": sys.exit, "os._exit": os._exit, "close": "close"}


@on_both("secure, how", [(secure, how) for how in ENDS for secure in (False, True)])
def test_a_forked_child_streams_by_itself_and_the_parent_goes_on_undisturbed(
    make_server: MakeServer, make_stream: MakeStream, events: Events, secure: bool, how: str, feed: Feed
) -> None:
    end: Any = ENDS[how]
    server = make_server(tls=server_context()) if secure else make_server()
    stream = make_stream(server, limits=FAST, ssl_context=client_context() if secure else None)
    subscription = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    assert read(subscription, 1) == [(1, 1)]

    def run() -> None:
        if read(subscription, 2) != [(2, 2), (3, 2)]:
            os._exit(3)
        if end == "close":
            stream.close()
        elif end is not None:
            end(0)

    context = multiprocessing.get_context("fork")
    process = context.Process(target=run)
    with unwarned():
        process.start()
    try:
        server.wait_subscribed(feed.eth, 2)
        publish(server, [2, 3], feed.eth)
        process.join(LIMIT)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
        process.close()
    ended(server)
    assert read(subscription, 2) == [(2, 1), (3, 1)]
    assert not stream.subscribe(feed.match).closed, "the connection carries what we send, too"
    undisturbed(server, events)


@on_both("overflow", ["raise", "drop_oldest", "drop_newest", "latest"], ["raise", "drop_oldest", "drop_newest"])
def test_what_waits_in_the_parent_stays_there(
    server: KucoinServer, make_stream: MakeStream, events: Events, overflow: str, feed: Feed
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(feed.eth, maxsize=2, overflow=overflow)
    publish(server, range(3), feed.eth)
    server.publish(feed.eth, {**pushed(feed.eth, {"n": "3"}).data}, None if feed.is_uta else "another subject")
    while stream.stats()["messages"] < 4 or len(subscription.message_queue) < 2:
        with pytest.raises(TimeoutError):
            stream.subscribe(feed.match).get(timeout=0.01)
    dropped = subscription.dropped
    assert dropped > 0

    def look(say: Say) -> None:
        say((subscription.dropped, subscription.pending))
        message = subscription.get(timeout=LIMIT)
        say((message.data["n"], message.epoch, message.lost, subscription.dropped))

    with child(look) as forked:
        assert forked.hear() == (0, 0)
        server.wait_subscribed(feed.eth, 2)
        publish(server, [7], feed.eth)
        assert forked.hear() == ("00000007", 2, 0, 0)
    assert subscription.dropped >= dropped
    assert subscription.get(timeout=LIMIT).epoch == 1
    undisturbed(server, events)


def test_a_loop_goes_on_in_the_child_with_fresh_messages(
    server: KucoinServer, make_stream: MakeStream, feed: Feed
) -> None:
    subscription = make_stream(limits=FAST).subscribe(feed.eth)
    publish(server, range(3), feed.eth)
    loop = iter(subscription)
    assert next(loop).epoch == 1

    def go_on(say: Say) -> None:
        say([(message.data["n"], message.epoch) for message in [next(loop), next(loop)]])

    with child(go_on) as forked:
        server.wait_subscribed(feed.eth, 2)
        publish(server, [8, 9], feed.eth)
        assert forked.hear() == [("00000008", 2), ("00000009", 2)]
    assert [next(loop).data["n"] for _ in range(4)] == [f"{number:08}" for number in (1, 2, 8, 9)]


def test_a_child_that_never_uses_a_stream_has_no_thread_and_no_socket_of_it(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    before = unix_sockets()
    stream = make_stream()
    subscription = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]
    ports = server.address[1], proxy.address[1]
    assert client_sockets(ports[1]) > 0

    def look(say: Say) -> None:
        repr(stream), repr(subscription), stream.stats(), subscription.dropped
        # What is connected to the server is the proxy's, which is in this process, too.
        say((threading.active_count(), client_sockets(ports[1]), unix_sockets() - before))
        counted = {"messages", "bytes", "connects", "connections", "pending", "dropped"}
        say({name: number for name, number in stream.stats().items() if name in counted and number})

    with child(look) as forked:
        assert forked.hear() == (1, 0, 0)
        assert forked.hear() == {}
    assert len(server.handshakes) == 1
    undisturbed(server, events)


def test_a_child_that_has_closed_its_stream_has_no_thread_and_no_socket_of_it(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    before = unix_sockets()
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(feed.eth)

    def look(say: Say) -> None:
        subscription.get(timeout=LIMIT)
        stream.close()
        say((threading.active_count(), client_sockets(proxy.address[1]), unix_sockets() - before))

    threads = threading.active_count()
    with child(look) as forked:
        server.wait_subscribed(feed.eth, 2)
        publish(server, [1], feed.eth)
        assert forked.hear() == (1, 0, 0)
    ended(server)
    assert numbers(subscription, 1) == [1]
    until(lambda: threading.active_count() <= threads, "a thread that served the child has not ended")
    undisturbed(server, events)


@contextmanager
def unreachable() -> Iterator[None]:
    """Let no token come meanwhile, so that nothing is connected however slow this thread is."""
    over, fetch = threading.Event(), Rest.servers

    def wait_and_fetch(rest: Rest, dialect: Dialect, market: str, *, private: bool) -> tuple[Server, ...]:
        over.wait(LIMIT)
        return fetch(rest, dialect, market, private=private)

    with patch.object(Rest, "servers", wait_and_fetch):
        yield
        over.set()


def failing(error: type[Exception], call: Callable[[], object], match: str | None = None) -> None:
    """Call something that raises."""
    with pytest.raises(error, match=match):
        call()


USES: dict[str, Callable[[Feed, Stream, Subscription[Any]], object]] = {
    "get": lambda feed, stream, subscription: subscription.get(timeout=LIMIT),
    "get without waiting": lambda feed, stream, subscription: failing(
        TimeoutError, lambda: subscription.get(timeout=0)
    ),
    "for": lambda feed, stream, subscription: next(iter(subscription)),
    "next": lambda feed, stream, subscription: next(subscription),
    "pending": lambda feed, stream, subscription: subscription.pending,
    "subscribe": lambda feed, stream, subscription: stream.subscribe(feed.match),
    "on": lambda feed, stream, subscription: stream.on(feed.match)(print),
    "a tunnel": lambda feed, stream, subscription: stream.tunnel("new").subscribe(feed.match),
    "book": lambda feed, stream, subscription: stream.book("BTC-USDT", feed=feed.name),
    "resume": lambda feed, stream, subscription: stream.resume(),
}


@on_both("use", USES, [use for use in USES if use != "a tunnel"])
def test_the_first_use_of_whatever_kind_makes_the_child_want_all_that_its_parent_wanted(
    server: KucoinServer, make_stream: MakeStream, use: str, feed: Feed
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(feed.eth)
    other = stream.subscribe(feed.btc, feed.futures)

    def do(say: Say) -> None:
        USES[use](feed, stream, subscription)
        assert other.message_queue.wait(LIMIT), (
            "nothing came, though nobody asked for it"
        )  # a wait that is itself no use
        say([message.topic for message in (other.get(timeout=LIMIT), other.get(timeout=LIMIT))])

    with child(do) as forked:
        server.wait_subscribed(feed.eth, 2)
        publish(server, [1], feed.eth)
        for topic in other.topics:
            server.wait_subscribed(topic, 2)
            publish(server, [1], topic)
        assert sorted(forked.hear()) == sorted(other.topics)


def test_private_topics_and_tunnels_are_wanted_again(
    make_server: MakeServer, make_stream: MakeStream, events: Events
) -> None:
    server = make_server()
    stream = make_stream(server, limits=Limits(connections_per_minute=1000, topics_per_connection=9))
    balance = stream.subscribe("/account/balance")
    stream.subscribe(*(f"/market/ticker:A{number}-USDT" for number in range(3)))
    tunnels = [stream.tunnel(name) for name in ("one", "two")]
    inside = [tunnel.subscribe(topic) for tunnel in tunnels for topic in (ETH, MATCH, "/market/ticker:BTC-USDT")]

    def look(say: Say) -> None:
        stream.resume()
        message = balance.get(timeout=LIMIT)
        say((message.topic, message.data["n"]))
        say([(each.get(timeout=LIMIT).tunnel_id, each.topics[0]) for each in inside])
        tunnels[0].close()
        say([each.closed for each in inside])

    with child(look) as forked:
        server.wait_subscribed("/account/balance", 2)
        server.publish("/account/balance", {"n": "1"}, user=server.USER)
        assert forked.hear() == ("/account/balance", "1")
        for subscription in inside:
            server.wait_subscribed(subscription.topics[0], 4)
        for topic in (ETH, MATCH, "/market/ticker:BTC-USDT"):
            server.publish(topic, {"n": "1"})
        assert forked.hear() == [
            (name, each.topics[0]) for name, each in zip(["one"] * 3 + ["two"] * 3, inside, strict=True)
        ]
        assert forked.hear() == [True] * 3 + [False] * 3
    assert [each.get(timeout=LIMIT).tunnel_id for each in inside] == ["one"] * 3 + ["two"] * 3
    assert not [event for event in events.all if isinstance(event, Disconnected)]


def test_a_private_topic_is_the_childs_own(
    server: KucoinServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(feed.private)

    def look(say: Say) -> None:
        stream.resume()
        say(read(subscription, 1))

    with child(look) as forked:
        server.wait_subscribed(feed.private, 2)
        server.publish(feed.private, {"n": "1"}, user=server.USER)
        assert forked.hear() == [(1, 2)]
    assert read(subscription, 1) == [(1, 1)]
    undisturbed(server, events)


def test_callbacks_run_in_the_child_from_its_first_use_on(
    server: KucoinServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    stream = make_stream(limits=FAST)
    came, changed = [], threading.Condition()

    def note(message: Any) -> None:
        with changed:
            came.append((os.getpid(), threading.current_thread().name, message.epoch))
            changed.notify_all()

    stream.subscribe(feed.eth, callback=note)
    stream.subscribe(feed.eth, callback=note, inline=True)

    def both() -> list[Any]:
        with changed:
            assert changed.wait_for(lambda: len(came) >= 2, LIMIT)
            return [(pid == os.getpid(), name.rstrip("0123456789"), epoch) for pid, name, epoch in came]

    def look(say: Say) -> None:
        say(came)
        stream.resume()
        say(sorted(both()))

    with child(look) as forked:
        assert forked.hear() == []
        server.wait_subscribed(feed.eth, 2)
        publish(server, [1], feed.eth)
        assert forked.hear() == [(True, "kucoin-callbacks", 2), (True, "kucoin-io-", 2)]
    assert sorted(both()) == [(True, "kucoin-callbacks", 1), (True, "kucoin-io-", 1)]
    undisturbed(server, events)


def test_on_event_hears_in_the_child_what_becomes_of_its_own_connection_only(
    server: KucoinServer, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    stream = make_stream(limits=FAST)
    stream.subscribe(feed.eth, stale_after=0.3)
    events.wait(Connected)

    def look(say: Say) -> None:
        events.all.clear()
        stream.resume()
        say(events.wait(Connected).epoch)
        events.wait(Stale)
        say(len([event for event in events.all if isinstance(event, Connected | Disconnected)]))

    with child(look) as forked:
        assert forked.hear() == 2
        assert forked.hear() == 1
    events.wait(Stale)
    undisturbed(server, events)


@pytest.mark.parametrize("level", [2, 3])
def test_books_start_again_in_the_child_and_stay_live_in_the_parent(
    nothing_left_behind: None, events: Events, level: int
) -> None:
    with (
        local_kucoin("BTC-USDT") as server,
        Stream(**server.stream_options, on_event=events, limits=FAST) as stream,
    ):
        heard = threading.Event()
        book = stream.book("BTC-USDT", level=level, on_change=lambda change: heard.set())
        book.wait_ready(LIMIT)
        changes = iter(book)
        changes.get(timeout=LIMIT)
        reached(heard, "no change was told")

        def look(say: Say) -> None:
            heard.clear()
            with unreachable():
                assert book.sequence > 0 and "forked" in repr(book)
                failing(BookNotReady, lambda: book.best_bid, "forked")
            snapshot = book.snapshot(10, timeout=LIMIT)
            say((len(snapshot.bids), snapshot.sequence == book.sequence or book.sequence > snapshot.sequence))
            change = changes.get(timeout=LIMIT)
            say((change.resyncs, book.resyncs, stream.stats()["book_resyncs"]))
            reached(heard, "no change was told in the child")
            say(book.ready)

        with child(look) as forked:
            assert forked.hear() == (10, True)
            assert forked.hear() == (1, 1, 0)
            assert forked.hear() is True
        assert book.ready and book.resyncs == 0
        undisturbed(server, events)


def read_too_early(book: LocalBook[Any, Any]) -> None:
    with unreachable():
        failing(BookNotReady, lambda: book.mid)


WAYS_INTO_A_BOOK: dict[str, Callable[[Any], object]] = {
    "wait_ready": lambda book: book.wait_ready(LIMIT),
    "ready": lambda book: book.ready,
    "a read": read_too_early,
    "iterating": lambda book: next(iter(book)),
}


@pytest.mark.parametrize("way", WAYS_INTO_A_BOOK)
def test_any_look_into_a_book_makes_the_child_follow_it(nothing_left_behind: None, events: Events, way: str) -> None:
    with local_kucoin("BTC-USDT") as server, Stream(**server.stream_options, on_event=events, limits=FAST) as stream:
        book = stream.book("BTC-USDT").wait_ready(LIMIT)

        def look(say: Say) -> None:
            events.all.clear()
            WAYS_INTO_A_BOOK[way](book)
            events.wait(BookReady)
            say(book.wait_ready(LIMIT).best_ask.size > 0)

        with child(look) as forked:
            assert forked.hear() is True


@pytest.mark.long
def test_100_forks_in_a_row_from_a_busy_process_each_stream(
    server: KucoinServer, make_stream: MakeStream, events: Events
) -> None:
    stream = make_stream(server, limits=FAST)
    subscriptions = [stream.subscribe(ETH), stream.subscribe(ETH, overflow="drop_oldest", maxsize=10)]
    stream.subscribe(ETH, callback=lambda message: None)
    over = threading.Event()

    def flood() -> None:
        number = 0
        while not over.wait(0.002):
            publish(server, range(number, number + 20))
            number += 20

    def come_and_go() -> None:
        while not over.is_set():
            stream.subscribe(MATCH, timeout=LIMIT).close()

    def consume(subscription: Subscription[Any]) -> None:
        for message in subscription:
            assert message.epoch == 1
            if over.is_set():
                return

    def look(say: Say) -> None:
        say([each.get(timeout=LIMIT).epoch for each in subscriptions])

    tasks = [Task(flood), Task(come_and_go), *(Task(consume, each) for each in subscriptions)]
    try:
        for _ in range(examples(100)):
            with child(look) as forked:
                assert forked.hear() == [2, 2]
    finally:
        over.set()
        publish(server, [0])
        stream.close()
        for task in (tasks[0], *tasks[2:]):
            task.result()
    tasks[1].done.wait(LIMIT)  # with or without StreamClosed
    assert not [event for event in events.all if isinstance(event, Disconnected)]


LOCKS: dict[str, Callable[[Stream, Any, Any], Any]] = {
    "the subscription manager": lambda stream, sub, book: stream._subscription_manager._lock,
    "deferred calls": lambda stream, sub, book: signals._deferred._run_lock,
    "a connection": lambda stream, sub, book: stream._subscription_manager._made[0]._lock,
    "a message queue": lambda stream, sub, book: sub.message_queue._lock,
    "the executor of callbacks": lambda stream, sub, book: stream._callbacks.executor._lock,
    "the books": lambda stream, sub, book: stream._books._lock,
    "the snapshots": lambda stream, sub, book: stream._books._snapshots._lock,
    "the quota of REST": lambda stream, sub, book: stream._quota.lock,
    "a book": lambda stream, sub, book: book._follower.lock,
    "a book's reader lock": lambda stream, sub, book: book._follower.reader_lock,
    "the pace of connecting": lambda stream, sub, book: (
        __import__("kucoin_sync.net.connect_pace", fromlist=["connect_pace"]).connect_pace._lock
    ),
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_fork_while_another_thread_holds_any_lock_leaves_the_child_free(
    nothing_left_behind: None, events: Events, name: str
) -> None:
    with local_kucoin("BTC-USDT") as server, Stream(**server.stream_options, on_event=events, limits=FAST) as stream:
        subscription = stream.subscribe("/market/ticker:BTC-USDT", overflow="drop_oldest")
        heard = threading.Event()
        stream.subscribe("/market/ticker:BTC-USDT", callback=lambda message: heard.set())
        book = stream.book("BTC-USDT").wait_ready(LIMIT)
        lock = LOCKS[name](stream, subscription, book)
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                held.set()
                over.wait(LIMIT)

        def look(say: Say) -> None:
            heard.clear()
            events.all.clear()
            stream.subscribe("/market/match:BTC-USDT", recover=True, timeout=LIMIT).close()
            subscription.get(timeout=LIMIT)
            reached(heard, "no callback was run")
            events.wait(Connected)
            say(book.wait_ready(LIMIT).best_bid.size > 0)
            stream.close()

        holder = Task(hold)
        reached(held, "the lock is not held")
        forked = Child(look)
        try:
            assert forked.hear() is True
            assert forked.wait() == 0
        finally:
            over.set()
            forked.end()
            holder.result()
        assert subscription.get(timeout=LIMIT).epoch == 1


def test_a_fork_while_another_thread_subscribes_makes_no_phantom_in_the_child(
    server: KucoinServer, make_stream: MakeStream
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(ETH)
    server.withhold_acks(1)
    waiting = Task(stream.subscribe, MATCH, timeout=None)
    server.wait_subscribed(MATCH)

    def look(say: Say) -> None:
        stream.resume()
        subscription.get(timeout=LIMIT)
        say((stream.stats()["subscriptions"], stream.stats()["topics"]))

    with child(look) as forked:
        server.wait_subscribed(ETH, 2)
        publish(server, [1])
        assert forked.hear() == (1, 1)
    stream.unsubscribe(MATCH)
    waiting.result()


def test_a_fork_while_another_thread_closes_the_stream_leaves_it_closed_in_the_child(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(ETH)
    closing, over = threading.Event(), threading.Event()
    close = stream._subscription_manager.close

    def slowly() -> list[threading.Thread]:
        closing.set()
        over.wait(LIMIT)
        return close()

    monkeypatch.setattr(stream._subscription_manager, "close", slowly)
    closer = Task(stream.close)
    reached(closing, "nobody closes the stream")
    monkeypatch.undo()

    def look(say: Say) -> None:
        with pytest.raises(StreamClosed):
            subscription.get(timeout=LIMIT)
        with pytest.raises(StreamClosed):
            stream.subscribe(ETH)
        stream.resume()
        say((stream.closed, threading.active_count()))

    with child(look) as forked:
        assert forked.hear() == (True, 1)
    over.set()
    closer.result()
    assert len(server.handshakes) == 1


def test_an_account_that_was_closed_does_not_hold_up_a_child(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_WAIT_TIMEOUT", 10 * LIMIT)
    stream = make_stream()
    account = stream.account(rest_lag=0)
    stream.close()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with signals._deferred._run_lock:
            held.set()
            over.wait(10 * LIMIT)

    holder = Task(hold)
    reached(held, "the lock is not held")
    with child(lambda say: say(stream.closed)) as forked:
        assert forked.hear() is True
    over.set()
    holder.result()
    assert not account.ready


def test_a_stream_that_was_closed_stays_closed(server: KucoinServer, make_stream: MakeStream) -> None:
    stream = make_stream()
    subscription = stream.subscribe(ETH)
    stream.close()

    def look(say: Say) -> None:
        stream.resume()
        say((stream.closed, list(subscription), threading.active_count()))

    with child(look) as forked:
        assert forked.hear() == (True, [], 1)


@pytest.mark.parametrize("leave", [True, False], ids=["leaves", "returns"])
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "not inline"])
def test_a_callback_may_fork(
    server: KucoinServer, make_stream: MakeStream, events: Events, inline: bool, leave: bool
) -> None:
    stream = make_stream(limits=FAST)
    other = stream.subscribe(MATCH)
    children: list[Child] = []
    holders: list[Task[None]] = []
    done = threading.Event()

    def look(say: Say) -> None:
        events.all.clear()
        say(other.get(timeout=LIMIT).epoch)
        if leave:
            return
        forking, errors = threading.current_thread(), []
        threading.excepthook = lambda raised: errors.append(repr(raised.exc_value))

        def after_it_has_returned() -> None:
            forking.join(LIMIT)
            told = [str(event) for event in events.all if not isinstance(event, Connected)]
            os._exit(1 if errors or told or forking.is_alive() or stream.stats()["messages"] > 1 else 0)

        threading.Thread(target=after_it_has_returned).start()

    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with stream._subscription_manager._made[0]._lock, stream._callbacks.executor._lock:
            held.set()
            over.wait(LIMIT)

    def callback(message: Any) -> None:
        if not children:
            holders.append(Task(hold))
            reached(held, "the locks are not held")
            children.append(Child(look, returns=not leave))
            done.set()

    stream.subscribe(ETH, callback=callback, inline=inline)
    publish(server, [1, 2, 3])
    reached(done, "no callback was run")
    try:
        server.wait_subscribed(MATCH, 2)
        publish(server, [1], MATCH)
        assert children[0].hear() == 2
        assert children[0].wait() == 0
    finally:
        over.set()
        children[0].end()
    holders[0].result()
    ended(server)
    assert read(other, 1) == [(1, 1)]
    undisturbed(server, events)


def test_a_child_may_fork_before_and_after_its_first_use(
    server: KucoinServer, make_stream: MakeStream, events: Events
) -> None:
    stream = make_stream(limits=FAST)
    subscription = stream.subscribe(ETH)

    def read_after_a_grandchild(say: Say) -> None:
        with child(lambda say: say(read(subscription, 1))) as grandchild:
            say(grandchild.hear())
        say(read(subscription, 1))
        with child(lambda say: say(read(subscription, 1))) as grandchild:
            say(grandchild.hear())

    with child(read_after_a_grandchild) as forked:
        for number, (connections, epoch) in enumerate([(2, 2), (2, 2), (3, 3)]):
            server.wait_for(lambda s, made=number + 2: len(s.handshakes) >= made)
            server.wait_subscribed(ETH, connections)
            publish(server, [number])
            assert forked.hear() == [(number, epoch)]
    ended(server, 3)
    assert read(subscription, 3) == [(0, 1), (1, 1), (2, 1)]
    undisturbed(server, events)


SCRIPT = """
import multiprocessing, pickle, sys
from kucoin_sync import Stream

def read(rest_url):
    with Stream(rest_url=rest_url) as stream:
        stream.subscribe("/market/ticker:ETH-USDT").get(timeout=30)

if __name__ == "__main__":
    how, rest_url = sys.argv[1:]
    with Stream(rest_url=rest_url) as stream:
        stream.subscribe("/market/ticker:ETH-USDT").get(timeout=30)
        context = multiprocessing.get_context(how)
        try:
            context.Process(target=read, args=(stream,)).start()
        except TypeError as error:
            print(error)
        process = context.Process(target=read, args=(rest_url,))
        process.start()
        process.join(30)
        print(process.exitcode)
"""


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_processes_that_are_not_forked_make_streams_of_their_own(
    server: KucoinServer, tmp_path: Path, how: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(SCRIPT)
    over = threading.Event()

    def feed() -> None:
        while not over.wait(0.01):
            publish(server, [1])

    feeder = Task(feed)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", program, how, server.rest_url], capture_output=True, text=True, timeout=50
        )
    finally:
        over.set()
        feeder.result()
    assert done.stderr == ""
    sentence, code = done.stdout.splitlines()
    assert sentence.startswith("a Stream can't be pickled or copied")
    assert code == "0"


EXIT = """
import os, sys
from kucoin_sync import Stream

with Stream(rest_url=sys.argv[1]) as stream:
    subscription = stream.subscribe("/market/ticker:ETH-USDT")
    pid = os.fork()
    if pid == 0:
        if sys.argv[2] == "used":
            subscription.get(timeout=30)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    subscription.get(timeout=30)
    assert stream.stats()["disconnects"] == 0
"""


@pytest.mark.parametrize("use", ["used", "unused"])
def test_a_child_that_ends_like_any_program_leaves_nothing_to_warn_of(server: KucoinServer, use: str) -> None:
    over = threading.Event()

    def feed() -> None:
        while not over.wait(0.01):
            publish(server, [1])

    feeder = Task(feed)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "ignore:This process:DeprecationWarning",
                "-c",
                EXIT,
                server.rest_url,
                use,
            ],
            capture_output=True,
            text=True,
            timeout=50,
        )
    finally:
        over.set()
        feeder.result()
    assert (done.returncode, done.stderr) == (0, "")
