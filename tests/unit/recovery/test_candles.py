"""Candles over random cuts: each candle that is left behind is whole, or it was told that it may not be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kucoin_sync.recovery.candles import CandleJoin, CandleMark, CandleRow
from kucoin_sync.recovery.pacing import HOLD_SECONDS, MAX_HELD
from kucoin_sync.recovery.trades import Gap, Live, Recovered, Step
from tests.support.selection import examples

SPAN = 60
INFINITE = float("inf")


def mark(start: int, volume: int, at: float = 0.0) -> CandleMark:
    return CandleMark(start, int(at * 1e9), Decimal(volume))


def row(start: int, volume: int) -> CandleRow:
    return CandleRow(mark(start, volume), b"")


def shown(steps: Sequence[Step]) -> list[object]:
    """Return steps in short: (60, 7) for a row, "60 7" for a push, [60, 120] for a gap."""
    short: list[object] = []
    for step in steps:
        if isinstance(step, Recovered):
            short.append((step.row.mark.sequence, int(step.row.mark.volume)))
        elif isinstance(step, Live):
            short.append(f"{step.push[0]} {step.push[1]}" if isinstance(step.push, tuple) else step.push)
        else:
            short.append([step.last and step.last.sequence, step.first and step.first.sequence])
    return short


def push(join: CandleJoin, start: int, volume: int, at: float, now: float) -> list[object]:
    """Push a candle at a time of the server, and an instant of the monotonic clock."""
    return shown(join.pushed(mark(start, volume, at), (start, volume), now))


@pytest.fixture
def candle_join() -> CandleJoin:
    """The candle of 60 to 120 had a volume of 5 at 100 by the server's clock, and at 0 by the monotonic one."""
    return CandleJoin(mark(60, 5, 100.0), 0.0, SPAN, 10)


def test_the_same_candle_goes_on_without_rest(candle_join: CandleJoin) -> None:
    assert push(candle_join, 60, 4, 101.0, 1.0) == []
    assert push(candle_join, 60, 6, 110.0, 10.0) == ["60 6"]
    assert candle_join.done
    assert candle_join.fetch_at == candle_join.deadline == INFINITE


def test_a_later_candle_waits_until_those_before_it_are_final(candle_join: CandleJoin) -> None:
    assert candle_join.fetch_at == 0.0
    assert candle_join.range == (60, 600)
    candle_join.carried(20.0)
    assert push(candle_join, 180, 1, 180.5, 80.5) == []
    assert (candle_join.fetch_at, candle_join.deadline) == (80.5, 80.5 + HOLD_SECONDS)
    assert shown(candle_join.answered([row(120, 9), row(60, 8)], 80.6, 80.7)) == [(60, 8)]
    assert shown(candle_join.answered([row(60, 8), row(120, 9), row(180, 1)], 81.7, 81.8)) == []
    assert push(candle_join, 180, 2, 182.1, 82.1) == []
    assert shown(candle_join.answered([row(60, 8), row(120, 9), row(180, 3)], 82.7, 82.8)) == [
        (120, 9),
        "180 1",
        "180 2",
    ]
    assert candle_join.done
    assert push(candle_join, 180, 3, 183.0, 83.0) == ["180 3"]


def test_a_late_push_of_the_open_candle_passes_while_later_ones_wait(candle_join: CandleJoin) -> None:
    assert push(candle_join, 120, 1, 120.1, 20.1) == []
    assert push(candle_join, 60, 4, 120.2, 20.2) == []
    assert push(candle_join, 60, 6, 120.3, 20.3) == ["60 6"]
    assert not candle_join.done
    assert shown(candle_join.answered([row(60, 6), row(120, 1)], 23.0, 23.0)) == ["120 1"]
    assert candle_join.done


def test_rows_are_delivered_while_nothing_is_pushed(candle_join: CandleJoin) -> None:
    assert shown(candle_join.answered([row(60, 6)], 5.0, 5.0)) == [(60, 6)]
    assert shown(candle_join.answered([row(60, 6)], 6.0, 6.0)) == []
    assert shown(candle_join.answered([row(60, 7), row(120, 1)], 21.0, 21.0)) == []
    assert shown(candle_join.answered([row(60, 7), row(120, 2)], 23.0, 23.0)) == [(60, 7), (120, 2)]
    assert push(candle_join, 120, 1, 125.0, 25.0) == []
    assert push(candle_join, 60, 9, 125.0, 25.0) == []
    assert push(candle_join, 120, 3, 130.0, 30.0) == ["120 3"]


