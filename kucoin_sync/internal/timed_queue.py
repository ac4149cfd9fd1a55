"""A queue whose consumer can wait for a limited time."""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import Empty
from typing import Generic, TypeVar

from .signals import holds_no_lock

__all__ = ["TimedQueue"]

T = TypeVar("T")


class TimedQueue(Generic[T]):
    """An unbounded queue for one consumer. `put` takes no lock, so a finaliser may call it at any step.

    `queue.SimpleQueue` is as reentrant, but in Python 3.10 to 3.12 its `get` may wait without end: if the thread is
    paused for longer than the timeout, what is left of it becomes negative, which stands for no timeout.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._gate = threading.Lock()  # the consumer acquires it to wait; each `put` releases it
        self._gate.acquire()

    def put(self, item: T) -> None:
        """Add an item, and wake the consumer."""
        self._items.append(item)
        try:
            self._gate.release()
        except RuntimeError:
            pass  # the consumer has not waited since the last `put`

    @holds_no_lock
    def get(self, timeout: float | None = None) -> T:
        """Remove and return the oldest item; wait for it up to `timeout` seconds (None: no limit).

        Raises:
            queue.Empty: there was none in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                left = -1 if deadline is None else min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
            if not self._gate.acquire(timeout=left):
                raise Empty

    def clear(self) -> None:
        self._items.clear()
