"""The state of one market's part of an account, and an explicit merge for each kind of thing in it.

Pushes and REST rows come in any order. The merges:
1. Orders: sizes are cumulative, so the state with the larger filled plus canceled size is the later one; with equal
   sizes an ending is. An order that has ended stays so. A later state keeps what it does not tell from the one before.
2. Fills are joined by (symbol, trade id, order id). The second report of a fill only adds what the first did not tell.
   The ending of an order is told when all its fills have been told, or were forgone.
3. Balances are absolute. A push since the last cut is always later than any row; before that, only a row of a request
   that surely shows the end of the cut counts. The key has the account's id, not the currency alone. A push of an
   account of unknown kind waits until a row tells the kind of the account with that id.
4. Positions are absolute, too, where a push or a row has the quantity. Only pushes are compared by their times: that of
   a row is when REST answered. A partial push changes only what it tells.

Pure: nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from . import pushes, rows
from .merges import completed, later, rank, stable, with_sizes
from .values import AccountBalance, AccountChange, AccountFill, AccountOrder, AccountPosition

__all__ = ["FillKey", "PartState"]

FillKey = tuple[str, str, str]
_MOST_ENDED = 10_000  # orders that have ended and are kept
_MOST_FILLS = 10_000
_NOTHING = Decimal(0)


class PartState:
    """The orders, fills, balances and positions of one market.

    Attributes:
        changes: the changes since they were taken last.
        doubts: what is unknown, by the ids of orders or other keys.
        is_starting: whether the start state is still being collected: what it consists of is no change.
        newest_ns: the newest time in a push or row so far, by KuCoin's clock.
        collecting: whether something may be missing since a cut, or since the start.
        fresh: while `collecting`, the keys of what was pushed since the cut or the start; no row replaces that.
        lacking: while not `collecting`, the ids of orders of which a push told more as filled than their known fills.
    """

    def __init__(self) -> None:
        self.changes: list[AccountChange] = []
        self.doubts: dict[str, str] = {}
        self.is_starting = True
        self.newest_ns = 0
        self.collecting = True
        self.fresh: set[Any] = set()
        self.lacking: set[str] = set()
        self.orders: dict[str, AccountOrder] = {}
        self.fills: dict[FillKey, AccountFill] = {}
        self.balances: dict[tuple[str, str], AccountBalance] = {}
        self.positions: dict[tuple[str, str], AccountPosition] = {}
        self._position_ns: dict[tuple[str, str], int] = {}  # the newest time of a pushed position since the last cut
        self._unplaced: dict[tuple[str, str], AccountBalance] = {}  # pushed ones of accounts that are not known
        self._client_oids: dict[str, str] = {}  # client id -> id of the order that it names now
        self._earlier: dict[FillKey, AccountFill] = {}  # fills from before the start
        self._filled: dict[str, Decimal] = {}  # order id -> the sum of its known fills
        self._before: dict[str, Decimal] = {}  # order id -> what was filled before the start
        self._pushed: set[str] = set()  # the orders of pushes before the start state was complete
        self._held: dict[str, AccountChange] = {}  # order id -> its ending, which is told after its fills
        self._forgone: dict[str, Decimal] = {}  # order id -> what of it are fills that stayed unknown

    def order(self, name: str) -> AccountOrder | None:
        """Return an order by its id or its client id."""
        return self.orders.get(name) or self.orders.get(self._client_oids.get(name, ""))

    def open_orders(self) -> list[AccountOrder]:
        """Return the orders that have not ended, as far as known, in the order in which they were seen first."""
        return [order for order in self.orders.values() if order.active is not False]

    def cut(self) -> None:
        """Note that the connection was lost: pushes may be missing from now on."""
        self.collecting = True
        self.fresh.clear()
        self.lacking.clear()
        self._position_ns.clear()

    def proved(self) -> None:
        """Note that nothing is missing any more."""
        self.is_starting = self.collecting = False
        for key in self._unplaced.keys() - self.fresh:
            self._forget_unplaced(key)  # no list has it, so it is of no account that is followed
        self.fresh.clear()
        self._pushed.clear()
        self._forgive()

    def _freshen(self, key: Any) -> None:
        if self.collecting:
            self.fresh.add(key)

    # Pushes

    def push(self, topic: str, data: rows.Row) -> None:
        """Take the data of a push."""
        name, _, argument = topic.partition(":")
        if "tradeOrders" in name:
            self._push_order(data)
        elif name == "/account/balance":
            self._push_balance(pushes.balance(data))
        elif name == "/contractAccount/wallet":
            if (balance := pushes.wallet(data)) is not None:
                self._push_balance(balance)
        elif name.startswith("/contract/position"):
            self._push_position(data, argument or None)

    def _push_order(self, data: rows.Row) -> None:
        order, fill = pushes.order(data), pushes.match(self.with_side(data))
        name = order.order_id
        if self.is_starting:
            before = order.filled_size - (fill.size if fill else _NOTHING)
            self._before[name] = min(before, self._before[name]) if name in self._pushed else before
            self._pushed.add(name)
        self._freshen(name)
        if fill is not None:
            self.add_fill(fill, recovered=False)
        self.add_order(order, recovered=False)
        if not self.collecting and self.lacks({name}):
            self.lacking.add(name)

    def _push_balance(self, balance: AccountBalance) -> None:
        key = self._key(balance)
        known = self.balances.get(key)
        if known is not None and balance.time_ns < known.time_ns and (key in self.fresh or not self.collecting):
            return
        if known is not None and known.account_id == balance.account_id is not None:
            balance = msgspec.structs.replace(balance, account=known.account)
        self._freshen(key)
        if balance.account:
            self._set_balance(key, balance, recovered=False)
            return
        account = f"an account that is not known (id {balance.account_id})"
        self.note_doubt(str(key), f"a balance of {balance.currency} is of {account}")
        self._unplaced[key] = max(balance, self._unplaced.get(key, balance), key=lambda each: each.time_ns)

    def _push_position(self, data: rows.Row, symbol: str | None) -> None:
        position = rows.position(data, symbol)
        if position is not None:
            key = position.symbol, position.position_side
            if 0 < position.time_ns < self._position_ns.get(key, 0):
                return  # a later push has come before
            self._position_ns[key] = position.time_ns
            self._freshen(key)
            self._set_position(position, recovered=False)
            return
        name, side = rows.text(data.get("symbol")) or symbol, rows.text(data.get("positionSide"))
        marks = rows.marks(data)
        meant = [each for each in self.open_positions() if each.symbol == name and side in (None, each.position_side)]
        if len(meant) > 1:  # in hedge mode: of which one the rest is told is unknown
            marks = {"mark_price": marks["mark_price"]} if "mark_price" in marks else {}
        for each in meant:
            self.positions[each.symbol, each.position_side] = msgspec.structs.replace(each, **marks)

    # Orders

    def add_order(self, order: AccountOrder, *, recovered: bool) -> bool:
        """Merge a state of an order; return whether it was news."""
        self._note(order.time_ns)
        known = self.orders.get(order.order_id)
        order = with_sizes(order, known)
        if known is not None:
            order, news = later(known, order)
            if not news:
                self.orders[order.order_id] = order
                return False
        elif order.active is False:
            self._forget_ended()
        if self.is_starting and recovered and order.order_id not in self._pushed:
            self._before[order.order_id] = order.filled_size
        self.orders[order.order_id] = order
        if known is not None and known.active is None:
            self.doubts.pop(order.order_id, None)
        if order.client_oid:
            named = self.orders.get(self._client_oids.get(order.client_oid, ""))
            if named is None or rank(order) >= rank(named):
                self._client_oids[order.client_oid] = order.order_id
        if not (self.is_starting and recovered) or order.order_id in self._pushed:
            change = AccountChange(kind="order", order=order, recovered=recovered)
            if order.active is False:
                self._held[order.order_id] = change
                self._tell_ending(order.order_id)
            else:
                self.changes.append(change)
        return True

    def _tell_ending(self, order_id: str) -> None:
        """Tell that an order has ended, unless fills of it are still missing."""
        if order_id in self._held and not self.lacks({order_id}):
            self.changes.append(self._held.pop(order_id))

    def doubt(self, order: AccountOrder, reason: str) -> None:
        """Note that it is unknown whether an order is still active."""
        unknown = msgspec.structs.replace(order, active=None)
        self.orders[order.order_id] = unknown
        self.doubts[order.order_id] = reason
        self.changes.append(AccountChange(kind="unknown", order=unknown, recovered=True, reason=reason))

    def note_doubt(self, key: str, reason: str) -> None:
        """Tell once of something else that is unknown, until its key is taken out of `doubts`."""
        if key not in self.doubts:
            self.changes.append(AccountChange(kind="unknown", reason=reason))
        self.doubts[key] = reason

    def _forget_ended(self) -> None:
        if len(self.orders) < _MOST_ENDED * 2:
            return
        ended = [order_id for order_id, order in self.orders.items() if order.active is False]
        for order_id in ended[: len(ended) - _MOST_ENDED]:
            gone = self.orders.pop(order_id)
            self.changes += [self._held.pop(order_id)] if order_id in self._held else []
            for each in (self._before, self._filled, self._forgone, self.doubts):
                each.pop(order_id, None)
            if gone.client_oid and self._client_oids.get(gone.client_oid) == order_id:
                del self._client_oids[gone.client_oid]

    # Fills

    def with_side(self, row: rows.Row) -> rows.Row:
        """Return the row or push of a fill with the side of its order, if it has none and the order is known."""
        if rows.side(row) is not None:
            return row
        order = self.orders.get(rows.text(row.get("orderId")) or "")
        return row if order is None else {**row, "side": order.side}

    def add_fill(self, fill: AccountFill, *, recovered: bool) -> bool:
        """Merge a report of a fill; return whether it was news."""
        self._note(fill.time_ns)
        key = fill.symbol, fill.trade_id, fill.order_id
        known = self.fills.get(key)
        if known is not None:
            self.fills[key] = completed(known, fill)
            return False
        if key in self._earlier:
            if recovered:
                return False
            del self._earlier[key]  # a row was faster than this push
            if not self.is_starting:
                before = self._before.get(fill.order_id, _NOTHING)
                self._before[fill.order_id] = max(_NOTHING, before - fill.size)
        if self.is_starting and recovered and (fill.order_id not in self._pushed or self._before[fill.order_id]):
            self._earlier[key] = fill
            return False
        self._tell_fill(key, fill, recovered=recovered)
        return True

    def _tell_fill(self, key: FillKey, fill: AccountFill, *, recovered: bool) -> None:
        self.fills[key] = fill
        self._filled[fill.order_id] = self._filled.get(fill.order_id, _NOTHING) + fill.size
        if len(self.fills) > _MOST_FILLS:
            del self.fills[next(iter(self.fills))]
        self.changes.append(AccountChange(kind="fill", fill=fill, recovered=recovered))
        self._tell_ending(fill.order_id)

    def tell_newest_fills(self) -> None:
        """Tell those fills of the start that came after the first push of their order: the newest ones, by their sizes.

        Only for when REST surely shows all of them.
        """
        for order, missing in self.missing_fills() if self.is_starting else ():
            own = [(key, fill) for key, fill in self._earlier.items() if fill.order_id == order.order_id]
            newest = []
            for key, fill in sorted(own, key=lambda each: (len(each[1].trade_id), each[1].trade_id), reverse=True):
                if fill.size > missing:
                    break
                missing -= fill.size
                newest.append(key)
            for key in reversed(newest):
                self._tell_fill(key, self._earlier.pop(key), recovered=True)

    def lacks(self, order_ids: Iterable[str]) -> bool:
        """Return whether known fills are less than the filled size of one of some orders."""
        return any(self._missing(self.orders[name]) > 0 for name in order_ids if name in self.orders)

    def _missing(self, order: AccountOrder) -> Decimal:
        known = self._before.get(order.order_id, _NOTHING) + self._filled.get(order.order_id, _NOTHING)
        return order.filled_size - known

    def missing_fills(self) -> list[tuple[AccountOrder, Decimal]]:
        """Return the orders whose known fills are less than their filled size, with what is missing."""
        return [(order, missing) for order in self.orders.values() if (missing := self._missing(order)) > 0]

    def forgo_fills(self, order: AccountOrder, missing: Decimal, reason: str) -> None:
        """Note that some fills of an order stay unknown. They no longer count as missing."""
        for part in (self._before, self._forgone):
            part[order.order_id] = part.get(order.order_id, _NOTHING) + missing
        self.doubts[order.order_id] = reason
        self.changes.append(AccountChange(kind="unknown", order=order, recovered=True, reason=reason))
        self._tell_ending(order.order_id)

    def _forgive(self) -> None:
        """End the doubts about fills that are known by now."""
        for order_id, forgone in list(self._forgone.items()):
            order = self.orders[order_id]
            late = min(forgone, max(_NOTHING, -self._missing(order)))  # fills that came after all
            self._before[order_id] -= late
            self._forgone[order_id] -= late
            if not self._forgone[order_id]:
                del self._forgone[order_id]
                if order.active is not None:
                    self.doubts.pop(order_id, None)

    # Balances

    def set_balances(self, balances: Iterable[AccountBalance], *, accounts: tuple[str, ...]) -> None:
        """Take the rows of a request that shows the end of the cut. A known balance that is missing in them is zero.

        Args:
            accounts: how the names of the accounts begin that the answer is about.
        """
        listed = set()
        for balance in balances:
            key = self._key(balance)
            listed.add(key)
            pushed = self._unplaced.get(key)
            self._forget_unplaced(key)
            if key not in self.fresh:
                self._set_balance(key, balance, recovered=True)
            elif pushed is not None:
                self._set_balance(key, msgspec.structs.replace(pushed, account=balance.account), recovered=False)
        for key, known in list(self.balances.items()):
            if known.account.startswith(accounts) and key not in listed and key not in self.fresh and known.total:
                empty = msgspec.structs.replace(known, available=_NOTHING, hold=_NOTHING, total=_NOTHING, time_ns=0)
                self._set_balance(key, empty, recovered=True)

    def _set_balance(self, key: tuple[str, str], balance: AccountBalance, *, recovered: bool) -> None:
        self._note(balance.time_ns)
        known = self.balances.get(key)
        self.balances[key] = balance
        same = known is not None and (known.available, known.hold, known.total) == (
            balance.available, balance.hold, balance.total
        )  # fmt: skip
        if not same and not (self.is_starting and recovered):
            self.changes.append(AccountChange(kind="balance", balance=balance, recovered=recovered))

    def _forget_unplaced(self, key: tuple[str, str]) -> None:
        if self._unplaced.pop(key, None) is not None:
            del self.doubts[str(key)]

    def _key(self, balance: AccountBalance) -> tuple[str, str]:
        return balance.account_id or balance.account, balance.currency

    # Positions

    def set_positions(self, positions: Iterable[AccountPosition]) -> None:
        """Take the rows of a request that shows the end of the cut. A position that is missing in them is closed."""
        listed = set()
        for position in positions:
            key = position.symbol, position.position_side
            listed.add(key)
            if key not in self.fresh:
                self._set_position(position, recovered=True)
        for key, known in list(self.positions.items()):
            if key not in listed and key not in self.fresh and known.size:
                closed = AccountPosition(
                    symbol=known.symbol, position_side=known.position_side, side=None, size=_NOTHING,
                    settle_currency=known.settle_currency, margin_mode=known.margin_mode,
                )  # fmt: skip
                self._set_position(closed, recovered=True)

    def open_positions(self) -> list[AccountPosition]:
        """Return the positions that are not closed."""
        return [position for position in self.positions.values() if position.size]

    def _set_position(self, position: AccountPosition, *, recovered: bool) -> None:
        key = position.symbol, position.position_side
        known = self.positions.get(key)
        if known is not None and position.size:
            position = completed(position, known)
        self.positions[key] = position
        if (known is None and not position.size) or (self.is_starting and recovered):
            return
        if known is None or stable(position) != stable(known):
            self.changes.append(AccountChange(kind="position", position=position, recovered=recovered))

    # All

    def take_changes(self) -> list[AccountChange]:
        """Return the changes since the last call."""
        changes, self.changes = self.changes, []
        return changes

    def _note(self, time_ns: int) -> None:
        self.newest_ns = max(self.newest_ns, time_ns)
