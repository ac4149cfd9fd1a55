"""Compare a book with what KuCoin says of it later.

A book of the classic feed is made twice from the same updates: from a snapshot of the beginning, and from one of the
end. Both must then be equal. A book of the UTA feed has no REST snapshot without a key, so it is compared with the
pushes of its best 50 levels, wherever these have the sequence of the book.

Updates are missing where the epoch of the messages rises. What was kept of a book until then proves nothing later.
"""

from __future__ import annotations

from typing import Any

from .. import Message
from ..books.base import Book, Levels
from ..books.calibration import Calibration
from ..books.codec import read_snapshot
from ..books.pushed import PushedCalibration
from ..books.source import BookSource
from ..payloads import UtaBook
from .seen import BookSeen

__all__ = ["BookLog"]

_MAX_TOLD = 3
_DEPTH = "50"
_CUT = "the connection was lost"


class BookLog:
    """The updates and the snapshots of one book, in the order in which they came."""

    def __init__(self, source: BookSource) -> None:
        self.source = source
        self._epoch = 0  # of the latest update
        self._end = 0  # the last sequence of the updates
        self._updates: list[Message] = []
        self._snapshots: list[Any] = []
        self._latest = 0  # the sequence of the latest snapshot
        self._problem = self._unreadable = ""
        self._tops: dict[int, UtaBook] = {}
        self._top_topic = f"{source.topic.rpartition('_')[0]}_{_DEPTH}" if source.feed.pushed else ""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics whose messages it needs."""
        return (self.source.topic, self._top_topic) if self._top_topic else (self.source.topic,)

    def add(self, message: Message) -> None:
        """Take a message of one of its topics."""
        payload = message.payload
        if message.topic == self._top_topic:
            if isinstance(payload, UtaBook) and payload.sequence_end is not None:
                self._tops[payload.sequence_end] = payload
            return
        if message.epoch > self._epoch > 0 and not self.source.feed.pushed:
            # Updates are missing, so the earlier ones and their snapshots lead nowhere.
            self._updates, self._snapshots = [], []
            self._problem = _CUT
        self._epoch = max(message.epoch, self._epoch)
        self._updates.append(message)
        self._end = max(self._end, _end_of(message))

    def add_snapshot(self, data: Any) -> None:
        """Take the data of a REST snapshot."""
        try:
            self._latest = read_snapshot(data)[0]
        except ValueError as error:
            self._unreadable = f"a snapshot can't be read: {error}"
        else:
            self._snapshots.append(data)

    def add_problem(self, text: str) -> None:
        """Note why there is no snapshot."""
        self._problem = text

    @property
    def caught_up(self) -> bool:
        """Whether the updates have come up to the latest snapshot, or none came at all."""
        return not self._updates or self._end >= self._latest

    def seen(self) -> BookSeen:
        """Make the book, compare it, and return what was seen."""
        return self._compare_pushed() if self.source.feed.pushed else self._compare_fetched()

    def _compare_fetched(self) -> BookSeen:
        topic = self.source.topic
        if self._unreadable:
            return BookSeen(topic, differing=[self._unreadable])
        if len(self._snapshots) < 2:
            return BookSeen(topic, problem=f"not compared: {self._problem or 'there were no two snapshots'}")
        made: list[Calibration[Any, Any]] = []
        updates = self._updates_to(self._latest)
        for data in (self._snapshots[0], self._snapshots[-1]):
            calibration: Calibration[Any, Any] = Calibration(self.source.feed, limit=len(updates) + 1)
            for message in updates:
                calibration.push(self.source.feed.data_of(message), message.subject)
            calibration.snapshot(data, depth=self.source.depth)
            if not calibration.live:
                text = f"the book can't be kept up to the later snapshot: {calibration.reason}"
                return BookSeen(topic, 1, differing=[text])
            made.append(calibration)
        first, last = made
        if first.sequence != last.sequence:
            return BookSeen(topic, problem=f"not compared: no update came up to {last.sequence}, that of the snapshot")
        return BookSeen(topic, 1, differing=_differences(first.book, last.book, first.sequence))

    def _updates_to(self, sequence: int) -> list[Message]:
        """Return the updates up to the first one that reaches a sequence; what comes later proves nothing."""
        place = next((place for place, each in enumerate(self._updates, 1) if _end_of(each) >= sequence), None)
        return self._updates[:place]

    def _compare_pushed(self) -> BookSeen:
        topic = self.source.topic
        calibration: PushedCalibration[Any, Any] = PushedCalibration(self.source.feed)
        differing: list[str] = []
        compared = 0
        was_live = snapshot = False
        epoch = 0
        for message in self._updates:
            if message.epoch > epoch > 0:
                calibration.invalidate(_CUT)
                was_live = False
            epoch = max(message.epoch, epoch)
            calibration.push(self.source.feed.data_of(message), message.subject)
            snapshot |= message.type == "snapshot"
            if not calibration.live:
                if was_live and len(differing) < _MAX_TOLD:
                    differing.append(f"the book can't be kept: {calibration.reason}")
                was_live = False
                continue
            was_live = True
            top = self._tops.get(calibration.sequence)
            if top is None:
                continue
            compared += 1
            if len(differing) < _MAX_TOLD:
                differing += _differences(calibration.book, top, calibration.sequence)
        problem = ""
        if not compared:
            problem = f"not compared: {calibration.reason or 'the best 50 levels never came at a sequence of the book'}"
        return BookSeen(topic, compared, problem, differing[:_MAX_TOLD], not snapshot)


def _end_of(message: Message) -> int:
    """Return the last sequence of an update, 0 if it can't be read."""
    payload = message.payload
    end = getattr(payload, "sequence_end", None) or getattr(payload, "sequence", None)
    return end if isinstance(end, int) else 0


def _differences(book: Book[Any], other: Book[Any] | UtaBook, sequence: int) -> list[str]:
    """Return how the best levels of a book differ from those of another, as deep as both are known."""
    found: list[str] = []
    for side in ("bids", "asks"):
        ours: Levels = getattr(book, side)()
        if isinstance(other, UtaBook):
            theirs = list(getattr(other, side))
            depth = min(ours.reliable_count, len(theirs))
        else:
            theirs = getattr(other, side)()
            depth = min(ours.reliable_count, theirs.reliable_count)
        for one, another in zip(ours[:depth], theirs[:depth], strict=True):
            if one != another:
                found.append(
                    f"at {sequence} the {side} have {one.size} at {one.price} where KuCoin has {another.size} at "
                    f"{another.price}"
                )
                break
    return found
