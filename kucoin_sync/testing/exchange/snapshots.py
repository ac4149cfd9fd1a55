"""Snapshots of a book: KuCoin's REST responses, and exact books for comparison in tests.

Hidden orders are left out. The functions read the engine and never change it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from .engine import Engine
from .orders import Side
from .units import exact, number, text

__all__ = ["BookOrder", "Level2", "Level3", "level2", "level2_snapshot", "level3", "level3_snapshot"]

Rows = list[tuple[Decimal, Decimal]]


class BookOrder(NamedTuple):
    """A visible order of the book."""

    id: str
    price: Decimal
    size: Decimal
    time_ns: int


class Level2(NamedTuple):
    """The aggregated book, best levels first."""

    sequence: int
    bids: Rows
    asks: Rows


class Level3(NamedTuple):
    """Every visible order, in trading order."""

    sequence: int
    bids: list[BookOrder]
    asks: list[BookOrder]


def level2(engine: Engine) -> Level2:
    """Return the aggregated book as exact decimals."""
    return Level2(engine.sequence, _levels(engine, engine.bids), _levels(engine, engine.asks))


def level3(engine: Engine) -> Level3:
    """Return the orders of the book as exact decimals."""
    return Level3(engine.sequence, _orders(engine, engine.bids), _orders(engine, engine.asks))


def level2_snapshot(engine: Engine, depth: int | None, now_ns: int) -> dict[str, Any]:
    """Return the `data` of KuCoin's response: strings and milliseconds on spot, numbers and nanoseconds on futures."""
    spec = engine.spec
    sides = (("bids", engine.bids), ("asks", engine.asks))
    if spec.futures:
        books: dict[str, Any] = {
            name: [[_short(number(price, spec.price_scale)), size] for price, size in side.visible(depth)]
            for name, side in sides
        }
        return {"sequence": engine.sequence, "symbol": spec.symbol, **books, "ts": now_ns}
    prices, sizes = spec.price_scale, spec.size_scale
    books = {
        name: [[text(price, prices), text(size, sizes)] for price, size in side.visible(depth)] for name, side in sides
    }
    return {"sequence": str(engine.sequence), "time": now_ns // 1_000_000, **books}


def level3_snapshot(engine: Engine, now_ns: int) -> dict[str, Any]:
    """Return the `data` of KuCoin's response: rows of order id, price, size and time in nanoseconds."""
    prices, sizes = engine.spec.price_scale, engine.spec.size_scale
    books: dict[str, Any] = {
        name: [
            [order.id, text(order.price, prices), text(order.remaining, sizes), order.time_ns]
            for order in side.visible_orders()
        ]
        for name, side in (("asks", engine.asks), ("bids", engine.bids))
    }
    return {"sequence": engine.sequence, **books, "time": now_ns}


def _levels(engine: Engine, side: Side) -> Rows:
    prices, sizes = engine.spec.price_scale, engine.spec.size_scale
    return [(exact(price, prices), exact(size, sizes)) for price, size in side.visible()]


def _orders(engine: Engine, side: Side) -> list[BookOrder]:
    prices, sizes = engine.spec.price_scale, engine.spec.size_scale
    return [
        BookOrder(order.id, exact(order.price, prices), exact(order.remaining, sizes), order.time_ns)
        for order in side.visible_orders()
    ]


def _short(value: float) -> float | int:
    """Return a price without decimals as an int, as KuCoin writes it."""
    return int(value) if value == int(value) else value
