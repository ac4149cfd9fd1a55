"""What REST tells of the accounts: orders, fills, entries of the ledger, balances and positions, as of any instant.

One history per account. Every change adds a row in KuCoin's form with the exchange's time, so that an earlier state can
be shown: rows up to an instant. Source of the shapes: KuCoin's REST documentation and recorded answers. No clock is
read here, and nothing is paged; see `server.account_routes`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Any

from .ids import Ids
from .ledger import SCALE, Balance, SpotLedger, spot_fee
from .margin import FuturesWallet, WalletState, futures_fee, value_of
from .orders import DONE, MATCH, Event, Order
from .specs import Spec
from .units import number, text

__all__ = ["AccountHistory", "position_row"]

_MS = 1_000_000
_KEPT_ORDERS = 5_000
_KEPT = 20_000

Row = dict[str, Any]


class _Series:
    """States with the instants from which they hold, oldest first."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._states: list[Any] = []

    def add(self, now_ns: int, state: Any) -> None:
        self._times.append(now_ns)
        self._states.append(state)
        if len(self._times) > _KEPT:
            del self._times[: _KEPT // 2], self._states[: _KEPT // 2]

    def at(self, as_of_ns: int) -> Any:
        """Return the state at an instant, None for one before the first."""
        place = bisect_right(self._times, as_of_ns)
        return self._states[place - 1] if place else None


class AccountHistory:
    """The history of one account. Times are the exchange's, rows are KuCoin's."""

    def __init__(self) -> None:
        self._orders: dict[str, _Series] = {}
        self._fills: deque[tuple[int, bool, Row]] = deque(maxlen=_KEPT)
        self._entries: deque[tuple[int, Row]] = deque(maxlen=_KEPT)
        self._balances: dict[str, _Series] = {}
        self._positions: dict[str, _Series] = {}
        self._wallet = _Series()
        self._costs: dict[str, int] = {}  # order id -> the sum of price times size of its fills
        self._count = 19_814_000_000_000

    # What happens

    def add_balances(self, balances: Iterable[tuple[str, Balance]], now_ns: int) -> None:
        """Add the present spot balances of some currencies."""
        for currency, balance in balances:
            self._balances.setdefault(currency, _Series()).add(now_ns, (balance.available, balance.hold))

    def add_wallet(self, wallet: FuturesWallet, now_ns: int) -> None:
        """Add the present state of the futures wallet."""
        self._wallet.add(now_ns, wallet.state())

    def add_event(
        self, spec: Spec, ids: Ids, spot: SpotLedger, wallet: FuturesWallet, event: Event, order: Order
    ) -> None:
        """Add an event of one of the account's orders, which is booked already."""
        cost = self._costs.get(order.id, 0)
        if event.kind == MATCH and event.maker is not None:
            cost += event.maker.price * event.size
            self._costs[order.id] = cost
            self._fills.append((event.now_ns, spec.futures, self._fill(spec, ids, event, order)))
            if not spec.futures:
                self._add_entries(spec, ids, spot, event, order)
        if order.id not in self._orders and len(self._orders) >= _KEPT_ORDERS:
            gone = next((each for each, series in self._orders.items() if not _is_active(series)), None)
            if gone is not None:
                del self._orders[gone]
        row = _futures_order(spec, order, cost, event) if spec.futures else _spot_order(spec, order, cost, event)
        self._orders.setdefault(order.id, _Series()).add(event.now_ns, row)
        if spec.futures:
            self.add_wallet(wallet, event.now_ns)
            if event.kind == MATCH:
                row = position_row(spec, wallet, event.now_ns)
                self._positions.setdefault(spec.symbol, _Series()).add(event.now_ns, row)
        else:
            pair = (spec.base, spec.quote)
            self.add_balances(((name, spot.balances[name]) for name in pair), event.now_ns)

    def _fill(self, spec: Spec, ids: Ids, event: Event, order: Order) -> Row:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        self._count += 1
        role = "maker" if order is maker else "taker"
        row = {
            "symbol": spec.symbol,
            "orderId": order.id,
            "side": order.side,
            "liquidity": role,
            "forceTaker": False,
            "price": text(maker.price, spec.price_scale),
            "feeCurrency": spec.quote,
            "stop": "",
            "createdAt": event.now_ns // _MS,
        }
        if spec.futures:
            fee = futures_fee(spec, maker.price * event.size, order is maker)
            return {
                **row,
                "tradeId": ids.trade(event.trade),
                "size": event.size,
                "value": text(value_of(spec, maker.price * event.size), SCALE),
                "fee": text(fee, SCALE),
                "feeRate": "0.00020" if order is maker else "0.00060",
                "settleCurrency": spec.quote,
                "orderType": "market" if order.market else "limit",
                "tradeType": "trade",
                "tradeTime": event.now_ns,
                "marginMode": "ISOLATED",
            }
        return {
            **row,
            "id": self._count,
            "tradeId": ids.trade_number(event.trade),
            "counterOrderId": event.order.id if order is maker else maker.id,
            "size": text(event.size, spec.size_scale),
            "funds": text(maker.price * event.size, spec.value_scale),
            "fee": text(spot_fee(spec, maker.price * event.size), SCALE),
            "feeRate": "0.001",
            "type": "market" if order.market else "limit",
            "tradeType": "TRADE",
            "tax": "0",
            "taxRate": "0",
        }

    def _add_entries(self, spec: Spec, ids: Ids, spot: SpotLedger, event: Event, order: Order) -> None:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        context = {"symbol": spec.symbol, "orderId": order.id, "tradeId": ids.trade(event.trade)}
        value, fee = maker.price * event.size, spot_fee(spec, maker.price * event.size)
        for currency, amount, paid, into in (
            (spec.base, text(event.size, spec.size_scale), "0", order.side == "buy"),
            (spec.quote, text(value, spec.value_scale), text(fee, SCALE), order.side == "sell"),
        ):
            self._count += 1
            balance = spot.balances[currency]
            row = {
                "id": str(self._count),
                "currency": currency,
                "amount": amount,
                "fee": paid,
                "tax": "0",
                "balance": text(balance.available + balance.hold, SCALE),
                "accountType": "TRADE_HF",
                "bizType": "TRADE_EXCHANGE",
                "direction": "in" if into else "out",
                "createdAt": str(event.now_ns // _MS),
                "context": json.dumps(context),
            }
            self._entries.append((event.now_ns, row))

    # What REST shows of it

    def orders(self, as_of_ns: int, *, futures: bool, active: bool | None = None) -> list[Row]:
        """Return the orders of one service at an instant, oldest first; None for active and ended ones."""
        rows = (series.at(as_of_ns) for series in self._orders.values())
        return [
            row
            for row in rows
            if row is not None and ("isActive" in row) == futures and active in (None, _active(row))
        ]  # fmt: skip

    def order(self, order_id: str, as_of_ns: int) -> Row | None:
        """Return an order at an instant."""
        series = self._orders.get(order_id)
        found: Row | None = None if series is None else series.at(as_of_ns)
        return found

    def fills(self, as_of_ns: int, *, futures: bool) -> list[Row]:
        """Return the fills of one service up to an instant, oldest first."""
        return [row for now_ns, kind, row in self._fills if kind == futures and now_ns <= as_of_ns]

    def entries(self, as_of_ns: int) -> list[Row]:
        """Return the entries of the spot ledger up to an instant, oldest first."""
        return [row for now_ns, row in self._entries if now_ns <= as_of_ns]

    def balances(self, as_of_ns: int) -> dict[str, tuple[int, int]]:
        """Return available and hold of each currency of the spot account at an instant, in whole units."""
        states = {currency: series.at(as_of_ns) for currency, series in self._balances.items()}
        return {currency: state for currency, state in states.items() if state is not None}

    def wallet(self, as_of_ns: int) -> WalletState | None:
        """Return the futures wallet at an instant."""
        found: WalletState | None = self._wallet.at(as_of_ns)
        return found

    def positions(self, as_of_ns: int) -> list[Row]:
        """Return the open positions at an instant."""
        rows = (series.at(as_of_ns) for series in self._positions.values())
        return [row for row in rows if row is not None and row["isOpen"]]


def position_row(spec: Spec, wallet: FuturesWallet, now_ns: int) -> Row:
    """Return the present position in a contract as a row of REST. A push has the same members but `id`."""
    position = wallet.position(spec)
    mark = wallet.mark(spec.symbol)
    lots, cost = position.lots, value_of(spec, position.cost)
    value = value_of(spec, lots * mark)
    profit = number(value - cost, SCALE)
    realised = number(position.realised, SCALE)
    return {
        "id": f"5{spec.start_price:014d}",
        "symbol": spec.symbol,
        "autoDeposit": False,
        "crossMode": False,
        "marginMode": "ISOLATED",
        "positionSide": "BOTH",
        "currentTimestamp": now_ns // _MS,
        "currentQty": lots,
        "currentCost": number(cost, SCALE),
        "isOpen": bool(lots),
        "markPrice": number(mark, spec.price_scale),
        "markValue": number(value, SCALE),
        "posCost": number(cost, SCALE),
        "posMargin": number(position.margin, SCALE),
        "realisedPnl": realised,
        "realisedGrossPnl": realised,
        "unrealisedPnl": profit,
        "avgEntryPrice": number(position.cost // lots, spec.price_scale) if lots else 0.0,
        "settleCurrency": spec.quote,
        "realLeverage": 5,
    }


def _is_active(series: _Series) -> bool:
    return _active(series.at(2**63))


def _active(row: Row) -> bool:
    return bool(row.get("isActive", row.get("active")))


def _spot_order(spec: Spec, order: Order, cost: int, event: Event) -> Row:
    scale, done = spec.size_scale, event.kind == DONE
    funds = text(order.price * order.origin, spec.value_scale)
    return {
        "id": order.id,
        "clientOid": order.client_oid,
        "symbol": spec.symbol,
        "opType": "DEAL",
        "type": "market" if order.market else "limit",
        "side": order.side,
        "price": text(order.price, spec.price_scale),
        "size": text(order.origin, scale),
        "funds": funds,
        "dealSize": text(order.filled, scale),
        "dealFunds": text(cost, spec.value_scale),
        "remainSize": text(order.remaining, scale),
        "remainFunds": text(order.price * order.remaining, spec.value_scale),
        "cancelledSize": text(order.canceled, scale),
        "cancelledFunds": text(order.price * order.canceled, spec.value_scale),
        "fee": text(spot_fee(spec, cost), SCALE),
        "feeCurrency": spec.quote,
        "stp": None,
        "timeInForce": "GTC",
        "postOnly": order.post_only,
        "hidden": order.hidden,
        "inOrderBook": order.resting,
        "active": not done,
        "cancelExist": done and order.canceled > 0,
        "tradeType": "TRADE",
        "tax": "0",
        "createdAt": order.time_ns // _MS,
        "lastUpdatedAt": event.now_ns // _MS,
    }


def _futures_order(spec: Spec, order: Order, cost: int, event: Event) -> Row:
    done = event.kind == DONE
    value = text(value_of(spec, cost), SCALE)
    updated = event.now_ns // _MS
    return {
        "id": order.id,
        "symbol": spec.symbol,
        "type": "market" if order.market else "limit",
        "side": order.side,
        "price": text(order.price, spec.price_scale),
        "size": order.origin,
        "dealSize": order.filled,
        "filledSize": order.filled,
        "dealValue": value,
        "filledValue": value,
        "avgDealPrice": text(cost // order.filled, spec.price_scale) if order.filled else "0",
        "stp": "",
        "timeInForce": "GTC",
        "postOnly": order.post_only,
        "hidden": order.hidden,
        "leverage": "5",
        "clientOid": order.client_oid,
        "isActive": not done,
        "cancelExist": done and order.canceled > 0,
        "status": "done" if done else "open",
        "createdAt": order.time_ns // _MS,
        "updatedAt": updated,
        "endAt": updated if done else None,
        "orderTime": order.time_ns,
        "settleCurrency": spec.quote,
        "marginMode": "ISOLATED",
        "reduceOnly": False,
    }
