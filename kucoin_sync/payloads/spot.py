"""Public payloads of the spot and margin feeds, and both generations of level 3.

Sources, unless a class says more: KuCoin's API documentation (classic and current) and its published examples.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import field

from .base import Level, LevelChange, Part, Payload, Side, Timed, TimedTwice, WireTime, to_ns

__all__ = [
    "CallAuction",
    "Candle",
    "Candles",
    "Depth",
    "FundingBook",
    "IndicatorPrice",
    "Level1",
    "Level2Changes",
    "Level2Update",
    "Level3Change",
    "Level3Done",
    "Level3Event",
    "Level3Open",
    "Level3Received",
    "Level3Update",
    "MarketChange",
    "Match",
    "Snapshot",
    "SymbolStatistics",
    "Ticker",
]


class Ticker(TimedTwice, frozen=True, kw_only=True):
    """The last trade and the best bid and ask: `/market/ticker:{symbol}` and `/market/ticker:all`.

    Its time is in milliseconds and comes as `time`, as `Time` in KuCoin's example for single symbols, and is
    missing in pushes of before 2020. The symbol is in the envelope: in the topic, or the subject for `all`.
    """

    sequence: int
    price: Decimal
    size: Decimal | None = None
    best_bid: Decimal | None = None
    best_bid_size: Decimal | None = None
    best_ask: Decimal | None = None
    best_ask_size: Decimal | None = None
    wire_time_alias: WireTime = field(name="Time", default=0)


class Level1(Timed, frozen=True, kw_only=True):
    """The best ask and bid, one row each: `/spotMarket/level1`. Time in milliseconds.

    The names are KuCoin's plurals. A side without orders is None.
    """

    asks: Level | None
    bids: Level | None
    wire_time: WireTime = field(name="timestamp", default=0)


class Depth(TimedTwice, frozen=True, kw_only=True):
    """The best 5 or 50 levels of each side, best first.

    Of `/spotMarket/level2Depth5` and `…50`, `/callauction/level2Depth50`, `/contractMarket/level2Depth5` and `…50`.
    Time in milliseconds. Each push replaces the one before. Only futures send `sequence`, and the same time twice
    (`timestamp`, `ts`). The symbol is in the topic.
    """

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    sequence: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class Level2Changes(Part, frozen=True):
    """The changed levels of both sides, in the order in which KuCoin sent them."""

    asks: tuple[LevelChange, ...] = ()
    bids: tuple[LevelChange, ...] = ()


class Level2Update(Timed, frozen=True, kw_only=True):
    """Changed price levels: `/market/level2`. Time in milliseconds, missing in pushes of before 2022.

    It covers `sequence_start` to `sequence_end`, both included; successive updates may overlap. A change tells the
    new size of a level, not a difference.
    """

    symbol: str
    sequence_start: int
    sequence_end: int
    changes: Level2Changes

    @property
    def asks(self) -> tuple[LevelChange, ...]:
        """The changed levels of the sell side."""
        return self.changes.asks

    @property
    def bids(self) -> tuple[LevelChange, ...]:
        """The changed levels of the buy side."""
        return self.changes.bids


class Candle(Part, frozen=True, array_like=True):
    """One candle as KuCoin orders it: start, open, close, high, low, volume in base, turnover in quote currency.

    `wire_start` is in seconds.
    """

    wire_start: WireTime
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal


class Candles(Timed, frozen=True, kw_only=True):
    """The current candle of a symbol, pushed as it changes: `/market/candles`. Time in nanoseconds.

    Despite the plural, which is KuCoin's, it is one candle; a new `start_ns` means that the one before is finished.
    The length is in the topic.
    """

    symbol: str
    candles: Candle

    @property
    def start_ns(self) -> int:
        """When the candle starts, in nanoseconds since 1970, UTC."""
        return to_ns(self.candles.wire_start)

    @property
    def open(self) -> Decimal:
        """The first price."""
        return self.candles.open

    @property
    def high(self) -> Decimal:
        """The highest price."""
        return self.candles.high

    @property
    def low(self) -> Decimal:
        """The lowest price."""
        return self.candles.low

    @property
    def close(self) -> Decimal:
        """The last price so far."""
        return self.candles.close

    @property
    def volume(self) -> Decimal:
        """The traded size in the base currency."""
        return self.candles.volume

    @property
    def turnover(self) -> Decimal:
        """The traded value in the quote currency."""
        return self.candles.turnover


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
    """The inner object of a `Snapshot`: figures of 24 hours, fees and standing of one symbol.

    KuCoin sends all numbers as JSON numbers; they are exact nevertheless. `buy` and `sell` on the wire are the best
    bid and ask, `vol` and `volValue` volume (base) and turnover (quote). `change_rate` and the fee rates are
    fractions. `board` is 0 for the main board, 1 for KuCoin Plus; `mark` 0 default, 1 special treatment, 2 new.
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
        """The symbol that the figures are of; a market's topic does not tell it."""
        return self.data.symbol

    time_ns = Timed.time_ns
    datetime = Timed.datetime

    @property
    def wire_time(self) -> int:
        """The inner object's `datetime` as it came."""
        return self.data.wire_time


