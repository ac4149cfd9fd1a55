"""The candles before a chart starts, as REST tells them and as the chart takes them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import Message
from kucoin_sync.cli.candles import Chart, Series
from kucoin_sync.cli.chart import Bar
from kucoin_sync.cli.history import LENGTHS, past_candles, past_trades
from kucoin_sync.cli.layout import UNICODE
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.topics import CANDLE_TYPES

from ...support.waiting import Waiting

BEGAN = 1_700_000_000
NOW = BEGAN + 0.5


class Rest:
    """A stream whose REST service gives one answer, and which remembers the request."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: tuple[str, str, dict[str, str]] | None = None
        self.closed = False

    def fetcher(self, *_: object) -> Rest:
        return self

    def call(self, market: str, method: str, path: str, query: dict[str, str]) -> Any:
        assert method == "GET"
        self.asked = (market, path, query)
        return self.answer

    def close(self) -> None:
        self.closed = True


def spot_row(start: int, *numbers: str) -> list[str]:
    first, last, high, low, volume = numbers
    return [str(start), first, last, high, low, volume, "0"]


def test_spot_candles_are_told_the_newest_first_with_the_close_second() -> None:
    rest = Rest([spot_row(1_700_000_040, "3", "4", "6", "2", "9"), spot_row(1_699_999_980, "1", "3", "5", "1", "7")])
    bars = past_candles(rest, "BTC-USDT", "1min", NOW, 60)  # type: ignore[arg-type]
    query = {"symbol": "BTC-USDT", "type": "1min", "startAt": str(1_700_000_001 - 24_000), "endAt": "1700000001"}
    assert rest.asked == ("spot", "/api/v1/market/candles", query)
    assert rest.closed
    assert bars == [
        Bar(1_699_999_980 * 10**9, Decimal(1), Decimal(5), Decimal(1), Decimal(3), Decimal(7)),
        Bar(1_700_000_040 * 10**9, Decimal(3), Decimal(6), Decimal(2), Decimal(4), Decimal(9)),
    ]


def test_futures_candles_are_told_with_the_close_last() -> None:
    rest = Rest([[1_699_999_980_000, 1, 5, 1, 3, 7], [1_700_000_040_000, 3.5, 6, 2, 4, 9, 99]])
    bars = past_candles(rest, "XBTUSDTM", "1hour", NOW, 60)  # type: ignore[arg-type]
    begin = 1_700_000_001 - 200 * 3600
    query = {"symbol": "XBTUSDTM", "granularity": "60", "from": f"{begin}000", "to": "1700000001000"}
    assert rest.asked == ("futures", "/api/v1/kline/query", query)
    assert bars[1] == Bar(1_700_000_040 * 10**9, Decimal("3.5"), Decimal(6), Decimal(2), Decimal(4), Decimal(9))


@pytest.mark.parametrize("length", ["3min", "1month"])
def test_what_rest_does_not_have_is_not_asked_for(length: str) -> None:
    rest = Rest(None)
    assert past_candles(rest, "XBTUSDTM", length, NOW, 60) == []  # type: ignore[arg-type]
    assert rest.asked is None


def test_every_candle_type_has_a_length() -> None:
    assert set(LENGTHS) == set(CANDLE_TYPES)


@pytest.mark.parametrize("odd", [None, [], ["1"], ["x", "1", "1", "1", "1", "1"], [1, "NaN", 1, 1, 1, 1], 7])
def test_a_row_that_can_not_be_read_is_left_out(odd: Any) -> None:
    rest = Rest([odd, spot_row(1_699_999_980, "1", "3", "5", "1", "7")])
    assert len(past_candles(rest, "BTC-USDT", "1min", NOW, 60)) == 1  # type: ignore[arg-type]
    rest.answer = odd
    assert past_candles(rest, "BTC-USDT", "1min", NOW, 60) == []  # type: ignore[arg-type]


def candles_message(start: int, *numbers: str) -> Message:
    data = {"symbol": "BTC-USDT", "candles": spot_row(start, *numbers), "time": 1}
    topic = "/market/candles:BTC-USDT_1min"
    push = {"type": "message", "topic": topic, "subject": "trade.candles.update", "data": data}
    return decode_message(json.dumps(push).encode())


def test_a_chart_goes_on_from_the_candle_that_was_open() -> None:
    rest = Rest([spot_row(60, "2", "3", "4", "1", "5"), spot_row(0, "1", "2", "2", "1", "3")])
    pushed = [(0, "9", "9", "9", "9", "9"), (60, "2", "5", "6", "1", "8"), (120, "5", "5", "5", "5", "1")]
    waiting = Waiting(*(candles_message(*row) for row in pushed))
    series = Series("BTC-USDT", "1min")
    series.begin(rest, NOW, 60)  # type: ignore[arg-type]
    Chart(waiting, [series], "1min", UNICODE).update()  # type: ignore[arg-type]
    assert [(bar.start_ns // 10**9, bar.close, bar.volume) for bar in series.bars] == [
        (0, 2, 3),
        (60, 5, 8),
        (120, 5, 1),
    ]


def match(at: int, price: str) -> Message:
    data = {
        "symbol": "BTC-USDT", "side": "buy", "size": "1", "price": price, "sequence": "1",
        "time": str((BEGAN + at) * 10**9),
        "type": "match", "makerOrderId": "1", "takerOrderId": "2", "tradeId": "3",
    }  # fmt: skip
    push = {"type": "message", "topic": "/market/match:BTC-USDT", "subject": "trade.l3match", "data": data}
    return decode_message(json.dumps(push).encode())


@pytest.mark.parametrize(("symbol", "path"), [("BTC-USDT", "market/histories"), ("XBTUSDTM", "trade/history")])
def test_short_candles_begin_with_the_last_trades_each_counted_once(symbol: str, path: str) -> None:
    name = "time" if "-" in symbol else "ts"
    told = [{name: (BEGAN + at) * 10**9, "price": price, "size": "1"} for at, price in ((7, "3"), (5, "2"), (1, "1"))]
    rest = Rest(told)
    assert [trade[1] for trade in past_trades(rest, symbol, 60)] == [1, 2, 3]  # type: ignore[arg-type]
    assert rest.asked is not None
    assert rest.asked[1] == f"/api/v1/{path}"
    messages = match(7, "3"), match(8, "4"), match(10, "5")
    series = Series(symbol, "5s")
    series.begin(rest, NOW, 60)  # type: ignore[arg-type]
    for message in messages:
        series.note(message)
    bars = [(bar.start_ns // 10**9 - BEGAN, bar.open, bar.close, bar.volume) for bar in series.bars]
    assert bars == [(5, 2, 4, 3), (10, 5, 5, 1)]
