"""The book that a user holds: each read returns what the pure book returns, or raises."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest

from kucoin_sync import BookNotReady, LocalBook, LocalLevel2Book, LocalLevel3Book, StreamClosed
from kucoin_sync.books import Level2Book, Level3Book
from kucoin_sync.internal.latch import Latch

from ...support.followers import FollowedBook
from ...support.interrupts import interrupted
from ...support.threads import LIMIT, Task, until

SPOT = "BTC-USDT"
BIDS = [["99", "1"], ["98", "2"], ["97", "4"]]
ASKS = [["101", "8"], ["102", "16"]]
ORDERS = {"bids": [["b1", "99", "1", 1], ["b2", "99", "2", 2], ["b3", "98", "4", 3]], "asks": [["a1", "101", "8", 4]]}
# The modules that run during an update, while the book is locked.
PURE = {f"kucoin_sync.books.{name}" for name in ("calibration", "codec", "l2", "l3", "price_index")}

READS: dict[str, Callable[[Any], Any]] = {
    "best_bid": lambda book: book.best_bid,
    "best_ask": lambda book: book.best_ask,
    "spread": lambda book: book.spread,
    "mid": lambda book: book.mid,
    "micro_price": lambda book: book.micro_price,
    "bids_complete_to": lambda book: book.bids_complete_to,
    "asks_complete_to": lambda book: book.asks_complete_to,
}
READS_WITH_TIMEOUT: dict[str, Callable[..., Any]] = {
    "bids": lambda book, **how: book.bids(2, **how),
    "asks": lambda book, **how: book.asks(**how),
    "cumulative_bids": lambda book, **how: book.cumulative_bids(2, **how),
    "cumulative_asks": lambda book, **how: book.cumulative_asks(2, **how),
    "bid_size": lambda book, **how: book.bid_size("98.0", **how),
    "ask_size": lambda book, **how: book.ask_size(101, **how),
    "imbalance": lambda book, **how: book.imbalance(2, **how),
    "price_to_buy": lambda book, **how: book.price_to_buy(3, **how),
    "price_to_sell": lambda book, **how: book.price_to_sell("1.5", **how),
}
READS_OF_ORDERS: dict[str, Callable[..., Any]] = {
    "order": lambda book, **how: book.order("b2", **how),
    "queue_position": lambda book, **how: book.queue_position("b2", **how),
    "orders_at": lambda book, **how: book.orders_at("99.0", **how),
    "bid_orders": lambda book, **how: book.bid_orders(2, **how),
    "ask_orders": lambda book, **how: book.ask_orders(**how),
}
CASES = [
    *((2, name, read, False) for name, read in READS.items()),
    *((level, name, read, True) for name, read in READS_WITH_TIMEOUT.items() for level in (2, 3)),
    *((3, name, read, True) for name, read in READS_OF_ORDERS.items()),
]


def snapshot(level: int) -> dict[str, Any]:
    return {"sequence": 10, **(ORDERS if level == 3 else {"bids": BIDS, "asks": ASKS})}


def followed(level: int = 2, *, ready: bool = True, **options: Any) -> FollowedBook:
    made = FollowedBook(SPOT, level=level, **options)
    made.follower.on_subscribed()
    if ready:
        made.fetch(snapshot(level))
    return made


@pytest.mark.parametrize(
    ("level", "name", "read", "waits"), CASES, ids=[f"{case[1]} of level {case[0]}" for case in CASES]
)
def test_a_read_returns_what_the_pure_book_returns_or_raises(level: int, name: str, read: Any, waits: bool) -> None:
    pure: Any = Level3Book() if level == 3 else Level2Book()
    pure.load(**{side: rows for side, rows in snapshot(level).items() if side != "sequence"})
    made = followed(level, ready=False)
    with pytest.raises(BookNotReady, match="book of BTC-USDT can't be read until a new snapshot"):
        read(made.book)
    if waits:
        with pytest.raises(BookNotReady, match="can't be read until"):
            read(made.book, timeout=0.01)
        waiting = Task(read, made.book, timeout=None)
        made.fetch(snapshot(level))
        assert waiting.result() == read(pure)
    else:
        made.fetch(snapshot(level))
    assert read(made.book) == read(pure)
    made.book.close()
    with pytest.raises(BookNotReady, match=r"can't be read any more: the .*book of BTC-USDT was closed"):
        read(made.book)


def test_a_snapshot_is_of_one_sequence() -> None:
    made = followed()
    made.push({"sequenceStart": 11, "sequenceEnd": 11, "changes": {"bids": [["99", "7", 11]]}}, received_ns=123)
    cut = made.book.snapshot(depth=1)
    assert (cut.symbol, cut.level, cut.sequence, cut.received_ns) == (SPOT, 2, 11, 123)
    assert (cut.bids, cut.asks, cut.bid_orders, cut.ask_orders) == ([(99, 7)], [(101, 8)], (), ())
    assert made.book.snapshot().bids == [(99, 7), (98, 2), (97, 4)]
    assert made.book.received_ns == 123


def test_a_snapshot_of_level_3_has_the_orders_of_its_levels() -> None:
    cut = followed(3).book.snapshot(depth=1)
    assert [order.id for order in cut.bid_orders] == ["b1", "b2"]
    assert [order.id for order in cut.ask_orders] == ["a1"]
    assert cut.level == 3


def test_orders_stay_on_their_side_while_the_sides_are_crossed() -> None:
    made = FollowedBook(SPOT, level=3)
    made.follower.on_subscribed()
    made.fetch({"sequence": 1, "bids": [["b", "100", "1", 1]], "asks": [["a", "100", "2", 2]]})
    cut = made.book.snapshot()
    assert [order.id for order in cut.bid_orders] == ["b"]
    assert [order.id for order in cut.ask_orders] == ["a"]


def test_a_book_shows_its_state() -> None:
    made = followed(ready=False)
    book = made.book
    assert isinstance(book, LocalLevel2Book)
    assert isinstance(followed(3).book, LocalLevel3Book)
    assert (book.symbol, book.level, book.ready, book.sequence, book.resyncs, book.received_ns) == (
        SPOT,
        2,
        False,
        0,
        0,
        0,
    )
    assert repr(book) == "<LocalLevel2Book of BTC-USDT: not ready, the first snapshot has not come yet>"
    made.fetch(snapshot(2))
    assert (book.ready, book.sequence, book.closed) == (True, 10, False)
    assert repr(book) == "<LocalLevel2Book of BTC-USDT: at 10, best bid 1 at 99, best ask 8 at 101>"
    made.follower.on_connection_lost("cut")
    assert (book.ready, book.sequence, book.resyncs) == (False, 10, 1)
    made.follower.on_subscribed()
    made.fetch({"sequence": 12, "bids": [], "asks": []})
    assert repr(book) == "<LocalLevel2Book of BTC-USDT: at 12, best bid none, best ask none>"
    with book:
        pass
    assert (book.ready, book.closed) == (False, True)
    assert repr(book) == "<LocalLevel2Book of BTC-USDT: ended, the book of BTC-USDT was closed>"


@pytest.mark.parametrize(("depth", "expected"), [(None, False), (3, True), (4, False)])
def test_a_book_says_whether_it_is_or_will_be_partial(depth: int | None, expected: bool) -> None:
    made = followed(ready=False, depth=depth)
    assert made.book.partial == (depth is not None)
    assert made.book.snapshot_depth == depth
    made.fetch(snapshot(2))
    assert made.book.partial == expected
    assert made.book.bids_complete_to == (Decimal(97) if expected else None)
    assert made.book.asks_complete_to is None
    made.follower.on_connection_lost("cut")
    assert made.book.partial == (depth is not None)


def test_waiting_for_a_book_returns_it_or_raises_the_reason() -> None:
    made = followed(ready=False)
    book = made.book
    with pytest.raises(BookNotReady, match=r"the book of BTC-USDT was not ready within 0\.01 s, because the first"):
        book.wait_ready(timeout=0.01)
    waiting = Task(book.wait_ready)
    made.fetch(snapshot(2))
    assert waiting.result() is book.wait_ready(timeout=0) is book
    made.follower.on_connection_lost("cut")
    waiting = Task(book.wait_ready, timeout=30.0)
    book.close()
    for wait in (waiting.result, book.wait_ready):
        with pytest.raises(StreamClosed, match="the book of BTC-USDT was closed"):
            wait()


def test_ctrl_c_ends_a_wait_cleanly_at_any_instant() -> None:
    made = followed(ready=False)
    kept: list[BaseException] = []  # programs may keep errors, and with them the frames of interrupted calls
    for instant in itertools.count(1):
        try:
            interrupted(lambda: made.book.wait_ready(timeout=0.0), instant)
        except KeyboardInterrupt as error:
            kept.append(error)
        except BookNotReady:
            break
    assert instant > 10
    Task(made.fetch, snapshot(2)).result()
    assert made.book.wait_ready(timeout=LIMIT).best_bid == (99, 1)


def test_a_close_interrupted_at_any_instant_is_completed_by_the_next_close() -> None:
    kept: list[BaseException] = []
    for instant in itertools.count(1):
        made = followed(ready=False)
        changes = iter(made.book)
        waiting = Task(made.book.wait_ready)
        until(lambda made=made: made.follower._waiting, "nobody waits")  # type: ignore[misc]
        try:
            interrupted(made.book.close, instant)
        except KeyboardInterrupt as error:
            kept.append(error)
        Task(made.book.close).result()
        with pytest.raises(StreamClosed, match="was closed"):
            waiting.result()
        assert Task(list, changes).result() == []
        assert set(made.owner.ended_books) == {made.follower}
        assert not made.follower.updating
        if len(kept) < instant:
            break
    assert instant > 10


def test_waits_that_time_out_leave_nothing_behind() -> None:
    def gates() -> int:
        gc.collect()
        return sum(type(each) is Latch for each in gc.get_objects())

    made, before = followed(ready=False), gates()
    for _ in range(100):
        assert not made.follower.wait_until_settled(0.0)
    assert gates() <= before


def test_a_read_after_a_wait_raises_if_the_book_was_lost_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The book may be lost again between the end of the wait and the read."""
    made = followed()
    real = made.follower.wait_until_settled

    def settle(timeout: float | None) -> bool:
        settled = real(timeout)
        made.follower.on_connection_lost("lost again")
        return settled

    monkeypatch.setattr(made.follower, "wait_until_settled", settle)
    with pytest.raises(BookNotReady, match="lost again"):
        made.book.bids(timeout=5)


