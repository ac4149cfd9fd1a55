"""A clock of silence that only a test moves: no subscription is silent before the test says so."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kucoin_sync import Stale
from kucoin_sync.connections import manager
from kucoin_sync.internal import check_thread

from .streams import Events
from .threads import until

__all__ = ["SECONDS", "SilenceClock", "told"]

#: A `stale_after`. The thread that tells of silence looks at the clock at least so often, by the machine's time.
SECONDS = 0.05


def told(events: Events) -> list[Stale]:
    """Return what was told of silence so far."""
    return [event for event in events.all if isinstance(event, Stale)]


class SilenceClock:
    """Stands for the module `time` in the modules that measure silence."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = time.monotonic()
        for module in (manager, check_thread):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self._now

    def time_ns(self) -> int:
        return time.time_ns()

    def run_until(self, happened: Callable[[], object], what: str) -> None:
        """Let time pass until a condition holds; fail with the sentence `what` if it never does."""

        def later() -> object:
            self._now += SECONDS / 5
            return happened()

        until(later, what)

    def next_told(self, events: Events) -> Stale:
        """Let time pass until one more silence is told; return it."""
        before = len(told(events))
        self.run_until(lambda: len(told(events)) > before, "the silence was not told")
        return told(events)[before]
