"""A gate at which one thread waits until another opens it."""

from __future__ import annotations

import threading

from .signals import holds_nothing

__all__ = ["Latch"]


class Latch:
    """Opens once, for one thread that waits for it.

    A plain lock: `threading.Event` and `threading.Condition`, interrupted by Ctrl-C at the wrong instant, raise an
    error of their own instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Open it; opening twice is allowed."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is open

    @holds_nothing
    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds, for ever with None; return whether it is open."""
        opened = self._lock.acquire(timeout=-1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX)))
        if opened:
            self._lock.release()
        return opened
