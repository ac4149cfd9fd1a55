"""The level 2 book: what rests at each price, kept from the wire's own text.

Pure data: it applies what it is told and knows neither feeds nor completeness of updates; see `sync`. An update makes
no `Decimal`: the wire's row is put under its price's key as it came, and becomes a `Level` when it is first read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

from ..payloads import Level
from ..payloads import Side as SideName
from .base import Book, Levels, Number, Side
from .codec import Row, WireLevel2Update
from .numbers import DecodeErrors, as_text, estimate, parse
from .price_index import TopicKey

__all__ = ["Level2Book"]

_SPARE = 1_000  # prices that are remembered beyond twice those on a side
_new = tuple.__new__  # half the time of a named tuple's own constructor
_sequence_of = itemgetter(2)


class _Side(Side[Row | Level]):
    """One side of the book; a row becomes a level when it is read."""

    __slots__ = ("_known", "_prices")

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        # What was worked out before, as long as it does not outgrow the book: a price's text -> its key, 0.0 for a
        # price that is 0; and the key of a level that was read -> its price.
        self._known: dict[str, TopicKey] = {}
        self._prices: dict[TopicKey, Decimal] = {}

    def best(self) -> Level | None:
        chunk = self._chunks[-1]
        if not chunk:
            return None
        row = self.rows[chunk[-1]]
        return row if type(row) is Level else self._read(chunk[-1], row)

    def level(self, key: TopicKey) -> Level:
        row = self.rows[key]
        return row if type(row) is Level else self._read(key, row)

    def levels(self, n: int | None = None) -> Levels:
        # As in the base class, without a call for each level that was read before.
        rows, keys = self.rows, self.best_keys(n)
        levels = [row if type(row := rows[key]) is Level else self._read(key, row) for key in keys]
        return self._judged(levels, keys, n)

    def apply(self, changes: Sequence[Row], after: int) -> None:
        """Set the rows whose sequence is greater than `after`; ValueError at the first that makes no sense.

        The hottest code of a book: near the top nearly every price was met before, so that its key is one look-up, and
        the estimate of a size tells whether it is a number, and nearly always whether it is 0.
        """
        rows, known = self.rows, self._known
        for row in changes:
            price, size, sequence = row
            if sequence <= after:
                continue
            try:
                key = known[price]
            except KeyError:
                key = self._learn(price)
            try:
                amount = estimate(size)
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
                self._set_with_care(key, row)

    def vetted(self, changes: Sequence[Row], after: int) -> Sequence[Row]:
        """Return rows in the order of their sequences; ValueError when one to be set makes no sense."""
        known, before = self._known, after
        for price, size, sequence in changes:
            if sequence <= after:
                continue
            if sequence < before:
                return self.vetted(sorted(changes, key=_sequence_of), after)
            before = sequence
            if price not in known:
                self._learn(price)
            try:
                if estimate(size) >= 0.0:
                    continue
            except DecodeErrors:
                pass
            parse(size)
        return changes

    def load(self, rows: Iterable[Sequence[Number]], depth: int | None) -> None:
        """Take a snapshot's rows on an empty side."""
        for price, size, *_ in rows:
            row = as_text(price), as_text(size), 0
            key = self.key_of(row[0])
            if not parse(row[1]) or key is None:
                continue
            if key in self.rows:
                raise ValueError(f"the price {price} comes twice on one side of a snapshot")
            self.rows[key] = row
        self.sort()
        self.know_to(depth)

    def _set_with_care(self, key: TopicKey, row: Row) -> None:
        """Set a row whose size is spelled unusually, or no number at all: then ValueError, and no change."""
        size = parse(row[1])
        if not key:
            return
        if size:
            if key not in self.rows:
                self.insert(key)
            self.rows[key] = row
        elif self.rows.pop(key, None) is not None:
            self.remove(key)

    def _learn(self, price: str) -> TopicKey:
        key = self.key_of(price)
        if len(self._known) > 2 * len(self.rows) + _SPARE:
            self._known.clear()
        self._known[price] = key = key or 0.0
        return key

    def _read(self, key: TopicKey, row: tuple[Any, ...]) -> Level:
        try:
            price = self._prices[key]
        except KeyError:
            if len(self._prices) > 2 * len(self.rows):
                self._prices.clear()
            price = self._prices[key] = Decimal(row[0])
        level = self.rows[key] = _new(Level, (price, Decimal(row[1])))
        return level

    def _use_decimals(self) -> None:
        super()._use_decimals()
        self._known.clear()
        self._prices.clear()

    def _check(self) -> None:
        super()._check()
        for text, key in self._known.items():
            assert key == (self.key_of(text) or 0.0), f"{text} is known under another price's key"


class Level2Book(Book[_Side]):
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

    def __init__(self) -> None:
        super().__init__(_Side(1), _Side(-1))

    def load(
        self,
        bids: Iterable[Sequence[Number]],
        asks: Iterable[Sequence[Number]],
        depth: int | None = None,
    ) -> None:
        """Replace everything by a snapshot's rows of price and size: O(n log n).

        With a `depth` the rows are the `depth` best levels of the exchange and there may be others behind them; a side
        of fewer rows is whole. ValueError, and no change, when a row makes no sense or a price comes twice.
        """
        loaded = _Side(1), _Side(-1)
        for side, rows in zip(loaded, (bids, asks), strict=True):
            side.load(rows, depth)
        self._bids, self._asks = loaded

    def set(self, side: SideName, price: Number, size: Number) -> None:
        """Set what rests at a price: O(log n).

        `side` is "buy" for bids, "sell" for asks. Size 0 removes the level, price 0 changes nothing. ValueError, and no
        change, when a number is none, not finite or negative.
        """
        self._side(side).apply(((as_text(price), as_text(size), 1),), 0)

    def delete(self, side: SideName, price: Number) -> None:
        """Remove the level at a price if there is one: O(log n)."""
        self.set(side, price, "0")

    def apply(self, update: WireLevel2Update, after: int = 0) -> None:
        """Apply an update's rows with a sequence above `after`, in the order of their sequences.

        ValueError, and no change, when one of them makes no sense.
        """
        changes = update.changes
        bids: Sequence[Row] = changes.bids
        asks: Sequence[Row] = changes.asks
        if len(bids) + len(asks) > 1:
            # None may be set before all are known to be good.
            bids, asks = self._bids.vetted(bids, after), self._asks.vetted(asks, after)
        if bids:
            self._bids.apply(bids, after)
        if asks:
            self._asks.apply(asks, after)
