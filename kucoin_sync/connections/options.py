"""The settings that all connections of a stream share."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping

import msgspec

from ..credentials import Credentials
from ..limits import Limits
from ..net.rest import Endpoints, Rest
from ..net.waker import Waker
from ..net.websocket import SecretUrl, WebSocketConnection
from ..protocol.dialect import Dialect, Server
from ..protocol.session import Session
from ..topics.grammar import dialect_of

__all__ = ["ConnectionOptions"]


class ConnectionOptions(msgspec.Struct, frozen=True):
    """The settings, and what is made with them."""

    endpoints: Endpoints
    dialects: Mapping[str, Dialect]  # by name
    credentials: Callable[[], Credentials | None]  # called for each connection: keys may be set later
    context: Callable[[], ssl.SSLContext]
    proxy: str | None
    limits: Limits
    user_agent: str
    lifetime: Callable[[], float]  # returns the seconds after which a connection is replaced
    label: str = ""  # what the names of their threads end with

    def capacity(self, market: str, private: bool) -> int:
        """Return how many topics a connection may have."""
        dialect = self.dialects[dialect_of(market)]
        return dialect.limits(self.limits, private=private).topics_per_connection

    def rest(self, waker: Waker, *, signing: bool = True) -> Rest:
        """Return a REST client that `waker` can cancel. Without `signing` it has no API key."""
        return Rest(
            self.endpoints,
            waker=waker,
            credentials=self.credentials() if signing else None,
            context=self.context,
            proxy=self.proxy,
            timeout=self.limits.step_timeout,
            user_agent=self.user_agent,
        )

    def dial(self, dialect: Dialect, server: Server, waker: Waker) -> WebSocketConnection:
        """Connect to a server and do the WebSocket handshake."""
        return WebSocketConnection.connect(
            SecretUrl(dialect.url(server, secrets.token_hex(8))),
            waker=waker,
            limits=self.limits,
            context=self.context() if server.endpoint.startswith("wss:") else None,
            proxy=self.proxy,
            user_agent=self.user_agent,
            binary=dialect.binary,
        )

    def session(
        self,
        dialect: Dialect,
        server: Server,
        ids: Iterator[int],
        now: float,
        *,
        private: bool,
        clock_ms: Callable[[], int],
    ) -> Session:
        """Return a new session with a server; `ids` yields the numbers of its commands, `clock_ms` returns the time."""
        credentials = self.credentials() if private else None
        return Session(
            dialect,
            ids=ids,
            ping_interval=server.ping_interval,
            ping_timeout=server.ping_timeout,
            now=now,
            private=private,
            limits=dialect.limits(self.limits, private=private),
            login=dialect.login(credentials, clock_ms) if credentials else None,
        )
