"""Which topics a run subscribes: each row of the topic table, for a symbol that is much traded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..topics.grammar import build
from ..topics.table import TABLE, UTA_DEPTHS, Argument, Topic

__all__ = ["CONTRACT", "SYMBOL", "feeds_of", "interval_of", "topics_of"]

SYMBOL, CONTRACT = "BTC-USDT", "XBTUSDTM"
_ARGUMENTS: dict[Argument, tuple[str, ...]] = {
    Argument.NONE: ("",),
    Argument.ALL: ("all",),
    Argument.SYMBOLS: (SYMBOL,),
    Argument.SYMBOL: (SYMBOL,),
    Argument.MARKET: ("USDS",),
    Argument.CURRENCIES: ("USDT",),
    Argument.CURRENCY: ("USDT",),
    Argument.CANDLES: (f"{SYMBOL}_1min",),
    Argument.CONTRACT: (CONTRACT,),
    Argument.CONTRACTS: (CONTRACT,),
    Argument.CONTRACT_CANDLES: (f"{CONTRACT}_1min",),
    Argument.DEPTH: tuple(f"{SYMBOL}_{depth}" for depth in UTA_DEPTHS),
    Argument.CONTRACT_DEPTH: tuple(f"{CONTRACT}_{depth}" for depth in UTA_DEPTHS),
    Argument.ANY_SYMBOL: (CONTRACT,),
}
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}


def feeds_of(feed: str) -> tuple[str, ...]:
    """Return the dialects that the option `--feed` names."""
    return ("classic", "uta") if feed == "all" else (feed,)


def topics_of(feed: str, *, private: bool = False) -> Iterator[str]:
    """Yield the single topics to subscribe, in the order of the table."""
    for row in TABLE:
        if row.dialect in feeds_of(feed) and (private or not row.private):
            for argument in _ARGUMENTS[row.argument]:
                yield str(build(row, argument))


def interval_of(row: Topic) -> float | None:
    """Return the seconds between two pushes for a symbol that is much traded; None if there may be none for long."""
    found = re.search(r"\b(\d+) (ms|s|min)\b", row.push)
    if found is None or row.legacy or row.private or row.only_when:
        return None
    return int(found[1]) * _SECONDS[found[2]]
