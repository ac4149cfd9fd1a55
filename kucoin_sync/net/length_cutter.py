"""Messages of the lengths that most of late had, cut out of a chunk in one pass of the regular expression engine.

A feed repeats itself: a handful of lengths makes up nearly all of its messages. A pattern of these takes a frame for
little more than the price of its copy, which is half of what a loop costs. It takes nothing else: the first frame of
another length or kind, or one whose end is missing, ends the pass.

Pure; owned by one thread.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence

__all__ = ["CommonLengthCutter"]

_HEADER = 4  # bytes before a message that is cut here: the following two, its length
_START = b"\x81\x7e"  # the whole of a text; the length follows in 16 bits
_LENGTH = struct.Struct("!H")
_SHORTEST, _LONGEST = 126, 0xFFFF  # of those that have such a header
_MOST = 12  # lengths in a pattern, as each costs a little
_SHARE = 0.75  # of the messages; below, a pattern stops too often to be worth it
_GLANCE = 16  # one of so many messages is looked at
_FIRST, _LAST = 1024, 1 << 20  # messages until the lengths are looked at again; twice as many after each change


class CommonLengthCutter:
    """The lengths that messages mostly have, and what cuts those."""

    def __init__(self) -> None:
        self._lengths: frozenset[int] = frozenset()
        self._find: Callable[[bytes | memoryview, int], list[bytes]] = re.compile(b"(.)").findall
        self._seen: Counter[int] = Counter()
        self._passed = 0
        self._period = _FIRST

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._lengths)

    def cut(self, chunk: bytes | memoryview, position: int = 0) -> tuple[list[bytes], int]:
        """Return the messages that follow each other from `position` on, as far as all have a known length.

        And how many bytes their frames take.
        """
        found = self._find(chunk, position)
        if found and not found[-1]:
            found.pop()  # what stands for all that follows
        return found, len(b"".join(found)) + _HEADER * len(found)

    def note(self, messages: Sequence[bytes]) -> None:
        """Take note of how long messages are that came together."""
        self._seen.update(map(len, messages[self._passed % _GLANCE :: _GLANCE]))
        self._passed += len(messages)
        if self._passed >= self._period:
            self._look()

    def _look(self) -> None:
        total = self._seen.total()
        common = [(length, count) for length, count in self._seen.most_common(_MOST) if _SHORTEST <= length <= _LONGEST]
        self._seen.clear()
        self._passed = 0
        enough = sum(count for _, count in common) >= _SHARE * total
        lengths = [length for length, _ in common] if enough else []
        if self._lengths.issuperset(lengths) and self.known == bool(lengths):
            return
        self._lengths = frozenset(lengths)
        if lengths:
            self._find = re.compile(_pattern(lengths)).findall
        self._period = min(2 * self._period, _LAST)


def _pattern(lengths: Sequence[int]) -> bytes:
    """Return what matches a frame of one of the lengths, its message as the group; or, without the group, all the rest.

    `.{n}` takes n bytes at once, whatever they are.
    """
    texts = (b"(?<=%b).{%d}" % (re.escape(_LENGTH.pack(length)), length) for length in lengths)
    return b"(?s)%b..(%b)|.+" % (_START, b"|".join(texts))
