"""The fetcher of snapshots: paced, patient with REST, and held up by nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, KucoinSyncError, RestError, snapshots
from kucoin_sync.books import Source
from kucoin_sync.snapshots import Snapshots
from kucoin_sync.wire import Waker

from .support.threads import LIMIT, reached, until

FUTURES = "XBTUSDTM"


class Book:
    """Who needs snapshots: as many as `wants`, each of which counts as good unless `fits` says otherwise."""

    def __init__(self, symbol: str = "BTC-USDT", *, wants: int = 1, with_key: bool = False) -> None:
        self.source = Source.of(symbol, with_key=with_key)
        self.wants = wants
        self.was_live = False
        self.fits: Callable[[Any], bool] = lambda data: True
        self.answers: list[Any] = []
        self.delays: list[tuple[float, Exception | None]] = []
        self.error: Exception | None = None
        self.satisfied = threading.Event()
        self.over = threading.Event()
        self.waiting = threading.Semaphore(0)

    def asks(self) -> int | None:
        return self.wants if self.wants else None

    def answered(self, data: Any, attempt: int) -> bool:
        assert attempt == self.wants
        self.answers.append(data)
        if not self.fits(data):
            return True
        self.wants -= 1
        if not self.wants:
            self.satisfied.set()
        return bool(self.wants)

    def delayed(self, seconds: float, error: Exception | None = None) -> None:
        self.delays.append((seconds, error))
        self.waiting.release()

    def end(self, error: KucoinSyncError) -> None:
        self.error = error
        self.over.set()

    def wait(self) -> None:
        reached(self.satisfied, f"{self.source} has not got its snapshots")


class Rest:
    """REST as a test has it: each answer is an item of the script of its symbol, the last one for ever.

    An item is what is answered, an error, "silence", or what is answered after an event: (event, answer).
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
                    self.waker.sleep(LIMIT)
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
def rest() -> Rest:
    return Rest()


@pytest.fixture
def fetcher(rest: Rest) -> Iterator[Snapshots]:
    """A fetcher without a pace that could be felt; no thread of it is left after the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_SPACING", 0.01)
        made = Snapshots(rest.make, 10_000)
        yield made
        for thread in made.close():
            thread.join(LIMIT)
            assert not thread.is_alive()
        until(lambda: rest.closed == len(rest.made), "a client was not closed")


def limited(code: str = "429000", **options: Any) -> RestError:
    return RestError(code, "slow down", retriable=True, **options)


def test_a_snapshot_is_fetched_for_who_needs_one(fetcher: Snapshots, rest: Rest) -> None:
    book = Book(with_key=True)
    fetcher.need(book)
    book.wait()
    assert rest.details == [
        ("spot", "GET", "/api/v3/market/orderbook/level2", {"symbol": "BTC-USDT"}, True),
    ]
    assert book.answers == ["a snapshot"]
    assert rest.made == [True]
    assert fetcher.requests == 1


def test_signed_and_unsigned_requests_have_clients_of_their_own(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_HANDS", 1)
    for with_key in (True, False, True, False):
        book = Book(with_key=with_key)
        fetcher.need(book)
        book.wait()
    assert sorted(rest.made) == [False, True]


def test_who_needs_none_any_more_costs_no_request(fetcher: Snapshots, rest: Rest) -> None:
    idle, busy = Book(wants=0), Book("ETH-USDT")
    fetcher.need(idle)
    fetcher.need(busy)
    busy.wait()
    assert [symbol for symbol, _ in rest.calls] == ["ETH-USDT"]


def test_a_need_that_arises_while_an_answer_comes_is_not_forgotten(fetcher: Snapshots, rest: Rest) -> None:
    book = Book()
    gate = threading.Event()
    rest.script["BTC-USDT"] = [(gate, "a snapshot"), "a snapshot"]
    fetcher.need(book)
    until(lambda: rest.calls, "nothing was asked for")

    def answered(data: Any, attempt: int) -> bool:
        """Be good, and in need again at once; the books' thread says so before the fetcher has noted the answer."""
        book.answers.append(data)
        if len(book.answers) == 1:
            fetcher.need(book)
        else:
            book.wants = 0
            book.satisfied.set()
        return False

    book.answered = answered  # type: ignore[method-assign]
    gate.set()
    book.wait()
    assert len(book.answers) == 2


