"""Recorded snapshots: which book gets which snapshot, and which book ends without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kucoin_sync.books import BookSource
from kucoin_sync.recording import RecordingError
from kucoin_sync.recording.format import SnapshotLine
from kucoin_sync.recording.recorded_snapshots import RecordedSnapshots

SOURCE = BookSource.of("BTC-USDT", with_key=True)
KEY = (SOURCE.market, SOURCE.path, SOURCE.symbol)


class RecordingIndex:
    """A recording index with one snapshot of one book."""

    name = "day.jsonl"
    snapshots = {KEY: ((1, None),)}


class ReplayedBook:
    """A book that accepts a fitting snapshot while it needs one."""

    def __init__(self, symbol: str = "BTC-USDT", *, fits: int = 0) -> None:
        self.source: Any = BookSource.of(symbol, with_key=True)
        self.fits = fits
        self.asking = True
        self.attempt = 7
        self.meanwhile: Callable[[], object] = lambda: None  # what happens while it looks at a snapshot
        self.given: list[int] = []
        self.ended: Exception | None = None

    def snapshot_attempt(self) -> int | None:
        return self.attempt if self.asking else None

    def apply_snapshot(self, data: Any, attempt: int) -> bool:
        assert attempt == self.attempt
        self.given.append(msgspec.json.decode(data))
        self.asking = self.given[-1] < self.fits
        self.meanwhile()
        return self.asking

    def end(self, error: Exception) -> None:
        self.ended = error

    def give_up(self, attempt: int, error: Exception) -> None:
        if attempt == self.attempt:
            self.end(error)


def snapshot(number: int) -> SnapshotLine:
    return SnapshotLine(number, *KEY, msgspec.Raw(b"%d" % number))


@pytest.fixture
def fetched() -> list[Any]:
    return []


@pytest.fixture
def snapshots(fetched: list[Any]) -> RecordedSnapshots:
    index: Any = RecordingIndex()
    return RecordedSnapshots(index, lambda *what: fetched.append(what[:3]))


def test_a_book_gets_the_next_snapshot_and_then_no_more(snapshots: RecordedSnapshots, fetched: list[Any]) -> None:
    book = ReplayedBook()
    snapshots.request_snapshot(book)
    assert snapshots.waiting() == snapshots.books_waiting_for(snapshot(1)) == [book]
    snapshots.pass_snapshot(snapshot(1))
    snapshots.pass_snapshot(snapshot(2))
    assert (book.given, snapshots.waiting(), snapshots.request_count, fetched) == ([1], [], 1, [KEY])


def test_a_late_book_gets_the_newest_passed_snapshot(snapshots: RecordedSnapshots) -> None:
    snapshots.pass_snapshot(snapshot(1))
    snapshots.pass_snapshot(snapshot(2))
    book = ReplayedBook()
    snapshots.request_snapshot(book)
    assert book.given == [2]


def test_a_discarded_snapshot_is_not_given(snapshots: RecordedSnapshots) -> None:
    for topics in (["/market/level2:BTC-USDT"], None):
        snapshots.pass_snapshot(snapshot(1))
        snapshots.discard(["/market/level2:ETH-USDT"])
        snapshots.discard(topics)
        book = ReplayedBook()
        snapshots.request_snapshot(book)
        assert book.given == []


def test_a_book_that_rejects_a_snapshot_waits_for_the_next(snapshots: RecordedSnapshots) -> None:
    book = ReplayedBook(fits=2)
    snapshots.request_snapshot(book)
    snapshots.pass_snapshot(snapshot(1))
    assert snapshots.waiting() == [book]
    snapshots.pass_snapshot(snapshot(2))
    assert (book.given, snapshots.waiting()) == ([1, 2], [])


def test_a_book_that_needs_no_snapshot_gets_none_and_is_forgotten(snapshots: RecordedSnapshots) -> None:
    book = ReplayedBook()
    snapshots.request_snapshot(book)
    book.asking = False
    snapshots.finish()
    assert book.ended is None
    snapshots.pass_snapshot(snapshot(1))
    assert (book.given, snapshots.waiting()) == ([], [])


def test_a_book_without_a_recorded_snapshot_ends(snapshots: RecordedSnapshots) -> None:
    book = ReplayedBook("ETH-USDT")
    snapshots.request_snapshot(book)
    assert isinstance(book.ended, RecordingError)
    assert "day.jsonl has no snapshot of it" in str(book.ended)


def test_after_the_last_message_books_without_a_snapshot_end(snapshots: RecordedSnapshots) -> None:
    books = [ReplayedBook(), ReplayedBook()]
    snapshots.request_snapshot(books[0])
    snapshots.finish()
    snapshots.request_snapshot(books[1])
    assert ["no more snapshot that fits it" in str(book.ended) for book in books] == [True, True]
    snapshots.discard()
    again = ReplayedBook()
    snapshots.request_snapshot(again)
    assert again.ended is None, "the replay was moved back"


def test_a_request_that_a_move_has_overtaken_does_not_end_the_book(snapshots: RecordedSnapshots) -> None:
    book = ReplayedBook(fits=2)

    def move() -> None:
        snapshots.discard()
        book.attempt += 1

    book.meanwhile = move
    snapshots.pass_snapshot(snapshot(1))
    snapshots.finish()
    snapshots.request_snapshot(book)
    assert (book.given, book.ended) == ([1], None)
    snapshots.pass_snapshot(snapshot(2))
    assert (book.given, book.ended) == ([1, 2], None)
