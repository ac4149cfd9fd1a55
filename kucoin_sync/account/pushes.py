"""Read the pushes of an account's feeds as parts of it.

The data is read as JSON, not as the typed payloads, so that a value of an unusual form costs itself only. Source:
KuCoin's documentation ("Order V2", "Account Balance Notice", "All Order Change", "Account Balance", "All Position
Change") and recorded messages.
"""

from __future__ import annotations

import re
from decimal import Decimal

from .rows import Row, amount, amount_or_zero, decimal, fill, instant, required, side, text
from .values import AccountBalance, AccountFill, AccountOrder

__all__ = ["balance", "match", "order", "wallet"]

_ENDINGS = ("filled", "canceled")
_ACCOUNTS = ("main", "trade", "margin")
_HIGH_FREQUENCY = re.compile(r"(?:V2|_v2|_hf)(?=_|$)")  # as in "trade_hf", "marginV2", "isolatedV2_BTC-USDT"


def order(data: Row) -> AccountOrder:
    """Return the order of a push of `/spotMarket/tradeOrdersV2` or `/contractMarket/tradeOrders`.

    A terminal push is of the type "filled" or "canceled", or, by self-trade prevention, an "update" with the status
    "done".
    """
    kind, done = str(data["type"]), data.get("status") == "done"
    size, filled, canceled = (
        decimal(data.get("originSize")),
        amount_or_zero(data, "filledSize"),
        amount_or_zero(data, "canceledSize"),
    )
    if size is None and (rest := decimal(data.get("remainSize"))) is not None:
        size = filled + canceled + rest  # futures tell the reduced size
    remaining = Decimal(0) if done or kind in _ENDINGS else decimal(data.get("remainSize"))
    if remaining is None and size is not None:
        remaining = size - filled - canceled
    ending = None
    if done or kind in _ENDINGS:
        ending = kind if kind in _ENDINGS else "canceled"
    return AccountOrder(
        order_id=required(data, "orderId"),
        client_oid=text(data.get("clientOid")),
        symbol=required(data, "symbol"),
        side=side(data),
        price=decimal(data.get("price")) or None,
        size=size or decimal(data.get("size")) or None,
        filled_size=filled,
        remaining_size=remaining,
        canceled_size=canceled,
        active=ending is None,
        ending=ending,
        trade_type=text(data.get("tradeType")),
        time_ns=instant(data.get("ts")),
        created_ns=instant(data.get("orderTime")),
    )


def match(data: Row) -> AccountFill | None:
    """Return the fill of a push of an order; None if the push tells of no trade."""
    if data["type"] != "match" or text(data.get("tradeId")) is None:
        return None
    return fill(
        {
            **{name: data.get(name) for name in ("symbol", "tradeId", "orderId", "side", "liquidity", "tradeType")},
            "price": data.get("matchPrice"),
            "size": data.get("matchSize"),
            "tradeTime": data.get("ts"),
        }
    )


def balance(data: Row) -> AccountBalance:
    """Return the balance of a push of `/account/balance`, which is for the main, trading and margin accounts.

    The account is "" if the push does not tell which it is.
    """
    event = str(data.get("relationEvent") or "trade").rsplit(".", 1)[0]
    kind, _, symbol = _HIGH_FREQUENCY.sub("", event).partition("_")
    account = kind if kind in _ACCOUNTS and not symbol else ""
    if kind == "isolated" and symbol:
        account = f"isolated {symbol}"
    available, hold = amount(data, "available"), amount(data, "hold")
    total = decimal(data.get("total"))
    return AccountBalance(
        currency=required(data, "currency"),
        account=account,
        account_id=None if account.startswith(("margin", "isolated")) else text(data.get("accountId")),
        available=available,
        hold=hold,
        total=available + hold if total is None else total,
        time_ns=instant(data.get("time")),
    )


def wallet(data: Row) -> AccountBalance | None:
    """Return the balance of a push of `/contractAccount/wallet`; None for an older subject, which tells a part."""
    total, available = decimal(data.get("walletBalance")), decimal(data.get("availableBalance"))
    if total is None or available is None:
        return None
    return AccountBalance(
        currency=required(data, "currency"),
        account="futures",
        available=available,
        hold=total - available,
        total=total,
        time_ns=instant(data.get("timestamp")),
    )
