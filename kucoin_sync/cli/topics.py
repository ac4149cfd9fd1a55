"""`kucoin-sync topics`: the table of topics as a reference."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ..payloads import fields_of
from ..topics import TABLE, Topic
from .layout import wrapped
from .output import Output
from .suggestions import did_you_mean

__all__ = ["DESCRIPTION", "EXAMPLES", "TABLE_STANDS_IN", "add_arguments", "markdown", "run"]

TABLE_STANDS_IN = "kucoin_sync/topics/README.md"
DESCRIPTION = """\
List every topic of KuCoin's feeds, classic and UTA: the topic, the function that builds it, whether it is private, its
market, how often it is pushed, and the fields of its payloads."""
EXAMPLES = """\
examples:
  kucoin-sync topics
  kucoin-sync topics candles
  kucoin-sync topics futures private"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="show only topics that have all these words")
    parser.add_argument(
        "--markdown", action="store_true", help=f"print the Markdown table of {TABLE_STANDS_IN}, without the fields"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Print the topics; return 1 if none contains the words."""
    rows = [row for row in TABLE if all(word.lower() in _described(row).lower() for word in options.words)]
    if options.markdown:
        print(markdown(rows), end="")
    elif output.records:
        for row in rows:
            output.record(_as_dict(row))
    elif rows:
        print("\n\n".join(_folded(_described(row), output) for row in rows))
    if not rows:
        output.aside.say(f"kucoin-sync: {_no_topic(options.words)}")
    return 0 if rows else 1


def _no_topic(words: list[str]) -> str:
    """Return a sentence about words that no topic has, or that no topic has together."""
    texts = [_described(row).lower() for row in TABLE]
    unknown = [word for word in words if not any(word.lower() in text for text in texts)]
    known = re.findall(r"[a-z][a-z0-9]+", " ".join(texts))
    asked = dict.fromkeys(question for word in unknown if (question := did_you_mean(word.lower(), known)))
    which = f"the word {unknown[0]!r}" if unknown else f"all of the words {' '.join(map(repr, words))}"
    return "; ".join([f"no topic has {which}", *asked])


def markdown(rows: tuple[Topic, ...] | list[Topic] = TABLE) -> str:
    """Return a table in Markdown."""
    lines = ["| topic | helper `topics.` | market | pushed | what | payload |", "|---|---|---|---|---|---|"]
    for row in rows:
        about = row.about + (f" ({row.legacy})" if row.legacy else "")
        access = f"{row.market}, private" if row.private else row.market
        structs = ", ".join(f"`{name}`" for name in dict.fromkeys(cls.__name__ for cls in row.payloads.values()))
        lines.append(f"| `{row.pattern}` | `{_call(row)}` | {access} | {row.push} | {about} | {structs} |")
    return "\n".join(lines) + "\n"


def _described(row: Topic) -> str:
    lines = [
        row.pattern,
        f"    {row.about}{f' ({row.legacy})' if row.legacy else ''}",
        f"    topics.{_call(row)}   {row.market}, {'private' if row.private else 'public'}, pushed: {row.push}",
    ]
    for subject, cls in row.payloads.items():
        name = cls.__name__ if subject == "*" else f"{subject}: {cls.__name__}"
        shown = [field for field in fields_of(cls) if not field.startswith("wire_")]
        lines.append(f"    {name}({', '.join(shown)})")
    return "\n".join(lines)


def _folded(text: str, output: Output) -> str:
    """Return a text; for a terminal, break its long lines between words."""
    if not output.terminal:
        return text
    lines: list[str] = []
    for each in text.splitlines():
        if len(each) <= output.width:
            lines.append(each)
        else:
            first, *rest = wrapped(each, max(1, output.width - 8))
            lines += [f"    {first}", *(f"        {part}" for part in rest)]
    return "\n".join(lines)


def _as_dict(row: Topic) -> dict[str, Any]:
    return {
        "topic": row.pattern,
        "helper": f"topics.{_call(row)}",
        "market": row.market,
        "private": row.private,
        "push": row.push,
        "about": row.about,
        "legacy": row.legacy,
        "payloads": {
            subject: {"struct": cls.__name__, "fields": fields_of(cls)} for subject, cls in row.payloads.items()
        },
    }


def _call(row: Topic) -> str:
    if row.call:
        return f"{row.helper}({row.call})"
    argument = row.argument.value.replace("_", ", ").replace("{", "").replace("}", "").replace(",…", ", …")
    if row.argument.value == "all":
        argument = ""
    elif row.argument.repeats and not row.argument.joins:
        argument += ", …"
    return f"{row.helper}({argument})"
