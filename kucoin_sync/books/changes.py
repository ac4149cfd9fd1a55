"""The changes of a book, which are the items of iterating over it.

A change holds the update as it was decoded from the push. It makes exact numbers when they are first read.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

from ..payloads import LevelChange, Side
from .codec import WireFuturesLevel2Update, WireLevel2Update, WireLevel3Event
from .feeds import Update
from .uta import WireUtaLevel2Update

__all__ = ["BookChange", "Level2BookChange", "Level3BookChange"]

U = TypeVar("U", bound=Update)


class BookChange(Generic[U]):
    """One update that was applied to a book.

    Attributes:
        sequence_start, sequence_end: the sequences that the update covers; afterwards the book is at `sequence_end`.
        resyncs: how often the book had started again. If it is higher than in the change before, changes in between are
            missing: read the whole book.
        lost: the number of changes dropped immediately before this one, because the consumer was too slow.
    """

    __slots__ = ("_sequence_before", "_update", "lost", "resyncs", "sequence_end", "sequence_start")

    def __init__(self, update: U, after: int, resyncs: int, lost: int = 0) -> None:
        start, end = update.sequence_start, update.sequence_end
        self.sequence_start, self.sequence_end = (start, end) if start <= end else (end, start)
        self.resyncs = resyncs
        self.lost = lost
        self._update = update
        self._sequence_before = after  # the book's sequence before the update

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BookChange):
            return NotImplemented
        return self._update == other._update and (self.lost, self.resyncs) == (other.lost, other.resyncs)

    def __hash__(self) -> int:
        return hash((self.sequence_start, self.sequence_end))

    def with_lost(self, lost: int) -> Any:
        """Return a copy whose `lost` is the given number."""
        return type(self)(self._update, self._sequence_before, self.resyncs, lost)


class Level2BookChange(BookChange[WireLevel2Update | WireFuturesLevel2Update | WireUtaLevel2Update]):
    """Levels that have a new size; size 0 means that the level is gone.

    Rows of the UTA feed have no sequence of their own: they have the last one of the update, and one price may come
    twice. Size 0 there may also mean that the level has left the best 500.
    """

    __slots__ = ()

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed bids, ordered by their sequences."""
        return self._new_rows(self._update.bids)

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed asks, ordered by their sequences."""
        return self._new_rows(self._update.asks)

    def _new_rows(self, rows: tuple[LevelChange, ...]) -> tuple[LevelChange, ...]:
        """Leave out rows that the book knew before and rows without a price."""
        fresh = [row for row in rows if row.sequence > self._sequence_before and row.price]
        return tuple(sorted(fresh, key=lambda row: row.sequence))

    def __repr__(self) -> str:
        return f"<Level2BookChange to {self.sequence_end}: bids {self.bids}, asks {self.asks}>"


class Level3BookChange(BookChange[WireLevel3Event]):
    """An event of an order, which need not be visible on the book (see `kind`)."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """What happened: "received", "open", "match", "change" (of its size) or "done"."""
        return self._update.kind

    @property
    def order_id(self) -> str:
        """The order's id; for a match, the id of the maker's order."""
        return self._update.maker_order_id if self._update.kind == "match" else self._update.order_id

    @property
    def side(self) -> Side | None:
        """The side in KuCoin's event, None if it has none. For a match it is the taker's side."""
        side = self._update.side
        word = side.strip().lower() if isinstance(side, str) else None
        return cast(Side, word) if word in ("buy", "sell") else None

    @property
    def price(self) -> Decimal | None:
        """The price, None if the event has none (as for hidden orders)."""
        return _decimal_or_none(self._update.price)

    @property
    def size(self) -> Decimal | None:
        """The order's size, the traded size, or the new size after a change; None if the event has none."""
        return _decimal_or_none(self._update.new_size or self._update.size)

    @property
    def time_ns(self) -> int:
        """When the event happened, in nanoseconds since 1970, UTC; for an opened order, when it was accepted."""
        return self._update.time_ns

    def __repr__(self) -> str:
        return f"<Level3BookChange to {self.sequence_end}: {self.kind} {self.order_id}>"


def _decimal_or_none(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except ArithmeticError:
        return None  # in an event that the book ignores, such as "received"
