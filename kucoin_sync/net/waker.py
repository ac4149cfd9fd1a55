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

__all__ = ["READABLE", "WRITABLE", "Cancelled", "Step", "Waker", "poll"]

# The flags of `select.poll`, which Windows lacks.
READABLE: int = getattr(select, "POLLIN", 0)
WRITABLE: int = getattr(select, "POLLOUT", 0)

_MAX_WAIT = 3600.0  # seconds; some systems refuse longer timeouts


class Cancelled(Exception):
    """The wait was ended by `Waker.cancel`, because the owner of the waker is closed."""


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
        self._poller: Any = None  # made now, so that no later wait needs a resource of the system
        if hasattr(select, "poll"):
            self._poller = select.poll()
        with fork.fork_guard():
            self._receiver, self._sender = socket.socketpair()
            fork.close_in_child(self._receiver, self._sender)
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        if self._poller is not None:
            self._poller.register(self._receiver, READABLE)
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
        return poll(self.fileno(), -1, False, min(max(0.0, seconds), _MAX_WAIT), self._poller)[1]

    def close(self) -> None:
        """Close the descriptors."""
        self._receiver.close()
        self._sender.close()


def poll(waker: int, fd: int, write: bool, seconds: float, poller: Any = None) -> tuple[bool, bool]:
    """Wait until a descriptor or the waker is ready; return whether each of the two is.

    Args:
        waker: the descriptor of the waker.
        fd: the other descriptor, negative for none.
        write: whether to wait until `fd` can be written instead of read.
        seconds: how long to wait at most.
        poller: a `select.poll` object on which only the waker is registered, to be reused.
    """
    if poller is None and hasattr(select, "poll"):
        poller = select.poll()
        poller.register(waker, READABLE)
        if fd >= 0:
            poller.register(fd, WRITABLE if write else READABLE)
    if poller is not None:
        ready = {number for number, _ in poller.poll(seconds * 1000)}
    else:
        others = [fd] if fd >= 0 else []
        readers, writers = ([waker], others) if write else ([waker, *others], [])
        readable, writable, failed = select.select(readers, writers, writers, seconds)
        ready = {*readable, *writable, *failed}
    return fd in ready, waker in ready
