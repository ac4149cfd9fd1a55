"""Where the output goes and in which of three forms: decided here, and nowhere else.

- `rich`: a terminal, with the extra `[cli]` installed. Views are painted in place, with colours.
- `plain`: a terminal without it, one that can't move its cursor (TERM=dumb), or `--plain`.
- `json`: everything that is no terminal, or `--json`: one JSON object on a line, for the next program.

Commands ask for `records` to know whether JSON is wanted, and say what to show. What is no stream of records but a
document (`topics`, the tour of `demo`, `completions`) is text wherever it goes, unless `--json` asks for records.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from .layout import ASCII, UNICODE, Glyphs, Line
from .screens import AnsiScreen, Pages, RichScreen, Screen, Writer, print_rich, size_of

__all__ = ["Aside", "Mode", "Output", "add_options"]

_HELD = 1000


class Mode(Enum):
    """The three forms."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that choose a form."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON lines, in a terminal, too")
    form.add_argument("--plain", action="store_true", help="text without colours, elsewhere than in a terminal, too")


class Output:
    """Standard output in one of the three forms, and standard error beside it.

    Args:
        json, plain: what the command line asks for.
        document: whether the command prints a text rather than records.

    Attributes:
        terminal: whether it is one, whose width lines have to keep to.
    """

    def __init__(self, *, json: bool = False, plain: bool = False, document: bool = False) -> None:
        self.aside = Aside()
        self.terminal = sys.stdout.isatty()
        self._moves = self.terminal and os.name == "posix" and os.environ.get("TERM", "dumb") not in ("dumb", "")
        if json or (not self.terminal and not plain and not document):
            self.mode = Mode.JSON
        elif not plain and self._moves and importlib.util.find_spec("rich") is not None:
            self.mode = Mode.RICH
        else:
            self.mode = Mode.PLAIN

    @property
    def records(self) -> bool:
        """Whether JSON lines are wanted."""
        return self.mode is Mode.JSON

    @property
    def width(self) -> int:
        """The columns that a line may have."""
        return size_of(sys.stdout).columns

    @property
    def glyphs(self) -> Glyphs:
        """The characters that the output can show."""
        try:
            "".join(UNICODE).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return ASCII
        return UNICODE

    def record(self, record: Mapping[str, Any] | bytes, *, flush: bool = True) -> None:
        """Print one line of JSON: an object, or one that is JSON already."""
        if isinstance(record, bytes):
            # A line break can only stand between the tokens of JSON, where a space means the same.
            text = record.decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")
        else:
            text = msgspec.json.encode(record).decode()
        print(
            text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8"), flush=flush
        )

    def print(self, lines: Sequence[Line]) -> None:
        """Print lines of text."""
        if self.mode is Mode.RICH:
            print_rich(lines)
        else:
            Writer().lines(lines)

    @contextlib.contextmanager
    def screen(self) -> Iterator[Screen]:
        """Yield what a live view is painted on; standard error waits meanwhile where it is the same terminal."""
        screen: Screen
        if self.mode is Mode.RICH:
            screen = RichScreen()
        elif self._moves:
            screen = AnsiScreen()
        else:
            screen = Pages()
        held = self.aside.hold() if self._moves else contextlib.nullcontext()
        with held, screen:
            yield screen


class Aside:
    """Standard error. While a view has the terminal it keeps what is said, and says it afterwards.

    A file, as `logging` wants one. Its lock guards what is kept; any thread may write.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[str] | None = None
        self._said = ("", 0.0)

    def say(self, text: str) -> None:
        """Print a line."""
        with self._lock:
            self._said = (text, time.monotonic())
        self.write(f"{text}\n")

    def recent(self, seconds: float) -> str:
        """Return what was said last, "" where that is longer ago than `seconds`."""
        with self._lock:
            text, at = self._said
        return text if time.monotonic() - at <= seconds else ""

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep what is said until the end, where standard error is a terminal; only the last of very much."""
        if not sys.stderr.isatty():
            yield
            return
        with self._lock:
            self._kept = deque(maxlen=_HELD)
        try:
            yield
        finally:
            with self._lock:
                kept, self._kept = self._kept, None
            sys.stderr.write("".join(kept or ()))
            sys.stderr.flush()

    def write(self, text: str) -> int:
        """Write text, now or later."""
        with self._lock:
            if self._kept is not None:
                self._kept.append(text)
                return len(text)
        sys.stderr.write(text)
        sys.stderr.flush()
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing stays behind."""
