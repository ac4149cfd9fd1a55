"""Numbers and durations on the command line."""

from __future__ import annotations

import argparse
import re

__all__ = ["duration", "positive_duration", "positive_float", "positive_int"]

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def positive_int(text: str) -> int:
    """Return a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def positive_float(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not value > 0:
        raise argparse.ArgumentTypeError("must be positive")
    return value


def duration(text: str) -> float:
    """Return the seconds in a text such as "90s", "30m", "1h"; a number alone is in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhd]?)", text.lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def positive_duration(text: str) -> float:
    """Return the seconds in a duration above 0."""
    seconds = duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return seconds
