"""Public payloads of the futures feeds. Sizes are in contracts (lots) unless a class says otherwise.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, cast

from msgspec import Meta, field

from .base import Side, Timed, WireTime, to_ns

__all__ = [
    "FundingRate",
    "FundingSettlement",
    "FuturesLevel2Update",
    "FuturesMatch",
    "FuturesSnapshot",
    "FuturesTicker",
    "FuturesTickerV2",
    "MarkIndexPrice",
]

_NUMBER = r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?"
_CHANGE = rf"^{_NUMBER},(buy|sell),{_NUMBER}\Z"
_BEYOND = Decimal("1e1000")


class FuturesTickerV2(Timed, frozen=True, kw_only=True):
    """The best bid and ask: `/contractMarket/tickerV2`. Time in nanoseconds.

    In KuCoin's JSON the prices are `bestBidPrice` and `bestAskPrice`. `sequence` is that of the level 2 feed, with
    gaps; older pushes lack it.
    """

    symbol: str
    sequence: int | None = None
    best_bid_size: Decimal | None = None
    best_bid: Decimal | None = field(name="bestBidPrice")
    best_ask: Decimal | None = field(name="bestAskPrice")
    best_ask_size: Decimal | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesTicker(Timed, frozen=True, kw_only=True):
    """The last trade with the best bid and ask: `/contractMarket/ticker`, which KuCoin advises against.

    Time in nanoseconds. `side` is the taker's. In KuCoin's JSON the best prices are `bestBidPrice` and
    `bestAskPrice`.
    """

    symbol: str
    sequence: int
    price: Decimal
    size: Decimal | None = None
    side: Side | None = None
    trade_id: str | None = None
    best_bid: Decimal | None = field(name="bestBidPrice", default=None)
    best_bid_size: Decimal | None = None
    best_ask: Decimal | None = field(name="bestAskPrice", default=None)
    best_ask_size: Decimal | None = None
    wire_time: WireTime = field(name="ts", default=0)


class FuturesLevel2Update(Timed, frozen=True, kw_only=True):
    """One changed price level: `/contractMarket/level2`. Time in milliseconds. The symbol is in the topic.

    `change` is KuCoin's text, "price,side,size", which `price`, `side` and `size` read, each its own part: None if that
    can't be read. Size 0 removes the level. Each update's sequence is its predecessor's plus 1.
    """

    sequence: int
    change: Annotated[str, Meta(pattern=_CHANGE)]
    wire_time: WireTime = field(name="timestamp", default=0)

    @property
    def price(self) -> Decimal:
        """The price of the level."""
        return cast(Decimal, self._number(0))

    @property
    def side(self) -> Side:
        """The side of the book: "buy" for bids, "sell" for asks."""
        try:
            word = self.change.split(",")[1]
        except (AttributeError, IndexError):  # `change` is None if it is no text
            return cast(Side, None)
        if word == "buy" or word == "sell":
            return cast(Side, word)
        word = word.strip().lower()
        return cast(Side, word if word in ("buy", "sell") else None)

    @property
    def size(self) -> Decimal:
        """The new size at the price, in contracts."""
        return cast(Decimal, self._number(2))

    def _number(self, place: int) -> Decimal | None:
        try:
            number = Decimal(self.change.split(",")[place])
            return number if 0 <= number < _BEYOND else None
        except (AttributeError, IndexError, InvalidOperation):
            return None


class FuturesMatch(Timed, frozen=True, kw_only=True):
    """A trade: `/contractMarket/execution`. Time in nanoseconds. `side` is the taker's."""

    symbol: str
    sequence: int
    side: Side
    size: Decimal
    price: Decimal
    taker_order_id: str | None = None
    maker_order_id: str | None = None
    trade_id: str
    wire_time: WireTime = field(name="ts", default=0)


class MarkIndexPrice(Timed, frozen=True, kw_only=True):
    """Mark and index price: `/contract/instrument`, subject `mark.index.price`.

    Time and `granularity` in milliseconds. The symbol is in the topic.
    """

    mark_price: Decimal
    index_price: Decimal
    granularity: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingRate(Timed, frozen=True, kw_only=True):
    """The funding rate as a fraction: `/contract/instrument`, subject `funding.rate`.

    Time and `granularity` in milliseconds. The symbol is in the topic. `period` is sent but not documented.
    """

    funding_rate: Decimal
    granularity: int | None = None
    period: int | None = None
    wire_time: WireTime = field(name="timestamp", default=0)


class FundingSettlement(Timed, frozen=True, kw_only=True):
    """A funding settlement begins or ends: `/contract/announcement`.

    Subjects `funding.begin` and `funding.end`. Times in milliseconds; the rate is a fraction.
    """

    symbol: str
    funding_rate: Decimal
    wire_funding_time: WireTime = field(name="fundingTime", default=0)
    wire_time: WireTime = field(name="timestamp", default=0)

    @property
    def funding_time_ns(self) -> int:
        """The instant that is settled, in nanoseconds since 1970, UTC."""
        return to_ns(self.wire_funding_time)


class FuturesSnapshot(Timed, frozen=True, kw_only=True):
    """24-hour statistics: `/contractMarket/snapshot`, every 5 seconds. Time in nanoseconds.

    `volume` is in the base currency, not in contracts; `turnover` in the quote currency; `price_chg_pct` is a
    fraction. Older pushes have neither symbol nor high and low; `funding_rate` is sent but not documented.
    """

    last_price: Decimal
    symbol: str | None = None
    high_price: Decimal | None = None
    low_price: Decimal | None = None
    price_24_hours_before: Decimal | None = field(name="price24HoursBefore", default=None)
    price_chg: Decimal | None = None
    price_chg_pct: Decimal | None = None
    volume: Decimal | None = None
    turnover: Decimal | None = None
    funding_rate: Decimal | None = None
    wire_time: WireTime = field(name="ts", default=0)
