"""Payloads of the futures feeds, public and private. Sizes are in contracts (lots) unless a class says otherwise.

Sources, unless a class says more: KuCoin's API documentation (classic and current) and its published examples.
Statuses and types are plain text, with the known values in the docstrings: KuCoin adds to them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, cast

from msgspec import Meta, field

from .base import KeyedBySymbol, Part, Payload, Side, Timed, WireTime, to_ns
from .spot import Candle, Candles

__all__ = [
    "CrossLeverage",
    "FundingRate",
    "FundingSettlement",
    "FuturesCandle",
    "FuturesCandles",
    "FuturesLevel2Update",
    "FuturesMatch",
    "FuturesOrderChange",
    "FuturesSnapshot",
    "FuturesStopOrder",
    "FuturesTicker",
    "FuturesTickerV2",
    "Leverage",
    "MarginMode",
    "MarkIndexPrice",
    "PositionChange",
    "PositionRiskLimit",
    "PositionSettlement",
    "Wallet",
]

_NUMBER = r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?"
_CHANGE = rf"^{_NUMBER},(buy|sell),{_NUMBER}\Z"


class FuturesTickerV2(Timed, frozen=True, kw_only=True):
    """The best bid and ask: `/contractMarket/tickerV2`. Time in nanoseconds.

    On the wire the prices are `bestBidPrice` and `bestAskPrice`. `sequence` is that of the level 2 feed, with
    holes; pushes of before 2023 lack it.
    """

    symbol: str
    best_bid: Decimal | None = field(name="bestBidPrice")
    best_bid_size: Decimal | None = None
    best_ask: Decimal | None = field(name="bestAskPrice")
    best_ask_size: Decimal | None = None
    sequence: int | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesTicker(Timed, frozen=True, kw_only=True):
    """The last trade with the best bid and ask: `/contractMarket/ticker`, which KuCoin advises against. Nanoseconds.

    `side` is the taker's. On the wire the best prices are `bestBidPrice` and `bestAskPrice`.
    """

    symbol: str
    sequence: int
    price: Decimal
    size: Decimal | None = None
    side: Side | None = None
    trade_id: str | None = None
    best_bid: Decimal | None = field(name="bestBidPrice", default=None)
    best_bid_size: Decimal | None = None
    best_ask: Decimal | None = field(name="bestAskPrice", default=None)
    best_ask_size: Decimal | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesLevel2Update(Timed, frozen=True, kw_only=True):
    """One changed price level: `/contractMarket/level2`. Time in milliseconds. The symbol is in the topic.

    `change` is KuCoin's text, "price,side,size", which `price`, `side` and `size` read; size 0 removes the level.
    Each update's sequence is its predecessor's plus 1.
    """

    sequence: int
    change: Annotated[str, Meta(pattern=_CHANGE)]
    wire_time: WireTime = field(name="timestamp", default=0)

    @property
    def price(self) -> Decimal:
        """The price of the level."""
        return Decimal(self.change.split(",")[0])

    @property
    def side(self) -> Side:
        """The side of the book: "buy" for bids, "sell" for asks."""
        return cast(Side, self.change.split(",")[1])

    @property
    def size(self) -> Decimal:
        """The new size at the price, in contracts."""
        return Decimal(self.change.split(",")[2])


class FuturesMatch(Timed, frozen=True, kw_only=True):
    """A trade: `/contractMarket/execution`. Time in nanoseconds. `side` is the taker's."""

    symbol: str
    sequence: int
    price: Decimal
    size: Decimal
    side: Side
    trade_id: str
    maker_order_id: str | None = None
    taker_order_id: str | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesCandle(Candle, frozen=True, array_like=True):
    """One candle: start, open, close, high, low, then **turnover before volume**.

    KuCoin's documentation lists the sixth value as a volume that "is incorrect", the seventh as the amount. The
    seventh is the number of contracts. The sixth is the value in the settlement currency in current pushes (as
    price times contracts confirms), and repeated the number of contracts in those of 2024.
    """

    volume: Decimal
    turnover: Decimal


class FuturesCandles(Candles, frozen=True, kw_only=True):
    """The current candle of a contract: `/contractMarket/limitCandle`, once a second. Time in milliseconds.

    `volume` is in contracts; see `FuturesCandle` for what `turnover` is worth.
    """

    candles: FuturesCandle


