"""The parts that all payloads share: exact numbers, instants, rows of a book, and decoding.

A payload is the `data` of one push as a read-only struct. Its rules:

- Prices, sizes, amounts and rates are `Decimal` with the digits that KuCoin sent, as text or as a number.
- In the busiest payloads, numbers that may be absent stay as text in fields `wire_…` until a property is read. Making
  one `Decimal` takes half as long as decoding a whole ticker.
- The words "NaN" and "Infinity" can't be read as a number, except where the decoder of the usual form makes the
  `Decimal`: a check of every number would slow down every message.
- Sequences are `int`, ids are `str`.
- An unexpected value affects its own property only. A property whose value is missing or can't be read is None,
  whatever its type says (0 for an instant, () for a list). The decoder of the usual form refuses such data; `tolerant`
  reads it.
- KuCoin adds fields without notice. A member without a property is in `extra`.
- The busiest payloads declare their fields in the order in which KuCoin sends them now, because msgspec decodes that
  order fastest.
- An instant stays in a field `wire_…` as KuCoin sent it; a property `…_ns` returns nanoseconds since 1970, UTC.

This package knows no topics and no envelopes. It does not wait, log or read a clock.
"""

import contextlib
import datetime as dt
import weakref
from collections import deque
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import msgspec
from msgspec import Meta

from .extra import extensible_decoder, plain, with_extra
from .tolerant import ReadResult, tolerant_reader

__all__ = [
    "KeyedBySymbol",
    "Level",
    "LevelChange",
    "Part",
    "Payload",
    "Side",
    "Timed",
    "TimedTwice",
    "Whole",
    "WireTime",
    "decoder_for",
    "extensible_decoder_for",
    "fast_decoder_for",
    "fields_of",
    "mismatch_listeners",
    "parse_decimal",
    "reader_for",
    "to_ns",
]

Side = Literal["buy", "sell"]

#: An instant as KuCoin sent it, in any unit. The bounds keep every instant within the range of `datetime`.
WireTime = Annotated[int, Meta(ge=0, le=2**63 - 1)]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def to_ns(value: int) -> int:
    """Convert an instant as KuCoin sent it to nanoseconds since 1970; its size determines its unit.

    Below 1e11 it is in seconds, below 1e14 in milliseconds, below 1e17 in microseconds, else in nanoseconds. The ranges
    are right for every instant from March 1973 until the year 5138 (nanoseconds: until 2262, the limit of 64 bits). A
    fixed unit for each field would not work: KuCoin uses all of these except microseconds and has changed units, such
    as that of `orderTime` of spot orders from nanoseconds to milliseconds.
    """
    if value < 10**11:
        return value * 10**9
    if value < 10**14:
        return value * 10**6
    if value < 10**17:
        return value * 10**3
    return value


class MismatchListener(Protocol):
    """Receives errors that appear only when a property is read."""

    def on_unreadable_number(self, topic: str, reason: str) -> None:
        """Report that a number in a payload can't be read; `topic` has no symbol."""


#: Called for text that is not a number, in fields that stay text until a property is read. Streams register here.
mismatch_listeners: weakref.WeakSet[MismatchListener] = weakref.WeakSet()
_reported: deque[str] = deque(maxlen=64)
"""The last texts that were reported, so that each counts once however often a payload is read."""


def parse_decimal(text: str | None, topic: str) -> Decimal | None:
    """Return the number in a text, None if it is empty or no finite number.

    The listeners get a report of the latter, once for each of the last texts; a text belongs to one payload.
    """
    if not text:
        return None
    try:
        number = Decimal(text)
        if number.is_finite():
            return number
    except InvalidOperation:
        pass
    if any(text is each for each in list(_reported)):
        return None
    _reported.append(text)
    for listener in list(mismatch_listeners):
        listener.on_unreadable_number(topic, f"{text[:40]!r} stands where a number is usual")
    return None


class Readable(msgspec.Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """What payloads and their parts have in common."""

    @property
    def extra(self) -> dict[str, Any]:
        """The values without another property, under KuCoin's names: unknown members and values that can't be read."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return a new dict of the public properties: prices and sizes as `Decimal`, times in nanoseconds.

        Parts are dicts, too; a level stays a named tuple. `datetime`, which repeats `time_ns`, is left out, and so is
        an empty `extra`.
        """
        return {name: _as_public(value) for name, value in self.__rich_repr__()}

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        extra = self.extra
        values = [(name, getattr(self, name)) for name in _public_names(type(self))]
        return [*values, ("extra", extra)] if extra else values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Part(Readable, frozen=True):
    """A structure inside a payload."""


class Payload(Readable, frozen=True):
    """The `data` of one push; every payload struct is a subclass."""


class Timed(Payload, frozen=True, kw_only=True):
    """A payload with an instant.

    A subclass declares `wire_time` under the name that its topic uses. It is the instant as KuCoin sent it, 0 if the
    push has none, as in older pushes of some topics.
    """

    if TYPE_CHECKING:
        wire_time: WireTime = 0

    @property
    def time_ns(self) -> int:
        """Nanoseconds since 1970, UTC, whatever unit KuCoin used; 0 if the push has no time."""
        return to_ns(self.wire_time)

    @property
    def datetime(self) -> dt.datetime:
        """The instant of `time_ns` in the time zone UTC, truncated to microseconds."""
        return _EPOCH + dt.timedelta(microseconds=self.time_ns // 1000)


class TimedTwice(Timed, frozen=True, kw_only=True):
    """A payload whose instant has one of two names; `wire_time_alias` holds the second."""

    if TYPE_CHECKING:
        wire_time_alias: WireTime = 0

    @property
    def time_ns(self) -> int:
        """Nanoseconds since 1970, UTC, whatever name and unit KuCoin used; 0 if the push has no time."""
        return to_ns(self.wire_time or self.wire_time_alias)


class Whole(Payload, frozen=True):
    """A payload whose JSON is not an object with known members. A subclass's only field holds the whole value."""


class KeyedBySymbol(Whole, frozen=True):
    """A payload whose JSON object has symbols as keys."""


class Level(NamedTuple):
    """A price level of a book: a price and the size at it. Futures count the size in contracts."""

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
    """Return a function that decodes the JSON text of a push's `data` to a `cls`.

    It accepts numbers as text and text as numbers. KuCoin writes "" (and sometimes null or []) for a value that does
    not apply, such as `matchPrice` of a futures order that did not match. In a field that may be absent these count as
    absent. A value that can't be read raises `msgspec.ValidationError`. Text that is not JSON raises its base class
    `msgspec.DecodeError`.
    """
    return _decoder(cls)


def reader_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], ReadResult[P]]:
    """Return a function that reads the JSON text of a push's `data` as a `cls`, whatever the data is.

    A value that can't be read affects its own property only, and is listed in the result. Text that is not JSON raises
    `msgspec.DecodeError`.
    """
    return _reader(cls)


