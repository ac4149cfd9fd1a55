"""What REST tells of candles, as the frames in which they would have been pushed. Pure.

KuCoin has three orders of columns: that of spot (open, close, high, low, volume, turnover), that of futures' pushes
(with turnover before volume), and that of futures' REST (open, high, low, close, volume, turnover, with the start in
milliseconds). Source: KuCoin's REST documentation and recorded answers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ..exceptions import RestError
from ..protocol.message import UNREADABLE, Message
from ..topics.grammar import argument_of, row_of
from .candles import CandleJoin, CandleMark, CandleRow

__all__ = ["CandleRows", "candle_rows_for"]

_SPOT, _FUTURES = "/api/v1/market/candles", "/api/v1/kline/query"
_MINUTES = {
    "1min": 1, "3min": 3, "5min": 5, "15min": 15, "30min": 30, "1hour": 60, "2hour": 120, "4hour": 240, "6hour": 360,
    "8hour": 480, "12hour": 720, "1day": 1_440, "1week": 10_080, "1month": 44_640,
}  # fmt: skip
_FUTURES_MINUTES = {1, 5, 15, 30, 60, 120, 240, 480, 720, 1_440, 10_080}
"""The lengths that the REST of futures has; pushes have more."""
_SPOT_ROWS, _FUTURES_ROWS = 1_500, 200
"""The largest number of rows of an answer; of two that KuCoin has named for futures, the smaller."""
_encode = msgspec.json.Encoder().encode


class _SpotCandle(msgspec.Struct, array_like=True):
    start: int  # seconds, as text, as all are
    open: str
    close: str
    high: str
    low: str
    volume: str
    turnover: str


class _FuturesCandle(msgspec.Struct, array_like=True):
    start: int  # milliseconds
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal | None = None  # since 2025-09


class CandleRows(NamedTuple):
    """How the missed candles of one topic are fetched and read.

    Attributes:
        topic: the topic.
        market: the service of REST, "spot" or "futures".
        path: of the request.
        symbol, length: what the topic is about.
    """

    topic: str
    market: str
    path: str
    symbol: str
    length: str

    def query(self, join: CandleJoin) -> dict[str, str]:
        """Return the query of a request."""
        first, last = join.range
        if self.market == "spot":
            return {"symbol": self.symbol, "type": self.length, "startAt": str(first), "endAt": str(last)}
        minutes = _MINUTES[self.length]
        return {
            "symbol": self.symbol,
            "granularity": str(minutes),
            "from": str(first * 1000),
            "to": str(last * 1000),
        }

    def join(self, last: CandleMark, now: float) -> CandleJoin:
        """Return what fills the gap after the last delivered candle."""
        rows = _SPOT_ROWS if self.market == "spot" else _FUTURES_ROWS
        return CandleJoin(last, now, _MINUTES[self.length] * 60, rows)

    def read(self, data: Any) -> list[CandleRow]:
        """Return the rows of an answer; raise RestError if they can't be read."""
        try:
            return self._read_spot(data) if self.market == "spot" else self._read_futures(data)
        except (*UNREADABLE, ArithmeticError) as error:
            raise RestError("200000", f"candles that can't be read: {error}", where=self.path) from None

    def mark_of(self, message: Message) -> CandleMark | None:
        """Return the state of a pushed candle, None if the push does not tell it."""
        payload = message.payload
        try:
            return CandleMark(payload.start_ns // 10**9, payload.time_ns, Decimal(payload.volume))
        except (AttributeError, TypeError):
            return None

    def _read_spot(self, data: Any) -> list[CandleRow]:
        rows = []
        for each in msgspec.convert(data, list[_SpotCandle], strict=False):
            mark = CandleMark(each.start, 0, Decimal(each.volume))
            candle = [str(each.start), *msgspec.structs.astuple(each)[1:]]
            rows.append(CandleRow(mark, self._frame("trade.candles.update", candle)))
        return rows

    def _read_futures(self, data: Any) -> list[CandleRow]:
        rows = []
        for each in msgspec.convert(data, list[_FuturesCandle], strict=False):
            start = each.start // 1000
            numbers = (each.open, each.close, each.high, each.low, each.turnover, each.volume)
            candle = [str(start), *(None if number is None else f"{number:f}".removesuffix(".0") for number in numbers)]
            mark = CandleMark(start, 0, each.volume)
            rows.append(CandleRow(mark, self._frame("candle.stick", candle)))
        return rows

    def _frame(self, subject: str, candle: list[str | None]) -> bytes:
        data = {"symbol": self.symbol, "candles": candle, "time": None}
        return _encode({"topic": self.topic, "type": "message", "subject": subject, "data": data})


def candle_rows_for(topic: str) -> CandleRows | None:
    """Return how the missed candles of a single topic are fetched, None if no path of REST tells them."""
    row = row_of(topic)
    symbol, _, length = argument_of(topic).rpartition("_")
    if row is None or row.recovery not in (_SPOT, _FUTURES) or length not in _MINUTES:
        return None
    if row.recovery == _FUTURES and _MINUTES[length] not in _FUTURES_MINUTES:
        return None
    return CandleRows(str(topic), row.market, row.recovery, symbol, length)
