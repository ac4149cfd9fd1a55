"""Orders, the sides of a book, and the events of every change.

These classes keep their own data consistent. The engine decides which orders trade; nothing here renders pushes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

__all__ = ["CHANGE", "DONE", "MATCH", "OPEN", "RECEIVED", "Event", "Level", "Order", "OrderRejected", "Side"]

RECEIVED = "received"
OPEN = "open"
MATCH = "match"
CHANGE = "change"
DONE = "done"


class OrderRejected(ValueError):
    """The exchange refuses an order: bad amount, unknown order, or too little money."""


class Order:
    """One order. `price` is 0 for a market order; all amounts are whole units.

    `size` is the total size: a decrease lowers it, a fill does not.
    """

    __slots__ = (
        "account", "client_oid", "done", "filled", "hidden", "id", "market", "origin", "owner",
        "post_only", "price", "rank", "remaining", "resting", "side", "size", "time_ns",
    )  # fmt: skip

    def __init__(
        self, id: str, side: str, price: int, size: int, time_ns: int, *,
        owner: str = "", account: bool = False, hidden: bool = False, post_only: bool = False,
        client_oid: str = "",
    ) -> None:  # fmt: skip
        self.id = id
        self.side = side
        self.price = price
        self.market = not price
        self.origin = self.size = self.remaining = size
        self.filled = 0
        self.owner = owner
        self.account = account
        self.hidden = hidden
        self.post_only = post_only
        self.client_oid = client_oid
        self.time_ns = time_ns
        self.rank = 0
        self.resting = False
        self.done = False

    def __repr__(self) -> str:
        state = "done" if self.done else "resting" if self.resting else "new"
        price = "market" if self.market else self.price
        return f"Order({self.id} {self.side} {self.remaining}/{self.origin} @ {price}, {state})"

    @property
    def canceled(self) -> int:
        """The size that will not be filled any more."""
        return self.origin - self.filled - self.remaining


class Event(NamedTuple):
    """One change of a book, reported right after it.

    `order` is the changed order, in a match the taker's. `size` depends on the kind: the requested size (received), the
    resting size (open), the traded size (match), the remaining size (change), the unfilled size (done: 0 means filled).
    `rest` is the maker's remaining size (match) or the size before (change). `level` is the new visible size at the
    resting order's price, None if no visible level changed.
    """

    kind: str
    sequence: int
    now_ns: int
    order: Order
    size: int
    level: int | None
    maker: Order | None
    rest: int
    trade: int


class Level:
    """The orders at one price in time order, and their visible size."""

    __slots__ = ("orders", "price", "visible")

    def __init__(self, price: int) -> None:
        self.price = price
        self.visible = 0
        self.orders: dict[str, Order] = {}

    def __repr__(self) -> str:
        return f"Level({self.price}: {self.visible} in {len(self.orders)} orders)"


class Side:
    """One side of a book.

    `keys` holds price times `sign` in ascending order, so the best level is the last one on both sides. It is found and
    removed in O(1); a new level costs a bisection.
    """

    __slots__ = ("keys", "levels", "name", "sign")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sign = 1 if name == "buy" else -1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def __repr__(self) -> str:
        return f"Side({self.name}, {len(self.keys)} levels, best {self.best_visible()})"

    def add(self, order: Order) -> Level:
        """Add an order behind the others at its price."""
        key = order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(order.price)
            insort(self.keys, key)
        level.orders[order.id] = order
        if not order.hidden:
            level.visible += order.remaining
        return level

    def level_of(self, order: Order) -> Level:
        """Return the level of a resting order."""
        return self.levels[order.price * self.sign]

    def remove(self, order: Order, level: Level) -> None:
        """Remove an order, and its level if that is empty then; the order's remaining size must still be set."""
        del level.orders[order.id]
        if not order.hidden:
            level.visible -= order.remaining
        if not level.orders:
            key = order.price * self.sign
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def best_visible(self) -> tuple[int, int]:
        """Return price and size of the best visible level, (0, 0) if there is none."""
        levels = self.levels
        for key in reversed(self.keys):
            level = levels[key]
            if level.visible:
                return level.price, level.visible
        return 0, 0

    def visible(self, depth: int | None = None) -> list[tuple[int, int]]:
        """Return (price, size) of the visible levels, best first."""
        rows: list[tuple[int, int]] = []
        for key in reversed(self.keys):
            level = self.levels[key]
            if level.visible:
                rows.append((level.price, level.visible))
                if len(rows) == depth:
                    break
        return rows

    def visible_orders(self) -> list[Order]:
        """Return the visible orders in trading order."""
        return [order for key in reversed(self.keys) for order in self.levels[key].orders.values() if not order.hidden]

    def check(self) -> None:
        """Assert every invariant of this side."""
        assert self.keys == sorted(set(self.keys)), "keys are ascending and unique"
        assert set(self.keys) == set(self.levels), "keys and levels name the same prices"
        for key, level in self.levels.items():
            orders = list(level.orders.values())
            ranks = [order.rank for order in orders]
            assert key == level.price * self.sign, level
            assert orders, f"{level} is empty"
            assert ranks == sorted(ranks), f"{level} is out of time order"
            assert level.visible == sum(order.remaining for order in orders if not order.hidden), level
            assert all(order.price == level.price and order.side == self.name for order in orders), level
