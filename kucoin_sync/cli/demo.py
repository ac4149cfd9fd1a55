"""`kucoin-sync demo`: a tour on a local KuCoin, without network and without keys."""

from __future__ import annotations

import argparse
import contextlib
import math
from functools import partial

from .feed import Deadline, open_feed
from .layout import Line, Span, line
from .live import play, print_messages
from .numbers import positive_float
from .output import Output
from .tour import STEPS, SYMBOLS, Explained
from .wanted import ticker_of

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Show this package step by step on its local KuCoin: tickers, an order book, trades, a connection that is cut and comes
back, and private topics. Each step has an explanation and its code."""
EXAMPLES = """\
example:
  kucoin-sync demo --seconds 30"""

_NEXT = (
    "That was the tour. Next:",
    "  kucoin-sync watch BTC-USDT ETH-USDT   KuCoin itself; with --demo no network",
    "  kucoin-sync doctor                    if no messages arrive",
    "  kucoin-sync topics                    all topics",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--seconds", type=positive_float, default=30.0, metavar="S", help="how long the tour takes (default: 30)"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the steps one after another."""
    options.demo = True
    with open_feed(options, output, SYMBOLS, quiet=True) as feed:
        if output.records:
            print_messages(output, feed.every(*map(ticker_of, SYMBOLS)), Deadline(options.seconds))
            return 0
        with output.screen() as screen:
            for number, step in enumerate(STEPS, 1):
                with contextlib.ExitStack() as stack:
                    deadline = Deadline(options.seconds / len(STEPS))
                    view = Explained(step, number, step.view(feed, output.glyphs, stack), output.glyphs)
                    # Output that is not a terminal gets one picture of each step, at its end.
                    pause = 0.0 if screen.live else math.inf
                    over = partial(_is_over, deadline, view)
                    if play(output, screen, view, feed, deadline=Deadline(None), pause=pause, enough=over):
                        break
        closing: list[Line] = [(), *(line(Span(text, "" if place else "bold")) for place, text in enumerate(_NEXT))]
        output.print(closing)
    return 0


def _is_over(deadline: Deadline, view: Explained) -> bool:
    """Return whether a step has run for its time and has shown its subject."""
    return not deadline.left(1.0) and view.is_done()
