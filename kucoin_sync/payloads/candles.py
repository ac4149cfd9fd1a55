"""Candles of both markets, whose rows differ in order.

Sources, unless a class says more: KuCoin's API documentation, classic and current, and its examples.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import field

from .base import Part, Timed, WireTime, to_ns

__all__ = [
    "Candle",
    "Candles",
    "FuturesCandle",
    "FuturesCandles",
    "OneCandle",
]


class _CandleRow(Part, frozen=True, array_like=True):
    """What the candles of both markets begin with."""

    if TYPE_CHECKING:
        wire_start: WireTime

    @property
    def start_ns(self) -> int:
        """When the candle starts, in nanoseconds since 1970, UTC."""
        return to_ns(self.wire_start)


class Candle(_CandleRow, frozen=True, array_like=True):
    """One candle as KuCoin orders it: start, open, close, high, low, volume, turnover.

    `wire_start` is in seconds, volume in the base currency, turnover in the quote currency.
    """

    wire_start: WireTime
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal


class FuturesCandle(_CandleRow, frozen=True, array_like=True):
    """One candle of a contract: start, open, close, high, low, then turnover before volume.

    KuCoin's documentation calls the sixth value a volume that is incorrect, and the seventh the amount. The
    seventh is the number of contracts. The sixth repeated it in 2024; in later pushes it is the value in the
    quote currency, as price times contracts confirms.
    """

    wire_start: WireTime
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    turnover: Decimal
    volume: Decimal


class OneCandle(Timed, frozen=True, kw_only=True):
    """The fields that the candles of both markets share.

    Despite the plural, which is KuCoin's, `candles` is one candle. A new `start_ns` means that the candle
    before is finished. The length is in the topic.
    """

    symbol: str
    if TYPE_CHECKING:
        candles: Candle | FuturesCandle

    @property
    def start_ns(self) -> int:
        """When the candle starts, in nanoseconds since 1970, UTC."""
        return self.candles.start_ns

    @property
    def open(self) -> Decimal:
        """The first price."""
        return self.candles.open

    @property
    def high(self) -> Decimal:
        """The highest price."""
        return self.candles.high

    @property
    def low(self) -> Decimal:
        """The lowest price."""
        return self.candles.low

    @property
    def close(self) -> Decimal:
        """The last price so far."""
        return self.candles.close

    @property
    def volume(self) -> Decimal:
        """The traded size: in the base currency, for futures in contracts."""
        return self.candles.volume

    @property
    def turnover(self) -> Decimal:
        """The traded value in the quote currency."""
        return self.candles.turnover


class Candles(OneCandle, frozen=True, kw_only=True):
    """The current candle of a symbol, pushed as it changes: `/market/candles`. Time in nanoseconds."""

    candles: Candle
    wire_time: WireTime = field(name="time", default=0)


class FuturesCandles(OneCandle, frozen=True, kw_only=True):
    """The current candle of a contract: `/contractMarket/limitCandle`, once a second. Time in milliseconds.

    `volume` is in contracts; see `FuturesCandle` for the meaning of `turnover`.
    """

    candles: FuturesCandle
    wire_time: WireTime = field(name="time", default=0)
