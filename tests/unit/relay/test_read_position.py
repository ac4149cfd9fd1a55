"""The read position in a topic: each gap is reported where it occurs, and duplicates are ignored."""

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
def position() -> ReadPosition:
    made = ReadPosition(itertools.count(100))
    made.join(1, 4)
    return made


def test_consecutive_records_have_lost_nothing(position: ReadPosition) -> None:
    assert [position.lost_before(1, record(number), 7) for number in (5, 6, 7)] == [0, 0, 0]
    assert position.epoch == 7
    assert repr(position) == "<ReadPosition 7 of run 1 of holder 1: epoch 7>"


def test_a_duplicate_is_ignored(position: ReadPosition) -> None:
    assert position.lost_before(1, record(4), 7) is None
    assert position.lost_before(1, record(5), 7) == 0
    assert position.lost_before(1, record(5), 7) is None


def test_a_gap_is_counted_and_the_epoch_rises(position: ReadPosition) -> None:
    position.lost_before(1, record(5), 7)
    assert position.lost_before(1, record(9), 7) == 3
    assert position.epoch == 100
    assert position.lost_before(1, record(10), 7) == 0
    assert position.epoch == 100


def test_a_gap_before_the_first_message_is_counted(position: ReadPosition) -> None:
    assert position.lost_before(1, record(7), 7) == 2


def test_a_new_run_raises_the_epoch(position: ReadPosition) -> None:
    position.lost_before(1, record(5, run=1), 7)
    assert position.lost_before(1, record(6, run=2), 8) == 0
    assert position.epoch == 8


def test_an_epoch_never_falls(position: ReadPosition) -> None:
    position.lost_before(1, record(5, run=2), 8)
    assert position.lost_before(1, record(6, run=1), 7) == 0
    assert position.epoch == 100


def test_a_new_holder_raises_the_epoch_and_goes_on_counting(position: ReadPosition) -> None:
    position.lost_before(1, record(5), 7)
    assert position.lost_before(2, record(8), 9) == 2
    assert position.epoch == 100
    assert position.lost_before(1, record(9), 7) is None, "an older holder's"


def test_a_lower_sequence_raises_the_epoch_only(position: ReadPosition) -> None:
    position.lost_before(1, record(5), 7)
    assert position.lost_before(2, record(1), 9) == 0
    assert position.epoch == 9


def test_a_record_that_was_tried_with_an_older_token_counts_once(position: ReadPosition) -> None:
    position.lost_before(1, record(5), 7)
    assert position.lost_before(3, record(5), 9, [1]) is None
    assert position.lost_before(3, record(6), 9, [1]) == 0
    assert position.epoch == 9
    assert position.lost_before(5, record(2), 11, [4]) == 0, "the count of another one, which begins again"


def test_before_the_first_message_a_new_holder_has_lost_nothing(position: ReadPosition) -> None:
    assert position.lost_before(2, record(8), 9) == 0
    assert position.epoch == 9


STEPS = ("pass on", "trim", "write again", "write again with another token", "another run", "another holder")


@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_delivered_and_lost_messages_add_up_to_the_written_ones(steps: list[str]) -> None:
    position = ReadPosition(itertools.count(1000))
    position.join(1, 0)
    token, run, number = 1, 1, 1
    assert position.lost_before(token, record(number, run), 1) == 0
    delivered, shown, epoch = 1, 0, position.epoch
    for step in steps:
        if step == "another run":
            run += 1
        elif step == "another holder":
            token += 1
        elif step == "write again":
            assert position.lost_before(position.token, record(position.sequence, position.run), 1) is None
        elif step == "write again with another token":
            token += 1
            assert position.lost_before(token, record(position.sequence, position.run), 1, [position.token]) is None
        else:
            number += 1
            if step == "pass on":
                found = position.lost_before(token, record(number, run), 10 * token + run)
                assert found is not None
                shown += found
                delivered += 1
                assert position.epoch > epoch if found else position.epoch >= epoch
                epoch = position.epoch
    assert delivered + shown == position.sequence
