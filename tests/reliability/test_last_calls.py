"""After `close` returned, a callback is not called again: of whatever sort it is, and whoever closes in which way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import LocalBook, Message, Stream, Subscription
from kucoin_sync.recording import ReplayStream
from kucoin_sync.testing import KucoinServer, local_kucoin

from ..support.recordings import push, write
from ..support.selection import examples
from ..support.streams import MakeStream
from ..support.threads import LIMIT, Task, reached, until
from .feed import MATCH, Feed, on_both, publish, pushed

COUNT = 50


class Calls:
    """A callback whose first call waits until it is let go on, and then may end its own subscription."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.began, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.last_act: Callable[[], object] = lambda: None

    def __call__(self, what: Any) -> None:
        self.all.append(what)
        if len(self.all) == 1:
            self.began.set()
            reached(self.go_on, "the first call was never let go on")
            self.last_act()
            self.ended.set()


def end(calls: Calls, close: Callable[[], object], *, itself: bool) -> None:
    """Close while the first call is under way, from it or from here, and let it end."""
    if itself:
        calls.last_act = close
    else:
        close()
    calls.go_on.set()
    reached(calls.ended, "the first call has not ended")


from_where = pytest.mark.parametrize("itself", [True, False], ids=["from the call", "from another thread"])

SORTS: dict[str, dict[str, Any]] = {
    "queued": {},
    "latest": {"overflow": "latest"},
    "drop_oldest": {"overflow": "drop_oldest"},
    "drop_newest": {"overflow": "drop_newest"},
    "inline": {"inline": True},
    "slow": {},
    "in a tunnel": {},
    "one of several topics": {},
}

WAYS: dict[str, Callable[[Any, Subscription[Any]], object]] = {
    "subscription.close()": lambda owner, subscription: subscription.close(),
    "the end of a with": lambda owner, subscription: subscription.__exit__(None, None, None),
    "unsubscribe(subscription)": lambda owner, subscription: owner.unsubscribe(subscription),
    "unsubscribe(topic)": lambda owner, subscription: owner.unsubscribe(subscription.topics[0]),
    "tunnel.close()": lambda owner, subscription: owner.close(),
    "stream.close()": lambda owner, subscription: owner.close(timeout=0.0),
}


def makes_sense(sort: str, way: str) -> bool:
    if sort == "one of several topics":
        return way == "unsubscribe(topic)"
    return (sort == "in a tunnel" or way != "tunnel.close()") and (sort != "in a tunnel" or way != "stream.close()")


#: A topic of the UTA feed has one subject, so that of "latest" only one message waits there.
CASES = [(sort, way) for sort in SORTS for way in WAYS if makes_sense(sort, way)]


@from_where
@on_both("sort, way", CASES, [case for case in CASES if case[0] not in ("in a tunnel", "latest")])
def test_a_subscriptions_callback(
    server: KucoinServer, make_stream: MakeStream, sort: str, way: str, itself: bool, feed: Feed
) -> None:
    stream, calls = make_stream(), Calls()
    owner: Any = stream.tunnel("t") if sort == "in a tunnel" else stream
    other = stream.subscribe(feed.btc)
    topics = (feed.match, feed.eth) if sort == "one of several topics" else (feed.match,)
    subscription = owner.subscribe(*topics, callback=calls, **SORTS[sort])
    for number in range(COUNT):
        each = pushed(feed.match, {"n": number})
        server.publish_many([each if feed.is_uta else each._replace(subject=f"kind {number}")])
    reached(calls.began, "the callback was not called")
    if sort != "inline":  # else what comes waits in the socket
        until(lambda: subscription.pending >= COUNT - 1, "not all has come")
    if sort == "slow":
        beside = threading.Event()
        stream.subscribe(feed.btc, callback=lambda _: beside.set())
        publish(server, [0], feed.btc)
        other.get(timeout=LIMIT)
        reached(beside, "the others do not go on beside the first call")
    end(calls, lambda: WAYS[way](owner, subscription), itself=itself)
    if way == "stream.close()":
        stream.close()
    else:
        publish(server, [1], feed.btc)
        other.get(timeout=LIMIT)  # so that all that came before was delivered, and inline callbacks called
        if sort == "one of several topics":
            publish(server, [7], feed.eth)
            until(lambda: len(calls.all) > 1, "the topic that was kept brings nothing")
            assert calls.all[-1].topic == feed.eth
            del calls.all[-1]
    until(lambda: not subscription.pending or stream.closed, "what waited is still there")
    assert [message.data["n"] for message in calls.all] == [0]


