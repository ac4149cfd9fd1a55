"""`kucoin-sync verify`: find out whether the venue is as this package believes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import Event, __version__
from .feed import TIMEOUT, open_feed
from .layout import Column, Line, Span, columns, line, printable, wrapped
from .numbers import positive_float
from .output import Output
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..verify.seen import Finding, Seen, SessionSeen

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Subscribe every public topic of the topic table for a while, ask each service a few harmless questions, and compare what
comes with what this package believes: tokens, pongs, refusals, members and types of payloads, sequences, order books.
The exit code is 1 if the venue differs; each difference names the fact that is wrong. It stays within KuCoin's limits,
and only reads. The report has no keys and no ids of accounts."""
EXAMPLES = """\
examples:
  kucoin-sync verify
  kucoin-sync verify --feed uta --seconds 120 -o report.json
  kucoin-sync verify --private -o report.json"""

_INDENT = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--feed", choices=("classic", "uta", "all"), default="all", help="classic, uta, or all (default)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=60.0, metavar="S", help="how long to listen (default: 60)"
    )
    parser.add_argument("--private", action="store_true", help="subscribe the topics of the account, too; needs a key")
    parser.add_argument(
        "-o", "--output", type=_writable, metavar="FILE", help="write a report of all that was seen, as JSON"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Verify the venue; return 1 if it differs."""
    from ..net.waker import Waker
    from ..protocol.classic import CLASSIC
    from ..verify.judge import judge
    from ..verify.plan import CONTRACT, SYMBOL, feeds_of
    from ..verify.probe import Probe
    from ..verify.report import dump
    from ..verify.run import Verification
    from .checks import rest_of, subject_of

    progress, events, waker = ProgressLine(), list[Event](), Waker()
    try:
        with open_feed(options, output, (SYMBOL, CONTRACT), quiet=True, on_event=events.append) as feed:
            subject = subject_of(options, feed.server, TIMEOUT)
            rest = rest_of(subject, waker)
            probes = [
                Probe(subject.uta if dialect == "uta" else CLASSIC, market, rest, waker, TIMEOUT)
                for dialect in feeds_of(options.feed)
                for market in (("uta-spot", "uta-futures") if dialect == "uta" else ("spot", "futures"))
            ]
            verification = Verification(
                feed.stream, options.feed, options.seconds,
                private=options.private, timeout=TIMEOUT, events=events, tell=progress.show,
            )  # fmt: skip
            try:
                seen = verification.run(probes)
            finally:
                rest.close()
                progress.end()
    finally:
        waker.close()
    if options.output:
        options.output.write_bytes(dump(seen, __version__))
    findings = judge(seen)
    _print(seen, findings, output)
    differing = sum(finding.differs for finding in findings)
    if differing:
        output.aside.say(f"kucoin-sync: the venue differs in {differing} points from what this package believes")
    else:
        output.aside.say("kucoin-sync: the venue is as this package believes, as far as it was seen")
    return 1 if differing else 0


def _writable(text: str) -> Path:
    """Return the path of the report, which must not turn out to be unusable after a minute."""
    try:
        open(text, "ab").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} can't be written: {error.strerror}") from None
    return Path(text)


def _print(seen: Seen, findings: list[Finding], output: Output) -> None:
    from ..verify.judge import state_of

    if output.records:
        for record in _records(seen, findings):
            output.record(record)
        return
    for session in seen.sessions:
        output.print([line(Span(f"{session.market:<{_INDENT}}", "bold"), f"  {_told(session)}")])
    heads = (
        Column("topic", right=False),
        Column("", right=False),
        Column("messages"),
        Column("typed", rank=2),
        Column("differs", rank=1),
    )
    rows = []
    for topic in seen.topics:
        count = sum(finding.differs for finding in findings if finding.about == topic.topic)
        rows.append(
            (
                Span(topic.topic),
                Span(state_of(topic), "" if topic.messages else "dim"),
                Span(f"{topic.messages:,}"),
                Span(f"{topic.typed:,}"),
                Span(str(count) if count else "-", "down" if count else "dim"),
            )
        )
    output.print([(), *columns(heads, rows, output.width), ()])
    for book in seen.books:
        compared = f"equal to KuCoin's {book.compared} times" if not book.differing else "differs from KuCoin's"
        output.print([line(f"book of {book.topic}: {compared if book.compared else book.problem}")])
    for finding in findings:
        output.print(_lines(finding, output.width))


def _told(session: SessionSeen) -> str:
    """Return one line about the conversation with a service."""
    seconds = {answered.name: answered.seconds for answered in session.answers}
    pong = seconds.get("ping")
    parts = [
        f"{sum(each is not None for each in seconds.values())} answers",
        "no pong" if pong is None else f"pong within {pong + 0.1:.1f} s",
        *([] if session.clock is None else [f"clock {session.clock:+.1f} s"]),
        *([] if session.silent is None else [f"cut after {session.silent:.0f} s of silence"]),
        *([f"closed with code {session.code}"] if session.code else []),
    ]
    return session.error or ", ".join(parts)


def _records(seen: Seen, findings: list[Finding]) -> Iterator[dict[str, Any]]:
    from ..verify.facts import FACTS
    from ..verify.judge import absent_members, state_of

    for session in seen.sessions:
        yield {"service": session.market, "about": _told(session)}
    for topic in seen.topics:
        yield {
            "topic": topic.topic,
            "state": state_of(topic),
            "text": topic.text,
            "messages": topic.messages,
            "typed": topic.typed,
            "absent": absent_members(topic),
            "differences": [each.text for each in findings if each.differs and each.about == topic.topic],
        }
    for book in seen.books:
        yield {"book": book.topic, "compared": book.compared, "problem": book.problem, "differing": book.differing}
    for finding in findings:
        fact, source = FACTS.get(finding.fact, ("", ""))
        told = {"finding": finding.text, "about": finding.about, "differs": finding.differs}
        yield {**told, "fact": fact, "source": source}


def _lines(finding: Finding, width: int) -> list[Line]:
    """Return the lines of a finding, with the fact that is wrong below."""
    from ..verify.facts import FACTS

    room = max(20, width - _INDENT)
    state = Span("differs" if finding.differs else "note", "down" if finding.differs else "dim")
    first, *rest = wrapped(printable(f"{finding.about}: {finding.text}"), room)
    lines = [line(Span(f"{state.text:<{_INDENT}}", state.style), first)]
    lines += [line(" " * _INDENT, text) for text in rest]
    fact = FACTS.get(finding.fact)
    if fact is not None:
        told = wrapped(f"believed: {fact.text} ({fact.source})", room)
        lines += [line(" " * _INDENT, Span(text, "dim")) for text in told]
    return lines
