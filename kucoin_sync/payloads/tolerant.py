"""Read a payload member by member, where the decoder of the usual form refuses it.

What can't be read costs its own property and nothing else: the property is None, or what the value was converted to.
What no property holds, unknown members and values that could not be read, is in `extra` under KuCoin's names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import NODEFAULT, inspect
from msgspec.structs import force_setattr

__all__ = ["Mismatch", "Reading", "open_decoder", "plain", "tolerant_reader", "with_extra"]

T = TypeVar("T")


class Mismatch(NamedTuple):
    """A member of a payload that has not the usual form.

    Attributes:
        text: which, and what is wrong with it, such as "price is null".
        lost: whether its property does not tell what KuCoin sent.
    """

    text: str
    lost: bool


class Reading(msgspec.Struct, Generic[T], frozen=True):
    """A payload and all that was wrong with it."""

    payload: T
    mismatches: tuple[Mismatch, ...]


_NOTHING: Any = object()
_SHOWN = 40
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode
_decode = msgspec.json.Decoder().decode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def plain(data: bytes | msgspec.Raw) -> Any:
    """Return JSON as plain Python; numbers beyond what msgspec holds, too."""
    try:
        return _decode(data)
    except msgspec.ValidationError:
        # The standard library takes these numbers, exactly where they are long.
        return json.loads(bytes(data), parse_int=lambda text: int(text) if len(text) < 4000 else Decimal(text))


def _exactly(data: bytes | msgspec.Raw) -> Any:
    try:
        return _decode_exactly(data)
    except msgspec.ValidationError:
        return json.loads(
            bytes(data), parse_float=Decimal, parse_int=lambda text: int(text) if len(text) < 4000 else Decimal(text)
        )


def tolerant_reader(cls: type[T], *, keyed: bool) -> Callable[[bytes | msgspec.Raw], Reading[T]]:
    """Return what reads any JSON as a `cls`; what is no JSON raises `msgspec.DecodeError`.

    Args:
        keyed: whether the struct's one field is the whole object.
    """
    info: Any = inspect.type_info(cls)

    def read(data: bytes | msgspec.Raw) -> Reading[T]:
        mismatches: list[Mismatch] = []
        value = _exactly(data)
        if keyed:
            (only,) = info.fields
            inner, left = _read(only.type, value, "", mismatches)
            found = _make(cls, {only.name: inner}, _as_members(left))
        else:
            found, left = _read(info, value, "", mismatches)
            if not isinstance(value, dict) and left is not _NOTHING:
                found = _make(cls, {each.name: getattr(found, each.name) for each in info.fields}, _as_members(left))
        return Reading(found, tuple(mismatches))

    return read


def _as_members(left: Any) -> dict[str, Any]:
    if left is _NOTHING:
        return {}
    return left if isinstance(left, dict) else {"data": left}


# Reading one value: each function returns what it was read as, and what of it stands nowhere in that, or `_NOTHING`.


def _read(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(info, inspect.UnionType):
        if value is None:
            return None, _NOTHING
        (info,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
        if _is_blank(value) and not isinstance(info, inspect.StrType | inspect.VarTupleType):
            return None, _NOTHING
        if not isinstance(value, _CONTAINERS.get(type(info), object)):
            return _lost(mismatches, where, value, None)
    return _READERS[type(info)](info, value, where, mismatches)


def _read_number(_: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    number = _number_of(value)
    return _lost(mismatches, where, value, None) if number is None else (number, _NOTHING)


def _read_int(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    number = _number_of(value)
    whole = None if number is None else _whole(number)
    if info.ge is not None and (whole is None or not info.ge <= whole <= info.le):
        return _lost(mismatches, where, value, 0)  # an instant: 0 is none
    if whole is None:
        return _lost(mismatches, where, value, None)
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        mismatches.append(Mismatch(f"{where} is {_shown(value)}, read as {whole}", False))
    return whole, _NOTHING


def _read_text(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(value, str):
        if info.pattern is not None and not re.search(info.pattern, value):
            return _lost(mismatches, where, value, None)
        return value, _NOTHING
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or info.pattern is not None:
        return _lost(mismatches, where, value, None)
    whole = _whole(Decimal(value)) if isinstance(value, Decimal) else value
    text = _digits(value if whole is None else whole)
    if text is None:
        return _lost(mismatches, where, value, None)
    mismatches.append(Mismatch(f"{where} is the number {text[:_SHOWN]}, read as text", False))
    return text, _NOTHING


def _read_flag(_: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(value, bool):
        return value, _NOTHING
    flag = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    return _lost(mismatches, where, value, None) if flag is None else (flag, _NOTHING)


def _read_word(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if value in info.values:
        return value, _NOTHING
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in info.values:
        return _lost(mismatches, where, value, None)
    mismatches.append(Mismatch(f"{where} is {_shown(value)}, read as {word}", False))
    return word, _NOTHING


def _read_struct(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    whole: Any = _NOTHING
    if info.array_like and isinstance(value, list):
        parts = dict(zip((each.encode_name for each in info.fields), value, strict=False))
        whole = value if len(value) > len(info.fields) else _NOTHING  # KuCoin adds columns as it adds members
    elif isinstance(value, dict) and not info.array_like:
        parts = value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        mismatches.append(
            Mismatch(f"{where or 'the data'} is a list of {len(value)}, of which the first is read", True)
        )
        parts, whole = value[0], value
    else:
        return _lost(mismatches, where or "the data", value, _empty(info))
    fields, left = {}, {name: part for name, part in parts.items() if name not in _members_of(info.cls)}
    for each in info.fields:
        inside = f"{where}.{each.encode_name}" if where else each.encode_name
        part = parts.get(each.encode_name, _NOTHING)
        if part is _NOTHING or (not each.required and _is_blank(part) and not _is_text(each.type)):
            if each.required:
                mismatches.append(Mismatch(f"{inside} is missing", True))
            fields[each.name] = _absent(each)
            continue
        fields[each.name], rest = _read(each.type, part, inside, mismatches)
        if rest is not _NOTHING:
            left[each.encode_name] = rest
    if whole is not _NOTHING:
        return _make(info.cls, fields, {}), whole
    if info.array_like and left:
        return _make(info.cls, fields, {}), value
    return _make(info.cls, fields, left), left or _NOTHING


@cache
def _members_of(cls: Any) -> frozenset[str]:
    return frozenset(cls.__struct_encode_fields__)


def _read_row(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, list):
        _, left = _lost(mismatches, where, value, None)
        return info.cls(*(None for _ in info.fields)), left
    left = _NOTHING
    if len(value) != len(info.fields):
        mismatches.append(Mismatch(f"{where} has {len(value)} columns where {len(info.fields)} are usual", True))
        left = value
    cells: list[Any] = []
    for place, each in enumerate(info.fields):
        if place >= len(value):
            cells.append(None)
            continue
        cell, rest = _read(each.type, value[place], f"{where}[{place}]", mismatches)
        cells.append(cell)
        left = left if rest is _NOTHING else value
    return info.cls(*cells), left


def _read_list(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, list):
        return _lost(mismatches, where, value, ())
    read = [_read(info.item_type, each, f"{where}[{place}]", mismatches) for place, each in enumerate(value)]
    return tuple(each for each, _ in read), value if any(left is not _NOTHING for _, left in read) else _NOTHING


def _read_dict(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, dict):
        return _lost(mismatches, where or "the data", value, {})
    found, left = {}, {}
    for key, each in value.items():
        found[key], rest = _read(info.value_type, each, f"{where}.{key}" if where else key, mismatches)
        if rest is not _NOTHING:
            left[key] = rest
    return found, left or _NOTHING


_CONTAINERS: dict[type, type] = {
    inspect.StructType: dict,
    inspect.NamedTupleType: list,
    inspect.VarTupleType: list,
    inspect.DictType: dict,
}
_READERS: dict[type, Callable[[Any, Any, str, list[Mismatch]], tuple[Any, Any]]] = {
    inspect.DecimalType: _read_number,
    inspect.IntType: _read_int,
    inspect.StrType: _read_text,
    inspect.BoolType: _read_flag,
    inspect.LiteralType: _read_word,
    inspect.StructType: _read_struct,
    inspect.NamedTupleType: _read_row,
    inspect.VarTupleType: _read_list,
    inspect.DictType: _read_dict,
}


def _lost(mismatches: list[Mismatch], where: str, value: Any, instead: Any) -> tuple[Any, Any]:
    mismatches.append(Mismatch(f"{where} is {_shown(value)}", True))
    return instead, _NOTHING if _is_blank(value) else value


def _is_blank(value: Any) -> bool:
    """Whether it is what KuCoin writes for a value that does not apply."""
    return value is None or value == "" or value == []


def _is_text(info: Any) -> bool:
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(kind, inspect.StrType) for kind in kinds)


def _absent(field: Any) -> Any:
    """Return the value of a field whose member is not there."""
    if field.default is not NODEFAULT:
        return field.default
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return _empty(field.type)


def _empty(info: Any) -> Any:
    if isinstance(info, inspect.StructType):
        return info.cls(**{each.name: _absent(each) for each in info.fields})
    if isinstance(info, inspect.IntType) and info.ge is not None:
        return 0
    if isinstance(info, inspect.VarTupleType):
        return ()
    return {} if isinstance(info, inspect.DictType) else None


def _number_of(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        return Decimal(value)
    except (InvalidOperation, ValueError):
        return None


def _whole(number: Decimal) -> int | None:
    if not number.is_finite() or number.adjusted() > _SHOWN or number != number.to_integral_value():
        return None
    return int(number)


def _digits(value: int | Decimal) -> str | None:
    try:
        return str(value)
    except ValueError:  # thousands of digits
        return None


def _shown(value: Any) -> str:
    """Return a value as JSON shows it, cut where it is long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list" if value else "an empty list"
    if isinstance(value, str | bool) or value is None:
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = _digits(value) or "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# A payload with an `extra` is of a class of its own, with one field more: who has none need not carry it.


