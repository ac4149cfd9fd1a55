"""The follower of a book: when the book can be read, its requests, events and listeners, and its end. No sockets."""

from __future__ import annotations

import gc
import itertools
import threading
from functools import partial
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
from kucoin_sync.books.follower import Follower
from kucoin_sync.books.locks import BookLocks
from kucoin_sync.protocol.envelopes import FrameBatch

from ...support.books import snapshot
from ...support.followers import FollowedBook, message, raw_push
from ...support.interrupts import read_before
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


def live(**options: Any) -> FollowedBook:
    """Return a book that is ready at 10."""
    followed = FollowedBook(SPOT, **options)
    followed.follower.on_subscribed()
    assert not followed.fetch(snapshot(10))
    followed.owner.events.clear()
    return followed


def reason(followed: FollowedBook) -> str:
    """Return why the book can't be read."""
    with pytest.raises(BookNotReady) as caught:
        followed.book.bids()
    return str(caught.value)


def test_a_snapshot_is_requested_when_the_server_sends_the_topic() -> None:
    followed = FollowedBook(SPOT)
    followed.push(update(8))
    assert followed.follower.snapshot_attempt() is None
    assert followed.owner.requested == 0
    followed.follower.on_subscribed()
    followed.follower.on_subscribed()
    assert followed.follower.snapshot_attempt() == 1
    waiting = Task(followed.book.wait_ready)
    assert followed.owner.requested == 1
    assert not followed.fetch(snapshot(7))
    assert followed.follower.snapshot_attempt() is None
    assert followed.book.sequence == 8
    assert followed.owner.events == [BookReady(SPOT, 2, 8)]
    assert waiting.result() is followed.book


def test_a_book_is_not_ready_from_the_moment_its_connection_is_lost() -> None:
    followed = live()
    followed.put(update(11))
    followed.follower.on_connection_lost("there is no connection to KuCoin: no route")
    assert "because there is no connection to KuCoin: no route" in reason(followed)
    assert followed.owner.events == [BookResyncing(SPOT, 2, "there is no connection to KuCoin: no route")]
    assert followed.follower.snapshot_attempt() is None
    followed.take()
    followed.follower.on_connection_lost("there is no connection to KuCoin: still none")
    assert "still none" in reason(followed)
    assert len(followed.owner.events) == 1
    followed.follower.on_subscribed()
    assert followed.owner.requested == 2
    assert not followed.fetch(snapshot(12))
    assert (followed.book.sequence, followed.book.resyncs) == (12, 1)


def test_a_snapshot_requested_before_a_loss_is_ignored() -> None:
    followed = live()
    followed.push(update(13))
    attempt = followed.follower.snapshot_attempt()
    assert attempt is not None
    followed.follower.on_connection_lost("cut")
    followed.follower.on_subscribed()
    assert followed.follower.apply_snapshot(snapshot(13), attempt)
    assert not followed.book.ready
    assert not followed.fetch(snapshot(13))


@pytest.mark.parametrize("frame", [b'{"broken', b"{}", b'{"data":5}', b"[" * 100_000])
def test_an_unreadable_frame_counts_as_missing(frame: bytes) -> None:
    followed = live()
    followed.put(update(11))
    followed.message_queue.put(raw_push(message(followed.source.topic, update(12)), frame))
    followed.take()
    assert "an update could not be read" in reason(followed)
    assert not followed.fetch(snapshot(13))


def test_updates_that_came_together_are_applied_together_and_no_more_than_asked_for() -> None:
    followed = live()
    pushes = [raw_push(message(followed.source.topic, update(n))) for n in range(11, 17)]
    followed.message_queue.put_many(
        FrameBatch([push.frame for push in pushes], pushes[0].arrival, prefix=pushes[0].prefix)
    )
    followed.put(update(17))
    for most, sequence in ((2, 12), (3, 15), (9, 16), (9, 17)):
        followed.take(most)
        assert (followed.book.sequence, len(followed.message_queue)) == (sequence, 17 - sequence)


