"""Public payloads of KuCoin's UTA feed, which are the `d` of a push. Futures count sizes in contracts.

The properties have the names and, for sides, the words of their siblings in the classic feed. KuCoin has changed the
types of some members between text and number; both are read. Sources: KuCoin's documentation and observed pushes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from .base import Level, Payload, Timed, Whole, WireTime, parse_decimal, to_ns
from .words import side_of

__all__ = [
    "UtaBook",
    "UtaCallAuction",
    "UtaCandle",
    "UtaFundingRate",
    "UtaFundingRates",
    "UtaFuturesTicker",
    "UtaMarkPrice",
    "UtaSpotTicker",
    "UtaTicker",
    "UtaTrade",
]


class UtaTicker(Timed, frozen=True, kw_only=True):
    """The last trade and the best bid and ask: `/uta/ticker`. Time in nanoseconds.

    KuCoin pushes it on each trade; a change of the best prices alone does not push (documented). `sequence` rises with
    holes. Each market has a subclass, because KuCoin orders the members of each in another way.
    """

    _topic: ClassVar[str] = ""  # as which unreadable numbers are reported

    if TYPE_CHECKING:
        symbol: str
        sequence: int | None
        price: Decimal
        wire_side: str | None
        wire_size: str | None
        wire_best_bid: str | None
        wire_best_bid_size: str | None
        wire_best_ask: str | None
        wire_best_ask_size: str | None

    @property
    def side(self) -> str | None:
        """The taker's side of the last trade, "buy" or "sell"; KuCoin writes it in either case."""
        return side_of(self.wire_side)

    @property
    def size(self) -> Decimal | None:
        """The size of the last trade."""
        return parse_decimal(self.wire_size, self._topic)

    @property
    def best_bid(self) -> Decimal | None:
        """The best bid's price."""
        return parse_decimal(self.wire_best_bid, self._topic)

    @property
    def best_bid_size(self) -> Decimal | None:
        """The size at the best bid."""
        return parse_decimal(self.wire_best_bid_size, self._topic)

    @property
    def best_ask(self) -> Decimal | None:
        """The best ask's price."""
        return parse_decimal(self.wire_best_ask, self._topic)

    @property
    def best_ask_size(self) -> Decimal | None:
        """The size at the best ask."""
        return parse_decimal(self.wire_best_ask_size, self._topic)


class UtaSpotTicker(UtaTicker, frozen=True, kw_only=True):
    """The ticker of a spot symbol: `/uta/ticker.SPOT`. Time in nanoseconds."""

    _topic: ClassVar[str] = "/uta/ticker.SPOT"

    wire_best_ask_size: str | None = field(name="A", default=None)
    wire_best_bid_size: str | None = field(name="B", default=None)
    sequence: int | None = field(name="E", default=None)
    wire_time: WireTime = field(name="M", default=0)
    wire_side: str | None = field(name="S", default=None)
    wire_best_ask: str | None = field(name="a", default=None)
    wire_best_bid: str | None = field(name="b", default=None)
    price: Decimal = field(name="l")
    wire_size: str | None = field(name="q", default=None)
    symbol: str = field(name="s")


class UtaFuturesTicker(UtaTicker, frozen=True, kw_only=True):
    """The ticker of a contract: `/uta/ticker.FUTURES`. Time in nanoseconds."""

    _topic: ClassVar[str] = "/uta/ticker.FUTURES"

    wire_best_ask: str | None = field(name="a", default=None)
    wire_best_ask_size: str | None = field(name="A", default=None)
    wire_size: str | None = field(name="q", default=None)
    wire_best_bid: str | None = field(name="b", default=None)
    wire_best_bid_size: str | None = field(name="B", default=None)
    symbol: str = field(name="s")
    wire_side: str | None = field(name="S", default=None)
    sequence: int | None = field(name="E", default=None)
    price: Decimal = field(name="l")
    wire_time: WireTime = field(name="M", default=0)


class UtaTrade(Timed, frozen=True, kw_only=True):
    """A trade: `/uta/trade`. Time in nanoseconds.

    Of a spot trade `sequence` equals the trade's id. `rpi` says whether an order for retail price improvement took
    part; only futures send it.
    """

    sequence: int | None = field(name="E", default=None)
    wire_time: WireTime = field(name="M", default=0)
    wire_side: str | None = field(name="S", default=None)
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    symbol: str = field(name="s")
    wire_trade_id: str | None = field(name="ti", default=None)
    rpi: bool | None = None

    @property
    def side(self) -> str | None:
        """The taker's side, "buy" or "sell"."""
        return side_of(self.wire_side)

    @property
    def trade_id(self) -> str | None:
        """The id of the trade."""
        return self.wire_trade_id


