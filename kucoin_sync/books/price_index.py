"""The prices of one side of a book in order, each under a key that does not depend on its spelling.

Keys. Making, comparing and hashing `Decimal`s would make a book slow. So a price's key is a float as long as floats can
tell all prices of the side apart: a price has a float as its key if Python prints that float as the price. That holds
for every price of up to 15 digits, and floats order prices correctly. The first price for which it does not hold turns
all keys of the side into `Decimal`s, for good. Keys of asks are negative, so the best price has the greatest key on
both sides.

Order. The keys stand in ascending chunks of at most `_CHUNK_SIZE`, with fixed bounds between them. An insertion bisects
the bounds, then one chunk, and moves the keys after it; near the best price these are few. So the cost grows with
log n, and a side of up to `_CHUNK_SIZE` prices is one plain list.

The index does not know what its values are, and makes no `Decimal` for a price of 15 characters or fewer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from decimal import Decimal
from typing import Generic, TypeVar

from .numbers import DecodeErrors, parse, parse_float

__all__ = ["FLOAT_DIGITS", "MIN_FLOAT_PRICE", "PriceIndex", "PriceKey"]

PriceKey = float | Decimal

#: A price of at most this many characters, and greater than `MIN_FLOAT_PRICE`, has a float as its key.
FLOAT_DIGITS = 15
MIN_FLOAT_PRICE = 1e-290

_CHUNK_SIZE = 1024

V = TypeVar("V")


class PriceIndex(Generic[V]):
    """The prices of one side, best last, and a value for each.

    `rows` maps keys to values. The methods below change the order only: after adding a key to `rows`, call `insert` (or
    `sort` after many); after deleting one, call `remove`.
    """

    __slots__ = ("_bounds", "_chunks", "float_key_length", "rows", "sign")

    def __init__(self, sign: int) -> None:
        #: 1 for bids, -1 for asks
        self.sign = sign
        self.rows: dict[PriceKey, V] = {}
        #: A price of at most this many characters has its float times `sign` as its key; 0 once keys are decimals.
        self.float_key_length = FLOAT_DIGITS
        self._chunks: list[list[PriceKey]] = [[]]
        self._bounds: list[PriceKey] = []  # bound i separates the chunks i and i + 1, and belongs to the latter

    def __len__(self) -> int:
        return len(self.rows)

    def key_of(self, text: str) -> PriceKey | None:
        """Return the key of a price in any spelling, None for price 0.

        The call may turn all keys into decimals, which invalidates keys known before. Raises ValueError if the text is
        not a price.
        """
        if len(text) <= self.float_key_length:
            try:
                near = parse_float(text)
            except DecodeErrors:
                near = 0.0
            if near > MIN_FLOAT_PRICE:
                return self.sign * near
        price = parse(text)
        if not price:
            return None
        key = self._key_or_none(price)
        if key is None:
            self._switch_to_decimals()
            key = self._signed(price)
        return key

    def find(self, price: Decimal) -> PriceKey | None:
        """Return the key of a price that is on the side, None if it is not."""
        key = self._key_or_none(price)
        return key if key in self.rows else None

    def price_of(self, key: PriceKey) -> Decimal:
        """Return the price of a key."""
        return key.copy_abs() if isinstance(key, Decimal) else Decimal(repr(abs(key)))

    def insert(self, key: PriceKey) -> None:
        """Insert a new key into the order."""
        bounds = self._bounds
        at = -1 if not bounds or key >= bounds[-1] else bisect_right(bounds, key)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > _CHUNK_SIZE:
            self._split(at)

    def remove(self, key: PriceKey) -> None:
        """Remove a key from the order."""
        bounds = self._bounds
        at = -1 if not bounds or key >= bounds[-1] else bisect_right(bounds, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if bounds and not chunk:
            del self._chunks[at]
            del bounds[max(at - 1, 0) if at >= 0 else -1]

    def sort(self) -> None:
        """Rebuild the order from the keys of `rows`."""
        keys = sorted(self.rows)
        half = _CHUNK_SIZE // 2
        self._chunks = [keys[start : start + half] for start in range(0, len(keys), half)] or [[]]
        self._bounds = [chunk[0] for chunk in self._chunks[1:]]

    def best_key(self) -> PriceKey | None:
        """Return the key of the best price, None if there is none."""
        chunk = self._chunks[-1]
        return chunk[-1] if chunk else None

    def best_keys(self, n: int | None = None) -> list[PriceKey]:
        """Return the keys of the `n` best prices, best first; None for all."""
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

    def __iter__(self) -> Iterator[PriceKey]:
        """Yield the keys, best first; the index must not change meanwhile."""
        for chunk in reversed(self._chunks):
            yield from reversed(chunk)

    def _split(self, at: int) -> None:
        at %= len(self._chunks)
        half = self._chunks[at][_CHUNK_SIZE // 2 :]
        del self._chunks[at][_CHUNK_SIZE // 2 :]
        self._chunks.insert(at + 1, half)
        self._bounds.insert(at, half[0])

    def _key_or_none(self, price: Decimal) -> PriceKey | None:
        """Return the key of a price in the present kind of keys, None if floats can't tell it from other prices."""
        if not self.float_key_length:
            return self._signed(price)
        key = float(price)
        return self.sign * key if Decimal(repr(key)) == price else None

    def _signed(self, price: Decimal) -> Decimal:
        return price if self.sign > 0 else price.copy_negate()

    def _switch_to_decimals(self) -> None:
        self.float_key_length = 0
        exact: dict[PriceKey, V] = {self._as_decimal(key): value for key, value in self.rows.items()}
        self.rows.clear()
        self.rows.update(exact)
        self._chunks = [[self._as_decimal(key) for key in chunk] for chunk in self._chunks]
        self._bounds = [self._as_decimal(bound) for bound in self._bounds]

    def _as_decimal(self, key: PriceKey) -> Decimal:
        return self._signed(self.price_of(key))

    def _check(self) -> None:
        """Assert every invariant."""
        keys = [key for chunk in self._chunks for key in chunk]
        assert keys == sorted(set(keys)), "keys are ascending and unique"
        assert set(keys) == self.rows.keys(), "order and rows have the same keys"
        assert list(self) == keys[::-1] == self.best_keys(), "the best key is the last one"
        assert len(self._bounds) == len(self._chunks) - 1, "there is one bound between two chunks"
        for bound, left, right in zip(self._bounds, self._chunks, self._chunks[1:], strict=False):
            assert left[-1] < bound <= right[0], f"{bound} separates {left} from {right}"
        assert all(len(chunk) <= _CHUNK_SIZE for chunk in self._chunks), "no chunk is too long"
        assert all(self._chunks) or len(self._chunks) == 1, "no chunk is empty except a single one"
        kind = float if self.float_key_length else Decimal
        for key in keys:
            assert isinstance(key, kind), f"{key!r} is of another kind than the other keys"
            assert key * self.sign > 0, f"{key!r} has the sign of the other side"
            assert self.key_of(str(self.price_of(key))) == key, f"{key!r} is not the key of its price"
