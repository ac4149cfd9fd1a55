"""Waits that another thread can end.

A thread that connects or reads waits through a `Waker`. Other threads end the wait with `wake`, or all waits with
`cancel`. While a thread connects, `Waker.step` says what it waits for. `stats()` shows it, and the error at the
deadline names it.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, NamedTuple

from ..internal import fork

__all__ = ["READABLE", "WRITABLE", "Cancelled", "Poller", "Step", "Waker"]

# The flags of `select.poll`, which Windows lacks.
READABLE: int = getattr(select, "POLLIN", 1)
WRITABLE: int = getattr(select, "POLLOUT", 4)

_MAX_WAIT = 3600.0  # seconds; some systems refuse longer timeouts


class Cancelled(Exception):
    """The wait was ended by `Waker.cancel`, because the owner of the waker is closed."""


class Poller:
    """Waits for a waker and a socket, whichever is ready first. No wait needs a further resource of the system.

    Args:
        waker: the descriptor of the waker.
        fd: that of the socket, negative for none.
    """

    def __init__(self, waker: int, fd: int = -1) -> None:
        self._waker = waker
        self._fd = fd
        self._flags = READABLE
        self._usual = [(fd, READABLE)]  # the most frequent result of a wait
        self._poll: Any = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(waker, READABLE)
            if fd >= 0:
                self._poll.register(fd, READABLE)

    def wait(self, seconds: float, flags: int = READABLE) -> tuple[int, bool]:
        """Wait for up to `seconds`; return what the socket is ready for, and whether the waker was called.

        `flags` say what to wait for. An error of the socket is returned as some other flag.
        """
        seconds = min(max(0.0, seconds), _MAX_WAIT)
        if self._poll is None:
            return self._select(seconds, flags)
        if flags != self._flags:
            self._flags = flags
            self._poll.modify(self._fd, flags)
        ready = self._poll.poll(seconds * 1000)
        if ready == self._usual:
            return READABLE, False
        events = dict(ready)
        return events.get(self._fd, 0), self._waker in events

    def _select(self, seconds: float, flags: int) -> tuple[int, bool]:
        sockets = [] if self._fd < 0 else [self._fd]
        writers = sockets if flags & WRITABLE else []
        readers = [self._waker, *(sockets if flags & READABLE else ())]
        readable, writable, failed = select.select(readers, writers, writers, seconds)
        ready = READABLE * (self._fd in (*readable, *failed)) | WRITABLE * (self._fd in writable)
        return ready, self._waker in readable


class Step(NamedTuple):
    """What a thread waits for while it connects or asks for an answer.

    Attributes:
        missing: the missing event, such as "the TCP connection to example.com:443 was not answered".
        remedy: what the user should check.
        since: when the wait began (monotonic seconds).
    """

    missing: str
    remedy: str
    since: float

    def __str__(self) -> str:
        seconds = max(0.1, round(time.monotonic() - self.since, 1))
        return f"{self.missing} within {seconds:g} s; {self.remedy}"

    def so_far(self) -> str:
        """Return the text for a reader in the meantime. In the first second nothing is wrong that should be checked."""
        return f"{self.missing} yet" if time.monotonic() - self.since < 1 else str(self)


class Waker:
    """Wakes one thread that waits, from any thread.

    `wake` ends the current wait, or the next one. `cancel` ends every wait from then on.

    Attributes:
        cancelled: whether `cancel` was called.
        called: whether `wake` was called since the last `clear`.
        step: what the thread waits for, None while it is not connecting or asking.
    """

    def __init__(self) -> None:
        with fork.fork_guard():
            self._receiver, self._sender = socket.socketpair()
            fork.close_in_child(self._receiver, self._sender)
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        try:
            self._poller = Poller(self.fileno())
        except BaseException:  # no memory
            self.close()
            raise
        self.cancelled = False
        self.called = False
        self.step: Step | None = None

    def begin(self, missing: str, remedy: str) -> None:
        """Set `step`: what the thread waits for from now on."""
        self.step = Step(missing, remedy, time.monotonic())

    def fileno(self) -> int:
        """Return the descriptor that is readable after `wake`."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """End the current wait, or the next one."""
        try:
            self._sender.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # the buffer is full of wake-ups, or the waker is closed
        self.called = True  # last: a `clear` on another thread must not reset it and leave the byte

    def cancel(self) -> None:
        """End every wait from now on with `Cancelled`."""
        self.cancelled = True
        self.wake()

    def clear(self) -> None:
        """Forget all wake-ups so far. Raise Cancelled after `cancel`."""
        self.called = False
        try:
            while self._receiver.recv(1024):
                pass
        except (BlockingIOError, OSError):
            pass  # drained
        if self.cancelled:
            self.wake()  # the next wait has to end, too
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, or until `wake` is called. Raise Cancelled after `cancel`."""
        self.wait(seconds)
        self.clear()

    def wait(self, seconds: float) -> bool:
        """Wait for up to `seconds`; return whether `wake` was called. `clear` has to be called after that."""
        return self._poller.wait(seconds)[1]

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()
