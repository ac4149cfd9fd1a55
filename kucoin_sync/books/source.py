"""The source of a book: its topic, its REST endpoint, and the feed that decodes both.

Source: KuCoin's documentation ("Level 2 market data", "Get part order book", "Get full order book", "Full matching
engine data").
"""

from __future__ import annotations

from typing import Any

import msgspec

from .. import topics
from ..exceptions import InvalidTopic
from .feeds import FUTURES_LEVEL2, LEVEL2, LEVEL3, UTA_LEVEL2, BookFeed
from .uta import UTA_DEPTH

__all__ = ["BookSource"]

_PARTIAL_DEPTH = 100


class BookSource(msgspec.Struct, frozen=True):
    """The topic and the endpoint that one book is made from.

    Attributes:
        symbol, level: those of the book.
        market: "spot" or "futures"; of the UTA feed "uta-spot" or "uta-futures".
        topic: the topic of the updates.
        feed: decodes and applies them.
        path: the REST endpoint of the snapshots, "" if they are pushed.
        signed: whether that endpoint needs a signature.
        depth: the number of levels of each side in a snapshot, None for all.
    """

    symbol: str
    level: int
    market: str
    topic: str
    feed: BookFeed[Any, Any]
    path: str
    signed: bool
    depth: int | None

    @classmethod
    def of(
        cls, symbol: str, level: int = 2, *, generation: int = 2, with_key: bool = False, feed: str = "classic"
    ) -> BookSource:
        """Return the source of a symbol's book.

        Args:
            symbol: such as "BTC-USDT", or "XBTUSDTM" for futures.
            level: 2 or 3.
            generation: of the level 3 feed, 1 or 2.
            with_key: whether requests can be signed. Without a key, a spot snapshot has the best levels only.
            feed: "classic" or "uta".

        Raises:
            InvalidTopic: the symbol can't exist, or it or the feed has no book of that level.
            ValueError: the level, the generation or the feed does not exist.
        """
        if level not in (2, 3):
            raise ValueError(f"level is {level!r}; a book is of level 2 (sizes at prices) or 3 (single orders)")
        if generation not in (1, 2):
            raise ValueError(f"generation is {generation!r}; the level 3 feed has generations 1 and 2")
        if feed not in ("classic", "uta"):
            raise ValueError(f'feed is {feed!r}; KuCoin\'s feeds are "classic" and "uta"')
        if feed == "uta":
            return cls._of_uta(symbol, level)
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
        return cls(
            symbol,
            2,
            "spot",
            str(topic),
            LEVEL2,
            f"/api/v1/market/orderbook/level2_{_PARTIAL_DEPTH}",
            False,
            _PARTIAL_DEPTH,
        )

    @classmethod
    def _of_uta(cls, symbol: str, level: int) -> BookSource:
        if level != 2:
            raise InvalidTopic(
                'the UTA feed has no books of level 3 (single orders): leave level out, or use feed="classic"'
            )
        topics.uta.trades(symbol)  # raises InvalidTopic with a better hint than the topic of a book, which has a depth
        topic = topics.uta.book(symbol)
        market = "uta-spot" if "-" in symbol else "uta-futures"
        return cls(symbol, 2, market, str(topic), UTA_LEVEL2, "", False, UTA_DEPTH)

    @property
    def query(self) -> dict[str, str]:
        """The query of a request for a snapshot."""
        return {"symbol": self.symbol}

    def __str__(self) -> str:
        return f"the {'level 3 ' if self.level == 3 else ''}book of {self.symbol}"
