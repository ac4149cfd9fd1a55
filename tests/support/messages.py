"""Numbered messages of the shape that KuCoin pushes."""

from __future__ import annotations

import json
from functools import cache

from kucoin_sync.protocol.classic import decode_message, prefix_for
from kucoin_sync.protocol.envelopes import FrameBatch
from kucoin_sync.protocol.message import Arrival, EnvelopePrefix, Message, Origin

__all__ = ["batch_of", "message", "number", "prefix_of"]


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


@cache
def _known_prefix(start: bytes, topic: str) -> EnvelopePrefix:
    return prefix_of(start, topic, "trade.ticker")


def batch_of(first: int, count: int, *topics: str) -> FrameBatch:
    """Return numbered messages that came together, of one topic or of several in turn."""
    topics = topics or ("/market/ticker:BTC-USDT",)
    frames = [message(n, topics[n % len(topics)]).raw for n in range(first, first + count)]
    starts = [frame[: frame.index(b'"data": ') + 8] for frame in frames]
    prefixes = [_known_prefix(start, topics[n % len(topics)]) for n, start in enumerate(starts, first)]
    if len(topics) == 1:
        return FrameBatch(frames, Arrival(1), prefix=prefixes[0])
    return FrameBatch(frames, Arrival(1), prefixes)
