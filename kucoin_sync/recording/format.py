"""Encode and decode the lines of a recording.

A recording is JSON lines. A line that starts with `[` is a recorder line. Every other line is a frame, byte for byte as
it was received, so that the usual tools can search and read it. The recorder lines are:

    ["recording", 1, "0.4.0", 1729757723612000000, 1]           first in each file: format, package, time, part
    [1729757723612000000, 3, "spot", false]                     origin of the next frames: time, epoch, market, private
    ["recovered", 1729757723612000000, 3, "spot", false]        origin of the next frames, which REST has told
    ["frame", "eyJ0eXBlIjo…"]                                   a frame with a line break or a leading `[`, in base64
    ["subscribed", time, "spot", false, [["/market/ticker:BTC-USDT", null]]]     topics and their tunnels
    ["connected", time, 3, "spot", false, "ws-api-spot.kucoin.com"]
    ["disconnected", time, 3, "spot", false, 1006, "", "the connection was lost …"]
    ["lost", time, "spot", ["/market/level2:BTC-USDT"], "…"]    no connection carries these public topics now
    ["snapshot", time, "spot", "/api/v3/…", "BTC-USDT", {…}]    a REST snapshot for a book
    ["dropped", time, 512, "…"]                                 the number of frames missing here, and the reason
    ["end", time]                                               the file was closed

All times are nanoseconds since 1970 by the recorder's clock. Unknown recorder lines are skipped, so that newer versions
may add lines.

Pure: no files, threads or clocks.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, ClassVar, TypeAlias

import msgspec

__all__ = [
    "FORMAT",
    "Batch",
    "ConnectedLine",
    "DisconnectedLine",
    "Dropped",
    "End",
    "FrameOrigin",
    "Header",
    "Line",
    "Lost",
    "Record",
    "RecoveredOrigin",
    "SnapshotLine",
    "Subscribed",
    "frames_as_text",
    "line_as_text",
    "recorder_lines",
    "records",
    "time_of",
]

FORMAT = 1
"""The format version. It rises when older versions could not read new files correctly."""

_BRACKET = ord("[")
_SHARE = 16 * 1024
"""Bytes of text that are split into lines at a time: a line may be as short as a byte, and its object takes 35."""

_MOST_FRAMES = 1000
"""Frames after which a share of text ends their batch."""

_LONGEST_LIST = 4 * 1024 * 1024
"""Largest length of a recorder line with a list of topics. The recorder writes much shorter ones."""

_WITHOUT_LIST = (b'["snapshot"', b'["frame"')
_MALFORMED = (msgspec.MsgspecError, ValueError, RecursionError)


class FrameOrigin(msgspec.Struct, frozen=True, array_like=True):
    """The origin of frames: time in nanoseconds since 1970, epoch of the connection, market, and whether private."""

    received_ns: int
    epoch: int
    market: str
    private: bool
    recovered: ClassVar[bool] = False


class _NamedLine(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """A recorder line with a name."""


class Header(_NamedLine, frozen=True, tag="recording"):
    """The first line of a file: format, package version, time of creation, and number of the part, from 1."""

    format: int
    package: str
    at_ns: int
    part: int


class RecoveredOrigin(_NamedLine, frozen=True, tag="recovered"):
    """The origin of frames that are made of rows of REST; see `kucoin_sync.recovery` and `FrameOrigin`."""

    received_ns: int
    epoch: int
    market: str
    private: bool
    recovered: ClassVar[bool] = True


class Frame(_NamedLine, frozen=True):
    """A frame that can't be written as a line of its own."""

    base64: str


class Subscribed(_NamedLine, frozen=True):
    """The server sends these topics from now on; each is a pair of the topic and its tunnel, or None."""

    at_ns: int
    market: str
    private: bool
    topics: tuple[tuple[str, str | None], ...]


class ConnectedLine(_NamedLine, frozen=True, tag="connected"):
    """The server has welcomed a connection."""

    at_ns: int
    epoch: int
    market: str
    private: bool
    host: str


class DisconnectedLine(_NamedLine, frozen=True, tag="disconnected"):
    """A connection has ended; see `events.Disconnected`."""

    at_ns: int
    epoch: int
    market: str
    private: bool
    code: int
    reason: str
    error: str


class Lost(_NamedLine, frozen=True):
    """No connection carries these public topics now, because of `error`."""

    at_ns: int
    market: str
    topics: tuple[str, ...]
    error: str


class SnapshotLine(_NamedLine, frozen=True, tag="snapshot"):
    """A REST snapshot for a book; `data` is JSON text."""

    at_ns: int
    market: str
    path: str
    symbol: str
    data: msgspec.Raw


class Dropped(_NamedLine, frozen=True):
    """`count` frames are missing here, because of `reason`."""

    at_ns: int
    count: int
    reason: str


class End(_NamedLine, frozen=True):
    """The file was closed. If this line is missing, the recorder was killed."""

    at_ns: int


