"""The periodic public spot feeds: depth, ticker of all symbols, candles, snapshots, index and mark price.

One feed per symbol, rendered from the current state. The feed keeps no state.
"""

from __future__ import annotations

from typing import Any

from .engine import Engine
from .feeds import ticker
from .history import CANDLES, Bar, History
from .push import Outbox, Push
from .units import number, text

__all__ = ["SpotTimer"]

_MS = 1_000_000
_HOUR = 3_600
_GRANULARITY_MS = 1_000


class SpotTimer:
    """Public periodic pushes of one spot symbol."""

    def __init__(self, engine: Engine, history: History, outbox: Outbox) -> None:
        self._engine = engine
        self._history = history
        self._outbox = outbox
        self._spec = engine.spec

    def fire(self, now_ns: int) -> None:
        """Push every wanted periodic topic of the symbol once."""
        ms = now_ns // _MS
        self._push_levels(ms)
        if self._outbox.wanted("/market/ticker:all"):
            data = {**ticker(self._engine, self._history), "time": ms}
            self._push("/market/ticker:all", self._spec.symbol, data)
        for length in CANDLES:
            self._push_candle(length, now_ns)
        for scope in (self._spec.symbol, *self._spec.markets):
            topic = f"/market/snapshot:{scope}"
            if self._outbox.wanted(topic):
                self._push(topic, "trade.snapshot", self._snapshot(now_ns))
        self._push_indicators(ms)

    def _push(self, topic: str, subject: str, data: dict[str, Any], **extra: Any) -> None:
        self._outbox.pushes.append(Push(topic, subject, data, extra=extra))

    def _push_levels(self, ms: int) -> None:
        symbol = self._spec.symbol
        topic = f"/spotMarket/level1:{symbol}"
        if self._outbox.wanted(topic):
            asks, bids = self._rows(1)
            best = {"asks": asks[0] if asks else [], "bids": bids[0] if bids else [], "timestamp": ms}
            self._push(topic, "level1", best)
        for depth in (5, 50):
            topic = f"/spotMarket/level2Depth{depth}:{symbol}"
            if self._outbox.wanted(topic):
                asks, bids = self._rows(depth)
                self._push(topic, "level2", {"asks": asks, "bids": bids, "timestamp": ms})

    def _rows(self, depth: int) -> tuple[list[list[str]], list[list[str]]]:
        prices, sizes = self._spec.price_scale, self._spec.size_scale
        asks, bids = (
            [[text(price, prices), text(size, sizes)] for price, size in side.visible(depth)]
            for side in (self._engine.asks, self._engine.bids)
        )
        return asks, bids

    def _push_candle(self, length: str, now_ns: int) -> None:
        topic = f"/market/candles:{self._spec.symbol}_{length}"
        if not self._outbox.wanted(topic):
            return
        spec = self._spec
        bar = self._history.candle(length, now_ns)
        if not bar.volume:
            return  # KuCoin has no candle of a time in which nothing was traded
        candle = [
            str(bar.start),
            text(bar.open, spec.price_scale),
            text(bar.close, spec.price_scale),
            text(bar.high, spec.price_scale),
            text(bar.low, spec.price_scale),
            text(bar.volume, spec.size_scale),
            text(bar.turnover, spec.value_scale),
        ]
        data = {"symbol": spec.symbol, "candles": candle, "time": now_ns}
        self._push(topic, "trade.candles.update", data)

    def _push_indicators(self, ms: int) -> None:
        for kind in ("index", "markPrice"):
            topic = f"/indicator/{kind}:{self._spec.symbol}"
            if self._outbox.wanted(topic):
                value = number(self._history.last_price, self._spec.price_scale)
                second = ms - ms % _GRANULARITY_MS
                data = {
                    "symbol": self._spec.symbol,
                    "granularity": _GRANULARITY_MS,
                    "timestamp": second,
                    "value": value,
                }
                self._push(topic, "tick", data, id=f"{ms:024x}")

    def _snapshot(self, now_ns: int) -> dict[str, Any]:
        spec, history = self._spec, self._history
        day = history.window(24 * _HOUR, now_ns)
        changes = {hours: self._change(history.window(hours * _HOUR, now_ns)) for hours in (1, 4, 24)}
        bid, bid_size = self._engine.bids.best_visible()
        ask, ask_size = self._engine.asks.best_visible()
        last = number(history.last_price, spec.price_scale)
        volume = number(day.volume, spec.size_scale)
        turnover = number(day.turnover, spec.value_scale)
        return {
            "sequence": str(self._engine.sequence),
            "data": {
                **_TERMS,
                **changes[24],
                "marketChange1h": changes[1],
                "marketChange4h": changes[4],
                "marketChange24h": changes[24],
                "symbol": spec.symbol,
                "symbolCode": spec.symbol,
                "baseCurrency": spec.base,
                "quoteCurrency": spec.quote,
                "market": spec.markets[0],
                "markets": list(spec.markets),
                "siteTypes": ["global"],
                "averagePrice": round(turnover / volume, spec.price_scale + 4) if volume else last,
                "lastTradedPrice": last,
                "close": last,
                "buy": number(bid, spec.price_scale),
                "bidSize": number(bid_size, spec.size_scale),
                "sell": number(ask, spec.price_scale),
                "askSize": number(ask_size, spec.size_scale),
                "datetime": now_ns // _MS,
            },
        }

    def _change(self, bar: Bar) -> dict[str, float]:
        spec = self._spec
        return {
            "changePrice": number(bar.close - bar.open, spec.price_scale),
            "changeRate": round((bar.close - bar.open) / bar.open, 4),
            "high": number(bar.high, spec.price_scale),
            "low": number(bar.low, spec.price_scale),
            "open": number(bar.open, spec.price_scale),
            "vol": number(bar.volume, spec.size_scale),
            "volValue": number(bar.turnover, spec.value_scale),
        }


_TERMS: dict[str, Any] = {
    "board": 1,
    "mark": 0,
    "sort": 100,
    "trading": True,
    "marginTrade": True,
    "makerCoefficient": 1.0,
    "makerFeeRate": 0.001,
    "takerCoefficient": 1.0,
    "takerFeeRate": 0.001,
}
