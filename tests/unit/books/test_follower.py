"""The follower of a book: when the book can be read, its requests, events and listeners, and its end. No sockets."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from kucoin_sync import (
    BookFailed,
    BookNotReady,
    BookReady,
    BookResyncing,
    ConnectionFailed,
    Overflowed,
    RestError,
    SlowConsumer,
    SnapshotFailed,
    StreamClosed,
)
from kucoin_sync.protocol.envelopes import FrameBatch

from ...support.following import Line, message, sealed
from ...support.threads import Task

SPOT = "BTC-USDT"


def update(start: int, end: int | None = None) -> dict[str, Any]:
    end = end or start
    return {
        "sequenceStart": start,
        "sequenceEnd": end,
        "changes": {"bids": [["99", str(end), str(end)]], "asks": []},
        "symbol": SPOT,
    }


def snapshot(sequence: int) -> dict[str, Any]:
    return {"sequence": str(sequence), "time": 1, "bids": [["99", "1"]], "asks": [["101", "1"]]}


def live(**options: Any) -> Line:
    """Return a line whose book is ready at 10."""
    line = Line(SPOT, **options)
    line.follower.on_subscribed()
    assert not line.fetch(snapshot(10))
    line.owner.events.clear()
    return line


def reason(line: Line) -> str:
    """Return why the book can't be read."""
    with pytest.raises(BookNotReady) as caught:
        line.book.bids()
    return str(caught.value)


def test_a_snapshot_is_requested_when_the_server_sends_the_topic() -> None:
    line = Line(SPOT)
    line.push(update(8))
    assert line.follower.snapshot_attempt() is None
    assert line.owner.requested == 0
    line.follower.on_subscribed()
    line.follower.on_subscribed()
    assert line.follower.snapshot_attempt() == 1
    waiting = Task(line.book.wait_ready)
    assert line.owner.requested == 1
    assert not line.fetch(snapshot(7))
    assert line.follower.snapshot_attempt() is None
    assert line.book.sequence == 8
    assert line.owner.events == [BookReady(SPOT, 2, 8)]
    assert waiting.result() is line.book


def test_a_book_is_not_ready_from_the_moment_its_connection_is_lost() -> None:
    line = live()
    line.put(update(11))
    line.follower.on_connection_lost("there is no connection to KuCoin: no route")
    assert "because there is no connection to KuCoin: no route" in reason(line)
    assert line.owner.events == [BookResyncing(SPOT, 2, "there is no connection to KuCoin: no route")]
    assert line.follower.snapshot_attempt() is None
    line.take()
    line.follower.on_connection_lost("there is no connection to KuCoin: still none")
    assert "still none" in reason(line)
    assert len(line.owner.events) == 1
    line.follower.on_subscribed()
    assert line.owner.requested == 2
    assert not line.fetch(snapshot(12))
    assert (line.book.sequence, line.book.resyncs) == (12, 1)


def test_a_snapshot_requested_before_a_loss_is_ignored() -> None:
    line = live()
    line.push(update(13))
    attempt = line.follower.snapshot_attempt()
    assert attempt is not None
    line.follower.on_connection_lost("cut")
    line.follower.on_subscribed()
    assert line.follower.apply_snapshot(snapshot(13), attempt)
    assert not line.book.ready
    assert not line.fetch(snapshot(13))


@pytest.mark.parametrize("frame", [b'{"broken', b"{}", b'{"data":5}', b"[" * 100_000])
def test_an_unreadable_frame_counts_as_missing(frame: bytes) -> None:
    line = live()
    line.put(update(11))
    line.message_queue.put(sealed(message(line.source.topic, update(12)), frame))
    line.take()
    assert "an update could not be read" in reason(line)
    assert not line.fetch(snapshot(13))


def test_updates_that_came_together_are_applied_together_and_no_more_than_asked_for() -> None:
    line = live()
    pushes = [sealed(message(line.source.topic, update(n))) for n in range(11, 17)]
    line.message_queue.put_many(FrameBatch([push.frame for push in pushes], pushes[0].arrival, prefix=pushes[0].prefix))
    line.put(update(17))
    for most, sequence in ((2, 12), (3, 15), (9, 16), (9, 17)):
        line.take(most)
        assert (line.book.sequence, len(line.message_queue)) == (sequence, 17 - sequence)


