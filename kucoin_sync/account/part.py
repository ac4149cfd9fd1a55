"""The part of an account that one of KuCoin's two services has: what all of them share.

A part makes plans for the reconciliation. A round of REST calls collects orders and fills into the state; a final
round, whose requests surely show the end of the cut, also takes balances and positions, and looks after orders that are
nowhere listed as active.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..exceptions import AuthenticationError, KucoinSyncError
from .calls import Call, Plan
from .rows import Row, fill
from .rows import order as order_of
from .state import PartState
from .values import AccountOrder

__all__ = ["SLACK_NS", "AccountPart"]

SLACK_NS = 5_000_000_000
"""By how much the times of records may lag behind those of pushes, in nanoseconds."""
_NOT_PERMITTED = "400007"  # the key lacks a permission


class AccountPart(ABC):
    """One market's part of an account.

    Attributes:
        market: "spot" or "futures".
        topics: what it subscribes.
        state: what is known.
        unseen: why parts of it can't be seen, by their names.
        now_ns: about the time of this machine's clock, which decides only how lists are asked for; 0 if unknown.
        shown: the ids of the orders that REST has shown as active since the cut.
    """

    market: str
    topics: tuple[str, ...]

    def __init__(self) -> None:
        self.state = PartState()
        self.unseen: dict[str, str] = {}
        self.shown: frozenset[str] = frozenset()
        self.now_ns = 0
        self.since_ns = 0  # records from then on may have been missed, by KuCoin's clock
        self._missed_ns = 0  # the same of pushes that are missing since the last cut

    def cut(self) -> None:
        """Note that the connection was lost."""
        self.state.cut()
        if not self.since_ns:
            self.since_ns = max(0, (self._missed_ns or self.state.newest_ns) - SLACK_NS)
        self._missed_ns = 0

    def missed(self) -> None:
        """Note that a push is missing, which the present reconciliation may be too early for."""
        self._missed_ns = self._missed_ns or self.state.newest_ns

    def proved(self) -> None:
        """Note that nothing can be missing any more."""
        self.since_ns = 0
        self.state.proved()

    def collect(self, orders: list[Row], fills: list[Row]) -> None:
        """Merge rows of orders and fills: the fills first, as they came before the endings of their orders."""
        for each in sorted(
            map(fill, map(self.state.with_side, fills)),
            key=lambda each: (each.time_ns, len(each.trade_id), each.trade_id),
        ):
            self.state.add_fill(each, recovered=True)
        for row in sorted(map(order_of, orders), key=lambda row: row.time_ns):
            self.state.add_order(row, recovered=True)

    def hide(self, name: str, error: Exception) -> None:
        """Note that something can't be seen with this key; raise the error if it is about the key itself."""
        if isinstance(error, AuthenticationError) and error.code != _NOT_PERMITTED:
            raise error
        self.unseen[name] = f"{name}: {error}"

    def seen(self, name: str, plan: Plan[list[Any]]) -> Plan[list[Any]]:
        """Return what a plan finds; nothing if it is refused, which is noted under the name."""
        try:
            found = yield from plan
        except KucoinSyncError as error:
            self.hide(name, error)
            return []
        self.unseen.pop(name, None)
        return found

    @abstractmethod
    def check(self) -> Plan[None]:
        """Make one call, to learn whether the key may see the part at all.

        Raises:
            KucoinSyncError: it may not.
        """

    @abstractmethod
    def round(self, *, final: bool) -> Plan[None]:
        """Collect what REST shows now."""

    def knows(self, currency: str) -> bool:  # noqa: ARG002
        """Return whether it is known that there is no balance of a currency if none was told."""
        return True

    @abstractmethod
    def look_for(self, lost: AccountOrder) -> list[Call]:
        """Return the calls one of which may find an order."""

    @abstractmethod
    def fills_of(self, order: AccountOrder) -> Plan[list[Row]]:
        """Return the rows of all fills of an order, as far as they can be seen."""

    def vanished(self) -> list[AccountOrder]:
        """Return the open orders that no push and no list has shown since the cut; after a final round."""
        shown = self.shown | self.state.fresh
        return [order for order in self.state.open_orders() if order.order_id not in shown]
