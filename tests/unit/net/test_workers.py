"""Threads that run the jobs of an owner: how many there are, and what ends them."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync.net import workers
from kucoin_sync.net.waker import Waker
from kucoin_sync.net.workers import WorkerPool

from ...support.threads import LIMIT, reached, until

Job = Callable[[], object]


class Tools:
    """The tools of one thread."""

    def __init__(self, waker: Waker) -> None:
        self.waker = waker
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Owner:
    """Has jobs, which it gives away in their order."""

    def __init__(self, **options: Any) -> None:
        self.lock = threading.Lock()
        self.jobs: deque[Job] = deque()
        self.done: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.tools: list[Tools] = []
        self.pool: WorkerPool[Job, Tools] = WorkerPool(
            self.lock, self.make_tools, self.next_job, self.run_job, name="kucoin-test", purpose="a test", **options
        )

    def make_tools(self, waker: Waker) -> Tools:
        self.tools.append(Tools(waker))
        return self.tools[-1]

    def next_job(self, _: Tools, now: float) -> tuple[Job | None, float]:
        return (self.jobs.popleft(), 0.0) if self.jobs else (None, math.inf)

    def run_job(self, job: Job, _: Tools) -> None:
        self.done.put(job())

    def put(self, job: Job) -> None:
        with self.lock:
            self.jobs.append(job)
            self.pool.ensure_thread()
            self.pool.job_added()


@pytest.fixture
def make_owner() -> Iterator[Callable[..., Owner]]:
    made: list[Owner] = []

    def make(**options: Any) -> Owner:
        made.append(Owner(**options))
        return made[-1]

    yield make
    for owner in made:
        with owner.lock:
            threads = owner.pool.close()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        assert not owner.pool.threads
        assert all(tools.closed for tools in owner.tools)


def test_jobs_run_on_threads_of_that_name(make_owner: Callable[..., Owner]) -> None:
    owner = make_owner(most=1)
    for n in range(3):
        owner.put(lambda n=n: (n, threading.current_thread().name))  # type: ignore[misc]
    assert [owner.done.get(timeout=LIMIT) for _ in range(3)] == [(n, "kucoin-test") for n in range(3)]
    assert len(owner.pool.threads) == 1


def test_threads_are_added_while_all_are_busy_up_to_a_number(make_owner: Callable[..., Owner]) -> None:
    owner, go_on, busy = make_owner(most=2, idle_timeout=LIMIT), threading.Event(), threading.Semaphore(0)

    def job() -> object:
        busy.release()
        return go_on.wait(LIMIT)

    for _ in range(3):
        owner.put(job)
    assert busy.acquire(timeout=LIMIT) and busy.acquire(timeout=LIMIT)
    assert (len(owner.pool.threads), len(owner.jobs)) == (2, 1)
    go_on.set()
    assert [owner.done.get(timeout=LIMIT) for _ in range(3)] == [True] * 3


def test_a_defect_ends_no_thread(
    make_owner: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_DEFECT_DELAY", 0.0)
    owner = make_owner(most=1)
    owner.put(lambda: 1 // 0)
    owner.put(lambda: "the next")
    assert owner.done.get(timeout=LIMIT) == "the next"
    assert "a defect in the thread kucoin-test, which goes on" in caplog.text


def test_the_last_thread_ends_when_its_owner_does_not_need_it(make_owner: Callable[..., Owner]) -> None:
    needed = [True]
    owner = make_owner(most=1, is_needed=lambda: needed[0])
    owner.put(lambda: "done")
    assert owner.done.get(timeout=LIMIT) == "done"
    with owner.lock:
        (thread,) = owner.pool.threads.values()
        needed.clear(), needed.append(False)
        owner.pool.wake_all()
    thread.join(LIMIT)
    until(lambda: not owner.pool.threads, "the thread is still known")


def test_close_returns_a_thread_that_is_about_to_end(
    make_owner: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller joins it, so that no thread is left when the owner's `close` returns."""
    closing, go_on, close = threading.Event(), threading.Event(), Tools.close

    def close_slowly(tools: Tools) -> None:
        closing.set()
        reached(go_on, "the tools may not be closed")
        close(tools)

    monkeypatch.setattr(Tools, "close", close_slowly)
    owner = make_owner(most=1, is_needed=lambda: False)
    owner.put(lambda: "done")
    reached(closing, "the thread does not end")
    with owner.lock:
        assert not owner.pool.threads
        (thread,) = owner.pool.close()
    assert thread.is_alive()
    go_on.set()
    thread.join(LIMIT)
    assert not thread.is_alive()
