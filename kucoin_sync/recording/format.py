"""The lines of a recording: what is in it, as text and back.

A recording is JSON lines. A line that begins with `[` is the recorder's; every other line is a frame, byte for byte as
it came, so that it can be searched and read with the usual tools. The recorder's lines are:

    ["recording", 1, "0.4.0", 1729757723612000000, 1]           first in each file: format, package, time, part
    [1729757723612000000, 3, "spot", false]                     of the frames from here on: time, epoch, market, private
    ["frame", "eyJ0eXBlIjo…"]                                   a frame that is not one line, or begins with `[`: base64
    ["subscribed", time, "spot", false, [["/market/ticker:BTC-USDT", null]]]     topics and their tunnels
    ["connected", time, 3, "spot", false, "ws-api-spot.kucoin.com"]
    ["disconnected", time, 3, "spot", false, 1006, "", "the connection was lost …"]
    ["lost", time, "spot", ["/market/level2:BTC-USDT"], "…"]    nothing carries these public topics now
    ["snapshot", time, "spot", "/api/v3/…", "BTC-USDT", {…}]    what REST answered for a book
    ["dropped", time, 512, "…"]                                 frames that are missing here, and why
    ["end", time]                                               the file was closed

All times are nanoseconds since 1970 by the recorder's clock. What a newer version adds is passed by.

Pure: no files, threads or clocks.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

__all__ = [
    "FORMAT",
    "Batch",
    "Connected",
    "Disconnected",
    "Dropped",
    "End",
    "Header",
    "Line",
    "Lost",
    "Origin",
    "Record",
    "Snapshot",
    "Subscribed",
    "frames_as_text",
    "line_as_text",
    "own_lines",
    "records",
    "time_of",
]

FORMAT = 1
"""Rises when older readers would misread what newer ones write."""

_OURS = ord("[")
_BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where and when frames came: nanoseconds since 1970, number of the connection, its market, whether private."""

    received_ns: int
    epoch: int
    market: str
    private: bool


class _Own(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """A line of the recorder's with a name."""


class Header(_Own, frozen=True, tag="recording"):
    """What a file is, when it was begun, and which part of its recording it is, from 1."""

    format: int
    package: str
    at_ns: int
    part: int


class Frame(_Own, frozen=True):
    """A frame that can't stand as it is."""

    base64: str


class Subscribed(_Own, frozen=True):
    """The server sends these topics from now on; with each its tunnel or None."""

    at_ns: int
    market: str
    private: bool
    topics: tuple[tuple[str, str | None], ...]


class Connected(_Own, frozen=True):
    """The server has welcomed a connection."""

    at_ns: int
    epoch: int
    market: str
    private: bool
    host: str


class Disconnected(_Own, frozen=True):
    """A connection has ended; see `events.Disconnected`."""

    at_ns: int
    epoch: int
    market: str
    private: bool
    code: int
    reason: str
    error: str


class Lost(_Own, frozen=True):
    """Nothing carries these public topics now, because of `error`."""

    at_ns: int
    market: str
    topics: tuple[str, ...]
    error: str


class Snapshot(_Own, frozen=True):
    """What REST answered for a book; `data` is JSON text."""

    at_ns: int
    market: str
    path: str
    symbol: str
    data: msgspec.Raw


class Dropped(_Own, frozen=True):
    """So many frames are missing here, because of `reason`."""

    at_ns: int
    count: int
    reason: str


class End(_Own, frozen=True):
    """The file was closed; where it is missing, the recorder was killed."""

    at_ns: int


#: A line with a name that stands for itself.
Line: TypeAlias = Header | Subscribed | Connected | Disconnected | Lost | Snapshot | Dropped | End


class Batch(msgspec.Struct, frozen=True):
    """Frames that came together."""

    origin: Origin
    frames: Sequence[bytes]


Record: TypeAlias = Batch | Line

_encode = msgspec.json.Encoder().encode
_decode_own = msgspec.json.Decoder(Line | Frame).decode
_decode_origin = msgspec.json.Decoder(Origin).decode
_first = itemgetter(0)


def line_as_text(line: Line) -> bytes:
    """Return a line with its end."""
    return _encode(line) + b"\n"


def frames_as_text(origin: Origin, frames: Sequence[bytes], *, objects: bool = False, lines: bool = False) -> bytes:
    """Return the lines of frames that came together. This is the recorder's share of each message.

    With `objects` all are known to be JSON objects, with `lines` none to have more than one line. The text is put
    together once: every copy of a large one costs more than all else here.
    """
    head = _encode(origin)
    try:
        odd = (not lines and b"\n" in b"".join(frames)) or (not objects and _OURS in map(_first, frames))
    except IndexError:  # an empty one
        odd = True
    if odd:
        return head + b"\n" + b"".join(map(_safely, frames))
    return b"\n".join([head, *frames, b""])


def _safely(frame: bytes) -> bytes:
    if frame and b"\n" not in frame and frame[0] != _OURS:
        return frame + b"\n"
    return _encode(Frame(binascii.b2a_base64(frame, newline=False).decode())) + b"\n"


def records(text: bytes) -> Iterator[Record]:
    """Yield what a block of whole lines holds, frames that came together as one.

    A line of ours that is not known is passed by, and so are frames of which nothing says where they came from.
    """
    origin: Origin | None = None
    frames: list[bytes] = []
    for line in text.split(b"\n"):
        if not line:
            continue
        if line[0] != _OURS:
            frames.append(line)
            continue
        own = _own(line)
        if isinstance(own, Frame):
            frames.append(_decoded(own))
            continue
        if frames and origin is not None:
            yield Batch(origin, frames)
        frames = []
        if isinstance(own, Origin):
            origin = own
        elif own is not None:
            yield own
    if frames and origin is not None:
        yield Batch(origin, frames)


def _decoded(frame: Frame) -> bytes:
    try:
        return binascii.a2b_base64(frame.base64)
    except ValueError:
        return b""


def own_lines(text: bytes) -> Iterator[Line]:
    """Yield the lines with a name in a block, without a look at its frames."""
    place = 0 if text.startswith(b'["') else _next_own(text, 0)
    while place >= 0:
        end = text.find(b"\n", place)
        end = len(text) if end < 0 else end
        own = _own(text[place:end])
        if own is not None and not isinstance(own, (Frame, Origin)):
            yield own
        place = _next_own(text, end)


def _next_own(text: bytes, start: int) -> int:
    found = text.find(b'\n["', start)
    return found + 1 if found >= 0 else -1


def time_of(text: bytes, *, last: bool = False) -> int | None:
    """Return the first or the last time in a block of whole lines, None where there is none."""
    lines: Iterable[bytes] = _backwards(text) if last else text.split(b"\n", 200)
    for line in lines:
        own = _own(line) if line[:1] == b"[" else None
        at = own.received_ns if isinstance(own, Origin) else getattr(own, "at_ns", None)
        if at is not None:
            return int(at)
    return None


def _backwards(text: bytes) -> Iterator[bytes]:
    """Yield the lines of ours, the last one first, and then the first line."""
    end = len(text)
    while end >= 0:
        start = text.rfind(b"\n[", 0, end) + 1
        stop = text.find(b"\n", start)
        yield text[start : len(text) if stop < 0 else stop]
        end = start - 1


def _own(line: bytes) -> Any:
    """Return a line of ours, None where it is none that is known."""
    try:
        return _decode_origin(line) if line[1:2] != b'"' else _decode_own(line)
    except _BROKEN:
        return None
