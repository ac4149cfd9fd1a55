"""Build topics of KuCoin's UTA feed: `topics.uta.ticker("BTC-USDT")` is "/uta/ticker.SPOT:BTC-USDT".

A symbol such as BTC-USDT is of the spot market, one such as XBTUSDTM of futures. One topic has symbols of one market.
"""

from __future__ import annotations

from typing import Any, overload

from .. import payloads as p
from ..exceptions import InvalidTopic
from .grammar import build as _build
from .grammar import candles_of
from .name import TopicName
from .table import TABLE, UTA_DEPTHS, AccountType, CandleType, TradeType, UtaDepth

__all__ = [
    "UTA_DEPTHS",
    "AccountType",
    "TradeType",
    "UtaDepth",
    "balances",
    "book",
    "call_auction",
    "candles",
    "executions",
    "funding_rate",
    "funding_rates",
    "leverage",
    "liquidation_warnings",
    "mark_price",
    "orders",
    "positions",
    "ticker",
    "trades",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_ROWS = {row.prefix.removeprefix("/uta/"): row for row in TABLE if row.dialect == "uta"}


def _of_market(channel: str, symbols: tuple[str, ...], suffix: str = "") -> TopicName[Any]:
    """Return the topic of a channel that both markets have, for symbols of one of them."""
    kinds = {isinstance(symbol, str) and "-" not in symbol: symbol for symbol in symbols}
    if len(kinds) > 1:
        raise InvalidTopic(
            f"{kinds[False]} is a spot symbol and {kinds[True]} a futures symbol: one topic of the UTA feed has "
            "symbols of one market, so build a topic for each"
        )
    return _build(_ROWS[f"{channel}.{'FUTURES' if True in kinds else 'SPOT'}"], *_with(symbols, suffix))


def _with(symbols: tuple[str, ...], suffix: str) -> tuple[str, ...]:
    return tuple(f"{symbol}_{suffix}" for symbol in symbols) if suffix else symbols


def ticker(*symbols: str) -> TopicName[p.UtaSpotTicker | p.UtaFuturesTicker]:
    """Last trade and best bid and ask of each symbol, on each trade."""
    return _of_market("ticker", symbols)


def trades(*symbols: str) -> TopicName[p.UtaTrade]:
    """Every trade."""
    return _of_market("trade", symbols)


@overload
def candles(symbol: str, type: CandleType) -> TopicName[p.UtaCandle]: ...
@overload
def candles(symbol: str, *more_symbols: str, type: CandleType) -> TopicName[p.UtaCandle]: ...
def candles(symbol: str, *more_symbols: str, type: str | None = None) -> TopicName[p.UtaCandle]:
    """The current candle of each symbol; `type` is one of `CANDLE_TYPES`, such as "1hour" (futures have no "6hour")."""
    return _of_market("kline", candles_of(symbol, more_symbols, type))


def book(*symbols: str, depth: UtaDepth = "increment@10ms") -> TopicName[p.UtaBook]:
    """The best 1, 5 or 50 levels of each side; by default a snapshot of the best 500, then every change of them."""
    return _of_market("obu", symbols, f"{depth}")


def mark_price(*symbols: str) -> TopicName[p.UtaMarkPrice]:
    """Mark price, index price and open interest of each contract, every second."""
    return _build(_ROWS["mark-price"], *symbols)


def funding_rate(*symbols: str) -> TopicName[p.UtaFundingRate]:
    """The funding rate of each contract, every minute."""
    return _build(_ROWS["funding-fee"], *symbols)


def funding_rates() -> TopicName[p.UtaFundingRates]:
    """The funding rates of all contracts in one message, every minute."""
    return _build(_ROWS["funding-fee-all-symbols"])


def call_auction(*symbols: str) -> TopicName[p.UtaCallAuction]:
    """The estimated price and size of a running call auction."""
    return _build(_ROWS["callAuctionInfo"], *symbols)


def orders(*symbols: str) -> TopicName[p.UtaOrder]:
    """Private: changes of your orders of these symbols; of all symbols without arguments."""
    return _build(_ROWS["order.UNIFIED"], *symbols) if symbols else _build(_ROWS["orderAll.UNIFIED"])


def executions(
    *, lite: bool = False, trade_type: TradeType = "UNIFIED"
) -> TopicName[p.UtaExecution | p.UtaExecutionLite]:
    """Private: your trades; without their fees with `lite`, where `trade_type` may be one of the types of the table."""
    return _build(_row("execution.lite" if lite else "execution", "trade_type", trade_type))


def balances(account_type: AccountType = "UNIFIED") -> TopicName[p.UtaBalance]:
    """Private: changes of your balances in an account: "UNIFIED", "FUNDING" or "ISOLATED"."""
    return _build(_row("balance", "account_type", account_type))


def positions(*symbols: str) -> TopicName[p.UtaPosition]:
    """Private: your position in each of these contracts; all your positions without arguments."""
    return _build(_ROWS["position.UNIFIED"], *symbols) if symbols else _build(_ROWS["positionAll.UNIFIED"])


def leverage() -> TopicName[p.UtaLeverage]:
    """Private: changes of your leverage."""
    return _build(_ROWS["leverage.UNIFIED"])


def liquidation_warnings() -> TopicName[p.UtaLiquidationWarning]:
    """Private: warnings before a liquidation, at most once a minute."""
    return _build(_ROWS["lw.UNIFIED"])


def _row(channel: str, name: str, value: str) -> Any:
    """Return the row of a channel for a type of trade or account."""
    row = _ROWS.get(f"{channel}.{value}")
    if row is None:
        values = [key.rpartition(".")[2] for key in _ROWS if key.rpartition(".")[0] == channel]
        hint = f"did you mean {value.upper()}? " if isinstance(value, str) and value.upper() in values else ""
        raise InvalidTopic(f"{name} is {value!r:.80}; {hint}/uta/{channel} has {', '.join(values)}")
    return row
