"""`kucoin-sync candles`: a chart of KuCoin's candles, or of shorter ones made from trades."""

from __future__ import annotations

import argparse
from collections import deque

from .. import Message, Subscription
from ..payloads import Candles, FuturesCandles, FuturesMatch, Match, UtaCandle, UtaTrade
from ..topics.table import CANDLE_TYPES
from . import figures
from .chart import Bar, chart
from .feed import open_feed, waiting
from .layout import Glyphs, Line
from .live import View, add_ending, print_messages, show
from .output import Output
from .wanted import add_feed, candles_of, one_symbol, trades_of

__all__ = ["DESCRIPTION", "EXAMPLES", "Chart", "add_arguments", "run"]

DESCRIPTION = """\
Show a chart of the candles of a symbol (BTC-USDT, XBTUSDTM) until Ctrl-C. KuCoin's feed has only the current candle, so
the chart starts now. KuCoin has no candles shorter than a minute; those are made from trades.
Files and pipes get each message as KuCoin sent it (trades for candles of seconds), one on a line."""
EXAMPLES = """\
examples:
  kucoin-sync candles BTC-USDT --demo
  kucoin-sync candles BTC-USDT --type 1min"""

SECONDS = {"1s": 1, "5s": 5, "15s": 15, "30s": 30}
_KEPT = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("symbol", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument(
        "--type",
        choices=(*SECONDS, *CANDLE_TYPES),
        default="5s",
        metavar="T",
        help=f"{', '.join((*SECONDS, *CANDLE_TYPES))} (default: 5s)",
    )
    add_feed(parser)
    add_ending(parser, "messages")


def run(options: argparse.Namespace, output: Output) -> int:
    """Show candles until Ctrl-C."""
    symbol, length = one_symbol(options.symbol), options.type
    topic = trades_of(symbol, options.feed) if length in SECONDS else candles_of(symbol, length, options.feed)
    with open_feed(options, output, [symbol], seconds=options.seconds) as feed:
        subscription = feed.every(topic)
        if output.records:
            print_messages(output, subscription, feed.deadline, count=options.count)
        else:
            view = Chart(subscription, symbol, length, output.glyphs)
            show(output, view, feed, count=options.count)
    return 0


class Chart(View):
    """A chart of the candles since the command started."""

    def __init__(self, subscription: Subscription, symbol: str, length: str, glyphs: Glyphs) -> None:
        self.title = f"Candles of {symbol}, {length}   {glyphs.full} up {glyphs.shade} down"
        self._subscription = subscription
        self._seconds = SECONDS.get(length)
        self._bars: deque[Bar] = deque(maxlen=_KEPT)
        self._glyphs = glyphs

    def update(self) -> None:
        for message in waiting(self._subscription):
            self.seen += 1
            self._note(message)

    def draw(self, width: int, height: int) -> list[Line]:
        return chart(list(self._bars), width, height, self._glyphs)

    def _note(self, message: Message) -> None:
        data = message.payload
        last = self._bars[-1] if self._bars else None
        if isinstance(data, Candles | FuturesCandles | UtaCandle):
            prices = [figures.real(price) for price in (data.open, data.high, data.low, data.close)]
            if None in prices or not data.start_ns:
                return  # a candle can't be drawn without all of its prices
            bar = Bar(data.start_ns, data.open, data.high, data.low, data.close, figures.amount(data.volume))
            if last is not None and last.start_ns == bar.start_ns:
                self._bars[-1] = bar
            else:
                self._bars.append(bar)
        elif isinstance(data, Match | FuturesMatch | UtaTrade) and self._seconds:
            if figures.real(data.price) is None or not data.time_ns:
                return
            size = figures.amount(data.size)
            start = data.time_ns - data.time_ns % (self._seconds * 10**9)
            if last is not None and last.start_ns >= start:
                last.add(data.price, size)
            else:
                self._bars.append(Bar(start, data.price, data.price, data.price, data.price, size))
