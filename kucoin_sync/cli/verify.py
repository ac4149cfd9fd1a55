"""`kucoin-sync verify`: find out whether the venue is as this package believes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import Event, __version__
from .feed import TIMEOUT, open_feed
from .figures import counted
from .layout import Column, Line, Span, Style, columns, line, printable, wrapped
from .numbers import positive_float
from .output import Output
from .progress import ProgressLine

if TYPE_CHECKING:
    from ..verify.seen import Finding, Seen, SessionSeen

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "lines_of", "run", "write_report"]

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

_INDENT = 13


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
        "-o", "--output", type=Path, metavar="FILE", help="write a report of all that was seen, as JSON"
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

    if options.output:
        _check_writable(options)
    progress, events, waker = ProgressLine(), list[Event](), Waker()
    try:
        with open_feed(options, output, (SYMBOL, CONTRACT), quiet=True, on_event=events.append) as feed:
            subject = subject_of(options, feed.server, TIMEOUT)
            rest = rest_of(subject, waker)
            probes = [
                Probe(subject.uta if dialect == "uta" else CLASSIC, market, subject.endpoints, rest, waker, TIMEOUT)
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
    findings = judge(seen)
    error = ""
    try:
        if output.records:
            for record in _records(seen, findings):
                output.record(record)
        else:
            output.print(lines_of(seen, findings, output.width))
    finally:  # also if nobody reads the summary any more
        if options.output:
            error = write_report(options.output, dump(seen, __version__))
    differing = sum(finding.differs for finding in findings)
    verdict = "is as this package believes, as far as it was seen"
    if differing:
        verdict = f"differs in {counted(differing, 'point')} from what this package believes"
    output.aside.say(f"kucoin-sync: the venue {verdict}")
    if error:
        output.aside.say(f"kucoin-sync: {error}")
        return 1
    return 1 if differing else 0


def _check_writable(options: argparse.Namespace) -> None:
    """Exit with 2 if the report can't be written, which must not turn out after a minute. It leaves no file behind."""
    path: Path = options.output
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.resolve().unlink()  # the file itself, where the path is a link to it
    except OSError as error:
        options.parser.error(f"{path} can't be written: {error.strerror}")


def write_report(path: Path, report: bytes) -> str:
    """Write the report, which appears only when it is complete; return why that was not possible, else ""."""
    from ..recording.atomic_file import atomic_write

    try:
        target = path.resolve()
        if path.exists() and not (path.is_file() and os.access(target.parent, os.W_OK)):
            path.write_bytes(report)  # a device or a pipe, or nothing can be put beside it
            return ""
        with atomic_write(target, replace=True) as temporary:
            temporary.write_bytes(report)
    except OSError as error:
        return f"{path} can't be written: {error.strerror or error}"
    return ""


def lines_of(seen: Seen, findings: list[Finding], width: int) -> list[Line]:
    """Return the summary: the services, a table of the topics, the books, absent members, and the findings."""
    from ..verify.judge import absent_members, state_of

    lines = [part for each in seen.sessions for part in _wrapped(each.market, _told(each), width)]
    heads = (
        Column("", right=False),
        Column("messages"),
        Column("typed", rank=1),
        Column("differs"),
        Column("topic", right=False),
    )
    rows = []
    for topic in seen.topics:
        count = sum(finding.differs for finding in findings if finding.about == topic.topic)
        rows.append(
            (
                Span(state_of(topic), "" if topic.messages else "dim"),
                Span(f"{topic.messages:,}"),
                Span(f"{topic.typed:,}"),
                Span(str(count) if count else "-", "down" if count else "dim"),
                Span(topic.topic),
            )
        )
    lines += [(), *columns(heads, rows, width), ()]
    for book in seen.books:
        compared = "differs from KuCoin's" if book.differing else f"equal to KuCoin's, compared {book.compared} x"
        lines += _wrapped("book", f"{book.topic}: {book.problem or compared}", width)
    for topic in seen.topics:
        if absent := absent_members(topic):
            lines += _wrapped("absent", f"{topic.topic}: {', '.join(absent)}", width, "dim")
    return lines + [part for finding in findings for part in _lines(finding, width)]


def _told(session: SessionSeen) -> str:
    """Return one line about the conversation with a service."""
    seconds = {answered.name: answered.seconds for answered in session.answers}
    pong = seconds.get("ping")
    parts = [
        f"answers: {sum(each is not None for each in seconds.values())}",
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

    state, style = ("differs", "down") if finding.differs else ("note", "dim")
    lines = _wrapped(state, f"{finding.about}: {finding.text}", width, cast(Style, style))
    fact = FACTS.get(finding.fact)
    return lines if fact is None else [*lines, *_wrapped("", f"believed: {fact.text} ({fact.source})", width, "dim")]


def _wrapped(word: str, text: str, width: int, style: Style = "") -> list[Line]:
    """Return the lines of a text beside a word."""
    first, *rest = wrapped(printable(text), max(20, width - _INDENT))
    style_of_rest: Style = "" if word else style
    lines = [line(Span(f"{word:<{_INDENT}}", style), Span(first, style_of_rest))]
    return lines + [line(" " * _INDENT, Span(text, style_of_rest)) for text in rest]
