"""The topics that the symbols of a command line stand for, in the feed that `--feed` names."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from .. import topics
from ..books.source import BookSource
from ..exceptions import InvalidTopic
from ..topics.symbols import suggest

__all__ = ["add_feed", "book_of", "candles_of", "one_symbol", "statistics_of", "symbols_in", "ticker_of", "trades_of"]


def add_recover(parser: argparse.ArgumentParser) -> None:
    """Add the option that has what was missed during a cut fetched from REST."""
    parser.add_argument(
        "--recover", action="store_true", help="trades and candles: also those missed during a cut, from REST"
    )


def add_feed(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the feed."""
    parser.add_argument(
        "--feed",
        choices=("classic", "uta"),
        default="classic",
        help="classic or uta, KuCoin's newer feed (default: classic)",
    )


def symbols_in(words: Iterable[str]) -> list[str]:
    """Return the symbols of a command line, where commas may stand between symbols and BTC/USDT is BTC-USDT.

    Raises:
        InvalidTopic: one of them can't be a symbol.
    """
    symbols = [part.strip().replace("/", "-") for word in words for part in word.split(",")]
    symbols = [*dict.fromkeys(filter(None, symbols))]
    for symbol in symbols:
        if not _can_exist(symbol):
            guess = suggest(symbol) or symbol.upper()
            question = f"; did you mean {guess}?" if _can_exist(guess) else ""
            raise InvalidTopic(f"{symbol!r} is not a symbol: one reads BTC-USDT, or XBTUSDTM for futures{question}")
    return symbols


def one_symbol(word: str) -> str:
    """Return the symbol of a command that takes one; raise InvalidTopic as `symbols_in`, or if there are several."""
    symbols = symbols_in([word])
    if len(symbols) != 1:
        raise InvalidTopic(f"this command shows one symbol, not {word!r}; run it once for each")
    return symbols[0]


def _can_exist(symbol: str) -> bool:
    try:
        ticker_of(symbol)
    except InvalidTopic:
        return False
    return True


def ticker_of(symbol: str, feed: str = "classic") -> str:
    """Return the topic of a symbol's best bid and ask."""
    if feed == "uta":
        return topics.uta.ticker(symbol)
    return topics.ticker(symbol) if "-" in symbol else topics.futures.ticker(symbol)


def statistics_of(symbol: str) -> str:
    """Return the topic of a symbol's 24-hour figures, which only the classic feed has."""
    return topics.snapshot(symbol) if "-" in symbol else topics.futures.snapshot(symbol)


def trades_of(symbol: str, feed: str = "classic") -> str:
    """Return the topic of a symbol's trades."""
    if feed == "uta":
        return topics.uta.trades(symbol)
    return topics.match(symbol) if "-" in symbol else topics.futures.match(symbol)


def candles_of(symbol: str, length: Any, feed: str = "classic") -> str:
    """Return the topic of a symbol's candles."""
    if feed == "uta":
        return topics.uta.candles(symbol, length)
    return topics.candles(symbol, length) if "-" in symbol else topics.futures.candles(symbol, length)


def book_of(symbol: str, level: int, feed: str) -> str:
    """Return the topic of the changes of a symbol's book."""
    return BookSource.of(symbol, level, feed=feed).topic
