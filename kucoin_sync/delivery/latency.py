"""How late messages are, looked at when somebody asks, so that the way of a message knows nothing of it.

Two are looked at: of each subscription the message that waits for longest, which is late as of now, and of each
lane the newest one, which was late by as much when it was read; where nothing waits, it was delivered then. Both
are decoded afresh: what a consumer has of them stays untouched. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.envelopes import Push, RawPush
from ..protocol.message import UNREADABLE, decode_message

__all__ = ["delays"]

_NS = 1e-9


def delays(waiting: Iterable[Push], newest: Iterable[Push], now_ns: int) -> dict[str, float | None]:
    """Return two numbers of seconds.

    Args:
        waiting: pushes that consumers get next.
        newest: pushes that were read last.
        now_ns: this machine's clock, nanoseconds since 1970.

    Returns:
        "lag": from KuCoin's time in a message to its delivery, by the message that is latest; None where none
            has a time. It takes this machine's clock for right, and is negative where that is slow.
        "queue_delay": since when the message that waits for longest has been waiting; 0 where none waits.
    """
    waiting = list(waiting)
    lags = [now_ns - sent for push in waiting if (sent := _sent_ns(push))]
    lags += [_received_ns(push) - sent for push in newest if (sent := _sent_ns(push))]
    waits = [now_ns - _received_ns(push) for push in waiting]
    return {
        "lag": max(lags) * _NS if lags else None,
        "queue_delay": max(0, *waits) * _NS if waits else 0.0,
    }


def _received_ns(push: Push) -> int:
    return push.arrival.received_ns if isinstance(push, RawPush) else push.received_ns


def _sent_ns(push: Push) -> int:
    """Return KuCoin's time in a push, 0 where it has none."""
    raw = push.frame if isinstance(push, RawPush) else push.raw
    try:
        time_ns: int = getattr(decode_message(raw).payload, "time_ns", 0)
    except UNREADABLE:
        return 0
    return time_ns
