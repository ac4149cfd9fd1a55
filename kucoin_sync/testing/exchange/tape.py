"""The trades of one symbol, and REST's answers that are made of them. Rows up to an instant show an earlier state.

Source of the shapes and of the order of rows: KuCoin's REST documentation and recorded answers. No clock is read here.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from .ids import Ids
from .orders import Event
from .specs import Spec
from .units import exact, text

__all__ = ["PublicTrade", "Tape", "Trade"]

_KEPT = 20_000  # trades
_ROWS = 100


class Trade(NamedTuple):
    """One trade in whole units."""

    number: int
    now_ns: int
    price: int
    size: int
    side: str
    maker_order_id: str
    taker_order_id: str


class PublicTrade(NamedTuple):
    """One trade as exact numbers; `sequence` and `time_ns` are those that the feeds and REST tell."""

    sequence: int
    price: Decimal
    size: Decimal
    side: str
    time_ns: int


class Tape:
    """The latest trades of one symbol, oldest first."""

    def __init__(self, spec: Spec, ids: Ids) -> None:
        self._spec = spec
        self._ids = ids
        self._trades: deque[Trade] = deque(maxlen=_KEPT)

    def add(self, event: Event) -> None:
        """Add a match."""
        maker, order = event.maker, event.order
        assert maker is not None, "a match has a maker"
        self._trades.append(Trade(event.trade, event.now_ns, maker.price, event.size, order.side, maker.id, order.id))

    def trades(self, as_of_ns: int) -> list[Trade]:
        """Return the kept trades up to an instant."""
        return [trade for trade in self._trades if trade.now_ns <= as_of_ns]

    def public(self, as_of_ns: int) -> list[PublicTrade]:
        """Return the kept trades up to an instant as exact numbers."""
        prices, sizes, number = self._spec.price_scale, self._spec.size_scale, self._ids.trade_number
        return [
            PublicTrade(number(t.number), exact(t.price, prices), exact(t.size, sizes), t.side, t.now_ns)
            for t in self.trades(as_of_ns)
        ]

    def rows(self, as_of_ns: int) -> list[dict[str, Any]]:
        """Return the latest 100 trades as KuCoin's classic REST does: spot oldest first, futures newest first."""
        latest = list(islice((trade for trade in reversed(self._trades) if trade.now_ns <= as_of_ns), _ROWS))
        return (
            [self._futures_row(each) for each in latest]
            if self._spec.futures
            else [self._spot_row(each) for each in latest[::-1]]
        )

    def uta_rows(self, as_of_ns: int) -> list[dict[str, Any]]:
        """Return the latest 100 trades as the REST of KuCoin's UTA feed does, oldest first."""
        latest = list(islice((trade for trade in reversed(self._trades) if trade.now_ns <= as_of_ns), _ROWS))
        return [self._uta_row(each) for each in latest[::-1]]

    def _spot_row(self, trade: Trade) -> dict[str, Any]:
        return {
            "sequence": self._ids.trade(trade.number),
            "price": text(trade.price, self._spec.price_scale),
            "size": text(trade.size, self._spec.size_scale),
            "side": trade.side,
            "time": trade.now_ns,
        }

    def _futures_row(self, trade: Trade) -> dict[str, Any]:
        return {
            "sequence": trade.number,
            "contractId": 1,
            "tradeId": self._ids.trade(trade.number),
            "makerOrderId": trade.maker_order_id,
            "takerOrderId": trade.taker_order_id,
            "ts": trade.now_ns,
            "size": trade.size,
            "price": text(trade.price, self._spec.price_scale),
            "side": trade.side,
        }

    def _uta_row(self, trade: Trade) -> dict[str, Any]:
        number = self._ids.trade_number(trade.number)
        row = {
            "sequence": number,
            "tradeId": str(number),
            "price": text(trade.price, self._spec.price_scale),
            "size": text(trade.size, self._spec.size_scale),
            "side": trade.side,
            "ts": trade.now_ns,
        }
        return {**row, "isRpiTrade": False} if self._spec.futures else row
