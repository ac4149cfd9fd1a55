"""Which tests run by default. The others have the marker `long`; `tests/README.md` says how to run them."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

__all__ = ["THOROUGH", "examples", "first", "sample_of_rows", "spread"]

#: Whether walks visit each place and property tests try all their examples. By default they do a part of that.
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


def sample_of_rows(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """Return the tests to run: of the `long` rows of one test a quarter, at least two; all of them in a thorough run.

    The same rows are chosen in each run. They are a random sample, as each fourth row could miss all rows of one kind.
    """
    kept, rows = set(items), defaultdict(list)
    for item in items:
        if item.get_closest_marker("long") is not None:
            rows[item.nodeid.partition("[")[0]].append(item)
    for name, of_test in rows.items():
        if not THOROUGH:
            of_test.sort(key=lambda item: item.nodeid)
            kept.difference_update(of_test)
            kept.update(random.Random(name).sample(of_test, min(len(of_test), max(2, len(of_test) // 4))))
    return kept
