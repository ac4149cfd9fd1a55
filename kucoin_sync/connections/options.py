"""The settings that all connections of a stream share."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import quote

import msgspec

from ..credentials import Credentials
from ..limits import Limits
from ..net.rest import Endpoints, Rest
from ..net.rest_response import InstanceServer
from ..net.waker import Waker
from ..net.websocket import SecretUrl, WebSocketConnection
from ..protocol.session import Session

__all__ = ["ConnectionOptions"]


class ConnectionOptions(msgspec.Struct, frozen=True):
    """The settings that all connections of a stream share."""

    endpoints: Endpoints
    credentials: Callable[[], Credentials | None]  # called for each connection: keys may be set later
    context: Callable[[], ssl.SSLContext]
    proxy: str | None
    limits: Limits
    user_agent: str
    lifetime: Callable[[], float]  # returns the seconds after which a connection is replaced

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

    def dial(self, endpoint: str, token: str, waker: Waker) -> WebSocketConnection:
        """Connect to an endpoint with a connect token and do the WebSocket handshake."""
        separator = "&" if "?" in endpoint else "?"
        return WebSocketConnection.connect(
            SecretUrl(f"{endpoint}{separator}token={quote(token, safe='')}&connectId={secrets.token_hex(8)}"),
            waker=waker,
            limits=self.limits,
            context=self.context() if endpoint.startswith("wss:") else None,
            proxy=self.proxy,
            user_agent=self.user_agent,
        )

    def session(self, server: InstanceServer, ids: Iterator[int], now: float, *, private: bool) -> Session:
        """Return a new session with a server; `ids` gives the numbers of its commands."""
        return Session(
            ids=ids,
            ping_interval=server.ping_interval,
            ping_timeout=server.ping_timeout,
            now=now,
            private=private,
            limits=self.limits,
        )