def test_a_loop_gets_each_applied_update() -> None:
    made = followed()
    loop = iter(made.book)
    for number in range(11, 14):
        made.push({"sequenceStart": number, "sequenceEnd": number, "changes": {"asks": [["101", number, number]]}})
    made.book.close()
    assert [change.asks for change in loop] == [((101, number, number),) for number in range(11, 14)]  # type: ignore[union-attr]


def test_data_frames_of_a_book_are_those_of_its_snapshot() -> None:
    pandas = pytest.importorskip("pandas")
    book = followed().book
    pandas.testing.assert_frame_equal(book.to_frame(1), book.snapshot(1).to_frame())
    pandas.testing.assert_frame_equal(book.to_frame(floats=True), book.snapshot().to_frame(floats=True))


def test_a_signal_handler_may_read_the_book_during_a_read() -> None:
    """The reading thread already holds the lock, and the handler runs on the same thread."""
    threads = threading.active_count()
    book: LocalBook = followed().book
    assert book._follower.read(lambda pure: book.best_bid) == (99, 1)
    assert threading.active_count() <= threads


def test_a_repr_that_waits_for_a_reader_does_not_block_reads() -> None:
    book: LocalBook = followed().book
    with book._follower.reader_lock:  # like a reader that is about to take the lock
        looking = Task(repr, book)
        thread = looking._thread.ident
        assert thread is not None
        looks = [""]
        until(lambda: looks.append(str(sys._current_frames()[thread])) or looks[-1] == looks[-2], "it does not wait")
        assert Task(lambda: book._follower.lock.acquire(timeout=LIMIT) and not book._follower.lock.release()).result()
        assert book.best_bid == (99, 1)
    assert "best bid 1 at 99" in looking.result()


