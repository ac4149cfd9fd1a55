"""The part of an account that KuCoin's spot service has: the main, trading, cross and isolated margin accounts.

Rules, by KuCoin's documentation and by what others have met:
1. Orders are asked for symbol by symbol: a list without a symbol may lack some. The symbols are those that KuCoin names
   as having active orders, those of known orders that are open or lack fills, and those of the ledger's entries since
   the cut. A symbol that was asked for is asked for again until nothing is missing: another list may lag behind.
2. The ledger names the symbols that were first traded during the cut. An order in another symbol that was opened and
   cancelled during the cut, and never traded, is nowhere to be found.
3. The margin accounts are looked at where they are enabled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from ..exceptions import KucoinSyncError
from .calls import Call, Plan, one, together
from .lists import by_last_id, by_page
from .part import SLACK_NS, AccountPart
from .rows import Row, cross_margin_balances, isolated_balances, recorded, spot_balances, updated
from .values import AccountBalance, AccountOrder

__all__ = ["SpotPart"]

_ORDERS = "/api/v1/hf/orders"
_MARGIN = "/api/v3/hf/margin"
_MOST_BACK_NS = 2 * 86_400 * 1_000_000_000
"""How far back lists are asked for: KuCoin lists cancelled orders for two days."""


class _Family(NamedTuple):
    """The endpoints of one kind of trading; weights are KuCoin's."""

    name: str
    trade_type: str
    symbols: tuple[str, int]
    active: tuple[str, int]
    done: tuple[str, int]
    fills: tuple[str, int]
    ledger: tuple[str, int]
    one: tuple[str, int]
    account: str  # how the names of its accounts begin
    margin: bool = True

    def call(self, what: tuple[str, int], *query: tuple[str, str]) -> Call:
        """Return a call of one of the endpoints."""
        kind = (("tradeType", self.trade_type),) if self.margin and what is not self.ledger else ()
        return Call("spot", what[0], what[1], "spot", (*query, *kind))


def _margin(name: str, trade_type: str, account: str) -> _Family:
    return _Family(
        name, trade_type, (f"{_MARGIN}/order/active/symbols", 4), (f"{_MARGIN}/orders/active", 4),
        (f"{_MARGIN}/orders/done", 10), (f"{_MARGIN}/fills", 5), (f"{_MARGIN}/account/ledgers", 2),
        (f"{_MARGIN}/orders", 5), account,
    )  # fmt: skip


_SPOT = _Family(
    "spot", "TRADE", (f"{_ORDERS}/active/symbols", 2), (f"{_ORDERS}/active/page", 2), (f"{_ORDERS}/done", 2),
    ("/api/v1/hf/fills", 2), ("/api/v1/hf/accounts/ledgers", 2), (_ORDERS, 2), "trade", margin=False,
)  # fmt: skip
_CROSS = _margin("cross margin", "MARGIN_TRADE", "margin")
_ISOLATED = _margin("isolated margin", "MARGIN_ISOLATED_TRADE", "isolated")
_FAMILIES = {family.trade_type: family for family in (_SPOT, _CROSS, _ISOLATED)}

_ACCOUNTS = Call("spot", "/api/v1/accounts", 5, "management")
#: What they are called, the call for them, what reads its answer, and how the names of their accounts begin.
_BALANCES: tuple[tuple[str, Call, Callable[[Any], Iterable[AccountBalance]], tuple[str, ...]], ...] = (
    ("spot balances", _ACCOUNTS, spot_balances, ("main", "trade")),
    (
        "cross margin balances",
        Call("spot", "/api/v3/margin/accounts", 15, "spot", (("queryType", "MARGIN"),)),
        cross_margin_balances,
        ("margin",),
    ),
    (
        "isolated margin balances",
        Call("spot", "/api/v3/isolated/accounts", 15, "spot", (("queryType", "ISOLATED"),)),
        isolated_balances,
        ("isolated",),
    ),
)


