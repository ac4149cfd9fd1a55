"""What every stream does, wherever its messages come from: subscriptions, tunnels, order books, numbers, the end."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable
from itertools import starmap
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .connections.manager import SubscriptionManager, Watcher
from .connections.source import MakeSource
from .connections.subscriber import Callback, Options, SubscribeOptions, Subscriber
from .credentials import Credentials
from .delivery.callbacks import Callbacks
from .delivery.observer import Observer
from .delivery.queue import InlineInbox
from .delivery.subscription import Subscription
from .events import Event
from .internal.fork import NotPicklable, install_fork_hooks, register
from .internal.signals import defer, deferred_threads, holds_no_lock, is_reentrant, run_or_defer, wait_for_deferred
from .protocol.session_events import TopicKey
from .topics import grammar
from .topics.name import TopicName

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .books import Level2BookChange, Level3BookChange
    from .books.follower import Follower
    from .books.local_book import LocalLevel2Book, LocalLevel3Book
    from .books.manager import BookManager
    from .books.snapshot_fetcher import FetcherFactory, SnapshotProvider
    from .tunnel import Tunnel

__all__ = ["Client"]

#: The numbers of the books while there is none; the names are `BookManager.stats`'s.
_NO_BOOKS = {"books": 0, "books_ready": 0, "book_resyncs": 0, "book_snapshots": 0}

#: Public methods for the packages that build on a stream; `dir` and tab completion leave them out.
_INTERNAL = {"add_tap", "after_fork", "carrying", "emit", "fetcher", "has_key", "remove_tap", "unwatch", "watch"}

C = TypeVar("C", bound=Callback)
P = TypeVar("P")


class Client(NotPicklable):
    """Messages for code that is not async, from carriers: `Stream` has them from KuCoin.

    All methods may be called from any thread, from callbacks, finalisers, log handlers and handlers of signals. Where
    one is called by code that has interrupted this package on the same thread, it does not wait: `subscribe` and `book`
    return what is not confirmed yet, and what `close` and others change is done soon, on another thread.

    Args:
        name: of where the messages come from.
        make: makes a carrier.
        capacity: topics that one carrier has room for.
        callbacks: run the callbacks, and take the events.
        credentials: for private topics; None takes what is found when they are needed.
        fetcher: makes what fetches snapshots for books.
        snapshots_per_30s: how many of these.
        find_credentials: returns credentials, or None; those of the environment, unless said otherwise.
        with_key: whether snapshots may be those of an API key; None asks whether there are credentials.
    """

    def __init__(
        self,
        name: str,
        make: MakeSource,
        capacity: int,
        callbacks: Callbacks,
        credentials: Credentials | None,
        fetcher: FetcherFactory,
        snapshots_per_30s: int,
        find_credentials: Callable[[], Credentials | None] = Credentials.from_environment,
        *,
        with_key: Callable[[], bool] | None = None,
    ) -> None:
        self._name = name
        self._callbacks = callbacks
        self._board = SubscriptionManager(make, capacity, callbacks.emit)
        self._subscriber = Subscriber(self._board, callbacks, credentials, find_credentials)
        self._fetcher = fetcher
        self._snapshots_per_30s = snapshots_per_30s
        subscriber = self._subscriber
        self._with_key = with_key or (lambda: subscriber.find_credentials() is not None)
        self._books: BookManager | None = None  # none before the first book: most programs have no need of any
        self._watchers: dict[str, Watcher] = {}  # the one that `watch` or the first `book` gave; taken without a lock
        install_fork_hooks()
        register(self)
        # What runs for this holds the board, never this itself; what users hold keeps this alive.
        unheld = weakref.finalize(
            self, _end_unheld, f"{type(self).__name__} of {name}", self._board, callbacks, self._watchers
        )
        unheld.atexit = False

    # Subscribing

    @overload
    def subscribe(
        self, topic: TopicName[P], *more_topics: TopicName[P], **options: Unpack[Options]
    ) -> Subscription[P]: ...
    @overload
    def subscribe(self, topic: str, *more_topics: str, **options: Unpack[Options]) -> Subscription: ...
    def subscribe(
        self,
        topic: str,
        *more_topics: str,
        callback: Callback | None = None,
        inline: bool = False,
        maxsize: int = 10_000,
        overflow: str = "raise",
        private: bool | None = None,
        stale_after: float | None = None,
        timeout: float | None = 10.0,
    ) -> Subscription:
        """Subscribe topics and return what iterates over their messages, once the server has confirmed them.

        Args:
            topic, more_topics: such as "/market/ticker:ETH-USDT" or `topics.ticker("BTC-USDT", "ETH-USDT")`.
            callback: called with each message on the stream's callback thread, instead of iterating. Where it takes
                longer than 50 ms, those of other subscriptions go on beside it, on another thread.
            inline: call it on the I/O thread, for the lowest latency; it must not block.
            maxsize: messages that may wait for the consumer.
            overflow: what happens beyond: "raise" (SlowConsumer), "drop_oldest", "drop_newest", or "latest"
                (only the newest message of each topic and subject is kept).
            private: True asks for the account's own messages of a topic (`privateChannel`).
            stale_after: seconds without a message after which a `Stale` event is emitted, once per episode.
            timeout: seconds to wait for the confirmation; 0 does not wait, None waits for ever.

        Raises:
            InvalidTopic, SubscriptionRejected, AckTimeout, AuthenticationError, StreamClosed;
            ConnectionFailed: the server could not be reached within the timeout.
        """
        terms = SubscribeOptions(callback, inline, maxsize, overflow, private, stale_after, timeout)
        [subscription] = map(
            self._subscriber.subscribe, ((topic, *more_topics),), (terms,), (None,), (self,)
        )  # see `Inbox.source`
        return subscription

    def tunnel(self, name: str) -> Tunnel:
        """Open a multiplex tunnel: `with stream.tunnel("bt1") as tunnel: tunnel.subscribe(topic)`.

        A message that comes through a tunnel reaches that tunnel's subscriptions only. At most 5 tunnels share a
        connection; more open another one. Legacy, unverified live: KuCoin documented tunnels from 2019 to 2023.

        Raises:
            InvalidTopic: the name is empty, overlong, or in use.
        """
        from .tunnel import Tunnel

        [tunnel] = map(Tunnel, (name,), (self._subscriber,), (self._board,), (self,))  # see `Inbox.source`
        return tunnel

    def on(self, topic: str, *more_topics: str, **options: Any) -> Callable[[C], C]:
        """Decorate a function to be the callback of topics; `options` are those of `subscribe`."""

        @holds_no_lock
        def register(callback: C) -> C:
            self.subscribe(topic, *more_topics, callback=callback, **options)
            return callback

        return register

    def unsubscribe(self, topic: str | Subscription) -> None:
        """End a subscription, or take a topic (by the name it was subscribed with) away from all that have it."""
        if isinstance(topic, Subscription):
            topic.close()
            return
        grammar.split(topic)  # which raises InvalidTopic now, not on another thread
        run_or_defer(lambda: self._board.unsubscribe(topic))

    # Order books

    @overload
    def book(
        self,
        symbol: str,
        *,
        level: Literal[2] = 2,
        on_change: Callable[[Level2BookChange], object] | None = None,
        maxsize: int = 10_000,
    ) -> LocalLevel2Book: ...
    @overload
    def book(
        self,
        symbol: str,
        *,
        level: Literal[3],
        generation: int = 2,
        on_change: Callable[[Level3BookChange], object] | None = None,
        maxsize: int = 10_000,
    ) -> LocalLevel3Book: ...
    @overload
    def book(
        self,
        symbol: str,
        *,
        level: int,
        generation: int = 2,
        on_change: Callable[[Any], object] | None = None,
        maxsize: int = 10_000,
    ) -> LocalLevel2Book | LocalLevel3Book: ...
    def book(
        self,
        symbol: str,
        *,
        level: int = 2,
        generation: int = 2,
        on_change: Callable[[Any], object] | None = None,
        maxsize: int = 10_000,
    ) -> LocalLevel2Book | LocalLevel3Book:
        """Keep the whole order book of a symbol live; return it at once, to be read when it is ready.

        Updates come over the stream's connections, snapshots from REST; both are within KuCoin's limits for any number
        of books. With credentials a spot book of level 2 is whole. Without, it begins with the best 100 levels of each
        side and tells what it does not know: see `LocalBook.partial`. Futures books are always whole.

        Args:
            symbol: such as "BTC-USDT", or "XBTUSDTM" for futures.
            level: 2 for sizes at prices, 3 for single orders (spot; KuCoin withdrew that feed in 2021).
            generation: of the level 3 feed, 1 (/market/level3) or 2 (/spotMarket/level3).
            on_change: called with each change on the stream's callback thread; see `LocalBook.__iter__`.
            maxsize: changes that may wait for on_change, or for whoever iterates over the book.

        Raises:
            InvalidTopic, StreamClosed. What KuCoin has against the symbol, `LocalBook.wait_ready` tells.
        """
        from .books.local_book import LocalLevel2Book, LocalLevel3Book

        hold = LocalLevel3Book if level == 3 else LocalLevel2Book

        def held(follower: Follower[Any, Any]) -> LocalLevel2Book | LocalLevel3Book:
            follower.keep_alive = self if on_change is not None else None
            return hold(follower, maxsize, self)

        terms = (symbol, level, generation, on_change, maxsize, held)
        book: LocalLevel2Book | LocalLevel3Book
        [book] = starmap(self._bookkeeper().open, (terms,))  # see `Inbox.source`
        return book

    # In a forked child

    def resume(self) -> None:
        """Begin again in a forked child now, without waiting for its first use; anywhere else this does nothing.

        A child has its parent's subscriptions, tunnels and books, empty, and dials for them on its own when they or the
        stream are first used: by `get` or iterating, a look at `pending`, `subscribe`, `book`, or any look into a book.
        A program that has only callbacks uses nothing, so that it calls this; see "Web servers that
        fork" in `kucoin_sync/contrib/README.md`.
        """
        run_or_defer(self._resume)

    def _resume(self) -> None:
        if self._books is not None:
            self._books.resume()
        for subscription in self._board.resume():
            if subscription.callback is not None and not isinstance(subscription.inbox, InlineInbox):
                self._callbacks.serve(subscription)

    def after_fork(self) -> None:
        """Let go of all that belongs to the parent; called in a forked child, before anything else."""
        closed = self._callbacks.closed  # maybe not by far: by a thread that is not here
        self._callbacks.renew()
        if self._books is not None:
            self._books.after_fork()
        stream = weakref.ref(self)
        self._board.renew(lambda: None if (held := stream()) is None else held.resume())
        if closed:
            self._begin_to_close()

    def add_tap(self, tap: Observer) -> None:
        """Tell `tap` of all that subscriptions and books get from now on; a recorder is one."""
        run_or_defer(lambda: self._board.add_tap(tap))

    def remove_tap(self, tap: Observer) -> None:
        """Tell `tap` nothing more."""
        run_or_defer(lambda: self._board.remove_tap(tap))

    def carrying(self) -> dict[tuple[str, bool], list[TopicKey]]:
        """Return the topics, with their tunnels, that are known to be sent now, by market and whether private."""
        return self._board.carrying()

    def emit(self, event: Event) -> None:
        """Log an event and have `on_event` called with it: for what is built on a stream. Never waits."""
        if is_reentrant():
            defer(lambda: self._callbacks.emit(event))
        else:
            self._callbacks.emit(event)

    def close(self, timeout: float = 5.0) -> None:
        """Close everything, from any thread or callback; closing twice is allowed.

        Wakes every place in which a thread can wait: iterating and `get` (which end after what was already
        received), `subscribe` and the waits for books (StreamClosed), and the I/O threads wherever they are. Waits
        up to `timeout` seconds for the threads to end. It does not wait where a finaliser, a log handler or a handler
        of a signal calls it inside another method.
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
        closing += self._board.close()
        if self._books is not None and books is None:  # made meanwhile
            closing += self._books.close()
        return [*closing, *self._callbacks.threads]

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._board.closed

    def stats(self) -> dict[str, Any]:
        """Return plain numbers of the stream so far: messages, bytes, drops, reconnects, books and more.

        Durations are in seconds. "lag" is from KuCoin's time in a message to its delivery, of the latest among those
        that wait and those that were read last; None where none has a time. It takes this machine's clock for right.
        "queue_delay" says for how long the oldest message has been waiting for its consumer. "pong_latency" is that of
        the slowest connection, None before the first pong.
        """
        if not is_reentrant():
            wait_for_deferred()
        return {**self._board.stats(), **(_NO_BOOKS if self._books is None else self._books.stats())}

    def __enter__(self) -> Self:
        return self

    @holds_no_lock
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - _INTERNAL)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} of {self._name}: {state}, {self._board.count} subscriptions>"

    def _make_snapshots(self) -> SnapshotProvider:
        """Return what gives the books their snapshots."""
        from .books.snapshot_fetcher import SnapshotQueue

        return SnapshotQueue(self._fetcher, self._snapshots_per_30s, self._board.fetched)

    # For whoever passes on what comes; see `relay`

    @property
    def fetcher(self) -> FetcherFactory:
        """Makes what fetches snapshots."""
        return self._fetcher

    def has_key(self) -> bool:
        """Whether snapshots may be those of an API key."""
        return self._with_key()

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher which public topics are carried and lost, instead of keeping books."""
        if self._watchers.setdefault("", watcher) is not watcher:
            raise ValueError("this stream's topics are watched already; use a stream of its own")
        self._board.watcher = watcher

    def unwatch(self) -> None:
        """Tell the watcher nothing more."""
        self._board.watcher = None
        self._watchers.clear()

    def _bookkeeper(self) -> BookManager:
        from .books.manager import BookManager

        if self._books is None:
            snapshots = self._make_snapshots()
            made = BookManager(self._board, self._subscriber, self._callbacks, snapshots, self._with_key)
            watcher = self._watchers.setdefault("", made)
            if not isinstance(watcher, BookManager):
                raise ValueError("this stream's topics are watched by a relay; open books on another stream")
            self._board.watcher = self._books = watcher
            if self._board.closed:
                watcher.close()
        return self._books


def _end_unheld(stream: str, board: SubscriptionManager, callbacks: Callbacks, watchers: dict[str, Watcher]) -> None:
    """End what runs for a stream that nobody holds any more; on any thread, wherever the garbage collector runs."""
    if not board.is_connected:
        return

    def end() -> None:
        callbacks.close()
        for watcher in watchers.values():
            if (close := getattr(watcher, "close", None)) is not None:
                close()
        board.close()

    defer(end)
    warnings.warn(
        f"nobody holds the {stream} any more, and it was not closed: its connections end now; close it, or use `with`",
        ResourceWarning,
        stacklevel=2,
    )
