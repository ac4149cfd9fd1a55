"""The pace of connects: how many connections this process may make to a site within a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..internal import backoff, fork
from .waker import Waker

__all__ = ["connect_pace"]


class _ConnectPace:
    """Limits how often this process connects to each site. KuCoin counts connects by IP address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _windows
        self._windows: dict[str, backoff.SlidingWindow] = {}  # by dialect and REST base URL
        fork.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child. The parent's connects still count: they came from the same address."""
        self._lock = threading.Lock()

    def delay(self, site: str, per_minute: int, now: float) -> float:
        """Return the seconds to wait before connecting. 0 allows the connect and counts it."""
        with self._lock:
            window = self._windows.setdefault(site, backoff.SlidingWindow(per_minute, 60.0))
            window.count = per_minute
            delay = window.free_at(now) - now
            if delay <= 0:
                window.record(now)
            return max(0.0, delay)

    def wait(self, site: str, per_minute: int, waker: Waker, delayed: Callable[[float, str], object]) -> None:
        """Wait until another connect is allowed, and count it. Before a wait, call `delayed` with seconds and reason.

        Raises:
            Cancelled: the waker was cancelled.
        """
        told = False
        while (delay := self.delay(site, per_minute, time.monotonic())) > 0:
            if not told:
                told = True
                reason = f"{per_minute} connections were made within a minute (Limits.connections_per_minute)"
                delayed(delay, reason)
                waits = f"{reason}, so that the next one waits for {delay:.1f} s"
                waker.begin("no connection was dialled", waits)
            waker.pause(delay)


connect_pace = _ConnectPace()
"""The one object of this process."""
