"""Threads that wait until a running call of a callback has ended."""

from __future__ import annotations

import threading

import pytest

from kucoin_sync import Message
from kucoin_sync.delivery.inline_queue import InlineQueue

from ...support.messages import message
from ...support.threads import LIMIT, Task, reached

SHORT = 0.05  # seconds of a wait that ends by itself


def test_who_waits_for_a_call_under_way_is_let_go_when_it_is_over() -> None:
    began, go_on = threading.Event(), threading.Event()

    def call(_: Message) -> None:
        began.set()
        assert go_on.wait(LIMIT)

    for put in (InlineQueue.put, lambda message_queue, one: InlineQueue.put_many(message_queue, [one])):
        began.clear(), go_on.clear()
        message_queue = InlineQueue(call, pytest.fail)
        caller = Task(put, message_queue, message(1))
        reached(began, "it was not called")
        waiters = [Task(message_queue.wait_for_call, LIMIT) for _ in range(3)]
        message_queue.wait_for_call(SHORT)  # which ends by itself
        assert not [waiter for waiter in waiters if waiter.done.is_set()]
        go_on.set()
        for task in (caller, *waiters):
            task.result()
        assert not message_queue.leaving
        message_queue.wait_for_call(LIMIT)  # nothing is under way
