"""The spot balances of an account: available money, money on hold for orders, and all changes.

A buy holds its maximum cost with the fee, a sell holds its size. A trade spends from the hold, and the rest of the hold
is released when the order is done. Amounts are whole units of ten to the minus SCALE, in which every price, size and
fee of the exchange is exact. No balance ever goes below zero, because `reserve` refuses the order first.
"""

from __future__ import annotations

from typing import NamedTuple

from .orders import Order, OrderRejected
from .specs import Spec

__all__ = ["SCALE", "Balance", "Movement", "SpotLedger", "spot_fee"]

SCALE = 18

_FEE_PER_MILLE = 1


class Balance:
    """One currency of one account."""

    __slots__ = ("available", "hold")

    def __init__(self, available: int) -> None:
        self.available = available
        self.hold = 0

    def __repr__(self) -> str:
        return f"Balance({self.available} + {self.hold} held)"


class Movement(NamedTuple):
    """A change of a balance, and the balance after it."""

    currency: str
    available: int
    hold: int
    available_change: int
    hold_change: int
    settled: bool


class SpotLedger:
    """The spot balances of one account, by currency."""

    def __init__(self, funds: dict[str, int]) -> None:
        self.balances = {currency: Balance(amount) for currency, amount in funds.items()}
        self._held: dict[str, int] = {}  # order id -> amount on hold

    def reserve(self, spec: Spec, order: Order, worst_cost: int) -> list[Movement]:
        """Hold the money for an order at `worst_cost` (price times size); raise OrderRejected if it is missing."""
        currency, amount = self._need(spec, order, order.size, worst_cost)
        if self.balances[currency].available < amount:
            raise OrderRejected(f"not enough {currency} available for this order")
        self._held[order.id] = amount
        return [self._move(currency, -amount, amount, settled=False)]

    def settle(self, spec: Spec, order: Order, price: int, size: int) -> list[Movement]:
        """Book a trade of an order."""
        value = price * size * 10 ** (SCALE - spec.value_scale)
        delivered = size * 10 ** (SCALE - spec.size_scale)
        fee = spot_fee(spec, price * size)
        if order.side == "buy":
            self._held[order.id] -= value + fee
            return [
                self._move(spec.quote, 0, -(value + fee), settled=True),
                self._move(spec.base, delivered, 0, settled=True),
            ]
        self._held[order.id] -= delivered
        return [
            self._move(spec.base, 0, -delivered, settled=True),
            self._move(spec.quote, value - fee, 0, settled=True),
        ]

    def release(self, spec: Spec, order: Order, size: int) -> list[Movement]:
        """Release the hold for a decrease by `size`; for a market buy it is released at the end."""
        if order.market and order.side == "buy":
            return []
        return self._free(spec, order, self._need(spec, order, size, order.price * size)[1])

    def finish(self, spec: Spec, order: Order) -> list[Movement]:
        """Release the rest of a finished order's hold."""
        return self._free(spec, order, self._held.pop(order.id))

    def _free(self, spec: Spec, order: Order, amount: int) -> list[Movement]:
        if not amount:
            return []
        if order.id in self._held:
            self._held[order.id] -= amount
        return [self._move(spec.quote if order.side == "buy" else spec.base, amount, -amount, settled=True)]

    def _need(self, spec: Spec, order: Order, size: int, cost: int) -> tuple[str, int]:
        if order.side == "sell":
            return spec.base, size * 10 ** (SCALE - spec.size_scale)
        value = cost * 10 ** (SCALE - spec.value_scale)
        return spec.quote, value + value * _FEE_PER_MILLE // 1000

    def _move(self, currency: str, available: int, hold: int, settled: bool) -> Movement:
        balance = self.balances[currency]
        balance.available += available
        balance.hold += hold
        return Movement(currency, balance.available, balance.hold, available, hold, settled)

    def _check(self) -> None:
        """Assert that nothing is negative and that orders hold exactly what is on hold."""
        for currency, balance in self.balances.items():
            assert min(balance.available, balance.hold) >= 0, (currency, balance)
        assert all(amount >= 0 for amount in self._held.values()), self._held
        assert sum(b.hold for b in self.balances.values()) == sum(self._held.values())


def spot_fee(spec: Spec, cost: int) -> int:
    """Return the fee of a trade that costs `cost` (price times size)."""
    value: int = cost * 10 ** (SCALE - spec.value_scale)
    return value * _FEE_PER_MILLE // 1000
