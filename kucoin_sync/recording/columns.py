"""Derive the columns of a table of messages from the payload structs of their topics.

One row is one message. The first columns are `received`, `epoch`, `topic`, `subject` and `symbol`. The payload's fields
and properties follow. Prices and sizes are exact decimals, sequences are integers. A field `…_ns` becomes a time column
without the `_ns`. A level becomes two columns, price and size. A nested value (such as the rows of a book update) is
JSON text. The last column is `rest`: all remaining fields as JSON, under KuCoin's names.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple

import msgspec

from ..exceptions import InvalidTopic
from ..payloads import Level, MarketChange, Payload, fields_of
from ..protocol.message import Message
from ..topics import grammar

__all__ = ["ExportColumn", "Kind", "columns_of"]


class Kind(Enum):
    """The type of a column's values."""

    NUMBER = "an exact number"
    FLOAT = "a float"
    WHOLE = "a whole number"
    TIME = "nanoseconds since 1970"
    FLAG = "true or false"
    TEXT = "text"


class ExportColumn(NamedTuple):
    """A column: its name, its type, and a function that returns its value for a message, or None if there is none."""

    name: str
    kind: Kind
    value: Callable[[Message], Any]

    def as_float(self) -> ExportColumn:
        """Return a column of floats in place of one of exact numbers; another column as it is."""
        if self.kind is not Kind.NUMBER:
            return self
        return self._replace(kind=Kind.FLOAT, value=lambda message: _float_of(self.value(message)))


_encode = msgspec.json.Encoder().encode
_KINDS = {Decimal: Kind.NUMBER, int: Kind.WHOLE, bool: Kind.FLAG, str: Kind.TEXT}
_COMMON_COLUMNS = (
    ExportColumn("received", Kind.TIME, lambda message: message.received_ns),
    ExportColumn("epoch", Kind.WHOLE, lambda message: message.epoch),
    ExportColumn("topic", Kind.TEXT, lambda message: message.topic),
    ExportColumn("subject", Kind.TEXT, lambda message: message.subject),
    ExportColumn("symbol", Kind.TEXT, lambda message: message.symbol),
)


def columns_of(topics: Iterable[str]) -> tuple[ExportColumn, ...]:
    """Return the columns for the messages of topics; payloads with columns of one name share it, each with its value.

    Raises:
        InvalidTopic: no payload struct is known for a topic.
    """
    columns: dict[str, ExportColumn] = {}
    readers: dict[str, dict[type[Payload], Callable[[Message], Any]]] = {}
    for topic in topics:
        for single in grammar.split(topic):
            row = grammar.row_of(single)
            if row is None:
                raise InvalidTopic(f"{single} has no columns: this package does not know what its messages hold")
            for cls in dict.fromkeys(row.payloads.values()):
                for column in _payload_columns(cls):
                    columns.setdefault(column.name, column)
                    readers.setdefault(column.name, {}).setdefault(cls, column.value)
    for column in _COMMON_COLUMNS:
        columns.pop(column.name, None)
    columns["rest"] = columns.pop("rest")
    return *_COMMON_COLUMNS, *(each._replace(value=_shared(readers[each.name])) for each in columns.values())


def _shared(readers: dict[type[Payload], Callable[[Message], Any]]) -> Callable[[Message], Any]:
    """Return a function that reads a message in the way of its payload; `readers` has the way of each struct."""
    (_, first), *others = readers.items()
    if not others:
        return first

    def value(message: Message) -> Any:
        payload = message.payload
        return next((read for cls, read in others if isinstance(payload, cls)), first)(message)

    return value


def _payload_columns(cls: type[Payload]) -> Iterable[ExportColumn]:
    yield from _struct_columns(cls, lambda message: message.payload)
    yield ExportColumn("rest", Kind.TEXT, lambda message: _as_json(getattr(message.payload, "extra", None) or None))


def _struct_columns(
    cls: type[msgspec.Struct], struct: Callable[[Message], Any], prefix: str = ""
) -> Iterable[ExportColumn]:
    """Yield the columns of a struct; `struct` returns that struct from a message."""
    hints = typing.get_type_hints(cls)
    for name in fields_of(cls):
        if name.startswith("wire_") or name == "datetime":
            continue  # another column holds the same value exactly
        computed = getattr(cls, name, None)
        hint = typing.get_type_hints(computed.fget)["return"] if isinstance(computed, property) else hints[name]
        yield from _field_columns(prefix + name, _without_none(hint), _attribute(struct, name))


def _field_columns(name: str, hint: Any, value: Callable[[Message], Any]) -> Iterable[ExportColumn]:
    if hint is Level:
        for part in Level._fields:
            yield ExportColumn(f"{name}_{part}", Kind.NUMBER, _attribute(value, part))
        return
    if hint is int and name.endswith("_ns"):
        yield ExportColumn(name.removesuffix("_ns"), Kind.TIME, lambda message: value(message) or None)
        return
    if isinstance(hint, type) and issubclass(hint, Payload):
        yield from _struct_columns(hint, value)  # KuCoin nests the fields of a market snapshot
        return
    if hint is MarketChange:
        yield from _struct_columns(hint, value, f"{name}_")
        return
    kind = Kind.TEXT if typing.get_origin(hint) is Literal else _KINDS.get(hint)
    if kind is not None:
        yield ExportColumn(name, kind, value)
    else:
        yield ExportColumn(name, Kind.TEXT, lambda message: _as_json(value(message)))


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not NoneType]
        return _without_none(kinds[0]) if len(kinds) == 1 else hint
    return hint


def _attribute(of: Callable[[Message], Any], name: str) -> Callable[[Message], Any]:
    return lambda message: getattr(of(message), name, None)


def _float_of(number: Decimal | None) -> float | None:
    return None if number is None or number.is_snan() else float(number)


def _as_json(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()
