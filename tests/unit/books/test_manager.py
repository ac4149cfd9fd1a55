"""The manager of a stream's books, with a fake for the rest of the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import kucoin_sync
from kucoin_sync import AuthenticationError, ConnectionFailed, StreamClosed
from kucoin_sync.books import manager
from kucoin_sync.books.manager import BookManager
from kucoin_sync.connections.subscriber import SubscribeOptions
from kucoin_sync.delivery.overflow import queue_for
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.internal.fork import FirstUse
from kucoin_sync.protocol.session_events import TopicKey

from ...support.books import snapshot
from ...support.followers import message
from ...support.threads import LIMIT, reached, until

SPOT, TOPIC = "BTC-USDT", "/market/level2:BTC-USDT"


class Stream:
    """A fake of all the parts of a stream that the manager uses."""

    label = ""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.subscriptions: list[Subscription[Any]] = []
        self.carried: set[str] = set()
        self.refusal: Exception | None = None
        self.prepared: list[Any] = []
        self.served: list[Any] = []
        self.needing: list[Any] = []
        self.forgotten: list[Any] = []
        self.request_count = 3
        self.meanwhile = lambda: None
        self.first_use, self.before_wait = FirstUse(), None

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def brings(self, topic: str) -> bool:
        return False

    def carries(self, topic: str) -> bool:
        return topic in self.carried

    def subscribe(self, topics: tuple[str, ...], options: SubscribeOptions) -> Subscription[Any]:
        if self.refusal is not None:
            raise self.refusal
        assert options.timeout == 0
        message_queue: MessageQueue = queue_for(
            options.overflow, options.maxsize, lambda dropped: None, lambda dropped: ValueError()
        )
        made = Subscription[Any](topics, message_queue, close=lambda each: each.message_queue.finish(None))
        self.subscriptions.append(made)
        self.meanwhile()
        return made

    def prepare(self, *subscriptions: Any) -> Callable[[], None]:
        self.prepared.extend(subscriptions)
        return lambda: self.served.extend(subscriptions)

    def add(self, book: Any) -> None: ...
    def request_snapshot(self, book: Any) -> None:
        self.needing.append(book)

    def remove(self, book: Any) -> None:
        self.forgotten.append(book)

    def close(self) -> list[threading.Thread]:
        return []


@pytest.fixture
def book_stream() -> Stream:
    return Stream()


@pytest.fixture
def book_manager(book_stream: Stream) -> Iterator[BookManager]:
    part: Any = book_stream
    made = BookManager(part, part, part, part, lambda: False)
    yield made
    for thread in made.close():
        thread.join(LIMIT)
        assert not thread.is_alive()


def opened(book_manager: BookManager, symbol: str = SPOT, **options: Any) -> Any:
    return book_manager.open(symbol, **{"level": 2, "generation": 2, "on_change": None, "maxsize": 10, **options})


def update(sequence: int, topic: str = TOPIC) -> Any:
    changes = {"bids": [["99", "1", str(sequence)]], "asks": []}
    return message(topic, {"sequenceStart": sequence, "sequenceEnd": sequence, "changes": changes})


def test_updates_of_a_subscription_reach_its_book(book_manager: BookManager, book_stream: Stream) -> None:
    book = opened(book_manager)
    assert not book_stream.needing
    book_manager.carried([TopicKey("/market/level2:ETH-USDT"), TopicKey(TOPIC, "a tunnel")])
    assert not book_stream.needing
    book_manager.carried([TopicKey(TOPIC)])
    assert book_stream.needing == [book]
    book.apply_snapshot(snapshot(10), book.snapshot_attempt())
    for number in range(11, 2000):
        book_stream.subscriptions[0].put(update(number))
    until(lambda: book.calibration.sequence == 1999, "updates are not applied")
    assert book_manager.stats() == {"books": 1, "books_ready": 1, "book_resyncs": 0, "book_snapshots": 3}


def test_invalid_arguments_are_refused(book_manager: BookManager) -> None:
    for options, error, hint in (
        ({"maxsize": 0}, ValueError, "maxsize is 0; at least 1 change may wait"),
        ({"maxsize": None}, ValueError, "maxsize is None; at least 1 change may wait"),
        ({"on_change": 5}, TypeError, "on_change must be callable, not int"),
    ):
        with pytest.raises(error, match=hint):
            opened(book_manager, **options)
    assert book_manager.stats()["books"] == 0


def test_a_topic_that_the_server_already_sends_needs_no_confirmation(
    book_manager: BookManager, book_stream: Stream
) -> None:
    book_stream.carried.add(TOPIC)
    book = opened(book_manager)
    assert book_stream.needing == [book]


def test_a_busy_book_does_not_starve_the_others(
    book_manager: BookManager, book_stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_UPDATES_PER_JOB", 10)
    books = [opened(book_manager), opened(book_manager, "ETH-USDT")]
    busy, other = book_stream.subscriptions
    executor: list[Any] = []
    both = threading.Event()

    def take(book: Any, really: Any, *arguments: Any) -> None:
        reached(both, "the test never let the books be served")
        executor.append(book)
        really(*arguments)

    for book in books:
        book.on_subscribed()
        book.apply_snapshot(snapshot(10), book.snapshot_attempt())
        book.apply_pending = partial(take, book, book.apply_pending)
    busy.put_many([update(number) for number in range(11, 2011)])
    other.put(update(11, "/market/level2:ETH-USDT"))
    both.set()
    until(lambda: books[0].calibration.sequence == 2010, "updates are not applied")
    assert executor.index(books[1]) <= 2
    assert executor.count(books[0]) >= 200


def test_an_update_that_arrives_during_the_subscription_is_applied(
    book_manager: BookManager, book_stream: Stream
) -> None:
    book_stream.meanwhile = lambda: book_stream.subscriptions[0].put(update(11))
    opened(book_manager)
    until(lambda: not book_stream.subscriptions[0].pending, "the update is not taken")


def test_a_lost_connection_is_reported_to_the_books_of_its_topics(
    book_manager: BookManager, book_stream: Stream
) -> None:
    one, two, other = opened(book_manager), opened(book_manager), opened(book_manager, "ETH-USDT")
    for book in (one, two, other):
        book.on_subscribed()
        book.apply_snapshot(snapshot(10), book.snapshot_attempt())
    book_manager.lost([TopicKey(TOPIC)], ConnectionFailed("no route"))
    assert [book.calibration.live for book in (one, two, other)] == [False, False, True]
    assert one.calibration.reason == "there is no connection to KuCoin: no route"
    assert book_manager.stats()["book_resyncs"] == 2


def test_a_subscription_that_ends_ends_its_book(book_manager: BookManager, book_stream: Stream) -> None:
    closed, refused = opened(book_manager), opened(book_manager, "ETH-USDT")
    error = AuthenticationError("refused")
    book_stream.subscriptions[0].message_queue.finish(None)
    book_stream.subscriptions[1].message_queue.finish(error)
    until(lambda: closed.ended and refused.ended, "a book has not ended")
    assert isinstance(closed.ended, StreamClosed)
    assert "was unsubscribed; open it again" in str(closed.ended)
    assert refused.ended is error
    assert set(book_stream.forgotten) == {closed, refused}
    assert book_manager.stats()["books"] == 0


def test_updates_received_before_the_end_are_still_applied(
    book_manager: BookManager, book_stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_UPDATES_PER_JOB", 10)
    book = opened(book_manager)
    book.on_subscribed()
    book.apply_snapshot(snapshot(10), book.snapshot_attempt())
    changes: Any = book.listen(1000)
    with book.lock:
        book_stream.subscriptions[0].put_many([update(number) for number in range(11, 111)])
        book_stream.subscriptions[0].message_queue.finish(None)
    assert [changes.get(timeout=LIMIT).sequence_end for _ in range(100)] == list(range(11, 111))


def test_a_defect_ends_its_book_and_no_other(
    book_manager: BookManager, book_stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    struck, other = opened(book_manager), opened(book_manager, "ETH-USDT")
    struck.apply_pending = lambda message_queue, most: 1 / 0
    for subscription in book_stream.subscriptions:
        subscription.put(update(11))
    until(lambda: struck.ended, "the book has not ended")
    assert "a defect in this package: ZeroDivisionError" in str(struck.ended)
    assert "a defect ended the book of BTC-USDT" in caplog.text
    until(lambda: not len(book_stream.subscriptions[1].message_queue), "the other book is not served")
    assert other.ended is None


def test_one_of_two_books_of_a_topic_may_end(book_manager: BookManager, book_stream: Stream) -> None:
    one, two = opened(book_manager), opened(book_manager)
    one.end(StreamClosed("it was closed"))
    assert book_stream.subscriptions[0].closed
    assert not book_stream.subscriptions[1].closed
    book_manager.carried([TopicKey(TOPIC)])
    assert book_stream.needing == [two]
    two.end(StreamClosed("it was closed"))
    book_manager.carried([TopicKey(TOPIC)])
    assert book_stream.needing == [two]


def test_resyncs_of_ended_books_still_count(book_manager: BookManager, book_stream: Stream) -> None:
    for _ in range(2):
        book = opened(book_manager)
        book.on_subscribed()
        book.apply_snapshot(snapshot(10), book.snapshot_attempt())
        book.on_connection_lost("cut")
    book.end(StreamClosed("it was closed"))
    assert book_manager.stats()["book_resyncs"] == 2
    book_manager.close()
    assert book_manager.stats()["book_resyncs"] == 2


def test_on_change_gets_the_first_change(book_manager: BookManager, book_stream: Stream) -> None:
    book = opened(book_manager, on_change=print)
    (listener,) = book_stream.served
    assert listener.callback is print
    book.on_subscribed()
    book.apply_snapshot(snapshot(10), book.snapshot_attempt())
    book_stream.subscriptions[0].put(update(11))
    until(lambda: listener.pending == 1, "the change was not told")


def test_a_book_whose_subscription_fails_leaves_nothing_behind(book_manager: BookManager, book_stream: Stream) -> None:
    book_stream.refusal = StreamClosed("the stream is closed")
    with pytest.raises(StreamClosed, match="the stream is closed"):
        opened(book_manager, on_change=print)
    assert book_manager.stats()["books"] == 0
    assert book_stream.served[0].closed


def test_a_book_may_end_during_its_subscription(book_manager: BookManager, book_stream: Stream) -> None:
    """Such as by an answer of REST, if the server already sends the topic for another book."""

    def end() -> None:
        (book,) = book_manager._books
        book.end(ConnectionFailed("ended"))

    book_stream.meanwhile = end
    assert str(opened(book_manager).ended) == "ended"
    assert book_stream.subscriptions[0].closed


def test_closing_ends_all_books_without_unsubscribing_them_one_by_one(
    book_manager: BookManager, book_stream: Stream
) -> None:
    books = [opened(book_manager), opened(book_manager, "ETH-USDT")]
    (thread,) = book_manager.close()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert book_manager.closed
    for book in books:
        with pytest.raises(StreamClosed, match="was closed with its stream"):
            book.read(lambda _: None)
    assert not any(subscription.closed for subscription in book_stream.subscriptions)
    with pytest.raises(StreamClosed, match="make a new one to open a book"):
        opened(book_manager)
    book_manager.close()


def test_a_stream_without_books_has_the_same_stats_keys(book_manager: BookManager) -> None:
    names = book_manager.stats().keys()
    stream = kucoin_sync.Stream()
    assert names <= stream.stats().keys()
    stream.close()
