"""The state of a `subscribe` call that waits for the server to confirm its topics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..events import Progress
from ..exceptions import KucoinSyncError
from ..internal.latch import Latch
from ..protocol.session_events import TopicKey

__all__ = ["PendingSubscribe"]

_PROGRESS_FROM = 100
"""Calls with more topics than this emit `Progress` events."""


@dataclass(eq=False, slots=True)
class PendingSubscribe:
    """One `subscribe` call that waits for the server. The stream's lock guards everything but `gate`."""

    gate: Latch = field(default_factory=Latch)  # set when the call has nothing more to wait for
    error: KucoinSyncError | None = None  # why the call failed
    outstanding: set[tuple[Any, TopicKey]] = field(default_factory=set)  # keys to be confirmed, each with its group
    total: int = 0  # how many keys it waited for in all
    _reported: int = 0  # how many were confirmed when that was last emitted

    def expect(self, group: object, key: TopicKey) -> None:
        """Wait for this key, too."""
        self.outstanding.add((group, key))
        self.total += 1

    def done(self, group: object, keys: Iterable[TopicKey]) -> Progress | None:
        """Note confirmed keys; return how far the call is, if that is to be emitted."""
        self.outstanding.difference_update((group, key) for key in keys)
        self.done_if_nothing_outstanding()
        done = self.total - len(self.outstanding)
        if self.total <= _PROGRESS_FROM or done <= self._reported:
            return None
        self._reported = done
        return Progress(done, self.total)

    def done_if_nothing_outstanding(self) -> None:
        """End the wait if no key is outstanding."""
        if not self.outstanding:
            self.gate.set()

    def fail(self, error: KucoinSyncError) -> None:
        """End the wait with an error. The first error counts."""
        self.error = self.error or error
        self.gate.set()
