"""Pushes of connections in step: what one brings first is delivered, and found again without being read."""

from __future__ import annotations

import threading

import pytest

from kucoin_sync.connections import in_step
from kucoin_sync.connections.in_step import ACCEPTED, COPY, InStep, Side, TopicStep
from kucoin_sync.protocol.envelopes import EnvelopePrefix, FrameBatch, Push
from kucoin_sync.protocol.message import Arrival, RawPush

from ...support.messages import batch_of, message

X, Y, ALONE = "/a:X", "/a:Y", "/a:alone"


class Member:
    """A connection, with its side of each topic."""

    def __init__(self) -> None:
        self.sides = {name: Side(live=True, placed=True, turn=0) for name in (X, Y, ALONE)}
        self.known: dict[EnvelopePrefix, tuple[object, Side]] = {}
        for batch in (batch_of(0, 2, X, Y), batch_of(0, 2, X, ALONE)):
            for push in batch:
                self.known[push.prefix] = None, self.sides[str(push.prefix.channel[0])]


class Pair(InStep):
    """Two connections that are in step on two topics, and not on a third."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())
        self.first, self.second = Member(), Member()
        for name in (X, Y):
            self.first.sides[name].step = self.second.sides[name].step = TopicStep()

    def bring(self, member: Member, batch: FrameBatch) -> tuple[int, int, int]:
        """Return how many were accepted and are left, and how many were appended to those to deliver."""
        fresh: list[Push] = []
        accepted, rest = self.take(member, batch, fresh)
        return accepted, len(rest), len(fresh)


def copy_of(batch: FrameBatch) -> list[bytes]:
    """Return the same frames as other objects, as another connection reads them."""
    return [bytes(bytearray(frame)) for frame in batch.frames]


def test_what_one_brings_is_accepted_and_a_copy_when_the_other_brings_it() -> None:
    first, second = (Side(live=True, placed=True, turn=0) for _ in range(2))
    step = TopicStep()
    assert [step.take(first, data) for data in (b"1", b"1", b"2")] == [ACCEPTED] * 3
    assert [step.take(second, data) for data in (b"1", b"1")] == [COPY] * 2
    assert step.take(second, b"3") is None, "the other one has to bring equal data next"
    assert (step.awaited, list(step.recent)) == ([b"2"], [b"1", b"1"])
    assert [step.take(second, data) for data in (b"2", b"3")] == [COPY, ACCEPTED]
    assert step.ahead is second


def test_what_only_one_has_brought_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_step, "_MAX_AWAITED", 3)
    side, step = Side(live=True, placed=True, turn=0), TopicStep()
    assert [step.take(side, b"%d" % n) for n in range(4)] == [ACCEPTED] * 3 + [None]


def test_large_pushes_that_only_one_has_brought_are_bounded_by_their_bytes() -> None:
    side, step = Side(live=True, placed=True, turn=0), TopicStep()
    results = [step.take(side, b"%100000d" % n) for n in range(4)]
    assert results == [ACCEPTED] * 3 + [None]
    assert sum(map(len, step.awaited)) < 400_000


def test_a_batch_that_is_all_new_is_not_copied() -> None:
    pair = Pair()
    batch = batch_of(0, 4, X, Y)
    assert pair.bring(pair.first, batch) == (4, 0, 0)
    assert pair.bring(pair.second, batch) == (0, 0, 0)
    assert pair.bring(pair.second, batch_of(4, 2, X)) == (2, 0, 0)
    assert pair.copies == 4


def test_a_batch_is_taken_up_to_the_first_push_whose_topic_is_not_in_step() -> None:
    pair = Pair()
    assert pair.bring(pair.first, batch_of(0, 4, X, ALONE)) == (1, 3, 1)
    assert pair.bring(pair.first, batch_of(0, 4, "/a:unknown")) == (0, 4, 0)
    assert pair.bring(pair.second, batch_of(1, 4, Y)) == (4, 0, 0)
    assert pair.bring(pair.first, batch_of(2, 3, Y)) == (0, 3, 0), "the other one has brought another push before"
    assert pair.bring(pair.first, batch_of(5, 1, X)) == (1, 0, 0)
    assert pair.bring(pair.second, batch_of(0, 3, X, Y)) == (1, 1, 1), "a copy, a new one, and one of other data"


def test_pushes_that_did_not_come_as_a_batch_are_taken_too_up_to_one_that_was_decoded() -> None:
    pair = Pair()
    [push] = batch_of(0, 1, X)
    fresh: list[Push] = []
    assert pair.take(pair.first, (push,), fresh) == (1, ())
    pushes = [RawPush(push.frame, Arrival(2), push.prefix), message(1, X), push]
    assert pair.take(pair.second, pushes, fresh) == (0, pushes[1:])
    assert not fresh


def test_frames_of_a_read_are_dropped_as_far_as_they_are_copies() -> None:
    pair = Pair()
    frames = copy_of(batch := batch_of(0, 6, X, Y))
    assert pair.drop_copies(pair.second, frames) is frames
    pair.bring(pair.first, batch)
    assert pair.drop_copies(pair.second, frames[:2]) == []
    more = copy_of(batch_of(6, 1, X))
    assert pair.drop_copies(pair.second, [*frames[2:], *more]) == more
    assert pair.copies == 6
    assert [side.step.recent[-1] for side in (pair.first.sides[X], pair.second.sides[Y]) if side.step] == [
        b'{"n": 4}',
        b'{"n": 5}',
    ]
    assert pair.drop_copies(pair.second, frames) is frames, "each frame is a copy once"


def test_topics_may_come_in_another_order_on_the_other_connection_but_not_the_pushes_of_one() -> None:
    pair = Pair()
    x0, y1, x2, y3 = copy_of(batch := batch_of(0, 4, X, Y))
    pair.bring(pair.first, batch)
    assert pair.drop_copies(pair.second, [y1, x0, y3]) == []
    pair = Pair()
    pair.bring(pair.first, batch)
    assert pair.drop_copies(pair.second, [x2, x0, y1]) == [x2, x0, y1]
    assert pair.copies == 0


def test_equal_frames_of_one_connection_are_as_many_pushes() -> None:
    pair = Pair()
    batch, frames = batch_of(0, 1, X), copy_of(batch_of(0, 1, X))
    for _ in range(2):
        assert pair.drop_copies(pair.first, frames) == frames, "what it has brought itself is no copy"
        assert pair.bring(pair.first, batch) == (1, 0, 0)
    assert pair.drop_copies(pair.second, frames) == []
    assert pair.bring(pair.second, batch) == (0, 0, 0)
    assert pair.copies == 2
    assert pair.bring(pair.second, batch) == (1, 0, 0)


def test_an_equal_frame_of_the_connection_that_is_ahead_now_is_no_copy() -> None:
    pair = Pair()
    batch, frames = batch_of(0, 1, X), copy_of(batch_of(0, 1, X))
    pair.bring(pair.first, batch)
    side = pair.second.sides[X]
    assert side.step is not None
    assert [side.step.take(side, b'{"n": 0}') for _ in range(2)] == [COPY, ACCEPTED]  # one by one, after other topics
    assert pair.drop_copies(pair.second, frames) == frames


def test_few_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_step, "_MAX_FRAMES", 10)
    pair = Pair()
    for n in range(20):
        pair.bring(pair.first, batch_of(n, 5, X))
        assert len(pair.frames) <= 14