#: A line that is a record of its own. `Frame` is not: it belongs to a batch.
Line: TypeAlias = Header | Subscribed | ConnectedLine | DisconnectedLine | Lost | SnapshotLine | Dropped | End


class Batch(msgspec.Struct, frozen=True):
    """Consecutive frames with the same origin."""

    origin: FrameOrigin | RecoveredOrigin
    frames: Sequence[bytes]


Record: TypeAlias = Batch | Line

_encode = msgspec.json.Encoder().encode
_decode_named = msgspec.json.Decoder(Line | Frame | RecoveredOrigin).decode
_decode_origin = msgspec.json.Decoder(FrameOrigin).decode
_first = itemgetter(0)


def line_as_text(line: Line) -> bytes:
    """Return a recorder line as text, with its line break."""
    return _encode(line) + b"\n"


def frames_as_text(
    origin: FrameOrigin | RecoveredOrigin, frames: Sequence[bytes], *, objects: bool = False, lines: bool = False
) -> bytes:
    """Return the lines for frames with the same origin. This is the only per-message cost of recording.

    `objects` asserts that all frames are JSON objects; `lines` asserts that none contains a line break. The text is
    joined once, because copying a large text costs more than everything else here.
    """
    head = _encode(origin)
    try:
        odd = (not lines and b"\n" in b"".join(frames)) or (not objects and _BRACKET in map(_first, frames))
    except IndexError:  # a frame is empty
        odd = True
    if odd:
        return head + b"\n" + b"".join(map(_frame_as_line, frames))
    return b"\n".join([head, *frames, b""])


def _frame_as_line(frame: bytes) -> bytes:
    if frame and b"\n" not in frame and frame[0] != _BRACKET:
        return frame + b"\n"
    return _encode(Frame(binascii.b2a_base64(frame, newline=False).decode())) + b"\n"


def records(text: bytes) -> Iterator[Record]:
    """Yield the records of a block of whole lines; consecutive frames with the same origin are one record, or several
    if they are very many.

    Unknown recorder lines and frames without an origin are skipped.
    """
    origin: FrameOrigin | RecoveredOrigin | None = None
    frames: list[bytes] = []
    for share in _shares(text):
        for line in share.split(b"\n"):
            if not line:
                continue
            if line[0] != _BRACKET:
                frames.append(line)
                continue
            decoded = _decode_line(line)
            if isinstance(decoded, Frame):
                frames.append(_decode_frame(decoded))
                continue
            if frames and origin is not None:
                yield Batch(origin, frames)
            frames = []
            if isinstance(decoded, (FrameOrigin, RecoveredOrigin)):
                origin = decoded
            elif decoded is not None:
                yield decoded
        if len(frames) >= _MOST_FRAMES:
            if origin is not None:
                yield Batch(origin, frames)
            frames = []
    if frames and origin is not None:
        yield Batch(origin, frames)


def _shares(text: bytes) -> Iterator[bytes]:
    """Yield a text in pieces of whole lines."""
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + _SHARE) + 1 or text.find(b"\n", start + _SHARE) + 1 or len(text)
        yield text[start:end]
        start = end


def _decode_frame(frame: Frame) -> bytes:
    try:
        return binascii.a2b_base64(frame.base64)
    except ValueError:
        return b""


def recorder_lines(text: bytes) -> Iterator[Line]:
    """Yield the recorder lines of a block that have a name, without reading its frames."""
    start = 0 if text.startswith(b'["') else _find_named(text, 0)
    while start >= 0:
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        decoded = _decode_line(text[start:end])
        if decoded is not None and not isinstance(decoded, (Frame, FrameOrigin, RecoveredOrigin)):
            yield decoded
        start = _find_named(text, end)


def _find_named(text: bytes, start: int) -> int:
    found = text.find(b'\n["', start)
    return found + 1 if found >= 0 else -1


def time_of(text: bytes, *, last: bool = False) -> int | None:
    """Return the first or the last time in a block of whole lines, or None if it has no time."""
    lines: Iterable[bytes] = _backwards(text) if last else text.split(b"\n", 200)
    for line in lines:
        decoded = _decode_line(line) if line[:1] == b"[" else None
        at = getattr(decoded, "received_ns", None) or getattr(decoded, "at_ns", None)
        if at is not None:
            return int(at)
    return None


def _backwards(text: bytes) -> Iterator[bytes]:
    """Yield the recorder lines in reverse order, then the first line."""
    end = len(text)
    while end >= 0:
        start = text.rfind(b"\n[", 0, end) + 1
        stop = text.find(b"\n", start)
        yield text[start : len(text) if stop < 0 else stop]
        end = start - 1


def _decode_line(line: bytes) -> Any:
    """Decode a recorder line; return None if it is unknown, malformed, or a list that is too long."""
    if len(line) > _LONGEST_LIST and not line.startswith(_WITHOUT_LIST):
        return None
    try:
        return _decode_origin(line) if line[1:2] != b'"' else _decode_named(line)
    except _MALFORMED:
        return None
