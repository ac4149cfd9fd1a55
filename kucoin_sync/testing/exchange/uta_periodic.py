"""The periodic public feeds of the UTA family: depths, candles, mark price, funding and call auctions.

One feed per symbol, rendered from the current state. Open interest, funding and call auctions are invented, but
consistent with the prices. Source: KuCoin's documentation and observed messages.
"""

from __future__ import annotations

from typing import Any

from .engine import Engine
from .futures_periodic import fair_prices, funding_rate
from .history import CANDLES, History, span_end
from .push import Outbox
from .units import number, text
from .uta_feeds import depth_data

__all__ = ["UtaTimer"]

_MS = 1_000_000
_FUNDING_MS = 8 * 3_600_000
_AUCTION_RANGE = 10  # per cent of the price


class UtaTimer:
    """Public periodic pushes of one symbol."""

    def __init__(self, engine: Engine, history: History, outbox: Outbox) -> None:
        spec = engine.spec
        self._engine = engine
        self._history = history
        self._outbox = outbox
        self._spec = spec
        self._kind = "FUTURES" if spec.futures else "SPOT"
        self._depths = tuple((depth, f"/uta/obu.{self._kind}:{spec.symbol}_{depth}") for depth in (5, 50))
        self._auction = f"/uta/callAuctionInfo:{spec.symbol}"
        # Futures have no candles of 6 hours.
        self._candles = {
            f"/uta/kline.{self._kind}:{spec.symbol}_{length}": length
            for length in CANDLES
            if not (spec.futures and length == "6hour")
        }
        self._pushed: dict[str, dict[str, Any]] = {}  # the last candle of each topic that is wanted

    def fire_fast(self, now_ns: int) -> None:
        """Push every wanted topic that KuCoin pushes each 100 ms."""
        for depth, topic in self._depths:
            if self._outbox.wanted(topic):
                data = depth_data(self._engine, depth, now_ns)
                self._outbox.put_uta(topic, f"obu.{self._kind}", data, now_ns, dp=str(depth), t="snapshot")
        if not self._spec.futures and self._outbox.wanted(self._auction):
            data = self._auction_data(now_ns // _MS)
            self._outbox.put_uta(self._auction, "callAuctionInfo.SPOT", data, now_ns, t="snapshot")

    def fire(self, now_ns: int) -> None:
        """Push every wanted topic that KuCoin pushes each second or each minute; a candle only if it has changed."""
        for topic, length in self._candles.items():
            self._push_candle(topic, length, now_ns)
        if self._spec.futures:
            symbol = self._spec.symbol
            if self._outbox.wanted(f"/uta/mark-price:{symbol}"):
                self._outbox.put_uta(f"/uta/mark-price:{symbol}", "mark-price", self._mark_data(now_ns // _MS), now_ns)
            if self._outbox.wanted(f"/uta/funding-fee:{symbol}"):
                data = self.funding_data(now_ns // _MS)
                self._outbox.put_uta(f"/uta/funding-fee:{symbol}", "funding-fee", data, now_ns)

    def funding_data(self, ms: int) -> dict[str, Any]:
        """Return the funding of a contract."""
        settled = ms - ms % _FUNDING_MS
        return {
            "s": self._spec.symbol,
            "fr": f"{funding_rate(self._engine, self._history):.6f}",
            "ft": settled,
            "lfr": "0.000100",
            "nt": settled + _FUNDING_MS,
            "gl": _FUNDING_MS,
            "fc": "0.003",
            "ff": "-0.003",
        }

    def _push_candle(self, topic: str, length: str, now_ns: int) -> None:
        if not self._outbox.wanted(topic):
            self._pushed.pop(topic, None)
            return
        spec = self._spec
        bar = self._history.candle(length, now_ns)
        data = {
            "s": spec.symbol,
            "i": length,
            "O": bar.start,
            "C": span_end(length, bar.start),
            "o": text(bar.open, spec.price_scale),
            "c": text(bar.close, spec.price_scale),
            "h": text(bar.high, spec.price_scale),
            "l": text(bar.low, spec.price_scale),
            "v": text(bar.volume, spec.size_scale),
            "a": text(bar.turnover, spec.value_scale),
            "S": False,  # its meaning is not known
        }
        if data != self._pushed.get(topic):
            self._pushed[topic] = data
            self._outbox.put_uta(topic, f"kline.{self._kind}", data, now_ns)

    def _mark_data(self, ms: int) -> dict[str, Any]:
        index, mark = fair_prices(self._engine, self._history)
        interest = 40_000_000 + self._engine.trades % 1_000_000
        second = ms - ms % 1_000
        return {"s": self._spec.symbol, "mp": str(mark), "ip": str(index), "oi": str(interest), "ts": second}

    def _auction_data(self, ms: int) -> dict[str, Any]:
        spec, last = self._spec, self._history.last_price
        low, high = last * (100 - _AUCTION_RANGE) // 100, last * (100 + _AUCTION_RANGE) // 100
        _, size = self._engine.asks.best_visible()
        return {
            "s": spec.symbol,
            "slp": number(last, spec.price_scale),
            "blp": number(low, spec.price_scale),
            "shp": number(high, spec.price_scale),
            "bhp": number(last, spec.price_scale),
            "eq": number(last, spec.price_scale),
            "es": number(size, spec.size_scale),
            "ts": ms,
        }
