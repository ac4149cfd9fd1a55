"""Let a waiting consumer thread read the socket itself.

With two threads a message costs two wake-ups. Where one consumer thread gets all messages of a connection, the I/O
thread lends it the right to read: a `ReadLease`. The consumer then waits at the socket. The I/O thread waits for
anything else: a deadline, a wake-up, the end of the lease, or a time in which the consumer has not read.

Rules:
1. The consumer takes the complete frames of a read if all of them are known pushes for this consumer alone. An
   incomplete frame after them stays in the buffer. If any other frame has come, all of them stay in the buffer and the
   lease ends: the I/O thread delivers them.
2. A read never waits. While a consumer waits before a read, it holds no lock. A consumer that is busy or interrupted
   delays only its own messages, for `LEASE` seconds at most.
3. A signal handler may raise after any step. Then the frames are either in the consumer's queue or in the buffer.
   If it cannot be known whether bytes were read (over TLS only), the connection is closed.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import BuiltinMethodType
from typing import Any

from .framing import FrameBuffer
from .socket import NOT_NOW
from .waker import READABLE

__all__ = ["LEASE", "HandoffPolicy", "ReadLease"]

LEASE = 0.05
"""Seconds without a read after which the I/O thread takes the right to read back."""

_SILENCE = 0.01  # seconds without a message after which a consumer gives the lease back
_TAKE_BACK_TIMEOUT = 1.0  # seconds to wait for the end of a read on another thread
_CLOSE = 0.005  # seconds between messages that follow each other closely

_UNTOUCHED = 0x70  # no frame begins with this byte: it sets reserved bits
_WORTHWHILE = 10  # reads that make a lease worthwhile
_RARELY = 255  # most offers that are skipped while leases are not worthwhile


class ReadLease:
    """The right to read from a socket. It is lent only while nothing waits to be sent.

    Args:
        sock: the socket to read from.
        flags: make it read without waiting; 0 where it never waits.
        frames: the buffer to read into.
        recognise: returns the frames as pushes; None if the I/O thread has to take them. It also gets the instant of
            the read (monotonic seconds).
        put: delivers pushes on the consumer's thread; returns False, and delivers none, if another consumer gets any.
        recall: wakes the I/O thread.
        has: returns whether pushes are in the consumer's queue, if an exception has interrupted `put`.

    Attributes:
        reads: how often the consumer has read.
        last: the instant of the last read, or of the lending (monotonic seconds).
        over: whether the lease has ended, although the I/O thread may not know yet.
        failure: the error of the consumer's read; the system reports it only once.
        spoiled: whether an interrupted read may have taken bytes that are lost.
    """

    def __init__(
        self,
        sock: socket.socket,
        flags: int,
        frames: FrameBuffer,
        recognise: Callable[[list[bytes], float], Any],
        put: Callable[[Any], bool],
        recall: Callable[[], None],
        has: Callable[[Any], bool] = lambda pushes: True,
    ) -> None:
        self.reads = 0
        self.last = time.monotonic()
        self.over = False
        self.failure: OSError | None = None
        self.spoiled = False
        self._fd = sock.fileno()
        self._frames = frames
        self._receive_into, self._flags = sock.recv_into, (flags,)
        self._recognise = recognise
        self._put = put
        self._recall = recall
        self._has = has
        # Held for the moment of a read; guards `over` and the following. A signal handler may be a consumer, too.
        self._lock = threading.RLock()
        self._taking = False  # whether `_take` runs, or an exception has interrupted it
        self._view: memoryview | None = None  # the memory of the current read, until its byte count is known

    # The consumer's thread

    def read(self, timeout: float | None) -> bool:
        """Wait for bytes and deliver the messages in them.

        Return False if nothing came within `timeout` seconds. After True there may be a message, or the lease is over.
        """
        wait = select.poll()  # type: ignore[attr-defined, unused-ignore]  # nothing is lent on Windows, which lacks it
        wait.register(self._fd, READABLE)
        seconds = _SILENCE if timeout is None or timeout >= _SILENCE else max(0.0, timeout)
        if wait.poll(seconds * 1000):
            with self._lock:
                if not self.over and self._take(now := time.monotonic()):
                    self.reads += 1
                    self.last = now
                    return True
        elif seconds < _SILENCE:
            return False
        self.give_back()
        return True

    def give_back(self) -> None:
        """Let the I/O thread read again."""
        if not self.over:
            self.over = True
            self._recall()

    def _take(self, now: float) -> bool:
        """Read once and deliver the messages; return False if the I/O thread has to go on instead."""
        if self._taking:  # this is a signal handler that interrupted a read, or an earlier one has raised
            return False
        self._taking = True
        frames = self._frames
        room = frames.room_for_direct_read()
        if room is None:
            return False
        view, reads = room
        view[0] = _UNTOUCHED
        self._view = view
        try:
            # Without TLS no signal handler runs between the read and the note of its byte count.
            reads.extend(map(self._receive_into, (view,), (len(view),), self._flags))
        except NOT_NOW:
            self._view = None
            self._taking = False
            return True
        except OSError as error:
            self.failure = error
            self._view = None
            return False
        self._view = None
        messages, rest, more = frames.look()
        if not messages or (pushes := self._recognise(messages, now)) is None or self.over:
            return False
        before = frames.filled
        try:
            frames.filled = rest
            if self._put(pushes):
                self._taking = False
                return not more
            frames.filled = before
        except BaseException:
            if not self._has(pushes):
                frames.filled = before
            raise
        return False

    # The I/O thread

    def take_back(self) -> None:
        """End the lease; the buffer then holds all bytes that were read and not delivered.

        A read takes no time. If it does not end, a signal handler has interrupted it, and may wait for this thread.
        """
        if not self._lock.acquire(timeout=_TAKE_BACK_TIMEOUT):
            self.over = self.spoiled = True
            return
        self.over = True
        if self._view is not None and not self._frames.filled[2]:
            # An exception has interrupted a read. A function in C has either read and noted the count, or not read.
            # Any other function may have read. Only a changed first byte shows that, if a frame begins there.
            untouched = self._view[0] == _UNTOUCHED and not self._frames.partial
            self.spoiled = not untouched and not isinstance(self._receive_into, BuiltinMethodType)
        self._view = None
        # A consumer may keep this object for long.
        del self._frames, self._receive_into, self._recognise, self._put, self._has
        self._lock.release()


@dataclass(eq=False)
class HandoffPolicy:
    """Decides when to lend the right to read. Each lease that was not worthwhile makes the next offers rarer."""

    lent: ReadLease | None = None  # the last lease, None if the right could not be lent
    _last: float = 0.0  # when the last message came
    _left: int = 0  # offers to skip before the next
    _pause: int = 0  # offers that were skipped last time

    def offers(self, now: float, messages: int) -> bool:
        """Return whether to lend to a waiting consumer for which `messages` messages came at `now`."""
        before, self._last = self._last, now
        if self._left:
            self._left -= 1
            return False
        if now - before >= _CLOSE * messages:
            return False
        worthwhile = self.lent is not None and self.lent.reads >= _WORTHWHILE
        self._left = self._pause = 0 if worthwhile else min(2 * self._pause + 1, _RARELY)
        return True
