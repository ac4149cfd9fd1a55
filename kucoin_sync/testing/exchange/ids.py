"""The ids of orders and trades; the same seed gives the same ids.

Spot order ids have 24 hexadecimal digits, futures order ids 18 decimal digits; ids of trades are numbers. Each symbol
has its own prefix and counter, so ids are unique and do not depend on the trading of other symbols.
"""

from __future__ import annotations

from .specs import Spec

__all__ = ["Ids"]


class Ids:
    """Order and trade ids of one symbol, the `index`-th of its exchange. `salt` is a number below 65536."""

    def __init__(self, spec: Spec, index: int, salt: int, start_ns: int) -> None:
        self._futures = spec.futures
        self._prefix = f"{start_ns // 1_000_000_000:08x}{index:04x}{salt:04x}"
        self._first = 240_000_000_000_000_000 + index * 10_000_000_000_000 + salt * 100_000_000
        self._first_trade = 24_000_000_000_000_001 + index * 1_000_000_000_000
        self._orders = 0

    def order(self) -> str:
        """Return the next order id."""
        self._orders += 1
        if self._futures:
            return str(self._first + self._orders)
        return f"{self._prefix}{self._orders:08x}"

    def client_oid(self) -> str:
        """Return a default client id, made from the id of the next order."""
        return f"{self._prefix[:8]}c{self._prefix[9:]}{self._orders + 1:08x}"

    def trade_number(self, number: int) -> int:
        """Return the id of a trade as a number, on spot too large for a float and never dense, as KuCoin's."""
        return number if self._futures else self._first_trade + 3 * number

    def trade(self, number: int) -> str:
        """Return the id of a trade by its number."""
        return str(self.trade_number(number))
