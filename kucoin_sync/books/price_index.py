"""Prices of one side of a book in order, each under a key that is exact whatever its spelling.

Keys. Making, comparing and hashing `Decimal`s is what makes a book slow, so a price's key is a float as long as floats
tell all prices of the side apart: a price has a float as its key if it is the very number that Python prints for the
float. Every price of up to 15 digits is, and floats have the order of the prices. The first price that is not turns all
keys of the side into `Decimal`s, for good. Keys of asks are negative: on both sides the best has the greatest key.

Order. Chunks of ascending keys, none of more than `_FULL`, between fixed bounds: an insertion bisects the bounds, then
one chunk, and moves what is behind it, which near the best price is next to nothing. So the cost grows with log n, and
a side of up to `_FULL` prices is one plain list.

It knows nothing of what stands at a price, and never makes a `Decimal` for a price of 15 characters or fewer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from decimal import Decimal
from typing import Generic, TypeVar

from .numbers import DecodeErrors, estimate, parse

__all__ = ["DIGITS", "TINY", "Ladder", "TopicKey"]

TopicKey = float | Decimal

#: A price of so few characters, and greater than `TINY`, is told by its float.
DIGITS = 15
TINY = 1e-290

_FULL = 1024

V = TypeVar("V")


class Ladder(Generic[V]):
    """The prices of one side, best last, and a value for each.

    `rows` maps keys to values. Who adds a key there has to `insert` it (or `sort`, after many), who takes one out has
    to `remove` it: these methods change the order only.
    """

    __slots__ = ("_bounds", "_chunks", "longest", "rows", "sign")

    def __init__(self, sign: int) -> None:
        #: 1 for bids, -1 for asks.
        self.sign = sign
        self.rows: dict[TopicKey, V] = {}
        #: Characters up to which a price's key is its float times `sign`; 0 once keys are decimals.
        self.longest = DIGITS
        self._chunks: list[list[TopicKey]] = [[]]
        self._bounds: list[TopicKey] = []  # the i-th parts the chunks i and i + 1, and belongs to the right one

    def __len__(self) -> int:
        return len(self.rows)

    def key_of(self, text: str) -> TopicKey | None:
        """Return the key of a price in any spelling, None for price 0.

        May turn all keys into decimals: keys known before the call are void after it. ValueError when the text
        is no price.
        """
        if len(text) <= self.longest:
            try:
                near = estimate(text)
            except DecodeErrors:
                near = 0.0
            if near > TINY:
                return self.sign * near
        price = parse(text)
        if not price:
            return None
        key = self._own_key(price)
        if key is None:
            self._use_decimals()
            key = self._signed(price)
        return key

    def find(self, price: Decimal) -> TopicKey | None:
        """Return the key of a price that is on the side, None where it is not."""
        key = self._own_key(price)
        return key if key in self.rows else None

    def price_of(self, key: TopicKey) -> Decimal:
        """Return the price that a key stands for."""
        return key.copy_abs() if isinstance(key, Decimal) else Decimal(repr(abs(key)))

    def insert(self, key: TopicKey) -> None:
        """Take a new key into the order."""
        bounds = self._bounds
        at = -1 if not bounds or key >= bounds[-1] else bisect_right(bounds, key)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > _FULL:
            self._split(at)

    def remove(self, key: TopicKey) -> None:
        """Take a key out of the order."""
        bounds = self._bounds
        at = -1 if not bounds or key >= bounds[-1] else bisect_right(bounds, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if bounds and not chunk:
            del self._chunks[at]
            del bounds[max(at - 1, 0) if at >= 0 else -1]

    def sort(self) -> None:
        """Order anew what is in `rows`."""
        keys = sorted(self.rows)
        half = _FULL // 2
        self._chunks = [keys[start : start + half] for start in range(0, len(keys), half)] or [[]]
        self._bounds = [chunk[0] for chunk in self._chunks[1:]]

    def best_key(self) -> TopicKey | None:
        """Return the key of the best price."""
        chunk = self._chunks[-1]
        return chunk[-1] if chunk else None

    def best_keys(self, n: int | None = None) -> list[TopicKey]:
        """Return the keys of the `n` best prices, or of all, best first."""
        if n is None:
            n = len(self.rows)
        elif n < 0:
            raise ValueError(f"a book has no {n} levels")
        keys = self._chunks[-1][: -n - 1 : -1]
        at = -2
        while len(keys) < n and at >= -len(self._chunks):
            keys += self._chunks[at][: len(keys) - n - 1 : -1]
            at -= 1
        return keys

    def __iter__(self) -> Iterator[TopicKey]:
        """Yield the keys, best first; the ladder must not change meanwhile."""
        for chunk in reversed(self._chunks):
            yield from reversed(chunk)

    def _split(self, at: int) -> None:
        at %= len(self._chunks)
        half = self._chunks[at][_FULL // 2 :]
        del self._chunks[at][_FULL // 2 :]
        self._chunks.insert(at + 1, half)
        self._bounds.insert(at, half[0])

    def _own_key(self, price: Decimal) -> TopicKey | None:
        """Return the key of a price of the kind in use, None where floats can't tell it from others."""
        if not self.longest:
            return self._signed(price)
        key = float(price)
        return self.sign * key if Decimal(repr(key)) == price else None

    def _signed(self, price: Decimal) -> Decimal:
        return price if self.sign > 0 else price.copy_negate()

    def _use_decimals(self) -> None:
        self.longest = 0
        exact: dict[TopicKey, V] = {self._exactly(key): value for key, value in self.rows.items()}
        self.rows.clear()
        self.rows.update(exact)
        self._chunks = [[self._exactly(key) for key in chunk] for chunk in self._chunks]
        self._bounds = [self._exactly(bound) for bound in self._bounds]

    def _exactly(self, key: TopicKey) -> Decimal:
        return self._signed(self.price_of(key))

    def _check(self) -> None:
        """Assert every invariant."""
        keys = [key for chunk in self._chunks for key in chunk]
        assert keys == sorted(set(keys)), "keys are ascending and unique"
        assert set(keys) == self.rows.keys(), "order and rows name the same keys"
        assert list(self) == keys[::-1] == self.best_keys(), "the best key is the last one"
        assert len(self._bounds) == len(self._chunks) - 1, "a bound parts two chunks"
        for bound, left, right in zip(self._bounds, self._chunks, self._chunks[1:], strict=False):
            assert left[-1] < bound <= right[0], f"{bound} parts {left} from {right}"
        assert all(len(chunk) <= _FULL for chunk in self._chunks), "no chunk is too long"
        assert all(self._chunks) or len(self._chunks) == 1, "no chunk is empty but the only one"
        kind = float if self.longest else Decimal
        for key in keys:
            assert isinstance(key, kind), f"{key!r} is of another kind than the other keys"
            assert key * self.sign > 0, f"{key!r} is on the wrong side"
            assert self.key_of(str(self.price_of(key))) == key, f"{key!r} stands for another price"
