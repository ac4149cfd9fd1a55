"""Decode updates and snapshots of books into text and whole numbers, without `Decimal`.

The structs are the text twins of the payloads `Level2Update`, `FuturesLevel2Update` and `Level3Event`. They take the
shortest path from a push's bytes to a book. Each knows the sequences that it covers. The book checks prices and sizes.

The readers take the JSON text of a push's `data`, or the decoded data. They are tolerant: numbers may come as text and
text as numbers, which stay exact; fields and columns may be added; a time that can't be read is 0. Data that does not
fit raises ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import field

from ..payloads import LevelChange
from .numbers import DecodeErrors, as_text, as_time

__all__ = [
    "Data",
    "Level2Rows",
    "Row",
    "Rows",
    "WireFuturesLevel2Update",
    "WireLevel2Update",
    "WireLevel3Event",
    "checked_rows",
    "parse_sequence",
    "read_futures_level2",
    "read_futures_level2_frame",
    "read_level2",
    "read_level2_frame",
    "read_level3",
    "read_level3_frame",
    "read_snapshot",
    "split_change",
]

Data = bytes | msgspec.Raw | Mapping[str, Any]
"""The `data` of a push or an answer: JSON text, or the decoded object."""

Row = tuple[str, str, int]
"""Price, size and sequence of a changed level. Size 0 removes it, price 0 changes nothing."""

Rows = Sequence[Sequence[Any]]
"""One side's rows of a snapshot, in KuCoin's form."""

_U = TypeVar("_U")


class Level2Rows(msgspec.Struct, gc=False):
    """The changed levels of both sides."""

    asks: list[Row] = []
    bids: list[Row] = []


class WireLevel2Update(msgspec.Struct, gc=False, rename="camel"):
    """An update of `/market/level2`: the levels changed from `sequence_start` to `sequence_end`.

    KuCoin's documentation prints the two swapped in one place; they are not reordered here.
    """

    sequence_start: int
    sequence_end: int
    changes: Level2Rows

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed bids, as exact numbers."""
        return _level_changes(self.changes.bids)

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed asks, as exact numbers."""
        return _level_changes(self.changes.asks)


class WireFuturesLevel2Update(msgspec.Struct, gc=False):
    """An update of `/contractMarket/level2`: one changed level. `change` is "price,side,size"."""

    sequence_end: int = field(name="sequence")
    change: str

    @property
    def sequence_start(self) -> int:
        """The same as `sequence_end`."""
        return self.sequence_end

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed bid, if the change is on that side."""
        return self._changes_of("buy")

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed ask, if the change is on that side."""
        return self._changes_of("sell")

    def _changes_of(self, wanted: str) -> tuple[LevelChange, ...]:
        price, side, size = split_change(self.change)
        return _level_changes([(price, size, self.sequence_end)]) if side == wanted else ()


def split_change(change: str) -> tuple[str, Any, str]:
    """Return the price, the side and the size of a change in any spelling; raise ValueError if one is missing."""
    price, side, size, *_ = (part.strip() for part in change.split(","))
    return price, side.lower(), size


class WireLevel3Event(msgspec.Struct, gc=False, rename="camel"):
    """An event of either generation of level 3: `kind` is received, open, match, change, done or activated.

    `sequence_end` is its sequence; it is 0 for "activated", which has none of its own. The second generation's "update"
    is a change whose new size is in `size`. Fields that a kind does not have are "", and times that can't be read 0.
    """

    sequence_end: int = field(name="sequence")
    type: str = ""
    kind: str = field(name="~kind", default="")
    order_id: str = ""
    maker_order_id: str = ""
    side: Any = ""  # the book checks it
    price: str = ""
    size: str = ""
    new_size: str = ""
    old_size: str = ""
    remain_size: str = ""
    order_time: int = 0
    time: int = 0
    ts: int = 0

    @property
    def sequence_start(self) -> int:
        """The same as `sequence_end`."""
        return self.sequence_end

    @property
    def time_ns(self) -> int:
        """When the order was accepted, else when the event happened; nanoseconds since 1970, UTC."""
        return self.order_time or self.time or self.ts


_KINDS = {
    **{subject: subject for subject in ("received", "open", "match", "change", "done", "activated")},
    "update": "change",
}

_LEVEL3_NAMES = {each.encode_name for each in msgspec.structs.fields(WireLevel3Event)} - {"~kind", "sequence"}
_LEVEL3_IDS = {"type", "orderId", "makerOrderId"}
_TIMES = {"orderTime", "time", "ts"}

_decode_level2 = msgspec.json.Decoder(WireLevel2Update, strict=False).decode
_decode_futures_level2 = msgspec.json.Decoder(WireFuturesLevel2Update, strict=False).decode
_decode_level3 = msgspec.json.Decoder(WireLevel3Event, strict=False).decode


class _Frame(msgspec.Struct, Generic[_U], gc=False):
    """A push of which only the data is decoded."""

    data: _U


_decode_level2_frame = msgspec.json.Decoder(_Frame[WireLevel2Update], strict=False).decode
_decode_futures_level2_frame = msgspec.json.Decoder(_Frame[WireFuturesLevel2Update], strict=False).decode
_decode_level3_frame = msgspec.json.Decoder(_Frame[WireLevel3Event], strict=False).decode


def read_level2(data: Data) -> WireLevel2Update:
    """Decode an update of `/market/level2`."""
    return _read(data, _decode_level2, _level2)


def read_futures_level2(data: Data) -> WireFuturesLevel2Update:
    """Decode an update of `/contractMarket/level2`."""
    return _read(data, _decode_futures_level2, _futures_level2)


def read_level3(data: Data, subject: str | None = None) -> WireLevel3Event:
    """Decode an event of `/market/level3` or `/spotMarket/level3`.

    `subject` determines its kind; without a subject, the data's `type` does.
    """
    return _with_kind(_read(data, _decode_level3, _level3), subject)


def read_level2_frame(frame: bytes, _: str | None = None) -> WireLevel2Update:
    """Decode the update in the whole JSON text of a push, in one pass.

    The readers of frames raise one of `DecodeErrors` if the frame has an unusual form. It may still be an update.
    """
    return _decode_level2_frame(frame).data


def read_futures_level2_frame(frame: bytes, _: str | None = None) -> WireFuturesLevel2Update:
    """Decode the update in the whole JSON text of a push; see `read_level2_frame`."""
    return _decode_futures_level2_frame(frame).data


def read_level3_frame(frame: bytes, subject: str | None = None) -> WireLevel3Event:
    """Decode the event in the whole JSON text of a push; see `read_level2_frame`."""
    return _with_kind(_decode_level3_frame(frame).data, subject)


def _with_kind(event: WireLevel3Event, subject: str | None) -> WireLevel3Event:
    """Set an event's kind from the push's subject, or from its type without one; return the event."""
    if event.type == "activated":
        event.kind, event.sequence_end = "activated", 0
        return event
    name = (subject or event.type).removeprefix("trade.l3")
    if name not in _KINDS:
        raise ValueError(f"{name[:50]!r} is not a known event of level 3")
    event.kind = _KINDS[name]
    if not (event.maker_order_id if event.kind == "match" else event.order_id):
        raise ValueError(f"no order is named in {event!r:.200}")
    return event


def read_snapshot(data: Data) -> tuple[int, Rows, Rows]:
    """Return the sequence, bids and asks of a REST snapshot. Rows are in KuCoin's form, with at least two columns."""
    return _read(data, None, _snapshot)


