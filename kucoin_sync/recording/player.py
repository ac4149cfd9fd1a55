"""Play a recording on a thread: read it, wait for the time of each message, and deliver it through the replay sources.

Rules:
1. Nothing is played before `start`. Everything is played in the recorded order.
2. With a speed, each message is delivered at its time, even if consumers are slow, as on the live feed. Without a
   speed, each message is delivered as soon as every queue has room for it, so that nothing is dropped.
3. Books apply all earlier updates before they get a snapshot or a notice of a loss.
4. After a move to another time, nothing recorded before that time is delivered, with one exception: books get all
   updates since their last snapshot before that time.
5. After the last message the subscriptions end. Books can still be read.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..delivery.queue import MessageQueue
from ..events import Connected, Disconnected, Event
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal import backoff
from ..internal.guard import Thread, guarded, log
from ..internal.resources import shortage_error, start_thread
from ..protocol.envelopes import Pushes, channel_of
from ..protocol.session_events import TopicKey
from . import format
from .errors import FramesMissing, RecordingEnded, RecordingError, ReplayDelayed, ReplayFailed, reason_of
from .index import BlockPosition, RecordingIndex
from .recorded_snapshots import RecordedSnapshots
from .replay_source import SubscribedTopics

__all__ = ["Clock", "Player", "ReplayOutput"]

_STALLED = 5.0


class Clock:
    """The clock of a replay; tests replace it."""

    def now(self) -> float:
        """Return the current instant, in seconds."""
        return time.monotonic()

    def wait(self, interruption: threading.Event, seconds: float) -> bool:
        """Wait for `interruption`, at most `seconds`; return whether it is set."""
        return interruption.wait(min(seconds, threading.TIMEOUT_MAX))


class ReplayConsumer(Protocol):
    """The part of a subscription that the player uses."""

    @property
    def message_queue(self) -> MessageQueue: ...
    @property
    def callback(self) -> Any: ...
    def put_many(self, pushes: Pushes, /) -> None: ...
    def finish(self) -> None: ...


class ReplayOutput(Protocol):
    """The part of a `ReplayStream` that the player uses."""

    def consumers(self) -> Sequence[ReplayConsumer]:
        """Return all subscriptions, including those of books."""

    def books(self) -> Sequence[tuple[Any, ReplayConsumer]]:
        """Return the followers of all open books, each with the subscription that brings its updates."""

    def emit(self, event: Event) -> None:
        """Report an event."""


class _Interrupted(Exception):
    """The replay was moved or closed while the thread was playing."""


class Player:
    """Plays one recording for one stream.

    Args:
        speed: 1.0 plays in real time, 2.0 twice as fast; None as fast as the consumers read.
        snapshots: gives books the snapshots that the replay passes.

    Attributes:
        ended: set after the last message, when all callbacks have returned.
        error: the error that ended the replay early, or None.
        now_ns: the current time in the recording, in nanoseconds since 1970.
    """

    def __init__(
        self,
        index: RecordingIndex,
        speed: float | None,
        output: ReplayOutput,
        snapshots: RecordedSnapshots,
        clock: Clock | None = None,
    ) -> None:
        self.topics_by_kind: dict[tuple[str, bool], SubscribedTopics] = {}
        self.ended = threading.Event()
        self.error: KucoinSyncError | None = None
        self.now_ns = index.begin_ns
        self._index = index
        self._speed = speed
        self._output = output
        self._snapshots = snapshots
        self._clock = clock or Clock()
        self._lock = threading.Lock()  # guards the following four
        self._started = False
        self._closed = False
        self._target: int | None = None  # the time to move to
        self._moved_at = 0.0  # the instant of the last move, or of the start
        self._wakeup = threading.Event()  # set when the thread has to play or to end
        self._interruption = threading.Event()  # set when the thread has to stop what it plays
        self._known_room = 0.0  # messages that fit into every queue, by the last measurement
        self._time_origin = 0.0, 0  # an instant, and the time in the recording at that instant
        self.thread: threading.Thread = Thread(name="kucoin-replay")  # a placeholder until `start`

    @property
    def over(self) -> bool:
        """Whether the thread was started and has ended."""
        return self.thread.ident is not None and not self.thread.is_alive()

    def start(self) -> None:
        """Begin to play. After the end, only end the subscriptions that were made since."""
        with self._lock:
            if self.thread.ident is None and not self._closed:
                self.thread = start_thread(self._run, name="kucoin-replay")
            if not self._started:
                self._moved_at = self._clock.now()
            self._started = True
        self._wakeup.set()
        if self.ended.is_set():
            for consumer in self._consumers():
                self._finish(consumer)

    def move(self, at_ns: int) -> None:
        """Continue at another time. After the end of the recording, the next `start` does this."""
        with self._lock:
            self._target, self._moved_at = at_ns, self._clock.now()
            self.now_ns = at_ns
            self.error = None
            if self.ended.is_set():
                self._started = False
                self.ended.clear()
            self._interruption.set()
        self._snapshots.discard()

    def changed(self) -> None:
        """Measure the room in the queues again, because the subscriptions have changed."""
        self._known_room = 0.0

    def close(self) -> None:
        """Tell the thread to end."""
        with self._lock:
            self._closed = True
            self._interruption.set()
        self._wakeup.set()

    def after_fork(self) -> None:
        """Close the player in a forked child, which does not have the thread."""
        self._lock, self._wakeup, self._interruption = threading.Lock(), threading.Event(), threading.Event()
        self.close()

    # The thread

    def _run(self) -> None:
        while self._wait_to_play():
            with self._lock:
                self._interruption.clear()
                target, self._target = self._target, None
                since = self._moved_at
                if self._closed:
                    return
            try:
                self._play(target, since)
                self._end()
            except _Interrupted:
                continue
            except BaseException as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the replay, its books and its subscriptions with an error; a move to another time begins again."""
        path = self._index.name
        failure = error if isinstance(error, KucoinSyncError) else None
        if failure is None:
            log(logging.ERROR, "a defect has ended the replay of %s", path, error=error)
            failure = RecordingError(f"the replay of {path} has failed: {reason_of(error)}; seek() begins it again")
        self.error = failure
        with guarded("the failure of a replay could not be reported"):
            self._output.emit(ReplayFailed(path, failure))
        for book, _ in self._output.books():
            with guarded("%r could not be ended", book):
                book.end(failure)
        for consumer in self._consumers():
            with guarded("%r could not be ended", consumer):
                self._finish(consumer)
        self.ended.set()

    def _finish(self, consumer: ReplayConsumer) -> None:
        """End a subscription, with the replay's error if it has failed."""
        if self.error is not None:
            consumer.message_queue.finish(self.error)
        consumer.finish()

    def _wait_to_play(self) -> bool:
        """Wait until there is something to play; return False if the player is closed."""
        while True:
            self._wakeup.wait()
            with self._lock:
                if self._closed:
                    return False
                if self._started and not self.ended.is_set():
                    return True
                self._wakeup.clear()

    def _play(self, target: int | None, since: float) -> None:
        begin = self._index.begin_ns if target is None else target
        if target is not None:
            self._restart_books()
        position, silent_to = self._start_position(begin)
        self._time_origin = since, begin
        catching_up = False
        for record in self._index.read(position, self._open):
            self._check()
            if isinstance(record, format.Batch):
                at = record.origin.received_ns
                if at < silent_to:
                    catching_up = self._deliver_to_books(record) or catching_up
                else:
                    if catching_up:  # catching up took time, so the clock starts now
                        self._time_origin, catching_up = (self._clock.now(), begin), False
                    self._wait_for(at)
                    self._deliver(record)
            elif not isinstance(record, format.Header):
                if record.at_ns >= silent_to:
                    self._wait_for(record.at_ns)
                self._handle_line(record, silent=record.at_ns < silent_to)

    def _open(self, path: Path) -> BinaryIO:
        """Open a file of the recording; retry while the system has no file descriptor or memory for it."""
        delays = backoff.retry_delays()
        while True:
            try:
                return open(path, "rb")
            except (OSError, MemoryError) as error:
                missing = shortage_error(error, "the file")
                if missing is None:
                    raise
            delay = next(delays)
            self._output.emit(ReplayDelayed(str(path), missing, delay))
            if self._interruption.wait(delay):
                raise _Interrupted

    def _start_position(self, begin: int) -> tuple[BlockPosition | None, int]:
        """Return the position to read from, and the time before which nothing is delivered."""
        if begin <= self._index.begin_ns:
            return None, 0
        position = self._index.position_at(begin)
        for book in self._snapshots.waiting():
            source = book.source
            known = self._index.snapshots.get((source.market, source.path, source.symbol), ())
            before = [where for at, where in known if at <= begin]
            position = min([position, *before[-1:]])
        return position, begin

    def _restart_books(self) -> None:
        """Make the books start again from the next snapshot that fits."""
        error = ConnectionFailed("the replay was moved to another time")
        for (market, private), topics in list(self.topics_by_kind.items()):
            if not private:
                self._lose(market, None, error)
                for book, _ in self._output.books():
                    book.allow_older()
                keys = topics.set_carried(None, carried=True)
                topics.sources[0].owner.acked(topics.sources[0], keys)

    def _end(self) -> None:
        """End books, subscriptions and callbacks after the last message."""
        self._settle_books()
        self._snapshots.finish()
        for book, _ in self._output.books():
            book.finish_listeners()
        last = self._index.files[-1]  # reported first, because a consumer may close the stream at the end
        self._output.emit(RecordingEnded(str(last), last not in self._index.torn))
        consumers = self._consumers()
        with_callback = [consumer for consumer in consumers if consumer.callback is not None]
        for consumer in consumers:
            if consumer.callback is None:
                consumer.finish()
            else:
                consumer.message_queue.finish(None)
        self._poll_until(lambda: all(not len(consumer.message_queue) for consumer in with_callback), "callbacks")
        for consumer in with_callback:  # last, so that unsubscribing stops pending callbacks until here
            consumer.finish()
        with self._lock:
            self._check()
            self.ended.set()

    def _consumers(self) -> list[ReplayConsumer]:
        """Return the subscriptions that do not belong to books."""
        of_books = {id(consumer) for _, consumer in self._output.books()}
        return [consumer for consumer in self._output.consumers() if id(consumer) not in of_books]

    def _check(self) -> None:
        if self._interruption.is_set():
            raise _Interrupted

    def _wait_for(self, at_ns: int) -> None:
        """Wait until the replay reaches a time of the recording."""
        if self._speed is not None:
            now = self._clock.now()
            began, began_ns = self._time_origin
            early = began + (at_ns - began_ns) / 1e9 / self._speed - now
            if early > 0 and self._clock.wait(self._interruption, early):
                raise _Interrupted
        self.now_ns = at_ns

    def _poll_until(self, true: Callable[[], bool], what: str) -> None:
        """Poll a condition of the consumers until it holds. They do not notify the player, to keep reading fast."""
        pause, since, warned = 0.0005, time.monotonic(), False
        while not true():
            if self._interruption.wait(pause):
                raise _Interrupted
            pause = min(1.5 * pause, 0.02)
            if not warned and time.monotonic() - since > _STALLED:
                warned = True
                log(
                    logging.WARNING,
                    "the replay waits for %s to take what waits for them: does somebody still read?",
                    what,
                )

    # What is in the recording

    def _deliver(self, batch: format.Batch) -> None:
        topics = self.topics_by_kind.get((batch.origin.market, batch.origin.private))
        if topics is None:
            return
        source = topics.sources[0]
        pushes = topics.pushes(batch, source.owner.payload_mismatch)
        if self._speed is not None:
            if pushes:
                source.deliver_recorded(pushes, batch.origin.epoch)
            return
        start = 0
        while start < len(pushes):
            room = int(min(self._room(len(pushes) - start), len(pushes) - start))
            source.deliver_recorded(pushes[start : start + room], batch.origin.epoch)
            start += room

    def _room(self, wanted: int) -> float:
        """Return how many messages may be delivered now; wait until it is at least one."""
        if self._known_room < wanted:
            self._known_room = self._measure()
            if self._known_room < 1:
                self._poll_until(lambda: self._measure() >= 1, "subscriptions")
                self._known_room = self._measure()
        room = min(self._known_room, wanted)
        self._known_room -= room
        return max(1.0, room)

    def _measure(self) -> float:
        rooms = [consumer.message_queue.room() for consumer in self._output.consumers()]
        rooms += [book.free_capacity(consumer.message_queue) for book, consumer in self._output.books()]
        return min(rooms, default=math.inf)

    def _deliver_to_books(self, batch: format.Batch) -> bool:
        """Give books their updates from before the time of a move; return whether there are books."""
        topics = self.topics_by_kind.get((batch.origin.market, False))
        if batch.origin.private or topics is None or not self._output.books():
            return False
        pushes = topics.pushes(batch, topics.sources[0].owner.payload_mismatch)
        for push in pushes:
            topic = channel_of(push)[0]
            for book, consumer in self._output.books():
                if book.source.topic == topic:
                    self._poll_until(lambda: consumer.message_queue.room() >= 1, "books")  # noqa: B023 - called at once
                    consumer.put_many([push])
        return True

    def _handle_line(self, record: format.Line, *, silent: bool) -> None:
        if isinstance(record, format.Snapshot):
            if self._snapshots.books_waiting_for(record):
                self._settle_books()
            self._snapshots.pass_snapshot(record)
        elif isinstance(record, format.Subscribed):
            topics = self.topics_by_kind.get((record.market, record.private))
            if topics is not None:
                keys = topics.set_carried([TopicKey(*each) for each in record.topics], carried=True)
                topics.sources[0].owner.acked(topics.sources[0], keys)
        elif isinstance(record, format.Lost):
            self._snapshots.discard(record.topics)
            self._lose(record.market, [TopicKey(topic) for topic in record.topics], ConnectionFailed(record.error))
        elif isinstance(record, format.Dropped):
            self._snapshots.discard()
            self._output.emit(FramesMissing(record.count, record.reason))
        elif isinstance(record, (format.Connected, format.Disconnected)) and not silent:
            self._report_connection(record)

    def _report_connection(self, record: format.Connected | format.Disconnected) -> None:
        topics = self.topics_by_kind.get((record.market, record.private))
        if topics is None:
            return
        which = record.market, record.private, record.epoch
        counts = topics.sources[0].counts
        if isinstance(record, format.Connected):
            counts.reconnects += counts.connects > 0
            counts.connects += 1
            self._output.emit(Connected(*which, record.host))
        else:
            counts.disconnects += 1
            error = ConnectionFailed(record.error)
            self._output.emit(Disconnected(*which, record.code, record.reason, error, 0.0))

    def _lose(self, market: str, keys: Sequence[TopicKey] | None, error: ConnectionFailed) -> None:
        """Tell books that these public topics, or all, are no longer carried."""
        topics = self.topics_by_kind.get((market, False))
        if topics is None:
            return
        self._settle_books()
        topics.set_carried(keys, carried=False)
        for source in topics.sources:
            source.owner.failed(source, error, fatal=False)

    def _settle_books(self) -> None:
        """Wait until the books have applied all delivered updates."""
        for book, consumer in self._output.books():
            self._poll_until(lambda: not len(consumer.message_queue) or book.ended is not None, "books")  # noqa: B023 - called at once
            with book.lock:
                pass  # the last update is applied under this lock
