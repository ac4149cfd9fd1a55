"""Keep a book equal to the exchange's at its sequence, from updates and snapshots.

`Calibration` needs neither a connection nor a REST client. Its owner passes it updates and snapshots and asks whether a
snapshot is needed:

    calibration = Calibration(LEVEL2)
    applied = calibration.push(message.wire_data, message.subject)
    if calibration.needs_snapshot:
        applied = calibration.snapshot(answer, depth=100)
    print(calibration.book.best_bid)                            # or BookNotReady

Rules, from KuCoin's documentation ("Level 2 market data", "Full matching engine data"):

States. `buffering` --a snapshot that fits--> `live` --a gap, or `invalidate`--> `gap` --a snapshot that fits--> `live`.
In `buffering` and `gap` updates are buffered and a snapshot is needed. The book can be read in `live` only.

1. Buffered updates follow each other without a gap. An update that leaves a gap after the buffer clears the buffer. If
   the buffer is full, its oldest update is dropped.
2. A snapshot fits if no update is missing between it and the first buffered one: its sequence is at least that update's
   first sequence less 1. Otherwise it is too old, and another one is needed. The buffered updates are then applied to
   the snapshot.
3. An update is applied if it starts at or before the book's next sequence and ends at or after it. Its rows up to the
   book's sequence are skipped. An update that ends earlier is a duplicate. An update that starts later reveals a gap:
   it becomes the first buffered one, and a snapshot is needed.
4. The first and the last sequence may be swapped in an update, as in KuCoin's worked example.
5. An update that can't be read, or that contradicts the book, counts as missing.
6. A partial book needs a new snapshot when all levels that it began with are gone.

A book never goes back in time, although the exchange may restart its numbering, and a snapshot may come from an old
cache:

7. An update that ends at or before the book's sequence changes nothing. It is a duplicate if it equals a remembered
   update. It was sent before the snapshot if no update has been applied to the snapshot yet. It may be late by a few
   sequences. Any other such update shows that the numbering went back: the book starts again, and this update becomes
   the first buffered one. The same holds for an update that ends at or before the end of the buffer.
8. A snapshot below the sequence that the book had is too old. A snapshot far ahead of the buffered updates belongs to
   another numbering. In both cases another one is needed.
   A first snapshot of another numbering that is ahead by at most `_MAX_AHEAD` can't be distinguished from a good one:
   the updates up to it may all have been sent before it, and rule 7 accepts them as such. A snapshot that comes before
   any update can't be checked until the first update comes. It is accepted all the same, because a quiet market may
   send no update for hours. Only `_MAX_UNSEEN` updates count as sent before such a snapshot, because in a busy market
   some would have come.
9. If a snapshot confirms it, the book follows a numbering that went back. While the buffered updates are behind earlier
   ones, a snapshot fits only if its sequence is within the buffer, or if it is just ahead of the buffer and newer than
   a snapshot that was refused for being ahead.

This module reads no clock, opens nothing and never waits. It is not thread-safe: the owner's lock guards it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from ..exceptions import BookNotReady
from .base import Book
from .codec import Data, Rows, read_snapshot
from .feeds import BookFeed, Update

__all__ = ["Calibration"]


_NEVER = float("-inf")
_REMEMBERED = 256  # newest updates that are kept to recognise duplicates
_MAX_AHEAD = 10_000  # sequences by which a snapshot may be ahead of the updates: as many as may wait for the book
_MAX_UNSEEN = 1_000  # the same for a snapshot that comes before any update
_MAX_LATENESS, _MAX_LATE = 200, 3  # sequences by which an update may be late, and the number of such updates in a row

B = TypeVar("B", bound=Book[Any])
U = TypeVar("U", bound=Update)


class Calibration(Generic[B, U]):
    """Keeps one book equal to the exchange's.

    Args:
        feed: `LEVEL2`, `FUTURES_LEVEL2` or `LEVEL3`.
        limit: how many updates are buffered until a snapshot fits; the oldest are dropped beyond that.

    Attributes:
        state: "buffering", "live" or "gap"; see the module.
        reason: a sentence that says why the book can't be read, "" while it can.
        sequence: the book's sequence; while the book is not live, the last one that it had.
        snapshot_sequence: the sequence of the snapshot that the book began with.
        min_sequence: the lowest sequence that a snapshot may have while the book is not live.
        resyncs: how often the book was live and had to start again.
        attempt: rises with each `invalidate`. `snapshot` refuses an answer to an earlier attempt.
    """

    _limited = False  # whether a book may become partial without a new snapshot

    def __init__(self, feed: BookFeed[B, U], *, limit: int = 10_000) -> None:
        self.state: Literal["buffering", "live", "gap"] = "buffering"
        self.reason = "the first snapshot has not come yet"
        self.snapshot_sequence = 0
        self.sequence = 0
        self.min_sequence = 0
        self.resyncs = 0
        self.attempt = 1
        self._next: float = _NEVER  # the sequence that the next update has to cover; never while not live
        self._feed = feed
        self._update_type = feed.update_type
        self._apply = feed.apply
        self._limit = limit
        self._book = feed.new()
        self._partial = False
        self._buffer: deque[U] = deque()
        self._buffer_end = 0  # the last sequence in the buffer
        self._updates_sequence = 0  # the last sequence of an applied update, as of the latest change of state
        self._max_ahead = _MAX_AHEAD  # sequences by which the book's snapshot may be ahead of the next update
        self._refused_sequence = 0  # the latest snapshot refused for being ahead of updates that went back
        self._late_base, self._late_count = 0, 0  # a sequence, and the number of updates in a row that were late by it
        self._recent: deque[U] = deque(maxlen=_REMEMBERED)  # the newest updates that the book includes, in order
        self._remember = self._recent.append

    def __repr__(self) -> str:
        return f"<Calibration {self.state} at {self.sequence}: {len(self._buffer)} kept, {self.reason or self._book}>"

    @property
    def live(self) -> bool:
        """Whether the book equals the exchange's at `sequence`."""
        return self.state == "live"

    @property
    def needs_snapshot(self) -> bool:
        """Whether the owner has to fetch a snapshot."""
        return self.state != "live"

    @property
    def book(self) -> B:
        """The book, for reading; raises BookNotReady with the reason if it can't be read."""
        if self.state != "live":
            raise BookNotReady(f"the book can't be read until a new snapshot has come, because {self.reason}")
        return self._book

    def push(self, data: Data | U, subject: str | None = None) -> Sequence[U]:
        """Take an update; return a sequence with the update if it was applied to the book, else an empty one.

        Args:
            data: a push's `data` as JSON text or decoded, or the struct that the feed's `read` returned for it.
            subject: the push's subject; level 3 needs it.

        Never raises for malformed data.
        """
        update: U
        if isinstance(data, self._update_type):
            update = data
        else:
            try:
                update = self._feed.read(data, subject)  # type: ignore[arg-type]  # mypy takes it for an update still
            except ValueError as error:
                self._restart(f"an update could not be read: {error}")
                return ()
        start, end = update.sequence_start, update.sequence_end
        if not start <= self._next <= end:
            if start > end:
                start, end = end, start
            if self.state != "live":
                self._buffer_update(update, start, end)
                return ()
            if end <= self.sequence:
                if self._went_back(update, start, end, self.sequence):
                    self._restart(self._forget_numbering(end))
                    self.min_sequence = self._updates_sequence  # an unused snapshot may be of another numbering
                    self._buffer_update(update, start, end)
                return ()
            if start > self._next:
                self._restart(f"the updates with the sequences {self._next} to {start - 1} are missing")
                self._buffer_update(update, start, end)
                return ()
        try:
            self._apply(self._book, update, self.sequence)
        except ValueError as error:
            self._restart(f"an update makes no sense: {error}")
            return ()
        self.sequence = end
        self._next = end + 1
        if self._partial and self._book.exhausted:
            self._restart("all levels of the partial snapshot are gone, and the levels below them are not known")
            self._buffer_update(update, start, end)
            return ()
        self._remember(update)
        return (update,)

    def snapshot(self, data: Data, *, depth: int | None = None, attempt: int | None = None) -> Sequence[U]:
        """Take a REST snapshot; return the buffered updates that were applied to it.

        Afterwards `needs_snapshot` tells whether it fitted, and `reason` why it did not. A live book ignores a
        snapshot. Never raises for malformed data.

        Args:
            data: the answer's `data`.
            depth: how many levels of each side were requested, None for all.
            attempt: the value of `attempt` when the snapshot was requested; None accepts any.
        """
        if self.state == "live" or attempt not in (None, self.attempt):
            return ()
        try:
            sequence, bids, asks = read_snapshot(data)
        except ValueError as error:
            self.reason = f"the snapshot makes no sense: {error}"
            return ()
        return self._load(sequence, bids, asks, depth)

    def _load(self, sequence: int, bids: Rows, asks: Rows, depth: int | None) -> Sequence[U]:
        """Begin with a snapshot if it fits; return the buffered updates that were applied to it."""
        if problem := self._snapshot_problem(sequence):
            self.reason = problem
            return ()
        try:
            self._feed.load(self._book, bids, asks, depth)
        except ValueError as error:
            self.reason = f"the snapshot makes no sense: {error}"
            return ()
        if sequence < self.min_sequence:
            self._recent.clear()  # a sequence may stand for another update now
        self._updates_sequence = self._buffer_end or self._updates_sequence
        self._refused_sequence = 0
        self._max_ahead = _MAX_AHEAD if self._buffer else _MAX_UNSEEN
        kept, self._buffer = self._buffer, deque()
        self._buffer_end = 0
        self.state, self.reason, self.sequence, self._next = "live", "", sequence, sequence + 1
        self.snapshot_sequence = sequence
        self._partial = self._limited or self._book.partial
        applied: list[U] = []
        for update in kept:
            if _last(update) > sequence:
                applied += self.push(update)
            else:
                self._remember_included(update)
        return applied if self.state == "live" else ()

    def invalidate(self, reason: str = "the connection was lost") -> None:
        """Start again: updates are missing, or those that follow come over another connection."""
        self.attempt += 1
        self._restart(reason)

    def allow_older(self) -> None:
        """Accept the next snapshot and updates even if they are older than the book was."""
        self.min_sequence = self._updates_sequence = 0
        self._recent.clear()

    def replacement(self, reason: str) -> Calibration[B, U]:
        """Return a calibration with an empty book that takes over from this one, which may be half changed."""
        fresh = type(self)(self._feed, limit=self._limit)
        if self.state != "buffering":
            fresh.state = "gap"
        fresh.resyncs = self.resyncs + (self.state == "live")
        fresh.reason, fresh.snapshot_sequence, fresh.sequence, fresh.attempt = (
            reason,
            self.snapshot_sequence,
            self.sequence,
            self.attempt + 1,
        )
        self._record_position()
        fresh.min_sequence, fresh._updates_sequence = self.min_sequence, self._updates_sequence
        return fresh

    def _restart(self, reason: str) -> None:
        if self.state == "live":
            self._record_position()
            self.state = "gap"
            self.resyncs += 1
        self.reason = reason
        self._next = _NEVER
        self._buffer.clear()
        self._buffer_end = 0

    def _record_position(self) -> None:
        """Record the sequences of a live book before it leaves that state."""
        if self.state == "live":
            self.min_sequence = self.sequence
            if self.sequence > self.snapshot_sequence:
                self._updates_sequence = self.sequence

    def _buffer_update(self, update: U, start: int, end: int) -> None:
        if end <= self.min_sequence and _find(self._recent, end) == update:
            return  # a duplicate of an update that the book had
        if end <= self._buffer_end:
            if not self._went_back(update, start, end, self._buffer_end):
                return
            self.reason = self._forget_numbering(end)
            self._updates_sequence = max(self._updates_sequence, self._buffer_end)
            self._buffer.clear()
        elif start > self._buffer_end + 1:
            self._buffer.clear()
        self._buffer.append(update)
        self._buffer_end = end
        if len(self._buffer) > self._limit:
            self._buffer.popleft()
            self.reason = (
                f"more than {self._limit} updates came before a snapshot that fits, and the oldest were dropped"
            )

    def _remember_included(self, update: U) -> None:
        """Remember an update that the snapshot includes."""
        if not self._recent or _last(update) > _last(self._recent[-1]):
            self._remember(update)

    def _went_back(self, update: U, start: int, end: int, known: int) -> bool:
        """Return whether an update that ends at or before `known` shows a numbering that went back; see rule 7."""
        if not end:
            return False  # it has no sequence of its own
        for updates in (self._recent, self._buffer):
            same = _find(updates, end)
            if same == update:
                return False
            if same is not None and _span(same) == (start, end):
                return True
        if (
            self.state == "live"
            and self.sequence == self.snapshot_sequence
            and max(self._updates_sequence, self.snapshot_sequence - self._max_ahead) < end
        ):
            self._remember_included(update)
            return False
        if self._late_base != known:
            self._late_base, self._late_count = known, 0
        self._late_count += 1
        return known - end > _MAX_LATENESS or self._late_count > _MAX_LATE

    def _forget_numbering(self, end: int) -> str:
        """Forget the remembered updates because the numbering went back to `end`; return this as a reason."""
        self._recent.clear()
        return (
            f"the exchange's updates went back to {end}, from {max(self.sequence, self._buffer_end)}; either it began "
            "to number them anew, or the snapshot was of another numbering"
        )

    def _snapshot_problem(self, sequence: int) -> str:
        """Return why a snapshot does not fit the buffer or the earlier book, "" if it fits."""
        last = self._buffer_end
        if self._buffer:
            first = _span(self._buffer[0])[0]
            if sequence < first - 1:
                return f"the snapshot is of {sequence}, too old for the updates from {first} on"
            if sequence <= last:
                return ""
            if sequence > last + _MAX_AHEAD:
                return f"the snapshot is of {sequence}, and the updates are at {last}: its numbers are not theirs"
            if last <= self._updates_sequence:
                before, self._refused_sequence = self._refused_sequence, sequence
                if 0 < before < sequence <= last + _MAX_LATENESS:
                    return ""
                return f"the updates went back to {last}, and the snapshot of {sequence} may be from before"
        if sequence < self.min_sequence:
            return f"the snapshot is of {sequence}, older than the book, which was at {self.min_sequence}"
        return ""


def _span(update: Update) -> tuple[int, int]:
    """Return the first and the last sequence of an update, in ascending order."""
    start, end = update.sequence_start, update.sequence_end
    return (start, end) if start <= end else (end, start)


def _last(update: Update) -> int:
    return max(update.sequence_start, update.sequence_end)


def _find(updates: deque[U], end: int) -> U | None:
    """Return the update in this ordered queue that ends with a sequence, None if there is none."""
    place = bisect_left(updates, end, key=_last)
    return updates[place] if place < len(updates) and _last(updates[place]) == end else None
