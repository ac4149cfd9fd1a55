"""Give the books of a replay the recorded snapshots, when the replay reaches them.

This needs no thread. A book gets its snapshot on the player's thread, or at once on its own thread if the replay has
passed the snapshot already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .errors import RecordingError
from .format import SnapshotLine
from .index import RecordingIndex

__all__ = ["RecordedSnapshots", "ReplayedBook"]


class _Source(Protocol):
    @property
    def symbol(self) -> str: ...
    @property
    def market(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def path(self) -> str: ...


class ReplayedBook(Protocol):
    """A book that gets snapshots; see `books.follower.Follower`."""

    @property
    def source(self) -> _Source: ...
    def snapshot_attempt(self) -> int | None: ...
    def apply_snapshot(self, data: Any, attempt: int) -> bool: ...
    def end(self, error: Exception) -> None: ...
    def give_up(self, attempt: int, error: Exception) -> None: ...


class RecordedSnapshots:
    """Gives books the snapshots that the replay passes.

    Args:
        on_snapshot: called with each snapshot that a book gets: market, path, symbol, data.
    """

    def __init__(self, index: RecordingIndex, on_snapshot: Callable[[str, str, str, Any], None]) -> None:
        self._index = index
        self._on_snapshot = on_snapshot
        self._lock = threading.Lock()  # guards all of the following
        self._passed: dict[tuple[str, str, str], SnapshotLine] = {}  # the newest valid one of each book
        self._waiting: dict[ReplayedBook, None] = {}
        self._over = False
        self.request_count = 0

    def add(self, book: ReplayedBook) -> None:
        """Do nothing: there is no thread to start."""

    def request_snapshot(self, book: ReplayedBook) -> None:
        """Give a book the newest snapshot that the replay has passed, else the next one.

        After the end there is no next one, and the book ends. The attempt is read first: if the replay is moved
        meanwhile, the book starts again, and what was read here no longer applies to it.
        """
        key, attempt = _key(book), book.snapshot_attempt()
        if attempt is None:
            return
        with self._lock:
            self._waiting[book] = None
            snapshot, over = self._passed.get(key), self._over
        if key not in self._index.snapshots:
            book.end(RecordingError(f"{_named(book)} can't be built: {self._index.name} has no snapshot of it"))
        elif snapshot is not None:
            self._give(book, snapshot)
        if over:
            self._give_up(book, attempt)

    def remove(self, book: ReplayedBook) -> None:
        """Give a book no more snapshots."""
        with self._lock:
            self._waiting.pop(book, None)

    def obstacle(self, _: ReplayedBook) -> str:
        """Return no obstacle: recorded snapshots need no connection."""
        return ""

    def after_fork(self) -> RecordedSnapshots:
        """Return the replacement for a forked child, in which the replay is closed."""
        return RecordedSnapshots(self._index, self._on_snapshot)

    def close(self) -> list[threading.Thread]:
        """Do nothing: there are no threads."""
        return []

    # For the player

    def books_waiting_for(self, snapshot: SnapshotLine) -> list[ReplayedBook]:
        """Return the waiting books that a snapshot is for."""
        key = snapshot.market, snapshot.path, snapshot.symbol
        with self._lock:
            return [book for book in self._waiting if _key(book) == key]

    def waiting(self) -> list[ReplayedBook]:
        """Return the books that wait for a snapshot."""
        with self._lock:
            return list(self._waiting)

    def pass_snapshot(self, snapshot: SnapshotLine) -> None:
        """Note that the replay passes a snapshot; give it to the waiting books."""
        with self._lock:
            self._passed[snapshot.market, snapshot.path, snapshot.symbol] = snapshot
        for book in self.books_waiting_for(snapshot):
            self._give(book, snapshot)

    def discard(self, topics: Iterable[str] | None = None) -> None:
        """Discard the passed snapshots of these topics' symbols, or all of them."""
        symbols = None if topics is None else {topic.partition(":")[2] for topic in topics}
        with self._lock:
            self._over = False
            for key in [key for key in self._passed if symbols is None or key[2] in symbols]:
                del self._passed[key]

    def finish(self) -> None:
        """End the books that wait for a snapshot, because the recording has no more."""
        with self._lock:
            self._over = True
        for book in self.waiting():
            self._give_up(book, book.snapshot_attempt())

    def _give_up(self, book: ReplayedBook, attempt: int | None) -> None:
        if attempt is not None:
            reason = f"{_named(book)} can't be built: the recording has no more snapshot that fits it"
            book.give_up(attempt, RecordingError(reason))

    def _give(self, book: ReplayedBook, snapshot: SnapshotLine) -> None:
        attempt = book.snapshot_attempt()
        if attempt is None:
            self.remove(book)
            return
        self.request_count += 1
        self._on_snapshot(snapshot.market, snapshot.path, snapshot.symbol, snapshot.data)
        if not book.apply_snapshot(snapshot.data, attempt):
            self.remove(book)


def _key(book: ReplayedBook) -> tuple[str, str, str]:
    return book.source.market, book.source.path, book.source.symbol


def _named(book: ReplayedBook) -> str:
    return str(book.source)
