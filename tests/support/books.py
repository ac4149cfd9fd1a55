"""The exchange's own book, in the form in which ours can be compared with it; data of books; changes to wait for."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

from kucoin_sync import BookChange, BookNotReady, LocalBook, LocalLevel3Book
from kucoin_sync.payloads import Level
from kucoin_sync.testing import Exchange

from .threads import LIMIT

__all__ = ["Changes", "best_prices", "contents", "is_true", "levels", "snapshot", "truth"]


def levels(*rows: tuple[str, str]) -> list[Level]:
    """Return levels of (price, size)."""
    return [Level(Decimal(price), Decimal(size)) for price, size in rows]


def snapshot(sequence: int, *, bids: Any = (("99", "1"),), asks: Any = (("101", "1"),)) -> dict[str, Any]:
    """Return a snapshot of level 2, as REST gives it."""
    return {"sequence": str(sequence), "time": 1, "bids": list(bids), "asks": list(asks)}


def best_prices(exchange: Exchange, symbol: str) -> tuple[Decimal, Decimal]:
    """Return the best bid and the best ask."""
    _, bids, asks = exchange.level2(symbol)
    return bids[0][0], asks[0][0]


def truth(exchange: Exchange, symbol: str, level: int = 2) -> tuple[Any, ...]:
    """Return sequence, bids and asks of the exchange's book, and for level 3 its orders."""
    sequence, bids, asks = exchange.level2(symbol)
    if level == 2:
        return sequence, bids, asks
    orders = exchange.level3(symbol)
    # In the middle of an action an order that is filled is there until the event that says that it is done.
    return sequence, bids, asks, *([order for order in side if order.size] for side in (orders.bids, orders.asks))


def contents(book: LocalBook) -> tuple[Any, ...]:
    """Return what a book says, in one cut, in the form of `truth`."""
    snapshot = book.snapshot()
    whole = snapshot.sequence, snapshot.bids, snapshot.asks
    if not isinstance(book, LocalLevel3Book):
        return whole
    sides = (snapshot.bid_orders, snapshot.ask_orders)
    return *whole, *([(order.id, order.price, order.size, order.time_ns) for order in orders] for orders in sides)


def is_true(book: LocalBook, exchange: Exchange, level: int = 2) -> bool:
    """Return whether a book equals the exchange's, which rests; fail if it says what is not so.

    The UTA feed pushes nothing for changes that cancel each other out, so that the sequence of its book may be lower.
    """
    try:
        found = contents(book)
    except BookNotReady:
        return False
    true = truth(exchange, book.symbol, level)
    if found[0] < true[0] and found[1:] != true[1:]:
        return False
    assert found[1:] == true[1:]
    return True


class Changes:
    """An `on_change` that remembers, and can be waited on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.all: list[BookChange[Any]] = []

    def __call__(self, change: BookChange[Any]) -> None:
        with self._changed:
            self.all.append(change)
            self._changed.notify_all()

    def wait_to(self, sequence: int) -> None:
        """Wait until a change has brought the book to `sequence`."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.all) and self.all[-1].sequence_end >= sequence, LIMIT), (
                f"waited in vain for {sequence}; the last changes were {self.all[-3:]}"
            )
