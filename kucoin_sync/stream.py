"""`Stream`: the client of KuCoin's feeds that users create."""

from __future__ import annotations

import functools
import random
import ssl
import weakref
from collections.abc import Callable, Iterable

from ._version import __version__
from .client import Client
from .connections.connection import Connection
from .connections.options import ConnectionOptions
from .connections.source import Deliver, MessageSource, SourceListener
from .credentials import Credentials
from .delivery.callbacks import Callbacks
from .events import Event
from .exceptions import AuthenticationError
from .limits import Limits
from .net.rest import Endpoints, default_context
from .net.uta_hosts import chosen_hosts
from .protocol.dialects import DIALECTS
from .protocol.uta import Uta

__all__ = ["Stream"]


class Stream(Client):
    """A client of KuCoin's WebSocket feeds for code that is not async.

    It connects with the first subscription and opens further connections as topics need them. Each connection has one
    I/O thread. After a cut it reconnects, as often as needed, and subscribes its topics again.

    All methods may be called from any thread, callback, finaliser, log handler or signal handler. If the caller has
    interrupted this package on the same thread, the method does not wait: `subscribe` and `book` return before the
    server has confirmed, and the changes of `close` and others are made soon after, on another thread.

    Args:
        credentials: for private topics; None reads KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE.
        rest_url, futures_rest_url: REST base URLs, which provide the connect tokens; None reads KUCOIN_SYNC_REST_URL
            and KUCOIN_SYNC_FUTURES_REST_URL. The default is KuCoin's global site.
        uta_spot_url, uta_futures_url, uta_private_url: the servers of the UTA feed; None reads
            KUCOIN_SYNC_UTA_SPOT_URL, KUCOIN_SYNC_UTA_FUTURES_URL and KUCOIN_SYNC_UTA_PRIVATE_URL. The default is
            KuCoin's.
        on_event: called with each `Event` on the stream's callback thread; events are logged, too.
        proxy: URL of an HTTP proxy, or of a SOCKS proxy (socks5h://host:port, with the extra `socks`); "" for none;
            None reads the usual environment variables.
        ssl_context: for TLS with a private certificate authority; verification can't be switched off otherwise.
        allowed_hosts: hosts outside the domain of the REST URL that connections may go to.
        limits: KuCoin's limits, if yours differ from the default.
        rotate_after: seconds after which a connection is replaced without a gap; KuCoin cuts it after 24 hours.
        name: what the names of its threads end with, and `repr` shows; for programs with several streams.

    Raises:
        ConnectionFailed: a URL is malformed.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        rest_url: str | None = None,
        futures_rest_url: str | None = None,
        uta_spot_url: str | None = None,
        uta_futures_url: str | None = None,
        uta_private_url: str | None = None,
        on_event: Callable[[Event], object] | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        allowed_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        rotate_after: float = 23 * 3600.0,
        name: str | None = None,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Credentials):
            raise AuthenticationError("credentials must be Credentials(key, secret, passphrase), or None")
        endpoints = Endpoints.chosen(rest_url, futures_rest_url, tuple(allowed_hosts))
        uta = Uta(chosen_hosts(uta_spot_url, uta_futures_url, uta_private_url))
        stream = weakref.ref(self)  # weak: connections must not keep the stream alive

        def current() -> Credentials | None:
            held = stream()
            return None if held is None else held._subscriber.credentials

        # Loading authorities is slow. If gevent or eventlet has replaced `ssl` meanwhile, another context is needed.
        context_of = functools.cache(lambda _: ssl_context or default_context())
        limits = limits or Limits()
        label = f" of {name}" if name else ""
        options = ConnectionOptions(
            endpoints=endpoints,
            dialects={**DIALECTS, uta.name: uta},
            credentials=current,
            context=lambda: context_of(ssl.SSLContext),
            proxy=proxy,
            limits=limits,
            user_agent=f"kucoin-sync/{__version__}",
            lifetime=lambda: rotate_after * random.uniform(0.97, 1.0),
            label=label,
        )

        def dial(number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver) -> MessageSource:
            return Connection(number, market, private, options, owner, deliver)

        super().__init__(
            f"{endpoints.spot}, {name}" if name else endpoints.spot,
            dial,
            options.capacity,
            Callbacks(on_event, label=label),
            credentials,
            lambda waker, signing: options.rest(waker, signing=signing),
            limits.snapshots_per_30s,
        )
