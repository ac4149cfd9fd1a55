"""Numbers of a book: all spellings are accepted, other text is refused, and nothing is rounded."""

from __future__ import annotations

import doctest
from decimal import ROUND_UP, Decimal, DefaultContext, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_sync.books import numbers
from kucoin_sync.books.numbers import EXACT, DecodeErrors, as_text, make_context, parse, parse_float

NONSENSE = [
    "",
    " ",
    ".",
    "-",
    "e5",
    "1_0",
    "1,5",
    "0x10",
    "nan",
    "inf",
    "-inf",
    "Infinity",
    "1e1000",
    "1.2.3",
    "\u0661",
    "1\u2003",
    "--1",
]


def test_the_examples_of_the_docstrings_are_right() -> None:
    assert doctest.testmod(numbers).attempted
    assert not doctest.testmod(numbers).failed


@pytest.mark.parametrize("text", ["1.50", "1.5", "15e-1", ".15E1", "+1.5", "01.5", " 1.5\n", "0.0015e+3", "15E-01"])
def test_all_spellings_of_a_number_are_equal(text: str) -> None:
    assert parse(text) == Decimal("1.5")


@pytest.mark.parametrize("text", ["0", "-0", "0.00000000", "0e7", ".0", "0.", "-0.0e-3"])
def test_zero_is_zero_in_any_spelling_and_without_a_sign(text: str) -> None:
    assert parse(text) == 0
    assert not parse(text).is_signed()


@pytest.mark.parametrize("text", NONSENSE)
def test_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse(text)


@pytest.mark.parametrize("text", ["-1", "-0.00000001", "-1e-999"])
def test_negative_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is negative"):
        parse(text)


def test_an_error_quotes_only_the_beginning_of_the_data() -> None:
    with pytest.raises(ValueError) as caught:
        parse("x" * 10_000)
    assert len(str(caught.value)) < 100


def test_parsing_and_sums_do_not_depend_on_the_callers_precision() -> None:
    digits = "0.1234567890123456789012345678901234567890"
    with localcontext() as context:
        context.prec = 3
        assert parse(digits) == Decimal(digits)
        assert str(EXACT.add(parse("1e40"), parse("1e-40"))) == "1" + "0" * 40 + "." + "0" * 39 + "1"


def test_a_context_takes_nothing_from_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultContext, "rounding", ROUND_UP)
    monkeypatch.setattr(DefaultContext, "Emax", 1)
    monkeypatch.setitem(DefaultContext.traps, Inexact, True)
    assert make_context(3).divide(Decimal(1000), Decimal(3)) == 333


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.50", "1.50"), (b"1.50", "1.50"), (3, "3"), (0.1, "0.1"), (1e-7, "1e-07"), (Decimal("2.0"), "2.0"), ("", "")],
)
def test_numbers_of_all_types_have_a_text(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [None, True, [], {}, (1,)])
def test_values_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        as_text(value)


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False))
def test_parse_float_returns_the_nearest_float(number: Decimal) -> None:
    assert parse_float(f"{number:f}") == float(number)


@pytest.mark.parametrize("text", [*NONSENSE, "+1", ".5", "5.", "01"])
def test_parse_float_refuses_spellings_that_json_does_not_have(text: str) -> None:
    with pytest.raises(DecodeErrors):
        parse_float(text)
