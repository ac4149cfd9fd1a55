"""The candles before a chart starts, from REST.

Sources: KuCoin's REST documentation; for the order of the columns its Universal SDK, too. A row that can't be read is
left out.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from .. import Stream
from ..exceptions import ConnectionFailed
from ..net.waker import Cancelled, Waker
from .chart import Bar

__all__ = ["LENGTHS", "past_candles", "past_trades"]

LENGTHS = {
    "1min": 60, "3min": 180, "5min": 300, "15min": 900, "30min": 1_800, "1hour": 3_600, "2hour": 7_200,
    "4hour": 14_400, "6hour": 21_600, "8hour": 28_800, "12hour": 43_200, "1day": 86_400, "1week": 604_800,
    "1month": 2_592_000,
}  # fmt: skip
"""Seconds of each of KuCoin's candle types; of a month, thirty days."""

T = TypeVar("T")

_NOT_BY_REST = ("3min", "1month")
"""The candle types of futures that are pushed only."""
_SPOT_ROWS, _FUTURES_ROWS = 400, 200


def past_candles(stream: Stream, symbol: str, length: str, now: float, timeout: float) -> list[Bar]:
    """Return the latest candles of a symbol, the oldest first; `now` is in seconds since 1970.

    Raises:
        KucoinSyncError: REST can't be reached, refuses the request, or does not answer within `timeout` seconds.
    """
    seconds = LENGTHS[length]
    end = math.ceil(now)
    if "-" in symbol:
        start = end - seconds * _SPOT_ROWS
        query = {"symbol": symbol, "type": length, "startAt": str(start), "endAt": str(end)}
        rows = _get(stream, "spot", "/api/v1/market/candles", query, timeout)
        return _sorted(_read(rows, lambda row: _bar(row, 10**9, "ochlv")))
    if length in _NOT_BY_REST:
        return []
    start = end - seconds * _FUTURES_ROWS
    query = {"symbol": symbol, "granularity": str(seconds // 60), "from": f"{start}000", "to": f"{end}000"}
    rows = _get(stream, "futures", "/api/v1/kline/query", query, timeout)
    return _sorted(_read(rows, lambda row: _bar(row, 10**6, "ohlcv")))


def past_trades(stream: Stream, symbol: str, timeout: float) -> list[tuple[int, Decimal, Decimal]]:
    """Return (time in nanoseconds, price, size) of the latest trades of a symbol, the oldest first.

    Raises:
        KucoinSyncError: REST can't be reached, refuses the request, or does not answer within `timeout` seconds.
    """
    spot = "-" in symbol
    market, path, time = (
        ("spot", "/api/v1/market/histories", "time") if spot else ("futures", "/api/v1/trade/history", "ts")
    )
    rows = _get(stream, market, path, {"symbol": symbol}, timeout)
    trades = _read(rows, lambda row: (int(row[time]), _number(row["price"]), _number(row["size"])))
    return sorted(trades, key=lambda trade: trade[0])


def _get(stream: Stream, market: str, path: str, query: dict[str, str], timeout: float) -> Any:
    with contextlib.ExitStack() as stack:
        waker = Waker()
        stack.callback(waker.close)
        rest = stream.fetcher(waker, False)
        stack.callback(rest.close)
        timer = threading.Timer(timeout, waker.cancel)
        timer.daemon = True
        timer.start()
        stack.callback(timer.join)
        stack.callback(timer.cancel)
        try:
            return rest.call(market, "GET", path, query)
        except Cancelled:
            raise ConnectionFailed(f"GET {path} was not answered within {timeout:g} s") from None


def _read(rows: Any, read: Callable[[Any], T]) -> list[T]:
    """Return what can be read of the rows of an answer."""
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            found.append(read(row))
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
            continue
    return found


def _bar(row: Any, unit: int, order: str) -> Bar:
    """Return a row of numbers as a candle: its start in units of nanoseconds, then what the letters of `order` name."""
    of = {letter: _number(value) for letter, value in zip(order, row[1:], strict=False)}
    return Bar(int(row[0]) * unit, of["o"], of["h"], of["l"], of["c"], of["v"])


def _sorted(bars: list[Bar]) -> list[Bar]:
    return sorted(bars, key=lambda bar: bar.start_ns)


def _number(value: Any) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise InvalidOperation
    return number
