"""The trade history of a symbol: the last trade, candles of every length, and figures of the last hours.

Trades are added to the current minute. A finished minute is merged into the candle of each length that was asked for,
so the cost of a trade does not depend on the number of lengths. The history starts with an invented day. It uses whole
units and simulated seconds, and reads no clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal
from typing import NamedTuple

from .specs import Spec

__all__ = ["Bar", "History", "PublicCandle"]

_MINUTE_NS = 60_000_000_000
_DAY = 86_400
_KEPT = 35 * _DAY  # seconds
_PAST_BAR = 300

_SECONDS = {
    "1min": 60, "3min": 180, "5min": 300, "15min": 900, "30min": 1_800, "1hour": 3_600, "2hour": 7_200,
    "4hour": 14_400, "6hour": 21_600, "8hour": 28_800, "12hour": 43_200, "1day": _DAY, "1week": 7 * _DAY,
}  # fmt: skip

CANDLES = (*_SECONDS, "1month")


class Bar:
    """Prices and volume of a period that starts at `start` (seconds)."""

    __slots__ = ("close", "high", "low", "open", "start", "turnover", "volume")

    def __init__(self, start: int, price: int) -> None:
        self.start = start
        self.open = self.close = self.high = self.low = price
        self.volume = 0
        self.turnover = 0

    def __repr__(self) -> str:
        return f"Bar({self.start}: {self.open} {self.high} {self.low} {self.close}, {self.volume})"

    def copy(self, start: int) -> Bar:
        """Return a copy with another start."""
        twin = Bar(start, self.open)
        twin.merge(self)
        return twin

    def merge(self, later: Bar) -> None:
        """Add a later period."""
        self.close = later.close
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.volume += later.volume
        self.turnover += later.turnover


def span_start(length: str, second: int) -> int:
    """Return the second at which the candle that covers `second` starts."""
    seconds = _SECONDS.get(length)
    if seconds is not None:
        return second - second % seconds
    day = datetime.fromtimestamp(second, timezone.utc)
    return int(datetime(day.year, day.month, 1, tzinfo=timezone.utc).timestamp())


def span_end(length: str, start: int) -> int:
    """Return the second at which the candle ends that starts at `start`."""
    return start + _SECONDS[length] if length in _SECONDS else span_start(length, start + 32 * _DAY)


class PublicCandle(NamedTuple):
    """One candle as exact numbers; `start` is in seconds since 1970."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal


class History:
    """The condensed trades of one symbol. `last_price` and `last_size` are those of the last trade."""

    def __init__(self, spec: Spec, rng: random.Random, now_ns: int) -> None:
        self.last_price = spec.start_price
        self.last_size = max(1, spec.largest // 20)
        minute = now_ns // _MINUTE_NS * 60
        self._bars = deque(_invent_day(spec, rng, minute))  # the finished minutes
        self._candles: dict[str, Bar] = {}  # length -> candle of the last finished minute, once it was asked for
        self._windows: dict[int, Bar] = {}  # seconds -> sum of the finished bars, until the next minute
        self._bar = Bar(minute, self.last_price)
        self._minute_end_ns = (minute + 60) * 1_000_000_000

    def add(self, price: int, size: int, now_ns: int) -> None:
        """Add a trade."""
        if now_ns >= self._minute_end_ns:
            self.roll(now_ns)
        bar = self._bar
        if not bar.volume:
            bar.open = bar.high = bar.low = price  # not the price of the last trade before the minute
        elif price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        bar.close = price
        bar.volume += size
        bar.turnover += price * size
        self.last_price = price
        self.last_size = size

    def roll(self, now_ns: int) -> None:
        """Start a new minute if it is due; a minute without trades has no bar."""
        if now_ns < self._minute_end_ns:
            return
        if self._bar.volume:
            self._finish(self._bar)
        self._windows.clear()
        minute = now_ns // _MINUTE_NS * 60
        self._bar = Bar(minute, self.last_price)
        self._minute_end_ns = (minute + 60) * 1_000_000_000

    def candle(self, length: str, now_ns: int) -> Bar:
        """Return the candle of a length at this instant."""
        self.roll(now_ns)
        start = span_start(length, self._bar.start)
        running = self._candles.get(length)
        if running is None:
            running = self._candles[length] = self._merged(span_start(length, self._bars[-1].start))
        if running.start != start:
            return self._bar.copy(start)
        whole = running.copy(start)
        whole.merge(self._bar)
        return whole

    def candles(self, length: str, as_of_ns: int, trades: Iterable[tuple[int, int, int]]) -> list[Bar]:
        """Return the candles of a length up to an instant, oldest first, without those that no trade was in.

        `trades` are (time, price, size) of at least the minute that holds the instant, up to the instant.
        """
        minute = as_of_ns // _MINUTE_NS * 60
        bars = [bar for bar in self._bars if bar.start < minute]
        last: Bar | None = None
        for now_ns, price, size in trades:
            if now_ns // _MINUTE_NS * 60 == minute:
                trade = Bar(minute, price)
                trade.volume, trade.turnover = size, price * size
                if last is None:
                    last = trade
                else:
                    last.merge(trade)
        rows: list[Bar] = []
        for bar in bars if last is None else [*bars, last]:
            start = span_start(length, bar.start)
            if rows and rows[-1].start == start:
                rows[-1].merge(bar)
            else:
                rows.append(bar.copy(start))
        return rows

    def window(self, seconds: int, now_ns: int) -> Bar:
        """Return the figures of the last `seconds`, at most a day."""
        self.roll(now_ns)
        sums = self._windows.get(seconds)
        if sums is None:
            sums = self._windows[seconds] = self._merged(self._bar.start - seconds)
        whole = sums.copy(sums.start)
        whole.merge(self._bar)
        return whole

    def _merged(self, since: int) -> Bar:
        """Return the sum of the finished minutes since a second."""
        bars = [bar for bar in self._bars if bar.start >= since]
        if not bars:
            return Bar(since, self._bar.open)
        total = bars[0].copy(since)
        for bar in bars[1:]:
            total.merge(bar)
        return total

    def _finish(self, bar: Bar) -> None:
        self._bars.append(bar)
        while self._bars[0].start < bar.start - _KEPT:
            self._bars.popleft()
        for length, running in self._candles.items():
            start = span_start(length, bar.start)
            if running.start != start:
                self._candles[length] = bar.copy(start)
            else:
                running.merge(bar)


def _invent_day(spec: Spec, rng: random.Random, end: int) -> list[Bar]:
    """Return a day of invented bars, oldest first, that ends at the start price."""
    draw = rng.random
    swing = max(2.0, spec.start_price * 0.002)
    price = spec.start_price
    bars: list[Bar] = []
    for start in range(end - _PAST_BAR, end - _DAY - 1, -_PAST_BAR):
        bar = Bar(start, price)
        price = max(1, price + int((draw() - 0.5) * swing))
        bar.open = price
        bar.high = max(bar.open, bar.close) + int(draw() * swing / 4)
        bar.low = max(1, min(bar.open, bar.close) - int(draw() * swing / 4))
        bar.volume = int(spec.largest * (2 + 15 * draw()))
        bar.turnover = bar.volume * ((bar.open + bar.close) // 2)
        bars.append(bar)
    return bars[::-1]