def test_a_slow_answer_shows_what_was_final_when_it_was_asked_for(candle_join: CandleJoin) -> None:
    assert push(candle_join, 120, 1, 120.1, 20.1) == []
    assert shown(candle_join.answered([row(60, 6), row(120, 1)], 20.2, 29.0)) == []
    assert shown(candle_join.answered([row(60, 7), row(120, 1)], 29.1, 29.2)) == [(60, 7), "120 1"]


def test_an_earlier_state_of_rest_changes_nothing(candle_join: CandleJoin) -> None:
    assert shown(candle_join.answered([row(60, 4)], 5.0, 5.0)) == []
    assert shown(candle_join.answered([], 5.0, 5.0)) == []
    assert shown(candle_join.answered([row(60, 4), row(120, 1)], 30.0, 30.0)) == []


def test_rest_without_the_candle_that_was_open_is_a_gap(candle_join: CandleJoin) -> None:
    assert shown(candle_join.answered([row(120, 4), row(180, 1)], 90.0, 90.0)) == [[60, 120], (120, 4), (180, 1)]
    other = CandleJoin(mark(60, 5, 100.0), 0.0, SPAN, 10)
    push(other, 180, 1, 180.0, 80.0)
    assert shown(other.answered([row(120, 4), row(180, 1)], 90.0, 90.0)) == [[60, 180], "180 1"]
    assert other.done


def test_a_candle_without_trades_needs_no_row() -> None:
    join = CandleJoin(mark(60, 0, 100.0), 0.0, SPAN, 10)
    assert shown(join.answered([row(180, 1)], 90.0, 90.0)) == [(180, 1)]


def test_a_row_that_can_not_be_read_is_a_gap_in_its_place(candle_join: CandleJoin) -> None:
    answer = [row(60, 6), row(120, 4), row(240, 3)._replace(after_hole=True), row(300, 1)]
    assert shown(candle_join.answered(answer, 210.0, 210.0)) == [(60, 6), (120, 4), [120, 240], (240, 3), (300, 1)]
    assert shown(candle_join.answered(answer, 210.0, 210.0)) == []


def test_it_may_be_the_candle_that_was_open_or_one_that_is_pushed(candle_join: CandleJoin) -> None:
    assert push(candle_join, 180, 1, 190.0, 90.0) == push(candle_join, 240, 1, 245.0, 145.0) == []
    answer = [row(120, 4)._replace(after_hole=True), row(240, 3)._replace(after_hole=True)]
    assert shown(candle_join.answered(answer, 150.0, 150.0)) == [[60, 120], (120, 4), "180 1", "240 1"]
    assert candle_join.done


def test_a_hole_before_the_first_push_is_told(candle_join: CandleJoin) -> None:
    assert push(candle_join, 240, 1, 245.0, 145.0) == []
    answer = [row(60, 6), row(120, 4), row(240, 3)._replace(after_hole=True)]
    assert shown(candle_join.answered(answer, 150.0, 150.0)) == [(60, 6), (120, 4), [120, 240], "240 1"]


def test_many_candles_come_in_pages_that_overlap(candle_join: CandleJoin) -> None:
    assert push(candle_join, 1320, 1, 1325.0, 1225.0) == []
    first = [row(start, 5) for start in range(60, 601, 60)]
    assert shown(candle_join.answered(first, 1225.1, 1225.2)) == [(start, 5) for start in range(120, 541, 60)]
    assert candle_join.range == (600, 1140)
    assert candle_join.fetch_at == 1225.2
    assert shown(candle_join.answered([], 1225.3, 1225.4)) == []
    assert candle_join.range == (1140, 1680)
    assert shown(candle_join.answered([row(1320, 1)], 1225.5, 1225.6)) == ["1320 1"]


def test_a_page_without_rows_is_asked_for_again_as_long_as_rest_may_lag(candle_join: CandleJoin) -> None:
    candle_join.answered([row(60, 5)], 565.0, 565.1)
    assert candle_join.range == (60, 600)
    candle_join.answered([row(60, 5)], 595.0, 595.1)
    assert candle_join.range == (600, 1140)


def test_pushes_are_not_held_for_longer_than_ten_seconds(candle_join: CandleJoin) -> None:
    assert shown(candle_join.give_up()) == []
    push(candle_join, 180, 1, 180.0, 80.0)
    candle_join.failed("REST is down", 85.0)
    assert candle_join.fetch_at == 85.0
    steps = candle_join.give_up()
    assert shown(steps) == [[60, 180], "180 1"]
    assert isinstance(steps[0], Gap)
    assert steps[0].reason == "REST is down"
    assert candle_join.done
    assert shown(candle_join.answered([row(60, 9)], 90.0, 90.0)) == []


