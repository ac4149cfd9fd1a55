"""Runs jobs one after another, and goes on with the others when one of them takes long.

Rules:
1. A job queue has jobs and the worker that serves it; a worker is a thread. Jobs wait in the first job queue. Those
   whose last run took long wait in the second job queue, which gets a worker when it is first needed.
2. A job waits once, and is put back at the end of its run. So it never runs twice at a time.
3. One more worker, the spare, watches the others. When a run takes longer than its job queue allows, the spare serves
   that job queue from then on, and another spare is started. So a job that is stuck holds up the others once.
4. The replaced worker is not active any more, and ends its run as soon as it can. Then it ends, too, or becomes the
   spare if there is none. At most `_MOST_STUCK` workers are replaced at a time; after that, the jobs behind them wait.
5. If no thread can be started, the spare tries again for `_LONGEST_TRY` seconds before it serves without another spare.
   Then servers try again before a run. If there is no worker at all, `put` and `retry` try again.
6. An error that a job raises is reported, and the job is put back.
7. `put` takes no lock while there is a worker: a finaliser may call it wherever it interrupts a thread.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..events import Event, ThreadNotStarted, UnexpectedError
from ..exceptions import ConnectionFailed
from ..internal.guard import guarded, log
from ..internal.resources import acquiring, start_thread
from ..internal.signals import defer, is_reentrant
from ..internal.timed_queue import TimedQueue

__all__ = ["Executor", "Job", "Worker"]

_MOST_STUCK = 16
_LONGEST_TRY = 0.5
_RETRY = 0.1
_AFTER_DEFECT = 0.01


class Job:
    """Something that runs on a worker now and then."""

    is_slow = False  # its last run took long
    is_told = False  # `took_long` was called

    def run_job(self, worker: Worker) -> bool:
        """Do a little, and stop when `worker.is_active` is false; return whether to be put back at once."""
        raise NotImplementedError

    def took_long(self, seconds: float) -> None:
        """Be told, once, of a run that lasts or lasted so long that the user should know."""
        raise NotImplementedError


@dataclass(eq=False, slots=True)
class Worker:
    """A thread that serves a job queue while it `is_active`."""

    is_active: bool = False
    is_watched: bool = False  # the spare will look at the run in time
    job: Job | None = None  # what runs on it now
    since: float = 0.0  # when the run began
    thread: threading.Thread | None = None


@dataclass(eq=False, slots=True)
class _JobQueue:
    """Jobs that wait, and the worker that serves them; a run may last for `slow_after` seconds."""

    slow_after: float
    jobs: deque[Job] = field(default_factory=deque)
    # One for each job. The class is looked up then: gevent may replace it after this is imported.
    calls: queue.SimpleQueue[None] = field(default_factory=lambda: queue.SimpleQueue())
    server: Worker | None = None


class Executor:
    """Two job queues and their workers.

    Args:
        slow_after: seconds of a run after which the other jobs go on without it.
        warn_after: seconds of a run after which `Job.took_long` is called.
        emit: takes events, without waiting.
    """

    def __init__(self, name: str, slow_after: float, warn_after: float, emit: Callable[[Event], object]) -> None:
        self._name = name
        self._warn_after = warn_after
        self._emit = emit
        self._lock = threading.Lock()  # guards which worker does what; taken once per run
        self._first, self._second = self._job_queues = _JobQueue(slow_after), _JobQueue(warn_after)
        self._spare: Worker | None = None
        self._replaced: set[Worker] = set()
        self._looks: TimedQueue[None] = TimedQueue()  # wakes the spare
        self._has_slow = False  # the second job queue is needed
        self._shortage: ConnectionFailed | None = None  # why a thread is missing
        self._short_since = self._retry_at = 0.0
        self.closed = False

    def put(self, job: Job, first: bool = False) -> None:
        """Put a job behind those that wait, or before all of them."""
        job_queue = self._second if job.is_slow and not first and self._second.server is not None else self._first
        job_queue.jobs.appendleft(job) if first else job_queue.jobs.append(job)
        job_queue.calls.put(None)
        if job_queue.server is None:
            defer(self.start) if is_reentrant() else self.start()

    def start(self) -> ConnectionFailed | None:
        """Start the threads that are missing; return why there is none at all."""
        if self._spare is None or self._shortage is not None or (self._has_slow and self._second.server is None):
            with self._lock:
                news = self._start_missing()
            if news is not None:
                self._emit(news)
        return self._shortage if self._first.server is None else None

    def retry(self, now: float) -> float:
        """Try again to start a worker if there is none and it is time to; return when to call this again."""
        if self._shortage is None or self._first.server is not None or self.closed:
            return math.inf
        if now >= self._retry_at:
            self.start()
        return self._retry_at

    def close(self) -> None:
        """End after the present runs; jobs in the first queue run once more, on a worker that is not active."""
        with self._lock:
            self.closed = True
            for worker in self._workers():
                worker.is_active = False
        self._first.calls.put(None)
        self._second.calls.put(None)
        self._looks.put(None)

    def after_fork(self) -> None:
        """End in a forked child, which has at most one of the threads: the one that forked, in a job's run."""
        self.closed = True
        self._lock = threading.Lock()
        self._first.jobs.clear()
        for worker in self._workers():
            worker.is_active = False

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that end soon after `close`; those that are stuck are left to themselves."""
        workers = [*self._workers(), *(worker for worker in (*self._replaced,) if worker.job is None)]
        return [worker.thread for worker in workers if worker.thread is not None]

    def _workers(self) -> list[Worker]:
        """Return the workers that are not replaced."""
        workers = (self._first.server, self._second.server, self._spare)
        return [worker for worker in workers if worker is not None]

    def _start_missing(self) -> ThreadNotStarted | None:
        """Start the threads that are missing (under the lock); return what to report."""
        shortage: ConnectionFailed | None = None
        try:
            if self._first.server is None and not self.closed:
                self._first.server = self._start_worker()
            if self._spare is None and not self.closed:
                self._spare = self._start_worker()
            if self._second.server is None and self._has_slow and not self.closed:
                self._second.server = self._start_worker()
        except ConnectionFailed as error:
            shortage, now = error, time.monotonic()
            self._retry_at = now + _RETRY
        before, self._shortage = self._shortage, shortage
        if shortage is None or before is not None:
            return None
        self._short_since = now
        return ThreadNotStarted(f"callbacks ({self._name})", shortage.__cause__ or shortage)

    def _start_worker(self) -> Worker:
        """Return a new worker, which waits for the lock to see what it is for."""
        with acquiring(f"the thread {self._name}"):
            worker = Worker()
        worker.thread = start_thread(self._run, worker, name=self._name)
        return worker

    def _run(self, me: Worker) -> None:
        needed = True
        while needed:
            try:
                needed = self._work(me)
            except BaseException as error:
                place = f"the thread {self._name}" if me.job is None else f"a run of {me.job!r}"
                log(logging.ERROR, "a defect in %s, which goes on", place, error=error)
                with guarded("a defect could not be reported"):
                    self._emit(UnexpectedError(place, error))
                time.sleep(_AFTER_DEFECT)  # so that many of them can't fill the log
        self._replaced.discard(me)

    def _work(self, me: Worker) -> bool:
        """Serve a job queue, or be the spare; return False when this worker is not needed any more."""
        with self._lock:
            raised, me.job = me.job, None
            job_queue = next((job_queue for job_queue in self._job_queues if job_queue.server is me), None)
            me.is_active = job_queue is not None and not self.closed
        if raised is not None and not self.closed:
            self.put(raised)
        if job_queue is None:
            return self._stand_by(me)
        if me.is_active:
            self._serve(me, job_queue)
            return True
        while job_queue is self._first and job_queue.jobs:
            me.job = job_queue.jobs.popleft()
            me.job.run_job(me)
        return False

    def _serve(self, me: Worker, job_queue: _JobQueue) -> None:
        """Run the jobs of a job queue while this worker is active."""
        jobs, wait, clock, slow_after = job_queue.jobs, job_queue.calls.get, time.monotonic, self._first.slow_after
        goes_on = False  # with a job that was put back without a call
        job: Job | None
        while me.is_active:
            if not goes_on:
                job = None  # a thread that waits keeps nothing alive
                wait()
                now = clock()
                if not me.is_active:
                    return
            me.since = began = now
            me.job = job = jobs.popleft()
            if not me.is_watched or self._shortage is not None:
                self._prepare_run(me)
            goes_on = job.run_job(me)
            now = clock()
            with self._lock:
                me.job = None  # from here on, this worker is not replaced
            if job.is_slow or not me.is_active or now - began >= slow_after:
                self._end_run(job, now - began, goes_on)
                goes_on = False
            elif goes_on:
                jobs.append(job)

    def _prepare_run(self, me: Worker) -> None:
        """Have the spare look in time, and start a spare if there is none."""
        if not me.is_watched:
            me.is_watched = True
            self._looks.put(None)
        if self._shortage is not None and me.since >= self._retry_at:
            self.start()

    def _end_run(self, job: Job, seconds: float, again: bool) -> None:
        """Choose a job queue for a job that may be slow, and tell it so."""
        job.is_slow = seconds >= self._first.slow_after
        if again:
            self.put(job)
        if job.is_slow:
            self._has_slow = True
            self.start()
            self._tell(job, seconds)

    def _tell(self, job: Job, seconds: float) -> bool:
        """Tell a job if its run lasts very long; return whether it was told."""
        with self._lock:
            is_news = seconds >= self._warn_after and not job.is_told
            job.is_told = job.is_told or is_news
        if is_news:
            with guarded("a defect in %r, which was told that its run takes long", job):
                job.took_long(seconds)
        return job.is_told

    def _stand_by(self, me: Worker) -> bool:
        """Be the spare until the next look at the servers; return False if there is another spare."""
        with self._lock:
            if self.closed or self._spare not in (None, me):
                return False
            self._spare = me
            self._replaced.discard(me)
        waits, now = [], time.monotonic()
        for worker in (*self._replaced, *self._workers()):
            worker.is_watched = False  # at first, because its run may begin now
            job, since = worker.job, worker.since
            if job is None:
                continue
            worker.is_watched = True
            for job_queue in [job_queue for job_queue in self._job_queues if job_queue.server is worker]:
                left = since + job_queue.slow_after - now
                waits.append(left if left > 0 else self._first.slow_after)
                if left <= 0 and len(self._replaced) < _MOST_STUCK and self._replace(me, job_queue, worker, since):
                    return True
            if not self._tell(job, now - since):
                waits.append(since + self._warn_after - now)
        with suppress(queue.Empty):
            self._looks.get(timeout=min(waits, default=None))
        return True

    def _replace(self, me: Worker, job_queue: _JobQueue, server: Worker, since: float) -> bool:
        """Start another spare, and serve a job queue in its server's place; return False if there is no other spare."""
        with self._lock:
            self._has_slow, self._spare = True, None
            news = self._start_missing()
            is_alone = self._spare is None and time.monotonic() < self._short_since + _LONGEST_TRY
            if is_alone:
                self._spare = me
            elif server.job is not None and server.since == since and not self.closed:  # the run still lasts
                server.is_active, server.job.is_slow = False, True
                self._replaced.add(server)
                job_queue.server = me
        if news is not None:
            self._emit(news)
        return not is_alone
