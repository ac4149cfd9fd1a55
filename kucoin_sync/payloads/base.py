"""What all payloads share: exact numbers, one kind of instant, rows of a book, the decoding of bytes.

A payload is the `data` of one push as a read-only struct. Its rules:

- Prices, sizes, amounts and rates are `Decimal`, digit by digit what KuCoin sent, as text or as a number.
- In the busiest payloads the numbers that may be absent stay in fields `wire_…` as text until a property is read:
  making a `Decimal` costs half as much as decoding a whole ticker.
- Sequences are `int`, ids are `str`.
- What is odd costs no more than itself: a property whose value is missing or can't be read is None, whatever its
  type says (0 for an instant, () for a list), and the others are as ever. The decoder of the usual form refuses such
  data and unknown members; `tolerant` reads these.
- KuCoin adds fields without notice: what no property holds is in `extra`.
- The fields of the busiest payloads stand in the order in which KuCoin sends them now, in which they are found fastest.
- A wire instant stays in a field `wire_…` as it came; a property `…_ns` gives nanoseconds since 1970, UTC.

Nothing here knows of topics or envelopes, and nothing waits, logs or reads a clock.
"""

import contextlib
import datetime as dt
import weakref
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import msgspec
from msgspec import Meta

from .tolerant import Reading, open_decoder, plain, tolerant_reader, with_extra

__all__ = [
    "KeyedBySymbol",
    "Level",
    "LevelChange",
    "Part",
    "Payload",
    "Side",
    "Timed",
    "TimedTwice",
    "WireTime",
    "decoder_for",
    "exact",
    "fast_decoder_for",
    "fields_of",
    "open_decoder_for",
    "reader_for",
    "to_ns",
    "watchers",
]

Side = Literal["buy", "sell"]

#: An instant as it came, in whatever unit. The bounds keep every one of them within what `datetime` can say.
WireTime = Annotated[int, Meta(ge=0, le=2**63 - 1)]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def to_ns(value: int) -> int:
    """Return a wire instant as nanoseconds since 1970, telling its unit by its size.

    Below 1e11 it is seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. The ranges
    are right for every instant from March 1973 until the year 5138 (nanoseconds: as far as 64 bits reach,
    2262). A unit fixed for each field would not do: KuCoin sends all but microseconds, and has changed units,
    as for `orderTime` of spot orders from nanoseconds to milliseconds.
    """
    if value < 10**11:
        return value * 10**9
    if value < 10**14:
        return value * 10**6
    if value < 10**17:
        return value * 10**3
    return value


class Watcher(Protocol):
    """Wants to know of what only shows when a property is read."""

    def odd_text(self, topic: str, reason: str) -> None:
        """A number of a payload of `topic`, a topic without its symbol, can't be read."""


#: Who is told of text that is no number, where it stays text until a property is read.
watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def exact(text: str | None, topic: str) -> Decimal | None:
    """Return a number that came as text; None where there is none, or none that can be read, which is told."""
    if not text:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        for watcher in list(watchers):
            watcher.odd_text(topic, f"{text[:40]!r} stands where a number is usual")
        return None


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """A structure inside a payload."""

    @property
    def extra(self) -> dict[str, Any]:
        """What no other property holds, under KuCoin's names: unknown members, and values that can't be read."""
        return {}


class Payload(msgspec.Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """The `data` of one push; every payload struct is a subclass."""

    @property
    def extra(self) -> dict[str, Any]:
        """What no other property holds, under KuCoin's names: unknown members, and values that can't be read."""
        return {}


class Timed(Payload, frozen=True, kw_only=True):
    """A payload with an instant.

    A subclass declares `wire_time` under the name that its topic uses: the instant as KuCoin sent it, 0 where
    the push has none, as older pushes of some topics.
    """

    if TYPE_CHECKING:
        wire_time: WireTime = 0

    @property
    def time_ns(self) -> int:
        """Nanoseconds since 1970, UTC, whatever the unit on the wire; 0 where the push has no time."""
        return to_ns(self.wire_time)

    @property
    def datetime(self) -> dt.datetime:
        """The instant of `time_ns` with the time zone UTC, cut to microseconds."""
        return _EPOCH + dt.timedelta(microseconds=self.time_ns // 1000)


class TimedTwice(Timed, frozen=True, kw_only=True):
    """A payload whose instant comes under either of two names; `wire_time_alias` holds the second."""

    if TYPE_CHECKING:
        wire_time_alias: WireTime = 0

    @property
    def time_ns(self) -> int:
        """Nanoseconds since 1970, UTC, whatever name and unit the wire has; 0 where the push has no time."""
        return to_ns(self.wire_time or self.wire_time_alias)


class KeyedBySymbol(Payload, frozen=True):
    """A payload whose JSON object has symbols for keys: a subclass's one field holds the whole object."""


class Level(NamedTuple):
    """A price level of a book: the size that rests at a price. Futures count it in contracts."""

    price: Decimal
    size: Decimal


class LevelChange(NamedTuple):
    """A price level's new size as of a sequence.

    Size 0 removes the level; price 0 changes nothing and only advances the sequence (KuCoin's documentation
    of the level 2 feed).
    """

    price: Decimal
    size: Decimal
    sequence: int


P = TypeVar("P", bound=Payload)


def decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    """Return the function that turns the JSON text of a push's `data` into a `cls`.

    It takes numbers as text and text as numbers. KuCoin writes "" (and sometimes null or []) for a value that
    does not apply, such as `matchPrice` of a futures order that did not match: where a field may be absent,
    these count as absent. What can't be read raises `msgspec.ValidationError`, what is no JSON its parent
    `msgspec.DecodeError`.
    """
    return _decoder(cls)


def reader_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], Reading[P]]:
    """Return the function that reads the JSON text of a push's `data` as a `cls` whatever it holds.

    What can't be read costs its own property only, and is told beside the payload. What is no JSON raises
    `msgspec.DecodeError`.
    """
    return _reader(cls)


