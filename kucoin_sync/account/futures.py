"""The part of an account that KuCoin's futures service has: orders, fills, positions and the wallets.

Its lists need no symbol. The quick ones have the last 24 hours, at most 1000 rows; beyond that the slower ones are
read.
Source: KuCoin's documentation ("Get Order List", "Get Recent Closed Orders", "Get Recent Trade History", "Get Position
List", "Get Account - Futures").
"""

from __future__ import annotations

from collections.abc import Callable

from ..exceptions import KucoinSyncError
from .calls import Call, Plan, one, together
from .lists import by_page
from .part import AccountPart
from .rows import Row, futures_balance, items, positions, recorded, updated
from .values import AccountOrder

__all__ = ["FuturesPart"]

_USUAL_CURRENCIES = ("USDT", "USDC", "XBT", "ETH", "SOL", "XRP")  # those in which contracts are settled, in 2026
_QUICK = 1000  # the most rows of a quick list


def _call(path: str, weight: int, *query: tuple[str, str]) -> Call:
    return Call("futures", path, weight, "futures", query)


_FILLS = _call("/api/v1/fills", 5)
_POSITIONS = _call("/api/v1/positions", 2)


class FuturesPart(AccountPart):
    """Futures."""

    market = "futures"
    topics = ("/contractMarket/tradeOrders", "/contractAccount/wallet", "/contract/positionAll")

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[str] = set()  # the currencies that KuCoin was asked about

    def check(self) -> Plan[None]:
        yield from one(_POSITIONS)

    def round(self, *, final: bool) -> Plan[None]:
        orders = by_page(_call("/api/v1/orders", 2, ("status", "active")), size=_QUICK)
        done = self._ended("/api/v1/recentDoneOrders", 5, _call("/api/v1/orders", 2, ("status", "done")), updated)
        fills = self._ended("/api/v1/recentFills", 3, _FILLS, recorded)
        open_rows, done_rows, fill_rows = yield from together([orders, done, fills])
        self.collect([*open_rows, *done_rows], fill_rows)
        if final:
            self.shown = frozenset(str(row["id"]) for row in open_rows)
            yield from self._balances()

    def knows(self, currency: str) -> bool:
        return currency in self._asked or any(each.currency == currency for each in self.state.balances.values())

    def look_for(self, lost: AccountOrder) -> list[Call]:
        return [_call(f"/api/v1/orders/{lost.order_id}", 5)]

    def fills_of(self, order: AccountOrder) -> Plan[list[Row]]:
        call = _FILLS._replace(query=(("orderId", order.order_id),))
        return (yield from self.seen("futures fills", by_page(call, size=_QUICK)))

    def _ended(self, quick: str, weight: int, slow: Call, moment: Callable[[Row], int]) -> Plan[list[Row]]:
        """Return the rows of a quick list; of the slow one if the quick one does not reach back to the cut."""
        rows = items((yield from one(_call(quick, weight))))
        if self.since_ns and len(rows) >= _QUICK and all(moment(row) >= self.since_ns for row in rows):
            start = ("startAt", str(self.since_ns // 1_000_000))
            rows += yield from by_page(slow._replace(query=(*slow.query, start)), size=_QUICK)
        return rows

    def _balances(self) -> Plan[None]:
        seen = {balance.currency for balance in self.state.balances.values()}
        settled = {each.settle_currency for each in self.state.open_positions() if each.settle_currency}
        currencies = sorted(seen.union(_USUAL_CURRENCIES, settled))
        calls = [_call("/api/v1/account-overview", 5, ("currency", currency)) for currency in currencies]
        [rows, *overviews] = yield [_POSITIONS, *calls]
        self._asked.update(currencies)
        balances = []
        for currency, data in zip(currencies, overviews, strict=True):
            if isinstance(data, KucoinSyncError):
                self.hide(f"futures balance of {currency}", data)
            elif (balance := futures_balance(data)).total or currency in seen:
                balances.append(balance)
        self.state.set_balances(balances, accounts=())
        if isinstance(rows, KucoinSyncError):
            self.hide("futures positions", rows)
        else:
            self.state.set_positions(positions(rows))
