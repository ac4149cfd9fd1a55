"""The public futures feeds that follow events: level 2, executions and both tickers.

One feed per contract, the counterpart of the spot feed. Level 2 and the newer ticker are numbered by changes of the
book, executions and the older ticker by trades. The feed reads the engine and never changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .engine import Engine
from .ids import Ids
from .orders import MATCH, Event
from .push import Outbox, Push
from .units import text

__all__ = ["FuturesFeed"]

_MS = 1_000_000


class FuturesFeed:
    """Public event-driven pushes of one contract."""

    def __init__(self, engine: Engine, ids: Ids, outbox: Outbox) -> None:
        symbol = engine.spec.symbol
        self._symbol = symbol
        self._scale = engine.spec.price_scale
        self._engine = engine
        self._ids = ids
        self._outbox = outbox
        self._l2 = f"/contractMarket/level2:{symbol}"
        self._execution = f"/contractMarket/execution:{symbol}"
        self._ticker = f"/contractMarket/ticker:{symbol}"
        self._ticker_v2 = f"/contractMarket/tickerV2:{symbol}"
        self._recorders: tuple[Callable[[Event], None], ...] = ()
        self._wants_ticker = self._wants_ticker_v2 = False
        self._trade: Event | None = None
        self._best: tuple[int, ...] = ()

    def begin(self) -> None:
        """Ask which topics are wanted during the next action."""
        wanted = self._outbox.wanted
        recorders: list[Callable[[Event], None]] = []
        if wanted(self._l2):
            recorders.append(self._record_l2)
        if wanted(self._execution):
            recorders.append(self._record_execution)
        self._recorders = tuple(recorders)
        self._wants_ticker = wanted(self._ticker)
        self._wants_ticker_v2 = wanted(self._ticker_v2)
        self._trade = None

    def record(self, event: Event) -> None:
        """Render an event for the feeds that push every event."""
        if event.kind == MATCH:
            self._trade = event
        for record in self._recorders:
            record(event)

    def finish(self, now_ns: int) -> None:
        """Push the tickers: the older one after a trade, the newer one after a change of the best prices."""
        if self._wants_ticker and self._trade is not None:
            self._send_ticker(self._trade)
        if self._wants_ticker_v2:
            best = (*self._engine.bids.best_visible(), *self._engine.asks.best_visible())
            if best != self._best:
                self._best = best
                data = {"symbol": self._symbol, "sequence": self._engine.sequence, **self._best_fields()}
                data["ts"] = now_ns
                self._push(self._ticker_v2, "tickerV2", data, self._engine.sequence)

    def _push(self, topic: str, subject: str, data: dict[str, Any], sn: int) -> None:
        self._outbox.pushes.append(Push(topic, subject, data, extra={"sn": sn}))

    def _record_l2(self, event: Event) -> None:
        if event.level is None:
            return
        resting = event.maker or event.order
        data = {
            "sequence": event.sequence,
            "change": f"{text(resting.price, self._scale)},{resting.side},{event.level}",
            "timestamp": event.now_ns // _MS,
        }
        self._push(self._l2, "level2", data, event.sequence)

    def _record_execution(self, event: Event) -> None:
        if event.kind != MATCH or event.maker is None:
            return
        data = {
            "symbol": self._symbol,
            "sequence": event.trade,
            "side": event.order.side,
            "size": event.size,
            "price": text(event.maker.price, self._scale),
            "takerOrderId": event.order.id,
            "makerOrderId": event.maker.id,
            "tradeId": self._ids.trade(event.trade),
            "ts": event.now_ns,
        }
        self._push(self._execution, "match", data, event.trade)

    def _send_ticker(self, trade: Event) -> None:
        data = {
            "symbol": self._symbol,
            "sequence": trade.trade,
            "side": trade.order.side,
            "size": trade.size,
            "price": text(trade.maker.price if trade.maker else 0, self._scale),
            **self._best_fields(),
            "tradeId": self._ids.trade(trade.trade),
            "ts": trade.now_ns,
        }
        self._push(self._ticker, "ticker", data, trade.trade)

    def _best_fields(self) -> dict[str, Any]:
        bid, bid_size = self._engine.bids.best_visible()
        ask, ask_size = self._engine.asks.best_visible()
        return {
            "bestBidSize": bid_size,
            "bestBidPrice": text(bid, self._scale),
            "bestAskPrice": text(ask, self._scale),
            "bestAskSize": ask_size,
        }
