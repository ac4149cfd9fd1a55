"""How late messages are. Computed only when `stats` asks, so that delivery itself measures nothing. Pure.

The messages are decoded again here, so that the consumer's copies stay untouched.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.envelopes import Push, RawPush, arrival_of
from ..protocol.message import UNREADABLE

__all__ = ["measure_latency"]

_NS = 1e-9


def measure_latency(waiting: Iterable[Push], newest: Iterable[Push], now_ns: int) -> dict[str, float | None]:
    """Return "lag" and "queue_delay", in seconds.

    Args:
        waiting: the next push of each consumer, which is late as of now.
        newest: the push that each connection group read last. If none waits, it was delivered when it was read.
        now_ns: this machine's clock, nanoseconds since 1970.

    Returns:
        "lag": from the time that KuCoin wrote into a message to its delivery, for the latest message; None if no
            message has a time. It relies on this machine's clock and is negative if that clock is slow.
        "queue_delay": how long the oldest queued message has been waiting; 0 if none waits.
    """
    waiting = list(waiting)
    lags = [now_ns - sent for push in waiting if (sent := _sent_ns(push))]
    lags += [arrival_of(push).received_ns - sent for push in newest if (sent := _sent_ns(push))]
    waits = [now_ns - arrival_of(push).received_ns for push in waiting]
    return {
        "lag": max(lags) * _NS if lags else None,
        "queue_delay": max(0, *waits) * _NS if waits else 0.0,
    }


def _sent_ns(push: Push) -> int:
    """Return the time that KuCoin wrote into a push; 0 if it has none."""
    try:
        message = push.prefix.decode(push.frame) if isinstance(push, RawPush) else push.decode_frame(push.raw)
        time_ns: int = getattr(message.payload, "time_ns", 0)
    except UNREADABLE:
        return 0
    return time_ns
