"""What a local account consists of: balances, orders, fills and positions, and the changes of these.

All are read-only. Numbers are `Decimal`, instants nanoseconds since 1970 (UTC). None stands for what KuCoin has not
said.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from ..books.numbers import make_context

__all__ = [
    "AMOUNTS",
    "AccountBalance",
    "AccountChange",
    "AccountFill",
    "AccountOrder",
    "AccountPosition",
    "AccountValue",
]


#: In it no sum of amounts is rounded, whatever the program's own context is.
AMOUNTS = make_context(100)


class AccountValue(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of an account have in common."""

    def to_dict(self) -> dict[str, Any]:
        """Return the members as plain data, ready for JSON: numbers as text."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class AccountBalance(AccountValue, frozen=True, kw_only=True):
    """The balance of one currency in one account.

    Attributes:
        account: "trade", "main", "margin", "isolated BTC-USDT" (the margin of one symbol) or "futures".
        account_id: KuCoin's id of the balance, None for margin and futures.
        available, hold: what can be used, and what is held for orders and positions.
        total: in futures the wallet without unrealised profit; elsewhere the two together.
        time_ns: the time of the push that it comes from; 0 if it comes from REST, which tells none.
    """

    currency: str
    account: str
    account_id: str | None = None
    available: Decimal
    hold: Decimal
    total: Decimal
    time_ns: int = 0


class AccountOrder(AccountValue, frozen=True, kw_only=True):
    """The newest known state of an order.

    Attributes:
        side: "buy" or "sell"; None until KuCoin has said it.
        price: None for a market order.
        size: the size that was ordered; None for a market order by value until something is known of it.
        filled_size, remaining_size, canceled_size: totals; `canceled_size` has what an order was decreased by, too.
        active: whether it may still trade; None if that is unknown (see `LocalAccount.unproved`).
        ending: KuCoin's word for how it ended, "filled" or "canceled"; a market buy by value ends with "canceled"
            though it has bought all that it could.
        trade_type: "TRADE", "MARGIN_TRADE", "MARGIN_ISOLATED_TRADE"; of futures "trade", "liquid" or "adl".
        time_ns: when it changed last. `created_ns`: when it was placed, 0 if unknown.
    """

    order_id: str
    client_oid: str | None = None
    symbol: str
    side: str | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    filled_size: Decimal = Decimal(0)
    remaining_size: Decimal | None = None
    canceled_size: Decimal | None = None
    active: bool | None = True
    ending: str | None = None
    trade_type: str | None = None
    time_ns: int = 0
    created_ns: int = 0


class AccountFill(AccountValue, frozen=True, kw_only=True):
    """One trade of one of the account's orders.

    `fee` and `fee_currency` are None while only the push is known, which does not tell them. Of a trade between two
    orders of the account each order has a fill.
    """

    symbol: str
    trade_id: str
    order_id: str
    side: str
    price: Decimal
    size: Decimal
    fee: Decimal | None = None
    fee_currency: str | None = None
    liquidity: str | None = None
    trade_type: str | None = None
    time_ns: int = 0


class AccountPosition(AccountValue, frozen=True, kw_only=True):
    """The position in one contract.

    Attributes:
        side: "long" or "short"; None if there is no position any more.
        size: contracts, never negative.
        position_side: "BOTH", or in hedge mode "LONG" or "SHORT".
        time_ns: the newest time that KuCoin told.
    """

    symbol: str
    position_side: str = "BOTH"
    side: str | None
    size: Decimal
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    liquidation_price: Decimal | None = None
    leverage: Decimal | None = None
    margin: Decimal | None = None
    margin_mode: str | None = None
    realised_pnl: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    settle_currency: str | None = None
    time_ns: int = 0


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a local account, which is an item of iterating over it.

    Attributes:
        kind: "order", "fill", "balance" or "position": the member of that name has the new state. "reconciled": all
            that a cut may have hidden is known, and the account can be read again. "unknown": something could not be
            proved; `reason` says what, and `order` or `position` has it where it is about one.
        recovered: whether it comes from REST, because its push was missed.
        reconciliations: how often the account had been reconciled by then.
        lost: the number of changes dropped immediately before this one, because the consumer was too slow.
    """

    kind: str
    recovered: bool = False
    order: AccountOrder | None = None
    fill: AccountFill | None = None
    balance: AccountBalance | None = None
    position: AccountPosition | None = None
    reason: str = ""
    reconciliations: int = 0
    lost: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain data, ready for JSON: numbers as text, and only what the kind has."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        usual = {name for name, value in found.items() if value in (None, "", 0) and name != "recovered"}
        return {name: value for name, value in found.items() if name not in usual}

    def with_lost(self, lost: int) -> AccountChange:
        """Return a copy whose `lost` is the given number."""
        return msgspec.structs.replace(self, lost=lost)
