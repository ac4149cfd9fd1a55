"""Numbered messages of the shape that KuCoin pushes."""

from __future__ import annotations

import json

from kucoin_sync.protocol.classic import decode_message, prefix_for
from kucoin_sync.protocol.message import Arrival, EnvelopePrefix, Message, Origin

__all__ = ["message", "number", "prefix_of"]


def prefix_of(start: bytes, topic: str, subject: str | None = None) -> EnvelopePrefix:
    """Return the envelope prefix of frames that begin with `start`."""
    return prefix_for(start, topic, subject)


def message(n: int, topic: str = "/market/ticker:BTC-USDT", subject: str = "trade.ticker") -> Message:
    """Return a message with the number `n` in its data."""
    raw = json.dumps({"type": "message", "topic": topic, "subject": subject, "data": {"n": n}}).encode()
    made = decode_message(raw)
    made.raw, made.origin = raw, Origin(Arrival())
    return made


def number(message: Message) -> int:
    """Return the number in a message's data."""
    n: int = message.data["n"]
    return n
