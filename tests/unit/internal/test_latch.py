"""The gate at which a thread waits for another one."""

from __future__ import annotations

import pytest

from kucoin_sync.internal.latch import Latch

from ...support.threads import LIMIT, Task


def test_a_gate_lets_through_whoever_waits_and_stays_open() -> None:
    gate = Latch()
    assert not gate.wait(0)
    assert not gate.wait(-1.0)
    task = Task(gate.wait, LIMIT)
    gate.set()
    assert task.result()
    gate.set()
    assert gate.wait(0) and gate.wait(0)


@pytest.mark.parametrize("timeout", [None, 1e12])
def test_a_gate_that_is_open_takes_any_timeout(timeout: float | None) -> None:
    gate = Latch()
    gate.set()
    assert gate.wait(timeout)
