"""Make the REST calls of an account within its share of KuCoin's quotas, on up to four threads.

Rules:
1. Each of KuCoin's pools has a limit here of half its quota, in weights per 30 seconds. The rest is the user's own.
2. A call that failed and may succeed later is made again, after growing delays with jitter. If KuCoin asks to slow
   down, or can't be reached, all calls to that service wait.
3. An error that no later attempt can fix is the answer of its call. But where the path was answered before, the call is
   made again: a few times if the error is KuCoin's own, and until it succeeds if it may come from a proxy.
   KuCoin calls the time of a slow request wrong. Such a call is made again if any path was answered before.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..books.snapshot_fetcher import FetcherFactory, Fetchers
from ..exceptions import AuthenticationError, ConnectionFailed, KucoinSyncError, RestError, is_fatal
from ..internal import backoff
from ..internal.resources import error_or_defect
from ..net.rest_response import RATE_CODES
from ..net.waker import Cancelled
from ..net.workers import WorkerPool
from .calls import Call

__all__ = ["LIMITS", "RestCalls"]

#: Weights per 30 seconds: half of KuCoin's quotas of the lowest level.
LIMITS = {"spot": 2000, "futures": 1000, "management": 1000}
_PERIOD = 30.0
_FIRST_DELAY, _LONGEST_DELAY = 0.3, 30.0
_IDLE_TIMEOUT = 5.0
_REPEATS = 2  # calls that KuCoin refuses although it has answered the path before
_HTTP_DIGITS = 3  # of an HTTP status, which is the code of an answer that is not KuCoin's


def _new_delays() -> Iterator[float]:
    return backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)


class _Batch:
    """Calls that were asked for together, and their answers."""

    def __init__(self, calls: Sequence[Call], done: Callable[[list[Any]], None]) -> None:
        self.answers: list[Any] = [None] * len(calls)
        self.left = len(calls)
        self.done = done


class _Job:
    """One call that is to be made."""

    __slots__ = ("batch", "call", "delays", "due", "failed", "place", "refusals")

    def __init__(self, call: Call, batch: _Batch, place: int) -> None:
        self.call = call
        self.batch = batch
        self.place = place
        self.due = 0.0
        self.failed: KucoinSyncError | None = None
        self.refusals = 0
        self.delays = _new_delays()


class RestCalls:
    """Makes the calls of one account.

    Args:
        make: makes the REST client of one thread.
        limits: weights per 30 seconds, by pool.
        label: what the names of its threads end with.

    Attributes:
        count, weight: the calls that were made, and what they cost.
    """

    def __init__(self, make: FetcherFactory, limits: dict[str, int] | None = None, *, label: str = "") -> None:
        self._label = label
        self._make = make
        self._lock = threading.Lock()  # guards the attributes below
        self._limits = limits or LIMITS
        self._windows = {pool: backoff.SlidingWindow(limit, _PERIOD) for pool, limit in self._limits.items()}
        self._jobs: dict[_Job, None] = {}
        self._free_at = {"spot": 0.0, "futures": 0.0}
        self._delays = {market: _new_delays() for market in self._free_at}
        self._answered: set[str] = set()
        self._is_used = False
        self._pool = WorkerPool(
            self._lock,
            lambda waker: Fetchers(waker, make),
            lambda fetchers, now: self._next_job(now),
            self._run_job,
            name=f"kucoin-account-rest{label}",
            purpose="the REST calls of an account",
            is_needed=lambda: self._is_used,
            idle_timeout=_IDLE_TIMEOUT,
        )
        self.count = self.weight = 0

    def open(self) -> None:
        """Start a thread, which lives until `close`.

        Raises:
            ConnectionFailed: no thread could be started.
        """
        with self._lock:
            self._pool.ensure_thread()
            self._is_used = True

    def close(self) -> list[threading.Thread]:
        """Cancel all calls, so that the threads end; return them."""
        with self._lock:
            self._is_used = False
            self._jobs.clear()
            return self._pool.close()

    def after_fork(self) -> RestCalls:
        """Return new ones for a forked child, which has none of the threads."""
        fresh = RestCalls(self._make, self._limits, label=self._label)
        fresh._answered = set(self._answered)
        return fresh

    def ask(self, calls: Sequence[Call], done: Callable[[list[Any]], None]) -> object:
        """Make calls; call `done` with their answers, in order, on another thread. Return what `drop` needs."""
        batch = _Batch(calls, done)
        jobs = dict.fromkeys(_Job(call, batch, place) for place, call in enumerate(calls))
        with self._lock:
            self._pool.job_added()
            self._jobs.update(jobs)
        if not calls:
            done([])
        return batch

    def drop(self, batch: object) -> None:
        """Make none of the calls of a batch any more."""
        with self._lock:
            for job in [job for job in self._jobs if job.batch is batch]:
                del self._jobs[job]

    def obstacle(self, batch: object) -> str:
        """Return why the calls of a batch are late, "" if they are not."""
        with self._lock:
            jobs, now = [job for job in self._jobs if job.batch is batch], time.monotonic()
        for job in jobs:
            if job.failed is not None:
                return str(job.failed)
        for call in [job.call for job in jobs if job.due <= now]:
            limit = f"half of KuCoin's {call.pool} quota"
            if paced := self._windows[call.pool].obstacle(now, "units of weight", limit, call.weight - 1):
                return paced
        return ""

    # The threads

    def _next_job(self, now: float) -> tuple[_Job | None, float]:
        """Return the call to make at `now`; or None, and the seconds until one is due (under the lock)."""
        first, at = None, math.inf
        for job in self._jobs:
            if job.due == math.inf:
                continue
            call = job.call
            window = self._windows[call.pool]
            due = max(job.due, self._free_at[call.market], window.free_at(now, reserve=call.weight - 1))
            if due < at:
                first, at = job, due
            if at <= now:
                break
        if first is None or at > now:
            return None, at - now
        for _ in range(first.call.weight):
            self._windows[first.call.pool].record(now)
        if any(job.due < math.inf for job in self._jobs if job is not first):
            self._pool.job_added()  # an idle thread, or a further one, makes the next call meanwhile
        self.count += 1
        self.weight += first.call.weight
        first.due = math.inf  # last, as the others may fail
        return first, 0.0

    def _run_job(self, job: _Job, fetchers: Fetchers) -> None:
        try:
            self._make_call(job, fetchers)
        except Cancelled:
            raise
        except BaseException:
            with self._lock:
                job.due = time.monotonic() + next(job.delays)  # before the error is logged: it is still to be made
            raise

    def _make_call(self, job: _Job, fetchers: Fetchers) -> None:
        call = job.call
        try:
            answer: Any = fetchers.fetch(call.market, call.path, dict(call.query), True)
        except Cancelled:
            raise
        except BaseException as caught:
            error = error_or_defect(caught, f"the call {call}", "a defect spoiled the call %s, which is repeated", call)
            own = isinstance(error, RestError) and not error.retriable and len(error.code) > _HTTP_DIGITS
            if own and call.path in self._answered:
                job.refusals += 1
                own = job.refusals > _REPEATS
            refused = isinstance(error, AuthenticationError)  # which is about the key, not about the path
            was_live = bool(self._answered) if refused else call.path in self._answered
            if not own and not is_fatal(error, was_live=was_live, needs_key=True):
                self._reschedule(job, error)
                return
            answer = error
        self._finish(job, answer)

    def _finish(self, job: _Job, answer: Any) -> None:
        """Note the answer to a call. The last call of a batch is over when the answers were taken."""
        call, batch = job.call, job.batch
        with self._lock:
            if not isinstance(answer, KucoinSyncError):
                self._answered.add(call.path)
                self._delays[call.market] = _new_delays()
            if job not in self._jobs:
                return  # it was dropped meanwhile
            batch.answers[job.place] = answer
            if batch.left > 1:
                batch.left -= 1
                del self._jobs[job]
                return
        batch.done(batch.answers)
        with self._lock:
            self._jobs.pop(job, None)

    def _reschedule(self, job: _Job, error: KucoinSyncError) -> None:
        now, market = time.monotonic(), job.call.market
        with self._lock:
            limited = isinstance(error, RestError) and error.code in RATE_CODES
            if self._free_at[market] <= now and (limited or isinstance(error, ConnectionFailed)):
                self._free_at[market] = now + next(self._delays[market])
            if (asked := getattr(error, "retry_after", None)) is not None:
                self._free_at[market] = max(self._free_at[market], now + asked)
            job.failed = error
            job.due = now + next(job.delays)
