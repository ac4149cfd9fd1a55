"""The tables of an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import AccountChange, AccountSnapshot
from kucoin_sync.account.values import AccountBalance, AccountFill, AccountOrder, AccountPosition
from kucoin_sync.cli.account import Account
from kucoin_sync.cli.layout import text_of

LONG = Decimal("496076.36114418")
FILL = AccountFill(symbol="XBTUSDTM", trade_id="1", order_id="1", side="sell", price=LONG, size=LONG)


class Fixed:
    """An account that does not change, with one fill."""

    closed = False

    def __iter__(self) -> Fixed:
        self.changes = [AccountChange(kind="fill", fill=FILL)]
        return self

    def __next__(self) -> AccountChange:
        return self.get(0)

    def get(self, _: float) -> AccountChange:
        if not self.changes:
            raise TimeoutError
        return self.changes.pop()

    def snapshot(self) -> AccountSnapshot:
        balance = AccountBalance(currency="USDT", account="futures", available=LONG, hold=LONG, total=LONG)
        order = AccountOrder(order_id="1", symbol="XBTUSDTM", side="sell", price=LONG, size=LONG, filled_size=LONG)
        position = AccountPosition(symbol="XBTUSDTM", side="short", size=LONG, entry_price=LONG, unrealised_pnl=LONG)
        return AccountSnapshot(
            balances=(balance,), orders=(order,), positions=(position,), fills=(), unproved=(), reconciliations=1
        )


@pytest.mark.parametrize("width", range(32, 81))
def test_no_number_is_cut(width: int) -> None:
    account: Any = Fixed()
    view = Account(account)
    view.update()
    lines = [text_of(each).split() for each in view.draw(width, 40)]
    numbers = [word for each in lines for word in each if word[0].isdigit() and len(word) > 1]
    assert len(numbers) >= 4 and set(numbers) == {str(LONG)}
    assert width < 80 or len(numbers) == 10
