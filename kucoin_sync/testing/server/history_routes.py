"""The public histories: the latest trades, and candles. Source: KuCoin's REST documentation and recorded answers."""

from __future__ import annotations

from typing import Any

from .routes import ExchangeRoute, ExchangeRoutes, View
from .state import Request

__all__ = ["HISTORY_ROUTES"]


def _trades(view: View, request: Request, _: str | None) -> Any:
    symbol = request.query.get("symbol", "")
    # Of a symbol that is not traded KuCoin tells no trades, without an error.
    return view.exchange.trade_rows(symbol, view.as_of_ns) if symbol in view.exchange.symbols else []


HISTORY_ROUTES: ExchangeRoutes = {
    ("GET", "/api/v1/market/histories"): ExchangeRoute("spot", False, "public", 3, _trades),
    ("GET", "/api/v1/trade/history"): ExchangeRoute("futures", False, "public", 5, _trades),
}
