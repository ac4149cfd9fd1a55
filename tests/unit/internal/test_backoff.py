"""Retry delays and the sliding window. Time is a number here; no clock is read."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.internal.backoff import SlidingWindow, retry_delays

from ...support.selection import examples


class Edge(random.Random):
    """A generator that always returns one bound of the range."""

    def __init__(self, upper: bool) -> None:
        super().__init__()
        self._upper = upper

    def uniform(self, a: float, b: float) -> float:
        return b if self._upper else a


def test_delays_double_from_the_first_up_to_the_cap() -> None:
    assert list(islice(retry_delays(1.0, 10.0, rng=Edge(upper=True)), 6)) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_shortens_a_delay_by_at_most_half() -> None:
    assert list(islice(retry_delays(1.0, 10.0, rng=Edge(upper=False)), 6)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_default_delays_start_at_half_a_second_and_stop_growing_at_a_minute() -> None:
    assert list(islice(retry_delays(rng=Edge(upper=True)), 9)) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_the_first_delay_is_capped_too() -> None:
    assert list(islice(retry_delays(8.0, 2.0, rng=Edge(upper=True)), 2)) == [2.0, 2.0]


def test_a_seeded_generator_repeats_its_delays() -> None:
    first = list(islice(retry_delays(rng=random.Random(7)), 20))
    assert first == list(islice(retry_delays(rng=random.Random(7)), 20))
    assert len(set(first)) == 20


def test_delays_stay_within_their_bounds_without_a_given_generator() -> None:
    for delay, ceiling in zip(retry_delays(1.0, 4.0), (1.0, 2.0, 4.0, 4.0, 4.0), strict=False):
        assert ceiling / 2 <= delay <= ceiling


@pytest.mark.parametrize(("count", "period"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -2.0)])
def test_a_window_refuses_an_empty_count_or_period(count: int, period: float) -> None:
    with pytest.raises(ValueError, match="count of at least 1 and a positive period"):
        SlidingWindow(count, period)


def test_the_period_may_be_short() -> None:
    window = SlidingWindow(1, 0.5)
    window.record(1.0)
    assert window.free_at(1.25) == 1.5


def test_a_new_window_allows_an_event_at_once() -> None:
    assert SlidingWindow(1, 10.0).free_at(5.0) == 5.0


def test_a_full_window_allows_the_next_event_when_its_oldest_event_expires() -> None:
    window = SlidingWindow(3, 10.0)
    for instant in (0.0, 1.0, 2.0):
        assert window.free_at(instant) == instant
        window.record(instant)
    assert window.free_at(2.0) == 10.0
    assert window.free_at(9.999) == 10.0
    assert window.free_at(10.0) == 10.0
    window.record(10.0)
    assert window.free_at(10.0) == 11.0


def test_a_reserve_keeps_events_available() -> None:
    window = SlidingWindow(5, 10.0)
    for instant in (0.0, 1.0, 2.0):
        window.record(instant)
    assert window.free_at(2.0, reserve=1) == 2.0
    assert window.free_at(2.0, reserve=2) == 10.0
    assert window.free_at(2.0, reserve=3) == 11.0


def test_a_reserve_always_leaves_one_event() -> None:
    window = SlidingWindow(2, 10.0)
    assert window.free_at(0.0, reserve=7) == 0.0
    window.record(0.0)
    assert window.free_at(0.0, reserve=7) == 10.0
    assert window.free_at(0.0) == 0.0


def test_events_beyond_the_count_push_the_next_one_back() -> None:
    window = SlidingWindow(2, 10.0)
    for instant in (0.0, 1.0, 2.0, 3.0):
        window.record(instant)
    assert window.free_at(3.0) == 12.0
    assert window.free_at(3.0, reserve=1) == 13.0


def test_a_window_says_how_long_the_next_event_waits() -> None:
    window = SlidingWindow(3, 10.0)
    assert window.obstacle(0.0, "calls", "Limits.x") == ""
    for instant in (0.0, 2.0):
        window.record(instant)
    assert window.obstacle(3.0, "calls", "Limits.x") == ""
    reason = "the limit of 3 calls in 10 s is reached (Limits.x), so that the next one waits for"
    assert window.obstacle(3.0, "calls", "Limits.x", reserve=1) == f"{reason} 7.0 s"
    window.record(4.0)
    assert window.obstacle(4.0, "calls", "Limits.x") == f"{reason} 6.0 s"
    assert window.obstacle(10.0, "calls", "Limits.x") == ""


def test_a_window_keeps_no_more_events_than_it_counts() -> None:
    window = SlidingWindow(2, 10.0)
    for instant in range(1000):
        window.record(float(instant * 100))
    assert repr(window) == "SlidingWindow(2 per 10 s, 2 recorded)"
    window.free_at(1e9)
    assert repr(window) == "SlidingWindow(2 per 10 s, 0 recorded)"


@settings(max_examples=examples(100), deadline=None)
@given(
    count=st.integers(1, 6),
    reserve=st.integers(0, 6),
    steps=st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60),
)
def test_a_window_agrees_with_counting_the_events_of_the_last_period(
    count: int, reserve: int, steps: list[tuple[int, bool]]
) -> None:
    window, recorded, now = SlidingWindow(count, 10.0), [], 0
    allowance = max(1, count - reserve)
    for step, forced in steps:
        now += step
        allowed = now
        while sum(allowed - 10 < instant for instant in recorded) >= allowance:
            allowed += 1
        assert window.free_at(float(now), reserve) == allowed
        if forced or allowed == now:
            window.record(float(now))
            recorded.append(now)
