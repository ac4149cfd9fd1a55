"""The queue with a limited wait: the order of its items, who wakes whom, and that a wait ends in time."""

from __future__ import annotations

import time
from queue import Empty

import pytest

from kucoin_sync.internal.timed_queue import TimedQueue

from ...support.threads import LIMIT, Task


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    queue: TimedQueue[int] = TimedQueue()
    for number in range(5):
        queue.put(number)
    assert [queue.get(), *(queue.get(LIMIT) for _ in range(4))] == [0, 1, 2, 3, 4]
    with pytest.raises(Empty):
        queue.get(0)


@pytest.mark.parametrize("timeout", [None, LIMIT, 1e12, float("inf")])
def test_an_item_wakes_the_thread_that_waits(timeout: float | None) -> None:
    queue: TimedQueue[str] = TimedQueue()
    task = Task(queue.get, timeout)
    queue.put("item")
    assert task.result() == "item"


def test_a_cleared_queue_is_empty_and_waits_again() -> None:
    queue: TimedQueue[int] = TimedQueue()
    queue.put(1)
    queue.clear()
    with pytest.raises(Empty):
        queue.get(0.001)
    queue.put(2)
    assert queue.get() == 2


@pytest.mark.parametrize("timeout", [0.001, 0.0, -1.0])
def test_a_thread_that_is_paused_for_longer_than_its_timeout_does_not_wait_on(
    timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue: TimedQueue[int] = TimedQueue()
    queue.put(1)
    assert queue.get() == 1  # the next wait is woken at once, for an item that is gone
    times = iter([0.0, 0.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times, 100.0))
    with pytest.raises(Empty):
        queue.get(timeout)
