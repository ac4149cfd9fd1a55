"""Encode and decode the entries of a relay's Redis streams: JSON that contains the frames as KuCoin sent them. Pure.

An entry has one field. It holds the fencing token of the lease holder, records and news. A record is one message of a
topic; its frame is not decoded, neither for writing nor for reading. News report a change of a topic's state.

Any client of Redis can write malformed data. Text longer than `MAX_BYTES` is not decoded, because decoding needs many
times its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from ..limits import Limits
from ..protocol.message import UNREADABLE

__all__ = [
    "FIELD",
    "MAX_BYTES",
    "Entry",
    "Lease",
    "News",
    "Record",
    "decode_entry",
    "decode_lease",
    "decode_record",
    "decode_state",
    "decoder",
    "encode",
]

FIELD = b"e"
"""The name of an entry's only field."""

MAX_BYTES = Limits().frame_bytes
"""Largest text that is decoded, in bytes: the largest size of a frame."""

T = TypeVar("T")


class Record(msgspec.Struct, array_like=True, gc=False):
    """One message of a topic.

    Attributes:
        topic: the subscribed topic; the frame may name another one.
        sequence: the number of the message within its topic; it continues when another relay takes over.
        run: rises whenever the relay may have missed messages of the topic.
        received_ns: when the relay received it, in nanoseconds since 1970.
        frame: the bytes that KuCoin sent.
        recovered: whether the relay's stream has recovered it; left out where it is False.
    """

    topic: str
    sequence: int
    run: int
    received_ns: int
    frame: msgspec.Raw
    recovered: bool = False


class News(msgspec.Struct, array_like=True):
    """A change of a topic's state.

    Attributes:
        kind: "carried": KuCoin has confirmed it; "lost": its connection was lost; "interrupted": it is being subscribed
            again over a live connection; "dropped": no reader wants it; "refused": it can't be subscribed.
        code: KuCoin's error code if it refused the topic.
    """

    kind: Literal["carried", "lost", "interrupted", "dropped", "refused"]
    topic: str
    code: int = 0
    reason: str = ""


class Entry(msgspec.Struct, array_like=True):
    """Records and news that were written together.

    Attributes:
        token: the fencing token of the writing relay.
        tried: older tokens of the same relay. Writes with these tokens failed while Redis was unreachable, so the same
            entry may exist with one of them.
    """

    token: int
    records: list[Record] = []
    news: list[News] = []
    tried: list[int] = []


class Lease(msgspec.Struct, frozen=True):
    """The lease, as its holder writes it.

    Attributes:
        token: the holder's fencing token.
        name: the holder's host and process id, for log readers.
        signing: whether the holder has an API key, which full spot books need.
    """

    token: int
    name: str = ""
    signing: bool = False


encode = msgspec.json.Encoder().encode


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return a function that decodes JSON of at most `MAX_BYTES`; it raises one of `UNREADABLE` for anything else."""
    decode = msgspec.json.Decoder(kind).decode

    def bounded(text: bytes) -> T:
        if len(text) > MAX_BYTES:
            raise msgspec.DecodeError(f"{len(text)} bytes are more than the {MAX_BYTES} that are decoded")
        return decode(text)

    return bounded


_entry = decoder(Entry)
_lease = decoder(Lease)
_last = decoder(tuple[int, Record])
_state = decoder(tuple[int, News])


def decode_entry(text: bytes) -> Entry | None:
    """Decode an entry; return None if it is malformed."""
    try:
        return _entry(text)
    except UNREADABLE:
        return None


def decode_lease(text: bytes | None) -> Lease | None:
    """Decode the lease; return None if it is absent or malformed."""
    try:
        return None if text is None else _lease(text)
    except UNREADABLE:
        return None


def decode_record(text: bytes | None) -> tuple[int, Record] | None:
    """Decode the token and the last record of a topic; return None if they are absent or malformed."""
    try:
        return None if text is None else _last(text)
    except UNREADABLE:
        return None


def decode_state(text: bytes | None) -> tuple[int, News] | None:
    """Decode the token and the last news of a topic; return None if they are absent or malformed."""
    try:
        return None if text is None else _state(text)
    except UNREADABLE:
        return None
