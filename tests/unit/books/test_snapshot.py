"""Snapshots: immutable copies of a book, and their conversions."""

from __future__ import annotations

import builtins
import json
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import BookSnapshot
from kucoin_sync.books import Level2Book, Level3Book, Order
from kucoin_sync.books.base import Levels


def level2(depth: int | None = None) -> BookSnapshot:
    book = Level2Book()
    book.load(bids=[["99.0", "1"], ["98", "2.50"]], asks=[["101", "0.1"]], depth=2)
    return BookSnapshot("BTC-USDT", 2, 17, 5, book.bids(depth), book.asks(depth))


def level3() -> BookSnapshot:
    book = Level3Book()
    book.load(bids=[["b", "99", "1", 7]], asks=[["a", "101", "1e-7", 8]])
    orders = tuple(book.bid_orders()), tuple(book.ask_orders())
    return BookSnapshot("BTC-USDT", 3, 17, 5, book.bids(), book.asks(), *orders)


EMPTY = BookSnapshot("BTC-USDT", 2, 0, 0, Levels([], 0, False), Levels([], 0, False))


def test_a_snapshot_has_best_prices_spread_and_mid() -> None:
    snapshot = level2()
    assert snapshot.best_bid == (99, 1)
    assert snapshot.best_ask == (101, Decimal("0.1"))
    assert (snapshot.spread, snapshot.mid) == (2, 100)
    assert str(snapshot.micro_price) == "100.8181818181818181818181818"
    assert EMPTY.best_bid is EMPTY.best_ask is EMPTY.spread is EMPTY.mid is None


@pytest.mark.parametrize(("depth", "partial"), [(None, True), (3, True), (2, False), (1, False)])
def test_a_snapshot_is_partial_if_other_levels_may_be_among_its_own(depth: int | None, partial: bool) -> None:
    assert level2(depth).partial == partial


def test_a_snapshot_is_read_only() -> None:
    with pytest.raises(AttributeError):
        level2().sequence = 18  # type: ignore[misc]
    assert level2() == level2()


def test_plain_data_has_the_form_of_kucoins_answer() -> None:
    assert json.loads(json.dumps(level2().to_dict())) == {
        "symbol": "BTC-USDT",
        "sequence": 17,
        "partial": True,
        "bids": [["99.0", "1"], ["98", "2.50"]],
        "asks": [["101", "0.1"]],
    }
    plain = level3().to_dict()
    assert plain["bids"] == [["b", "99", "1", 7]]
    assert plain["asks"] == [["a", "101", "0.0000001", 8]]


@pytest.mark.parametrize("floats", [False, True])
def test_a_data_frame_has_a_row_for_each_level(floats: bool) -> None:
    pytest.importorskip("pandas")
    frame = level2().to_frame(floats=floats)
    assert list(frame.columns) == ["side", "price", "size"]
    assert frame.to_numpy().tolist() == [
        ["buy", 99, 1],
        ["buy", 98, 2.5],
        ["sell", 101, Decimal("0.1") if not floats else 0.1],
    ]
    assert {type(value) for value in frame["price"]} == {float if floats else Decimal}
    assert EMPTY.to_frame().empty


def test_a_data_frame_of_level_3_has_a_row_for_each_order() -> None:
    pytest.importorskip("pandas")
    frame = level3().to_frame()
    assert list(frame.columns) == ["side", "price", "size", "order_id", "time_ns"]
    assert frame.to_numpy().tolist() == [["buy", 99, 1, "b", 7], ["sell", 101, Decimal("1e-7"), "a", 8]]
    assert level3().bid_orders == (Order("b", "buy", Decimal(99), Decimal(1), 7),)


def test_without_pandas_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"to_frame\(\) needs pandas, which is not installed: pip install pandas"):
        level2().to_frame()
