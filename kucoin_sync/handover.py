"""Replace a connection by a fresh one without a gap and without a message twice.

While both carry the same topics, the old one's messages are delivered and remembered, the new one's are held
back. When the old one has said its last, what it had not brought is delivered, and the new one goes on; where that
lags behind, what the old one had brought is left out until, for each topic and subject, something else comes.
Two pushes are the same when topic, subject and data are the same bytes.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable

from .messages import Message

__all__ = ["Handover"]

_HELD = 100_000
_LATE = 100_000


class Handover:
    """Between two I/O threads; its lock keeps the order, and is held while the held messages are delivered."""

    def __init__(self, deliver: Callable[[list[Message]], None]) -> None:
        self._deliver = deliver
        self._lock = threading.Lock()  # guards everything below
        self._seen: defaultdict[tuple[str | None, str | None], Counter[bytes]] = defaultdict(Counter)
        self._held: list[Message] = []
        self._late = 0  # messages of the new one since the end of the old one
        self._done = False

    @property
    def over(self) -> bool:
        """Whether the new connection has caught up, so that its messages need not come through here any more."""
        return self._done and not self._seen

    def from_old(self, messages: list[Message]) -> None:
        """Deliver what the old connection brought."""
        with self._lock:
            if not self._done:
                for message in messages:
                    self._seen[message.topic, message.subject][bytes(message.wire_data)] += 1
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
            fresh = [message for message in messages if self._is_fresh(message)] if self._seen else messages
            if fresh:
                self._deliver(fresh)
            self._late += len(messages)
            if self._late >= _LATE:
                self._seen.clear()

    def finish(self) -> None:
        """The old connection has ended: deliver what only the new one brought."""
        with self._lock:
            if not self._done:
                self._finish()

    def _finish(self) -> None:
        fresh = [message for message in self._held if self._is_fresh(message)]
        self._done = True
        self._held = []
        if fresh:
            self._deliver(fresh)

    def _is_fresh(self, message: Message) -> bool:
        """Whether the old connection has not brought this; each that it brought is found once."""
        kind = message.topic, message.subject
        if (seen := self._seen.get(kind)) is None:
            return True
        data = bytes(message.wire_data)
        if seen[data] > 0:
            seen[data] -= 1
            return False
        if self._done:  # before, another order of the two connections may still be a reason
            del self._seen[kind]
        return True
