"""The callback of a subscription, and the threads that wait until a running call of it has ended."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ..protocol.message import Message

__all__ = ["CallbackSlot", "Releasable", "uncalled"]


class Releasable(Protocol):
    """An object that is released once, when the thread that waits for it may go on. A `threading.Lock` is one."""

    def release(self) -> None: ...


class CallbackSlot:
    """Holds the callback of one subscription.

    Attributes:
        callback: called with each message if the consumer is a callback. Look it up for each message, because closing
            replaces it.
        calling: whether a call of the callback may be running.
        leaving: released after the call, for the threads that wait until `calling` is False.
    """

    def __init__(self) -> None:
        self.callback: Callable[[Message], object] = uncalled
        self.calling = False
        self.leaving: deque[Releasable] = deque()

    def called(self) -> None:
        """Note that the call of the callback has ended; release the threads that wait for it."""
        self.calling = False
        while self.leaving:
            with suppress(IndexError):  # another thread has just released it
                self.leaving.popleft().release()

    def wait_for_call(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until the running call of the callback has ended."""
        gate = threading.Lock()
        gate.acquire()
        self.leaving.append(gate)
        if self.calling:  # read after the append: `called` resets it before it looks for latches
            gate.acquire(timeout=timeout)
        with suppress(ValueError):  # it was released
            self.leaving.remove(gate)


def uncalled(_: Message) -> None:
    """Ignore a message; replaces a callback that must not be called any more."""
