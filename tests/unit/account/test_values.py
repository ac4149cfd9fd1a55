from __future__ import annotations

from decimal import Decimal

import pytest

from kucoin_sync.account.values import AccountBalance, AccountChange, AccountOrder


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
