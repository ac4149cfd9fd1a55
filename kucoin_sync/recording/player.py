"""The thread that plays a recording: it reads, waits for the time of each message, and lets the carriers bring it.

Rules:
1. Nothing is played before `start`. Everything is played in the order in which it was recorded.
2. At a speed, a message is brought when its time has come, whether the consumers keep up or not, as on the live feed.
   Without one it is brought as soon as every queue has room for it: nobody is overtaken, nothing is dropped.
3. Books have taken what was recorded before a snapshot or a loss when they are told of it.
4. Moved to a time, the replay is silent up to it. Only the books get what they need from before: everything since the
   last snapshot of theirs.
5. Behind the last message the subscriptions end, the books stay to be read.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..delivery.queue import Inbox
from ..events import Connected, Disconnected, Event
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal import backoff
from ..internal.guard import Thread, guarded, log
from ..internal.resources import shortage_error, start_thread
from ..protocol.envelopes import Pushes, channel_of
from ..protocol.session_events import TopicKey
from . import format
from .errors import FramesMissing, RecordingEnded, RecordingError, ReplayDelayed, ReplayFailed, reason_of
from .index import Place, RecordingIndex
from .recorded_snapshots import RecordedSnapshots
from .replay_source import Track

__all__ = ["Clock", "Player", "Stage"]

_STALLED = 5.0


class Clock:
    """Seconds, and how to wait for them."""

    def now(self) -> float:
        """Return the instant."""
        return time.monotonic()

    def wait(self, interruption: threading.Event, seconds: float) -> bool:
        """Wait until something interrupts; whether it did within `seconds`."""
        return interruption.wait(min(seconds, threading.TIMEOUT_MAX))


class ReplayConsumer(Protocol):
    """A subscription, as the player sees it."""

    @property
    def inbox(self) -> Inbox: ...
    @property
    def callback(self) -> Any: ...
    def put_many(self, pushes: Pushes, /) -> None: ...
    def finish(self) -> None: ...


class Stage(Protocol):
    """What the player asks of the stream that it plays for."""

    def consumers(self) -> Sequence[ReplayConsumer]:
        """Return the subscriptions, the books' included."""

    def books(self) -> Sequence[tuple[Any, ReplayConsumer]]:
        """Return the books that live, and what each has its updates from."""

    def emit(self, event: Event) -> None:
        """Take an event."""


class _Interrupted(Exception):
    """The replay is moved or closed."""


