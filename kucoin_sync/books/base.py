"""Reads that all books share: best prices, levels, depth, the average price for a size.

All figures are exact, whatever the caller's decimal context, except the two average prices, which are rounded once.

Partial books. A side that was loaded from a limited snapshot knows all levels down to the worst price of that snapshot,
`complete_to`. It knows deeper levels only if an update has touched them since, and there may be others between them.
Lists of levels say how many levels are reliable. Figures that depend on unknown levels are None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from typing import Any, Generic, TypeVar

from ..payloads import Level, Side
from .numbers import EXACT, as_text, make_context, parse
from .price_index import PriceIndex, PriceKey, V

__all__ = ["Book", "BookSide", "Levels", "Number", "TopOfBook"]

Number = Decimal | str | int | float
"""The accepted types of a price or a size; a float stands for the number that it prints."""

_HALF = Decimal("0.5")
_ROUNDED = make_context(28)


class Levels(list[Level]):
    """Levels of one side, each a `Level(price, size)`, best first.

    Attributes:
        reliable_count: the number of best levels that are the exchange's, without a gap between them.
        partial: whether the exchange may have others among or after the remaining levels, within the requested depth.
    """

    __slots__ = ("partial", "reliable_count")

    def __init__(self, levels: list[Level], reliable_count: int, partial: bool) -> None:
        super().__init__(levels)
        self.reliable_count = reliable_count
        self.partial = partial


class BookSide(PriceIndex[V], ABC):
    """One side of a book: a price index with a level at each key."""

    __slots__ = ("_complete_key",)

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        self._complete_key: PriceKey | None = None

    @abstractmethod
    def level(self, key: PriceKey) -> Level:
        """Return the level at a key."""

    def best(self) -> Level | None:
        """Return the best level, None if the side is empty."""
        key = self.best_key()
        return None if key is None else self.level(key)

    def levels(self, n: int | None = None) -> Levels:
        """Return the `n` best levels, None for all known ones."""
        keys = self.best_keys(n)
        return self._as_levels([self.level(key) for key in keys], keys, n)

    def cumulative(self, n: int | None = None) -> Levels:
        """Return the `n` best prices, each with the total size of all levels down to it."""
        found = self.levels(n)
        total = Decimal(0)
        for place, (price, size) in enumerate(found):
            total = EXACT.add(total, size)
            found[place] = Level(price, total)
        return found

    def average_price(self, size: Number) -> Decimal | None:
        """Return the average price of `size` units if they trade with the best levels; None if too few are known."""
        wanted = left = parse(as_text(size))
        if not wanted:
            raise ValueError("a size of 0 has no average price")
        cost = Decimal(0)
        for price, resting in self._reliable_levels():
            part = min(left, resting)
            cost = EXACT.fma(price, part, cost)
            left = EXACT.subtract(left, part)
            if not left:
                return _ROUNDED.divide(cost, wanted)
        return None

    def size_at(self, price: Number) -> Decimal | None:
        """Return the size at a price, 0 if there is no level; None if that is unknown."""
        wanted = parse(as_text(price))
        key = self.find(wanted)
        if key is not None:
            return self.level(key).size
        complete_key = self.complete_to
        unknown = complete_key is not None and (wanted < complete_key if self.sign > 0 else wanted > complete_key)
        return None if unknown else Decimal(0)

    @property
    def complete_to(self) -> Decimal | None:
        """The price down to which all levels are known; None if the side is complete."""
        return None if self._complete_key is None else self.price_of(self._complete_key)

    def mark_complete(self, depth: int | None) -> None:
        """Declare the present levels to be the `depth` best ones; None declares the side complete."""
        part = self.rows and depth is not None and depth <= len(self.rows)
        self._complete_key = self._chunks[0][0] if part else None

    @property
    def exhausted(self) -> bool:
        """Whether all levels are gone down to `complete_to`, so that the best level is unknown."""
        if self._complete_key is None:
            return False
        best = self.best_key()
        return best is None or best < self._complete_key

    def _as_levels(self, levels: list[Level], keys: list[PriceKey], n: int | None) -> Levels:
        complete_key = self._complete_key
        if complete_key is None:
            return Levels(levels, len(levels), False)
        reliable_count = bisect_left(keys, True, key=lambda key: key < complete_key)
        return Levels(levels, reliable_count, n is None or reliable_count < n)

    def _reliable_levels(self) -> Iterator[Level]:
        complete_key = self._complete_key
        for key in self:
            if complete_key is not None and key < complete_key:
                return
            yield self.level(key)

    def _switch_to_decimals(self) -> None:
        super()._switch_to_decimals()
        if self._complete_key is not None:
            self._complete_key = self._as_decimal(self._complete_key)

    def _check(self) -> None:
        super()._check()
        for key in self:
            price, size = self.level(key)
            assert self.key_of(str(price)) == key, f"{price} is stored under another price's key"
            assert size > 0, f"the level at {price} is empty"
        assert self._complete_key is None or isinstance(self._complete_key, float if self.float_key_length else Decimal)


S = TypeVar("S", bound=BookSide[Any])


class TopOfBook(ABC):
    """Reads that need the best two levels only."""

    __slots__ = ()

    @property
    @abstractmethod
    def best_bid(self) -> Level | None:
        """The highest bid, a `Level(price, size)`; None if there is none."""

    @property
    @abstractmethod
    def best_ask(self) -> Level | None:
        """The lowest ask, a `Level(price, size)`; None if there is none."""

    @property
    def spread(self) -> Decimal | None:
        """The lowest ask less the highest bid; None if a side is empty. Negative while a call auction crosses them."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else EXACT.subtract(ask.price, bid.price)

    @property
    def mid(self) -> Decimal | None:
        """The price in the middle between the best bid and ask, None if a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else EXACT.multiply(EXACT.add(bid.price, ask.price), _HALF)

    @property
    def micro_price(self) -> Decimal | None:
        """The price between the best bid and ask, nearer to the side of less size; None if a side is empty.

        It is (bid price × ask size + ask price × bid size) / (bid size + ask size), rounded to 28 digits.
        """
        bid, ask = self.best_bid, self.best_ask
        if bid is None or ask is None:
            return None
        weighted = EXACT.fma(bid.price, ask.size, EXACT.multiply(ask.price, bid.size))
        return _ROUNDED.divide(weighted, EXACT.add(bid.size, ask.size))


class Book(TopOfBook, Generic[S]):
    """The reads that books of all levels share."""

    __slots__ = ("_asks", "_bids")

    def __init__(self, bids: S, asks: S) -> None:
        self._bids = bids
        self._asks = asks

    def __repr__(self) -> str:
        bid, ask = (best and f"{best.size} at {best.price}" for best in (self.best_bid, self.best_ask))
        return f"<{type(self).__name__}: {len(self._bids)} bids, best {bid}; {len(self._asks)} asks, best {ask}>"

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, a `Level(price, size)`; None if there is none."""
        return self._bids.best()

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, a `Level(price, size)`; None if there is none."""
        return self._asks.best()

    def bids(self, n: int | None = None) -> Levels:
        """Return the `n` best bids, each a `Level(price, size)`, best first; None for all known ones: O(n)."""
        return self._bids.levels(n)

    def asks(self, n: int | None = None) -> Levels:
        """Return the `n` best asks, each a `Level(price, size)`, best first; None for all known ones: O(n)."""
        return self._asks.levels(n)

    def cumulative_bids(self, n: int | None = None) -> Levels:
        """Return the `n` best bid prices, each with the total size at it and at all better prices."""
        return self._bids.cumulative(n)

    def cumulative_asks(self, n: int | None = None) -> Levels:
        """Return the `n` best ask prices, each with the total size at it and at all better prices."""
        return self._asks.cumulative(n)

    def bid_size(self, price: Number) -> Decimal | None:
        """Return the size of the bid at a price, 0 if there is none; None if that is unknown (partial books)."""
        return self._bids.size_at(price)

    def ask_size(self, price: Number) -> Decimal | None:
        """Return the size of the ask at a price, 0 if there is none; None if that is unknown (partial books)."""
        return self._asks.size_at(price)

    def imbalance(self, n: int = 1) -> Decimal | None:
        """Return how much more is bid than asked in the `n` best levels of each side: from -1 to 1, to 28 digits.

        It is (bids - asks) / (bids + asks), of their sizes. None if both sides are empty, or if the `n` best levels of
        a side are not known for sure.

        Raises:
            ValueError: n is not positive.
        """
        if n < 1:
            raise ValueError(f"n is {n!r}; an imbalance is of at least 1 level of each side")
        bids, asks = self.bids(n), self.asks(n)
        bid, ask = (reduce(EXACT.add, (level.size for level in side), Decimal(0)) for side in (bids, asks))
        total = EXACT.add(bid, ask)
        if bids.partial or asks.partial or not total:
            return None
        return _ROUNDED.divide(EXACT.subtract(bid, ask), total)

    @property
    def bid_count(self) -> int:
        """The number of known bid levels."""
        return len(self._bids)

    @property
    def ask_count(self) -> int:
        """The number of known ask levels."""
        return len(self._asks)

    def price_to_buy(self, size: Number) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be bought now, rounded to 28 digits.

        None if less than that is known to be offered. Raises ValueError if the size is not positive.
        """
        return self._asks.average_price(size)

    def price_to_sell(self, size: Number) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be sold now; see `price_to_buy`."""
        return self._bids.average_price(size)

    @property
    def bids_complete_to(self) -> Decimal | None:
        """The price down to which all bids are known, None if all bids are known."""
        return self._bids.complete_to

    @property
    def asks_complete_to(self) -> Decimal | None:
        """The price up to which all asks are known, None if all asks are known."""
        return self._asks.complete_to

    @property
    def partial(self) -> bool:
        """Whether the exchange may have levels that this book does not know; see `Levels`."""
        return self._bids.complete_to is not None or self._asks.complete_to is not None

    @property
    def exhausted(self) -> bool:
        """Whether the best level of a side is unknown, because all levels that a partial book began with are gone."""
        return self._bids.exhausted or self._asks.exhausted

    def _side(self, side: Side) -> S:
        if side == "buy":
            return self._bids
        if side == "sell":
            return self._asks
        raise ValueError(f'a side is "buy" or "sell", not {side!r}')

    def _check(self) -> None:
        """Assert every invariant of both sides."""
        for side in (self._bids, self._asks):
            side._check()
