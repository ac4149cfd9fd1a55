"""Build futures topics: `topics.futures.ticker("XBTUSDTM")` is "/contractMarket/tickerV2:XBTUSDTM".

A contract is a futures symbol such as XBTUSDTM.
"""

from __future__ import annotations

from typing import Any

from .. import payloads as p
from .grammar import build as _build
from .name import TopicName
from .table import FUTURES_CANDLE_TYPES, TABLE, Argument

__all__ = [
    "FUTURES_CANDLE_TYPES",
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

_ROWS = {(row.helper, row.argument is Argument.NONE): row for row in TABLE}


def _of_contracts(helper: str, contracts: tuple[str, ...]) -> TopicName[Any]:
    return _build(_ROWS[f"futures.{helper}", False], *contracts)


def _plain(helper: str) -> TopicName[Any]:
    return _build(_ROWS[f"futures.{helper}", True])


def ticker(*contracts: str) -> TopicName[p.FuturesTickerV2]:
    """Best bid and ask, in real time."""
    return _of_contracts("ticker", contracts)


def ticker_v1(*contracts: str) -> TopicName[p.FuturesTicker]:
    """Last trade and best bid and ask, in real time."""
    return _of_contracts("ticker_v1", contracts)


def depth5(*contracts: str) -> TopicName[p.Depth]:
    """The 5 best levels of each side, at most every 100 ms."""
    return _of_contracts("depth5", contracts)


def depth50(*contracts: str) -> TopicName[p.Depth]:
    """The 50 best levels of each side, at most every 100 ms."""
    return _of_contracts("depth50", contracts)


def level2(*contracts: str) -> TopicName[p.FuturesLevel2Update]:
    """Every change of a price level; `Stream.book` keeps a whole book from it."""
    return _of_contracts("level2", contracts)


def match(*contracts: str) -> TopicName[p.FuturesMatch]:
    """Every trade."""
    return _of_contracts("match", contracts)


def candles(contract: str, type: str) -> TopicName[p.FuturesCandles]:
    """The current candle of a contract; `type` is one of `FUTURES_CANDLE_TYPES`, such as "1min"."""
    return _of_contracts("candles", (f"{contract}_{type}",))


def instrument(*contracts: str) -> TopicName[p.MarkIndexPrice | p.FundingRate]:
    """Mark and index price every second, the funding rate every minute."""
    return _of_contracts("instrument", contracts)


def announcement(*contracts: str) -> TopicName[p.FundingSettlement]:
    """Begin and end of a funding settlement, every 8 hours; of all contracts where none is named."""
    return _of_contracts("announcement", contracts) if contracts else _plain("announcement")


def snapshot(*contracts: str) -> TopicName[p.FuturesSnapshot]:
    """24-hour statistics, every 5 s."""
    return _of_contracts("snapshot", contracts)


def orders(*contracts: str) -> TopicName[p.FuturesOrderChange]:
    """Private: changes of your orders, of all contracts where none is named."""
    return _of_contracts("orders", contracts) if contracts else _plain("orders")


def stop_orders() -> TopicName[p.FuturesStopOrder]:
    """Private: changes of your stop orders."""
    return _plain("stop_orders")


def wallet() -> TopicName[p.Wallet]:
    """Private: changes of your balances."""
    return _plain("wallet")


def position(*contracts: str) -> TopicName[p.PositionChange | p.PositionSettlement | p.PositionRiskLimit]:
    """Private: your position in each contract."""
    return _of_contracts("position", contracts)


def positions() -> TopicName[p.PositionChange | p.PositionSettlement | p.PositionRiskLimit]:
    """Private: all your positions."""
    return _plain("positions")


def margin_mode() -> TopicName[p.MarginMode]:
    """Private: changes of the margin mode."""
    return _plain("margin_mode")


def cross_leverage() -> TopicName[p.CrossLeverage]:
    """Private: changes of the cross margin leverage."""
    return _plain("cross_leverage")
