"""Connections that bring the same: each push when it first comes, once, in order, and a gap only where there is one."""

from __future__ import annotations

import itertools
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kucoin_sync import Message
from kucoin_sync.connections import in_step, merged_topic
from kucoin_sync.connections import merge as merge_module
from kucoin_sync.connections.merge import Merge
from kucoin_sync.connections.merged_topic import MergedTopic
from kucoin_sync.protocol.envelopes import EnvelopePrefix, FrameBatch, Pushes, opened
from kucoin_sync.protocol.message import Arrival, Origin, RawPush
from kucoin_sync.protocol.session_events import TopicKey

from ...support.messages import batch_of, message, number, prefix_of
from ...support.selection import examples
from ...support.threads import Task

FIRST, SECOND = 0, 1
KEY, OTHER = TopicKey("/market/ticker:BTC-USDT"), TopicKey("/market/ticker:ETH-USDT")


class Delivered(list[int]):
    """The numbers of what was delivered, and `batches` as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []
        self.messages: list[Message] = []

    def __call__(self, pushes: Pushes) -> None:
        messages = opened(pushes)
        self.messages += messages
        self.batches.append([number(one) for one in messages])
        self.extend(self.batches[-1])


class Link:
    """A connection; counts how often a proof was asked for."""

    def __init__(self) -> None:
        self.epoch = 0
        self.asked = 0
        self.drop_copies: Any = None

    def prove(self) -> None:
        self.asked += 1


class Pair(Merge):
    """The second connection has begun while the first one was live, as in a rotation, and has been confirmed nothing.

    Attributes:
        delivered: what was delivered.
        links: both connections.
    """

    def __init__(self, *, welcomed: bool = True, lasting: bool = False) -> None:
        self.delivered = Delivered()
        self.links = Link(), Link()
        super().__init__(self.delivered, itertools.count(1), lasting=lasting)
        self.add(self.links[FIRST], [KEY], live=True)
        self.add(self.links[SECOND])
        if welcomed:
            self.join(self.links[SECOND], [KEY])

    def take(self, which: int, pushes: Pushes) -> None:
        self.bring(self.links[which], pushes)

    def prove(self, which: int = FIRST, *, answered: bool = True) -> None:
        self.proved(self.links[which], answered=answered)
        self.flush()

    def end_first(self) -> None:
        self.leave(self.links[FIRST])
        self.flush()

    def drop(self, which: int) -> list[TopicKey]:
        lost = self.lose(self.links[which])
        self.flush()
        return lost

    def confirm(self, which: int, *keys: TopicKey) -> None:
        self.acked(self.links[which], keys)
        self.flush()

    @property
    def asked(self) -> int:
        return self.links[FIRST].asked


def messages(*numbers: int, epoch: int = 0, **options: str) -> list[Message]:
    made = [message(n, **options) for n in numbers]
    for each in made:
        each.origin = Origin(Arrival(epoch))
    return made


def test_what_the_first_brings_is_delivered_at_once_and_not_again() -> None:
    pair = Pair()
    pair.take(FIRST, messages(0, 1))
    pair.take(SECOND, messages(1))
    pair.take(FIRST, messages(2))
    pair.take(SECOND, messages(2))
    assert pair.delivered.batches == [[0, 1], [2]]
    assert (pair.asked, pair.copies) == (0, 2)


def test_what_the_first_brings_before_the_second_can_get_any_is_not_taken_for_a_copy_of_equal_messages() -> None:
    pair = Pair(welcomed=False)
    pair.take(FIRST, messages(0, 0, 0))
    pair.join(pair.links[SECOND], [KEY])
    pair.take(FIRST, messages(0))
    pair.take(SECOND, messages(0))
    pair.end_first()
    pair.take(SECOND, messages(0, 0))
    assert pair.delivered.batches == [[0, 0, 0], [0], [0, 0]]


def test_once_both_have_brought_the_same_whichever_is_faster_delivers() -> None:
    pair = Pair()
    pair.take(FIRST, messages(0))
    pair.take(SECOND, messages(0, 1, 2))
    assert pair.delivered == [0, 1, 2]
    pair.take(FIRST, messages(1, 2, 3, 4))
    assert pair.delivered == [0, 1, 2, 3, 4]
    pair.take(SECOND, messages(3, 4, 5))
    assert pair.delivered == [0, 1, 2, 3, 4, 5]


def test_a_second_that_is_faster_from_the_beginning_steps_over_nothing_that_the_first_has_yet_to_bring() -> None:
    pair = Pair()
    pair.take(SECOND, messages(3, 4, 5))
    pair.take(FIRST, messages(0, 1, 2))
    assert pair.delivered == [0, 1, 2]
    pair.take(FIRST, messages(3))
    assert pair.delivered == [0, 1, 2, 3, 4, 5], "the second goes ahead from here on"
    pair.take(FIRST, messages(4))
    pair.take(SECOND, messages(6))
    pair.take(FIRST, messages(5, 6, 7))
    assert pair.delivered == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("answered", [True, False])
def test_what_only_the_second_brings_waits_for_a_proof_of_the_first_or_until_that_is_overdue(answered: bool) -> None:
    pair = Pair()
    pair.take(SECOND, messages(0, 1))
    pair.take(SECOND, messages(2))
    assert (pair.delivered, pair.asked) == ([], 1)
    pair.prove(answered=answered)
    assert pair.delivered == [0, 1, 2]
    pair.take(SECOND, messages(3))
    assert pair.delivered == [0, 1, 2, 3]
    pair.take(FIRST, messages(0, 1, 2, 3, 4))
    assert pair.delivered == [0, 1, 2, 3, 4]
    assert pair.asked == 1


def test_a_proof_counts_for_what_was_held_when_it_was_asked_for() -> None:
    pair = Pair()
    pair.take(SECOND, messages(0, topic="/a:X"))
    pair.take(SECOND, messages(1, topic="/a:Y"))
    assert pair.asked == 1
    pair.prove()
    assert [each.topic for each in pair.delivered.messages] == ["/a:X"]
    assert pair.asked == 2
    pair.prove()
    assert [each.topic for each in pair.delivered.messages] == ["/a:X", "/a:Y"]
    assert pair.asked == 2


def test_at_the_end_of_the_first_what_only_the_second_brought_follows() -> None:
    pair = Pair()
    pair.take(SECOND, messages(3, 4))
    pair.take(FIRST, messages(0, 1, 2))
    pair.end_first()
    pair.take(SECOND, messages(5))
    assert pair.delivered == [0, 1, 2, 3, 4, 5]
    pair.end_first()
    pair.take(FIRST, messages(6))
    assert pair.delivered == [0, 1, 2, 3, 4, 5], "whose end is told once, and who brings nothing more"


@pytest.mark.parametrize(
    "other",
    [
        message(0, topic="/market/ticker:ETH-USDT"),
        message(0, subject="trade.other"),
        message(1),
    ],
)
def test_messages_differ_by_topic_subject_and_data(other: Message) -> None:
    pair = Pair()
    pair.take(FIRST, [message(0)])
    pair.take(SECOND, [message(0), other])
    pair.end_first()
    assert pair.delivered.messages == [message(0), other]


def test_a_second_that_lags_behind_the_end_of_the_first_brings_nothing_twice() -> None:
    pair = Pair()
    pair.take(FIRST, messages(0, 1, 2, 3, 4))
    pair.take(SECOND, messages(1, 2))
    pair.end_first()
    pair.take(SECOND, messages(3))
    assert not pair.over
    pair.take(SECOND, messages(4, 5))
    assert pair.over
    assert pair.delivered == [0, 1, 2, 3, 4, 5]


def test_each_topic_and_subject_catches_up_for_itself() -> None:
    pair = Pair()
    kinds = [{"topic": "/a:X"}, {"topic": "/a:Y"}, {"topic": "/a:X", "subject": "other"}]
    for kind in kinds:
        pair.take(FIRST, messages(0, 1, **kind))
    pair.end_first()
    for kind in kinds:
        assert not pair.over
        pair.take(SECOND, messages(1, 2, **kind))
    assert pair.over
    expected = [one for kind in kinds for one in messages(0, 1, **kind)] + [message(2, **kind) for kind in kinds]
    assert pair.delivered.messages == expected


def test_what_the_second_alone_was_sent_at_its_beginning_is_delivered_too() -> None:
    """A fresh subscription may begin with something that the first was not sent."""
    pair = Pair()
    pair.take(FIRST, messages(0, 1))
    pair.take(SECOND, messages(100, 0, 1))
    assert pair.delivered == [0, 1, 100]


def test_a_second_that_begins_again_somewhere_else_is_held_again() -> None:
    pair = Pair()
    pair.take(FIRST, messages(0, epoch=1))
    pair.take(SECOND, messages(0, 1, epoch=2))
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY])
    pair.take(SECOND, messages(4, 5, epoch=3))
    assert (pair.delivered, pair.asked) == ([0, 1], 1)
    pair.take(FIRST, messages(1, 2, 3, epoch=1))
    pair.take(FIRST, messages(4, 5, 6, epoch=1))
    assert pair.delivered == [0, 1, 2, 3, 4, 5, 6]


def test_epochs_never_fall() -> None:
    pair = Pair()
    pair.take(FIRST, messages(0, epoch=1))
    pair.take(SECOND, messages(0, 1, epoch=2))
    pair.take(FIRST, messages(1, 2, 3, epoch=1))
    pair.take(SECOND, messages(2, 3, 4, epoch=2))
    got = [(number(each), each.epoch) for each in pair.delivered.messages]
    assert got == [(0, 1), (1, 2), (2, 2), (3, 2), (4, 2)]


def test_a_topic_that_stays_silent_does_not_keep_the_merge_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_LATE", 3)
    pair = Pair()
    pair.take(FIRST, messages(0, topic="/a:silent"))
    pair.end_first()
    pair.take(SECOND, messages(1, 2))
    assert not pair.over
    pair.take(SECOND, messages(3))
    assert pair.over


def test_it_is_not_over_while_the_first_goes_on_nor_if_it_is_to_last() -> None:
    pair = Pair()
    assert not pair.over
    pair.end_first()
    assert pair.over
    pair = Pair(lasting=True)
    pair.end_first()
    assert not pair.over


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "_MAX_TOPICS", 10)
    monkeypatch.setattr(merge_module, "_MAX_PREFIXES", 10)
    pair = Pair()
    for count in range(100):
        pair.take(FIRST, batch_of(0, 1, f"/a:{count}"))
        pair.take(SECOND, messages(1, topic=f"/b:{count}"))
        assert len(pair._topics) <= 11
        assert all(len(member.known) <= 10 for member in pair._members.values())
    pair.end_first()
    assert sorted(pair.delivered) == [0] * 100 + [1] * 100, "what was held is not lost"


def test_a_batch_that_is_all_new_is_passed_on_as_it_came() -> None:
    pair = Pair()
    got: list[Pushes] = []
    pair._output._deliver = got.append
    batch, part = batch_of(0, 5), batch_of(3, 5)
    pair.take(FIRST, batch)
    pair.take(SECOND, part)
    assert got[0] is batch
    assert [push.frame for push in got[1] if isinstance(push, RawPush)] == part.frames[2:]


def test_copies_are_dropped_before_they_are_read_until_a_connection_begins_again() -> None:
    pair = Pair()
    drop = pair.links[SECOND].drop_copies
    pair.take(FIRST, batch_of(0, 1))
    pair.take(SECOND, batch_of(0, 1))
    pair.take(FIRST, batch := batch_of(1, 2))
    assert drop(batch.frames[:1]) == []
    assert (pair.copies, pair.delivered) == (2, [0, 1, 2])
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY])
    assert drop(batch.frames[1:]) == batch.frames[1:], "where it has begun is not known yet"
    pair.end_first()
    assert pair.links[FIRST].drop_copies is None


def test_a_frame_of_a_topic_that_was_subscribed_again_is_no_copy_of_one_from_before() -> None:
    pair = Pair()
    for which in (FIRST, SECOND):
        pair.take(which, batch_of(0, 1))
    pair.take(FIRST, batch_of(1, 1))
    pair.forget([KEY])
    pair.expect([KEY])
    frames = batch_of(1, 1).frames
    assert pair.links[SECOND].drop_copies(frames) == frames


# For good: both connections carry the same keys


def both(*keys: TopicKey) -> Pair:
    """Return a pair in which both connections have keys, proven."""
    pair = Pair(lasting=True, welcomed=False)
    pair.drop(FIRST)
    for which in (FIRST, SECOND):
        pair.join(pair.links[which], keys)
    for which in (FIRST, SECOND):
        pair.confirm(which, *keys)
        pair.prove(1 - which)
    assert pair.redundant == set(keys)
    return pair


def test_the_loss_of_one_leaves_no_gap_once_the_other_has_proved_that_nothing_is_under_way() -> None:
    pair = both(KEY, OTHER)
    epochs = [link.epoch for link in pair.links]
    assert epochs[FIRST] == epochs[SECOND]
    assert pair.drop(FIRST) == []
    assert pair.redundant == set()
    pair.join(pair.links[FIRST], [KEY, OTHER])
    pair.confirm(FIRST, KEY)
    assert pair.redundant == set(), "the second may have something under way that came before"
    pair.prove(SECOND)
    assert pair.redundant == {KEY}
    assert [link.epoch for link in pair.links] == epochs
    assert pair.drop(SECOND) == [OTHER]
    assert pair.links[FIRST].epoch > epochs[FIRST]


def test_a_proof_that_is_overdue_proves_nothing_of_keys_and_is_asked_for_again() -> None:
    pair = both(KEY)
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY])
    pair.confirm(SECOND, KEY)
    asked = pair.asked
    pair.prove(answered=False)
    assert (pair.redundant, pair.asked) == (set(), asked + 1)
    pair.prove()
    assert pair.redundant == {KEY}


def test_of_two_that_are_made_the_later_may_be_the_first_to_carry_a_topic() -> None:
    pair = Pair(lasting=True, welcomed=False)
    pair.drop(FIRST)
    for which in (FIRST, SECOND):
        pair.join(pair.links[which], [KEY])
    pair.confirm(SECOND, KEY)
    pair.take(SECOND, messages(1, 2))
    pair.confirm(FIRST, KEY)
    pair.take(FIRST, messages(3))
    pair.take(SECOND, messages(3))
    assert pair.delivered == [1, 2, 3]


def test_the_loss_of_both_is_a_gap_and_the_next_may_begin_anywhere() -> None:
    pair = both(KEY)
    epoch = pair.links[FIRST].epoch
    pair.take(FIRST, messages(5, 6, epoch=epoch))
    pair.drop(FIRST)
    assert pair.drop(SECOND) == [KEY]
    pair.join(pair.links[SECOND], [KEY])
    assert pair.links[SECOND].epoch > epoch
    pair.take(SECOND, messages(6, 3, epoch=pair.links[SECOND].epoch))
    assert pair.delivered == [5, 6, 6, 3]


def positions(*numbers: int) -> list[Message]:
    """Return tickers with a sequence."""
    made = []
    for n in numbers:
        one = message(n)
        raw = one.raw.replace(b'"n"', b'"sequence": "%d", "n"' % n)
        made.append(type(one).decode_frame(raw))
        made[-1].raw = raw
    return made


def test_after_the_loss_of_both_positions_may_begin_anywhere() -> None:
    pair = both(KEY)
    pair.take(FIRST, positions(5, 6))
    pair.drop(FIRST)
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY])
    pair.take(SECOND, positions(3))
    assert pair.delivered == [5, 6, 3]


@pytest.mark.parametrize(
    ("topic", "has_snapshots"), [(KEY.topic, False), ("/uta/obu.SPOT:BTC-USDT_increment@10ms", True)]
)
def test_after_a_gap_the_next_snapshot_of_a_topic_is_not_older_than_what_came(topic: str, has_snapshots: bool) -> None:
    key = TopicKey(topic)
    pair = both(key)
    pair.take(FIRST, [message(5, topic)])
    [merged] = set(pair._topics.values())
    pair.drop(SECOND)
    assert not merged.again
    pair.join(pair.links[SECOND], [key])
    pair.confirm(SECOND, key)
    assert pair.drop(FIRST) == [key]
    assert merged.again == has_snapshots


def test_the_proof_of_one_connection_that_has_everything_is_enough() -> None:
    pair, third = both(KEY), Link()
    pair.add(third)
    pair.join(third, [KEY])
    pair.acked(third, (KEY,))
    pair.flush()
    pair.drop(FIRST)
    pair.join(pair.links[FIRST], [KEY])
    pair.confirm(FIRST, KEY)
    pair.prove(SECOND)  # for the third
    pair.prove(SECOND)
    assert not pair._members[pair.links[FIRST]].unproven, "whatever the third has under way, the second has it, too"
    assert pair.drop(SECOND) == []


def test_a_connection_that_leaves_after_a_proof_has_delivered_everything() -> None:
    pair = both(KEY, OTHER)
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY, OTHER])
    pair.confirm(SECOND, KEY)
    pair.confirm(SECOND, OTHER)  # the proof for the first one is under way
    pair.prove(FIRST)
    pair.prove(FIRST)
    assert pair.drop(FIRST) == []


def test_what_comes_after_a_gap_over_the_connection_that_stayed_has_the_higher_epoch() -> None:
    pair = both(KEY)
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY])
    before = pair.links[SECOND].epoch
    pair.take(FIRST, messages(0, epoch=before))
    pair.take(SECOND, messages(4, epoch=before))
    assert pair.delivered == [0], "until it is known where the second has begun"
    pair.drop(FIRST)
    assert [(number(each), each.epoch > before) for each in pair.delivered.messages] == [(0, False), (4, True)]


def test_a_key_that_is_added_is_redundant_when_both_have_it() -> None:
    pair = both(KEY)
    pair.expect([OTHER])
    pair.confirm(SECOND, OTHER)
    pair.prove()
    assert pair.redundant == {KEY}
    pair.confirm(FIRST, OTHER)
    assert pair.redundant == {KEY}
    pair.prove(SECOND)
    assert pair.redundant == {KEY, OTHER}
    pair.forget([KEY])
    assert pair.redundant == {OTHER}
    assert pair.drop(FIRST) == []


@pytest.mark.parametrize("how", ["unsubscribed", "interrupted on both"])
def test_a_proof_that_was_asked_for_before_a_key_was_subscribed_again_does_not_count_for_it(how: str) -> None:
    pair = both(KEY)
    pair.expect([OTHER])
    pair.confirm(FIRST, OTHER)
    pair.confirm(SECOND, OTHER)
    if how == "unsubscribed":
        pair.forget([OTHER])
        pair.expect([OTHER])
    else:
        for link in pair.links:
            pair.interrupted(link, [OTHER])
    pair.confirm(FIRST, OTHER)
    pair.confirm(SECOND, OTHER)
    for _ in range(2):
        assert pair.redundant == {KEY}
        pair.prove(FIRST)
        pair.prove(SECOND)
    assert pair.redundant == {KEY, OTHER}


@pytest.mark.parametrize(("first", "then"), [(FIRST, SECOND), (SECOND, FIRST)])
def test_what_only_the_first_to_confirm_a_new_key_was_sent_is_delivered(first: int, then: int) -> None:
    pair = both(KEY)
    pair.expect([OTHER])
    pair.confirm(first, OTHER)  # from here on the user counts on it
    pair.take(first, messages(1, topic=OTHER.topic))
    pair.confirm(then, OTHER)
    pair.prove(first)
    pair.prove(then)
    assert pair.delivered == [1]
    pair.prove(first)
    assert pair.redundant == {KEY, OTHER}
    pair.take(then, messages(2, topic=OTHER.topic))
    pair.take(first, messages(2, 3, topic=OTHER.topic))
    assert pair.delivered == [1, 2, 3]


def test_a_topic_in_a_tunnel_and_the_same_one_outside_are_apart() -> None:
    inside = TopicKey(KEY.topic, "bt1")
    pair = both(KEY)
    pair.take(FIRST, messages(0))
    pair.expect([inside])
    pair.drop(SECOND)
    pair.join(pair.links[SECOND], [KEY, inside])  # to which the tunnel is new on both
    pair.take(FIRST, messages(1))
    assert pair.delivered == [0, 1], "the first has had it all the time"
    pair.confirm(SECOND, inside)
    pair.prove(FIRST)
    pair.take(SECOND, messages(3))
    assert pair.delivered == [0, 1], "the second may be ahead"
    pair.forget([inside])
    pair.take(FIRST, messages(2, 3))
    pair.take(SECOND, messages(4))
    assert pair.delivered == [0, 1, 2, 3, 4]


def test_a_topic_that_begins_again_on_one_connection_is_a_gap_if_the_other_is_lost() -> None:
    pair = both(KEY)
    pair.take(FIRST, messages(0))
    pair.interrupted(pair.links[FIRST], [KEY])
    pair.take(FIRST, messages(5))
    assert pair.delivered == [0], "what follows may have come after something that the other one has yet to bring"
    assert pair.drop(SECOND) == [KEY]
    assert pair.delivered == [0, 5]


def test_what_is_told_of_a_connection_that_has_left_changes_nothing() -> None:
    pair, gone = both(KEY), Link()
    pair.join(gone, [KEY])
    assert pair.acked(gone, (KEY,)) == (KEY,)
    pair.interrupted(gone, [KEY])
    pair.proved(gone)
    pair.bring(gone, messages(0))
    pair.leave(gone)
    assert pair.lose(gone) == []
    assert pair.redundant == {KEY}
    pair.drop(FIRST)
    pair.confirm(FIRST, KEY)
    assert (pair.drop(FIRST), pair.redundant, pair.delivered) == ([], set(), [])


def test_two_threads_bring_each_message_once_and_in_order() -> None:
    count, begin, end = 20_000, 5_000, 15_000
    pair = Pair()
    all_of_them = messages(*range(count))

    def bring_first() -> None:
        for at in range(begin, end, 10):
            pair.take(FIRST, all_of_them[at : at + 10])
        pair.end_first()

    def bring_second() -> None:
        for at in range(begin, count, 10):
            pair.take(SECOND, all_of_them[at : at + 10])

    pair.take(FIRST, all_of_them[:begin])
    for task in [Task(bring_first), Task(bring_second)]:
        task.result()
    assert pair.delivered == list(range(count))


# Any course of events


class Server:
    """Sends numbered pushes of one topic to all connections; what is under way to one is lost with it.

    Attributes:
        sent: how many were sent.
        counted_on: how many were sent before the first confirmation came; None before it, and from the first cut on.
        brought: the first push that a connection has brought of those counted on; None before that.
        form: whether pushes are brought as decoded messages or as batches of frames.
    """

    def __init__(self, kind: str, form: str) -> None:
        self.sent = 0
        self.counted_on: int | None = None
        self.brought: int | None = None
        self.was_cut = False
        self.kind = kind
        self.form = form
        self.got: list[Message] = []
        self.merge = Merge(lambda pushes: self.got.extend(opened(pushes)), itertools.count(1), lasting=True)
        self.wires = [Wire(self), Wire(self)]
        self.retiring: list[Wire] = []
        self.gapless = True  # whether each loss was one that leaves no gap
        self._prefixes: dict[bytes, EnvelopePrefix] = {}

    def send(self) -> None:
        for wire in [*self.wires, *self.retiring]:
            if wire.subscribed:
                wire.under_way.append(self.sent)
        self.sent += 1

    def push(self, n: int, epoch: int) -> Message:
        topic, member = {"rising": ("/market/ticker", "sequence"), "equal": ("/market/match", "tradeId")}[self.kind]
        made = message(n, f"{topic}:BTC-USDT")
        frame = made.raw.replace(b'"n"', b'"%s": "%d", "n"' % (member.encode(), n))
        made = type(made).decode_frame(frame)
        made.raw, made.origin = frame, Origin(Arrival(epoch))
        return made

    def bring(self, wire: Wire, pushes: list[Message]) -> None:
        """Have the merge take pushes that came in one read."""
        if self.brought is None and self.counted_on is not None:
            self.brought = next((n for n in map(number, pushes) if n >= self.counted_on), None)
        if self.form == "messages":
            self.merge.bring(wire, pushes)
            return
        frames = wire.drop_copies([push.raw for push in pushes])
        if frames:
            start = pushes[0].raw[: pushes[0].raw.index(b'"data": ') + 8]
            prefix = self._prefixes.setdefault(start, prefix_of(start, str(pushes[0].topic), pushes[0].subject))
            self.merge.bring(wire, FrameBatch(frames, pushes[0].origin.arrival, prefix=prefix))


class Wire:
    """A connection to the server, with all that is under way."""

    def __init__(self, server: Server) -> None:
        self.epoch = 0
        self.drop_copies: Any = None
        self.live = self.subscribed = False
        self.under_way: deque[Any] = deque()
        self.pings_at_once = True
        self.replaces: Wire | None = None
        self.retired = False
        self._asked = self._pinged = 0
        self._server = server
        self._key = TopicKey({"rising": "/market/ticker:BTC-USDT", "equal": "/market/match:BTC-USDT"}[server.kind])
        server.merge.add(self)

    def prove(self) -> None:
        if self.live:
            self._asked += 1
            if self.pings_at_once:
                self.ping()

    def ping(self) -> None:
        if self.live and self._asked > self._pinged:
            self._pinged = self._asked
            self.under_way.append(("pong", self._asked))

    def join(self) -> None:
        if not self.live:
            self.live = True
            self._server.merge.join(self, [self._key])

    def subscribe(self) -> None:
        if self.live and not self.subscribed:
            self.subscribed = True
            self.under_way.append("ack")

    def begin(self) -> None:
        self.join()
        self.subscribe()

    def rotate(self) -> None:
        """Begin to replace this connection, unless it replaces another one itself.

        Where pushes have no positions, it is done once two connections have proved what they have, as in all rotations
        but those within a second from the beginning. If all have just begun, nothing tells which push is older.
        """
        server = self._server
        may = server.kind == "rising" or self._key in server.merge.redundant
        if self.live and self.replaces is None and may:
            new = Wire(server)
            new.pings_at_once, new.replaces = self.pings_at_once, self
            server.wires[server.wires.index(self)] = new
            server.retiring.append(self)
            new.begin()

    def retire(self) -> None:
        """End after the pong of a last ping: another connection has its topics."""
        if self.live and not self.retired:
            self.retired = True
            self._asked += 1
            self._pinged = self._asked
            self.under_way.append(("last pong", self._asked))

    def leave(self) -> None:
        server = self._server
        server.retiring.remove(self)
        for wire in server.wires:
            wire.replaces = None if wire.replaces is self else wire.replaces
        redundant = self._key in server.merge.redundant
        server.was_cut |= not redundant
        server.counted_on = server.counted_on if redundant else None
        self.live = self.subscribed = False
        self.under_way.clear()
        server.merge.leave(self)
        server.merge.flush()
        server.gapless &= redundant or not server.got

    def cut(self) -> None:
        if self.live:
            server = self._server
            redundant = self._key in server.merge.redundant
            server.counted_on, server.was_cut = None, True
            self.live = self.subscribed = False
            self.under_way.clear()
            server.merge.lose(self)
            server.merge.flush()
            server.gapless &= redundant or not server.got

    def bring(self, count: int) -> None:
        merge, pushes = self._server.merge, []
        for _ in range(min(count, len(self.under_way))):
            one = self.under_way.popleft()
            if isinstance(one, int):
                pushes.append(self._server.push(one, self.epoch))
                continue
            if pushes:
                self._server.bring(self, pushes)
                pushes = []
            if one == "ack":
                if self._server.counted_on is None and not self._server.was_cut:
                    self._server.counted_on = self._server.sent
                merge.acked(self, (self._key,))
                if self.replaces is not None:
                    self.replaces.retire()
            elif one[0] == "last pong":
                if one[1] == self._asked:
                    merge.proved(self)
                    merge.flush()
                if one[1] == self._asked:
                    self.leave()
                    return
                self._pinged = self._asked
                self.under_way.append(("last pong", self._asked))
            elif one[1] == self._asked:  # as a connection does, it tells of the last proof that was asked for
                merge.proved(self)
            merge.flush()
        if pushes:
            self._server.bring(self, pushes)


STEPS = st.lists(
    st.one_of(
        st.just(("send", 0, 0)),
        st.tuples(st.just("bring"), st.integers(0, 1), st.integers(1, 6)),
        st.tuples(st.sampled_from(["begin", "join", "subscribe", "ping", "cut"]), st.integers(0, 1), st.just(0)),
        st.tuples(st.sampled_from(["rotate", "cut old"]), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("bring old"), st.integers(0, 1), st.integers(1, 6)),
    ),
    max_size=80,
)


BOTH = [("subscribe", 0, 0), ("subscribe", 1, 0)]


def check(server: Server) -> None:
    """Nothing comes twice or out of order, and something is missing only where the epoch rises."""
    got = [(number(each), each.epoch) for each in server.got]
    for (before, epoch), (n, next_epoch) in itertools.pairwise(got):
        assert n > before, got
        assert n == before + 1 or next_epoch > epoch, got
        assert next_epoch >= epoch
    if server.gapless:
        assert len({epoch for _, epoch in got}) <= 1, "an epoch has risen without need"
    if got and server.counted_on is not None:
        assert got[0][0] <= server.counted_on, "what came first is missing"
    if got and server.brought is not None and server.kind == "rising":
        assert got[0][0] <= server.brought, "what was brought first is missing"


@pytest.mark.parametrize("form", ["messages", "batches"])
@pytest.mark.parametrize("kind", ["rising", "equal"])
@settings(max_examples=examples(300), deadline=None)
@given(steps=STEPS)
@example(steps=[*BOTH, ("send", 0, 0), ("cut", 0, 0), ("begin", 0, 0), ("bring", 0, 1)])
@example(
    steps=[*BOTH, ("bring", 1, 1), ("send", 0, 0), ("bring", 0, 1), ("bring", 1, 1), ("send", 0, 0), ("bring", 1, 2)],
)
@example(steps=[("subscribe", 1, 0), ("send", 0, 0), ("send", 0, 0), ("bring", 1, 2)])
@example(steps=[("subscribe", 1, 0), ("send", 0, 0)])
@example(
    steps=[("subscribe", 0, 0), ("bring", 0, 1), ("send", 0, 0), ("bring", 0, 1), ("subscribe", 1, 0), ("bring", 1, 1),
           ("ping", 0, 0), ("bring", 0, 1)],
)  # fmt: skip
@example(
    steps=[("subscribe", 1, 0), ("bring", 1, 1), ("send", 0, 0), ("bring", 1, 1), ("subscribe", 0, 0), ("bring", 0, 1),
           ("ping", 1, 0), ("bring", 1, 1), ("cut", 1, 0)],
)  # fmt: skip
def test_whatever_is_cut_and_however_pushes_overtake_each_other(
    kind: str, form: str, steps: list[tuple[str, int, int]]
) -> None:
    server = Server(kind, form)
    for wire in server.wires:
        wire.join()
        wire.pings_at_once = False
    for what, which, count in steps:
        if what == "send":
            server.send()
        elif what == "bring":
            server.wires[which].bring(count)
        elif what == "bring old":
            for wire in server.retiring[which : which + 1]:
                wire.bring(count)
        elif what == "cut old":
            for wire in server.retiring[which : which + 1]:
                wire.leave()
        else:
            getattr(server.wires[which], what)()
        check(server)
    server.wires[0].begin()
    for _ in range(5):
        server.send()
        for wire in [*server.wires, *server.retiring]:
            wire.ping()
            wire.bring(1000)
    check(server)
    assert number(server.got[-1]) == server.sent - 1


@pytest.mark.parametrize("form", ["messages", "batches"])
@pytest.mark.parametrize("kind", ["rising", "equal"])
def test_1000_cuts_and_rotations_of_one_of_two_leave_no_gap(kind: str, form: str) -> None:
    draw = random.Random(1)
    server = Server(kind, form)
    for wire in server.wires:
        wire.begin()
        wire.bring(100)
    for _ in range(1000):
        for _ in range(3):
            for wire in [*server.wires, *server.retiring]:
                wire.bring(1000)
        assert server.merge.redundant
        draw.choice([Wire.cut, Wire.rotate])(server.wires[draw.randrange(2)])
        for _ in range(draw.randrange(10)):
            server.send()
            draw.choice([*server.wires, *server.retiring]).bring(draw.randrange(5))
            if draw.random() < 0.3:
                for wire in server.wires:
                    wire.begin()
        for wire in server.wires:
            wire.begin()
    for wire in server.wires:
        wire.bring(10**6)
    assert [number(each) for each in server.got] == list(range(server.sent))
    assert len({each.epoch for each in server.got}) == 1
    assert server.gapless


def test_a_rotation_may_begin_before_the_last_one_is_over() -> None:
    """A topic that is silent on the new connection keeps the merge of the rotation."""
    pair, third = Pair(), Link()
    pair.take(FIRST, messages(0, topic=OTHER.topic))
    pair.take(FIRST, messages(1))
    pair.confirm(SECOND, KEY)
    pair.prove(FIRST)
    pair.end_first()
    assert not pair.over
    pair.take(SECOND, messages(2, 3))
    pair.add(third)
    pair.join(third, [KEY])
    pair.acked(third, (KEY,))
    pair.flush()
    pair.prove(SECOND)
    for n in (4, 5):
        pair.take(SECOND, messages(n))
        pair.bring(third, messages(n))
    assert pair.delivered == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["rising", "equal"])
def test_the_loss_of_the_connection_that_is_asked_is_no_proof(kind: str) -> None:
    server = Server(kind, "messages")
    one, other = server.wires
    for _ in range(3):
        for wire in server.wires:
            wire.begin()
            wire.bring(100)
    assert server.merge.redundant
    server.send()
    for wire in server.wires:
        wire.bring(100)
        wire.pings_at_once = False
    one.rotate()
    new = server.wires[0]
    other.cut()
    new.bring(1)  # its confirmation
    one.ping()
    server.send()
    other.begin()
    other.bring(1)
    one.bring(len(one.under_way) - 1)  # without the last pong
    one.leave()
    new.cut()
    for _ in range(2):
        server.send()
        for wire in server.wires:
            wire.ping()
            wire.bring(100)
    check(server)


def test_a_topic_for_which_memory_was_short_is_made_at_the_next_push(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, add, added = both(KEY), MergedTopic.add, itertools.count()

    def add_one(topic: MergedTopic, *args: Any, **options: Any) -> None:
        if next(added) == 1:
            raise MemoryError
        add(topic, *args, **options)

    monkeypatch.setattr(MergedTopic, "add", add_one)
    with pytest.raises(MemoryError):
        pair.take(FIRST, messages(0))
    pair.take(FIRST, messages(1))
    pair.take(SECOND, messages(1, 2))
    assert pair.delivered == [1, 2]


def test_what_is_owed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_topic, "_MAX_OWED", 100)
    monkeypatch.setattr(in_step, "_MAX_AWAITED", 100)
    pair = both(KEY)
    for count in range(1000):
        pair.take(FIRST, messages(count))
    sides = [side for topic in pair._topics.values() for side in topic.sides.values()]
    assert max(len(side.owed) for side in sides) == 100
    pair.take(SECOND, messages(*range(1000), 1000))
    assert pair.delivered == list(range(1001)), "what lies further back than is remembered is not taken for new"


def test_an_error_while_a_push_is_taken_shows_in_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = both(KEY)
    before = pair.links[FIRST].epoch
    take, failing = merged_topic.MergedTopic.take, [2]

    def fail(self: Any, side: Any, push: Any, fresh: Any) -> int:
        result = take(self, side, push, fresh)
        if number(push) in failing:
            fresh.pop()  # it counts as delivered
            raise MemoryError
        return result

    monkeypatch.setattr(merged_topic.MergedTopic, "take", fail)
    with pytest.raises(MemoryError):
        pair.take(FIRST, messages(1, 2, 3, epoch=before))
    pair.flush()
    failing.clear()
    pair.take(SECOND, messages(1, 2, 3, epoch=before))
    assert pair.delivered == [1, 3]
    assert pair.delivered.messages[-1].epoch > before
    assert pair.links[SECOND].epoch > before
