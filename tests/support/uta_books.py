"""A market with more levels than the UTA feed pushes, and what the feed pushes of it, by KuCoin's documentation."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, Literal

import msgspec

from kucoin_sync.payloads import Level

__all__ = ["Depths", "Truth", "UtaMarket", "push"]

#: Whether the feed pushes an unchanged level that moves up into the best ones; the documentation does not say.
Depths = Literal["never", "always", "sometimes"]

Truth = tuple[int, list[Level], list[Level]]
_encode = msgspec.json.Encoder().encode


def push(kind: str, start: int, end: int, *, bids: Any = (), asks: Any = (), symbol: str = "BTC-USDT") -> bytes:
    """Return the frame of a push."""
    channel = "obu.SPOT" if "-" in symbol else "obu.FUTURES"
    data = {"s": symbol, "O": start, "C": end, "M": 1_790_114_460_661_000_000, "a": list(asks), "b": list(bids)}
    return _encode({"T": channel, "dp": "increment@10ms", "t": kind, "P": 1_790_114_460_671_676_191, "d": data})


class UtaMarket:
    """All levels of a market that changes at random, and the feed of its best `depth` levels.

    Attributes:
        sequence: of the last change.
        sides: bids and asks: the size at each price, in ticks.
    """

    def __init__(self, symbol: str, depth: int, *, levels: int, seed: int, moved_up: Depths) -> None:
        self.symbol = symbol
        self.sequence = 1000
        self.sides: tuple[dict[int, int], dict[int, int]] = {}, {}
        self._depth = depth
        self._moved_up = moved_up
        self._random = random.Random(seed)
        self._middle = 100_000
        for side in (0, 1):
            for _ in range(levels):
                self._set(side, self._price(side, levels), self._random.randint(1, 99))
        self._window_start, self._seen = self.sequence, self._best()

    def change(self, spread: int | None = None) -> None:
        """Change a level: set it, remove it, or take all levels in front of it; sometimes the whole market moves."""
        chance = self._random
        side = chance.randrange(2)
        price = self._price(side, spread or 2 * self._depth)
        if chance.random() < 0.02:
            self._middle += chance.choice((-1, 1)) * chance.randint(1, max(2, self._depth // 4))
            for each, better in ((0, lambda at: at >= self._middle), (1, lambda at: at <= self._middle)):
                for crossed in [at for at in self.sides[each] if better(at)]:
                    self._set(each, crossed, 0)
        elif chance.random() < 0.55:
            self._set(side, price, chance.randint(1, 99))
        else:
            levels = self._sorted(side)
            if levels:
                self._set(side, levels[min(int(chance.expovariate(4 / len(levels))), len(levels) - 1)], 0)

    def snapshot(self) -> bytes:
        """Return the pushed snapshot; a window begins."""
        self._window_start, self._seen = self.sequence, self._best()
        bids, asks = ([self._row(price, size) for price, size in best.items()] for best in self._seen)
        return push("snapshot", self.sequence, self.sequence, bids=bids, asks=asks, symbol=self.symbol)

    def delta(self) -> bytes | None:
        """Return the push of the window that ends now, None if nothing changed in it."""
        if self.sequence == self._window_start:
            return None
        best = self._best()
        rows: list[list[list[str]]] = []
        for side, (before, after) in enumerate(zip(self._seen, best, strict=True)):
            changed = [price for price in before if price not in after]
            rows.append([self._row(price, 0) for price in changed])
            for price, size in after.items():
                moved_up = price not in before and (side, price) not in self._touched
                if moved_up:
                    pushed = self._moved_up == "always" or (
                        self._moved_up == "sometimes" and self._random.random() < 0.5
                    )
                else:
                    pushed = before.get(price) != size
                if pushed:
                    if self._random.random() < 0.1:
                        rows[-1].append(self._row(price, self._random.randint(0, 99)))  # one price twice
                    rows[-1].append(self._row(price, size))
        frame = push("delta", self._window_start + 1, self.sequence, bids=rows[0], asks=rows[1], symbol=self.symbol)
        self._window_start, self._seen = self.sequence, best
        self._touched.clear()
        return frame

    def truth(self) -> Truth:
        """Return the sequence and all levels of the whole market, best first."""
        bids, asks = (
            [Level(Decimal(price).scaleb(-2), Decimal(self.sides[side][price])) for price in self._sorted(side)]
            for side in (0, 1)
        )
        return self.sequence, bids, asks

    def _set(self, side: int, price: int, size: int) -> None:
        if self.sides[side].get(price, 0) != size:
            self.sides[side][price] = size
            if not size:
                del self.sides[side][price]
            self.sequence += 1
            self._touched.add((side, price))

    @property
    def _touched(self) -> set[tuple[int, int]]:
        """The levels that changed in the window."""
        return self.__dict__.setdefault("_changed", set())

    def _price(self, side: int, spread: int) -> int:
        away = self._random.randint(1, spread)
        return self._middle - away if side == 0 else self._middle + away

    def _sorted(self, side: int) -> list[int]:
        return sorted(self.sides[side], reverse=side == 0)

    def _best(self) -> tuple[dict[int, int], dict[int, int]]:
        bids, asks = (
            {price: self.sides[side][price] for price in self._sorted(side)[: self._depth]} for side in (0, 1)
        )
        return bids, asks

    @staticmethod
    def _row(price: int, size: int) -> list[str]:
        return [f"{price // 100}.{price % 100:02}".rstrip("0").rstrip("."), str(size)]
