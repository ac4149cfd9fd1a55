"""Cut received bytes into WebSocket frames: a buffer to read into, from which all complete frames are taken.

Plain messages are cut out here, because a feed consists of them: each is one unfragmented, unmasked frame of text, or
of bytes if the feed is binary. Any other frame is passed on whole, to the code that knows the rest of RFC 6455.
Nothing here reads or waits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["FrameBuffer"]

_SIZE, _LARGEST_SIZE = 256 * 1024, 2048 * 1024  # bytes to read into: at first, and on a connection that fills them
_LEAST_ROOM = 64 * 1024  # bytes for a direct read: more than a TLS record has
_DIRECT = 128 * 1024  # bytes of a direct read at most
_HEADER = struct.Struct("!HH")
_TEXT, _BINARY = 0x81, 0x82  # FIN, opcode 1 or 2
_MEDIUM_LENGTH = 126  # stands for a length of 16 bits that follows
_CONTROL = 0x08  # set in the opcodes of frames that are not part of a message


class FrameBuffer:
    """A buffer of received bytes that are not yet taken as frames.

    A signal handler may raise in the middle of a direct read. So the single attribute `filled` describes the contents,
    and it is replaced in one step.

    Args:
        limit: the bytes that one message may have, its fragments taken together.
        early: bytes that were read with the handshake.
        binary: whether the plain messages are in binary frames instead of text frames.

    Attributes:
        filled: the start of the first frame, the end of the bytes, and the byte counts of the reads after that end.
        fragments: bytes of the unfinished fragmented message; kept by the code that takes the other frames.
        taken: bytes of the frames that `take` has taken so far.
        excess: the size of a message beyond the limit, 0 without one; nothing is taken any more.
    """

    def __init__(self, limit: int, early: bytes = b"", *, binary: bool = False) -> None:
        self.fragments = 0
        self.taken = 0
        self.excess = 0
        self._limit = limit
        self._plain = _BINARY if binary else _TEXT
        self._short = self._plain << 8  # the first two bytes of an empty message
        self._longest = self._short + min(125, limit)  # those of the longest short message
        # Those of a message with a length of 16 bits. With a lower limit, `_frame_size` checks each length.
        self._medium = self._short + _MEDIUM_LENGTH if limit >= 0xFFFF else -1
        self._size = _SIZE
        self._buffer = bytearray(max(_SIZE, 2 * len(early)))
        self._view = memoryview(self._buffer)
        self._direct = self._view[:_DIRECT]
        self._buffer[: len(early)] = early
        self.filled: tuple[int, int, list[int]] = 0, len(early), []
        self._needed = 2  # bytes that must be in the buffer before `take` can find a frame

    @property
    def partial(self) -> bool:
        """Whether a message is incomplete."""
        return self._length > 0 or self.fragments > 0

    @property
    def ripe(self) -> bool:
        """Whether `take` may find a frame."""
        return self._length >= self._needed and not self.excess

    @property
    def _length(self) -> int:
        start, end, reads = self.filled
        return end + sum(reads) - start

    def room(self) -> memoryview:
        """Return the memory to read into."""
        start, end, reads = self.filled
        if reads:
            end += sum(reads)
        if not end:
            return self._view
        if end == len(self._buffer):
            self._resize(2 * end if not start else end)
            start, end, _ = self.filled
        return self._view[end:]

    def added(self, count: int) -> None:
        """Note that `count` bytes were read into `room()`."""
        start, end, reads = self.filled
        self.filled = start, end + sum(reads) + count, []

    def add_lone(self, count: int) -> bytes | None:
        """Note that `count` bytes were read into `room()`; take and return them if they are one complete message."""
        _, end, reads = self.filled
        if not end and not reads and (message := self._lone(0, count)) is not None:
            self.taken += count
            self._needed = 2
            return message
        self.added(count)
        return None

    def take(self, other: Callable[[bytes, list[bytes]], bool]) -> list[bytes]:
        """Return the complete messages, in order.

        `other` is called with each complete frame that is not a plain message and the messages so far; it may
        add one, and returns whether to go on.
        """
        start, end, reads = self.filled
        end += sum(reads)
        if (lone := self._lone(start, end)) is not None:
            self.taken += end - start
            self.filled, self._needed = (0, 0, []), 2
            return [lone]
        chunk = self._view[start:end].tobytes()
        messages: list[bytes] = []
        position = 0
        while True:
            if not self.fragments:
                position = self._cut(chunk, position, messages)
                if position == len(chunk) and end < len(self._buffer) == self._size:
                    self.taken += position
                    self.filled, self._needed = (0, 0, []), 2
                    return messages
            size = self._frame_size(chunk, position)
            if size < 0:
                self.excess = -size
            if size <= 0 or position + size > len(chunk):
                break
            frame = chunk[position : position + size]
            position += size
            if size < 4 and frame[0] == self._plain and not self.fragments:
                messages.append(frame[2:])  # too short for `_cut`
            elif not other(frame, messages):
                break
        self.taken += position
        self._keep(chunk, start + position, end)
        return messages

    def _cut(self, chunk: bytes, position: int, messages: list[bytes]) -> int:
        """Append the plain messages that start at `position`, up to any other frame; return where they end."""
        append, header_at = messages.append, _HEADER.unpack_from
        short, longest, medium = self._short, self._longest, self._medium
        end = len(chunk)
        last = end - 4  # up to here a frame's first four bytes are there
        while position <= last:
            header, length = header_at(chunk, position)
            if header == medium:
                stop = position + 4 + length
                if stop > end:
                    break
                append(chunk[position + 4 : stop])
            elif short <= header <= longest:
                stop = position + 2 + header - short
                if stop > end:
                    break
                append(chunk[position + 2 : stop])
            else:
                break
            position = stop
        return position

    def _lone(self, start: int, end: int) -> bytes | None:
        """Return the only message in the buffer, as on a quiet feed; None unless it is exactly one complete message."""
        size = end - start
        if size > 4 and not self.fragments:
            header, length = _HEADER.unpack_from(self._buffer, start)
            if header == self._medium and length + 4 == size:
                return self._view[start + 4 : end].tobytes()
            if header == self._short + size - 2 and header <= self._longest:
                return self._view[start + 2 : end].tobytes()
        return None

    def _keep(self, chunk: bytes, start: int, end: int) -> None:
        """Keep the bytes from `start` to `end`, which are the last ones of `chunk`."""
        rest = end - start
        if end == len(self._buffer) and rest < len(chunk):  # the buffer was full: a larger one needs fewer reads
            self._size = _LARGEST_SIZE
        self.filled = (start, end, []) if rest else (0, 0, [])
        size = self._frame_size(chunk, len(chunk) - rest)
        self._needed = size or rest + 1
        if size < self._size != len(self._buffer):
            self._resize(size)
        elif rest:
            self._move()

    def _frame_size(self, chunk: bytes, position: int) -> int:
        """Return the bytes of the frame at `position`, 0 while its header is incomplete.

        The size of a message beyond the limit is returned as a negative number.
        """
        if len(chunk) - position < 2:
            return 0
        marked = chunk[position + 1]
        length, header = marked & 0x7F, 2
        if length >= 126:
            header = 4 if length == 126 else 10
            if len(chunk) - position < header:
                return 0
            length = int.from_bytes(chunk[position + 2 : position + header], "big")
        whole = length if chunk[position] & _CONTROL else length + self.fragments
        if whole > self._limit:
            return -whole
        return header + (4 if marked & 0x80 else 0) + length

    def _move(self) -> None:
        """Move the bytes to the front, if the room before them is large enough."""
        start, end, reads = self.filled
        if start >= (length := end - start):
            self._view[:length] = self._view[start:end]
            self.filled = 0, length, reads

    def _resize(self, size: int) -> None:
        """Replace the buffer by one for `size` bytes, or by a smaller one.

        It at most doubles: the length in a frame's header alone must not claim memory.
        """
        start, end, reads = self.filled
        end += sum(reads)
        other = bytearray(max(self._size, end - start, min(size, 2 * len(self._buffer))))
        other[: end - start] = self._view[start:end]
        self._view.release()
        self._buffer, self._view = other, memoryview(other)
        self._direct = self._view[:_DIRECT]
        self.filled = 0, end - start, []

    # Direct reads call these on a consumer's thread, where a signal handler may raise after any step.

    def room_for_direct_read(self) -> tuple[memoryview, list[int]] | None:
        """Return the memory to read into, and the list to append the byte count to; None if the owner has to read.

        If there is little room, and enough before the bytes, they are moved to the front.
        """
        _, end, reads = self.filled
        if reads or self.fragments:
            return None
        if end and len(self._buffer) - end < _LEAST_ROOM:
            self._move()
            _, end, reads = self.filled
            if len(self._buffer) - end < _LEAST_ROOM:
                return None
        self._needed = 2  # after this read another frame may be the first one
        return self._view[end : end + _DIRECT] if end else self._direct, reads

    def look(self) -> tuple[list[bytes], tuple[int, int, list[int]], bool]:
        """Return the first plain messages, `filled` without them, and whether another frame is complete.

        The buffer stays as it is. The owner has to take a complete frame after these messages.
        """
        start, end, reads = self.filled
        end += sum(reads)
        if (lone := self._lone(start, end)) is not None:
            return [lone], (0, 0, []), False
        chunk = self._view[start:end].tobytes()
        messages: list[bytes] = []
        position = self._cut(chunk, 0, messages)
        size = self._frame_size(chunk, position)
        rest: tuple[int, int, list[int]] = (start + position, end, []) if start + position < end else (0, 0, [])
        return messages, rest, size != 0 and position + size <= len(chunk)
