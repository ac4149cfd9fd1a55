"""A copy of a book at one sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..payloads import Level
from .base import Levels, TopOfBook
from .l3 import Order

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped, import-not-found, unused-ignore]

__all__ = ["BookSnapshot"]


@dataclass(frozen=True)
class BookSnapshot(TopOfBook):
    """A book, or its best levels, at one sequence. It never changes.

    Attributes:
        symbol, level: those of the book.
        sequence: the book's sequence.
        received_ns: when the newest update was read from the socket, in nanoseconds since 1970; 0 before the first one.
        bids, asks: levels, each a `Level(price, size)`, best first.
        bid_orders, ask_orders: the orders of these levels, in the order in which they would trade; empty for level 2.
    """

    symbol: str
    level: int
    sequence: int
    received_ns: int
    bids: Levels
    asks: Levels
    bid_orders: tuple[Order, ...] = ()
    ask_orders: tuple[Order, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the exchange may have other levels among or after these, within the requested depth."""
        return self.bids.partial or self.asks.partial

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, a `Level(price, size)`; None if there is none."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, a `Level(price, size)`; None if there is none."""
        return self.asks[0] if self.asks else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data in KuCoin's form: numbers as text, rows of price and size.

        A book of level 3 has rows of order id, price, size and time in nanoseconds.
        """
        sides: dict[str, list[list[Any]]]
        if self.level == 3:
            sides = {
                name: [[order.id, _text(order.price), _text(order.size), order.time_ns] for order in orders]
                for name, orders in (("bids", self.bid_orders), ("asks", self.ask_orders))
            }
        else:
            sides = {
                name: [[_text(price), _text(size)] for price, size in levels]
                for name, levels in (("bids", self.bids), ("asks", self.asks))
            }
        return {"symbol": self.symbol, "sequence": self.sequence, "partial": self.partial, **sides}

    def to_frame(self, *, floats: bool = False) -> DataFrame:
        """Return a pandas data frame, best levels first, bids before asks.

        The columns are side ("buy" or "sell"), price and size. For a book of level 3 there is one row per order, with
        the further columns order_id and time_ns. Numbers are exact (`Decimal`), or floats with `floats`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_frame() needs pandas, which is not installed: pip install pandas. The same rows are in .bids and "
                ".asks without it"
            ) from error
        number: Callable[[Decimal], Any] = float if floats else _unchanged
        if self.level == 3:
            return pandas.DataFrame(
                [
                    (order.side, number(order.price), number(order.size), order.id, order.time_ns)
                    for order in (*self.bid_orders, *self.ask_orders)
                ],
                columns=["side", "price", "size", "order_id", "time_ns"],
            )
        return pandas.DataFrame(
            [
                (side, number(price), number(size))
                for side, levels in (("buy", self.bids), ("sell", self.asks))
                for price, size in levels
            ],
            columns=["side", "price", "size"],
        )


def _unchanged(number: Decimal) -> Decimal:
    return number


def _text(number: Decimal) -> str:
    return format(number, "f")
