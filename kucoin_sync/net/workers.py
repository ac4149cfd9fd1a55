"""A few threads that run the jobs of one owner. Another thread is started while there is more to do.

The owner keeps the jobs and decides which one is next, under its lock. A thread that finds no job waits until one is
due or the owner has another one. One that was idle for long ends, unless it is the last one and the owner needs it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Generic, Protocol, TypeVar

from ..exceptions import ConnectionFailed
from ..internal.guard import guarded, log
from ..internal.resources import acquiring, start_thread
from .waker import Cancelled, Waker

__all__ = ["WorkerPool", "WorkerTools"]

_DEFECT_DELAY = 0.1  # seconds for which a thread pauses after an unexpected error

J = TypeVar("J")
T = TypeVar("T", bound="WorkerTools")


class WorkerTools(Protocol):
    """What one thread needs for its jobs."""

    @property
    def waker(self) -> Waker: ...
    def close(self) -> None: ...


class WorkerPool(Generic[J, T]):
    """The threads that run an owner's jobs.

    Args:
        lock: the owner's.
        make_tools: makes what a new thread needs; its waker ends whatever the thread waits for.
        next_job: called with a thread's tools and the time, under the lock. Returns the next job; or None, and the
            seconds until one is due.
        run_job: runs a job with a thread's tools.
        name: the name of the threads.
        purpose: what they are for, in errors.
        is_needed: returns whether the last thread is needed when it has no job, under the lock.
        most: the largest number of threads.
        idle_timeout: seconds after which an idle thread ends, except the last one.
    """

    def __init__(
        self,
        lock: AbstractContextManager[object],
        make_tools: Callable[[Waker], T],
        next_job: Callable[[T, float], tuple[J | None, float]],
        run_job: Callable[[J, T], None],
        *,
        name: str,
        purpose: str,
        is_needed: Callable[[], bool] = lambda: True,
        most: int = 4,
        idle_timeout: float = 0.0,
    ) -> None:
        self.threads: dict[Waker, threading.Thread] = {}  # guarded by the lock, as are the next two
        self._ending: list[threading.Thread] = []  # no longer in `threads`, and about to end
        self._idle: dict[Waker, None] = {}
        self._name = name
        self._purpose = purpose
        self._lock = lock
        self._make_tools = make_tools
        self._next_job = next_job
        self._run_job = run_job
        self._is_needed = is_needed
        self._most = most
        self._idle_timeout = idle_timeout

    # Under the lock

    def ensure_thread(self) -> None:
        """Start a thread if there is none.

        Raises:
            ConnectionFailed: the system refused a socket or a thread.
        """
        if not self.threads:
            self._start()

    def job_added(self) -> None:
        """Wake an idle thread; or start another one if that is possible, else a busy one runs the job later."""
        if not self.wake_idle() and 0 < len(self.threads) < self._most:
            with suppress(ConnectionFailed):
                self._start()

    def wake_idle(self) -> bool:
        """Wake an idle thread; return whether there was one."""
        if self._idle:
            self._idle.popitem()[0].wake()
            return True
        return False

    def wake_all(self) -> None:
        """Let each thread see whether it is needed."""
        for waker in self.threads:
            waker.wake()

    def close(self) -> list[threading.Thread]:
        """Cancel whatever the threads wait for, so that they end; return them, and those that are ending already."""
        for waker in self.threads:
            waker.cancel()
        return [*self.threads.values(), *(each for each in self._ending if each.is_alive())]

    def _start(self) -> None:
        with acquiring(self._purpose):
            waker = Waker()
        try:
            self.threads[waker] = start_thread(self._run, waker, name=self._name)
        except BaseException:
            waker.cancel()  # an interrupted start may have left a running thread
            waker.close()
            raise

    def _remove(self, waker: Waker) -> None:
        """Stop counting a thread. It runs until it has cleaned up, and `close` returns it until then."""
        thread = self.threads.pop(waker, None)  # absent if a signal handler interrupted its start
        if thread is not None:
            self._ending = [each for each in (*self._ending, thread) if each.is_alive()]

    # A thread

    def _run(self, waker: Waker) -> None:
        tools: T | None = None
        try:
            while True:
                try:
                    tools = tools or self._make_tools(waker)
                    self._serve(tools)
                    return
                except Cancelled:
                    raise
                except BaseException as error:
                    log(logging.ERROR, "a defect in the thread %s, which goes on", self._name, error=error)
                waker.pause(_DEFECT_DELAY)
        except Cancelled:
            pass  # the owner was closed
        finally:
            if tools is not None:
                with guarded("a thread %s could not clean up", self._name):
                    tools.close()
            with self._lock:
                self._remove(waker)
                self._idle.pop(waker, None)
                waker.close()

    def _serve(self, tools: T) -> None:
        """Run jobs until this thread is not needed any more."""
        waker, idle_since = tools.waker, time.monotonic()
        while True:
            with self._lock:
                now = time.monotonic()
                self._idle.pop(waker, None)
                job, delay = self._next_job(tools, now)
                if job is None:
                    idle_left = idle_since + self._idle_timeout - now
                    others = len(self.threads) > 1
                    if (others and idle_left <= 0 and (self._idle or delay == math.inf)) or not self._is_needed():
                        self._remove(waker)
                        return
                    self._idle[waker] = None
            if job is None:
                waker.pause(min(delay, idle_left) if idle_left > 0 else delay)
                continue
            self._run_job(job, tools)
            idle_since = time.monotonic()