def _read(data: Data, decode: Callable[[Any], _U] | None, convert: Callable[[Any], _U]) -> _U:
    plain: Any = data
    try:
        if isinstance(data, (bytes, msgspec.Raw)):
            if decode is not None:
                try:
                    return decode(data)
                except DecodeErrors:
                    pass
            plain = json.loads(bytes(data), parse_float=str, parse_int=str, parse_constant=str)
        return convert(plain)
    except (AttributeError, KeyError, RecursionError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"{error!r} in {plain!r:.200}") from None


def _level2(data: Mapping[str, Any]) -> WireLevel2Update:
    changes = data["changes"]
    rows = Level2Rows(*(_convert_rows(changes.get(side)) for side in ("asks", "bids")))
    return WireLevel2Update(parse_sequence(data["sequenceStart"]), parse_sequence(data["sequenceEnd"]), rows)


def _convert_rows(rows: object) -> list[Row]:
    return [
        (as_text(price), as_text(size), parse_sequence(sequence)) for price, size, sequence, *_ in checked_rows(rows)
    ]


def _futures_level2(data: Mapping[str, Any]) -> WireFuturesLevel2Update:
    return WireFuturesLevel2Update(parse_sequence(data["sequence"]), data["change"] + "")


def _level3(data: Mapping[str, Any]) -> WireLevel3Event:
    found: dict[str, Any] = {"sequence": as_text(data["sequence"])}
    for name in _LEVEL3_NAMES & data.keys():
        value = data[name]
        if name in _TIMES:
            found[name] = as_time(value)
        elif value is not None:
            try:
                found[name] = as_text(value)
            except ValueError:
                if name not in _LEVEL3_IDS:
                    found[name] = f"{value!r:.50}"  # the book refuses it if the kind of event needs it
    return msgspec.convert(found, WireLevel3Event, strict=False)


def _snapshot(data: Mapping[str, Any]) -> tuple[int, Rows, Rows]:
    return parse_sequence(data["sequence"]), checked_rows(data["bids"]), checked_rows(data["asks"])


def checked_rows(rows: object) -> Rows:
    """Return rows unchanged; null stands for no rows. Text is refused, although it has items, too."""
    if rows is None:
        return []
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
        raise TypeError("a table was expected")
    return rows


def parse_sequence(value: object) -> int:
    """Return the sequence that a text or a whole number stands for; raises ValueError for anything else."""
    text = as_text(value)
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{value!r:.50} is not a sequence")
    return int(text)


def _level_changes(rows: Sequence[Row]) -> tuple[LevelChange, ...]:
    return tuple(LevelChange(Decimal(price), Decimal(size), sequence) for price, size, sequence in rows)
