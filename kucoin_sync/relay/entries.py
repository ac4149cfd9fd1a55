"""What stands in the entries of a relay's streams: JSON, with the frames in it as KuCoin sent them. Pure.

An entry has one field, and in it the holder's fencing token, records and news. A record is one message of a topic; its
frame is neither decoded when it is written nor when it is read. News tell what became of a topic.

Whoever can write to Redis can put anything there. What is larger than `MOST_BYTES` is not decoded: decoding takes many
times its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from ..limits import Limits
from ..messages import UNREADABLE

__all__ = [
    "FIELD",
    "MOST_BYTES",
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
"""The one field of an entry."""

MOST_BYTES = Limits().frame_bytes
"""Bytes of what is decoded at most: as many as a frame may have."""

T = TypeVar("T")


class Record(msgspec.Struct, array_like=True, gc=False):
    """One message of a topic.

    Attributes:
        topic: as it was subscribed; the frame may name another one.
        sequence: counts the topic's messages, over changes of the holder, too.
        run: rises whenever messages of the topic may be missing that the relay never had.
        received_ns: when the relay had it, nanoseconds since 1970.
        frame: KuCoin's bytes.
    """

    topic: str
    sequence: int
    run: int
    received_ns: int
    frame: msgspec.Raw


class News(msgspec.Struct, array_like=True):
    """What became of a topic: KuCoin confirmed it, it was lost with its connection, unwanted, or refused for good.

    `code` is KuCoin's where it has refused the topic.
    """

    kind: Literal["carried", "lost", "dropped", "refused"]
    topic: str
    code: int = 0
    reason: str = ""


class Entry(msgspec.Struct, array_like=True):
    """What came together.

    Attributes:
        token: of who wrote it.
        tried: other tokens with which the same holder tried to write the same, and perhaps did: Redis died meanwhile.
    """

    token: int
    records: list[Record] = []
    news: list[News] = []
    tried: list[int] = []


class Lease(msgspec.Struct, frozen=True):
    """What the holder tells of itself.

    Attributes:
        token: its fencing token.
        name: its host and process, for people.
        signing: whether it has an API key, so that it can fetch whole spot books.
    """

    token: int
    name: str = ""
    signing: bool = False


encode = msgspec.json.Encoder().encode


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return what decodes JSON of at most `MOST_BYTES`; it raises what `UNREADABLE` names."""
    decode = msgspec.json.Decoder(kind).decode

    def bounded(text: bytes) -> T:
        if len(text) > MOST_BYTES:
            raise msgspec.DecodeError(f"{len(text)} bytes are more than the {MOST_BYTES} that are decoded")
        return decode(text)

    return bounded


_entry = decoder(Entry)
_lease = decoder(Lease)
_last = decoder(tuple[int, Record])
_state = decoder(tuple[int, News])


def decode_entry(text: bytes) -> Entry | None:
    """Return an entry, None for what is none."""
    try:
        return _entry(text)
    except UNREADABLE:
        return None


def decode_lease(text: bytes | None) -> Lease | None:
    """Return a lease, None where nobody holds it."""
    try:
        return None if text is None else _lease(text)
    except UNREADABLE:
        return None


def decode_record(text: bytes | None) -> tuple[int, Record] | None:
    """Return the last record of a topic with the token of who wrote it, None without one."""
    try:
        return None if text is None else _last(text)
    except UNREADABLE:
        return None


def decode_state(text: bytes | None) -> tuple[int, News] | None:
    """Return the last news of a topic with the token of who wrote them, None without any."""
    try:
        return None if text is None else _state(text)
    except UNREADABLE:
        return None
