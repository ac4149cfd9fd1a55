"""The flag: threads wait until another one sets it, and it can be cleared."""

from __future__ import annotations

import pytest

from kucoin_sync.internal.flag import Flag

from ...support.interrupts import points_of
from ...support.threads import LIMIT, Task, until


def test_setting_a_flag_wakes_all_waiting_threads_and_it_stays_set_until_it_is_cleared() -> None:
    flag = Flag()
    assert not flag.wait(0)
    assert not flag.wait(-1.0)
    tasks = [Task(flag.wait, LIMIT) for _ in range(3)]
    flag.set()
    assert [task.result() for task in tasks] == [True] * 3
    flag.set()
    assert flag.is_set() and flag.wait(0) and flag.wait(0)
    flag.clear()
    assert not flag.is_set() and not flag.wait(0)
    flag.set()
    assert flag.wait()


def test_a_thread_that_waits_is_woken_though_the_flag_is_cleared_at_once() -> None:
    flag = Flag()
    task = Task(flag.wait, LIMIT)
    until(lambda: bool(flag._gates), "it does not wait")
    flag.set()
    flag.clear()
    assert task.result()


@pytest.mark.parametrize("timeout", [None, 1e12])
def test_a_set_flag_takes_any_timeout(timeout: float | None) -> None:
    flag = Flag()
    flag.set()
    assert flag.wait(timeout)


@pytest.mark.parametrize("call", ["set", "clear", "is_set", "wait"])
def test_a_call_that_is_interrupted_locks_out_nobody(call: str) -> None:
    flag = Flag()
    for _ in points_of(lambda: flag.wait(0) if call == "wait" else getattr(flag, call)()):
        flag.clear()
        task = Task(flag.wait, LIMIT)
        flag.set()
        assert task.result()
        flag.clear()
