"""The rows have the shapes that KuCoin documents, and that clients have recorded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.account import rows

SPOT_ORDER: dict[str, Any] = {
    "id": "6717422bd51c29000775ea03", "clientOid": "one", "symbol": "BTC-USDT", "type": "limit", "side": "buy",
    "price": "70000", "size": "0.00003", "dealSize": "0.00001", "remainSize": "0", "cancelledSize": "0.00002",
    "cancelExist": True, "tradeType": "TRADE", "inOrderBook": False, "active": False, "createdAt": 1729577515444,
    "lastUpdatedAt": 1729577515481,
}  # fmt: skip
FUTURES_ORDER: dict[str, Any] = {
    "id": "230181737576050688", "symbol": "PEOPLEUSDTM", "type": "market", "side": "sell", "price": "0", "size": 10,
    "dealSize": 4, "clientOid": "", "isActive": True, "cancelExist": False, "createdAt": 1727692804813,
    "updatedAt": 1727692804913, "orderTime": 1727692804808418000, "status": "open",
}  # fmt: skip


def test_a_spot_order() -> None:
    order = rows.order(SPOT_ORDER)
    assert (order.order_id, order.client_oid, order.symbol) == ("6717422bd51c29000775ea03", "one", "BTC-USDT")
    assert (order.size, order.filled_size, order.remaining_size) == (Decimal("0.00003"), Decimal("0.00001"), 0)
    assert (order.canceled_size, order.active, order.ending) == (Decimal("0.00002"), False, "canceled")
    assert (order.time_ns, order.created_ns) == (1729577515481000000, 1729577515444000000)


def test_an_open_futures_order_does_not_tell_by_how_much_it_was_decreased() -> None:
    order = rows.order(FUTURES_ORDER)
    assert (order.price, order.client_oid, order.active, order.ending) == (None, None, True, None)
    assert (order.filled_size, order.canceled_size, order.remaining_size) == (4, None, None)


def test_an_ended_futures_order() -> None:
    order = rows.order({**FUTURES_ORDER, "isActive": False})
    assert (order.ending, order.canceled_size, order.remaining_size) == ("canceled", 6, 0)
    order = rows.order({**FUTURES_ORDER, "isActive": False, "dealSize": 10})
    assert (order.ending, order.canceled_size) == ("filled", 0)


def test_a_fill_keeps_an_id_above_two_to_the_53_exactly() -> None:
    fill = rows.fill(
        {
            "id": 19814995255305, "orderId": "6717", "tradeId": 11029373945659393, "symbol": "BTC-USDT", "side": "buy",
            "liquidity": "taker", "price": "67717.6", "size": "0.00001", "fee": "0.0006", "feeCurrency": "USDT",
            "tradeType": "TRADE", "createdAt": 1729577515473,
        }
    )  # fmt: skip
    assert fill.trade_id == "11029373945659393"
    assert (fill.fee, fill.fee_currency, fill.time_ns) == (Decimal("0.0006"), "USDT", 1729577515473000000)


def test_a_futures_fill_has_the_time_of_the_trade() -> None:
    fill = rows.fill(
        {
            "symbol": "XBTUSDTM", "tradeId": "1784277229880", "orderId": "2", "side": "buy", "price": "67430.9",
            "size": 1, "fee": 0.04, "tradeTime": 1729155616320000000, "createdAt": 1729155616493,
        }
    )  # fmt: skip
    assert (fill.time_ns, fill.fee) == (1729155616320000000, Decimal("0.04"))


def test_spot_balances_are_those_of_the_main_and_the_trading_account() -> None:
    found = list(
        rows.spot_balances(
            [
                {"id": "1", "currency": "USDT", "type": "trade_hf", "balance": "3", "available": "2", "holds": "1"},
                {"id": "2", "currency": "USDT", "type": "main", "balance": "0.01", "available": "0.01", "holds": "0"},
                {"id": "3", "currency": "USDT", "type": "margin", "balance": "9", "available": "9", "holds": "0"},
            ]
        )
    )
    assert [(each.account, each.account_id, each.total, each.hold) for each in found] == [
        ("trade", "1", 3, 1),
        ("main", "2", Decimal("0.01"), 0),
    ]


def test_margin_balances_name_their_account() -> None:
    row = {"currency": "USDT", "total": "38.6", "available": "20.0", "hold": "18.6"}
    [cross] = rows.cross_margin_balances({"accounts": [row]})
    assert (cross.account, cross.hold) == ("margin", Decimal("18.6"))
    isolated = list(
        rows.isolated_balances(
            {"assets": [{"symbol": "BTC-USDT", "baseAsset": {**row, "currency": "BTC"}, "quoteAsset": row}]}
        )
    )
    assert [(each.account, each.currency) for each in isolated] == [
        ("isolated BTC-USDT", "BTC"),
        ("isolated BTC-USDT", "USDT"),
    ]


def test_a_futures_balance_leaves_unrealised_profit_out() -> None:
    data = {"currency": "USDT", "accountEquity": 394.5, "unrealisedPNL": 20.0, "availableBalance": 290.25}
    balance = rows.futures_balance(data)
    assert (balance.total, balance.available, balance.hold) == (Decimal("374.5"), Decimal("290.25"), Decimal("84.25"))


def test_positions_are_long_short_or_closed() -> None:
    row = {
        "symbol": "XBTUSDTM", "currentQty": -3, "avgEntryPrice": 67430.9, "markPrice": 68323.06, "posMargin": 22.1,
        "currentTimestamp": 1730636040926, "settleCurrency": "USDT", "marginMode": "CROSS", "leverage": 10,
    }  # fmt: skip
    position = rows.position(row)
    assert position is not None
    assert (position.side, position.size, position.position_side) == ("short", 3, "BOTH")
    assert (position.entry_price, position.leverage) == (Decimal("67430.9"), 10)
    closed = rows.position({"currentQty": 0, "avgEntryPrice": 0.0}, "XBTUSDTM")
    assert closed is not None and (closed.side, closed.size, closed.entry_price) == (None, 0, None)
    assert rows.position({"currentQty": 1}) is None and rows.position({"symbol": "XBTUSDTM"}) is None


@pytest.mark.parametrize("value", [None, "", "x", True, "NaN", "Infinity", pytest.param(10**5000, id="long")])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert rows.decimal(value) is None
    assert rows.instant(value) == 0


@pytest.mark.parametrize("value", [1e300, 10**40, 2**63, "1e1000000", "1e19", -1, "-1e1000000"])
def test_an_instant_beyond_63_bits_is_none(value: Any) -> None:
    assert rows.instant(value) == 0
    assert rows.instant(str(value)) == 0
    assert rows.instant(2**63 - 1) == 2**63 - 1


def test_a_row_of_an_order_may_lack_its_side() -> None:
    assert rows.order({**SPOT_ORDER, "side": None}).side is None
    assert rows.order({**SPOT_ORDER, "side": "Buy"}).side == "buy"


def test_lists_are_bare_or_pages() -> None:
    row = {"id": 1}
    assert rows.items([row, 3]) == rows.items({"items": [row]}) == [row]
    assert rows.items(None) == rows.items({}) == []
    assert rows.text(None) is rows.text("") is None and rows.text(5) == "5"


def test_orders_have_the_time_of_their_last_update() -> None:
    assert rows.updated({"lastUpdatedAt": 1_700_000_000_000, "createdAt": 1}) == 1_700_000_000_000_000_000
    assert rows.updated({"updatedAt": 1_700_000_000_001}) == 1_700_000_000_001_000_000
    assert rows.updated({"createdAt": "1700000000000"}) == 1_700_000_000_000_000_000
