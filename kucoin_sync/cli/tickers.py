"""The live table of tickers: a row for each symbol."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from .. import Message, Subscription
from ..payloads import FuturesSnapshot, FuturesTickerV2, Snapshot, Ticker, UtaTicker
from ..topics import grammar
from . import figures
from .layout import Column, Glyphs, Line, Span, columns, line
from .live import View
from .rates import Rate

__all__ = ["Tickers"]

_TREND = 20
_TREND_EVERY = 0.5

_COLUMNS = (
    Column("symbol", right=False),
    Column("price"),
    Column("24 h", least=8),
    Column("bid"),
    Column("ask"),
    Column("spread", rank=1),
    Column("msg/s", rank=3, least=6),
    Column("age", rank=2, least=6),
    Column("trend", rank=4, least=_TREND, right=False),
    Column("high 24 h", rank=6),
    Column("low 24 h", rank=7),
    Column("volume 24 h", rank=5),
)
_SPARKS = "▁▂▃▄▅▆▇█"


class _Row:
    """The latest numbers of one symbol."""

    def __init__(self, symbol: str, now: float) -> None:
        self.symbol = symbol
        self.price: Decimal | None = None
        self.before: Decimal | None = None  # the last different price
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.change: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.volume: Decimal | None = None
        self.digits = 0  # decimals of its prices; KuCoin omits trailing zeros
        self.seen: float | None = None
        self.rate = Rate(now)
        self.trend: deque[Decimal] = deque(maxlen=_TREND)
        self._trend_at = 0.0

    def note(self, message: Message, now: float) -> None:
        """Update the numbers from a message."""
        self.seen = now
        self.rate.add(1 + message.lost, now)
        data = message.payload
        if isinstance(data, Ticker | FuturesTickerV2 | UtaTicker):
            self.bid, self.ask = figures.real(data.best_bid), figures.real(data.best_ask)
            if not isinstance(data, FuturesTickerV2):
                self._trade(data.price)
        elif isinstance(data, Snapshot):
            day = data.data
            self._day(day.change_rate, day.high, day.low, day.volume)
        elif isinstance(data, FuturesSnapshot):
            self._trade(data.last_price)
            self._day(data.price_chg_pct, data.high_price, data.low_price, data.volume)
        self.digits = max(self.digits, *map(figures.decimals, (self.price, self.bid, self.ask)))

    def _day(self, *figures_of_it: Decimal | None) -> None:
        self.change, self.high, self.low, self.volume = map(figures.real, figures_of_it)

    def _trade(self, price: Decimal | None) -> None:
        price = figures.real(price)
        if None not in (self.price, price) and price != self.price:
            self.before = self.price
        self.price = price

    def sample(self, now: float) -> None:
        """Add the current price to the trend, at intervals."""
        if self.price is not None and now >= self._trend_at:
            self._trend_at = now + _TREND_EVERY
            self.trend.append(self.price)

    def cells(self, now: float, glyphs: Glyphs) -> list[Span]:
        """Return the row of the table."""
        spread = None if self.bid is None or self.ask is None else self.ask - self.bid
        moved = self.price - self.before if self.price is not None and self.before is not None else Decimal(0)
        price, bid, ask, spread_text, high, low = (
            figures.fixed(value, self.digits) for value in (self.price, self.bid, self.ask, spread, self.high, self.low)
        )
        old = self.seen is not None and now - self.seen > 10
        return [
            Span(self.symbol, "bold"),
            figures.signed(f"{figures.move(moved, glyphs)} {price}", moved),
            figures.percent(self.change),
            Span(bid),
            Span(ask),
            Span(spread_text),
            Span(figures.rate(self.rate.per_second(now))),
            Span(figures.age(None if self.seen is None else now - self.seen), "warn" if old else ""),
            Span(_sparks(self.trend) if len(glyphs.parts) else ""),
            Span(high),
            Span(low),
            Span(figures.short(self.volume)),
        ]


class Tickers(View):
    """A live table of symbols, from a subscription that keeps the latest message of each topic."""

    def __init__(self, subscription: Subscription, symbols: Sequence[str], glyphs: Glyphs) -> None:
        now = time.monotonic()
        self.title = "Tickers"
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

    def draw(self, width: int, height: int) -> list[Line]:
        now = time.monotonic()
        rows = [row.cells(now, self._glyphs) for row in self._rows.values()]
        if len(rows) + 1 <= height:
            return columns(_COLUMNS, rows, width)
        hidden = len(rows) - max(0, height - 2)
        return [
            *columns(_COLUMNS, rows[: max(0, height - 2)], width),
            line(Span(f"and {hidden} more that do not fit into this window", "dim")),
        ]


def _sparks(values: Sequence[Decimal]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return _SPARKS[3] * len(values)
    steps = len(_SPARKS) - 1
    return "".join(_SPARKS[int((value - low) / (high - low) * steps)] for value in values)
