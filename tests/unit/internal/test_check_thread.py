"""A thread that makes a check whenever it is due."""

from __future__ import annotations

import math
import queue
import threading

import pytest

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
