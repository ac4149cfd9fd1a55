"""Lines, tables and bars: nothing is wider than it may be, and nothing from a server moves its neighbours."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kucoin_sync.cli import figures
from kucoin_sync.cli.layout import (
    ASCII,
    UNICODE,
    Column,
    Span,
    bar,
    columns,
    crop,
    ends,
    line,
    printable,
    text_of,
    wrapped,
)


@given(st.text(), st.integers(0, 60))
def test_a_line_is_cropped_to_a_width(text: str, width: int) -> None:
    cropped = text_of(crop(line("ab", Span(text, "bold")), width, "~"))
    assert len(cropped) <= width
    if len(text) + 2 <= width:
        assert cropped == f"ab{text}"
    elif width:
        assert cropped.endswith("~")


@given(st.text())
def test_what_is_printable_takes_one_cell_for_each_character(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u4ef7", "e\u0301", "\u202e"])
def test_what_would_move_the_cursor_or_its_neighbours_becomes_question_marks(text: str) -> None:
    assert "?" in printable(text)


@given(st.floats(0, 1), st.integers(0, 80), st.sampled_from([ASCII, UNICODE]))
def test_a_bar_is_as_long_as_its_share(share: float, width: int, glyphs: object) -> None:
    drawn = bar(share, width, glyphs)  # type: ignore[arg-type]
    assert len(drawn) <= max(width, 1)
    assert bool(drawn) >= (share * width >= 1)


def test_something_that_is_not_nothing_shows() -> None:
    assert bar(0.0001, 10, UNICODE) == "▏"
    assert bar(0.0001, 10, ASCII) == "#"
    assert bar(0, 10, UNICODE) == ""
    assert bar(1, 4, UNICODE) == "████"


HEADS = (Column("name", right=False), Column("size"), Column("rate", rank=1, least=6), Column("more", rank=4))
ROWS = [[Span("BTC"), Span("1.25"), Span("7"), Span("xyz")], [Span("ETHER"), Span("10"), Span("12"), Span("z")]]


def test_a_table_is_aligned() -> None:
    assert [text_of(row) for row in columns(HEADS, ROWS, 80)] == [
        "name   size    rate  more",
        "BTC    1.25       7   xyz",
        "ETHER    10      12     z",
    ]


def test_where_there_is_no_room_columns_go_by_rank_and_then_move_together() -> None:
    assert text_of(columns(HEADS, ROWS, 20)[0]) == "name   size    rate"
    assert text_of(columns(HEADS, ROWS, 17)[0]) == "name  size   rate"
    assert text_of(columns(HEADS, ROWS, 16)[0]) == "name   size"
    assert text_of(columns(HEADS, ROWS, 5)[2]) == "ETHER"


def test_a_table_without_a_column_that_has_to_stay_may_lose_all() -> None:
    heads = (Column("name", rank=1), Column("size", rank=2))
    assert [text_of(row) for row in columns(heads, [row[:2] for row in ROWS], 3)] == ["", "", ""]


@given(st.integers(0, 60))
def test_no_row_is_wider_than_it_may_be(width: int) -> None:
    assert all(len(text_of(row)) <= width for row in columns(HEADS, ROWS, width))


def test_a_line_with_two_ends() -> None:
    assert text_of(ends(line("left"), line("right"), 12, "~")) == "left   right"
    assert text_of(ends(line("left"), line("right"), 10, "~")) == "left"
    assert text_of(ends(line("left"), line("right"), 3, "~")) == "le~"


@given(st.text(st.characters(codec="ascii")), st.integers(1, 40))
@example("ab cdefg", 2)
def test_wrapped_text_keeps_its_words_and_its_width(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(len(part) <= width for part in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"), (Decimal(0), "0"), (Decimal("0.00000204"), "0.00000204"), (Decimal("0.069698"), "0.06970"),
        (Decimal("2261.4"), "2261"), (Decimal("32801"), "32.80k"), (Decimal("1234567"), "1.23M"),
        (Decimal("4e9"), "4.00G"), (Decimal("-1.5"), "-1.500"),
    ],
)  # fmt: skip
def test_a_number_in_short(value: Decimal | None, shown: str) -> None:
    assert figures.short(value) == shown


def test_up_and_down_differ_by_their_sign_and_by_their_style() -> None:
    assert figures.percent(Decimal("0.0123")) == Span("+1.23 %", "up")
    assert figures.percent(Decimal("-0.0123")) == Span("-1.23 %", "down")
    assert figures.percent(Decimal(0)) == Span("+0.00 %", "")
    assert figures.percent(None).text == "-"


def test_decimals_are_filled_up_and_never_cut() -> None:
    assert figures.fixed(Decimal("2600"), 2) == "2600.00"
    assert figures.fixed(Decimal("0.123"), 2) == "0.123"
    assert figures.fixed(Decimal("1E-8"), 0) == "0.00000001"
    assert figures.fixed(None, 2) == "-"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "-"), (0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (7300, "2 h")]
)
def test_an_age(seconds: float | None, shown: str) -> None:
    assert figures.age(seconds) == shown
