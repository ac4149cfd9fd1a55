"""`kucoin-sync watch`: a live table of tickers, or the messages of any topic."""

from __future__ import annotations

import argparse

from ..exceptions import InvalidTopic
from .feed import open_feed, symbols_of
from .live import add_ending, print_messages, show
from .output import Output
from .tail import Tail
from .tickers import Tickers
from .wanted import add_feed, add_recover, statistics_of, symbols_in, ticker_of

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Show the tickers of symbols (BTC-USDT, XBTUSDTM) in a live table, or the newest messages of any topics, until Ctrl-C.
Files and pipes get each message as KuCoin sent it, one on a line."""
EXAMPLES = """\
examples:
  kucoin-sync watch BTC-USDT ETH-USDT --demo
  kucoin-sync watch BTC-USDT --feed uta --demo
  kucoin-sync watch --topic /market/match:BTC-USDT --json --count 10"""

_STALE_AFTER = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument("--topic", action="append", default=[], metavar="TOPIC", help="any topic; may be repeated")
    add_feed(parser)
    add_recover(parser)
    add_ending(parser, "messages")


def run(options: argparse.Namespace, output: Output) -> int:
    """Watch until Ctrl-C."""
    options.symbols = symbols_in(options.symbols)
    wanted = [ticker_of(symbol, options.feed) for symbol in options.symbols] + options.topic
    if not wanted:
        raise InvalidTopic("nothing to watch: name a symbol, as in kucoin-sync watch BTC-USDT, or a --topic")
    with open_feed(options, output, symbols_of(wanted), seconds=options.seconds) as feed:
        if output.records:
            subscription = feed.every(*wanted, stale_after=_STALE_AFTER, recover=options.recover)
            print_messages(output, subscription, feed.deadline, count=options.count)
        elif options.topic:
            subscription = feed.every(*wanted, stale_after=_STALE_AFTER, recover=options.recover)
            show(output, Tail(subscription, output.glyphs), feed, count=options.count)
        else:
            more = [statistics_of(symbol) for symbol in options.symbols if options.feed == "classic"]
            # The newest message of a symbol may replace others, which would count.
            subscribe = feed.every if options.count else feed.latest
            subscription = subscribe(*wanted, *more, stale_after=_STALE_AFTER)
            show(output, Tickers(subscription, options.symbols, output.glyphs), feed, count=options.count)
    return 0
