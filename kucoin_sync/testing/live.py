"""The simulated exchange of a running server, for tests. Each action is pushed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .server import KucoinServer

if TYPE_CHECKING:
    from decimal import Decimal

    from .exchange.snapshots import Level2, Level3
    from .exchange.units import Amount

__all__ = ["LiveExchange"]


class LiveExchange:
    """The `Exchange` of a `KucoinServer`. Each method returns after its pushes were sent to the subscribers.

    It may be used from any thread, and while the exchange runs by itself.

    Args:
        server: made with `exchange=`.

    Raises:
        RuntimeError: the server has no exchange.
    """

    def __init__(self, server: KucoinServer) -> None:
        self._server = server
        with server.trading() as exchange:
            self.symbols = exchange.symbols

    def __repr__(self) -> str:
        return f"<LiveExchange of {', '.join(self.symbols)} behind {self._server!r}>"

    # The crowd

    def step(self, count: int = 1) -> int:
        """Let the crowd act `count` times, on any symbol; return the number of frames sent.

        The same seed and the same calls give the same messages in every run.
        """
        return self._server.step_exchange(count)

    def beat(self) -> int:
        """Push the periodic feeds (depth, candles, snapshots …) once; return the number of frames sent.

        `/market/ticker:all` is one of these.
        """
        return self._server.beat_exchange()

    def run(self, rate: float = 200.0) -> None:
        """Let the crowd act `rate` times a second and `beat` once a second, until the server stops."""
        self._server.run_exchange(rate)

    # An account

    def place(self, symbol: str, side: str, size: Amount, price: Amount | None = None, **options: Any) -> str:
        """Place an order (without a price: a market order) and return its id; `options` are those of `Exchange.place`.

        The order belongs to the account of the server's key, unless `user=` names another; `user=""` is a stranger.

        Raises:
            OrderRejected: the order is invalid, or the account does not have the money.
        """
        with self._server.trading() as exchange:
            return exchange.place(symbol, side, size, price, **options)

    def cancel(self, order_id: str) -> bool:
        """Cancel an order; return False if it does not exist any more."""
        with self._server.trading() as exchange:
            return exchange.cancel(order_id)

    def reduce(self, order_id: str, new_size: Amount) -> None:
        """Decrease the remaining size of a resting order; raise OrderRejected if it does not exist."""
        with self._server.trading() as exchange:
            exchange.reduce(order_id, new_size)

    # The truth

    def level2(self, symbol: str) -> Level2:
        """Return (sequence, bids, asks): the whole visible book as exact (price, size), best first."""
        with self._server.trading() as exchange:
            return exchange.level2(symbol)

    def level3(self, symbol: str) -> Level3:
        """Return (sequence, bids, asks): every visible order as exact (id, price, size, time_ns), best first."""
        with self._server.trading() as exchange:
            return exchange.level3(symbol)

    def balances(self, user: str = KucoinServer.USER) -> dict[str, tuple[Decimal, Decimal]]:
        """Return (available, hold) of each currency in an account's spot balance."""
        with self._server.trading() as exchange:
            return exchange.balances(user)

    def unified_balances(self, user: str = KucoinServer.USER) -> dict[str, tuple[Decimal, Decimal]]:
        """Return (available, hold) of each currency in an account's unified balance, as the UTA feed pushes it."""
        with self._server.trading() as exchange:
            return exchange.unified_balances(user)
