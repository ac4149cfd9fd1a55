"""Numbers of a book: parsing them from text, and arithmetic that never rounds.

A number is text of ASCII digits with at most one point and an exponent of up to three digits, in any spelling:
"1.50", "1.5", "15e-1" and ".15E1" are one number. White space and signs without effect ("-0", "+1") are ignored.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation

import msgspec

__all__ = ["EXACT", "DecodeErrors", "as_text", "as_time", "make_context", "parse", "parse_float"]


def make_context(digits: int) -> Context:
    """Return a context for results of so many digits, in which nothing is as `decimal.DefaultContext` has it."""
    traps = [DivisionByZero, InvalidOperation]
    return Context(digits, ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, capitals=1, clamp=0, flags=[], traps=traps)


#: A context that rounds no sum, difference or product, whatever the caller's own context is.
EXACT = make_context(MAX_PREC)

#: Return the float nearest to a number's text, several times as fast as `float`. It accepts JSON's spellings and values
#: within the range of floats only. Text that it refuses with `DecodeErrors` may still be a number for `parse`.
parse_float = msgspec.json.Decoder(float).decode

#: The errors of a decoder for malformed text; in some versions of msgspec its errors are ValueErrors.
DecodeErrors = (msgspec.MsgspecError, ValueError)

_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\s*", re.ASCII)


def parse(text: str) -> Decimal:
    """Return the exact number of a text, which must be at least 0.

    Raises ValueError for any other text, infinity and NaN included.

    >>> parse("0.10"), parse("1e2")
    (Decimal('0.10'), Decimal('1E+2'))
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:50]!r} is not a number")
    number = Decimal(text)
    if number < 0:
        raise ValueError(f"{text[:50]} is negative, which neither a price nor a size can be")
    return number.copy_abs()


def as_text(value: object) -> str:
    """Return the text of a number of any type; a float stands for the number that it prints.

    Raises ValueError for a value that can't be a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{value!r:.50} is not a number")


def as_time(value: object) -> int:
    """Return the whole number of an instant, as text or as a number; 0 if it can't be read."""
    try:
        return int(as_text(value))
    except ValueError:
        return 0
