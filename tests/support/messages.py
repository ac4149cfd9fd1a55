"""Numbered messages of the shape that KuCoin pushes."""

from __future__ import annotations

import json

from kucoin_sync.messages import Batch, Message, Origin, decode_message

__all__ = ["message", "number"]


def message(n: int, topic: str = "/market/ticker:BTC-USDT", subject: str = "trade.ticker") -> Message:
    """Return a message with the number `n` in its data."""
    raw = json.dumps({"type": "message", "topic": topic, "subject": subject, "data": {"n": n}}).encode()
    made = decode_message(raw)
    made.origin = Origin(raw, Batch())
    return made


def number(message: Message) -> int:
    """Return the number in a message's data."""
    n: int = message.data["n"]
    return n