class Player:
    """Plays one recording for one stream.

    Args:
        speed: 1.0 for as it was, 2.0 for twice as fast; None for as fast as the consumers take it.
        snapshots: told of what the replay comes by.

    Attributes:
        ended: set behind the last message, when what was to be run by callbacks was.
        error: why it has ended before that, None where it has not.
        now_ns: the time in the recording.
    """

    def __init__(
        self,
        library: RecordingIndex,
        speed: float | None,
        stage: Stage,
        snapshots: RecordedSnapshots,
        clock: Clock | None = None,
    ) -> None:
        self.tracks: dict[tuple[str, bool], Track] = {}
        self.ended = threading.Event()
        self.error: KucoinSyncError | None = None
        self.now_ns = library.begin_ns
        self._library = library
        self._speed = speed
        self._stage = stage
        self._snapshots = snapshots
        self._clock = clock or Clock()
        self._lock = threading.Lock()  # guards the following four
        self._started = False
        self._closed = False
        self._target: int | None = None  # the time to move to
        self._since = 0.0  # the instant at which that was said, or at which it was started
        self._go = threading.Event()  # there is something to do for the thread
        self._interruption = threading.Event()  # and it is to leave what it is doing
        self._credit = 0.0  # messages that there is room for, as far as the thread knows
        self._zero = 0.0, 0  # an instant, and the time in the recording then
        self.thread: threading.Thread = Thread(name="kucoin-replay")  # which stands for one until `start`

    @property
    def over(self) -> bool:
        """Whether the thread has run and ended."""
        return self.thread.ident is not None and not self.thread.is_alive()

    def start(self) -> None:
        """Begin to play; again, after the end, it only ends the subscriptions that were made since."""
        with self._lock:
            if self.thread.ident is None and not self._closed:
                self.thread = start_thread(self._run, name="kucoin-replay")
            if not self._started:
                self._since = self._clock.now()
            self._started = True
        self._go.set()
        if self.ended.is_set():
            for consumer in self._consumers():
                self._finish(consumer)

    def move(self, at_ns: int) -> None:
        """Go on at a time; where the end was reached, after the next `start`."""
        with self._lock:
            self._target, self._since = at_ns, self._clock.now()
            self.now_ns = at_ns
            self.error = None
            if self.ended.is_set():
                self._started = False
                self.ended.clear()
            self._interruption.set()
        self._snapshots.outdated()

    def changed(self) -> None:
        """There are others who want to be given something."""
        self._credit = 0.0

    def close(self) -> None:
        """Let the thread end."""
        with self._lock:
            self._closed = True
            self._interruption.set()
        self._go.set()

    def after_fork(self) -> None:
        """Be closed in a forked child, which has not got the thread."""
        self._lock, self._go, self._interruption = threading.Lock(), threading.Event(), threading.Event()
        self.close()

    # The thread

    def _run(self) -> None:
        while self._next_go():
            with self._lock:
                self._interruption.clear()
                target, self._target = self._target, None
                since = self._since
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
        """End with an error, and with it all that depends on the replay; it can be moved to another time."""
        path = self._library.name
        failure = error if isinstance(error, KucoinSyncError) else None
        if failure is None:
            log(logging.ERROR, "a defect has ended the replay of %s", path, error=error)
            failure = RecordingError(f"the replay of {path} has failed: {reason_of(error)}; seek() begins it again")
        self.error = failure
        with guarded("that a replay has failed could not be told"):
            self._stage.emit(ReplayFailed(path, failure))
        for book, _ in self._stage.books():
            with guarded("%r could not be ended", book):
                book.end(failure)
        for consumer in self._consumers():
            with guarded("%r could not be ended", consumer):
                self._finish(consumer)
        self.ended.set()

    def _finish(self, consumer: ReplayConsumer) -> None:
        """End a subscription behind the last message, or with what the replay has failed with."""
        if self.error is not None:
            consumer.inbox.finish(self.error)
        consumer.finish()

    def _next_go(self) -> bool:
        """Wait until there is something to play; False where the end has come."""
        while True:
            self._go.wait()
            with self._lock:
                if self._closed:
                    return False
                if self._started and not self.ended.is_set():
                    return True
                self._go.clear()

    def _play(self, target: int | None, since: float) -> None:
        begin = self._library.begin_ns if target is None else target
        if target is not None:
            self._restart_books()
        place, silent_to = self._beginning(begin)
        self._zero = since, begin
        catching_up = False
        for record in self._library.read(place, self._open):
            self._check()
            if isinstance(record, format.Batch):
                at = record.origin.received_ns
                if at < silent_to:
                    catching_up = self._bring_to_books(record) or catching_up
                else:
                    if catching_up:  # which took its time
                        self._zero, catching_up = (self._clock.now(), begin), False
                    self._wait_for(at)
                    self._bring(record)
            elif not isinstance(record, format.Header):
                if record.at_ns >= silent_to:
                    self._wait_for(record.at_ns)
                self._tell(record, silent=record.at_ns < silent_to)

    def _open(self, path: Path) -> BinaryIO:
        """Open a file of the recording, as soon as there is a descriptor for it."""
        delays = backoff.retry_delays()
        while True:
            try:
                return open(path, "rb")
            except (OSError, MemoryError) as error:
                missing = shortage_error(error, "the file")
                if missing is None:
                    raise
            delay = next(delays)
            self._stage.emit(ReplayDelayed(str(path), missing, delay))
            if self._interruption.wait(delay):
                raise _Interrupted

    def _beginning(self, begin: int) -> tuple[Place | None, int]:
        """Return where to read from, and up to which time silently, to play from a time on."""
        if begin <= self._library.begin_ns:
            return None, 0
        place = self._library.place_at(begin)
        for book in self._snapshots.waiting():
            source = book.source
            known = self._library.snapshots.get((source.market, source.path, source.symbol), ())
            before = [where for at, where in known if at <= begin]
            place = min([place, *before[-1:]])
        return place, begin

    def _restart_books(self) -> None:
        """Have the books begin again with the next snapshot that fits."""
        error = ConnectionFailed("the replay was moved to another time")
        for (market, private), track in list(self.tracks.items()):
            if not private:
                self._lose(market, None, error)
                for book, _ in self._stage.books():
                    book.allow_older()
                keys = track.set_carried(None, carried=True)
                track.carriers[0].owner.acked(track.carriers[0], keys)

    def _end(self) -> None:
        """Behind the last message."""
        self._settle_books()
        self._snapshots.finish()
        for book, _ in self._stage.books():
            book.finish_listeners()
        last = self._library.files[-1]  # told of first: whoever sees the end may close the stream at once
        self._stage.emit(RecordingEnded(str(last), last not in self._library.torn))
        consumers = self._consumers()
        with_callback = [consumer for consumer in consumers if consumer.callback is not None]
        for consumer in consumers:
            if consumer.callback is None:
                consumer.finish()
            else:
                consumer.inbox.finish(None)
        self._until(lambda: all(not len(consumer.inbox) for consumer in with_callback), "callbacks")
        for consumer in with_callback:  # only now, so that who unsubscribes their topics meanwhile stops the calls
            consumer.finish()
        with self._lock:
            self._check()
            self.ended.set()

    def _consumers(self) -> list[ReplayConsumer]:
        """Return the subscriptions that are no books'."""
        of_books = {id(consumer) for _, consumer in self._stage.books()}
        return [consumer for consumer in self._stage.consumers() if id(consumer) not in of_books]

    def _check(self) -> None:
        if self._interruption.is_set():
            raise _Interrupted

    def _wait_for(self, at_ns: int) -> None:
        """Wait until the time has come at which something was recorded."""
        if self._speed is not None:
            now = self._clock.now()
            began, began_ns = self._zero
            early = began + (at_ns - began_ns) / 1e9 / self._speed - now
            if early > 0 and self._clock.wait(self._interruption, early):
                raise _Interrupted
        self.now_ns = at_ns

    def _until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something is true of the consumers. They tell nobody: that would cost them too much."""
        pause, since, told = 0.0005, time.monotonic(), False
        while not true():
            if self._interruption.wait(pause):
                raise _Interrupted
            pause = min(1.5 * pause, 0.02)
            if not told and time.monotonic() - since > _STALLED:
                told = True
                log(
                    logging.WARNING,
                    "the replay waits for %s to take what waits for them: does somebody still read?",
                    what,
                )

    # What is in the recording

    def _bring(self, batch: format.Batch) -> None:
        track = self.tracks.get((batch.origin.market, batch.origin.private))
        if track is None:
            return
        carrier = track.carriers[0]
        pushes = track.pushes(batch, carrier.owner.payload_mismatch)
        if self._speed is not None:
            if pushes:
                carrier.bring(pushes, batch.origin.epoch)
            return
        start = 0
        while start < len(pushes):
            room = int(min(self._room(len(pushes) - start), len(pushes) - start))
            carrier.bring(pushes[start : start + room], batch.origin.epoch)
            start += room

    def _room(self, wanted: int) -> float:
        """Return how many messages may be brought now, waiting until it is one at least."""
        if self._credit < wanted:
            self._credit = self._measure()
            if self._credit < 1:
                self._until(lambda: self._measure() >= 1, "subscriptions")
                self._credit = self._measure()
        room = min(self._credit, wanted)
        self._credit -= room
        return max(1.0, room)

    def _measure(self) -> float:
        rooms = [consumer.inbox.room() for consumer in self._stage.consumers()]
        rooms += [book.free_capacity(consumer.inbox) for book, consumer in self._stage.books()]
        return min(rooms, default=math.inf)

    def _bring_to_books(self, batch: format.Batch) -> bool:
        """Give books what they need from before the time that the replay was moved to; whether there are any."""
        track = self.tracks.get((batch.origin.market, False))
        if batch.origin.private or track is None or not self._stage.books():
            return False
        pushes = track.pushes(batch, track.carriers[0].owner.payload_mismatch)
        for push in pushes:
            topic = channel_of(push)[0]
            for book, consumer in self._stage.books():
                if book.source.topic == topic:
                    self._until(lambda: consumer.inbox.room() >= 1, "books")  # noqa: B023 - called at once
                    consumer.put_many([push])
        return True

    def _tell(self, record: format.Line, *, silent: bool) -> None:
        if isinstance(record, format.Snapshot):
            if self._snapshots.waits_for(record):
                self._settle_books()
            self._snapshots.passes(record)
        elif isinstance(record, format.Subscribed):
            track = self.tracks.get((record.market, record.private))
            if track is not None:
                keys = track.set_carried([TopicKey(*each) for each in record.topics], carried=True)
                track.carriers[0].owner.acked(track.carriers[0], keys)
        elif isinstance(record, format.Lost):
            self._snapshots.outdated(record.topics)
            self._lose(record.market, [TopicKey(topic) for topic in record.topics], ConnectionFailed(record.error))
        elif isinstance(record, format.Dropped):
            self._snapshots.outdated()
            self._stage.emit(FramesMissing(record.count, record.reason))
        elif isinstance(record, (format.Connected, format.Disconnected)) and not silent:
            self._tell_of_connection(record)

    def _tell_of_connection(self, record: format.Connected | format.Disconnected) -> None:
        track = self.tracks.get((record.market, record.private))
        if track is None:
            return
        which = record.market, record.private, record.epoch
        counts = track.carriers[0].counts
        if isinstance(record, format.Connected):
            counts.reconnects += counts.connects > 0
            counts.connects += 1
            self._stage.emit(Connected(*which, record.host))
        else:
            counts.disconnects += 1
            error = ConnectionFailed(record.error)
            self._stage.emit(Disconnected(*which, record.code, record.reason, error, 0.0))

    def _lose(self, market: str, keys: Sequence[TopicKey] | None, error: ConnectionFailed) -> None:
        """Tell books that public topics, or all, are not carried any more."""
        track = self.tracks.get((market, False))
        if track is None:
            return
        self._settle_books()
        track.set_carried(keys, carried=False)
        for carrier in track.carriers:
            carrier.owner.failed(carrier, error, fatal=False)

    def _settle_books(self) -> None:
        """Wait until the books have taken what was brought."""
        for book, consumer in self._stage.books():
            self._until(lambda: not len(consumer.inbox) or book.ended is not None, "books")  # noqa: B023 - called at once
            with book.lock:
                pass  # the last of it is applied under this lock
