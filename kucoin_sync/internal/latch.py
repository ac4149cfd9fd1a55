"""A one-shot event that survives Ctrl-C."""

from __future__ import annotations

import threading

from .signals import holds_no_lock

__all__ = ["Latch"]


class Latch:
    """An event that is set once. One thread at a time may wait for it.

    It is built on a plain lock. `threading.Event` and `threading.Condition` raise an error of their own if Ctrl-C
    interrupts them at certain instants.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Set the latch; setting it again does nothing."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is already set

    @holds_no_lock
    def wait(self, timeout: float | None) -> bool:
        """Wait until the latch is set, at most `timeout` seconds (None: no limit); return whether it is set."""
        is_set = self._lock.acquire(timeout=-1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX)))
        if is_set:
            self._lock.release()
        return is_set
