"""The local KuCoin: one port that answers like KuCoin's REST API and its WebSocket feeds, spot and futures.

It replaces KuCoin in tests and demonstrations: `with KucoinServer() as server`, then point a client's base URLs to
`server.rest_url` and `server.futures_rest_url`. It sends the messages of `publish` or of a simulated exchange, and
misbehaves as planned (see `Scripting`). It opens no connections itself, and answers unknown requests as KuCoin does.

Its threads are daemons, and `stop` joins them: one accepts, one serves each client, one watches deadlines, and one
trades after `run_exchange`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...credentials import Credentials
from .accounts import Accounts, Keys
from .catalogue import Catalogue
from .context import Context
from .http import ENDPOINTS, FUTURES, Handler
from .index import Index
from .limits import Admission, Clock, ServerLimits
from .listener import Listener
from .observing import Observing
from .pacing import DeadlineWatch, ExchangeFeed
from .publishing import Outgoing, Publisher, Pushed
from .rest import Books, Rest
from .state import State
from .tokens import Tokens
from .uta_scripting import UtaScripting
from .uta_topics import FUTURES as UTA_FUTURES
from .uta_topics import PRIVATE, SPOT

if TYPE_CHECKING:
    from ..exchange import Exchange

__all__ = ["KucoinServer"]

#: Names of this machine.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_UTA_OPTIONS = {"uta_spot_url": SPOT, "uta_futures_url": UTA_FUTURES, "uta_private_url": PRIVATE}


class KucoinServer(UtaScripting, Observing):
    """A local KuCoin on one port.

    Args:
        exchange: a simulated exchange whose feeds and snapshots it serves.
        port: 0 takes a free port and keeps it for a later `start`.
        credentials: the API keys of its accounts, as `Credentials`, (key, secret, passphrase) or
            {key: (secret, passphrase)}; a third item of a value is the user's id, which is the key otherwise.
        ping_interval, ping_timeout: seconds, which connect tokens and the UTA feed's welcome tell clients to keep.
        idle_timeout: seconds without a message after which a client is cut; None for never.
        send_timeout: seconds after which a client that reads nothing is dropped.
        token_lifetime: seconds.
        limits: the limits of clients.
        symbols: the known symbols; others are refused. None accepts every symbol, as KuCoin does.
        refuse_in_handshake: answer a bad token with HTTP 401 instead of an error frame.
        clock, monotonic: its clocks; after a change of an injected clock, call `advance(0)`.
        tls: the context for https and wss.
    """

    KEY = "demo-key"
    SECRET = "demo-secret"
    PASSPHRASE = "demo-passphrase"
    USER = "demo-user"

    def __init__(
        self,
        *,
        exchange: Exchange | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: Keys = (KEY, SECRET, PASSPHRASE),
        ping_interval: float = 18.0,
        ping_timeout: float = 10.0,
        idle_timeout: float | None = 60.0,
        send_timeout: float = 5.0,
        token_lifetime: float = 86_400.0,
        limits: ServerLimits | None = None,
        symbols: Collection[str] | None = None,
        refuse_in_handshake: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        state = State()
        index, catalogue = Index(state.lock), Catalogue(symbols)
        UtaScripting.__init__(self, state.lock)
        Observing.__init__(self, state, index)
        limits = limits or ServerLimits()
        self._clock = Clock(clock, monotonic)
        self._ping = (ping_interval, ping_timeout)
        self._secure = tls is not None
        accounts, tokens = Accounts(credentials, self.USER), Tokens(token_lifetime)
        self._publisher = Publisher(index, catalogue, self, self._clock)
        self._feed: ExchangeFeed | None = None
        if exchange is not None:
            publisher = Publisher(index, catalogue, self, self._clock, ExchangeFeed.OWN_NAMES)
            self._feed = ExchangeFeed(exchange, publisher, index, state.record, self._clock.now)
        books = None if self._feed is None else Books(self._feed.level2, self._feed.level3, self._feed.view)
        rest = Rest(state, self._clock, limits, accounts, tokens, self, books, self._instance_server)
        self._context = Context(
            state, index, self._clock, limits, Admission(limits), catalogue, accounts, tokens, self, rest,
            ping_interval, ping_timeout, self._feed, idle_timeout, send_timeout, refuse_in_handshake,
        )  # fmt: skip
        self._watch = DeadlineWatch(state, self._clock, idle_timeout)
        self._listener = Listener(host, port, tls, lambda peer: Handler(peer, self._context), state.record)

    def __repr__(self) -> str:
        where = self.rest_url if self._listener.port else "not started"
        return f"<KucoinServer {where}: {len(self.connections)} connections>"

    # Life

    def start(self) -> None:
        """Listen, on the same port as before. Starting twice is allowed."""
        if not self._listener.running:
            self._listener.start()
            self._watch.start()

    def stop(self) -> None:
        """Cut every client, stop listening and trading, and wait until all threads have ended.

        Plans, logs, snapshots and tokens stay, for the next `start`. It does not wait for clients.
        """
        self._cut_all("the server stopped")
        self._listener.stop()
        self._watch.stop()
        if self._feed is not None:
            self._feed.stop()  # last: it may still send to a client

    def __enter__(self) -> KucoinServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise the first error in the server's threads since the last check again, if there was one."""
        error = self._state.take_error()
        if error is not None:
            raise error

    def clear(self) -> None:
        """Reset the server: no connections, plans, snapshots, logs or tokens, and unmoved clocks.

        The port, a running exchange and errors that `check` has not raised yet stay.
        """
        self.reset_script()
        self._cut_all("the server was cleared")
        self._listener.cut_all()
        with self._state.lock:
            self._state.clear_logs()
            self._context.tokens.clear()
            self._context.catalogue.reset()
            self._context.admission.reset()
            self._context.rest.reset_quota()
            self._clock.moved = 0.0

    def advance(self, seconds: float) -> None:
        """Move the server's clocks forward; it acts on passed deadlines at once."""
        self._clock.moved += seconds
        self._state.deadlines_moved.set()

    # Addresses

    @property
    def rest_url(self) -> str:
        """The base URL of the spot REST API."""
        return f"http{'s' * self._secure}://{self._address()}"

    @property
    def address(self) -> tuple[str, int]:
        """The host and port, for a proxy in front of it."""
        self._address()
        return self._listener.host, self._listener.port

    @property
    def futures_rest_url(self) -> str:
        """The base URL of the futures REST API."""
        return self.rest_url + FUTURES

    @property
    def credentials(self) -> Credentials:
        """The first account's key, for a client."""
        return self._context.accounts.first()

    @property
    def stream_options(self) -> dict[str, Any]:
        """Arguments for a `Stream` to this server with the first account's key: `Stream(**stream_options)`."""
        return {
            "credentials": self.credentials,
            "rest_url": self.rest_url,
            "futures_rest_url": self.futures_rest_url,
            "proxy": "",
            **self.uta_urls,
        }

    @property
    def uta_urls(self) -> dict[str, str]:
        """The endpoints of the UTA feed, as arguments for a `Stream`; after `announce`, at the announced address.

        An unencrypted private endpoint is always at this machine's, as a `Stream` takes no other.
        """
        address = self.announced or self._address()
        urls = {name: self._endpoint(market, address) for name, market in _UTA_OPTIONS.items()}
        if not self._secure and address.rpartition(":")[0] not in _LOOPBACK:
            urls["uta_private_url"] = self._endpoint(PRIVATE, f"127.0.0.1:{self._listener.port}")
        return urls

    def endpoint(self, market: str = "spot") -> str:
        """Return the WebSocket endpoint of a service: "spot", "futures", or "uta-spot", "uta-futures", "uta"."""
        return self._endpoint(market, self._address())

    # Messages

    def publish(
        self, topic: str, data: Any, subject: str | None = None, *, user: str | None = None, **envelope: Any
    ) -> int:
        """Push a message to all matching subscriptions; return the number of frames sent.

        Args:
            topic: the topic in the push.
            user: the account that gets it; others don't.
            envelope: further fields beside `data`, such as `sn`; `userId` and `channelType` are added by the server.
        """
        return self._publisher.publish(Pushed(topic, data, subject, user, envelope))

    def publish_many(self, pushes: Iterable[Outgoing]) -> int:
        """Push messages (`Pushed`, or an exchange's) in order and in batches; return the number of frames sent."""
        return self._publisher.publish_many(pushes)

    def send_raw(self, data: bytes | str, opcode: int | None = None, fin: int = 1) -> int:
        """Send a frame with this payload to every connection; return the number of frames sent.

        Without an opcode the frame is text, and binary on a connection to the UTA feed.
        """
        return sum(connection.send_raw(data, opcode, fin) for connection in self.connections)

    def send_bytes(self, data: bytes) -> int:
        """Send raw bytes, valid frames or not, to every connection; return the number of connections."""
        return sum(connection.send_bytes(data) for connection in self.connections)

    def allow_topic(self, prefix: str, *, private: bool = False) -> None:
        """Add topics that KuCoin does not have, with and without an argument, until `clear`."""
        self._context.catalogue.allow(prefix, private=private)

    # Connections

    def drop_connections(self, *, rst: bool = False) -> int:
        """Cut every connection without a close frame, with `rst` by a TCP reset; return their number."""
        connections = self.connections
        for connection in connections:
            connection.cut("dropped", rst=rst)
        for connection in connections:
            connection.drop(rst=rst)
        return len(connections)

    def close_connections(self, code: int = 1000, reason: str = "Bye") -> int:
        """Send every connection a close frame; return the number of connections."""
        connections = self.connections
        for connection in connections:
            connection.close(code, reason)
        return len(connections)

    def expire_tokens(self) -> None:
        """Let every connect token issued so far expire; connections stay open."""
        with self._state.lock:
            self._context.tokens.expire()

    # The simulated exchange

    def run_exchange(self, rate: float = 200.0, *, beat_seconds: float = 1.0) -> None:
        """Let the exchange act `rate` times a second and push its periodic feeds every `beat_seconds`, until `stop`."""
        self._exchange_feed().run(rate, beat_seconds)

    def step_exchange(self, n: int = 1) -> int:
        """Let the exchange act `n` times; return the number of frames sent."""
        return self._exchange_feed().step(n)

    def beat_exchange(self) -> int:
        """Push the exchange's periodic feeds; return the number of frames sent."""
        return self._exchange_feed().heartbeat()

    def trading(self) -> AbstractContextManager[Exchange]:
        """Yield the exchange for exclusive use, for example to place orders; at the end send its pushes."""
        return self._exchange_feed().trading()

    def _cut_all(self, why: str) -> None:
        with self._state.lock:
            connections = list(self._state.open.values())
        for connection in connections:
            connection.cut(why)

    def _exchange_feed(self) -> ExchangeFeed:
        if self._feed is None:
            raise RuntimeError("this server has no exchange; pass exchange=Exchange(...) to KucoinServer()")
        return self._feed

    def _endpoint(self, market: str, address: str) -> str:
        return f"ws{'s' * self._secure}://{address}{ENDPOINTS[market]}"

    def _address(self) -> str:
        if not self._listener.port:
            raise RuntimeError("this server has no port yet: start it, or use it in a with statement")
        return f"{self._listener.host}:{self._listener.port}"

    def _instance_server(self, market: str) -> dict[str, Any]:
        interval, timeout = self._ping
        return {
            "endpoint": self._endpoint(market, self.announced or self._address()),
            "encrypt": self._secure,
            "protocol": "websocket",
            "pingInterval": int(interval * 1000),
            "pingTimeout": int(timeout * 1000),
        }
