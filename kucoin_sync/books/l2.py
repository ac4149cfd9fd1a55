"""The level 2 book: the size at each price, stored as the text of the push.

Pure data: it applies changes and knows neither feeds nor the completeness of updates; see `calibration`. Applying an
update makes no `Decimal`: the row of the push is stored unchanged under its price's key. The row becomes a `Level`
when it is first read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, ClassVar

from ..payloads import Level, Side
from .base import Book, BookSide, Levels, Number
from .codec import Row, WireLevel2Update
from .numbers import DecodeErrors, as_text, parse, parse_float
from .price_index import PriceKey

__all__ = ["Level2Book", "Level2Side"]

_SPARE = 1_000  # prices that are cached beyond twice the number of levels
_new_tuple = tuple.__new__  # takes half the time of a named tuple's own constructor
_sequence_of = itemgetter(2)


class Level2Side(BookSide[Row | Level]):
    """One side of the book; a row becomes a level when it is first read."""

    __slots__ = ("_keys", "_prices")

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        # Two caches, which are cleared when they outgrow the book: a price's text -> its key (0.0 for the price 0), and
        # the key of a level that was read -> its price.
        self._keys: dict[str, PriceKey] = {}
        self._prices: dict[PriceKey, Decimal] = {}

    def best(self) -> Level | None:
        chunk = self._chunks[-1]
        if not chunk:
            return None
        row = self.rows[chunk[-1]]
        return row if type(row) is Level else self._make_level(chunk[-1], row)

    def level(self, key: PriceKey) -> Level:
        row = self.rows[key]
        return row if type(row) is Level else self._make_level(key, row)

    def levels(self, n: int | None = None) -> Levels:
        # The same as in the base class, but without a call for each level that was read before.
        rows, keys = self.rows, self.best_keys(n)
        levels = [row if type(row := rows[key]) is Level else self._make_level(key, row) for key in keys]
        return self._as_levels(levels, keys, n)

    def apply(self, changes: Sequence[Row], after: int) -> None:
        """Apply the rows whose sequence is greater than `after`; raises ValueError at the first invalid one.

        The hottest code of a book. Nearly every price near the top is in the cache, so finding its key is one look-up.
        Parsing a size as a float tells whether it is a number, and nearly always whether it is 0.
        """
        rows, known = self.rows, self._keys
        for row in changes:
            price, size, sequence = row
            if sequence <= after:
                continue
            try:
                key = known[price]
            except KeyError:
                key = self._cache_key(price)
            try:
                amount = parse_float(size)
            except DecodeErrors:
                amount = -1.0
            if amount > 0.0 and key:
                if key not in rows:
                    self.insert(key)
                rows[key] = row
            elif amount == 0.0 and not size.strip("0."):
                if rows.pop(key, None) is not None:
                    self.remove(key)
            else:
                self._set_unusual(key, row)

    def validated(self, changes: Sequence[Row], after: int) -> Sequence[Row]:
        """Return the rows ordered by their sequences; raises ValueError if one after `after` is invalid."""
        known, before = self._keys, after
        for price, size, sequence in changes:
            if sequence <= after:
                continue
            if sequence < before:
                return self.validated(sorted(changes, key=_sequence_of), after)
            before = sequence
            if price not in known:
                self._cache_key(price)
            try:
                if parse_float(size) >= 0.0:
                    continue
            except DecodeErrors:
                pass
            parse(size)
        return changes

    def load(self, rows: Iterable[Sequence[Number]], depth: int | None) -> None:
        """Load a snapshot's rows into an empty side."""
        for price, size, *_ in rows:
            row = as_text(price), as_text(size), 0
            key = self.key_of(row[0])
            if not parse(row[1]) or key is None:
                continue
            if key in self.rows:
                raise ValueError(f"the price {price} comes twice on one side of a snapshot")
            self.rows[key] = row
        self.sort()
        self.mark_complete(depth)

    def _set_unusual(self, key: PriceKey, row: Any) -> None:
        """Set a row whose size has an unusual spelling; raises ValueError without a change if it is not a number."""
        size = parse(row[1])
        if not key:
            return
        if size:
            if key not in self.rows:
                self.insert(key)
            self.rows[key] = row
        elif self.rows.pop(key, None) is not None:
            self.remove(key)

    def _cache_key(self, price: str) -> PriceKey:
        key = self.key_of(price)
        if len(self._keys) > 2 * len(self.rows) + _SPARE:
            self._keys.clear()
        self._keys[price] = key = key or 0.0
        return key

    def _make_level(self, key: PriceKey, row: tuple[Any, ...]) -> Level:
        try:
            price = self._prices[key]
        except KeyError:
            if len(self._prices) > 2 * len(self.rows):
                self._prices.clear()
            price = self._prices[key] = Decimal(row[0])
        level = self.rows[key] = _new_tuple(Level, (price, Decimal(row[1])))
        return level

    def _switch_to_decimals(self) -> None:
        super()._switch_to_decimals()
        self._keys.clear()
        self._prices.clear()

    def _check(self) -> None:
        super()._check()
        for text, key in self._keys.items():
            assert key == (self.key_of(text) or 0.0), f"{text} is cached with another price's key"


class Level2Book(Book[Level2Side]):
    """The levels of one symbol.

    >>> book = Level2Book()
    >>> book.load(bids=[["3988.50", "15"], ["3988.49", "100"]], asks=[["3988.59", "3"]])
    >>> book.set("buy", "3988.5", "44")
    >>> book.best_bid
    Level(price=Decimal('3988.5'), size=Decimal('44'))
    >>> book.spread
    Decimal('0.09')
    """

    __slots__ = ()

    side_type: ClassVar[type[Level2Side]] = Level2Side

    def __init__(self) -> None:
        super().__init__(self.side_type(1), self.side_type(-1))

    def load(
        self,
        bids: Iterable[Sequence[Number]],
        asks: Iterable[Sequence[Number]],
        depth: int | None = None,
    ) -> None:
        """Replace all levels by a snapshot's rows of price and size: O(n log n).

        With a `depth` the rows are the `depth` best levels of the exchange, and others may follow them. A side with
        fewer rows is complete. Raises ValueError, and changes nothing, if a row is invalid or a price comes twice.
        """
        loaded = self.side_type(1), self.side_type(-1)
        for side, rows in zip(loaded, (bids, asks), strict=True):
            side.load(rows, depth)
        self._bids, self._asks = loaded

    def set(self, side: Side, price: Number, size: Number) -> None:
        """Set the size at a price: O(log n).

        `side` is "buy" for bids and "sell" for asks. Size 0 removes the level; price 0 changes nothing. Raises
        ValueError, and changes nothing, if a number is malformed, negative or not finite.
        """
        self._side(side).apply(((as_text(price), as_text(size), 1),), 0)

    def delete(self, side: Side, price: Number) -> None:
        """Remove the level at a price, if there is one: O(log n)."""
        self.set(side, price, "0")

    def apply(self, update: WireLevel2Update, after: int = 0) -> None:
        """Apply an update's rows whose sequence is greater than `after`, in the order of their sequences.

        Raises ValueError, and changes nothing, if one of them is invalid.
        """
        changes = update.changes
        bids: Sequence[Row] = changes.bids
        asks: Sequence[Row] = changes.asks
        if len(bids) + len(asks) > 1:
            # Validate all rows before the first one is applied.
            bids, asks = self._bids.validated(bids, after), self._asks.validated(asks, after)
        if bids:
            self._bids.apply(bids, after)
        if asks:
            self._asks.apply(asks, after)
