"""A thread that makes a check whenever it is due."""

from __future__ import annotations

import math
import queue
import threading
from typing import NoReturn

import pytest

from kucoin_sync.internal import check_thread as module
from kucoin_sync.internal.check_thread import CheckThread

from ...support.threads import LIMIT


def test_it_checks_at_once_and_when_it_is_asked_and_survives_errors(caplog: pytest.LogCaptureFixture) -> None:
    checks: queue.SimpleQueue[str] = queue.SimpleQueue()

    def check(_: float) -> float:
        checks.put(threading.current_thread().name)
        if len(caplog.records) == 0:
            raise ValueError("why")
        return math.inf

    checking = CheckThread(check, name="kucoin-test", purpose="a test could not be made")
    assert checking.threads == []
    checking.look()
    assert checks.get(timeout=LIMIT) == "kucoin-test"
    checking.look()
    assert checks.get(timeout=LIMIT) == "kucoin-test"
    assert "a test could not be made" in caplog.text
    checking.close()
    (thread,) = checking.threads
    thread.join(LIMIT)
    assert not thread.is_alive()


@pytest.mark.parametrize("late", [0.1, 5.0])
def test_after_a_pause_of_the_process_the_other_threads_come_first(
    late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waits, wanted = 100.0, [], threading.Event()

    def check(at: float) -> float:
        if waits:
            wanted.clear()
        return at + 1

    def wait(timeout: float) -> NoReturn:
        nonlocal now
        waits.append(timeout)
        now += timeout + late * (len(waits) == 1)
        raise queue.Empty

    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    checking = CheckThread(check, name="kucoin-test", purpose="a test could not be made")
    monkeypatch.setattr(checking._wakes, "get", wait)
    wanted.set()
    checking._run(wanted, checking._wakes)
    assert waits == ([1, 1] if late < 0.5 else [1, 0.25, 1])


def test_it_ends_when_it_is_to_rest_and_begins_again_with_the_next_look() -> None:
    checks: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    def check(_: float) -> float:
        checks.put(threading.current_thread())
        return math.inf

    checking = CheckThread(check, name="kucoin-test", purpose="a test could not be made")
    checking.rest()  # there is none yet
    checking.look()
    first = checks.get(timeout=LIMIT)
    checking.rest()
    checking.look()
    first.join(LIMIT)
    assert not first.is_alive()
    assert checks.get(timeout=LIMIT) in checking.threads
    checking.look()
    assert checks.get(timeout=LIMIT) in checking.threads
    checking.close()
    (second,) = checking.threads
    second.join(LIMIT)
    assert not second.is_alive()
