"""Payloads of the account's own topics of KuCoin's UTA feed.

The properties have the names of their siblings in the classic feed. Side, order type and liquidity are in lower case,
as there; all other words are KuCoin's. KuCoin writes "" for what does not apply; such a number is None. Sources:
KuCoin's documentation; for orders, balances and positions also observed pushes.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from .base import Payload, Timed, WireTime, to_ns
from .words import lower, side_of

__all__ = [
    "UtaBalance",
    "UtaExecution",
    "UtaExecutionLite",
    "UtaLeverage",
    "UtaLiquidationWarning",
    "UtaOrder",
    "UtaPosition",
]

#: The states of an order, by KuCoin's numbers for them (documented).
_STATUS = {
    "0": "notTriggered",
    "1": "triggered",
    "2": "live",
    "3": "filled",
    "4": "partialFilled",
    "5": "canceled",
    "6": "partialCanceled",
}


class UtaOrder(Timed, frozen=True, kw_only=True):
    """An event of one of the account's orders: `/uta/orderAll.UNIFIED` and `/uta/order.UNIFIED`. Times in nanoseconds.

    `type` is what happened: "OPEN", "UPDATE", "FILL", "MATCH", "CANCEL", "TRIGGER". `trade_type` is "SPOT", "FUTURES"
    or "MARGIN"; `size_unit` "BASECCY", "QUOTECCY" or "UNIT" (contracts); `time_in_force` "GTC", "IOC", "FOK", "GTT" or
    "RPI". `filled_size`, `remain_size`, `average_price` and `fee` are totals; `match_price` and `match_size` are those
    of the last trade. `trigger_…` is the condition of an order that waits, `take_profit_…` and `stop_loss_…` are
    attached to an order. `parent_order_id` is the order of which this one came; the new order of a triggered order may
    be pushed before its "TRIGGER".
    """

    symbol: str = field(name="s")
    wire_order_id: str = field(name="oi")
    client_oid: str | None = field(name="ci", default=None)
    type: str = field(name="eT")
    wire_status: str | None = field(name="os", default=None)
    wire_side: str | None = field(name="S", default=None)
    position_side: str | None = field(name="pS", default=None)
    wire_order_type: str | None = field(name="oT", default=None)
    price: Decimal | None = field(name="p", default=None)
    size: Decimal | None = field(name="q", default=None)
    size_unit: str | None = field(name="qU", default=None)
    filled_size: Decimal | None = field(name="fS", default=None)
    remain_size: Decimal | None = field(name="rS", default=None)
    canceled_size: Decimal | None = field(name="cS", default=None)
    cancel_reason: str | None = field(name="cR", default=None)
    match_price: Decimal | None = field(name="ls", default=None)
    match_size: Decimal | None = field(name="lS", default=None)
    average_price: Decimal | None = field(name="aP", default=None)
    wire_trade_id: str | None = field(name="ti", default=None)
    wire_liquidity: str | None = field(name="lR", default=None)
    fee: Decimal | None = field(name="f", default=None)
    fee_currency: str | None = field(name="fC", default=None)
    tax: Decimal | None = field(name="t", default=None)
    trade_type: str | None = field(name="tT", default=None)
    order_source: str | None = field(name="oS", default=None)
    leverage: Decimal | None = field(name="l", default=None)
    margin_mode: str | None = field(name="mM", default=None)
    trigger_direction: str | None = field(name="tD", default=None)
    trigger_price: Decimal | None = field(name="tP", default=None)
    trigger_price_type: str | None = field(name="tPT", default=None)
    take_profit_price: Decimal | None = field(name="pP", default=None)
    take_profit_price_type: str | None = field(name="pPT", default=None)
    take_profit_order_price: Decimal | None = field(name="pOP", default=None)
    stop_loss_price: Decimal | None = field(name="lP", default=None)
    stop_loss_price_type: str | None = field(name="lPT", default=None)
    stop_loss_order_price: Decimal | None = field(name="lOP", default=None)
    wire_parent_order_id: str | None = field(name="toi", default=None)
    self_trade_prevention: str | None = field(name="stp", default=None)
    time_in_force: str | None = field(name="tIF", default=None)
    reduce_only: bool | None = field(name="rO", default=None)
    post_only: bool | None = field(name="pO", default=None)
    broker_tag: str | None = field(name="bT", default=None)
    wire_order_time: WireTime = field(name="O", default=0)
    wire_time: WireTime = field(name="U", default=0)

    @property
    def order_id(self) -> str:
        """The id of the order."""
        return self.wire_order_id

    @property
    def trade_id(self) -> str | None:
        """The id of the last trade; None if there was none."""
        return self.wire_trade_id or None

    @property
    def parent_order_id(self) -> str | None:
        """The id of the order of which this one came; None if it came of none."""
        return self.wire_parent_order_id or None

    @property
    def status(self) -> str | None:
        """The state after the event: "notTriggered", "triggered", "live", "filled", "partialFilled", and so on.

        KuCoin sends a number for each of its words; a number without a word is returned as text.
        """
        return _STATUS.get(self.wire_status, self.wire_status) if self.wire_status else None

    @property
    def side(self) -> str | None:
        """The side of the order, "buy" or "sell"."""
        return side_of(self.wire_side)

    @property
    def order_type(self) -> str | None:
        """The type of the order, "limit" or "market"."""
        return lower(self.wire_order_type)

    @property
    def liquidity(self) -> str | None:
        """The part in the last trade, "taker" or "maker"; None if there was no trade."""
        return lower(self.wire_liquidity)

    @property
    def order_time_ns(self) -> int:
        """When the order was placed, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_order_time)


