"""Build futures topics: `topics.futures.ticker("XBTUSDTM")` is "/contractMarket/tickerV2:XBTUSDTM".

A contract is a futures symbol such as XBTUSDTM.
"""

from __future__ import annotations

from typing import Any, overload

from .. import payloads as p
from .grammar import build as _build
from .grammar import candles_of
from .name import TopicName
from .table import FUTURES_CANDLE_TYPES, TABLE, Argument, FuturesCandleType

__all__ = [
    "FUTURES_CANDLE_TYPES",
    "FuturesCandleType",
    "announcement",
    "candles",
    "cross_leverage",
    "depth5",
    "depth50",
    "instrument",
    "level2",
    "margin_mode",
    "match",
    "orders",
    "position",
    "positions",
    "snapshot",
    "stop_orders",
    "ticker",
    "ticker_v1",
    "wallet",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_ROWS = {(row.helper, row.argument is Argument.NONE): row for row in TABLE}


def _with_contracts(helper: str, contracts: tuple[str, ...]) -> TopicName[Any]:
    return _build(_ROWS[f"futures.{helper}", False], *contracts)


def _without_argument(helper: str) -> TopicName[Any]:
    return _build(_ROWS[f"futures.{helper}", True])


def ticker(*contracts: str) -> TopicName[p.FuturesTickerV2]:
    """Best bid and ask, in real time."""
    return _with_contracts("ticker", contracts)


def ticker_v1(*contracts: str) -> TopicName[p.FuturesTicker]:
    """Last trade and best bid and ask, in real time."""
    return _with_contracts("ticker_v1", contracts)


def depth5(*contracts: str) -> TopicName[p.Depth]:
    """The 5 best levels of each side, at most every 100 ms."""
    return _with_contracts("depth5", contracts)


def depth50(*contracts: str) -> TopicName[p.Depth]:
    """The 50 best levels of each side, at most every 100 ms."""
    return _with_contracts("depth50", contracts)


def level2(*contracts: str) -> TopicName[p.FuturesLevel2Update]:
    """Every change of a price level; `Stream.book` keeps a whole book from it."""
    return _with_contracts("level2", contracts)


def match(*contracts: str) -> TopicName[p.FuturesMatch]:
    """Every trade."""
    return _with_contracts("match", contracts)


@overload
def candles(contract: str, type: FuturesCandleType) -> TopicName[p.FuturesCandles]: ...
@overload
def candles(contract: str, *more_contracts: str, type: FuturesCandleType) -> TopicName[p.FuturesCandles]: ...
def candles(contract: str, *more_contracts: str, type: str | None = None) -> TopicName[p.FuturesCandles]:
    """The current candle of each contract; `type` is one of `FUTURES_CANDLE_TYPES`, such as "1min"."""
    return _with_contracts("candles", candles_of(contract, more_contracts, type))


def instrument(*contracts: str) -> TopicName[p.MarkIndexPrice | p.FundingRate]:
    """Mark and index price every second, the funding rate every minute."""
    return _with_contracts("instrument", contracts)


def announcement(*contracts: str) -> TopicName[p.FundingSettlement]:
    """Begin and end of a funding settlement, every 8 hours; of all contracts where none is named."""
    return _with_contracts("announcement", contracts) if contracts else _without_argument("announcement")


def snapshot(*contracts: str) -> TopicName[p.FuturesSnapshot]:
    """24-hour statistics, every 5 s."""
    return _with_contracts("snapshot", contracts)


def orders(*contracts: str) -> TopicName[p.FuturesOrderChange]:
    """Private: changes of your orders of these contracts; of all contracts without arguments."""
    return _with_contracts("orders", contracts) if contracts else _without_argument("orders")


def stop_orders() -> TopicName[p.FuturesStopOrder]:
    """Private: changes of your stop orders."""
    return _without_argument("stop_orders")


def wallet() -> TopicName[p.Wallet]:
    """Private: changes of your balances."""
    return _without_argument("wallet")


def position(*contracts: str) -> TopicName[p.PositionChange | p.PositionSettlement | p.PositionRiskLimit]:
    """Private: your position in each contract."""
    return _with_contracts("position", contracts)


def positions() -> TopicName[p.PositionChange | p.PositionSettlement | p.PositionRiskLimit]:
    """Private: all your positions."""
    return _without_argument("positions")


def margin_mode() -> TopicName[p.MarginMode]:
    """Private: changes of the margin mode."""
    return _without_argument("margin_mode")


def cross_leverage() -> TopicName[p.CrossLeverage]:
    """Private: changes of the cross margin leverage."""
    return _without_argument("cross_leverage")
