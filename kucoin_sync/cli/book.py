"""`kucoin-sync book`: a live order book, as a table of its depth or as lines of JSON."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from .. import BookNotReady, BookSnapshot, LocalBook
from ..payloads import Level
from ..payloads import Side as SideName
from .numbers import positive_float, positive_int
from .streams import open_stream

__all__ = ["TIMEOUT", "add_to", "table"]

TIMEOUT = 10.0
"""Seconds to wait until the book can be read."""

_CLEAR = "\x1b[H\x1b[J"
_NARROWEST = 11


def add_to(commands: Any, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "book",
        parents=parents,
        help="show a live order book",
        description="Show the order book of a symbol (BTC-USDT, XBTUSDTM) until Ctrl-C: as a table in a terminal, "
        "elsewhere as one JSON object on a line for each state.",
        epilog="Examples: kucoin-sync book BTC-USDT --demo; kucoin-sync book XBTUSDTM --depth 50 --json --count 1",
    )
    parser.add_argument("symbol", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument("--depth", type=positive_int, default=20, metavar="N", help="levels of each side (default: 20)")
    parser.add_argument("--level", type=int, choices=(2, 3), default=2, help="3 keeps every order (spot; default: 2)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON in a terminal, too")
    form.add_argument("--table", action="store_true", help="print tables elsewhere, too")
    parser.add_argument(
        "--every", type=positive_float, default=1.0, metavar="S", help="show a state every S seconds (default: 1)"
    )
    parser.add_argument("--count", type=positive_int, metavar="N", help="end after N states")
    parser.add_argument("--seconds", type=positive_float, metavar="S", help="end after S seconds")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with open_stream(options, [options.symbol]) as stream, stream.book(options.symbol, level=options.level) as book:
        shown = 0
        try:
            book.wait_ready(TIMEOUT)
            deadline = None if options.seconds is None else time.monotonic() + options.seconds
            while True:
                shown += _show(book, options)
                left = options.every if deadline is None else min(options.every, deadline - time.monotonic())
                if left <= 0 or shown == options.count:
                    break
                threading.Event().wait(left)
        except KeyboardInterrupt:
            pass  # the summary says the rest
        print(
            f"kucoin-sync: {shown} state{'s' * (shown != 1)} of {book.symbol}, {book.resyncs} resyncs", file=sys.stderr
        )
    return 0


def _show(book: LocalBook, options: argparse.Namespace) -> bool:
    """Print the book as it is; return whether it could be read."""
    terminal = sys.stdout.isatty()
    as_table = options.table or (terminal and not options.json)
    try:
        snapshot = book.snapshot(options.depth)
    except BookNotReady as error:
        if book.closed:
            book.wait_ready()  # raises what it has ended with
        if as_table:
            print(f"{_CLEAR if terminal else ''}{error}", flush=True)
        return False
    if as_table:
        print(f"{_CLEAR if terminal else ''}{table(snapshot)}", flush=True)
    else:
        print(json.dumps(snapshot.to_dict()), flush=True)
    return True


def table(snapshot: BookSnapshot) -> str:
    """Return a table of a book's depth: on both sides of the prices the size there, and what there is up to there.

    For a book of level 3 the number of orders at each price, too.
    """
    counted = snapshot.level == 3
    orders = Counter((order.side, order.price) for order in (*snapshot.bid_orders, *snapshot.ask_orders))
    sides: tuple[tuple[SideName, str, Sequence[Level]], ...] = (
        ("buy", "bid", snapshot.bids),
        ("sell", "ask", snapshot.asks),
    )
    halves = []
    for side, name, levels in sides:
        rows = [["total", *(["orders"] if counted else []), "size", name]]
        total = Decimal(0)
        for price, size in levels:
            total += size
            rows.append([f"{total:f}", *([str(orders[side, price])] if counted else []), f"{size:f}", f"{price:f}"])
        widths = [max(_NARROWEST, *map(len, column)) for column in zip(*rows, strict=True)]
        halves.append((rows, widths))
    (bids, left), (asks, right) = halves
    lines = [_title(snapshot)]
    for bid, ask in zip_longest(bids, asks, fillvalue=[""] * len(left)):
        before = "  ".join(f"{text:>{width}}" for text, width in zip(bid, left, strict=True))
        after = "  ".join(f"{text:<{width}}" for text, width in zip(ask[::-1], right[::-1], strict=True))
        lines.append(f"{before} | {after}".rstrip())
    if snapshot.partial:
        lines.append(
            "Without an API key a part of the book is known: there may be other levels among the last of these."
        )
    return "\n".join(lines)


def _title(snapshot: BookSnapshot) -> str:
    moment = f"  {datetime.fromtimestamp(snapshot.received_ns / 1e9):%H:%M:%S}" if snapshot.received_ns else ""
    spread = "" if snapshot.spread is None else f"  spread {snapshot.spread:f}  mid {snapshot.mid:f}"
    return f"{snapshot.symbol}{moment}  sequence {snapshot.sequence}{spread}"
