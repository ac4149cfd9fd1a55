"""One consistent cut of a book, as a value of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..payloads import Level
from .base import Levels, Quotes
from .l3 import Order

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped, import-not-found, unused-ignore]

__all__ = ["BookSnapshot"]


@dataclass(frozen=True)
class BookSnapshot(Quotes):
    """A book, or the best levels of one, at one sequence. Nothing changes it any more.

    Attributes:
        symbol, level: what it was cut from.
        sequence: that of the book.
        received_ns: when the newest update was read from the socket, in nanoseconds since 1970; 0 where none came yet.
        bids, asks: levels, best first.
        bid_orders, ask_orders: the orders that make up these levels, in the order in which they would trade; only
            books of level 3 know them.
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
        """Whether the exchange may have levels among these, or behind them within the depth that was asked for."""
        return self.bids.partial or self.asks.partial

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None when there is none."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None when there is none."""
        return self.asks[0] if self.asks else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data of KuCoin's shapes: numbers as text, rows of price and size.

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

        Its columns are side ("buy" or "sell"), price and size; for a book of level 3 it has one row for each order and
        the columns order_id and time_ns, too. Numbers are exact (`Decimal`), or floats if that is asked for.

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
        number: Callable[[Decimal], Any] = float if floats else _as_it_is
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


def _as_it_is(number: Decimal) -> Decimal:
    return number


def _text(number: Decimal) -> str:
    return format(number, "f")
