"""A reader's place in a topic: what is missing shows where it is missing, and nothing counts twice."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("redis")

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from kucoin_sync.relay.codec import Record
from kucoin_sync.relay.read_position import ReadPosition

T = "/market/match:BTC-USDT"


def record(sequence: int, run: int = 1) -> Record:
    return Record(T, sequence, run, 0, Raw(b"{}"))


@pytest.fixture
def place() -> ReadPosition:
    made = ReadPosition(itertools.count(100))
    made.join(1, 4)
    return made


def test_what_follows_is_not_missing_anything(place: ReadPosition) -> None:
    assert [place.lost_before(1, record(number), 7) for number in (5, 6, 7)] == [0, 0, 0]
    assert place.epoch == 7
    assert repr(place) == "<Place 7 of run 1 of holder 1: epoch 7>"


def test_a_number_that_was_had_does_not_count(place: ReadPosition) -> None:
    assert place.lost_before(1, record(4), 7) is None
    assert place.lost_before(1, record(5), 7) == 0
    assert place.lost_before(1, record(5), 7) is None


def test_a_hole_is_counted_and_the_epoch_rises(place: ReadPosition) -> None:
    place.lost_before(1, record(5), 7)
    assert place.lost_before(1, record(9), 7) == 3
    assert place.epoch == 100
    assert place.lost_before(1, record(10), 7) == 0
    assert place.epoch == 100


def test_a_hole_before_the_first_message_is_counted(place: ReadPosition) -> None:
    assert place.lost_before(1, record(7), 7) == 2


def test_a_new_run_raises_the_epoch(place: ReadPosition) -> None:
    place.lost_before(1, record(5, run=1), 7)
    assert place.lost_before(1, record(6, run=2), 8) == 0
    assert place.epoch == 8


def test_an_epoch_never_falls(place: ReadPosition) -> None:
    place.lost_before(1, record(5, run=2), 8)
    assert place.lost_before(1, record(6, run=1), 7) == 0
    assert place.epoch == 100


def test_a_new_holder_raises_the_epoch_and_goes_on_counting(place: ReadPosition) -> None:
    place.lost_before(1, record(5), 7)
    assert place.lost_before(2, record(8), 9) == 2
    assert place.epoch == 100
    assert place.lost_before(1, record(9), 7) is None, "an older holder's"


def test_a_count_that_begins_again_is_told_by_the_epoch_alone(place: ReadPosition) -> None:
    place.lost_before(1, record(5), 7)
    assert place.lost_before(2, record(1), 9) == 0
    assert place.epoch == 9


def test_what_was_perhaps_written_with_an_older_token_counts_once(place: ReadPosition) -> None:
    place.lost_before(1, record(5), 7)
    assert place.lost_before(3, record(5), 9, [1]) is None
    assert place.lost_before(3, record(6), 9, [1]) == 0
    assert place.epoch == 9
    assert place.lost_before(5, record(2), 11, [4]) == 0, "the count of another one, which begins again"


def test_who_has_had_nothing_yet_misses_nothing_of_a_new_holder(place: ReadPosition) -> None:
    assert place.lost_before(2, record(8), 9) == 0
    assert place.epoch == 9


STEPS = ("pass on", "trim", "write again", "write again with another token", "another run", "another holder")


@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_delivered_and_lost_are_what_was_written(steps: list[str]) -> None:
    place = ReadPosition(itertools.count(1000))
    place.join(1, 0)
    token, run, number = 1, 1, 1
    assert place.lost_before(token, record(number, run), 1) == 0
    delivered, shown, epoch = 1, 0, place.epoch
    for step in steps:
        if step == "another run":
            run += 1
        elif step == "another holder":
            token += 1
        elif step == "write again":
            assert place.lost_before(place.token, record(place.sequence, place.run), 1) is None
        elif step == "write again with another token":
            token += 1
            assert place.lost_before(token, record(place.sequence, place.run), 1, [place.token]) is None
        else:
            number += 1
            if step == "pass on":
                found = place.lost_before(token, record(number, run), 10 * token + run)
                assert found is not None
                shown += found
                delivered += 1
                assert place.epoch > epoch if found else place.epoch >= epoch
                epoch = place.epoch
    assert delivered + shown == place.sequence