def fast_decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    """Return a function that decodes the usual form of a payload in one pass and refuses any other form."""
    return _whole_decoder(cls) if issubclass(cls, Whole) else _strict_decoder(cls)


def extensible_decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P] | None:
    """Return a function that decodes the usual form plus unknown members; None for a `Whole`."""
    return None if issubclass(cls, Whole) else _extensible_decoder(cls)


def fields_of(cls: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of a payload's attributes: fields, computed properties, then unconverted fields (`wire_…`).

    `extra`, which all payloads have, is left out.
    """
    wire = [name for name in cls.__struct_fields__ if name.startswith("wire_")]
    fields = [name for name in cls.__struct_fields__ if name not in wire]
    computed = [name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, property)]
    return tuple(name for name in dict.fromkeys(fields + computed + wire) if name != "extra")


@cache
def _public_names(cls: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(name for name in fields_of(cls) if not name.startswith("wire_") and name not in ("datetime", "unread"))


def _as_public(value: Any) -> Any:
    """Return a value of a payload with its structs as dicts."""
    if isinstance(value, Readable):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: _as_public(each) for key, each in value.items()}
    return list(map(_as_public, value)) if type(value) is tuple else value  # a level is a tuple of another type


# Decoders are built on first use, because building all of them would slow down the import. Two threads may build the
# same decoder at once, which is harmless.


@cache
def _strict_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    return msgspec.json.Decoder(cls, strict=False).decode


@cache
def _whole_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    (only,) = msgspec.structs.fields(cls)
    decode_whole = msgspec.json.Decoder(only.type, strict=False).decode

    def decode(data: bytes | msgspec.Raw) -> P:
        return cls(**{only.name: decode_whole(data)})

    return decode


@cache
def _extensible_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    return extensible_decoder(cls)


@cache
def _decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    read: Callable[[bytes | msgspec.Raw], ReadResult[P]] = _reader(cls)

    def decode(data: bytes | msgspec.Raw) -> P:
        reading = read(data)
        if lost := [each.text for each in reading.mismatches if each.lost]:
            raise msgspec.ValidationError("; ".join(lost))
        return reading.payload

    return decode


@cache
def _reader(cls: type[P]) -> Callable[[bytes | msgspec.Raw], ReadResult[P]]:
    whole = issubclass(cls, Whole)
    decode, read_members = fast_decoder_for(cls), tolerant_reader(cls, whole=whole)
    decode_more, normalizer = extensible_decoder_for(cls) or decode, _Normalizer(cls)

    def read(data: bytes | msgspec.Raw) -> ReadResult[P]:
        with contextlib.suppress(msgspec.ValidationError):
            return ReadResult(decode(data), ())
        with contextlib.suppress(msgspec.ValidationError):
            return ReadResult(decode_more(data), ())
        if not whole:
            with contextlib.suppress(msgspec.DecodeError):
                text, extra = normalizer.normalize(data)
                return ReadResult(with_extra(decode(text), extra), ())
        return read_members(data)

    return read


_NULL = msgspec.Raw(b"null")
_BLANKS = frozenset({b'""', b"null", b"[]"})
_NUMBER_STARTS = frozenset({b"-", *(b"%d" % digit for digit in range(10))})
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Normalizer:
    """Brings the JSON of an object into the usual form of a struct."""

    def __init__(self, cls: type[Payload]) -> None:
        fields = msgspec.structs.fields(cls)
        self._names = {each.encode_name for each in fields}
        self._texts = {each.encode_name for each in fields if each.name.startswith("wire_") and _is_text(each)}
        optional = [each for each in fields if not _is_text(each)]  # in a text field "" is a value
        self._nullable = {each.encode_name for each in optional if NoneType in get_args(each.type)}
        self._omissible = {each.encode_name for each in optional if not each.required} - self._nullable

    def normalize(self, data: bytes | msgspec.Raw) -> tuple[bytes, dict[str, Any]]:
        """Return the normalized JSON of an object, and its unknown members.

        Blank values of fields that may be absent are removed. Numbers become text in fields that are usually text.
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
