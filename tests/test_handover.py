"""Replacing a connection: nothing is missing, nothing comes twice, and the order stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import Message
from kucoin_sync import handover as handover_module
from kucoin_sync.handover import Handover

from .support.messages import message, number
from .support.threads import Task


class Delivered(list[int]):
    """The numbers of what was delivered, and `batches` as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def __call__(self, messages: list[Message]) -> None:
        self.batches.append([number(one) for one in messages])
        self.extend(self.batches[-1])


def messages(*numbers: int, **options: str) -> list[Message]:
    return [message(n, **options) for n in numbers]


def test_until_the_end_of_the_old_one_its_messages_are_delivered_at_once() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 1))
    handover.from_new(messages(1, 2))
    handover.from_old(messages(2))
    assert delivered.batches == [[0, 1], [2]]


def test_at_the_end_what_only_the_new_one_brought_follows() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 1, 2))
    handover.from_new(messages(1, 2, 3, 4))
    handover.finish()
    handover.from_new(messages(5))
    assert delivered.batches == [[0, 1, 2], [3, 4], [5]]


def test_an_end_without_anything_new_delivers_nothing() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0))
    handover.from_new(messages(0))
    handover.finish()
    assert delivered.batches == [[0]]


def test_an_end_without_anything_old_delivers_all() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_new(messages(0, 1))
    handover.finish()
    assert delivered == [0, 1]


def test_ending_twice_is_ending_once() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_new(messages(0))
    handover.finish()
    handover.finish()
    assert delivered.batches == [[0]]


def test_what_the_old_one_brings_after_its_end_is_the_new_ones_to_bring() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.finish()
    handover.from_old(messages(0))
    handover.from_new(messages(0))
    assert delivered.batches == [[0]]


@pytest.mark.parametrize(
    "other",
    [
        message(0, topic="/market/ticker:ETH-USDT"),
        message(0, subject="trade.other"),
        message(1),
    ],
)
def test_messages_differ_by_topic_subject_and_data(other: Message) -> None:
    got: list[Message] = []
    handover = Handover(got.extend)
    handover.from_old([message(0)])
    handover.from_new([message(0), other])
    handover.finish()
    assert got == [message(0), other]


def test_the_same_push_may_come_several_times() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 0))
    handover.from_new(messages(0, 0, 0, 1))
    handover.finish()
    assert delivered == [0, 0, 0, 1]


def test_a_new_one_that_lags_behind_the_old_ones_end_brings_nothing_twice() -> None:
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 1, 2, 3, 4))
    handover.from_new(messages(1, 2))
    handover.finish()
    handover.from_new(messages(3))
    assert not handover.over
    handover.from_new(messages(4, 5))
    assert handover.over
    handover.from_new(messages(6))
    assert delivered == [0, 1, 2, 3, 4, 5, 6]


def test_each_topic_and_subject_catches_up_for_itself() -> None:
    got: list[Message] = []
    handover = Handover(got.extend)
    kinds = [{"topic": "/a:X"}, {"topic": "/a:Y"}, {"topic": "/a:X", "subject": "other"}]
    for kind in kinds:
        handover.from_old(messages(0, 1, **kind))
    handover.finish()
    for kind in kinds:
        assert not handover.over
        handover.from_new(messages(1, 2, **kind))
    assert handover.over
    assert got == [one for kind in kinds for one in messages(0, 1, **kind)] + [message(2, **kind) for kind in kinds]


def test_before_the_end_another_order_does_not_count_as_catching_up() -> None:
    """A fresh subscription may begin with something that the old one was not sent."""
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 1))
    handover.from_new(messages(100, 0, 1))
    handover.finish()
    assert delivered == [0, 1, 100]


def test_a_topic_that_stays_silent_does_not_keep_the_handover_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover_module, "_LATE", 3)
    handover = Handover(Delivered())
    handover.from_old(messages(0, topic="/a:silent"))
    handover.finish()
    handover.from_new(messages(1, 2))
    assert not handover.over
    handover.from_new(messages(3))
    assert handover.over


def test_it_is_not_over_while_the_old_one_goes_on() -> None:
    handover = Handover(Delivered())
    assert not handover.over
    handover.finish()
    assert handover.over


def test_too_much_held_back_ends_the_handover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover_module, "_HELD", 5)
    delivered = Delivered()
    handover = Handover(delivered)
    handover.from_old(messages(0, 1, 2))
    handover.from_new(messages(1, 2, 3, 4, 5))
    assert delivered == [0, 1, 2]
    handover.from_new(messages(6))
    assert delivered == [0, 1, 2, 3, 4, 5, 6]
    handover.from_old(messages(3, 4))
    handover.from_new(messages(7))
    handover.finish()
    assert delivered == [0, 1, 2, 3, 4, 5, 6, 7]


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(0, 30),
    bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    sizes=st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=30),
    held=st.integers(1, 40),
)
def test_whatever_the_overlap_nothing_is_missing_or_doubled(
    count: int, bounds: tuple[int, int], sizes: list[tuple[bool, int]], held: int
) -> None:
    """The new one begins before the old one ends; they bring their messages in any batches, in turns."""
    begin, end = sorted(min(bound, count) for bound in bounds)
    old, new = messages(*range(end)), messages(*range(begin, count))
    delivered = Delivered()
    handover = Handover(delivered)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover_module, "_HELD", held)
        for is_old, size in sizes:
            source = old if is_old else new
            batch, source[:] = source[:size], source[size:]
            # The new one was subscribed only after the old one had brought what came before.
            if is_old or len(delivered) >= begin:
                (handover.from_old if is_old else handover.from_new)(batch)
            else:
                source[:0] = batch
        handover.from_old(old)
        handover.finish()
        handover.from_new(new)
    assert delivered == list(range(count))


def test_two_threads_bring_each_message_once_and_in_order() -> None:
    count, begin, end = 20_000, 5_000, 15_000
    delivered = Delivered()
    handover = Handover(delivered)
    all_of_them = messages(*range(count))

    def bring_old() -> None:
        for at in range(begin, end, 10):
            handover.from_old(all_of_them[at : at + 10])
        handover.finish()

    def bring_new() -> None:
        for at in range(begin, count, 10):
            handover.from_new(all_of_them[at : at + 10])

    handover.from_old(all_of_them[:begin])
    for task in [Task(bring_old), Task(bring_new)]:
        task.result()
    assert delivered == list(range(count))
