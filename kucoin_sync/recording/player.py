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
import threading
import time
from pathlib import Path
from typing import BinaryIO

from ..exceptions import KucoinSyncError
from ..internal import backoff
from ..internal.flag import Flag
from ..internal.guard import Thread, guarded, log
from ..internal.resources import shortage_error, start_thread
from . import format
from .errors import RecordingEnded, RecordingError, ReplayDelayed, ReplayFailed, reason_of
from .index import BlockPosition, RecordingIndex
from .playback import Interrupted, Playback, ReplayConsumer, ReplayOutput
from .recorded_snapshots import RecordedSnapshots

__all__ = ["Clock", "Player"]


class Clock:
    """The clock of a replay; tests replace it."""

    def now(self) -> float:
        """Return the current instant, in seconds."""
        return time.monotonic()

    def wait(self, interruption: Flag, seconds: float) -> bool:
        """Wait for `interruption`, at most `seconds`; return whether it is set."""
        return interruption.wait(seconds)


class Player:
    """Plays one recording for one stream.

    Args:
        speed: 1.0 plays in real time, 2.0 twice as fast; None as fast as the consumers read.
        snapshots: gives books the snapshots that the replay passes.

    Attributes:
        ended: set after the last message, when all callbacks have returned, and when the player is closed.
        cut: the player was closed before the last message.
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
        self.playback = Playback(output, snapshots, paced=speed is not None)
        self.ended = Flag()
        self.cut = False
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
        self._wakeup = Flag()  # set when the thread has to play or to end
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
                wanted = Flag()
                wanted.set()
                try:
                    self.thread = start_thread(self._run, wanted, name="kucoin-replay")
                except BaseException:
                    wanted.clear()  # an interrupted start may have left a running thread
                    self._wakeup.set()
                    raise
            if not self._started:
                self._moved_at = self._clock.now()
            self._started = True
        self._wakeup.set()
        if self.ended.is_set():
            for consumer in self.playback.consumers():
                self._finish(consumer)

    def move(self, at_ns: int) -> None:
        """Continue at another time. After the end of the recording, the next `start` does this."""
        with self._lock:
            self._target, self._moved_at = at_ns, self._clock.now()
            self.now_ns = at_ns
            self.error = None
            if self.ended.is_set() and not self._closed:
                self._started = False
                self.ended.clear()
            self.playback.interruption.set()
        self._snapshots.discard()

    def close(self) -> None:
        """Tell the thread to end."""
        with self._lock:
            self._closed = True
            self.cut |= not self.ended.is_set()
            self.ended.set()
            self.playback.interruption.set()
        self._wakeup.set()

    def after_fork(self) -> None:
        """Close the player in a forked child, which does not have the thread."""
        self._lock, self._wakeup, self.playback.interruption = threading.Lock(), Flag(), Flag()
        ended, self.ended = self.ended.is_set(), Flag()
        if ended:
            self.ended.set()
        self.close()

    # The thread

    def _run(self, wanted: Flag) -> None:
        while self._wait_to_play(wanted):
            with self._lock:
                self.playback.interruption.clear()
                target, self._target = self._target, None
                since = self._moved_at
                if self._closed:
                    return
            try:
                self._play(target, since)
                self._end()
            except Interrupted:
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
        for consumer in self.playback.consumers():
            with guarded("%r could not be ended", consumer):
                self._finish(consumer)
        self.ended.set()

    def _finish(self, consumer: ReplayConsumer) -> None:
        """End a subscription, with the replay's error if it has failed."""
        if self.error is not None:
            consumer.message_queue.finish(self.error)
        consumer.finish()

    def _wait_to_play(self, wanted: Flag) -> bool:
        """Wait until there is something to play; return False if the player is closed or the thread not wanted."""
        while True:
            self._wakeup.wait()
            with self._lock:
                if self._closed or not wanted.is_set():
                    return False
                if self._started and not self.ended.is_set():
                    return True
                self._wakeup.clear()

    def _play(self, target: int | None, since: float) -> None:
        begin = self._index.begin_ns if target is None else target
        if target is not None:
            self.playback.restart_books()
        position, silent_to = self._start_position(begin)
        self._time_origin = since, begin
        catching_up = False
        for record in self._index.read(position, self._open):
            self._check()
            if isinstance(record, format.Batch):
                at = record.origin.received_ns
                if at < silent_to:
                    catching_up = self.playback.deliver_to_books(record) or catching_up
                else:
                    if catching_up:  # catching up took time, so the clock starts now
                        self._time_origin, catching_up = (self._clock.now(), begin), False
                    self._wait_for(at)
                    self.playback.deliver(record)
            elif not isinstance(record, format.Header):
                if record.at_ns >= silent_to:
                    self._wait_for(record.at_ns)
                self.playback.handle_line(record, silent=record.at_ns < silent_to)

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
            if self.playback.interruption.wait(delay):
                raise Interrupted

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

    def _end(self) -> None:
        """End books, subscriptions and callbacks after the last message."""
        self.playback.settle_books()
        self._snapshots.finish()
        for book, _ in self._output.books():
            book.finish_listeners()
        last = self._index.files[-1]  # reported first, because a consumer may close the stream at the end
        self._output.emit(RecordingEnded(str(last), last not in self._index.torn))
        consumers = self.playback.consumers()
        with_callback = [consumer for consumer in consumers if consumer.callback is not None]
        for consumer in consumers:
            if consumer.callback is None:
                consumer.finish()
            else:
                consumer.message_queue.finish(None)
        self.playback.poll_until(
            lambda: all(not len(consumer.message_queue) for consumer in with_callback), "callbacks"
        )
        for consumer in with_callback:  # last, so that unsubscribing stops pending callbacks until here
            consumer.finish()
        with self._lock:
            self._check()
            self.ended.set()

    def _check(self) -> None:
        if self.playback.interruption.is_set():
            raise Interrupted

    def _wait_for(self, at_ns: int) -> None:
        """Wait until the replay reaches a time of the recording."""
        if self._speed is not None:
            now = self._clock.now()
            began, began_ns = self._time_origin
            early = began + (at_ns - began_ns) / 1e9 / self._speed - now
            if early > 0 and self._clock.wait(self.playback.interruption, early):
                raise Interrupted
        self.now_ns = at_ns
