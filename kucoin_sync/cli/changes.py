"""Which of the numbers of a view have just changed, and in which direction."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal

__all__ = ["FRESH", "RecentChanges"]

FRESH = 1.0
"""Seconds for which a change is marked."""


class RecentChanges:
    """The last change of each number; `now` is an argument (monotonic seconds)."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Decimal] = {}
        self._moved: dict[Hashable, tuple[int, float]] = {}

    def note(self, key: Hashable, value: Decimal | None, now: float) -> None:
        """Take in a number; its first value is no change, and None is no value."""
        if value is None:
            return
        before = self._values.get(key, value)
        self._values[key] = value
        if value != before:
            self._moved[key] = (1 if value > before else -1, now)

    def forget(self, key: Hashable) -> None:
        """Forget a number that is there no longer."""
        self._values.pop(key, None)
        self._moved.pop(key, None)

    def direction(self, key: Hashable, now: float) -> int:
        """Return 1 for a number that has just risen, -1 for one that has just fallen, else 0."""
        direction, at = self._moved.get(key, (0, 0.0))
        return direction if now - at <= FRESH else 0
