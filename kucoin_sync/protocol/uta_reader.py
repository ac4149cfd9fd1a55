"""Finds the topics of the UTA feed's pushes by patterns that are learned from decoded frames.

Frames of one topic differ before their symbol: in `P`, the time of the push, and in data that comes before the symbol.
A pattern has the bytes before the digits of `P`, the number of digits, the bytes from there to the `{` of the data, and
the member with the symbol. It is learned from frames with exactly two `{` that end with `}}`. Then the data has no
inner object and is the last member of the push, so that no other object can have the member with the symbol. A frame
that fits no pattern is decoded.

All frames of a read are checked together, because a call for each frame takes longer than the check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import msgspec

from .dialect import FrameReader
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

_MAX_ALIKE = 64  # families with the same start
_TIME = b'"P":'
_SYMBOL_KEY = b'"s":'
#: What comes before the digits of `P`, these digits, and what comes then, up to the data's `{`.
_BEGINNING = re.compile(rb'(\{[^{}]*"P": ?)([0-9]+)(,[^{}]*"d": ?\{)')
_SYMBOL = re.compile(rb'([{,] ?"s": ?")([^"]+)"')


class _Beginning(msgspec.Struct, forbid_unknown_fields=True):
    """The members that a push may have if it is to be learned; another could matter, or differ between frames."""

    T: str
    P: int
    d: dict[str, Any]
    dp: str | None = None
    t: str | None = None


_decode_beginning = msgspec.json.Decoder(_Beginning).decode


class _Layout(msgspec.Struct, gc=False, eq=False, frozen=True):
    """What the beginnings of some frames have in common: those of one channel, depth and type.

    Attributes:
        head: the bytes before the digits of `P`.
        middle: the bytes from the digits to the data's `{`, and the member with the symbol if that comes first.
        middle_of: takes the middle from a frame, after as many digits as there are.
        tail: how a frame ends: with `}}`, and the member with the symbol if that comes last.
    """

    head: bytes
    middle: bytes
    middle_of: Callable[[bytes], bytes]
    tail: bytes

    def fits_all(self, frames: list[bytes], text: bytes) -> bool:
        """Return whether frames begin and end in this way and have no inner objects; `text` is all of them joined.

        Of valid JSON, `}}{` stands between frames only. So the number of tails that a head follows shows whether each
        frame has its head and its tail. Each has two `{` then, at least. Between head and middle there is `P` only: a
        `dp`, `t` or `T` does not fit in beside a time of this century.
        """
        count = len(frames)
        return (
            b"".join(map(self.middle_of, frames)) == self.middle * count
            and text.startswith(self.head)
            and text.endswith(self.tail)
            and text.count(self.tail + self.head) == count - 1
            and len(text) - len(text.replace(b"{", b"")) == 2 * count
        )


class _Family:
    """The patterns that differ in their symbols only.

    Attributes:
        layout: what all their frames have in common.
        marker: the member `s` up to its value.
        symbols_of: returns the values of all such members.
        data: where the data begins.
        patterns: by the bytes of the symbol.
    """

    def __init__(self, head: bytes, digits: int, middle: bytes, marker: bytes) -> None:
        start = len(head) + digits
        self.data = start + len(middle) - 1
        self.layout = _Layout(head, middle, itemgetter(slice(start, self.data + 1)), b"}}")
        self.marker = marker
        self.symbols_of = re.compile(re.escape(marker) + rb'([^"]*)"').findall
        self.patterns: dict[bytes, _Pattern] = {}

    def find_all(self, frames: list[bytes], text: bytes) -> list[_Pattern] | None:
        """Return the pattern of each frame, None if any has none here; `text` is all of them joined."""
        if not self.layout.fits_all(frames, text):
            return None
        symbols = self.symbols_of(text)
        if len(symbols) != len(frames):  # no object has a member twice, so that otherwise each frame has one
            return None
        try:
            return list(map(self.patterns.__getitem__, symbols))
        except KeyError:
            return None


class _Pattern(EnvelopePrefix, gc=False, eq=False, frozen=True):
    """The envelope prefix of the frames of one topic that are alike.

    Attributes:
        type: see `UtaMessage.type`.
        family: the number of its family. An object would make a cycle, which nothing would collect.
        layout: how its frames begin and end.
        member: the member with the symbol if that is neither the first nor the last; else b"".
    """

    type: str
    family: int
    layout: _Layout
    member: bytes

    def fits_all(self, frames: list[bytes], text: bytes) -> bool:
        """Return whether all frames are of this pattern; `text` is all of them joined.

        No object has a member twice. So if there are as many as frames, each frame has one.
        """
        return self.layout.fits_all(frames, text) and (not self.member or text.count(self.member) == len(frames))


class UtaReader(FrameReader):
    """The reader of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._families: list[_Family] = []
        self._by_start: dict[bytes, tuple[_Family, ...]] = {}  # by `_start_of` their frames
        self._last: _Pattern | None = None  # of the last frame

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:
        last = self._last
        if last is None:
            return None
        text = frames[0] if len(frames) == 1 else b"".join(frames)
        if not text.isascii():
            return None
        patterns = None
        if not last.fits_all(frames, text):
            patterns = self._find_all(frames, text, last.family)
            if patterns is None:
                return None
            self._last = last = patterns[-1]
        if len(frames) == 1:
            return (RawPush(text, arrival, last),)
        prefixes: Any = patterns
        return FrameBatch(frames, arrival, prefixes, None if patterns else last, text)

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        patterns = self._find_alike(_start_of(frame), [frame])
        if patterns is not None:
            self._last = patterns[0]
            return RawPush(frame, arrival, patterns[0])
        envelope = decode_envelope(frame)
        key = key_of(envelope)
        message = message_of(key, envelope)
        message.raw, message.origin = frame, Origin(arrival)
        if is_told_by_symbol(key):
            self._learn(frame, key)
        return message

    def _begin_again(self) -> None:
        super()._begin_again()
        self._last = None
        self._families, self._by_start = [], {}

    def _find_all(self, frames: list[bytes], text: bytes, likely: int) -> list[_Pattern] | None:
        """Return the pattern of each frame, None if any of them has none; `likely` is the family to try first."""
        families = self._families  # another thread may replace it
        if likely < len(families) and (found := families[likely].find_all(frames, text)) is not None:
            return found
        groups: dict[bytes, list[int]] = {}  # places of frames by their starts
        for place, frame in enumerate(frames):
            groups.setdefault(_start_of(frame), []).append(place)
        patterns: list[Any] = [None] * len(frames)
        for start, places in groups.items():
            alike = [frames[place] for place in places]
            found = self._find_alike(start, alike) or self._find_each(start, alike)
            if found is None:
                return None
            for place, pattern in zip(places, found, strict=True):
                patterns[place] = pattern
        return patterns

    def _find_alike(self, start: bytes, frames: list[bytes]) -> list[_Pattern] | None:
        """Return the pattern of each frame with a start, None unless all are of one family."""
        text = b"".join(frames)
        for family in self._by_start.get(start, ()):
            if (found := family.find_all(frames, text)) is not None:
                return found
        return None

    def _find_each(self, start: bytes, frames: list[bytes]) -> list[_Pattern] | None:
        """Return the pattern of each frame with a start, None if any of them has none."""
        found = []
        for frame in frames:
            if (patterns := self._find_alike(start, [frame])) is None:
                return None
            found += patterns
        return found

    def _learn(self, frame: bytes, key: PushKey) -> None:
        """Learn the pattern of a decoded frame."""
        match = _match(frame, key) if self._may_learn() else None
        if match is None:
            return
        self._count_learned()
        beginning, symbol = match
        head, digits, middle = beginning[1], len(beginning[2]), beginning[3]
        family = self._family(head, digits, middle, symbol[1])
        layout, member = family.layout, symbol[0]
        if symbol.start() == family.data:
            middle, member = middle + member[1:], b""
            layout = _Layout(head, middle, itemgetter(slice(len(head) + digits, symbol.end())), b"}}")
        elif frame[symbol.end() :] == b"}}":
            layout, member = msgspec.structs.replace(layout, tail=member + b"}}"), b""
        topic = topic_of(key)
        self._last = family.patterns[symbol[2]] = _Pattern(
            start=head,
            inside=slice(family.data, -1),
            channel=(topic, key.T),
            readings=readings_of(payload_class(topic, key.T)),
            decode=decode_push,
            type=key.t or "message",
            family=self._families.index(family),
            layout=layout,
            member=member,
        )

    def _family(self, head: bytes, digits: int, middle: bytes, marker: bytes) -> _Family:
        """Return the family with these bytes; make it if there is none."""
        start = _start_of(head)
        for family in self._by_start.get(start, ()):
            if (family.layout.head, family.layout.middle, family.marker) == (head, middle, marker) and (
                family.data == len(head) + digits + len(middle) - 1
            ):
                return family
        if len(self._by_start.get(start, ())) >= _MAX_ALIKE:
            self._begin_again()
        made = _Family(head, digits, middle, marker)
        self._families.append(made)
        self._by_start[start] = (*self._by_start.get(start, ()), made)
        return made


def _start_of(frame: bytes) -> bytes:
    """Return the bytes of a frame before `P`, which tell apart channels and, mostly, depths and types."""
    return frame[: frame.find(_TIME)]


def _match(frame: bytes, key: PushKey) -> tuple[re.Match[bytes], re.Match[bytes]] | None:
    """Return where the beginning and the symbol of a frame are, None if its form is unusual."""
    if not frame.isascii() or b"\\" in frame or frame.count(b"{") != 2 or not frame.endswith(b"}}"):
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
