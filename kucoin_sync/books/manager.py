"""The order books of one stream: opening and closing them, and the thread that applies their updates.

One thread serves all books in turn. It applies a limited number of updates of a book before it goes on to the next one,
so a busy book does not starve the others. It runs no user code and waits for nothing but the books' locks.
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
from ..connections.source import TopicInterrupted
from ..connections.subscriber import SubscribeOptions, Subscriber
from ..delivery.callbacks import Callbacks, check_callback
from ..delivery.overflow import check_maxsize
from ..delivery.subscription import Subscription
from ..events import Event
from ..exceptions import KucoinSyncError, StreamClosed
from ..internal.guard import guarded, log
from ..internal.resources import as_defect, shortage_error, start_thread
from ..internal.signals import defer, is_reentrant, wait_for_deferred
from ..protocol.session_events import TopicKey
from . import BookSource
from .follower import BookJob, Follower
from .pushed_snapshots import PushedSnapshots
from .snapshot_fetcher import SnapshotProvider

__all__ = ["BookManager"]

_CLOSED = "the stream is closed; make a new one to open a book"
_UPDATES_PER_JOB = 256  # updates of one book that are applied before the next book's turn
_MAXSIZE = 10_000
"""Messages that may wait for a book; beyond that, the book starts again from a snapshot."""


class BookManager:
    """Opens, serves and closes the books of one stream.

    Args:
        snapshots: provides the snapshots that the books need.
        with_key: returns whether an API key is available for them.
        pushed: watches for the snapshots that a feed pushes; by default `PushedSnapshots`.
    """

    def __init__(
        self,
        subscription_manager: SubscriptionManager,
        subscriber: Subscriber,
        callbacks: Callbacks,
        snapshots: SnapshotProvider,
        with_key: Callable[[], bool],
        pushed: SnapshotProvider | None = None,
    ) -> None:
        self.emit: Callable[[Event], None] = callbacks.emit
        self._subscription_manager = subscription_manager
        self._subscriber = subscriber
        self._callbacks = callbacks
        self._snapshots = snapshots
        self._pushed: SnapshotProvider = pushed or PushedSnapshots(
            lambda topic: subscription_manager.resubscribe(topic)
        )
        self._with_key = with_key
        # Books with waiting messages, put by any thread for the books' thread; None only wakes that thread. A
        # SimpleQueue is reentrant: a finaliser may put something at any step.
        self._queue: SimpleQueue[BookJob | None] = SimpleQueue()
        # Guards the attributes below. No other lock but that of the snapshots is taken while it is held.
        self._lock = threading.Lock()
        self._closed = False
        self._books: dict[Follower[Any, Any], Subscription | None] = {}
        self._by_topic: dict[str, tuple[Follower[Any, Any], ...]] = {}
        self._past_resyncs = 0  # resyncs of books that have ended
        self._thread: threading.Thread | None = None
        self._not_resumed: dict[Follower[Any, Any], Subscription] = {}  # the parent's books, until the child resumes

    # Fork

    def after_fork(self) -> None:
        """Start again with the books that the parent had.

        A book that another thread was opening is dropped, because that thread does not exist in the child.
        """
        self._queue = SimpleQueue()
        self._lock = threading.Lock()
        self._thread = None
        self._closed = False
        self._snapshots, self._pushed = self._snapshots.after_fork(), self._pushed.after_fork()
        kept = {book: sub for book, sub in self._books.items() if sub is not None and book.ended is None}
        self._books, self._by_topic, self._not_resumed = dict(kept), {}, kept
        for book in kept:
            topic = book.source.topic
            self._by_topic[topic] = (*self._by_topic.get(topic, ()), book)
        self._past_resyncs = -sum(book.calibration.resyncs for book in kept)

    def resume(self) -> None:
        """Serve the parent's books in a forked child. If it raises ConnectionFailed, the next call tries again."""
        serves = {book: self._callbacks.prepare(*book.callback_listeners) for book in (*self._not_resumed,)}
        with self._lock:
            if self._closed or not self._not_resumed:
                return
            for book in self._not_resumed:
                self._provider(book).add(book)
            self._start()
            books, self._not_resumed = self._not_resumed, {}
        for book, subscription in books.items():
            serves[book]()
            self._attach(BookJob(book, self._queue.put), subscription)

    # Called by the stream

    def open(
        self,
        symbol: str,
        level: int,
        generation: int,
        on_change: Callable[[Any], object] | None,
        maxsize: int,
        hold: Callable[[Follower[Any, Any]], Any] = lambda book: book,
        feed: str = "classic",
    ) -> Any:
        """Open a book and return `hold(book)`; see `Stream.book`."""
        check_maxsize(maxsize, "at least 1 change may wait")
        check_callback("on_change", on_change)
        source = BookSource.of(symbol, level, generation=generation, with_key=self._with_key(), feed=feed)
        book: Follower[Any, Any] = Follower(source, self)
        book.first_use = self._subscription_manager.first_use
        book.before_wait = self._subscription_manager.before_wait
        book.waits_for_itself = partial(self._subscription_manager.brings, source.topic)
        held = hold(book)
        if not is_reentrant():
            wait_for_deferred()
            [_] = map(self._follow, (book,), (on_change,), (maxsize,))  # see `MessageQueue.source`
            return held
        if self._closed:
            raise StreamClosed(_CLOSED)
        defer(partial(self._follow_later, book, on_change, maxsize))
        return held

    def _follow_later(self, book: Follower[Any, Any], on_change: Callable[[Any], object] | None, maxsize: int) -> None:
        """Start a book that the caller already holds. Errors end it. It may be closed by now."""
        if book.ended is None:
            try:
                self._follow(book, on_change, maxsize)
            except Exception as error:
                book.end(error)

    def _follow(self, book: Follower[Any, Any], on_change: Callable[[Any], object] | None, maxsize: int) -> None:
        """Subscribe to a book's topic and have it served."""
        source = book.source
        job = BookJob(book, self._queue.put)
        subscription: Subscription | None = None
        try:
            if on_change is not None:
                book.listen(maxsize, on_change)
            serve = self._callbacks.prepare(*book.callback_listeners)
            self._add(book)
            serve()
            shared = source.feed.pushed and self._subscription_manager.carries(source.topic)
            [subscription] = map(self._subscriber.subscribe, ((source.topic,),), (_OPTIONS,))
            with self._lock:
                known = book in self._books and book.ended is None
                if known:
                    self._books[book] = subscription
            if not known:  # the book has ended meanwhile
                subscription.close()
                return
            self._attach(job, subscription, shared=shared)
        except BaseException:  # a signal handler may raise at any step
            self.discard(book, subscription)
            raise

    def discard(self, book: Follower[Any, Any], subscription: Subscription | None = None) -> None:
        """End a book that could not be opened, and close its subscription."""
        book.end(StreamClosed(f"{book.source} could not be opened"))
        self._provider(book).remove(book)
        if subscription is not None:
            subscription.close()

    def close(self) -> list[threading.Thread]:
        """End all books; return the threads that are going to end."""
        with self._lock:
            self._closed = True
            books = list(self._books)
            threads = [] if self._thread is None else [self._thread]
        for book in books:
            book.end(StreamClosed(f"{book.source} was closed with its stream"))
        with self._lock:  # last, so that a call that was interrupted can be made again
            past = self._past_resyncs + sum(book.calibration.resyncs for book in self._books)
            self._past_resyncs, self._books, self._by_topic = past, {}, {}
        self._queue.put(None)
        return [*threads, *self._snapshots.close(), *self._pushed.close()]

    @property
    def books(self) -> list[tuple[Follower[Any, Any], Subscription]]:
        """The open books, each with the subscription to its topic."""
        with self._lock:
            return [(book, each) for book, each in self._books.items() if each is not None]

    def stats(self) -> dict[str, int]:
        """Return counts of books, resyncs and snapshots."""
        with nullcontext() if is_reentrant() else self._lock:
            books, past = list(self._books), self._past_resyncs
        return {
            "books": len(books),
            "books_ready": sum(book.calibration.live for book in books),
            "book_resyncs": past + sum(book.calibration.resyncs for book in books),
            "book_snapshots": sum(each.request_count for each in {self._snapshots, self._pushed}),
        }

    # Called by the connections, on their threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """Tell the books of these topics that the server sends them from now on."""
        for book in self._books_of(keys):
            try:
                book.on_subscribed()
            except BaseException as error:
                self._handle_defect(book, error)

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Tell the books of these topics that the server sends them no longer or could not be asked to."""
        for book in self._books_of(keys):
            subscription = self._books.get(book)
            try:
                message_queue = None if subscription is None else subscription.message_queue
                reason = f"there is no connection to KuCoin: {error}"
                if isinstance(error, TopicInterrupted):  # for this book, or for another reader of its topic
                    reason = str(error) if book.calibration.live else book.calibration.reason
                book.on_connection_lost(reason, message_queue)
            except BaseException as defect:
                self._handle_defect(book, defect)

    # Called by the books

    def request_snapshot(self, book: Follower[Any, Any]) -> None:
        """Get a snapshot for a book soon."""
        provider = self._provider(book)
        provider.request_snapshot(book)
        if book.ended is not None:  # its end came before the request
            provider.remove(book)

    def obstacle(self, book: Follower[Any, Any]) -> str:
        """Return why a book has to wait: its connection, else its snapshot; "" if that is unknown."""
        error = self._subscription_manager.obstacle(book.source.topic)
        return self._provider(book).obstacle(book) if error is None else str(error)

    def snapshot_obstacle(self, book: Follower[Any, Any]) -> str:
        """Return what the running request for a book's snapshot waits for, "" if none runs. Takes no lock."""
        return self._provider(book).obstacle(book)

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._closed

    def _provider(self, book: Follower[Any, Any]) -> SnapshotProvider:
        return self._pushed if book.source.feed.pushed else self._snapshots

    def on_ended(self, book: Follower[Any, Any]) -> None:
        """Release everything that an ended book used; forget the book last."""
        topic = book.source.topic
        with self._lock:
            if self._closed:
                return  # `close` releases it
            subscription = self._books.get(book)
            rest = tuple(other for other in self._by_topic.get(topic, ()) if other is not book)
            if rest:
                self._by_topic[topic] = rest
            else:
                self._by_topic.pop(topic, None)
        self._provider(book).remove(book)
        if subscription is not None:
            subscription.close()
        with self._lock:
            past = self._past_resyncs + book.calibration.resyncs
            if book in self._books:  # no signal handler runs between the following
                self._past_resyncs = past
                del self._books[book]
            if not self._books:
                self._queue.put(None)  # wakes the thread, which then ends

    def _add(self, book: Follower[Any, Any]) -> None:
        with self._lock:
            if self._closed:
                raise StreamClosed(_CLOSED)
            self._provider(book).add(book)
            try:
                self._start()
            except BaseException:
                self._provider(book).remove(book)
                raise
            self._books[book] = None
            topic = book.source.topic
            self._by_topic[topic] = (*self._by_topic.get(topic, ()), book)

    def _start(self) -> None:
        """Start the books' thread if it does not run (under the lock)."""
        if self._thread is None:
            self._thread = start_thread(self._run, name=f"kucoin-books{self._callbacks.label}")

    def _attach(self, job: BookJob, subscription: Subscription, *, shared: bool = False) -> None:
        """Serve a book whenever its subscription has messages.

        `shared` says that the topic was subscribed before, so that no snapshot is pushed for this book.
        """
        job.subscription = subscription
        subscription.message_queue.call(job)
        if self._subscription_manager.carries(job.book.source.topic):
            job.book.on_subscribed(awaits_push=not shared)

    def _books_of(self, keys: Iterable[TopicKey]) -> list[Follower[Any, Any]]:
        if not self._by_topic:
            return []
        with self._lock:
            return [book for key in keys if key.tunnel is None for book in self._by_topic.get(key.topic, ())]

    # The thread

    def _run(self) -> None:
        queue = self._queue
        with self._lock:
            if self._thread is not threading.current_thread():
                return  # a signal handler raised while this thread was being started
        while True:
            job = queue.get()
            if job is not None and not self._closed:
                try:
                    self._serve(job)
                except BaseException as error:
                    self._handle_defect(job.book, error)
                    if job.book.ended is None:
                        queue.put(job)  # it may have been neither queued again nor left to wait
            if self._closed or not self._books:
                with self._lock:
                    if self._closed or not self._books:
                        self._thread = None
                        return

    def _handle_defect(self, book: Follower[Any, Any], error: BaseException) -> None:
        """End a book because of an unexpected error; the other books go on.

        If the error is a shortage of resources, the book starts again with a new snapshot instead.
        """
        if (missing := shortage_error(error, str(book.source))) is not None:
            try:
                log(logging.WARNING, "%s starts again: %s", book.source, missing, error=error)
                book.restart(str(missing))
                if self._subscription_manager.carries(book.source.topic):
                    book.on_subscribed()  # this call may be the one that failed
                return
            except BaseException as another:
                error = another
        with guarded("could not report that a defect ended %s", book.source):
            log(logging.ERROR, "a defect ended %s", book.source, error=error)
            book.end(as_defect(error))

    def _serve(self, job: BookJob) -> None:
        """Apply some updates of one book. Then queue it again, or wait until its message queue has messages."""
        book, message_queue = job.book, job.subscription.message_queue
        try:
            book.apply_pending(message_queue, _UPDATES_PER_JOB)
        except BaseException as error:
            missing = shortage_error(error, f"an update of {book.source}")
            if missing is None:
                raise
            book.restart(str(missing))
        if book.ended is not None:
            return
        if len(message_queue):
            self._queue.put(job)
        elif message_queue.finished:
            book.end(message_queue.error or StreamClosed(f"the topic of {book.source} was unsubscribed; open it again"))
        elif not message_queue.waiters:  # after an error it may wait already
            message_queue.call(job)


_OPTIONS = SubscribeOptions(
    callback=None,
    inline=False,
    maxsize=_MAXSIZE,
    overflow="raise",
    private=None,
    stale_after=None,
    timeout=0,
)
