"""`kucoin-sync doctor`: check the connection to KuCoin step by step, and say how to correct what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform

from .. import __version__
from .layout import Line, Span, Style, line, printable, wrapped
from .numbers import positive_float
from .output import Output
from .wanted import add_feed

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Check each step of a stream's connection: proxy, DNS, TCP, TLS, clock, token, welcome and ping, for spot and futures,
then the API key of the environment. The UTA feed needs no token, and its private
server takes the key. Each line is "ok", or says what is wrong and what to do.
The exit code is 1 if something is wrong. No secret is printed."""
EXAMPLES = """\
examples:
  kucoin-sync doctor
  kucoin-sync doctor --feed uta
  kucoin-sync doctor --json > report.jsonl"""

_STYLES: dict[str, Style] = {"ok": "up", "note": "dim", "wrong": "down", "skipped": "dim"}
_INDENT = 21


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_feed(parser)
    parser.add_argument(
        "--timeout", type=positive_float, default=10.0, metavar="S", help="seconds for each step (default: 10)"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Examine everything; return 1 if something is wrong."""
    from .checks import subject_of
    from .diagnosis import examine

    with contextlib.ExitStack() as stack:
        server = None
        if options.demo:
            from ..testing import local_kucoin

            server = stack.enter_context(local_kucoin())
        subject = subject_of(options, server, options.timeout)
        urls = {market: subject.endpoints.of(market) for market in ("spot", "futures")}
        for market in ("uta-spot", "uta-futures", "uta"):
            urls[market] = subject.uta.servers(market, private=market == "uta")[0].endpoint
        wrong = found = 0
        about = ""
        if not output.records:
            output.print([line(Span(f"kucoin-sync {__version__}", "bold"), Span(f", {_machine()}", "dim"))])
        for check in examine(subject, options.feed):
            found += check.state in ("ok", "wrong")
            wrong += check.state == "wrong"
            if output.records:
                output.record(check._asdict())
                continue
            if check.about != about:
                about = check.about
                output.print([(), line(Span(about, "bold"), Span(f"  {urls.get(about, '')}", "dim"))])
            output.print(_lines(check.step, check.state, check.text, check.remedy, output))
    verdict = f"{wrong} of {found} checks found something wrong" if wrong else f"all {found} checks passed"
    output.aside.say(f"kucoin-sync: {verdict}")
    return 1 if wrong else 0


def _lines(step: str, state: str, text: str, remedy: str, output: Output) -> list[Line]:
    """Return the lines of a check, with its remedy below."""
    width = max(20, output.width - _INDENT)
    first, *rest = wrapped(printable(text), width)
    lines = [line("  ", Span(f"{state:<8}", _STYLES[state]), f"  {step:<9}", Span(first))]
    lines += [line(" " * _INDENT, text) for text in rest]
    if remedy:
        first, *rest = wrapped(printable(remedy), width - 3)
        lines.append(line(" " * _INDENT, Span("-> ", "warn"), Span(first, "warn")))
        lines += [line(" " * (_INDENT + 3), Span(text, "warn")) for text in rest]
    return lines


def _machine() -> str:
    return f"Python {platform.python_version()}, {platform.system() or os.name}"
