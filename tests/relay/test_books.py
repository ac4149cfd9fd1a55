"""Books over a relay: each equals the exchange's, or says why it can't be read; one snapshot serves many readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from kucoin_sync import (
    AuthenticationError,
    BookNotReady,
    BookResyncing,
    ConnectionFailed,
    KucoinSyncError,
    LocalBook,
    Message,
    RestError,
    SnapshotFailed,
)
from kucoin_sync.internal import backoff
from kucoin_sync.net.waker import Cancelled, Waker
from kucoin_sync.relay import Relay, RelayStream, snapshots
from kucoin_sync.relay.codec import encode
from kucoin_sync.relay.jobs import Jobs
from kucoin_sync.relay.keys import Keys
from kucoin_sync.relay.server import RedisServer
from kucoin_sync.relay.snapshots import RelaySnapshotFetcher, SnapshotAnswer, answer_of
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.books import is_true
from ..support.redis import LocalRedis
from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT, Task, reached, until

SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"
TOPIC = f"/market/level2:{SPOT}"
FULL, PART = "/api/v3/market/orderbook/level2", "/api/v1/market/orderbook/level2_100"


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SPOT, CONTRACT), "seed": 5, "levels": 120}


@pytest.fixture
def server_options(exchange: Exchange) -> dict[str, Any]:
    return {"exchange": exchange}


def comes_true(book: LocalBook, exchange: Exchange, level: int = 2) -> None:
    until(lambda: is_true(book, exchange, level), f"{book!r} is not at the exchange's sequence")


@pytest.mark.parametrize(
    ("symbol", "level", "options"),
    [(SPOT, 2, {}), (CONTRACT, 2, {}), (SPOT, 3, {}), (SPOT, 3, {"generation": 1})],
    ids=["spot", "futures", "level 3", "level 3, first generation"],
)
def test_a_book_equals_the_exchanges(
    symbol: str,
    level: int,
    options: dict[str, int],
    server: KucoinServer,
    exchange: Exchange,
    make_relay: MakeRelay,
    make_reader: MakeReader,
) -> None:
    make_relay(credentials=server.credentials)
    book: LocalBook = make_reader().book(symbol, level=level, **options)
    book.wait_ready(LIMIT)
    assert not book.partial
    for _ in range(10):
        server.step_exchange(30)
    comes_true(book, exchange, level)
    assert book.resyncs == 0


def test_without_a_key_at_the_relay_a_spot_book_is_partial(server: KucoinServer, reader: RelayStream) -> None:
    book = reader.book(SPOT)
    book.wait_ready(LIMIT)
    assert book.partial
    assert book.snapshot_depth == 100
    assert [request.path for request in server.requests if "orderbook" in request.path] == [PART]


def test_many_readers_take_few_snapshots_and_a_late_one_gets_its_book(
    server: KucoinServer, exchange: Exchange, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay(credentials=server.credentials)
    readers = [make_reader() for _ in range(7)]
    books = [reader.book(SPOT) for reader in readers[:6]]
    for book in books:
        book.wait_ready(LIMIT)
    server.step_exchange(100)
    late = readers[6].book(SPOT)
    late.wait_ready(LIMIT)
    server.step_exchange(100)
    for book in (*books, late):
        comes_true(book, exchange)
    fetched = [request for request in server.requests if request.path == FULL]
    asked = sum(reader.stats()["book_snapshots"] for reader in readers)
    assert len(fetched) <= asked


def test_an_error_of_rest_reaches_the_reader_and_is_tried_again(
    server: KucoinServer, exchange: Exchange, reader: RelayStream, events: Events
) -> None:
    server.fail_rest("/api/v1/market/orderbook/*", 500, "500000", times=1)
    book = reader.book(SPOT)
    assert "500000" in events.wait(SnapshotFailed).reason
    book.wait_ready(LIMIT)


def test_trimmed_updates_make_the_book_start_again(
    server: KucoinServer, exchange: Exchange, make_relay: MakeRelay, make_reader: MakeReader, events: Events
) -> None:
    relay = make_relay(length=1, credentials=server.credentials)
    reader = make_reader()
    book = reader.book(SPOT)
    book.wait_ready(LIMIT)
    stuck, go_on = threading.Event(), threading.Event()

    def slow(_: Message) -> None:
        stuck.set()
        assert go_on.wait(LIMIT)

    reader.subscribe("/market/match:HOLD-USDT", callback=slow, inline=True)
    server.publish("/market/match:HOLD-USDT", {})
    reached(stuck, "nothing came")
    for _ in range(30):
        before = relay.stats()["published"]
        server.step_exchange(30)
        until(lambda before=before: relay.stats()["published"] > before, "nothing was passed on")
    go_on.set()
    events.wait(BookResyncing, timeout=LIMIT)
    comes_true(book, exchange)
    assert book.resyncs >= 1


def unreadable(book: LocalBook) -> Callable[[], bool]:
    def found() -> bool:
        try:
            book.snapshot()
        except BookNotReady:
            return True
        return False

    return found


def test_a_book_can_not_be_read_while_the_relay_has_lost_kucoin(
    server: KucoinServer, exchange: Exchange, reader: RelayStream
) -> None:
    book = reader.book(SPOT)
    book.wait_ready(LIMIT)
    server.stop()
    until(unreadable(book), "it can be read still")
    with pytest.raises(BookNotReady, match="the relay has no connection to KuCoin"):
        book.snapshot()
    server.start()
    book.wait_ready(LIMIT)
    server.step_exchange(50)
    until(lambda: book.sequence >= exchange.level2(SPOT).sequence, "the book is late")


def test_a_book_can_not_be_read_while_there_is_no_relay(
    server: KucoinServer, exchange: Exchange, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    first = make_relay(credentials=server.credentials)
    book = make_reader().book(SPOT)
    book.wait_ready(LIMIT)
    first.close()
    until(unreadable(book), "it can be read still")
    with pytest.raises(BookNotReady, match="no relay holds the lease"):
        book.snapshot()
    server.step_exchange(50)
    make_relay(credentials=server.credentials)
    comes_true(book, exchange)
    server.step_exchange(50)
    comes_true(book, exchange)


def test_a_book_can_not_be_read_while_redis_is_gone(
    server: KucoinServer, exchange: Exchange, redis: LocalRedis, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    relay = make_relay(credentials=server.credentials)
    book = make_reader().book(SPOT)
    book.wait_ready(LIMIT)
    redis.kill()
    until(unreadable(book), "it can be read still")
    server.step_exchange(50)
    redis.start()
    comes_true(book, exchange)
    assert relay.stats()["dropped"] == 0


BOOK = '["spot","/api/v3/market/orderbook/level2","BTC-USDT",true]'


class HeldFetcher:
    """A fetcher that waits for permission to answer; it counts its calls."""

    def __init__(self, answer: Callable[[], object] = lambda: "data") -> None:
        self.answer = answer
        self.closed = threading.Event()

    def call(self, *_: object, **__: object) -> object:
        return self.answer()

    def close(self) -> None:
        self.closed.set()


class Holder:
    token = 5


@pytest.fixture
def make_jobs(redis: LocalRedis) -> Iterator[Callable[[HeldFetcher], Jobs]]:
    """Make the jobs of a holder; closed after the test."""
    made: list[Jobs] = []

    def make(fetcher: HeldFetcher) -> Jobs:
        redis.call("SET", Keys("kucoin-sync").token, Holder.token)
        made.append(
            Jobs(
                Holder(), lambda waker, signed: fetcher, RedisServer(redis.url), Keys("kucoin-sync"), lambda topic: None
            )
        )
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


def test_a_snapshot_fetched_before_the_request_is_ignored(redis: LocalRedis) -> None:
    server, keys, waker = RedisServer(redis.url), Keys("kucoin-sync"), Waker()
    fetcher = RelaySnapshotFetcher(server, keys, waker)
    redis.call("XADD", keys.snapshot(BOOK), "*", "e", b'{"asked":7,"data":"much older"}')
    fetching = Task(fetcher.call, "spot", "GET", FULL, {"symbol": SPOT}, signed=True)
    until(lambda: redis.call("XLEN", keys.asks), "nobody asked")
    redis.call("XADD", keys.snapshot(BOOK), "*", "e", b'{"asked":0,"data":"older"}')
    redis.call("XADD", keys.snapshot(BOOK), "*", "e", b'{"asked":1,"data":"new"}')
    assert fetching.result() == "new"
    fetcher.close()
    waker.close()


def test_an_answer_serves_all_readers_that_asked_before_it_was_fetched(
    redis: LocalRedis, make_jobs: Callable[[HeldFetcher], Jobs]
) -> None:
    keys = Keys("kucoin-sync")
    redis.call("SET", keys.asked(BOOK), 3)

    def answer() -> str:
        redis.call("INCR", keys.asked(BOOK))  # another reader asks meanwhile
        return "data"

    make_jobs(HeldFetcher(answer)).add(BOOK)
    until(lambda: redis.call("XLEN", keys.snapshot(BOOK)), "there is no answer")
    ((_, fields),) = redis.call("XRANGE", keys.snapshot(BOOK), "-", "+")
    assert msgspec.json.decode(fields[b"e"])["asked"] == 3


def test_a_waiting_job_is_cancelled(redis: LocalRedis) -> None:
    waker = Waker()
    fetcher = RelaySnapshotFetcher(RedisServer(redis.url), Keys("kucoin-sync"), waker)
    fetching = Task(fetcher.call, "spot", "GET", FULL, {"symbol": SPOT}, signed=True)
    until(lambda: redis.call("XLEN", "{kucoin-sync}:1:asks"), "nobody asked")
    waker.cancel()
    with pytest.raises(Cancelled):
        fetching.result()
    fetcher.close()
    waker.close()


def test_without_redis_or_a_relay_a_snapshot_can_not_be_fetched(
    redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_ANSWER_SECONDS", 0.1)
    waker = Waker()
    fetcher = RelaySnapshotFetcher(RedisServer(redis.url), Keys("kucoin-sync"), waker)
    with pytest.raises(ConnectionFailed, match=r"no relay answered within 0\.1 s .* of BTC-USDT; check that one runs"):
        fetcher.call("spot", "GET", FULL, {"symbol": SPOT})
    redis.kill()
    with pytest.raises(ConnectionFailed, match=r"Redis at .* does not answer"):
        fetcher.call("spot", "GET", FULL, {"symbol": SPOT})
    waker.cancel()
    with pytest.raises(Cancelled):
        fetcher.call("spot", "GET", FULL, {"symbol": SPOT})
    fetcher.close()
    waker.close()


def test_a_book_that_is_opened_without_redis_begins_when_it_is_there(
    redis: LocalRedis, relay: Relay, make_reader: MakeReader
) -> None:
    redis.kill()
    book = make_reader().book(SPOT)
    redis.start()
    book.wait_ready(LIMIT)
    assert book.snapshot_depth == 100


@pytest.mark.parametrize(
    "error",
    [
        RestError("500000", "busy", where="GET /x", retry_after=3.0),
        RestError("400100", "no such symbol", where="GET /x", retriable=False),
        AuthenticationError("the key is gone", code="400003"),
        AuthenticationError("the key is gone"),
        ConnectionFailed("no way through", retry_after=2.0),
        ConnectionFailed("no such host", retriable=False),
    ],
    ids=str,
)
def test_the_reader_gets_the_same_error_as_the_relay(error: KucoinSyncError) -> None:
    answer = msgspec.json.decode(encode(answer_of(1, error)), type=SnapshotAnswer)
    with pytest.raises(type(error), match=getattr(error, "message", str(error))) as caught:
        answer.result()
    for name in ("code", "retriable", "retry_after"):
        assert getattr(caught.value, name, None) == getattr(error, name, None), name


def test_waiting_jobs_end_with_the_relay(redis: LocalRedis, make_jobs: Callable[[HeldFetcher], Jobs]) -> None:
    fetcher, keys = HeldFetcher(), Keys("kucoin-sync")
    made = make_jobs(fetcher)
    made._pace = backoff.SlidingWindow(1, 3600.0)
    made.add(BOOK)
    until(lambda: redis.call("XLEN", keys.snapshot(BOOK)), "there is no answer")
    others = [BOOK.replace("BTC", symbol) for symbol in ("ETH", "KCS", "XRP")]
    for other in others:
        made.add(other)
    until(lambda: set(others) == made._running, "no worker runs the job")
    made.close()
    assert fetcher.closed.is_set()
    assert not redis.call("EXISTS", *map(keys.snapshot, others))
    go_on = threading.Event()
    made.add(partial(go_on.wait, LIMIT))
    workers = list(made._pool.threads)
    go_on.set()
    assert workers == [], "the workers have ended"


def test_at_most_as_many_jobs_as_workers_run(make_jobs: Callable[[HeldFetcher], Jobs]) -> None:
    done: list[int] = []
    busy, go_on = threading.Semaphore(0), threading.Event()
    made = make_jobs(HeldFetcher())

    def wait(number: int) -> None:
        busy.release()
        assert go_on.wait(LIMIT)
        done.append(number)

    for number in range(9):
        made.add(partial(wait, number))
    for _ in range(4):
        assert busy.acquire(timeout=LIMIT)
    assert sum(thread.name == "kucoin-relay-worker" for thread in threading.enumerate()) == 4
    go_on.set()
    until(lambda: len(done) == 9, "jobs are left")
    assert sorted(done) == list(range(9))


@pytest.mark.parametrize("broken", ["redis", "this package"])
def test_a_failing_job_does_not_affect_others(
    redis: LocalRedis, make_jobs: Callable[[HeldFetcher], Jobs], broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        if broken == "redis":
            redis.kill()
            RedisServer(redis.url).client().get("x")
        raise ZeroDivisionError

    made, done = make_jobs(HeldFetcher()), threading.Event()
    made.add(fail)
    made.add(done.set)
    reached(done, "the next job was not done")
    until(lambda: not made._running, "a job is running")
    made.close()
    assert ("a defect made a job of the relay fail" in caplog.text) == (broken == "this package")


def test_readers_can_request_no_other_signed_path(
    redis: LocalRedis, make_relay: MakeRelay, server: KucoinServer
) -> None:
    relay: Relay = make_relay(credentials=server.credentials, topics=["/market/match:BTC-USDT"])
    name = '["spot","/api/v1/accounts","BTC-USDT",true]'
    for nonsense in (name, "nonsense", "[]"):
        redis.call("XADD", "{kucoin-sync}:1:asks", "*", "kind", "snapshot", "book", nonsense)
    redis.call("XADD", "{kucoin-sync}:1:asks", "*", "kind", "snapshot", "book", BOOK)
    until(lambda: redis.call("EXISTS", "{kucoin-sync}:1:snapshot:" + BOOK), "the proper one was not answered")
    assert not redis.call("EXISTS", "{kucoin-sync}:1:snapshot:" + name)
    assert not [request for request in server.requests if "accounts" in request.path]
    assert relay.holds_lease
