"""Read the rows of KuCoin's REST answers as parts of an account.

One family differs from the next: numbers come as text or as JSON numbers, ids as either, lists bare or inside "items".
Source: KuCoin's documentation ("Get Account List", "Get Order List", "Get Trade History", "Get Position List" and their
margin and futures twins), and recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..payloads.base import to_ns
from .values import AccountBalance, AccountFill, AccountOrder, AccountPosition

__all__ = [
    "Row", "amount", "amount_or_zero", "cross_margin_balances", "decimal", "fill", "futures_balance", "instant",
    "isolated_balances", "items", "marks", "order", "position", "positions", "recorded", "required", "side",
    "spot_balances", "text", "updated", "whole",
]  # fmt: skip

Row = Mapping[str, Any]
_LATEST = 2**63 - 1  # in nanoseconds, in the year 2262


def items(data: Any) -> list[Row]:
    """Return the rows of an answer, whether they are bare or a page's "items"."""
    rows = data.get("items", ()) if isinstance(data, Mapping) else data
    return [row for row in rows or () if isinstance(row, Mapping)]


def whole(rows: Any) -> list[Row]:
    """Return a list in which a missing row stands for zero: raise ValueError if it is no list of rows."""
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"a list of rows was expected, not {str(rows)[:100]}")
    return rows


def decimal(value: Any) -> Decimal | None:
    """Return a number that is text or a JSON number; None for nothing and for what is no number."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):  # ValueError: a whole number of thousands of digits
        return None
    return number if number.is_finite() else None


def text(value: Any) -> str | None:
    """Return an id or a word as text; None for nothing."""
    return str(value) if value not in (None, "") else None


def required(row: Row, name: str) -> str:
    """Return an id or a word that has to be there. Raise KeyError or ValueError if it is missing or nothing."""
    found = text(row[name])
    if found is None:
        raise ValueError(f"{name} is {row[name]!r}")
    return found


def instant(value: Any) -> int:
    """Return an instant of any unit, as number or text, in nanoseconds since 1970; 0 for what is none."""
    number = decimal(value)
    return to_ns(int(number)) if number is not None and 0 < number <= _LATEST else 0


def side(row: Row) -> str | None:
    """Return "buy" or "sell" of an order or a fill; None if it tells neither."""
    told = row.get("side")
    word = told.strip().lower() if isinstance(told, str) else None
    return word if word in ("buy", "sell") else None


def updated(row: Row) -> int:
    """Return when an order changed last."""
    return instant(row.get("lastUpdatedAt") or row.get("updatedAt") or row.get("createdAt"))


def recorded(row: Row) -> int:
    """Return when an order was made, or a fill or an entry of the ledger recorded."""
    return instant(row.get("createdAt"))


def spot_balances(data: Any) -> Iterator[AccountBalance]:
    """Yield the balances of `/api/v1/accounts`: the main and the trading account."""
    for row in whole(data):
        kind = str(row["type"]).removesuffix("_hf")
        if kind in ("main", "trade"):
            available, hold = amount(row, "available"), amount(row, "holds")
            total = decimal(row.get("balance"))
            yield AccountBalance(
                currency=required(row, "currency"), account=kind, account_id=required(row, "id"),
                available=available, hold=hold, total=available + hold if total is None else total,
            )  # fmt: skip


def cross_margin_balances(data: Any) -> Iterator[AccountBalance]:
    """Yield the balances of `/api/v3/margin/accounts`."""
    for row in whole(data.get("accounts")):
        yield _margin_balance("margin", row)


def isolated_balances(data: Any) -> Iterator[AccountBalance]:
    """Yield the balances of `/api/v3/isolated/accounts`."""
    for row in whole(data.get("assets")):
        for asset in (row["baseAsset"], row["quoteAsset"]):
            yield _margin_balance(f"isolated {row['symbol']}", asset)


def futures_balance(data: Row) -> AccountBalance:
    """Return the balance of `/api/v1/account-overview`."""
    available = amount(data, "availableBalance")
    total = amount(data, "accountEquity") - amount(data, "unrealisedPNL")
    return AccountBalance(
        currency=required(data, "currency"), account="futures", available=available, hold=total - available, total=total
    )


def _margin_balance(account: str, row: Row) -> AccountBalance:
    available, hold = amount(row, "available"), amount(row, "hold")
    return AccountBalance(
        currency=required(row, "currency"), account=account, available=available, hold=hold, total=amount(row, "total")
    )


def order(row: Row) -> AccountOrder:
    """Return an order of spot, margin or futures.

    Futures do not tell by how much an open order was decreased: its cancelled and remaining sizes are None.
    """
    active = row.get("active", row.get("isActive"))
    size, filled = decimal(row.get("size")), amount_or_zero(row, "dealSize")
    canceled, remaining = decimal(row.get("cancelledSize")), decimal(row.get("remainSize"))
    left = max(Decimal(0), (size or filled) - filled)
    if canceled is None and not active:
        canceled = left
    if remaining is None and not active:
        remaining = Decimal(0)
    return AccountOrder(
        order_id=required(row, "id"),
        client_oid=text(row.get("clientOid")),
        symbol=required(row, "symbol"),
        side=side(row),
        price=decimal(row.get("price")) or None,
        size=size or None,
        filled_size=filled,
        remaining_size=remaining,
        canceled_size=canceled,
        active=bool(active),
        ending=None if active else "canceled" if row.get("cancelExist") or canceled else "filled",
        trade_type=text(row.get("tradeType")),
        time_ns=updated(row),
        created_ns=recorded(row),
    )


def fill(row: Row) -> AccountFill:
    """Return a fill of spot, margin or futures."""
    taken = side(row)
    if taken is None:
        raise ValueError(f"side is {row.get('side')!r}")
    return AccountFill(
        symbol=required(row, "symbol"),
        trade_id=required(row, "tradeId"),
        order_id=required(row, "orderId"),
        side=taken,
        price=amount(row, "price"),
        size=amount(row, "size"),
        fee=decimal(row.get("fee")),
        fee_currency=text(row.get("feeCurrency")),
        liquidity=text(row.get("liquidity")),
        trade_type=text(row.get("tradeType")),
        time_ns=instant(row.get("tradeTime") or row.get("createdAt")),
    )


def positions(data: Any) -> list[AccountPosition]:
    """Return the open positions; raise ValueError if one of them can't be read."""
    found = [position(row) for row in whole(data)]
    if None in found:
        raise ValueError("a position without its symbol or quantity")
    return [each for each in found if each is not None]


