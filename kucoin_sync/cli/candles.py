"""`kucoin-sync candles`: a chart of KuCoin's candles, or of shorter ones made from trades."""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from .. import Message, Stream, Subscription
from ..exceptions import KucoinSyncError
from ..payloads import Candles, FuturesCandles, FuturesMatch, Match, UtaCandle, UtaTrade
from ..topics.table import CANDLE_TYPES
from . import figures
from .chart import Bar, chart
from .feed import open_feed
from .history import past_candles, past_trades
from .layout import Glyphs, Line, Span, crop, line
from .live import View, add_ending, print_messages, show
from .output import Output
from .silence import symbol_of
from .wanted import add_feed, add_recover, candles_of, symbols_in, trades_of

__all__ = ["DESCRIPTION", "EXAMPLES", "Chart", "Series", "add_arguments", "run"]

DESCRIPTION = """\
Show charts of the candles of symbols (BTC-USDT, XBTUSDTM) until Ctrl-C. They start with the candles that
REST tells of. KuCoin has no candles shorter than a minute; those are made from trades, at first from the last 100.
Files and pipes get each message as KuCoin sent it (trades for candles of seconds), one on a line."""
EXAMPLES = """\
examples:
  kucoin-sync candles BTC-USDT --demo
  kucoin-sync candles BTC-USDT --type 1min
  kucoin-sync candles BTC-USDT ETH-USDT --type 1hour"""

SECONDS = {"1s": 1, "5s": 5, "15s": 15, "30s": 30}
_KEPT = 400
_LEAST = 8
"""Lines of a chart beside others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument(
        "--type",
        choices=(*SECONDS, *CANDLE_TYPES),
        default="5s",
        metavar="T",
        help=f"{', '.join((*SECONDS, *CANDLE_TYPES))} (default: 5s)",
    )
    add_feed(parser)
    add_recover(parser)
    add_ending(parser, "messages")


def run(options: argparse.Namespace, output: Output) -> int:
    """Show candles until Ctrl-C."""
    options.symbols, length = symbols_in(options.symbols), options.type
    topics = [
        trades_of(symbol, options.feed) if length in SECONDS else candles_of(symbol, length, options.feed)
        for symbol in options.symbols
    ]
    with open_feed(options, output, options.symbols, seconds=options.seconds) as feed:
        subscription = feed.every(*topics, recover=options.recover)
        if output.records:
            print_messages(output, subscription, feed.deadline, count=options.count)
        else:
            series = [Series(symbol, length) for symbol in options.symbols]
            for each in series:
                try:
                    each.begin(feed.stream, time.time(), feed.timeout)
                except KucoinSyncError as error:
                    output.aside.say(f"kucoin-sync: the chart of {each.symbol} starts now, without a history: {error}")
            show(output, Chart(subscription, series, length, output.glyphs), feed, count=options.count)
    return 0


class Series:
    """The candles of one symbol: those of `begin`, then those that are pushed, the oldest first."""

    def __init__(self, symbol: str, length: str) -> None:
        self.symbol = symbol
        self.bars: deque[Bar] = deque(maxlen=_KEPT)
        self._length = length
        self._seconds = SECONDS.get(length)
        self._told_ns = 0  # the time of the last trade that REST told of

    def begin(self, stream: Stream, now: float, timeout: float) -> None:
        """Take in the candles before the first message; `now` is in seconds since 1970.

        Raises:
            KucoinSyncError: they can't be had within `timeout` seconds. The series starts with the first message then.
        """
        if self._seconds is None:
            self.bars.extend(past_candles(stream, self.symbol, self._length, now, timeout))
            return
        for time_ns, price, size in past_trades(stream, self.symbol, timeout):
            self._trade(time_ns, price, size)
            self._told_ns = time_ns
        if len(self.bars) > 1:
            self.bars.popleft()  # REST may not tell of its first trades

    def note(self, message: Message) -> None:
        """Take in a message."""
        data = message.payload
        last = self.bars[-1] if self.bars else None
        if isinstance(data, Candles | FuturesCandles | UtaCandle):
            prices = [figures.real(price) for price in (data.open, data.high, data.low, data.close)]
            if None in prices or not data.start_ns:
                return  # a candle can't be drawn without all of its prices
            bar = Bar(data.start_ns, data.open, data.high, data.low, data.close, figures.amount(data.volume))
            if last is not None and last.start_ns == bar.start_ns:
                self.bars[-1] = bar
            elif last is None or last.start_ns < bar.start_ns:
                self.bars.append(bar)
        elif (
            isinstance(data, Match | FuturesMatch | UtaTrade)
            and figures.real(data.price) is not None
            and data.time_ns > self._told_ns
        ):
            self._trade(data.time_ns, data.price, figures.amount(data.size))

    def _trade(self, time_ns: int, price: Decimal, size: Decimal) -> None:
        """Add a trade to the candle of its time, or start that."""
        start = time_ns - time_ns % ((self._seconds or 1) * 10**9)
        if self.bars and self.bars[-1].start_ns >= start:
            self.bars[-1].add(price, size)
        else:
            self.bars.append(Bar(start, price, price, price, price, size))


class Chart(View):
    """A chart for each series, one below the other."""

    def __init__(self, subscription: Subscription, series: Sequence[Series], length: str, glyphs: Glyphs) -> None:
        of = f" of {series[0].symbol}" if len(series) == 1 else ""
        self.title = f"Candles{of}, {length}   {glyphs.full} up {glyphs.shade} down"
        self._subscription = subscription
        self._series = {each.symbol: each for each in series}
        self._glyphs = glyphs

    def update(self) -> None:
        for message in self.messages(self._subscription):
            self.seen += 1
            self._series[symbol_of(message.topic or "")].note(message)

    def draw(self, width: int, height: int) -> list[Line]:
        series = [*self._series.values()]
        if len(series) == 1:
            return chart(series[0].bars, width, height, self._glyphs)
        shown = series[: max(1, height // _LEAST)]
        hidden = len(series) - len(shown)
        each = (height - bool(hidden)) // len(shown) - 2
        lines: list[Line] = []
        for one in shown:
            lines += [line(Span(one.symbol, "bold")), *chart(one.bars, width, each, self._glyphs), ()]
        lines.pop()
        more = f"and {hidden} more that do not fit into this window"
        return [*lines, crop(line(Span(more, "dim")), width)] if hidden else lines
