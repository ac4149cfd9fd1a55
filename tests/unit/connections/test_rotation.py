"""Two connections that bring the same: each message when it first comes, once, and in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import Message
from kucoin_sync.connections import rotation as merge_module
from kucoin_sync.connections.rotation import FIRST, SECOND, Merge
from kucoin_sync.internal.latch import Latch
from kucoin_sync.protocol.message import Arrival, Origin

from ...support.messages import message, number
from ...support.selection import examples
from ...support.threads import LIMIT, Task, until


class Delivered(list[int]):
    """The numbers of what was delivered, and `batches` as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def __call__(self, messages: list[Message]) -> None:
        self.batches.append([number(one) for one in messages])
        self.extend(self.batches[-1])


class Asked:
    """Counts how often a proof was asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def messages(*numbers: int, epoch: int = 0, **options: str) -> list[Message]:
    made = [message(n, **options) for n in numbers]
    for each in made:
        each.origin = Origin(Arrival(epoch))
    return made


def test_what_the_first_brings_is_delivered_at_once_and_not_again() -> None:
    delivered, asked = Delivered(), Asked()
    merge = Merge(delivered, asked)
    merge.bring(FIRST, messages(0, 1))
    merge.bring(SECOND, messages(1))
    merge.bring(FIRST, messages(2))
    merge.bring(SECOND, messages(2))
    assert delivered.batches == [[0, 1], [2]]
    assert asked.times == 0


def test_what_the_first_brings_before_the_second_can_get_any_is_not_taken_for_a_copy_of_equal_messages() -> None:
    delivered, welcomed = Delivered(), False
    merge = Merge(delivered, Asked(), second_welcomed=lambda: welcomed)
    merge.bring(FIRST, messages(0, 0, 0))
    welcomed = True
    merge.bring(FIRST, messages(0))
    merge.bring(SECOND, messages(0))
    merge.end_first()
    merge.bring(SECOND, messages(0, 0))
    assert delivered.batches == [[0, 0, 0], [0], [0, 0]]


def test_once_both_have_brought_the_same_whichever_is_faster_delivers() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(FIRST, messages(0))
    merge.bring(SECOND, messages(0, 1, 2))
    assert delivered == [0, 1, 2]
    merge.bring(FIRST, messages(1, 2, 3, 4))
    assert delivered == [0, 1, 2, 3, 4]
    merge.bring(SECOND, messages(3, 4, 5))
    assert delivered == [0, 1, 2, 3, 4, 5]


def test_a_second_that_is_faster_from_the_beginning_steps_over_nothing_that_the_first_has_yet_to_bring() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(SECOND, messages(3, 4, 5))
    merge.bring(FIRST, messages(0, 1, 2))
    assert delivered == [0, 1, 2]
    merge.bring(FIRST, messages(3))
    assert delivered == [0, 1, 2, 3, 4, 5], "the second goes ahead from here on"
    merge.bring(FIRST, messages(4))
    merge.bring(SECOND, messages(6))
    merge.bring(FIRST, messages(5, 6, 7))
    assert delivered == [0, 1, 2, 3, 4, 5, 6, 7]


def test_what_only_the_second_brings_is_delivered_when_the_first_has_proved_that_nothing_comes_before_it() -> None:
    delivered, asked = Delivered(), Asked()
    merge = Merge(delivered, asked)
    merge.bring(SECOND, messages(0, 1))
    merge.bring(SECOND, messages(2))
    assert (delivered, asked.times) == ([], 1)
    merge.proved()
    assert delivered == [0, 1, 2]
    merge.bring(SECOND, messages(3))
    assert delivered == [0, 1, 2, 3]
    merge.bring(FIRST, messages(0, 1, 2, 3, 4))
    assert delivered == [0, 1, 2, 3, 4]
    assert asked.times == 1


def test_a_proof_counts_for_what_was_held_when_it_was_asked_for() -> None:
    got: list[Message] = []
    asked = Asked()
    merge = Merge(got.extend, asked)
    merge.bring(SECOND, messages(0, topic="/a:X"))
    merge.bring(SECOND, messages(1, topic="/a:Y"))
    assert asked.times == 1
    merge.proved()
    assert [each.topic for each in got] == ["/a:X"]
    assert asked.times == 2
    merge.proved()
    assert [each.topic for each in got] == ["/a:X", "/a:Y"]
    assert asked.times == 2


def test_at_the_end_of_the_first_what_only_the_second_brought_follows() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(SECOND, messages(3, 4))
    merge.bring(FIRST, messages(0, 1, 2))
    merge.end_first()
    merge.bring(SECOND, messages(5))
    assert delivered == [0, 1, 2, 3, 4, 5]
    merge.end_first()
    merge.bring(FIRST, messages(6))
    assert delivered == [0, 1, 2, 3, 4, 5], "whose end is told once, and who brings nothing more"


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
    merge = Merge(got.extend, Asked())
    merge.bring(FIRST, [message(0)])
    merge.bring(SECOND, [message(0), other])
    merge.end_first()
    assert got == [message(0), other]


def test_what_makes_two_pushes_the_same_can_be_said() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked(), identity=lambda each: number(each) // 10)
    merge.bring(FIRST, messages(10, 20))
    merge.bring(SECOND, messages(11, 21, 31))
    assert delivered == [10, 20, 31]


def test_the_same_push_may_come_several_times() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(FIRST, messages(0, 0))
    merge.bring(SECOND, messages(0, 0, 0, 1))
    merge.bring(FIRST, messages(0, 1))
    assert delivered == [0, 0, 0, 1]


def test_a_second_that_lags_behind_the_end_of_the_first_brings_nothing_twice() -> None:
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(FIRST, messages(0, 1, 2, 3, 4))
    merge.bring(SECOND, messages(1, 2))
    merge.end_first()
    merge.bring(SECOND, messages(3))
    assert not merge.over
    merge.bring(SECOND, messages(4, 5))
    assert merge.over
    assert delivered == [0, 1, 2, 3, 4, 5]


def test_each_topic_and_subject_catches_up_for_itself() -> None:
    got: list[Message] = []
    merge = Merge(got.extend, Asked())
    kinds = [{"topic": "/a:X"}, {"topic": "/a:Y"}, {"topic": "/a:X", "subject": "other"}]
    for kind in kinds:
        merge.bring(FIRST, messages(0, 1, **kind))
    merge.end_first()
    for kind in kinds:
        assert not merge.over
        merge.bring(SECOND, messages(1, 2, **kind))
    assert merge.over
    assert got == [one for kind in kinds for one in messages(0, 1, **kind)] + [message(2, **kind) for kind in kinds]


def test_what_the_second_alone_was_sent_at_its_beginning_is_delivered_too() -> None:
    """A fresh subscription may begin with something that the first was not sent."""
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(FIRST, messages(0, 1))
    merge.bring(SECOND, messages(100, 0, 1))
    assert delivered == [0, 1, 100]


def test_a_second_that_begins_again_somewhere_else_is_held_again() -> None:
    delivered, asked = Delivered(), Asked()
    merge = Merge(delivered, asked)
    merge.bring(FIRST, messages(0, epoch=1))
    merge.bring(SECOND, messages(0, 1, epoch=2))
    merge.bring(SECOND, messages(4, 5, epoch=3))  # it was cut meanwhile
    assert (delivered, asked.times) == ([0, 1], 1)
    merge.bring(FIRST, messages(1, 2, 3, epoch=1))
    merge.bring(FIRST, messages(4, 5, 6, epoch=1))
    assert delivered == [0, 1, 2, 3, 4, 5, 6]


def test_epochs_never_fall() -> None:
    got: list[Message] = []
    merge = Merge(got.extend, Asked())
    merge.bring(FIRST, messages(0, epoch=1))
    merge.bring(SECOND, messages(0, 1, epoch=2))
    merge.bring(FIRST, messages(1, 2, 3, epoch=1))
    merge.bring(SECOND, messages(2, 3, 4, epoch=2))
    assert [(number(each), each.epoch) for each in got] == [(0, 1), (1, 2), (2, 2), (3, 2), (4, 2)]


def test_a_topic_that_stays_silent_does_not_keep_the_merge_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_LATE", 3)
    merge = Merge(Delivered(), Asked())
    merge.bring(FIRST, messages(0, topic="/a:silent"))
    merge.end_first()
    merge.bring(SECOND, messages(1, 2))
    assert not merge.over
    merge.bring(SECOND, messages(3))
    assert merge.over


def test_it_is_not_over_while_the_first_goes_on() -> None:
    merge = Merge(Delivered(), Asked())
    assert not merge.over
    merge.end_first()
    assert merge.over


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_HELD", 4)
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    merge.bring(SECOND, messages(0, 1, 2, 3))
    assert delivered == []
    merge.bring(SECOND, messages(4))
    assert delivered == [0, 1, 2, 3, 4]
    merge.bring(FIRST, messages(0, 1, 2, 3, 4, 5))
    assert delivered == [0, 1, 2, 3, 4, 5]


def test_what_is_remembered_of_a_topic_and_of_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_CHANNELS", 10)
    monkeypatch.setattr(merge_module, "_MAX_OWED", 100)
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    for count in range(1000):
        merge.bring(FIRST, messages(count))
        assert sum(len(feed.owed[SECOND]) for feed in merge._feeds.values()) <= 100
    merge.bring(SECOND, messages(990, 1000))
    assert delivered == list(range(1001)), "the newest are remembered"
    for count in range(100):
        merge.bring(FIRST, messages(0, topic=f"/a:{count}"))
        assert len(merge._feeds) <= 10


def test_a_callback_that_is_called_in_a_delivery_holds_no_lock_and_may_end_the_first() -> None:
    delivered = Delivered()

    def deliver(messages: list[Message]) -> None:
        delivered(messages)
        if delivered == [0, 1]:
            assert not merge._lock.locked()
            merge.bring(SECOND, made[1:4])
            merge.end_first()

    merge = Merge(deliver, Asked())
    made = messages(*range(4))
    merge.bring(FIRST, made[:2])
    assert delivered == [0, 1, 2, 3]


def test_what_waits_for_a_blocked_delivery_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_UNDELIVERED", 3)
    delivered, blocked, release = Delivered(), Latch(), Latch()

    def deliver(some: list[Message]) -> None:
        blocked.set()
        assert release.wait(LIMIT)
        delivered(some)

    merge = Merge(deliver, Asked())
    first = Task(merge.bring, FIRST, messages(0))
    assert blocked.wait(LIMIT)
    merge.bring(SECOND, messages(0, 1, 2))  # does not wait
    second = Task(merge.bring, SECOND, messages(3, 4))
    until(lambda: merge._fewer._waiters, "the second does not wait")  # type: ignore[attr-defined]
    release.set()
    first.result()
    second.result()
    assert delivered == [0, 1, 2, 3, 4]


def test_after_a_delivery_that_raises_the_next_goes_on() -> None:
    delivered = Delivered()
    merge = Merge(lambda each: delivered(each) if number(each[0]) else 1 / 0, Asked())  # type: ignore[func-returns-value]
    with pytest.raises(ZeroDivisionError):
        merge.bring(FIRST, messages(0))
    merge.bring(FIRST, messages(1))
    assert delivered == [1]


STEPS = st.lists(st.tuples(st.sampled_from(["first", "second", "prove"]), st.integers(0, 7)), max_size=30)


@settings(max_examples=examples(300), deadline=None)
@given(count=st.integers(0, 30), bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)), steps=STEPS)
def test_whatever_the_overlap_nothing_is_missing_or_doubled_or_out_of_order(
    count: int, bounds: tuple[int, int], steps: list[tuple[str, int]]
) -> None:
    """The second begins before the first ends; both bring their messages in any batches and turns.

    A proof comes when the first has brought all that was sent before the second began.
    """
    begin, end = sorted(min(bound, count) for bound in bounds)
    first, second = messages(*range(end)), messages(*range(begin, count))
    delivered, asked = Delivered(), Asked()
    merge = Merge(delivered, asked)
    proved = 0
    for kind, size in steps:
        if kind == "prove":
            if asked.times > proved and len(first) <= end - begin:
                proved += 1
                merge.proved()
            continue
        source = first if kind == "first" else second
        batch, source[:] = source[:size], source[size:]
        merge.bring(FIRST if kind == "first" else SECOND, batch)
        assert delivered == list(range(len(delivered)))
    merge.bring(FIRST, first)
    merge.end_first()
    merge.bring(SECOND, second)
    assert delivered == list(range(count))


def test_the_number_of_what_is_remembered_is_right_in_the_end() -> None:
    merge = Merge(Delivered(), Asked())
    merge.bring(SECOND, messages(2, 3, 4))
    merge.bring(FIRST, messages(0, 1, 2, 3, 4, 5, 6))
    merge.bring(SECOND, messages(5, 6, 7))
    assert merge._owed == sum(len(owed) for feed in merge._feeds.values() for owed in feed.owed) == 1
    merge.bring(FIRST, messages(7, 8))
    merge.end_first()
    merge.bring(SECOND, messages(9))
    assert merge._owed == 0
    assert merge.over


def test_two_threads_bring_each_message_once_and_in_order() -> None:
    count, begin, end = 20_000, 5_000, 15_000
    delivered = Delivered()
    merge = Merge(delivered, Asked())
    all_of_them = messages(*range(count))

    def bring_first() -> None:
        for at in range(begin, end, 10):
            merge.bring(FIRST, all_of_them[at : at + 10])
        merge.end_first()

    def bring_second() -> None:
        for at in range(begin, count, 10):
            merge.bring(SECOND, all_of_them[at : at + 10])

    merge.bring(FIRST, all_of_them[:begin])
    for task in [Task(bring_first), Task(bring_second)]:
        task.result()
    assert delivered == list(range(count))
