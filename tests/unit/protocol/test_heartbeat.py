"""The heartbeat: when a ping is due and when the peer is lost, to the instant, without a clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.protocol.heartbeat import Heartbeat

from ...support.selection import examples

INTERVAL, TIMEOUT = 18.0, 10.0


def beating(now: float = 100.0) -> Heartbeat:
    return Heartbeat(INTERVAL, TIMEOUT, now)


@pytest.mark.parametrize(
    ("interval", "every"),
    [(18.0, 9.0), (50.0, 25.0), (2.5, 1.25), (2.0, 1.0), (1.9, 1.0), (1.0, 1.0), (0.4, 0.4), (0.018, 0.2), (1e-3, 0.2)],
)
def test_pings_come_at_half_the_interval_and_at_most_once_a_second_where_it_allows_that(
    interval: float, every: float
) -> None:
    assert Heartbeat(interval, TIMEOUT, 100.0).ping_at() == 100.0 + every


def test_a_ping_puts_off_the_next_one() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    assert heartbeat.ping_at() == 118.0


def test_data_does_not_put_off_a_ping() -> None:
    heartbeat = beating()
    heartbeat.last_frame = 108.9
    assert heartbeat.ping_at() == 109.0


def test_nobody_is_lost_while_no_ping_is_unanswered() -> None:
    heartbeat = beating()
    assert heartbeat.lost_at() == math.inf
    heartbeat.ping_sent("1", 109.0)
    heartbeat.pong_came("1", 109.1)
    assert heartbeat.lost_at() == math.inf


def test_a_silent_peer_is_lost_a_timeout_after_the_unanswered_ping() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    assert heartbeat.lost_at() == 119.0


def test_any_frame_counts_as_life() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    heartbeat.last_frame = 112.5
    assert heartbeat.lost_at() == 122.5


def test_a_peer_that_sends_data_but_no_pong_is_lost_interval_and_timeout_after_it_was_last_well() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    for instant in (115.0, 120.0, 127.9):
        heartbeat.last_frame = instant
    assert heartbeat.lost_at() == 100.0 + INTERVAL + TIMEOUT


def test_further_pings_do_not_put_off_the_loss() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    heartbeat.ping_sent("2", 118.0)
    assert heartbeat.lost_at() == 119.0


def test_a_pong_for_an_earlier_ping_is_as_good() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    heartbeat.ping_sent("2", 118.0)
    heartbeat.pong_came("1", 118.5)
    assert heartbeat.lost_at() == math.inf
    assert heartbeat.latency is None


def test_a_pong_that_nobody_asked_for_is_no_answer() -> None:
    heartbeat = beating()
    for ping_id in ("1", ""):
        heartbeat.pong_came(ping_id, 101.0)
        assert heartbeat.latency is None
        assert heartbeat.ping_at() == 109.0


def test_the_latency_is_that_of_the_last_ping() -> None:
    heartbeat = beating()
    assert heartbeat.latency is None
    heartbeat.ping_sent("1", 109.0)
    heartbeat.pong_came("1", 109.25)
    assert heartbeat.latency == 0.25
    heartbeat.ping_sent("2", 118.0)
    heartbeat.pong_came("2", 118.5)
    assert heartbeat.latency == 0.5
    heartbeat.pong_came("2", 120.0)
    assert heartbeat.latency == 0.5, "a pong that comes twice tells nothing the second time"


def test_the_complaint_tells_how_long_ago_the_ping_and_the_last_frame_were() -> None:
    heartbeat = beating()
    heartbeat.ping_sent("1", 109.0)
    heartbeat.ping_sent("2", 118.0)
    heartbeat.last_frame = 118.4
    assert heartbeat.complaint(128.4) == ("the server has answered no ping for 19.4 s (its last frame came 10.0 s ago)")


def test_an_interval_below_the_least_pause_between_two_pings_leaves_the_peer_its_timeout() -> None:
    heartbeat = Heartbeat(0.001, 0.01, 100.0)
    heartbeat.ping_sent("1", 100.2)
    assert heartbeat.lost_at() == 100.2 + 0.01


def test_without_an_unanswered_ping_the_complaint_speaks_of_no_wait() -> None:
    assert beating().complaint(101.0) == "the server has answered no ping for 0.0 s (its last frame came 1.0 s ago)"


@settings(max_examples=examples(150), deadline=None)
@given(
    interval=st.integers(1, 40),
    timeout=st.integers(1, 20),
    answered=st.integers(0, 5),
    gaps=st.lists(st.integers(0, 5), max_size=60),
)
def test_a_peer_that_falls_silent_or_stops_answering_is_lost_within_interval_and_timeout(
    interval: int, timeout: int, answered: int, gaps: list[int]
) -> None:
    heartbeat = Heartbeat(interval, timeout, 0.0)
    now, last_well = 0.0, 0.0
    for number in range(answered):
        now = heartbeat.ping_at()
        heartbeat.ping_sent(str(number), now)
        heartbeat.last_frame = now
        heartbeat.pong_came(str(number), now)
        last_well = now
    frames = iter(gaps)
    frame_at = now + next(frames, 1e9)
    while now < heartbeat.lost_at():
        now = min(heartbeat.ping_at(), heartbeat.lost_at(), frame_at)
        if now == heartbeat.lost_at():
            break
        if now == heartbeat.ping_at():
            heartbeat.ping_sent("late", now)
        if now == frame_at:
            heartbeat.last_frame = now
            frame_at = now + next(frames, 1e9)
    assert now - last_well <= interval + timeout


def test_interval_and_timeout_may_be_set_later() -> None:
    heartbeat = Heartbeat(18.0, 10.0, 0.0)
    heartbeat.adjust(None, 5.0)
    assert (heartbeat.every, heartbeat.ping_at()) == (9.0, 9.0)
    heartbeat.ping_sent("1", 9.0)
    assert heartbeat.lost_at() == 14.0
    heartbeat.adjust(4.0, None)
    assert (heartbeat.every, heartbeat.ping_at(), heartbeat.lost_at()) == (2.0, 11.0, 14.0)


# Proofs


def test_a_proof_is_the_pong_of_a_ping_that_is_sent_as_early_as_allowed() -> None:
    heartbeat = Heartbeat(18.0, 10.0, 0.0)
    heartbeat.ping_sent("1", 9.0)
    assert heartbeat.proof_due == math.inf
    assert (heartbeat.ask_proof(), heartbeat.ask_proof()) == (1, 2)
    assert heartbeat.ping_at() == 9.2
    heartbeat.ping_sent("2", 9.5)
    assert (heartbeat.proof_due, heartbeat.ping_at()) == (10.5, 18.5)
    assert [heartbeat.pong_came(ping_id, 9.6) for ping_id in ("1", "", "2", "2")] == [0, 0, 2, 0]
    assert heartbeat.proof_due == math.inf


def test_a_proof_that_is_asked_for_meanwhile_needs_another_ping() -> None:
    heartbeat = Heartbeat(18.0, 10.0, 0.0)
    heartbeat.ask_proof()
    heartbeat.ping_sent("1", 1.0)
    assert heartbeat.ask_proof() == 2
    assert heartbeat.ping_at() == 10.0
    assert heartbeat.pong_came("1", 1.5) == 1
    assert heartbeat.ping_at() == 1.2


def test_an_overdue_proof_is_missed_once_and_may_still_come() -> None:
    heartbeat = Heartbeat(18.0, 10.0, 0.0)
    heartbeat.ask_proof()
    heartbeat.ping_sent("1", 1.0)
    assert heartbeat.proof_missed() == 1
    assert heartbeat.proof_due == math.inf
    assert heartbeat.pong_came("1", 3.0) == 1
