"""`Stream`: the client of KuCoin's feeds that users create."""

from __future__ import annotations

import functools
import random
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import starmap
from typing import TYPE_CHECKING

from ._version import __version__
from .client import Client
from .connections.connection import Connection
from .connections.gate import TopicRecovery
from .connections.options import ConnectionOptions
from .credentials import Credentials
from .delivery.callbacks import Callbacks, check_callback, held_by
from .delivery.overflow import check_maxsize
from .events import Event
from .exceptions import AuthenticationError, StreamClosed
from .internal.signals import defer, is_reentrant, wait_for_deferred
from .limits import Limits
from .net.endpoints import Endpoints, chosen_hosts
from .net.rest import default_context
from .protocol.dialects import DIALECTS
from .protocol.uta import Uta

if TYPE_CHECKING:
    from .account import AccountChange
    from .account.keeper import AccountKeeper
    from .account.local_account import LocalAccount

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
        redundancy: 2 subscribes each topic on two connections, to different servers where KuCoin names several. Each
            message is delivered once, from the connection on which it comes first. The loss of one of them leaves no
            gap: `epoch` stays, and books go on. It takes twice the traffic and twice the connections.
        name: what the names of its threads end with, and `repr` shows; for programs with several streams.

    Raises:
        ConnectionFailed: a URL is malformed.
        ValueError: redundancy is neither 1 nor 2, or rotate_after is not positive.
        TypeError: an option is of a type that it can't have.
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
        redundancy: int = 1,
        name: str | None = None,
    ) -> None:
        if redundancy not in (1, 2):
            raise ValueError(f"redundancy is {redundancy!r}; it is 1 or 2, the number of connections for each topic")
        if credentials is not None and not isinstance(credentials, Credentials):
            raise AuthenticationError("credentials must be Credentials(key, secret, passphrase), or None")
        if isinstance(rotate_after, bool) or not isinstance(rotate_after, (int, float)) or not rotate_after > 0:
            raise ValueError(
                f"rotate_after is {rotate_after!r}; it is a positive number of seconds, math.inf for never"
            )
        if proxy is not None and not isinstance(proxy, str):
            raise TypeError(f"proxy is one URL as text, or None, not {type(proxy).__name__}")
        if ssl_context is not None and not hasattr(ssl_context, "wrap_socket"):
            raise TypeError(f"ssl_context is an ssl.SSLContext, or None, not {ssl_context!r}")
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits is Limits(...), or None, not {limits!r}")
        hosts = (allowed_hosts,) if isinstance(allowed_hosts, str) else tuple(allowed_hosts)
        endpoints = Endpoints.chosen(rest_url, futures_rest_url, hosts)
        uta = Uta(chosen_hosts(uta_spot_url, uta_futures_url, uta_private_url))
        stream = weakref.ref(self)  # weak: connections must not keep the stream alive

        def current() -> Credentials | None:
            held = stream()
            return None if held is None else held._subscriber.credentials

        # Loading authorities is slow. If gevent or eventlet has replaced `ssl` meanwhile, another context is needed.
        context_of = functools.cache(lambda _: ssl_context or default_context())
        limits = limits or Limits()
        label = f" of {name}" if name else ""
        callbacks = Callbacks(held_by(self, on_event), label=label)
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
            retry=callbacks.retry,
        )

        super().__init__(
            f"{endpoints.spot}, {name}" if name else endpoints.spot,
            functools.partial(Connection, options),
            options.capacity,
            callbacks,
            credentials,
            lambda waker, signing: options.rest(waker, signing=signing),
            limits.snapshots_per_30s,
            redundancy=redundancy,
        )
        self._account_lock = threading.Lock()  # guards the following
        self._account: AccountKeeper | None = None  # the account, and who holds it
        self._account_holders: set[LocalAccount] = set()
        self._account_ending: AccountKeeper | None = None  # its last holder was closed

    def _make_recovery(self) -> TopicRecovery:
        from .books.snapshot_fetcher import SnapshotQueue
        from .recovery.recovery import RestRecovery

        label = self._callbacks.label
        queue = SnapshotQueue(self.fetcher, self._rest_quota(), label=label)
        return RestRecovery(queue, self._callbacks.emit, self._subscription_manager.epochs, label=label)

    # The account

    def account(
        self,
        *,
        on_change: Callable[[AccountChange], object] | None = None,
        maxsize: int = 10_000,
        rest_lag: float = 5.0,
    ) -> LocalAccount:
        """Keep a local account up to date: balances, open orders, fills and positions of spot, margin and futures.

        Return it at once; it can be read when it is ready. It needs an API key; the right "General" is enough. A stream
        has one account, which all callers share; it ends when each of them has closed it.

        Args:
            on_change: called with each change on the stream's callback thread; see `LocalAccount.__iter__`.
            maxsize: changes that may be queued for on_change, or for the iteration over the account.
            rest_lag: seconds by which KuCoin's REST may lag behind its pushes. So long after each connect the account
                can't be read: what REST tells before may be old. The first caller's value counts.

        Raises:
            AuthenticationError: there is no API key.
            StreamClosed, ConnectionFailed.
        """
        check_maxsize(maxsize, "at least 1 change may wait")
        check_callback("on_change", on_change)
        if not 0 <= rest_lag < 3600:
            raise ValueError(f"rest_lag is {rest_lag!r}; it is a number of seconds from 0 on")
        if not is_reentrant():
            wait_for_deferred()
        account: LocalAccount
        [account] = starmap(self._hold_account, ((on_change, maxsize, rest_lag),))  # see `MessageQueue.source`
        return account

    def _hold_account(
        self, on_change: Callable[[AccountChange], object] | None, maxsize: int, rest_lag: float
    ) -> LocalAccount:
        """Return a new holder of the account; nothing is left if a signal handler raises meanwhile."""
        from .account.local_account import LocalAccount

        account: LocalAccount | None = None
        try:
            with nullcontext() if is_reentrant() else self._account_lock:
                keeper = self._open_account(rest_lag)
                account = LocalAccount(keeper, maxsize, self._release_account, self)
                self._account_holders.add(account)
            if on_change is not None:
                keeper.keep_alive = self
                account.listener = keeper.listen(maxsize, on_change)
        except BaseException:
            if account is not None:
                account.close()
            elif self._account is not None and not self._account_holders:
                self._account.end(StreamClosed("the account could not be opened"))
            raise
        return account

    def _open_account(self, rest_lag: float) -> AccountKeeper:
        """Return the keeper of the account; open the account if nobody holds it (under the lock).

        A reentrant call has it opened later. An error ends it then.
        """
        from .account.keeper import AccountKeeper

        keeper = self._account
        if keeper is None or keeper is self._account_ending or keeper.ended is not None:
            manager = self._subscription_manager
            keeper = AccountKeeper(manager, self._subscriber, self._callbacks, self.fetcher, rest_lag)
            keeper.check()
            self._account_holders = set()
            self._account = keeper
            if is_reentrant():
                defer(keeper.open_later)
            else:
                keeper.open()
        return keeper

    def _release_account(self, account: LocalAccount) -> None:
        """Close a holder of the account; end the account if it was the last one.

        If an earlier call was interrupted, this one completes it: an account that is not the present one has ended, or
        is to end.
        """
        keeper = account.let_go()
        with self._account_lock:
            if keeper is self._account:
                self._account_holders.discard(account)
                if self._account_holders:
                    return
                self._account_ending = keeper
            watchers = self._subscription_manager.watchers
            if watchers.get(True) is keeper:  # another account may be opened from now on
                watchers.pop(True, None)
        keeper.end(StreamClosed("the account was closed"))

    def after_fork(self) -> None:
        """Drop everything that belongs to the parent; called first in a forked child."""
        self._account_lock = threading.Lock()
        if self._account is not None:
            self._account.after_fork()
        super().after_fork()

    def _resume(self) -> None:
        if self._account is not None:
            self._account.resume()
        super()._resume()

    def _begin_to_close(self) -> list[threading.Thread]:
        threads = super()._begin_to_close()
        # An account that is being opened is opened by then, or meets a closed stream.
        with nullcontext() if is_reentrant() else self._account_lock:
            account = self._account
        return threads if account is None else [*threads, *account.close()]