class MarkIndexPrice(Timed, frozen=True, kw_only=True):
    """Mark and index price: `/contract/instrument`, subject `mark.index.price`.

    Time and `granularity` in milliseconds. The symbol is in the topic.
    """

    mark_price: Decimal
    index_price: Decimal
    granularity: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingRate(Timed, frozen=True, kw_only=True):
    """The funding rate as a fraction: `/contract/instrument`, subject `funding.rate`.

    Time and `granularity` in milliseconds. The symbol is in the topic. `period` is sent but not documented.
    """

    funding_rate: Decimal
    granularity: int | None = None
    period: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingSettlement(Timed, frozen=True, kw_only=True):
    """A funding settlement begins or ends: `/contract/announcement`, subjects `funding.begin` and `funding.end`.

    Times in milliseconds; the rate is a fraction.
    """

    symbol: str
    funding_rate: Decimal
    wire_funding_time: WireTime = field(name="fundingTime", default=0)
    wire_time: WireTime = field(name="timestamp", default=0)

    @property
    def funding_time_ns(self) -> int:
        """The instant that is settled, in nanoseconds since 1970, UTC."""
        return to_ns(self.wire_funding_time)


class FuturesSnapshot(Timed, frozen=True, kw_only=True):
    """24-hour statistics: `/contractMarket/snapshot`, every 5 seconds. Time in nanoseconds.

    `volume` is in the base currency, not in contracts; `turnover` in the settlement currency; `price_chg_pct`
    a fraction. Pushes of before 2024 have neither symbol nor high and low; `funding_rate` is sent but not documented.
    """

    last_price: Decimal
    symbol: str | None = None
    high_price: Decimal | None = None
    low_price: Decimal | None = None
    price_24_hours_before: Decimal | None = field(name="price24HoursBefore", default=None)
    price_chg: Decimal | None = None
    price_chg_pct: Decimal | None = None
    volume: Decimal | None = None
    turnover: Decimal | None = None
    funding_rate: Decimal | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesOrderChange(Timed, frozen=True, kw_only=True):
    """An event in the life of an own order: `/contractMarket/tradeOrders`. Both times in nanoseconds.

    `type` is what happened: "open", "match", "filled", "canceled", "update"; `status` the state after it: "open",
    "match", "done". `trade_type` is "trade", "liquid" or "adl", `liquidity` "maker" or "taker". `match_price`,
    `match_size` and `trade_id` come with "match", `old_size` with "update"; KuCoin sends "" for numbers that do
    not apply, which are None here.
    """

    symbol: str
    order_id: str
    client_oid: str | None = None
    type: str
    status: str | None = None
    side: Side
    order_type: str | None = None
    trade_type: str | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    filled_size: Decimal | None = None
    remain_size: Decimal | None = None
    canceled_size: Decimal | None = None
    all_canceled_size: Decimal | None = None
    old_size: Decimal | None = None
    match_price: Decimal | None = None
    match_size: Decimal | None = None
    trade_id: str | None = None
    liquidity: str | None = None
    fee_type: str | None = None
    margin_mode: str | None = None
    position_side: str | None = None
    wire_order_time: WireTime = field(name="orderTime", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def order_time_ns(self) -> int:
        """When the order was placed, in nanoseconds since 1970, UTC; 0 where the push does not tell."""
        return to_ns(self.wire_order_time)


class FuturesStopOrder(Timed, frozen=True, kw_only=True):
    """An event in the life of an own stop order: `/contractMarket/advancedOrders`.

    `type` is "open", "triggered" or "cancel"; `stop` is "up" or "down"; `stop_price_type` "TP" (trade price), "MP"
    (mark price) or "IP" (index price). Time in nanoseconds, `createdAt` in milliseconds.
    """

    symbol: str
    order_id: str
    type: str
    side: Side | None = None
    stop: str | None = None
    stop_price: Decimal | None = None
    stop_price_type: str | None = None
    order_type: str | None = None
    order_price: Decimal | None = None
    size: Decimal | None = None
    margin_mode: str | None = None
    position_side: str | None = None
    trigger_success: bool | None = None
    error: str | None = None
    wire_created: WireTime = field(name="createdAt", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def created_ns(self) -> int:
        """When the stop order was placed, in nanoseconds since 1970, UTC; 0 where the push does not tell."""
        return to_ns(self.wire_created)


class Wallet(Timed, frozen=True, kw_only=True):
    """A change of a futures balance: `/contractAccount/wallet`. Time in milliseconds, as text or number.

    Subject `walletBalance.change` has the whole balance. The older subjects have one figure each and end for an
    account with its first switch to cross margin: `orderMargin.change` (`order_margin`), `availableBalance.change`
    (`available_balance`, `hold_balance`), `withdrawHold.change` (`withdraw_hold`). With a cross margin position the
    available balance follows the mark price without a new `version`. `…_un_pnl` is unrealised profit and loss.
    """

    currency: str
    equity: Decimal | None = None
    wallet_balance: Decimal | None = None
    available_balance: Decimal | None = None
    hold_balance: Decimal | None = None
    max_withdraw_amount: Decimal | None = None
    total_cross_margin: Decimal | None = None
    cross_pos_margin: Decimal | None = None
    cross_order_margin: Decimal | None = None
    cross_un_pnl: Decimal | None = None
    isolated_pos_margin: Decimal | None = None
    isolated_order_margin: Decimal | None = None
    isolated_funding_fee_margin: Decimal | None = None
    isolated_un_pnl: Decimal | None = None
    order_margin: Decimal | None = None
    withdraw_hold: Decimal | None = None
    version: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class PositionChange(Timed, frozen=True, kw_only=True):
    """A position as it is now: `/contract/position` and `/contract/positionAll`, subject `position.change`.

    `change_reason` is "marginChange", "positionChange", "liquidation", "autoAppendMarginStatusChange", "adl",
    "changeRiskLimit"; where only the mark price moved, KuCoin sends neither reason nor symbol (it is in the topic)
    and just the figures that follow the mark price. `current_qty` is negative for a short position. Rates and
    `…_pcnt` are fractions. Times in milliseconds. Names are KuCoin's: `pos_…` position, `maint_…` maintenance,
    `…_comm` commission, `delev_percentage` rank for automatic deleveraging. The fields from `auto_deposit` on are
    for isolated margin.
    """

    symbol: str | None = None
    mark_price: Decimal
    change_reason: str | None = None
    margin_mode: str | None = None
    cross_mode: bool | None = None
    position_side: str | None = None
    is_open: bool | None = None
    current_qty: Decimal | None = None
    current_cost: Decimal | None = None
    current_comm: Decimal | None = None
    avg_entry_price: Decimal | None = None
    mark_value: Decimal | None = None
    liquidation_price: Decimal | None = None
    bankrupt_price: Decimal | None = None
    leverage: Decimal | None = None
    settle_currency: str | None = None
    unrealised_cost: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    unrealised_pnl_pcnt: Decimal | None = None
    unrealised_roe_pcnt: Decimal | None = None
    realised_cost: Decimal | None = None
    realised_pnl: Decimal | None = None
    realised_gross_cost: Decimal | None = None
    realised_gross_pnl: Decimal | None = None
    pos_cost: Decimal | None = None
    pos_init: Decimal | None = None
    pos_maint: Decimal | None = None
    pos_margin: Decimal | None = None
    maint_margin_req: Decimal | None = None
    delev_percentage: Decimal | None = None
    risk_limit_level: int | None = None
    auto_deposit: bool | None = None
    risk_limit: Decimal | None = None
    real_leverage: Decimal | None = None
    pos_comm: Decimal | None = None
    pos_cross: Decimal | None = None
    pos_funding: Decimal | None = None
    pos_loss: Decimal | None = None
    maint_margin: Decimal | None = None
    wire_opening_time: WireTime = field(name="openingTimestamp", default=0)
    wire_time: WireTime = field(name="currentTimestamp", default=0)

    @property
    def opening_ns(self) -> int:
        """When the position was opened, in nanoseconds since 1970, UTC; 0 where the push does not tell."""
        return to_ns(self.wire_opening_time)


class PositionSettlement(Timed, frozen=True, kw_only=True):
    """Funding was paid for a position: `/contract/position`, subject `position.settlement`.

    `qty` is the position in contracts; `funding_fee` is negative where it was paid, positive where received. Time
    in nanoseconds, `fundingTime` in milliseconds. The symbol is in the topic.
    """

    funding_rate: Decimal
    funding_fee: Decimal
    qty: Decimal | None = None
    mark_price: Decimal | None = None
    settle_currency: str | None = None
    margin_mode: str | None = None
    wire_funding_time: WireTime = field(name="fundingTime", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def funding_time_ns(self) -> int:
        """The instant that was settled, in nanoseconds since 1970, UTC; 0 where the push does not tell."""
        return to_ns(self.wire_funding_time)


class PositionRiskLimit(Payload, frozen=True, kw_only=True):
    """The outcome of a change of the risk limit: `/contract/position`, subject `position.adjustRiskLimit`.

    `msg` tells why it failed. It has no time; the symbol is in the topic.
    """

    success: bool
    risk_limit_level: int | None = None
    msg: str | None = None


class MarginMode(KeyedBySymbol, frozen=True):
    """The margin modes that changed: `/contract/marginMode`. Maps a symbol to "ISOLATED" or "CROSS"."""

    by_symbol: dict[str, str]


class Leverage(Part, frozen=True):
    """The leverage of one contract."""

    leverage: Decimal


class CrossLeverage(KeyedBySymbol, frozen=True):
    """The leverages that changed under cross margin: `/contract/crossLeverage`. Maps a symbol to its `Leverage`."""

    by_symbol: dict[str, Leverage]
