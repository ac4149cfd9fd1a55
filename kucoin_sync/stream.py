"""`Stream`: what users hold. It opens connections as topics need them and gives each message to its subscriptions."""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ._version import __version__
from .bookkeeping import Bookkeeper
from .books import Level2BookChange, Level3BookChange
from .callbacks import Callbacks
from .connection import Options as ConnectionOptions
from .credentials import Credentials
from .events import Event
from .exceptions import AuthenticationError
from .limits import Limits
from .local_book import LocalLevel2Book, LocalLevel3Book
from .rest import Bases, default_context
from .snapshots import Snapshots
from .subscribing import Callback, Options, Subscriber, Terms
from .subscription import Subscription
from .switchboard import Switchboard
from .topics.name import TopicName
from .tunnel import Tunnel

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Stream"]

_SPOT = "https://api.kucoin.com"
_FUTURES = "https://api-futures.kucoin.com"
_ROTATE_AFTER = 23 * 3600.0

C = TypeVar("C", bound=Callback)
P = TypeVar("P")


class Stream:
    """A client of KuCoin's WebSocket feeds for code that is not async.

    Nothing is dialled before the first subscription. Each connection has one I/O thread; it comes back for
    ever after a cut and subscribes again what is wanted. All methods may be called from any thread and from callbacks.

    Args:
        credentials: for private topics; None takes KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE.
        rest_url, futures_rest_url: REST base URLs, from which connect tokens come; None takes KUCOIN_SYNC_REST_URL
            and KUCOIN_SYNC_FUTURES_REST_URL, else KuCoin's global site.
        on_event: called with each `Event` on the stream's callback thread; all are logged, too.
        proxy: URL of an HTTP proxy, "" for none; None takes the usual environment variables.
        ssl_context: for TLS with a private certificate authority; verification can't be switched off otherwise.
        allowed_hosts: hosts outside the domain of the REST URL that connections may go to.
        limits: KuCoin's limits, where yours differ.
        rotate_after: seconds after which a connection is replaced, without a gap; KuCoin cuts it after 24 hours.

    Raises:
        ConnectionFailed: a URL is malformed.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        rest_url: str | None = None,
        futures_rest_url: str | None = None,
        on_event: Callable[[Event], object] | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        allowed_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        rotate_after: float = _ROTATE_AFTER,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Credentials):
            raise AuthenticationError(
                "credentials must be Credentials(key, secret, passphrase), or None for public topics"
            )
        bases = Bases.checked(
            rest_url or os.environ.get("KUCOIN_SYNC_REST_URL") or _SPOT,
            futures_rest_url or os.environ.get("KUCOIN_SYNC_FUTURES_REST_URL") or _FUTURES,
            tuple(allowed_hosts),
        )
        self._spot = bases.spot
        self._callbacks = Callbacks(on_event)
        options = ConnectionOptions(
            bases=bases,
            credentials=lambda: self._subscriber.credentials,
            context=_once(lambda: ssl_context or default_context()),
            proxy=proxy,
            limits=limits or Limits(),
            user_agent=f"kucoin-sync/{__version__}",
            lifetime=lambda: rotate_after * random.uniform(0.97, 1.0),
        )
        self._board = Switchboard(options, self._callbacks.emit)
        self._subscriber = Subscriber(self._board, self._callbacks, credentials)
        snapshots = Snapshots(
            lambda waker, signing: options.rest(waker, signing=signing), options.limits.snapshots_per_30s
        )
        self._books = Bookkeeper(self._board, self._subscriber, self._callbacks, snapshots)

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
            callback: called with each message on the stream's callback thread, instead of iterating.
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
        terms = Terms(callback, inline, maxsize, overflow, private, stale_after, timeout)
        return self._subscriber.subscribe((topic, *more_topics), terms)

    def tunnel(self, name: str) -> Tunnel:
        """Open a multiplex tunnel: `with stream.tunnel("bt1") as tunnel: tunnel.subscribe(topic)`.

        A message that comes through a tunnel reaches that tunnel's subscriptions only. At most 5 tunnels share a
        connection; more open another one. Legacy, unverified live: KuCoin documented tunnels from 2019 to 2023.

        Raises:
            InvalidTopic: the name is empty, overlong, or in use.
        """
        return Tunnel(name, self._subscriber, self._board)

    def on(self, topic: str, *more_topics: str, **options: Any) -> Callable[[C], C]:
        """Decorate a function to be the callback of topics; `options` are those of `subscribe`."""

        def register(callback: C) -> C:
            self.subscribe(topic, *more_topics, callback=callback, **options)
            return callback

        return register

    def unsubscribe(self, topic: str | Subscription) -> None:
        """End a subscription, or take a topic (by the name it was subscribed with) away from all that have it."""
        self._board.unsubscribe(topic)

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
        follower = self._books.open(symbol, level, generation, on_change, maxsize)
        return LocalLevel3Book(follower, maxsize) if level == 3 else LocalLevel2Book(follower, maxsize)

    def close(self, timeout: float = 5.0) -> None:
        """Close everything, from any thread or callback; closing twice is allowed.

        Wakes every place in which a thread can wait: iterating and `get` (which end after what was already
        received), `subscribe` and the waits for books (StreamClosed), and the I/O threads wherever they are. Waits
        up to `timeout` seconds for the threads to end; only the system's name resolution can take longer.
        """
        deadline = time.monotonic() + timeout
        self._callbacks.close()
        for thread in [*self._books.close(), *self._board.close(), *self._callbacks.threads]:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._board.closed

    def stats(self) -> dict[str, Any]:
        """Return plain numbers of the stream so far: messages, bytes, drops, reconnects, books and more."""
        return {**self._board.stats(), **self._books.stats()}

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Stream of {self._spot}: {state}, {self._board.stats()['subscriptions']} subscriptions>"


def _once(make: Callable[[], ssl.SSLContext]) -> Callable[[], ssl.SSLContext]:
    """Return a function that makes a TLS context when it is first called: loading authorities takes a while."""
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        if not made:
            made.append(make())
        return made[0]

    return context
