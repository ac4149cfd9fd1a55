"""Orders, the two sides of a book, and the events that tell of every change.

Plain data with the bookkeeping that keeps each structure consistent in itself. Never decides who trades with
whom (the engine does) and never renders anything.
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
    """The exchange does not take this order: bad amount, no such order, or too little money."""


class Order:
    """One order. `price` is 0 for a market order; all amounts are whole units.

    `size` is what the owner wants in all: it falls when the order is decreased, not when it fills.
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
        """What will not be filled any more."""
        return self.origin - self.filled - self.remaining


class Event(NamedTuple):
    """One thing that happened in a book, told while the orders still stand as it left them.

    `order` is the order concerned, in a match the taker's. `size` is, by kind: what was asked for (received),
    what rests (open), what traded (match), what is left (change), what went unfilled (done: 0 means filled).
    `rest` is what the maker has left (match) or the size before (change). `level` is the visible size now
    standing at the resting order's price, None when no visible level changed.
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
    """The orders at one price, in time order, and how much of them may be shown."""

    __slots__ = ("orders", "price", "visible")

    def __init__(self, price: int) -> None:
        self.price = price
        self.visible = 0
        self.orders: dict[str, Order] = {}

    def __repr__(self) -> str:
        return f"Level({self.price}: {self.visible} in {len(self.orders)} orders)"


class Side:
    """One side of a book.

    `keys` holds price times `sign` in ascending order, so that on both sides the best level is the last one:
    found and removed in O(1); a new level costs a bisection.
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
        """Put an order behind the others at its price."""
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
        """Return the level at which an order rests."""
        return self.levels[order.price * self.sign]

    def remove(self, order: Order, level: Level) -> None:
        """Take an order out, and its level with the last one; its remaining size must still be set."""
        del level.orders[order.id]
        if not order.hidden:
            level.visible -= order.remaining
        if not level.orders:
            key = order.price * self.sign
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def best_visible(self) -> tuple[int, int]:
        """Return price and size of the best level that shows anything, (0, 0) when none does."""
        levels = self.levels
        for key in reversed(self.keys):
            level = levels[key]
            if level.visible:
                return level.price, level.visible
        return 0, 0

    def visible(self, depth: int | None = None) -> list[tuple[int, int]]:
        """Return (price, size) of the levels that show anything, best first."""
        rows: list[tuple[int, int]] = []
        for key in reversed(self.keys):
            level = self.levels[key]
            if level.visible:
                rows.append((level.price, level.visible))
                if len(rows) == depth:
                    break
        return rows

    def visible_orders(self) -> list[Order]:
        """Return the orders that may be shown, in the order in which they would trade."""
        return [order for key in reversed(self.keys) for order in self.levels[key].orders.values() if not order.hidden]

    def check(self) -> None:
        """Assert what must hold of this side by itself."""
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