def test_a_frame_of_an_unusual_form_is_applied() -> None:
    line = live()
    for number in range(11, 15):
        unusual = {**update(number), "changes": {"bids": [["99", number, number, "more"]], "asks": None}}
        line.push(unusual, received_ns=number)
        assert (line.book.sequence, line.book.received_ns) == (number, number)
        assert line.book.best_bid == (99, number)


def test_the_subject_determines_the_kind_of_an_unusual_frame() -> None:
    line = Line(SPOT, level=3)
    line.follower.on_subscribed()
    line.fetch({"sequence": 10, "bids": [], "asks": []})
    for number in (11, 12):
        line.push({"sequence": number, "orderId": f"o{number}", "side": "buy", "price": 99.5, "size": "1"}, "open")
    assert [order.id for order in line.follower.read(lambda book: book.bid_orders())] == ["o11", "o12"]


def test_a_gap_requests_one_snapshot() -> None:
    line = live()
    line.push(update(13))
    line.push(update(14))
    line.push(update(17))
    assert line.owner.requested == 2
    assert line.fetch(snapshot(13))
    assert "too old for the updates from 17 on" in reason(line)
    line.follower.snapshot_delayed(0.75)
    assert not line.fetch(snapshot(16))
    assert line.owner.requested == 2
    assert line.owner.events == [
        BookResyncing(SPOT, 2, "the updates with the sequences 11 to 12 are missing"),
        SnapshotFailed(SPOT, 2, "the snapshot is of 13, too old for the updates from 17 on", 0.75),
        BookReady(SPOT, 2, 17),
    ]


def test_a_new_epoch_alone_does_not_restart_the_book() -> None:
    line = live()
    line.push(update(11), epoch=2)
    assert (line.book.sequence, line.book.resyncs) == (11, 0)


def test_dropped_updates_count_as_missing_once() -> None:
    line = live(maxsize=3)
    for number in range(11, 18):
        line.put(update(number))
    line.take(2)
    assert line.book.sequence == 12
    line.take()
    assert "4 updates came faster than they could be applied and were dropped" in reason(line)
    assert not line.fetch(snapshot(17))
    line.push(update(18))
    assert line.book.sequence == 18
    assert line.book.resyncs == 1
    line.message_queue.put(message(line.source.topic, update(19)).with_lost(5))  # the message alone reports the loss
    line.take()
    assert line.book.resyncs == 2


def test_the_reason_for_a_missing_snapshot_is_given_until_one_comes() -> None:
    line = Line(SPOT)
    line.follower.on_subscribed()
    line.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    assert reason(line).endswith("the first snapshot has not come yet; a snapshot could not be fetched: no route")
    with pytest.raises(BookNotReady, match=r"was not ready within 0 s, because .*no route"):
        line.book.wait_ready(timeout=0.0)
    line.follower.snapshot_delayed(1.5)
    assert "no route" not in reason(line)
    assert [event.reason for event in line.owner.events] == ["no route", "the first snapshot has not come yet"]
    line.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    line.follower.on_connection_lost("cut")
    assert "no route" not in reason(line)
    line.follower.on_subscribed()
    line.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    line.fetch(snapshot(10))
    line.push(update(13))
    assert "no route" not in reason(line)
    line.owner.events.clear()
    line.fetch(snapshot(20))
    line.follower.snapshot_delayed(1.5)  # the book is ready, so this is ignored
    assert line.owner.events == [BookReady(SPOT, 2, 20)]


def test_events_are_emitted_without_the_lock() -> None:
    line = live()
    reads = []

    def emit(_: Any) -> None:
        reads.append(Task(lambda: line.book.ready and line.book.bids()).result())

    line.owner.emit = emit  # type: ignore[method-assign]
    line.follower.on_connection_lost("cut")
    line.follower.on_subscribed()
    line.fetch(snapshot(11))
    assert len(reads) == 2


def test_a_reader_comes_before_the_next_updates() -> None:
    line = live()
    line.put(update(11))
    with line.follower.reader_lock:
        taking = Task(line.take)
        assert line.follower.lock.acquire(timeout=10)  # a thread that waits for the reader lock does not hold this one
        line.follower.lock.release()
        assert line.book.sequence == 10
    taking.result()
    assert line.book.sequence == 11


