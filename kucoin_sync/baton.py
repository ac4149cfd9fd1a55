"""Who waits for a message reads the socket: the right to read, passed by an I/O thread to a consumer and taken back.

Where a feed brings one message after the other and one consumer waits for each, two threads cost two wake-ups a
message. With the baton the consumer waits at the socket itself, and its I/O thread only for what else may come: a
deadline, somebody who wakes it, the baton given back, or time in which nobody has read.

The consumer only ever takes what is simple: one message that is all that came, and is for nobody else. Whatever else
it meets stays where it is, for the I/O thread. Reading never waits; the waiting before it is nobody's right. So a
consumer that is interrupted or does not come back holds up nothing.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial

from .frames import FrameBuffer

__all__ = ["LEASE", "Baton"]

LEASE = 0.01
"""Seconds of silence after which a consumer gives the baton back, or an I/O thread takes it back."""

_UNTOUCHED = 0x70  # no frame begins so: its reserved bits mean nothing that was agreed upon
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Baton:
    """The right to read from a socket, while nothing that was read is left and nothing waits to be sent.

    Args:
        sock: what to read from.
        frames: what to read into, empty.
        take: delivers a message on the consumer's thread; False where that is not its to do.
        recall: wakes the I/O thread.

    Attributes:
        turns: how often the consumer has read.
        over: whether the I/O thread has the right again, or will have it as soon as it looks.
        failure: the error that the consumer met.
        at_end: whether the consumer met the end.
        spoiled: whether the consumer was interrupted where nobody can tell how much it has read.
    """

    def __init__(
        self, sock: socket.socket, frames: FrameBuffer, take: Callable[[bytes], bool], recall: Callable[[], None]
    ) -> None:
        self.turns = 0
        self.over = False
        self.failure: OSError | None = None
        self.at_end = False
        self.spoiled = False
        self._fd = sock.fileno()
        self._frames = frames
        self._buffer = frames.buffer
        read_now = partial(sock.recv_into, frames.buffer)
        self._read_now = read_now if isinstance(sock, ssl.SSLSocket) else partial(read_now, 0, socket.MSG_DONTWAIT)
        self._take = take
        self._recall = recall
        self._lock = threading.Lock()  # held for the moment of a read; guards the buffer and `over`
        self._reader: int | None = None  # the thread that holds it
        self._reading = False  # from before the read until its outcome is noted

    def read(self, timeout: float | None) -> bool:
        """Wait for what comes next and take it; on the consumer's thread.

        Returns False where nothing came within `timeout` seconds; else there may be a message, or the baton is over.
        """
        me = threading.get_ident()
        if self._reader == me:  # we are called by a signal's handler, from within
            self.spoiled = True
            self.give_back()
            return True
        wait = select.poll()
        wait.register(self._fd, select.POLLIN)
        seconds = LEASE if timeout is None else max(0.0, min(timeout, LEASE))
        if wait.poll(seconds * 1000):
            with self._lock:
                self._reader = me
                try:
                    if not self.over and self._read():
                        self.turns += 1
                        return True
                finally:
                    self._reader = None
        elif timeout is not None and timeout < LEASE:
            return False
        self.give_back()
        return True

    def give_back(self) -> None:
        """Let the I/O thread read again."""
        if not self.over:
            self.over = True
            self._recall()

    def take_back(self) -> None:
        """Have the right to read again; on the I/O thread."""
        while not self._lock.acquire(timeout=LEASE):
            if self.spoiled:
                return
        self.over = True
        self.spoiled |= self._reading and self._buffer[0] != _UNTOUCHED
        self._lock.release()

    def _read(self) -> bool:
        """Take what is there; False where it is the I/O thread's to see to."""
        self._buffer[0] = _UNTOUCHED
        self._reading = True
        seen = self._read_one()
        self._reading = False
        return seen

    def _read_one(self) -> bool:
        frames = self._frames
        try:
            count = self._read_now()
        except _NOTHING_YET:
            return True
        except OSError as error:
            self.failure = error
            return False
        if not count:
            self.at_end = True
            return False
        frame = frames.take_lone(count)
        if frame is None:
            return False
        if not self._take(frame):
            frames.added(count)
            return False
        return True
