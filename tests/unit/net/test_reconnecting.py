"""The loop that connects again: which attempt is reported, how long it pauses, and what ends it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, KucoinSyncError
from kucoin_sync.net.reconnecting import Reconnecting
from kucoin_sync.net.waker import Cancelled

from ...support.threads import LIMIT, reached


class Source(Reconnecting):
    """Serves once for each of `ends`: an error is raised, a number is how long the connection has lived."""

    _delays = 1.0, 60.0

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)
        self.reports: list[int] = []
        self.pauses: list[float] = []
        self.disconnects = 0
        self.failures: list[Exception] = []  # raised by `_failure_of`
        self.defects: list[BaseException] = []
        self.ended = threading.Event()

    def _serve(self) -> None:
        if not self.ends:
            return
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        self._connected_at = time.monotonic() - end
        raise OSError("lost")

    def _disconnect(self) -> None:
        self.disconnects += 1

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        if self.failures:
            raise self.failures.pop()
        return ConnectionFailed(str(error))

    def _give_up(self, failure: KucoinSyncError) -> bool:
        return str(failure) == "fatal"

    def _report(self, failure: KucoinSyncError, attempt: int, delay: float) -> float:
        self.reports.append(attempt)
        return delay

    def _report_defect(self, error: BaseException) -> None:
        self.defects.append(error)

    def _pause(self, seconds: float, pausing: Callable[[], object]) -> None:
        self.pauses.append(seconds)

    def _end(self) -> None:
        self.ended.set()


def test_failed_attempts_are_counted_and_a_lost_connection_is_none() -> None:
    source = Source(OSError(), OSError(), 1.0, OSError())
    source._reconnect_until_done()
    assert source.reports == [1, 2, 0, 1]
    assert source.disconnects == 5
    assert [0.5 <= source.pauses[0] <= 1, 1 <= source.pauses[1] <= 2, 2 <= source.pauses[2] <= 4] == [True] * 3


def test_pauses_begin_anew_after_a_connection_that_lived_long() -> None:
    source = Source(OSError(), OSError(), OSError(), 31.0)
    source._reconnect_until_done()
    assert source.pauses[2] >= 2
    assert source.pauses[3] <= 1


def test_a_fatal_error_ends_it() -> None:
    source = Source(OSError(), OSError("fatal"), OSError())
    source._reconnect_until_done()
    assert (source.reports, len(source.ends)) == ([1], 1)


def test_cancelling_ends_it_after_the_connection_was_dropped() -> None:
    source = Source(Cancelled())
    with pytest.raises(Cancelled):
        source._reconnect_until_done()
    assert (source.reports, source.disconnects) == ([], 1)


def test_a_defect_is_reported_and_the_loop_begins_again() -> None:
    source = Source(OSError(), OSError())
    source.failures = [ZeroDivisionError()]
    source._acquire_thread(name="kucoin-test")
    source.start()
    reached(source.ended, "the thread has not ended")
    assert [type(error) for error in source.defects] == [ZeroDivisionError]
    assert source.reports == [1]
    source.thread.join(LIMIT)


def test_its_thread_waits_for_the_start() -> None:
    source = Source(OSError())
    source._acquire_thread(name="kucoin-test")
    assert source.thread.is_alive() and source.reports == []
    source.start()
    reached(source.ended, "the thread has not ended")
    assert source.reports == [1]
    source.thread.join(LIMIT)


def test_it_can_be_closed_before_it_was_started() -> None:
    source = Source(OSError())
    source._acquire_thread(name="kucoin-test")
    source.close()
    reached(source.ended, "the thread has not ended")
    assert source.reports == []
    source.thread.join(LIMIT)


def test_one_that_nobody_has_is_freed_and_its_thread_ends() -> None:
    source = Source()
    source._acquire_thread(name="kucoin-test")
    thread, gone = source.thread, weakref.ref(source)
    del source
    gc.collect()
    thread.join(LIMIT)
    assert not thread.is_alive() and gone() is None