class UtaCandle(Payload, frozen=True, kw_only=True):
    """The current candle: `/uta/kline`. Start and end in seconds, volume in the base currency or in contracts.

    A candle is complete when a later one starts. KuCoin's member `S` does not say that: its documentation, clients and
    pushes disagree on what it means. The push has no time of its own.
    """

    interval: str = field(name="i")
    wire_start: WireTime = field(name="O", default=0)
    wire_end: WireTime = field(name="C", default=0)
    open: Decimal = field(name="o")
    close: Decimal = field(name="c")
    high: Decimal = field(name="h")
    low: Decimal = field(name="l")
    volume: Decimal | None = field(name="v", default=None)
    turnover: Decimal | None = field(name="a", default=None)
    symbol: str = field(name="s")
    wire_flag: bool | None = field(name="S", default=None)

    @property
    def start_ns(self) -> int:
        """When the candle starts, in nanoseconds since 1970, UTC."""
        return to_ns(self.wire_start)

    @property
    def end_ns(self) -> int:
        """When the candle ends, in nanoseconds since 1970, UTC."""
        return to_ns(self.wire_end)


class UtaBook(Timed, frozen=True, kw_only=True):
    """Levels of a book, best first, or changed levels: `/uta/obu`. Time in nanoseconds.

    The member `t` of the message says which: "snapshot", which replaces all levels, or "delta". A changed level has its
    new size; 0 removes it. A price may stand in a delta twice: apply the levels in their order (observed).

    A push covers `sequence_start` to `sequence_end`, both included; they are equal in a snapshot.
    """

    sequence_end: int | None = field(name="C", default=None)
    wire_time: WireTime = field(name="M", default=0)
    sequence_start: int | None = field(name="O", default=None)
    asks: tuple[Level, ...] = field(name="a", default=())
    bids: tuple[Level, ...] = field(name="b", default=())
    symbol: str = field(name="s")

    @property
    def sequence(self) -> int | None:
        """The last sequence of the push."""
        return self.sequence_end


class UtaMarkPrice(Timed, frozen=True, kw_only=True):
    """Mark price, index price and open interest of a contract: `/uta/mark-price`. Time in milliseconds."""

    symbol: str = field(name="s")
    mark_price: Decimal = field(name="mp")
    index_price: Decimal | None = field(name="ip", default=None)
    open_interest: Decimal | None = field(name="oi", default=None)
    wire_time: WireTime = field(name="ts", default=0)


class UtaFundingRate(Payload, frozen=True, kw_only=True):
    """The funding rate of a contract, as a fraction: `/uta/funding-fee`. Times and `granularity` in milliseconds.

    `last_funding_rate` was settled at `funding_time_ns`. The push has no time of its own.
    """

    symbol: str = field(name="s")
    funding_rate: Decimal = field(name="fr")
    wire_funding_time: WireTime = field(name="ft", default=0)
    last_funding_rate: Decimal | None = field(name="lfr", default=None)
    wire_next_funding_time: WireTime = field(name="nt", default=0)
    granularity: int | None = field(name="gl", default=None)
    funding_rate_cap: Decimal | None = field(name="fc", default=None)
    funding_rate_floor: Decimal | None = field(name="ff", default=None)

    @property
    def funding_time_ns(self) -> int:
        """The instant of the last settlement, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_funding_time)

    @property
    def next_funding_time_ns(self) -> int:
        """The instant of the next settlement, in nanoseconds since 1970, UTC; 0 if the push does not contain it."""
        return to_ns(self.wire_next_funding_time)


class UtaFundingRates(Whole, frozen=True):
    """The funding rates of all contracts, in KuCoin's order: `/uta/funding-fee-all-symbols`."""

    rates: tuple[UtaFundingRate, ...]


class UtaCallAuction(Timed, frozen=True, kw_only=True):
    """The current estimate of a call auction, and the prices that it accepts: `/uta/callAuctionInfo`.

    Time in milliseconds. KuCoin sends the numbers as JSON numbers; they are still exact. Its documentation has two
    names for the estimated price, `eq` and `ep`.
    """

    symbol: str = field(name="s")
    wire_estimated_price: Decimal | None = field(name="eq", default=None)
    wire_estimated_price_alias: Decimal | None = field(name="ep", default=None)
    estimated_size: Decimal | None = field(name="es", default=None)
    sell_order_range_low_price: Decimal | None = field(name="slp", default=None)
    sell_order_range_high_price: Decimal | None = field(name="shp", default=None)
    buy_order_range_low_price: Decimal | None = field(name="blp", default=None)
    buy_order_range_high_price: Decimal | None = field(name="bhp", default=None)
    wire_time: WireTime = field(name="ts", default=0)

    @property
    def estimated_price(self) -> Decimal | None:
        """The price at which the auction would end now."""
        return self.wire_estimated_price_alias if self.wire_estimated_price is None else self.wire_estimated_price