@from_where
@pytest.mark.parametrize("way", ["book.close()", "the end of a with", "unsubscribe(topic)", "stream.close()"])
def test_a_books_on_change(nothing_left_behind: None, way: str, itself: bool) -> None:
    calls = Calls()
    with local_kucoin("BTC-USDT") as server, Stream(**server.stream_options) as stream:
        book: LocalBook = stream.book("BTC-USDT", on_change=calls)
        (listener,) = book._follower.callback_listeners
        book.wait_ready(LIMIT)
        server.step_exchange(COUNT)
        reached(calls.began, "on_change was not called")
        until(lambda: listener.pending >= 5, "not all has come")

        def unsubscribe() -> None:
            stream.unsubscribe("/market/level2:BTC-USDT")
            until(lambda: book.closed, "the book does not end with its topic")

        closes: dict[str, Callable[[], object]] = {
            "book.close()": book.close,
            "the end of a with": lambda: book.__exit__(None, None, None),
            "unsubscribe(topic)": unsubscribe,
            "stream.close()": lambda: stream.close(timeout=0.0),
        }
        end(calls, closes[way], itself=itself)
        until(lambda: not listener.pending or stream.closed, "what waited is still there")
        assert len(calls.all) == 1


@contextmanager
def replayed(path: Path) -> Iterator[ReplayStream]:
    recording = write(path / "day.jsonl", [push(n, MATCH) for n in range(COUNT)], topics=[MATCH])
    with ReplayStream(recording, None) as replay:
        yield replay


@from_where
@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "tunnel.close()"])
def test_a_callback_of_a_replay(tmp_path: Path, way: str, inline: bool, itself: bool) -> None:
    calls = Calls()
    with replayed(tmp_path) as replay:
        subscription = replay.subscribe(MATCH, callback=calls, inline=inline)
        replay.start()
        reached(calls.began, "the callback was not called")
        if not inline:
            until(lambda: subscription.pending >= COUNT - 1, "not all has come")
        end(calls, lambda: WAYS[way](replay, subscription), itself=itself)
        if way != "stream.close()":
            assert replay.wait(LIMIT), "the replay has not ended"
        assert len(calls.all) == 1


def test_at_the_end_of_a_replay_nothing_is_withheld(tmp_path: Path) -> None:
    calls: list[Message] = []
    with replayed(tmp_path) as replay:
        replay.subscribe(MATCH, callback=calls.append)
        assert replay.wait(LIMIT)
        assert len(calls) == COUNT


@on_both("inline", [False, True])
def test_none_begins_after_close_however_fast_they_come(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, inline: bool, feed: Feed
) -> None:
    # A thread in a short call may stand still for longer than `close` waits, where the machine is busy.
    monkeypatch.setattr("kucoin_sync.delivery.subscription._LONGEST_CALL", LIMIT)
    stream = make_stream()
    for attempt in range(examples(20)):
        calls, some = [0], threading.Event()

        def count(_: Message, calls: list[int] = calls, some: threading.Event = some) -> None:
            calls[0] += 1
            if calls[0] > 100:
                some.set()

        subscription = stream.subscribe(feed.match, callback=count, inline=inline)
        publishing = Task(publish, server, range(2_000), feed.match)
        reached(some, "the callback was not called")
        subscription.close()
        after = calls[0]
        publishing.result()
        other = stream.subscribe(feed.btc)
        publish(server, [1], feed.btc)
        other.get(timeout=LIMIT)
        other.close()
        until(lambda subscription=subscription: not subscription.pending, "what waited is still there")
        assert calls[0] == after, f"in attempt {attempt}"


@on_both("inline", [False, True])
def test_close_waits_for_a_moment_for_the_call_under_way(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, inline: bool, feed: Feed
) -> None:
    monkeypatch.setattr("kucoin_sync.delivery.subscription._LONGEST_CALL", LIMIT)
    stream, calls = make_stream(), Calls()
    subscription = stream.subscribe(feed.match, callback=calls, inline=inline)
    publish(server, [1], feed.match)
    reached(calls.began, "the callback was not called")
    closing = Task(subscription.close)
    until(lambda: subscription.closed, "it is not closed")
    assert not closing.done.wait(0.05)
    calls.go_on.set()
    closing.result()
    assert calls.ended.is_set()
