"""The ids that an exchange gives out, the same ones for the same seed.

Spot ids are 24 hexadecimal digits, futures order ids 18 decimal ones. Each symbol counts for itself under a
prefix of its own, so that ids are unique and do not depend on what other symbols do.
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
        self._orders = 0

    def order(self) -> str:
        """Return the next order id."""
        self._orders += 1
        if self._futures:
            return str(self._first + self._orders)
        return f"{self._prefix}{self._orders:08x}"

    def client_oid(self) -> str:
        """Return a client id for a user who gave none, after the id of the coming order."""
        return f"{self._prefix[:8]}c{self._prefix[9:]}{self._orders + 1:08x}"

    def trade(self, number: int) -> str:
        """Return the id of a trade by its number: on futures they are the same."""
        if self._futures:
            return str(number)
        return f"{self._prefix[:8]}f{self._prefix[9:]}{number & 0xFFFFFFFF:08x}"