def test_a_frame_of_an_unusual_form_is_applied() -> None:
    followed = live()
    for number in range(11, 15):
        unusual = {**update(number), "changes": {"bids": [["99", number, number, "more"]], "asks": None}}
        followed.push(unusual, received_ns=number)
        assert (followed.book.sequence, followed.book.received_ns) == (number, number)
        assert followed.book.best_bid == (99, number)


def test_the_subject_determines_the_kind_of_an_unusual_frame() -> None:
    followed = FollowedBook(SPOT, level=3)
    followed.follower.on_subscribed()
    followed.fetch({"sequence": 10, "bids": [], "asks": []})
    for number in (11, 12):
        followed.push({"sequence": number, "orderId": f"o{number}", "side": "buy", "price": 99.5, "size": "1"}, "open")
    assert [order.id for order in followed.follower.read(lambda book: book.bid_orders())] == ["o11", "o12"]


def test_a_gap_requests_one_snapshot() -> None:
    followed = live()
    followed.push(update(13))
    followed.push(update(14))
    followed.push(update(17))
    assert followed.owner.requested == 2
    assert followed.fetch(snapshot(13))
    assert "too old for the updates from 17 on" in reason(followed)
    followed.follower.snapshot_delayed(0.75)
    assert not followed.fetch(snapshot(16))
    assert followed.owner.requested == 2
    assert followed.owner.events == [
        BookResyncing(SPOT, 2, "the updates with the sequences 11 to 12 are missing"),
        SnapshotFailed(SPOT, 2, "the snapshot is of 13, too old for the updates from 17 on", 0.75),
        BookReady(SPOT, 2, 17),
    ]


def test_a_snapshot_that_later_updates_use_up_at_once_is_not_told_as_a_resync() -> None:
    followed = FollowedBook(SPOT, depth=1)
    followed.follower.on_subscribed()
    data = snapshot(10)
    gone = {name: [[data[name][0][0], "0", "11"]] for name in ("bids", "asks")}
    followed.push({**update(11), "changes": gone})
    assert followed.fetch(data)
    assert "all levels of the partial snapshot are gone" in reason(followed)
    assert followed.owner.events == []
    assert not followed.fetch(snapshot(11))
    assert followed.owner.events == [BookReady(SPOT, 2, 11)]


def test_a_new_epoch_alone_does_not_restart_the_book() -> None:
    followed = live()
    followed.push(update(11), epoch=2)
    assert (followed.book.sequence, followed.book.resyncs) == (11, 0)


def test_dropped_updates_count_as_missing_once() -> None:
    followed = live(maxsize=3)
    for number in range(11, 18):
        followed.put(update(number))
    followed.take(2)
    assert followed.book.sequence == 12
    followed.take()
    assert "4 updates came faster than they could be applied and were dropped" in reason(followed)
    assert not followed.fetch(snapshot(17))
    followed.push(update(18))
    assert followed.book.sequence == 18
    assert followed.book.resyncs == 1
    followed.message_queue.put(
        message(followed.source.topic, update(19)).with_lost(5)
    )  # the message alone reports the loss
    followed.take()
    assert followed.book.resyncs == 2


def test_after_a_cut_the_reason_is_what_the_snapshot_waits_for() -> None:
    followed = live()
    followed.follower.on_connection_lost("the connection was lost")
    assert reason(followed).endswith("because the connection was lost")
    followed.owner.step = "the request was not answered within 3 s"
    assert reason(followed).endswith("because the connection was lost"), "nothing is asked for yet"
    followed.follower.on_subscribed()
    assert reason(followed).endswith("because its snapshot has not come yet: the request was not answered within 3 s")
    with pytest.raises(BookNotReady, match="was not ready within 0 s, because its snapshot has not come yet: the requ"):
        followed.book.wait_ready(timeout=0.0)
    followed.owner.step = ""
    followed.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    assert reason(followed).endswith("because a snapshot could not be fetched: no route")
    followed.follower.on_connection_lost("it was lost again")
    assert reason(followed).endswith("because it was lost again")


