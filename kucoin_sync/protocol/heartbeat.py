"""Calculate when to ping and when the peer is lost. No thread and no clock.

Rules:
1. A ping is sent every half `pingInterval`, even while data flows. With an interval of two seconds or more there is at
   most one ping a second, with any interval at most five.
2. Any frame shows that the peer is alive.
3. The peer is lost if no frame came for `pingTimeout` while a ping is unanswered. If other frames come but no
   pong, it is lost `pingInterval + pingTimeout` after the ping before the oldest unanswered one.
4. The server sends a pong after all messages that it sent before. So a pong is a proof that they were read. If a proof
   is asked for, the next ping is sent 0.2 s after the last one, or at once if there was none. The proof is overdue a
   second after that ping.

Source: KuCoin's documentation, "Ping". Its SDKs ping every half interval.

`now` is an argument everywhere (monotonic seconds).
"""

from __future__ import annotations

__all__ = ["Heartbeat"]

_MIN_INTERVAL = 0.2  # seconds between two pings: half of the commands that KuCoin allows
_PROOF_TIMEOUT = 1.0
_NEVER = float("inf")


class Heartbeat:
    """The ping and pong deadlines of one connection.

    Args:
        interval, timeout: KuCoin's `pingInterval` and `pingTimeout`, in seconds.

    Attributes:
        every: seconds between two pings.
        latency: seconds from the last answered ping to its pong, None before the first.
        last_frame: when the last frame came; set by the session and its owner.
        proof_due: when the pong is overdue that is a proof; infinity while none is expected.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval, self._timeout = interval, timeout
        self.adjust(None, None)
        self.latency: float | None = None
        self.last_frame = now
        self._last_ping = now
        self._early_ping = now  # when the next ping may be sent for a proof
        self._last_id = ""
        self._unanswered: float | None = None  # when the oldest ping without a pong was sent
        self.proof_due = _NEVER
        self._proofs_asked = 0
        self._proofs_begun = 0  # how many of them the last ping is for
        self._proof_id = ""

    def adjust(self, interval: float | None, timeout: float | None) -> None:
        """Set the interval and the timeout, unless they are None."""
        self._interval, self._timeout = interval or self._interval, timeout or self._timeout
        interval = self._interval
        self.every = interval / 2 if interval >= 2 else max(_MIN_INTERVAL, min(1.0, interval))
        self._pong_timeout = max(0.0, interval - self.every) + self._timeout

    def ask_proof(self) -> int:
        """Ask for a proof that all messages were read that were sent before now; return its number."""
        self._proofs_asked += 1
        return self._proofs_asked

    def ping_sent(self, ping_id: str, now: float) -> None:
        self._last_id = ping_id
        self._last_ping = now
        self._early_ping = now + min(self.every, _MIN_INTERVAL)
        if self._unanswered is None:
            self._unanswered = now
        if self._proofs_asked > self._proofs_begun:
            self._proofs_begun, self._proof_id, self.proof_due = self._proofs_asked, ping_id, now + _PROOF_TIMEOUT

    def pong_came(self, ping_id: str, now: float) -> int:
        """Note a pong; a pong for an earlier ping counts, too. Return the number of the proof that it is, or 0."""
        self._unanswered = None
        if ping_id and ping_id == self._last_id:
            self.latency, self._last_id = now - self._last_ping, ""  # a second pong says nothing about the latency
        if not ping_id or ping_id != self._proof_id:
            return 0
        self._proof_id, self.proof_due = "", _NEVER
        return self._proofs_begun

    def proof_missed(self) -> int:
        """Note that a proof is overdue; return its number. Its pong may still come."""
        self.proof_due = _NEVER
        return self._proofs_begun

    def ping_at(self) -> float:
        """Return the instant at which the next ping is due."""
        early = self._proofs_asked > self._proofs_begun and self.proof_due == _NEVER
        return self._early_ping if early else self._last_ping + self.every

    def lost_at(self) -> float:
        """Return the instant at which the peer is lost; infinity while no ping is unanswered."""
        if self._unanswered is None:
            return _NEVER
        silent = max(self.last_frame, self._unanswered) + self._timeout
        return min(silent, self._unanswered + self._pong_timeout)

    def complaint(self, now: float) -> str:
        """Return the text of the error that says why the peer is lost at `now`."""
        unanswered = now - (self._unanswered if self._unanswered is not None else now)
        return (
            f"the server has answered no ping for {unanswered:.1f} s "
            f"(its last frame came {now - self.last_frame:.1f} s ago)"
        )
