"""A parser for server-sent events, written from the standard alone, to check the sent bytes independently."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["EventParser", "Received"]


@dataclass
class Received:
    """One event, as a web page receives it."""

    event: str
    data: str
    id: str


@dataclass
class EventParser:
    """Takes bytes in pieces of any size.

    Attributes:
        retry: milliseconds, as the server has last said.
        comments: lines that a page never sees.
    """

    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    _bytes: bytes = b""
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str = ""

    def feed(self, more: bytes) -> list[Received]:
        """Return the events that these bytes complete."""
        self._bytes += more
        events = []
        while (line := self._line()) is not None:
            if line:
                self._field(line)
            else:
                if self._data:
                    events.append(Received(self._event or "message", "\n".join(self._data), self._id))
                self._event, self._data = "", []
        return events

    def _line(self) -> str | None:
        ends = [at for mark in (b"\r", b"\n") if (at := self._bytes.find(mark)) >= 0]
        if not ends:
            return None
        at = min(ends)
        if self._bytes[at : at + 1] == b"\r" and at + 1 == len(self._bytes):
            return None  # what follows may be the other half of this end
        line = self._bytes[:at].decode("utf-8")
        self._bytes = self._bytes[at + 2 if self._bytes[at : at + 2] == b"\r\n" else at + 1 :]
        return line

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
