"""A view of the newest messages of any topics, one on a line."""

from __future__ import annotations

import time
from collections import deque

import msgspec

from .. import Message, Subscription
from .changes import FRESH
from .figures import clock
from .layout import Glyphs, Line, Span, crop, line, printable
from .live import View

__all__ = ["Tail", "line_of"]

_KEPT = 200


class Tail(View):
    """The newest messages, the newest one last. A single topic is named in the title only."""

    listed = True

    def __init__(self, subscription: Subscription, glyphs: Glyphs) -> None:
        self._subscription = subscription
        self._several = len(subscription.topics) > 1
        self.title = "Messages" if self._several else f"Messages of {subscription.topics[0]}"
        self._kept: deque[Message] = deque()
        self._glyphs = glyphs

    def update(self) -> None:
        for message in self.messages(self._subscription):
            self.seen += 1
            self._kept.append(message)
        while len(self._kept) > max(_KEPT, self.limit or 0):
            self._kept.popleft()

    def draw(self, width: int, height: int) -> list[Line]:
        shown, now = list(self._kept)[-height:], time.time_ns()
        return [
            crop(
                line_of(message, named=self._several, is_new=now - message.received_ns <= FRESH * 1e9),
                width,
                self._glyphs.more,
            )
            for message in shown
        ]


def line_of(message: Message, *, named: bool = True, is_new: bool = False) -> Line:
    """Return a message as a line: time of arrival, topic (if `named`), subject, data. The time of a new one is bold."""
    data = msgspec.json.encode(message.data).decode()
    return line(
        Span(f"{clock(message.received_ns)}  ", "bold" if is_new else "dim"),
        Span(f"{printable(message.topic or '')}  " if named else ""),
        Span(f"{printable(message.subject or '')}  ", "dim"),
        Span(printable(data)),
    )
