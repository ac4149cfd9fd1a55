"""Pushed snapshots: the book equals the market's best levels at its sequence, or a read raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kucoin_sync.books import UTA_LEVEL2, PushedCalibration
from kucoin_sync.books import uta as module
from kucoin_sync.books.uta import read_uta_level2
from kucoin_sync.exceptions import BookNotReady

from ...support.selection import examples
from ...support.uta_books import Truth, UtaMarket, push
from .test_uta import compare

BIDS, ASKS = [["99", "1"]], [["101", "1"]]


def snapshot(sequence: int) -> bytes:
    return push("snapshot", sequence, sequence, bids=BIDS, asks=ASKS)


def delta(start: int, end: int | None = None, **rows: Any) -> bytes:
    return push("delta", start, start if end is None else end, **rows)


def live(sequence: int = 10) -> PushedCalibration[Any, Any]:
    calibration = PushedCalibration(UTA_LEVEL2)
    assert calibration.push(snapshot(sequence)) == []
    assert calibration.live
    return calibration


def test_the_pushed_snapshot_begins_the_book() -> None:
    calibration = PushedCalibration(UTA_LEVEL2)
    with pytest.raises(BookNotReady, match="the first snapshot has not come yet"):
        _ = calibration.book
    calibration.push(snapshot(10))
    assert (calibration.sequence, calibration.snapshot_sequence, calibration.resyncs) == (10, 10, 0)
    assert calibration.book.spread == 2


def test_updates_before_the_snapshot_count_only_beyond_it() -> None:
    calibration = PushedCalibration(UTA_LEVEL2)
    assert calibration.push(delta(8, 10, bids=[["99", "3"]])) == ()
    assert calibration.push(delta(11, 12, bids=[["98", "3"]])) == ()
    assert len(calibration.push(snapshot(10))) == 1
    assert calibration.sequence == 12
    assert [str(each.size) for each in calibration.book.bids()] == ["1", "3"]


@pytest.mark.parametrize(
    ("start", "end", "sequence"), [(11, 13, 13), (9, 11, 11), (1, 50, 50), (9, 10, 10), (3, 4, 10)]
)
def test_an_update_that_begins_at_or_before_the_next_sequence_and_ends_later_is_applied(
    start: int, end: int, sequence: int
) -> None:
    calibration = live(10)
    applied = calibration.push(delta(start, end, bids=[["99", "7"]]))
    assert calibration.live
    assert calibration.sequence == sequence
    assert bool(applied) == (end > 10)
    assert calibration.book.bid_size(99) == (7 if end > 10 else 1)


def test_a_hole_needs_another_snapshot() -> None:
    calibration = live(10)
    assert calibration.push(delta(12, 13)) == ()
    with pytest.raises(BookNotReady, match="the updates with the sequences 11 to 11 are missing"):
        _ = calibration.book
    assert calibration.resyncs == 1
    calibration.push(snapshot(13))
    assert calibration.sequence == 13
    assert calibration.push(delta(14))


@pytest.mark.parametrize("frame", [b"{", push("gone", 11, 11), delta(11, bids=[["x", "1"]])])
def test_a_push_that_can_not_be_read_counts_as_missing(frame: bytes) -> None:
    calibration = live(10)
    assert calibration.push(frame) == ()
    assert not calibration.live
    assert calibration.reason.startswith("an update ")


def test_a_snapshot_with_an_invalid_row_begins_nothing() -> None:
    calibration = PushedCalibration(UTA_LEVEL2)
    calibration.push(push("snapshot", 10, 10, bids=[["99", "x"]]))
    assert not calibration.live
    assert "makes no sense" in calibration.reason


def test_a_snapshot_that_is_not_ahead_of_a_live_book_is_ignored() -> None:
    calibration = live(10)
    calibration.push(delta(11, bids=[["99", "5"]]))
    for sequence in (9, 11):
        assert calibration.push(snapshot(sequence)) == ()
    assert (calibration.sequence, calibration.resyncs) == (11, 0)
    assert calibration.book.bid_size(99) == 5


def test_a_snapshot_that_is_ahead_of_a_live_book_begins_it_again() -> None:
    calibration = live(10)
    calibration.push(snapshot(12))
    assert (calibration.live, calibration.sequence, calibration.resyncs) == (True, 12, 1)


def test_a_book_goes_back_only_after_three_older_snapshots() -> None:
    calibration = live(10)
    for sequence in (5, 6):
        calibration.invalidate()
        calibration.push(snapshot(sequence))
        assert not calibration.live
        assert calibration.reason == f"the snapshot is of {sequence}, older than the book, which was at 10"
    calibration.invalidate()
    calibration.push(snapshot(7))
    assert calibration.sequence == 7
    assert calibration.push(delta(8))


def test_older_snapshots_that_are_not_newer_than_each_other_prove_nothing() -> None:
    calibration = live(10)
    for sequence in (5, 5, 5, 6, 6, 4, 5, 5):
        calibration.invalidate()
        calibration.push(snapshot(sequence))
        assert not calibration.live
    calibration.invalidate()
    calibration.push(snapshot(6))
    assert calibration.sequence == 6


def test_older_snapshots_prove_nothing_beside_updates_that_go_on() -> None:
    calibration = live(10)
    calibration.invalidate()
    for sequence in (12, 13):
        calibration.push(delta(sequence))
    for sequence in (5, 6, 7, 8):
        calibration.push(snapshot(sequence))
        assert "too old for the updates from 12 on" in calibration.reason
    calibration.push(snapshot(11))
    assert calibration.sequence == 13


def test_a_busy_market_that_is_numbered_anew_is_followed() -> None:
    calibration = live(1_000)
    calibration.invalidate()
    for sequence in (17, 20, 25):
        assert not calibration.live
        calibration.push(snapshot(sequence))
        for update in (1, 2):
            calibration.push(delta(sequence + update))
    assert (calibration.live, calibration.sequence) == (True, 27)


def test_older_snapshots_do_not_add_up_across_a_good_one() -> None:
    calibration = live(10)
    for _ in range(4):
        calibration.invalidate()
        calibration.push(snapshot(5))
        assert not calibration.live
        calibration.push(snapshot(10))
        assert calibration.sequence == 10


def test_a_numbering_that_went_back_is_noticed() -> None:
    calibration = live(100_000)
    calibration.push(delta(100_001))
    calibration.push(delta(5))
    assert not calibration.live
    assert "went back to 5" in calibration.reason


def test_a_replacement_is_of_the_same_kind() -> None:
    calibration = live(10)
    fresh = calibration.replacement("a fork")
    assert isinstance(fresh, PushedCalibration)
    fresh.push(snapshot(9))
    assert not fresh.live
    fresh.push(snapshot(12))
    assert fresh.live


def test_push_accepts_the_struct_and_the_decoded_push() -> None:
    calibration = live(10)
    assert calibration.push(read_uta_level2(delta(11)))
    assert calibration.push({"t": "delta", "d": {"O": 12, "C": 12, "a": [], "b": []}})


# Random faults


class Chance(RuleBasedStateMachine):
    """A connection that drops, repeats, reorders, delays and cuts, and a topic that is subscribed again."""

    symbol = "BTC-USDT"
    depth = 5

    @initialize(seed=st.integers(0, 2**32), moved_up=st.sampled_from(["never", "always", "sometimes"]))
    def begin(self, seed: int, moved_up: Any) -> None:
        module.UTA_DEPTH, self.whole_depth = self.depth, module.UTA_DEPTH
        self.market = UtaMarket(self.symbol, self.depth, levels=9, seed=seed, moved_up=moved_up)
        self.calibration: PushedCalibration[Any, Any] = PushedCalibration(UTA_LEVEL2, limit=10)
        self.truths: dict[int, Truth] = {}
        self.sent: list[bytes] = []  # all pushes so far
        self.at = 0  # the next one to arrive
        self.send(self.market.snapshot())

    def send(self, frame: bytes | None) -> None:
        self.truths[self.market.sequence] = self.market.truth()
        if frame is not None:
            self.sent.append(frame)

    def put(self, frame: bytes) -> None:
        before = self.calibration.sequence, self.calibration.live
        applied = self.calibration.push(frame)
        if applied:
            assert self.calibration.live
            assert applied[-1].sequence_end == self.calibration.sequence
        elif before[1] and self.calibration.live and self.calibration.sequence != before[0]:
            assert self.calibration.resyncs, "only a snapshot moves a book without an update"

    @rule(changes=st.integers(1, 8))
    def trade(self, changes: int) -> None:
        for _ in range(changes):
            self.market.change(12)
        self.send(self.market.delta())

    @rule(count=st.integers(1, 6))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            if self.at < len(self.sent):
                self.at += 1
                self.put(self.sent[self.at - 1])

    @rule(count=st.integers(1, 3))
    def drop(self, count: int) -> None:
        self.at = min(self.at + count, len(self.sent))

    @precondition(lambda self: self.sent)
    @rule(back=st.integers(0, 12))
    def repeat(self, back: int) -> None:
        self.put(self.sent[max(0, self.at - 1 - back)] if self.at else self.sent[0])

    @precondition(lambda self: self.at + 2 <= len(self.sent))
    @rule(later=st.integers(1, 5))
    def delay(self, later: int) -> None:
        """Let a push arrive after some later ones."""
        to = min(self.at + later, len(self.sent) - 1)
        self.sent.insert(to, self.sent.pop(self.at))

    @rule()
    def subscribe_again(self) -> None:
        """The snapshot comes after what was sent before."""
        if frame := self.market.delta():
            self.send(frame)
        self.send(self.market.snapshot())

    @rule(lost=st.booleans())
    def cut(self, lost: bool) -> None:
        self.calibration.invalidate()
        assert not self.calibration.live
        if lost:
            self.at = len(self.sent)
        self.market.delta()
        self.send(self.market.snapshot())

    @rule()
    def deliver_nonsense(self) -> None:
        assert self.calibration.push(b'{"T":') == ()
        assert not self.calibration.live

    @invariant()
    def equals_the_truth_or_refuses(self) -> None:
        if not hasattr(self, "calibration"):
            return
        if self.calibration.live:
            self.calibration.book._check()
            compare(self.calibration, self.truths[self.calibration.sequence])
        else:
            assert self.calibration.reason
            with pytest.raises(BookNotReady, match="can't be read"):
                _ = self.calibration.book

    def teardown(self) -> None:
        """Lose nothing from here on: then one snapshot must be enough."""
        if hasattr(self, "calibration"):
            try:
                self.cut(lost=True)
                self.at = len(self.sent) - 1
                self.deliver(1)
                assert self.calibration.live
                self.equals_the_truth_or_refuses()
                self.trade(1)
                self.deliver(1)
                assert self.calibration.sequence == self.market.sequence or not self.calibration.live
                self.equals_the_truth_or_refuses()
            finally:
                module.UTA_DEPTH = self.whole_depth


class FuturesChance(Chance):
    symbol = "XBTUSDTM"
    depth = 3


TestSpotAgainstChance = Chance.TestCase
TestFuturesAgainstChance = FuturesChance.TestCase
for _case in (TestSpotAgainstChance, TestFuturesAgainstChance):
    _case.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
