"""When REST is asked after a cut, and until when pushes may wait."""

from __future__ import annotations

from kucoin_sync.recovery.pacing import HOLD_SECONDS, PacedJoin

INFINITE = float("inf")


def test_rest_is_asked_at_the_cut_and_after_the_confirmation() -> None:
    join = PacedJoin(5.0)
    assert (join.fetch_at, join.deadline) == (5.0, INFINITE)
    join._fetch_again(6.0, waited_for=False, brought_little=False)
    assert join.fetch_at == 7.0
    assert join.carried(6.5) == []
    assert join.fetch_at == 6.5
    join._fetch_again(7.0, waited_for=False, brought_little=False)
    join.carried(7.5)
    assert join.fetch_at == 8.0, "it was confirmed before"
    assert join.lost(9.0) == []
    assert join.fetch_at == 9.0


def test_the_pauses_grow_while_answers_bring_little() -> None:
    join = PacedJoin(0.0)
    pauses = []
    for _ in range(5):
        join._fetch_again(0.0, waited_for=False, brought_little=True)
        pauses.append(join.fetch_at)
    assert pauses == [2.0, 4.0, 8.0, 8.0, 8.0]
    join._fetch_again(0.0, waited_for=True, brought_little=True)
    assert join.fetch_at == 1.0
    join._fetch_again(0.0, waited_for=False, brought_little=False)
    assert join.fetch_at == 1.0


def test_without_a_push_only_a_few_answers_after_the_confirmation_count() -> None:
    join = PacedJoin(0.0)
    join.carried(10.0)
    join._note_answer(9.0)
    for n in range(5):
        join._fetch_again(10.0 + n, waited_for=False, brought_little=True)
        assert join.fetch_at == 11.0 + n
        join._note_answer(10.0 + n)
    join._fetch_again(15.0, waited_for=False, brought_little=True)
    assert join.fetch_at == INFINITE


def test_a_failure_is_remembered_until_an_answer_comes() -> None:
    join = PacedJoin(0.0)
    join.failed("down", 3.0)
    assert (join.failure, join.fetch_at) == ("down", 3.0)
    join._note_answer(3.0)
    assert join.failure == ""


def test_a_deadline_ends_with_the_join() -> None:
    join = PacedJoin(0.0)
    join._held_since = 4.0
    assert join.deadline == 4.0 + HOLD_SECONDS
    join.done = True
    assert join.deadline == join.fetch_at == INFINITE
