"""Candles as blocks of text, with a price axis, a time axis, volumes, and a line at the last price."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from . import figures
from .layout import Glyphs, Line, Span, Style, crop, line

__all__ = ["Bar", "chart"]

_COLUMNS = 2
"""Columns that a candle takes: one for its body and an empty one."""
_BELOW = 3
"""Lines below the candles: the times, an empty one, the figures of the last candle."""
_WITH_VOLUME = 14
"""Lines from which on there is room for the volumes."""
_LABEL_EVERY = 2
"""Lines from one price of the axis to the next, at least."""
_ROUND = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_ROUND_SECONDS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_592_000, 7_776_000, 31_536_000,
)  # fmt: skip
_SPARKS = "▁▂▃▄▅▆▇█"


@dataclass
class Bar:
    """A candle: its prices, its volume, and its start in nanoseconds since 1970."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def add(self, price: Decimal, size: Decimal) -> None:
        """Add a trade to the candle."""
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.close = price
        self.volume += size

    @property
    def style(self) -> Style:
        """The style of a candle that rose or fell."""
        return "up" if self.close >= self.open else "down"


class _Scale:
    """The rows of a chart and their prices.

    Attributes:
        labels: the round prices of the axis, by row.
    """

    def __init__(self, low: Decimal, high: Decimal, rows: int, digits: int) -> None:
        self._rows, self._high = rows, high
        self._step = (high - low) / (rows - 1) if rows > 1 and high > low else Decimal(0)
        self.labels: dict[int, str] = {}
        if not self._step:
            self.labels[self.row_of(high)] = figures.fixed(high, digits)
            return
        step = _round_up(self._step * _LABEL_EVERY)
        digits = max(digits if step < 1 else 0, figures.decimals(step.normalize()))
        price = (low / step).to_integral_value(ROUND_CEILING) * step
        while price <= high:
            self.labels[self.row_of(price)] = f"{price:.{digits}f}"
            price += step

    def row_of(self, price: Decimal) -> int:
        """Return the row of a price, counted from the top and limited to the rows of the chart."""
        if not self._step:
            return self._rows // 2
        return min(max(0, round((self._high - price) / self._step)), self._rows - 1)


def chart(bars: Sequence[Bar], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Draw the latest candles that fit: filled ones rose, shaded ones fell."""
    if not bars:
        return [crop(line(Span("No trade yet.", "dim")), width)]
    digits = max(figures.decimals(bar.close) for bar in bars)  # KuCoin omits trailing zeros
    below = min(5, height // 6) if height >= _WITH_VOLUME else 0
    rows = max(1, height - _BELOW - below)
    label = max(len(figures.fixed(price, digits)) for bar in bars for price in (bar.low, bar.high))
    shown = list(bars)[-max(1, (width - label - 3) // _COLUMNS) :]
    scale = _Scale(min(bar.low for bar in shown), max(bar.high for bar in shown), rows, digits)
    last = shown[-1]
    at_last = scale.row_of(last.close)
    # The line at the last price goes on behind the candles.
    lines = []
    for row, cells in enumerate(_candles(shown, scale, rows, at_last, glyphs)):
        axis = Span(f"{scale.labels.get(row, ''):>{label}} {glyphs.wick}", "dim")
        if row == at_last:
            axis = Span(f"{figures.fixed(last.close, digits):>{label}} {glyphs.wick}", last.style)
        lines.append(crop((axis, *cells), width))
    lines += [crop(each, width) for each in _volumes(shown, below, label, glyphs)]
    lines.append(crop(line(Span(" " * (label + 2)), Span(_times(shown, glyphs), "dim")), width))
    lines.append(())
    lines.append(_figures(last, digits, width))
    return lines


def _candles(shown: Sequence[Bar], scale: _Scale, rows: int, at_last: int, glyphs: Glyphs) -> list[list[Span]]:
    """Return the spans of each row: for each candle the space before it, and a piece of it."""
    pictured = [[Span("")] * (len(shown) * _COLUMNS) for _ in range(rows)]
    for row, cells in enumerate(pictured):
        cells[:] = [Span(glyphs.rule if row == at_last else " ", "dim")] * len(cells)
    for place, bar in enumerate(shown):
        column = place * _COLUMNS + 1
        for row in range(scale.row_of(bar.high), scale.row_of(bar.low) + 1):
            pictured[row][column] = Span(glyphs.wick, bar.style)
        top, bottom = sorted((scale.row_of(bar.open), scale.row_of(bar.close)))
        for row in range(top, bottom + 1):
            pictured[row][column] = Span(glyphs.full if bar.style == "up" else glyphs.shade, bar.style)
    return pictured


def _volumes(shown: Sequence[Bar], rows: int, label: int, glyphs: Glyphs) -> list[Line]:
    """Return bars for the volumes, in as many lines; the first line names the largest one."""
    most = max(bar.volume for bar in shown)
    parts = _SPARKS if glyphs.parts else glyphs.full
    lines: list[Line] = []
    for row in range(rows):
        name = figures.short(most) if row == 0 else ""
        spans = [Span(f"{name[:label]:>{label}} {glyphs.wick}", "dim")]
        for bar in shown:
            filled = math.ceil(bar.volume / most * rows * len(parts)) if most > 0 else 0
            here = min(len(parts), max(0, filled - (rows - 1 - row) * len(parts)))
            spans += [Span(" "), Span(parts[here - 1] if here else " ", bar.style)]
        lines.append(tuple(spans))
    return lines


def _times(shown: Sequence[Bar], glyphs: Glyphs) -> str:
    """Return the time axis: a mark at the first candle of each round span of time, with the time at which it began."""
    moments = [datetime.fromtimestamp(bar.start_ns / 1e9).astimezone() for bar in shown]
    seconds = [int(moment.timestamp() + (moment.utcoffset() or moment - moment).total_seconds()) for moment in moments]
    gap = min((later - before for before, later in itertools.pairwise(seconds) if later > before), default=60)
    for step in _ROUND_SECONDS:
        form = "%d %b" if step >= 86_400 else "%H:%M" if step >= 60 else "%H:%M:%S"
        if step >= gap and step // gap * _COLUMNS >= len(moments[0].strftime(form)) + 3:
            break
    text = ""
    for place, second in enumerate(seconds):
        starts = second % step == 0 if place == 0 else second // step != seconds[place - 1] // step
        if starts and place * _COLUMNS + 1 >= len(text):
            began = datetime.fromtimestamp(moments[place].timestamp() - second % step)
            text = f"{text:<{place * _COLUMNS + 1}}{glyphs.wick}{began:{form}} "
    return text.rstrip() or f" {glyphs.wick}{moments[0]:{form}}"


def _figures(last: Bar, digits: int, width: int) -> Line:
    """Return the figures of the last candle, or the most important ones where there is no room for all."""
    rose = last.close - last.open
    close = ("close ", figures.signed(f"{figures.fixed(last.close, digits)} ({rose:+f})", rose))
    volume = ("  volume ", figures.short(last.volume))
    opened = ("open ", figures.fixed(last.open, digits), "  high ", figures.fixed(last.high, digits),
              "  low ", figures.fixed(last.low, digits), "  ")  # fmt: skip
    whole = line(*opened, *close, *volume)
    return whole if sum(len(span.text) for span in whole) <= width else crop(line(*close, *volume), width)


def _round_up(step: Decimal) -> Decimal:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `step`."""
    power = Decimal(1).scaleb(step.adjusted())
    return next(factor * power for factor in _ROUND if factor * power >= step)
