"""`kucoin-sync trades`: the trades of symbols as they happen."""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from .. import Subscription
from ..payloads import FuturesMatch, Match, UtaTrade
from . import figures
from .changes import FRESH
from .feed import open_feed
from .layout import Column, Glyphs, Line, Span, Style, bar, columns, crop, line, text_of
from .live import View, add_ending, print_messages, show
from .output import Output
from .wanted import add_feed, add_recover, symbols_in, trades_of

__all__ = ["DESCRIPTION", "EXAMPLES", "Tape", "add_arguments", "run"]

DESCRIPTION = """\
Show the trades of symbols (BTC-USDT, XBTUSDTM) until Ctrl-C, the newest first, with a bar for the size of each.
Files and pipes get each message as KuCoin sent it, one on a line."""
EXAMPLES = """\
examples:
  kucoin-sync trades BTC-USDT --demo
  kucoin-sync trades BTC-USDT ETH-USDT --json --count 100"""

_Trade: TypeAlias = Match | FuturesMatch | UtaTrade
_STYLES: dict[str, Style] = {"buy": "up", "sell": "down"}
_KEPT = 500
_NARROWEST_BAR = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    add_feed(parser)
    add_recover(parser)
    add_ending(parser, "trades")


def run(options: argparse.Namespace, output: Output) -> int:
    """Show trades until Ctrl-C."""
    options.symbols = symbols_in(options.symbols)
    wanted = [trades_of(symbol, options.feed) for symbol in options.symbols]
    with open_feed(options, output, options.symbols, seconds=options.seconds) as feed:
        subscription = feed.every(*wanted, recover=options.recover)
        if output.records:
            print_messages(output, subscription, feed.deadline, count=options.count)
        else:
            tape = Tape(subscription, options.symbols, output.glyphs)
            show(output, tape, feed, count=options.count)
    return 0


class _Scale(NamedTuple):
    """The scale of one symbol's trades: decimals of prices and sizes, and the largest size."""

    price_digits: int
    size_digits: int
    largest: Decimal

    @classmethod
    def of(cls, symbol: str, trades: Iterable[_Trade]) -> _Scale:
        its = [trade for trade in trades if trade.symbol == symbol]
        return cls(
            max(figures.decimals(figures.real(trade.price)) for trade in its),
            max(figures.decimals(figures.real(trade.size)) for trade in its),
            max(figures.amount(trade.size) for trade in its),
        )


class Tape(View):
    """The newest trades, the newest one first."""

    listed = True

    def __init__(self, subscription: Subscription, symbols: list[str], glyphs: Glyphs) -> None:
        self.title = f"Trades of {', '.join(symbols)}"
        self._subscription = subscription
        self._glyphs = glyphs
        self._kept: deque[_Trade] = deque()
        self._arrivals: deque[float] = deque()  # of the kept ones
        self._volume = {"buy": Decimal(0), "sell": Decimal(0)}
        self._several = len(symbols) > 1

    def update(self) -> None:
        now = time.monotonic()
        for message in self.messages(self._subscription):
            trade = message.payload
            if isinstance(trade, _Trade):
                self.seen += 1
                self._kept.appendleft(trade)
                self._arrivals.appendleft(now)
                if trade.side in self._volume:  # the side is None if it can't be read
                    self._volume[trade.side] += figures.amount(trade.size)
        while len(self._kept) > max(_KEPT, self.limit or 0):
            self._kept.pop()
            self._arrivals.pop()

    def draw(self, width: int, height: int) -> list[Line]:
        shown = list(self._kept)[: max(0, height - (1 if self._several else 3))]
        if not shown:
            return [line(Span("No trade yet.", "dim"))]
        scales = {symbol: _Scale.of(symbol, shown) for symbol in {trade.symbol for trade in shown}}
        heads = [
            Column("time", right=False, rank=1), *([Column("symbol", right=False)] if self._several else []),
            Column("side", right=False, least=6), Column("price"), Column("size"),
        ]  # fmt: skip
        now = time.monotonic()
        cells = [
            self._cells(trade, scales[trade.symbol], is_new=now - at <= FRESH)
            for trade, at in zip(shown, self._arrivals, strict=False)
        ]
        titles, *table = columns(heads, cells, width)
        space = width - max(len(text_of(row)) for row in table) - 2
        if space >= _NARROWEST_BAR:
            for place, trade in enumerate(shown):
                largest = scales[trade.symbol].largest
                share = float(figures.amount(trade.size) / largest) if largest else 0.0
                table[place] += Span("  "), Span(bar(share, space, self._glyphs), _style_of(trade))
        # Sizes of different symbols are in different currencies and can't be added.
        return [titles, *table] if self._several else [self._balance(width), (), titles, *table]

    def _cells(self, trade: _Trade, scale: _Scale, *, is_new: bool) -> list[Span]:
        side: str | None = trade.side  # None if it can't be read
        mark = {"buy": self._glyphs.up, "sell": self._glyphs.down}.get(side or "", " ")
        return [
            Span(figures.clock(trade.time_ns), "bold" if is_new else "dim"),
            *([Span(trade.symbol or "-", "bold")] if self._several else []),
            Span(f"{mark} {side or '-'}", _style_of(trade)),
            Span(figures.fixed(figures.real(trade.price), scale.price_digits), _style_of(trade)),
            Span(figures.fixed(figures.real(trade.size), scale.size_digits)),
        ]

    def _balance(self, width: int) -> Line:
        """Return the share of the volume that buyers and sellers took."""
        bought, sold = self._volume["buy"], self._volume["sell"]
        share = float(bought / (bought + sold)) if bought + sold else 0.5
        text = f"buyers {share:.0%} "
        rest = f" sellers {1 - share:.0%}"
        space = max(0, min(50, width - len(text) - len(rest)))
        filled = round(share * space)
        return crop(
            line(
                Span(text, "up"),
                Span(self._glyphs.full * filled, "up"),
                Span(self._glyphs.shade * (space - filled), "down"),
                Span(rest, "down"),
            ),
            width,
        )


def _style_of(trade: _Trade) -> Style:
    return _STYLES.get(trade.side or "", "")
