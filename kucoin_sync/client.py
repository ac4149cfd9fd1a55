"""`Client`: what all streams have in common, whatever their message source: subscriptions, tunnels, books, stats."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from itertools import starmap
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .connections.forgotten import end_when_forgotten
from .connections.gate import TopicRecovery
from .connections.last_values import LastValues
from .connections.manager import SubscriptionManager, Watcher
from .connections.source import MakeSource
from .connections.subscriber import Subscriber
from .connections.subscribing import Subscribing
from .credentials import Credentials
from .delivery.callbacks import Callbacks
from .delivery.inline_queue import InlineQueue
from .delivery.observer import Observer
from .events import Event
from .exceptions import InvalidTopic
from .internal.fork import install_fork_hooks, register
from .internal.signals import defer, deferred_threads, holds_no_lock, is_reentrant, run_or_defer, wait_for_deferred
from .protocol.message import Message
from .protocol.session_events import TopicKey
from .topics import grammar
from .topics.name import TopicName

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .books import Level2BookChange, Level3BookChange
    from .books.follower import Follower
    from .books.listeners import BookOptions, Feed
    from .books.local_book import LocalLevel2Book, LocalLevel3Book
    from .books.manager import BookManager
    from .books.snapshot_fetcher import FetcherFactory, RestQuota, SnapshotProvider
    from .tunnel import Tunnel

__all__ = ["Client"]

#: The numbers of `BookManager.stats` before the first book.
_NO_BOOKS = {"books": 0, "books_ready": 0, "book_resyncs": 0, "book_snapshots": 0}

#: Public methods for packages built on a stream; `dir` and tab completion omit them.
_INTERNAL = {
    "add_observer", "after_fork", "carrying", "emit", "fetcher", "has_key", "recovers", "remove_observer",
    "resubscribe", "unwatch", "watch",
}  # fmt: skip

P = TypeVar("P")


class Client(Subscribing):
    """Base class of the streams. It gets messages from message sources. Its methods may be called from anywhere.

    Args:
        name: where the messages come from, for `repr`.
        make: makes a message source.
        capacity: returns how many topics a message source of a market, public or private, may have.
        callbacks: runs the callbacks and takes the events.
        credentials: for private topics; None calls `find_credentials` when they are needed.
        fetcher: makes the fetchers of book snapshots.
        snapshots_per_30s: the limit of snapshot requests.
        find_credentials: returns credentials or None; reads the environment by default.
        with_key: returns whether snapshots may use an API key; None checks for credentials.
        redundancy: how many message sources deliver each topic.
    """

    _on_event: Callable[[Event], object] | None = None  # see `delivery.callbacks.held_by`

    def __init__(
        self,
        name: str,
        make: MakeSource,
        capacity: Callable[[str, bool], int],
        callbacks: Callbacks,
        credentials: Credentials | None,
        fetcher: FetcherFactory,
        snapshots_per_30s: int,
        find_credentials: Callable[[], Credentials | None] = Credentials.from_environment,
        *,
        with_key: Callable[[], bool] | None = None,
        redundancy: int = 1,
    ) -> None:
        manager = SubscriptionManager(make, capacity, callbacks.emit, callbacks.label, redundancy)
        subscriber = Subscriber(manager, callbacks, credentials, find_credentials)
        super().__init__(subscriber, manager, tunnel=None)
        self._name = name
        self._callbacks = callbacks
        self._snapshots_per_30s = snapshots_per_30s
        #: Makes snapshot fetchers; for the relay, which forwards the messages of a stream.
        self.fetcher = fetcher
        #: Returns whether snapshots may use an API key.
        self.has_key = with_key or (lambda: subscriber.find_credentials() is not None)
        self._books: BookManager | None = None  # made with the first book
        self._quota: RestQuota | None = None  # of the requests for books and for missed messages
        #: Has KuCoin push the snapshot of a public topic again. A method of this object would keep it alive.
        self.resubscribe: Callable[[str], None] = manager.resubscribe
        unheld = Subscribing(subscriber, manager, tunnel=None)  # its subscriptions do not keep this object alive
        self._last_values = LastValues(lambda: unheld, None)
        self._tunnels: dict[str, object] = {}  # the names of open tunnels
        install_fork_hooks()
        register(self)
        # The threads hold the manager but never this object. Objects that users hold keep this object alive.
        end_when_forgotten(self, f"{type(self).__name__} of {name}", manager, callbacks)

    # Subscribing

    # Named here, because the reference shows a class's own methods only.
    subscribe = Subscribing.subscribe
    unsubscribe = Subscribing.unsubscribe
    on = Subscribing.on
    closed = Subscribing.closed

    def tunnel(self, name: str) -> Tunnel:
        """Open a multiplex tunnel: `with stream.tunnel("bt1") as tunnel: tunnel.subscribe(topic)`.

        Messages of a tunnel reach only the subscriptions of that tunnel. At most 5 tunnels share a connection.
        Legacy, unverified live: KuCoin documented tunnels from 2019 to 2023.

        Raises:
            InvalidTopic: the name is empty, overlong, or in use.
        """
        from .tunnel import Tunnel

        # One step, see `MessageQueue.source`.
        [tunnel] = map(Tunnel, (name,), (self._tunnels,), (self._subscriber,), (self._subscription_manager,), (self,))
        return tunnel

    @overload
    def last(self, topic: TopicName[P], timeout: float | None = 5.0) -> Message[P]: ...
    @overload
    def last(self, topic: str, timeout: float | None = 5.0) -> Message: ...
    @holds_no_lock
    def last(self, topic: str, timeout: float | None = 5.0) -> Message:
        """Return the newest message of a topic; wait up to `timeout` seconds for the first one, None: for ever.

        No subscription misses that message. The first call subscribes the topic, once for all callers; `unsubscribe`
        ends that. The message's `received_ns` tells its age.

        Raises:
            TimeoutError: no message has come in time.
            InvalidTopic: it is no topic, or names several. Other errors are those of `subscribe`.
        """
        return self._last_values.get(topic, timeout)

    # Order books

    @overload
    def book(
        self,
        symbol: str,
        *,
        level: Literal[2] = 2,
        feed: Feed = "classic",
        **options: Unpack[BookOptions[Level2BookChange]],
    ) -> LocalLevel2Book: ...
    @overload
    def book(
        self, symbol: str, *, level: Literal[3], generation: int = 2, **options: Unpack[BookOptions[Level3BookChange]]
    ) -> LocalLevel3Book: ...
    @overload
    def book(
        self,
        symbol: str,
        *,
        level: Literal[2, 3],
        generation: int = 2,
        feed: Feed = "classic",
        **options: Unpack[BookOptions[Any]],
    ) -> LocalLevel2Book | LocalLevel3Book: ...
    def book(
        self,
        symbol: str,
        *,
        level: Literal[2, 3] = 2,
        generation: int = 2,
        on_change: Callable[[Any], object] | None = None,
        maxsize: int = 10_000,
        feed: Feed = "classic",
    ) -> LocalLevel2Book | LocalLevel3Book:
        """Keep a local order book of a symbol up to date. Return it at once; it can be read when it is ready.

        Updates come over the stream's connections, snapshots from REST. Both stay within KuCoin's limits for any number
        of books. A level 2 spot book is complete with credentials. Without them it starts with the best 100 levels of
        each side; see `LocalBook.partial`. Futures books are always complete. Books of the UTA feed have the best 500
        levels of each side, without a key and without REST.

        Args:
            symbol: such as "BTC-USDT", or "XBTUSDTM" for futures.
            level: 2 for sizes at prices, 3 for single orders (spot; KuCoin withdrew that feed in 2021).
            generation: version of the level 3 feed, 1 (/market/level3) or 2 (/spotMarket/level3).
            on_change: called with each change on the stream's callback thread; see `LocalBook.__iter__`.
            maxsize: changes that may be queued for on_change, or for the iteration over the book.
            feed: "classic", or "uta" (level 2 only).

        Raises:
            ValueError: there is no such level or feed.
            InvalidTopic, StreamClosed, ConnectionFailed. `LocalBook.wait_ready` raises if KuCoin rejects the symbol.
        """
        from .books.local_book import LocalLevel2Book, LocalLevel3Book

        hold = LocalLevel3Book if level == 3 else LocalLevel2Book

        def held(follower: Follower[Any, Any]) -> LocalLevel2Book | LocalLevel3Book:
            follower.keep_alive = self if on_change is not None else None
            return hold(follower, maxsize, self)

        options = (symbol, level, generation, on_change, maxsize, held, feed)
        book: LocalLevel2Book | LocalLevel3Book
        [book] = starmap(self._book_manager().open, (options,))  # one step, see `MessageQueue.source`
        return book

    # In a forked child

    def resume(self) -> None:
        """Connect in a forked child now, before the first use of the stream. Elsewhere this does nothing.

        A child inherits the subscriptions, tunnels and books of its parent, without messages. It connects when it first
        uses the stream or one of these: by `get`, iterating, `pending`, `subscribe`, `book`, or by reading a book. A
        program that has only callbacks uses none of these, so it must call `resume`; see "Web servers that fork" in
        `kucoin_sync/contrib/README.md`.

        Raises:
            ConnectionFailed: the system had no thread or descriptor for it; the next use or call tries again.
        """
        run_or_defer(self._resume)

    def _resume(self) -> None:
        if self._books is not None:
            self._books.resume()
        manager = self._subscription_manager
        serves = {
            each: self._callbacks.prepare(each)
            for each in (manager.subscriptions if manager.first_use.pending else ())
            if each.callback is not None and not isinstance(each.message_queue, InlineQueue)
        }
        for subscription in manager.resume():
            if (serve := serves.get(subscription)) is not None:
                serve()

    def after_fork(self) -> None:
        """Drop everything that belongs to the parent; called first in a forked child."""
        closed = self._callbacks.closed  # the closing thread may not exist in the child
        self._callbacks.after_fork()
        if self._quota is not None:
            self._quota = self._quota.after_fork()  # its lock may have been held when the parent forked
        if self._books is not None:
            self._books.after_fork()
        stream = weakref.ref(self)
        self._last_values.after_fork()
        self._subscription_manager.after_fork(lambda: None if (held := stream()) is None else held.resume())
        if closed:
            self._begin_to_close()

    def add_observer(self, observer: Observer) -> None:
        """Register an observer of everything that subscriptions and books get; a recorder is one."""
        run_or_defer(lambda: self._subscription_manager.add_observer(observer))

    def remove_observer(self, observer: Observer) -> None:
        """Remove an observer."""
        run_or_defer(lambda: self._subscription_manager.remove_observer(observer))

    def carrying(self) -> dict[tuple[str, bool], list[TopicKey]]:
        """Return the confirmed topics, with their tunnels, by (market, private)."""
        return self._subscription_manager.carrying()

    def emit(self, event: Event) -> None:
        """Log an event and pass it to `on_event`; for packages built on a stream. Never waits."""
        if is_reentrant():
            defer(lambda: self._callbacks.emit(event))
        else:
            self._callbacks.emit(event)

    def close(self, timeout: float = 5.0) -> None:
        """Close everything, from any thread or callback; closing twice is allowed.

        Wakes all waiting threads. Iterating and `get` end after the messages already received. `subscribe` and waits
        for books raise StreamClosed. I/O threads end. Waits up to `timeout` seconds for the threads. Does not wait if
        a finaliser, a log handler or a signal handler calls it inside another method of this package.
        """
        if is_reentrant():
            defer(self._begin_to_close)
            return
        wait_for_deferred()
        deadline = time.monotonic() + timeout
        for thread in [*self._begin_to_close(), *deferred_threads()]:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _begin_to_close(self) -> list[threading.Thread]:
        """Close everything without waiting; return the threads that will end."""
        self._callbacks.close()
        books = self._books
        closing = [] if books is None else books.close()
        closing += self._subscription_manager.close()
        if self._books is not None and books is None:  # made by another thread meanwhile
            closing += self._books.close()
        return [*closing, *self._callbacks.threads]

    def stats(self) -> dict[str, Any]:
        """Return numbers of the stream so far: messages, bytes, drops, reconnects, books and more.

        Durations are in seconds. "lag" is the time from KuCoin's timestamp to the delivery, of the latest message among
        the queued and the last read ones; None if none has a timestamp. It relies on this machine's clock.
        "queue_delay" is how long the oldest message has been queued. "pong_latency" is that of the slowest connection;
        None before the first pong.
        """
        if not is_reentrant():
            wait_for_deferred()
        return {**self._subscription_manager.stats(), **(_NO_BOOKS if self._books is None else self._books.stats())}

    def __enter__(self) -> Self:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - _INTERNAL)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} of {self._name}: {state}, {self._subscription_manager.count} subscriptions>"

    def _make_snapshots(self) -> SnapshotProvider:
        """Return the provider of the books' snapshots."""
        from .books.snapshot_fetcher import SnapshotQueue

        on_snapshot, label = self._subscription_manager.on_snapshot, self._callbacks.label
        return SnapshotQueue(self.fetcher, self._rest_quota(), on_snapshot, label=label)

    def _rest_quota(self) -> RestQuota:
        """Return the quota of all requests but those for connect tokens."""
        from .books.snapshot_fetcher import RestQuota

        self._quota = self._quota or RestQuota(self._snapshots_per_30s)
        return self._quota

    def _recovery_of(self, topics: tuple[str, ...]) -> TopicRecovery:
        """Return what recovers these topics; raise InvalidTopic if one of them can't be recovered."""
        recovery = self._subscription_manager.recovery or self._make_recovery()
        for topic in topics:
            for single in grammar.split(topic):
                recovery.check(single)
        return recovery

    def _make_recovery(self) -> TopicRecovery:
        """Return what recovers the topics of this stream."""
        return TopicRecovery()

    def _make_pushed_snapshots(self) -> SnapshotProvider:
        """Return the provider of snapshots that a feed pushes."""
        from .books.pushed_snapshots import PushedSnapshots

        return PushedSnapshots(self.resubscribe, label=self._callbacks.label)

    # For the relay, which forwards the messages of a stream

    def recovers(self, topic: str) -> bool:
        """Return whether a single topic can be subscribed with `recover=True`."""
        try:
            self._recovery_of((topic,))
        except InvalidTopic:
            return False
        return True

    def watch(self, watcher: Watcher) -> None:
        """Register a watcher of the confirmed and lost public topics. Such a stream can keep no books."""
        if self._subscription_manager.watchers.setdefault(False, watcher) is not watcher:
            raise ValueError("this stream's topics are watched already; use a stream of its own")

    def unwatch(self) -> None:
        """Remove the watcher."""
        self._subscription_manager.watchers.pop(False, None)

    def _book_manager(self) -> BookManager:
        from .books.manager import BookManager

        if self._books is None:
            made = BookManager(
                self._subscription_manager,
                self._subscriber,
                self._callbacks,
                self._make_snapshots(),
                self.has_key,
                self._make_pushed_snapshots(),
            )
            watcher = self._subscription_manager.watchers.setdefault(False, made)
            if not isinstance(watcher, BookManager):
                raise ValueError("this stream's topics are watched by a relay; open books on another stream")
            self._books = watcher
            if self._subscription_manager.closed:
                watcher.close()
        return self._books
