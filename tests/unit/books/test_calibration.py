"""Calibration: the book equals the exchange's at its sequence, or a read raises. There is no other case."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from kucoin_sync.books import FUTURES_LEVEL2, LEVEL2, LEVEL3, Calibration, Level3Book
from kucoin_sync.books.codec import read_level2, read_level3
from kucoin_sync.exceptions import BookNotReady
from kucoin_sync.payloads import Level, LevelChange
from kucoin_sync.testing.exchange import Exchange

from ...support.books import levels, snapshot
from ...support.history import CONTRACT, FEEDS, SPOT, LossyFeed, history_of, read, snapshot_of, truth_of
from ...support.selection import examples, first

STEPS = 4_000
"""Actions of the simulated traders in each replay. The whole book is compared after every action."""


def update(start: int, end: int | None = None, *, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    end = start if end is None else end
    return {
        "sequenceStart": start,
        "sequenceEnd": end,
        "changes": {"bids": list(bids), "asks": list(asks)},
        "symbol": SPOT,
    }


def live(sequence: int = 10, **options: Any) -> Calibration[Any, Any]:
    """Return a calibration of level 2 that is live."""
    calibration = Calibration(LEVEL2, **options)
    calibration.snapshot(snapshot(sequence))
    assert calibration.live
    return calibration


def refuses(calibration: Calibration[Any, Any], because: str) -> bool:
    """Return whether a read raises with this reason and a snapshot is needed."""
    with pytest.raises(BookNotReady, match="can't be read until") as caught:
        _ = calibration.book
    assert calibration.reason in str(caught.value)
    assert not calibration.live
    return calibration.needs_snapshot and because in calibration.reason


# KuCoin's worked example

EXAMPLE_SNAPSHOT = {
    "sequence": "16",
    "asks": [["3988.59", "3"], ["3988.60", "47"], ["3988.61", "32"], ["3988.62", "8"]],
    "bids": [["3988.51", "56"], ["3988.50", "15"], ["3988.49", "100"], ["3988.48", "10"]],
}
EXAMPLE_CHANGES = {
    "asks": [["3988.59", "3", "16"], ["3988.61", "0", "19"], ["3988.62", "8", "15"]],
    "bids": [["3988.50", "44", "18"]],
}


@pytest.mark.parametrize(("start", "end"), [(15, 19), (19, 15)], ids=["as meant", "as printed"])
@pytest.mark.parametrize("first", ["the update", "the snapshot"])
@pytest.mark.parametrize("form", ["plain", "text"])
def test_kucoins_worked_example_gives_the_documented_book(start: int, end: int, first: str, form: str) -> None:
    calibration = Calibration(LEVEL2)
    data: Any = {"sequenceStart": start, "sequenceEnd": end, "symbol": "BTC-USDT", "changes": EXAMPLE_CHANGES}
    taken: Any = EXAMPLE_SNAPSHOT
    if form == "text":
        data, taken = json.dumps(data).encode(), json.dumps(taken).encode()
    if first == "the update":
        assert calibration.push(data) == ()
        applied = calibration.snapshot(taken)
    else:
        assert calibration.snapshot(taken) == []
        applied = calibration.push(data)
    assert len(applied) == 1
    assert calibration.sequence == 19
    book = calibration.book
    assert book.asks() == levels(("3988.59", "3"), ("3988.60", "47"), ("3988.62", "8"))
    assert book.bids() == levels(("3988.51", "56"), ("3988.50", "44"), ("3988.49", "100"), ("3988.48", "10"))


# The rules


def test_a_book_can_be_read_only_after_its_first_snapshot() -> None:
    calibration = Calibration(LEVEL2)
    assert calibration.state == "buffering"
    assert refuses(calibration, "the first snapshot has not come yet")
    assert repr(calibration) == "<Calibration buffering at 0: 0 kept, the first snapshot has not come yet>"
    calibration.push(update(1))
    assert refuses(calibration, "first snapshot")
    assert calibration.snapshot(snapshot(1)) == []
    assert calibration.state == "live"
    assert calibration.live
    assert not calibration.needs_snapshot
    assert calibration.reason == ""
    assert calibration.book.best_bid == Level(Decimal(99), Decimal(1))
    assert calibration.resyncs == 0
    assert "live at 1: 0 kept, <Level2Book: 1 bids" in repr(calibration)


def test_updates_that_came_before_the_snapshot_are_applied_to_it() -> None:
    calibration = Calibration(LEVEL2)
    for number in range(8, 15):
        assert calibration.push(update(number, bids=[["99", str(number), str(number)]])) == ()
    applied = calibration.snapshot(snapshot(10))
    assert [each.sequence_end for each in applied] == [11, 12, 13, 14]
    assert calibration.sequence == 14
    assert calibration.book.bids() == levels(("99", "14"))


@pytest.mark.parametrize(("sequence", "fits"), [(6, False), (7, True), (8, True), (30, True)])
def test_a_snapshot_older_than_the_buffer_is_refused(sequence: int, fits: bool) -> None:
    calibration = Calibration(LEVEL2)
    for start, end in ((8, 9), (10, 12)):
        calibration.push(update(start, end))
    calibration.snapshot(snapshot(sequence))
    assert calibration.live == fits
    assert calibration.sequence == (max(sequence, 12) if fits else 0)
    if not fits:
        assert refuses(calibration, "the snapshot is of 6, too old for the updates from 8 on")
        calibration.snapshot(snapshot(9))
        assert calibration.sequence == 12


def test_the_first_buffered_sequence_may_be_in_a_swapped_update() -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(12, 8))
    calibration.snapshot(snapshot(6))
    assert refuses(calibration, "from 8 on")
    calibration.snapshot(snapshot(7))
    assert calibration.sequence == 12


def test_successive_updates_are_applied_and_returned() -> None:
    calibration = live(10)
    (applied,) = calibration.push(update(11, 12, bids=[["99", "0", "11"], ["98", "2", "12"]]))
    assert (applied.sequence_start, applied.sequence_end) == (11, 12)
    assert [change.price for change in applied.bids] == [99, 98]
    assert calibration.sequence == 12
    assert calibration.book.bids() == levels(("98", "2"))


def test_push_accepts_the_struct_of_the_feed() -> None:
    calibration = live(10)
    read = read_level2(update(11, bids=[["99", "7", "11"]]))
    assert calibration.push(read) == (read,)
    assert calibration.push(msgspec.Raw(json.dumps(update(12)).encode()))
    assert calibration.sequence == 12


def test_an_overlapping_update_is_applied_without_its_known_rows() -> None:
    calibration = live(10)
    calibration.push(update(11, 13, bids=[["99", "5", "12"], ["98", "3", "13"]]))
    assert calibration.push(
        update(9, 15, bids=[["98", "7", "15"], ["99", "1", "10"], ["98", "1", "11"], ["97", "2", "14"]])
    )
    assert calibration.sequence == 15
    assert calibration.book.bids() == levels(("99", "5"), ("98", "7"), ("97", "2"))


@pytest.mark.parametrize(("start", "end"), [(10, 10), (1, 9), (8, 10), (10, 8)])
def test_a_duplicate_is_ignored(start: int, end: int) -> None:
    calibration = live(10)
    assert calibration.push(update(start, end, bids=[["99", "5", "10"]])) == ()
    assert calibration.sequence == 10
    assert calibration.book.bids() == levels(("99", "1"))


@pytest.mark.parametrize("size", ["0", "5", "0.0"])
def test_price_0_only_advances_the_sequence(size: str) -> None:
    calibration = live(10)
    for number, price in enumerate(("0", "0.0", "0.00000000"), 11):
        assert calibration.push(update(number, bids=[[price, size, str(number)]]))
    assert calibration.sequence == 13
    assert calibration.book.bids() == levels(("99", "1"))


def test_a_gap_makes_the_book_unreadable_until_a_snapshot_covers_it() -> None:
    calibration = live(10)
    assert calibration.push(update(13, 14, bids=[["98", "4", "14"]])) == ()
    assert calibration.state == "gap"
    assert refuses(calibration, "sequences 11 to 12 are missing")
    assert calibration.resyncs == 1
    assert calibration.push(update(11, 12, bids=[["99", "7", "12"]])) == ()
    assert calibration.sequence == 10
    assert calibration.push(update(15, bids=[["97", "5", "15"]])) == ()
    calibration.snapshot(snapshot(11))
    assert refuses(calibration, "too old for the updates from 13 on")
    applied = calibration.snapshot(snapshot(12))
    assert [each.sequence_end for each in applied] == [14, 15]
    assert calibration.book.bids() == levels(("99", "1"), ("98", "4"), ("97", "5"))
    assert (calibration.sequence, calibration.resyncs, calibration.reason) == (15, 1, "")


def test_a_gap_after_the_buffer_clears_the_buffer() -> None:
    calibration = Calibration(LEVEL2)
    for number in (5, 6, 8, 9):
        calibration.push(update(number))
    calibration.snapshot(snapshot(6))
    assert refuses(calibration, "too old for the updates from 8 on")
    calibration.snapshot(snapshot(7))
    assert calibration.sequence == 9


def test_late_and_repeated_updates_do_not_change_the_buffer() -> None:
    calibration = Calibration(LEVEL2)
    for start, end in ((5, 6), (5, 6), (7, 9), (6, 6), (4, 4), (8, 12), (7, 9)):
        calibration.push(update(start, end))
    assert ": 3 kept" in repr(calibration)
    applied = calibration.snapshot(snapshot(6))
    assert [(each.sequence_start, each.sequence_end) for each in applied] == [(7, 9), (8, 12)]


def test_the_buffer_is_bounded_and_drops_the_oldest_updates() -> None:
    calibration = Calibration(LEVEL2, limit=3)
    for number in range(1, 4):
        calibration.push(update(number))
    assert "first snapshot" in calibration.reason
    calibration.push(update(4))
    assert refuses(calibration, "more than 3 updates came")
    calibration.snapshot(snapshot(0))
    assert refuses(calibration, "too old for the updates from 2 on")
    calibration.snapshot(snapshot(1))
    assert calibration.sequence == 4


def test_a_cut_starts_the_book_again() -> None:
    calibration = live(10)
    calibration.invalidate()
    assert calibration.state == "gap"
    assert refuses(calibration, "the connection was lost")
    calibration.push(update(20))
    calibration.invalidate("3 messages were dropped")
    assert refuses(calibration, "3 messages were dropped")
    assert calibration.resyncs == 1
    calibration.push(update(3))
    calibration.snapshot(snapshot(2))
    assert calibration.sequence == 3


def test_a_cut_before_the_first_snapshot_is_no_resync() -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(5))
    calibration.invalidate()
    assert (calibration.state, calibration.resyncs) == ("buffering", 0)
    calibration.snapshot(snapshot(3))
    assert calibration.live


def test_a_replacement_has_an_empty_book_and_continues_the_counts() -> None:
    old = live(10)
    fresh = old.replacement("the process was forked")
    assert refuses(fresh, "the process was forked")
    assert (fresh.state, fresh.resyncs, fresh.sequence) == ("gap", 1, 10)
    fresh.snapshot(snapshot(12), attempt=old.attempt)
    assert not fresh.live, "what the old one asked for is not for the fresh one"
    fresh.snapshot(snapshot(7), attempt=fresh.attempt)
    assert refuses(fresh, "the snapshot is of 7, older than the book, which was at 10")
    fresh.snapshot(snapshot(12), attempt=fresh.attempt)
    assert (fresh.live, fresh.sequence, fresh.resyncs) == (True, 12, 1)
    assert (old.live, old.sequence, old.resyncs) == (True, 10, 0)


def test_a_replacement_before_the_first_snapshot_is_no_resync() -> None:
    fresh = Calibration(LEVEL2).replacement("the process was forked")
    assert (fresh.state, fresh.resyncs) == ("buffering", 0)
    again = live(10).replacement("the process was forked").replacement("and again")
    assert (again.state, again.resyncs) == ("gap", 1)


def test_a_snapshot_requested_before_a_cut_is_ignored_after_it() -> None:
    calibration = live(10)
    calibration.invalidate()
    attempt = calibration.attempt
    calibration.invalidate()
    assert calibration.snapshot(snapshot(11), attempt=attempt) == ()
    assert refuses(calibration, "the connection was lost")
    calibration.snapshot(snapshot(11), attempt=calibration.attempt)
    assert calibration.live


def gone_back() -> Calibration[Any, Any]:
    """Return a calibration that was live at 1001, and then had an update of 1."""
    calibration = live(1000)
    assert calibration.push(update(1001))
    assert calibration.push(update(1)) == ()
    assert refuses(calibration, "the exchange's updates went back to 1, from 1001")
    assert calibration.resyncs == 1
    return calibration


def test_a_numbering_that_went_back_is_followed_by_a_snapshot_within_the_buffer() -> None:
    calibration = gone_back()
    for _ in range(2):
        calibration.snapshot(snapshot(1001))
        assert refuses(calibration, "the snapshot of 1001 may be from before")
    assert calibration.snapshot(snapshot(1)) == []
    assert (calibration.live, calibration.sequence, calibration.resyncs) == (True, 1, 1)


def test_a_snapshot_just_ahead_of_a_numbering_that_went_back_needs_a_newer_one() -> None:
    calibration = gone_back()
    for sequence in (3, 3, 1001):
        calibration.snapshot(snapshot(sequence))
        assert refuses(calibration, f"the snapshot of {sequence} may be from before")
    calibration.snapshot(snapshot(3))
    assert refuses(calibration, "the snapshot of 3 may be from before")
    calibration.snapshot(snapshot(4))
    assert (calibration.live, calibration.sequence) == (True, 4)


def test_a_snapshot_far_ahead_of_the_buffer_is_refused() -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(1))
    calibration.snapshot(snapshot(1_553_877_630_287))
    assert refuses(calibration, "the snapshot is of 1553877630287, and the updates are at 1")
    calibration.snapshot(snapshot(2))
    assert (calibration.live, calibration.sequence) == (True, 2)


@pytest.mark.parametrize("ahead", [1_000, 1_001, 4_999])
def test_updates_far_below_a_snapshot_that_came_before_any_are_of_another_numbering(ahead: int) -> None:
    calibration = live(5_000)
    assert calibration.push(update(5_001 - ahead)) == ()
    assert calibration.live == (ahead == 1_000), "as many may have been sent before the snapshot"
    if not calibration.live:
        assert f"went back to {5_001 - ahead}, from 5000" in calibration.reason
        calibration.snapshot(snapshot(5_001 - ahead))
        assert (calibration.live, calibration.sequence) == (True, 5_001 - ahead)


def test_more_updates_may_have_been_sent_before_a_snapshot_if_some_came_before_it() -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(1))
    calibration.snapshot(snapshot(5_000))
    calibration.push(update(2))
    assert (calibration.live, calibration.sequence) == (True, 5_000)


def test_a_snapshot_of_another_numbering_does_not_raise_the_lowest_accepted_sequence() -> None:
    calibration = live(1_553_877_630_287)
    calibration.push(update(1))
    assert refuses(calibration, "went back to 1")
    calibration.snapshot(snapshot(2))
    assert (calibration.live, calibration.sequence) == (True, 2)


def test_only_a_few_updates_may_be_late() -> None:
    calibration = live(1000)
    calibration.push(update(1001))
    for number in (950, 951, 952):
        assert calibration.push(update(number)) == ()
        assert calibration.live
    calibration.push(update(953))
    assert refuses(calibration, "went back to 953, from 1001")
    calibration.snapshot(snapshot(953))
    calibration.push(update(954))
    assert calibration.push(update(940)) == ()
    assert calibration.live, "they are counted anew"


def test_updates_repeated_after_a_cut_do_not_look_like_a_new_numbering() -> None:
    calibration = live(10)
    for number in (11, 12):
        calibration.push(update(number))
    calibration.invalidate()
    for number in (11, 12):
        calibration.push(update(number))
    calibration.snapshot(snapshot(11))
    assert refuses(calibration, "the snapshot is of 11, older than the book, which was at 12")
    calibration.snapshot(snapshot(12))
    assert calibration.live


def test_updates_of_the_old_numbering_are_forgotten() -> None:
    calibration = live(1000)
    for number in range(1001, 1011):
        calibration.push(update(number))
    anew = [update(number, bids=[["98", "5", str(number)]]) for number in range(1005, 1013)]
    for each in anew:
        calibration.push(each)
    assert refuses(calibration, "went back to 1005, from 1010")
    calibration.snapshot(snapshot(1012))
    for each in anew:
        assert calibration.push(each) == ()
    assert (calibration.live, calibration.sequence, calibration.resyncs) == (True, 1012, 1)


def test_a_live_book_ignores_a_snapshot() -> None:
    calibration = live(10)
    assert calibration.snapshot(snapshot(20, bids=[["50", "1"]])) == ()
    assert calibration.snapshot(b"nonsense") == ()
    assert calibration.sequence == 10
    assert calibration.book.bids() == levels(("99", "1"))


BAD_UPDATES = [
    ("could not be read", {}),
    ("could not be read", b"nonsense"),
    ("could not be read", None),
    ("could not be read", update(11, bids=[["99"]])),
    ("makes no sense", update(11, bids=[["99", "5", 11], ["98", "x", 11]])),
    ("makes no sense", update(11, asks=[["-99", "5", 11]])),
    ("makes no sense", update(11, bids=[["nan", "5", 11]])),
    ("makes no sense", update(11, bids=[["99", "inf", 11]])),
]


@pytest.mark.parametrize(("reason", "bad"), BAD_UPDATES)
def test_an_unusable_update_counts_as_missing(reason: str, bad: Any) -> None:
    calibration = live(10)
    assert calibration.push(bad) == ()
    assert refuses(calibration, reason)
    assert calibration.resyncs == 1
    calibration.push(update(12, bids=[["98", "1", "12"]]))
    calibration.snapshot(snapshot(10))
    assert refuses(calibration, "too old")
    calibration.snapshot(snapshot(11))
    assert calibration.sequence == 12


def test_an_invalid_update_in_the_buffer_needs_another_snapshot() -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(11, bids=[["98", "1", "11"]]))
    calibration.push(update(12, bids=[["98", "x", "12"]]))
    calibration.push(update(13, bids=[["97", "1", "13"]]))
    assert calibration.snapshot(snapshot(10)) == ()
    assert refuses(calibration, "makes no sense")
    applied = calibration.snapshot(snapshot(12))
    assert [each.sequence_end for each in applied] == [13]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        b"nonsense",
        {"sequence": "", "bids": None, "asks": None},
        snapshot(10, bids=[["99", "x"]]),
        snapshot(10, bids=[["-99", "1"]]),
        snapshot(10, bids=[["99"]]),
        snapshot(10, bids=[["99", "1"], ["99.0", "1"]]),
    ],
)
def test_a_malformed_snapshot_is_refused(bad: Any) -> None:
    calibration = Calibration(LEVEL2)
    calibration.push(update(11))
    assert calibration.snapshot(bad) == ()
    assert refuses(calibration, "the snapshot makes no sense")
    calibration.snapshot(snapshot(10))
    assert calibration.sequence == 11


def test_numbers_may_be_text_or_numbers() -> None:
    calibration = Calibration(LEVEL2)
    calibration.snapshot({"sequence": 10, "bids": [[99, 1.5]], "asks": [["101", Decimal("2.50")]]})
    calibration.push({"sequenceStart": "11", "sequenceEnd": "11", "changes": {"bids": [[98.5, 2, 11]]}})
    assert calibration.book.bids() == levels(("99", "1.5"), ("98.5", "2"))


def test_an_empty_snapshot_makes_an_empty_book() -> None:
    calibration = Calibration(LEVEL2)
    calibration.snapshot(snapshot(10, bids=[], asks=[]), depth=20)
    assert calibration.book.bids() == calibration.book.asks() == []
    calibration.push(update(11, bids=[["99", "1", "11"]]))
    assert calibration.book.best_bid == Level(Decimal(99), Decimal(1))


# Partial books

BIDS = [["99", "1"], ["98", "1"]]


def partial() -> Calibration[Any, Any]:
    calibration = Calibration(LEVEL2)
    calibration.snapshot(snapshot(10, bids=BIDS), depth=2)
    return calibration


def test_a_partial_snapshot_makes_a_partial_book() -> None:
    calibration = partial()
    assert calibration.book.partial
    assert calibration.book.bids_complete_to == Decimal(98)
    assert calibration.book.asks_complete_to is None
    calibration.push(update(11, bids=[["90", "5", "11"]]))
    read = calibration.book.bids()
    assert (len(read), read.reliable_count, read.partial) == (3, 2, True)


def test_a_partial_book_starts_again_when_its_first_levels_are_gone() -> None:
    calibration = partial()
    calibration.push(update(11, bids=[["99", "0", "11"], ["90", "5", "11"]]))
    assert calibration.book.best_bid == Level(Decimal(98), Decimal(1))
    assert calibration.push(update(12, bids=[["98", "0", "12"]])) == ()
    assert refuses(calibration, "all levels of the partial snapshot are gone")
    assert calibration.resyncs == 1
    calibration.snapshot(snapshot(11, bids=BIDS[1:]), depth=1)
    assert refuses(calibration, "all levels of the partial snapshot are gone")
    assert calibration.snapshot(snapshot(12, bids=[["95", "1"]]), depth=1) == []
    assert calibration.book.best_bid == Level(Decimal(95), Decimal(1))


def test_a_complete_book_may_lose_all_its_levels() -> None:
    calibration = live(10)
    assert calibration.push(update(11, bids=[["99", "0", "11"]]))
    assert calibration.book.best_bid is None


# The other feeds


def test_futures_updates_follow_each_other_without_a_gap() -> None:
    calibration = Calibration(FUTURES_LEVEL2)
    calibration.snapshot({"sequence": 10, "symbol": CONTRACT, "bids": [[99, 5]], "asks": [[101.5, 7]], "ts": 1})
    assert calibration.push({"sequence": 10, "change": "99,buy,9"}) == ()
    (applied,) = calibration.push(b'{"sequence":11,"change":"98.5,buy,3","timestamp":1}')
    assert applied.bids[0].size == 3
    calibration.push({"sequence": 12, "change": "101.50,sell,0"})
    assert calibration.book.bids() == levels(("99", "5"), ("98.5", "3"))
    assert calibration.book.asks() == []
    calibration.push({"sequence": 14, "change": "99,buy,1"})
    assert refuses(calibration, "sequences 13 to 13 are missing")


@pytest.mark.parametrize("change", ["99,buy", "99,up,1", "99,,1", "x,buy,1", "99,buy,-1", "99,buy,", ""])
def test_a_malformed_futures_change_counts_as_missing(change: str) -> None:
    calibration = Calibration(FUTURES_LEVEL2)
    calibration.snapshot({"sequence": 10, "bids": [], "asks": []})
    assert calibration.push({"sequence": 11, "change": change}) == ()
    assert refuses(calibration, "an update makes no sense")


@pytest.mark.parametrize("change", ["99,buy,1,2", "99,BUY,1", " 99, buy, 1 ", "99,Buy,1,", "99 ,buy,1e0"])
def test_a_futures_change_may_have_more_parts_blanks_and_capitals(change: str) -> None:
    calibration = Calibration(FUTURES_LEVEL2)
    calibration.snapshot({"sequence": 10, "bids": [], "asks": []})
    (applied,) = calibration.push({"sequence": 11, "change": change})
    assert (applied.bids, applied.asks) == ((LevelChange(Decimal(99), Decimal(1), 11),), ())
    assert calibration.book.bids() == levels(("99", "1"))


def l3_event(sequence: int, **data: Any) -> dict[str, Any]:
    return {"sequence": str(sequence), "type": "", "symbol": SPOT, **data}


def level3() -> Calibration[Level3Book, Any]:
    calibration = Calibration(LEVEL3)
    calibration.snapshot({"sequence": 10, "asks": [["a", "101", "7", 1]], "bids": [["b", "99", "5", 2]], "time": 3})
    return calibration


def test_events_of_level_3_follow_each_other_without_a_gap() -> None:
    calibration = level3()
    assert calibration.push(l3_event(11, orderId="c", side="buy", price="99.0", size="2", type="open"), "trade.l3open")
    assert (
        calibration.push(l3_event(11, orderId="c", side="buy", price="99.0", size="2", type="open"), "trade.l3open")
        == ()
    )
    assert calibration.push(l3_event(12, orderId="h", side="buy", price="", size="0"), "open")
    assert calibration.push(l3_event(13, makerOrderId="b", size="1", remainSize="4"), "match")
    assert [order.size for order in calibration.book.bid_orders()] == [4, 2]
    assert calibration.sequence == 13
    assert calibration.push(l3_event(15, orderId="b"), "done") == ()
    assert refuses(calibration, "sequences 14 to 14 are missing")


@pytest.mark.parametrize("sequence", [9, 10, 11, 12, 99])
def test_an_activated_stop_order_is_not_counted(sequence: int) -> None:
    calibration = level3()
    data = l3_event(sequence, orderId="s", type="activated", size="5", side="buy", price="50")
    assert calibration.push(data, "trade.l3received") == ()
    assert calibration.sequence == 10
    assert calibration.push(l3_event(11, orderId="x"), "received")
    calibration.invalidate()
    assert calibration.push(data, "trade.l3received") == ()
    calibration.push(l3_event(21, orderId="x"), "received")
    assert calibration.push(data, "trade.l3received") == ()
    calibration.snapshot({"sequence": 20, "asks": [], "bids": []})
    assert calibration.sequence == 21


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        ("trade.l3new", {"orderId": "b"}),
        ("match", {"orderId": "b", "size": "1"}),
        ("match", {"makerOrderId": "b", "size": "6"}),
        ("match", {"makerOrderId": "b", "size": "1", "remainSize": "3"}),
        ("open", {"orderId": "b", "side": "buy", "price": "98", "size": "1"}),
        ("trade.l3change", {"orderId": "b", "newSize": "1", "oldSize": "2"}),
    ],
)
def test_an_event_that_contradicts_the_book_counts_as_missing(subject: str, data: dict[str, str]) -> None:
    calibration = level3()
    assert calibration.push(l3_event(11, **data), subject) == ()
    assert refuses(calibration, "an update")


ODDITIES: list[Any] = [None, "", "much", "BUY", 1.5, 1e300, -1, True, [], ["1"], {}, {"a": 1}]
EVENTS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("received", {"orderId": "c", "side": "buy"}, {"orderId"}),
    ("open", {"orderId": "c", "side": "buy", "price": "98", "size": "1"}, {"orderId", "side", "price", "size"}),
    ("match", {"makerOrderId": "b", "size": "1", "remainSize": "4"}, {"makerOrderId", "size"}),
    ("change", {"orderId": "b", "newSize": "4", "oldSize": "5"}, {"orderId", "newSize"}),
    ("update", {"orderId": "b", "size": "4", "oldSize": "5"}, {"orderId", "size"}),
    ("done", {"orderId": "b"}, {"orderId"}),
]


@pytest.mark.parametrize(("subject", "data", "needed"), EVENTS, ids=[subject for subject, _, _ in EVENTS])
def test_an_odd_member_of_level_3_that_the_event_does_not_need_changes_nothing(
    subject: str, data: dict[str, Any], needed: set[str]
) -> None:
    usual = level3()
    assert usual.push(l3_event(11, **data), subject)
    others = {"ts": 1, "time": "1", "orderTime": 1, "side": "sell", "oldSize": "", "remainSize": "", "price": "1"}
    for name in {*data, *others} - needed:
        for odd in ODDITIES:
            if name in ("oldSize", "remainSize") and odd in (1.5, 1e300) and not isinstance(odd, bool):
                continue  # another size, which contradicts the book
            event = l3_event(11, **{**others, **data, name: odd})
            for form in (event, json.dumps(event).encode()):
                calibration = level3()
                assert calibration.push(form, subject), (name, odd)
                assert calibration.book.bids() == usual.book.bids()


@pytest.mark.parametrize(("subject", "data", "needed"), EVENTS, ids=[subject for subject, _, _ in EVENTS])
def test_an_odd_member_that_it_needs_counts_as_missing(subject: str, data: dict[str, Any], needed: set[str]) -> None:
    for name in needed:
        for odd in ([], {}, True, ["1"]):
            calibration = level3()
            assert calibration.push(l3_event(11, **{**data, name: odd}), subject) == (), (name, odd)
            assert refuses(calibration, "an update")


@pytest.mark.parametrize("side", ["BUY", "Buy", " buy "])
def test_the_side_of_an_order_may_have_capitals_and_blanks(side: str) -> None:
    calibration = level3()
    (change,) = calibration.push(l3_event(11, orderId="c", side=side, price="98", size="1", ts=""), "open")
    order = calibration.book.order("c")
    assert order is not None and change.side == order.side == "buy" and order.time_ns == 0


def test_push_accepts_the_struct_of_level_3() -> None:
    calibration = level3()
    assert calibration.push(read_level3(l3_event(11, orderId="b"), "done"))
    assert calibration.book.bids() == []


# Against the exchange


@pytest.mark.parametrize("steps", first(STEPS // 4, STEPS))
def test_all_books_equal_the_exchanges_at_every_sequence(steps: int) -> None:
    exchange = Exchange((SPOT, CONTRACT), seed=21, levels=8)
    exchange.wants = FEEDS.__contains__
    books = {topic: Calibration(feed) for topic, feed in FEEDS.items()}
    symbols = {topic: topic.partition(":")[2] for topic in FEEDS}
    events = activated = 0
    for step in range(steps):
        if step % 40 == 0:
            # A stop order just above the best ask: it triggers soon and is pushed on the first generation of level 3.
            exchange.place(SPOT, "buy", "0.001", stop_price=exchange.level2(SPOT).asks[0][0])
        for push in exchange.step():
            data = push.data if step % 2 else json.dumps(push.data).encode()
            events += len(books[push.topic].push(data, push.subject))
            activated += push.data.get("type") == "activated"
        for topic, calibration in books.items():
            if calibration.needs_snapshot and step > 20:
                calibration.snapshot(snapshot_of(exchange, symbols[topic], FEEDS[topic]))
            if calibration.live and (step % 4 == 0 or FEEDS[topic] is not LEVEL3):
                assert read(calibration) == truth_of(exchange, symbols[topic], FEEDS[topic])
    assert all(calibration.live and calibration.resyncs == 0 for calibration in books.values())
    assert events > 3 * steps
    assert activated > steps / 100


# Random faults


class RandomFeed(LossyFeed):
    """Random losses, repetitions, delays and snapshots, in any order."""

    topic = ""
    steps = 150

    @initialize()
    def begin(self) -> None:
        self.history = history_of(self.topic, self.steps)
        self.calibration: Calibration[Any, Any] = Calibration(self.history.feed, limit=25)

    def put(self, at: int) -> None:
        before = self.calibration.sequence
        applied = self.calibration.push(*self.history.updates[at])
        assert bool(applied) == (self.calibration.sequence > before and self.calibration.live)

    @precondition(lambda self: self.history.feed is LEVEL2 and self.left())
    @rule(back=st.integers(0, 8), ahead=st.integers(0, 4))
    def deliver_several_in_one(self, back: int, ahead: int) -> None:
        first, last = max(self.next - back, 0), min(self.next + ahead, len(self.history.updates) - 1)
        self.calibration.push(self.history.merged(first, last))
        self.next = last + 1

    @rule()
    def deliver_nonsense(self) -> None:
        assert self.calibration.push(b'{"sequence":') == ()
        assert not self.calibration.live

    @rule(dropped=st.integers(0, 9))
    def cut(self, dropped: int) -> None:
        self.calibration.invalidate()
        assert not self.calibration.live
        self.drop(dropped)

    @rule(back=st.integers(0, 12), depth=st.sampled_from([None, None, 1, 3]))
    def fetch(self, back: int, depth: int | None) -> None:
        """Pass a snapshot that is older or newer than the delivered updates."""
        depth = None if self.history.feed is LEVEL3 else depth
        self.calibration.snapshot(self.snapshot(back, depth), depth=depth)

    @rule()
    def fetch_nonsense(self) -> None:
        before = self.calibration.live
        assert self.calibration.snapshot({"sequence": "7", "bids": [["1", "x"]], "asks": []}) == ()
        assert self.calibration.live == before

    @invariant()
    def equals_the_truth_or_refuses(self) -> None:
        if not self.calibration.live:
            assert refuses(self.calibration, "")
            assert self.calibration.reason
            return
        book = self.calibration.book
        book._check()
        truth = self.history.truths[self.calibration.sequence]
        if not book.partial:
            assert read(self.calibration) == truth
            return
        for levels_of, true in ((book.bids, truth[1]), (book.asks, truth[2])):
            known = levels_of()
            assert known[: known.reliable_count] == true[: known.reliable_count]
            assert set(known) <= set(true)
            assert not levels_of(1).partial
            for n in range(len(known) + 2):
                assert levels_of(n).partial or levels_of(n) == true[:n]

    def teardown(self) -> None:
        """Lose nothing from here on: then one snapshot must be enough."""
        if not hasattr(self, "calibration") or not self.left():
            return
        self.calibration.invalidate()
        # The book may have begun with a snapshot that was ahead of the updates: it needs one that is not older.
        had = self.calibration.sequence
        later = [
            make for first, make in self.history.snapshots if first > self.next and int(make(None)["sequence"]) >= had
        ]
        if not later:
            return
        self.deliver(1)
        self.calibration.snapshot(later[0](None))
        assert self.calibration.live
        self.equals_the_truth_or_refuses()
        self.deliver(self.left())
        assert self.calibration.sequence == max(self.history.truths)
        self.equals_the_truth_or_refuses()


def random_on(topic: str) -> Any:
    case = type("RandomFeed", (RandomFeed,), {"topic": topic}).TestCase
    case.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
    return case


TestLevel2OnRandomFeeds = random_on(f"/market/level2:{SPOT}")
TestFuturesLevel2OnRandomFeeds = random_on(f"/contractMarket/level2:{CONTRACT}")
TestLevel3OnRandomFeeds = random_on(f"/market/level3:{SPOT}")
TestNewLevel3OnRandomFeeds = random_on(f"/spotMarket/level3:{SPOT}")
