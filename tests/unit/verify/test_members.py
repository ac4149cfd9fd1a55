"""The members of data beside those of a struct, and what a report shows of an account."""

from __future__ import annotations

import pytest

from kucoin_sync.payloads import (
    Balance,
    Candles,
    CrossLeverage,
    FuturesLevel2Update,
    Level2Update,
    OrderChange,
    Ticker,
    UtaFundingRates,
    UtaOrder,
    UtaTrade,
)
from kucoin_sync.verify.members import cleaned, kind_of, members_of_data, optional_members, required_members


def told(cls: type, data: object) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {member.path: (member.kind, member.allowed) for member in members_of_data(cls, data)}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"), (True, "true or false"), ("1", "text"), (1, "number"), (0.5, "number"), ([], "list"),
        ({}, "object"),
    ],
)  # fmt: skip
def test_each_value_has_a_kind(value: object, kind: str) -> None:
    assert kind_of(value) == kind


def test_members_have_the_kinds_that_the_struct_reads() -> None:
    number = "text", "number"
    assert told(Ticker, {"price": "1", "sequence": 2, "new": [1]}) == {
        "price": ("text", number),
        "sequence": ("number", number),
        "new": ("list", ()),
    }
    assert told(UtaTrade, {"rpi": True, "ti": 5}) == {
        "rpi": ("true or false", ("true or false", "null")),
        "ti": ("number", ("text", "null")),
    }
    assert told(FuturesLevel2Update, {"change": "1,sell,0"}) == {"change": ("text", ("text",))}


def test_rows_and_inner_objects_have_paths() -> None:
    changes = {"asks": [["1", "2", "3"], ["4", "5", 6, "7"]], "bids": []}
    assert told(Level2Update, {"changes": changes}).keys() == {
        "changes", "changes.asks", "changes.asks[]", "changes.asks[][0]", "changes.asks[][1]", "changes.asks[][2]",
        "changes.asks[][3]",
    }  # fmt: skip
    assert told(Level2Update, {"changes": changes})["changes.asks[][3]"] == ("text", ())
    assert "candles[6]" in told(Candles, {"candles": ["1"] * 7})
    assert told(UtaFundingRates, [{"s": "A", "x": 1}]).keys() == {"[]", "[].s", "[].x"}
    assert told(CrossLeverage, {"XBTUSDTM": {"leverage": "1"}}).keys() == {"*", "*.leverage"}


def test_a_blank_value_of_a_member_that_may_be_absent_is_none() -> None:
    assert told(OrderChange, {"orderId": "", "clientOid": "", "matchPrice": "", "feeType": None}).keys() == {"orderId"}


def test_members_that_are_needed_and_members_that_may_be_absent() -> None:
    assert required_members(Ticker) == {"price", "sequence"}
    assert optional_members(Ticker) == {
        "Time", "bestAsk", "bestAskSize", "bestBid", "bestBidSize", "size", "time",
    }  # fmt: skip


def test_a_report_shows_no_ids_and_no_figures_of_an_account() -> None:
    order = {
        "orderId": "5c35c02703aa673ceec2a168", "clientOid": "mybot", "symbol": "BTC-USDT", "side": "buy",
        "price": "67000.1", "orderTime": 1593487481000, "ts": 1593487481683297666, "status": "open", "later": "secret7",
    }  # fmt: skip
    assert cleaned(OrderChange, order) == {
        "orderId": "removed", "clientOid": "removed", "symbol": "BTC-USDT", "side": "buy", "price": "1.1",
        "orderTime": 1111111111111, "ts": 1111111111111111111, "status": "open", "later": "removed",
    }  # fmt: skip
    balance = {
        "accountId": "6217a451294b030001e3a26a", "available": "-5.25", "relationContext": {"orderId": "62194567"},
        "relationEvent": "trade.setted", "hold": 3, "more": {"a": [1]}, "list": [1], "none": None, "rate": 0.25,
    }  # fmt: skip
    assert cleaned(Balance, balance) == {
        "accountId": "removed", "available": "-1.1", "relationContext": {"orderId": "removed"},
        "relationEvent": "trade.setted", "hold": 1, "more": {}, "list": [], "none": None, "rate": 1.1,
    }  # fmt: skip
    assert cleaned(UtaOrder, {"oi": "1", "ci": "a", "toi": "2", "ti": 37, "bT": "me", "s": "BTC-USDT"}) == {
        "oi": "removed", "ci": "removed", "toi": "removed", "ti": 11, "bT": "removed", "s": "BTC-USDT",
    }  # fmt: skip
    assert cleaned(None, {"anything": 1}) == {}
