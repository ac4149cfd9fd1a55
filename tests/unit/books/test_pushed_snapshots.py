"""When topics are subscribed again because a pushed snapshot is missing, with time as a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from kucoin_sync.books import BookSource
from kucoin_sync.books.pushed_snapshots import PushedSnapshots


class Book:
    """A book that needs a snapshot until it is said to have one."""

    def __init__(self, symbol: str = "BTC-USDT", *, awaits_push: bool = True) -> None:
        self.source = BookSource.of(symbol, feed="uta")
        self.awaits_push = awaits_push
        self.needs = True
        self.delays: list[float] = []
        self.errors: list[str] = []

    def snapshot_attempt(self) -> int | None:
        return 1 if self.needs else None

    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None:
        self.delays.append(seconds)
        self.errors.append(str(error))


class Watch:
    """The object under test, a clock, and the topics that were subscribed again."""

    def __init__(self) -> None:
        self.now = 100.0
        self.again: list[str] = []
        self.snapshots = PushedSnapshots(self.again.append, lambda: self.now)
        self.snapshots._thread.look = lambda: None  # type: ignore[method-assign]  # the test calls `check` instead

    def request(self, book: Book) -> None:
        self.snapshots.add(book)
        self.snapshots.request_snapshot(book)

    def at(self, now: float) -> float:
        self.now = now
        return self.snapshots.check(now)


@pytest.fixture
def snapshot_watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    assert made.snapshots.close() == []


TOPIC = "/uta/obu.SPOT:BTC-USDT_increment@10ms"


def test_a_snapshot_that_comes_in_time_is_waited_for(snapshot_watch: Watch) -> None:
    book = Book()
    snapshot_watch.request(book)
    assert snapshot_watch.at(109.9) == 110.0
    book.needs = False
    assert snapshot_watch.at(110.0) == math.inf
    assert (snapshot_watch.again, book.delays, snapshot_watch.snapshots.request_count) == ([], [], 0)


def test_after_ten_seconds_the_topic_is_subscribed_again_with_growing_pauses(snapshot_watch: Watch) -> None:
    book = Book("NO-SUCH")
    snapshot_watch.request(book)
    due, confirmed = 110.0, 100.0
    for attempt in range(1, 8):
        assert due == confirmed + 10.0
        restart_at = snapshot_watch.at(due)
        assert restart_at == due + book.delays[-1]
        assert len(snapshot_watch.again) == attempt - 1
        backup = snapshot_watch.at(restart_at)
        assert len(snapshot_watch.again) == attempt
        assert backup == restart_at + 10.0, "it is done again, should nothing come of it"
        confirmed = restart_at + 1.0
        snapshot_watch.now = confirmed
        snapshot_watch.snapshots.request_snapshot(book)  # the confirmation
        due = snapshot_watch.at(confirmed)
    assert book.delays[0] == 0.0
    assert 0.25 <= book.delays[1] <= 0.5
    assert book.delays[2:] == sorted(book.delays[2:])
    assert 7.0 < book.delays[6] <= 30.0
    assert "confirms symbols that do not exist" in book.errors[0]
    assert snapshot_watch.snapshots.request_count == 7


def test_a_book_that_lost_an_update_is_helped_at_once_but_not_again_and_again(snapshot_watch: Watch) -> None:
    book = Book(awaits_push=False)
    snapshot_watch.request(book)
    snapshot_watch.at(100.0)
    assert snapshot_watch.again == [TOPIC]
    snapshot_watch.snapshots.request_snapshot(book)
    assert 100.0 < snapshot_watch.at(100.0) <= 100.5
    assert snapshot_watch.again == [TOPIC]
    snapshot_watch.at(100.5)
    assert snapshot_watch.again == [TOPIC] * 2
    snapshot_watch.now = 170.0
    snapshot_watch.snapshots.request_snapshot(book)
    snapshot_watch.at(170.0)
    assert snapshot_watch.again == [TOPIC] * 3


def test_a_request_that_comes_while_the_book_is_asked_is_kept(snapshot_watch: Watch) -> None:
    book = Book()
    snapshot_watch.request(book)

    def attempt() -> None:
        book.awaits_push = False
        snapshot_watch.snapshots.request_snapshot(book)  # on another thread, a moment after the answer

    book.snapshot_attempt = attempt  # type: ignore[method-assign, assignment]
    assert snapshot_watch.at(110.0) == 110.0
    assert snapshot_watch.again == []


def test_a_removed_book_is_left_alone(snapshot_watch: Watch) -> None:
    book = Book(awaits_push=False)
    snapshot_watch.request(book)
    snapshot_watch.snapshots.remove(book)
    assert snapshot_watch.at(200.0) == math.inf
    snapshot_watch.snapshots.request_snapshot(book)
    assert snapshot_watch.at(300.0) == math.inf
    assert snapshot_watch.again == []


def test_a_closed_one_does_nothing() -> None:
    again: list[Any] = []
    snapshots = PushedSnapshots(again.append)
    snapshots.close()
    book = Book(awaits_push=False)
    snapshots.add(book)
    snapshots.request_snapshot(book)
    assert snapshots.check(1e9) == math.inf
    assert again == []
