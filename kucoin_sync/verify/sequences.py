"""The order of the sequences in the messages of one topic.

The updates of a book must follow each other without a hole, and may overlap (KuCoin's documentation, "Level 2 market
data"). Other sequences must not fall.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .. import Message
from ..books.source import BookSource
from ..exceptions import InvalidTopic
from ..topics.grammar import argument_of

__all__ = ["Sequences", "is_book_topic", "sources_of"]

_MAX_TOLD = 5


@cache
def sources_of(symbol: str) -> tuple[BookSource, ...]:
    """Return the sources of a symbol's books, of both feeds and all levels."""
    sources = [BookSource.of(symbol), BookSource.of(symbol, feed="uta")]
    if "-" in symbol:
        sources += [BookSource.of(symbol, 3, generation=generation) for generation in (1, 2)]
    return tuple(sources)


def is_book_topic(topic: str) -> bool:
    """Return whether a topic carries the updates of a book."""
    try:
        return any(topic == source.topic for source in sources_of(argument_of(topic).partition("_")[0]))
    except InvalidTopic:  # what it is about is no symbol
        return False


class Sequences:
    """The sequences of one topic so far.

    Attributes:
        disorder: sentences about what is out of order: the first ones, and the number of the others.
    """

    def __init__(self, topic: str) -> None:
        self._follows = is_book_topic(topic)
        self._last: dict[Any, int] = {}
        self._told: list[str] = []
        self._more = 0

    @property
    def disorder(self) -> list[str]:
        return self._told + ([f"and {self._more} times more"] if self._more else [])

    def add(self, message: Message) -> None:
        """Take a message; one of a new connection begins anew."""
        payload = message.payload
        end = getattr(payload, "sequence_end", None)
        start = getattr(payload, "sequence_start", None)
        if end is None:
            start = end = getattr(payload, "sequence", None)
        if not isinstance(end, int) or not isinstance(start, int):
            return
        start, end = min(start, end), max(start, end)
        about = message.symbol or message.subject
        key = (message.topic, message.epoch, None if self._follows else about)
        last = self._last.get(key)
        snapshot = self._follows and message.type == "snapshot"
        if last is not None and not snapshot:
            self._check(last, start, end)
        self._last[key] = end if last is None or self._follows else max(end, last)

    def _check(self, last: int, start: int, end: int) -> None:
        if self._follows and start > last + 1:
            self._tell(f"a hole: after {last} comes {start}")
        elif self._follows and end <= last:
            self._tell(f"after {last} comes {end} again, or goes back to it")
        elif end < last:
            self._tell(f"after {last} comes {end}")

    def _tell(self, text: str) -> None:
        if len(self._told) < _MAX_TOLD:
            self._told.append(text)
        else:
            self._more += 1
