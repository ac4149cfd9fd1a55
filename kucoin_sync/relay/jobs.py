"""Run the slow jobs of a relay: get snapshots for readers' books, and subscribe private topics.

One worker thread starts with the lease. Up to three more run while there are more jobs. One snapshot serves all readers
that asked before it was fetched. A snapshot that KuCoin pushes serves all readers of its topic.
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
from ..books.snapshot_fetcher import FetcherFactory, Fetchers
from ..exceptions import InvalidTopic, KucoinSyncError
from ..internal import backoff
from ..internal.guard import log
from ..net.waker import Cancelled, Waker
from ..net.workers import WorkerPool
from .codec import encode
from .keys import Keys
from .scripts import HolderScripts
from .server import BROKEN, RedisServer
from .snapshots import PUSHED, SnapshotAnswer, SnapshotRequest, answer_of, decode_book

__all__ = ["Jobs"]

_PACE_SECONDS = 30.0
_AGAIN_SECONDS = 15.0
"""Seconds from subscribing a topic again to doing so again: a pushed snapshot needs up to 6 of them."""

_KEEP_SECONDS = 60

#: The REST paths that readers may request. Any other path would let a reader use the relay's API key.
_PATHS = frozenset(
    {
        "/api/v1/market/orderbook/level2_100",
        "/api/v3/market/orderbook/level2",
        "/api/v2/market/orderbook/level3",
        "/api/v1/level2/snapshot",
    }
)

#: The name of a snapshot to fetch, or a function to call.
Job: TypeAlias = "str | Callable[[], None]"


class _Holder(Protocol):
    """The lease holder, whose fencing token the answers are written with."""

    @property
    def token(self) -> int: ...


class Jobs:
    """The jobs of one leadership, and the worker threads that run them."""

    def __init__(
        self,
        holder: _Holder,
        fetcher: FetcherFactory,
        server: RedisServer,
        keys: Keys,
        resubscribe: Callable[[str], None],
    ) -> None:
        self._holder = holder
        self._resubscribe = resubscribe
        self._resubscribed: dict[str, float] = {}  # when topics were subscribed again
        self._keys = keys
        self._lock = threading.Lock()  # guards all of the following
        self._waiting: dict[Job, None] = {}
        self._running: set[Job] = set()
        self._pool: WorkerPool[Job, Fetchers] = WorkerPool(
            self._lock,
            lambda waker: Fetchers(waker, fetcher),
            self._next,
            self._run,
            name="kucoin-relay-worker",
            purpose="the relay's jobs",
        )
        self._pace = backoff.SlidingWindow(Limits().snapshots_per_30s, _PACE_SECONDS)
        self._closed = False
        self._client = server.client(lambda: self._closed)
        self._scripts = HolderScripts(self._client, keys)
        with self._lock:
            self._pool.ensure_thread()

    def add(self, job: Job) -> None:
        """Queue a job for the worker threads."""
        with self._lock:
            if self._closed:
                return
            self._waiting[job] = None
            self._pool.job_added()

    def close(self) -> None:
        """Interrupt the worker threads and wait for their end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            threads = self._pool.close()
        self._client.connection_pool.disconnect()
        for thread in threads:
            thread.join()
        self._client.connection_pool.disconnect()

    # A thread

    def _next(self, _: Fetchers, __: float) -> tuple[Job | None, float]:
        """Return the next job that no worker runs."""
        job = next((each for each in self._waiting if each not in self._running), None)
        if job is not None:
            del self._waiting[job]
            self._running.add(job)
        return job, math.inf

    def _run(self, job: Job, fetchers: Fetchers) -> None:
        try:
            self._do(job, fetchers)
        except BROKEN:
            pass  # the reader asks again; the relay's thread reports that Redis does not answer
        except Cancelled:
            raise
        except BaseException as error:
            log(logging.ERROR, "a defect made a job of the relay fail", error=error)
        finally:
            with self._lock:
                self._running.discard(job)

    def _do(self, job: Job, fetchers: Fetchers) -> None:
        if not isinstance(job, str):
            job()
            return
        if job.startswith(PUSHED):
            self._push_again(job)
            return
        book = decode_book(job)
        if book is None or book.path not in _PATHS:
            log(logging.WARNING, "a reader asked for a snapshot that relays do not fetch: %.200s", job)
            return
        self._wait_for_pace(fetchers.waker)
        asked: Any = self._client.get(self._keys.asked(job))
        answer = self._fetch(book, int(asked or 0), fetchers)
        self._scripts.answer(self._holder.token, job, encode(answer), _KEEP_SECONDS)

    def _push_again(self, topic: str) -> None:
        """Have KuCoin push the snapshot of a book again, for all readers of its topic, unless it has just done so."""
        now = time.monotonic()
        with self._lock:
            self._resubscribed = {each: at for each, at in self._resubscribed.items() if now - at < _AGAIN_SECONDS}
            if topic in self._resubscribed:
                return
            self._resubscribed[topic] = now
        with suppress(InvalidTopic):
            self._resubscribe(topic)

    def _wait_for_pace(self, waker: Waker) -> None:
        while True:
            now = time.monotonic()
            with self._lock:
                delay = self._pace.free_at(now) - now
                if delay <= 0:
                    self._pace.record(now)
                    return
            waker.pause(delay)

    def _fetch(self, book: SnapshotRequest, asked: int, fetchers: Fetchers) -> SnapshotAnswer:
        try:
            return SnapshotAnswer(asked, fetchers.fetch(book.market, book.path, {"symbol": book.symbol}, book.signed))
        except KucoinSyncError as error:
            return answer_of(asked, error)
