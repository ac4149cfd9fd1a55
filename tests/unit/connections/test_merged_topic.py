"""Which pushes of one topic are delivered, when several connections bring them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.connections import in_step, merged_topic
from kucoin_sync.connections.in_step import ACCEPTED, COPY, HELD, InStep
from kucoin_sync.connections.merged_topic import MergedTopic
from kucoin_sync.protocol import classic, uta_push
from kucoin_sync.protocol.envelopes import Push
from kucoin_sync.protocol.message import Message
from kucoin_sync.protocol.sameness import comparison_of

from ...support.selection import examples

A, B, C = "A", "B", "C"


class Topic(MergedTopic):
    """A topic with some connections, and what was delivered of it."""

    def __init__(self, topic: str, *placed: str, joined: Iterable[str] = ()) -> None:
        self.name = topic
        self.in_step = InStep(threading.Lock())
        self.got: list[Any] = []
        super().__init__(comparison_of(topic), self.in_step)
        for member in placed:
            self.add(member, live=True, placed=True)
        for member in joined:
            self.add(member, live=True, placed=False)

    def bring(self, member: str, *values: Any) -> list[int]:
        return [self._bring(member, value) for value in values]

    def _bring(self, member: str, value: Any) -> int:
        fresh: list[Push] = []
        try:
            return self.take(self.sides[member], self.push(value), fresh)
        finally:
            self.note(fresh)

    def note(self, fresh: list[Push]) -> None:
        self.got += [each.data["v"] for each in fresh if isinstance(each, Message)]

    def release(self, member: str) -> None:
        fresh: list[Push] = []
        self.place(self.sides[member], fresh)
        self.note(fresh)

    def drop(self, member: str) -> None:
        fresh: list[Push] = []
        self.lose(member, fresh)
        self.note(fresh)

    def push(self, value: Any) -> Message:
        """Return a push: of a snapshot for ("snapshot", position), without a position for a text."""
        kind, number = value if isinstance(value, tuple) else ("delta", value)
        if self.name.startswith("/uta/"):
            data = {"s": "BTC-USDT", "C": number, "v": value}
            raw = json.dumps({"T": "obu.SPOT", "dp": "increment@10ms", "t": kind, "P": 1, "d": data}).encode()
            made = uta_push.decode_push(raw)
        else:
            members = {} if isinstance(value, str) else {"sequence": str(number), "tradeId": str(number)}
            raw = json.dumps({"topic": self.name, "data": {**members, "v": value}}).encode()
            made = classic.decode_message(raw)
        made.raw = raw
        return made


RISING, EQUAL, BOOK = "/market/ticker:BTC-USDT", "/market/match:BTC-USDT", "/uta/obu.SPOT:BTC-USDT_increment@10ms"
both = pytest.mark.parametrize("name", [RISING, EQUAL])


@both
def test_each_push_is_delivered_when_it_first_comes(name: str) -> None:
    topic = Topic(name, A, B)
    assert topic.bring(A, 1, 2) == [ACCEPTED, ACCEPTED]
    assert topic.bring(B, 1, 2, 3) == [COPY, COPY, ACCEPTED]
    assert topic.bring(A, 3, 4) == [COPY, ACCEPTED]
    assert (topic.got, topic.in_step.copies) == ([1, 2, 3, 4], 3)


@both
def test_equal_pushes_of_one_connection_are_no_copies(name: str) -> None:
    topic = Topic(name, A, B)
    topic.bring(A, 1, 1)
    topic.bring(B, 1, 1, 1, 2)
    topic.bring(A, 1, 2)
    assert topic.got == [1, 1, 1, 2]


def test_servers_that_make_other_pushes_of_a_rising_topic_never_lead_back() -> None:
    topic = Topic(RISING, A, B)
    for member, *positions in ((A, 10, 13), (B, 11), (B, 14), (A, 14, 16), (B, 15, 17)):
        topic.bring(member, *positions)
    assert topic.got == [10, 13, 14, 16, 17]


def test_positions_that_go_back_on_a_connection_begin_a_new_numbering() -> None:
    topic = Topic(RISING, A, B)
    topic.bring(A, 100, 101)
    topic.bring(B, 100)
    topic.bring(A, 1, 2)
    topic.bring(B, 101, 102)
    assert topic.got == [100, 101, 1, 2], "what the other one brings is of the old numbering"
    topic.bring(B, 1, 2, 3)
    topic.bring(A, 3)
    assert topic.got == [100, 101, 1, 2, 3]
    topic.bring(A, 1)
    topic.drop(A)
    topic.bring(B, 4)
    assert topic.got == [100, 101, 1, 2, 3, 1, 4], "what stays is taken for as new as what was lost"


@both
def test_a_connection_that_has_just_joined_is_held_until_its_place_is_known(name: str) -> None:
    topic = Topic(name, A, joined=[B])
    topic.bring(A, 1)
    assert topic.bring(B, 4, 5) == [HELD, HELD]
    topic.bring(A, 2, 3)
    assert topic.got == [1, 2, 3]
    topic.bring(A, 4)
    assert topic.got == [1, 2, 3, 4, 5]
    topic.bring(B, 6)
    topic.bring(A, 5, 6, 7)
    assert topic.got == [1, 2, 3, 4, 5, 6, 7]


@both
def test_a_connection_that_repeats_what_came_is_placed_by_that(name: str) -> None:
    topic = Topic(name, A, joined=[B])
    topic.bring(A, 1, 2)
    topic.bring(B, 2, 3)
    assert topic.got == [1, 2, 3]


@both
def test_of_two_that_have_joined_the_earlier_goes_ahead(name: str) -> None:
    topic = Topic(name, joined=[A, B])
    topic.bring(A, 3)
    topic.bring(B, 1, 2)
    if name == RISING:
        assert topic.got == [1, 2]
    topic.bring(B, 3, 4)
    assert topic.got == [1, 2, 3, 4]
    topic = Topic(name, joined=[A, B])
    topic.bring(A, 1, 2)
    topic.bring(B, 2, 3)
    assert topic.got == [1, 2, 3]


@both
def test_what_was_held_is_delivered_when_nothing_can_come_before_it(name: str) -> None:
    topic = Topic(name, A, joined=[B])
    topic.bring(A, 1)
    topic.bring(B, 3, 4)
    topic.release(B)
    topic.bring(B, 5)
    topic.bring(A, 3, 4, 5, 6)
    assert topic.got == [1, 3, 4, 5, 6]


@both
def test_what_is_held_of_a_lost_connection_is_left_to_the_others(name: str) -> None:
    topic = Topic(name, A, joined=[B])
    topic.bring(A, 1)
    topic.bring(B, 3)
    topic.drop(B)
    assert topic.bring(A, 2, 3) == [ACCEPTED, ACCEPTED]
    topic = Topic(name, joined=[A, B])
    topic.bring(A, 1)
    topic.drop(B)
    topic.drop(A)
    assert topic.got == [1], "unless there are none"
    topic.remove(A)
    assert list(topic.sides) == [B]


@both
def test_three_connections_bring_each_push_once(name: str) -> None:
    topic = Topic(name, A, B, joined=[C])
    topic.bring(A, 1)
    topic.bring(C, 2, 3)
    topic.bring(B, 1, 2)
    topic.bring(A, 2, 3, 4)
    topic.bring(C, 4, 5)
    topic.bring(B, 3, 4, 5)
    topic.bring(A, 5)
    assert topic.got == [1, 2, 3, 4, 5]


def test_what_a_connection_owes_is_bounded_and_what_was_forgotten_is_taken_for_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merged_topic, "_MAX_OWED", 3)
    monkeypatch.setattr(in_step, "_MAX_AWAITED", 3)
    topic = Topic(EQUAL, A, B)
    topic.bring(A, *range(10))
    assert len(topic.sides[B].owed) == 3
    assert topic.bring(B, *range(11)) == [COPY] * 10 + [ACCEPTED]
    topic.bring(A, *range(11, 21))
    topic.drop(A)
    assert topic.bring(B, *range(11, 22)) == [COPY] * 10 + [ACCEPTED], "also when the other one is lost"
    topic = Topic("/unknown", A, B)
    topic.bring(A, *range(10))
    topic.drop(A)
    assert topic.bring(B, 100) == [ACCEPTED], "a server whose pushes are others is not silenced"


@pytest.mark.parametrize("late", [[5, 5], [4, "no position"]])
def test_of_what_two_in_step_have_brought_a_connection_that_joins_later_brings_copies(late: list[int | str]) -> None:
    topic = Topic(RISING, A, B)
    for member in (A, B):
        topic.bring(member, *late)
    topic.drop(B)
    topic.add(B, live=True, placed=False)
    readable = [each for each in late if isinstance(each, int)]
    assert topic.bring(B, *readable) == [COPY] * len(readable)
    assert topic.bring(B, 6) + topic.bring(A, 6, 7) == [ACCEPTED, COPY, ACCEPTED]
    assert topic.got == [*late, 6, 7]


def test_two_in_step_whose_pushes_have_no_positions_are_compared_by_all_data() -> None:
    topic = Topic(RISING, A, B)
    for member in (A, B):
        topic.bring(member, "x", "y")
    topic.bring(A, "z")
    topic.drop(A)
    assert topic.bring(B, "z", "z") == [COPY, ACCEPTED]


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_topic, "_MAX_HELD", 3)
    topic = Topic(RISING, A, joined=[B])
    assert topic.bring(B, 1, 2, 3, 4) == [HELD, HELD, HELD, ACCEPTED]
    topic.bring(A, 1, 2, 3, 4, 5)
    assert topic.got == [1, 2, 3, 4, 5]


def test_pushes_without_a_position_are_compared_by_all_their_data() -> None:
    topic = Topic(RISING, A, joined=[B])
    topic.bring(A, "a", "b")
    topic.bring(B, "b", "c")
    topic.bring(A, "c", "d")
    assert topic.got == ["a", "b", "c", "d"]
    topic = Topic(RISING, A, B)
    topic.bring(A, 1, "a", 2)
    topic.bring(B, 1, "a", 2, 3)
    assert topic.got == [1, "a", 2, 3], "also among others with one"


def test_a_snapshot_is_older_than_what_came_unless_it_was_asked_for() -> None:
    topic = Topic(BOOK, A, B)
    topic.bring(A, ("snapshot", 10), 11, 12, 13)
    assert topic.bring(B, ("snapshot", 11), 12) == [COPY, COPY]
    topic.begin_again()
    topic.bring(A, 14)
    topic.bring(B, ("snapshot", 12))
    assert topic.got[-2:] == [14, ["snapshot", 12]]
    topic.bring(A, 15)
    topic.bring(B, 13, 14, 15, 16)
    topic.bring(A, 16, 17)
    assert topic.got[-6:] == [["snapshot", 12], 13, 14, 15, 16, 17], "what follows the snapshot comes after it again"
    assert topic.bring(A, ("snapshot", 17)) == [ACCEPTED], "a second push of one connection with that position"


@pytest.mark.parametrize("order", sorted({"".join(each) for each in permutations("AABBB")}))
def test_a_change_at_the_position_of_the_snapshot_before_it_is_delivered_once(order: str) -> None:
    topic = Topic(BOOK, A, joined=[B])
    topic.bring(A, ("snapshot", 8), 9)
    pushes = {A: iter([10, 11]), B: iter([("snapshot", 10), 10, 11])}
    for member in order:
        topic.bring(member, next(pushes[member]))
    assert [each for each in topic.got if each != ["snapshot", 10]] == [["snapshot", 8], 9, 10, 11]


@both
def test_a_connection_has_caught_up_when_it_has_brought_all(name: str) -> None:
    topic = Topic(name, A, B)
    topic.bring(A, 1, 2)
    topic.bring(B, 1)
    assert not topic.is_caught_up(B)
    topic.bring(B, 2)
    assert topic.is_caught_up(B)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([A, B]), st.integers(0, 6)),
        st.tuples(st.sampled_from([A, B]), st.just("all")),
        st.tuples(st.sampled_from(["drop", "add", "later", "again", "release"]), st.sampled_from([A, B])),
    ),
    max_size=60,
)


@pytest.mark.parametrize("name", [RISING, EQUAL, BOOK, "/unknown"])
@settings(max_examples=examples(500), deadline=None)
@given(steps=STEPS)
def test_what_is_compared_undecoded_has_the_result_of_what_is_decoded(name: str, steps: list[tuple[str, Any]]) -> None:
    compared, decoded = Topic(name, A, B), Topic(name)
    decoded._tries = merged_topic._MAX_TRIES
    for member in (A, B):
        decoded.add(member, live=True, placed=True)
    assert compared.sides[A].step is not None and decoded.sides[A].step is None
    for topic in (compared, decoded):
        rest: dict[str, list[Any]] = {A: [], B: []}  # what only the other one has brought
        for what, which in steps:
            if what not in rest:
                change(topic, what, which)
            elif not topic.sides[what].live:
                pass
            elif which == "all":
                topic.bring(what, *rest[what])
                rest[what].clear()
            else:
                value = ("snapshot", which) if which % 3 == 0 else which
                topic.bring(what, value)
                rest[B if what == A else A].append(value)
        for member in (A, B):
            change(topic, "drop", member)
    assert compared.got == decoded.got
    assert compared.in_step.copies == decoded.in_step.copies


def change(topic: Topic, what: str, member: str) -> None:
    """Do what a merge does with a topic."""
    side = topic.sides[member]
    if what == "drop" and side.live:
        topic.drop(member)
    elif what == "add" and not side.live:
        topic.add(member, live=True, placed=False)
    elif what == "later":
        topic.begin_later(member)
    elif what == "again":
        topic.begin_again()
    elif what == "release":
        topic.release(member)


def test_connections_that_bring_other_data_are_not_compared_undecoded_for_ever() -> None:
    topic = Topic(RISING, A, B)
    for n in range(10):
        assert (topic.sides[A].step is None) == (n >= 3)
        topic.bring(A, n)
        push = topic.push(n)
        push.raw, push.wire_data = push.raw, msgspec.Raw(bytes(push.wire_data).replace(b"{", b"{ "))
        assert topic.take(topic.sides[B], push, []) == COPY
    assert topic.got == [*range(10)]


def test_steps_go_on_where_the_same_data_comes_in_between() -> None:
    topic = Topic(RISING, A, B)
    for n in range(0, 100, 3):
        topic.bring(A, n)
        topic.bring(B, n)
        topic.bring(A, n + 1)
        topic.bring(B, n + 2)
        topic.bring(A, n + 2)
    assert topic.sides[A].step is topic.sides[B].step is not None


def test_pushes_without_a_position_count_as_brought_when_a_step_ends() -> None:
    topic = Topic(RISING, A, B)
    for member in (A, B):
        topic.bring(member, "a", "b")
    topic.bring(A, "c")
    topic.drop(A)
    topic.bring(B, "c", "d")
    assert topic.got == ["a", "b", "c", "d"]
    topic = Topic(RISING, A, B)
    topic.bring(A, 1)
    topic.drop(B)
    topic.add(B, live=True, placed=True)
    topic.bring(B, 1)
    for member in (A, B):
        topic.bring(member, "a")
    topic.bring(A, "b")
    topic.drop(A)
    assert topic.bring(B, "b", 2) == [COPY, ACCEPTED]
