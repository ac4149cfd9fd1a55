"""The public histories: the latest trades, and candles. Source: KuCoin's REST documentation and recorded answers."""

from __future__ import annotations

from typing import Any

from ..exchange.history import CANDLES, span_end
from .refusals import RestRefused
from .routes import ExchangeRoute, ExchangeRoutes, View
from .state import Request

__all__ = ["HISTORY_ROUTES"]


def _trades(view: View, request: Request, _: str | None) -> Any:
    symbol = request.query.get("symbol", "")
    # Of a symbol that is not traded KuCoin tells no trades, without an error.
    return view.exchange.trade_rows(symbol, view.as_of_ns) if symbol in view.exchange.symbols else []


def _uta_trades(view: View, request: Request, _: str | None) -> Any:
    symbol, kind = request.query.get("symbol", ""), request.query.get("tradeType", "")
    if kind not in ("SPOT", "FUTURES"):
        raise RestRefused("400100", "tradeType is invalid")
    known = symbol in view.exchange.symbols and ("-" in symbol) == (kind == "SPOT")
    rows = view.exchange.trade_rows(symbol, view.as_of_ns, uta=True) if known else []
    return {"tradeType": kind, "list": rows}


def _spot_candles(view: View, request: Request, _: str | None) -> Any:
    length = request.query.get("type", "")
    start, end = _range(request, "startAt", "endAt")
    rows = _candles(view, request, length)
    wanted = [row for row in rows if span_end(length, int(row[0])) > start and int(row[0]) <= end]
    return wanted[-_SPOT_ROWS:][::-1]


def _futures_candles(view: View, request: Request, _: str | None) -> Any:
    start, end = _range(request, "from", "to")
    rows = _candles(view, request, _GRANULARITIES.get(request.query.get("granularity", ""), ""))
    return [row for row in rows if start <= row[0] <= end][:_FUTURES_ROWS]


def _candles(view: View, request: Request, length: str) -> list[list[Any]]:
    if length not in CANDLES:
        raise RestRefused("400100", "Unsupported candle type")
    symbol = request.query.get("symbol", "")
    return view.exchange.candle_rows(symbol, length, view.as_of_ns) if symbol in view.exchange.symbols else []


def _range(request: Request, first: str, last: str) -> tuple[int, int]:
    try:
        return int(request.query.get(first, 0)), int(request.query.get(last, _FOREVER))
    except ValueError:
        raise RestRefused("400100") from None


_FOREVER = 10**15
_SPOT_ROWS = 1500
_FUTURES_ROWS = 200  # the smaller of two numbers that KuCoin has named
_GRANULARITIES = {  # by minutes; the push has further lengths
    "1": "1min", "5": "5min", "15": "15min", "30": "30min", "60": "1hour", "120": "2hour", "240": "4hour",
    "480": "8hour", "720": "12hour", "1440": "1day", "10080": "1week",
}  # fmt: skip

HISTORY_ROUTES: ExchangeRoutes = {
    ("GET", "/api/v1/market/histories"): ExchangeRoute("spot", False, "public", 3, _trades),
    ("GET", "/api/v1/trade/history"): ExchangeRoute("futures", False, "public", 5, _trades),
    ("GET", "/api/ua/v2/market/trade"): ExchangeRoute("spot", False, "public", 3, _uta_trades),
    ("GET", "/api/v1/market/candles"): ExchangeRoute("spot", False, "public", 3, _spot_candles),
    ("GET", "/api/v1/kline/query"): ExchangeRoute("futures", False, "public", 3, _futures_candles),
}
