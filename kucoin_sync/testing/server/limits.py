"""The limits of the server's clients, and the server's clocks.

The defaults are KuCoin's numbers; if its pages disagree, the smaller number. Source: KuCoin's documentation,
"Rate limit" and "WebSocket error codes".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ...internal.backoff import SlidingWindow
from .refusals import Refused

__all__ = ["Admission", "Clock", "Quota", "ServerLimits"]

_QUOTA_PERIOD = 30.0


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of clients; None means no limit. A topic with three symbols counts as three."""

    #: Topics in one subscribe command.
    topics_per_command: int | None = 100
    #: Topics on one connection, those in tunnels included.
    topics_per_session: int | None = 300
    #: Client messages per 10 seconds and connection, pings included.
    messages_per_10s: int | None = 100
    #: Tunnels open at once on a connection.
    tunnels: int | None = 5
    #: Connections of one user at once; public connections count as those of one user.
    sessions: int | None = 50
    #: New connections per minute, of all clients together (KuCoin: 30).
    connections_per_minute: int | None = None
    #: Topics on one public, and on one private, connection of the UTA feed.
    uta_topics: int | None = 600
    uta_private_topics: int | None = 400
    #: Client messages per 10 seconds and public, or private, connection of the UTA feed, pings included.
    uta_messages_per_10s: int | None = 300
    uta_private_messages_per_10s: int | None = 100
    #: REST requests per 30 seconds, of all clients together.
    requests_per_30s: int | None = 4000
    #: Weights of REST requests per 30 seconds and pool: of the pool "public" for all clients together, of the others
    #: for each user. A pool that is left out has no limit.
    weights_per_30s: Mapping[str, int] = msgspec.field(
        default_factory=lambda: {"public": 2000, "spot": 4000, "futures": 2000, "management": 2000}
    )


class Admission:
    """The limits of new connections. Not thread-safe; the server's lock guards it."""

    def __init__(self, limits: ServerLimits) -> None:
        self._sessions = limits.sessions
        self._per_minute = limits.connections_per_minute
        self.reset()

    def reset(self) -> None:
        """Forget the connections so far."""
        self._pace = None if self._per_minute is None else SlidingWindow(self._per_minute, 60.0)

    def check(self, of_the_same_user: int | None, now: float) -> Refused | None:
        """Return the refusal of one more connection of a user, None if it is allowed.

        `of_the_same_user` is the number of the user's open connections, None if there is no limit of them.
        """
        if self._pace is not None:
            if self._pace.free_at(now) > now:
                return Refused(509, "service busy, please retry later")
            self._pace.record(now)
        if self._sessions is not None and of_the_same_user is not None and of_the_same_user >= self._sessions:
            return Refused(509, f"exceed max session count limitation of {self._sessions}")
        return None


class Quota:
    """How much of a quota was used in a period of 30 seconds, which the first use begins. Not thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ends = float("-inf")
        self._used = 0

    def use(self, weight: int, now: float) -> tuple[dict[str, str], bool]:
        """Use a part of the quota; return KuCoin's headers, and whether the request is within the quota."""
        if now >= self._ends:
            self._ends = now + _QUOTA_PERIOD
            self._used = 0
        self._used += weight
        headers = {
            "gw-ratelimit-limit": str(self._limit),
            "gw-ratelimit-remaining": str(max(0, self._limit - self._used)),
            "gw-ratelimit-reset": str(int((self._ends - now) * 1000)),
        }
        return headers, self._used <= self._limit


class Clock:
    """The wall clock and the monotonic clock of a server, which a test may move forward.

    `moved` is the number of seconds by which both clocks were moved.
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
