"""A follower of a book of the UTA feed: its snapshot comes among the messages."""

from __future__ import annotations

import json
from typing import Any

from kucoin_sync import BookReady, BookRenumbered, BookResyncing, LocalLevel2Book, SlowConsumer
from kucoin_sync.books import BookSource
from kucoin_sync.books.follower import Follower
from kucoin_sync.delivery.overflow import queue_for
from kucoin_sync.protocol.message import Arrival
from kucoin_sync.protocol.uta import UTA

from ...support.followers import Owner
from ...support.uta_books import push


def snapshot(sequence: int) -> bytes:
    return push("snapshot", sequence, sequence, bids=[["99", "1"]], asks=[["101", "1"]])


def delta(sequence: int, size: str = "5") -> bytes:
    return push("delta", sequence, sequence, bids=[["99", size]])


class Line:
    """One book with its follower and its message queue; the test is the connection and the books' thread."""

    def __init__(self, maxsize: int = 1000) -> None:
        self.owner = Owner()
        self.follower: Follower[Any, Any] = Follower(BookSource.of("BTC-USDT", feed="uta"), self.owner)
        self.book = LocalLevel2Book(self.follower, 1000)
        self.message_queue = queue_for(
            "raise", maxsize, lambda dropped: None, lambda dropped: SlowConsumer("too slow", dropped=dropped)
        )
        self.reader = UTA.reader()

    def put(self, *frames: bytes, epoch: int = 1) -> None:
        """Receive frames; those after the first are undecoded where the dialect can do that."""
        for frame in frames:
            self.message_queue.put(self.reader.push(frame, Arrival(epoch, 7)))

    def push(self, *frames: bytes) -> None:
        self.put(*frames)
        self.take()

    def take(self) -> None:
        self.follower.apply_pending(self.message_queue, 1000)

    def events(self) -> list[type]:
        return [type(event) for event in self.owner.events]


def live(maxsize: int = 1000) -> Line:
    line = Line(maxsize)
    line.follower.on_subscribed()
    line.push(snapshot(10))
    assert line.book.ready
    return line


def test_the_snapshot_may_come_before_the_confirmation_is_heard() -> None:
    line = Line()
    line.push(delta(9), snapshot(10), delta(11))
    assert (line.book.ready, line.book.sequence, line.owner.requested) == (True, 11, 0)
    line.follower.on_subscribed()
    assert line.owner.requested == 0
    assert line.events() == [BookReady]


def test_a_snapshot_is_awaited_from_the_confirmation_on() -> None:
    line = Line()
    line.follower.on_subscribed()
    assert (line.owner.requested, line.follower.awaits_push) == (1, True)
    line.push(snapshot(10))
    assert line.follower.snapshot_attempt() is None


def test_a_hole_is_reported_and_another_snapshot_is_not_awaited() -> None:
    line = live()
    line.push(delta(12))
    assert (line.owner.requested, line.follower.awaits_push) == (2, False)
    assert line.events() == [BookReady, BookResyncing]
    line.push(snapshot(12), delta(13))
    assert (line.book.sequence, line.book.resyncs) == (13, 1)
    assert line.events() == [BookReady, BookResyncing, BookReady]


def test_a_loss_in_the_queue_is_a_hole() -> None:
    line = live(maxsize=2)
    line.put(delta(11), delta(12), delta(13), delta(14))
    line.take()
    line.push(delta(15))
    assert not line.book.ready
    assert (line.owner.requested, line.follower.awaits_push) == (2, False)
    assert "came faster than they could be applied" in line.follower.calibration.reason
    line.push(snapshot(15))
    assert (line.book.sequence, line.book.resyncs) == (15, 1)


def test_what_waits_when_the_connection_is_lost_is_dropped() -> None:
    line = live()
    line.put(delta(11), snapshot(12), delta(13))
    line.follower.on_connection_lost("cut", line.message_queue)
    assert len(line.message_queue) == 0
    line.take()
    assert not line.book.ready
    assert line.follower.calibration.reason == "cut"
    line.follower.on_subscribed()
    line.put(snapshot(20), epoch=2)
    line.take()
    assert line.book.sequence == 20


def test_a_snapshot_ahead_of_a_live_book_is_reported_as_a_new_beginning() -> None:
    line = live()
    line.push(snapshot(12))
    assert (line.book.sequence, line.book.resyncs, line.owner.requested) == (12, 1, 1)
    assert line.events() == [BookReady, BookResyncing, BookReady]
    assert "updates before the newest snapshot are missing" in str(line.owner.events[1])


def test_a_numbering_that_went_back_is_reported() -> None:
    line = live()
    for sequence in (3, 4, 5):
        line.follower.on_connection_lost("cut", line.message_queue)
        line.follower.on_subscribed()
        line.push(snapshot(sequence))
    assert line.book.sequence == 5
    assert line.events()[-2:] == [BookRenumbered, BookReady]


def test_a_push_of_an_unusual_form_is_applied() -> None:
    line = live()
    message = json.loads(delta(11))
    message["d"]["b"] = [[99, 7.5, "0"]]
    message["d"]["O"] = "11"
    line.push(json.dumps(message, indent=1).encode())
    assert line.book.bid_size(99) == 7.5
    line.push(delta(12), json.dumps({**message, "t": "whatever"}).encode())
    assert not line.book.ready


def test_changes_have_the_rows_of_the_updates() -> None:
    line = live()
    changes = line.follower.listen(100)
    line.push(delta(11), delta(12, "0"))
    seen = [changes.get(0) for _ in range(2)]
    assert [change.sequence_end for change in seen] == [11, 12]
    assert [[(str(row.price), str(row.size)) for row in change.bids] for change in seen] == [
        [("99", "5")],
        [("99", "0")],
    ]