def test_a_book_of_a_closed_stream_raises_stream_closed() -> None:
    followed = live()
    followed.follower.end(StreamClosed("the book was closed with its stream"))
    assert "can't be read any more: the book was closed" in reason(followed), "the stream is open"
    followed.owner.closed = True
    for read in (followed.book.bids, lambda: followed.book.best_bid, lambda: followed.book.imbalance(timeout=1.0)):
        with pytest.raises(StreamClosed, match=r"can't be read any more: the book was closed with its stream"):
            read()


def test_the_reason_for_a_missing_snapshot_is_given_until_one_comes() -> None:
    followed = FollowedBook(SPOT)
    followed.follower.on_subscribed()
    followed.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    assert reason(followed).endswith("the first snapshot has not come yet; a snapshot could not be fetched: no route")
    with pytest.raises(BookNotReady, match=r"was not ready within 0 s, because .*no route"):
        followed.book.wait_ready(timeout=0.0)
    followed.follower.snapshot_delayed(1.5)
    assert "no route" not in reason(followed)
    assert [event.reason for event in followed.owner.events] == ["no route", "the first snapshot has not come yet"]
    followed.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    followed.follower.on_connection_lost("cut")
    assert "no route" not in reason(followed)
    followed.follower.on_subscribed()
    followed.follower.snapshot_delayed(1.5, ConnectionFailed("no route"))
    followed.fetch(snapshot(10))
    followed.push(update(13))
    assert "no route" not in reason(followed)
    followed.owner.events.clear()
    followed.fetch(snapshot(20))
    followed.follower.snapshot_delayed(1.5)  # the book is ready, so this is ignored
    assert followed.owner.events == [BookReady(SPOT, 2, 20)]


def test_events_are_emitted_without_the_lock() -> None:
    followed = live()
    reads = []

    def emit(_: Any) -> None:
        reads.append(Task(lambda: followed.book.ready and followed.book.bids()).result())

    followed.owner.emit = emit  # type: ignore[method-assign]
    followed.follower.on_connection_lost("cut")
    followed.follower.on_subscribed()
    followed.fetch(snapshot(11))
    assert len(reads) == 2


def test_a_reader_comes_before_the_next_updates() -> None:
    followed = live()
    followed.put(update(11))
    with followed.follower.reader_lock:
        taking = Task(followed.take)
        assert followed.follower.lock.acquire(
            timeout=10
        )  # a thread that waits for the reader lock does not hold this one
        followed.follower.lock.release()
        assert followed.book.sequence == 10
    taking.result()
    assert followed.book.sequence == 11


def test_a_read_that_interrupts_a_change_at_any_step_waits_for_nobody() -> None:
    code = {function.__code__ for function in (Follower._change, Follower._do_and_note, BookLocks.update)}

    def walk() -> int:
        for step in itertools.count(1):
            followed = live()
            change, look = partial(followed.push, update(11)), partial(repr, followed.book)
            if not read_before(step, change, followed.follower, look, code):
                return step
        raise AssertionError

    assert Task(walk).result() > 50


def test_a_read_may_interrupt_a_read_of_the_same_thread() -> None:
    followed = live()
    with followed.follower.lock, followed.follower.reader_lock:
        assert followed.book.best_bid == (99, 1)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(StreamClosed("it was closed"), None), (RestError("900001", "symbol not exists"), RestError)],
)
def test_an_end_is_reported_once_to_owner_waiters_and_listeners(
    error: Exception, raised: type[Exception] | None
) -> None:
    followed = FollowedBook(SPOT)
    followed.follower.on_subscribed()
    waiting, loop = Task(followed.book.wait_ready), iter(followed.book)
    followed.follower.end(error)
    followed.follower.end(StreamClosed("again"))
    with pytest.raises(type(error)) as caught:
        waiting.result()
    assert caught.value is error
    assert "can't be read any more" in reason(followed)
    assert str(error) in reason(followed)
    assert followed.owner.ended_books == [followed.follower]
    assert followed.owner.events == ([] if raised is None else [BookFailed(SPOT, 2, error)])
    assert followed.follower.snapshot_attempt() is None
    for each in (loop, iter(followed.book)):
        if raised is None:
            assert list(each) == []
        else:
            with pytest.raises(raised):
                next(each)
    assert not followed.follower.apply_snapshot(snapshot(10), 1)
    followed.follower.snapshot_delayed(1.0)
    assert not followed.book.ready
    assert followed.book.closed
    assert repr(followed.follower) == f"<Follower of the book of BTC-USDT: {error}>"


