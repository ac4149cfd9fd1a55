"""Fetch the snapshots that a stream's order books need, at a limited rate, on up to four threads.

Rules:
1. At most 4 requests run at a time, and at most `Limits.snapshots_per_30s` in 30 seconds. The book with
   the fewest failures goes first, so a symbol that REST fails for, or does not answer for, delays no other one.
2. A book whose snapshot failed or was too old has to wait. The delays grow and have jitter. A book that needs another
   snapshot soon after a good one waits a moment, too.
3. If KuCoin asks to slow down, all books of that REST service wait for as long as it says. They also wait while the
   service can't be reached.
4. An error that no later attempt can fix ends a book if no book of its symbol was ever ready here. Any other book ends
   only if KuCoin refuses the key that its snapshots need.

The first thread is started with the first book and lives while there is a book, so no snapshot ever waits for a thread
to start. Further threads are started if there is more to do and the system allows it. They end after some idle seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from ..exceptions import ConnectionFailed, KucoinSyncError, RestError, is_fatal
from ..internal import backoff
from ..internal.guard import guarded
from ..internal.resources import error_or_defect
from ..net.rest_response import RATE_CODES
from ..net.waker import Cancelled, Waker
from ..net.workers import WorkerPool

__all__ = ["FetcherFactory", "Fetchers", "RestQuota", "SnapshotFetcher", "SnapshotProvider", "SnapshotQueue"]

_PERIOD, _FIRST_DELAY, _LONGEST_DELAY = 30.0, 0.5, 30.0
_MIN_INTERVAL = 1.0  # seconds between a good snapshot of a book and the next one
_IDLE_TIMEOUT = 5.0  # seconds after which an idle thread ends, except the first one
_MAX_REMEMBERED = 1_000  # symbols whose books were ready


class _SnapshotSource(Protocol):
    """Where a snapshot comes from; see `BookSource`."""

    @property
    def market(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def query(self) -> dict[str, str]: ...
    @property
    def signed(self) -> bool: ...


class _SnapshotReceiver(Protocol):
    """A book that needs a snapshot; see `follower.Follower`."""

    @property
    def source(self) -> _SnapshotSource: ...
    @property
    def was_live(self) -> bool: ...
    def snapshot_attempt(self) -> int | None: ...
    def apply_snapshot(self, data: Any, attempt: int) -> bool: ...
    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None: ...
    def end(self, error: KucoinSyncError) -> None: ...


class SnapshotFetcher(Protocol):
    """A REST client that fetches snapshots on one thread; see `net.rest.Rest`."""

    def call(
        self, market: str, method: str, path: str, query: dict[str, str] | None = None, *, signed: bool = False
    ) -> Any: ...
    def close(self) -> None: ...


class SnapshotProvider(Protocol):
    """Provides books with snapshots; see `SnapshotQueue`."""

    @property
    def request_count(self) -> int: ...
    def add(self, book: Any) -> None:
        """Prepare to fetch snapshots for a book, until `remove`; raises ConnectionFailed if that is impossible."""

    def request_snapshot(self, book: Any) -> None: ...
    def remove(self, book: Any) -> None: ...
    def obstacle(self, book: Any) -> str:
        """Return why the snapshot of a book has to wait, "" if that is unknown."""

    def after_fork(self) -> SnapshotProvider:
        """Return the provider for a forked child, which has none of the threads."""

    def close(self) -> list[threading.Thread]: ...


#: Makes a fetcher. The waker cancels its requests; the flag tells whether it has to sign them.
FetcherFactory: TypeAlias = Callable[[Waker, bool], SnapshotFetcher]


def _new_delays() -> Iterator[float]:
    return backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)


class Fetchers:
    """The REST clients of one thread, with and without an API key, made when they are needed.

    Args:
        waker: cancels their requests.
        make: makes one.
    """

    def __init__(self, waker: Waker, make: FetcherFactory) -> None:
        self.waker = waker
        self._make = make
        self._made: dict[bool, SnapshotFetcher] = {}

    def fetch(self, market: str, path: str, query: dict[str, str], signed: bool) -> Any:
        """Return the data of a GET request; see `SnapshotFetcher.call`."""
        if signed not in self._made:
            self._made[signed] = self._make(self.waker, signed)
        return self._made[signed].call(market, "GET", path, query, signed=signed)

    def close(self) -> None:
        """Close them all."""
        for fetcher in self._made.values():
            with guarded("a REST client could not be closed"):
                fetcher.close()


class _Job:
    """The pending snapshot of one book."""

    __slots__ = ("delays", "due", "failures", "in_progress", "not_before", "requested_again", "waker")

    def __init__(self) -> None:
        self.due = math.inf  # when to fetch; infinite if no snapshot is needed, or while one is being fetched
        self.in_progress = False
        self.requested_again = False  # whether a snapshot was requested since the last fetch began
        self.not_before = 0.0  # the earliest instant for the next snapshot after a good one
        self.failures = 0  # since the last good one
        self.delays = _new_delays()
        self.waker: Waker | None = None  # the waker of the thread that fetches it, or fetched it last


class _RestService:
    """One of KuCoin's two REST services: the waits that it imposes on all its books."""

    __slots__ = ("delays", "free_at", "unreachable_until")

    def __init__(self) -> None:
        self.free_at = 0.0  # the instant from which it may be asked again, because KuCoin wants that
        self.unreachable_until = 0.0  # the instant of the next attempt to reach it
        self.delays = _new_delays()

    @property
    def asked_at(self) -> float:
        """The instant from which it may be asked again."""
        return max(self.free_at, self.unreachable_until)


