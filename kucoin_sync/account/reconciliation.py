"""Bring one part of an account in step with the exchange after its connection was lost.

Rules, by KuCoin's documentation and by what others have met:
1. It begins when the server has confirmed all topics of the part. From then on every change is pushed.
2. A first round of REST calls recovers the fills and the endings that REST shows already. Pushes wait until then, but
   not for longer than `PUSHES_WAIT` seconds.
3. REST shows the past: for `rest_lag` seconds after the confirmation, an answer may lack what the cut has hidden. What
   is requested after that, in the final round, surely shows it. So balances and positions are taken from that round,
   and only then an open order that is listed nowhere is looked for by its id.
4. What is still open (an order that is nowhere to be found, a filled size without its fills) is asked for by the
   order's id, again after `RETRIES` seconds, and then said to be unknown.
5. When the connection is lost meanwhile, everything begins again. Keys and cumulative sizes make repeats harmless.

A run is a generator: it yields calls that may be made at the same time, or the instant until which to wait.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias

from ..exceptions import KucoinSyncError
from .calls import Call, Plan, together
from .part import AccountPart
from .rows import order as order_of
from .values import AccountOrder

__all__ = ["PUSHES_WAIT", "RETRIES", "Run", "Until", "reconcile"]

RETRIES = (1.0, 3.0, 10.0)
PUSHES_WAIT = 2.0


class Until(NamedTuple):
    """The next step of a run is due so many seconds after its beginning.

    `gathered` says that the first round is over: pushes need not wait any more.
    """

    seconds: float
    gathered: bool = False


#: What a run yields, and is sent.
Run: TypeAlias = Generator["list[Call] | Until", Any, None]


def reconcile(part: AccountPart, rest_lag: float) -> Run:
    """Run one reconciliation of a part, whose topics the server has just confirmed."""
    yield from part.check() if part.state.is_starting else part.round(final=False)
    yield Until(rest_lag, gathered=True)
    yield from part.round(final=True)
    after = rest_lag
    for delay in RETRIES:
        yield from _look_for_vanished(part)
        yield from _look_for_fills(part)
        if not _is_open(part):
            break
        after += delay
        yield Until(after)
        yield from part.round(final=False)
    else:
        yield from _look_for_vanished(part)
        yield from _look_for_fills(part)
        _give_up(part)
    part.proved()


def _is_open(part: AccountPart) -> bool:
    """Return whether something is open that may become known."""
    vanished = any(order.active for order in part.vanished())
    return vanished or bool(part.state.missing_fills())


def _look_for_vanished(part: AccountPart) -> Plan[None]:
    """Ask for the open orders that no list has shown, one by one."""
    yield from together([_look_for(part, order) for order in part.vanished()])


def _look_for(part: AccountPart, order: AccountOrder) -> Plan[None]:
    for data in (yield part.look_for(order)):
        if isinstance(data, KucoinSyncError) or not data:
            continue
        found = order_of(data)
        part.state.add_order(found, recovered=True)
        if found.active:
            part.shown |= {found.order_id}


def _look_for_fills(part: AccountPart) -> Plan[None]:
    """Ask for the fills of the orders that lack some, one by one."""
    lists = yield from together([part.fills_of(order) for order, _ in part.state.missing_fills()])
    part.collect([], [row for rows in lists for row in rows])
    part.state.tell_newest_fills()


def _give_up(part: AccountPart) -> None:
    """Say what stays unknown."""
    for order in part.vanished():
        if order.active:
            part.state.doubt(
                order,
                f"the order {order.order_id} of {order.symbol} is not among the open ones, and KuCoin does not tell "
                "how it has ended: it is older than what REST tells, or was never accepted",
            )
    for order, missing in part.state.missing_fills():
        part.state.forgo_fills(
            order,
            missing,
            f"fills of the order {order.order_id} of {order.symbol} are missing: {missing} of {order.filled_size}",
        )
