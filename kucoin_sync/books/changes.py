"""What was changed on a book: the items of iterating over one.

Each is made of the wire's update; its exact numbers are made when they are first read.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

from ..payloads import LevelChange
from ..payloads import Side as SideName
from .calibration import Update
from .codec import WireFuturesLevel2Update, WireLevel2Update, WireLevel3Event

__all__ = ["BookChange", "Level2BookChange", "Level3BookChange"]

U = TypeVar("U", bound=Update)


class BookChange(Generic[U]):
    """One update that was applied to a book.

    Attributes:
        sequence_start, sequence_end: the sequences that it covers; the book is at `sequence_end` then.
        resyncs: how often the book had started again by then. Where it has risen since the change before, what happened
            in between is in no change: read the whole book.
        lost: how many changes were dropped immediately before this one, because they were taken too slowly.
    """

    __slots__ = ("_after", "_update", "lost", "resyncs", "sequence_end", "sequence_start")

    def __init__(self, update: U, after: int, resyncs: int, lost: int = 0) -> None:
        start, end = update.sequence_start, update.sequence_end
        self.sequence_start, self.sequence_end = (start, end) if start <= end else (end, start)
        self.resyncs = resyncs
        self.lost = lost
        self._update = update
        self._after = after  # what the book knew before

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BookChange):
            return NotImplemented
        return self._update == other._update and (self.lost, self.resyncs) == (other.lost, other.resyncs)

    def __hash__(self) -> int:
        return hash((self.sequence_start, self.sequence_end))

    def with_lost(self, lost: int) -> Any:
        """Return a twin that tells of `lost` changes before it."""
        return type(self)(self._update, self._after, self.resyncs, lost)


class Level2BookChange(BookChange[WireLevel2Update | WireFuturesLevel2Update]):
    """Levels that have another size now; size 0 stands for a level that is gone."""

    __slots__ = ()

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed bids, in the order of their sequences."""
        return self._changed(self._update.bids)

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed asks, in the order of their sequences."""
        return self._changed(self._update.asks)

    def _changed(self, rows: tuple[LevelChange, ...]) -> tuple[LevelChange, ...]:
        """Leave out what the book knew already, and rows that change nothing."""
        fresh = [row for row in rows if row.sequence > self._after and row.price]
        return tuple(sorted(fresh, key=lambda row: row.sequence))

    def __repr__(self) -> str:
        return f"<Level2BookChange to {self.sequence_end}: bids {self.bids}, asks {self.asks}>"


class Level3BookChange(BookChange[WireLevel3Event]):
    """Something happened to an order; it need not be one that shows on the book (see `kind`)."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """What happened: "received", "open", "match", "change" (of its size) or "done"."""
        return self._update.kind

    @property
    def order_id(self) -> str:
        """The order; of a match, that which rested (the maker's)."""
        return self._update.maker_order_id if self._update.kind == "match" else self._update.order_id

    @property
    def side(self) -> SideName | None:
        """As KuCoin tells it, which for a match is the taker's side; None where it does not."""
        side = self._update.side
        return cast(SideName, side) if side in ("buy", "sell") else None

    @property
    def price(self) -> Decimal | None:
        """The price, None where the event tells none (as for hidden orders)."""
        return _number(self._update.price)

    @property
    def size(self) -> Decimal | None:
        """The order's size, the traded size, or after a change the new one; None where the event tells none."""
        return _number(self._update.new_size or self._update.size)

    @property
    def time_ns(self) -> int:
        """When it happened, in nanoseconds since 1970, UTC; of an order that came to rest, when it was accepted."""
        return self._update.time_ns

    def __repr__(self) -> str:
        return f"<Level3BookChange to {self.sequence_end}: {self.kind} {self.order_id}>"


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except ArithmeticError:
        return None  # in an event that the book does not look at, such as "received"
