"""How one local order book follows the exchange: its calibration, who waits for it, and who is told of its changes.

Rules:
1. A snapshot is asked for once the server carries the book's topic: what an earlier one lacks might never be pushed.
2. The book stops being readable the moment its connection is lost, not when the next update shows it. A connection
   that is replaced without a gap loses nothing, so that its new epoch alone means nothing: the sequences tell.
3. What was dropped on the way to the book counts as missing.
4. An answer to a question asked before the latest loss is not taken.
5. An end is final: the book is closed, its topic was unsubscribed or refused, or REST refused what no later attempt
   can mend; see `exceptions.is_fatal`.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from .books import BookChange, Calibration, Level2BookChange, Level3BookChange, Source, Update
from .books.reading import Book
from .events import BookFailed, BookReady, BookRenumbered, BookResyncing, Event, Overflowed, SnapshotFailed
from .exceptions import BookNotReady, SlowConsumer, StreamClosed
from .forking import enrol, notice
from .gate import Gate
from .inbox import Inbox
from .interruption import interrupting, now_or_later
from .messages import UNREADABLE
from .overflow import inbox_for
from .sealed import Sealed, opened
from .subscription import Subscription

__all__ = ["Follower", "Owner"]

B = TypeVar("B", bound=Book[Any])
C = TypeVar("C", bound=BookChange[Any])
T = TypeVar("T")


class Owner(Protocol):
    """What a book asks of its owner and tells it; never called with the book's lock held."""

    def need(self, book: Any) -> None:
        """Fetch a snapshot soon; see `Follower.asks`."""

    def ended(self, book: Any) -> None:
        """The book has ended."""

    def emit(self, event: Event) -> None:
        """Take an event without waiting."""

    def obstacle(self, book: Any) -> str:
        """Return what the book waits for, "" where nothing is known of that."""

    def use(self) -> None:
        """Somebody wants something of the book."""


