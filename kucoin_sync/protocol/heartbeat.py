"""When to ping, and when the peer is lost: an object that answers questions, not a thread.

Rules: a JSON ping every half `pingInterval`, however much data flows, never more than one a second where the
interval allows it, and never more than five whatever it says. Any frame counts as life. The peer is lost when
nothing at all came for `pingTimeout` after an unanswered ping; or when data came but no pong, `pingInterval +
pingTimeout` after the last moment at which it can have been well. Source: KuCoin's documentation, "Ping"; half the
interval is its SDKs' practice.

`now` is an argument everywhere (a monotonic clock's seconds).
"""

from __future__ import annotations

__all__ = ["Heartbeat"]

_LEAST = 0.2  # seconds between two pings: half of what KuCoin takes of all commands together


class Heartbeat:
    """The ping and pong deadlines of one connection; `interval` and `timeout` in seconds."""

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self.every = interval / 2 if interval >= 2 else max(_LEAST, min(1.0, interval))
        #: Seconds from the last answered ping to its pong, None before the first.
        self.latency: float | None = None
        self._slack = max(0.0, interval - self.every) + timeout
        self._timeout = timeout
        self.last_frame = now  # when the peer was last heard of; set by who receives
        self._last_ping = now
        self._last_id = ""
        self._unanswered: float | None = None  # when the oldest ping without a pong was sent

    def ping_sent(self, ping_id: str, now: float) -> None:
        """Note a ping."""
        self._last_id = ping_id
        self._last_ping = now
        if self._unanswered is None:
            self._unanswered = now

    def pong_came(self, ping_id: str, now: float) -> None:
        """Note a pong; one for an earlier ping is as good."""
        self._unanswered = None
        if ping_id and ping_id == self._last_id:
            self.latency, self._last_id = now - self._last_ping, ""  # a second one tells nothing

    def ping_at(self) -> float:
        """Return the instant at which the next ping is due."""
        return self._last_ping + self.every

    def soon(self) -> float:
        """Return the instant at which a ping may be sent that is wanted before it is due."""
        return min(self.ping_at(), self._last_ping + _LEAST)

    def lost_at(self) -> float:
        """Return the instant at which the peer has to be given up, infinity while no ping is unanswered."""
        if self._unanswered is None:
            return float("inf")
        silent = max(self.last_frame, self._unanswered) + self._timeout
        return min(silent, self._unanswered + self._slack)

    def complaint(self, now: float) -> str:
        """Say why the peer is given up at `now`."""
        unanswered = now - (self._unanswered if self._unanswered is not None else now)
        return (
            f"the server has answered no ping for {unanswered:.1f} s "
            f"(its last frame came {now - self.last_frame:.1f} s ago)"
        )
