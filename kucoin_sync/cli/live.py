"""Run a command until its end, paint live views, and print messages as lines of JSON."""

from __future__ import annotations

import argparse
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime

from .. import Subscription
from .feed import CommandStream, Deadline
from .layout import Line, Picture, Span, crop, ends, line, printable, wrapped
from .numbers import positive_float, positive_int
from .output import Output
from .screens import Screen

__all__ = ["View", "add_ending", "framed", "play", "print_messages", "show", "wait_for"]

_FRAME_LINES = 4  # lines: the title, the foot, and an empty one at each
_TICK = 0.1
_NOTE = 8.0
"""Seconds for which a line of standard error is shown below a view."""


class View(ABC):
    """The display of a command, painted a few times a second.

    Attributes:
        title: its headline.
        seen: the number of messages or states so far; while it is 0, only terminals show the view.
    """

    title = ""
    seen = 0

    @abstractmethod
    def update(self) -> None:
        """Read the messages or states since the last call, without waiting."""

    @abstractmethod
    def draw(self, width: int, height: int) -> list[Line]:
        """Return at most `height` lines of at most `width`."""


def add_ending(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the options that end a command by itself."""
    parser.add_argument("--count", type=positive_int, metavar="N", help=f"end after N {what}")
    parser.add_argument("--seconds", type=positive_float, metavar="S", help="end after S seconds")


def wait_for(seconds: float) -> None:
    """Wait for some seconds; Ctrl-C interrupts it."""
    time.sleep(seconds)  # not Event.wait: a signal can make it raise an error of its own


def show(output: Output, view: View, feed: CommandStream, *, count: int | None = None, pause: float = 0.0) -> None:
    """Paint a view until it has seen `count` or until the feed's deadline, at most every `pause` seconds."""
    with output.screen() as screen:
        play(
            output, screen, view, feed,
            deadline=feed.deadline, pause=pause, enough=lambda: count is not None and view.seen >= count,
        )  # fmt: skip


def play(
    output: Output,
    screen: Screen,
    view: View,
    feed: CommandStream,
    *,
    deadline: Deadline,
    pause: float,
    enough: Callable[[], bool],
) -> None:
    """Paint a view on an open screen until the deadline or until `enough()`, and once more at the end."""
    paint_at = time.monotonic() + (0.0 if screen.live else pause)
    while True:
        view.update()
        wait = deadline.left(_TICK)
        ending = not wait or enough()
        now = time.monotonic()
        if ending or (now >= paint_at and (view.seen or screen.live)):
            screen.paint(framed(view, feed, output, *screen.size))
            paint_at = now + max(pause, screen.pause)
        if ending:
            return
        wait_for(wait)


def framed(view: View, feed: CommandStream, output: Output, width: int, height: int) -> Picture:
    """Return a view with its title, the silent symbols, and the state of the feed or the latest remark."""
    more = output.glyphs.more
    place = line(Span(f"{feed.place}  {datetime.now():%H:%M:%S}", "dim"))
    head = ends(line(Span(printable(view.title), "bold")), place, width, more)
    note = output.aside.recent(_NOTE)
    foot = line(Span(printable(note), "warn")) if note else line(Span(f"{feed.summary()}. Ctrl-C ends.", "dim"))
    room = max(1, height - _FRAME_LINES)
    silent = [line(Span(text, "warn")) for text in wrapped(printable(feed.silence.text), width)] if width else []
    below = [(), *silent] if feed.silence.text and len(silent) < room else []
    left = max(1, room - len(below))
    return Picture(head, [*view.draw(width, left)[:left], *below], crop(foot, width, more))


def print_messages(output: Output, subscription: Subscription, deadline: Deadline, *, count: int | None = None) -> None:
    """Print messages as KuCoin sent them, one on a line."""
    printed = 0
    while printed != count and (left := deadline.left(threading.TIMEOUT_MAX)):
        try:
            message = subscription.get(timeout=left)
        except TimeoutError:
            return
        output.record(message.raw, flush=not subscription.pending)
        printed += 1
