"""How much the server grants its clients, and the two clocks by which it measures.

KuCoin's figures are the defaults; where its pages disagree, the smaller one. Source: KuCoin's documentation,
"Rate limit" and "WebSocket error codes".
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["Clock", "ServerLimits"]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may use; None means without limit. A topic that names three symbols counts as three."""

    #: Topics in one subscribe command.
    topics_per_command: int | None = 100
    #: Topics on one connection, those in tunnels included.
    topics_per_session: int | None = 300
    #: Client messages per 10 seconds and connection, pings included.
    messages_per_10s: int | None = 100
    #: Tunnels open at once on a connection.
    tunnels: int | None = 5
    #: Connections of one user at once; those without a user count together.
    sessions: int | None = 50
    #: New connections per minute, of all clients together (KuCoin: 30).
    connections_per_minute: int | None = None
    #: REST requests per 30 seconds, of all clients together.
    requests_per_30s: int | None = 4000


class Clock:
    """The wall clock and the monotonic clock of a server, which a test may move forward.

    `moved` is how far, in seconds; it counts for both.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self.moved = 0.0

    def wall(self) -> float:
        """Return the time of day in seconds since 1970."""
        return self._wall() + self.moved

    def now(self) -> float:
        """Return the seconds of a clock that only goes forward."""
        return self._monotonic() + self.moved
