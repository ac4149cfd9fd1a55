"""Run a command until its end, paint live views, and print messages as lines of JSON."""

from __future__ import annotations

import argparse
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from .. import Message, Subscription
from .feed import CommandStream, Deadline, waiting
from .layout import Line, Picture, Span, crop, ends, line, printable, wrapped
from .numbers import positive_float, positive_int
from .output import Output
from .screens import Screen

__all__ = ["View", "add_ending", "framed", "play", "print_messages", "show", "wait_for"]

_FRAME_LINES = 4  # lines: the title, the foot, and an empty one at each
_MORE_LINES = 10  # lines of a view beside those of its messages
_TICK = 0.1
_NOTE = 8.0
"""Seconds for which a line of standard error is shown below a view."""


class View(ABC):
    """The display of a command, painted a few times a second.

    Attributes:
        title: its headline.
        seen: the number of messages or states so far; while it is 0, only terminals show the view.
        limit: the most messages that it may show, None for any number.
        listed: whether each message has a line of its own.
        keys: what its own keys do, for the foot.
        bindings: what is called for each of them.
    """

    title = ""
    seen = 0
    limit: int | None = None
    listed = False
    keys = ""
    bindings: Mapping[str, Callable[[], object]] = {}

    @property
    def is_full(self) -> bool:
        """Whether it has shown as much as it may."""
        return self.limit is not None and self.seen >= self.limit

    def messages(self, subscription: Subscription) -> Iterator[Message]:
        """Yield the messages that have arrived, as long as the view is not full."""
        for message in waiting(subscription):
            yield message
            if self.is_full:
                return

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
    """Paint a view until it has shown `count` or until the feed's deadline, at most every `pause` seconds."""
    view.limit = count
    with output.screen() as screen:
        play(output, screen, view, feed, deadline=feed.deadline, pause=pause, enough=lambda: view.is_full)


def play(
    output: Output,
    screen: Screen,
    view: View,
    feed: CommandStream,
    *,
    deadline: Deadline,
    pause: float,
    enough: Callable[[], bool],
) -> bool:
    """Paint a view on an open screen until the deadline or until `enough()`, and once more at the end.

    Return whether the user has ended it before. A view that the user has paused goes on to read its messages.
    """
    paint_at = time.monotonic() + (0.0 if screen.live else pause)
    paused: Picture | None = None
    while True:
        view.update()
        wait = deadline.left(_TICK)
        ending = not wait or enough()
        now = time.monotonic()
        if ending or (now >= paint_at and (view.seen or screen.live)):
            width, height = screen.size
            if ending and view.listed and view.limit:
                height = max(height, view.limit + _MORE_LINES)  # for what stays after the end of the view
            picture = framed(view, feed, output, width, height, screen.keys.on)
            screen.paint(picture if paused is None else paused._replace(foot=_foot_of_pause(output, width)))
            paint_at = now + max(pause, screen.pause)
        if ending or enough():
            return False
        for key in screen.keys.wait(wait):
            paint_at = 0.0
            if key == "q":
                return True
            if key == "p":
                paused = None if paused else framed(view, feed, output, *screen.size, True)
            elif key == "c":
                screen.colour_blind = not screen.colour_blind
            elif key in view.bindings:
                view.bindings[key]()


def framed(
    view: View, feed: CommandStream, output: Output, width: int, height: int, with_keys: bool = False
) -> Picture:
    """Return a view with its title, the silent symbols, and the state of the feed or the latest remark."""
    more = output.glyphs.more
    place = line(Span(f"{feed.place}  {datetime.now():%H:%M:%S}", "dim"))
    head = ends(line(Span(printable(view.title), "bold")), place, width, more)
    note = output.aside.recent(_NOTE)
    foot = line(Span(printable(note), "warn")) if note else _foot(view, feed, width, with_keys)
    room = max(1, height - _FRAME_LINES)
    silent = [line(Span(text, "warn")) for text in wrapped(printable(feed.silence.text), width)] if width else []
    below = [(), *silent] if feed.silence.text and len(silent) < room else []
    left = max(1, room - len(below))
    return Picture(head, [*view.draw(width, left)[:left], *below], crop(foot, width, more))


def _foot(view: View, feed: CommandStream, width: int, with_keys: bool) -> Line:
    """Return the state of the feed and the keys, or as much of both as there is room for."""
    summary = feed.summary()
    counted = summary.partition(", ")[0]  # not between thousands
    keys = list(filter(None, ("q ends", "p pauses", view.keys))) if with_keys else ["Ctrl-C ends"]
    hints = [", ".join(keys[:number]) for number in range(len(keys), 0, -1)]
    texts = [f"{state}. {hint}." for state in (summary, counted) for hint in hints]
    return line(Span(next((text for text in texts if len(text) <= width), counted), "dim"))


def _foot_of_pause(output: Output, width: int) -> Line:
    return crop(line(Span("Paused: messages are still read. p goes on, q ends.", "warn")), width, output.glyphs.more)


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
