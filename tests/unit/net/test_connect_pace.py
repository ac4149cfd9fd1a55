"""How many connections are allowed in a minute, without a clock."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kucoin_sync.net.connect_pace import connect_pace
from kucoin_sync.net.waker import Cancelled, Waker

SITE, OTHER = "https://a.example", "https://b.example"


@pytest.fixture
def pace() -> Any:
    return type(connect_pace)()


def test_a_site_has_its_number_of_connects_in_any_minute(pace: Any) -> None:
    assert [pace.delay(SITE, 2, now) for now in (0.0, 10.0, 15.0)] == [0, 0, 45]
    assert pace.delay(OTHER, 2, 15.0) == 0, "each site has its own"
    assert pace.delay(SITE, 2, 60.0) == 0, "the first connect does not count any more"
    assert pace.delay(SITE, 2, 61.0) == 9


def test_who_waits_is_told_once_how_long_and_why(pace: Any, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []
    now = 100.0
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        nonlocal now
        now += 15.0
        pauses.append(seconds)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(waker, "pause", pause)
    reason = "1 connections were made within a minute (Limits.connections_per_minute)"
    pace.wait(SITE, 1, waker, lambda *delay: told.append(delay))
    assert (told, waker.step) == ([], None)
    pace.wait(SITE, 1, waker, lambda *delay: told.append(delay))
    assert (told, pauses) == ([(60.0, reason)], [60.0, 45.0, 30.0, 15.0])
    assert waker.step is not None
    assert waker.step.missing == "no connection was dialled"
    assert waker.step.remedy == f"{reason}, so that the next one waits for 60.0 s"
    assert pace.delay(SITE, 1, now) == 60, "it is counted"


def test_cancel_ends_the_wait_and_counts_nothing(pace: Any, waker: Waker) -> None:
    pace.wait(SITE, 1, waker, print)
    waker.cancel()
    with pytest.raises(Cancelled):
        pace.wait(SITE, 1, waker, lambda *_: None)
    assert pace.delay(SITE, 2, time.monotonic()) == 0


def test_the_latest_limit_counts(pace: Any) -> None:
    assert pace.delay(SITE, 1, 0.0) == 0
    assert pace.delay(SITE, 2, 1.0) == 0
    assert pace.delay(SITE, 1, 2.0) == 59


def test_a_forked_child_counts_on_though_its_parent_held_the_lock(pace: Any) -> None:
    assert pace.delay(SITE, 1, 0.0) == 0
    with pace._lock:
        pace.after_fork()
        assert pace.delay(SITE, 1, 20.0) == 40
