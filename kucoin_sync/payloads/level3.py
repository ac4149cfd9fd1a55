"""The events of level 3, one by one, in both generations; and the trades, which outlived level 3.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from .base import Side, TimedTwice, WireTime, to_ns

__all__ = [
    "Level3Change",
    "Level3Done",
    "Level3Event",
    "Level3Open",
    "Level3Received",
    "Level3Update",
    "Match",
]


class Level3Event(TimedTwice, frozen=True, kw_only=True):
    """The fields that the events of both generations of level 3 share.

    The first (`/market/level3`) names the time `time` and sends it and the sequence as text, the second
    (`/spotMarket/level3`) names it `ts` and sends numbers; both are in nanoseconds. Only the first has
    `type`. Each event's sequence is its predecessor's plus 1.
    """

    symbol: str
    sequence: int
    type: str | None = None
    wire_time: WireTime = field(name="time", default=0)
    wire_time_alias: WireTime = field(name="ts", default=0)


class Level3Received(Level3Event, frozen=True, kw_only=True):
    """An order was accepted; the book does not change: subjects `trade.l3received` and `received`.

    On an authorised connection `type` may be "activated" instead of "received": one of the account's own stop
    orders became active. The second generation has neither price nor side. A market order has no price, and
    may have `funds` instead of a size.
    """

    order_id: str
    client_oid: str | None = None
    order_type: str | None = None
    side: Side | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    funds: Decimal | None = None

    @property
    def activated(self) -> bool:
        """Whether one of the account's stop orders became active; otherwise a new order was accepted."""
        return self.type == "activated"


class Level3Open(Level3Event, frozen=True, kw_only=True):
    """An order was added to the book: subjects `trade.l3open` and `open`.

    A hidden order has the price "" and the size "0" in KuCoin's JSON; its `price` is None, and it only advances
    the sequence.
    """

    order_id: str
    side: Side
    price: Decimal | None
    size: Decimal
    wire_order_time: WireTime = field(name="orderTime", default=0)

    @property
    def hidden(self) -> bool:
        """Whether the order does not show on the book."""
        return self.price is None

    @property
    def order_time_ns(self) -> int:
        """When the order was accepted, in nanoseconds since 1970, UTC; 0 in the first generation."""
        return to_ns(self.wire_order_time)


class Match(Level3Event, frozen=True, kw_only=True):
    """A trade: `/market/match`, and the subjects `trade.l3match` and `match` of level 3.

    `side` is the taker's. The ids of the orders are None in a recovered message. `remain_size` (second generation of
    level 3) is the remaining size of the maker's order. Time in nanoseconds, as text except in the second generation.
    """

    price: Decimal
    size: Decimal
    side: Side
    trade_id: str
    maker_order_id: str | None = None
    taker_order_id: str | None = None
    remain_size: Decimal | None = None


class Level3Change(Level3Event, frozen=True, kw_only=True):
    """The size of a resting order shrank: subject `trade.l3change`, first generation only."""

    order_id: str
    new_size: Decimal
    old_size: Decimal | None = None
    side: Side | None = None
    price: Decimal | None = None


class Level3Update(Level3Event, frozen=True, kw_only=True):
    """The size of a resting order shrank to `size`: subject `update`, second generation only."""

    order_id: str
    size: Decimal


class Level3Done(Level3Event, frozen=True, kw_only=True):
    """An order left the book or ended without having been on it: subjects `trade.l3done` and `done`.

    `reason` is "filled" or "canceled". Side and size come in the first generation only.
    """

    order_id: str
    reason: str | None = None
    side: Side | None = None
    price: Decimal | None = None
    size: Decimal | None = None
