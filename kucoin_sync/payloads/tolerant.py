"""Read a payload member by member if the decoder of the usual form refuses it.

A value that can't be read affects its own property only: the property is None, or a converted value. Unknown members
and unreadable values are in `extra` under KuCoin's names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import NODEFAULT, inspect

from .extra import make_payload, members_of

__all__ = ["Mismatch", "ReadResult", "tolerant_reader"]

T = TypeVar("T")


class Mismatch(NamedTuple):
    """A member of a payload that does not have the usual form.

    Attributes:
        text: the member and its error, such as "price is null".
        lost: whether its property lacks the value that KuCoin sent.
    """

    text: str
    lost: bool


class ReadResult(msgspec.Struct, Generic[T], frozen=True):
    """A payload and its mismatches."""

    payload: T
    mismatches: tuple[Mismatch, ...]


_MISSING: Any = object()
_MAX_SHOWN = 40
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode


def _decode_decimal(data: bytes | msgspec.Raw) -> Any:
    try:
        return _decode_exactly(data)
    except msgspec.ValidationError:
        return json.loads(
            bytes(data), parse_float=Decimal, parse_int=lambda text: int(text) if len(text) < 4000 else Decimal(text)
        )


def tolerant_reader(cls: type[T], *, whole: bool) -> Callable[[bytes | msgspec.Raw], ReadResult[T]]:
    """Return a function that reads any JSON as a `cls`; it raises `msgspec.DecodeError` for text that is not JSON.

    Args:
        whole: whether the struct's only field is the whole value.
    """
    info: Any = inspect.type_info(cls)

    def read(data: bytes | msgspec.Raw) -> ReadResult[T]:
        mismatches: list[Mismatch] = []
        value = _decode_decimal(data)
        if whole:
            (only,) = info.fields
            inner, left = _read(only.type, value, "", mismatches)
            found = make_payload(cls, {only.name: inner}, _as_members(left))
        else:
            found, left = _read(info, value, "", mismatches)
            if not isinstance(value, dict) and left is not _MISSING:
                found = make_payload(
                    cls, {each.name: getattr(found, each.name) for each in info.fields}, _as_members(left)
                )
        return ReadResult(found, tuple(mismatches))

    return read


def _as_members(left: Any) -> dict[str, Any]:
    if left is _MISSING:
        return {}
    return left if isinstance(left, dict) else {"data": left}


# ReadResult one value: each function returns what it was read as, and what of it stands nowhere in that, or `_MISSING`.


def _read(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(info, inspect.UnionType):
        if value is None:
            return None, _MISSING
        (info,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
        if _is_blank(value) and not isinstance(info, inspect.StrType | inspect.VarTupleType):
            return None, _MISSING
        if not isinstance(value, _CONTAINERS.get(type(info), object)):
            return _record_loss(mismatches, where, value, None)
    return _READERS[type(info)](info, value, where, mismatches)


def _read_number(_: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    number = _number_of(value)
    return _record_loss(mismatches, where, value, None) if number is None else (number, _MISSING)


def _read_int(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    number = _number_of(value)
    whole = None if number is None else _to_int(number)
    if info.ge is not None and (whole is None or not info.ge <= whole <= info.le):
        return _record_loss(mismatches, where, value, 0)  # an instant, whose default is 0
    if whole is None:
        return _record_loss(mismatches, where, value, None)
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        mismatches.append(Mismatch(f"{where} is {_shown(value)}, read as {whole}", False))
    return whole, _MISSING


def _read_text(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(value, str):
        if info.pattern is not None and not re.search(info.pattern, value):
            _record_loss(mismatches, where, value, None)  # of the properties that read its parts
        return value, _MISSING
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or info.pattern is not None:
        return _record_loss(mismatches, where, value, None)
    whole = _to_int(Decimal(value)) if isinstance(value, Decimal) else value
    text = _to_text(value if whole is None else whole)
    if text is None:
        return _record_loss(mismatches, where, value, None)
    mismatches.append(Mismatch(f"{where} is the number {text[:_MAX_SHOWN]}, read as text", False))
    return text, _MISSING


def _read_bool(_: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if isinstance(value, bool):
        return value, _MISSING
    flag = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    return _record_loss(mismatches, where, value, None) if flag is None else (flag, _MISSING)


def _read_literal(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if value in info.values:
        return value, _MISSING
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in info.values:
        return _record_loss(mismatches, where, value, None)
    mismatches.append(Mismatch(f"{where} is {_shown(value)}, read as {word}", False))
    return word, _MISSING


def _read_struct(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    whole: Any = _MISSING
    if info.array_like and isinstance(value, list):
        parts = dict(zip((each.encode_name for each in info.fields), value, strict=False))
        whole = value if len(value) > len(info.fields) else _MISSING  # KuCoin adds columns as it adds members
    elif isinstance(value, dict) and not info.array_like:
        parts = value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        mismatches.append(
            Mismatch(f"{where or 'the data'} is a list of {len(value)}, of which the first is read", True)
        )
        parts, whole = value[0], value
    else:
        return _record_loss(mismatches, where or "the data", value, _empty(info))
    fields, left = {}, {name: part for name, part in parts.items() if name not in members_of(info.cls)}
    for each in info.fields:
        inside = f"{where}.{each.encode_name}" if where else each.encode_name
        part = parts.get(each.encode_name, _MISSING)
        if part is _MISSING or (not each.required and _is_blank(part) and not _is_text(each.type)):
            if each.required:
                mismatches.append(Mismatch(f"{inside} is missing", True))
            fields[each.name] = _absent(each)
            continue
        fields[each.name], rest = _read(each.type, part, inside, mismatches)
        if rest is not _MISSING:
            left[each.encode_name] = rest
    if whole is not _MISSING:
        return make_payload(info.cls, fields, {}), whole
    if info.array_like and left:
        return make_payload(info.cls, fields, {}), value
    return make_payload(info.cls, fields, left), left or _MISSING


def _read_row(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, list):
        _, left = _record_loss(mismatches, where, value, None)
        return info.cls(*(None for _ in info.fields)), left
    left = _MISSING
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
        left = left if rest is _MISSING else value
    return info.cls(*cells), left


def _read_list(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, list):
        return _record_loss(mismatches, where, value, ())
    read = [_read(info.item_type, each, f"{where}[{place}]", mismatches) for place, each in enumerate(value)]
    return tuple(each for each, _ in read), value if any(left is not _MISSING for _, left in read) else _MISSING


def _read_dict(info: Any, value: Any, where: str, mismatches: list[Mismatch]) -> tuple[Any, Any]:
    if not isinstance(value, dict):
        return _record_loss(mismatches, where or "the data", value, {})
    found, left = {}, {}
    for key, each in value.items():
        found[key], rest = _read(info.value_type, each, f"{where}.{key}" if where else key, mismatches)
        if rest is not _MISSING:
            left[key] = rest
    return found, left or _MISSING


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
    inspect.BoolType: _read_bool,
    inspect.LiteralType: _read_literal,
    inspect.StructType: _read_struct,
    inspect.NamedTupleType: _read_row,
    inspect.VarTupleType: _read_list,
    inspect.DictType: _read_dict,
}


def _record_loss(mismatches: list[Mismatch], where: str, value: Any, instead: Any) -> tuple[Any, Any]:
    mismatches.append(Mismatch(f"{where} is {_shown(value)}", True))
    return instead, _MISSING if _is_blank(value) else value


def _is_blank(value: Any) -> bool:
    """Return whether KuCoin writes this for a value that does not apply."""
    return value is None or value == "" or value == []


def _is_text(info: Any) -> bool:
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(kind, inspect.StrType) for kind in kinds)


def _absent(field: Any) -> Any:
    """Return the value of a field whose member is missing."""
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
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def _to_int(number: Decimal) -> int | None:
    if number.adjusted() > _MAX_SHOWN or number != number.to_integral_value():
        return None
    return int(number)


def _to_text(value: int | Decimal) -> str | None:
    try:
        return str(value)
    except ValueError:  # thousands of digits
        return None


def _shown(value: Any) -> str:
    """Return a value in JSON's form, shortened if it is long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list" if value else "an empty list"
    if isinstance(value, str | bool) or value is None:
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = _to_text(value) or "a number of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
