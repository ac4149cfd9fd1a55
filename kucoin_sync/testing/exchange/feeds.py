"""The public spot feeds that follow events: level 3 in both generations, level 2, matches and the ticker.

One feed per symbol. `begin` asks once per action which topics are wanted, `record` renders each event at once, and
`finish` adds the pushes that are sent once per action. The feed reads the engine and never changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .engine import Engine
from .history import History
from .ids import Ids
from .orders import CHANGE, DONE, MATCH, OPEN, RECEIVED, Event
from .push import Outbox, Push
from .units import padded, text

__all__ = ["SpotFeed"]

_MS = 1_000_000


class SpotFeed:
    """Public event-driven pushes of one spot symbol."""

    def __init__(self, engine: Engine, history: History, ids: Ids, outbox: Outbox) -> None:
        spec = engine.spec
        self._symbol = spec.symbol
        self._price_scale = spec.price_scale
        self._size_scale = spec.size_scale
        self._engine = engine
        self._history = history
        self._ids = ids
        self._outbox = outbox
        self._l3_old = f"/market/level3:{spec.symbol}"
        self._l3_new = f"/spotMarket/level3:{spec.symbol}"
        self._l2 = f"/market/level2:{spec.symbol}"
        self._match = f"/market/match:{spec.symbol}"
        self._ticker = f"/market/ticker:{spec.symbol}"
        self._recorders: tuple[Callable[[Event], None], ...] = ()
        self._asks: list[list[str]] = []
        self._bids: list[list[str]] = []
        self._before = 0
        self._traded = False
        self._best: tuple[int, ...] = ()
        self._wants_ticker = False

    def begin(self) -> None:
        """Ask which topics are wanted during the next action."""
        wanted = self._outbox.wanted
        recorders: list[Callable[[Event], None]] = []
        if wanted(self._l3_old):
            recorders.append(self._record_l3_old)
        if wanted(self._l3_new):
            recorders.append(self._record_l3_new)
        if wanted(self._l2):
            recorders.append(self._record_l2)
        if wanted(self._match):
            recorders.append(self._record_match)
        self._wants_ticker = wanted(self._ticker)
        self._recorders = tuple(recorders)
        self._before = self._engine.sequence
        self._traded = False

    def record(self, event: Event) -> None:
        """Render an event for the feeds that push every event."""
        if event.kind == MATCH:
            self._traded = True
        for record in self._recorders:
            record(event)

    def finish(self, now_ns: int) -> None:
        """Push the level 2 update of the action, and the ticker if it has changed."""
        if self._asks or self._bids:
            self._send_l2(now_ns)
        if self._wants_ticker:
            best = (*self._engine.bids.best_visible(), *self._engine.asks.best_visible())
            if self._traded or best != self._best:
                self._best = best
                # The ticker of a symbol has "Time", /market/ticker:all has "time".
                data = {**ticker(self._engine, self._history), "Time": now_ns // _MS}
                self._push(self._ticker, "trade.ticker", data)

    def _push(self, topic: str, subject: str, data: dict[str, Any]) -> None:
        self._outbox.pushes.append(Push(topic, subject, data))

    def _record_l2(self, event: Event) -> None:
        """Add one row per event; price 0 marks an event that changes no visible level."""
        resting = event.maker or event.order
        rows = self._bids if resting.side == "buy" else self._asks
        if event.level is None:
            rows.append(["0", "0", str(event.sequence)])
        else:
            price = text(resting.price, self._price_scale)
            rows.append([price, text(event.level, self._size_scale), str(event.sequence)])

    def _send_l2(self, now_ns: int) -> None:
        data = {
            "changes": {"asks": self._asks, "bids": self._bids},
            "sequenceStart": self._before + 1,
            "sequenceEnd": self._engine.sequence,
            "symbol": self._symbol,
            "time": now_ns // _MS,
        }
        self._asks, self._bids = [], []
        self._push(self._l2, "trade.l2update", data)

    def _record_match(self, event: Event) -> None:
        if event.kind != MATCH or event.maker is None:
            return
        number = self._ids.trade(event.trade)
        data = {
            "makerOrderId": event.maker.id,
            "price": text(event.maker.price, self._price_scale),
            "sequence": number,  # not that of the book
            "side": event.order.side,
            "size": text(event.size, self._size_scale),
            "symbol": self._symbol,
            "takerOrderId": event.order.id,
            "time": str(event.now_ns),
            "tradeId": number,
            "type": "match",
        }
        self._push(self._match, "trade.l3match", data)

    def _record_l3_old(self, event: Event) -> None:
        order = event.order
        data: dict[str, Any] = {
            "sequence": str(event.sequence),
            "type": event.kind,
            "symbol": self._symbol,
            "side": order.side,
            "time": str(event.now_ns),
        }
        if event.kind != MATCH:
            data["orderId"] = order.id
        _L3_OLD[event.kind](self, event, data)
        self._push(self._l3_old, f"trade.l3{event.kind}", data)

    def _old_received(self, event: Event, data: dict[str, Any]) -> None:
        order = event.order
        data["orderType"] = "market" if order.market else "limit"
        data["clientOid"] = order.client_oid
        if not order.market:
            data["price"] = padded(order.price, self._price_scale)

    def _old_open(self, event: Event, data: dict[str, Any]) -> None:
        hidden = event.order.hidden
        data["price"] = "" if hidden else padded(event.order.price, self._price_scale)
        data["size"] = "0" if hidden else padded(event.size, self._size_scale)

    def _old_match(self, event: Event, data: dict[str, Any]) -> None:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        data["price"] = padded(maker.price, self._price_scale)
        data["size"] = padded(event.size, self._size_scale)
        data["tradeId"] = self._ids.trade(event.trade)
        data["takerOrderId"] = event.order.id
        data["makerOrderId"] = maker.id

    def _old_change(self, event: Event, data: dict[str, Any]) -> None:
        order = event.order
        if order.hidden:
            data.update(price="", newSize="0", oldSize="0")
            return
        data["price"] = "" if order.market else padded(order.price, self._price_scale)
        data["newSize"] = padded(event.size, self._size_scale)
        data["oldSize"] = padded(event.rest, self._size_scale)

    def _old_done(self, event: Event, data: dict[str, Any]) -> None:
        data["reason"] = "canceled" if event.size else "filled"
        if event.size and not event.order.market:
            data["size"] = "0" if event.order.hidden else padded(event.size, self._size_scale)

    def _record_l3_new(self, event: Event) -> None:
        data: dict[str, Any] = {"symbol": self._symbol, "sequence": event.sequence}
        if event.kind != MATCH:
            data["orderId"] = event.order.id
        _L3_NEW[event.kind](self, event, data)
        data["ts"] = event.now_ns
        self._push(self._l3_new, "update" if event.kind == CHANGE else event.kind, data)

    def _new_received(self, event: Event, data: dict[str, Any]) -> None:
        data["clientOid"] = event.order.client_oid

    def _new_open(self, event: Event, data: dict[str, Any]) -> None:
        order = event.order
        data["side"] = order.side
        data["price"] = "" if order.hidden else text(order.price, self._price_scale)
        data["size"] = "0" if order.hidden else text(event.size, self._size_scale)
        data["orderTime"] = order.time_ns

    def _new_match(self, event: Event, data: dict[str, Any]) -> None:
        maker = event.maker
        assert maker is not None, "a match has a maker"
        data["side"] = event.order.side
        data["price"] = text(maker.price, self._price_scale)
        data["size"] = text(event.size, self._size_scale)
        data["remainSize"] = "0" if maker.hidden else text(event.rest, self._size_scale)
        data["takerOrderId"] = event.order.id
        data["makerOrderId"] = maker.id
        data["tradeId"] = self._ids.trade(event.trade)

    def _new_change(self, event: Event, data: dict[str, Any]) -> None:
        data["size"] = "0" if event.order.hidden else text(event.size, self._size_scale)

    def _new_done(self, event: Event, data: dict[str, Any]) -> None:
        data["reason"] = "canceled" if event.size else "filled"


def ticker(engine: Engine, history: History) -> dict[str, Any]:
    """Return the common fields of both spot tickers."""
    prices, sizes = engine.spec.price_scale, engine.spec.size_scale
    bid, bid_size = engine.bids.best_visible()
    ask, ask_size = engine.asks.best_visible()
    return {
        "sequence": str(engine.sequence),
        "price": text(history.last_price, prices),
        "size": text(history.last_size, sizes),
        "bestAsk": text(ask, prices),
        "bestAskSize": text(ask_size, sizes),
        "bestBid": text(bid, prices),
        "bestBidSize": text(bid_size, sizes),
    }


_Renderer = Callable[[SpotFeed, Event, dict[str, Any]], None]

_L3_OLD: dict[str, _Renderer] = {
    RECEIVED: SpotFeed._old_received,
    OPEN: SpotFeed._old_open,
    MATCH: SpotFeed._old_match,
    CHANGE: SpotFeed._old_change,
    DONE: SpotFeed._old_done,
}

_L3_NEW: dict[str, _Renderer] = {
    RECEIVED: SpotFeed._new_received,
    OPEN: SpotFeed._new_open,
    MATCH: SpotFeed._new_match,
    CHANGE: SpotFeed._new_change,
    DONE: SpotFeed._new_done,
}