class RestQuota:
    """What several queues of one stream share: the number of requests in 30 seconds, and the lock that guards it.

    Attributes:
        lock: guards the window, and the queues that share it.
        window: the requests so far.
    """

    def __init__(self, per_period: int) -> None:
        self.lock = threading.Lock()
        self.window = backoff.SlidingWindow(per_period, _PERIOD)
        self._of_child: RestQuota | None = None

    def after_fork(self) -> RestQuota:
        """Return the quota for a forked child: the same one for all queues."""
        if self._of_child is None:
            self._of_child = RestQuota(self.window.count)
        return self._of_child


class SnapshotQueue:
    """Fetches the snapshots of one stream's books.

    Args:
        fetcher: makes the REST client of one thread.
        quota: limits the number of snapshots that are fetched in 30 seconds.
        on_snapshot: called with each snapshot before its book gets it: market, path, symbol, data.
        label: what the names of its threads end with.

    Attributes:
        request_count: the number of snapshots that were requested so far.
    """

    def __init__(
        self,
        fetcher: FetcherFactory,
        quota: RestQuota,
        on_snapshot: Callable[[str, str, str, Any], None] = lambda market, path, symbol, data: None,
        label: str = "",
    ) -> None:
        self._label = label
        self._make_fetcher = fetcher
        self._on_snapshot = on_snapshot
        self._quota = quota
        self._lock = quota.lock  # guards the attributes below
        self._jobs: dict[_SnapshotReceiver, _Job] = {}
        self._services = {"spot": _RestService(), "futures": _RestService()}
        self._pool = WorkerPool(
            self._lock,
            lambda waker: Fetchers(waker, fetcher),
            lambda fetchers, now: self._next_job(fetchers, now),
            self._run_job,
            name=f"kucoin-snapshots{label}",
            purpose="the snapshots of order books",
            is_needed=lambda: bool(self._jobs),
            idle_timeout=_IDLE_TIMEOUT,
        )
        self._were_live: dict[tuple[str, str], None] = {}  # path and symbol of books that were ready, the latest last
        self._closed = False
        self.request_count = 0

    def add(self, book: _SnapshotReceiver) -> None:
        """Prepare to fetch snapshots for a book, until `remove`.

        Raises:
            ConnectionFailed: no thread could be started; nothing has changed.
        """
        with self._lock:
            if not self._closed:
                self._add(book)

    def request_snapshot(self, book: _SnapshotReceiver) -> None:
        """Fetch a snapshot for a book as soon as the rate limit allows it."""
        with self._lock:
            if self._closed:
                return
            ready = bool(self._pool.threads)
            job = self._add(book)
            job.requested_again = True
            if job.in_progress or job.due < math.inf:
                return
            if ready:  # else the thread that was just started fetches it
                self._pool.job_added()
            job.due = max(time.monotonic(), job.not_before)  # last, as the wake-up may fail

    def _add(self, book: _SnapshotReceiver) -> _Job:
        """Return the job of a book; make one if necessary (under the lock)."""
        self._pool.ensure_thread()
        return self._jobs.setdefault(book, _Job())

    def obstacle(self, book: _SnapshotReceiver) -> str:
        """Return what the request for a book waits for: its turn, or an answer; "" if there is none. Takes no lock."""
        job, now = self._jobs.get(book), time.monotonic()
        if job is not None and job.due <= now:
            return self._quota.window.obstacle(now, "requests", "Limits.snapshots_per_30s")
        step = job.waker.step if job is not None and job.in_progress and job.waker is not None else None
        return "" if step is None else step.so_far()

    def after_fork(self) -> SnapshotQueue:
        """Return a new queue for a forked child, which has none of the threads."""
        fresh = SnapshotQueue(self._make_fetcher, self._quota.after_fork(), label=self._label)
        fresh._were_live = dict(self._were_live)
        return fresh

    def reachable(self, market: str) -> None:
        """Note that KuCoin can be reached again: wait no longer before REST is asked, unless KuCoin wants that."""
        with self._lock:
            service = self._services[market]
            service.unreachable_until, service.delays = 0.0, _new_delays()
            self._pool.wake_all()

    def remove(self, book: _SnapshotReceiver) -> None:
        """Fetch no more snapshots for a book."""
        with self._lock:
            self._jobs.pop(book, None)
            if not self._jobs:
                self._pool.wake_all()  # the threads end when there are no jobs

    def close(self) -> list[threading.Thread]:
        """Cancel whatever the threads wait for, so that they end; return them."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            return self._pool.close()

    # The threads

    def _next_job(self, fetchers: Fetchers, now: float) -> tuple[_SnapshotReceiver | None, float]:
        """Return the book to fetch for at `now`; or None, and the seconds until one is due (under the lock)."""
        paced = self._quota.window.free_at(now)
        waiting = {
            book: max(job.due, self._services[book.source.market].asked_at, paced)
            for book, job in self._jobs.items()
            if job.due < math.inf
        }
        ready = [book for book, at in waiting.items() if at <= now]
        if not ready:
            return None, min(waiting.values(), default=math.inf) - now
        book = min(ready, key=lambda book: (self._jobs[book].failures, self._jobs[book].due))
        job = self._jobs[book]
        self._quota.window.record(now)
        if len(waiting) > 1:
            self._pool.wake_idle()  # an idle thread takes the next job while this one fetches
        job.waker = fetchers.waker
        job.in_progress, job.requested_again, job.due = True, False, math.inf  # last, as the others may fail
        return book, 0.0

    def _run_job(self, book: _SnapshotReceiver, fetchers: Fetchers) -> None:
        try:
            self._fetch(fetchers, book)
        except Cancelled:
            raise
        except BaseException:
            self._reschedule(book, None)  # before the error is logged: the book still needs a snapshot
            raise

    def _fetch(self, fetchers: Fetchers, book: _SnapshotReceiver) -> None:
        attempt = book.snapshot_attempt()
        if attempt is None:
            self._finish_job(book)
            return
        source = book.source
        with self._lock:
            self.request_count += 1
        try:
            data = fetchers.fetch(source.market, source.path, source.query, source.signed)
            self._on_snapshot(source.market, source.path, source.symbol, data)
            again, error = book.apply_snapshot(data, attempt), None
            if book.was_live:
                self._remember_live(source)
        except KucoinSyncError as caught:
            was_live = book.was_live or (source.path, source.symbol) in self._were_live
            if is_fatal(caught, was_live=was_live, needs_key=source.signed):
                book.end(caught)
                return
            again, error = True, caught
        except Cancelled:
            raise
        except BaseException as caught:
            again, error = (
                True,
                error_or_defect(
                    caught,
                    f"a snapshot of {source.symbol}",
                    "a defect spoiled a snapshot for %s; another will be fetched",
                    source,
                ),
            )
        if again:
            book.snapshot_delayed(self._reschedule(book, error), error)
        else:
            self._finish_job(book, not_before=time.monotonic() + _MIN_INTERVAL)

    def _remember_live(self, source: _SnapshotSource) -> None:
        """Remember that a book of this source was ready; beyond a limit the oldest source is forgotten."""
        with self._lock:
            self._were_live.pop((source.path, source.symbol), None)
            self._were_live[source.path, source.symbol] = None
            if len(self._were_live) > _MAX_REMEMBERED:
                del self._were_live[next(iter(self._were_live))]

    def _finish_job(self, book: _SnapshotReceiver, not_before: float | None = None) -> None:
        """Record that a book needs no snapshot now.

        If it has just got a good one, `not_before` is the instant from which it may get the next.
        """
        with self._lock:
            job = self._jobs.get(book)
            if job is None:
                return
            if not_before is not None:
                self._services[book.source.market].delays, job.delays = _new_delays(), _new_delays()
                job.failures, job.not_before = 0, not_before
            job.in_progress = False
            job.due = job.not_before if job.requested_again else math.inf

    def _reschedule(self, book: _SnapshotReceiver, error: KucoinSyncError | None) -> float:
        """Schedule another snapshot after a failure; return the seconds until then."""
        now = time.monotonic()
        with self._lock:
            service = self._services[book.source.market]
            limited = isinstance(error, RestError) and error.code in RATE_CODES
            if service.asked_at <= now and (limited or isinstance(error, ConnectionFailed)):
                until = now + next(service.delays)
                if limited:
                    service.free_at = until
                else:
                    service.unreachable_until = until
            asked = getattr(error, "retry_after", None)
            if asked is not None:
                service.free_at = max(service.free_at, now + asked)
            job = self._jobs.get(book)
            if job is None:
                return 0.0
            job.failures += 1
            job.in_progress = False
            job.due = now + next(job.delays)
            return max(job.due, service.asked_at) - now