def test_no_more_pushes_are_held_than_the_limit(candle_join: CandleJoin) -> None:
    for n in range(MAX_HELD):
        assert push(candle_join, 180, n, 180.0, 80.0) == []
    assert len(push(candle_join, 180, MAX_HELD, 180.0, 80.0)) == MAX_HELD + 2


def test_another_cut_drops_what_is_held(candle_join: CandleJoin) -> None:
    push(candle_join, 120, 1, 125.0, 25.0)
    candle_join.lost(30.0)
    assert candle_join.deadline == INFINITE
    push(candle_join, 180, 1, 190.0, 90.0)
    answer = [row(60, 7), row(120, 3), row(180, 1)]
    assert shown(candle_join.answered(answer, 90.0, 90.0)) == [(60, 7), (120, 3), "180 1"]


def test_a_push_without_a_start_ends_the_join(candle_join: CandleJoin) -> None:
    push(candle_join, 180, 1, 180.0, 80.0)
    assert shown(candle_join.pushed(None, "odd", 81.0)) == [[60, 180], "180 1", [180, None], "odd"]
    assert candle_join.done


def test_requests_come_less_often_and_stop_in_a_quiet_market(candle_join: CandleJoin) -> None:
    candle_join.answered([row(60, 5)], 1.0, 1.0)
    assert candle_join.fetch_at == 3.0
    candle_join.answered([row(60, 6)], 3.0, 3.0)
    assert candle_join.fetch_at == 4.0
    candle_join.carried(4.0)
    candle_join.carried(5.0)
    for n in range(5):
        assert candle_join.fetch_at < INFINITE
        candle_join.answered([row(60, 6)], 4.0 + n, 4.0 + n)
    assert candle_join.fetch_at == INFINITE


def test_a_candle_that_had_just_ended_at_the_cut_may_have_been_completed_since() -> None:
    join = CandleJoin(mark(60, 5, 61.5), 0.0, SPAN, 10)
    assert join.range == (0, 540)
    assert push(join, 60, 6, 61.8, 0.3) == [], "it waits for the one before it"
    assert shown(join.answered([row(0, 9), row(60, 5)], 0.4, 0.5)) == [], "that is not final yet"
    assert shown(join.answered([row(0, 9), row(60, 4)], 0.6, 0.7)) == [], "an earlier state"
    assert shown(join.answered([row(0, 9), row(60, 6)], 1.4, 1.5)) == [(0, 9), "60 6"]
    assert join.done


def test_without_a_push_it_comes_and_the_open_candle_does_not_go_back() -> None:
    join = CandleJoin(mark(60, 5, 61.5), 0.0, SPAN, 10)
    assert shown(join.answered([row(0, 9)], 1.0, 1.0)) == [], "the open candle is not told yet"
    assert shown(join.answered([row(0, 9), row(60, 5)], 2.0, 2.0)) == [(0, 9)]
    assert shown(join.answered([row(0, 9), row(60, 7)], 3.0, 3.0)) == [(60, 7)]
    assert push(join, 60, 8, 66.0, 5.0) == ["60 8"]
    assert join.done


def test_where_nothing_was_traded_before_it_the_open_candle_goes_on() -> None:
    join = CandleJoin(mark(60, 5, 61.5), 0.0, SPAN, 10)
    assert push(join, 60, 6, 61.8, 0.3) == []
    assert shown(join.answered([row(60, 6)], 0.4, 0.5)) == [], "a trade may still come"
    assert shown(join.answered([row(60, 6)], 1.4, 1.5)) == ["60 6"]
    assert join.done


def test_rest_that_has_neither_it_nor_the_open_candle_is_a_gap() -> None:
    join = CandleJoin(mark(60, 5, 61.5), 0.0, SPAN, 10)
    assert push(join, 180, 1, 180.5, 119.0) == []
    assert shown(join.answered([row(0, 9), row(120, 2), row(180, 1)], 123.0, 123.0)) == [[0, 180], "180 1"]


