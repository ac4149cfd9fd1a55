"""Message queues; a test can wait until a consumer waits for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from kucoin_sync import Message, SlowConsumer
from kucoin_sync.delivery.overflow import queue_for
from kucoin_sync.delivery.queue import MessageQueue

from .messages import number
from .threads import LIMIT

__all__ = ["Waiters", "make_message_queue", "pop", "popped", "taken", "wait_for_a_consumer"]


class Waiters(deque[Any]):
    """Waiting gates; `came` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def append(self, gate: Any) -> None:
        super().append(gate)
        self.came.release()


def make_message_queue(
    overflow: str = "raise",
    maxsize: int = 10,
    on_overflow: Callable[[int], None] = lambda dropped: None,
) -> MessageQueue:
    """Return a message queue whose consumers are told of an overflow by a `SlowConsumer`."""
    message_queue = queue_for(overflow, maxsize, on_overflow, lambda dropped: SlowConsumer("too slow", dropped=dropped))
    message_queue.waiters = Waiters()
    return message_queue


def pop(message_queue: MessageQueue) -> Message:
    """Return the next message; raise IndexError where there is none."""
    while True:
        push = next(message_queue.source())
        message = message_queue.decoder.decode(push)
        if message is not None:
            return message


def popped(message_queue: MessageQueue) -> list[Message]:
    """Return all messages that are queued."""
    found = []
    while len(message_queue):
        found.append(pop(message_queue))
    return found


def wait_for_a_consumer(message_queue: MessageQueue, count: int = 1) -> None:
    """Wait until a consumer (or `count`, since the last call) waits for a message."""
    assert isinstance(message_queue.waiters, Waiters)
    for _ in range(count):
        assert message_queue.waiters.came.acquire(timeout=LIMIT), f"nobody waits for a message after {LIMIT:g} s"


def taken(message_queue: MessageQueue) -> list[tuple[int, int]]:
    """Return all that is queued: number and how many were lost before it."""
    found = []
    while len(message_queue):
        one = pop(message_queue)
        found.append((number(one), one.lost))
    return found
