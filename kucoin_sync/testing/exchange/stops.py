"""The stop orders of one symbol, which wait for the last price to reach them.

This module decides which stop orders are due; the market places them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .orders import Order

__all__ = ["Stop", "Stops"]


@dataclass(frozen=True)
class Stop:
    """An order that is placed when the last price reaches `price`, from below if `rising`."""

    order: Order
    price: int
    rising: bool

    def due(self, last_price: int) -> bool:
        """Return whether this price triggers the stop order."""
        return last_price >= self.price if self.rising else last_price <= self.price


class Stops:
    """The waiting stop orders by id, oldest first."""

    def __init__(self) -> None:
        self._stops: dict[str, Stop] = {}

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._stops

    def add(self, stop: Stop) -> None:
        """Add a stop order."""
        self._stops[stop.order.id] = stop

    def remove(self, order_id: str) -> Stop | None:
        """Remove and return a stop order; return None if it does not wait here."""
        return self._stops.pop(order_id, None)

    def take_due(self, last_price: int) -> list[Stop]:
        """Remove and return the stop orders that this price triggers, oldest first."""
        due = [stop for stop in self._stops.values() if stop.due(last_price)]
        for stop in due:
            del self._stops[stop.order.id]
        return due
