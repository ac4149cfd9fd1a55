"""Calculate when to ping and when the peer is lost. No thread and no clock.

Rules:
1. A JSON ping is sent every half `pingInterval`, even while data flows. With an interval of two seconds or more there
   is at most one ping a second, with any interval at most five.
2. Any frame shows that the peer is alive.
3. The peer is lost if no frame came for `pingTimeout` while a ping is unanswered. If other frames come but no
   pong, it is lost `pingInterval + pingTimeout` after the ping before the oldest unanswered one.

Source: KuCoin's documentation, "Ping". Its SDKs ping every half interval.

`now` is an argument everywhere (monotonic seconds).
"""

from __future__ import annotations

__all__ = ["Heartbeat"]

_MIN_INTERVAL = 0.2  # seconds between two pings: half of the commands that KuCoin allows


class Heartbeat:
    """The ping and pong deadlines of one connection.

    Args:
        interval, timeout: KuCoin's `pingInterval` and `pingTimeout`, in seconds.

    Attributes:
        every: seconds between two pings.
        latency: seconds from the last answered ping to its pong, None before the first.
        last_frame: when the last frame came; set by the session.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval, self._timeout = interval, timeout
        self.adjust(None, None)
        self.latency: float | None = None
        self.last_frame = now
        self._last_ping = now
        self._last_id = ""
        self._unanswered: float | None = None  # when the oldest ping without a pong was sent

    def adjust(self, interval: float | None, timeout: float | None) -> None:
        """Set the interval and the timeout, unless they are None."""
        self._interval, self._timeout = interval or self._interval, timeout or self._timeout
        interval = self._interval
        self.every = interval / 2 if interval >= 2 else max(_MIN_INTERVAL, min(1.0, interval))
        self._pong_timeout = max(0.0, interval - self.every) + self._timeout

    def ping_sent(self, ping_id: str, now: float) -> None:
        """Note a ping."""
        self._last_id = ping_id
        self._last_ping = now
        if self._unanswered is None:
            self._unanswered = now

    def pong_came(self, ping_id: str, now: float) -> None:
        """Note a pong; a pong for an earlier ping counts, too."""
        self._unanswered = None
        if ping_id and ping_id == self._last_id:
            self.latency, self._last_id = now - self._last_ping, ""  # a second pong says nothing about the latency

    def ping_at(self) -> float:
        """Return the instant at which the next ping is due."""
        return self._last_ping + self.every

    def earliest_ping(self) -> float:
        """Return the earliest instant at which a ping may be sent."""
        return min(self.ping_at(), self._last_ping + _MIN_INTERVAL)

    def lost_at(self) -> float:
        """Return the instant at which the peer is lost; infinity while no ping is unanswered."""
        if self._unanswered is None:
            return float("inf")
        silent = max(self.last_frame, self._unanswered) + self._timeout
        return min(silent, self._unanswered + self._pong_timeout)

    def complaint(self, now: float) -> str:
        """Return the text of the error that says why the peer is lost at `now`."""
        unanswered = now - (self._unanswered if self._unanswered is not None else now)
        return (
            f"the server has answered no ping for {unanswered:.1f} s "
            f"(its last frame came {now - self.last_frame:.1f} s ago)"
        )
