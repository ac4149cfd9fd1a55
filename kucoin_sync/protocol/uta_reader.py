"""Finds the topics of the UTA feed's pushes by patterns that are learned from decoded frames.

Frames of one topic differ before their symbol: in `P`, the time of the push, and in data that comes before the symbol.
A pattern has the bytes before the digits of `P`, the number of digits, the bytes from there to the `{` of the data, and
the member with the symbol. It is learned from frames with exactly two `{` that end with `}}`: then the data has no
inner object and is the last member of the push, so that the member with the symbol can be no other object's. A frame
that fits no pattern is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import msgspec

from .envelopes import FrameBatch, Push
from .message import UNREADABLE, Arrival, EnvelopePrefix, Origin, RawPush, payload_class
from .uta_push import (
    PushKey,
    decode_envelope,
    decode_push,
    is_told_by_symbol,
    key_of,
    message_of,
    readings_of,
    topic_of,
)

__all__ = ["UtaReader"]

_MAX_PATTERNS = 4096
_MIN_FORGOTTEN = 256  # unsubscribed topics before the patterns are learned again
_MAX_ALIKE = 64  # layouts with the same start
_MAX_SKIPPED = 1000  # frames between two attempts to learn
_TIME = b'"P":'
_SYMBOL_KEY = b'"s":'
#: What comes before the digits of `P`, these digits, and what comes then, up to the data's `{`.
_BEGINNING = re.compile(rb'(\{[^{}]*"P": ?)([0-9]+)(,[^{}]*"d": ?\{)')
_SYMBOL = re.compile(rb'([{,] ?"s": ?")([^"]+)"')
_FIRST, _LAST, _INSIDE = range(3)  # where in the data the symbol is


class _Beginning(msgspec.Struct, forbid_unknown_fields=True):
    """The members that a push may have if it is to be learned; another could matter, or differ between frames."""

    T: str
    P: int
    d: dict[str, Any]
    dp: str | None = None
    t: str | None = None


_decode_beginning = msgspec.json.Decoder(_Beginning).decode


class _Layout:
    """What the frames of one channel, depth and type have in common, whatever their symbol.

    Attributes:
        head: the bytes before the digits of `P`.
        digits: how many digits there are.
        middle: the bytes from there to the data's `{`.
        marker: the bytes of the member `s` before the symbol.
        data: where the data begins.
        beginning: takes head, digits and middle from a frame.
        patterns: the patterns by the bytes of their symbols.
    """

    def __init__(self, head: bytes, digits: int, middle: bytes, marker: bytes) -> None:
        self.head, self.digits, self.middle, self.marker = head, digits, middle, marker
        self.data = len(head) + digits + len(middle) - 1
        self.beginning = itemgetter(slice(0, self.data + 1))
        self.patterns: dict[bytes, _Pattern] = {}

    def find(self, frame: bytes) -> _Pattern | None:
        """Return the pattern of a frame that has the beginning of this layout, None if there is none."""
        place = frame.rfind(self.marker, self.data)
        if place < 0:
            return None
        start = place + len(self.marker)
        return self.patterns.get(frame[start : frame.find(b'"', start)])


class _Pattern(EnvelopePrefix, gc=False, eq=False, frozen=True):
    """The envelope prefix of one topic and one layout.

    Attributes:
        type: see `UtaMessage.type`.
        layout: the number of the layout. An object would make a cycle, which nothing would collect.
        place: where in the data the symbol is.
        head, digits: those of the layout.
        middle: that of the layout, and the first member if that is the symbol.
        beginning: takes head, digits and middle from a frame.
        member: the symbol's member; to the end of the frame if it is the last one.
    """

    type: str
    layout: int
    place: int
    head: bytes
    digits: int
    middle: bytes
    beginning: Callable[[bytes], bytes]
    member: bytes

    def fits_all(self, frames: list[bytes], text: bytes) -> bool:
        """Return whether all frames are of this pattern; `text` is all of them joined.

        The bytes are counted in all frames at once. A frame can have too few of them only where another has too many,
        which a JSON object with one member of each name can't have.
        """
        count = len(frames)
        if not _have_beginning(map(self.beginning, frames), self.head, self.middle, count * self.digits):
            return False
        if text.count(b"{") != 2 * count:
            return False
        if self.place == _LAST:
            return text.count(self.member) == count
        if text.count(_SYMBOL_KEY) != count:
            return False
        return self.place == _FIRST or (text.count(self.member) == count and _all_end(text, count))


def _have_beginning(beginnings: Iterable[bytes], head: bytes, middle: bytes, digits: int) -> bool:
    """Return whether beginnings of frames are heads and middles, with so many digits in all."""
    left = b"".join(beginnings).replace(head, b"").replace(middle, b"")
    return len(left) == digits and left.isdigit()


def _all_end(text: bytes, count: int) -> bool:
    """Return whether so many joined frames, which have two `{` each, end with `}}`."""
    return text.count(b"}") == 2 * count and text.count(b"}}") == count


class UtaReader:
    """Makes pushes of the frames of one connection; see `FrameReader` for the methods."""

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []
        self._by_start: dict[bytes, tuple[_Layout, ...]] = {}  # by the bytes up to the name `P`, and with it
        self._count = 0  # patterns
        self._last: _Pattern | None = None  # of the last frame
        self._forgotten = 0  # topics that were unsubscribed since learning began
        self._skipped = 0  # frames since the last attempt to learn
        self._to_skip = 0  # frames to skip before the next attempt

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:
        last = self._last
        if last is None:
            return None
        text = frames[0] if len(frames) == 1 else b"".join(frames)
        if not text.isascii():
            return None
        patterns = None
        if not last.fits_all(frames, text):
            patterns = self._find_all(frames, text, last.layout)
            if patterns is None:
                return None
            self._last = last = patterns[-1]
        if len(frames) == 1:
            return (RawPush(text, arrival, last),)
        prefixes: Any = patterns
        return FrameBatch(frames, arrival, prefixes, None if patterns else last, text)

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        pattern = self._find(frame)
        if pattern is not None:
            self._last = pattern
            return RawPush(frame, arrival, pattern)
        envelope = decode_envelope(frame)
        key = key_of(envelope)
        message = message_of(key, envelope)
        message.raw, message.origin = frame, Origin(arrival)
        if is_told_by_symbol(key):
            self._learn(frame, key)
        return message

    def forget(self, topics: int) -> None:
        """Forget all patterns once most of them may belong to unsubscribed topics."""
        self._forgotten += topics
        if self._forgotten > max(_MIN_FORGOTTEN, self._count // 2):
            self._clear()

    def _clear(self) -> None:
        self._last = None
        self._layouts, self._by_start, self._count, self._forgotten = [], {}, 0, 0

    def _find_all(self, frames: list[bytes], text: bytes, likely: int) -> list[_Pattern] | None:
        """Return the pattern of each frame, or None if any of them has none; `likely` is the layout to try first."""
        count = len(frames)
        if text.count(b"{") != 2 * count or not _all_end(text, count):
            return None
        find: Callable[[bytes], _Pattern | None] = self._find
        layouts = self._layouts  # another thread may replace it
        if likely < len(layouts):
            layout = layouts[likely]
            if _have_beginning(map(layout.beginning, frames), layout.head, layout.middle, count * layout.digits):
                find = layout.find
        found = list(map(find, frames))
        return None if None in found else found  # type: ignore[return-value]

    def _find(self, frame: bytes) -> _Pattern | None:
        """Return the pattern of a frame, None if there is none."""
        layouts = self._by_start.get(frame[: frame.find(_TIME) + len(_TIME)])
        if layouts is None or frame.count(b"{") != 2 or not _all_end(frame, 1):
            return None
        for each in layouts:
            if _have_beginning((each.beginning(frame),), each.head, each.middle, each.digits) and (
                found := each.find(frame)
            ):
                return found
        return None

    def _learn(self, frame: bytes, key: PushKey) -> None:
        """Learn the pattern of a decoded frame.

        Each failed attempt doubles the number of frames that are skipped before the next one.
        """
        self._skipped += 1
        if self._skipped <= self._to_skip:
            return
        self._skipped = 0
        match = _match(frame, key)
        if match is None:
            self._to_skip = min(2 * self._to_skip + 1, _MAX_SKIPPED)
            return
        self._to_skip = 0
        if self._count >= _MAX_PATTERNS:
            self._clear()
        beginning, symbol = match
        head, digits, middle = beginning[1], len(beginning[2]), beginning[3]
        layout = self._layout(head, digits, middle, symbol[1])
        end = symbol.end() - layout.data
        place = _FIRST if symbol.start() == layout.data else _LAST if frame[symbol.end() :] == b"}}" else _INSIDE
        topic = topic_of(key)
        self._last = layout.patterns[symbol[2]] = _Pattern(
            start=head,
            inside=slice(layout.data, -1),
            channel=(topic, key.T),
            readings=readings_of(payload_class(topic, key.T)),
            decode=decode_push,
            type=key.t or "message",
            layout=self._layouts.index(layout),
            place=place,
            head=head,
            digits=digits,
            middle=middle + frame[layout.data + 1 : symbol.end()] if place == _FIRST else middle,
            beginning=itemgetter(slice(0, layout.data + end)) if place == _FIRST else layout.beginning,
            member=frame[symbol.start() :] if place == _LAST else symbol[0],
        )
        self._count += 1

    def _layout(self, head: bytes, digits: int, middle: bytes, marker: bytes) -> _Layout:
        """Return the layout with these attributes; make it if there is none."""
        start = head[: head.find(_TIME) + len(_TIME)]
        known = self._by_start.get(start, ())
        if len(known) >= _MAX_ALIKE:
            self._clear()
            known = ()
        for layout in known:
            if (layout.head, layout.digits, layout.middle, layout.marker) == (head, digits, middle, marker):
                return layout
        made = _Layout(head, digits, middle, marker)
        self._layouts.append(made)
        self._by_start[start] = (*known, made)
        return made


def _match(frame: bytes, key: PushKey) -> tuple[re.Match[bytes], re.Match[bytes]] | None:
    """Return where the beginning and the symbol of a frame are, None if its form is unusual."""
    if not frame.isascii() or b"\\" in frame or frame.count(b"{") != 2 or not _all_end(frame, 1):
        return None
    beginning = _BEGINNING.match(frame)
    if beginning is None or frame.count(_SYMBOL_KEY, beginning.end()) != 1:
        return None
    try:
        members = _decode_beginning(beginning[0] + b"}}")
    except UNREADABLE:
        return None
    symbol = _SYMBOL.search(frame, beginning.end() - 1)
    if symbol is None or (members.T, members.dp, members.t, symbol[2].decode()) != (key.T, key.dp, key.t, key.s):
        return None
    return beginning, symbol
