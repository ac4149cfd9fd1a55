"""Payloads of the account's own futures feeds. Sizes are in contracts (lots) unless a class says otherwise.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples. Statuses
and types are plain text, with the known values in the docstrings: KuCoin adds to them.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from .base import KeyedBySymbol, Part, Payload, Side, Timed, WireTime, to_ns

__all__ = [
    "CrossLeverage",
    "FuturesOrderChange",
    "FuturesStopOrder",
    "Leverage",
    "MarginMode",
    "PositionChange",
    "PositionRiskLimit",
    "PositionSettlement",
    "Wallet",
]


class FuturesOrderChange(Timed, frozen=True, kw_only=True):
    """An event of one of the account's orders: `/contractMarket/tradeOrders`. Both times in nanoseconds.

    `type` is what happened: "open", "match", "filled", "canceled", "update"; `status` the state after it:
    "open", "match", "done". `trade_type` is "trade", "liquid" or "adl", `liquidity` "maker" or "taker".
    `match_price`, `match_size` and `trade_id` come with "match", `old_size` with "update"; KuCoin sends ""
    for numbers that do not apply, which are None here.
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
        """When the order was placed, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_order_time)


class FuturesStopOrder(Timed, frozen=True, kw_only=True):
    """An event of one of the account's stop orders: `/contractMarket/advancedOrders`.

    `type` is "open", "triggered" or "cancel"; `stop` is "up" or "down"; `stop_price_type` "TP" (trade price),
    "MP" (mark price) or "IP" (index price). Time in nanoseconds, `createdAt` in milliseconds.
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
        """When the stop order was placed, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_created)


class Wallet(Timed, frozen=True, kw_only=True):
    """A change of a futures balance: `/contractAccount/wallet`. Time in milliseconds, as text or number.

    Subject `walletBalance.change` has the whole balance. The older subjects have one figure each and end for
    an account with its first switch to cross margin: `orderMargin.change` (`order_margin`),
    `availableBalance.change` (`available_balance`, `hold_balance`), `withdrawHold.change` (`withdraw_hold`).
    With a cross margin position the available balance follows the mark price without a new `version`.
    `…_un_pnl` is unrealised profit and loss.
    """

    currency: str
    equity: Decimal | None = None
    wallet_balance: Decimal | None = None
    available_balance: Decimal | None = None
    available_margin: Decimal | None = None
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
    "changeRiskLimit"; where only the mark price moved, KuCoin sends neither reason nor symbol (it is in the
    topic) and just the figures that follow the mark price. `current_qty` is negative for a short position.
    Rates and `…_pcnt` are fractions. Times in milliseconds. Names are KuCoin's: `pos_…` position, `maint_…`
    maintenance, `…_comm` commission, `delev_percentage` rank for automatic deleveraging. The fields from
    `auto_deposit` to `maint_margin` are for isolated margin. `deal_comm`, `funding_fee`, `tax` and `agg_rate` came in
    2025 and 2026, and KuCoin does not document them.
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
    deal_comm: Decimal | None = None
    funding_fee: Decimal | None = None
    tax: Decimal | None = None
    agg_rate: Decimal | None = None
    wire_opening_time: WireTime = field(name="openingTimestamp", default=0)
    wire_time: WireTime = field(name="currentTimestamp", default=0)

    @property
    def opening_ns(self) -> int:
        """When the position was opened, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_opening_time)


class PositionSettlement(Timed, frozen=True, kw_only=True):
    """Funding was paid for a position: `/contract/position`, subject `position.settlement`.

    `qty` is the position in contracts. Time in nanoseconds, `fundingTime` in milliseconds. The symbol is in
    the topic.
    """

    funding_rate: Decimal
    funding_fee: Decimal
    position_side: str | None = None
    qty: Decimal | None = None
    mark_price: Decimal | None = None
    settle_currency: str | None = None
    margin_mode: str | None = None
    wire_funding_time: WireTime = field(name="fundingTime", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def funding_time_ns(self) -> int:
        """The instant that was settled, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_funding_time)


class PositionRiskLimit(Payload, frozen=True, kw_only=True):
    """The result of a change of the risk limit: `/contract/position`, subject `position.adjustRiskLimit`.

    `msg` says why it failed. It has no time; the symbol is in the topic.
    """

    success: bool
    risk_limit_level: int | None = None
    msg: str | None = None


class MarginMode(KeyedBySymbol, frozen=True):
    """The margin modes that changed: `/contract/marginMode`, each symbol's "ISOLATED" or "CROSS"."""

    by_symbol: dict[str, str]


class Leverage(Part, frozen=True):
    """The leverage of one contract."""

    leverage: Decimal


class CrossLeverage(KeyedBySymbol, frozen=True):
    """The leverages that changed under cross margin: `/contract/crossLeverage`, each symbol's `Leverage`."""

    by_symbol: dict[str, Leverage]
