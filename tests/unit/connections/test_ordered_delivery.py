"""What several threads accept is delivered by one of them, in order and without a lock."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kucoin_sync import Message
from kucoin_sync.connections import ordered_delivery
from kucoin_sync.connections.ordered_delivery import OrderedDelivery
from kucoin_sync.internal.latch import Latch
from kucoin_sync.protocol.envelopes import Pushes
from kucoin_sync.protocol.message import Arrival, Origin, RawPush

from ...support.messages import batch_of, message, number
from ...support.threads import LIMIT, Task, until


def messages(*numbers: int, epoch: int = 0) -> list[Any]:
    made = [message(n) for n in numbers]
    arrival = Arrival(epoch)
    for each in made:
        each.origin = Origin(arrival)
    return made


class Output(OrderedDelivery):
    """Notes what was delivered."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.got: list[int] = []
        self.before: Any = lambda numbers: None
        self.failures = 0
        super().__init__(self._take, self.lock, self._count_failure)

    def _take(self, pushes: Pushes) -> None:
        numbers = [number(each) for each in pushes if isinstance(each, Message)]
        self.before(numbers)
        self.got += numbers

    def _count_failure(self) -> None:
        assert self.lock.locked()
        self.failures += 1

    def bring(self, *numbers: int) -> None:
        with self.lock:
            self.put(messages(*numbers))
            ready = self.take_turn()
        self.deliver(ready)
        self.wait_if_behind()


def test_a_callback_that_is_called_in_a_delivery_holds_no_lock_and_may_bring_more() -> None:
    output = Output()

    def bring_more(numbers: list[int]) -> None:
        assert not output.lock.locked()
        if numbers == [0, 1]:
            output.bring(2, 3)
            assert output.got == []

    output.before = bring_more
    output.bring(0, 1)
    assert output.got == [0, 1, 2, 3]
    assert output.is_empty


def test_what_waits_for_a_blocked_delivery_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_delivery, "_MAX_UNDELIVERED", 3)
    output, blocked, release = Output(), Latch(), Latch()

    def block(_: list[int]) -> None:
        blocked.set()
        assert release.wait(LIMIT)

    output.before = block
    first = Task(output.bring, 0)
    assert blocked.wait(LIMIT)
    output.bring(1, 2)  # does not wait
    second = Task(output.bring, 3, 4)
    until(lambda: output._waiting, "the second does not wait")
    assert not output.is_empty
    release.set()
    first.result()
    second.result()
    assert output.got == [0, 1, 2, 3, 4]


def test_after_a_delivery_that_raises_the_next_goes_on() -> None:
    output = Output()
    output.before = lambda numbers: 1 / numbers[0]
    with pytest.raises(ZeroDivisionError):
        output.bring(0)
    assert output.failures == 1
    output.bring(1)
    assert output.got == [1]


def test_a_lower_epoch_is_raised_and_a_batch_with_it_is_taken_apart() -> None:
    got: list[Pushes] = []
    output = OrderedDelivery(got.append, threading.Lock(), print)
    batch, mine = batch_of(0, 3), messages(0, 1, epoch=2)
    output.put_batch(batch)
    output.put(mine)
    raw = [*(later := batch_of(3, 2))]
    output.put_batch(later)
    output.put([*raw, *messages(9, epoch=0), *messages(9, epoch=3)])
    output.deliver(output.take_turn())
    assert got[0] is batch
    epochs = [
        [(each.arrival if isinstance(each, RawPush) else each.origin.arrival).epoch for each in one] for one in got
    ]
    assert epochs == [[1, 1, 1], [2, 2], [2, 2], [2, 2, 2, 3]]
    assert [each.frame for each in got[2] if isinstance(each, RawPush)] == [each.frame for each in raw]
    first, second = (each for each in got[2] if isinstance(each, RawPush))
    assert first.arrival is second.arrival, "pushes of one read share one object"
    assert output.take_turn() is None
