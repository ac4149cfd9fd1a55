"""An event that can be cleared and survives Ctrl-C."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

__all__ = ["Flag"]


class Flag:
    """Has the methods of `threading.Event`; any number of threads may wait for it.

    A call that a signal handler ends by an exception leaves nothing locked: the next call of any thread works as usual.
    `threading.Event` and `threading.Condition` can stay locked for ever. No method but `wait` waits, so that a
    finaliser may call them at any step.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._gates: deque[threading.Lock] = deque()  # each waiting thread has one; `set` releases them

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._is_set

    def set(self) -> None:
        """Set the flag, and wake all threads that wait for it."""
        self._is_set = True
        for gate in self._gates.copy():
            with suppress(RuntimeError):  # another thread has released it
                gate.release()

    def clear(self) -> None:
        """Clear the flag."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, at most `timeout` seconds (None: no limit); return whether it was set."""
        (gate := threading.Lock()).acquire()
        try:
            self._gates.append(gate)  # before the flag is read: `set` looks for gates after it has set the flag
            if self._is_set:
                return True
            return gate.acquire(timeout=-1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX)))
        finally:
            with suppress(ValueError):  # an exception came before it was added
                self._gates.remove(gate)
