"""The order books of one stream: the thread that applies updates to them, and who tells them what becomes of theirs.

One thread serves all books in turn, some updates of each, so that a busy one does not starve the others. It runs
nothing of the user's and waits for nothing but the books' locks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from queue import SimpleQueue
from typing import Any

from ..connections.manager import SubscriptionManager
from ..connections.subscriber import SubscribeOptions, Subscriber
from ..delivery.callbacks import Callbacks
from ..delivery.subscription import Subscription
from ..events import Event
from ..exceptions import ConnectionFailed, KucoinSyncError, StreamClosed
from ..internal.guard import guarded, log
from ..internal.resources import shortage_error, start_thread
from ..internal.signals import defer, is_reentrant, wait_for_deferred
from ..protocol.session_events import TopicKey
from . import Source
from .follower import Follower
from .snapshot_fetcher import SnapshotProvider

__all__ = ["BookManager"]

_CLOSED = "the stream is closed; make a new one to open a book"
_TURN = 256
_MAXSIZE = 10_000
"""Messages that may wait for a book; beyond, it starts again from a snapshot."""


class _BookJob:
    """A book with its subscription; as the gate of that one's inbox, its release puts the book in line."""

    __slots__ = ("_line", "book", "subscription")

    subscription: Subscription

    def __init__(self, book: Follower[Any, Any], line: SimpleQueue[_BookJob | None]) -> None:
        self.book = book
        self._line = line

    def release(self) -> None:
        self._line.put(self)


