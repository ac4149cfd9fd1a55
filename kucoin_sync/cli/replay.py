"""`kucoin-sync replay`: print a recording."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import logging
import time

from ..events import Event
from ..recording import ReplayStream
from .figures import counted
from .layout import crop
from .numbers import duration, positive_float, positive_int
from .output import Output
from .progress import ProgressLine
from .tail import line_of

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Replay recordings. A terminal shows one line for each message; files and pipes get its JSON as KuCoin sent it. Several
files, a folder or a pattern are replayed in the order of their recording."""
EXAMPLES = """\
examples:
  kucoin-sync replay day.jsonl.zst --speed 10 --from +30m
  kucoin-sync replay day.jsonl.gz --topic /market/match:BTC-USDT --speed max > trades.jsonl"""

_SHOW = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording, a folder of them, or a pattern")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="TOPIC", help="may be repeated (default: all recorded topics)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N", help="a factor of the recorded speed, or max (default: 1)"
    )
    parser.add_argument(
        "--from",
        dest="begin",
        type=_moment,
        metavar="TIME",
        help="a time such as 2026-01-31T09:30Z, or +90s, +30m, +2h",
    )
    parser.add_argument("--count", type=positive_int, metavar="N", help="end after N messages")


def run(options: argparse.Namespace, output: Output) -> int:
    """Print a recording."""
    began, shown, next_show = time.monotonic(), 0, 0.0
    progress = ProgressLine()

    def say(event: Event) -> None:
        if event.level >= logging.WARNING:
            output.aside.say(f"kucoin-sync: {event}")

    with ReplayStream(options.files, options.speed, on_event=say) as replay:
        if options.begin is not None:
            replay.seek(options.begin)
        subscription = replay.subscribe(*(options.topic or replay.recorded), recover=True)
        with contextlib.suppress(KeyboardInterrupt):
            for message in subscription:
                if output.records:
                    output.record(message.raw, flush=not subscription.pending)
                else:
                    row = line_of(message)
                    output.print([crop(row, output.width, output.glyphs.more) if output.terminal else row])
                shown += 1
                if shown == options.count:
                    break
                now = time.monotonic()
                if now >= next_show and not output.terminal:
                    next_show = now + _SHOW
                    progress.show(_how_far(replay))
        progress.end()
        output.aside.say(
            f"kucoin-sync: {counted(shown, 'message')} in {time.monotonic() - began:.1f} s, "
            f"{replay.missing} missing in the recording"
        )
    return 0


def _how_far(replay: ReplayStream) -> str:
    at = replay.began + dt.timedelta(seconds=replay.position)
    share = replay.position / replay.duration if replay.duration else 1.0
    return f"[{'#' * round(20 * share):<20}] {share:4.0%}  {at:%Y-%m-%d %H:%M:%S} UTC"


def _speed(text: str) -> float | None:
    return None if text == "max" else positive_float(text)


def _moment(text: str) -> float | dt.datetime:
    """Return seconds from the beginning, or a time; a time without a time zone is local."""
    if text.startswith("+"):
        return duration(text[1:])
    try:
        moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-01-31T09:30Z or +30m") from None
    return moment.astimezone()
