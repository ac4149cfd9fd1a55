"""The local KuCoin: one port that answers like KuCoin's REST API and its WebSocket feeds, spot and futures.

It stands in for KuCoin in tests and demonstrations: `with KucoinServer() as server`, then point a client's base
URLs to `server.rest_url` and `server.futures_rest_url`. It says what `publish` is told, or what a simulated
exchange makes, and does wrong what it is told to (see `Scripting`). It never reaches out to anything, and what
it does not know it answers as KuCoin would.

Threads, all daemon and joined by `stop`: one that accepts, one for each client, one that watches deadlines, and one
that trades after `run_exchange`.
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
from .http import ENDPOINT, FUTURES, Handler
from .index import Index
from .limits import Admission, Clock, ServerLimits
from .listener import Listener
from .observing import Observing
from .pacing import DeadlineWatch, ExchangeFeed
from .publishing import Outgoing, Publisher, Pushed
from .rest import Books, Rest
from .scripting import Scripting
from .state import State
from .tokens import Tokens

if TYPE_CHECKING:
    from ..exchange import Exchange

__all__ = ["KucoinServer"]


class KucoinServer(Scripting, Observing):
    """A local KuCoin on one port.

    Args:
        exchange: a simulated exchange whose feeds and snapshots it serves.
        port: 0 takes a free one, which a later `start` takes again.
        credentials: the API keys that it knows, as `Credentials`, (key, secret, passphrase) or
            {key: (secret, passphrase)}; a third item of the latter is the user's id, else the key is.
        ping_interval, ping_timeout: what connect tokens demand of clients, in seconds.
        idle_timeout: seconds without a message after which a client is cut; None is never.
        send_timeout: seconds that a client may take nothing of what is sent to it; then it is dropped.
        token_lifetime: seconds.
        limits: what clients may use.
        symbols: those that exist; others are refused. None lets every symbol exist, silently, as KuCoin does.
        refuse_in_handshake: answer a bad token with HTTP 401 instead of an error frame.
        clock, monotonic: what it takes for the time; after moving an injected one, call `advance(0)`.
        tls: makes it speak https and wss.
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
        Scripting.__init__(self, state.lock)
        Observing.__init__(self, state, index)
        limits = limits or ServerLimits()
        self._clock = Clock(clock, monotonic)
        self._ping = (ping_interval, ping_timeout)
        self._secure = tls is not None
        accounts, tokens = Accounts(credentials, self.USER), Tokens(token_lifetime)
        self._publisher = Publisher(index, catalogue, self)
        self._feed: ExchangeFeed | None = None
        if exchange is not None:
            publisher = Publisher(index, catalogue, self, ExchangeFeed.OWN_NAMES)
            self._feed = ExchangeFeed(exchange, publisher, index, state.record)
        books = None if self._feed is None else Books(self._feed.level2, self._feed.level3)
        rest = Rest(state, self._clock, limits, accounts, tokens, self, books, self._instance_server)
        self._context = Context(
            state, index, self._clock, limits, Admission(limits), catalogue, accounts, tokens, self, rest,
            idle_timeout, send_timeout, refuse_in_handshake,
        )  # fmt: skip
        self._watch = DeadlineWatch(state, self._clock, idle_timeout)
        self._listener = Listener(host, port, tls, lambda peer: Handler(peer, self._context), state.record)

    def __repr__(self) -> str:
        where = self.rest_url if self._listener.port else "not started"
        return f"<KucoinServer {where}: {len(self.connections)} connections>"

    # Life

    def start(self) -> None:
        """Listen, on the same port as before; nothing happens where it does already."""
        if not self._listener.running:
            self._listener.start()
            self._watch.start()

    def stop(self) -> None:
        """Cut every client, stop listening and trading, and wait until all threads have ended.

        Plans, logs, snapshots and tokens stay, for the next `start`. Returns at once however clients behave.
        """
        self._cut_all("the server stopped")
        self._listener.stop()
        self._watch.stop()
        if self._feed is not None:
            self._feed.stop()  # last: it may have been sending to somebody

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
        """Raise again what was first raised in one of the server's threads since the last check, if anything was."""
        error = self._state.take_error()
        if error is not None:
            raise error

    def clear(self) -> None:
        """Be as new: no connections, plans, snapshots, logs or tokens, and the time as it is.

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
        """Move the server's clocks forward and let it do at once what is due then."""
        self._clock.moved += seconds
        self._state.deadlines_moved.set()

    # Where it is

    @property
    def rest_url(self) -> str:
        """The base URL of the spot REST API."""
        return f"http{'s' * self._secure}://{self._address()}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for whoever stands in front of it."""
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
        """What makes a `Stream` talk to this server with the first account's key: `Stream(**stream_options)`."""
        return {
            "credentials": self.credentials,
            "rest_url": self.rest_url,
            "futures_rest_url": self.futures_rest_url,
            "proxy": "",
        }

    def endpoint(self, market: str = "spot") -> str:
        """Return the WebSocket endpoint of a service that connect tokens name."""
        return self._endpoint(market, self._address())

    # What it says

    def publish(
        self, topic: str, data: Any, subject: str | None = None, *, user: str | None = None, **envelope: Any
    ) -> int:
        """Push a message to everybody whose subscriptions it belongs to; return the number of frames sent.

        Args:
            topic: the name under which it is pushed.
            user: the account that it is for; others don't get it.
            envelope: what stands beside `data`, such as `sn`; `userId` and `channelType` come by themselves.
        """
        return self._publisher.publish(Pushed(topic, data, subject, user, envelope))

    def publish_many(self, pushes: Iterable[Outgoing]) -> int:
        """Push messages in order, `Pushed` or an exchange's, several at a time; return the number of frames sent."""
        return self._publisher.publish_many(pushes)

    def send_raw(self, data: bytes | str, opcode: int = 1, fin: int = 1) -> int:
        """Send a frame with this payload to every connection; return the number of frames sent."""
        return sum(connection.send_raw(data, opcode, fin) for connection in self.connections)

    def send_bytes(self, data: bytes) -> int:
        """Send these very bytes to every connection, whatever the protocol says; return how many there were."""
        return sum(connection.send_bytes(data) for connection in self.connections)

    def allow_topic(self, prefix: str, *, private: bool = False) -> None:
        """Have topics that KuCoin has not, or not yet, with and without an argument, until `clear`."""
        self._context.catalogue.allow(prefix, private=private)

    # What it does to connections

    def drop_connections(self, *, rst: bool = False) -> int:
        """Cut every connection without a close frame, with `rst` by a TCP reset; return how many there were."""
        connections = self.connections
        for connection in connections:
            connection.cut("dropped", rst=rst)
        for connection in connections:
            connection.drop(rst=rst)
        return len(connections)

    def close_connections(self, code: int = 1000, reason: str = "Bye") -> int:
        """Send every connection a close frame; return how many there were."""
        connections = self.connections
        for connection in connections:
            connection.close(code, reason)
        return len(connections)

    def expire_tokens(self) -> None:
        """End the time of every connect token given out so far; connections stay."""
        with self._state.lock:
            self._context.tokens.expire()

    # The simulated exchange

    def run_exchange(self, rate: float = 200.0, *, beat_seconds: float = 1.0) -> None:
        """Let the exchange act `rate` times a second, and its periodic feeds every `beat_seconds`, until `stop`."""
        self._exchange_feed().run(rate, beat_seconds)

    def step_exchange(self, n: int = 1) -> int:
        """Let the exchange act `n` times; return the number of frames sent."""
        return self._exchange_feed().step(n)

    def beat_exchange(self) -> int:
        """Push the exchange's periodic feeds; return the number of frames sent."""
        return self._exchange_feed().heartbeat()

    def trading(self) -> AbstractContextManager[Exchange]:
        """Hand out the exchange, to place orders while nobody else moves it; at the end push what came of it."""
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
        return f"ws{'s' * self._secure}://{address}{FUTURES * (market == 'futures')}{ENDPOINT}"

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
