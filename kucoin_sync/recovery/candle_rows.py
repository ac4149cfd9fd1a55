"""What REST tells of candles, as the frames in which they would have been pushed. Pure.

KuCoin has three orders of columns: that of spot (open, close, high, low, volume, turnover), that of futures' pushes
(with turnover before volume), and that of futures' REST (open, high, low, close, volume, turnover, with the start in
milliseconds). A value of an unusual form costs itself only: it stands in the frame as it is. Only a row without a start
is left out. Source: KuCoin's REST documentation and recorded answers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ..exceptions import RestError
from ..protocol.message import UNREADABLE, Message
from ..topics.grammar import argument_of, row_of
from .candles import CandleJoin, CandleMark, CandleRow
from .rows import placed, whole_number

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


_SPOT_ORDER, _FUTURES_ORDER = (1, 2, 3, 4, 5, 6), (1, 4, 2, 3, 6, 5)
"""The columns of an answer after the start, in the order of pushes. Futures tell the turnover since 2025-09."""
_VOLUME = 5
"""The column of the volume in the answers of both."""
_NONE, _COMPLETE = Decimal(0), Decimal("Infinity")
_LONGEST = 100  # digits of a number that is written without an exponent


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
        """Return the rows of an answer, oldest first; raise RestError if none of them can be read.

        A volume that can't be read counts as complete, but in the newest row as none, because that may still grow.
        """
        unit = 1 if self.market == "spot" else 1000
        found = [] if not isinstance(data, list) else placed(data, lambda row: _start_of(row, unit))
        volumes = [_number(_cell(row, _VOLUME)) for _, row, _ in found]
        if all(each is None for each in volumes) and data != []:
            raise RestError("200000", f"candles that can't be read: {data!r:.100}", where=self.path)
        rows = []
        for (start, row, after_hole), volume in zip(found, volumes, strict=True):
            known = volume if volume is not None else _NONE if row is found[-1][1] else _COMPLETE
            rows.append(CandleRow(CandleMark(start, 0, known), self._frame(start, row), after_hole))
        return rows

    def mark_of(self, message: Message) -> CandleMark | None:
        """Return the state of a pushed candle, None if the push does not tell it."""
        payload = message.payload
        try:
            return CandleMark(payload.start_ns // 10**9, payload.time_ns, Decimal(payload.volume))
        except (AttributeError, TypeError):
            return None

    def _frame(self, start: int, row: list[Any]) -> bytes:
        """Return the frame of a row."""
        if self.market == "spot":
            subject, cells = "trade.candles.update", [_cell(row, column) for column in _SPOT_ORDER]
        else:
            subject, cells = "candle.stick", [_as_pushed(_cell(row, column)) for column in _FUTURES_ORDER]
        data = {"symbol": self.symbol, "candles": [str(start), *cells], "time": None}
        return _encode({"topic": self.topic, "type": "message", "subject": subject, "data": data})


def _start_of(row: Any, unit: int) -> int | None:
    """Return the start of a row in seconds, None if it can't be read."""
    start = whole_number(_cell(row, 0))
    return None if start is None else start // unit


def _cell(row: Any, column: int) -> Any:
    return row[column] if isinstance(row, list) and column < len(row) else None


def _number(value: Any) -> Decimal | None:
    """Return the number that a value stands for, None if it is none, or of absurd size."""
    try:
        number: Decimal = msgspec.convert(value, Decimal, strict=False)
    except (*UNREADABLE, ArithmeticError):
        return None
    return number if number.is_finite() and abs(number.adjusted()) < _LONGEST else None


def _as_pushed(value: Any) -> Any:
    """Return a value of REST as pushes have it: a number as text, anything else as it is."""
    number = _number(value)
    return value if number is None else f"{number:f}".removesuffix(".0")


def candle_rows_for(topic: str) -> CandleRows | None:
    """Return how the missed candles of a single topic are fetched, None if no path of REST tells them."""
    row = row_of(topic)
    symbol, _, length = argument_of(topic).rpartition("_")
    if row is None or row.recovery not in (_SPOT, _FUTURES) or length not in _MINUTES:
        return None
    if row.recovery == _FUTURES and _MINUTES[length] not in _FUTURES_MINUTES:
        return None
    return CandleRows(str(topic), row.market, row.recovery, symbol, length)
