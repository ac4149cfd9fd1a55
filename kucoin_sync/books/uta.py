"""Decode the order book pushes of the UTA feed, and the book that is made from them.

Sources: KuCoin's documentation ("Orderbook", depth increment@10ms), and observed frames. The feed pushes a snapshot of
the best 500 levels of each side, then the changed levels. Rows are price and size, without a sequence of their own. The
envelope's member `t` says which of the two a push is, so a whole push is decoded here, not only its data.

How far a side is known. It is complete down to the worst level of the snapshot, or completely if the snapshot had fewer
than 500 levels. Whenever 500 levels are known, it is complete down to the worst of them at most, because the feed
removes what leaves the best 500. It never becomes complete further down again, because the feed need not push an
unchanged level that moves up into the best 500.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import field

from ..payloads import LevelChange, Side
from .base import Number
from .codec import Data, checked_rows, parse_sequence
from .l2 import Level2Book, Level2Side
from .numbers import DecodeErrors, as_text, parse, parse_float
from .price_index import PriceKey

__all__ = ["UTA_DEPTH", "UtaLevel2Book", "WireUtaLevel2Update", "read_uta_level2", "read_uta_level2_frame"]

UTA_DEPTH = 500
"""Levels of each side that the feed pushes."""

if TYPE_CHECKING:
    _LocalBool = bool
else:
    # A frame must not set this field: no JSON value fits the type.
    _LocalBool = Annotated[int, msgspec.Meta(gt=0, lt=0)]

_Row = tuple[str, str]  # price and size; size 0 removes the level


class WireUtaLevel2Update(msgspec.Struct, gc=False):
    """A push of `/uta/obu`: a snapshot, or the levels changed from `sequence_start` to `sequence_end`."""

    sequence_start: int = field(name="O")
    sequence_end: int = field(name="C")
    ask_rows: list[_Row] = field(name="a", default=[])
    bid_rows: list[_Row] = field(name="b", default=[])
    is_snapshot: _LocalBool = field(name="~snapshot", default=False)

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed bids, as exact numbers."""
        return self._changes(self.bid_rows)

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed asks, as exact numbers."""
        return self._changes(self.ask_rows)

    def _changes(self, rows: list[_Row]) -> tuple[LevelChange, ...]:
        end = max(self.sequence_start, self.sequence_end)
        return tuple(LevelChange(Decimal(price), Decimal(size), end) for price, size in rows)


class _Frame(msgspec.Struct, gc=False):
    """A whole push."""

    t: str
    d: WireUtaLevel2Update


_decode_frame = msgspec.json.Decoder(_Frame, strict=False).decode


def read_uta_level2_frame(frame: bytes, _: str | None = None) -> WireUtaLevel2Update:
    """Decode the JSON text of a push, in one pass.

    Raises one of `DecodeErrors` if the frame has an unusual form. It may still be a push.
    """
    pushed = _decode_frame(frame)
    update = pushed.d
    if pushed.t != "delta":
        update.is_snapshot = _is_snapshot(pushed.t)
    return update


def read_uta_level2(push: Data, _: str | None = None) -> WireUtaLevel2Update:
    """Decode a whole push, as JSON text or decoded. Raises ValueError if it is none."""
    plain: Any = push
    try:
        if isinstance(push, (bytes, msgspec.Raw)):
            try:
                return read_uta_level2_frame(bytes(push))
            except DecodeErrors:
                plain = json.loads(bytes(push), parse_float=str, parse_int=str, parse_constant=str)
        return _convert(plain)
    except (AttributeError, KeyError, RecursionError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"{error!r} in {plain!r:.200}") from None


def _convert(push: Mapping[str, Any]) -> WireUtaLevel2Update:
    data = push["d"]
    asks, bids = (
        [(as_text(price), as_text(size)) for price, size, *_ in checked_rows(data.get(side))] for side in "ab"
    )
    return WireUtaLevel2Update(
        parse_sequence(data["O"]), parse_sequence(data["C"]), asks, bids, _is_snapshot(push["t"])
    )


def _is_snapshot(kind: str) -> bool:
    """Return whether a push is a snapshot; raises ValueError if it is no delta either."""
    word = kind.lower()
    if word not in ("snapshot", "delta"):
        raise ValueError(f"{kind[:50]!r} is neither a snapshot nor a delta")
    return word == "snapshot"


class _UtaSide(Level2Side):
    """One side of the book."""

    __slots__ = ()

    def load(self, rows: Iterable[Sequence[Number]], depth: int | None) -> None:
        super().load(rows, depth)
        if len(self.rows) >= UTA_DEPTH:
            self._cut()

    def apply_rows(self, changes: Iterable[_Row]) -> bool:
        """Apply rows in order; return whether a level was removed. See `Level2Side.apply`.

        Raises ValueError at the first invalid row.
        """
        added = removed = False
        rows: dict[PriceKey, Any] = self.rows
        known = self._keys
        for row in changes:
            price, size = row
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
                    added = True
                rows[key] = row
            elif amount == 0.0 and not size.strip("0."):
                if rows.pop(key, None) is not None:
                    self.remove(key)
                    removed = True
            else:
                self._set_unusual(key, row)
                added = removed = True
        if added and len(rows) >= UTA_DEPTH:
            self._cut()
        return removed

    def check_rows(self, changes: Iterable[_Row]) -> None:
        """Raise ValueError if a row is invalid."""
        known = self._keys
        for price, size in changes:
            if price not in known:
                self._cache_key(price)
            try:
                if parse_float(size) >= 0.0:
                    continue
            except DecodeErrors:
                pass
            parse(size)

    def _cut(self) -> None:
        """Remove all but the best levels that the feed pushes; the side is complete down to the worst of them."""
        rows, chunks = self.rows, self._chunks
        while len(rows) > UTA_DEPTH:
            worst = chunks[0][0]
            del rows[worst]
            self.remove(worst)
        worst = chunks[0][0]
        if self._complete_key is None or worst > self._complete_key:
            self._complete_key = worst


class UtaLevel2Book(Level2Book):
    """The best 500 levels of each side of one symbol, as the UTA feed pushes them.

    >>> book = UtaLevel2Book()
    >>> book.load(bids=[["3988.50", "15"], ["3988.49", "100"]], asks=[["3988.59", "3"]])
    >>> book.apply(WireUtaLevel2Update(8, 9, ask_rows=[("3988.59", "0"), ("3988.6", "1")]))
    >>> book.spread, book.partial
    (Decimal('0.10'), False)
    """

    __slots__ = ("exhausted",)
    _bids: _UtaSide
    _asks: _UtaSide
    exhausted: bool  # a field here, because it is read after each update

    side_type = _UtaSide

    def __init__(self) -> None:
        super().__init__()
        self.exhausted = False

    def load(
        self,
        bids: Iterable[Sequence[Number]],
        asks: Iterable[Sequence[Number]],
        depth: int | None = UTA_DEPTH,
    ) -> None:
        super().load(bids, asks, depth)
        self.exhausted = False

    def set(self, side: Side, price: Number, size: Number) -> None:
        rows = [(as_text(price), as_text(size))]
        buys = self._side(side) is self._bids
        self.apply(WireUtaLevel2Update(0, 0, [] if buys else rows, rows if buys else []))

    def apply(self, update: WireUtaLevel2Update, after: int = 0) -> None:  # type: ignore[override]  # noqa: ARG002
        """Apply all rows of an update, in order. Raises ValueError, and changes nothing, if one of them is invalid."""
        bids, asks = update.bid_rows, update.ask_rows
        if len(bids) + len(asks) > 1:
            self._bids.check_rows(bids)
            self._asks.check_rows(asks)
        if bids and self._bids.apply_rows(bids):
            self.exhausted |= self._bids.exhausted
        if asks and self._asks.apply_rows(asks):
            self.exhausted |= self._asks.exhausted
