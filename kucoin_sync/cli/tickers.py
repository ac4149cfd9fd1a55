"""The live table of tickers: a row for each symbol."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from .. import Message, Subscription
from ..payloads import FuturesSnapshot, FuturesTickerV2, Snapshot, Ticker, UtaTicker
from ..topics import grammar
from . import figures
from .changes import RecentChanges
from .layout import Column, Glyphs, Line, Span, columns, line, text_of
from .live import View
from .rates import Rate

__all__ = ["Tickers"]

_TREND = 20
"""Columns of the trend where there is no more room for it."""
_KEPT = 300
_TREND_EVERY = 0.5

_COLUMNS = (
    Column("symbol", right=False),
    Column("price", rank=1),
    Column("24 h", rank=2, least=8),
    Column("bid"),
    Column("ask"),
    Column("spread", rank=3),
    Column("msg/s", rank=5, least=6),
    Column("age", rank=4, least=6),
    Column("trend", rank=6, least=_TREND, right=False),
    Column("high 24 h", rank=8),
    Column("low 24 h", rank=9),
    Column("volume 24 h", rank=7),
)
_TREND_AT = next(place for place, column in enumerate(_COLUMNS) if column.title == "trend")
_SPARKS = "▁▂▃▄▅▆▇█"


class _Row:
    """The latest numbers of one symbol."""

    def __init__(self, symbol: str, now: float) -> None:
        self.symbol = symbol
        self.price: Decimal | None = None
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.change: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume: Decimal | None = None
        self.digits = 0  # decimals of its prices; KuCoin omits trailing zeros
        self.seen: float | None = None
        self.rate = Rate(now)
        self.changes = RecentChanges()
        self.trend: deque[Decimal] = deque(maxlen=_KEPT)
        self._trend_at = 0.0

    def note(self, message: Message, now: float) -> None:
        """Update the numbers from a message."""
        self.seen = now
        self.rate.add(1 + message.lost, now)
        data = message.payload
        if isinstance(data, Ticker | FuturesTickerV2 | UtaTicker):
            self.bid, self.ask = figures.real(data.best_bid), figures.real(data.best_ask)
            if not isinstance(data, FuturesTickerV2):
                self.price = figures.real(data.price)
        elif isinstance(data, Snapshot):
            day = data.data
            self._day(day.change_rate, day.high, day.low, day.volume)
        elif isinstance(data, FuturesSnapshot):
            self.price = figures.real(data.last_price)
            self._day(data.price_chg_pct, data.high_price, data.low_price, data.volume)
        for name, value in (("price", self.price), ("bid", self.bid), ("ask", self.ask)):
            self.changes.note(name, value, now)
        self.digits = max(self.digits, *map(figures.decimals, (self.price, self.bid, self.ask)))

    def _day(self, *figures_of_it: Decimal | None) -> None:
        self.change, self.high, self.low, self.volume = map(figures.real, figures_of_it)

    def sample(self, now: float) -> None:
        """Add the current price to the trend, at intervals."""
        if self.price is not None and now >= self._trend_at:
            self._trend_at = now + _TREND_EVERY
            self.trend.append(self.price)

    def cells(self, now: float, glyphs: Glyphs, trend: int) -> list[Span]:
        """Return the row of the table, with a trend of so many columns. What has just changed is marked."""
        spread = None if self.bid is None or self.ask is None else self.ask - self.bid
        moved = self.changes.direction("price", now)
        price, bid, ask, spread_text, high, low = (
            figures.fixed(value, self.digits) for value in (self.price, self.bid, self.ask, spread, self.high, self.low)
        )
        old = self.seen is not None and now - self.seen > 10
        return [
            Span(self.symbol, "bold"),
            figures.signed(f"{figures.move(moved, glyphs)} {price}", moved),
            figures.percent(self.change),
            Span(bid, "bold" if self.changes.direction("bid", now) else ""),
            Span(ask, "bold" if self.changes.direction("ask", now) else ""),
            Span(spread_text),
            Span(figures.rate(self.rate.per_second(now))),
            Span(figures.age(None if self.seen is None else now - self.seen), "warn" if old else ""),
            Span(_sparks([*self.trend][-trend:]) if len(glyphs.parts) else ""),
            Span(high),
            Span(low),
            Span(figures.short(self.volume)),
        ]


_ORDERS: tuple[tuple[str, Callable[[_Row, float], Decimal | float | None] | None], ...] = (
    ("", None),  # as they were named
    ("change in 24 h", lambda row, _: row.change),
    ("messages per second", lambda row, now: row.rate.per_second(now)),
    ("volume", lambda row, _: row.volume),
)


class Tickers(View):
    """A live table of symbols, from a subscription that keeps the latest message of each topic."""

    keys = "s sorts"

    def __init__(self, subscription: Subscription, symbols: Sequence[str], glyphs: Glyphs) -> None:
        now = time.monotonic()
        self.title = "Tickers"
        self.bindings = {"s": self.sort}
        self._sorted = 0
        self._subscription = subscription
        self._rows = {symbol: _Row(symbol, now) for symbol in symbols}
        self._glyphs = glyphs

    def update(self) -> None:
        now = time.monotonic()
        for message in self.messages(self._subscription):
            self.seen += 1 + message.lost
            row = self._rows.get(grammar.argument_of(message.topic or ""))
            if row is not None:
                row.note(message, now)
        for row in self._rows.values():
            row.sample(now)

    def sort(self) -> None:
        """Change to the next order."""
        self._sorted = (self._sorted + 1) % len(_ORDERS)
        name, _ = _ORDERS[self._sorted]
        self.title = f"Tickers, by {name}" if name else "Tickers"

    def draw(self, width: int, height: int) -> list[Line]:
        now = time.monotonic()
        _, value = _ORDERS[self._sorted]
        rows = [*self._rows.values()]
        if value is not None:  # the greatest first, and what is unknown last
            rows.sort(key=lambda row: -math.inf if (of := value(row, now)) is None else float(of), reverse=True)
        hidden = len(rows) - max(0, height - 2) if len(rows) + 1 > height else 0
        rows = rows[: len(rows) - hidden]
        table = self._table(rows, now, width, _TREND)
        spare = width - max(map(len, map(text_of, table)))
        if spare > 0:
            table = self._table(rows, now, width, _TREND + spare)
        more = f"and {hidden} more that do not fit into this window"
        return [*table, line(Span(more, "dim"))] if hidden else table

    def _table(self, rows: Sequence[_Row], now: float, width: int, trend: int) -> list[Line]:
        heads = [*_COLUMNS]
        heads[_TREND_AT] = replace(heads[_TREND_AT], least=trend)
        return columns(heads, [row.cells(now, self._glyphs, trend) for row in rows], width)


def _sparks(values: Sequence[Decimal]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return _SPARKS[3] * len(values)
    steps = len(_SPARKS) - 1
    return "".join(_SPARKS[int((value - low) / (high - low) * steps)] for value in values)
