"""What may come of a book's updates and snapshots that are not the newest, for whatever stream keeps the book."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kucoin_sync import BookNotReady, Client, LocalBook
from kucoin_sync.testing import KucoinServer

from .numbering import Numbering
from .threads import LIMIT, until

__all__ = ["SCENARIOS", "Venue"]

_BOOKS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "level2": ("BTC-USDT", "/market/level2:BTC-USDT", "level2_100", {}),
    "futures": ("XBTUSDTM", "/contractMarket/level2:XBTUSDTM", "level2/snapshot", {}),
    "level3 v1": ("BTC-USDT", "/market/level3:BTC-USDT", "level3", {"level": 3, "generation": 1}),
    "level3 v2": ("BTC-USDT", "/spotMarket/level3:BTC-USDT", "level3", {"level": 3}),
}
"""Symbol, topic, kind of snapshot and options of each feed's book."""

BEGIN = 50_000
FAR = 1_553_877_630_287


class Venue:
    """An exchange with one book, and a stream that keeps that.

    Attributes:
        numberings: those that there were; the last is the one of now.
        serves: returns the snapshot that REST answers with.
    """

    def __init__(self, server: KucoinServer, stream: Client, feed: str, first: int = BEGIN) -> None:
        self.symbol, self.topic, kind, self.options = _BOOKS[feed]
        self.feed = feed
        self.server = server
        self.stream = stream
        self.numberings = [Numbering(feed, 1, first)]
        self.serves: Callable[[], Any] = self.good
        server.set_snapshot(kind, self.symbol, lambda: self.serves())
        self._read: tuple[int, int, int] = (0, 0, 0)  # numbering, sequence and resyncs, when last read
        self.book: LocalBook[Any, Any]

    @property
    def now(self) -> Numbering:
        return self.numberings[-1]

    def good(self) -> Any:
        return self.now.snapshot(self.now.last)

    def old(self, back: int = 0) -> Callable[[], Any]:
        """Return what serves a snapshot of now, or of a while ago, for ever."""
        answer = self.now.snapshot(self.now.last - back)
        return lambda: answer

    def open(self) -> None:
        self.book = self.stream.book(self.symbol, **self.options)
        until(self.carried, "the topic is not carried")

    def carried(self) -> bool:
        return any(self.topic in each.topics for each in self.server.connections)

    def push(self, *sequences: int, numbering: Numbering | None = None) -> None:
        """Push updates, each when the one before was looked at, and look at the book after each."""
        for sequence in sequences:
            self.send(*(numbering or self.now).update(sequence))

    def send(self, data: dict[str, Any], subject: str) -> None:
        before = self.book.received_ns
        assert self.server.publish(self.topic, data, subject=subject)
        until(lambda: self.book.received_ns != before, "the update was not looked at")
        self.look()

    def go_on(self, count: int = 8) -> None:
        for _ in range(count):
            self.now.last += 1
            self.push(self.now.last)

    def number_anew(self, first: int) -> None:
        self.numberings.append(Numbering(self.feed, self.now.name + 1, first))

    def cut(self) -> None:
        self.server.drop_connections()
        until(lambda: not self.book.ready, "the book does not notice the cut")
        until(self.carried, "the topic is not carried again")

    def look(self) -> bool:
        """Return whether the book can be read; then it is one that there was, and newer than what was read before."""
        try:
            resyncs, snapshot = self.book.resyncs, self.book.snapshot()
        except BookNotReady:
            return False
        if self.book.resyncs != resyncs:
            return False  # it has started again meanwhile
        has = {order.id for order in snapshot.bid_orders} or {format(level.size, "f") for level in snapshot.bids}
        of = [each.name for each in self.numberings if has == each.truth(snapshot.sequence)]
        assert of, f"the book at {snapshot.sequence} is none that there ever was: {has}"
        was, sequence, before = self._read
        assert resyncs > before or (of[-1], snapshot.sequence) >= (was, sequence), "it went back, and said nothing"
        assert of[-1] >= was, "it went back to an older numbering"
        assert of[-1] > was or snapshot.sequence >= sequence, "it went back in time"
        self._read = of[-1], snapshot.sequence, resyncs
        return True

    def refuses(self, because: str, asked: int = 1) -> None:
        """Wait until the book refuses to be read for a reason, and has asked for another snapshot in vain."""
        until(lambda: not self.look() and because in repr(self.book), f"the book does not say {because!r}")
        before = self.stream.stats()["book_snapshots"]
        until(lambda: self.stream.stats()["book_snapshots"] >= before + asked, "the book asks for no other snapshot")
        assert not self.look()
        assert because in repr(self.book)

    def recovers(self) -> None:
        """Serve good snapshots, and have the book be the exchange's of now."""
        self.serves = self.good
        until(lambda: self.look() and self.book.sequence == self.now.last, f"it does not recover: {self.book!r}")
        assert self._read[0] == self.now.name
        self.go_on(3)
        assert self.look()
        assert self.book.sequence == self.now.last


