"""Who waits for a message reads the socket: the right to read, passed by an I/O thread to a consumer and taken back.

Where a feed brings one message after the other and one consumer waits for each, two threads cost two wake-ups a
message. With the baton the consumer waits at the socket itself, and its I/O thread only for what else may come: a
deadline, somebody who wakes it, the baton given back, or time in which nobody has read.

The consumer only ever takes what is simple: one message that is all that came, and is for nobody else. Whatever else
it meets stays where it is, for the I/O thread. Reading never waits, and the waiting before it is nobody's right: a
consumer that is interrupted, or does not come back, holds up what is for itself alone, and that for `LEASE`.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from .frames import FrameBuffer
from .sealed import Sealed
from .wire import NOT_NOW

__all__ = ["LEASE", "Baton", "Chances"]

LEASE = 0.05
"""Seconds without a read after which an I/O thread takes the baton back."""

_SILENCE = 0.01  # seconds without a message after which a consumer gives it back
_PATIENCE = 1.0  # seconds that a read may take, on a machine however busy
_CLOSE = 0.005  # seconds between messages that follow each other closely

_UNTOUCHED = 0x70  # no frame begins so: its reserved bits mean nothing that was agreed upon
_WORTHWHILE = 10  # messages that a consumer should read in one go
_RARELY = 255  # chances to leave at most, where it does not


class Baton:
    """The right to read from a socket, while nothing that was read is left and nothing waits to be sent.

    Args:
        sock: what to read from.
        flags: what makes it read without waiting, 0 where it never waits.
        frames: what to read into, empty.
        seal: makes of a message what `put` takes; None where that is the I/O thread's to do.
        put: delivers it on the consumer's thread; False, with nothing done, where it is not for that consumer alone.
        recall: wakes the I/O thread.
        has: whether a message was delivered by a `put` that an exception has ended.

    Attributes:
        turns: how often the consumer has read.
        last: the instant of the last time, or of the passing (monotonic seconds).
        over: whether the I/O thread has the right again, or will have it as soon as it looks.
        failure: the error that the consumer met, which the system tells only once.
        spoiled: whether the consumer was interrupted where nobody can tell how much it has read.
    """

    def __init__(
        self,
        sock: socket.socket,
        flags: int,
        frames: FrameBuffer,
        seal: Callable[[bytes], Sealed | None],
        put: Callable[[Sealed], bool],
        recall: Callable[[], None],
        has: Callable[[Sealed], bool] = lambda push: True,
    ) -> None:
        self.turns = 0
        self.last = time.monotonic()
        self.over = False
        self.failure: OSError | None = None
        self.spoiled = False
        self._fd = sock.fileno()
        self._frames = frames
        self._read_now, self._how = partial(sock.recv_into, frames.buffer, len(frames.buffer)), (flags,)
        self._seal = seal
        self._put = put
        self._recall = recall
        self._has = has
        # Held for the moment of a read; guards `over` and the following. A signal's handler may be a consumer, too.
        self._lock = threading.RLock()
        self._reading = False  # from before a read until it is known how much came
        self._read: list[int] = []  # how much came of which nobody has seen to yet

    # The consumer's thread

    def read(self, timeout: float | None) -> bool:
        """Wait for what comes next and take it.

        Returns False where nothing came within `timeout` seconds; else there may be a message, or the baton is over.
        """
        wait = select.poll()
        wait.register(self._fd, select.POLLIN)
        seconds = _SILENCE if timeout is None or timeout >= _SILENCE else max(0.0, timeout)
        if wait.poll(seconds * 1000):
            with self._lock:
                if not self.over and self._take():
                    self.turns += 1
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
        """Take what is there; False where that is the I/O thread's to do.

        A signal's handler may raise behind every step. Then the message is in the consumer's queue, or the I/O thread
        delivers it.
        """
        if self._reading or self._read:  # it has come, or comes to who is called by a signal's handler in the middle
            return False
        self._frames.buffer[0] = _UNTOUCHED
        self._reading = True
        try:
            self._read.extend(map(self._read_now, self._how))  # one step, but for TLS
        except NOT_NOW:
            self._reading = False
            return True
        except OSError as error:
            self.failure = error
            return False
        self._reading = False
        count = self._read[0]
        message = self._frames.lone(count)
        if message is None or (push := self._seal(message)) is None or self.over:
            return False
        try:
            self._read.clear()
            if self._put(push):
                return True
        except BaseException:
            if not self._has(push):
                self._read[:] = [count]
            raise
        self._read.append(count)
        return False

    # The I/O thread

    def take_back(self) -> None:
        """Have the right to read again, and in the frames all that was read.

        A read takes no time: where it does not end, a signal's handler has interrupted it, and may wait for us.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            self.over = self.spoiled = True
            return
        self.over = True
        if self._read:
            self._frames.added(self._read[0])
        elif self._reading and self._frames.buffer[0] != _UNTOUCHED:
            self.spoiled = True
        del self._frames, self._read_now, self._seal, self._put, self._has  # who has used it may keep it for long
        self._lock.release()


class Chances:
    """Tells when to pass the baton: where one waits for message after message; the more rarely, the less came of it.

    Attributes:
        taken: the last baton that was passed, None where there was one to pass and a reason against it.
    """

    def __init__(self) -> None:
        self.taken: Baton | None = None
        self._last = 0.0
        self._left = 0  # chances to leave before the next
        self._pause = 0  # how many were to be left after the last

    def take(self, now: float) -> bool:
        """Whether to pass the baton to somebody who has waited for the message that came at `now`."""
        before, self._last = self._last, now
        if self._left:
            self._left -= 1
            return False
        if now - before >= _CLOSE:
            return False
        worthwhile = self.taken is not None and self.taken.turns >= _WORTHWHILE
        self._left = self._pause = 0 if worthwhile else min(2 * self._pause + 1, _RARELY)
        return True
