"""A fork without Python's hooks, as uWSGI makes it: whatever a child uses first, it uses its own, and nothing else."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from kucoin_sync import BookNotReady, Limits, LocalBook, Stream, Subscription
from kucoin_sync.recording import Recorder
from kucoin_sync.testing import KucoinServer
from kucoin_sync.tunnel import Tunnel

from ..support.forks import child, fork_unnoticed
from ..support.recordings import recorded
from ..support.streams import Events, MakeStream
from ..support.threads import Task, reached
from .feed import ETH, MATCH, Feed, on_both, publish
from .test_fork import undisturbed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FAST = Limits(connections_per_minute=100_000, snapshots_per_30s=100_000)
QUEUED = range(5)
FRESH = 100  # the first number after the fork


class Parent:
    """What a program has made before it forks."""

    def __init__(self, stream: Stream, options: dict[str, Any], directory: Any, feed: Feed) -> None:
        self.stream = stream
        self.feed = feed
        self.options = options
        self.directory = directory
        self.subscription: Subscription = stream.subscribe(feed.eth)
        self.loop = iter(self.subscription)
        self.called: list[int] = []
        self.calls = threading.Semaphore(0)
        self.callback: Subscription = stream.subscribe(feed.match, callback=self._call)
        self.recorder = Recorder(stream, directory / "parent.jsonl.gz")
        with suppress(TimeoutError):
            stream.last(feed.eth, timeout=0)
        if feed.is_uta:
            self.tunnelled: Subscription = stream.subscribe(feed.eth)
            return
        self.book: LocalBook = stream.book("BTC-USDT").wait_ready(20)
        self.changes = iter(self.book)
        self.tunnel: Tunnel = stream.tunnel("bt1")
        self.tunnelled = self.tunnel.subscribe(feed.eth)

    def _call(self, message: Any) -> None:
        self.called.append(int(message.data["n"]))
        self.calls.release()

    def first(self) -> int:
        return int(self.subscription.get(timeout=20).data["n"])

    def ready(self) -> None:
        assert self.book.wait_ready(20).best_bid is not None

    def cannot_be_read(self) -> None:
        with pytest.raises(BookNotReady):  # it is not the parent's any more, and not yet the child's
            _ = self.book.best_bid

    def record(self) -> None:
        with Recorder(self.stream, self.directory / "child.jsonl"):
            pass


#: What a child may do first.
USES: dict[str, Callable[[Parent], object]] = {
    "get": lambda parent: None,
    "next": lambda parent: None,
    "for": lambda parent: None,
    "a loop that was begun": lambda parent: None,
    "pending": lambda parent: parent.subscription.pending == 0 or 1 / 0,
    "dropped": lambda parent: parent.subscription.dropped,
    "stats": lambda parent: parent.stream.stats()["messages"] == 0 or 1 / 0,
    "resume": lambda parent: parent.stream.resume(),
    "subscribe": lambda parent: parent.stream.subscribe(parent.feed.eth, timeout=20),
    "subscribe in a tunnel": lambda parent: parent.tunnel.subscribe(parent.feed.match, timeout=20),
    "another tunnel": lambda parent: parent.stream.tunnel("bt2").subscribe(parent.feed.eth, timeout=20),
    "close a tunnel": lambda parent: parent.tunnel.close(),
    "close a subscription": lambda parent: parent.tunnelled.close(),
    "unsubscribe": lambda parent: parent.stream.unsubscribe(parent.feed.match),
    "another book": lambda parent: parent.stream.book("ETH-USDT").close(),
    "ready": lambda parent: parent.book.ready and 1 / 0,
    "wait_ready": lambda parent: parent.ready(),
    "read a book": lambda parent: parent.cannot_be_read(),
    "changes of a book": lambda parent: parent.changes.pending,
    "close a book": lambda parent: parent.book.close(),
    "another stream": lambda parent: Stream(**parent.options).subscribe(parent.feed.eth, timeout=20).close(),
    "a recorder": lambda parent: parent.record(),
    "close a recorder": lambda parent: parent.recorder.close(timeout=20),
    "last": lambda parent: int(parent.stream.last(parent.feed.eth, timeout=20).data["n"]) >= FRESH or 1 / 0,
    "carrying": lambda parent: parent.stream.carrying(),
}
TAKES: dict[str, Callable[[Parent], Any]] = {
    "next": lambda parent: next(parent.subscription),
    "for": lambda parent: next(iter(parent.subscription)),
    "a loop that was begun": lambda parent: next(parent.loop),
}


@on_both("use", USES, [use for use in USES if "book" not in use and "tunnel" not in use and "ready" not in use])
def test_whatever_a_child_uses_first(
    server: KucoinServer, make_stream: MakeStream, events: Events, tmp_path: Any, use: str, feed: Feed
) -> None:
    for symbol in ("BTC-USDT", "ETH-USDT"):
        snapshot = {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]}
        server.set_snapshot("orderbook/level2", symbol, snapshot)
    parent = Parent(make_stream(limits=FAST), {**server.stream_options, "limits": FAST}, tmp_path, feed)
    publish(server, QUEUED, feed.eth)
    publish(server, [7], feed.match)
    assert next(parent.loop).data["n"] == "00000000"
    assert parent.calls.acquire(timeout=20)
    while parent.subscription.pending < len(QUEUED) - 1:
        parent.stream.stats()

    def go_on(say: Callable[[Any], None]) -> None:
        USES[use](parent)
        if use not in TAKES:
            parent.stream.resume()
        say("used")
        take = TAKES.get(use, lambda parent: parent.subscription.get(timeout=20))
        say([int(take(parent).data["n"]) >= FRESH for _ in range(3)])
        say(parent.called)

    over = threading.Event()
    with child(go_on, fork_unnoticed) as forked:

        def pour() -> int:
            sent = FRESH
            while not over.wait(0.01):
                publish(server, [sent], feed.eth)
                sent += 1
            return sent

        feeding = Task(pour)
        try:
            assert forked.hear() == "used"
            assert forked.hear() == [True, True, True]
            assert forked.hear() == [7]
        finally:
            over.set()
    expected = [*QUEUED[1:], *range(FRESH, feeding.result())]
    assert [parent.first() for _ in expected] == expected, "the parent has lost messages"
    parent.recorder.close()
    assert len(recorded(parent.recorder.path)) == parent.recorder.stats()["messages"], "the child has spoiled it"
    undisturbed(server, events)


@pytest.mark.parametrize("logger", ["kucoin_sync", None], ids=["own", "root"])
def test_a_child_logs_though_a_thread_of_its_parents_was_logging(stream: Stream, logger: str | None) -> None:
    """Python renews the locks of log handlers in a hook, which does not run here."""
    subscription = stream.subscribe(ETH)
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger(logger).addHandler(handler)
    logging_now, over = threading.Event(), threading.Event()

    def log() -> None:
        handler.acquire()
        logging_now.set()
        over.wait()
        handler.release()

    def go_on(say: Callable[[Any], None]) -> None:
        say(subscription.pending)
        stream.subscribe(MATCH, timeout=20).close()
        say("used")

    parents = Task(log)
    try:
        reached(logging_now, "nothing is being logged")
        with child(go_on, fork_unnoticed) as forked:
            assert forked.hear() == 0
            assert forked.hear() == "used"
    finally:
        over.set()
        logging.getLogger(logger).removeHandler(handler)
    parents.result()
