"""The READMEs of the project: their texts, sections, tables and code blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FOLDERS = ("examples", "kucoin_sync", "tests")
NAMES = ["README.md", *sorted(
    path.relative_to(ROOT).as_posix() for folder in _FOLDERS for path in (ROOT / folder).rglob("README.md")
)]  # fmt: skip
"""All READMEs, by their paths from the root folder."""

ARCHITECTURE = "kucoin_sync/README.md"
#: Where the names of each public module stand.
PUBLIC = {
    "": ARCHITECTURE,
    "metrics": ARCHITECTURE,
    "account": "kucoin_sync/account/README.md",
    "books": "kucoin_sync/books/README.md",
    "contrib.django": "kucoin_sync/contrib/README.md",
    "contrib.django.middleware": "kucoin_sync/contrib/README.md",
    "contrib.django.views": "kucoin_sync/contrib/README.md",
    "contrib.feed": "kucoin_sync/contrib/README.md",
    "contrib.flask": "kucoin_sync/contrib/README.md",
    "contrib.last": "kucoin_sync/contrib/README.md",
    "contrib.options": "kucoin_sync/contrib/README.md",
    "contrib.sse": "kucoin_sync/contrib/README.md",
    "contrib.web": "kucoin_sync/contrib/README.md",
    "payloads": "kucoin_sync/payloads/README.md",
    "recording": "kucoin_sync/recording/README.md",
    "relay": "kucoin_sync/relay/README.md",
    "testing": "kucoin_sync/testing/README.md",
    "topics": "kucoin_sync/topics/README.md",
    "topics.futures": "kucoin_sync/topics/README.md",
    "topics.uta": "kucoin_sync/topics/README.md",
}


class Block(NamedTuple):
    """A code block: its README, its language and its text."""

    readme: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.readme}: {self.code.strip().splitlines()[0]}"


def text_of(name: str) -> str:
    """Return the text of a README."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    """Return the text below a heading of the second level, up to the next heading of that level."""
    return re.split(rf"^## {re.escape(title)}$", text_of(name), flags=re.M)[1].split("\n## ")[0]


def rows(table: str) -> list[list[str]]:
    """Return the cells of the rows of the tables in a text, without their heads."""
    found = []
    lines = table.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("| ") and not following.startswith("|--"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
    return found


def names_in(cell: str) -> list[str]:
    """Return the texts in code marks."""
    return re.findall(r"`([^`]+)`", cell)


BLOCKS = [
    Block(name, language, code)
    for name in NAMES
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text_of(name), re.M | re.S)
]