def test_a_book_that_has_started_again_or_is_ready_does_not_end_for_an_earlier_attempt() -> None:
    followed = FollowedBook(SPOT)
    followed.follower.on_subscribed()
    attempt = followed.follower.snapshot_attempt()
    assert attempt is not None
    followed.follower.restart("the replay was moved")
    followed.follower.give_up(attempt, RestError("1", "no more snapshots"))
    assert followed.follower.ended is None
    assert not followed.fetch(snapshot(10))
    followed.follower.give_up(attempt + 1, RestError("1", "no more snapshots"))
    assert followed.follower.ended is None
    followed.push(update(13))
    last = followed.follower.snapshot_attempt()
    assert last is not None
    error = RestError("1", "no more snapshots")
    followed.follower.give_up(last, error)
    followed.follower.give_up(last, error)
    assert followed.follower.ended is error
    assert followed.owner.ended_books == [followed.follower]
    assert followed.owner.events.count(BookFailed(SPOT, 2, error)) == 1


def test_each_listener_gets_the_changes_from_its_start_on() -> None:
    followed = FollowedBook(SPOT)
    followed.follower.on_subscribed()
    first: Any = iter(followed.book)
    followed.push(update(10))
    followed.push(update(9, 12))
    assert not followed.fetch(snapshot(9))
    second: Any = iter(followed.book)
    followed.push(update(13))
    followed.push(update(15))
    assert not followed.fetch(snapshot(14))
    got = [first.get(timeout=0) for _ in range(4)]
    assert [(each.sequence_start, each.sequence_end, each.resyncs) for each in got] == [
        (10, 10, 0), (9, 12, 0), (13, 13, 0), (15, 15, 1),
    ]  # fmt: skip
    assert [second.get(timeout=0) for _ in range(2)] == got[2:]
    for each in (first, second):
        with pytest.raises(TimeoutError):
            each.get(timeout=0)


def test_only_the_slow_listener_gets_a_slow_consumer_error() -> None:
    followed = live()
    slow, quick = followed.follower.listen(2), followed.follower.listen(100)
    for number in range(11, 16):
        followed.push(update(number))
    assert [slow.get(timeout=0).sequence_end for _ in range(2)] == [11, 12]  # type: ignore[attr-defined]
    with pytest.raises(SlowConsumer, match="3 changes of the book of BTC-USDT were dropped because 2 were waiting"):
        slow.get(timeout=0)
    followed.push(update(16))
    assert slow.get(timeout=0).lost == 3
    assert quick.pending == 6
    assert followed.owner.events == [Overflowed(("the book of BTC-USDT",), 1)]
    assert followed.book.sequence == 16


def test_an_unreferenced_listener_is_dropped_unless_it_has_a_callback() -> None:
    followed = live()
    followed.follower.listen(10, callback=print)
    held = followed.follower.listen(10)
    followed.follower.listen(10)
    gc.collect()
    followed.push(update(11))
    assert len(followed.follower._listeners) == 2
    held.close()
    followed.push(update(12))
    assert len(followed.follower._listeners) == 1
    assert held.pending == 1
    assert held.closed


def test_concurrent_reads_see_complete_updates_only() -> None:
    followed = live()
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            cut = followed.book.snapshot()
            assert cut.bids[0].size == (cut.sequence if cut.sequence > 10 else 1)
            looks += 1
        return looks

    readers = [Task(look) for _ in range(3)]
    for number in range(11, 3000):
        followed.push(update(number))
    stop.set()
    assert all(reader.result() for reader in readers)
