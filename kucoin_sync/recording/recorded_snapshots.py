"""The snapshots that the books of a replay get: those of the recording, when the replay comes by them.

No thread of its own: a book is given its snapshot on the player's thread, or at once on its own where the replay has
come by it before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .errors import RecordingError
from .format import Snapshot
from .index import RecordingIndex

__all__ = ["Book", "RecordedSnapshots"]


class _Source(Protocol):
    @property
    def symbol(self) -> str: ...
    @property
    def market(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def path(self) -> str: ...


class Book(Protocol):
    """What gets snapshots; see `following.Follower`."""

    @property
    def source(self) -> _Source: ...
    def snapshot_attempt(self) -> int | None: ...
    def apply_snapshot(self, data: Any, attempt: int) -> bool: ...
    def end(self, error: Exception) -> None: ...


class RecordedSnapshots:
    """Gives books what passes.

    Args:
        fetched: told of each snapshot that a book is given: market, path, symbol, data.
    """

    def __init__(self, library: RecordingIndex, fetched: Callable[[str, str, str, Any], None]) -> None:
        self._library = library
        self._fetched = fetched
        self._lock = threading.Lock()  # guards all of the following
        self._passed: dict[tuple[str, str, str], Snapshot] = {}  # the newest that is worth something
        self._waiting: dict[Book, None] = {}
        self._over = False
        self.request_count = 0

    def add(self, book: Book) -> None:
        """Do nothing: there is no thread to acquire."""

    def request_snapshot(self, book: Book) -> None:
        """Give a book the newest snapshot that the replay came by, else the next that it comes by."""
        key = _key(book)
        with self._lock:
            self._waiting[book] = None
            snapshot, over = self._passed.get(key), self._over
        if key not in self._library.snapshots:
            book.end(RecordingError(f"{_named(book)} can't be kept: {self._library.name} has no snapshot of it"))
        elif snapshot is not None:
            self._give(book, snapshot)
        if over:
            self.finish()

    def remove(self, book: Book) -> None:
        """Give a book nothing more."""
        with self._lock:
            self._waiting.pop(book, None)

    def obstacle(self, _: Book) -> str:
        """Return nothing: snapshots of a recording wait for nobody."""
        return ""

    def after_fork(self) -> RecordedSnapshots:
        """Return what takes over in a forked child, in which the replay is closed."""
        return RecordedSnapshots(self._library, self._fetched)

    def close(self) -> list[threading.Thread]:
        """There is nothing to end."""
        return []

    # For the player

    def waits_for(self, snapshot: Snapshot) -> list[Book]:
        """Return the books that a snapshot is for."""
        key = snapshot.market, snapshot.path, snapshot.symbol
        with self._lock:
            return [book for book in self._waiting if _key(book) == key]

    def waiting(self) -> list[Book]:
        """Return the books that have none."""
        with self._lock:
            return list(self._waiting)

    def passes(self, snapshot: Snapshot) -> None:
        """The replay comes by a snapshot."""
        with self._lock:
            self._passed[snapshot.market, snapshot.path, snapshot.symbol] = snapshot
        for book in self.waits_for(snapshot):
            self._give(book, snapshot)

    def outdated(self, topics: Iterable[str] | None = None) -> None:
        """What has passed of these topics' symbols, or of all, is worth nothing any more."""
        symbols = None if topics is None else {topic.partition(":")[2] for topic in topics}
        with self._lock:
            self._over = False
            for key in [key for key in self._passed if symbols is None or key[2] in symbols]:
                del self._passed[key]

    def finish(self) -> None:
        """No more will come: books that have none end."""
        with self._lock:
            self._over = True
        for book in self.waiting():
            if book.snapshot_attempt() is not None:
                book.end(
                    RecordingError(f"{_named(book)} can't be kept: the recording has no more snapshot that fits it")
                )

    def _give(self, book: Book, snapshot: Snapshot) -> None:
        attempt = book.snapshot_attempt()
        if attempt is None:
            self.remove(book)
            return
        self.request_count += 1
        self._fetched(snapshot.market, snapshot.path, snapshot.symbol, snapshot.data)
        if not book.apply_snapshot(snapshot.data, attempt):
            self.remove(book)


def _key(book: Book) -> tuple[str, str, str]:
    return book.source.market, book.source.path, book.source.symbol


def _named(book: Book) -> str:
    return str(book.source)
