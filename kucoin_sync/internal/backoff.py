"""When to try again, and how often: jittered capped delays, and a sliding window over a count of events.

Pure: the current time is an argument, nothing here waits or reads a clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

__all__ = ["SlidingWindow", "delays"]


def delays(
    first: float = 0.5, cap: float = 60.0, factor: float = 2.0, rng: random.Random | None = None
) -> Iterator[float]:
    """Yield delays in seconds for ever: doubling from `first` up to `cap`, each jittered by up to a half downwards.

    The jitter spreads clients that were all cut by the same event; the lower bound of one half keeps a
    refused client from hammering. `rng` makes the sequence repeatable.
    """
    uniform = (rng or random).uniform
    ceiling = min(cap, first)
    while True:
        yield uniform(ceiling / 2, ceiling)
        ceiling = min(cap, ceiling * factor)


class SlidingWindow:
    """Count events in the last `period` seconds and tell when the next one is allowed.

    Not thread-safe; its owner's lock covers it.
    """

    __slots__ = ("_taken", "count", "period")

    def __init__(self, count: int, period: float) -> None:
        if count < 1 or period <= 0:
            raise ValueError(f"a pace needs a count of at least 1 and a positive period, not {count} per {period} s")
        self.count = count
        self.period = period
        self._taken: deque[float] = deque()

    def __repr__(self) -> str:
        return f"SlidingWindow({self.count} per {self.period:g} s, {len(self._taken)} taken)"

    def free_at(self, now: float, reserve: int = 0) -> float:
        """Return the instant from which one more event is allowed while `reserve` places stay free."""
        taken = self._taken
        horizon = now - self.period
        while taken and taken[0] <= horizon:
            taken.popleft()
        excess = len(taken) - max(1, self.count - reserve) + 1
        return now if excess <= 0 else taken[excess - 1] + self.period

    def take(self, now: float) -> None:
        """Record one event at `now`."""
        self._taken.append(now)
        if len(self._taken) > self.count:
            self._taken.popleft()  # no answer depends on it any more
