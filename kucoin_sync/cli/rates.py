"""Messages per second over the last few seconds."""

from __future__ import annotations

from collections import deque

__all__ = ["Rate"]

_WINDOW = 5.0
_STEP = 0.25


class Rate:
    """Counts over a sliding window; `now` is an argument (monotonic seconds)."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._parts: deque[list[float]] = deque()  # [begin, count] of a limited number of short intervals

    def add(self, count: int, now: float) -> None:
        """Add messages to the count."""
        if not self._parts or now - self._parts[-1][0] >= _STEP:
            self._parts.append([now, 0])
            self._forget(now)
        self._parts[-1][1] += count

    def per_second(self, now: float) -> float:
        """Return the messages per second."""
        self._forget(now)
        span = min(_WINDOW, max(1.0, now - self._began))
        return sum(count for _, count in self._parts) / span

    def _forget(self, now: float) -> None:
        while self._parts and now - self._parts[0][0] > _WINDOW:
            self._parts.popleft()
