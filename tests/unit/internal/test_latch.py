"""The latch: one thread waits until another one sets it."""

from __future__ import annotations

import pytest

from kucoin_sync.internal.latch import Latch

from ...support.threads import LIMIT, Task


def test_setting_a_latch_wakes_the_waiting_thread_and_it_stays_set() -> None:
    latch = Latch()
    assert not latch.wait(0)
    assert not latch.wait(-1.0)
    task = Task(latch.wait, LIMIT)
    latch.set()
    assert task.result()
    latch.set()
    assert latch.wait(0) and latch.wait(0)


@pytest.mark.parametrize("timeout", [None, 1e12])
def test_a_set_latch_takes_any_timeout(timeout: float | None) -> None:
    latch = Latch()
    latch.set()
    assert latch.wait(timeout)
