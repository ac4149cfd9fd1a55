"""The snapshot queue: it keeps to the rate limit, retries with delays, and no symbol delays another."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, KucoinSyncError, RestError
from kucoin_sync.books import BookSource, snapshot_fetcher
from kucoin_sync.books.snapshot_fetcher import RestQuota, SnapshotQueue
from kucoin_sync.net.waker import Waker

from ...support.threads import LIMIT, reached, until

FUTURES = "XBTUSDTM"


class Book:
    """A book that needs `wants` snapshots. Each one is good unless `fits` returns False for it."""

    def __init__(self, symbol: str = "BTC-USDT", *, wants: int = 1, with_key: bool = False) -> None:
        self.source = BookSource.of(symbol, with_key=with_key)
        self.wants = wants
        self.was_live = False
        self.fits: Callable[[Any], bool] = lambda data: True
        self.answers: list[Any] = []
        self.delays: list[tuple[float, Exception | None]] = []
        self.error: Exception | None = None
        self.satisfied = threading.Event()
        self.over = threading.Event()
        self.waiting = threading.Semaphore(0)

    def snapshot_attempt(self) -> int | None:
        return self.wants if self.wants else None

    def apply_snapshot(self, data: Any, attempt: int) -> bool:
        assert attempt == self.wants
        self.answers.append(data)
        if not self.fits(data):
            return True
        self.wants -= 1
        if not self.wants:
            self.satisfied.set()
        return bool(self.wants)

    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None:
        self.delays.append((seconds, error))
        self.waiting.release()

    def end(self, error: KucoinSyncError) -> None:
        self.error = error
        self.over.set()

    def wait(self) -> None:
        reached(self.satisfied, f"{self.source} has not got its snapshots")


class Rest:
    """A REST service whose answers to a symbol are the items of its script; the last item is repeated without end.

    An item is an answer, an error, "silence", or (event, answer) for an answer that is held back until an event.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Any]] = {}
        self.calls: list[tuple[str, float]] = []
        self.details: list[tuple[Any, ...]] = []
        self.made: list[bool] = []
        self.closed = 0
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def make(self, waker: Waker, signing: bool) -> Any:
        self.made.append(signing)
        return _Client(self, waker)

    def times(self, symbol: str) -> list[float]:
        return [when for name, when in self.calls if name == symbol]


class _Client:
    def __init__(self, rest: Rest, waker: Waker) -> None:
        self.rest = rest
        self.waker = waker

    def close(self) -> None:
        self.rest.closed += 1

    def call(self, market: str, method: str, path: str, query: dict[str, str], *, signed: bool) -> Any:
        rest, symbol = self.rest, query["symbol"]
        with rest._lock:
            rest.calls.append((symbol, time.monotonic()))
            rest.details.append((market, method, path, query, signed))
            rest.at_once += 1
            rest.most_at_once = max(rest.most_at_once, rest.at_once)
            script = rest.script.get(symbol, ["a snapshot"])
            answer = script.pop(0) if len(script) > 1 else script[0]
        try:
            if answer == "silence":
                while True:
                    self.waker.pause(LIMIT)
            if isinstance(answer, tuple):
                gate, answer = answer
                reached(gate, "the test never let the answer come")
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            with rest._lock:
                rest.at_once -= 1


@pytest.fixture
def fake_rest() -> Rest:
    return Rest()


