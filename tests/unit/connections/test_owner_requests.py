"""Requests for another connection: when they are made, and when again."""

from __future__ import annotations

import errno
import math

import pytest

from kucoin_sync import ConnectionFailed, KucoinSyncError
from kucoin_sync.connections.owner_requests import OwnerRequests


class Log:
    """Notes failed attempts."""

    def __init__(self) -> None:
        self.failed: list[tuple[int, str]] = []
        self.delay = 0.0

    def note(self, attempts: int, error: KucoinSyncError, delay: float) -> None:
        self.failed.append((attempts, str(error)))
        self.delay = delay


def test_a_request_is_made_when_it_is_due_and_once() -> None:
    made: list[int] = []
    requests = OwnerRequests(print)
    assert requests.make_due(0.0) == math.inf
    requests.add(lambda: bool(made.append(1) or True), due=5.0)
    assert requests.make_due(4.9) == 5.0
    assert requests.make_due(5.0) == math.inf
    assert made == [1]


def test_one_that_is_refused_is_made_again_after_growing_delays_and_not_told_of() -> None:
    log = Log()
    requests = OwnerRequests(log.note)
    requests.add(lambda: False)
    first = requests.make_due(100.0)
    assert 100.25 <= first <= 100.5
    assert requests.make_due(first) <= first + 1.0
    assert log.failed == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionFailed("refused"), "refused"),
        (OSError(errno.EMFILE, "Too many open files"), "no file descriptor was free for another connection"),
    ],
)
def test_one_that_fails_is_told_of_and_made_again(error: Exception, text: str) -> None:
    log, made = Log(), list[int]()

    def attempt() -> bool:
        made.append(1)
        if len(made) < 3:
            raise error
        return True

    requests = OwnerRequests(log.note)
    requests.add(attempt)
    due = requests.make_due(0.0)
    assert due == log.delay
    due = requests.make_due(due)
    assert requests.make_due(due) == math.inf
    assert [attempts for attempts, _ in log.failed] == [1, 2]
    assert all(text in told for _, told in log.failed)


def test_any_other_error_is_a_defect() -> None:
    requests = OwnerRequests(print)
    requests.add(lambda: 1 // 0 == 0)
    with pytest.raises(ZeroDivisionError):
        requests.make_due(0.0)
    requests.clear()
    assert requests.make_due(0.0) == math.inf
