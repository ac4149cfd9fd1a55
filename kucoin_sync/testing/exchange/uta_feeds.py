"""The public feeds of the UTA family that follow events: ticker, trades and order books.

One feed per symbol, spot or futures. Source: KuCoin's documentation and observed messages. The feed reads the engine
and never changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .engine import Engine
from .history import History
from .ids import Ids
from .orders import MATCH, Event
from .push import Outbox
from .units import text
from .uta_book import UtaBook, Windows

__all__ = ["UtaFeed", "depth_data"]

_MS = 1_000_000


class UtaFeed:
    """Public event-driven pushes of one symbol. `book` is its order book of the best 500 levels."""

    def __init__(self, engine: Engine, history: History, ids: Ids, outbox: Outbox, windows: Windows) -> None:
        spec = engine.spec
        kind = "FUTURES" if spec.futures else "SPOT"
        self.book = UtaBook(engine, outbox, windows)
        self._engine = engine
        self._history = history
        self._ids = ids
        self._outbox = outbox
        self._spec = spec
        self._kind = kind
        self._ticker = f"/uta/ticker.{kind}:{spec.symbol}"
        self._trade = f"/uta/trade.{kind}:{spec.symbol}"
        self._best = f"/uta/obu.{kind}:{spec.symbol}_1"
        self._recorders: tuple[Callable[[Event], None], ...] = ()
        self._wants_ticker = self._wants_best = False
        self._traded: Event | None = None
        self._last_best: tuple[int, ...] = ()

    def begin(self) -> None:
        """Ask which topics are wanted during the next action."""
        wanted = self._outbox.wanted
        recorders: list[Callable[[Event], None]] = []
        if self.book.begin():
            recorders.append(self.book.record)
        if wanted(self._trade):
            recorders.append(self._record_trade)
        self._wants_ticker = wanted(self._ticker)
        if self._wants_ticker:
            recorders.append(self._note_trade)
        self._wants_best = wanted(self._best)
        if not self._wants_best:
            self._last_best = ()
        self._recorders = tuple(recorders)
        self._traded = None

    def record(self, event: Event) -> None:
        """Render an event for the feeds that push every event."""
        for record in self._recorders:
            record(event)

    def finish(self, now_ns: int) -> None:
        """Push the ticker if the action traded, and the best prices if they have changed."""
        if self._traded is not None:
            self._push_ticker(self._traded)
        if self._wants_best:
            best = (*self._engine.bids.best_visible(), *self._engine.asks.best_visible())
            if best != self._last_best:
                self._last_best = best
                data = depth_data(self._engine, 1, now_ns)
                self._outbox.put_uta(self._best, f"obu.{self._kind}", data, now_ns, dp="1", t="snapshot")

    def _note_trade(self, event: Event) -> None:
        if event.kind == MATCH:
            self._traded = event

    def _record_trade(self, event: Event) -> None:
        if event.kind != MATCH or event.maker is None:
            return
        number = self._ids.trade_number(event.trade)
        data: dict[str, Any] = {
            "s": self._spec.symbol,
            "p": text(event.maker.price, self._spec.price_scale),
            "q": text(event.size, self._spec.size_scale),
            "S": event.order.side,
            "E": number,
            "ti": str(number),
            "M": event.now_ns - event.now_ns % _MS,
        }
        if self._spec.futures:
            data["rpi"] = False
        self._outbox.put_uta(self._trade, f"trade.{self._kind}", data, event.now_ns)

    def _push_ticker(self, trade: Event) -> None:
        spec = self._spec
        bid, bid_size = self._engine.bids.best_visible()
        ask, ask_size = self._engine.asks.best_visible()
        side = trade.order.side
        data = {
            "s": spec.symbol,
            "E": self._ids.trade_number(trade.trade) if spec.futures else self._engine.sequence,
            "b": text(bid, spec.price_scale),
            "B": text(bid_size, spec.size_scale),
            "a": text(ask, spec.price_scale),
            "A": text(ask_size, spec.size_scale),
            "l": text(self._history.last_price, spec.price_scale),
            "q": text(self._history.last_size, spec.size_scale),
            "S": side if spec.futures else side.upper(),
            "M": trade.now_ns - trade.now_ns % _MS,
        }
        self._outbox.put_uta(self._ticker, f"ticker.{self._kind}", data, trade.now_ns)


def depth_data(engine: Engine, depth: int, now_ns: int) -> dict[str, Any]:
    """Return the `d` of a snapshot of the best levels."""
    spec = engine.spec
    asks, bids = (
        [[text(price, spec.price_scale), text(size, spec.size_scale)] for price, size in side.visible(depth)]
        for side in (engine.asks, engine.bids)
    )
    sequence = engine.sequence
    return {"s": spec.symbol, "a": asks, "b": bids, "O": sequence, "C": sequence, "M": now_ns - now_ns % _MS}