@pytest.fixture
def fetcher(fake_rest: Rest) -> Iterator[SnapshotQueue]:
    """A queue with a very high rate limit; all its threads have ended after the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_fetcher, "_MIN_INTERVAL", 0.01)
        made = SnapshotQueue(fake_rest.make, RestQuota(10_000))
        yield made
        for thread in made.close():
            thread.join(LIMIT)
            assert not thread.is_alive()
        until(lambda: fake_rest.closed == len(fake_rest.made), "a client was not closed")


def limited(code: str = "429000", **options: Any) -> RestError:
    return RestError(code, "slow down", retriable=True, **options)


def test_a_snapshot_is_fetched_for_a_book_that_needs_one(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    book = Book(with_key=True)
    fetcher.request_snapshot(book)
    book.wait()
    assert fake_rest.details == [
        ("spot", "GET", "/api/v3/market/orderbook/level2", {"symbol": "BTC-USDT"}, True),
    ]
    assert book.answers == ["a snapshot"]
    assert fake_rest.made == [True]
    assert fetcher.request_count == 1


def test_signed_and_unsigned_requests_have_separate_clients(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._pool, "_most", 1)
    for with_key in (True, False, True, False):
        book = Book(with_key=with_key)
        fetcher.request_snapshot(book)
        book.wait()
    assert sorted(fake_rest.made) == [False, True]


def test_a_book_that_no_longer_needs_a_snapshot_costs_no_request(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    idle, busy = Book(wants=0), Book("ETH-USDT")
    fetcher.request_snapshot(idle)
    fetcher.request_snapshot(busy)
    busy.wait()
    assert [symbol for symbol, _ in fake_rest.calls] == ["ETH-USDT"]


def test_a_request_made_while_an_answer_arrives_is_kept(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    book = Book()
    gate = threading.Event()
    fake_rest.script["BTC-USDT"] = [(gate, "a snapshot"), "a snapshot"]
    fetcher.request_snapshot(book)
    until(lambda: fake_rest.calls, "nothing was asked for")

    def apply_snapshot(data: Any, attempt: int) -> bool:
        """Accept the answer and request another snapshot before the queue has recorded the answer."""
        book.answers.append(data)
        if len(book.answers) == 1:
            fetcher.request_snapshot(book)
        else:
            book.wants = 0
            book.satisfied.set()
        return False

    book.apply_snapshot = apply_snapshot  # type: ignore[method-assign]
    gate.set()
    book.wait()
    assert len(book.answers) == 2


def test_a_book_waits_between_two_good_snapshots(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_MIN_INTERVAL", 0.3)
    book = Book()
    fetcher.request_snapshot(book)
    book.wait()
    book.wants = 1
    book.satisfied.clear()
    fetcher.request_snapshot(book)
    book.wait()
    first, second = fake_rest.times("BTC-USDT")
    assert second - first >= 0.29


def test_a_snapshot_that_does_not_fit_is_fetched_again_after_growing_delays(
    fetcher: SnapshotQueue, fake_rest: Rest
) -> None:
    book = Book()
    fake_rest.script["BTC-USDT"] = ["old", "old", "good"]
    book.fits = lambda data: data == "good"
    fetcher.request_snapshot(book)
    book.wait()
    (one, _), (two, _) = book.delays
    assert 0.25 <= one <= 0.5 <= two <= 1.0
    times = fake_rest.times("BTC-USDT")
    assert times[1] - times[0] >= one
    assert times[2] - times[1] >= two


@pytest.mark.parametrize(
    "error",
    [
        RestError("500000", "system busy", retriable=True),
        ConnectionFailed("no route"),
        RuntimeError("a defect"),
    ],
)
def test_a_retriable_error_is_retried(
    fetcher: SnapshotQueue, fake_rest: Rest, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    fake_rest.script["BTC-USDT"] = [error, "a snapshot"]
    fetcher.request_snapshot(book)
    book.wait()
    ((seconds, told),) = book.delays
    assert 0.25 <= seconds <= 0.5
    if isinstance(error, KucoinSyncError):
        assert told is error
    else:
        assert "a defect in this package: RuntimeError: a defect" in str(told)
        assert "another will be fetched" in caplog.text


def test_a_fatal_error_ends_its_book_and_no_other(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    bad, good = Book("NONE-USDT"), Book()
    fake_rest.script["NONE-USDT"] = [RestError("900001", "symbol not exists")]
    fetcher.request_snapshot(bad)
    reached(bad.over, "the book was not ended")
    fetcher.remove(bad)
    fetcher.request_snapshot(good)
    good.wait()
    assert isinstance(bad.error, RestError)
    assert len(fake_rest.times("NONE-USDT")) == 1


def test_a_fatal_error_is_retried_for_a_symbol_that_had_a_ready_book(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(snapshot_fetcher, "_MAX_REMEMBERED", 2)
    stray = RestError("404", "nothing here", retriable=False)

    def ready(symbol: str, *answers: Any) -> Book:
        book = Book(symbol)
        book.was_live = len(answers) == 1
        fake_rest.script[symbol] = list(answers)
        fetcher.request_snapshot(book)
        return book

    def ended(symbol: str) -> bool:
        book = ready(symbol, stray, "a snapshot")
        until(lambda: book.satisfied.is_set() or book.over.is_set(), "nothing has become of the book")
        return book.over.is_set()

    for symbol in ("A-USDT", "B-USDT"):
        ready(symbol, "a snapshot").wait()
    assert [ended(symbol) for symbol in ("A-USDT", "B-USDT", "C-USDT")] == [False, False, True]
    ready("C-USDT", "a snapshot").wait()
    until(lambda: "C-USDT" in str(fetcher._were_live), "it was not noted")
    assert [ended(symbol) for symbol in ("A-USDT", "B-USDT", "C-USDT")] == [True, False, False], "A was forgotten"
    child = fetcher.after_fork()
    assert child._were_live == fetcher._were_live


def test_a_symbol_without_an_answer_delays_no_other(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    fake_rest.script["MUTE-USDT"] = ["silence"]
    fetcher.request_snapshot(Book("MUTE-USDT"))
    for number in range(5):
        book = Book(f"C{number}-USDT")
        fetcher.request_snapshot(book)
        book.wait()


def test_the_book_with_the_fewest_failures_goes_first(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._pool, "_most", 1)
    monkeypatch.setattr(snapshot_fetcher, "_FIRST_DELAY", 0.01)
    bad, holding, good = Book("BAD-USDT"), Book("HOLD-USDT"), Book("GOOD-USDT")
    gate = threading.Event()
    fake_rest.script["BAD-USDT"] = [RestError("500000", "busy", retriable=True)]
    fetcher.request_snapshot(bad)
    assert bad.waiting.acquire(timeout=LIMIT)
    fake_rest.script["HOLD-USDT"] = [(gate, "a snapshot")]
    fetcher.request_snapshot(holding)
    until(lambda: fake_rest.times("HOLD-USDT"), "nothing was asked for")
    before = len(fake_rest.times("BAD-USDT"))
    by_then = time.monotonic() + 0.05  # by then BAD-USDT is due, for longer than the next one
    until(lambda: time.monotonic() > by_then, "time stands still")
    fetcher.request_snapshot(good)
    gate.set()
    good.wait()
    assert len([when for when in fake_rest.times("BAD-USDT") if when < fake_rest.times("GOOD-USDT")[0]]) == before


def test_all_books_of_a_rest_service_wait_when_it_asks_to_slow_down(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    refused, other, elsewhere = Book(), Book("ETH-USDT"), Book(FUTURES)
    fake_rest.script["BTC-USDT"] = [limited(retry_after=0.7), "a snapshot"]
    fetcher.request_snapshot(refused)
    assert refused.waiting.acquire(timeout=LIMIT)
    assert refused.delays[0][0] == pytest.approx(0.7, abs=0.01)
    fetcher.request_snapshot(other)
    fetcher.request_snapshot(elsewhere)
    for book in (elsewhere, other, refused):
        book.wait()
    refused_at, again = fake_rest.times("BTC-USDT")
    assert again - refused_at >= 0.69
    assert fake_rest.times("ETH-USDT")[0] - refused_at >= 0.69
    assert fake_rest.times(FUTURES)[0] < fake_rest.times("ETH-USDT")[0]


@pytest.mark.parametrize(
    "error", [*map(limited, ("429000", "200002", "1015", "429")), ConnectionFailed("no route")], ids=str
)
def test_an_overloaded_or_unreachable_rest_service_is_given_a_pause(
    fetcher: SnapshotQueue, fake_rest: Rest, error: Exception
) -> None:
    """The books do not all try in turn, although each has its own delays."""
    books = [Book(f"C{number}-USDT") for number in range(6)]
    fake_rest.script["C0-USDT"] = [error, "a snapshot"]
    fetcher.request_snapshot(books[0])
    assert books[0].waiting.acquire(timeout=LIMIT)
    for book in books[1:]:
        fetcher.request_snapshot(book)
    for book in books:
        book.wait()
    first, second, *_ = sorted(when for _, when in fake_rest.calls)
    assert second - first >= 0.25


def test_a_repeated_request_changes_nothing(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    """This holds while a snapshot is fetched and while its book waits for the next one."""
    book, gate = Book(), threading.Event()
    fake_rest.script["BTC-USDT"] = [(gate, "old"), "a snapshot"]
    book.fits = lambda data: data == "a snapshot"
    fetcher.request_snapshot(book)
    until(lambda: fake_rest.calls, "nothing was asked for")
    fetcher.request_snapshot(book)
    other = Book("ETH-USDT")
    fetcher.request_snapshot(other)
    other.wait()
    assert len(fake_rest.times("BTC-USDT")) == 1
    gate.set()
    assert book.waiting.acquire(timeout=LIMIT)
    fetcher.request_snapshot(book)
    book.wait()
    one, two = fake_rest.times("BTC-USDT")
    assert two - one >= book.delays[0][0]


def test_a_limited_number_of_requests_runs_at_a_time(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    gate = threading.Event()
    books = [Book(f"C{number}-USDT") for number in range(10)]
    for number, book in enumerate(books):
        answer = ConnectionFailed("no route") if number < 4 else "a snapshot"
        fake_rest.script[book.source.symbol] = [(gate, answer), "a snapshot"]
        fetcher.request_snapshot(book)
    until(lambda: fake_rest.at_once == 4, "fewer are under way than may be")
    gate.set()
    for book in books:
        book.wait()
    assert fake_rest.most_at_once == 4
    # Simultaneous failures count as one: none doubles a delay that another one has started.
    assert all(0.2 < seconds <= 0.5 for book in books for seconds, _ in book.delays)


def test_an_idle_thread_takes_over_from_a_blocked_one(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._pool, "_idle_timeout", 2 * LIMIT)
    gate = threading.Event()
    for symbol in ("ONE-USDT", "TWO-USDT"):
        fake_rest.script[symbol] = [(gate, "a snapshot")]
        fetcher.request_snapshot(Book(symbol))
    until(lambda: fake_rest.at_once == 2, "two are not under way")
    gate.set()
    until(lambda: len(fetcher._pool._idle) == 2, "the threads do not rest")
    again = Book()
    fake_rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True), "a snapshot"]
    fetcher.request_snapshot(again)
    assert again.waiting.acquire(timeout=LIMIT)
    until(lambda: len(fetcher._pool._idle) == 2, "the threads do not rest")
    # Only the thread that is woken knows when BTC-USDT is due.
    fake_rest.script["MUTE-USDT"] = ["silence"]
    fetcher.request_snapshot(Book("MUTE-USDT"))
    again.wait()


def test_fetches_keep_to_the_rate_limit(fake_rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_PERIOD", 0.5)
    fetcher = SnapshotQueue(fake_rest.make, RestQuota(10))
    books = [Book(f"C{number}-USDT") for number in range(25)]
    began = time.monotonic()
    for book in books:
        fetcher.request_snapshot(book)
    for book in books:
        book.wait()
    times = sorted(when - began for _, when in fake_rest.calls)
    assert times[10] >= 0.49
    assert times[20] >= 0.99
    for thread in fetcher.close():
        thread.join(LIMIT)


def test_a_book_that_waits_for_its_turn_says_so(fake_rest: Rest) -> None:
    fetcher = SnapshotQueue(fake_rest.make, RestQuota(1))
    first, second = Book(), Book("ETH-USDT")
    fetcher.request_snapshot(first)
    first.wait()
    assert fetcher.obstacle(second) == ""
    fetcher.request_snapshot(second)
    said = r"the limit of 1 requests in 30 s is reached \(Limits\.snapshots_per_30s\), .* waits for (29|30)\.\d s"
    assert re.fullmatch(said, fetcher.obstacle(second))
    assert fetcher.obstacle(first) == "", "it needs none"
    for thread in fetcher.close():
        thread.join(LIMIT)


def test_queues_with_one_quota_keep_to_its_rate_limit_together(
    fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_PERIOD", 0.5)
    quota = RestQuota(4)
    one, other = SnapshotQueue(fake_rest.make, quota), SnapshotQueue(fake_rest.make, quota)
    began = time.monotonic()
    books = [Book(f"C{number}-USDT") for number in range(8)]
    for number, book in enumerate(books):
        (one, other)[number % 2].request_snapshot(book)
    for book in books:
        book.wait()
    assert sorted(when - began for _, when in fake_rest.calls)[4] >= 0.49
    children = [queue.after_fork() for queue in (one, other)]
    assert children[0]._quota is children[1]._quota is not quota
    for thread in [*one.close(), *other.close()]:
        thread.join(LIMIT)


def test_a_service_that_can_be_reached_again_is_asked_at_once(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_new_delays", lambda: iter([1000.0, 1000.0]))
    failing, book = Book("OFF-USDT"), Book()
    fetcher._services["spot"].delays = iter([1000.0])
    fake_rest.script["OFF-USDT"] = [ConnectionFailed("no route")]
    fetcher.request_snapshot(failing)
    assert failing.waiting.acquire(timeout=LIMIT)
    fetcher.request_snapshot(book)
    assert not book.answers
    fetcher.reachable("spot")
    book.wait()


def test_a_service_that_has_asked_for_time_is_not_asked_earlier(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    failing = Book("OFF-USDT")
    fake_rest.script["OFF-USDT"] = [limited(retry_after=1000.0)]
    fetcher.request_snapshot(failing)
    assert failing.waiting.acquire(timeout=LIMIT)
    fetcher.reachable("spot")
    assert fetcher._services["spot"].asked_at > time.monotonic() + 900


def test_a_removed_book_is_not_fetched_for_again(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    book, other = Book(), Book("ETH-USDT", wants=2)
    fake_rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True)]
    fetcher.request_snapshot(book)
    assert book.waiting.acquire(timeout=LIMIT)
    fetcher.remove(book)
    fake_rest.script["ETH-USDT"] = ["a snapshot"]
    fetcher.request_snapshot(other)
    other.wait()
    assert len(fake_rest.times("BTC-USDT")) == 1
    fetcher.remove(book)


def test_a_book_removed_while_its_answer_arrives_is_released(fetcher: SnapshotQueue, fake_rest: Rest) -> None:
    gate = threading.Event()
    good, bad = Book(), Book()
    bad.fits = lambda data: False
    for book in (good, bad):
        gate.clear()
        fake_rest.script["BTC-USDT"] = [(gate, "a snapshot")]
        fetcher.request_snapshot(book)
        until(lambda: fake_rest.at_once, "nothing was asked for")
        fetcher.remove(book)
        gate.set()
        until(lambda: not fake_rest.at_once, "no answer came")
    good.wait()
    assert bad.waiting.acquire(timeout=LIMIT)
    assert bad.delays == [(0.0, None)]
    after = Book("ETH-USDT")
    fetcher.request_snapshot(after)
    after.wait()
    assert len(fake_rest.times("BTC-USDT")) == 2


def test_the_threads_end_when_idle_and_start_again(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._pool, "_idle_timeout", 0.05)
    for _ in range(2):
        books = [Book(f"C{number}-USDT") for number in range(8)]
        for book in books:
            fetcher.request_snapshot(book)
        for book in books:
            book.wait()
        until(lambda: len(fetcher._pool.threads) == 1, "a thread lingers")
        for book in books:
            fetcher.remove(book)
        until(lambda: not fetcher._pool.threads, "the last thread lingers")
        until(lambda: fake_rest.closed == len(fake_rest.made), "a client was not closed")
    assert not fetcher._pool._idle


def test_a_thread_stays_while_a_book_waits_for_its_next_attempt(
    fetcher: SnapshotQueue, fake_rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._pool, "_idle_timeout", 0.01)
    book = Book()
    fake_rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True), "a snapshot"]
    fetcher.request_snapshot(book)
    book.wait()
    assert fake_rest.made == [False]


@pytest.mark.parametrize("state", ["silence", "waiting", "idle", "never used"])
def test_closing_ends_the_threads_wherever_they_are(fake_rest: Rest, state: str) -> None:
    fetcher = SnapshotQueue(fake_rest.make, RestQuota(100))
    book = Book()
    fake_rest.script["BTC-USDT"] = [
        {"silence": "silence", "waiting": limited(retry_after=3000.0)}.get(state, "a snapshot")
    ]
    if state != "never used":
        fetcher.request_snapshot(book)
        until(lambda: fake_rest.calls, "nothing was asked for")
    if state == "waiting":
        assert book.waiting.acquire(timeout=LIMIT)
    threads = fetcher.close()
    assert len(threads) == (state != "never used")
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    fetcher.request_snapshot(Book("ETH-USDT"))
    assert len(fake_rest.calls) <= 1
    assert fetcher.close() == []