def test_a_book_gets_no_two_good_snapshots_at_once(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_SPACING", 0.3)
    book = Book()
    fetcher.need(book)
    book.wait()
    book.wants = 1
    book.satisfied.clear()
    fetcher.need(book)
    book.wait()
    first, second = rest.times("BTC-USDT")
    assert second - first >= 0.29


def test_what_does_not_fit_is_fetched_again_after_longer_and_longer_waits(fetcher: Snapshots, rest: Rest) -> None:
    book = Book()
    rest.script["BTC-USDT"] = ["old", "old", "good"]
    book.fits = lambda data: data == "good"
    fetcher.need(book)
    book.wait()
    (one, _), (two, _) = book.delays
    assert 0.25 <= one <= 0.5 <= two <= 1.0
    times = rest.times("BTC-USDT")
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
def test_an_error_that_may_pass_is_tried_again(
    fetcher: Snapshots, rest: Rest, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    rest.script["BTC-USDT"] = [error, "a snapshot"]
    fetcher.need(book)
    book.wait()
    ((seconds, told),) = book.delays
    assert 0.25 <= seconds <= 0.5
    if isinstance(error, KucoinSyncError):
        assert told is error
    else:
        assert "a defect in this package: RuntimeError: a defect" in str(told)
        assert "another will be fetched" in caplog.text


def test_an_error_that_nothing_mends_ends_the_book_and_no_other(fetcher: Snapshots, rest: Rest) -> None:
    bad, good = Book("NONE-USDT"), Book()
    rest.script["NONE-USDT"] = [RestError("900001", "symbol not exists")]
    fetcher.need(bad)
    reached(bad.over, "the book was not ended")
    fetcher.forget(bad)
    fetcher.need(good)
    good.wait()
    assert isinstance(bad.error, RestError)
    assert len(rest.times("NONE-USDT")) == 1


def test_a_symbol_that_had_a_ready_book_is_tried_again_for_a_later_one(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(snapshots, "_MOST_LIVE", 2)
    stray = RestError("404", "nothing here", retriable=False)

    def ready(symbol: str, *answers: Any) -> Book:
        book = Book(symbol)
        book.was_live = len(answers) == 1
        rest.script[symbol] = list(answers)
        fetcher.need(book)
        return book

    def ended(symbol: str) -> bool:
        book = ready(symbol, stray, "a snapshot")
        until(lambda: book.satisfied.is_set() or book.over.is_set(), "nothing has become of the book")
        return book.over.is_set()

    for symbol in ("A-USDT", "B-USDT"):
        ready(symbol, "a snapshot").wait()
    assert [ended(symbol) for symbol in ("A-USDT", "B-USDT", "C-USDT")] == [False, False, True]
    ready("C-USDT", "a snapshot").wait()
    until(lambda: "C-USDT" in str(fetcher._live), "it was not noted")
    assert [ended(symbol) for symbol in ("A-USDT", "B-USDT", "C-USDT")] == [True, False, False], "A was forgotten"
    child = fetcher.afresh()
    assert child._live == fetcher._live


def test_a_symbol_that_nobody_answers_for_holds_up_no_other(fetcher: Snapshots, rest: Rest) -> None:
    rest.script["MUTE-USDT"] = ["silence"]
    fetcher.need(Book("MUTE-USDT"))
    for number in range(5):
        book = Book(f"C{number}-USDT")
        fetcher.need(book)
        book.wait()


def test_who_has_failed_least_goes_first(fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_HANDS", 1)
    monkeypatch.setattr(snapshots, "_FIRST_DELAY", 0.01)
    bad, holding, good = Book("BAD-USDT"), Book("HOLD-USDT"), Book("GOOD-USDT")
    gate = threading.Event()
    rest.script["BAD-USDT"] = [RestError("500000", "busy", retriable=True)]
    fetcher.need(bad)
    assert bad.waiting.acquire(timeout=LIMIT)
    rest.script["HOLD-USDT"] = [(gate, "a snapshot")]
    fetcher.need(holding)
    until(lambda: rest.times("HOLD-USDT"), "nothing was asked for")
    before = len(rest.times("BAD-USDT"))
    by_then = time.monotonic() + 0.05  # BAD-USDT is due, and has been for longer than the next one
    until(lambda: time.monotonic() > by_then, "time stands still")
    fetcher.need(good)
    gate.set()
    good.wait()
    assert len([when for when in rest.times("BAD-USDT") if when < rest.times("GOOD-USDT")[0]]) == before


def test_when_told_to_slow_down_all_books_of_the_site_wait(fetcher: Snapshots, rest: Rest) -> None:
    refused, other, elsewhere = Book(), Book("ETH-USDT"), Book(FUTURES)
    rest.script["BTC-USDT"] = [limited(retry_after=0.7), "a snapshot"]
    fetcher.need(refused)
    assert refused.waiting.acquire(timeout=LIMIT)
    assert refused.delays[0][0] == pytest.approx(0.7, abs=0.01)
    fetcher.need(other)
    fetcher.need(elsewhere)
    for book in (elsewhere, other, refused):
        book.wait()
    refused_at, again = rest.times("BTC-USDT")
    assert again - refused_at >= 0.69
    assert rest.times("ETH-USDT")[0] - refused_at >= 0.69
    assert rest.times(FUTURES)[0] < rest.times("ETH-USDT")[0]


@pytest.mark.parametrize(
    "error", [*map(limited, ("429000", "200002", "1015", "429")), ConnectionFailed("no route")], ids=str
)
def test_a_site_that_is_overloaded_or_away_is_left_alone_for_a_while(
    fetcher: Snapshots, rest: Rest, error: Exception
) -> None:
    """Though every book has a patience of its own, they don't all try in turn."""
    books = [Book(f"C{number}-USDT") for number in range(6)]
    rest.script["C0-USDT"] = [error, "a snapshot"]
    fetcher.need(books[0])
    assert books[0].waiting.acquire(timeout=LIMIT)
    for book in books[1:]:
        fetcher.need(book)
    for book in books:
        book.wait()
    first, second, *_ = sorted(when for _, when in rest.calls)
    assert second - first >= 0.25


def test_a_need_that_is_known_changes_nothing(fetcher: Snapshots, rest: Rest) -> None:
    """Neither while a snapshot is on its way nor while its book has to wait for the next."""
    book, gate = Book(), threading.Event()
    rest.script["BTC-USDT"] = [(gate, "old"), "a snapshot"]
    book.fits = lambda data: data == "a snapshot"
    fetcher.need(book)
    until(lambda: rest.calls, "nothing was asked for")
    fetcher.need(book)
    other = Book("ETH-USDT")
    fetcher.need(other)
    other.wait()
    assert len(rest.times("BTC-USDT")) == 1
    gate.set()
    assert book.waiting.acquire(timeout=LIMIT)
    fetcher.need(book)
    book.wait()
    one, two = rest.times("BTC-USDT")
    assert two - one >= book.delays[0][0]


def test_a_few_requests_are_under_way_at_a_time(fetcher: Snapshots, rest: Rest) -> None:
    gate = threading.Event()
    books = [Book(f"C{number}-USDT") for number in range(10)]
    for number, book in enumerate(books):
        answer = ConnectionFailed("no route") if number < 4 else "a snapshot"
        rest.script[book.source.symbol] = [(gate, answer), "a snapshot"]
        fetcher.need(book)
    until(lambda: rest.at_once == 4, "fewer are under way than may be")
    gate.set()
    for book in books:
        book.wait()
    assert rest.most_at_once == 4
    # Several failures at a time count as one: none doubles the wait that another one has begun.
    assert all(0.2 < seconds <= 0.5 for book in books for seconds, _ in book.delays)


def test_a_thread_that_waits_takes_over_for_one_that_is_held_up(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_LINGER", 2 * LIMIT)
    gate = threading.Event()
    for symbol in ("ONE-USDT", "TWO-USDT"):
        rest.script[symbol] = [(gate, "a snapshot")]
        fetcher.need(Book(symbol))
    until(lambda: rest.at_once == 2, "two are not under way")
    gate.set()
    until(lambda: len(fetcher._idle) == 2, "the threads do not rest")
    again = Book()
    rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True), "a snapshot"]
    fetcher.need(again)
    assert again.waiting.acquire(timeout=LIMIT)
    until(lambda: len(fetcher._idle) == 2, "the threads do not rest")
    # The one that is woken knows when BTC-USDT is due; the other one does not.
    rest.script["MUTE-USDT"] = ["silence"]
    fetcher.need(Book("MUTE-USDT"))
    again.wait()


def test_no_more_are_fetched_than_the_pace_allows(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PERIOD", 0.5)
    fetcher = Snapshots(rest.make, 10)
    books = [Book(f"C{number}-USDT") for number in range(25)]
    began = time.monotonic()
    for book in books:
        fetcher.need(book)
    for book in books:
        book.wait()
    times = sorted(when - began for _, when in rest.calls)
    assert times[10] >= 0.49
    assert times[20] >= 0.99
    for thread in fetcher.close():
        thread.join(LIMIT)


def test_a_book_that_is_forgotten_is_not_fetched_for_again(fetcher: Snapshots, rest: Rest) -> None:
    book, other = Book(), Book("ETH-USDT", wants=2)
    rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True)]
    fetcher.need(book)
    assert book.waiting.acquire(timeout=LIMIT)
    fetcher.forget(book)
    rest.script["ETH-USDT"] = ["a snapshot"]
    fetcher.need(other)
    other.wait()
    assert len(rest.times("BTC-USDT")) == 1
    fetcher.forget(book)


def test_a_book_that_is_forgotten_while_its_answer_comes_is_let_go(fetcher: Snapshots, rest: Rest) -> None:
    gate = threading.Event()
    good, bad = Book(), Book()
    bad.fits = lambda data: False
    for book in (good, bad):
        gate.clear()
        rest.script["BTC-USDT"] = [(gate, "a snapshot")]
        fetcher.need(book)
        until(lambda: rest.at_once, "nothing was asked for")
        fetcher.forget(book)
        gate.set()
        until(lambda: not rest.at_once, "no answer came")
    good.wait()
    assert bad.waiting.acquire(timeout=LIMIT)
    assert bad.delays == [(0.0, None)]
    after = Book("ETH-USDT")
    fetcher.need(after)
    after.wait()
    assert len(rest.times("BTC-USDT")) == 2


def test_the_threads_end_when_there_is_nothing_to_do_and_come_back(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_LINGER", 0.05)
    for _ in range(2):
        books = [Book(f"C{number}-USDT") for number in range(8)]
        for book in books:
            fetcher.need(book)
        for book in books:
            book.wait()
        until(lambda: len(fetcher._hands) == 1, "a thread lingers")
        for book in books:
            fetcher.forget(book)
        until(lambda: not fetcher._hands, "the last thread lingers")
        until(lambda: rest.closed == len(rest.made), "a client was not closed")
    assert not fetcher._idle


def test_a_thread_stays_while_somebody_waits_for_its_next_attempt(
    fetcher: Snapshots, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_LINGER", 0.01)
    book = Book()
    rest.script["BTC-USDT"] = [RestError("500000", "busy", retriable=True), "a snapshot"]
    fetcher.need(book)
    book.wait()
    assert rest.made == [False]


@pytest.mark.parametrize("state", ["silence", "waiting", "idle", "never used"])
def test_closing_ends_the_threads_wherever_they_are(rest: Rest, state: str) -> None:
    fetcher = Snapshots(rest.make, 100)
    book = Book()
    rest.script["BTC-USDT"] = [{"silence": "silence", "waiting": limited(retry_after=3000.0)}.get(state, "a snapshot")]
    if state != "never used":
        fetcher.need(book)
        until(lambda: rest.calls, "nothing was asked for")
    if state == "waiting":
        assert book.waiting.acquire(timeout=LIMIT)
    threads = fetcher.close()
    assert len(threads) == (state != "never used")
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    fetcher.need(Book("ETH-USDT"))
    assert len(rest.calls) <= 1
    assert fetcher.close() == []
