"""Trades over random cuts: what is delivered rises, never repeats, and lacks nothing that was not told."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.recovery.pacing import HOLD_SECONDS, MAX_HELD
from kucoin_sync.recovery.trades import Gap, Live, Mark, Recovered, Row, Step, TradeJoin
from tests.support.selection import examples

SECOND = 1_000_000_000


def mark(sequence: int, time_ns: int | None = None) -> Mark:
    return Mark(sequence, sequence * SECOND if time_ns is None else time_ns)


def row(sequence: int, time_ns: int | None = None) -> Row:
    return Row(mark(sequence, time_ns), b"%d" % sequence)


def rows(*sequences: int) -> list[Row]:
    return [row(each) for each in sequences]


def shown(steps: Sequence[Step]) -> list[object]:
    """Return steps in short: 7 for a row, "7" for a push, (5, 7) for a gap."""
    short: list[object] = []
    for step in steps:
        if isinstance(step, Recovered):
            short.append(step.row.mark.sequence)
        elif isinstance(step, Live):
            short.append(str(step.push))
        else:
            short.append((step.last and step.last.sequence, step.first and step.first.sequence))
    return short


@pytest.fixture
def join() -> TradeJoin:
    return TradeJoin(mark(10), 100.0)


def test_rows_after_the_last_trade_are_delivered_at_once(join: TradeJoin) -> None:
    assert join.fetch_at == 100.0
    assert shown(join.answered(rows(13, 9, 10, 12), 100.0, 100.1)) == [12, 13]
    assert shown(join.answered(rows(12, 13, 15), 101.0, 101.1)) == [15]
    assert not join.done


def test_pushes_wait_until_rest_has_reached_the_first_of_them(join: TradeJoin) -> None:
    join.carried(101.0)
    assert shown(join.pushed(mark(20), 20, 101.5)) == []
    assert join.fetch_at == 101.5
    assert shown(join.answered(rows(10, 12), 101.4, 101.6)) == [12]
    assert shown(join.pushed(mark(22), 22, 101.7)) == []
    assert shown(join.answered(rows(12, 15, 20, 21, 22, 24), 102.6, 102.7)) == [15, "20", 21, "22"]
    assert join.done
    assert shown(join.pushed(mark(24), 24, 103.0)) == ["24"]


def test_pushes_that_rest_was_faster_with_are_not_repeated(join: TradeJoin) -> None:
    join.carried(101.0)
    assert shown(join.answered(rows(10, 12, 15), 101.1, 101.2)) == [12, 15]
    assert shown(join.pushed(mark(12), 12, 101.3)) == []
    assert shown(join.pushed(mark(15), 15, 101.3)) == []
    assert not join.done
    assert join.fetch_at == float("inf")
    assert shown(join.pushed(mark(16), 16, 101.4)) == ["16"]
    assert join.done


def test_trades_that_no_answer_has_are_a_gap(join: TradeJoin) -> None:
    steps = join.answered(rows(14, 15), 100.0, 100.1)
    assert shown(steps) == [(10, 14), 14, 15]
    assert isinstance(steps[0], Gap)
    assert (steps[0].last, steps[0].first) == (mark(10), mark(14))
    assert "more trades were missed" in steps[0].reason


def test_a_gap_ends_at_the_first_push_if_rest_has_only_later_rows(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    assert shown(join.answered(rows(21, 22), 101.0, 101.1)) == [(10, 20), "20"]
    assert join.done


def test_a_second_cut_before_the_first_gap_is_closed(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    join.pushed(mark(21), 21, 101.0)
    join.lost(102.0)
    join.pushed(mark(30), 30, 103.0)
    assert shown(join.answered(rows(10, 15, 20), 103.0, 103.1)) == [15, "20", "21"]
    assert not join.done
    assert shown(join.answered(rows(21, 25, 30), 104.0, 104.1)) == [25, "30"]
    assert join.done


def test_two_gaps_are_told_where_one_answer_closes_neither(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    join.lost(102.0)
    join.pushed(mark(30), 30, 103.0)
    assert shown(join.answered(rows(28, 29, 30), 103.0, 103.1)) == [(10, 20), "20", (20, 28), 28, 29, "30"]


def test_an_empty_and_an_old_answer_change_nothing(join: TradeJoin) -> None:
    assert shown(join.answered([], 100.0, 100.1)) == []
    assert shown(join.answered(rows(7, 8), 101.0, 101.1)) == []
    assert not join.done


@pytest.mark.parametrize("reason", ["", "REST is down"])
def test_pushes_are_not_held_for_longer_than_ten_seconds(join: TradeJoin, reason: str) -> None:
    assert join.deadline == float("inf")
    join.pushed(mark(20), 20, 101.0)
    join.pushed(mark(21), 21, 105.0)
    assert join.deadline == 101.0 + HOLD_SECONDS
    if reason:
        join.failed(reason, 106.0)
        assert join.fetch_at == 106.0
    [gap, *more] = join.give_up()
    assert isinstance(gap, Gap)
    assert gap.reason == (reason or "REST does not tell the trades up to the first push in time")
    assert shown([gap, *more]) == [(10, 20), "20", "21"]
    assert join.done
    assert join.deadline == join.fetch_at == float("inf")


def test_pushes_of_an_ended_connection_are_not_held_for_longer_either(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    join.lost(102.0)
    assert join.deadline == 101.0 + HOLD_SECONDS
    assert shown(join.give_up()) == [(10, 20), "20"]
    assert not join.done
    assert shown(join.answered(rows(20, 25), 112.0, 112.1)) == [25]


def test_no_more_pushes_are_held_than_the_limit(join: TradeJoin) -> None:
    for n in range(MAX_HELD):
        assert not join.pushed(mark(20 + n), n, 101.0)
    steps = join.pushed(mark(20 + MAX_HELD), "last", 101.0)
    assert len(steps) == MAX_HELD + 2
    assert join.done


def test_rest_without_the_last_trade_among_its_rows_numbers_otherwise(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    steps = join.answered(rows(9, 11), 101.0, 101.1)
    assert shown(steps) == [(10, 20), "20"]
    assert isinstance(steps[0], Gap)
    assert "does not number" in steps[0].reason
    assert join.done


def test_rest_without_a_push_among_its_rows_numbers_otherwise(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    assert shown(join.answered(rows(10, 19, 21), 101.0, 101.1)) == [(10, 20), "20"]


def test_a_push_between_recovered_rows_numbers_otherwise(join: TradeJoin) -> None:
    join.answered(rows(10, 12, 14), 100.0, 100.1)
    assert shown(join.pushed(mark(13), 13, 101.0)) == [(14, 13)]
    assert join.done


def test_rows_that_are_numbered_anew_end_the_join(join: TradeJoin) -> None:
    later = 11 * SECOND
    steps = join.answered([row(1, later), row(2, later)], 100.0, 100.1)
    assert shown(steps) == [(10, None)]
    assert isinstance(steps[0], Gap)
    assert "numbers the trades anew" in steps[0].reason
    assert shown(join.pushed(mark(3, later), 3, 101.0)) == ["3"]


def test_a_row_with_an_earlier_time_is_merged_by_its_sequence(join: TradeJoin) -> None:
    answer = [row(9), row(10), row(11, 9 * SECOND), row(12)]
    assert shown(join.answered(answer, 100.0, 100.1)) == [11, 12]
    assert shown(join.answered([*answer, row(13, 12 * SECOND - 1), row(14)], 101.0, 101.1)) == [13, 14]


def test_rows_that_may_be_from_before_the_trades_were_numbered_anew_are_left_out_and_told_once(
    join: TradeJoin,
) -> None:
    old = [row(21, 7 * SECOND), row(22, 8 * SECOND)]
    steps = join.answered([*old, row(9), row(10), row(11)], 100.0, 100.1)
    assert shown(steps) == [11, (11, None)]
    assert isinstance(steps[1], Gap)
    assert "earlier times" in steps[1].reason
    assert shown(join.answered([*old, row(10), row(11), row(12)], 101.0, 101.1)) == [12]
    assert shown(join.answered([row(23, 9 * SECOND)], 102.0, 102.1)) == [(12, None)]
    between = [row(13, 3 * SECOND), row(14)]
    assert shown(join.answered([row(10), row(11), row(12), *between], 103.0, 103.1)) == [13, 14]


def test_a_repeated_push_with_a_later_time_than_the_end_is_not_numbered_anew(join: TradeJoin) -> None:
    join.answered([row(9), row(10), row(12, 13 * SECOND), row(13, 12 * SECOND)], 100.0, 100.1)
    assert shown(join.pushed(mark(12, 13 * SECOND), 12, 101.0)) == []
    assert shown(join.pushed(mark(14), 14, 101.1)) == ["14"]


def test_a_push_that_an_ended_connection_has_brought_is_not_repeated(join: TradeJoin) -> None:
    join.answered(rows(10, 12), 100.0, 100.1)
    for sequence in (15, 20):
        join.pushed(mark(sequence), sequence, 101.0)
    join.lost(102.0)
    assert shown(join.answered(rows(12, 14, 15), 102.0, 102.1)) == [14, "15", "20"]
    assert shown(join.pushed(mark(15), 15, 103.0)) == []
    assert shown(join.pushed(mark(21), 21, 103.1)) == ["21"]


def test_pushes_that_are_numbered_anew_end_the_join(join: TradeJoin) -> None:
    assert shown(join.pushed(mark(1, 11 * SECOND), 1, 101.0)) == [(10, 1), "1"]
    assert join.done


def test_a_row_that_can_not_be_read_is_a_gap_in_its_place(join: TradeJoin) -> None:
    answer = [row(9), row(10), row(12), row(16)._replace(after_hole=True), row(17)]
    assert shown(join.answered(answer, 0.0, 0.0)) == [12, (12, 16), 16, 17]
    assert shown(join.answered([*answer, row(18)], 0.0, 0.0)) == [18]


def test_it_may_be_the_last_trade_or_a_push(join: TradeJoin) -> None:
    answer = [row(9), row(12)._replace(after_hole=True), row(13), row(17)._replace(after_hole=True), row(18)]
    assert join.pushed(mark(13), 13, 0.0) == join.pushed(mark(14), 14, 0.0) == join.pushed(mark(17), 17, 0.0) == []
    assert shown(join.answered(answer, 0.0, 0.0)) == [(10, 12), 12, "13", "14", "17"]
    assert join.done


def test_its_push_is_left_out_if_it_comes_later(join: TradeJoin) -> None:
    answer = [row(9), row(10), row(12), row(16)._replace(after_hole=True), row(17)]
    assert shown(join.answered(answer, 0.0, 0.0)) == [12, (12, 16), 16, 17]
    assert shown(join.pushed(mark(14), 14, 0.0)) == shown(join.pushed(mark(16), 16, 0.0)) == []
    assert shown(join.pushed(mark(18), 18, 0.0)) == ["18"]


def test_a_push_without_a_place_ends_the_join(join: TradeJoin) -> None:
    join.pushed(mark(20), 20, 101.0)
    assert shown(join.pushed(None, "odd", 101.1)) == [(10, 20), "20", (20, None), "odd"]
    assert shown(TradeJoin(mark(10), 0.0).pushed(None, "odd", 0.1)) == [(10, None), "odd"]


def test_requests_come_less_often_where_little_happens_and_stop_in_a_quiet_market(join: TradeJoin) -> None:
    join.answered(rows(10), 100.0, 100.0)
    assert join.fetch_at == 102.0
    join.answered(rows(*range(10, 40)), 102.0, 102.0)
    assert join.fetch_at == 103.0
    join.carried(103.0)
    join.carried(104.0)
    assert join.fetch_at == 103.0
    for n in range(5):
        assert join.fetch_at < float("inf")
        join.answered(rows(39), 103.0 + n, 103.0 + n)
    assert join.fetch_at == float("inf")
    join.pushed(mark(50), 50, 200.0)
    assert join.fetch_at == 200.0


class World:
    """An exchange that trades, a connection that is cut, and REST that lags and fails, by one random source."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now = 0.0
        self.truth: list[tuple[float, Mark]] = []
        self.sequence = self.draw.choice([0, 10_000_000])
        self.delivered: list[Step] = []
        self.join: TradeJoin | None = None
        self.last: Mark | None = None
        self.up = True
        self.lag = self.draw.choice([0.0, 0.0, 0.3, 3.0])
        self.jitter = self.draw.choice([0.0, 0.0, 0.2])  # by which times do not rise with the sequences
        self.busy = self.draw.choice([0.5, 5.0, 60.0])  # trades a second
        self.rest_until = 0.0  # the instant until which REST fails
        self.answer_at = float("inf")
        self.asked_at = 0.0

    def run(self) -> None:
        for _ in range(self.draw.randint(1, 5)):
            self.pass_time(self.draw.uniform(0, 4))
            self.cut()
            if self.draw.random() < 0.15:
                self.sequence = 0 if self.sequence > 1_000_000 else self.sequence  # a relisting
            self.pass_time(self.draw.choice([0.2, 1.0, 8.0]) * self.draw.random())
            self.reconnect()
        self.pass_time(HOLD_SECONDS + 5)
        self.trade()
        self.pass_time(HOLD_SECONDS + 5)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.05
            if self.draw.random() < self.busy * 0.05:
                for _ in range(self.draw.choice([1, 1, 1, 3])):
                    self.trade()
            if self.draw.random() < 0.002:
                self.rest_until = self.now + self.draw.choice([1.0, 6.0, 30.0])
            self.serve_rest()

    def trade(self) -> None:
        self.sequence += 3 * self.draw.randint(1, 50)
        at = Mark(self.sequence, int((1000 + self.now + self.draw.uniform(0, self.jitter)) * SECOND))
        self.truth.append((self.now, at))
        if not self.up:
            return
        if self.join is None:
            self.take([Live(at)])
        else:
            self.take(self.join.pushed(at, at, self.now))

    def cut(self) -> None:
        self.up = False
        if self.join is not None:
            self.take(self.join.lost(self.now))
        elif self.last is not None:
            self.join = TradeJoin(self.last, self.now)

    def reconnect(self) -> None:
        self.up = True
        if self.join is not None:
            self.take(self.join.carried(self.now))

    def serve_rest(self) -> None:
        join = self.join
        if join is None:
            return
        if join.deadline <= self.now:
            self.take(join.give_up())
        elif self.answer_at <= self.now:
            self.answer_at = float("inf")
            if self.now < self.rest_until:
                join.failed("down", self.now + 1.0)
            else:
                seen = [at for when, at in self.truth if when <= self.asked_at - self.lag][-100:]
                self.take(join.answered([Row(at, b"") for at in seen], self.asked_at, self.now))
        elif self.answer_at == float("inf") and join.fetch_at <= self.now:
            self.asked_at, self.answer_at = self.now, self.now + self.draw.uniform(0.05, 0.5)

    def take(self, steps: Sequence[Step]) -> None:
        self.delivered += steps
        for step in steps:
            if not isinstance(step, Gap):
                self.last = step.push if isinstance(step, Live) else step.row.mark
        if self.join is not None and self.join.done:
            self.join = None


@settings(max_examples=examples(1000), deadline=None)
@given(st.integers(0, 2**32))
def test_over_random_cuts_nothing_is_missing_that_is_not_told(seed: int) -> None:
    world = World(seed)
    world.run()
    place = {at: n for n, (_, at) in enumerate(world.truth)}
    assert len(place) == len(world.truth)
    before: int | None = None
    told = False
    for step in world.delivered:
        if isinstance(step, Gap):
            told = True
            continue
        here = place[step.push if isinstance(step, Live) else step.row.mark]
        if before is not None:
            assert here > before, "a trade is repeated, or comes after a later one"
            assert told or here == before + 1, "trades are missing, and nobody was told"
        before, told = here, False
    if world.truth:
        assert before == len(world.truth) - 1, "the pushes do not go on"
