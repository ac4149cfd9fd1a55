"""Cut received bytes into WebSocket frames: a buffer to read into, and every complete frame out of it at once.

Plain text messages (one unfragmented, unmasked text frame each) are cut out here, because that is what a feed
consists of. Any other frame is passed on, whole, to who knows the rest of RFC 6455. Nothing here reads or
waits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from .length_cutter import CommonLengthCutter

__all__ = ["FrameBuffer"]

_ROOM, _MOST_ROOM = 256 * 1024, 2048 * 1024  # bytes to read into: at first, and on a connection that fills them
_HEADER = struct.Struct("!HH")
_LONE = 4096
_MANY = 8192  # bytes in which there are messages enough to look for common lengths
_FEW = 8  # messages of such lengths in a row; fewer are not worth to look again so soon
_TEXT = 0x81
_SHORT = 0x8100  # FIN, opcode 1, no mask, a length below 126
_MEDIUM = 0x817E  # the same with a length of 16 bits
_CONTROL = 0x08  # set in the opcodes of frames that are no part of a message


class FrameBuffer:
    """Bytes on their way to frames.

    Args:
        limit: the bytes that one message may have, its fragments taken together.
        early: what was read already.

    Attributes:
        buffer: all that there is to read into.
        fragments: bytes of the fragmented message under way; kept by who takes the other frames.
        taken: bytes of the frames taken so far.
        excess: the size of a message beyond the limit, 0 without one; nothing is taken any more.
    """

    def __init__(self, limit: int, early: bytes = b"") -> None:
        self.fragments = 0
        self.taken = 0
        self.excess = 0
        self._limit = limit
        self._longest = _SHORT + min(125, limit)  # the header of the longest short message
        self._room = _ROOM
        self.buffer = bytearray(max(_ROOM, 2 * len(early)))
        self._view = memoryview(self.buffer)
        self.buffer[: len(early)] = early
        self._end = len(early)  # bytes in use; a frame starts at 0
        self._lengths = CommonLengthCutter()
        self._needed = 2  # bytes that have to be there before `take` can find anything

    @property
    def partial(self) -> bool:
        """Whether part of a message is there and the rest is not."""
        return self._end > 0 or self.fragments > 0

    @property
    def ripe(self) -> bool:
        """Whether `take` may find something."""
        return self._end >= self._needed and not self.excess

    def room(self) -> memoryview:
        """Return where to read into."""
        if self._end == len(self.buffer):
            self._resize(2 * self._end)
        return self._view[self._end :]

    def added(self, count: int) -> None:
        """Note that `count` bytes were read into `room()`."""
        self._end += count

    def take_lone(self, added: int = 0) -> bytes | None:
        """Return the one message that is all there is, as on a quiet feed; None where there is more, or less.

        `added` bytes were read just before, into `room()`, or into `buffer` where nothing was in use.
        """
        end = self._end = self._end + added
        message = self.lone(end)
        if message is not None:
            self._end, self._needed = 0, 2
            self.taken += end
        return message

    def lone(self, end: int) -> bytes | None:
        """Return the one message that the first `end` bytes are, None where they are no such; nothing is taken."""
        if 4 < end < _LONE and not self.fragments:
            head, length = _HEADER.unpack_from(self.buffer)
            if head == _MEDIUM and length + 4 == end and length <= self._limit:
                return self._view[4:end].tobytes()
            if head == _SHORT + end - 2 and head <= self._longest:
                return self._view[2:end].tobytes()
        return None

    def take(self, other: Callable[[bytes, list[bytes]], bool]) -> list[bytes]:
        """Return the complete text messages, in order.

        `other` is called with each complete frame that is no plain text message and the messages so far; it may
        add one, and returns whether to go on.
        """
        messages: list[bytes] = []
        cut = 0
        if self._end > _MANY and self._lengths.known and not self.fragments:
            messages, cut = self._lengths.cut(self._view[: self._end])
        chunk = self._view[cut : self._end].tobytes()
        position = self._take_singly(chunk, messages, other)
        if self._end > _MANY:
            self._lengths.note(messages)
        self._keep(chunk, position, cut)
        return messages

    def _take_singly(self, chunk: bytes, messages: list[bytes], other: Callable[[bytes, list[bytes]], bool]) -> int:
        """Take frame after frame from the beginning of `chunk`; return where that ended."""
        append, header_at, longest = messages.append, _HEADER.unpack_from, self._longest
        medium = _MEDIUM if self._limit >= 0xFFFF else -1  # a lower limit has to be looked at, below
        end, position = len(chunk), 0
        last = end - 4 if not self.fragments else -1  # up to here a frame's first four bytes are there
        # No look for common lengths before this position.
        pause = end if not self._lengths.known else 0 if len(messages) > _FEW else _MANY
        while True:
            until = min(last, pause)
            while position <= until:
                head, length = header_at(chunk, position)
                if head == medium:
                    stop = position + 4 + length
                    if stop > end:
                        break
                    append(chunk[position + 4 : stop])
                    position = stop
                elif _SHORT <= head <= longest:
                    stop = position + 2 + head - _SHORT
                    if stop > end:
                        break
                    append(chunk[position + 2 : stop])
                    position = stop
                else:
                    break
            if until < position <= last:
                found, cut = self._lengths.cut(chunk, position)
                messages += found
                position += cut
                pause = position + (0 if len(found) > _FEW else _MANY)
                continue
            size = self._size(chunk, position) if end - position >= 2 else 0
            if not size or position + size > end:
                return position
            frame = chunk[position : position + size]
            position += size
            if size < 4 and frame[0] == _TEXT and not self.fragments:
                append(frame[2:])  # too short for the step above
            elif not other(frame, messages):
                return position
            last = end - 4 if not self.fragments else -1

    def _keep(self, chunk: bytes, position: int, cut: int) -> None:
        """Move the incomplete rest to the front, and make room for its frame; `cut` bytes went before the chunk."""
        rest = len(chunk) - position
        if cut + position:
            if self._end == len(self.buffer):  # more could have been read: nothing takes less time than much at once
                self._room = _MOST_ROOM
            self.taken += cut + position
            self.buffer[:rest] = chunk[position:]
            self._end = rest
        size = self._size(chunk, position) if rest >= 2 else 0
        self._needed = size or rest + 1
        if size > len(self.buffer) or (size < self._room and len(self.buffer) != self._room):
            self._resize(size)

    def _size(self, chunk: bytes, position: int) -> int:
        """Return the bytes of the frame at `position`, 0 while its header is incomplete or where it is too large."""
        marked = chunk[position + 1]
        length, head = marked & 0x7F, 2
        if length >= 126:
            head = 4 if length == 126 else 10
            if len(chunk) - position < head:
                return 0
            length = int.from_bytes(chunk[position + 2 : position + head], "big")
        whole = length if chunk[position] & _CONTROL else length + self.fragments
        if whole > self._limit:
            self.excess = whole
            return 0
        return head + (4 if marked & 0x80 else 0) + length

    def _resize(self, size: int) -> None:
        """Make room for `size` bytes, at most doubling: a length alone must not claim memory. Or shrink back."""
        room = max(self._room, self._end, min(size, 2 * len(self.buffer)))
        other = bytearray(room)
        other[: self._end] = self._view[: self._end]
        self._view.release()
        self.buffer, self._view = other, memoryview(other)