class _Execution(Timed, frozen=True, kw_only=True):
    """What both kinds of messages about the account's trades have."""

    symbol: str = field(name="s")
    wire_order_id: str | None = field(name="oi", default=None)
    wire_side: str | None = field(name="S", default=None)
    wire_order_type: str | None = field(name="oT", default=None)
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    wire_trade_id: str | None = field(name="ti", default=None)
    wire_liquidity: str | None = field(name="lR", default=None)
    client_oid: str | None = field(name="ci", default=None)
    wire_time: WireTime = field(name="E", default=0)

    @property
    def order_id(self) -> str | None:
        """The id of the order; "0" for a liquidation, an automatic deleveraging and a settlement."""
        return self.wire_order_id

    @property
    def trade_id(self) -> str | None:
        """The id of the trade, as text; KuCoin sends that of spot and margin as a number here."""
        return self.wire_trade_id

    @property
    def side(self) -> str | None:
        """The side of the order, "buy" or "sell"."""
        return side_of(self.wire_side)

    @property
    def order_type(self) -> str | None:
        """The type of the order, "limit" or "market"; None if there is no order."""
        return lower(self.wire_order_type)

    @property
    def liquidity(self) -> str | None:
        """The part in the trade, "taker" or "maker"."""
        return lower(self.wire_liquidity)


class UtaExecutionLite(_Execution, frozen=True, kw_only=True):
    """One of the account's trades, without its fee: `/uta/execution.lite.UNIFIED` and others. Time in nanoseconds."""


class UtaExecution(_Execution, frozen=True, kw_only=True):
    """One of the account's trades: `/uta/execution.UNIFIED`. Time in nanoseconds.

    `fill_type` is "NORMAL", "LIQUID", "ADL" or "SETTLEMENT". `closed_pnl` is the profit of the part of a position that
    the trade closed.
    """

    fee: Decimal | None = field(name="f", default=None)
    fee_currency: str | None = field(name="fC", default=None)
    fill_type: str | None = field(name="fT", default=None)
    closed_pnl: Decimal | None = field(name="fP", default=None)


class UtaBalance(Timed, frozen=True, kw_only=True):
    """A balance as it is now: `/uta/balance.UNIFIED` and others. Time in nanoseconds, or in milliseconds as text."""

    currency: str = field(name="c")
    total: Decimal | None = field(name="b", default=None)
    available: Decimal | None = field(name="a", default=None)
    hold: Decimal | None = field(name="h", default=None)
    equity: Decimal | None = field(name="e", default=None)
    liability: Decimal | None = field(name="l", default=None)
    collateral_state: int | None = field(name="cS", default=None)
    wire_time: WireTime = field(name="U", default=0)


class UtaPosition(Timed, frozen=True, kw_only=True):
    """A position as it is now: `/uta/positionAll.UNIFIED` and `/uta/position.UNIFIED`. Times in nanoseconds.

    `current_qty` is in contracts, and negative for a short position. `risk_ratio`, `position_margin` and `adl` came in
    2026.
    """

    symbol: str = field(name="s")
    wire_position_id: str | None = field(name="pi", default=None)
    margin_mode: str | None = field(name="mM", default=None)
    current_qty: Decimal | None = field(name="q", default=None)
    avg_entry_price: Decimal | None = field(name="eP", default=None)
    mark_value: Decimal | None = field(name="pV", default=None)
    mark_price: Decimal | None = field(name="mP", default=None)
    liquidation_price: Decimal | None = field(name="lP", default=None)
    bankrupt_price: Decimal | None = field(name="bP", default=None)
    leverage: Decimal | None = field(name="l", default=None)
    unrealised_pnl: Decimal | None = field(name="uPL", default=None)
    realised_pnl: Decimal | None = field(name="rPL", default=None)
    initial_margin: Decimal | None = field(name="iM", default=None)
    maintenance_margin_rate: Decimal | None = field(name="mmr", default=None)
    maintenance_margin: Decimal | None = field(name="mtM", default=None)
    risk_ratio: Decimal | None = field(name="r", default=None)
    position_margin: Decimal | None = field(name="pM", default=None)
    adl: Decimal | None = None
    wire_opening_time: WireTime = field(name="O", default=0)
    wire_time: WireTime = field(name="U", default=0)

    @property
    def position_id(self) -> str | None:
        """The id of the position."""
        return self.wire_position_id

    @property
    def opening_ns(self) -> int:
        """When the position was opened, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_opening_time)


class UtaLeverage(Payload, frozen=True, kw_only=True):
    """A changed leverage, of a symbol or of a currency: `/uta/leverage.UNIFIED`. It has no time."""

    symbol: str | None = field(name="s", default=None)
    currency: str | None = field(name="c", default=None)
    leverage: Decimal = field(name="l")
    margin_mode: str | None = field(name="mM", default=None)
    trade_type: str | None = field(name="tT", default=None)


class UtaLiquidationWarning(Timed, frozen=True, kw_only=True):
    """The account comes near to its liquidation: `/uta/lw.UNIFIED`, at most once a minute. Time in nanoseconds.

    `type` is "MARGIN_CALL" (from 80 %), "REDUCE_ONLY" (85 %), "LIQUIDATION_WARNING" (90 %) or "FORCE_LIQUIDATION"
    (100 %). `available_margin` is KuCoin's `aM`.
    """

    type: str = field(name="eT")
    risk_ratio: Decimal | None = field(name="r", default=None)
    available: Decimal | None = field(name="a", default=None)
    equity: Decimal | None = field(name="e", default=None)
    liability: Decimal | None = field(name="l", default=None)
    initial_margin: Decimal | None = field(name="iM", default=None)
    maintenance_margin: Decimal | None = field(name="mM", default=None)
    available_margin: Decimal | None = field(name="aM", default=None)
    wire_time: WireTime = field(name="U", default=0)
