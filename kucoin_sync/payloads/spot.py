"""Public payloads of the spot and margin feeds, and the depth of both markets.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from msgspec import field

from .base import Level, LevelChange, Part, Payload, Timed, TimedTwice, WireTime, parse_decimal

__all__ = [
    "CallAuction",
    "Depth",
    "FundingBook",
    "IndicatorPrice",
    "Level1",
    "Level2Changes",
    "Level2Update",
    "MarketChange",
    "Snapshot",
    "SymbolStatistics",
    "Ticker",
]


class Ticker(TimedTwice, frozen=True, kw_only=True):
    """The last trade and the best bid and ask: `/market/ticker:{symbol}` and `/market/ticker:all`.

    Its time is in milliseconds and comes as `time`, as `Time` in KuCoin's example for single symbols, and is
    missing in the oldest pushes. The symbol is in the envelope: in the topic, or the subject for `all`.
    """

    wire_best_ask: str | None = field(name="bestAsk", default=None)
    wire_best_ask_size: str | None = field(name="bestAskSize", default=None)
    wire_best_bid: str | None = field(name="bestBid", default=None)
    wire_best_bid_size: str | None = field(name="bestBidSize", default=None)
    price: Decimal
    sequence: int
    wire_size: str | None = field(name="size", default=None)
    wire_time: WireTime = field(name="time", default=0)
    wire_time_alias: WireTime = field(name="Time", default=0)

    @property
    def size(self) -> Decimal | None:
        """The size of the last trade."""
        return parse_decimal(self.wire_size, "/market/ticker")

    @property
    def best_bid(self) -> Decimal | None:
        """The best bid's price."""
        return parse_decimal(self.wire_best_bid, "/market/ticker")

    @property
    def best_bid_size(self) -> Decimal | None:
        """The size at the best bid."""
        return parse_decimal(self.wire_best_bid_size, "/market/ticker")

    @property
    def best_ask(self) -> Decimal | None:
        """The best ask's price."""
        return parse_decimal(self.wire_best_ask, "/market/ticker")

    @property
    def best_ask_size(self) -> Decimal | None:
        """The size at the best ask."""
        return parse_decimal(self.wire_best_ask_size, "/market/ticker")


class Level1(Timed, frozen=True, kw_only=True):
    """The best ask and bid, one row each: `/spotMarket/level1`. Time in milliseconds.

    The names are KuCoin's plurals. A side without orders is None.
    """

    asks: Level | None
    bids: Level | None
    wire_time: WireTime = field(name="timestamp", default=0)


class Depth(TimedTwice, frozen=True, kw_only=True):
    """The best 5 or 50 levels of each side, best first.

    Of `/spotMarket/level2Depth5` and `…50`, `/callauction/level2Depth50`, `/contractMarket/level2Depth5` and
    `…50`. Time in milliseconds. Each push replaces the one before. Only futures send `sequence`, and the same
    time twice (`timestamp`, `ts`). The symbol is in the topic.
    """

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    sequence: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)
    wire_time_alias: WireTime = field(name="ts", default=0)


class Level2Changes(Part, frozen=True):
    """The changed levels of both sides, in the order in which KuCoin sent them."""

    asks: tuple[LevelChange, ...] = ()
    bids: tuple[LevelChange, ...] = ()


class Level2Update(Timed, frozen=True, kw_only=True):
    """Changed price levels: `/market/level2`. Time in milliseconds, missing in older pushes.

    It covers `sequence_start` to `sequence_end`, both included; successive updates may overlap. A change
    has the new size of a level, not a difference.
    """

    changes: Level2Changes
    sequence_end: int
    sequence_start: int
    symbol: str
    wire_time: WireTime = field(name="time", default=0)

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed levels of the sell side."""
        return self.changes.asks

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed levels of the buy side."""
        return self.changes.bids


class MarketChange(Part, frozen=True, kw_only=True):
    """A symbol's figures of the last 1, 4 or 24 hours. `change_rate` is a fraction: 0.02 is 2 %."""

    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    change_price: Decimal | None = None
    change_rate: Decimal | None = None
    volume: Decimal | None = field(name="vol", default=None)
    turnover: Decimal | None = field(name="volValue", default=None)


