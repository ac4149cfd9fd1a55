"""Retry delays with jitter, and a rate limit over a sliding window.

Pure: the current time is an argument. Nothing here waits or reads a clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

__all__ = ["SlidingWindow", "retry_delays"]


def retry_delays(first: float = 0.5, cap: float = 60.0, rng: random.Random | None = None) -> Iterator[float]:
    """Yield delays in seconds without end: each ceiling is twice the one before, from `first` up to `cap`.

    The delay is random between half of its ceiling and the ceiling. The jitter spreads clients that lost their
    connections at the same moment. The lower bound keeps a refused client from retrying too fast. A seeded `rng` makes
    the sequence repeatable.
    """
    uniform = (rng or random).uniform
    ceiling = min(cap, first)
    while True:
        yield uniform(ceiling / 2, ceiling)
        ceiling = min(cap, 2 * ceiling)


class SlidingWindow:
    """Count events in the last `period` seconds and tell when the next one is allowed.

    Not thread-safe: the owner's lock guards it.
    """

    __slots__ = ("_recorded", "count", "period")

    def __init__(self, count: int, period: float) -> None:
        if count < 1 or period <= 0:
            raise ValueError(f"a pace needs a count of at least 1 and a positive period, not {count} per {period} s")
        self.count = count
        self.period = period
        self._recorded: deque[float] = deque()

    def __repr__(self) -> str:
        return f"SlidingWindow({self.count} per {self.period:g} s, {len(self._recorded)} recorded)"

    def free_at(self, now: float, reserve: int = 0) -> float:
        """Return the instant from which one more event is allowed if `reserve` events stay available."""
        recorded = self._recorded
        horizon = now - self.period
        while recorded and recorded[0] <= horizon:
            recorded.popleft()
        excess = len(recorded) - max(1, self.count - reserve) + 1
        return now if excess <= 0 else recorded[excess - 1] + self.period

    def obstacle(self, now: float, what: str, limit: str, reserve: int = 0) -> str:
        """Return, for an error, why and how long the next event has to wait; "" if it may come now. Needs no lock.

        Args:
            what: what is counted, such as "requests".
            limit: what sets the count, such as the name of a setting.
        """
        recorded = [at for at in tuple(self._recorded) if at > now - self.period]
        excess = len(recorded) - max(1, self.count - reserve) + 1
        if excess <= 0:
            return ""
        delay = recorded[excess - 1] + self.period - now
        reached = f"the limit of {self.count} {what} in {self.period:g} s is reached ({limit})"
        return f"{reached}, so that the next one waits for {delay:.1f} s"

    def record(self, now: float) -> None:
        """Record one event at `now`."""
        self._recorded.append(now)
        if len(self._recorded) > self.count:
            self._recorded.popleft()  # `free_at` never needs more than `count` events
