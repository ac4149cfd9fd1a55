"""Exact amounts as whole numbers of the smallest unit, and their conversions.

The engine and the ledgers use integers only, because integers are exact, fast and the same on every machine. This
module converts them to text, `Decimal` and JSON numbers, and parses amounts of users. It never rounds: an amount finer
than its unit is refused.
"""

from __future__ import annotations

import functools
from decimal import Decimal, InvalidOperation

from ...books.numbers import make_context

__all__ = ["Amount", "exact", "number", "padded", "parse", "text"]

Amount = Decimal | str | int | float
"""The types of prices and sizes in arguments; a float stands for the number that it prints."""

# The caller's own decimal context may be narrower than the amounts here.
_CONTEXT = make_context(60)

_V1_DECIMALS = 20


@functools.lru_cache(maxsize=8192)  # prices and sizes come again and again
def text(units: int, scale: int) -> str:
    """Format `units` of ten to the minus `scale` as KuCoin does: plain digits, no trailing zeros.

    >>> text(679970, 1), text(-5005, 4), text(0, 8)
    ('67997', '-0.5005', '0')
    """
    if units < 0:
        return "-" + text(-units, scale)
    if not scale:
        return str(units)
    whole, rest = divmod(units, 10**scale)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{scale}d}".rstrip("0")


def padded(units: int, scale: int) -> str:
    """Format an amount with the twenty decimals of the first level 3 feed.

    >>> padded(4, 0), padded(83, 3)
    ('4.00000000000000000000', '0.08300000000000000000')
    """
    whole, rest = divmod(units, 10**scale)
    decimals = f"{rest:0{scale}d}" if scale else ""
    return f"{whole}.{decimals:0<{_V1_DECIMALS}}"


@functools.lru_cache(maxsize=8192)  # prices and sizes come again and again
def exact(units: int, scale: int) -> Decimal:
    """Return an amount as an exact `Decimal`; the current decimal context has no effect."""
    return Decimal(text(units, scale))


def number(units: int, scale: int) -> float:
    """Return the float nearest to an amount, for the feeds that carry JSON numbers."""
    return float(units / 10**scale)


def parse(value: Amount, scale: int) -> int:
    """Parse an amount; raise ValueError if it is not finite or finer than one unit.

    >>> parse("0.5", 8)
    50000000
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not amount.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    units = _CONTEXT.scaleb(amount, scale)
    if units != int(units):
        raise ValueError(f"{value} is finer than the increment, which is {text(1, scale)}")
    return int(units)
