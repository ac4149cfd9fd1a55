"""The ladder and the chart as pictures of what they show."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kucoin_sync import BookSnapshot
from kucoin_sync.books import Level2Book, Level3Book
from kucoin_sync.cli.chart import Bar, chart
from kucoin_sync.cli.ladder import ladder
from kucoin_sync.cli.layout import ASCII, UNICODE, text_of
from kucoin_sync.cli.rates import Rate


def shown(snapshot: BookSnapshot, width: int = 60, height: int = 20) -> list[str]:
    return [text_of(row).rstrip() for row in ladder(snapshot, width, height, UNICODE)]


def test_the_ladder_shows_what_rests_at_each_price_and_up_to_there() -> None:
    book = Level2Book()
    book.load(bids=[["99.0", "1"], ["98", "3.0"]], asks=[["101", "0.5"], ["102", "1.5"]], depth=None)
    assert shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())) == [
        "     price  size  total  depth",
        "ask  102.0   1.5    2.0  █████████████▏░░░░",
        "ask  101.0   0.5    0.5  ████▍",
        "─── spread 2.0 (2.0000%) · middle 100.00 · sequence 17 ─────",
        "bid   99.0   1.0    1.0  ████████▊",
        "bid   98.0   3.0    4.0  ██████████████████████████▎░░░░░░░░",
    ]


def test_the_ladder_shows_as_many_levels_as_there_is_room_for_the_best_ones() -> None:
    book = Level2Book()
    book.load(bids=[[str(100 - n), "1"] for n in range(20)], asks=[[str(101 + n), "1"] for n in range(20)], depth=None)
    rows = shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks()), height=8)
    assert [row.split()[1] for row in rows if row.startswith(("ask", "bid"))] == [
        "103",
        "102",
        "101",
        "100",
        "99",
        "98",
    ]
    assert len(rows) == 8


def test_a_ladder_of_a_part_says_so() -> None:
    book = Level2Book()
    book.load(bids=[["99", "1"]], asks=[["101", "1"]], depth=1)
    rows = shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks()), width=100)
    assert rows[-1].startswith("Without an API key a part of the book is known")


def test_the_ladder_of_an_empty_book() -> None:
    book = Level3Book()
    rows = shown(BookSnapshot("BTC-USDT", 3, 17, 0, book.bids(), book.asks()))
    assert rows[1].startswith("─── sequence 17 ─")


@pytest.mark.parametrize("width", range(0, 130, 7))
def test_no_line_of_the_ladder_is_wider_than_it_may_be(width: int) -> None:
    book = Level2Book()
    book.load(bids=[["99.123456789", "1"]], asks=[["101", "123456.00000001"]], depth=1)
    snapshot = BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())
    assert all(len(row) <= width for row in shown(snapshot, width=width))


def candle(start: int, *prices: str) -> Bar:
    first, high, low, last = map(Decimal, prices)
    return Bar(start * 10**9, first, high, low, last, Decimal(3))


def test_the_chart_fills_candles_that_rose_and_shades_those_that_fell() -> None:
    bars = [candle(0, "1", "4", "0", "3"), candle(5, "3", "3", "1", "1")]
    rows = [text_of(row) for row in chart(bars, 40, 8, UNICODE)]
    columns = ["".join(row[place] for row in rows[:5]) for place in (4, 6)]
    assert columns == ["│███│", " ░░░ "]


def test_a_candle_takes_in_trades() -> None:
    bar = candle(0, "2", "2", "2", "2")
    for price in ("5", "1", "3"):
        bar.add(Decimal(price), Decimal("0.5"))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (2, 5, 1, 3, Decimal("4.5"))


@pytest.mark.parametrize("bars", [0, 1, 3, 500])
@pytest.mark.parametrize(("width", "height"), [(80, 20), (120, 36), (30, 4), (5, 2), (0, 1)])
def test_the_chart_keeps_to_its_size(bars: int, width: int, height: int) -> None:
    made = [candle(5 * n, str(100 + n % 7), "110", "90", str(100 + n % 5)) for n in range(bars)]
    rows = chart(made, width, height, ASCII)
    assert len(rows) <= max(height, 4)
    assert all(len(text_of(row)) <= width for row in rows)


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate(0.0)
    for tenth in range(100):
        rate.add(3, tenth / 10)
    assert rate.per_second(9.9) == pytest.approx(30, abs=1.5)
    assert rate.per_second(30.0) == 0
