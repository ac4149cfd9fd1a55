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

__all__ = ["Cancelled", "Step", "Waker", "poll"]

_MAX_WAIT = 3600.0  # seconds; some systems refuse longer timeouts


class Cancelled(Exception):
    """The owner of the waker has closed; whatever was being waited for no longer matters."""


class Step(NamedTuple):
    """What a thread waits for, on the way to a connection or an answer.

    Attributes:
        missing: what has not happened, such as "the TCP connection to example.com:443 was not answered".
        remedy: what to check.
        since: when the wait began (monotonic seconds).
    """

    missing: str
    remedy: str
    since: float

    def __str__(self) -> str:
        seconds = max(0.1, round(time.monotonic() - self.since, 1))
        return f"{self.missing} within {seconds:g} s; {self.remedy}"


class Waker:
    """Wake one thread out of any wait on a `CancellableSocket`, from any thread.

    `wake` ends the current wait of the streaming phase; `cancel` ends every wait from now on.

    Attributes:
        step: what the thread waits for, None where that needs no word.
    """

    def __init__(self) -> None:
        self._poller: Any = None  # made now, so that no later wait needs anything of the system
        if hasattr(select, "poll"):
            self._poller = select.poll()
        with fork.fork_guard():
            self._receiver, self._sender = socket.socketpair()
            fork.close_in_child(self._receiver, self._sender)
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        if self._poller is not None:
            self._poller.register(self._receiver, select.POLLIN)
        self.cancelled = False
        self.called = False  # whether somebody woke us since the last `clear`
        self.step: Step | None = None

    def begin(self, missing: str, remedy: str) -> None:
        """Note what the thread waits for from now on; see `Step`."""
        self.step = Step(missing, remedy, time.monotonic())

    def fileno(self) -> int:
        """Return the descriptor that is readable after `wake`."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        try:
            self._sender.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # full: a wake-up is pending anyway; closed: nobody waits any more
        self.called = True  # last, so that no `clear` under way takes this note and leaves the byte

    def cancel(self) -> None:
        """End every wait from now on with `Cancelled`."""
        self.cancelled = True
        self.wake()

    def clear(self) -> None:
        """Take note of the wake-ups so far; raise Cancelled after `cancel`."""
        self.called = False
        try:
            while self._receiver.recv(1024):
                pass
        except (BlockingIOError, OSError):
            pass  # drained
        if self.cancelled:
            self.wake()  # what was drained has to end the next wait too
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`, less after `wake`; raise Cancelled after `cancel`."""
        self.wait(seconds)
        self.clear()

    def wait(self, seconds: float) -> bool:
        """Wait for up to `seconds`; return whether somebody has woken us, of which no note is taken."""
        return poll(self.fileno(), -1, False, min(max(0.0, seconds), _MAX_WAIT), self._poller)[1]

    def close(self) -> None:
        """Give the descriptors back."""
        self._receiver.close()
        self._sender.close()


def poll(waker: int, fd: int, write: bool, seconds: float, poller: Any = None) -> tuple[bool, bool]:
    """Wait for `fd` (none if negative) or the waker; return which of the two is ready.

    `poller` is one that is registered for the waker alone, where there is one.
    """
    if poller is not None:
        ready = {number for number, _ in poller.poll(seconds * 1000)}
    elif hasattr(select, "poll"):
        poller = select.poll()
        poller.register(waker, select.POLLIN)
        if fd >= 0:
            poller.register(fd, select.POLLOUT if write else select.POLLIN)
        ready = {number for number, _ in poller.poll(seconds * 1000)}
    else:
        others = [fd] if fd >= 0 else []
        readable, writable, failed = select.select(
            [waker] + ([] if write else others), others if write else [], others if write else [], seconds
        )
        ready = {*readable, *writable, *failed}
    return fd in ready, waker in ready
