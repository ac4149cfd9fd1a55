"""A subscription in which messages wait, for tests of what reads one."""

from __future__ import annotations

from collections import deque

from kucoin_sync import Message

__all__ = ["Waiting"]


class Waiting:
    """A subscription in which messages wait."""

    def __init__(self, *messages: Message) -> None:
        self._messages = deque(messages)
        self.topics = tuple({message.topic for message in messages})

    @property
    def pending(self) -> int:
        return len(self._messages)

    def get(self, timeout: float) -> Message:
        if not self._messages:
            raise TimeoutError
        return self._messages.popleft()
