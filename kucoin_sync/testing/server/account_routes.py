"""The accounts by REST: balances, orders, fills, positions, and the spot ledger. All of it is signed.

The margin accounts are there and empty. Lists have KuCoin's order of rows, its paging and its types. Source: KuCoin's
REST documentation and recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exchange.account_history import AccountHistory
from ..exchange.ledger import SCALE
from ..exchange.units import number, text
from .refusals import RestRefused
from .routes import ExchangeRoute, ExchangeRoutes, View
from .state import Request

__all__ = ["ACCOUNT_ROUTES", "order_by_id"]

Row = dict[str, Any]
_LONGEST = 200  # rows of a page by lastId


def _history(view: View, user: str | None) -> AccountHistory:
    try:
        return view.exchange.account_history(user or "")
    except KeyError:
        raise RestRefused("400003") from None


def _required(request: Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        raise RestRefused("400100", f"{name} can not be empty")
    return value


def _accounts(view: View, request: Request, user: str | None) -> Any:
    rows = []
    for currency, (available, hold) in _history(view, user).balances(view.as_of_ns).items():
        if request.query.get("currency", currency) != currency or request.query.get("type", "trade") != "trade":
            continue
        rows.append(
            {
                "id": view.exchange.account_id(user or "", currency),
                "currency": currency,
                "type": "trade",
                "balance": text(available + hold, SCALE),
                "available": text(available, SCALE),
                "holds": text(hold, SCALE),
            }
        )
    return rows


def _overview(view: View, request: Request, user: str | None) -> Any:
    currency = request.query.get("currency", "XBT")
    state = _history(view, user).wallet(view.as_of_ns) if currency == "USDT" else None
    values = (0, 0, 0, 0, 0) if state is None else state
    wallet, available, orders, positions, unrealised = (number(value, SCALE) for value in values)
    return {
        "accountEquity": wallet + unrealised if state is None else number(values[0] + values[4], SCALE),
        "unrealisedPNL": unrealised,
        "marginBalance": wallet,
        "positionMargin": positions,
        "orderMargin": orders,
        "frozenFunds": 0.0,
        "availableBalance": available,
        "currency": currency,
        "riskRatio": 0.0,
        "maxWithdrawAmount": available,
    }


def _active_symbols(view: View, _: Request, user: str | None) -> Any:
    rows = _history(view, user).orders(view.as_of_ns, futures=False, active=True)
    return {"symbols": sorted({row["symbol"] for row in rows})}


def _active(view: View, request: Request, user: str | None) -> list[Row]:
    """Return the active orders of a symbol, the newest update first."""
    symbol = _required(request, "symbol")
    rows = _history(view, user).orders(view.as_of_ns, futures=False, active=True)
    return sorted((row for row in rows if row["symbol"] == symbol), key=lambda row: -int(row["lastUpdatedAt"]))


def _active_page(view: View, request: Request, user: str | None) -> Any:
    rows = sorted(_active(view, request, user), key=lambda row: (row["createdAt"], row["id"]), reverse=True)
    return _page(rows, request, "pageNum", 20, 50)


def _done(view: View, request: Request, user: str | None) -> Any:
    symbol = _required(request, "symbol")
    rows = [
        row
        for row in _history(view, user).orders(view.as_of_ns, futures=False, active=False)
        if row["symbol"] == symbol
    ]
    rows.sort(key=lambda row: (row["lastUpdatedAt"], row["id"]), reverse=True)
    return _by_last_id(_since(rows, request, "createdAt"), request, lambda row: int(row["id"][-16:], 16))


def _fills(view: View, request: Request, user: str | None) -> Any:
    symbol = _required(request, "symbol")
    rows = [row for row in _history(view, user).fills(view.as_of_ns, futures=False) if row["symbol"] == symbol]
    order_id = request.query.get("orderId")
    rows = [row for row in reversed(rows) if order_id in (None, row["orderId"])]
    return _by_last_id(_since(rows, request, "createdAt"), request, lambda row: int(row["id"]))


def _ledger(view: View, request: Request, user: str | None) -> Any:
    rows = list(reversed(_history(view, user).entries(view.as_of_ns)))
    currency = request.query.get("currency")
    rows = [row for row in rows if currency in (None, row["currency"])]
    return _by_last_id(_since(rows, request, "createdAt"), request, lambda row: int(row["id"]))["items"]


def _futures_orders(view: View, request: Request, user: str | None) -> Any:
    active = request.query.get("status", "done") == "active"
    rows = _history(view, user).orders(view.as_of_ns, futures=True, active=active)
    symbol = request.query.get("symbol")
    rows = [row for row in reversed(rows) if symbol in (None, row["symbol"])]
    return _page(_since(rows, request, "updatedAt"), request, "currentPage", 50, 1000)


def _recent_done(view: View, _: Request, user: str | None) -> Any:
    rows = _history(view, user).orders(view.as_of_ns, futures=True, active=False)
    return sorted(rows, key=lambda row: row["updatedAt"], reverse=True)[:1000]


def _recent_fills(view: View, _: Request, user: str | None) -> Any:
    return list(reversed(_history(view, user).fills(view.as_of_ns, futures=True)))[:1000]


def _futures_fills(view: View, request: Request, user: str | None) -> Any:
    order_id = request.query.get("orderId")
    rows = list(reversed(_history(view, user).fills(view.as_of_ns, futures=True)))
    rows = [row for row in rows if order_id in (None, row["orderId"])]
    return _page(_since(rows, request, "createdAt"), request, "currentPage", 50, 1000)


def _positions(view: View, request: Request, user: str | None) -> Any:
    symbol = request.query.get("symbol")
    return [row for row in _history(view, user).positions(view.as_of_ns) if symbol in (None, row["symbol"])]


def _one_futures_order(view: View, request: Request, user: str | None) -> Any:
    row = _history(view, user).order(request.path.rpartition("/")[2], view.as_of_ns)
    if row is None or "isActive" not in row:
        raise RestRefused("100001", "error.getOrder.orderNotExist", 200)
    return row


def _one_spot_order(view: View, request: Request, user: str | None) -> Any:
    row = _history(view, user).order(request.path.rpartition("/")[2], view.as_of_ns)
    if row is None or row["symbol"] != request.query.get("symbol"):
        raise RestRefused("400100", "order not exist", 200)
    return row


def _cross(*_: object) -> Any:
    return {
        "totalAssetOfQuoteCurrency": "0", "totalLiabilityOfQuoteCurrency": "0", "debtRatio": "0", "status": "EFFECTIVE",
        "accounts": [],
    }  # fmt: skip


def _isolated(view: View, *_: object) -> Any:
    now_ms = view.as_of_ns // 1_000_000
    return {
        "totalAssetOfQuoteCurrency": "0", "totalLiabilityOfQuoteCurrency": "0", "timestamp": now_ms, "assets": [],
    }  # fmt: skip


def _no_symbols(*_: object) -> Any:
    return {"symbolSize": 0, "symbols": []}


def _nothing(*_: object) -> Any:
    return []


def _nothing_more(*_: object) -> Any:
    return {"lastId": 0, "items": []}


def _since(rows: list[Row], request: Request, name: str) -> list[Row]:
    """Return the rows in the range of times of a request, which is in milliseconds."""
    start, end = (int(request.query.get(bound) or 0) for bound in ("startAt", "endAt"))
    return [row for row in rows if int(row[name]) >= start and (not end or int(row[name]) <= end)]


def _page(rows: list[Row], request: Request, name: str, usual: int, most: int) -> Any:
    size = min(most, max(1, int(request.query.get("pageSize") or usual)))
    page = max(1, int(request.query.get(name) or 1))
    return {
        "currentPage": page,
        "pageSize": size,
        "totalNum": len(rows),
        "totalPage": -(-len(rows) // size),
        "items": rows[(page - 1) * size : page * size],
    }


def _by_last_id(rows: list[Row], request: Request, number_of: Callable[[Row], int]) -> Any:
    """Return a page of rows, the newest first: those after the row with the number of the parameter `lastId`."""
    last = int(request.query.get("lastId") or 0)
    if last:
        numbers = [number_of(row) for row in rows]
        rows = rows[numbers.index(last) + 1 :] if last in numbers else []
    limit = min(_LONGEST, max(1, int(request.query.get("limit") or 20)))
    shown = rows[:limit]
    return {"items": shown, "lastId": number_of(shown[-1]) if shown else 0}


def _spot(weight: int, answer: Callable[[View, Request, str | None], Any]) -> ExchangeRoute:
    return ExchangeRoute("spot", True, "spot", weight, answer)


def _futures(weight: int, answer: Callable[[View, Request, str | None], Any]) -> ExchangeRoute:
    return ExchangeRoute("futures", True, "futures", weight, answer)


_BY_ID = {"spot": _spot(2, _one_spot_order), "futures": _futures(5, _one_futures_order)}
_PREFIXES = {"spot": ("/api/v1/hf/orders/", "/api/v3/hf/margin/orders/"), "futures": ("/api/v1/orders/",)}

ACCOUNT_ROUTES: ExchangeRoutes = {
    ("GET", "/api/v1/accounts"): ExchangeRoute("spot", True, "management", 5, _accounts),
    ("GET", "/api/v1/hf/accounts/ledgers"): _spot(2, _ledger),
    ("GET", "/api/v1/hf/orders/active/symbols"): _spot(2, _active_symbols),
    ("GET", "/api/v1/hf/orders/active"): _spot(2, _active),
    ("GET", "/api/v1/hf/orders/active/page"): _spot(2, _active_page),
    ("GET", "/api/v1/hf/orders/done"): _spot(2, _done),
    ("GET", "/api/v1/hf/fills"): _spot(2, _fills),
    ("GET", "/api/v3/margin/accounts"): _spot(15, _cross),
    ("GET", "/api/v3/isolated/accounts"): _spot(15, _isolated),
    ("GET", "/api/v3/hf/margin/account/ledgers"): _spot(2, _nothing),
    ("GET", "/api/v3/hf/margin/order/active/symbols"): _spot(4, _no_symbols),
    ("GET", "/api/v3/hf/margin/orders/active"): _spot(4, _nothing),
    ("GET", "/api/v3/hf/margin/orders/done"): _spot(10, _nothing_more),
    ("GET", "/api/v3/hf/margin/fills"): _spot(5, _nothing_more),
    ("GET", "/api/v1/account-overview"): _futures(5, _overview),
    ("GET", "/api/v1/orders"): _futures(2, _futures_orders),
    ("GET", "/api/v1/recentDoneOrders"): _futures(5, _recent_done),
    ("GET", "/api/v1/recentFills"): _futures(3, _recent_fills),
    ("GET", "/api/v1/fills"): _futures(5, _futures_fills),
    ("GET", "/api/v1/positions"): _futures(2, _positions),
    ("GET", "/api/v2/position"): _futures(2, _positions),
}


def order_by_id(market: str, path: str) -> ExchangeRoute | None:
    """Return the route of a path that ends with the id of an order."""
    known = any(path.startswith(prefix) and "/" not in path[len(prefix) :] for prefix in _PREFIXES.get(market, ()))
    return _BY_ID[market] if known else None
