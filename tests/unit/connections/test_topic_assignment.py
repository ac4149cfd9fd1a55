"""Shards: every topic has one place, no connection has too many."""

from __future__ import annotations

from kucoin_sync.connections.topic_assignment import TopicAssignment
from kucoin_sync.protocol.session_events import TopicKey

A, B, C, D, E = (TopicKey(f"/market/ticker:{letter}-USDT") for letter in "ABCDE")


def test_nothing_is_placed_at_first() -> None:
    assignment = TopicAssignment(2)
    assert len(assignment) == 0
    assert assignment.numbers == ()
    assert A not in assignment
    assert assignment.keys(1) == ()
    assert repr(assignment) == "TopicAssignment({})"


def test_topics_fill_one_connection_before_the_next() -> None:
    assignment = TopicAssignment(2)
    assert assignment.place([A, B, C]) == {1: [A, B], 2: [C]}
    assert assignment.place([D, E]) == {2: [D], 3: [E]}
    assert [assignment.home(key) for key in (A, B, C, D, E)] == [1, 1, 2, 2, 3]
    assert assignment.numbers == (1, 2, 3)
    assert len(assignment) == 5
    assert A in assignment
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
    assert A not in assignment
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
