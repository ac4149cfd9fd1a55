"""`kucoin-sync export`: write a table of a recording, for pandas and other programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from .. import Event, Message, PayloadMismatch, Subscription
from ..recording import ReplayStream
from ..recording.export import export
from .output import Output
from .progress import ProgressLine

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Write the messages of topics to a table, CSV or Parquet: one row for each message, exact numbers, times in UTC.
Parquet needs pip install 'kucoin-sync[export]'."""
EXAMPLES = """\
examples:
  kucoin-sync export day.jsonl.zst --topic /market/match:BTC-USDT -o trades.parquet"""

_SHOW = 20_000
_QUEUE = 2_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording, a folder of them, or a pattern")
    parser.add_argument("--topic", action="append", required=True, metavar="TOPIC", help="may be repeated")
    parser.add_argument("-o", "--output", required=True, metavar="TABLE", help="the .csv or .parquet file to write")
    parser.add_argument("--floats", action="store_true", help="floats in place of exact numbers")


def run(options: argparse.Namespace, _: Output) -> int:
    """Write a table."""
    try:
        _write(options)
    except KeyboardInterrupt:
        print(f"kucoin-sync: interrupted: {options.output} was not written", file=sys.stderr)
        return 1
    return 0


def _write(options: argparse.Namespace) -> None:

    def say(event: Event) -> None:
        if isinstance(event, PayloadMismatch):
            print(f"kucoin-sync: {event}", file=sys.stderr)

    with ReplayStream(options.files, speed=None, on_event=say) as replay:
        subscription = replay.subscribe(*options.topic, maxsize=_QUEUE, recover=True)
        done = export(_counted(subscription, replay), options.topic, options.output, floats=options.floats)
        torn, odd = replay.torn, max(0, replay.stats()["misfits"] - done.left_out)  # what is left out is one, too
    for path in torn:
        print(
            f"kucoin-sync: {path} was not closed by its recorder; its complete messages were exported", file=sys.stderr
        )
    more = [
        *([f"{odd} with unexpected fields, see the column rest"] if odd else []),
        *([f"{done.emptied} values left empty because the table can't hold them"] if done.emptied else []),
        *([f"{done.left_out} left out because their type is unknown"] if done.left_out else []),
    ]
    print(", ".join([f"kucoin-sync: {done.rows} rows in {options.output}", *more]), file=sys.stderr)


def _counted(subscription: Subscription, replay: ReplayStream) -> Iterator[Message]:
    progress = ProgressLine()
    for number, message in enumerate(subscription):
        if number % _SHOW == 0:
            share = replay.position / replay.duration if replay.duration else 1.0
            progress.show(f"{number} rows, {share:.0%}")
        yield message
    progress.end()