def _live(venue: Venue) -> None:
    venue.open()
    venue.book.wait_ready(timeout=LIMIT)
    venue.go_on()
    assert venue.look()


def stale_snapshot(venue: Venue) -> None:
    _live(venue)
    venue.serves = venue.old(back=3)
    venue.cut()
    venue.refuses("older than the book")
    venue.recovers()


def cached_snapshot_of_before_a_cut(venue: Venue) -> None:
    _live(venue)
    venue.serves = venue.old()
    venue.now.last += 5
    venue.cut()
    venue.go_on(1)
    venue.refuses("too old")
    venue.recovers()


def numbered_anew_on_a_live_connection(venue: Venue) -> None:
    _live(venue)
    venue.number_anew(17)
    venue.go_on(4)
    venue.recovers()


def numbered_anew_beside_a_cached_snapshot(venue: Venue) -> None:
    _live(venue)
    venue.serves = venue.old()
    venue.number_anew(17)
    venue.go_on(4)
    venue.refuses("its numbers are not theirs")
    venue.recovers()


def numbered_anew_from_just_below(venue: Venue) -> None:
    _live(venue)
    venue.serves = venue.old()
    venue.number_anew(venue.now.last - 5)
    venue.go_on(1)
    venue.refuses("went back")
    venue.recovers()


def numbered_anew_during_a_cut(venue: Venue) -> None:
    _live(venue)
    venue.number_anew(17)
    venue.cut()
    venue.go_on(2)
    venue.recovers()


def numbered_anew_during_a_cut_of_a_quiet_market(venue: Venue) -> None:
    _live(venue)
    venue.number_anew(17)
    venue.cut()
    venue.refuses("older than the book")
    venue.go_on(1)
    venue.recovers()


def numbered_anew_before_there_was_a_book(venue: Venue) -> None:
    venue.serves = lambda: {"sequence": "none", "bids": [], "asks": []}
    venue.open()
    venue.go_on()
    venue.number_anew(17)
    venue.go_on(4)
    venue.refuses("makes no sense")
    venue.recovers()


def snapshot_of_another_numbering(venue: Venue) -> None:
    other = Numbering(venue.feed, 0, FAR)
    venue.numberings.insert(0, other)
    venue.serves = lambda: other.snapshot(FAR)
    venue.open()
    venue.go_on()
    venue.refuses("its numbers are not theirs")
    venue.recovers()


def duplicates(venue: Venue) -> None:
    _live(venue)
    for _ in range(8):
        venue.go_on(1)
        venue.push(venue.now.last, venue.now.last)
    assert (venue.look(), venue.book.resyncs, venue.book.sequence) == (True, 0, venue.now.last)


def repeated_blocks(venue: Venue) -> None:
    _live(venue)
    venue.go_on(20)
    for back in (5, 25):
        venue.push(*range(venue.now.last - back, venue.now.last + 1))
        venue.go_on(1)
    assert (venue.look(), venue.book.resyncs, venue.book.sequence) == (True, 0, venue.now.last)


def overlap(venue: Venue) -> None:
    _live(venue)
    for back in range(4):
        if venue.feed == "level2":
            venue.now.last += 2
            venue.send(*venue.now.several(venue.now.last - 1 - back, venue.now.last))
        else:
            venue.push(venue.now.last - back)
            venue.go_on(1)
    assert (venue.look(), venue.book.resyncs, venue.book.sequence) == (True, 0, venue.now.last)


def another_order(venue: Venue) -> None:
    _live(venue)
    first = venue.now.last + 1
    venue.now.last += 4
    venue.push(first + 1, first, first + 3, first + 2)
    venue.recovers()


SCENARIOS = (
    stale_snapshot,
    cached_snapshot_of_before_a_cut,
    numbered_anew_on_a_live_connection,
    numbered_anew_beside_a_cached_snapshot,
    numbered_anew_from_just_below,
    numbered_anew_during_a_cut,
    numbered_anew_during_a_cut_of_a_quiet_market,
    numbered_anew_before_there_was_a_book,
    snapshot_of_another_numbering,
    duplicates,
    repeated_blocks,
    overlap,
    another_order,
)
