"""Payloads of the account's own spot and margin feeds.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples. Statuses
and types are plain text, with the known values in the docstrings: KuCoin adds to them.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from .base import Part, Side, Timed, WireTime, to_ns

__all__ = [
    "AssetBalance",
    "Balance",
    "DebtRatio",
    "IsolatedAsset",
    "IsolatedPosition",
    "LoanOrder",
    "OrderChange",
    "PositionStatus",
    "RelationContext",
    "StopOrder",
]


class OrderChange(Timed, frozen=True, kw_only=True):
    """An event of one of the account's orders: `/spotMarket/tradeOrdersV2` and `/spotMarket/tradeOrders`.

    `type` is what happened: "received" (V2 only), "open", "match", "filled", "canceled", "update". `status`
    is the order's state after it: "new", "open", "match", "done". Which fields are present depends on `type`:
    "match" has `match_price`, `match_size`, `trade_id` and `liquidity` ("maker" or "taker"), "update" has
    `old_size`; a market order has no price, and `origin_funds` where it was placed by value. `filled_size`
    and `remain_size` are totals. Time in nanoseconds; `orderTime` was in nanoseconds too and is in
    milliseconds now.
    """

    symbol: str
    order_id: str
    client_oid: str | None = None
    type: str
    status: str | None = None
    side: Side
    order_type: str | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    origin_size: Decimal | None = None
    filled_size: Decimal | None = None
    remain_size: Decimal | None = None
    canceled_size: Decimal | None = None
    old_size: Decimal | None = None
    funds: Decimal | None = None
    origin_funds: Decimal | None = None
    remain_funds: Decimal | None = None
    canceled_funds: Decimal | None = None
    match_price: Decimal | None = None
    match_size: Decimal | None = None
    trade_id: str | None = None
    liquidity: str | None = None
    fee_type: str | None = None
    trade_type: str | None = None
    wire_order_time: WireTime = field(name="orderTime", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def order_time_ns(self) -> int:
        """When the order was placed, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_order_time)


class StopOrder(Timed, frozen=True, kw_only=True):
    """An event of one of the account's stop orders: `/spotMarket/advancedOrders`.

    `type` is "open", "triggered" or "cancel"; `stop` is such as "loss" or "entry". After "triggered" the
    order continues in the order feed; `trigger_success` and `error` report the result. Time in nanoseconds,
    `createdAt` in milliseconds.
    """

    symbol: str
    order_id: str
    type: str
    side: Side
    stop: str | None = None
    stop_price: Decimal | None = None
    order_type: str | None = None
    order_price: Decimal | None = None
    size: Decimal | None = None
    funds: Decimal | None = None
    trade_type: str | None = None
    trigger_success: bool | None = None
    error: str | None = None
    wire_created: WireTime = field(name="createdAt", default=0)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def created_ns(self) -> int:
        """When the stop order was placed, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_created)


class RelationContext(Part, frozen=True, kw_only=True):
    """The order or trade behind a change of a balance; empty for transfers and deposits."""

    symbol: str | None = None
    order_id: str | None = None
    trade_id: str | None = None


class Balance(Timed, frozen=True, kw_only=True):
    """A change of a spot or margin balance: `/account/balance`. Time in milliseconds, as text.

    `total` is `available` plus `hold`. `relation_event` is the reason, such as "main.deposit", "trade.hold",
    "trade.setted" (KuCoin's spelling), "trade_hf.hold", "margin.transfer", "other".
    """

    currency: str
    total: Decimal
    available: Decimal
    hold: Decimal
    available_change: Decimal | None = None
    hold_change: Decimal | None = None
    account_id: str | None = None
    relation_event: str | None = None
    relation_event_id: str | None = None
    relation_context: RelationContext | None = None
    wire_time: WireTime = field(name="time", default=0)


class AssetBalance(Part, frozen=True, kw_only=True):
    """One currency of a cross margin account."""

    total: Decimal | None = None
    available: Decimal | None = None
    hold: Decimal | None = None


class DebtRatio(Timed, frozen=True, kw_only=True):
    """The debt of a cross margin account: `/margin/position`, subject `debt.ratio`. Time in milliseconds.

    `debt_ratio` is a fraction; totals are in BTC. `asset_list` and `debt_list` are keyed by currency; the
    former and the totals of assets are missing in older pushes.
    """

    debt_ratio: Decimal
    total_debt: Decimal | None = None
    total_asset: Decimal | None = None
    margin_coefficient_total_asset: Decimal | None = None
    asset_list: dict[str, AssetBalance] | None = None
    debt_list: dict[str, Decimal] | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class PositionStatus(Timed, frozen=True, kw_only=True):
    """A cross margin account changed its status: `/margin/position`, subject `position.status`.

    Time in milliseconds. `type` is "FROZEN_FL" and "UNFROZEN_FL" (debt ratio over the limit, liquidation
    done), "FROZEN_RENEW" and "UNFROZEN_RENEW" (begin and end of an automatic renewal), "LIABILITY" and
    "UNLIABILITY" (negative balance and its end).
    """

    type: str
    wire_time: WireTime = field(name="timestamp", default=0)


class IsolatedAsset(Part, frozen=True, kw_only=True):
    """One of the two currencies of an isolated margin position."""

    total: Decimal | None = None
    hold: Decimal | None = None
    liability_principal: Decimal | None = None
    liability_interest: Decimal | None = None


class IsolatedPosition(Timed, frozen=True, kw_only=True):
    """A change of an isolated margin position: `/margin/isolatedPosition`. Time in milliseconds.

    `symbol` is `tag` in KuCoin's JSON. `status` is such as "DEBT", "CLEAR", "IN_BORROW", "IN_REPAY",
    "IN_LIQUIDATION", `status_biz_type` why, such as "DEFAULT_DEBT", "FORCE_LIQUIDATION", "USER_BORROW".
    `change_assets` is keyed by currency.
    """

    symbol: str = field(name="tag")
    status: str | None = None
    status_biz_type: str | None = None
    accumulated_principal: Decimal | None = None
    change_assets: dict[str, IsolatedAsset] | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class LoanOrder(Timed, frozen=True, kw_only=True):
    """An event of one of the account's lending orders: `/margin/loan`, absent from the current documentation.

    Subjects `order.open`, `order.update` (has `lent_size`) and `order.done` (has `reason`, "filled" or
    "canceled", and no size). `side` is "lend" or "borrow", `term` in days, the rate a fraction. Time in
    nanoseconds.
    """

    currency: str
    order_id: str
    side: str | None = None
    size: Decimal | None = None
    lent_size: Decimal | None = None
    daily_int_rate: Decimal | None = None
    term: int | None = None
    reason: str | None = None
    wire_time: WireTime = field(name="ts", default=0)