class BookManager:
    """Opens, serves and closes the books of one stream.

    Args:
        snapshots: gives what the books need.
        with_key: whether these may be those of an API key.
    """

    def __init__(
        self,
        board: SubscriptionManager,
        subscriber: Subscriber,
        callbacks: Callbacks,
        snapshots: SnapshotProvider,
        with_key: Callable[[], bool],
    ) -> None:
        self.emit: Callable[[Event], None] = callbacks.emit
        self._board = board
        self._subscriber = subscriber
        self._callbacks = callbacks
        self._snapshots = snapshots
        self._with_key = with_key
        # Of any thread to the books' thread; None only wakes it. A finaliser may put something while this is done.
        self._line: SimpleQueue[_BookJob | None] = SimpleQueue()
        self._lock = threading.Lock()  # guards all of the following; no other one but the snapshots' is taken under it
        self._closed = False
        self._books: dict[Follower[Any, Any], Subscription | None] = {}
        self._by_topic: dict[str, tuple[Follower[Any, Any], ...]] = {}
        self._past_resyncs = 0  # of books that have ended
        self._thread: threading.Thread | None = None
        self._asleep: dict[Follower[Any, Any], Subscription] = {}  # in a forked child, until it resumes
        if board.watcher is None:
            board.watcher = self

    # In a forked child

    def renew(self) -> None:
        """Begin again with the books that the parent had.

        Those that another thread was about to open are not there, as that thread is not.
        """
        self._line = SimpleQueue()
        self._lock = threading.Lock()
        self._thread = None
        self._closed = False
        self._snapshots = self._snapshots.afresh()
        kept = {book: sub for book, sub in self._books.items() if sub is not None and book.ended is None}
        self._books, self._by_topic, self._asleep = dict(kept), {}, kept
        for book in kept:
            topic = book.source.topic
            self._by_topic[topic] = (*self._by_topic.get(topic, ()), book)
        self._past_resyncs = -sum(book.calibration.resyncs for book in kept)

    def use(self) -> None:
        """Somebody wants something of a book."""
        self._board.use()

    def resume(self) -> None:
        """Serve the books that the parent had."""
        with self._lock:
            if self._closed or not self._asleep:
                return
            for book in self._asleep:
                self._snapshots.admit(book)
            self._start()
            books, self._asleep = self._asleep, {}
        for book, subscription in books.items():
            for listener in book.with_callback:
                self._callbacks.serve(listener)
            self._seat(_BookJob(book, self._line), subscription)

    # For the stream

    def open(
        self,
        symbol: str,
        level: int,
        generation: int,
        on_change: Callable[[Any], object] | None,
        maxsize: int,
        hold: Callable[[Follower[Any, Any]], Any] = lambda book: book,
    ) -> Any:
        """Return what `hold` makes of a book that begins to follow the exchange; see `Stream.book`."""
        if maxsize < 1:
            raise ValueError(f"maxsize is {maxsize!r}; at least 1 change may wait")
        if on_change is not None and not callable(on_change):
            raise TypeError(f"on_change must be callable, not {type(on_change).__name__}")
        source = Source.of(symbol, level, generation=generation, with_key=self._with_key())
        book: Follower[Any, Any] = Follower(source, self)
        held = hold(book)
        if not is_reentrant():
            wait_for_deferred()
            [_] = map(self._follow, (book,), (on_change,), (maxsize,))  # see `Inbox.source`
            return held
        if self._closed:
            raise StreamClosed(_CLOSED)
        defer(partial(self._follow_later, book, on_change, maxsize))
        return held

    def _follow_later(self, book: Follower[Any, Any], on_change: Callable[[Any], object] | None, maxsize: int) -> None:
        """Have a book that somebody holds already follow the exchange: errors end it. It may be closed by now."""
        if book.ended is None:
            try:
                self._follow(book, on_change, maxsize)
            except Exception as error:
                book.end(error)

    def _follow(self, book: Follower[Any, Any], on_change: Callable[[Any], object] | None, maxsize: int) -> None:
        """Have a book follow the exchange."""
        source = book.source
        seat = _BookJob(book, self._line)
        subscription: Subscription | None = None
        try:
            self._add(book)
            if on_change is not None:
                self._callbacks.serve(book.listen(maxsize, on_change))
            [subscription] = map(self._subscriber.subscribe, ((source.topic,),), (_TERMS,))
            with self._lock:
                known = book in self._books
                if known:
                    self._books[book] = subscription
            if not known:  # it has ended meanwhile
                subscription.close()
                return
            self._seat(seat, subscription)
        except BaseException:  # a signal's handler may raise at any step
            self.abandon(book, subscription)
            raise

    def abandon(self, book: Follower[Any, Any], subscription: Subscription | None = None) -> None:
        """End a book that nobody will hold, with its subscription."""
        book.end(StreamClosed(f"{book.source} could not be opened"))
        self._snapshots.forget(book)
        if subscription is not None:
            subscription.close()

    def close(self) -> list[threading.Thread]:
        """End all books; return the threads that will end."""
        with self._lock:
            self._closed = True
            books, self._books, self._by_topic = list(self._books), {}, {}
            self._past_resyncs += sum(book.calibration.resyncs for book in books)
            threads = [] if self._thread is None else [self._thread]
        for book in books:
            book.end(StreamClosed(f"{book.source} was closed with its stream"))
        self._line.put(None)
        return [*threads, *self._snapshots.close()]

    @property
    def books(self) -> list[tuple[Follower[Any, Any], Subscription]]:
        """The books that live, and what each has its updates from."""
        with self._lock:
            return [(book, each) for book, each in self._books.items() if each is not None]

    def stats(self) -> dict[str, int]:
        """Return plain numbers."""
        with nullcontext() if is_reentrant() else self._lock:
            books, past = list(self._books), self._past_resyncs
        return {
            "books": len(books),
            "books_ready": sum(book.calibration.live for book in books),
            "book_resyncs": past + sum(book.calibration.resyncs for book in books),
            "book_snapshots": self._snapshots.requests,
        }

    # For the connections, on their threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """The server sends these from now on."""
        for book in self._of(keys):
            try:
                book.carried()
            except BaseException as error:
                self._defect(book, error)

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """The server sends these no longer, or could not be asked to."""
        for book in self._of(keys):
            try:
                book.lost(f"there is no connection to KuCoin: {error}")
            except BaseException as defect:
                self._defect(book, defect)

    # For the books

    def need(self, book: Follower[Any, Any]) -> None:
        """Fetch a snapshot for a book soon."""
        self._snapshots.need(book)
        if book.ended is not None:  # and was forgotten before
            self._snapshots.forget(book)

    def obstacle(self, book: Follower[Any, Any]) -> str:
        """Return what a book waits for: a connection, or else its snapshot; "" where nothing is known of that."""
        error = self._board.obstacle(book.source.topic)
        return self._snapshots.obstacle(book) if error is None else str(error)

    def ended(self, book: Follower[Any, Any]) -> None:
        """A book has ended: let go of all that was for it."""
        topic = book.source.topic
        with self._lock:
            if book not in self._books:
                return
            subscription = self._books.pop(book)
            self._past_resyncs += book.calibration.resyncs
            rest = tuple(other for other in self._by_topic.get(topic, ()) if other is not book)
            if rest:
                self._by_topic[topic] = rest
            else:
                self._by_topic.pop(topic, None)
            if not self._books:
                self._line.put(None)  # for the thread to end
        self._snapshots.forget(book)
        if subscription is not None:
            subscription.close()

    def _add(self, book: Follower[Any, Any]) -> None:
        with self._lock:
            if self._closed:
                raise StreamClosed(_CLOSED)
            self._snapshots.admit(book)
            try:
                self._start()
            except BaseException:
                self._snapshots.forget(book)
                raise
            self._books[book] = None
            topic = book.source.topic
            self._by_topic[topic] = (*self._by_topic.get(topic, ()), book)

    def _start(self) -> None:
        """Have the books' thread run (under the lock)."""
        if self._thread is None:
            self._thread = start_thread(self._run, name="kucoin-books")

    def _seat(self, seat: _BookJob, subscription: Subscription) -> None:
        """Have a book served with what comes for it."""
        seat.subscription = subscription
        subscription.inbox.call(seat)
        if self._board.carries(seat.book.source.topic):
            seat.book.carried()

    def _of(self, keys: Iterable[TopicKey]) -> list[Follower[Any, Any]]:
        if not self._by_topic:
            return []
        with self._lock:
            return [book for key in keys if key.tunnel is None for book in self._by_topic.get(key.topic, ())]

    # The thread

    def _run(self) -> None:
        line = self._line
        with self._lock:
            if self._thread is not threading.current_thread():
                return  # a signal's handler has raised where it was being started
        while True:
            seat = line.get()
            if seat is not None and not self._closed:
                try:
                    self._turn(seat)
                except BaseException as error:
                    self._defect(seat.book, error)
            if self._closed or not self._books:
                with self._lock:
                    if self._closed or not self._books:
                        self._thread = None
                        return

    def _defect(self, book: Follower[Any, Any], error: BaseException) -> None:
        """End a book with an error that nothing should have raised; the others go on.

        Where only memory was missing for a moment, it begins again with a new snapshot.
        """
        if (missing := shortage_error(error, str(book.source))) is not None:
            try:
                log(logging.WARNING, "%s starts again: %s", book.source, missing, error=error)
                book.restart(str(missing))
                if self._board.carries(book.source.topic):
                    book.carried()  # which may be what has failed
                return
            except BaseException as another:
                error = another
        with guarded("that a defect ended %s could not be told", book.source):
            log(logging.ERROR, "a defect ended %s", book.source, error=error)
            book.end(ConnectionFailed(f"a defect in this package: {type(error).__name__}: {error}"))

    def _turn(self, seat: _BookJob) -> None:
        """Serve one book for a while, then put it back: in line, or to wait for more."""
        book, inbox = seat.book, seat.subscription.inbox
        try:
            book.take(inbox, _TURN)
        except BaseException as error:
            missing = shortage_error(error, f"an update of {book.source}")
            if missing is None:
                raise
            book.restart(str(missing))
        if book.ended is not None:
            return
        if len(inbox):
            self._line.put(seat)
        elif inbox.finished:
            book.end(inbox.error or StreamClosed(f"the topic of {book.source} was unsubscribed; open it again"))
        else:
            inbox.call(seat)


_TERMS = SubscribeOptions(
    callback=None,
    inline=False,
    maxsize=_MAXSIZE,
    overflow="raise",
    private=None,
    stale_after=None,
    timeout=0,
)
