"""The bounded queue between a stream's threads and the thread that writes its recording.

Lines that do not fit are dropped and counted. Their number is noted before the next queued line, or at the end.
"""

from __future__ import annotations

import io
import threading
import time
from collections import deque

from ..internal.flag import Flag
from . import format
from .compression import LARGEST

__all__ = ["BLOCK_BYTES", "TextBlock", "TextQueue"]

BLOCK_BYTES = 2 * 1024 * 1024
_DISK_TOO_SLOW = "the disk was too slow"
_FRAME_TOO_LONG = "a message was too long for a recording"


class TextBlock:
    """Lines that wait for the disk. Its memory is reused, because fresh memory costs more than copying."""

    __slots__ = ("count", "noted", "size", "text")

    def __init__(self) -> None:
        self.text = io.BytesIO()
        self.size = 0
        self.count = 0  # frames in it
        self.noted = 0  # frames whose absence it notes

    def add(self, text: bytes, count: int) -> None:
        """Add lines."""
        self.text.write(text)
        self.size += len(text)
        self.count += count

    def clear(self) -> bool:
        """Empty the block; return whether it is small enough to be reused."""
        worth = self.size < 4 * BLOCK_BYTES
        self.text.seek(0)
        self.size = self.count = self.noted = 0
        return worth


class TextQueue:
    """The lines of one recording that wait to be written. `put`, `miss` and `close` are called on any thread.

    Args:
        max_bytes: how many bytes may wait.

    Attributes:
        available: set when there is something to write, or at the end.
        write_now: set when it must be written at once.
        closing: no more lines are taken.
        being_written: the blocks that the thread has taken and not written yet.
        size: how many bytes wait.
        missing: how many frames were dropped since the last line that was queued.
        dropped: how many frames were dropped in all.
        dropping: frames were dropped, and since then no two blocks were written without another drop.
    """

    def __init__(self, max_bytes: int) -> None:
        self.available = Flag()
        self.write_now = Flag()
        self.being_written: deque[TextBlock] = deque()
        self._max_bytes = max_bytes
        self._urgent_bytes = min(BLOCK_BYTES, max_bytes // 2)
        self._lock = threading.Lock()  # guards the following
        self.closing = self.dropping = False
        self._dropped_lately = False  # since the last block was written
        self.size = self.missing = self.dropped = 0
        self._reason = _DISK_TOO_SLOW  # why frames are missing
        self._lost = 0  # frames that are missing with the blocks that could not be written, since the last written one
        self._lost_because = ""
        self._blocks: list[TextBlock] = []  # the last one is being filled
        self._spare: deque[TextBlock] = deque(maxlen=2)  # empty blocks for reuse; used by any thread
        self._has_ended = False

    def put(self, text: bytes, count: int) -> str | None:
        """Queue lines; if there is no room, count their frames as dropped. A line without frames counts as one.

        Return why they are dropped, if `dropping` begins with them, else None.
        """
        with self._lock:
            if self.closing:
                return None
            too_long = len(text) > LARGEST - 2 * BLOCK_BYTES  # readers reject such a block
            if self._has_ended or too_long or self.size + len(text) > self._max_bytes:
                if too_long and self._reason is _DISK_TOO_SLOW:
                    self._reason = _FRAME_TOO_LONG
                self.missing += count or 1
                self.dropped += count or 1
                is_news = not self.dropping
                self.dropping = self._dropped_lately = True
                return self._reason if is_news else None
            text = self._dropped_line(time.time_ns()) + text
            first = not self._blocks
            if first or self._blocks[-1].size >= BLOCK_BYTES:
                block = self._spare.pop() if self._spare else TextBlock()
                block.add(text, count)
                self._blocks.append(block)
            else:
                self._blocks[-1].add(text, count)
            self._blocks[-1].noted += self.missing
            self.missing, self._reason = 0, _DISK_TOO_SLOW
            self.size += len(text)
            urgent = self.size >= self._urgent_bytes
        if first:
            self.available.set()
        if urgent:
            self.write_now.set()
        return None

    def miss(self, count: int, reason: str) -> bool:
        """Count frames that could not be queued because of an error.

        Return whether that is news: it is not while nothing was queued since the last error, or at the end.
        """
        with self._lock:
            if self.closing:
                return False
            self.missing += count
            self.dropped += count
            known = self._reason not in (_DISK_TOO_SLOW, _FRAME_TOO_LONG)
            self._reason = reason
            return not known

    def close(self) -> None:
        """Take no more lines, and have all that wait written at once."""
        with self._lock:
            self.closing = True
        self.write_now.set()
        self.available.set()

    def after_fork(self) -> None:
        """Take no more lines in a forked child; another thread of the parent may hold the lock."""
        self._lock = threading.Lock()
        self._blocks = []
        self.closing = True
        self.size = self.missing = self.dropped = 0

    # For the thread that writes

    def take(self) -> bool:
        """Move all blocks that wait to `being_written`; return whether they are the last."""
        with self._lock:
            self.being_written.extend(self._blocks)
            self._blocks = []
            if not self.closing:
                self.available.clear()
                self.write_now.clear()
            return self.closing

    def done(self, block: TextBlock, *, written: bool, reason: str = "") -> None:
        """Remove the first block that is being written. If it is not `written`, count its frames as dropped."""
        with self._lock:
            self.being_written.popleft()
            self.size -= block.size
            self.dropping, self._dropped_lately = self._dropped_lately, False
            if written:
                self._lost = 0
            else:
                count = block.count or 1
                self.dropped += count
                self._lost, self._lost_because = self._lost + count + block.noted, reason
        if block.clear():
            self._spare.append(block)

    def last_lines(self) -> bytes:
        """Return the lines at the end of a recording."""
        now = time.time_ns()
        return self.lost_line() + self._dropped_line(now) + format.line_as_text(format.End(now))

    def lost_line(self) -> bytes:
        """Return the line on what is missing with the blocks before the next one, if anything is."""
        if not self._lost:
            return b""
        return format.line_as_text(format.Dropped(time.time_ns(), self._lost, self._lost_because))

    def end(self) -> None:
        """Count what is left as dropped, and drop all that is put from now on: the thread has ended."""
        self._has_ended = True
        with self._lock:
            self.dropped += sum(block.count or 1 for block in (*self.being_written, *self._blocks))

    def _dropped_line(self, now: int) -> bytes:
        return format.line_as_text(format.Dropped(now, self.missing, self._reason)) if self.missing else b""
