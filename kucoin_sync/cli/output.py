"""Choose the form of the output. No other module decides this.

- `rich`: a terminal, with the extra `[cli]` installed. Views are painted in place, with colours.
- `plain`: a terminal without that extra or without cursor movement (TERM=dumb), or `--plain`.
- `json`: a file or pipe, or `--json`. Each line is a JSON object, for another program.

Commands read `records` to learn whether they should print JSON. Commands that print a document rather than records
(`topics`, the tour of `demo`, `completions`) print text to files and pipes, too, unless `--json` is given.
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

from .keys import PressedKeys
from .layout import ASCII, UNICODE, Glyphs, Line
from .screens import AnsiScreen, Pages, RichScreen, Screen, StandardOutput, print_rich, size_of

__all__ = ["Aside", "Mode", "Output", "add_options"]

_MAX_KEPT = 1000
_REMEMBERED = 50
_VARIABLE = "KUCOIN_SYNC_COLOUR_BLIND"


class Mode(Enum):
    """The three forms."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that choose a form."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON lines, also in a terminal")
    form.add_argument("--plain", action="store_true", help="print text without colours, also to files and pipes")
    parser.add_argument(
        "--colour-blind",
        action="store_true",
        help=f"blue and orange instead of green and red; also where {_VARIABLE} is set",
    )


class Output:
    """Standard output in one of the three forms, and standard error.

    Args:
        json, plain: the options of the command line.
        document: whether the command prints a text rather than records.
        colour_blind: whether to use colours that the colour-blind can tell apart.

    Attributes:
        terminal: whether standard output is a terminal, so that lines must fit its width.
    """

    def __init__(
        self, *, json: bool = False, plain: bool = False, document: bool = False, colour_blind: bool = False
    ) -> None:
        self.aside = Aside()
        self._colour_blind = colour_blind or bool(os.environ.get(_VARIABLE))
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
        """Whether the command should print lines of JSON."""
        return self.mode is Mode.JSON

    @property
    def width(self) -> int:
        """The maximum width of a line."""
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
        """Print an object, or bytes that are JSON already, as one line of JSON."""
        if isinstance(record, bytes):
            # JSON allows line breaks only between tokens, where a space means the same.
            text = record.decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")
        else:
            text = msgspec.json.encode(record).decode()
        print(
            text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8"), flush=flush
        )

    def print(self, lines: Sequence[Line]) -> None:
        """Print lines of text."""
        if self.mode is Mode.RICH:
            print_rich(lines, colour_blind=self._colour_blind)
        else:
            StandardOutput().lines(lines)

    @contextlib.contextmanager
    def screen(self) -> Iterator[Screen]:
        """Yield a screen for a live view; if standard error is a terminal, its lines are kept until the view ends."""
        screen: Screen
        if self.mode is Mode.RICH:
            screen = RichScreen(colour_blind=self._colour_blind)
        elif self._moves:
            screen = AnsiScreen()
        else:
            screen = Pages()
        held = self.aside.hold() if self._moves else contextlib.nullcontext()
        with held, screen, PressedKeys(wanted=screen.live) as screen.keys:
            yield screen


class Aside:
    """Standard error. It keeps its lines while a view is on the terminal, and prints them afterwards.

    This is a file object for `logging`. Any thread may write; the lock guards the kept lines.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[str] | None = None
        self._said: deque[tuple[str, float]] = deque([("", 0.0)], maxlen=_REMEMBERED)

    def say(self, text: str) -> None:
        """Print a line."""
        with self._lock:
            self._said.append((text, time.monotonic()))
        self.write(f"{text}\n")

    def recent(self, seconds: float) -> str:
        """Return the last line, or "" if it is older than `seconds`."""
        with self._lock:
            text, at = self._said[-1]
        return text if time.monotonic() - at <= seconds else ""

    def has_said(self, text: str) -> bool:
        """Return whether one of the latest lines has this text."""
        with self._lock:
            return any(text in said for said, _ in self._said)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the latest lines until the end of the block, if standard error is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        with self._lock:
            self._kept = deque(maxlen=_MAX_KEPT)
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
        """Do nothing: `write` does not buffer."""
