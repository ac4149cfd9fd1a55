"""The terms of each symbol: increments, typical prices and sizes.

Symbols that are not in the table get plausible made-up terms, so that a load test can trade a thousand of them. A
simulated market starts at the price given here; nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Spec", "spec_for"]


@dataclass(frozen=True)
class Spec:
    """The terms of one symbol.

    A price is a whole number of 10**-price_scale (one tick), a size a whole number of 10**-size_scale. One
    unit of size is worth 10**-worth_scale of the base currency: the same as size_scale on spot, the
    contract's multiplier on futures, where sizes are whole lots.
    """

    symbol: str
    base: str
    quote: str
    futures: bool
    price_scale: int
    size_scale: int
    worth_scale: int
    start_price: int
    spacing: int
    """Approximate ticks between levels."""
    volatility: float
    """Approximate ticks by which the fair price moves in one step."""
    largest: int
    """Size of a large resting order."""
    markets: tuple[str, ...] = ()

    @property
    def value_scale(self) -> int:
        """Decimals of price times size, in the quote currency."""
        return self.price_scale + self.worth_scale


_USDS = ("USDS",)
_KNOWN = {
    spec.symbol: spec
    for spec in (
        Spec("BTC-USDT", "BTC", "USDT", False, 1, 8, 8, 670_000, 8, 2.0, 80_000_000, ("USDS", "PoW")),
        Spec("ETH-USDT", "ETH", "USDT", False, 2, 7, 7, 260_000, 5, 1.0, 120_000_000, _USDS),
        Spec("KCS-USDT", "KCS", "USDT", False, 3, 4, 4, 9_380, 2, 0.2, 4_000_000, _USDS),
        Spec("KCS-BTC", "KCS", "BTC", False, 8, 4, 4, 14_000, 3, 0.3, 3_000_000, ("BTC", "KCS")),
        Spec("ETH-BTC", "ETH", "BTC", False, 5, 7, 7, 3_880, 1, 0.1, 50_000_000, ("BTC",)),
        Spec("XBTUSDTM", "XBT", "USDT", True, 1, 0, 3, 670_000, 6, 2.0, 2_000),
        Spec("ETHUSDTM", "ETH", "USDT", True, 2, 0, 2, 260_000, 5, 1.0, 3_000),
    )
}


def spec_for(symbol: str) -> Spec:
    """Return the terms of a symbol, made-up ones if it is unknown; raise ValueError if it can't be a symbol."""
    known = _KNOWN.get(symbol)
    if known is not None:
        return known
    base, dash, quote = symbol.partition("-")
    if base and dash and quote:
        market = "USDS" if quote.startswith("USD") else quote
        return Spec(symbol, base, quote, False, 4, 4, 4, 25_000, 2, 0.4, 5_000_000, (market,))
    if symbol.endswith("USDTM") and len(symbol) > 5:
        return Spec(symbol, symbol[:-5], "USDT", True, 2, 0, 2, 20_000, 2, 0.4, 2_000)
    raise ValueError(f"{symbol!r} is neither a spot symbol (BTC-USDT) nor a futures symbol (XBTUSDTM)")
