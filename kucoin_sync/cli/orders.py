"""A view of the changes of the account's orders and balances."""

from __future__ import annotations

from collections import deque

from .. import Subscription
from ..payloads import Balance, OrderChange
from . import figures
from .layout import Column, Line, Span, columns, line, printable
from .live import View

__all__ = ["Orders"]

_KEPT = 200
_HEADS = (
    Column("time", right=False, rank=1),
    Column("what", right=False),
    Column("of", right=False),
    Column("size"),
    Column("price"),
    Column("more", right=False, rank=2),
)


class Orders(View):
    """The newest changes of orders and balances, the newest one first."""

    title = "Own orders and balances"

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._kept: deque[list[Span]] = deque(maxlen=_KEPT)

    def update(self) -> None:
        for message in self.messages(self._subscription):
            self.seen += 1
            data = message.payload
            time = Span(figures.clock(message.received_ns), "dim")
            if isinstance(data, OrderChange):
                self._kept.appendleft([time, *_order(data)])
            elif isinstance(data, Balance):
                self._kept.appendleft([time, *_balance(data)])

    def draw(self, width: int, height: int) -> list[Line]:
        if not self._kept:
            return [line(Span("Nothing has happened yet.", "dim"))]
        return columns(_HEADS, list(self._kept)[: max(0, height - 1)], width)


def _order(order: OrderChange) -> list[Span]:
    price = order.match_price if order.type == "match" else order.price
    size = order.match_size if order.type == "match" else order.size or order.origin_size
    return [
        Span(f"order {printable(order.type or '-')}", "bold"),
        Span(f"{order.side or '-'} {printable(order.symbol or '-')}", "up" if order.side == "buy" else "down"),
        Span(figures.plain(size)),
        Span(figures.plain(price)),
        Span(f"filled {figures.plain(order.filled_size)}" if order.filled_size else "", "dim"),
    ]


def _balance(balance: Balance) -> list[Span]:
    return [
        Span("balance"),
        Span(printable(balance.currency or "-")),
        Span(figures.short(balance.available, 8)),
        Span(""),
        Span(f"and {figures.short(balance.hold)} on hold", "dim"),
    ]
