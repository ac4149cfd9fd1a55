"""What can be read from a book, whatever it is made of: best prices, levels, depth, the price for a size.

Everything is exact, whatever the caller's decimal context, but for the two average prices, which are rounded once.

Partial books. A side that began with a part of the exchange's levels knows all levels as far as the worst price of that
part, `complete_to`. Of deeper ones it knows those that an update touched since, and there may be others between
them. Lists of levels say how far they can be relied on; figures that would depend on what is not known are None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, Generic, TypeVar

from ..payloads import Level
from ..payloads import Side as SideName
from .numbers import EXACT, as_text, parse
from .price_index import Ladder, TopicKey, V

__all__ = ["Book", "Levels", "Number", "Quotes", "Side"]

Number = Decimal | str | int | float
"""What a price or a size may be given as; a float counts as the number that it prints."""

_HALF = Decimal("0.5")
_ROUNDED = Context(prec=28)


class Levels(list[Level]):
    """Levels of one side, best first.

    The first `sure` of them are the exchange's, without a hole. `partial` tells that the exchange may have others
    among or behind the rest, down to the depth that was asked for.
    """

    __slots__ = ("partial", "sure")

    def __init__(self, levels: list[Level], sure: int, partial: bool) -> None:
        super().__init__(levels)
        self.sure = sure
        self.partial = partial


class Side(Ladder[V], ABC):
    """One side of a book: a ladder with a level at each key."""

    __slots__ = ("_known_to",)

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        self._known_to: TopicKey | None = None

    @abstractmethod
    def level(self, key: TopicKey) -> Level:
        """Return the level of a key."""

    def best(self) -> Level | None:
        """Return the best level, None on an empty side."""
        key = self.best_key()
        return None if key is None else self.level(key)

    def levels(self, n: int | None = None) -> Levels:
        """Return the `n` best levels, or all that are known."""
        keys = self.best_keys(n)
        return self._judged([self.level(key) for key in keys], keys, n)

    def cumulative(self, n: int | None = None) -> Levels:
        """Return the `n` best prices, each with the size of all levels as far as it."""
        found = self.levels(n)
        total = Decimal(0)
        for place, (price, size) in enumerate(found):
            total = EXACT.add(total, size)
            found[place] = Level(price, total)
        return found

    def average_price(self, size: Number) -> Decimal | None:
        """Return what each unit of `size` costs on average if it trades with the best levels."""
        wanted = left = parse(as_text(size))
        if not wanted:
            raise ValueError("the average price of nothing")
        cost = Decimal(0)
        for price, resting in self._sure_levels():
            part = min(left, resting)
            cost = EXACT.fma(price, part, cost)
            left = EXACT.subtract(left, part)
            if not left:
                return _ROUNDED.divide(cost, wanted)
        return None

    def size_at(self, price: Number) -> Decimal | None:
        """Return the size at a price, 0 where there is none; None where it is not known."""
        wanted = parse(as_text(price))
        key = self.find(wanted)
        if key is not None:
            return self.level(key).size
        known_to = self.complete_to
        unknown = known_to is not None and (wanted < known_to if self.sign > 0 else wanted > known_to)
        return None if unknown else Decimal(0)

    @property
    def complete_to(self) -> Decimal | None:
        """The price as far as all levels are known; None where simply all are."""
        return None if self._known_to is None else self.price_of(self._known_to)

    def know_to(self, depth: int | None) -> None:
        """Take what is here as the `depth` best levels, None for all of them."""
        part = self.rows and depth is not None and depth <= len(self.rows)
        self._known_to = self._chunks[0][0] if part else None

    @property
    def exhausted(self) -> bool:
        """Whether no level is left as far as all are known, though there may be others."""
        if self._known_to is None:
            return False
        best = self.best_key()
        return best is None or best < self._known_to

    def _judged(self, levels: list[Level], keys: list[TopicKey], n: int | None) -> Levels:
        known_to = self._known_to
        if known_to is None:
            return Levels(levels, len(levels), False)
        sure = bisect_left(keys, True, key=lambda key: key < known_to)
        return Levels(levels, sure, n is None or sure < n)

    def _sure_levels(self) -> Iterator[Level]:
        known_to = self._known_to
        for key in self:
            if known_to is not None and key < known_to:
                return
            yield self.level(key)

    def _use_decimals(self) -> None:
        super()._use_decimals()
        if self._known_to is not None:
            self._known_to = self._exactly(self._known_to)

    def _check(self) -> None:
        super()._check()
        for key in self:
            price, size = self.level(key)
            assert self.key_of(str(price)) == key, f"{price} stands under another price's key"
            assert size > 0, f"nothing rests at {price}"
        assert self._known_to is None or isinstance(self._known_to, float if self.longest else Decimal)


S = TypeVar("S", bound=Side[Any])


class Quotes(ABC):
    """What the best two levels tell."""

    __slots__ = ()

    @property
    @abstractmethod
    def best_bid(self) -> Level | None:
        """The highest bid, None when there is none."""

    @property
    @abstractmethod
    def best_ask(self) -> Level | None:
        """The lowest ask, None when there is none."""

    @property
    def spread(self) -> Decimal | None:
        """The lowest ask less the highest bid, None when a side is empty; below 0 while a call auction crosses them."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else EXACT.subtract(ask.price, bid.price)

    @property
    def mid(self) -> Decimal | None:
        """The price in the middle between the best two, None when a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else EXACT.multiply(EXACT.add(bid.price, ask.price), _HALF)


class Book(Quotes, Generic[S]):
    """The reads that books of all kinds share."""

    __slots__ = ("_asks", "_bids")

    def __init__(self, bids: S, asks: S) -> None:
        self._bids = bids
        self._asks = asks

    def __repr__(self) -> str:
        bid, ask = (best and f"{best.size} at {best.price}" for best in (self.best_bid, self.best_ask))
        return f"<{type(self).__name__}: {len(self._bids)} bids, best {bid}; {len(self._asks)} asks, best {ask}>"

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None when there is none."""
        return self._bids.best()

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None when there is none."""
        return self._asks.best()

    def bids(self, n: int | None = None) -> Levels:
        """Return the `n` best bids, or all that are known, best first: O(n)."""
        return self._bids.levels(n)

    def asks(self, n: int | None = None) -> Levels:
        """Return the `n` best asks, or all that are known, best first: O(n)."""
        return self._asks.levels(n)

    def cumulative_bids(self, n: int | None = None) -> Levels:
        """Return the `n` best bid prices, each with what rests at it and at all better ones."""
        return self._bids.cumulative(n)

    def cumulative_asks(self, n: int | None = None) -> Levels:
        """Return the `n` best ask prices, each with what rests at it and at all better ones."""
        return self._asks.cumulative(n)

    def bid_size(self, price: Number) -> Decimal | None:
        """Return the size that bids at a price, 0 where none does; None where that is not known (partial books)."""
        return self._bids.size_at(price)

    def ask_size(self, price: Number) -> Decimal | None:
        """Return the size that is offered at a price, 0 where none is; None where that is not known (partial books)."""
        return self._asks.size_at(price)

    @property
    def bid_count(self) -> int:
        """The number of bid levels that are known."""
        return len(self._bids)

    @property
    def ask_count(self) -> int:
        """The number of ask levels that are known."""
        return len(self._asks)

    def price_to_buy(self, size: Number) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be bought now, rounded to 28 digits.

        None where less is offered, as far as that is known; ValueError when the size is not positive.
        """
        return self._asks.average_price(size)

    def price_to_sell(self, size: Number) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be sold now; see `price_to_buy`."""
        return self._bids.average_price(size)

    @property
    def bids_complete_to(self) -> Decimal | None:
        """The price down to which all bids are known, None when simply all are."""
        return self._bids.complete_to

    @property
    def asks_complete_to(self) -> Decimal | None:
        """The price up to which all asks are known, None when simply all are."""
        return self._asks.complete_to

    @property
    def partial(self) -> bool:
        """Whether there may be levels that the book does not know; see `Levels`."""
        return self._bids.complete_to is not None or self._asks.complete_to is not None

    @property
    def exhausted(self) -> bool:
        """Whether the best level of a side is not known: all those that a partial book began with are gone."""
        return self._bids.exhausted or self._asks.exhausted

    def _side(self, side: SideName) -> S:
        if side == "buy":
            return self._bids
        if side == "sell":
            return self._asks
        raise ValueError(f'a side is "buy" or "sell", not {side!r}')

    def _check(self) -> None:
        """Assert every invariant of both sides."""
        for side in (self._bids, self._asks):
            side._check()
