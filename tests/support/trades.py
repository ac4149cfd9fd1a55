"""Trades of strangers on the exchange of a local KuCoin."""

from __future__ import annotations

from kucoin_sync.testing import KucoinServer

__all__ = ["sequences", "trade"]


def trade(server: KucoinServer, symbol: str = "BTC-USDT", times: int = 1) -> None:
    """Have strangers trade; each order meets one resting order, or a few."""
    size = "0.0001" if "-" in symbol else "1"
    with server.trading() as exchange:
        for n in range(times):
            exchange.place(symbol, "buy" if n % 2 else "sell", size, user="")


def sequences(server: KucoinServer, symbol: str = "BTC-USDT") -> list[int]:
    """Return the sequences of all trades."""
    with server.trading() as exchange:
        return [each.sequence for each in exchange.trades(symbol)]
