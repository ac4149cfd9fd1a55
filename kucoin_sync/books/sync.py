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

Never reads a clock, opens nothing, waits for nothing. Not thread-safe: its owner's lock covers it.
"""

from __future__ import annotations

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
        resyncs: how often the book was live and had to start again.
        attempt: rises with each `lost`; handed to `snapshot`, it keeps an answer out that was asked for before.
    """

    def __init__(self, feed: Feed[B, U], *, limit: int = 10_000) -> None:
        self.state: Literal["buffering", "live", "gap"] = "buffering"
        self.reason = "the first snapshot has not come yet"
        self.began = 0
        self.sequence = 0
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
            if self._kept:
                first = min(self._kept[0].sequence_start, self._kept[0].sequence_end)
                if sequence < first - 1:
                    self.reason = f"the snapshot is of {sequence}, too old for the updates from {first} on"
                    return ()
            self._feed.load(self._book, bids, asks, depth)
        except ValueError as error:
            self.reason = f"the snapshot makes no sense: {error}"
            return ()
        kept, self._kept = self._kept, deque()
        self.state, self.reason, self.sequence, self._next = "live", "", sequence, sequence + 1
        self.began = sequence
        self._partial = self._book.partial
        applied = [each for update in kept for each in self.push(update)]
        return applied if self.state == "live" else ()

    def lost(self, reason: str = "the connection was lost") -> None:
        """Start again: updates are missing, or those to come are of another connection."""
        self.attempt += 1
        self._start_again(reason)

    def afresh(self, reason: str) -> Calibration[B, U]:
        """Return one that takes over with an empty book; this one may have been left half-way through a change."""
        fresh = Calibration(self._feed, limit=self._limit)
        if self.state != "buffering":
            fresh.state = "gap"
        fresh.resyncs = self.resyncs + (self.state == "live")
        fresh.reason, fresh.began, fresh.sequence, fresh.attempt = reason, self.began, self.sequence, self.attempt + 1
        return fresh

    def _start_again(self, reason: str) -> None:
        if self.state == "live":
            self.state = "gap"
            self.resyncs += 1
        self.reason = reason
        self._next = _NEVER
        self._kept.clear()
        self._kept_to = 0

    def _keep(self, update: U, start: int, end: int) -> None:
        if end <= self._kept_to:
            return
        if start > self._kept_to + 1:
            self._kept.clear()
        self._kept.append(update)
        self._kept_to = end
        if len(self._kept) > self._limit:
            self._kept.popleft()
            self.reason = (
                f"more than {self._limit} updates came before a snapshot that fits, and the oldest were dropped"
            )
