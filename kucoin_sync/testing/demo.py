"""Start a local KuCoin with a moving market and a trading account in one line."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .exchange import Exchange, OrderRejected, Push
from .server import KucoinServer

__all__ = ["Demonstration", "local_kucoin"]

_TRADED = re.compile(r"[A-Z0-9]+-[A-Z0-9]+|[A-Z0-9]{2,}M")
_DEFAULT = ("BTC-USDT", "ETH-USDT", "KCS-BTC", "XBTUSDTM")
_PAUSE = 12
"""Steps of the crowd between two actions of the account."""


class Demonstration(Exchange):
    """An exchange whose account trades now and then, so that private topics have messages, too.

    On each symbol the account places a resting order, decreases it, cancels it, places an order that trades at once,
    and places a stop order near the price. The exchange uses this machine's clock, so that messages have current times.
    """

    def __init__(self, symbols: tuple[str, ...], seed: int) -> None:
        super().__init__(symbols, seed=seed, start_ns=time.time_ns())
        self._steps = 0
        self._resting = ""

    def step(self, symbol: str | None = None) -> list[Push]:
        self._steps += 1
        if self._steps % _PAUSE == 0:
            step = self._steps // _PAUSE
            market = self.symbols[step // 5 % len(self.symbols)]
            # The account may run out of money, and an order may have traded before its decrease or cancellation.
            with contextlib.suppress(OrderRejected):
                self._act(step % 5, market)
        return super().step(symbol)

    def _advance(self, _: int) -> None:
        self.now_ns = max(self.now_ns + 1, time.time_ns())

    def _act(self, what: int, symbol: str) -> None:
        _, bids, asks = self.level2(symbol)
        if not bids or not asks:
            return
        bid, ask = bids[0], asks[0]
        size = min(bid[1], ask[1])
        if what == 0:
            self._resting = self.place(symbol, "buy", size, bids[min(3, len(bids) - 1)][0])
        elif what == 1 and self._resting:
            self.reduce(self._resting, _half(size))
        elif what == 2 and self._resting:
            self.cancel(self._resting)
        elif what == 3:
            side, price = ("buy", ask[0]) if self._steps // _PAUSE % 2 else ("sell", bid[0])
            self.place(symbol, side, size, price)
        elif what == 4:
            self.place(symbol, "buy", size, stop_price=ask[0])


def _half(size: Decimal) -> Decimal:
    """Return about half of a size, in the same increment."""
    return (size / 2).quantize(size) or size


@contextlib.contextmanager
def local_kucoin(
    *symbols: str, seed: int = 0, rate: float = 200.0, beat_seconds: float = 1.0, **server_options: Any
) -> Iterator[KucoinServer]:
    """Yield a running `KucoinServer` with a simulated market of the symbols that acts `rate` times a second.

    Periodic feeds (depth, candles, snapshots …) are pushed every `beat_seconds`. Arguments that can't be symbols, such
    as the market "BTC" or "all", are ignored; without any symbol, four are traded. Further options go to
    `KucoinServer`.
    """
    traded = tuple(dict.fromkeys(symbol for symbol in symbols if _TRADED.fullmatch(symbol))) or _DEFAULT
    with KucoinServer(exchange=Demonstration(traded, seed), **server_options) as server:
        server.run_exchange(rate, beat_seconds=beat_seconds)
        yield server
