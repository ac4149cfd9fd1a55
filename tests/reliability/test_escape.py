"""What escapes from anything, on any thread: all the others go on, it is told, and no thread ends unseen.

The table names every seam at which foreign code runs or at which something unexpected may be raised, with what makes
it run. They are walked with each kind of error: those that are no `Exception`, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kucoin_sync import (
    BookFailed,
    CallbackFailed,
    ConnectionFailed,
    Event,
    Stale,
    Stream,
    Subscription,
    UnexpectedError,
)
from kucoin_sync.recording import Recorder as StreamRecorder
from kucoin_sync.recording import RecordingError, RecordingFailed, ReplayFailed, ReplayStream
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.recordings import push, write
from ..support.streams import FAST, Events
from ..support.threads import LIMIT, until
from .feed import ETH, MATCH, Feed, on_both, publish

ERRORS: list[type[BaseException]] = [
    RuntimeError,
    MemoryError,
    SystemExit,
    GeneratorExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    pytest.fail.Exception,
]
BOOK, OTHER, SPARE, NEW = "BTC-USDT", "KCS-USDT", "/market/ticker:SPARE-USDT", "/market/ticker:NEW-USDT"
SLOW = "/market/match:SLOW-USDT"
#: Threads that live as long as the stream. Others end when there is nothing for them, or when they were overtaken.
LASTING = ("kucoin-io", "kucoin-books", "kucoin-recorder", "kucoin-silence")


class World:
    """A stream with consumers of every sort, a book and a recorder; each consumer can be shown to go on."""

    def __init__(self, server: KucoinServer, path: Path) -> None:
        self.server = server
        self.events = Events()
        self.raising = Raising()
        self.number = 0
        self.slow = threading.Event()  # whether a callback is to take long
        self.never = threading.Event()
        self.stream = Stream(**server.stream_options, limits=FAST, on_event=self._on_event)
        self.got: dict[str, set[int]] = {ETH: set(), MATCH: set(), SPARE: set(), SLOW: set()}
        self.iterator = self.stream.subscribe(ETH)
        self.stream.subscribe(MATCH, callback=partial(self._take, MATCH, "a callback"))
        self.stream.subscribe(SPARE, callback=partial(self._take, SPARE, "an inline callback"), inline=True)
        self.stream.subscribe(SLOW, callback=partial(self._take, SLOW, "a slow callback"))
        self.held: Subscription[Any] | None = None  # one that a seam needs to be kept
        self.changes: list[Any] = []
        self.book = self.stream.book(BOOK, on_change=self._on_change)
        self.book.wait_ready(LIMIT)
        self.other = self.stream.book(OTHER)
        self.other.wait_ready(LIMIT)
        self.recorder = StreamRecorder(self.stream, path / "day.jsonl", flush_every=0.01)
        self.observer = Observer(self.raising)
        self.stream.add_observer(self.observer)

    def _on_event(self, event: Event) -> None:
        self.events(event)
        self.raising("on_event")

    def _take(self, topic: str, name: str, message: Any) -> None:
        self.got[topic].add(int(message["data"]["n"]))
        if topic == SLOW and self.slow.is_set():
            self.never.wait(0.06)
        self.raising(name)

    def _on_change(self, change: Any) -> None:
        self.changes.append(change)
        self.raising("on_change")

    def push(self) -> None:
        """Push another message on all topics, and move the market."""
        self.number += 1
        for topic in (ETH, MATCH, SPARE, SLOW):
            publish(self.server, [self.number], topic)
        self.server.step_exchange(20)

    def cut(self) -> None:
        self.server.drop_connections()

    def goes_on(self, *, book: bool = True) -> None:
        """Wait until everybody gets what is pushed from now on."""
        changes, since = len(self.changes), self.number

        def all_got() -> bool:
            self.push()
            while self.iterator.pending:
                self.got[ETH].add(int(self.iterator.get(timeout=0)["data"]["n"]))
            books = self.other.ready and (not book or (self.book.ready and len(self.changes) > changes))
            return books and all(max(got, default=0) > since for got in self.got.values())

        until(all_got, "somebody gets nothing any more")

    def end_recording(self) -> None:
        """Close the recorder; it raises an error if, and only if, messages are missing."""
        with pytest.raises(RecordingError) if self.recorder.dropped else contextlib.nullcontext():
            self.recorder.close()

    def missing_in_recording(self) -> set[int]:
        """Return the numbers that somebody got and that the recording does not have."""
        with ReplayStream(self.recorder.path, None) as replay:
            frames = [message["data"]["n"] for message in replay.subscribe(ETH)]
        return self.got[ETH] - {int(number) for number in frames} - {1}  # the first came before the recorder


class Raising:
    """Raises once at a place that foreign code stands at, when it is armed."""

    def __init__(self) -> None:
        self.at = ""
        self.error: type[BaseException] = Exception
        self.raised = threading.Event()

    def __call__(self, place: str) -> None:
        if self.at == place and threading.current_thread() is not threading.main_thread():
            self.at = ""
            self.raised.set()
            raise self.error("escaped")


class Observer:
    """Hears all that a stream gets."""

    def __init__(self, raising: Raising) -> None:
        for name in ("on_messages", "on_subscribed", "on_lost", "on_event", "on_snapshot"):
            setattr(self, name, lambda *_, name=name: raising(f"observer.{name}"))


class Handler(logging.Handler):
    """A log handler that raises out of `emit`, at lines that begin in a certain way."""

    def __init__(self, raising: Raising) -> None:
        super().__init__()
        self.raising = raising

    def emit(self, record: logging.LogRecord) -> None:
        self.raising(f"log: {record.getMessage().partition(' ')[0].rstrip(':')}")


class Seam(NamedTuple):
    """Where something is raised, what makes that happen, and what comes of it beside that everybody goes on."""

    at: str  # a place of `Raising`, or a function of the package
    act: Callable[[World], object]
    told: tuple[type[Event], ...] = ()
    book: bool = True  # whether the first book goes on


def subscribe(world: World) -> None:
    world.stream.subscribe(NEW, timeout=0)


def refuse(world: World) -> None:
    world.server.reject_next(404, "no such topic", topic=NEW)
    world.stream.subscribe(NEW, timeout=0)


def fail_to_connect(world: World) -> None:
    world.server.fail_rest("/api/v1/bullet-*", 500, "500000", times=1)
    world.server.drop_connections()


def fail_to_fetch(world: World) -> None:
    world.server.fail_rest("/api/*/market/orderbook/*", 500, "500000", times=1)
    world.server.drop_connections()


def be_silent(world: World) -> None:
    world.stream.subscribe(NEW, stale_after=0.05, timeout=0)


def overflow(world: World) -> None:
    world.held = world.stream.subscribe(NEW, maxsize=1)
    publish(world.server, range(5), NEW)


def overflow_a_callback(world: World) -> None:
    world.stream.subscribe(NEW, callback=lambda _: None, maxsize=1)
    publish(world.server, range(5), NEW)


def be_slow(world: World) -> None:
    world.slow.set()
    world.push()


def fail_in_a_callback(world: World) -> None:
    world.stream.subscribe(NEW, callback=lambda _: 1 / 0)
    publish(world.server, [1], NEW)


PUSH, CUT = World.push, World.cut
K = "kucoin_sync."
SEAMS = [
    # Code of the user's
    Seam("a callback", PUSH, (CallbackFailed,)),
    Seam("a slow callback", be_slow, (CallbackFailed,)),
    Seam("an inline callback", PUSH, (CallbackFailed,)),
    Seam("on_change", PUSH, (CallbackFailed,)),
    Seam("on_event", CUT),
    *(
        Seam(f"observer.{name}", act)
        for name, act in (("on_messages", PUSH), ("on_subscribed", subscribe), ("on_lost", CUT))
    ),
    *(Seam(f"observer.{name}", CUT) for name in ("on_event", "on_snapshot")),
    # Log handlers, at each line
    *(Seam(f"log: {line}", CUT) for line in ("disconnected", "connected", "resubscribed", "resyncing", "ready")),
    Seam("log: attempt", fail_to_connect),
    Seam("log: rejected", refuse),
    Seam("log: stale", be_silent, (Stale,)),
    Seam("log: slow", overflow),
    Seam("log: a", fail_in_a_callback, (CallbackFailed,)),
    Seam("log: callback", fail_in_a_callback, (CallbackFailed,)),
    # An I/O thread
    Seam(K + "protocol.session.Session.receive", subscribe),
    Seam(K + "protocol.session.Session.handle_deadline", PUSH),
    Seam(K + "protocol.session.Session.__init__", CUT),
    Seam(K + "connections.dispatch.Dispatcher.route", subscribe),
    Seam(K + "connections.group.ConnectionGroup.acked", CUT),
    Seam(K + "net.websocket.WebSocketConnection.receive", PUSH),
    Seam(K + "net.websocket.WebSocketConnection.connect", CUT),
    Seam(K + "net.websocket.WebSocketConnection.close", CUT),
    Seam(K + "net.rest.Rest.servers", CUT),
    Seam(K + "connections.groups.ConnectionGroups.acked", CUT),
    Seam(K + "connections.groups.ConnectionGroups.settled", CUT),
    Seam(K + "connections.groups.ConnectionGroups.emit", CUT),
    Seam(K + "connections.groups.ConnectionGroups.failed", CUT, (UnexpectedError,)),
    Seam(K + "connections.connection.Connection._report", CUT, (UnexpectedError,)),
    Seam(K + "connections.connection.Connection._disconnect", CUT, (UnexpectedError,)),
    # The callbacks' threads
    Seam(K + "delivery.callbacks._CallbackJob.run_job", PUSH, (UnexpectedError,)),
    Seam(K + "delivery.callbacks._CallbackJob.wait", overflow_a_callback, (UnexpectedError,)),
    Seam(K + "delivery.callbacks._EventJob.run_job", CUT, (UnexpectedError,)),
    Seam(K + "delivery.executor.Executor._stand_by", PUSH, (UnexpectedError,)),
    Seam(K + "delivery.executor.Executor._serve", be_slow, (UnexpectedError,)),
    Seam(K + "protocol.envelopes.Decoder.decode_all", PUSH),
    # Books and their snapshots
    Seam(K + "books.follower.Follower.apply_pending", PUSH, (BookFailed,), book=False),
    Seam(K + "books.follower.Follower.on_subscribed", CUT, (BookFailed,), book=False),
    Seam(K + "books.follower.Follower.on_connection_lost", CUT, (BookFailed,), book=False),
    Seam(K + "books.follower.Follower.snapshot_attempt", CUT),
    Seam(K + "books.follower.Follower.apply_snapshot", CUT),
    Seam(K + "books.follower.Follower.snapshot_delayed", fail_to_fetch),
    Seam(K + "books.snapshot_fetcher.SnapshotQueue._fetch", CUT),
    Seam(K + "books.snapshot_fetcher.SnapshotQueue._finish_job", CUT),
    Seam(K + "books.snapshot_fetcher.SnapshotQueue._next_job", CUT),
    Seam(K + "net.rest.Rest.call", CUT),
    # A recorder
    Seam(K + "recording.rotating_files.RotatingFiles.write", PUSH, (RecordingFailed,)),
    Seam(K + "recording.recorder.Recorder._write", PUSH, (RecordingFailed,)),
    Seam(K + "recording.text_queue.TextQueue.put", PUSH, (UnexpectedError,)),
    Seam(K + "recording.format.frames_as_text", PUSH, (UnexpectedError,)),
]


def armed(monkeypatch: pytest.MonkeyPatch, name: str, raising: Raising) -> None:
    """Have a function of the package raise once on a thread of the package, and be itself again."""
    module, _, attribute = name.rpartition(".")
    try:
        owner: Any = importlib.import_module(module)
    except ImportError:
        module, _, inner = module.rpartition(".")
        owner = getattr(importlib.import_module(module), inner)
    kept = vars(owner)[attribute]
    real = getattr(owner, attribute)

    def call(*args: Any, **options: Any) -> Any:
        if threading.current_thread().name.startswith("kucoin-"):
            raising(name)
        return real(*args, **options)

    monkeypatch.setattr(owner, attribute, staticmethod(call) if isinstance(kept, (classmethod, staticmethod)) else call)


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((BOOK, OTHER), seed=5, levels=20)}


@pytest.fixture
def consumers(server: KucoinServer, tmp_path: Path) -> Iterator[World]:
    world = World(server, tmp_path)
    yield world
    world.raising.at = ""
    world.end_recording()
    world.stream.close()


def walk(
    world: World,
    seam: Seam,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = Handler(world.raising)
    logging.getLogger("kucoin_sync").addHandler(handler)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    try:
        world.goes_on()
        threads = {thread for thread in threading.enumerate() if thread.name.startswith("kucoin-") and thread.daemon}
        if seam.at.startswith(K):
            armed(monkeypatch, seam.at, world.raising)
        world.raising.error, world.raising.at = error, seam.at
        seam.act(world)
        until(lambda: world.raising.raised.is_set() or world.push(), "nothing was raised")
        recovers = error is MemoryError and "books.follower.Follower." in seam.at and not seam.book  # it may be over
        world.goes_on(book=seam.book or recovers)
        for kind in seam.told if not recovers else ():
            event = world.events.wait(kind)
            assert seam.at.startswith("log:") or "escaped" in str(event.error)
        if not seam.at.startswith("log:"):
            until(lambda: "escaped" in caplog.text, "nobody was told")
        if not seam.at.startswith(K):
            cuts = int(seam.act in (CUT, fail_to_connect))
            assert world.stream.stats()["disconnects"] == cuts, "it cost a connection"
        assert "nothing in it has caught" not in caplog.text, "a thread has ended"
        ended = [thread.name for thread in threads if not thread.is_alive() and thread.name.startswith(LASTING)]
        assert not ended, "a thread has ended"
        if not seam.book and not recovers:
            book = next(book for book in (world.book, world.other) if book.closed)
            with pytest.raises(ConnectionFailed, match="escaped"):
                book.wait_ready(LIMIT)
        world.stream.remove_observer(world.observer)
        world.end_recording()
        assert len(world.missing_in_recording()) <= world.recorder.dropped
    finally:
        logging.getLogger("kucoin_sync").removeHandler(handler)


#: Seams of each sort, which are walked in every run.
SOME = ("an inline callback", "a callback", "on_event", "observer.brought", "log: disconnected", "log: callback")
SOME += (
    K + "delivery.callbacks._CallbackJob.run_job",
    K + "books.follower.Follower.apply_pending",
    K + "recording.rotating_files.RotatingFiles.write",
)


def cases(chosen: Callable[[Seam, int], bool]) -> list[Any]:
    """Return seams, each with those errors that are chosen by how far they are from the seam's first."""
    return [
        pytest.param(seam, ERRORS[(number + turn) % len(ERRORS)], id=f"{seam.at.removeprefix(K)}-{turn}")
        for number, seam in enumerate(SEAMS)
        for turn in range(len(ERRORS))
        if chosen(seam, turn)
    ]