def test_a_read_may_interrupt_a_read_of_the_same_thread() -> None:
    line = live()
    with line.follower.lock, line.follower.reader_lock:
        assert line.book.best_bid == (99, 1)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(StreamClosed("it was closed"), None), (RestError("900001", "symbol not exists"), RestError)],
)
def test_an_end_is_reported_once_to_owner_waiters_and_listeners(
    error: Exception, raised: type[Exception] | None
) -> None:
    line = Line(SPOT)
    line.follower.on_subscribed()
    waiting, loop = Task(line.book.wait_ready), iter(line.book)
    line.follower.end(error)
    line.follower.end(StreamClosed("again"))
    with pytest.raises(type(error)) as caught:
        waiting.result()
    assert caught.value is error
    assert "can't be read any more" in reason(line)
    assert str(error) in reason(line)
    assert line.owner.ended_books == [line.follower]
    assert line.owner.events == ([] if raised is None else [BookFailed(SPOT, 2, error)])
    assert line.follower.snapshot_attempt() is None
    for each in (loop, iter(line.book)):
        if raised is None:
            assert list(each) == []
        else:
            with pytest.raises(raised):
                next(each)
    assert not line.follower.apply_snapshot(snapshot(10), 1)
    line.follower.snapshot_delayed(1.0)
    assert not line.book.ready
    assert line.book.closed
    assert repr(line.follower) == f"<Follower of the book of BTC-USDT: {error}>"


def test_a_book_that_has_started_again_or_is_ready_does_not_end_for_an_earlier_attempt() -> None:
    line = Line(SPOT)
    line.follower.on_subscribed()
    attempt = line.follower.snapshot_attempt()
    assert attempt is not None
    line.follower.restart("the replay was moved")
    line.follower.give_up(attempt, RestError("1", "no more snapshots"))
    assert line.follower.ended is None
    assert not line.fetch(snapshot(10))
    line.follower.give_up(attempt + 1, RestError("1", "no more snapshots"))
    assert line.follower.ended is None
    line.push(update(13))
    last = line.follower.snapshot_attempt()
    assert last is not None
    error = RestError("1", "no more snapshots")
    line.follower.give_up(last, error)
    line.follower.give_up(last, error)
    assert line.follower.ended is error
    assert line.owner.ended_books == [line.follower]
    assert line.owner.events.count(BookFailed(SPOT, 2, error)) == 1


def test_each_listener_gets_the_changes_from_its_start_on() -> None:
    line = Line(SPOT)
    line.follower.on_subscribed()
    first: Any = iter(line.book)
    line.push(update(10))
    line.push(update(9, 12))
    assert not line.fetch(snapshot(9))
    second: Any = iter(line.book)
    line.push(update(13))
    line.push(update(15))
    assert not line.fetch(snapshot(14))
    got = [first.get(timeout=0) for _ in range(4)]
    assert [(each.sequence_start, each.sequence_end, each.resyncs) for each in got] == [
        (10, 10, 0), (9, 12, 0), (13, 13, 0), (15, 15, 1),
    ]  # fmt: skip
    assert [second.get(timeout=0) for _ in range(2)] == got[2:]
    for each in (first, second):
        with pytest.raises(TimeoutError):
            each.get(timeout=0)


def test_only_the_slow_listener_gets_a_slow_consumer_error() -> None:
    line = live()
    slow, quick = line.follower.listen(2), line.follower.listen(100)
    for number in range(11, 16):
        line.push(update(number))
    assert [slow.get(timeout=0).sequence_end for _ in range(2)] == [11, 12]  # type: ignore[attr-defined]
    with pytest.raises(SlowConsumer, match="3 changes of the book of BTC-USDT were dropped because 2 were waiting"):
        slow.get(timeout=0)
    line.push(update(16))
    assert slow.get(timeout=0).lost == 3
    assert quick.pending == 6
    assert line.owner.events == [Overflowed(("the book of BTC-USDT",), 1)]
    assert line.book.sequence == 16


def test_an_unreferenced_listener_is_dropped_unless_it_has_a_callback() -> None:
    line = live()
    line.follower.listen(10, callback=print)
    held = line.follower.listen(10)
    line.follower.listen(10)
    gc.collect()
    line.push(update(11))
    assert len(line.follower._listeners) == 2
    held.close()
    line.push(update(12))
    assert len(line.follower._listeners) == 1
    assert held.pending == 1
    assert held.closed


def test_concurrent_reads_see_complete_updates_only() -> None:
    line = live()
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            cut = line.book.snapshot()
            assert cut.bids[0].size == (cut.sequence if cut.sequence > 10 else 1)
            looks += 1
        return looks

    readers = [Task(look) for _ in range(3)]
    for number in range(11, 3000):
        line.push(update(number))
    stop.set()
    assert all(reader.result() for reader in readers)
