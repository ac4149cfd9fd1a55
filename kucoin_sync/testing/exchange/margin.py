"""The futures wallet of an account: isolated margin of orders and positions, fees, profit and loss.

A simplified model with one leverage and no liquidation: an order reserves margin and fee for its worst price, a
fill moves the margin to the position, and a fill against the position realises profit or loss. Amounts are
whole units of ten to the minus SCALE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .ledger import SCALE
from .orders import Order, OrderRejected
from .specs import Spec

__all__ = ["FuturesWallet", "Position", "WalletState", "futures_fee", "value_of"]

_LEVERAGE = 5
_FEE = 6  # per ten thousand; an order that rested pays _MAKER_FEE
_MAKER_FEE = 2


class WalletState(NamedTuple):
    """The numbers of a wallet at one instant."""

    wallet: int
    available: int
    order_margin: int
    position_margin: int
    unrealised: int


class Position:
    """The position in one contract: `lots` is negative for a short position, `cost` is price times lots.

    `realised` is the profit of what was closed so far; `opened_ns` is 0 until a push has told of the position.
    """

    __slots__ = ("cost", "lots", "margin", "opened_ns", "realised", "spec")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.lots = 0
        self.cost = 0
        self.margin = 0
        self.realised = 0
        self.opened_ns = 0


class FuturesWallet:
    """The wallet of one account, in USDT. `marks` has the current mark price of each contract."""

    def __init__(self, funds: int, marks: Mapping[str, int]) -> None:
        self.balance = funds
        self.version = 0
        self._held: dict[str, int] = {}  # order id -> reserved margin and fee
        self._positions: dict[str, Position] = {}
        self._marks = marks

    def state(self) -> WalletState:
        """Return the current numbers."""
        orders = sum(self._held.values())
        positions = sum(position.margin for position in self._positions.values())
        unrealised = 0
        for symbol, position in self._positions.items():
            if position.lots:
                unrealised += value_of(position.spec, position.lots * self._marks[symbol] - position.cost)
        return WalletState(self.balance, self.balance - orders - positions, orders, positions, unrealised)

    def lots(self, symbol: str) -> int:
        """Return the position in a contract, negative for a short position."""
        position = self._positions.get(symbol)
        return position.lots if position else 0

    def mark(self, symbol: str) -> int:
        """Return the mark price of a contract, 0 before its first trade."""
        return self._marks.get(symbol, 0)

    def position(self, spec: Spec) -> Position:
        """Return the position in a contract, a new one without lots if there is none."""
        position = self._positions.get(spec.symbol)
        if position is None:
            position = self._positions[spec.symbol] = Position(spec)
        return position

    def reserve(self, spec: Spec, order: Order, worst_cost: int) -> None:
        """Reserve margin and fee for an order; raise OrderRejected if there is not enough."""
        value = value_of(spec, worst_cost)
        amount = value // _LEVERAGE + value * _FEE // 10_000
        if self.state().available < amount:
            raise OrderRejected("not enough margin available for this order")
        self._held[order.id] = amount
        self.version += 1

    def settle(self, spec: Spec, order: Order, price: int, size: int, maker: bool) -> None:
        """Book a trade; the order's remaining size must be updated already."""
        held = self._held[order.id]
        self._held[order.id] = held * order.remaining // (order.remaining + size)
        self.balance -= futures_fee(spec, price * size, maker)
        position = self.position(spec)
        lots = size if order.side == "buy" else -size
        closing = min(size, abs(position.lots)) if position.lots * lots < 0 else 0
        if closing:
            self._close(spec, position, closing, price)
        opening = size - closing
        if opening:
            position.lots += opening if lots > 0 else -opening
            position.cost += price * (opening if lots > 0 else -opening)
            position.margin += value_of(spec, price * opening) // _LEVERAGE
        self.version += 1

    def release(self, order: Order, size: int) -> None:
        """Release the margin for a decrease by `size`; the order must be decreased already."""
        held = self._held[order.id]
        self._held[order.id] = held * order.remaining // (order.remaining + size)
        self.version += 1

    def finish(self, order: Order) -> bool:
        """Release the rest of a finished order's margin; return whether there was any."""
        freed = self._held.pop(order.id)
        self.version += bool(freed)
        return bool(freed)

    def _close(self, spec: Spec, position: Position, size: int, price: int) -> None:
        held = abs(position.lots)
        sign = 1 if position.lots > 0 else -1
        cost = position.cost * size // held
        margin = position.margin * size // held
        profit = value_of(spec, sign * price * size - cost)
        self.balance += profit
        position.realised += profit
        position.lots -= sign * size
        position.cost -= cost
        position.margin -= margin


def futures_fee(spec: Spec, cost: int, maker: bool) -> int:
    """Return the fee of a trade that costs `cost` (price times lots)."""
    return value_of(spec, cost) * (_MAKER_FEE if maker else _FEE) // 10_000


def value_of(spec: Spec, cost: int) -> int:
    """Return `cost` (price times lots) in units of money."""
    value: int = cost * 10 ** (SCALE - spec.value_scale)
    return value
