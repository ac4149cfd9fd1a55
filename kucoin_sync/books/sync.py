"""From updates and snapshots to a book that equals the exchange's at its sequence, or that says that it does not.

`Calibration` is one book's conversation with a feed and a REST endpoint, without either: it is told what came and says
what it needs.

    calibration = Calibration(LEVEL2)
    applied = calibration.push(message.wire_data, message.subject)
    if calibration.needs_snapshot:
        applied = calibration.snapshot(answer, depth=100)
    print(calibration.book.best_bid)                            # or BookNotReady

Rules, from KuCoin's documentation ("Level 2 market data", "Full matching engine data"):

States. `buffering` --a snapshot that fits--> `live` --a gap, or `lost`--> `gap` --a snapshot that fits--> `live`. In
`buffering` and `gap` updates are kept and a snapshot is needed; only in `live` can the book be read.

1. Updates that are kept follow on each other. One that leaves a hole behind the others makes them worthless: they go.
   So do the oldest beyond a limit.
2. A snapshot fits if no update is missing between it and the first that is kept: its sequence is at least that one's
   first less 1. Otherwise it is too old, and another is needed. The updates that are kept are then applied to it.
3. An update is applied if it starts at or before the sequence after the book's, and ends behind the book's. It may
   overlap with what is known: its rows up to the book's sequence are passed over. One that ends earlier is a
   duplicate. One that starts later tells of a gap: it is the first to be kept, and a snapshot is needed.
4. First and last sequence may be swapped in an update, as in KuCoin's worked example.
5. An update that can't be read, or that contradicts the book, counts as missing.
6. A book that began with a part of the levels is at its end when all levels of that part are gone.

Never back in time. The exchange may begin to number a book anew, and a snapshot may be one of long ago, out of a cache.

7. An update that ends at or before the book's sequence changes nothing. It is a duplicate if it equals one that is
   remembered. It was under way when the snapshot was made if nothing was applied to that yet. It may be late by a few.
   Any other one says that the updates have gone back: the book starts again, and this update is the first to be kept.
   The same holds for one that ends at or before what is kept.
8. A snapshot of less than the book had is too old. So is one that is far ahead of the updates that are kept: its
   numbers are not theirs. Another is needed.
   A first snapshot of another numbering that is ahead by no more than `_REACH` can't be told from a good one: the
   updates up to it may all be under way, and rule 7 takes them for that. Nor can one that comes before any update,
   until the first one comes: a quiet market may send none for hours, and its book has to be readable.
9. The book follows the updates back if a snapshot confirms that. While those that are kept are behind earlier ones, a
   snapshot fits only if it is among them, or just ahead of them and newer than one that was refused for that.

Never reads a clock, opens nothing, waits for nothing. Not thread-safe: its owner's lock covers it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from ..exceptions import BookNotReady
from .l2 import Level2Book
from .l3 import Level3Book
from .reading import Book
from .wire import (
    Data,
    Rows,
    WireFuturesLevel2Update,
    WireLevel2Update,
    WireLevel3Event,
    read_futures_level2,
    read_futures_level2_frame,
    read_level2,
    read_level2_frame,
    read_level3,
    read_level3_frame,
    read_snapshot,
)

__all__ = ["FUTURES_LEVEL2", "LEVEL2", "LEVEL3", "Calibration", "Feed", "Update"]


class Update(Protocol):
    """What an update of any feed tells."""

    @property
    def sequence_start(self) -> int:
        """The first sequence that it covers."""

    @property
    def sequence_end(self) -> int:
        """The last sequence that it covers."""


_NEVER = float("-inf")
_REMEMBERED = 256  # updates by which a duplicate is known
_REACH = 10_000  # sequences by which a snapshot can be ahead of the updates: as many as may wait for the book
_NEAR, _FEW = 200, 3  # sequences by which an update can be late, and how many such updates in a row

B = TypeVar("B", bound=Book[Any])
U = TypeVar("U", bound=Update)


class Feed(msgspec.Struct, Generic[B, U], frozen=True):
    """How a feed's updates are read and applied.

    Attributes:
        new: makes an empty book.
        wire: the struct of its updates.
        read: makes that of a push's data and subject; ValueError where it can't.
        read_frame: makes that of a push's whole text and subject, where it has the usual form; see `wire`.
        apply: applies an update to a book, but for what it tells of sequences up to a given one.
        load: fills a book from a snapshot's bids and asks, which may be the best so many levels only.
    """

    new: Callable[[], B]
    wire: type[U]
    read: Callable[[Data, str | None], U]
    read_frame: Callable[[bytes, str | None], U]
    apply: Callable[[B, U, int], None]
    load: Callable[[B, Rows, Rows, int | None], None]


def _apply_futures_level2(book: Level2Book, update: WireFuturesLevel2Update, _: int) -> None:
    price, side, size = update.change.split(",")
    book.set(side, price, size)  # type: ignore[arg-type]


def _apply_level3(book: Level3Book, event: WireLevel3Event, _: int) -> None:
    book.apply(event)


def _load_level3(book: Level3Book, bids: Rows, asks: Rows, _: int | None) -> None:
    book.load(bids, asks)


#: `/market/level2`
LEVEL2 = Feed(
    Level2Book,
    WireLevel2Update,
    lambda data, _: read_level2(data),
    read_level2_frame,
    Level2Book.apply,
    Level2Book.load,
)
#: `/contractMarket/level2`
FUTURES_LEVEL2 = Feed(
    Level2Book,
    WireFuturesLevel2Update,
    lambda data, _: read_futures_level2(data),
    read_futures_level2_frame,
    _apply_futures_level2,
    Level2Book.load,
)
#: `/market/level3` and `/spotMarket/level3`
LEVEL3 = Feed(Level3Book, WireLevel3Event, read_level3, read_level3_frame, _apply_level3, _load_level3)


class Calibration(Generic[B, U]):
    """Keeps one book equal to the exchange's.

    Args:
        feed: `LEVEL2`, `FUTURES_LEVEL2` or `LEVEL3`.
        limit: how many updates are kept while a snapshot is awaited; beyond, the oldest go.

    Attributes:
        state: "buffering", "live" or "gap"; see the module.
        reason: a sentence that says why the book can't be read, "" while it can.
        began: the sequence of the snapshot that the book began with.
        sequence: the last one that the book tells of; where it was left while the book is not live.
        had: what a snapshot must not be older than, while the book is not live: the sequence that it was at.
        resyncs: how often the book was live and had to start again.
        attempt: rises with each `lost`; handed to `snapshot`, it keeps an answer out that was asked for before.
    """

    def __init__(self, feed: Feed[B, U], *, limit: int = 10_000) -> None:
        self.state: Literal["buffering", "live", "gap"] = "buffering"
        self.reason = "the first snapshot has not come yet"
        self.began = 0
        self.sequence = 0
        self.had = 0
        self.resyncs = 0
        self.attempt = 1
        self._next: float = _NEVER  # the sequence that an update has to cover while the book is live
        self._feed = feed
        self._wire = feed.wire
        self._apply = feed.apply
        self._limit = limit
        self._book = feed.new()
        self._partial = False
        self._kept: deque[U] = deque()
        self._kept_to = 0  # the last sequence of what is kept
        self._came = 0  # what the updates had come to, as of when the state last changed
        self._refused = 0  # the last snapshot that was ahead of updates that have gone back
        self._late_at, self._late = 0, 0  # how many updates were late in a row, and behind which sequence
        self._known: deque[U] = deque(maxlen=_REMEMBERED)  # the newest that the book has, in order
        self._remember = self._known.append

    def __repr__(self) -> str:
        return f"<Calibration {self.state} at {self.sequence}: {len(self._kept)} kept, {self.reason or self._book}>"

    @property
    def live(self) -> bool:
        """Whether the book equals the exchange's at `sequence`."""
        return self.state == "live"

    @property
    def needs_snapshot(self) -> bool:
        """Whether a snapshot has to be fetched."""
        return self.state != "live"

    @property
    def book(self) -> B:
        """The book, to read; BookNotReady says why where it can't be."""
        if self.state != "live":
            raise BookNotReady(f"the book can't be read until a new snapshot has come, because {self.reason}")
        return self._book

    def push(self, data: Data | U, subject: str | None = None) -> Sequence[U]:
        """Take an update; return what was applied to the book: this update, or nothing.

        `data` is a push's `data` as JSON text or as it decodes, or what the feed's `read` made of it; `subject` is the
        push's (level 3 needs it). Never raises for what came over the wire.
        """
        update: U
        if isinstance(data, self._wire):
            update = data
        else:
            try:
                update = self._feed.read(data, subject)  # type: ignore[arg-type]  # mypy takes it for an update still
            except ValueError as error:
                self._start_again(f"an update could not be read: {error}")
                return ()
        start, end = update.sequence_start, update.sequence_end
        if not start <= self._next <= end:
            if start > end:
                start, end = end, start
            if self.state != "live":
                self._keep(update, start, end)
                return ()
            if end <= self.sequence:
                if self._went_back(update, start, end, self.sequence):
                    self._start_again(self._back(end))
                    self.had = self._came  # if nothing was applied to the snapshot, it was none of theirs
                    self._keep(update, start, end)
                return ()
            if start > self._next:
                self._start_again(f"what has the sequences {self._next} to {start - 1} is missing")
                self._keep(update, start, end)
                return ()
        try:
            self._apply(self._book, update, self.sequence)
        except ValueError as error:
            self._start_again(f"an update makes no sense: {error}")
            return ()
        self.sequence = end
        self._next = end + 1
        if self._partial and self._book.used_up:
            self._start_again("all levels of the partial snapshot are gone, and what was behind them is not known")
            self._keep(update, start, end)
            return ()
        self._remember(update)
        return (update,)

    def snapshot(self, data: Data, *, depth: int | None = None, attempt: int | None = None) -> Sequence[U]:
        """Take a REST snapshot; return the updates that were kept and are now applied to it.

        Whether it was of use, `needs_snapshot` tells, and `reason` why not. `data` is the answer's `data`; `depth` how
        many levels of each side were asked for, None for all; `attempt` the value of that attribute when they were. A
        live book takes no snapshot. Never raises for what came over the wire.
        """
        if self.state == "live" or attempt not in (None, self.attempt):
            return ()
        try:
            sequence, bids, asks = read_snapshot(data)
            if misfit := self._misfit(sequence):
                self.reason = misfit
                return ()
            self._feed.load(self._book, bids, asks, depth)
        except ValueError as error:
            self.reason = f"the snapshot makes no sense: {error}"
            return ()
        if sequence < self.had:
            self._known.clear()  # the numbers may mean something else now
        self._came = self._kept_to or self._came
        self._refused = 0
        kept, self._kept = self._kept, deque()
        self._kept_to = 0
        self.state, self.reason, self.sequence, self._next = "live", "", sequence, sequence + 1
        self.began = sequence
        self._partial = self._book.partial
        applied: list[U] = []
        for update in kept:
            if _last(update) > sequence:
                applied += self.push(update)
            else:
                self._learn(update)
        return applied if self.state == "live" else ()

    def lost(self, reason: str = "the connection was lost") -> None:
        """Start again: updates are missing, or those to come are of another connection."""
        self.attempt += 1
        self._start_again(reason)

    def forget(self) -> None:
        """Take what comes next at its word, though it may be older than what the book had."""
        self.had = self._came = 0
        self._known.clear()

    def afresh(self, reason: str) -> Calibration[B, U]:
        """Return one that takes over with an empty book; this one may have been left half-way through a change."""
        fresh = Calibration(self._feed, limit=self._limit)
        if self.state != "buffering":
            fresh.state = "gap"
        fresh.resyncs = self.resyncs + (self.state == "live")
        fresh.reason, fresh.began, fresh.sequence, fresh.attempt = reason, self.began, self.sequence, self.attempt + 1
        self._note()
        fresh.had, fresh._came = self.had, self._came
        return fresh

    def _start_again(self, reason: str) -> None:
        if self.state == "live":
            self._note()
            self.state = "gap"
            self.resyncs += 1
        self.reason = reason
        self._next = _NEVER
        self._kept.clear()
        self._kept_to = 0

    def _note(self) -> None:
        """Note what a live book is at."""
        if self.state == "live":
            self.had = self.sequence
            if self.sequence > self.began:
                self._came = self.sequence

    def _keep(self, update: U, start: int, end: int) -> None:
        if end <= self.had and _of(self._known, end) == update:
            return  # a duplicate from before
        if end <= self._kept_to:
            if not self._went_back(update, start, end, self._kept_to):
                return
            self.reason = self._back(end)
            self._came = max(self._came, self._kept_to)
            self._kept.clear()
        elif start > self._kept_to + 1:
            self._kept.clear()
        self._kept.append(update)
        self._kept_to = end
        if len(self._kept) > self._limit:
            self._kept.popleft()
            self.reason = (
                f"more than {self._limit} updates came before a snapshot that fits, and the oldest were dropped"
            )

    def _learn(self, update: U) -> None:
        """Remember an update that the snapshot has in it."""
        if not self._known or _last(update) > _last(self._known[-1]):
            self._remember(update)

    def _went_back(self, update: U, start: int, end: int, known: int) -> bool:
        """Whether an update says that the exchange's numbers went back: it ends at or before `known`; see rule 7."""
        if not end:
            return False  # it has no sequence of its own
        for updates in (self._known, self._kept):
            same = _of(updates, end)
            if same == update:
                return False
            if same is not None and _span(same) == (start, end):
                return True
        if self.state == "live" and self.sequence == self.began and max(self._came, self.began - _REACH) < end:
            self._learn(update)
            return False
        if self._late_at != known:
            self._late_at, self._late = known, 0
        self._late += 1
        return known - end > _NEAR or self._late > _FEW

    def _back(self, end: int) -> str:
        """Let go of what the numbers meant until now, since the updates went back; return this as a reason."""
        self._known.clear()
        return (
            f"the exchange's updates went back to {end}, from {max(self.sequence, self._kept_to)}; either it began to "
            "number them anew, or the snapshot was of another numbering"
        )

    def _misfit(self, sequence: int) -> str:
        """Return why a snapshot does not fit what is kept and what the book had, "" where it does."""
        last = self._kept_to
        if self._kept:
            first = _span(self._kept[0])[0]
            if sequence < first - 1:
                return f"the snapshot is of {sequence}, too old for the updates from {first} on"
            if sequence <= last:
                return ""
            if sequence > last + _REACH:
                return f"the snapshot is of {sequence}, and the updates are at {last}: its numbers are not theirs"
            if last <= self._came:
                before, self._refused = self._refused, sequence
                if 0 < before < sequence <= last + _NEAR:
                    return ""
                return f"the updates went back to {last}, and the snapshot of {sequence} may be from before"
        if sequence < self.had:
            return f"the snapshot is of {sequence}, older than the book, which was at {self.had}"
        return ""


def _span(update: Update) -> tuple[int, int]:
    """Return the first and the last sequence of an update, which may be swapped in it."""
    start, end = update.sequence_start, update.sequence_end
    return (start, end) if start <= end else (end, start)


def _last(update: Update) -> int:
    return max(update.sequence_start, update.sequence_end)


def _of(updates: deque[U], end: int) -> U | None:
    """Return the one of these updates, which are in order, that ends with a sequence; None where none does."""
    place = bisect_left(updates, end, key=_last)
    return updates[place] if place < len(updates) and _last(updates[place]) == end else None
