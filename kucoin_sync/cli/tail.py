"""The newest messages of any topics, below each other."""

from __future__ import annotations

from collections import deque

import msgspec

from .. import Message, Subscription
from .feed import waiting
from .figures import clock
from .layout import Glyphs, Line, Span, crop, line, printable
from .live import View

__all__ = ["Tail", "told"]

_KEPT = 200


class Tail(View):
    """The newest messages, the newest one last."""

    title = "Messages"

    def __init__(self, subscription: Subscription, glyphs: Glyphs) -> None:
        self._subscription = subscription
        self._kept: deque[Message] = deque(maxlen=_KEPT)
        self._glyphs = glyphs

    def update(self) -> None:
        for message in waiting(self._subscription):
            self.seen += 1
            self._kept.append(message)

    def draw(self, width: int, height: int) -> list[Line]:
        return [crop(told(message), width, self._glyphs.more) for message in list(self._kept)[-height:]]


def told(message: Message) -> Line:
    """Return a message as a line: when it came, topic, subject, data."""
    data = msgspec.json.encode(message.data).decode()
    return line(
        Span(f"{clock(message.received_ns)}  ", "dim"),
        Span(printable(message.topic or "")),
        Span(f"  {printable(message.subject or '')}  ", "dim"),
        Span(printable(data)),
    )
