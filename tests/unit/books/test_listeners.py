"""The subscriptions that get a book's changes."""

from __future__ import annotations

import gc
import math
from typing import Any

import pytest

from kucoin_sync import BookNotReady, SlowConsumer, StreamClosed, Subscription
from kucoin_sync.books import LEVEL2, BookSource
from kucoin_sync.books.listeners import ChangeListeners

NAME = str(BookSource.of("BTC-USDT", with_key=True))


def update(sequence: int) -> Any:
    changes = {"bids": [["99", "1", str(sequence)]], "asks": []}
    return LEVEL2.read({"sequenceStart": sequence, "sequenceEnd": sequence, "changes": changes}, None)


@pytest.fixture
def book_listeners() -> ChangeListeners:
    return ChangeListeners(BookSource.of("BTC-USDT", with_key=True))


def made(listeners: ChangeListeners, maxsize: int = 10, callback: Any = None, told: Any = print) -> Subscription[Any]:
    subscription = listeners.make(maxsize, callback, print, told)
    listeners.add(subscription)
    return subscription


def test_each_gets_objects_of_its_own(book_listeners: ChangeListeners) -> None:
    first, second = made(book_listeners), made(book_listeners)
    book_listeners.publish([update(8), update(9)], 7, 0)
    changes = [[each.get(timeout=0) for _ in range(2)] for each in (first, second)]
    assert [[change.sequence_end for change in its] for its in changes] == [[8, 9], [8, 9]]
    assert changes[0][0] is not changes[1][0]


def test_one_that_nobody_holds_gets_nothing_unless_it_has_a_callback(book_listeners: ChangeListeners) -> None:
    kept = made(book_listeners)
    made(book_listeners)
    made(book_listeners, callback=print)
    gc.collect()
    assert [each.callback for each in book_listeners.alive()] == [None, print]
    assert len(book_listeners.with_callback) == 1
    book_listeners.publish([update(8)], 7, 0)
    assert len(book_listeners) == 2
    book_listeners.remove(kept)
    assert book_listeners.alive() == list(book_listeners.with_callback)


def test_one_that_is_slow_is_told_what_it_has_missed(book_listeners: ChangeListeners) -> None:
    told: list[tuple[tuple[str, ...], int]] = []
    assert book_listeners.free_capacity() == math.inf
    subscription = made(book_listeners, maxsize=1, told=lambda *args: told.append(args))
    assert book_listeners.free_capacity() == 1
    book_listeners.publish([update(n) for n in range(8, 11)], 7, 0)
    assert told == [((NAME,), 1)]
    assert subscription.get(timeout=0).sequence_end == 8
    with pytest.raises(SlowConsumer, match=f"2 changes of {NAME} were dropped because 1 were waiting already"):
        subscription.get(timeout=0)


def test_the_end_of_a_book_comes_after_its_changes(book_listeners: ChangeListeners) -> None:
    subscription = made(book_listeners)
    book_listeners.publish([update(8)], 7, 0)
    assert book_listeners.end(BookNotReady("why")) == [subscription]
    assert subscription.get(timeout=0).sequence_end == 8
    with pytest.raises(BookNotReady, match="why"):
        subscription.get(timeout=0)


def test_a_closed_book_calls_no_callback_any_more_and_a_loop_ends_after_what_it_has(
    book_listeners: ChangeListeners,
) -> None:
    called: list[object] = []
    loop, callback = made(book_listeners), made(book_listeners, callback=called.append)
    book_listeners.publish([update(8)], 7, 0)
    book_listeners.end(StreamClosed("closed"))
    callback.message_queue.callback(callback.message_queue.oldest())  # type: ignore[arg-type]
    assert (called, [change.sequence_end for change in loop], len(book_listeners)) == ([], [8], 0)
