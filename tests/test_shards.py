"""Shards: every topic has one place, no connection has too many, tunnels stay together."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.exceptions import InvalidTopic
from kucoin_sync.outcomes import Key
from kucoin_sync.shards import TUNNELS_PER_CONNECTION, Shards

A, B, C, D, E = (Key(f"/market/ticker:{letter}-USDT") for letter in "ABCDE")


def inside(tunnel: str, *letters: str) -> list[Key]:
    return [Key(f"/market/ticker:{letter}-USDT", tunnel) for letter in letters]


def test_nothing_is_placed_at_first() -> None:
    shards = Shards(2)
    assert len(shards) == 0
    assert shards.numbers == ()
    assert A not in shards
    assert shards.keys(1) == ()
    assert repr(shards) == "Shards({})"


def test_topics_fill_one_connection_before_the_next() -> None:
    shards = Shards(2)
    assert shards.place([A, B, C]) == {1: [A, B], 2: [C]}
    assert shards.place([D, E]) == {2: [D], 3: [E]}
    assert [shards.home(key) for key in (A, B, C, D, E)] == [1, 1, 2, 2, 3]
    assert shards.numbers == (1, 2, 3)
    assert len(shards) == 5
    assert A in shards
    assert repr(shards) == "Shards({1: 2, 2: 2, 3: 1})"


def test_what_has_a_place_keeps_it() -> None:
    shards = Shards(2)
    shards.place([A])
    assert shards.place([A, B, B]) == {1: [B]}
    assert shards.keys(1) == (A, B)


def test_a_topic_in_a_tunnel_and_outside_are_two() -> None:
    shards = Shards(5)
    (key,) = inside("t", "A")
    assert shards.place([A, key]) == {1: [A, key]}


def test_removing_tells_where_the_keys_were_and_leaves_the_rest_in_order() -> None:
    shards = Shards(2)
    shards.place([A, B, C])
    assert shards.remove([C, A, E]) == {2: [C], 1: [A]}
    assert shards.keys(1) == (B,)
    assert shards.keys(2) == ()
    assert A not in shards
    assert shards.numbers == (1, 2)


def test_a_freed_place_is_given_again() -> None:
    shards = Shards(2)
    shards.place([A, B, C])
    shards.remove([A])
    assert shards.place([D]) == {1: [D]}
    assert shards.keys(1) == (B, D)


def test_a_connection_that_carries_something_is_not_dropped_as_empty() -> None:
    shards = Shards(2)
    shards.place([A])
    assert shards.drop_if_empty(1) is False
    shards.remove([A])
    assert shards.drop_if_empty(1) is True
    assert shards.numbers == ()
    assert shards.drop_if_empty(1) is True


def test_numbers_are_not_used_again() -> None:
    shards = Shards(2)
    shards.place([A])
    shards.remove([A])
    shards.drop_if_empty(1)
    assert shards.place([A]) == {2: [A]}


def test_a_connection_with_a_tunnel_is_not_dropped_as_empty() -> None:
    shards = Shards(2)
    shards.pin("t")
    assert shards.drop_if_empty(1) is False
    shards.unpin("t")
    assert shards.drop_if_empty(1) is True


def test_dropping_a_connection_gives_back_what_it_carried() -> None:
    shards = Shards(2)
    shards.place([A, B, C, *inside("t", "A")])
    assert shards.home_of_tunnel("t") == 2
    assert shards.drop(2) == (C, *inside("t", "A"))
    assert C not in shards
    assert shards.home_of_tunnel("t") is None
    assert shards.keys(1) == (A, B)
    assert shards.drop(7) == ()
    assert shards.place([C]) == {3: [C]}


def test_what_a_full_connection_refused_moves_and_nothing_new_comes_to_it() -> None:
    shards = Shards(3)
    shards.place([A, B, C])
    assert shards.full(1, [B, C, B]) == {2: [B, C]}
    assert shards.keys(1) == (A,)
    assert shards.place([D, E]) == {2: [D], 3: [E]}
    shards.remove([A])
    assert shards.place([A]) == {1: [A]}


def test_a_full_connection_moves_only_keys_that_it_carries() -> None:
    shards = Shards(2)
    shards.place([A, B, C])
    assert shards.full(1, [C, D]) == {}
    assert shards.home(C) == 2


def test_a_connection_that_took_nothing_at_all_gets_nothing_more() -> None:
    shards = Shards(2)
    shards.place([A])
    assert shards.full(1, [A]) == {2: [A]}
    assert shards.place([B, C]) == {2: [B], 3: [C]}
    assert shards.drop_if_empty(1) is True


def test_the_topics_of_a_tunnel_stay_together() -> None:
    shards = Shards(3)
    shards.place([A, B])
    assert shards.pin("t") == 1
    assert shards.pin("t") == 1
    assert shards.place(inside("t", "A")) == {1: inside("t", "A")}
    assert shards.place([C]) == {2: [C]}
    assert shards.home_of_tunnel("t") == 1


def test_a_tunnel_has_no_home_before_its_first_topic() -> None:
    shards = Shards(3)
    assert shards.home_of_tunnel("t") is None
    assert shards.place(inside("t", "A")) == {1: inside("t", "A")}
    assert shards.home_of_tunnel("t") == 1


def test_a_connection_has_at_most_five_tunnels() -> None:
    shards = Shards(100)
    assert TUNNELS_PER_CONNECTION == 5
    assert [shards.pin(f"t{number}") for number in range(11)] == [1] * 5 + [2] * 5 + [3]
    shards.unpin("t2")
    assert shards.pin("t11") == 1


def test_a_tunnel_is_not_opened_on_a_connection_without_room() -> None:
    shards = Shards(2)
    shards.place([A, B])
    assert shards.pin("t") == 2
    assert shards.place(inside("t", "A", "B")) == {2: inside("t", "A", "B")}


def test_a_tunnel_can_be_given_room_for_all_of_its_topics_at_once() -> None:
    shards = Shards(3)
    shards.place(inside("one", "A"))
    assert shards.pin("fits", 2) == 1
    assert shards.pin("does not fit", 3) == 2
    assert shards.place(inside("does not fit", "A", "B", "C")) == {2: inside("does not fit", "A", "B", "C")}


def test_unpinning_gives_back_the_keys_of_the_tunnel_alone() -> None:
    shards = Shards(10)
    shards.place([A, *inside("t", "A", "B"), *inside("u", "A")])
    assert shards.unpin("t") == (1, tuple(inside("t", "A", "B")))
    assert shards.keys(1) == (A, *inside("u", "A"))
    assert shards.home_of_tunnel("t") is None


def test_a_tunnel_that_outgrows_its_connection_is_refused_with_a_way_out() -> None:
    shards = Shards(2)
    shards.place(inside("t", "A", "B"))
    with pytest.raises(
        InvalidTopic,
        match="tunnel 't' is full with 2 topics; subscribe /market/ticker:C-USDT in another tunnel or outside",
    ):
        shards.place(inside("t", "C"))
    assert shards.place(inside("u", "C")) == {2: inside("u", "C")}


def test_after_a_refusal_nothing_has_changed() -> None:
    shards = Shards(2)
    shards.place([A])
    with pytest.raises(InvalidTopic):
        shards.place([B, C, *inside("t", "A", "B", "C")])
    assert repr(shards) == "Shards({1: 1})"
    assert shards.numbers == (1,)
    assert shards.keys(1) == (A,)
    assert len(shards) == 1
    assert shards.home_of_tunnel("t") is None
    with pytest.raises(InvalidTopic):
        shards.place([*inside("u", "A"), *inside("u", "B")])
    assert shards.home_of_tunnel("u") is None
    assert shards.drop_if_empty(1) is False


def test_a_refusal_keeps_earlier_tunnels() -> None:
    shards = Shards(2)
    shards.place(inside("t", "A"))
    with pytest.raises(InvalidTopic):
        shards.place([C, *inside("t", "B")])
    assert shards.home_of_tunnel("t") == 1
    assert shards.keys(1) == tuple(inside("t", "A"))


def test_nothing_is_kept_of_connections_that_are_gone() -> None:
    shards = Shards(1)
    for _ in range(500):
        shards.place([A, B, *inside("t", "A")])
        shards.remove([A])
        for number in shards.numbers:
            if not shards.drop_if_empty(number):
                shards.drop(number)
    assert shards.numbers == ()
    assert len(pickle.dumps(shards)) < 500


LETTERS = "ABCDEFGH"
KEYS = st.builds(
    Key,
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


@settings(max_examples=200, deadline=None)
@given(capacity=st.integers(1, 4), steps=STEPS)
def test_a_random_walk_keeps_every_key_in_one_place_and_every_connection_within_its_capacity(
    capacity: int, steps: list[tuple[str, object]]
) -> None:
    shards = Shards(capacity)
    placed: dict[Key, int] = {}
    room: Counter[int] = Counter()
    for action, what in steps:
        numbers = shards.numbers
        if action == "place":
            assert isinstance(what, list)
            try:
                fresh = shards.place(what)
            except InvalidTopic:
                assert any(key.tunnel for key in what)
                assert shards.numbers == numbers
            else:
                for number, keys in fresh.items():
                    assert not placed.keys() & set(keys)
                    placed |= dict.fromkeys(keys, number)
                assert set(what) <= placed.keys()
        elif action == "remove":
            assert isinstance(what, list)
            gone = shards.remove(what)
            assert {key for keys in gone.values() for key in keys} == placed.keys() & set(what)
            for number, keys in gone.items():
                assert all(placed.pop(key) == number for key in keys)
        elif action == "full" and numbers:
            assert isinstance(what, list)
            number = numbers[0]
            moving = {key for key in what if placed.get(key) == number}
            moved = shards.full(number, what)
            assert {key for keys in moved.values() for key in keys} == moving
            assert number not in moved
            for other, keys in moved.items():
                placed |= dict.fromkeys(keys, other)
            room[number] = len(shards.keys(number)) - capacity
        elif action == "drop" and isinstance(what, int) and what in numbers:
            assert {placed.pop(key) for key in shards.drop(what)} <= {what}
        elif action == "empty" and isinstance(what, int) and what in numbers:
            held = what in placed.values() or what in (shards.home_of_tunnel("t"), shards.home_of_tunnel("u"))
            assert shards.drop_if_empty(what) is not held
        elif action == "unpin" and isinstance(what, str) and shards.home_of_tunnel(what):
            number, keys = shards.unpin(what)
            assert set(keys) == {key for key in placed if key.tunnel == what}
            assert {placed.pop(key) for key in keys} <= {number}
        assert placed == {key: shards.home(key) for number in shards.numbers for key in shards.keys(number)}
        assert len(shards) == len(placed)
        for number in shards.numbers:
            assert len(shards.keys(number)) <= capacity + room[number]
        for tunnel in ("t", "u"):
            homes = {home for key, home in placed.items() if key.tunnel == tunnel}
            assert homes <= {shards.home_of_tunnel(tunnel)}
