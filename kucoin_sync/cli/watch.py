"""`kucoin-sync watch`: print messages as they come."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from .. import Message, Stream, Subscription, topics
from ..exceptions import InvalidTopic
from ..topics import grammar
from .numbers import positive_float, positive_int
from .streams import open_stream

__all__ = ["TIMEOUT", "add_to"]

TIMEOUT = 10.0
"""Seconds to wait until KuCoin has confirmed what is to be watched."""

_STALE_AFTER = 30.0


def add_to(commands: Any, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser(
        "watch",
        parents=parents,
        help="print tickers, or any topic",
        description="Print the tickers of symbols (BTC-USDT, XBTUSDTM), or the messages of any topic, until Ctrl-C.",
        epilog="Examples: kucoin-sync watch BTC-USDT ETH-USDT --demo; "
        "kucoin-sync watch --topic /market/match:BTC-USDT --json --count 10",
    )
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="such as BTC-USDT, or XBTUSDTM for futures")
    parser.add_argument("--topic", action="append", default=[], metavar="TOPIC", help="any topic; may be repeated")
    parser.add_argument("--json", action="store_true", help="print each message as KuCoin sent it, one on a line")
    parser.add_argument("--count", type=positive_int, metavar="N", help="end after N messages")
    parser.add_argument("--seconds", type=positive_float, metavar="S", help="end after S seconds")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    wanted = [_ticker(symbol) for symbol in options.symbols] + options.topic
    if not wanted:
        raise InvalidTopic("nothing to watch: name a symbol, as in kucoin-sync watch BTC-USDT, or a --topic")
    singles = [single for topic in wanted for single in grammar.split(topic)]
    symbols = [grammar.argument_of(single).partition("_")[0] for single in singles]
    started = time.monotonic()
    shown = 0
    with open_stream(options, symbols) as stream:
        try:
            subscription = stream.subscribe(*wanted, stale_after=_STALE_AFTER, timeout=TIMEOUT)
            for message in _until(subscription, options.seconds):
                print(_line(message) if not options.json else message.raw.decode(), flush=True)
                shown += 1
                if shown == options.count:
                    break
        except KeyboardInterrupt:
            pass  # the summary says the rest
        finally:
            _summarise(stream, shown, time.monotonic() - started)
    return 0


def _until(subscription: Subscription, seconds: float | None) -> Iterator[Message]:
    """Yield messages, for `seconds` or until the subscription ends."""
    if seconds is None:
        yield from subscription
        return
    deadline = time.monotonic() + seconds
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            yield subscription.get(timeout=remaining)
        except TimeoutError:
            return


def _ticker(symbol: str) -> str:
    return topics.ticker(symbol) if "-" in symbol else topics.futures.ticker(symbol)


def _line(message: Message) -> str:
    """Return one line of text for a message: prices where it is a ticker, else its data."""
    moment = datetime.fromtimestamp(message.received_ns / 1e9).strftime("%H:%M:%S.%f")[:-3]
    data = message.data if isinstance(message.data, dict) else {}
    bid, ask = data.get("bestBid", data.get("bestBidPrice")), data.get("bestAsk", data.get("bestAskPrice"))
    if bid is None or ask is None:
        shown = msgspec.json.encode(message.data).decode()
        return f"{moment}  {message.topic}  {message.subject}  {shown}"
    name = grammar.argument_of(message.topic or "")
    name = message.subject or name if name == "all" else name
    price = data.get("price")
    last = f"{price:>14}" if price is not None else " " * 14
    sizes = data.get("bestBidSize"), data.get("bestAskSize")
    return f"{moment}  {name:<14}{last}   bid {bid:>14} x {sizes[0]}   ask {ask:>14} x {sizes[1]}"


def _summarise(stream: Stream, shown: int, seconds: float) -> None:
    numbers = stream.stats()
    print(
        f"kucoin-sync: {shown} messages in {seconds:.1f} s, {numbers['reconnects']} reconnects, "
        f"{numbers['dropped']} lost",
        file=sys.stderr,
    )
