"""The topics that the symbols of a command line stand for, in the feed that `--feed` names."""

from __future__ import annotations

import argparse

from .. import topics
from ..books.source import BookSource

__all__ = ["add_feed", "book_of", "candles_of", "statistics_of", "ticker_of", "trades_of"]


def add_feed(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the feed."""
    parser.add_argument(
        "--feed",
        choices=("classic", "uta"),
        default="classic",
        help="classic or uta, KuCoin's newer feed (default: classic)",
    )


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


def candles_of(symbol: str, length: str, feed: str = "classic") -> str:
    """Return the topic of a symbol's candles."""
    if feed == "uta":
        return topics.uta.candles(symbol, length)
    return topics.candles(symbol, length) if "-" in symbol else topics.futures.candles(symbol, length)


def book_of(symbol: str, level: int, feed: str) -> str:
    """Return the topic of the changes of a symbol's book."""
    return BookSource.of(symbol, level, feed=feed).topic
