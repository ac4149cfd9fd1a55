"""The crowd: seeded random order flow that keeps a two-sided market around a slowly moving fair price.

Each call does one action of a trader: place an order (mostly passive, some hidden, some post-only, some across the
spread), cancel, decrease, or send a market order. The crowd remembers only the orders that it chooses from; the engine
has the book. All randomness comes from `Random.random()` and plain arithmetic, so a seed gives the same orders on every
machine and Python version.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .engine import Engine
from .orders import Order, Side

__all__ = ["Crowd"]

_BOUND = 0.08  # the fair price stays within this share of where it started
_PULL = 0.000002  # share of the distance to the start by which it returns each step
_MAKERS = 8  # market makers, whose own orders may meet; all other orders have different owners
_THIN = 8  # levels below which a side is refilled before anything else
_ORDERS_PER_LEVEL = 3

_MARKET = 0.10
_REDUCE = 0.04
_PLACE = 0.44


class Crowd:
    """The traders of one symbol without the accounts. They keep about `levels` levels on each side."""

    def __init__(self, engine: Engine, rng: random.Random, new_id: Callable[[], str], levels: int) -> None:
        self._engine = engine
        self._spec = engine.spec
        self._draw = rng.random
        self._new_id = new_id
        self._levels = levels
        self._thin = min(_THIN, levels)
        self._start = float(engine.spec.start_price)
        self._fair = self._start
        self._orders: list[Order] = []  # the crowd's orders; finished ones are removed when they are drawn
        self._target = levels * _ORDERS_PER_LEVEL
        self._width = engine.spec.spacing * levels
        self._drift = engine.spec.volatility * 3.5

    def populate(self, now_ns: int) -> None:
        """Fill an empty book with `levels` prices on each side, and some prices with several orders."""
        for side, sign in (("buy", -1), ("sell", 1)):
            price = self._spec.start_price + sign * (1 + int(self._draw() * 2))
            for _ in range(self._levels):
                for _ in range(1 + int(self._draw() * 2)):
                    self._place(side, max(1, price), now_ns)
                price += sign * (1 + int(self._draw() * 2 * self._spec.spacing))

    def act(self, now_ns: int) -> None:
        """Do one action."""
        self._move()
        engine = self._engine
        for side in (engine.bids, engine.asks):
            if len(side.keys) < self._thin:
                self._insert(side, now_ns)
                return
        choice = self._draw()
        if choice < _MARKET:
            self._take(now_ns)
        elif choice < _MARKET + _REDUCE:
            self._decrease(now_ns)
        elif choice < _MARKET + _REDUCE + self._appetite():
            self._insert(engine.bids if self._draw() < 0.5 else engine.asks, now_ns)
        else:
            self._cancel(now_ns)

    def _move(self) -> None:
        fair = self._fair + (self._draw() - 0.5) * self._drift + (self._start - self._fair) * _PULL
        self._fair = min(max(fair, self._start * (1 - _BOUND)), self._start * (1 + _BOUND))

    def _appetite(self) -> float:
        """Place more orders in a thin book and fewer in a full one."""
        excess = len(self._engine.orders) / self._target - 1
        return _PLACE * min(max(1 - excess, 0.4), 1.6)

    def _insert(self, side: Side, now_ns: int) -> None:
        draw = self._draw
        u = draw()
        distance = int(u * u * u * self._width)
        price = int(self._fair) - distance if side.sign > 0 else int(self._fair) + 1 + distance
        kind = draw()
        self._place(side.name, max(1, price), now_ns, hidden=kind < 0.03, post_only=0.03 <= kind < 0.08)

    def _place(self, side: str, price: int, now_ns: int, hidden: bool = False, post_only: bool = False) -> None:
        owner = int(self._draw() * _MAKERS * 3)
        order = Order(
            self._new_id(), side, price, self._size(), now_ns,
            owner=f"maker~{owner}" if owner < _MAKERS else "", hidden=hidden, post_only=post_only,
        )  # fmt: skip
        self._engine.submit(order, now_ns)
        if order.resting:
            self._orders.append(order)

    def _take(self, now_ns: int) -> None:
        """Trade towards the fair price, seldom against it."""
        bid, ask = self._engine.bids.keys[-1], -self._engine.asks.keys[-1]
        leans_up = self._fair * 2 > bid + ask
        buys = leans_up if self._draw() < 0.7 else not leans_up
        size = self._size() * (3 if self._draw() < 0.2 else 1)
        self._engine.submit(Order(self._new_id(), "buy" if buys else "sell", 0, size, now_ns), now_ns)

    def _decrease(self, now_ns: int) -> None:
        order = self._pick()
        if order is not None and order.remaining > 1:
            self._engine.reduce(order.id, 1 + int(self._draw() * (order.remaining - 1)), now_ns)

    def _cancel(self, now_ns: int) -> None:
        order = self._pick()
        if order is not None:
            self._engine.cancel(order.id, now_ns)

    def _pick(self) -> Order | None:
        """Return one of the crowd's resting orders at random."""
        orders = self._orders
        while orders:
            at = int(self._draw() * len(orders))
            if orders[at].resting:
                return orders[at]
            orders[at] = orders[-1]
            orders.pop()
        return None

    def _size(self) -> int:
        """Return a size: many small ones, few large ones, some of them round."""
        draw = self._draw
        u = draw()
        largest = self._spec.largest
        size = 1 + int(u * u * u * u * largest)
        coarse = largest // 400
        if coarse > 1 and size > coarse and draw() < 0.4:
            size -= size % coarse
        return size
