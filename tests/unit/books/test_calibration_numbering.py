"""A book never goes back in time, and it follows the exchange when that restarts its numbering.

The test chooses at random which updates come twice, late, as a block or merged, which snapshots are old or of another
numbering, and when the exchange restarts its numbering with or without a cut.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kucoin_sync.books import FUTURES_LEVEL2, LEVEL2, LEVEL3, Calibration

from ...support.numbering import FEEDS, Numbering, content
from ...support.selection import examples as number_of

ENOUGH = 4
"""The number of successive updates after which a new numbering is recognised."""
BEGINNINGS = [1, 50_000, 1_553_877_630_287]


class Numberings(RuleBasedStateMachine):
    """One book, and an exchange that restarts its numbering at random."""

    feed = ""

    @initialize(first=st.sampled_from(BEGINNINGS))
    def begin(self, first: int) -> None:
        feed: Any = {"level2": LEVEL2, "futures": FUTURES_LEVEL2}.get(self.feed, LEVEL3)
        self.calibration: Calibration[Any, Any] = Calibration(feed)
        self.numberings = [Numbering(self.feed, 1, first)]
        self.came: list[Any] = []  # successive updates of this numbering on this connection
        self.seen: tuple[int, int] = (0, 0)  # the newest numbering and sequence that were read
        self.seen_resyncs = 0
        self.calibration.snapshot(self.now.snapshot(first))
        self.deliver(8)
        assert self.calibration.live

    @property
    def now(self) -> Numbering:
        return self.numberings[-1]

    def push(self, data: dict[str, Any], subject: str) -> None:
        self.calibration.push(data, subject)
        self.came.append((data, subject))

    @rule(count=st.integers(1, 30))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.now.last += 1
            self.push(*self.now.update(self.now.last))

    @precondition(lambda self: self.feed == "level2")
    @rule(back=st.integers(0, 8), count=st.integers(1, 4))
    def deliver_several_in_one(self, back: int, count: int) -> None:
        first = max(self.now.last + 1 - back, self.now.first + 1)
        self.now.last += count
        self.push(*self.now.several(first, self.now.last))

    @rule(back=st.integers(1, 60), count=st.integers(1, 60))
    def repeat_a_block(self, back: int, count: int) -> None:
        """Repeat the updates of this connection, which changes nothing."""
        before = self.calibration.live, self.calibration.sequence, self.calibration.resyncs
        came = self.came[-back:][:count]
        for push in came:
            self.calibration.push(*push)
        assert (self.calibration.live, self.calibration.sequence, self.calibration.resyncs) == before

    @rule(order=st.permutations(range(4)))
    def deliver_in_another_order(self, order: list[int]) -> None:
        for place in order:
            self.calibration.push(*self.now.update(self.now.last + 1 + place))
        self.now.last += 4
        self.came = []  # some may be missing

    @rule(missed=st.integers(0, 9))
    def cut(self, missed: int) -> None:
        self.calibration.invalidate()
        assert not self.calibration.live
        self.now.last += missed
        self.came = []

    @rule(missed=st.integers(1, 9))
    def lose(self, missed: int) -> None:
        self.now.last += missed
        self.came = []

    @precondition(lambda self: len(self.numberings) < 4 and self.now.last > 20_000)
    @rule(stays=st.booleans(), low=st.integers(1, 50), advanced=st.integers(0, 9))
    def number_anew_from_far_below(self, stays: bool, low: int, advanced: int) -> None:
        """Restart the numbering far below; the connection stays, or is cut and a few updates are missed."""
        lowest = min(each.first for each in self.numberings)
        if not stays:
            self.cut(0)
        self.numberings.append(Numbering(self.feed, self.now.name + 1, max(1, min(low, lowest - 20_000))))
        self.now.last += advanced * (not stays)
        self.came = []

    @precondition(lambda self: len(self.numberings) < 4 and self.calibration.live and len(self.came) > 20)
    @rule(back=st.integers(ENOUGH, 20))
    def number_anew_from_just_below(self, back: int) -> None:
        """Restart the numbering just below; the connection stays."""
        if self.calibration.sequence != self.now.last:
            return
        self.numberings.append(Numbering(self.feed, self.now.name + 1, self.now.last - back))
        self.came = []
        self.deliver(ENOUGH if self.feed == "level2" else 1)  # level 2 may merge several updates
        assert not self.calibration.live, "an update that is not the one that had this number"

    @rule(ahead=st.integers(0, 3))
    def fetch(self, ahead: int) -> None:
        self.calibration.snapshot(self.now.snapshot(self.now.last + ahead))

    @rule(back=st.integers(1, 200))
    def fetch_what_is_stale(self, back: int) -> None:
        had = self.calibration.min_sequence
        sequence = max(self.now.first, self.now.last - back)
        live = self.calibration.live
        self.calibration.snapshot(self.now.snapshot(sequence))
        if not live and self.calibration.live and len(self.numberings) == 1:
            assert self.calibration.sequence >= had

    @precondition(lambda self: len(self.numberings) > 1 and self.now.first < self.numberings[-2].first)
    @rule(back=st.integers(0, 9))
    def fetch_what_is_of_another_numbering(self, back: int) -> None:
        old = self.numberings[-2]
        self.calibration.snapshot(old.snapshot(max(old.first, old.last - back)))

    @invariant()
    def equals_the_truth_or_refuses(self) -> None:
        calibration = self.calibration
        if not calibration.live:
            assert calibration.reason
            return
        sequence, has = calibration.sequence, content(calibration.book)
        possible = [each for each in self.numberings if each.first <= sequence <= each.last + 9]
        of = [each for each in possible if has == each.truth(sequence)]
        assert of, f"the book at {sequence} is none that there ever was: {has}"
        name = of[-1].name
        assert name == self.now.name or len(self.came) < ENOUGH
        if calibration.resyncs == self.seen_resyncs:
            assert (name, sequence) >= self.seen, "it went back, and said nothing"
        self.seen, self.seen_resyncs = (name, sequence), calibration.resyncs

    def teardown(self) -> None:
        """Serve good snapshots: the book becomes ready, however many were refused before."""
        if not hasattr(self, "calibration"):
            return
        self.deliver(ENOUGH)
        self.calibration.snapshot(self.now.snapshot(self.now.last))
        self.deliver(3)
        self.equals_the_truth_or_refuses()
        assert self.calibration.live, self.calibration.reason
        assert self.calibration.sequence == self.now.last
        assert content(self.calibration.book) == self.now.truth(self.now.last)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(
    "examples", [25, pytest.param(400, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids=["some", "many"]
)
def test_a_book_equals_the_exchanges_or_refuses_and_never_goes_back(feed: str, examples: int) -> None:
    case = type("Case", (Numberings,), {"feed": feed}).TestCase
    case.settings = settings(max_examples=number_of(examples), stateful_step_count=30, deadline=None)
    case("runTest").runTest()
