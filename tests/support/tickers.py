"""Frames of tickers, and the envelope prefixes that are learned from them."""

from __future__ import annotations

import json
from typing import Any

from kucoin_sync.protocol.classic import DATA, EnvelopePrefixes
from kucoin_sync.protocol.message import EnvelopePrefix

__all__ = ["START", "learned", "prefix_in", "prefix_of", "symbols", "ticker"]

START = b'{"topic":"/market/ticker:BTC-USDT","type":"message","subject":"trade.ticker",'


def ticker(n: int, **more: Any) -> bytes:
    """Return the frame of a ticker with a price of `n`."""
    data = {"sequence": str(n), "price": f"{n}.50", "bestAsk": "7", "time": 1_700_000_000_000, **more}
    return START + b'"data":' + json.dumps(data).encode() + b"}"


def prefix_in(prefixes: EnvelopePrefixes, frame: bytes) -> EnvelopePrefix | None:
    return prefixes.known.get(frame[: frame.find(DATA)])


def prefix_of(frame: bytes) -> EnvelopePrefix | None:
    """Learn the prefix of a frame and return it, or None if it was not learned."""
    prefixes = EnvelopePrefixes()
    prefixes.learn(frame)
    return prefix_in(prefixes, frame)


def symbols(*names: str) -> list[bytes]:
    """Return a ticker of each symbol."""
    return [ticker(n).replace(b"BTC", name.encode()) for n, name in enumerate(names)]


def learned(frames: list[bytes]) -> EnvelopePrefixes:
    prefixes = EnvelopePrefixes()
    for frame in frames:
        prefixes.learn(frame)
    return prefixes
