"""Build topics: `topics.ticker("BTC-USDT", "ETH-USDT")` is "/market/ticker:BTC-USDT,ETH-USDT".

There is one function per topic; those of futures are in `topics.futures`, those of the UTA feed in `topics.uta`. Each
returns the topic as text, for any number of symbols, and raises `InvalidTopic` for arguments that can't exist.
"""

from __future__ import annotations

from typing import overload as _overload

from .. import payloads as p
from . import futures, uta
from .grammar import build as _build
from .grammar import candles_of as _candles_of
from .name import TopicName
from .table import CANDLE_TYPES, TABLE, CandleType, Topic

__all__ = [
    "CANDLE_TYPES",
    "TABLE",
    "CandleType",
    "Topic",
    "TopicName",
    "account_balance",
    "call_auction",
    "call_auction_depth50",
    "candles",
    "depth5",
    "depth50",
    "funding_book",
    "futures",
    "index_price",
    "isolated_margin_position",
    "level1",
    "level2",
    "level3",
    "level3_v2",
    "margin_loan",
    "margin_position",
    "mark_price",
    "market_snapshot",
    "match",
    "orders",
    "orders_v1",
    "snapshot",
    "stop_orders",
    "ticker",
    "ticker_all",
    "uta",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_ROWS = {row.helper: row for row in TABLE}


def ticker(*symbols: str) -> TopicName[p.Ticker]:
    """Last trade and best bid and ask of each symbol, at most every 100 ms."""
    return _build(_ROWS["ticker"], *symbols)


def ticker_all() -> TopicName[p.Ticker]:
    """The ticker of every symbol; the subject of a message is its symbol."""
    return _build(_ROWS["ticker_all"])


def level1(*symbols: str) -> TopicName[p.Level1]:
    """Best bid and ask, at most every 10 ms."""
    return _build(_ROWS["level1"], *symbols)


def depth5(*symbols: str) -> TopicName[p.Depth]:
    """The 5 best levels of each side, at most every 100 ms."""
    return _build(_ROWS["depth5"], *symbols)


def depth50(*symbols: str) -> TopicName[p.Depth]:
    """The 50 best levels of each side, at most every 100 ms."""
    return _build(_ROWS["depth50"], *symbols)


def level2(*symbols: str) -> TopicName[p.Level2Update]:
    """Every change of a price level; `Stream.book` keeps a whole book from it."""
    return _build(_ROWS["level2"], *symbols)


def match(*symbols: str) -> TopicName[p.Match]:
    """Every trade."""
    return _build(_ROWS["match"], *symbols)


def level3(*symbols: str) -> TopicName[p.Level3Received | p.Level3Open | p.Match | p.Level3Change | p.Level3Done]:
    """Every order event, first generation (withdrawn by KuCoin in 2021)."""
    return _build(_ROWS["level3"], *symbols)


def level3_v2(*symbols: str) -> TopicName[p.Level3Received | p.Level3Open | p.Match | p.Level3Update | p.Level3Done]:
    """Every order event, second generation (withdrawn by KuCoin in 2021)."""
    return _build(_ROWS["level3_v2"], *symbols)


@_overload
def candles(symbol: str, type: CandleType) -> TopicName[p.Candles]: ...
@_overload
def candles(symbol: str, *more_symbols: str, type: CandleType) -> TopicName[p.Candles]: ...
def candles(symbol: str, *more_symbols: str, type: str | None = None) -> TopicName[p.Candles]:
    """The current candle of each symbol; `type` is one of `CANDLE_TYPES`, such as "1hour"."""
    return _build(_ROWS["candles"], *_candles_of(symbol, more_symbols, type))


def snapshot(*symbols: str) -> TopicName[p.Snapshot]:
    """24-hour statistics of each symbol, every 2 s."""
    return _build(_ROWS["snapshot"], *symbols)


def market_snapshot(*markets: str) -> TopicName[p.Snapshot]:
    """24-hour statistics of all symbols of each market, such as "BTC" or "USDS"."""
    return _build(_ROWS["market_snapshot"], *markets)


def call_auction_depth50(*symbols: str) -> TopicName[p.Depth]:
    """The 50 best levels of each side during a call auction."""
    return _build(_ROWS["call_auction_depth50"], *symbols)


def call_auction(*symbols: str) -> TopicName[p.CallAuction]:
    """The estimated price and size of a running call auction."""
    return _build(_ROWS["call_auction"], *symbols)


def index_price(*symbols: str) -> TopicName[p.IndicatorPrice]:
    """The index price, every second."""
    return _build(_ROWS["index_price"], *symbols)


def mark_price(*symbols: str) -> TopicName[p.IndicatorPrice]:
    """The mark price, every second."""
    return _build(_ROWS["mark_price"], *symbols)


def funding_book(*currencies: str) -> TopicName[p.FundingBook]:
    """Changes of the lending book of each currency (absent from KuCoin's current documentation)."""
    return _build(_ROWS["funding_book"], *currencies)


def orders() -> TopicName[p.OrderChange]:
    """Private: changes of your orders, the state `received` included."""
    return _build(_ROWS["orders"])


def orders_v1() -> TopicName[p.OrderChange]:
    """Private: changes of your orders, without the state `received`."""
    return _build(_ROWS["orders_v1"])


def account_balance() -> TopicName[p.Balance]:
    """Private: changes of your balances."""
    return _build(_ROWS["account_balance"])


def stop_orders() -> TopicName[p.StopOrder]:
    """Private: changes of your stop orders."""
    return _build(_ROWS["stop_orders"])


def margin_position() -> TopicName[p.DebtRatio | p.PositionStatus]:
    """Private: your debt ratio and the status of your cross margin position."""
    return _build(_ROWS["margin_position"])


def isolated_margin_position(*symbols: str) -> TopicName[p.IsolatedPosition]:
    """Private: your isolated margin position of each symbol."""
    return _build(_ROWS["isolated_margin_position"], *symbols)


def margin_loan(*currencies: str) -> TopicName[p.LoanOrder]:
    """Private: your lending orders of each currency (absent from KuCoin's current documentation)."""
    return _build(_ROWS["margin_loan"], *currencies)
