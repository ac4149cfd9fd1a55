"""Candles as blocks of text, on a price axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from . import figures
from .layout import Glyphs, Line, Span, Style, crop, line

__all__ = ["Bar", "chart"]

_COLUMNS = 2
"""Columns that a candle takes: one for its body and an empty one."""


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


def chart(bars: Sequence[Bar], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Draw the latest candles that fit: filled ones rose, shaded ones fell."""
    digits = max((figures.decimals(bar.close) for bar in bars[-1:]), default=0)
    rows = max(1, height - 3)
    low, high = min((bar.low for bar in bars), default=Decimal(0)), max((bar.high for bar in bars), default=Decimal(0))
    label = max(len(figures.fixed(price, digits)) for price in (low, high)) if bars else 0
    shown = list(bars)[-max(1, (width - label - 3) // _COLUMNS) :]
    if not shown:
        return [crop(line(Span("No trade yet.", "dim")), width)]
    low, high = min(bar.low for bar in shown), max(bar.high for bar in shown)
    step = (high - low) / (rows - 1) if rows > 1 and high > low else Decimal(0)

    def row_of(price: Decimal) -> int:
        """Return the row of a price, counted from the top and limited to the rows of the chart."""
        return rows // 2 if not step else min(max(0, round((high - price) / step)), rows - 1)

    pictured = [[Span(" ")] * len(shown) for _ in range(rows)]
    for place, bar in enumerate(shown):
        style: Style = "up" if bar.close >= bar.open else "down"
        body = glyphs.full if bar.close >= bar.open else glyphs.shade
        for row in range(row_of(bar.high), row_of(bar.low) + 1):
            pictured[row][place] = Span(glyphs.wick, style)
        top, bottom = sorted((row_of(bar.open), row_of(bar.close)))
        for row in range(top, bottom + 1):
            pictured[row][place] = Span(body, style)
    lines = []
    for row, cells in enumerate(pictured):
        marked = row % 4 == 0 or row == rows - 1
        price = f"{high - step * row:.{digits}f}" if marked else ""
        spans = [Span(f"{price:>{label}} {glyphs.wick}", "dim")]
        for cell in cells:
            spans += [Span(" "), cell]
        lines.append(crop(tuple(spans), width))
    last = shown[-1]
    rose = last.close - last.open
    lines.append(crop(line(Span(" " * (label + 2)), *_times(shown, glyphs)), width))
    lines.append(())
    lines.append(
        crop(
            line(
                "open ", figures.fixed(last.open, digits), "  high ", figures.fixed(last.high, digits),
                "  low ", figures.fixed(last.low, digits), "  close ",
                figures.signed(f"{figures.fixed(last.close, digits)} ({rose:+f})", rose),
                "  volume ", figures.short(last.volume),
            ),
            width,
        )
    )  # fmt: skip
    return lines


def _times(shown: Sequence[Bar], glyphs: Glyphs) -> list[Span]:
    """Return the time axis, which shows the start of every eighth candle."""
    text = ""
    long = len(shown) > 1 and shown[1].start_ns - shown[0].start_ns >= 3600 * 10**9 * 12
    for place, bar in enumerate(shown):
        if place % 8 == 0:
            moment = datetime.fromtimestamp(bar.start_ns / 1e9)
            text = (
                text.ljust(place * _COLUMNS)
                + f" {glyphs.wick}"
                + moment.strftime("%d %b %H:%M" if long else "%H:%M:%S")
            )
    return [Span(text, "dim")]
