"""Where a book comes from: its topic, its REST endpoint, and what both are read with.

Source: KuCoin's documentation ("Level 2 market data", "Get part order book", "Get full order book", "Full matching
engine data").
"""

from __future__ import annotations

from typing import Any

import msgspec

from .. import topics
from ..exceptions import InvalidTopic
from .calibration import FUTURES_LEVEL2, LEVEL2, LEVEL3, Feed

__all__ = ["Source"]

_PART = 100


class Source(msgspec.Struct, frozen=True):
    """All that tells one book from another.

    Attributes:
        symbol, level: what it is a book of.
        market: "spot" or "futures".
        topic: carries the updates.
        feed: how these are read and applied.
        path: of the REST endpoint that gives snapshots.
        signed: whether that takes a signature.
        depth: how many levels of each side it gives, None for all.
    """

    symbol: str
    level: int
    market: str
    topic: str
    feed: Feed[Any, Any]
    path: str
    signed: bool
    depth: int | None

    @classmethod
    def of(cls, symbol: str, level: int = 2, *, generation: int = 2, with_key: bool = False) -> Source:
        """Return where the book of a symbol comes from.

        Args:
            symbol: such as "BTC-USDT", or "XBTUSDTM" for futures.
            level: 2 or 3.
            generation: of the level 3 feed, 1 or 2.
            with_key: whether requests can be signed; else only the best levels of a spot book can be had.

        Raises:
            InvalidTopic: the symbol can't exist, or has no book of that level.
            ValueError: there is no such level or generation.
        """
        if level not in (2, 3):
            raise ValueError(f"level is {level!r}; a book is of level 2 (sizes at prices) or 3 (single orders)")
        if generation not in (1, 2):
            raise ValueError(f"generation is {generation!r}; the level 3 feed has generations 1 and 2")
        spot = not isinstance(symbol, str) or "-" in symbol
        topic: str
        if level == 3:
            if not spot:
                raise InvalidTopic(f"{symbol!r} has no book of level 3, which is for spot symbols such as BTC-USDT")
            topic = (topics.level3 if generation == 1 else topics.level3_v2)(symbol)
            return cls(symbol, 3, "spot", str(topic), LEVEL3, "/api/v2/market/orderbook/level3", False, None)
        if not spot:
            topic = topics.futures.level2(symbol)
            return cls(symbol, 2, "futures", str(topic), FUTURES_LEVEL2, "/api/v1/level2/snapshot", False, None)
        topic = topics.level2(symbol)
        if with_key:
            return cls(symbol, 2, "spot", str(topic), LEVEL2, "/api/v3/market/orderbook/level2", True, None)
        return cls(symbol, 2, "spot", str(topic), LEVEL2, f"/api/v1/market/orderbook/level2_{_PART}", False, _PART)

    def __str__(self) -> str:
        return f"the {'level 3 ' if self.level == 3 else ''}book of {self.symbol}"
