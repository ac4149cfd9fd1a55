"""What a relay does for readers that takes a while: fetch snapshots for their books, wait for private topics.

One thread, which is acquired with the lease, and up to three more while there is more to do. One snapshot serves all
who asked before it was fetched.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from .. import Limits
from ..books.snapshot_fetcher import FetcherFactory, SnapshotFetcher
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal import backoff
from ..internal.guard import log
from ..internal.resources import acquiring, start_thread
from ..net.socket import Cancelled, Waker
from .codec import encode
from .keys import Keys
from .scripts import HolderScripts
from .server import BROKEN, RedisServer
from .snapshots import Answer, Book, answer_of, decode_book

__all__ = ["Jobs"]

_HANDS = 4
_PERIOD = 30.0
_KEEP_SECONDS = 60

#: What readers may have fetched: with them, a signed request of any other kind would be a way around the API key.
_PATHS = frozenset(
    {
        "/api/v1/market/orderbook/level2_100",
        "/api/v3/market/orderbook/level2",
        "/api/v2/market/orderbook/level3",
        "/api/v1/level2/snapshot",
    }
)

#: What is to be done: a snapshot's name, or a call.
Job: TypeAlias = "str | Callable[[], None]"


class _Holder(Protocol):
    """Whose token the answers bear."""

    @property
    def token(self) -> int: ...


class Jobs:
    """The errands of one holding of the lease."""

    def __init__(self, holder: _Holder, fetcher: FetcherFactory, server: RedisServer, keys: Keys) -> None:
        self._holder = holder
        self._make_fetcher = fetcher
        self._keys = keys
        self._lock = threading.Lock()  # guards all of the following
        self._waiting: dict[Job, None] = {}
        self._under_way: set[Job] = set()
        self._hands: dict[Waker, threading.Thread] = {}
        self._idle: dict[Waker, None] = {}  # the last of them, while it waits
        self._pace = backoff.SlidingWindow(Limits().snapshots_per_30s, _PERIOD)
        self._closed = False
        self._client = server.client(lambda: self._closed)
        self._scripts = HolderScripts(self._client, keys)
        with self._lock:
            self._add_hand()

    def add(self, job: Job) -> None:
        """Have an errand done soon, on one of a few threads."""
        with self._lock:
            if self._closed:
                return
            self._waiting[job] = None
            if self._idle:
                self._idle.popitem()[0].wake()
            elif len(self._hands) < _HANDS:
                with suppress(ConnectionFailed):  # whoever is at work now comes to it afterwards
                    self._add_hand()

    def _add_hand(self) -> None:
        """Have another thread do errands (under the lock)."""
        with acquiring("the relay's errands"):
            waker = Waker()
        try:
            self._hands[waker] = start_thread(self._run, waker, name="kucoin-relay-errand")
        except BaseException:
            waker.cancel()  # an interrupted start may have left a running thread
            waker.close()
            raise

    def close(self) -> None:
        """Let the threads end, from whatever they are waiting in, and wait for them."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            for waker in self._hands:
                waker.cancel()
            threads = list(self._hands.values())
        self._client.connection_pool.disconnect()
        for thread in threads:
            thread.join()
        self._client.connection_pool.disconnect()

    # A thread

    def _run(self, waker: Waker) -> None:
        fetchers: dict[bool, SnapshotFetcher] = {}
        try:
            while (job := self._next(waker)) is not None:
                try:
                    self._do(job, waker, fetchers)
                except Cancelled:
                    raise
                except BROKEN:
                    pass  # the reader asks again; that Redis does not answer, the relay's own thread tells
                except BaseException as error:
                    log(logging.ERROR, "a defect spoilt an errand of the relay", error=error)
                finally:
                    with self._lock:
                        self._under_way.discard(job)
        except Cancelled:
            pass  # closed by the relay
        finally:
            for fetcher in fetchers.values():
                fetcher.close()
            with self._lock:
                self._hands.pop(waker, None)
                self._idle.pop(waker, None)
                waker.close()

    def _next(self, waker: Waker) -> Job | None:
        """Return the next errand that nobody is at; None where the thread is to end, which the last one never is."""
        while True:
            with self._lock:
                self._idle.pop(waker, None)
                job = next((each for each in self._waiting if each not in self._under_way), None)
                if job is not None:
                    del self._waiting[job]
                    self._under_way.add(job)
                    return job
                if len(self._hands) > 1:
                    self._hands.pop(waker, None)
                    return None
                self._idle[waker] = None
            waker.sleep(math.inf)

    def _do(self, job: Job, waker: Waker, fetchers: dict[bool, SnapshotFetcher]) -> None:
        if not isinstance(job, str):
            job()
            return
        book = decode_book(job)
        if book is None or book.path not in _PATHS:
            log(logging.WARNING, "a reader asked for a snapshot that relays do not fetch: %.200s", job)
            return
        self._wait_for_pace(waker)
        asked: Any = self._client.get(self._keys.asked(job))
        answer = self._fetch(book, int(asked or 0), waker, fetchers)
        self._scripts.answer(self._holder.token, job, encode(answer), _KEEP_SECONDS)

    def _wait_for_pace(self, waker: Waker) -> None:
        while True:
            now = time.monotonic()
            with self._lock:
                delay = self._pace.free_at(now) - now
                if delay <= 0:
                    self._pace.record(now)
                    return
            waker.sleep(delay)

    def _fetch(self, book: Book, asked: int, waker: Waker, fetchers: dict[bool, SnapshotFetcher]) -> Answer:
        if book.signed not in fetchers:
            fetchers[book.signed] = self._make_fetcher(waker, book.signed)
        try:
            fetcher = fetchers[book.signed]
            return Answer(
                asked, fetcher.call(book.market, "GET", book.path, {"symbol": book.symbol}, signed=book.signed)
            )
        except KucoinSyncError as error:
            return answer_of(asked, error)