class SymbolStatistics(Timed, frozen=True, kw_only=True):
    """The inner object of a `Snapshot`: figures of 24 hours, fees and status of one symbol.

    KuCoin sends all numbers as JSON numbers; they are still exact. In KuCoin's JSON `buy` and `sell` are
    the best bid and ask, `vol` and `volValue` volume (base) and turnover (quote). `change_rate` and the fee
    rates are fractions. `board` is 0 for the main board, 1 for KuCoin Plus; `mark` 0 default, 1 special
    treatment, 2 new.
    """

    symbol: str
    symbol_code: str | None = None
    base_currency: str | None = None
    quote_currency: str | None = None
    last_traded_price: Decimal | None = None
    average_price: Decimal | None = None
    best_bid: Decimal | None = field(name="buy", default=None)
    best_bid_size: Decimal | None = field(name="bidSize", default=None)
    best_ask: Decimal | None = field(name="sell", default=None)
    best_ask_size: Decimal | None = field(name="askSize", default=None)
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    change_price: Decimal | None = None
    change_rate: Decimal | None = None
    volume: Decimal | None = field(name="vol", default=None)
    turnover: Decimal | None = field(name="volValue", default=None)
    market_change_1h: MarketChange | None = field(name="marketChange1h", default=None)
    market_change_4h: MarketChange | None = field(name="marketChange4h", default=None)
    market_change_24h: MarketChange | None = field(name="marketChange24h", default=None)
    market: str | None = None
    markets: tuple[str, ...] | None = None
    site_types: tuple[str, ...] | None = None
    maker_fee_rate: Decimal | None = None
    taker_fee_rate: Decimal | None = None
    maker_coefficient: Decimal | None = None
    taker_coefficient: Decimal | None = None
    margin_trade: bool | None = None
    trading: bool | None = None
    board: int | None = None
    mark: int | None = None
    sort: int | None = None
    wire_time: WireTime = field(name="datetime", default=0)


class Snapshot(Payload, frozen=True, kw_only=True):
    """24-hour statistics of one symbol: `/market/snapshot:{symbol}` and `/market/snapshot:{market}`.

    KuCoin nests `data` in the push's `data`: the figures are in `payload.data`. Time in milliseconds.
    """

    sequence: int
    data: SymbolStatistics

    @property
    def symbol(self) -> str:
        """The symbol of the figures; a market's topic does not contain it."""
        return self.data.symbol

    @property
    def time_ns(self) -> int:
        """The instant of the figures in nanoseconds since 1970, UTC; 0 if the push has no time."""
        return self.data.time_ns

    @property
    def datetime(self) -> dt.datetime:
        """The instant of `time_ns` in the time zone UTC, truncated to microseconds."""
        return self.data.datetime


class CallAuction(Timed, frozen=True, kw_only=True):
    """The current estimate of a call auction, and the prices that it accepts: `/callauction/callauctionData`.

    Time in milliseconds.
    """

    symbol: str
    estimated_price: Decimal | None = None
    estimated_size: Decimal | None = None
    sell_order_range_low_price: Decimal | None = None
    sell_order_range_high_price: Decimal | None = None
    buy_order_range_low_price: Decimal | None = None
    buy_order_range_high_price: Decimal | None = None
    wire_time: WireTime = field(name="time", default=0)


class IndicatorPrice(Timed, frozen=True, kw_only=True):
    """An index or mark price: `/indicator/index`, `/indicator/markPrice`.

    Time and `granularity` (the interval between values) in milliseconds.
    """

    symbol: str
    value: Decimal
    granularity: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingBook(Timed, frozen=True, kw_only=True):
    """A change of the lending book: `/margin/fundingBook`, absent from KuCoin's current documentation.

    `side` is "lend" or "borrow", `term` in days, `size` the new total at this rate and term, the rates are
    fractions. Time in nanoseconds.
    """

    currency: str
    daily_int_rate: Decimal
    size: Decimal
    term: int | None = None
    side: str | None = None
    annual_int_rate: Decimal | None = None
    sequence: int | None = None
    wire_time: WireTime = field(name="ts", default=0)
