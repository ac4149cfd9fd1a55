"""Screens for live views: a terminal with rich, a terminal without it, and output without a cursor.

A view on a terminal uses the alternate screen. At its end the last picture is printed on the normal screen. No line is
longer than the terminal is wide, and nothing scrolls.
"""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from .keys import PressedKeys
from .layout import Line, Picture, Style, crop, text_of

if TYPE_CHECKING:
    from types import TracebackType

    from rich.text import Text

__all__ = ["AnsiScreen", "Pages", "RichScreen", "Screen", "StandardOutput", "print_rich", "size_of"]

_COLOURS: dict[Style, str] = {"": "", "bold": "bold", "dim": "dim", "up": "green", "down": "red", "warn": "yellow"}
#: Blue and orange differ for everybody; a warning must not look like orange.
_COLOUR_BLIND: dict[Style, str] = {**_COLOURS, "up": "dodger_blue1", "down": "orange1", "warn": "bold"}
_DEFAULT_SIZE = (100, 30)
"""Columns and lines for output that is not a terminal."""


def size_of(stream: TextIO) -> os.terminal_size:
    """Return the current size of the terminal behind a stream."""
    try:
        size = os.get_terminal_size(stream.fileno())
        if size.columns > 0 and size.lines > 0:
            return size
    except (OSError, ValueError):
        pass  # no terminal, or one of unknown size
    return shutil.get_terminal_size(_DEFAULT_SIZE)


class Screen(ABC):
    """The base of screens. A screen is a context manager.

    Attributes:
        pause: minimum seconds between two pictures.
        live: whether a picture replaces the previous one.
        keys: those of its terminal.
        colour_blind: whether to use colours that the colour-blind can tell apart.
    """

    pause = 0.1
    live = True

    def __init__(self, *, colour_blind: bool = False) -> None:
        self.keys = PressedKeys(wanted=False)
        self.colour_blind = colour_blind
        self._last: Picture | None = None

    @property
    def size(self) -> os.terminal_size:
        """The current columns and lines."""
        return size_of(sys.stdout)

    def paint(self, picture: Picture) -> None:
        """Replace the previous picture."""
        self._last = picture
        self._paint(picture)

    @abstractmethod
    def _paint(self, picture: Picture) -> None: ...

    def _filled(self, picture: Picture) -> list[Line]:
        """Return the lines of a picture that fills the screen, with its foot at the bottom."""
        columns, rows = self.size
        body = [picture.head, (), *picture.body][: max(0, rows - 2)]
        lines = [*body, *[()] * (rows - 1 - len(body)), picture.foot]
        return [crop(line, columns) for line in lines[-rows:]]

    def _without_foot(self, picture: Picture | None) -> list[Line]:
        """Return the lines that stay after the end of the view, without the foot."""
        if picture is None:
            return []
        columns = self.size.columns
        return [crop(line, columns) for line in (picture.head, (), *picture.body)]

    def __enter__(self) -> Screen:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Pages(Screen):
    """Output without a cursor: one picture after another."""

    pause = 1.0
    live = False

    def __init__(self) -> None:
        super().__init__()
        self._writer = StandardOutput()
        self._painted = False

    def _paint(self, picture: Picture) -> None:
        if self._painted:
            self._writer.text("\n")
        self._painted = True
        self._writer.lines(self._without_foot(picture))

    def __exit__(self, *_: object) -> None:
        pass


class AnsiScreen(Screen):
    """A terminal without rich. It uses common control sequences only, and writes only lines that changed.

    A picture is written in one piece. A slow terminal takes it in parts, and Ctrl-C may come between two of them, even
    inside a control sequence: what is written at the end ends such a sequence, and resets the colours first.
    """

    def __init__(self, *, colour_blind: bool = False) -> None:
        super().__init__(colour_blind=colour_blind)
        self._writer = StandardOutput()
        self._shown: list[str] = []
        self._for: os.terminal_size | None = None

    def __enter__(self) -> AnsiScreen:
        self._writer.text("\x1b[?1049h\x1b[?25l\x1b[2J")
        return self

    def _paint(self, picture: Picture) -> None:
        size = self.size
        texts = [self._rendered(line) + " " * (size.columns - len(text_of(line))) for line in self._filled(picture)]
        if size != self._for:
            self._for, self._shown = size, [""] * len(texts)
        changed = [
            f"\x1b[{row};1H{text}"
            for row, (text, before) in enumerate(zip(texts, self._shown, strict=True), 1)
            if text != before
        ]
        self._shown = texts
        self._writer.text("".join(changed))

    def _rendered(self, line: Line) -> str:
        """Return a line as it is written to the terminal."""
        return text_of(line)

    def _print_last(self) -> None:
        self._writer.lines(self._without_foot(self._last))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.text("\x1b[m\x1b[?25h\x1b[?1049l")
        self._print_last()


class RichScreen(AnsiScreen):
    """A terminal with the colours that rich finds it to have."""

    def __init__(self, *, colour_blind: bool = False) -> None:
        super().__init__(colour_blind=colour_blind)
        self._console = _console()

    def _rendered(self, line: Line) -> str:
        with self._console.capture() as captured:
            self._console.print(_rich_text([line], self.colour_blind), soft_wrap=True, end="")
        text: str = captured.get()
        return text

    def _print_last(self) -> None:
        print_rich(self._without_foot(self._last), colour_blind=self.colour_blind)


class StandardOutput:
    """Standard output, with a question mark for each character that its encoding lacks."""

    def text(self, text: str) -> None:
        """Write text and flush."""
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()

    def lines(self, lines: Sequence[Line]) -> None:
        """Write lines without trailing spaces."""
        self.text("".join(f"{text_of(line).rstrip()}\n" for line in lines))


def print_rich(lines: Sequence[Line], *, colour_blind: bool = False) -> None:
    """Print lines with colours."""
    if lines:
        _console().print(_rich_text(lines, colour_blind), soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def _rich_text(lines: Sequence[Line], colour_blind: bool) -> Text:
    from rich.text import Text

    colours = _COLOUR_BLIND if colour_blind else _COLOURS
    text = Text(no_wrap=True, overflow="crop", end="")
    for place, line in enumerate(lines):
        text.append("\n" if place else "")
        for span in line:
            text.append(span.text, colours[span.style])
    return text