class SpotPart(AccountPart):
    """Spot and margin."""

    market = "spot"
    topics = ("/spotMarket/tradeOrdersV2", "/account/balance")

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, set[str]] = {}  # the symbols so far, by family, since something may be missing

    def proved(self) -> None:
        super().proved()
        self._asked.clear()

    def check(self) -> Plan[None]:
        yield from one(_ACCOUNTS)

    def round(self, *, final: bool) -> Plan[None]:
        wanted = [family for family in _FAMILIES.values() if family.name not in self.unseen]
        orders = yield from together([self._orders_of(family) for family in wanted])
        self.collect([row for each in orders for row in each[0]], [row for each in orders for row in each[1]])
        if final:
            self.shown = frozenset(order_id for each in orders for order_id in each[2])
            yield from self._balances()

    def look_for(self, lost: AccountOrder) -> list[Call]:
        found = []
        for family in self._families_of(lost):
            path, weight = family.one
            found.append(Call("spot", f"{path}/{lost.order_id}", weight, "spot", (("symbol", lost.symbol),)))
        return found

    def fills_of(self, order: AccountOrder) -> Plan[list[Row]]:
        families = self._families_of(order)
        query = (("symbol", order.symbol), ("orderId", order.order_id), *self._start(order.created_ns))
        lists = yield from together(
            [
                self.seen(
                    f"{family.name} fills of {order.symbol}", by_last_id(family.call(family.fills, *query), 0, recorded)
                )
                for family in families
            ]
        )
        return [row for rows in lists for row in rows]

    def _families_of(self, order: AccountOrder) -> list[_Family]:
        """Return the families that an order may be of: a push does not always tell."""
        if order.trade_type in _FAMILIES:
            return [_FAMILIES[order.trade_type]]
        used = {balance.account.partition(" ")[0] for balance in self.state.balances.values() if balance.total}
        return [_SPOT, *(family for family in (_CROSS, _ISOLATED) if family.account in used)]

    def _orders_of(self, family: _Family) -> Plan[tuple[list[Row], list[Row], set[str]]]:
        """Return the rows of orders and of fills of a family since the cut, and the ids of the active orders."""
        names = f"{family.name} symbols", f"{family.name} ledger"
        named, entries = yield from together(
            [self.seen(names[0], self._named(family)), self.seen(names[1], self._ledger(family))]
        )
        if {*names} <= self.unseen.keys():  # such as an account that is not enabled
            self.unseen[family.name] = f"{family.name}: {self.unseen[names[0]]}"
            for name in names:
                del self.unseen[name]
            return [], [], set()
        symbols = self._symbols(family, entries, named)
        lists = [family.call(family.active, ("symbol", symbol)) for symbol in symbols]
        active = yield from together(
            [
                self.seen(f"{family.name} orders of {symbol}", by_page(each, number="pageNum"))
                for symbol, each in zip(symbols, lists, strict=True)
            ]
        )
        open_rows = [row for rows in active for row in rows]
        since = self._since(entries, open_rows)
        oldest = [order.created_ns for order in self.state.open_orders() if family in self._families_of(order)]
        earliest = min(max(since, self.now_ns) - _MOST_BACK_NS, since)
        begin = max(min([since, *filter(None, oldest)]), earliest)
        asked = (("ended orders", family.done, updated, begin), ("fills", family.fills, recorded, since))
        rows = yield from together(
            [
                self.seen(
                    f"{family.name} {name} of {symbol}",
                    by_last_id(family.call(what, ("symbol", symbol), *self._start(start)), since, moment),
                )
                for name, what, moment, start in (asked if since else ())
                for symbol in symbols
            ]
        )
        half = len(rows) // 2
        done = [row for each in rows[:half] for row in each]
        fills = [row for each in rows[half:] for row in each]
        return [*open_rows, *done], fills, {str(row["id"]) for row in open_rows}

    def _named(self, family: _Family) -> Plan[list[Any]]:
        """Return the symbols of which KuCoin says that they have active orders."""
        data = yield from one(family.call(family.symbols))
        return list((data or {}).get("symbols") or ())

    def _symbols(self, family: _Family, entries: list[Row], named: list[Any]) -> list[str]:
        pushed = [order for key in self.state.fresh if (order := self.state.orders.get(key)) is not None]
        lacking = [] if self.state.is_starting else [order for order, _ in self.state.missing_fills()]
        orders = (*self.state.open_orders(), *pushed, *lacking)
        known = (order.symbol for order in orders if family in self._families_of(order))
        found = self._asked.setdefault(family.name, set())
        found.update(known, map(str, named), _traded(entries))
        return sorted(found)

    def _since(self, entries: list[Row], open_rows: list[Row]) -> int:
        """Return from which time on records are of interest: the cut, or if its time is unknown the oldest news."""
        if self.since_ns:
            return self.since_ns
        times = [*map(recorded, entries), *map(recorded, open_rows)]
        if self.state.is_starting:  # later rounds must not read what is from before that
            self.state.newest_ns = max([self.state.newest_ns, *times])
        return max(0, (self.state.newest_ns or min(times, default=0)) - SLACK_NS)

    def _ledger(self, family: _Family) -> Plan[list[Row]]:
        """Return the entries of the ledger since the cut; at the start those of the newest seconds."""
        since = self.since_ns
        call = family.call(family.ledger, *self._start(since))
        entries: list[Row] = yield from by_last_id(call, since or 1, recorded, limit=200) if since else _newest(call)
        return entries

    def _start(self, since_ns: int) -> tuple[tuple[str, str], ...]:
        """Return the parameter that bounds a list; none if the bound is more than some days ago.

        For an earlier bound KuCoin may tell the days after that only. Without one it tells the newest rows first, too.
        """
        if not since_ns or since_ns < self.now_ns - _MOST_BACK_NS:
            return ()
        return (("startAt", str(since_ns // 1_000_000)),)

    def _balances(self) -> Plan[None]:
        for name, call, read, accounts in _BALANCES:
            try:
                found = list(read((yield from one(call))))
                if call is _ACCOUNTS:
                    found += yield from self._absent(found, accounts)
            except KucoinSyncError as error:
                self.hide(name, error)
            else:
                self.state.set_balances(found, accounts=accounts)

    def _absent(self, found: list[AccountBalance], accounts: tuple[str, ...]) -> Plan[list[AccountBalance]]:
        """Ask once more for currencies that a list has no row of, before they are taken for zero."""
        known = {each.currency for each in self.state.balances.values() if each.total and each.account in accounts}
        calls = [
            _ACCOUNTS._replace(query=(("currency", currency),))
            for currency in sorted(known - {each.currency for each in found})
        ]
        answers = yield from together([one(call) for call in calls])
        return [balance for data in answers for balance in spot_balances(data)]


def _newest(call: Call) -> Plan[list[Row]]:
    data = yield from one(call._replace(query=(*call.query, ("limit", "200"))))
    return list(data or ())


def _traded(entries: Iterable[Row]) -> set[str]:
    """Return the symbols that entries of the ledger name in their context, which is JSON in a text."""
    found = set()
    for entry in entries:
        with contextlib.suppress(msgspec.DecodeError, ValueError, TypeError, AttributeError):
            context = msgspec.json.decode(entry.get("context") or "{}")
            if symbol := context.get("symbol"):
                found.add(str(symbol))
    return found