def test_a_read_inside_an_update_is_refused() -> None:
    """A finaliser may run at any step of an update."""
    made = followed()
    refused: list[str] = []

    def read(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals["__name__"] in PURE:
            sys.setprofile(None)
            for look in (lambda: made.book.best_bid, lambda: made.book.bids(1), lambda: made.book.partial):
                with pytest.raises(BookNotReady, match="in use"):
                    look()
            refused.append(repr(made.book))
            sys.setprofile(read)

    sys.setprofile(read)
    try:
        made.push({"sequenceStart": 11, "sequenceEnd": 11, "changes": {"asks": [["101", "5", "11"]]}})
    finally:
        sys.setprofile(None)
    assert refused and all("in use" in each for each in refused)
    assert made.book.best_ask == (101, 5)


def test_a_wait_inside_an_update_does_not_wait() -> None:
    made = followed(ready=False)
    told: list[str] = []

    def wait(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals["__name__"] in PURE and not told:
            sys.setprofile(None)
            with pytest.raises(BookNotReady, match="can't be waited for inside this call") as caught:
                made.book.wait_ready(timeout=LIMIT)
            told.append(str(caught.value))

    sys.setprofile(wait)
    try:
        made.push({"sequenceStart": 11, "sequenceEnd": 11, "changes": {"asks": [["101", "5", "11"]]}})
    finally:
        sys.setprofile(None)
    assert told
