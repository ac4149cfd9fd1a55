from __future__ import annotations

import json
from decimal import Decimal

import pytest

from kucoin_sync.account.values import AccountBalance, AccountChange, AccountFill, AccountOrder, AccountPosition


def test_a_change_gets_the_number_of_those_lost_before_it_as_a_copy() -> None:
    change = AccountChange(kind="reconciled", reconciliations=2)
    copy = change.with_lost(3)
    assert (copy.lost, copy.kind, copy.reconciliations) == (3, "reconciled", 2)
    assert change.lost == 0


def test_values_are_read_only() -> None:
    balance = AccountBalance(currency="USDT", account="trade", available=Decimal(1), hold=Decimal(0), total=Decimal(1))
    with pytest.raises(AttributeError):
        balance.total = Decimal(2)  # type: ignore[misc]


def test_what_is_not_told_is_none() -> None:
    order = AccountOrder(order_id="1", symbol="BTC-USDT", side="buy")
    assert (order.price, order.size, order.remaining_size, order.canceled_size, order.ending) == (None,) * 5


def test_each_value_is_plain_data_for_json() -> None:
    balance = AccountBalance(
        currency="USDT", account="trade", available=Decimal("1.50"), hold=Decimal(0), total=Decimal("1.5")
    )
    order = AccountOrder(order_id="1", symbol="BTC-USDT", side="buy", price=Decimal("64000.1"))
    fill = AccountFill(symbol="BTC-USDT", trade_id="7", order_id="1", side="buy", price=Decimal(1), size=Decimal("0.1"))
    position = AccountPosition(symbol="XBTUSDTM", side="long", size=Decimal(3))
    for value in (balance, order, fill, position):
        assert json.loads(json.dumps(value.to_dict())).keys() == set(value.__struct_fields__)
    assert balance.to_dict()["available"] == "1.50"
    assert order.to_dict()["price"] == "64000.1"
