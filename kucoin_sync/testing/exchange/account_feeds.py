"""Private spot feeds: the orders, stop orders and balances of the accounts.

One feed per symbol. It books every event of an account's order in the ledger, and renders the pushes that are wanted.
The fields of an order change differ between events, as at KuCoin. The older /spotMarket/tradeOrders has the same data
without the `received` event. Orders of the crowd are never pushed here.
"""

from __future__ import annotations

from typing import Any, Protocol

from .accounts import Account, Accounts
from .ids import Ids
from .ledger import SCALE, Movement
from .orders import CHANGE, DONE, MATCH, OPEN, RECEIVED, Event, Order
from .push import Outbox
from .specs import Spec
from .stops import Stop
from .units import padded, text

__all__ = ["AccountFeed", "SpotAccountFeed", "order_change"]

_MS = 1_000_000


class AccountFeed(Protocol):
    """The methods of a private feed that a market calls."""

    def reserve(self, order: Order, worst_cost: int, now_ns: int) -> None: ...

    def record(self, event: Event) -> None: ...

    def push_stop(self, stop: Stop, kind: str, now_ns: int) -> None: ...

    def push_activated(self, stop: Stop, sequence: int, now_ns: int) -> None: ...


class SpotAccountFeed:
    """Private pushes of one spot symbol."""

    def __init__(self, spec: Spec, ids: Ids, accounts: Accounts, outbox: Outbox) -> None:
        self._spec = spec
        self._ids = ids
        self._accounts = accounts
        self._outbox = outbox

    def reserve(self, order: Order, worst_cost: int, now_ns: int) -> None:
        """Hold the money for a new order; raise OrderRejected if there is not enough."""
        account = self._accounts[order.owner]
        self._push_balances(account, account.spot.reserve(self._spec, order, worst_cost), order, now_ns, 0)

    def record(self, event: Event) -> None:
        """Book an event, and push it to the accounts of its orders."""
        if event.order.account:
            self._record(event, event.order)
        if event.maker is not None and event.maker.account:
            self._record(event, event.maker)

    def push_stop(self, stop: Stop, kind: str, now_ns: int) -> None:
        """Push that a stop order is open, triggered or cancelled (`cancel`)."""
        topic = "/spotMarket/advancedOrders"
        if self._outbox.wanted(topic):
            data = _stop_data(self._spec, stop, kind, now_ns)
            self._outbox.put_private(topic, "stopOrder", data, stop.order.owner)

    def push_activated(self, stop: Stop, sequence: int, now_ns: int) -> None:
        """Push to the account, over the first level 3 feed, that its stop order triggered.

        The push has the sequence of the event that triggered the order, not one of its own.
        """
        topic = f"/market/level3:{self._spec.symbol}"
        if not self._outbox.wanted(topic):
            return
        order = stop.order
        data: dict[str, Any] = {
            "sequence": str(sequence),
            "type": "activated",
            "symbol": self._spec.symbol,
            "orderId": order.id,
            "orderType": _order_type(order),
            "side": order.side,
            "size": padded(order.size, self._spec.size_scale),
            "stopType": "entry" if stop.rising else "loss",
            "clientOid": order.client_oid,
            "time": str(now_ns),
        }
        if not order.market:
            data["price"] = padded(order.price, self._spec.price_scale)
        self._outbox.put_private(topic, "trade.l3received", data, order.owner)

    def _record(self, event: Event, order: Order) -> None:
        self._push_order(event, order)
        account = self._accounts[order.owner]
        ledger = account.spot
        movements: list[Movement] = []
        if event.kind == MATCH:
            price = event.maker.price if event.maker else 0
            movements = ledger.settle(self._spec, order, price, event.size)
        elif event.kind == CHANGE:
            movements = ledger.release(self._spec, order, event.rest - event.size)
        elif event.kind == DONE:
            movements = ledger.finish(self._spec, order)
        trade = event.trade if event.kind == MATCH else 0
        self._push_balances(account, movements, order, event.now_ns, trade)

    def _push_order(self, event: Event, order: Order) -> None:
        topics = ["/spotMarket/tradeOrdersV2", "/spotMarket/tradeOrders"]
        if event.kind == RECEIVED:
            topics.pop()
        for topic in topics:
            if self._outbox.wanted(topic):
                data = order_change(self._spec, event, order)
                data["orderTime"] = order.time_ns // _MS
                data["originSize"] = text(order.origin, self._spec.size_scale)
                data["clientOid"] = order.client_oid
                data["orderType"] = _order_type(order)
                if event.kind == MATCH:
                    data["tradeId"] = self._ids.trade(event.trade)
                if event.kind == DONE and order.market:
                    data["remainFunds"] = "0"
                self._outbox.put_private(topic, "orderChange", data, order.owner)

    def _push_balances(
        self, account: Account, movements: list[Movement], order: Order, now_ns: int, trade: int
    ) -> None:
        topic = "/account/balance"
        if not movements or not self._outbox.wanted(topic):
            return
        context = {"symbol": self._spec.symbol, "orderId": order.id}
        if trade:
            context["tradeId"] = self._ids.trade(trade)
        for move in movements:
            event_id = str(self._accounts.next_event())
            data = {
                "accountId": account.account_id(move.currency),
                "currency": move.currency,
                "total": text(move.available + move.hold, SCALE),
                "available": text(move.available, SCALE),
                "hold": text(move.hold, SCALE),
                "availableChange": text(move.available_change, SCALE),
                "holdChange": text(move.hold_change, SCALE),
                "relationContext": dict(context),
                "relationEvent": "trade.setted" if move.settled else "trade.hold",
                "relationEventId": event_id,
                "time": str(now_ns // _MS),
            }
            self._outbox.put_private(topic, "account.balance", data, account.user, id=event_id)


def order_change(spec: Spec, event: Event, order: Order) -> dict[str, Any]:
    """Return the fields of an order change that spot and futures share."""
    scale = spec.size_scale
    data: dict[str, Any] = {
        "symbol": spec.symbol,
        "orderId": order.id,
        "side": order.side,
        "type": _CHANGE_TYPES.get(event.kind) or ("canceled" if event.size else "filled"),
        "status": _status(event, order),
        "ts": event.now_ns,
    }
    if not order.market:
        data["price"] = text(order.price, spec.price_scale)
    if event.kind == RECEIVED:
        return data
    data["size"] = text(order.size, scale)
    data["filledSize"] = text(order.filled, scale)
    data["remainSize"] = text(order.remaining, scale)
    data["canceledSize"] = text(order.canceled, scale)
    if event.kind == CHANGE:
        data["oldSize"] = text(order.size + event.rest - event.size, scale)
    if event.kind == MATCH:
        maker = event.maker
        role = "maker" if order is maker else "taker"
        data["liquidity"] = role
        data["feeType"] = f"{role}Fee"
        data["matchPrice"] = text(maker.price if maker else 0, spec.price_scale)
        data["matchSize"] = text(event.size, scale)
    return data


_CHANGE_TYPES = {RECEIVED: "received", OPEN: "open", MATCH: "match", CHANGE: "update"}


def _status(event: Event, order: Order) -> str:
    if event.kind == RECEIVED:
        return "new"
    if event.kind == DONE:
        return "done"
    return "open" if order.resting or order is event.maker else "match"


def _order_type(order: Order) -> str:
    return "market" if order.market else "limit"


def _stop_data(spec: Spec, stop: Stop, kind: str, now_ns: int) -> dict[str, Any]:
    order = stop.order
    return {
        "orderId": order.id,
        "orderPrice": text(order.price, spec.price_scale),
        "orderType": "stop",
        "side": order.side,
        "size": text(order.size, spec.size_scale),
        "stop": "entry" if stop.rising else "loss",
        "stopPrice": text(stop.price, spec.price_scale),
        "symbol": spec.symbol,
        "tradeType": "TRADE",
        "type": kind,
        "createdAt": order.time_ns // _MS,
        "ts": now_ns,
    }
