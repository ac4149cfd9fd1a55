"""Which of two reports of an order, a fill or a position is the later one, and what the later one keeps of the other.

Pure. `state` has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from .values import AccountOrder, AccountPosition

__all__ = ["completed", "later", "rank", "stable", "with_sizes"]

_NOTHING = Decimal(0)
_MARK_MEMBERS = ("mark_price", "liquidation_price", "leverage", "margin", "unrealised_pnl", "time_ns")


def with_sizes(order: AccountOrder, known: AccountOrder | None) -> AccountOrder:
    """Return an order with the sizes that its report leaves out, by what was known."""
    if order.canceled_size is not None:
        return order
    canceled = (known.canceled_size if known is not None else None) or _NOTHING
    remaining = None if order.size is None else max(_NOTHING, order.size - order.filled_size - canceled)
    return msgspec.structs.replace(order, canceled_size=canceled, remaining_size=remaining)


def rank(order: AccountOrder) -> tuple[bool, int]:
    """Return what decides between two orders with one client id: an open one counts before an ended one."""
    return order.active is not False, order.created_ns or order.time_ns


def _progress(order: AccountOrder) -> Decimal:
    return order.filled_size + (order.canceled_size or _NOTHING)


def later(known: AccountOrder, new: AccountOrder) -> tuple[AccountOrder, bool]:
    """Return the later of two states of an order, with what only the other tells, and whether that is the new one."""
    before, after = _progress(known), _progress(new)
    if known.active is False or after < before:
        return completed(known, new), False
    news = after > before or new.active is not known.active or new.remaining_size != known.remaining_size
    if not news:
        return completed(known, new), False
    size = known.size if new.size is None or (known.size is not None and known.size > new.size) else new.size
    return msgspec.structs.replace(completed(new, known), size=size), True


def completed(main: Any, other: Any) -> Any:
    """Return a value with what it lacks (None, or 0 for an instant) taken from another one."""
    lacking = {
        name: value
        for name, value in _members(other)
        if value and (getattr(main, name) is None or (name.endswith("_ns") and not getattr(main, name)))
    }
    lacking.pop("ending", None)
    return msgspec.structs.replace(main, **lacking) if lacking else main


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(value, name)) for name in type(value).__struct_fields__)


def stable(position: AccountPosition) -> tuple[Any, ...]:
    """Return what of a position does not move with the mark price."""
    return tuple(value for name, value in _members(position) if name not in _MARK_MEMBERS)
