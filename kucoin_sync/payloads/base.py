"""What all payloads share: exact numbers, one kind of instant, rows of a book, the decoding of bytes.

A payload is the `data` of one push as a read-only struct. Its rules:

- Prices, sizes, amounts and rates are `Decimal`, digit by digit what KuCoin sent, as text or as a number.
- In the busiest payloads the numbers that may be absent stay in fields `wire_…` as text until a property is read:
  making a `Decimal` costs half as much as decoding a whole ticker.
- Sequences are `int`, ids are `str`.
- Only what makes a payload useless when it is missing is required; unknown fields are passed by, because
  KuCoin adds fields without notice.
- The fields of the busiest payloads stand in the order in which KuCoin sends them now, in which they are found fastest.
- A wire instant stays in a field `wire_…` as it came; a property `…_ns` gives nanoseconds since 1970, UTC.

Nothing here knows of topics or envelopes, and nothing waits, logs or reads a clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import Meta

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
    "to_ns",
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


def exact(text: str | None) -> Decimal | None:
    """Return a number that came as text; None where there is none.

    Raises ValueError for text that is no number, which KuCoin does not send.
    """
    if not text:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"KuCoin sent {text[:50]!r} where a number belongs") from None


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A structure inside a payload."""


class Payload(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The `data` of one push; every payload struct is a subclass."""


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
    these count as absent. What does not fit raises `msgspec.ValidationError`, what is no JSON its parent
    `msgspec.DecodeError`.
    """
    return _keyed_decoder(cls) if issubclass(cls, KeyedBySymbol) else _decoder(cls)


def fast_decoder_for(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    """Return what decodes the usual form of a payload, without the leniency of `decoder_for`."""
    return _keyed_decoder(cls) if issubclass(cls, KeyedBySymbol) else _strict_decoder(cls)


def fields_of(cls: type[Payload]) -> tuple[str, ...]:
    """Return the names of a payload's attributes: fields, computed ones, instants as they came (`wire_…`)."""
    wire = [name for name in cls.__struct_fields__ if name.startswith("wire_")]
    fields = [name for name in cls.__struct_fields__ if name not in wire]
    computed = [name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, property)]
    return tuple(dict.fromkeys(fields + computed + wire))


# These are built on first use: building all at import would slow it for nothing. Two threads that race build
# the same decoder twice, which is harmless.


@cache
def _strict_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    return msgspec.json.Decoder(cls, strict=False).decode


@cache
def _decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    decode: Callable[[bytes | msgspec.Raw], P] = _strict_decoder(cls)
    absent_as = _absent_as(cls)
    texts = {field.encode_name for field in msgspec.structs.fields(cls) if _is_wire_text(field)}

    def decode_leniently(data: bytes | msgspec.Raw) -> P:
        try:
            return decode(data)
        except msgspec.ValidationError:
            mended = _mended(data, absent_as, texts)
            if mended is None:
                raise
        return decode(mended)

    return decode_leniently


@cache
def _keyed_decoder(cls: type[P]) -> Callable[[bytes | msgspec.Raw], P]:
    (only,) = msgspec.structs.fields(cls)
    decode = msgspec.json.Decoder(only.type, strict=False).decode
    return lambda data: cls(**{only.name: decode(data)})


_NULL = msgspec.Raw(b"null")
_BLANKS = frozenset({b'""', b"null", b"[]"})
_NUMBER_STARTS = frozenset({b"-", *(b"%d" % digit for digit in range(10))})
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _absent_as(cls: type[Payload]) -> dict[str, msgspec.Raw | None]:
    """Map the JSON names of fields that may be absent to what replaces a blank: null, or None for nothing.

    Fields of text are left out: there "" is a value.
    """
    rules: dict[str, msgspec.Raw | None] = {}
    for each in msgspec.structs.fields(cls):
        kinds = get_args(each.type) or (each.type,)
        if str in kinds:
            continue
        if NoneType in kinds:
            rules[each.encode_name] = _NULL
        elif not each.required:
            rules[each.encode_name] = None
    return rules


def _is_wire_text(field: msgspec.structs.FieldInfo) -> bool:
    return field.name.startswith("wire_") and str in get_args(field.type)


def _mended(data: bytes | msgspec.Raw, absent_as: dict[str, msgspec.Raw | None], texts: set[str]) -> bytes | None:
    """Return an object's JSON without the blanks of fields that may be absent, and with numbers as text for `texts`.

    None where there is nothing to mend.
    """
    try:
        parts = _split(data)
    except msgspec.DecodeError:
        return None
    blanks = [name for name, value in parts.items() if name in absent_as and bytes(value) in _BLANKS]
    numbers = [name for name in texts if bytes(parts.get(name, b""))[:1] in _NUMBER_STARTS]
    for name in blanks:
        null = absent_as[name]
        if null is None:
            del parts[name]
        else:
            parts[name] = null
    for name in numbers:
        parts[name] = msgspec.Raw(b'"' + bytes(parts[name]) + b'"')
    return msgspec.json.encode(parts) if blanks or numbers else None