def position(row: Row, symbol: str | None = None) -> AccountPosition | None:
    """Return the position of a row or of a full push; None if it does not tell the symbol or the quantity."""
    name, quantity = text(row.get("symbol")) or symbol, decimal(row.get("currentQty"))
    if name is None or quantity is None:
        return None
    return AccountPosition(
        symbol=name,
        position_side=text(row.get("positionSide")) or "BOTH",
        side=None if not quantity else "long" if quantity > 0 else "short",
        size=abs(quantity),
        entry_price=decimal(row.get("avgEntryPrice")) or None,
        settle_currency=text(row.get("settleCurrency")),
        margin_mode=text(row.get("marginMode")),
        realised_pnl=decimal(row.get("realisedPnl")),
        **marks(row),
    )


def marks(row: Row) -> dict[str, Any]:
    """Return the members of a position that move with the mark price, where a row or a push tells them."""
    found = {
        "mark_price": decimal(row.get("markPrice")),
        "liquidation_price": decimal(row.get("liquidationPrice")),
        "leverage": decimal(row.get("realLeverage", row.get("leverage"))),
        "margin": decimal(row.get("posMargin")),
        "unrealised_pnl": decimal(row.get("unrealisedPnl")),
    }
    moment = instant(row.get("currentTimestamp"))
    return {name: value for name, value in {**found, "time_ns": moment or None}.items() if value is not None}


def amount(row: Row, name: str) -> Decimal:
    """Return a number; raise ValueError if there is none: it would be taken for zero."""
    found = decimal(row.get(name))
    if found is None:
        raise ValueError(f"{name} is {row.get(name)!r}, which is no number")
    return found


def amount_or_zero(row: Row, name: str) -> Decimal:
    """Return a number that counts as 0 if it is missing."""
    return decimal(row.get(name)) or Decimal(0)
