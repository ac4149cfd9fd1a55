"""Tests of numbers on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from kucoin_sync.cli.numbers import duration, positive_duration, positive_float, positive_int


def test_numbers_are_read() -> None:
    assert (positive_int("3"), positive_float("0.5"), duration("2m"), positive_duration("1h")) == (3, 0.5, 120, 3600)


@pytest.mark.parametrize(
    ("read", "text", "why"),
    [
        (positive_int, "x", "'x' is not a whole number"),
        (positive_int, "0", "at least 1"),
        (positive_float, "1m", "'1m' is not a number"),
        (positive_float, "nan", "must be positive"),
        (duration, "1w", "not a time such as 30m"),
        (positive_duration, "0s", "more than 0 seconds"),
    ],
)
def test_other_texts_are_refused_with_a_reason(read: Callable[[str], float], text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=why):
        read(text)
