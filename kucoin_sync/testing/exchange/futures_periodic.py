"""The periodic public futures feeds: depth, candles, mark price, funding and 24-hour figures.

One feed per contract, rendered from the current state. The index price is the middle of the book, the mark price is
between it and the last trade, and the funding rate follows from their difference. These numbers are invented, but
consistent. The feed keeps no state.
"""

from __future__ import annotations

from typing import Any

from .engine import Engine
from .history import History
from .push import Outbox, Push
from .units import number, text

__all__ = ["FuturesTimer", "fair_prices", "funding_rate"]

_MS = 1_000_000
_DAY = 86_400
_CANDLES = ("1min", "5min", "15min", "30min", "1hour", "2hour", "4hour", "8hour", "12hour", "1day", "1week")
_BASE_RATE = 0.0001


class FuturesTimer:
    """Public periodic pushes of one contract."""

    def __init__(self, engine: Engine, history: History, outbox: Outbox) -> None:
        self._engine = engine
        self._history = history
        self._outbox = outbox
        self._spec = engine.spec

    def fire(self, now_ns: int) -> None:
        """Push every wanted periodic topic of the contract once."""
        self._push_depths(now_ns // _MS)
        for length in _CANDLES:
            self._push_candle(length, now_ns)
        self._push_instrument(now_ns // _MS)
        topic = f"/contractMarket/snapshot:{self._spec.symbol}"
        if self._outbox.wanted(topic):
            self._push(topic, "snapshot.24h", self._snapshot(now_ns), id=f"{now_ns:024x}")

    def _push(self, topic: str, subject: str, data: dict[str, Any], **extra: Any) -> None:
        self._outbox.pushes.append(Push(topic, subject, data, extra=extra))

    def _push_depths(self, ms: int) -> None:
        for depth in (5, 50):
            topic = f"/contractMarket/level2Depth{depth}:{self._spec.symbol}"
            if not self._outbox.wanted(topic):
                continue
            asks, bids = (
                [[text(price, self._spec.price_scale), size] for price, size in side.visible(depth)]
                for side in (self._engine.asks, self._engine.bids)
            )
            data = {"bids": bids, "sequence": self._engine.sequence, "timestamp": ms, "ts": ms, "asks": asks}
            self._push(topic, "level2", data, sn=ms)

    def _push_candle(self, length: str, now_ns: int) -> None:
        topic = f"/contractMarket/limitCandle:{self._spec.symbol}_{length}"
        if not self._outbox.wanted(topic):
            return
        bar = self._history.candle(length, now_ns)
        if not bar.volume:
            return  # KuCoin has no candle of a time in which nothing was traded
        prices = [text(price, self._spec.price_scale) for price in (bar.open, bar.close, bar.high, bar.low)]
        candle = [str(bar.start), *prices, text(bar.turnover, self._spec.value_scale), str(bar.volume)]
        data = {"symbol": self._spec.symbol, "candles": candle, "time": now_ns // _MS}
        self._push(topic, "candle.stick", data)

    def _push_instrument(self, ms: int) -> None:
        topic = f"/contract/instrument:{self._spec.symbol}"
        if not self._outbox.wanted(topic):
            return
        index, mark = fair_prices(self._engine, self._history)
        second, minute = ms - ms % 1_000, ms - ms % 60_000
        data = {"markPrice": mark, "indexPrice": index, "granularity": 1_000, "timestamp": second}
        self._push(topic, "mark.index.price", data)
        rate = funding_rate(self._engine, self._history)
        data = {"granularity": 60_000, "fundingRate": rate, "timestamp": minute}
        self._push(topic, "funding.rate", data)

    def _snapshot(self, now_ns: int) -> dict[str, Any]:
        spec = self._spec
        day = self._history.window(_DAY, now_ns)
        return {
            "highPrice": number(day.high, spec.price_scale),
            "lastPrice": number(day.close, spec.price_scale),
            "lowPrice": number(day.low, spec.price_scale),
            "price24HoursBefore": number(day.open, spec.price_scale),
            "priceChg": number(day.close - day.open, spec.price_scale),
            "priceChgPct": round((day.close - day.open) / day.open, 4),
            "symbol": spec.symbol,
            "ts": now_ns,
            "turnover": number(day.turnover, spec.value_scale),
            "volume": number(day.volume, spec.worth_scale),
        }


def fair_prices(engine: Engine, history: History) -> tuple[float, float]:
    """Return the index price and the mark price."""
    last = history.last_price
    bid, _ = engine.bids.best_visible()
    ask, _ = engine.asks.best_visible()
    middle = (bid or last) + (ask or last)
    scale, decimals = engine.spec.price_scale, engine.spec.price_scale + 1
    index = round(number(middle, scale) / 2, decimals)
    return index, round(number(middle + 2 * last, scale) / 4, decimals)


def funding_rate(engine: Engine, history: History) -> float:
    """Return the predicted funding rate."""
    index, mark = fair_prices(engine, history)
    return round(_BASE_RATE + (mark - index) / index, 6)
