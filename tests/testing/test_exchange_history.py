"""Candles and windows are exactly what the trades add up to."""

import random

import pytest

from kucoin_sync.testing.exchange.history import CANDLES, Bar, History, span_start
from kucoin_sync.testing.exchange.specs import spec_for

SECOND = 1_000_000_000
START = 1_730_000_040 * SECOND  # a full minute


@pytest.fixture
def history() -> History:
    return History(spec_for("BTC-USDT"), random.Random(1), START)


def figures(bar: Bar) -> tuple[int, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover)


def test_the_invented_day_ends_at_the_start_price(history: History) -> None:
    day = history.window(86_400, START)
    assert history.last_price == day.close == 670_000
    assert day.low < 670_000 < day.high
    assert day.volume > 0


def test_a_minute_candle_follows_the_trades_of_its_minute(history: History) -> None:
    for second, price in ((1, 670_010), (2, 669_990), (59, 670_005)):
        history.add(price, 2, START + second * SECOND)
    turnover = 2 * (670_010 + 669_990 + 670_005)
    expected = (670_010, 670_010, 669_990, 670_005, 6, turnover)
    assert figures(history.candle("1min", START + 59 * SECOND)) == expected
    history.add(670_020, 1, START + 61 * SECOND)
    assert figures(history.candle("1min", START + 61 * SECOND)) == (
        670_020,
        670_020,
        670_020,
        670_020,
        1,
        670_020,
    )


def test_longer_candles_and_windows_add_up_the_minutes() -> None:
    rng = random.Random(2)
    history = History(spec_for("BTC-USDT"), random.Random(1), START)
    before = history.window(3_600, START)
    now, volume, prices = START, 0, []
    while now < START + 1_500 * SECOND:
        now += int(rng.random() * 20 * SECOND)
        price, size = 670_000 + int((rng.random() - 0.5) * 5_000), 1 + int(rng.random() * 9)
        history.add(price, size, now)
        if now // (900 * SECOND) == (START + 1_500 * SECOND) // (900 * SECOND):
            volume += size
            prices.append(price)
    candle = history.candle("15min", now)
    assert (candle.volume, candle.close) == (volume, prices[-1])
    assert candle.high >= max(prices)
    assert candle.low <= min(prices)
    after = history.window(3_600, now)
    assert before.volume > 0
    assert after.close == prices[-1]
    assert history.window(86_400, now).volume > after.volume > volume


def test_a_window_without_finished_bars_is_the_running_minute(history: History) -> None:
    later = START + 3 * 86_400 * SECOND
    history.add(670_001, 5, later)
    assert figures(history.window(3_600, later)) == (670_001, 670_001, 670_001, 670_001, 5, 5 * 670_001)


def test_bars_older_than_a_day_are_dropped(history: History) -> None:
    for hour in range(60):
        history.add(670_000, 1, START + hour * 3_600 * SECOND)
    assert history.window(86_400, START + 59 * 3_600 * SECOND).volume == 25


@pytest.mark.parametrize("length", CANDLES)
def test_every_candle_starts_where_its_span_does(history: History, length: str) -> None:
    now = START + 37 * SECOND
    candle = history.candle(length, now)
    assert candle.start == span_start(length, now // SECOND) <= now // SECOND


def test_a_month_starts_on_its_first_day() -> None:
    assert span_start("1month", 1_730_000_000) == 1_727_740_800


def test_a_bar_says_what_it_holds() -> None:
    assert repr(Bar(60, 7)) == "Bar(60: 7 7 7 7, 0)"
