"""Replace a connection by a fresh one without a gap and without a message twice.

While both carry the same topics, the old one's messages are delivered and remembered, the new one's are held
back. When the old one has said its last, what it had not brought is delivered, and the new one goes on.
Two pushes are the same when topic, subject and data are the same bytes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from .messages import Message

__all__ = ["Handover"]

_HELD = 100_000


def _identity(message: Message) -> tuple[str | None, str | None, bytes]:
    return message.topic, message.subject, bytes(message.wire_data)


class Handover:
    """Between two I/O threads; its lock keeps the order, and is held while the held messages are delivered."""

    def __init__(self, deliver: Callable[[list[Message]], None]) -> None:
        self._deliver = deliver
        self._lock = threading.Lock()  # guards everything below
        self._seen: Counter[tuple[str | None, str | None, bytes]] = Counter()
        self._held: list[Message] = []
        self._done = False

    def from_old(self, messages: list[Message]) -> None:
        """Deliver what the old connection brought."""
        with self._lock:
            if not self._done:
                self._seen.update(map(_identity, messages))
                self._deliver(messages)

    def from_new(self, messages: list[Message]) -> None:
        """Hold what the new connection brought; deliver it where the handover is done."""
        with self._lock:
            if not self._done:
                self._held.extend(messages)
                if len(self._held) <= _HELD:
                    return
                self._finish()
                return
            self._deliver(messages)

    def finish(self) -> None:
        """The old connection has ended: deliver what only the new one brought."""
        with self._lock:
            if not self._done:
                self._finish()

    def _finish(self) -> None:
        self._done = True
        fresh = []
        for message in self._held:
            identity = _identity(message)
            if self._seen[identity] > 0:
                self._seen[identity] -= 1
            else:
                fresh.append(message)
        self._seen.clear()
        self._held = []
        if fresh:
            self._deliver(fresh)
