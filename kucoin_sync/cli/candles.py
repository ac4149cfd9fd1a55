"""`kucoin-sync candles`: a chart of KuCoin's candles, or of shorter ones made from trades."""

from __future__ import annotations

import argparse
import time
from collections import deque
from decimal import Decimal

from .. import Message, Stream, Subscription
from ..exceptions import KucoinSyncError
from ..payloads import Candles, FuturesCandles, FuturesMatch, Match, UtaCandle, UtaTrade
from ..topics.table import CANDLE_TYPES
from . import figures
from .chart import Bar, chart
from .feed import open_feed
from .history import past_candles, past_trades
from .layout import Glyphs, Line
from .live import View, add_ending, print_messages, show
from .output import Output
from .wanted import add_feed, candles_of, one_symbol, trades_of

__all__ = ["DESCRIPTION", "EXAMPLES", "Chart", "add_arguments", "run"]

DESCRIPTION = """\
Show a chart of the candles of a symbol (BTC-USDT, XBTUSDTM) until Ctrl-C. It starts with the candles that
REST tells of. KuCoin has no candles shorter than a minute; those are made from trades, at first from the last 100.
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
            try:
                view.begin(feed.stream, time.time())
            except KucoinSyncError as error:
                output.aside.say(f"kucoin-sync: the chart starts now, without a history: {error}")
            show(output, view, feed, count=options.count)
    return 0


class Chart(View):
    """A chart of candles: those of `begin`, then those that are pushed."""

    def __init__(self, subscription: Subscription, symbol: str, length: str, glyphs: Glyphs) -> None:
        self.title = f"Candles of {symbol}, {length}   {glyphs.full} up {glyphs.shade} down"
        self._subscription = subscription
        self._seconds = SECONDS.get(length)
        self._bars: deque[Bar] = deque(maxlen=_KEPT)
        self._glyphs = glyphs
        self._symbol, self._length = symbol, length
        self._told_ns = 0  # the time of the last trade that REST told of

    def begin(self, stream: Stream, now: float) -> None:
        """Take in the candles before the first message; `now` is in seconds since 1970.

        Raises:
            KucoinSyncError: they can't be had. The chart starts with the first message then.
        """
        if self._seconds is None:
            self._bars.extend(past_candles(stream, self._symbol, self._length, now))
            return
        for time_ns, price, size in past_trades(stream, self._symbol):
            self._trade(time_ns, price, size)
            self._told_ns = time_ns
        if len(self._bars) > 1:
            self._bars.popleft()  # REST may not tell of its first trades

    def update(self) -> None:
        for message in self.messages(self._subscription):
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
            elif last is None or last.start_ns < bar.start_ns:
                self._bars.append(bar)
        elif (
            isinstance(data, Match | FuturesMatch | UtaTrade)
            and figures.real(data.price) is not None
            and data.time_ns > self._told_ns
        ):
            self._trade(data.time_ns, data.price, figures.amount(data.size))

    def _trade(self, time_ns: int, price: Decimal, size: Decimal) -> None:
        """Add a trade to the candle of its time, or start that."""
        start = time_ns - time_ns % ((self._seconds or 1) * 10**9)
        if self._bars and self._bars[-1].start_ns >= start:
            self._bars[-1].add(price, size)
        else:
            self._bars.append(Bar(start, price, price, price, price, size))
