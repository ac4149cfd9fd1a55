"""The changes of a book: exact, in order, and without rows that the book knew."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import BookChange, Level2BookChange, Level3BookChange
from kucoin_sync.books.codec import read_futures_level2, read_level2, read_level3


def level2(start: int, end: int, *, after: int = 0, resyncs: int = 0, **changes: Any) -> Level2BookChange:
    data = {"sequenceStart": start, "sequenceEnd": end, "changes": {"bids": [], "asks": [], **changes}}
    return Level2BookChange(read_level2(data), after, resyncs)


def test_changed_levels_are_exact_numbers() -> None:
    change = level2(11, 12, bids=[["99.10", "1.5", "11"]], asks=[["100.20", "0.000", "12"]])
    assert isinstance(change, BookChange)
    assert (change.sequence_start, change.sequence_end, change.resyncs, change.lost) == (11, 12, 0, 0)
    assert change.bids == ((Decimal("99.1"), Decimal("1.5"), 11),)
    assert change.asks == ((Decimal("100.2"), 0, 12),)
    assert repr(change).startswith("<Level2BookChange to 12: bids (LevelChange(price=Decimal('99.10')")


def test_known_rows_and_rows_without_a_price_are_left_out() -> None:
    rows = [["99", "1", "10"], ["0", "5", "11"], ["98", "3", "13"], ["98", "2", "12"]]
    assert [(price, size) for price, size, _ in level2(9, 13, after=10, bids=rows).bids] == [(98, 2), (98, 3)]


def test_swapped_sequences_are_ordered() -> None:
    change = level2(19, 15)
    assert (change.sequence_start, change.sequence_end) == (15, 19)


def test_a_copy_has_the_given_number_of_lost_changes() -> None:
    change = level2(11, 11, after=10, resyncs=2, bids=[["99", "1", "10"], ["99", "2", "11"]])
    twin = change.with_lost(7)
    assert (twin.lost, twin.resyncs, twin.sequence_end, twin.bids) == (7, 2, 11, change.bids)
    assert type(twin) is Level2BookChange


@pytest.mark.parametrize(("side", "bids", "asks"), [("buy", 1, 0), ("sell", 0, 1)])
def test_a_futures_change_has_one_side(side: str, bids: int, asks: int) -> None:
    change = Level2BookChange(read_futures_level2({"sequence": 7, "change": f"90631.2,{side},2"}), 6, 0)
    assert (len(change.bids), len(change.asks)) == (bids, asks)
    assert (change.bids + change.asks)[0] == (Decimal("90631.2"), 2, 7)
    assert (change.sequence_start, change.sequence_end) == (7, 7)


@pytest.mark.parametrize(
    ("subject", "data", "expected"),
    [
        (
            "trade.l3open",
            {"orderId": "o", "side": "sell", "price": "1.50", "size": "2", "orderTime": "7", "time": "9"},
            ("open", "o", "sell", Decimal("1.5"), 2, 7),
        ),
        (
            "match",
            {"makerOrderId": "m", "takerOrderId": "t", "side": "buy", "price": "1", "size": "3", "ts": 5},
            ("match", "m", "buy", 1, 3, 5),
        ),
        ("trade.l3change", {"orderId": "o", "newSize": "4", "oldSize": "6"}, ("change", "o", None, None, 4, 0)),
        ("update", {"orderId": "o", "size": "4"}, ("change", "o", None, None, 4, 0)),
        ("done", {"orderId": "o", "reason": "filled"}, ("done", "o", None, None, None, 0)),
        ("open", {"orderId": "h", "side": "buy", "price": "", "size": "0"}, ("open", "h", "buy", None, 0, 0)),
        ("received", {"orderId": "o", "price": "market", "side": 5}, ("received", "o", None, None, None, 0)),
    ],
)
def test_events_of_both_generations_read_alike(subject: str, data: dict[str, Any], expected: tuple[Any, ...]) -> None:
    change = Level3BookChange(read_level3({"sequence": 8, **data}, subject), 7, 1)
    assert (change.kind, change.order_id, change.side, change.price, change.size, change.time_ns) == expected
    assert (change.sequence_start, change.sequence_end, change.resyncs) == (8, 8, 1)
    assert repr(change) == f"<Level3BookChange to 8: {expected[0]} {expected[1]}>"
