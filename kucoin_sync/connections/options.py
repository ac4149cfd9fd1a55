"""The settings that all connections of a stream share."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Mapping

import msgspec

from ..credentials import Credentials
from ..limits import Limits
from ..net.endpoints import Endpoints
from ..net.rest import Rest
from ..net.waker import Waker
from ..protocol.dialect import Dialect
from ..topics.grammar import dialect_of

__all__ = ["ConnectionOptions"]


def _retry_nothing(_: float) -> float:
    return math.inf


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
    retry: Callable[[float], float] = _retry_nothing  # called now and then by each; returns when to call it again

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
