"""`kucoin-sync record`: record messages, to replay them later."""

from __future__ import annotations

import argparse
import contextlib
import re
import time

from .. import Message
from ..exceptions import InvalidTopic
from ..recording import Recorder
from .feed import CommandStream, open_feed, symbols_of
from .figures import counted
from .live import wait_for
from .numbers import positive_duration, positive_float
from .output import Output
from .progress import ProgressLine, size
from .wanted import add_feed, add_recover, book_of, symbols_in, ticker_of

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Record topics, and order books with their snapshots, until Ctrl-C. The file's name chooses the compression:
.jsonl, .jsonl.gz, .jsonl.zst. The file can be replayed even if the recorder is killed."""
EXAMPLES = """\
examples:
  kucoin-sync record BTC-USDT --book BTC-USDT -o day.jsonl.gz --demo --seconds 10
  kucoin-sync record /market/match:BTC-USDT -o day.jsonl.zst --rotate-time 1h"""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="any topic; a symbol stands for its ticker")
    parser.add_argument("--book", action="append", default=[], metavar="SYMBOL", help="an order book; may be repeated")
    add_feed(parser)
    add_recover(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--rotate-size", type=_size, metavar="SIZE", help="start a new file after this size, such as 100MB"
    )
    parser.add_argument(
        "--rotate-time", type=positive_duration, metavar="TIME", help="start a new file after this time, such as 1h"
    )
    parser.add_argument("--seconds", type=positive_float, metavar="S", help="end after S seconds")
    parser.add_argument(
        "--every",
        type=positive_float,
        default=1.0,
        metavar="S",
        help="seconds between reports of progress (default: 1)",
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Record until Ctrl-C."""
    options.book = symbols_in(options.book)
    wanted = [topic for topic in options.topics if _is_topic(topic)]
    symbols = symbols_in(word for word in options.topics if not _is_topic(word))
    wanted += [ticker_of(symbol, options.feed) for symbol in symbols]
    if not wanted and not options.book:
        raise InvalidTopic(
            "nothing to record: name a topic, as in kucoin-sync record /market/match:BTC-USDT, or --book"
        )
    symbols = symbols_of(wanted) + options.book
    began = time.monotonic()
    with (
        open_feed(options, output, symbols, seconds=options.seconds) as feed,
        Recorder(
            feed.stream, options.output, rotate_size=options.rotate_size, rotate_time=options.rotate_time
        ) as recorder,
        contextlib.suppress(KeyboardInterrupt),
    ):
        if wanted:
            # The recorder sees each message when it arrives. An inline callback keeps the queues empty.
            recovered = [topic for topic in wanted if options.recover and feed.stream.recovers(topic)]
            for part, recover in ((recovered, True), ([each for each in wanted if each not in recovered], False)):
                if part:
                    feed.stream.subscribe(*part, callback=_nothing, inline=True, timeout=feed.timeout, recover=recover)
            feed.silence.watch(feed.stream, wanted)
        for symbol in options.book:
            book = feed.stream.book(symbol, feed=options.feed)
            feed.silence.watch(feed.stream, [book_of(symbol, 2, options.feed)])
            book.wait_ready(feed.timeout)
        _watch(recorder, feed, options, output, began)
    numbers = recorder.stats()
    output.aside.say(
        f"kucoin-sync: {counted(numbers['messages'], 'message')} recorded, {numbers['dropped']} lost; "
        f"{size(numbers['written'])} in {counted(numbers['files'], 'file')}, "
        f"the last is {recorder.path}"
    )
    return 0


def _watch(recorder: Recorder, feed: CommandStream, options: argparse.Namespace, output: Output, began: float) -> None:
    """Show the progress for `seconds` or until Ctrl-C."""
    progress, messages, last = ProgressLine(), 0, began
    try:
        while True:
            wait = feed.deadline.left(options.every)
            if not wait:
                return
            wait_for(wait)
            numbers, now = recorder.stats(), time.monotonic()
            rate = (numbers["messages"] - messages) / max(now - last, 1e-3)
            messages, last = numbers["messages"], now
            progress.show(
                f"{recorder.path}  {messages:,} messages, {rate:,.0f}/s, {size(numbers['bytes'])} as "
                f"{size(numbers['written'])}, {numbers['dropped']} lost"
            )
            if output.records:
                output.record({"path": str(recorder.path), **numbers, "rate": round(rate, 1)})
    finally:
        progress.end()


def _is_topic(word: str) -> bool:
    return word.startswith("/") or ":" in word


def _nothing(_: Message) -> None:
    """Do nothing."""


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]?)b?", text.lower())
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 100MB")
    return int(float(found[1]) * _UNITS[found[2]])