class Follower(Generic[B, C]):
    """One book on its way with the exchange. All methods may be called from any thread.

    Attributes:
        lock: guards the book and all below. The thread that has it may take it again, so that a signal's handler can
            read a book wherever it interrupts.
        door: readers take it before the lock, and keep it; updates pass through it. Locks favour those who had them
            last, and under a burst of updates readers would not get at the book.
        ended: why the book has ended, None while it lives.
        was_live: whether it could ever be read.
    """

    def __init__(self, source: Source, owner: Owner) -> None:
        self.source = source
        self._make_locks()
        self.ended: Exception | None = None
        self.was_live = False
        self.calibration: Calibration[B, Any] = Calibration(source.feed)
        self.received_ns = 0  # of the newest update
        self.keeper: object = None  # who has to exist as long as a callback is told of changes
        self._owner = owner
        self._carried = False  # whether the server is known to send the topic
        self._dropped = 0  # how many updates are missing before the next, as far as that is known
        self._trouble = ""  # why the last attempt to get a snapshot failed
        self._events: list[Event] = []  # to be told when the lock is free
        self._make_change: Any = Level3BookChange if source.level == 3 else Level2BookChange
        # Who iterates holds its subscription; here it must not outlive the loop.
        self._listeners: tuple[weakref.ref[Subscription[Any]], ...] = ()
        self._with_callback: list[Subscription[Any]] = []  # these are held here
        self._gates: set[Gate] = set()  # where threads wait for the book to be readable, or ended
        self._end_told = False  # whether the owner knows that it has ended
        self._asleep = False  # in a forked child, until the first use
        self._busy = False  # whether a change is under way
        self._reader = 0  # the identifier of the thread that reads
        enrol(self)

    def _make_locks(self) -> None:
        self.lock = threading.RLock()
        self.door = threading.RLock()

    def forked(self) -> None:
        """Begin again in a forked child: another thread of the parent may have been half-way through an update."""
        self._make_locks()
        self._events = []
        self._busy, self._reader = False, 0
        self._carried = False
        self._dropped = 0
        self._trouble = ""
        if self.ended is None:
            self.calibration = self.calibration.afresh("this process was forked from the one in which it was kept")
            self._asleep = True
            for listener in self._alive():
                listener.inbox.sleep(self.use)

    @property
    def live(self) -> bool:
        """Whether the book can be read."""
        return self.calibration.live and self.ended is None

    def use(self) -> None:
        """Be about to be used; not under the lock."""
        notice()
        if self._asleep:
            self._asleep = False
            try:
                self._owner.use()
            except BaseException:
                self._asleep = True  # until the next time
                raise

    def __repr__(self) -> str:
        return f"<Follower of {self.source}: {self.ended or self.calibration}>"

    # Reading

    def read(self, how: Callable[[B], T]) -> T:
        """Return what `how` makes of the book.

        Raises:
            BookNotReady: it can't be read; the text says why.
        """
        self.use()
        return self.held(lambda: how(self.ready()))

    def held(self, do: Callable[[], T]) -> T:
        """Return what `do` returns, called while the book stays as it is; BookNotReady where that can't be waited for.

        No `contextmanager`, nor is `_change`: where a signal's handler raises between the generator's step and the
        beginning of the block, the locks would stay held as long as somebody keeps the error.
        """
        if self._busy or self._reader:
            self._check_free()
        with self.door, self.lock:
            before, self._reader = self._reader, threading.get_ident()
            try:
                return do()
            finally:
                self._reader = before

    def _check_free(self) -> None:
        """Raise BookNotReady where the caller has interrupted this package, and somebody else has the book.

        That is an update, on this thread or another, or a reader on another thread: the caller's thread may hold what
        they wait for.
        """
        if (self._busy or self._reader != threading.get_ident()) and interrupting():
            raise BookNotReady(f"{self.source} is in use and can't be waited for inside this call; read it later")

    def ready(self) -> B:
        """Return the book, to be read under the lock; BookNotReady where it can't be."""
        if self.ended is not None:
            raise BookNotReady(f"{self.source} can't be read any more: {self.ended}")
        if not self.calibration.live:
            raise BookNotReady(f"{self.source} can't be read until a new snapshot has come, because {self._reason()}")
        return self.calibration.book

    def settle(self, timeout: float | None) -> bool:
        """Wait until the book can be read or has ended; return whether it has come to that within the timeout.

        Where the caller has interrupted this package it does not wait.
        """
        self.use()
        if interrupting():
            return self._settled()
        if self._settled():
            return True
        gate = Gate()
        try:
            if self.held(partial(self._wait_at, gate)):
                return True
            return gate.wait(timeout)
        finally:
            self.held(partial(self._gates.discard, gate))

    def _wait_at(self, gate: Gate) -> bool:
        """Have a gate opened once the book can be read or has ended; return whether it has come to that already."""
        if not self._settled():
            self._gates.add(gate)
        return self._settled()

    def wait(self, timeout: float | None) -> None:
        """Wait until the book can be read.

        Raises:
            BookNotReady: it could not within `timeout` seconds.
            StreamClosed, SubscriptionRejected, RestError, AuthenticationError, ConnectionFailed: it has ended.
        """
        if not self.settle(timeout):
            if interrupting():
                raise BookNotReady(f"{self.source} can't be waited for inside this call, because {self._reason()}")
            obstacle = self._owner.obstacle(self)
            waiting = f". It waits: {obstacle}" if obstacle and obstacle not in self._reason() else ""
            raise BookNotReady(f"{self.source} was not ready within {timeout:g} s, because {self._reason()}{waiting}")
        if self.ended is not None:
            raise self.ended

    def _reason(self) -> str:
        return self.calibration.reason + (f"; {self._trouble}" if self._trouble else "")

    # What comes over the connection

    def take(self, inbox: Inbox, most: int) -> None:
        """Apply up to `most` of the messages that wait in an inbox, and note what the inbox has to say of losses."""
        with self.door:
            pass  # whoever waits to read the book comes first
        self._change(partial(self._apply, inbox, most))

    def _apply(self, inbox: Inbox, most: int) -> None:
        take = inbox.take
        calibration = self.calibration
        push = calibration.push
        read_frame = self.source.feed.read_frame
        for _ in range(most):
            try:
                came = take()
            except IndexError:
                break
            before = calibration.sequence
            if isinstance(came, Sealed):
                try:
                    applied = push(read_frame(came.frame, came.head.kind[1]))
                except UNREADABLE:
                    applied = self._push_anyhow(came)
                self.received_ns = came.batch.received_ns
            else:
                if came.lost:
                    self._drop(came.lost)
                applied = push(came.wire_data, came.subject)
                self.received_ns = came.received_ns
            if applied and self._listeners:
                self._publish(applied, before)
        while inbox.alert and (notice := inbox.notice()) is not None:
            self._drop(getattr(notice, "dropped", 0), told=True)

    def _push_anyhow(self, sealed: Sealed) -> Sequence[Update]:
        """Apply an update of an unusual form; what is none counts as missing."""
        message = next(iter(opened((sealed,))), None)
        return self.calibration.push(b"" if message is None else message.wire_data, sealed.head.kind[1])

    def _drop(self, count: int, *, told: bool = False) -> None:
        """Start again because updates were dropped; once, though the inbox and then the next message both tell."""
        if count > self._dropped:
            self.calibration.lost(f"{count} updates came faster than they could be applied and were dropped")
        self._dropped = count if told else 0

    def carried(self) -> None:
        """The server carries the topic from now on."""

        def carried() -> None:
            self._carried = True

        self._change(carried)

    def lost(self, reason: str) -> None:
        """The connection that carried the topic, or should have, is gone."""

        def lost() -> None:
            self._carried = False
            self._trouble = ""
            self.calibration.lost(reason)

        self._change(lost)

    def forget(self) -> None:
        """What comes from now on may be older than what came before, as when a replay is moved."""
        self.held(lambda: self.calibration.forget())

    def restart(self, reason: str) -> None:
        """Begin again with a new snapshot, while the connection goes on."""
        self._change(lambda: self.calibration.lost(reason))
        if self.asks() is not None:
            self._owner.need(self)

    # What REST answers

    def asks(self) -> int | None:
        """Return what `answered` is to be called with, None where no snapshot is needed now."""
        return self.held(lambda: self.calibration.attempt if self._wanting() else None)

    def answered(self, data: Any, attempt: int) -> bool:
        """Take a snapshot that was asked for in an attempt; return whether another one is needed."""

        def answered() -> bool:
            if self.ended is None:
                was = self.calibration.had
                applied = self.calibration.snapshot(data, depth=self.source.depth, attempt=attempt)
                if self.calibration.live:
                    self._trouble = ""
                    if (now := self.calibration.sequence) < was:
                        self._events.append(BookRenumbered(self.source.symbol, self.source.level, was, now))
                if self._listeners:
                    self._publish(applied, self.calibration.began)
            return self._wanting()

        return self._change(answered)

    def delayed(self, seconds: float, error: Exception | None = None) -> None:
        """A snapshot could not be fetched because of `error`, or did not fit; another is on its way in `seconds`."""

        def delayed() -> None:
            if self._wanting():
                self._trouble = f"a snapshot could not be fetched: {error}" if error else ""
                reason = str(error or self.calibration.reason)
                self._events.append(SnapshotFailed(self.source.symbol, self.source.level, reason, seconds))

        self._change(delayed)

    # Its end

    def end(self, error: Exception) -> None:
        """End with an error, if it has not ended yet; `StreamClosed` is an end that was wished for.

        Where an earlier call was interrupted, this does the rest of it.
        """
        listeners = self._change(partial(self._end, error))
        if not self._end_told:
            self._owner.ended(self)
            self._end_told = True
        if isinstance(self.ended, StreamClosed):
            for listener in listeners:
                listener.wait_for_call()

    def _end(self, error: Exception) -> list[Subscription[Any]]:
        """End, with the lock; return who was told of changes."""
        if self.ended is None:
            self.ended, self.keeper = error, None
            if not isinstance(error, StreamClosed):
                self._events.append(BookFailed(self.source.symbol, self.source.level, error))
        wished = isinstance(self.ended, StreamClosed)
        listeners = self._alive()
        for listener in listeners:
            if wished:
                listener.withhold(listener.topics)
            listener.inbox.finish(None if wished else self.ended)
        self._listeners = ()
        return listeners

    # Who is told of changes

    def listen(self, maxsize: int, callback: Callable[[C], object] | None = None) -> Subscription[Any]:
        """Return a subscription that gets the changes from now on, without a callback as long as somebody holds it."""
        self.use()
        name = str(self.source)

        def overflowed(dropped: int) -> None:
            self._events.append(Overflowed((name,), dropped))

        def slow(dropped: int) -> SlowConsumer:
            return SlowConsumer(
                f"{dropped} changes of {name} were dropped because {maxsize} were waiting already; take them faster, "
                "or raise maxsize; the book itself has them all",
                dropped=dropped,
            )

        inbox = inbox_for("raise", maxsize, overflowed, slow)
        taker: Any = callback
        subscription = Subscription[Any]((name,), inbox, close=self._unlisten, callback=taker)
        now_or_later(partial(self._tell, subscription))
        return subscription

    def _tell(self, subscription: Subscription[Any]) -> None:
        """Tell a subscription of changes from now on."""

        def tell() -> None:
            if self.ended is not None:
                subscription.inbox.finish(None if isinstance(self.ended, StreamClosed) else self.ended)
            self._listeners = tuple(weakref.ref(each) for each in (*self._alive(), subscription))
            if subscription.callback is not None:
                self._with_callback.append(subscription)

        self.held(tell)

    @property
    def with_callback(self) -> tuple[Subscription[Any], ...]:
        """The listeners with a callback."""
        return tuple(self._with_callback)

    def room(self, inbox: Inbox) -> float:
        """Return how many more messages its inbox takes without anybody who is told of changes dropping one."""
        return self.held(  # what is being applied is in no queue
            lambda: min((listener.inbox.room() for listener in self._alive()), default=math.inf) - len(inbox)
        )

    def finish_listeners(self) -> None:
        """Let those who are told of changes end after what they have; the book stays as it is, to be read."""

        def finish() -> None:
            for listener in self._alive():
                listener.inbox.finish(None)

        self.held(finish)

    def _unlisten(self, subscription: Subscription[Any]) -> None:
        def unlisten() -> None:
            self._listeners = tuple(weakref.ref(each) for each in self._alive() if each is not subscription)

        self.held(unlisten)
        subscription.inbox.finish(None)

    def _alive(self) -> list[Subscription[Any]]:
        return [listener for each in self._listeners if (listener := each()) is not None]

    def _publish(self, applied: Sequence[Update], before: int) -> None:
        """Tell the listeners of updates that were applied to a book which was at `before` (under the lock)."""
        alive = self._alive()
        if len(alive) != len(self._listeners):
            self._listeners = tuple(map(weakref.ref, alive))
        for update in applied:
            change = self._make_change(update, before, self.calibration.resyncs)
            for listener in alive:
                listener.put(change if listener is alive[0] else change.with_lost(0))  # each gets one of its own
            before = change.sequence_end

    # What follows from a change of state

    def _settled(self) -> bool:
        return self.calibration.live or self.ended is not None

    def _wanting(self) -> bool:
        return self._carried and not self.calibration.live and self.ended is None

    def _change(self, do: Callable[[], T]) -> T:
        """Return what `do` returns, called with the lock; then tell of what has become of the book.

        A snapshot is asked for where one is needed since.
        """
        calibration, source = self.calibration, self.source
        with self.lock:
            self._busy = True
            try:
                wanting, live, resyncs = self._wanting(), calibration.live, calibration.resyncs
                done = do()
                if calibration.resyncs != resyncs:
                    self._events.append(BookResyncing(source.symbol, source.level, self._reason()))
                if calibration.live and not live:
                    self.was_live = True
                    self._events.append(BookReady(source.symbol, source.level, calibration.sequence))
                if self._gates and self._settled():
                    for gate in self._gates:
                        gate.set()
                    self._gates.clear()
                needed = self._wanting() and not wanting
                events, self._events = self._events, []
            finally:
                self._busy = False
        for event in events:
            self._owner.emit(event)
        if needed:
            self._owner.need(self)
        return done
