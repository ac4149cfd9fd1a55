"""The queue of a subscription with `inline=True`, which calls the callback instead of queueing."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..internal.signals import holds_no_lock
from ..protocol.envelopes import Push, Pushes
from ..protocol.message import Message
from .queue import MessageQueue

__all__ = ["InlineQueue"]


class InlineQueue(MessageQueue):
    """Calls the callback at once, on the I/O thread; nothing is queued."""

    def __init__(self, callback: Callable[[Message], object], failed: Callable[[BaseException], None]) -> None:
        super().__init__(1, lambda dropped: None)
        self.callback = callback
        self._failed = failed

    def room(self) -> float:
        return math.inf

    @holds_no_lock
    def put(self, push: Push) -> bool:
        message = self.decoder.decode(push)
        if message is None:
            return False
        self.calling = True
        try:
            if not self.finished:
                self.callback(message)
        except BaseException as error:  # every error, also asyncio.CancelledError: the I/O thread goes on
            self._failed(error)
        self.calling = False
        if self.leaving:
            self.called()
        return False

    @holds_no_lock
    def put_many(self, pushes: Pushes) -> bool:
        self.calling = True
        for message in self.decoder.decode_all(pushes):
            if self.finished:
                break
            try:
                self.callback(message)
            except BaseException as error:
                self._failed(error)
        self.called()
        return False