class World:
    """An exchange that trades, candles that are pushed each second or after each trade, cuts, and REST that lags.

    Where REST lags little, trades are put into a candle with others until a moment after its end.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now = self.draw.uniform(0, 50)
        self.began = self.draw.randint(0, 1000) * 1_000  # the server's clock minus the monotonic one
        self.trades: list[tuple[float, int, int]] = []  # instant, start of the candle, volume of it so far
        self.delivered: list[Step] = []
        self.join: CandleJoin | None = None
        self.last: CandleMark | None = None
        self.up = True
        self.span = self.draw.choice([5, 60])
        self.lag = self.draw.choice([0.0, 0.0, 0.3, 3.0])
        self.busy = self.draw.choice([0.05, 0.5, 5.0])  # trades a second
        self.most_rows = self.draw.choice([3, 200])
        self.rest_until = 0.0
        self.asked: tuple[float, float, tuple[int, int]] | None = None

    def run(self) -> None:
        for _ in range(self.draw.randint(1, 4)):
            self.pass_time(self.draw.uniform(0, 1.5) * self.span)
            self.cut()
            self.pass_time(self.draw.choice([0.1, 1.0, 5.0]) * self.draw.random() * self.span)
            self.reconnect()
        self.pass_time(HOLD_SECONDS + 5)
        self.trade()
        self.pass_time(HOLD_SECONDS + 5)

    def candles(self, until: float) -> dict[int, int]:
        """Return the volumes of the candles by their starts, of the trades until an instant."""
        found: dict[int, int] = {}
        for at, start, volume in self.trades:
            if at > until:
                break
            found[start] = volume
        return dict(sorted(found.items()))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.2
            if self.draw.random() < self.busy * 0.2:
                self.trade()
            if self.draw.random() < 0.005:
                self.rest_until = self.now + self.draw.choice([1.0, 6.0, 30.0])
            self.serve_rest()

    def trade(self) -> None:
        start = int((self.began + self.now) // self.span * self.span)
        volumes = self.candles(self.now)
        is_early = self.began + self.now - start < 1.5
        if self.lag < 0.5 and is_early and start - self.span in volumes and self.draw.random() < 0.5:
            start -= self.span
        volume = volumes.get(start, 0) + self.draw.randint(1, 9)
        self.trades.append((self.now, start, volume))
        if not self.up:
            return
        at = CandleMark(start, int((self.began + self.now) * 1e9), Decimal(volume))
        self.take([Live(at)] if self.join is None else self.join.pushed(at, at, self.now))

    def cut(self) -> None:
        self.up = False
        if self.join is not None:
            self.take(self.join.lost(self.now))
        elif self.last is not None:
            self.join = CandleJoin(self.last, self.now, self.span, self.most_rows)

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
        elif self.asked is not None and self.asked[1] <= self.now:
            (asked_at, _, (first, last)), self.asked = self.asked, None
            if self.now < self.rest_until:
                join.failed("down", self.now + 1.0)
            else:
                told = self.candles(asked_at - self.lag).items()
                rows = [row(start, volume) for start, volume in told if first <= start <= last]
                self.take(join.answered(rows, asked_at, self.now))
        elif self.asked is None and join.fetch_at <= self.now:
            self.asked = self.now, self.now + self.draw.uniform(0.05, 0.5), join.range

    def take(self, steps: Sequence[Step]) -> None:
        self.delivered += steps
        for step in steps:
            if not isinstance(step, Gap):
                self.last = mark_of(step)
        if self.join is not None and self.join.done:
            self.join = None


def mark_of(step: Step) -> CandleMark:
    assert not isinstance(step, Gap)
    found: CandleMark = step.push if isinstance(step, Live) else step.row.mark
    return found


@settings(max_examples=examples(600), deadline=None)
@given(st.integers(0, 2**32))
@example(1504781)  # a page with one row
def test_over_random_cuts_each_candle_is_whole_that_is_left_behind(seed: int) -> None:
    world = World(seed)
    world.run()
    truth = world.candles(world.now)
    known: dict[int, Decimal] = {}
    newest, told = 0, False
    excused: set[int] = set()  # those around a gap that was told
    for step in world.delivered:
        if isinstance(step, Gap):
            told = True
            continue
        start, _, volume = mark_of(step)
        if told:
            excused.update(each for each in truth if newest - world.span <= each < start)
        again = isinstance(step, Recovered) and volume == known.get(start)  # of the two newest, see below
        assert volume > known.get(start, 0) or again, "a step back, or a repetition"
        assert start >= newest - world.span, "a step back"
        known[start], newest, told = volume, max(newest, start), False
    if known:
        whole = {
            start: volume for start, volume in truth.items() if start >= next(iter(known)) and start not in excused
        }
        assert {start: known.get(start) for start in whole} == whole, "a candle was left before it was whole"
        assert known[max(truth)] == truth[max(truth)]
