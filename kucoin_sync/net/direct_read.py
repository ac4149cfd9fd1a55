"""Let a waiting consumer thread read the socket itself.

With two threads a message costs two wake-ups. Where one consumer thread gets all messages of a connection, the I/O
thread lends it the right to read: a `ReadLease`. The consumer then waits at the socket. The I/O thread waits for what
else may happen: a deadline, a wake-up, the lease given back, or time in which the consumer has not read.

Rules:
1. The consumer takes whole batches of frames, if all of them are known pushes that are for it alone. An incomplete
   frame behind them stays in the buffer until more is read. Everything else stays in the buffer, byte for byte, and
   the lease is given back: the I/O thread delivers it.
2. A read never waits, and a consumer that waits before it holds no lock. A consumer that is busy or interrupted delays
   its own messages only, and those for `LEASE` seconds at most.
3. A signal handler may raise behind every step. Then the frames are either in the consumer's queue, or in the buffer.
   Where nobody can tell whether bytes were read (over TLS only), the connection is given up.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from types import BuiltinMethodType
from typing import Any

from .framing import FrameBuffer
from .socket import NOT_NOW

__all__ = ["LEASE", "HandoffPolicy", "ReadLease"]

LEASE = 0.05
"""Seconds without a read after which the I/O thread takes the right to read back."""

_SILENCE = 0.01  # seconds without a message after which a consumer gives the lease back
_TAKE_BACK_TIMEOUT = 1.0  # seconds that a read may take, on a machine however busy
_CLOSE = 0.005  # seconds between messages that follow each other closely

_UNTOUCHED = 0x70  # no frame begins so: its reserved bits mean nothing that was agreed upon
_WORTHWHILE = 10  # reads that make a lease worthwhile
_RARELY = 255  # offers to leave out at most, where leases are not


class ReadLease:
    """The right to read from a socket, while nothing waits to be sent.

    Args:
        sock: what to read from.
        flags: make it read without waiting; 0 where it never waits.
        frames: what to read into.
        recognise: returns the pushes that frames are; None where the I/O thread has to see to them.
        put: delivers pushes on the consumer's thread; False, with nothing done, where they are not for it alone.
        recall: wakes the I/O thread.
        has: whether pushes are in the consumer's queue, after a `put` that an exception has ended.

    Attributes:
        reads: how often the consumer has read.
        last: the instant of the last read, or of the lending (monotonic seconds).
        over: whether the I/O thread has the right again, or will have it as soon as it looks.
        failure: the error that the consumer met, which the system reports only once.
        spoiled: whether the consumer was interrupted where nobody can tell how much it has read.
    """

    def __init__(
        self,
        sock: socket.socket,
        flags: int,
        frames: FrameBuffer,
        recognise: Callable[[list[bytes]], Any],
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
        self._taking = False  # whether `_take` is under way, or was ended by an exception
        self._view: memoryview | None = None  # where a read under way reads to, until it is known how much came

    # The consumer's thread

    def read(self, timeout: float | None) -> bool:
        """Wait for what comes next and take it.

        Returns False where nothing came within `timeout` seconds; else there may be a message, or the lease is over.
        """
        wait = select.poll()
        wait.register(self._fd, select.POLLIN)
        seconds = _SILENCE if timeout is None or timeout >= _SILENCE else max(0.0, timeout)
        if wait.poll(seconds * 1000):
            with self._lock:
                if not self.over and self._take():
                    self.reads += 1
                    self.last = time.monotonic()
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

    def _take(self) -> bool:
        """Read once and deliver what came; return False where the I/O thread has to see to it."""
        if self._taking:  # a signal handler has interrupted it, and reads now, or has raised
            return False
        self._taking = True
        frames = self._frames
        frames.make_room()
        room = frames.room_for_direct_read()
        if room is None:
            return False
        view, reads = room
        view[0] = _UNTOUCHED
        self._view = view
        try:
            reads.extend(map(self._receive_into, (view,), (len(view),), self._flags))  # one step, but for TLS
        except NOT_NOW:
            self._view = None
            self._taking = False
            return True
        except OSError as error:
            self.failure = error
            self._view = None
            return False
        self._view = None
        messages, count, more = frames.look()
        if not messages or (pushes := self._recognise(messages)) is None or self.over:
            return False
        before = frames.filled
        try:
            frames.filled = frames.without(count)
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
        """Have the right to read again, and in the frames all that was read.

        A read takes no time: where it does not end, a signal handler has interrupted it, and may wait for us.
        """
        if not self._lock.acquire(timeout=_TAKE_BACK_TIMEOUT):
            self.over = self.spoiled = True
            return
        self.over = True
        if self._view is not None and not self._frames.filled[2]:
            # An exception has ended a read. A function of C either has read and told how much, or has not read. Of any
            # other only the first byte tells, where a frame begins with it.
            untouched = self._view[0] == _UNTOUCHED and not self._frames.partial
            self.spoiled = not untouched and not isinstance(self._receive_into, BuiltinMethodType)
        self._view = None
        del self._frames, self._receive_into, self._recognise, self._put, self._has  # a consumer may keep this for long
        self._lock.release()


class HandoffPolicy:
    """Decides when to lend the right to read: the more rarely, the less came of it.

    Attributes:
        lent: the last lease, None where there was a reason against one.
    """

    def __init__(self) -> None:
        self.lent: ReadLease | None = None
        self._last = 0.0
        self._left = 0  # offers to leave out before the next
        self._pause = 0  # how many were left out after the last

    def offers(self, now: float, messages: int) -> bool:
        """Return whether to lend it to a consumer that has waited for so many messages, which came at `now`."""
        before, self._last = self._last, now
        if self._left:
            self._left -= 1
            return False
        if now - before >= _CLOSE * messages:
            return False
        worthwhile = self.lent is not None and self.lent.reads >= _WORTHWHILE
        self._left = self._pause = 0 if worthwhile else min(2 * self._pause + 1, _RARELY)
        return True
