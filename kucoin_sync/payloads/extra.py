"""Payloads with an `extra`: what no other property holds, under KuCoin's names.

Such a payload is of a class of its own with one field more. Payloads without an `extra` need not carry that field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import force_setattr

__all__ = ["extensible_decoder", "make_payload", "members_of", "plain", "with_extra", "with_whole_characters"]

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


#: An escape in a JSON text; the group is half a surrogate pair.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def plain(data: bytes | msgspec.Raw) -> Any:
    """Decode JSON to plain Python, including numbers outside the range of msgspec and halves of surrogate pairs."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        text = with_whole_characters(bytes(data))
    try:
        return _decode(text)
    except msgspec.ValidationError:
        # The standard library decodes these numbers; very long ones become a Decimal.
        return json.loads(text, parse_int=lambda text: int(text) if len(text) < 4000 else Decimal(text))


def with_whole_characters(text: bytes) -> bytes:
    """Return a JSON text with U+FFFD in place of half a surrogate pair, which is no character and can't be decoded."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text)


@cache
def members_of(cls: Any) -> frozenset[str]:
    return frozenset(cls.__struct_encode_fields__)


def make_payload(cls: Any, fields: dict[str, Any], extra: dict[str, Any]) -> Any:
    return _with_extra(cls)(**fields, unread=_to_plain(extra)) if extra else cls(**fields)


def with_extra(payload: T, extra: dict[str, Any]) -> T:
    """Return a copy of a payload with an `extra`."""
    cls = type(payload)
    made: T = make_payload(cls, _fields(payload, cls), extra)
    return made


def extensible_decoder(cls: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """Return a decoder for the usual form of a payload with added members, which are decoded when `extra` is read.

    It refuses added members of an inner object.
    """
    more: Any = _with_extra
    decode: Callable[[bytes | msgspec.Raw], T] = msgspec.json.Decoder(more(cls), strict=False).decode

    def decode_with_extra(data: bytes | msgspec.Raw) -> T:
        payload = decode(data)
        force_setattr(payload, "unread", msgspec.Raw(bytes(data)))  # type: ignore[arg-type]
        return payload

    return decode_with_extra


def _to_plain(value: Any) -> Any:
    """Return a value with its Decimals as floats, as in `message.data`; numbers beyond the floats stay Decimals."""
    if isinstance(value, dict):
        return {key: _to_plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_to_plain(each) for each in value]
    if isinstance(value, Decimal):
        number = float(value)
        return number if abs(number) != float("inf") else value
    return value


def _fields(payload: Any, cls: Any) -> dict[str, Any]:
    return {name: getattr(payload, name) for name in cls.__struct_fields__}


@cache
def _with_extra(cls: Any) -> Any:
    """Return the class of the payloads of `cls` that have an `extra`; comparison ignores the `extra`.

    `unread` is the extra, or the whole JSON text that contains it.
    """

    def bare(self: Any) -> Any:
        return cls(**_fields(self, cls))

    def extra(self: Any) -> dict[str, Any]:
        if not isinstance(self.unread, msgspec.Raw):
            return dict(self.unread)
        known = members_of(cls)
        return {name: plain(part) for name, part in _split(self.unread).items() if name not in known}

    def same(self: Any, other: object) -> bool:
        return isinstance(other, cls) and bool(bare(self) == bare(other))

    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__annotations__": {"unread": Any},
        "unread": msgspec.field(name="~unread", default_factory=dict),
        "extra": property(extra),
        "__eq__": same,
        "__ne__": lambda self, other: not same(self, other),
        "__hash__": lambda self: hash(bare(self)),
        "__reduce__": lambda self: (_restore, (cls, _fields(self, cls), self.extra)),
    }
    return type(cls)(
        cls.__name__, (cls,), namespace, frozen=True, kw_only=True, array_like=False, forbid_unknown_fields=False
    )


def _restore(cls: Any, fields: dict[str, Any], extra: dict[str, Any]) -> Any:
    return make_payload(cls, fields, extra)
