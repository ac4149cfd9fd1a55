"""A queue that calls the callback where a message is put."""

from __future__ import annotations

import math
import threading

import pytest

from kucoin_sync import Message
from kucoin_sync.delivery.inline_queue import InlineQueue

from ...support.messages import message, number


def test_the_callback_runs_where_the_message_is_put() -> None:
    got: list[tuple[int, threading.Thread]] = []
    message_queue = InlineQueue(lambda one: got.append((number(one), threading.current_thread())), pytest.fail)
    message_queue.put(message(0))
    message_queue.put_many([message(1), message(2)])
    assert got == [(n, threading.current_thread()) for n in range(3)]
    assert len(message_queue) == 0
    assert message_queue.dropped == 0


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(1)])
def test_what_it_raises_is_reported_and_it_goes_on(error: BaseException) -> None:
    errors: list[BaseException] = []
    got: list[int] = []

    def failing(one: Message) -> None:
        got.append(number(one))
        raise error

    message_queue = InlineQueue(failing, errors.append)
    message_queue.put(message(0))
    message_queue.put_many([message(1), message(2)])
    assert got == [0, 1, 2]
    assert errors == [error] * 3


def test_after_the_end_it_is_not_called() -> None:
    message_queue = InlineQueue(lambda one: pytest.fail("called after the end"), pytest.fail)
    message_queue.finish(None)
    message_queue.put(message(0))
    message_queue.put_many([message(1)])


def test_it_has_room_for_any_number() -> None:
    assert InlineQueue(lambda _: None, lambda _: None).room() == math.inf
