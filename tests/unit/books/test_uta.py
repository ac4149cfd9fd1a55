"""The UTA feed's book: its pushes as they are sent, and how far it is known."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.books import UTA_LEVEL2, PushedCalibration, UtaLevel2Book, WireUtaLevel2Update
from kucoin_sync.books import uta as module
from kucoin_sync.books.uta import UTA_DEPTH, read_uta_level2, read_uta_level2_frame
from kucoin_sync.payloads import LevelChange

from ...support.selection import first
from ...support.uta_books import Depths, UtaMarket, push

#: Recorded on the live feed; the names are KuCoin's.
FUTURES = (
    b'{"T":"obu.FUTURES","dp":"increment@10ms","t":"delta","P":1781666796660937177,"d":{"a":[],"b":[["65739.9","0"],'
    b'["65739","14"]],"C":1743938538056,"s":"XBTUSDTM","M":1781666796658000000,"O":1743938538050}}'
)


# Pushes


def test_a_recorded_push_is_decoded() -> None:
    for update in (read_uta_level2_frame(FUTURES), read_uta_level2(FUTURES), read_uta_level2(json.loads(FUTURES))):
        assert (update.sequence_start, update.sequence_end, update.is_snapshot) == (1743938538050, 1743938538056, False)
        assert update.asks == ()
        end = 1743938538056
        assert update.bids == (
            LevelChange(Decimal("65739.9"), Decimal(0), end),
            LevelChange(Decimal("65739"), Decimal(14), end),
        )


@pytest.mark.parametrize(("kind", "is_snapshot"), [("snapshot", True), ("Snapshot", True), ("DELTA", False)])
def test_the_envelope_says_what_a_push_is(kind: str, is_snapshot: bool) -> None:
    assert read_uta_level2_frame(push(kind, 5, 5)).is_snapshot == is_snapshot
    assert read_uta_level2(json.loads(push(kind, 5, 5))).is_snapshot == is_snapshot


def test_numbers_and_text_may_be_swapped_and_stay_exact() -> None:
    rows = b'"a":[[0.10000000000000000001,2,"x"]],"b":null'
    frame = b'{"t":"delta","d":{"O":"90071992547409931","C":"90071992547409932",' + rows + b"}}"
    update = read_uta_level2(frame)
    assert (update.sequence_start, update.sequence_end) == (90071992547409931, 90071992547409932)
    assert update.asks == (LevelChange(Decimal("0.10000000000000000001"), Decimal(2), 90071992547409932),)
    assert update.bids == ()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b"{}",
        b'{"t":"delta"}',
        b'{"d":{"O":1,"C":1}}',
        b'{"t":"delta","d":{"C":1}}',
        b'{"t":"change","d":{"O":1,"C":1}}',
        b'{"t":1,"d":{"O":1,"C":1}}',
        b'{"t":"delta","d":{"O":1,"C":1.5}}',
        b'{"t":"delta","d":{"O":1,"C":1,"a":"12"}}',
        b'{"t":"delta","d":{"O":1,"C":1,"a":[["1"]]}}',
        b'{"t":"delta","d":' + b"[" * 100_000,
    ],
)
def test_what_is_no_push_is_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        read_uta_level2(frame)
    assert type(caught.value) in (ValueError, json.JSONDecodeError)


def test_a_field_of_this_package_can_not_be_sent() -> None:
    frame = b'{"t":"delta","d":{"O":1,"C":1,"~snapshot":true}}'
    assert not read_uta_level2(frame).is_snapshot


# The book


def levels(side: Any) -> list[tuple[str, str]]:
    return [(str(price), str(size)) for price, size in side]


def update(*, bids: Any = (), asks: Any = ()) -> WireUtaLevel2Update:
    return WireUtaLevel2Update(1, 1, list(asks), list(bids))


def test_rows_are_applied_in_order_and_size_0_removes() -> None:
    book = UtaLevel2Book()
    book.load(bids=[("10", "1"), ("9", "1")], asks=[("11", "1")])
    book.apply(update(bids=[("10", "5"), ("10", "0"), ("9", "0"), ("9", "7")], asks=[("11.0", "0"), ("12", "1e1")]))
    assert levels(book.bids()) == [("9", "7")]
    assert levels(book.asks()) == [("12", "1E+1")]
    book.set("buy", 8, "0.5")
    book.delete("buy", "9")
    assert levels(book.bids()) == [("8", "0.5")]
    book._check()


@pytest.mark.parametrize("bad", [("x", "1"), ("10", "x"), ("10", "-1"), ("-1", "1"), ("10", "nan")])
def test_an_invalid_row_changes_nothing(bad: tuple[str, str]) -> None:
    book = UtaLevel2Book()
    book.load(bids=[("10", "1")], asks=[])
    with pytest.raises(ValueError, match="is"):
        book.apply(update(bids=[("10", "2")], asks=[bad]))
    with pytest.raises(ValueError, match="is"):
        book.apply(update(asks=[bad]))
    assert levels(book.bids()) == [("10", "1")]
    assert book.asks() == []


def bids_of(count: int, first: int = 1000) -> list[tuple[str, str]]:
    return [(str(first - n), "1") for n in range(count)]


@pytest.mark.parametrize(("count", "complete_to"), [(0, None), (499, None), (500, 501), (503, 501)])
def test_a_snapshot_of_fewer_levels_than_the_feed_pushes_is_complete(count: int, complete_to: int | None) -> None:
    book = UtaLevel2Book()
    book.load(bids_of(count), [])
    assert book.bids_complete_to == complete_to
    assert book.asks_complete_to is None
    assert book.bid_count == min(count, UTA_DEPTH)
    assert not book.exhausted
    book._check()


def test_a_complete_side_becomes_partial_with_the_500th_level() -> None:
    book = UtaLevel2Book()
    book.load(bids_of(499), [])
    book.apply(update(bids=[("2000", "1")]))
    assert book.bids_complete_to == 502
    assert book.bid_size(501) is None


def test_the_known_depth_shrinks_and_does_not_grow_again() -> None:
    book = UtaLevel2Book()
    book.load(bids_of(500), [])
    book.apply(update(bids=[(str(1001 + n), "1") for n in range(3)]))  # the feed may push out 501, 502, 503 late
    assert (book.bids_complete_to, book.bid_count) == (504, 500)
    book.apply(update(bids=[(str(1001 + n), "0") for n in range(3)] + [("501", "4")]))
    assert book.bids_complete_to == 504
    assert book.bids().reliable_count == 497
    assert levels(book.bids()[-1:]) == [("501", "4")]
    assert book.bid_size(502) is None
    assert book.bid_size(504) == 1


def test_a_side_without_a_known_best_level_is_exhausted() -> None:
    book = UtaLevel2Book()
    book.load(bids_of(500), [])
    book.apply(update(bids=[(price, "0") for price, _ in bids_of(500)] + [("400", "1")]))
    assert book.exhausted


# Against a market that has more levels than the feed pushes


def compare(calibration: PushedCalibration[Any, Any], truth: Any) -> int:
    """Compare all that a live book says with the truth at its sequence; return how many levels are certain."""
    book, certain = calibration.book, 0
    sequence, *sides = truth
    assert calibration.sequence == sequence
    assert not book.exhausted
    for known, true, complete_to, size_at in (
        (book.bids(), sides[0], book.bids_complete_to, book.bid_size),
        (book.asks(), sides[1], book.asks_complete_to, book.ask_size),
    ):
        assert len(known) <= module.UTA_DEPTH
        assert known[: known.reliable_count] == true[: known.reliable_count]
        assert set(known) <= set(true)
        certain += known.reliable_count
        if complete_to is None:
            assert known == true
        else:
            assert known[known.reliable_count - 1].price == complete_to or size_at(complete_to) == 0
        for price, size in true:
            assert size_at(price) in (size, None)
    return certain


@pytest.mark.parametrize(("moved_up", "part"), first(("sometimes", 4), ("sometimes", 1), ("never", 1), ("always", 1)))
@pytest.mark.parametrize("symbol", ["BTC-USDT", "XBTUSDTM"])
@pytest.mark.parametrize(("depth", "levels", "windows"), [(500, 900, 300), (8, 14, 2500), (8, 7, 2500)])
def test_a_book_never_claims_a_level_that_it_can_not_know(
    symbol: str, moved_up: Depths, part: int, depth: int, levels: int, windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows //= part
    monkeypatch.setattr(module, "UTA_DEPTH", depth)
    market = UtaMarket(symbol, depth, levels=levels, seed=depth + levels, moved_up=moved_up)
    calibration = PushedCalibration(UTA_LEVEL2)
    snapshots = shrunk = 0
    for window in range(windows):
        if calibration.needs_snapshot:
            calibration.push(market.snapshot())
            snapshots += 1
            assert compare(calibration, market.truth()) == sum(min(depth, len(side)) for side in market.sides)
        for _ in range(window % 9 * (1 + depth // 100)):
            market.change()
        frame = market.delta()
        if frame is not None and calibration.push(frame):
            certain = compare(calibration, market.truth())
            shrunk += certain < sum(min(depth, len(side)) for side in market.sides)
        else:
            assert frame is None or calibration.reason.startswith("all levels of the partial snapshot are gone")
    assert shrunk, "no level was ever uncertain"
    assert snapshots <= windows / 4
