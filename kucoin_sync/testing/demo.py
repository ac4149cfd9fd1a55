"""A local KuCoin with a market that moves and an account that trades on it, in one line."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .exchange import Exchange, OrderRejected, Push
from .server import KucoinServer

__all__ = ["local_kucoin"]

_TRADED = re.compile(r"[A-Z0-9]+-[A-Z0-9]+|[A-Z0-9]{2,}M")
_DEFAULT = ("BTC-USDT", "ETH-USDT", "KCS-BTC", "XBTUSDTM")
_PAUSE = 12
"""Steps of the crowd between two actions of the account."""


class _Demonstration(Exchange):
    """An exchange on which the account does something now and then, so that private topics have news, too.

    In turn, on each symbol: an order that rests, its decrease, its cancellation, one that trades at once, and a
    stop order near the price, which triggers soon. Its clock is this machine's, so that times in messages read as live.
    """

    def __init__(self, symbols: tuple[str, ...], seed: int) -> None:
        super().__init__(symbols, seed=seed, start_ns=time.time_ns())
        self._steps = 0
        self._resting = ""

    def step(self, symbol: str | None = None) -> list[Push]:
        self._steps += 1
        if self._steps % _PAUSE == 0:
            turn = self._steps // _PAUSE
            market = self.symbols[turn // 5 % len(self.symbols)]
            # An account may run out of money, and an order may have traded before it is touched again.
            with contextlib.suppress(OrderRejected):
                self._act(turn % 5, market)
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
    """Return about half of a size, on the same grid."""
    return (size / 2).quantize(size) or size


@contextlib.contextmanager
def local_kucoin(
    *symbols: str, seed: int = 0, rate: float = 200.0, beat_seconds: float = 1.0, **server_options: Any
) -> Iterator[KucoinServer]:
    """Yield a running `KucoinServer` with a simulated market of the symbols that acts `rate` times a second.

    What KuCoin pushes by a timer (depth, candles, snapshots …) comes every `beat_seconds`. Symbols that no market can
    have (names of markets such as "BTC", "all") are passed over; without any, four are traded. Further options are
    those of `KucoinServer`.
    """
    traded = tuple(dict.fromkeys(symbol for symbol in symbols if _TRADED.fullmatch(symbol))) or _DEFAULT
    with KucoinServer(exchange=_Demonstration(traded, seed), **server_options) as server:
        server.run_exchange(rate, beat_seconds=beat_seconds)
        yield server
