"""How many connections are allowed in a minute, without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.net.connect_pace import connect_pace

SITE, OTHER = "https://a.example", "https://b.example"


@pytest.fixture
def pace() -> Any:
    return type(connect_pace)()


def test_a_site_has_its_number_of_connects_in_any_minute(pace: Any) -> None:
    assert [pace.delay(SITE, 2, now) for now in (0.0, 10.0, 15.0)] == [0, 0, 45]
    assert pace.delay(OTHER, 2, 15.0) == 0, "each site has its own"
    assert pace.delay(SITE, 2, 60.0) == 0, "the first connect does not count any more"
    assert pace.delay(SITE, 2, 61.0) == 9


def test_the_latest_limit_counts(pace: Any) -> None:
    assert pace.delay(SITE, 1, 0.0) == 0
    assert pace.delay(SITE, 2, 1.0) == 0
    assert pace.delay(SITE, 1, 2.0) == 59


def test_a_forked_child_counts_on_though_its_parent_held_the_lock(pace: Any) -> None:
    assert pace.delay(SITE, 1, 0.0) == 0
    with pace._lock:
        pace.after_fork()
        assert pace.delay(SITE, 1, 20.0) == 40
