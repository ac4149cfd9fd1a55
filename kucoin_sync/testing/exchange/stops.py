"""Stop orders of one symbol, waiting for the last price to reach them.

Only remembers and decides which are due; placing the order that a stop stands for is the market's work.
"""

from __future__ import annotations

from dataclasses import dataclass

from .orders import Order

__all__ = ["Stop", "Stops"]


@dataclass(frozen=True)
class Stop:
    """An order that is to be placed once the last price reaches `price`: from below if `rising`."""

    order: Order
    price: int
    rising: bool

    def due(self, last_price: int) -> bool:
        """Tell whether this price triggers the stop."""
        return last_price >= self.price if self.rising else last_price <= self.price


class Stops:
    """The waiting stop orders by id, in the order in which they came."""

    def __init__(self) -> None:
        self._stops: dict[str, Stop] = {}

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._stops

    def add(self, stop: Stop) -> None:
        """Let a stop wait."""
        self._stops[stop.order.id] = stop

    def remove(self, order_id: str) -> Stop | None:
        """Take a stop out, None if it does not wait here."""
        return self._stops.pop(order_id, None)

    def take_due(self, last_price: int) -> list[Stop]:
        """Take out those which this price triggers, oldest first."""
        due = [stop for stop in self._stops.values() if stop.due(last_price)]
        for stop in due:
            del self._stops[stop.order.id]
        return due