def fast_decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    """Return what decodes the usual form of a payload in one pass, and refuses any other."""
    return _keyed_decoder(cls) if issubclass(cls, KeyedBySymbol) else _strict_decoder(cls)


def open_decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P] | None:
    """Return what decodes the usual form in one pass together with members that KuCoin added; None where any may be."""
    return None if issubclass(cls, KeyedBySymbol) else _open_decoder(cls)


def fields_of(cls: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of a payload's attributes: fields, computed ones, instants as they came (`wire_…`).

    `extra`, which all payloads have, is not among them.
    """
    wire = [name for name in cls.__struct_fields__ if name.startswith("wire_")]
    fields = [name for name in cls.__struct_fields__ if name not in wire]
    computed = [name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, property)]
    return tuple(name for name in dict.fromkeys(fields + computed + wire) if name != "extra")


# These are built on first use: building all at import would slow it for nothing. Two threads that race build
# the same decoder twice, which is harmless.


@cache
def _strict_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    return msgspec.json.Decoder(cls, strict=False).decode


@cache
def _keyed_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    (only,) = msgspec.structs.fields(cls)
    decode_whole = msgspec.json.Decoder(only.type, strict=False).decode

    def decode(data: bytes | msgspec.Raw) -> P:
        return cls(**{only.name: decode_whole(data)})

    return decode


@cache
def _open_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    return open_decoder(cls)


@cache
def _decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    read: Callable[[bytes | msgspec.Raw], Reading[P]] = _reader(cls)

    def decode(data: bytes | msgspec.Raw) -> P:
        reading = read(data)
        if lost := [each.text for each in reading.mismatches if each.lost]:
            raise msgspec.ValidationError("; ".join(lost))
        return reading.payload

    return decode


@cache
def _reader(cls: type[P]) -> Callable[[bytes | msgspec.Raw], Reading[P]]:
    keyed = issubclass(cls, KeyedBySymbol)
    decode, read_members = fast_decoder_for(cls), tolerant_reader(cls, keyed=keyed)
    decode_more, known = open_decoder_for(cls) or decode, _Known(cls)

    def read(data: bytes | msgspec.Raw) -> Reading[P]:
        with contextlib.suppress(msgspec.ValidationError):
            return Reading(decode(data), ())
        with contextlib.suppress(msgspec.ValidationError):
            return Reading(decode_more(data), ())
        if not keyed:
            with contextlib.suppress(msgspec.DecodeError):
                text, extra = known.usual(data)
                return Reading(with_extra(decode(text), extra), ())
        return read_members(data)

    return read


_NULL = msgspec.Raw(b"null")
_BLANKS = frozenset({b'""', b"null", b"[]"})
_NUMBER_STARTS = frozenset({b"-", *(b"%d" % digit for digit in range(10))})
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Known:
    """What is known of a struct's members, to bring an object into the usual form."""

    def __init__(self, cls: type[Payload]) -> None:
        fields = msgspec.structs.fields(cls)
        self._names = {each.encode_name for each in fields}
        self._texts = {each.encode_name for each in fields if each.name.startswith("wire_") and _is_text(each)}
        optional = [each for each in fields if not _is_text(each)]  # in text, "" is a value
        self._nullable = {each.encode_name for each in optional if NoneType in get_args(each.type)}
        self._omissible = {each.encode_name for each in optional if not each.required} - self._nullable

    def usual(self, data: bytes | msgspec.Raw) -> tuple[bytes, dict[str, Any]]:
        """Return an object's JSON without blanks of fields that may be absent and with text where it is usual.

        Beside it, the members that no field knows.
        """
        parts = _split(data)
        extra = {name: plain(parts.pop(name)) for name in parts.keys() - self._names}
        for name, value in list(parts.items()):
            text = bytes(value)
            if text in _BLANKS and name in self._nullable:
                parts[name] = _NULL
            elif text in _BLANKS and name in self._omissible:
                del parts[name]
            elif name in self._texts and text[:1] in _NUMBER_STARTS:
                parts[name] = msgspec.Raw(b'"' + text + b'"')
        return msgspec.json.encode(parts), extra


def _is_text(field: msgspec.structs.FieldInfo) -> bool:
    return str in (get_args(field.type) or (field.type,))
