"""Private futures feeds: the orders and wallets of the accounts.

One feed per contract, the counterpart of the private spot feed. It books every event in the wallet, and renders the
pushes that are wanted. Futures have no `received` event.
"""

from __future__ import annotations

from .account_feeds import order_change
from .account_history import position_row
from .accounts import Account, Accounts
from .ids import Ids
from .ledger import SCALE
from .orders import CHANGE, DONE, MATCH, RECEIVED, Event, Order
from .push import Outbox
from .specs import Spec
from .stops import Stop
from .units import text

__all__ = ["FuturesAccountFeed"]

_MS = 1_000_000


class FuturesAccountFeed:
    """Private pushes of one contract."""

    def __init__(self, spec: Spec, ids: Ids, accounts: Accounts, outbox: Outbox) -> None:
        self._spec = spec
        self._ids = ids
        self._accounts = accounts
        self._outbox = outbox
        self._topic = f"/contractMarket/tradeOrders:{spec.symbol}"

    def reserve(self, order: Order, worst_cost: int, now_ns: int) -> None:
        """Reserve the margin for a new order; raise OrderRejected if there is not enough."""
        account = self._accounts[order.owner]
        account.wallet.reserve(self._spec, order, worst_cost)
        self._push_wallet(account, now_ns)

    def record(self, event: Event) -> None:
        """Book an event, and push it to the accounts of its orders."""
        if event.kind == RECEIVED:
            return
        if event.order.account:
            self._record(event, event.order)
        if event.maker is not None and event.maker.account:
            self._record(event, event.maker)

    def push_stop(self, stop: Stop, kind: str, now_ns: int) -> None:
        """Push that a stop order is open, triggered or cancelled (`cancel`)."""
        topic = "/contractMarket/advancedOrders"
        if not self._outbox.wanted(topic):
            return
        order = stop.order
        data = {
            "createdAt": order.time_ns // _MS,
            "marginMode": "ISOLATED",
            "orderId": order.id,
            "orderPrice": text(order.price, self._spec.price_scale),
            "orderType": "stop",
            "side": order.side,
            "size": order.size,
            "stop": "up" if stop.rising else "down",
            "stopPrice": text(stop.price, self._spec.price_scale),
            "stopPriceType": "TP",
            "symbol": self._spec.symbol,
            "ts": now_ns,
            "type": kind,
        }
        self._outbox.put_private(topic, "stopOrder", data, order.owner, id=self._event_id())

    def push_activated(self, stop: Stop, sequence: int, now_ns: int) -> None:
        """Do nothing: futures have no level 3 feed."""

    def _record(self, event: Event, order: Order) -> None:
        if self._outbox.wanted(self._topic):
            data = order_change(self._spec, event, order)
            data["orderTime"] = order.time_ns
            data["marginMode"] = "ISOLATED"
            data.setdefault("liquidity", "taker" if order.market else "maker")
            data.setdefault("price", "0")
            if order.client_oid:
                data["clientOid"] = order.client_oid
            if event.kind == MATCH:
                data["orderType"] = "market" if order.market else "limit"
                data["tradeId"] = self._ids.trade(event.trade)
            self._outbox.put_private(self._topic, "symbolOrderChange", data, order.owner)
        account = self._accounts[order.owner]
        if self._book(account, event, order):
            self._push_wallet(account, event.now_ns)
        topic = f"/contract/position:{self._spec.symbol}"
        if event.kind == MATCH and self._outbox.wanted(topic):
            data = {**position_row(self._spec, account.wallet, event.now_ns), "changeReason": "positionChange"}
            del data["id"]  # which only rows of REST have
            self._outbox.put_private(topic, "position.change", data, account.user)

    def _book(self, account: Account, event: Event, order: Order) -> bool:
        """Return whether the wallet changed."""
        wallet = account.wallet
        if event.kind == DONE:
            return wallet.finish(order)
        if event.kind == CHANGE:
            wallet.release(order, event.rest - event.size)
            return True
        if event.kind == MATCH and event.maker is not None:
            wallet.settle(self._spec, order, event.maker.price, event.size, order is event.maker)
            return True
        return False

    def _push_wallet(self, account: Account, now_ns: int) -> None:
        topic = "/contractAccount/wallet"
        if not self._outbox.wanted(topic):
            return
        state = account.wallet.state()
        available = text(state.available, SCALE)
        data = {
            "currency": "USDT",
            "walletBalance": text(state.wallet, SCALE),
            "availableBalance": available,
            "holdBalance": "0",
            "equity": text(state.wallet + state.unrealised, SCALE),
            "isolatedOrderMargin": text(state.order_margin, SCALE),
            "isolatedPosMargin": text(state.position_margin, SCALE),
            "isolatedUnPnl": text(state.unrealised, SCALE),
            "isolatedFundingFeeMargin": "0",
            "totalCrossMargin": available,
            "crossPosMargin": "0",
            "crossOrderMargin": "0",
            "crossUnPnl": "0",
            "version": str(account.wallet.version),
            "timestamp": str(now_ns // _MS),
        }
        self._outbox.put_private(topic, "walletBalance.change", data, account.user, id=self._event_id())

    def _event_id(self) -> str:
        return f"{self._accounts.next_event():024x}"
