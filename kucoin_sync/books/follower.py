"""One local order book that follows the exchange: its calibration, its readers and the listeners to its changes.

Rules:
1. A snapshot is requested once the server sends the book's topic. An earlier snapshot might lack updates that are never
   pushed.
2. The book can't be read from the moment its connection is lost; it does not wait for the next update to show that. A
   connection that is replaced without a gap loses nothing, so a new epoch alone means nothing: the sequences decide.
3. Updates dropped before they reached the book count as missing.
4. A snapshot requested before the latest loss is ignored.
5. An end is final: the book was closed, its topic was unsubscribed or refused, or REST refused with an error that no
   later attempt can fix; see `exceptions.is_fatal`.
6. Pushed snapshots come among the updates. What waits when the connection is lost is dropped: a snapshot from before
   would make a book readable that gets no updates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from ..delivery.queue import MessageQueue
from ..delivery.subscription import Subscription
from ..events import BookFailed, Event, Overflowed, SnapshotFailed
from ..exceptions import BookNotReady, StreamClosed
from ..internal.fork import register
from ..internal.signals import is_reentrant
from ..protocol.envelopes import RawPush, opened
from ..protocol.message import UNREADABLE
from . import BookChange, BookSource, Calibration, PushedCalibration, Update
from .base import Book
from .followed import Followed
from .listeners import BookListener, ChangeListeners, state_events

__all__ = ["BookJob", "Follower"]

B = TypeVar("B", bound=Book[Any])
C = TypeVar("C", bound=BookChange[Any])
T = TypeVar("T")


class Follower(Followed, Generic[B, C]):
    """Keeps one book in step with the exchange. All methods may be called from any thread.

    The lock guards the book and the attributes below.

    Attributes:
        was_live: whether the book was ever ready.
        awaits_push: whether a pushed snapshot is to be expected, because the server has just begun to send the topic.
        received_ns: when the newest update was read from the socket.
    """

    def __init__(self, source: BookSource, owner: BookListener) -> None:
        listeners = ChangeListeners(source)
        super().__init__(source, listeners)
        self.source = source
        self.was_live = self.awaits_push = False
        self.calibration: Calibration[B, Any] = (PushedCalibration if source.feed.pushed else Calibration)(source.feed)
        self.received_ns = 0
        self._owner = owner
        self._subscribed = False  # whether the server is known to send the topic
        self._known_dropped = 0  # updates before the next one that are already known to be missing
        self._snapshot_error = ""  # why the last attempt to get a snapshot failed
        self._events: list[Event] = []  # to be emitted once the lock is released
        self._listeners: ChangeListeners = listeners
        self._owner_told = False  # whether the owner knows that the book has ended
        register(self)

    def after_fork(self) -> None:
        """Start again in a forked child: another thread of the parent may have been applying an update."""
        self.make_locks()
        self._events = []
        self._subscribed, self._known_dropped, self._snapshot_error = False, 0, ""
        if self.ended is None:
            self.calibration = self.calibration.replacement("this process was forked from the one in which it was kept")
            self.alert_listeners()

    @property
    def live(self) -> bool:
        """Whether the book can be read."""
        return self.calibration.live and self.ended is None

    def __repr__(self) -> str:
        return f"<Follower of {self.source}: {self.ended or self.calibration}>"

    # Reading

    def read(self, how: Callable[[B], T]) -> T:
        """Return `how(book)`, called under the lock.

        Raises:
            BookNotReady: the book can't be read; the text says why.
        """
        self.first_use()
        return self.under_lock(lambda: how(self.require_book()))

    def require_book(self) -> B:
        """Return the book, to be read under the lock; raises BookNotReady or StreamClosed if it can't be read."""
        if self.ended is not None:
            text = f"{self.source} can't be read any more: {self.ended}"
            raise StreamClosed(text) if self._owner.closed else BookNotReady(text)
        if not self.calibration.live:
            raise BookNotReady(f"{self.source} can't be read until a new snapshot has come, because {self._reason()}")
        return self.calibration.book

    def wait(self, timeout: float | None) -> None:
        """Wait until the book can be read.

        Raises:
            BookNotReady: it was not ready within `timeout` seconds.
            StreamClosed, SubscriptionRejected, RestError, AuthenticationError, ConnectionFailed: it has ended.
        """
        if not self.wait_until_settled(timeout):
            if is_reentrant() or timeout is None:
                raise BookNotReady(f"{self.source} can't be waited for inside this call, because {self._reason()}")
            obstacle = self._owner.obstacle(self)
            waiting = f". It waits: {obstacle}" if obstacle and obstacle not in self._reason() else ""
            raise BookNotReady(f"{self.source} was not ready within {timeout:g} s, because {self._reason()}{waiting}")
        if self.ended is not None:
            raise self.ended

    def _reason(self) -> str:
        """Return why the book can't be read now: if its snapshot fails or hangs, not the loss before that."""
        today = self._snapshot_error
        if self._needs_snapshot() and (step := self._owner.snapshot_obstacle(self)):
            today = f"its snapshot has not come yet: {step}"
        if today and self.was_live:
            return today
        return f"{self.calibration.reason}; {today}" if today else self.calibration.reason

    # Updates

    def apply_pending(self, message_queue: MessageQueue, most: int) -> None:
        """Apply up to `most` of the messages in a queue, and record the losses that the queue reports."""
        with self.reader_lock:
            pass  # let waiting readers go first
        self._change(partial(self._apply, message_queue, most))

    def _apply(self, message_queue: MessageQueue, most: int) -> None:
        calibration = self.calibration
        push = calibration.push
        read_frame = self.source.feed.read_frame
        for pushed in message_queue.take(most):
            before = calibration.sequence
            if isinstance(pushed, RawPush):
                try:
                    applied = push(read_frame(pushed.frame, pushed.prefix.channel[1]))
                except UNREADABLE:
                    applied = self._push_decoded(pushed)
                self.received_ns = pushed.arrival.received_ns
            else:
                if pushed.lost:
                    self._record_dropped(pushed.lost)
                applied = push(self.source.feed.data_of(pushed), pushed.subject)
                self.received_ns = pushed.received_ns
            if applied and self._listeners:
                self._listeners.publish(applied, before, calibration.resyncs)
        while message_queue.alert and (notice := message_queue.notice()) is not None:
            self._record_dropped(getattr(notice, "dropped", 0), reported_early=True)

    def _push_decoded(self, raw: RawPush) -> Sequence[Update]:
        """Apply an update whose frame has an unusual form; a frame that is not an update counts as missing."""
        message = next(iter(opened((raw,))), None)
        data = b"" if message is None else self.source.feed.data_of(message)
        return self.calibration.push(data, raw.prefix.channel[1])

    def _record_dropped(self, count: int, *, reported_early: bool = False) -> None:
        """Start again because updates were dropped.

        The queue reports a loss, and the next message reports the same loss again; the book starts again only once.
        """
        if count > self._known_dropped:
            self.calibration.invalidate(f"{count} updates came faster than they could be applied and were dropped")
        self._known_dropped = count if reported_early else 0

    def on_subscribed(self, awaits_push: bool = True) -> None:
        """Record that the server sends the topic from now on."""
        self.awaits_push = awaits_push
        self._change(partial(setattr, self, "_subscribed", True))

    def on_connection_lost(self, reason: str, message_queue: MessageQueue | None = None) -> None:
        """Start again: the connection of the topic was lost or could not be opened. Drop the pushes that wait."""

        def invalidate() -> None:
            if message_queue is not None and self.source.feed.pushed:
                while len(message_queue):
                    deque(message_queue.take(len(message_queue)), maxlen=0)
                self._known_dropped = 0
            self._subscribed = False
            if reason != self.calibration.reason:
                self._snapshot_error = ""
            self.calibration.invalidate(reason)

        self._change(invalidate)

    def allow_older(self) -> None:
        """Accept updates older than earlier ones, as when a replay is moved back."""
        self.under_lock(lambda: self.calibration.allow_older())

    def restart(self, reason: str) -> None:
        """Start again with a new snapshot while the connection stays open."""
        self._change(lambda: self.calibration.invalidate(reason))
        if self.snapshot_attempt() is not None:
            self._owner.request_snapshot(self)

    # Snapshots

    def snapshot_attempt(self) -> int | None:
        """Return the number of the attempt that a snapshot is needed for, to be passed to `apply_snapshot`.

        None if no snapshot is needed now.
        """
        return self.under_lock(lambda: self.calibration.attempt if self._needs_snapshot() else None)

    def apply_snapshot(self, data: Any, attempt: int) -> bool:
        """Take a snapshot that was requested for an attempt; return whether another one is needed."""

        def apply() -> bool:
            if self.ended is None:
                applied = self.calibration.snapshot(data, depth=self.source.depth, attempt=attempt)
                if self._listeners:
                    self._listeners.publish(applied, self.calibration.snapshot_sequence, self.calibration.resyncs)
            return self._needs_snapshot()

        return self._change(apply)

    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None:
        """Report that a snapshot failed with `error`, or did not fit, and that the next one comes in `seconds`."""

        def report() -> None:
            if self._needs_snapshot():
                self._snapshot_error = f"a snapshot could not be fetched: {error}" if error else ""
                reason = str(error or self.calibration.reason)
                self._events.append(SnapshotFailed(self.source.symbol, self.source.level, reason, seconds))

        self._change(report)

    # The end

    def end(self, error: Exception) -> None:
        """End the book with an error, if it has not ended yet. `StreamClosed` means that the user asked for it.

        If an earlier call was interrupted, this one completes it.
        """
        _, listeners = self._change(partial(self._end, error))
        if not self._owner_told:
            self._owner.on_ended(self)
            self._owner_told = True
        if isinstance(self.ended, StreamClosed):
            for listener in listeners:
                listener.wait_for_call()

    def give_up(self, attempt: int, error: Exception) -> None:
        """End the book with an error if it still needs the snapshot of `attempt`."""

        def end_if_needed() -> bool:
            needed = self._needs_snapshot() and self.calibration.attempt == attempt
            if needed:
                self._end(error)
            return needed

        if self._change(end_if_needed):
            self.end(error)

    def _end(self, error: Exception) -> tuple[bool, list[Subscription[Any]]]:
        first, listeners = super()._end(error)
        if first and not isinstance(error, StreamClosed):
            self._events.append(BookFailed(self.source.symbol, self.source.level, error))
        return first, listeners

    # Listeners

    def _on_overflow(self, topics: tuple[str, ...], dropped: int) -> None:
        self._events.append(Overflowed(topics, dropped))

    def free_capacity(self, message_queue: MessageQueue) -> float:
        """Return how many more messages `message_queue` can take before a listener has to drop a change."""
        # Under the lock no message is being applied, so each one is in a queue.
        return self.under_lock(lambda: self._listeners.free_capacity() - len(message_queue))

    def finish_listeners(self) -> None:
        """End the listeners after the changes that they already have; the book can still be read."""
        self.under_lock(self._listeners.finish)

    # Changes of state

    def _settled(self) -> bool:
        return self.calibration.live or self.ended is not None

    def _needs_snapshot(self) -> bool:
        return self._subscribed and not self.calibration.live and self.ended is None

    def _change(self, do: Callable[[], T]) -> T:
        """Return `do()`, called with the lock; then emit events, wake waiting threads and request a needed snapshot."""
        result, events, needed = self.update(partial(self._do_and_note, do))
        for event in events:
            self._owner.emit(event)
        if needed:
            self._owner.request_snapshot(self)
        return result

    def _do_and_note(self, do: Callable[[], T]) -> tuple[T, list[Event], bool]:
        """Return `do()`, the events that it causes, and whether a snapshot is needed now (under the lock)."""
        calibration = self.calibration
        needed_before, live, resyncs = self._needs_snapshot(), calibration.live, calibration.resyncs
        result = do()
        if calibration.live != live or calibration.resyncs != resyncs:
            self._events += state_events(self.source, calibration, live, resyncs, self._reason())
            if calibration.live:
                self.was_live, self._snapshot_error = True, ""
            else:
                self.awaits_push = False
        self._wake_waiting()
        events, self._events = self._events, []
        return result, events, self._needs_snapshot() and not needed_before


class BookJob:
    """A book and its subscription. The message queue calls `release` when it has messages, which queues the book."""

    __slots__ = ("_put", "book", "subscription")

    subscription: Subscription

    def __init__(self, book: Follower[Any, Any], put: Callable[[BookJob], object]) -> None:
        self.book = book
        self._put = put

    def release(self) -> None:
        try:
            self._put(self)
        except BaseException:
            self.subscription.message_queue.waiters.append(self)  # the next message releases it
            raise