class CallAuction(Timed, frozen=True, kw_only=True):
    """What a call auction would trade now, and the prices it accepts: `/callauction/callauctionData`. Milliseconds."""

    symbol: str
    estimated_price: Decimal | None = None
    estimated_size: Decimal | None = None
    sell_order_range_low_price: Decimal | None = None
    sell_order_range_high_price: Decimal | None = None
    buy_order_range_low_price: Decimal | None = None
    buy_order_range_high_price: Decimal | None = None


class IndicatorPrice(Timed, frozen=True, kw_only=True):
    """An index or mark price: `/indicator/index`, `/indicator/markPrice`.

    Time and `granularity` (the interval between values) in milliseconds.
    """

    symbol: str
    value: Decimal
    granularity: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingBook(Timed, frozen=True, kw_only=True):
    """A change of the lending book: `/margin/fundingBook`, in KuCoin's documentation until 2023.

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


class Level3Event(TimedTwice, frozen=True, kw_only=True):
    """What the events of both generations of level 3 share.

    The first (`/market/level3`) names the time `time` and sends it and the sequence as text, the second
    (`/spotMarket/level3`) names it `ts` and sends numbers; both are in nanoseconds. Only the first has `type`.
    Each event's sequence is its predecessor's plus 1.
    """

    symbol: str
    sequence: int
    type: str | None = None


class Level3Received(Level3Event, frozen=True, kw_only=True):
    """An order was accepted; the book does not change: subjects `trade.l3received` and `received`.

    On an authorised connection `type` may be "activated" instead of "received": one of the account's own stop
    orders became active. The second generation has neither price nor side. A market order has no price, and may
    have `funds` instead of a size.
    """

    order_id: str
    client_oid: str | None = None
    order_type: str | None = None
    side: Side | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    funds: Decimal | None = None

    @property
    def activated(self) -> bool:
        """Whether it tells of an own stop order that became active, and not of a new order."""
        return self.type == "activated"


class Level3Open(Level3Event, frozen=True, kw_only=True):
    """An order came to rest on the book: subjects `trade.l3open` and `open`.

    A hidden order has the price "" and the size "0" on the wire; its `price` is None, and it only advances the
    sequence. `wire_order_time` (second generation) is when the order was accepted: it decides the rank among orders
    of one price.
    """

    order_id: str
    side: Side
    price: Decimal | None
    size: Decimal
    wire_order_time: WireTime = field(name="orderTime", default=0)

    @property
    def hidden(self) -> bool:
        """Whether the order does not show on the book."""
        return self.price is None

    @property
    def order_time_ns(self) -> int:
        """When the order was accepted, in nanoseconds since 1970, UTC; 0 in the first generation."""
        return to_ns(self.wire_order_time)


class Match(Level3Event, frozen=True, kw_only=True):
    """A trade: `/market/match`, and the subjects `trade.l3match` and `match` of level 3.

    `side` is the taker's. `remain_size` (second generation of level 3) is what is left of the maker's order. Time
    in nanoseconds, as text except in the second generation.
    """

    price: Decimal
    size: Decimal
    side: Side
    trade_id: str
    maker_order_id: str
    taker_order_id: str
    remain_size: Decimal | None = None


class Level3Change(Level3Event, frozen=True, kw_only=True):
    """The size of a resting order shrank: subject `trade.l3change`, first generation only."""

    order_id: str
    new_size: Decimal
    old_size: Decimal | None = None
    side: Side | None = None
    price: Decimal | None = None


class Level3Update(Level3Event, frozen=True, kw_only=True):
    """The size of a resting order shrank to `size`: subject `update`, second generation only."""

    order_id: str
    size: Decimal


class Level3Done(Level3Event, frozen=True, kw_only=True):
    """An order left the book or ended without having been on it: subjects `trade.l3done` and `done`.

    `reason` is "filled" or "canceled". Side and size come in the first generation only.
    """

    order_id: str
    reason: str | None = None
    side: Side | None = None
    price: Decimal | None = None
    size: Decimal | None = None
