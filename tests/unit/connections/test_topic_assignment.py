"""Each topic has one place, no connection has too many, the topics of a tunnel stay together."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.connections.topic_assignment import TUNNELS_PER_CONNECTION, TopicAssignment
from kucoin_sync.exceptions import InvalidTopic
from kucoin_sync.protocol.session_events import TopicKey

from ...support.selection import examples

A, B, C, D, E = (TopicKey(f"/market/ticker:{letter}-USDT") for letter in "ABCDE")


def inside(tunnel: str, *letters: str) -> list[TopicKey]:
    return [TopicKey(f"/market/ticker:{letter}-USDT", tunnel) for letter in letters]


def test_nothing_is_placed_at_first() -> None:
    assignment = TopicAssignment(2)
    assert len(assignment) == 0
    assert assignment.numbers == ()
    assert assignment.home(A) is None
    assert assignment.keys(1) == ()
    assert repr(assignment) == "TopicAssignment({})"


def test_topics_fill_one_connection_before_the_next() -> None:
    assignment = TopicAssignment(2)
    assert assignment.place([A, B, C]) == {1: [A, B], 2: [C]}
    assert assignment.place([D, E]) == {2: [D], 3: [E]}
    assert [assignment.home(key) for key in (A, B, C, D, E)] == [1, 1, 2, 2, 3]
    assert assignment.numbers == (1, 2, 3)
    assert len(assignment) == 5
    assert assignment.home(A) == 1
    assert repr(assignment) == "TopicAssignment({1: 2, 2: 2, 3: 1})"


def test_what_has_a_place_keeps_it() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A])
    assert assignment.place([A, B, B]) == {1: [B]}
    assert assignment.keys(1) == (A, B)


def test_removing_tells_where_the_keys_were_and_leaves_the_rest_in_order() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A, B, C])
    assert assignment.remove([C, A, E]) == {2: [C], 1: [A]}
    assert assignment.keys(1) == (B,)
    assert assignment.keys(2) == ()
    assert assignment.home(A) is None
    assert assignment.numbers == (1, 2)


def test_a_freed_place_is_given_again() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A, B, C])
    assignment.remove([A])
    assert assignment.place([D]) == {1: [D]}
    assert assignment.keys(1) == (B, D)


def test_a_connection_that_carries_something_is_not_dropped_as_empty() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A])
    assert assignment.drop_if_empty(1) is False
    assignment.remove([A])
    assert assignment.drop_if_empty(1) is True
    assert assignment.numbers == ()
    assert assignment.drop_if_empty(1) is True


def test_numbers_are_not_used_again() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A])
    assignment.remove([A])
    assignment.drop_if_empty(1)
    assert assignment.place([A]) == {2: [A]}


def test_what_a_full_connection_refused_moves_and_nothing_new_comes_to_it() -> None:
    assignment = TopicAssignment(3)
    assignment.place([A, B, C])
    assert assignment.full(1, [B, C, B]) == {2: [B, C]}
    assert assignment.keys(1) == (A,)
    assert assignment.place([D, E]) == {2: [D], 3: [E]}
    assignment.remove([A])
    assert assignment.place([A]) == {1: [A]}


def test_a_full_connection_moves_only_keys_that_it_carries() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A, B, C])
    assert assignment.full(1, [C, D]) == {}
    assert assignment.home(C) == 2


def test_a_connection_that_took_nothing_at_all_gets_nothing_more() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A])
    assert assignment.full(1, [A]) == {2: [A]}
    assert assignment.place([B, C]) == {2: [B], 3: [C]}
    assert assignment.drop_if_empty(1) is True


def test_a_topic_in_a_tunnel_and_outside_are_two() -> None:
    assignment = TopicAssignment(5)
    (key,) = inside("t", "A")
    assert assignment.place([A, key]) == {1: [A, key]}


def test_a_connection_with_a_tunnel_is_not_dropped_as_empty() -> None:
    assignment = TopicAssignment(2)
    assignment.pin("t")
    assert assignment.drop_if_empty(1) is False
    assignment.unpin("t")
    assert assignment.drop_if_empty(1) is True


def test_dropping_a_connection_gives_back_what_it_carried() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A, B, C, *inside("t", "A")])
    assert assignment.home_of_tunnel("t") == 2
    assignment.drop(2)
    assert assignment.home(C) is None
    assert assignment.home_of_tunnel("t") is None
    assert assignment.keys(1) == (A, B)
    assignment.drop(7)
    assert assignment.place([C]) == {3: [C]}


def test_the_topics_of_a_tunnel_stay_together() -> None:
    assignment = TopicAssignment(3)
    assignment.place([A, B])
    assert assignment.pin("t") == 1
    assert assignment.pin("t") == 1
    assert assignment.place(inside("t", "A")) == {1: inside("t", "A")}
    assert assignment.place([C]) == {2: [C]}
    assert assignment.home_of_tunnel("t") == 1


def test_a_tunnel_has_no_home_before_its_first_topic() -> None:
    assignment = TopicAssignment(3)
    assert assignment.home_of_tunnel("t") is None
    assert assignment.place(inside("t", "A")) == {1: inside("t", "A")}
    assert assignment.home_of_tunnel("t") == 1


def test_a_connection_has_at_most_five_tunnels() -> None:
    assignment = TopicAssignment(100)
    assert TUNNELS_PER_CONNECTION == 5
    assert [assignment.pin(f"t{number}") for number in range(11)] == [1] * 5 + [2] * 5 + [3]
    assignment.unpin("t2")
    assert assignment.pin("t11") == 1


def test_a_tunnel_is_not_opened_on_a_connection_without_room() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A, B])
    assert assignment.pin("t") == 2
    assert assignment.place(inside("t", "A", "B")) == {2: inside("t", "A", "B")}


def test_a_tunnel_can_be_given_room_for_all_of_its_topics_at_once() -> None:
    assignment = TopicAssignment(3)
    assignment.place(inside("one", "A"))
    assert assignment.pin("fits", 2) == 1
    assert assignment.pin("does not fit", 3) == 2
    assert assignment.place(inside("does not fit", "A", "B", "C")) == {2: inside("does not fit", "A", "B", "C")}


def test_unpinning_gives_back_the_keys_of_the_tunnel_alone() -> None:
    assignment = TopicAssignment(10)
    assignment.place([A, *inside("t", "A", "B"), *inside("u", "A")])
    assert assignment.unpin("t") == tuple(inside("t", "A", "B"))
    assert assignment.keys(1) == (A, *inside("u", "A"))
    assert assignment.home_of_tunnel("t") is None


def test_a_tunnel_that_outgrows_its_connection_is_refused_with_a_way_out() -> None:
    assignment = TopicAssignment(2)
    assignment.place(inside("t", "A", "B"))
    with pytest.raises(
        InvalidTopic,
        match="tunnel 't' is full with 2 topics; subscribe /market/ticker:C-USDT in another tunnel or outside",
    ):
        assignment.place(inside("t", "C"))
    assert assignment.place(inside("u", "C")) == {2: inside("u", "C")}


def test_after_a_refusal_nothing_has_changed() -> None:
    assignment = TopicAssignment(2)
    assignment.place([A])
    with pytest.raises(InvalidTopic):
        assignment.place([B, C, *inside("t", "A", "B", "C")])
    assert repr(assignment) == "TopicAssignment({1: 1})"
    assert assignment.numbers == (1,)
    assert assignment.keys(1) == (A,)
    assert len(assignment) == 1
    assert assignment.home_of_tunnel("t") is None
    with pytest.raises(InvalidTopic):
        assignment.place([*inside("u", "A"), *inside("u", "B")])
    assert assignment.home_of_tunnel("u") is None
    assert assignment.drop_if_empty(1) is False


def test_a_refusal_keeps_earlier_tunnels() -> None:
    assignment = TopicAssignment(2)
    assignment.place(inside("t", "A"))
    with pytest.raises(InvalidTopic):
        assignment.place([C, *inside("t", "B")])
    assert assignment.home_of_tunnel("t") == 1
    assert assignment.keys(1) == tuple(inside("t", "A"))


def test_nothing_is_kept_of_connections_that_are_gone() -> None:
    assignment = TopicAssignment(1)
    for _ in range(500):
        assignment.place([A, B, *inside("t", "A")])
        assignment.remove([A])
        for number in assignment.numbers:
            if not assignment.drop_if_empty(number):
                assignment.drop(number)
    assert assignment.numbers == ()
    assert len(pickle.dumps(assignment)) < 500


LETTERS = "ABCDEFGH"
KEYS = st.builds(
    TopicKey,
    st.sampled_from([f"/market/ticker:{letter}-USDT" for letter in LETTERS]),
    st.sampled_from([None, None, "t", "u"]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.lists(KEYS, max_size=6)),
        st.tuples(st.just("remove"), st.lists(KEYS, max_size=6)),
        st.tuples(st.just("full"), st.lists(KEYS.filter(lambda key: key.tunnel is None), max_size=4)),
        st.tuples(st.just("drop"), st.integers(0, 5)),
        st.tuples(st.just("empty"), st.integers(0, 5)),
        st.tuples(st.just("unpin"), st.sampled_from("tu")),
    ),
    max_size=40,
)


@settings(max_examples=examples(200), deadline=None)
@given(capacity=st.integers(1, 4), steps=STEPS)
def test_a_random_walk_keeps_every_key_in_one_place_and_every_connection_within_its_capacity(
    capacity: int, steps: list[tuple[str, object]]
) -> None:
    assignment = TopicAssignment(capacity)
    placed: dict[TopicKey, int] = {}
    room: Counter[int] = Counter()
    for action, what in steps:
        numbers = assignment.numbers
        if action == "place":
            assert isinstance(what, list)
            try:
                fresh = assignment.place(what)
            except InvalidTopic:
                assert any(key.tunnel for key in what)
                assert assignment.numbers == numbers
            else:
                for number, keys in fresh.items():
                    assert not placed.keys() & set(keys)
                    placed |= dict.fromkeys(keys, number)
                assert set(what) <= placed.keys()
        elif action == "remove":
            assert isinstance(what, list)
            gone = assignment.remove(what)
            assert {key for keys in gone.values() for key in keys} == placed.keys() & set(what)
            for number, keys in gone.items():
                assert all(placed.pop(key) == number for key in keys)
        elif action == "full" and numbers:
            assert isinstance(what, list)
            number = numbers[0]
            moving = {key for key in what if placed.get(key) == number}
            moved = assignment.full(number, what)
            assert {key for keys in moved.values() for key in keys} == moving
            assert number not in moved
            for other, keys in moved.items():
                placed |= dict.fromkeys(keys, other)
            room[number] = len(assignment.keys(number)) - capacity
        elif action == "drop" and isinstance(what, int) and what in numbers:
            assignment.drop(what)
            placed = {key: number for key, number in placed.items() if number != what}
        elif action == "empty" and isinstance(what, int) and what in numbers:
            held = what in placed.values() or what in (assignment.home_of_tunnel("t"), assignment.home_of_tunnel("u"))
            assert assignment.drop_if_empty(what) is not held
        elif action == "unpin" and isinstance(what, str) and (home := assignment.home_of_tunnel(what)):
            unpinned = assignment.unpin(what)
            assert set(unpinned) == {key for key in placed if key.tunnel == what}
            assert {placed.pop(key) for key in unpinned} <= {home}
        assert placed == {key: assignment.home(key) for number in assignment.numbers for key in assignment.keys(number)}
        assert len(assignment) == len(placed)
        for number in assignment.numbers:
            assert len(assignment.keys(number)) <= capacity + room[number]
        for tunnel in ("t", "u"):
            homes = {home for key, home in placed.items() if key.tunnel == tunnel}
            assert homes <= {assignment.home_of_tunnel(tunnel)}