@pytest.mark.parametrize(("seam", "error"), cases(lambda seam, turn: turn == 0 and seam.at in SOME))
def test_what_escapes_from_some_seams_is_told_and_everybody_goes_on(
    consumers: World,
    seam: Seam,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    walk(consumers, seam, error, monkeypatch, caplog)


# Users' code raises everything; of the package's own seams each is walked with three of the seven, which come in turn.
@pytest.mark.long
@pytest.mark.parametrize(("seam", "error"), cases(lambda seam, turn: turn < 3 or not seam.at.startswith(K)))
def test_whatever_escapes_from_a_seam_is_told_and_everybody_goes_on(
    consumers: World,
    seam: Seam,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    walk(consumers, seam, error, monkeypatch, caplog)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "at",
    [
        "recording.index.RecordingIndex.read",
        "recording.playback.Playback.deliver",
        "connections.dispatch.Dispatcher.deliver",
    ],
)
def test_what_ends_a_replay_ends_all_that_it_plays_for(
    nothing_left_behind: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    at: str,
    error: type[BaseException],
) -> None:
    raising, events, calls = Raising(), Events(), []
    raising.error = error
    armed(monkeypatch, K + at, raising)
    recording = write(tmp_path / "day.jsonl", *([push(number, MATCH)] for number in range(5)), topics=[MATCH])
    with ReplayStream(recording, None, on_event=events) as replay:
        raising.at = K + at
        iterated = replay.subscribe(MATCH)
        replay.subscribe(MATCH, callback=calls.append)
        with pytest.raises(RecordingError, match="escaped"):
            list(iterated)
        with pytest.raises(RecordingError, match="escaped"):
            replay.wait(LIMIT)
        assert "escaped" in str(events.wait(ReplayFailed).error)
        assert "escaped" in caplog.text, "nobody was told"
        later = replay.subscribe(MATCH)
        with pytest.raises(RecordingError, match="escaped"):
            later.get(timeout=LIMIT)
        replay.seek(0.0)
        again = replay.subscribe(MATCH)
        assert [message["data"]["number"] for message in again] == list(range(5)), "it can be begun again"


@on_both("error", ERRORS)
def test_a_recorder_that_can_write_no_more_says_what_is_missing(
    nothing_left_behind: None, tmp_path: Path, error: type[BaseException], feed: Feed
) -> None:
    class ConnectionFull:
        """A file that takes its beginning, and nothing more."""

        def __init__(self, path: Path) -> None:
            self.file = io.FileIO(path, "x")
            self.began = False

        def write(self, data: memoryview) -> int:
            if self.began:
                raise error("escaped")
            self.began = True
            return self.file.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    events = Events()
    with KucoinServer() as server, Stream(**server.stream_options, on_event=events) as stream:
        subscription = stream.subscribe(feed.eth)
        recorder = StreamRecorder(stream, tmp_path / "day.jsonl", flush_every=0.01, open_file=ConnectionFull)
        for number in range(100):
            publish(server, [number], feed.eth)
            subscription.get(timeout=LIMIT)
        assert events.wait(RecordingFailed).error.args == ("escaped",)
        with pytest.raises(RecordingError, match=r"escaped.*100 messages are missing"):
            recorder.close()
        assert recorder.dropped == 100


@pytest.mark.parametrize("together", [False, True], ids=["one message", "several messages"])
@on_both("error", ERRORS)
def test_what_an_inline_callback_raises_costs_no_connection(
    nothing_left_behind: None, error: type[BaseException], together: bool, feed: Feed
) -> None:
    calls: list[int] = []

    def callback(message: Any) -> None:
        calls.append(int(message.data["n"]))
        if len(calls) == 1:
            raise error("escaped")

    events = Events()
    with KucoinServer() as server, Stream(**server.stream_options, on_event=events) as stream:
        stream.subscribe(feed.match, callback=callback, inline=True)
        other = stream.subscribe(feed.eth)
        publish(server, range(3 if together else 1), feed.match)
        assert events.wait(CallbackFailed).error.args == ("escaped",)
        publish(server, [3], feed.match)
        publish(server, [1], feed.eth)
        other.get(timeout=LIMIT)
        assert calls == ([0, 1, 2, 3] if together else [0, 3])
        assert stream.stats()["disconnects"] == 0
