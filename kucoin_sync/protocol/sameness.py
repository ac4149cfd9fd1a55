"""Tell whether two pushes of one topic, which came over two connections, are the same push.

The topic table says what to compare; see `topics.table.Same`. Only the data of a push is read, because the rest of the
envelope may differ between two servers: the UTA feed, for example, has the time of the push in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, NamedTuple

import msgspec

from ..topics.grammar import row_of
from ..topics.table import Same
from .envelopes import Push, RawPush

__all__ = ["Comparison", "comparison_of", "data_of", "is_snapshot", "whole_data"]


class Comparison(NamedTuple):
    """How the pushes of one topic are compared.

    Attributes:
        rising: whether `read` returns a position, which rises from push to push; else equal values are the same push.
        joint: whether positions rise over all subjects of the topic together.
        snapshots: whether some pushes are snapshots, with which the topic may begin again.
        read: returns the value for the data of a push; raises one of `message.UNREADABLE` without it.
    """

    rising: bool
    joint: bool
    snapshots: bool
    read: Callable[[bytes], Any]


def comparison_of(topic: str | None) -> Comparison:
    """Return how pushes under a topic name are compared; by all their data if the table does not know it."""
    row = None if topic is None else row_of(topic)
    return _comparison(Same() if row is None else row.same)


@cache
def _comparison(same: Same) -> Comparison:
    if not same.members:
        return Comparison(False, False, False, whole_data)
    kind: Any = int | float if same.rising else msgspec.Raw
    fields: list[Any] = [(f"m{place}", kind) for place in range(len(same.members))]
    if not same.rising:
        fields = [(name, kind, msgspec.Raw()) for name, _ in fields]
    rename = {f"m{place}": member for place, member in enumerate(same.members)}
    struct = msgspec.defstruct("_Compared", fields, rename=rename, gc=False)
    decode = msgspec.json.Decoder(struct, strict=False).decode  # numbers may be texts
    if same.rising:
        return Comparison(True, same.joint, same.snapshots, _position(decode, len(same.members)))
    return Comparison(False, False, False, _values(decode))


def _position(decode: Callable[[bytes], Any], count: int) -> Callable[[bytes], Any]:
    if count == 1:
        return lambda data: decode(data).m0
    return lambda data: msgspec.structs.astuple(decode(data))


def _values(decode: Callable[[bytes], Any]) -> Callable[[bytes], Hashable]:
    def read(data: bytes) -> Hashable:
        values = tuple(bytes(value).strip(b'"') for value in msgspec.structs.astuple(decode(data)))
        if not any(values):
            raise ValueError("none of the compared members is there")
        return values

    return read


def whole_data(data: bytes) -> Hashable:
    """Return the hash of all data; it takes less memory than the data."""
    return hash(data.strip())


def data_of(push: Push) -> bytes:
    """Return the undecoded data of a push."""
    return push.frame[push.prefix.inside] if isinstance(push, RawPush) else bytes(push.wire_data)


def is_snapshot(push: Push) -> bool:
    """Return whether a push of the UTA feed is a snapshot, from which a book begins again."""
    kind: str = getattr(push.prefix, "type", "") if isinstance(push, RawPush) else push.type
    return kind.lower() == "snapshot"
