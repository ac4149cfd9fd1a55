"""Which tests run by default. The others have the marker `long`; `tests/README.md` says how to run them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["THOROUGH", "examples", "first", "spread"]

#: Whether walks visit each place and property tests try all their examples. By default they do a quarter of that.
THOROUGH = bool(os.environ.get("KUCOIN_SYNC_THOROUGH_TESTS"))


def spread(values: Iterable[Any], every: int = 2, start: int = 0) -> list[Any]:
    """Return the values of a parameter; by default a test runs with each `every`-th of them, from number `start` on."""
    return [value if place % every == start else _long(value) for place, value in enumerate(values)]


def first(value: Any, *others: Any) -> list[Any]:
    """Return the values of a parameter; by default a test runs with the first of them."""
    return [value, *map(_long, others)]


def _long(value: Any) -> Any:
    return (
        pytest.param(*value, marks=pytest.mark.long)
        if type(value) is tuple
        else pytest.param(value, marks=pytest.mark.long)
    )


def examples(number: int) -> int:
    """Return how many examples a property test tries: `number` in a thorough run, by default a quarter of it."""
    return number if THOROUGH else max(10, number // 4)
