"""`Stream`: what users hold. It opens connections as topics need them and gives each message to its subscriptions."""

from __future__ import annotations

import random
import ssl
import weakref
from collections.abc import Callable, Iterable

from ._version import __version__
from .callbacks import Callbacks
from .carrier import Carrier, Deliver, Owner
from .client import Client
from .connection import Connection
from .connection import Options as ConnectionOptions
from .credentials import Credentials
from .events import Event
from .exceptions import AuthenticationError
from .limits import Limits
from .rest import Bases, default_context

__all__ = ["Stream"]

_ROTATE_AFTER = 23 * 3600.0


class Stream(Client):
    """A client of KuCoin's WebSocket feeds for code that is not async.

    Nothing is dialled before the first subscription. Each connection has one I/O thread; it comes back for
    ever after a cut and subscribes again what is wanted. All methods may be called from any thread, from callbacks,
    finalisers, log handlers and handlers of signals. Where one is called by code that has interrupted this package on
    the same thread, it does not wait: `subscribe` and `book` return what is not confirmed yet, and what `close` and
    others change is done soon, on another thread.

    Args:
        credentials: for private topics; None takes KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_API_PASSPHRASE.
        rest_url, futures_rest_url: REST base URLs, from which connect tokens come; None takes KUCOIN_SYNC_REST_URL
            and KUCOIN_SYNC_FUTURES_REST_URL, else KuCoin's global site.
        on_event: called with each `Event` on the stream's callback thread; all are logged, too.
        proxy: URL of an HTTP proxy, or of a SOCKS proxy (socks5h://host:port, with the extra `socks`); "" for none,
            None takes the usual environment variables.
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
        bases = Bases.chosen(rest_url, futures_rest_url, tuple(allowed_hosts))
        stream = weakref.ref(self)  # connections do not keep it alive

        def current() -> Credentials | None:
            held = stream()
            return None if held is None else held._subscriber.credentials

        options = ConnectionOptions(
            bases=bases,
            credentials=current,
            context=_once(lambda: ssl_context or default_context()),
            proxy=proxy,
            limits=limits or Limits(),
            user_agent=f"kucoin-sync/{__version__}",
            lifetime=lambda: rotate_after * random.uniform(0.97, 1.0),
        )

        def dial(number: int, market: str, private: bool, owner: Owner, deliver: Deliver) -> Carrier:
            return Connection(number, market, private, options, owner, deliver)

        super().__init__(
            bases.spot,
            dial,
            options.limits.topics_per_connection,
            Callbacks(on_event),
            credentials,
            lambda waker, signing: options.rest(waker, signing=signing),
            options.limits.snapshots_per_30s,
        )


def _once(make: Callable[[], ssl.SSLContext]) -> Callable[[], ssl.SSLContext]:
    """Return a function that makes a TLS context when it is first called: loading authorities takes a while.

    It makes another one where gevent or eventlet has replaced `ssl` since then.
    """
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        if not made or not isinstance(made[0], ssl.SSLContext):
            made[:] = [make()]
        return made[0]

    return context
