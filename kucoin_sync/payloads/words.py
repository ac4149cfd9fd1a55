"""Words of the UTA feed that the classic feed has in another spelling."""

from __future__ import annotations

__all__ = ["lower", "side_of"]

#: The usual spellings; a dictionary is faster than a conversion.
_SIDES = {"buy": "buy", "sell": "sell", "BUY": "buy", "SELL": "sell"}


def side_of(word: str | None) -> str | None:
    """Return "buy" or "sell"; another word in lower case, None for none."""
    return _SIDES.get(word) or lower(word) if word else None


def lower(word: str | None) -> str | None:
    """Return a word in lower case, as the classic feed writes it; None for no word."""
    return word.lower() if word else None
