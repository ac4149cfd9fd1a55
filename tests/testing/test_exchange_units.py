"""Amounts keep their exact value through every spelling."""

import decimal
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_sync.testing.exchange.units import exact, number, padded, parse, text


@pytest.mark.parametrize(
    ("units", "scale", "spelling"),
    [
        (679970, 1, "67997"),
        (679971, 1, "67997.1"),
        (-5005, 4, "-0.5005"),
        (0, 8, "0"),
        (1, 8, "0.00000001"),
        (14000, 8, "0.00014"),
        (300, 0, "300"),
    ],
)
def test_text_is_plain_digits_without_trailing_zeros(units: int, scale: int, spelling: str) -> None:
    assert text(units, scale) == spelling


@pytest.mark.parametrize(
    ("units", "scale", "spelling"),
    [(4, 0, "4.00000000000000000000"), (83, 3, "0.08300000000000000000"), (0, 8, "0.00000000000000000000")],
)
def test_padded_has_twenty_decimals(units: int, scale: int, spelling: str) -> None:
    assert padded(units, scale) == spelling


@given(units=st.integers(-(10**24), 10**24), scale=st.integers(0, 18))
def test_every_spelling_reads_back_as_the_same_amount(units: int, scale: int) -> None:
    assert parse(text(units, scale), scale) == units
    assert exact(units, scale) == Decimal(f"{units}E-{scale}")
    assert number(units, scale) == float(Decimal(f"{units}E-{scale}"))


def test_a_narrow_decimal_context_of_the_caller_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        assert str(exact(1234567891, 4)) == "123456.7891"
        assert parse("123456.7891", 4) == 1234567891


@pytest.mark.parametrize("value", [Decimal("0.50"), "0.5", 0.5, "5e-1"])
def test_parse_takes_any_kind_of_number(value: "Decimal | str | float") -> None:
    assert parse(value, 3) == 500


@pytest.mark.parametrize("value", ["0.05", "nan", "inf", "abc", ""])
def test_parse_refuses_what_is_no_multiple_of_the_unit(value: str) -> None:
    with pytest.raises(ValueError, match=r"increment|number"):
        parse(value, 1)
