"""The members of a push's data beside those of the struct of its topic, which msgspec's introspection tells.

A *path* names a member: "data.symbol", "asks[][0]" (the first column of each row of a list). A *kind* is "text",
"number", "true or false", "null", "list" or "object".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from msgspec import inspect

from ..payloads import Payload
from ..payloads.base import Whole

__all__ = ["WHOLE", "Member", "cleaned", "kind_of", "members_of_data", "optional_members", "required_members"]

#: The name of the data itself.
WHOLE = "the data"
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_WORD = re.compile(r"[A-Za-z][A-Za-z._-]{0,30}")
#: What a member of an id is called in the structs.
_IDS = ("id", "oid", "user", "account", "broker_tag")
_REMOVED = "removed"


class Member(NamedTuple):
    """One member that came.

    Attributes:
        allowed: the kinds that the struct reads; () for a member that the struct does not have.
    """

    path: str
    kind: str
    allowed: tuple[str, ...]


def kind_of(value: object) -> str:
    """Return the kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float | Decimal):
        return "number"
    return "list" if isinstance(value, list) else "object"


def members_of_data(cls: type[Payload], data: Any) -> frozenset[Member]:
    """Return the members of a push's data, each once. A blank value of a member that may be absent is left out.

    Data of another kind than the struct's is a member `WHOLE`.
    """
    known, kind = _type_of(cls), kind_of(data)
    if kind not in known.kinds:
        return frozenset({Member(WHOLE, kind, known.kinds)})
    return frozenset(_walk(known, data, ""))


@cache
def required_members(cls: type[Payload]) -> frozenset[str]:
    """Return the names of the members without which the struct is not whole."""
    return frozenset(name for name, inner in _type_of(cls).members.items() if inner.required)


def optional_members(cls: type[Payload]) -> frozenset[str]:
    """Return the names of the members that may be absent."""
    return frozenset(_type_of(cls).members) - required_members(cls)


class _Type(NamedTuple):
    """What a struct says of one JSON value.

    Attributes:
        kinds: the kinds that it reads.
        members: of an object with known members; `columns` of a row with known columns.
        item: of a list; `value` of an object with any keys.
        name: what the struct calls it.
        required: whether it has to be there, and may not be blank.
    """

    kinds: tuple[str, ...]
    members: dict[str, Any]
    columns: tuple[Any, ...] = ()
    item: Any = None
    value: Any = None
    name: str = ""
    required: bool = True


_KINDS: dict[type, tuple[str, ...]] = {
    inspect.DecimalType: ("text", "number"),
    inspect.IntType: ("text", "number"),
    inspect.StrType: ("text",),
    inspect.BoolType: ("true or false",),
    inspect.LiteralType: ("text",),
    inspect.NamedTupleType: ("list",),
    inspect.VarTupleType: ("list",),
    inspect.DictType: ("object",),
    inspect.NoneType: ("null",),
}


@cache
def _type_of(cls: type[Payload]) -> _Type:
    """Return what a struct says of the data of a push."""
    info: Any = inspect.type_info(cls)
    return _converted(info.fields[0].type if issubclass(cls, Whole) else info)


def _converted(info: Any, name: str = "", *, required: bool = True) -> _Type:
    made = _Type((), {}, name=name, required=required)
    for option in info.types if isinstance(info, inspect.UnionType) else (info,):
        kinds, fields = _KINDS.get(type(option), ("object",)), getattr(option, "fields", ())
        parts = [(each.encode_name if isinstance(option, inspect.StructType) else each.name, each) for each in fields]
        inner = {key: _converted(each.type, each.name, required=each.required) for key, each in parts}
        if isinstance(option, inspect.NamedTupleType) or getattr(option, "array_like", False):
            kinds, made = ("list",), made._replace(columns=tuple(inner.values()))
        else:
            made = made._replace(members={**made.members, **inner})
        if isinstance(option, inspect.VarTupleType):
            made = made._replace(item=_converted(option.item_type, name))
        elif isinstance(option, inspect.DictType):
            made = made._replace(value=_converted(option.value_type))
        made = made._replace(kinds=(*made.kinds, *kinds))
    return made


def _walk(known: _Type | None, value: Any, path: str) -> Iterator[Member]:
    if path:
        yield Member(path, kind_of(value), () if known is None else known.kinds)
    if known is not None:
        for inner, part, key in _parts(known, value):
            if inner is None or inner.required or part not in (None, "", []):
                yield from _walk(inner, part, f"{path}{key}".lstrip("."))


def _parts(known: _Type, value: Any) -> Iterator[tuple[_Type | None, Any, str]]:
    """Yield the parts of a list or an object: what the struct says of each, the part, and the end of its path."""
    if isinstance(value, dict):
        for name, part in value.items():
            inner = known.members.get(name, known.value)
            yield inner, part, ".*" if known.value is not None else f".{name}"
    elif isinstance(value, list) and known.columns:
        for place, part in enumerate(value):
            yield known.columns[place] if place < len(known.columns) else None, part, f"[{place}]"
    elif isinstance(value, list) and known.item is not None:
        for part in value:
            yield known.item, part, "[]"


# What a report may show of an account


def cleaned(cls: type[Payload] | None, data: Any) -> Any:
    """Return a copy of an account's data that can be shown: no ids, digits as 1, words as they are.

    Whatever the struct does not have is replaced by a blank value of its kind.
    """
    return _blank(data) if cls is None else _clean(_type_of(cls), data)


def _clean(known: _Type | None, value: Any) -> Any:
    if known is None:
        return _blank(value)
    if isinstance(value, dict):
        parts = _parts(known, value)
        return {name: _clean(inner, part) for name, (inner, part, _) in zip(value, parts, strict=True)}
    if isinstance(value, list):
        return [_clean(inner, part) for inner, part, _ in _parts(known, value)]
    if isinstance(value, str):
        return _clean_text(value, known.name)
    return _blank(value)


def _clean_text(text: str, name: str) -> str:
    if not text:
        return text
    if name.rpartition("_")[2] in _IDS or name in _IDS:
        return _REMOVED
    if _NUMBER.fullmatch(text):  # a time keeps its length, which tells its unit
        return re.sub("[0-9.]+", "1.1", text) if "." in text else re.sub("[0-9]", "1", text)
    return text if _WORD.fullmatch(text) else _REMOVED


def _blank(value: Any) -> Any:
    blanks: dict[str, Callable[[], Any]] = {"text": lambda: _REMOVED, "list": list, "object": dict}
    kind = kind_of(value)
    if kind == "number":
        return int(re.sub("[0-9]", "1", str(value))) if isinstance(value, int) else 1.1
    return blanks[kind]() if kind in blanks else value
