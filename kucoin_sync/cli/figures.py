"""Format numbers for display: short, and never in scientific notation."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

from .layout import Glyphs, Span, Style

__all__ = [
    "age",
    "amount",
    "clock",
    "counted",
    "decimals",
    "fixed",
    "move",
    "percent",
    "plain",
    "rate",
    "real",
    "short",
    "signed",
]


def counted(count: int, what: str) -> str:
    """Return a count of things, such as "1 message" or "2,000 messages"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def plain(value: Decimal | None) -> str:
    """Return a number with all its digits."""
    return "-" if value is None else f"{value:f}"


def fixed(value: Decimal | None, digits: int) -> str:
    """Return a number with at least this many decimals, and all of its own."""
    return "-" if value is None else f"{value:.{max(digits, decimals(value))}f}"


def decimals(value: Decimal | None) -> int:
    """Return how many decimals a number has."""
    exponent = 0 if value is None else value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def real(value: Decimal | None) -> Decimal | None:
    """Return a finite number, or None if the value is missing or not finite."""
    return value if value is not None and value.is_finite() else None


def amount(value: Decimal | None) -> Decimal:
    """Return a finite number, or 0 if the value is missing or not finite."""
    return real(value) or Decimal(0)


def short(value: Decimal | float | None, digits: int = 4) -> str:
    """Return about `digits` digits of a number, with k, M or G for a large one."""
    if value is None:
        return "-"
    number = float(value)
    if not math.isfinite(number):
        return str(value)[:digits]
    size = abs(number)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{number / (1e3 if unit == 'k' else limit):.2f}{unit}"
    if not size:
        return "0"
    before = math.floor(math.log10(size)) + 1  # digits before the point; negative for zeros that follow it
    return f"{number:.{min(8, max(0, digits - before))}f}"


def percent(share: Decimal | None) -> Span:
    """Return a change as a signed percentage, coloured by its sign."""
    if share is None:
        return Span("-", "dim")
    return signed(f"{share * 100:+.2f} %", share)


def signed(text: str, value: Decimal | float, otherwise: Style = "") -> Span:
    """Return text in the style of a number's sign."""
    return Span(text, "up" if value > 0 else "down" if value < 0 else otherwise)


def move(change: Decimal | int, glyphs: Glyphs) -> str:
    """Return a mark for a change upwards or downwards."""
    return glyphs.up if change > 0 else glyphs.down if change < 0 else " "


def rate(per_second: float) -> str:
    """Return a rate per second, with a decimal if it is below 10."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"


def age(seconds: float | None) -> str:
    """Return an age in seconds, minutes or hours."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def clock(time_ns: int, digits: int = 3) -> str:
    """Return the time of day of an instant, in this machine's time zone."""
    text = datetime.fromtimestamp(time_ns / 1e9).strftime("%H:%M:%S.%f")
    return text[: 9 + digits] if digits else text[:8]