def _make(cls: Any, fields: dict[str, Any], extra: dict[str, Any]) -> Any:
    return _with_extra(cls)(**fields, unread=_plainly(extra)) if extra else cls(**fields)


def with_extra(payload: T, extra: dict[str, Any]) -> T:
    """Return a payload with what no property of it holds."""
    cls = type(payload)
    made: T = _make(cls, _fields(payload, cls), extra)
    return made


def open_decoder(cls: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """Return what decodes the usual form of a payload to which KuCoin has added members; they are read when asked for.

    An object inside may have none.
    """
    more: Any = _with_extra
    decode: Callable[[bytes | msgspec.Raw], T] = msgspec.json.Decoder(more(cls), strict=False).decode

    def decode_with_extra(data: bytes | msgspec.Raw) -> T:
        payload = decode(data)
        force_setattr(payload, "unread", msgspec.Raw(bytes(data)))  # type: ignore[arg-type]
        return payload

    return decode_with_extra


def _plainly(value: Any) -> Any:
    """Return a value with the numbers that `message.data` has."""
    if isinstance(value, dict):
        return {key: _plainly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plainly(each) for each in value]
    if isinstance(value, Decimal):
        number = float(value)
        return number if abs(number) != float("inf") else value
    return value


def _fields(payload: Any, cls: Any) -> dict[str, Any]:
    return {name: getattr(payload, name) for name in cls.__struct_fields__}


@cache
def _with_extra(cls: Any) -> Any:
    """Return the class of payloads that have an `extra`; equal to one of `cls` where all fields are.

    `unread` is the extra, or the whole JSON text in which it is.
    """

    def bare(self: Any) -> Any:
        return cls(**_fields(self, cls))

    def extra(self: Any) -> dict[str, Any]:
        if not isinstance(self.unread, msgspec.Raw):
            return dict(self.unread)
        known = _members_of(cls)
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
        "__repr__": lambda self: f"{repr(bare(self))[:-1]}, extra={self.extra!r})",
        "__reduce__": lambda self: (_restore, (cls, _fields(self, cls), self.extra)),
    }
    return type(cls)(
        cls.__name__, (cls,), namespace, frozen=True, kw_only=True, array_like=False, forbid_unknown_fields=False
    )


def _restore(cls: Any, fields: dict[str, Any], extra: dict[str, Any]) -> Any:
    return _make(cls, fields, extra)
