"""Lay out styled text in columns and bars for a given width. This module knows no terminals and no colours.

All views consist of these lines, so they read the same on every kind of screen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "ASCII",
    "UNICODE",
    "Column",
    "Glyphs",
    "Line",
    "Picture",
    "Span",
    "Style",
    "bar",
    "columns",
    "crop",
    "ends",
    "line",
    "printable",
    "text_of",
    "wrapped",
]

Style: TypeAlias = Literal["", "bold", "dim", "up", "down", "warn"]


class Span(NamedTuple):
    """A piece of text in one style."""

    text: str
    style: Style = ""


Line: TypeAlias = "tuple[Span, ...]"


class Picture(NamedTuple):
    """A view at one instant: its title, its lines, and the state of the feed."""

    head: Line
    body: list[Line]
    foot: Line


class Glyphs(NamedTuple):
    """The characters for bars, charts and marks."""

    up: str
    down: str
    full: str
    shade: str
    parts: str
    """Blocks from one eighth to seven eighths of a cell."""
    wick: str
    rule: str
    more: str
    gap: str


UNICODE = Glyphs("▲", "▼", "█", "░", "▏▎▍▌▋▊▉", "│", "─", "…", " · ")
ASCII = Glyphs("^", "v", "#", ".", "", "|", "-", "~", " | ")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        right: whether its text is aligned to the right.
        rank: if the columns do not all fit, those of the highest rank are left out first; rank 0 always stays.
        least: the minimum width; it keeps growing numbers from moving the next columns.
    """

    title: str
    right: bool = True
    rank: int = 0
    least: int = 0


def line(*parts: str | Span) -> Line:
    """Return a line made of these parts."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def text_of(line: Line) -> str:
    """Return a line's text."""
    return "".join(span.text for span in line)


def printable(text: str) -> str:
    """Return `text` with a question mark for each character that does not take exactly one cell of a terminal.

    Text from a server must not move the cursor or shift its neighbours.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _takes_one_cell(character) else "?" for character in text)


def _takes_one_cell(character: str) -> bool:
    return (
        character.isprintable()
        and not unicodedata.combining(character)
        and unicodedata.east_asian_width(character) not in "WF"
    )


def crop(line: Line, width: int, more: str = "") -> Line:
    """Return a line cut to `width`; a line that was cut ends with `more`."""
    if sum(len(span.text) for span in line) <= width:
        return line
    kept, left = [], max(0, width - len(more))
    for span in line:
        if left <= 0:
            break
        kept.append(span._replace(text=span.text[:left]))
        left -= len(span.text)
    kept.append(Span(more[:width], "dim"))
    return tuple(kept)


def ends(left: Line, right: Line, width: int, more: str) -> Line:
    """Return a line with `left` at its left end and `right` at its right end.

    If both do not fit, `right` is left out. If `left` alone does not fit, it is cut and ends with `more`.
    """
    space = width - len(text_of(left)) - len(text_of(right))
    return (*left, Span(" " * space), *right) if space >= 2 else crop(left, width, more)


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width`, broken between words; a word longer than a line is broken, too."""
    lines = [""]
    for word in text.split():
        while len(word) > width:
            room = width - len(lines[-1]) - bool(lines[-1])
            if room > 0:
                lines[-1] += (" " if lines[-1] else "") + word[:room]
                word = word[room:]
            lines.append("")
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def columns(heads: Sequence[Column], rows: Sequence[Sequence[Span]], width: int) -> list[Line]:
    """Return a table: one line of titles, and one for each row; no line is wider than `width`."""
    widths = [
        max(head.least, len(head.title), *(len(row[place].text) for row in rows)) if rows else max(head.least, 1)
        for place, head in enumerate(heads)
    ]
    shown = list(range(len(heads)))
    gap = _GAP
    for place in sorted(shown, key=lambda place: heads[place].rank, reverse=True):
        needed = sum(widths[place] for place in shown)
        if needed + _GAP * (len(shown) - 1) <= width or not heads[place].rank:
            break
        if heads[place].rank <= _CLOSE_UP and needed + len(shown) - 1 <= width:
            gap = 1
            break
        shown.remove(place)
    titles = [Span(head.title, "dim") for head in heads]
    return [
        crop(_row([(cells[place], heads[place], widths[place]) for place in shown], gap), width)
        for cells in (titles, *rows)
    ]


_GAP = 2
_CLOSE_UP = 5
"""Before a column of at most this rank is left out, the columns move closer together."""


def _row(cells: Sequence[tuple[Span, Column, int]], gap: int) -> Line:
    spans: list[Span] = []
    for cell, head, width in cells:
        if spans:
            spans.append(Span(" " * gap))
        space = Span(" " * (width - len(cell.text)))
        spans += [space, cell] if head.right else [cell, space]
    return tuple(spans)


def bar(share: float, width: int, glyphs: Glyphs) -> str:
    """Return a bar that takes `share` (0 to 1) of `width`; a share above 0 is always visible."""
    share = min(1.0, max(0.0, share))
    steps = len(glyphs.parts) + 1
    filled = round(share * width * steps)
    if share and not filled:
        filled = 1
    whole, part = divmod(filled, steps)
    return glyphs.full * whole + (glyphs.parts[part - 1] if part else "")
