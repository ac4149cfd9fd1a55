"""Report payloads whose fields have an unexpected form: count each, emit one event per topic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from ..events import PayloadMismatch
from ..internal.signals import defer, is_reentrant
from ..payloads import mismatch_listeners
from ..protocol.message import Message, mismatches_of

__all__ = ["MismatchReporter"]

_MAX_TOPICS = 1_000
"""Topics remembered as reported; after that many, all are forgotten and may be reported again."""
_SHOWN_MISMATCHES = 3


class MismatchReporter:
    """Reports the payload mismatches of one stream.

    Args:
        emit: takes the events.
        topics: returns the single topics that are subscribed.

    Attributes:
        count: how many payloads had a mismatch.
    """

    def __init__(self, emit: Callable[[PayloadMismatch], object], topics: Callable[[], Iterable[str]]) -> None:
        self.count = 0
        self._emit = emit
        self._topics = topics
        self._lock = threading.Lock()  # guards `count` and `_reported`
        self._reported: set[str] = set()
        mismatch_listeners.add(self)

    def after_fork(self) -> None:
        """Start counting at 0 in a forked child."""
        self._lock = threading.Lock()
        self.count = 0

    def report(self, message: Message) -> None:
        """Report a decoded payload with mismatches (on the consumer's thread)."""
        if is_reentrant():
            defer(partial(self.report, message))
        elif self._is_first(topic := str(message.topic)):
            shown = mismatches_of(message)
            more = f"; and {len(shown) - _SHOWN_MISMATCHES} more" if len(shown) > _SHOWN_MISMATCHES else ""
            self._emit(PayloadMismatch(topic, "; ".join(shown[:_SHOWN_MISMATCHES]) + more))

    def on_unreadable_number(self, topic: str, reason: str) -> None:
        """Report a number that turned out to be unreadable when a property was read (on any thread).

        `topic` has no symbol. Every stream gets this call; only those with a subscription to such a topic report it.
        """
        if is_reentrant():
            defer(partial(self.on_unreadable_number, topic, reason))
        elif any(single.startswith(f"{topic}:") for single in self._topics()) and self._is_first(topic):
            self._emit(PayloadMismatch(topic, reason))

    def _is_first(self, topic: str) -> bool:
        """Count a mismatch; return whether the topic was not reported before."""
        with self._lock:
            self.count += 1
            if topic in self._reported:
                return False
            if len(self._reported) >= _MAX_TOPICS:
                self._reported.clear()
            self._reported.add(topic)
            return True
