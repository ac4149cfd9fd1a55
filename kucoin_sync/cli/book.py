"""`kucoin-sync book`: a live order book, as a ladder or as one line of JSON for each state."""

from __future__ import annotations

import argparse
from typing import Any

from .. import BookNotReady, LocalBook
from .feed import CommandStream, open_feed
from .ladder import Ladder
from .live import add_ending, show, wait_for
from .numbers import positive_float, positive_int
from .output import Output
from .wanted import book_of, one_symbol

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Show the order book of a symbol (BTC-USDT, XBTUSDTM) until Ctrl-C. A terminal shows a ladder with a bar for the size and
the cumulative size of each price, or with --level 3 the orders at each price in trading order.
Files and pipes get one JSON object on a line for each state."""
EXAMPLES = """\
examples:
  kucoin-sync book BTC-USDT --demo
  kucoin-sync book BTC-USDT --level 3 --demo
  kucoin-sync book BTC-USDT --feed uta --demo
  kucoin-sync book XBTUSDTM --depth 50 --json --count 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("symbol", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument("--depth", type=positive_int, default=20, metavar="N", help="levels of each side (default: 20)")
    parser.add_argument(
        "--level", type=int, choices=(2, 3), default=2, help="2 for prices, 3 for every order (spot only; default: 2)"
    )
    parser.add_argument(
        "--feed",
        choices=("classic", "uta"),
        default="classic",
        help="KuCoin's feed: uta has the best 500 levels without a key",
    )
    parser.add_argument(
        "--every", type=positive_float, metavar="S", help="seconds between states (default: 1; in a terminal 0.1)"
    )
    add_ending(parser, "states")


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the book until Ctrl-C."""
    options.symbol = one_symbol(options.symbol)
    with (
        open_feed(options, output, [options.symbol], seconds=options.seconds) as feed,
        feed.stream.book(options.symbol, level=options.level, feed=options.feed) as book,
    ):
        feed.silence.watch(feed.stream, [book_of(options.symbol, options.level, options.feed)])
        book.wait_ready(feed.timeout)
        if output.records:
            _print_states(book, feed, options, output)
        else:
            view = Ladder(book, options.depth, output.glyphs)
            show(output, view, feed, count=options.count, pause=options.every or 0.0)
    return 0


def _print_states(book: LocalBook[Any, Any], feed: CommandStream, options: argparse.Namespace, output: Output) -> None:
    printed = 0
    while True:
        try:
            output.record(book.snapshot(options.depth).to_dict())
            printed += 1
        except BookNotReady:
            if book.closed:
                book.wait_ready()  # raises the error that ended the book
        wait = feed.deadline.left(options.every or 1.0)
        if not wait or printed == options.count:
            return
        wait_for(wait)
