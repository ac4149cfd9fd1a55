"""Well-known symbols, and the symbol that was meant where one may be misspelled.

KuCoin confirms symbols that do not exist and then sends nothing. This list is not KuCoin's: it has none of the rarer
symbols, and serves for suggestions and for the local KuCoin of `--demo`.
"""

from __future__ import annotations

import difflib

from .grammar import QUOTE_CURRENCIES

__all__ = ["COMMON", "is_known", "suggest"]

_QUOTES = ("USDT", "USDC", "BTC", "ETH", "KCS", "EUR")
_BASES = (
    "BTC", "ETH", "SOL", "XRP", "DOGE", "KCS", "ADA", "BNB", "TRX", "LTC", "LINK", "DOT", "AVAX", "BCH", "XLM",
    "TON", "SUI", "SHIB", "PEPE", "UNI", "AAVE", "ATOM", "NEAR", "APT", "ARB", "OP", "POL", "FIL", "ETC", "ICP",
    "HBAR", "XMR", "ALGO", "VET", "EOS", "XTZ", "INJ", "SEI", "TIA", "RUNE", "GRT", "LDO", "MKR", "CRV", "SNX",
    "DYDX", "IMX", "FLOW", "SAND", "MANA", "AXS", "GALA", "CHZ", "ENS", "COMP", "YFI", "SUSHI", "ZEC", "DASH",
    "NEO", "KSM", "EGLD", "FET", "RENDER", "STX", "WLD", "BONK", "FLOKI", "WIF", "JUP", "PYTH", "ONDO", "ENA",
    "HYPE", "KAS", "TAO", "TRUMP", "PENGU", "PAXG", "USDC", "USDE", "DAI",
)  # fmt: skip
_MAJOR = 20  # of these bases have other quote currencies than the first
_SPOT = tuple(
    f"{base}-{quote}"
    for quote in _QUOTES
    for base in (_BASES if quote == _QUOTES[0] else _BASES[:_MAJOR])
    if base != quote
)
_CONTRACTS = tuple(f"{'XBT' if base == 'BTC' else base}USDTM" for base in _BASES if not base.startswith("USD"))
COMMON = (*(symbol for symbol in _SPOT if symbol.endswith(f"-{_QUOTES[0]}")), *_CONTRACTS)
"""The symbols of the well-known ones that a shell completes."""
_KNOWN = frozenset((*_SPOT, *_CONTRACTS))
_NEAR = 0.85
"""Similarity from which on a symbol counts as misspelled."""


def is_known(symbol: str) -> bool:
    """Return whether a symbol is one of the well-known ones."""
    return symbol in _KNOWN


def suggest(symbol: str) -> str | None:
    """Return the symbol that was probably meant by one from which nothing comes; None for a well-known one.

    >>> suggest("BTCUSDT"), suggest("BTC-USTD"), suggest("BTCUSDTM"), suggest("BTC-USDT")
    ('BTC-USDT', 'BTC-USDT', 'XBTUSDTM', None)
    """
    if is_known(symbol):
        return None
    name = symbol.upper().replace("_", "-").replace("/", "-")
    for other in (name, name.replace("BTC", "XBT", 1), name.replace("XBT", "BTC", 1)):
        hyphened = _hyphened(other)
        if found := next((each for each in (other, hyphened, f"{other}-{_QUOTES[0]}") if is_known(each)), None):
            return found
    if hyphened := _hyphened(name):
        return hyphened
    letters = sorted(name.replace("-", ""))
    swapped = (each for each in (*_SPOT, *_CONTRACTS) if sorted(each.replace("-", "")) == letters)
    near = difflib.get_close_matches(name, _CONTRACTS if name.endswith("M") else _SPOT, n=1, cutoff=_NEAR)
    return next(swapped, near[0] if near else None)


def _hyphened(name: str) -> str:
    """Return a name without a hyphen as a spot symbol, "" if it does not end with a quote currency."""
    quotes = [quote for quote in QUOTE_CURRENCIES if name.endswith(quote) and name != quote]
    if "-" in name or not quotes:
        return ""
    quote = max(quotes, key=len)
    return f"{name.removesuffix(quote)}-{quote}"
