"""The private feeds of the UTA family: the orders, executions, balances and positions of the accounts.

One feed per symbol, spot or futures. It reads the ledgers after the classic feed has booked an event. Source: KuCoin's
documentation and observed messages. A unified account has one balance of each currency: here it is the spot balance,
and for USDT the futures wallet with it, if contracts are traded.
"""

from __future__ import annotations

from typing import Any

from .accounts import Account, Accounts
from .ids import Ids
from .ledger import SCALE, spot_fee
from .margin import futures_fee, value_of
from .orders import CHANGE, DONE, MATCH, RECEIVED, Event, Order
from .push import Outbox
from .specs import Spec
from .stops import Stop
from .units import text

__all__ = ["UtaAccountFeed", "unified_balances"]

_NOT_TRIGGERED, _TRIGGERED, _LIVE, _FILLED, _PART_FILLED, _CANCELED, _PART_CANCELED = range(7)
_MS = 1_000_000
_QUOTE = "USDT"  # the currency of the futures wallet


class UtaAccountFeed:
    """Private pushes of one symbol."""

    def __init__(self, spec: Spec, ids: Ids, accounts: Accounts, outbox: Outbox) -> None:
        self._spec = spec
        self._ids = ids
        self._accounts = accounts
        self._outbox = outbox
        self._kind = "FUTURES" if spec.futures else "SPOT"
        self._parents: dict[str, str] = {}  # id of a triggered order -> id of the trigger order
        self._fills: dict[str, tuple[int, int]] = {}  # order id -> cost and fees of its fills so far

    def record(self, event: Event) -> None:
        """Push an event, which is booked, to the accounts of its orders."""
        for order in (event.order, event.maker):
            if order is not None and order.account:
                self._record(event, order)

    def push_reserved(self, order: Order, now_ns: int) -> None:
        """Push the balance that an order holds from now on."""
        self._push_balances(self._accounts[order.owner], now_ns)

    def push_stop(self, stop: Stop, kind: str, now_ns: int) -> None:
        """Push that a stop order is open, triggered or cancelled (`cancel`).

        At KuCoin a trigger order and the order that it places have different ids. Here the id of the trigger order is
        the id of the other one after a 9.
        """
        order = stop.order
        status, name = {
            "open": (_NOT_TRIGGERED, "OPEN"), "triggered": (_TRIGGERED, "TRIGGER"), "cancel": (_CANCELED, "CANCEL"),
        }[kind]  # fmt: skip
        data = self._order_data(order, now_ns, status, name)
        data["oi"] = f"9{order.id}"
        data["tD"] = "UP" if stop.rising else "DOWN"
        data["tP"] = text(stop.price, self._spec.price_scale)
        data["tPT"] = "TP"
        if kind == "cancel":
            data["cS"], data["rS"] = data["rS"], "0"
        if kind == "triggered":
            self._parents[order.id] = data["oi"]
        self._push_order(data, order, now_ns)

    def _record(self, event: Event, order: Order) -> None:
        data = self._change(event, order)
        if data is not None:
            self._push_order(data, order, event.now_ns)
        if event.kind == MATCH:
            self._push_execution(event, order)
        account = self._accounts[order.owner]
        self._push_balances(account, event.now_ns)
        if event.kind == MATCH and self._spec.futures:
            self._push_position(account, event.now_ns)
        if event.kind == DONE:
            self._fills.pop(order.id, None)
            self._parents.pop(order.id, None)

    def _change(self, event: Event, order: Order) -> dict[str, Any] | None:
        """Return the `d` of an order change, None if the event is none."""
        now_ns = event.now_ns
        if event.kind == MATCH and event.maker is not None:
            cost, fees = self._fills.get(order.id, (0, 0))
            fee = self._fee(event, order)
            self._fills[order.id] = cost + event.maker.price * event.size, fees + fee
            if order.remaining:
                data = self._order_data(order, now_ns, _PART_FILLED, "MATCH")
            else:
                data = self._order_data(order, now_ns, _FILLED, "FILL")
            data["lR"] = "MAKER" if order is event.maker else "TAKER"
            data["ti"] = self._trade_id(event)
            data["lS"] = text(event.size, self._spec.size_scale)
            data["ls"] = text(event.maker.price, self._spec.price_scale)
            return data
        part = order.filled > 0
        if event.kind == RECEIVED:
            return self._order_data(order, now_ns, _LIVE, "OPEN")
        if event.kind == CHANGE:
            return self._order_data(order, now_ns, _PART_FILLED if part else _LIVE, "UPDATE")
        if event.kind == DONE and event.size:
            data = self._order_data(order, now_ns, _PART_CANCELED if part else _CANCELED, "CANCEL")
            data["cR"] = "USER_CANCEL" if order.price else "SYSTEM_CANCEL"
            return data
        return None

    def _order_data(self, order: Order, now_ns: int, status: int, kind: str) -> dict[str, Any]:
        spec = self._spec
        sizes = spec.size_scale
        cost, fees = self._fills.get(order.id, (0, 0))
        average = text(cost * 10**4 // order.filled, spec.price_scale + 4) if order.filled else "0"
        return {
            "tT": self._kind, "oi": order.id, "ci": order.client_oid, "os": status, "eT": kind, "s": spec.symbol,
            "S": order.side.upper(), "pS": "BOTH" if spec.futures else "", "oT": "MARKET" if order.market else "LIMIT",
            "lR": "", "oS": "USER", "p": "" if order.market else text(order.price, spec.price_scale), "ti": "",
            "q": text(order.origin, sizes), "qU": "UNIT" if spec.futures else "BASECCY",
            "l": "5" if spec.futures else "", "mM": "CROSS" if spec.futures else "",
            "fS": text(order.filled, sizes), "lS": "0", "ls": "0", "aP": average, "f": text(fees, SCALE),
            "fC": spec.quote, "t": "0", "cR": "", "cS": text(order.canceled, sizes), "rS": text(order.remaining, sizes),
            "tD": "", "tP": "", "tPT": "", "pP": "", "pPT": "", "pOP": "", "lP": "", "lPT": "", "lOP": "",
            "toi": self._parents.get(order.id, ""), "stp": "", "rO": False, "tIF": "GTC", "pO": order.post_only,
            "O": order.time_ns, "U": now_ns, "bT": "",
        }  # fmt: skip

    def _push_order(self, data: dict[str, Any], order: Order, now_ns: int) -> None:
        self._push("orderAll.UNIFIED", ("/uta/orderAll.UNIFIED", f"/uta/order.UNIFIED:{self._spec.symbol}"),
                   data, order.owner, now_ns)  # fmt: skip

    def _push_execution(self, event: Event, order: Order) -> None:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        spec = self._spec
        common = {
            "oi": order.id,
            "s": spec.symbol,
            "S": order.side.upper(),
            "oT": "MARKET" if order.market else "LIMIT",
            "p": text(maker.price, spec.price_scale),
            "q": text(event.size, spec.size_scale),
            "E": event.now_ns - event.now_ns % _MS,
            "lR": "MAKER" if order is maker else "TAKER",
            "ci": order.client_oid,
        }
        trade_id = self._trade_id(event)
        fee = {"f": text(self._fee(event, order), SCALE), "fC": spec.quote, "fT": "NORMAL", "fP": ""}
        full = {**common, "ti": trade_id, **fee}
        self._push("execution.UNIFIED", ("/uta/execution.UNIFIED",), full, order.owner, event.now_ns)
        # In the lite form the id is text on futures and a number on spot.
        lite = {**common, "ti": trade_id if spec.futures else int(trade_id)}
        for account in ("UNIFIED", self._kind):
            channel = f"execution.lite.{account}"
            self._push(channel, (f"/uta/{channel}",), lite, order.owner, event.now_ns)

    def _push_balances(self, account: Account, now_ns: int) -> None:
        """Push the balances of the account that have changed since the last call."""
        topic = "/uta/balance.UNIFIED"
        wanted = self._outbox.wanted(topic)
        for currency, state in unified_balances(account, self._accounts).items():
            if account.pushed.get(currency) == state:
                continue
            account.pushed[currency] = state
            if wanted:
                available, hold, equity = state
                data = {
                    "c": currency,
                    "b": _padded(available + hold),
                    "a": _padded(available),
                    "h": _padded(hold),
                    "e": _padded(equity),
                    "l": _padded(0),
                    "cS": "1",
                    "U": now_ns - now_ns % _MS,
                }
                self._outbox.put_uta(topic, "balance.UNIFIED", data, now_ns, account.user)

    def _push_position(self, account: Account, now_ns: int) -> None:
        spec = self._spec
        position = account.wallet.position(spec)
        position.opened_ns = position.opened_ns or now_ns
        lots = position.lots
        mark = self._accounts.marks[spec.symbol]
        unrealised = value_of(spec, lots * mark - position.cost)
        entry = position.cost * 100 // lots if lots else 0
        data = {
            "pi": str(position.opened_ns),
            "s": spec.symbol,
            "mM": "CROSS",
            "q": str(lots),
            "eP": text(entry, spec.price_scale + 2),
            "pV": text(value_of(spec, abs(lots) * mark), SCALE),
            "mP": text(mark, spec.price_scale),
            "lP": "0.1" if lots else "0",
            "bP": "0.1" if lots else "0",
            "l": "5",
            "uPL": text(unrealised, SCALE),
            "rPL": text(position.realised, SCALE),
            "iM": text(position.margin, SCALE),
            "mmr": "0.004",
            "mtM": text(value_of(spec, abs(lots) * mark) * 4 // 1000, SCALE),
            "r": "0",
            "pM": text(position.margin, SCALE),
            "adl": "1",
            "U": now_ns - now_ns % _MS,
            "O": position.opened_ns,
        }
        topics = ("UNIFIED", "FUTURES")
        names = [f"/uta/positionAll.{kind}" for kind in topics]
        names += [f"/uta/position.{kind}:{spec.symbol}" for kind in topics]
        for name in names:
            subject = f"positionAll.{name.partition(':')[0].rpartition('.')[2]}"
            self._push(subject, (name,), data, account.user, now_ns)
        if not lots:
            position.opened_ns = 0

    def _push(self, subject: str, topics: tuple[str, ...], data: dict[str, Any], user: str, now_ns: int) -> None:
        for topic in topics:
            if self._outbox.wanted(topic):
                self._outbox.put_uta(topic, subject, data, now_ns, user)

    def _fee(self, event: Event, order: Order) -> int:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        cost = maker.price * event.size
        return futures_fee(self._spec, cost, order is maker) if self._spec.futures else spot_fee(self._spec, cost)

    def _trade_id(self, event: Event) -> str:
        return str(self._ids.trade_number(event.trade))


def unified_balances(account: Account, accounts: Accounts) -> dict[str, tuple[int, int, int]]:
    """Return (available, hold, equity) of each currency in a unified account."""
    balances = {
        currency: (balance.available, balance.hold, balance.available + balance.hold)
        for currency, balance in account.spot.balances.items()
    }
    if accounts.has_contracts:
        available, hold, equity = balances.get(_QUOTE, (0, 0, 0))
        wallet = account.wallet.state()
        held = wallet.order_margin + wallet.position_margin
        total = equity + wallet.wallet + wallet.unrealised
        balances[_QUOTE] = available + wallet.available, hold + held, total
    return balances


def _padded(amount: int) -> str:
    """Return an amount with ten decimals, as KuCoin writes balances; more of them if it has more."""
    whole, _, decimals = text(amount, SCALE).partition(".")
    return f"{whole}.{decimals:0<10}"
