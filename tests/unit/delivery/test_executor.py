"""The executor's job queues and workers: order, which worker is replaced and when, what the spare does, and the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from kucoin_sync import Event, ThreadNotStarted, UnexpectedError
from kucoin_sync.delivery import executor as executor_module
from kucoin_sync.delivery.executor import Executor, Job, Worker
from kucoin_sync.exceptions import ConnectionFailed
from kucoin_sync.internal import resources
from kucoin_sync.internal.timed_queue import TimedQueue

from ...support.threads import LIMIT, reached, until


class Step(Job):
    """Remembers its runs; waits in each for `freed`, if it is to be stuck."""

    def __init__(self, stuck: bool = False) -> None:
        self.served = threading.Semaphore(0)
        self.began = threading.Event()
        self.freed = threading.Event()
        self.told: list[float] = []
        self.was_told = threading.Event()
        self.thread: threading.Thread | None = None
        self.was_active = True
        if not stuck:
            self.freed.set()

    def run_job(self, worker: Worker) -> bool:
        self.thread = threading.current_thread()
        self.began.set()
        reached(self.freed, "nobody freed the job")
        self.was_active = worker.is_active
        self.served.release()
        return False

    def took_long(self, seconds: float) -> None:
        self.told.append(seconds)
        self.was_told.set()

    def has_run(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.served.acquire(timeout=LIMIT), "the job has not run"


class Looks(TimedQueue[None]):
    """What wakes the spare; counts the waits that have no end."""

    def __init__(self) -> None:
        super().__init__()
        self.rests = threading.Semaphore(0)

    def get(self, timeout: float | None = None) -> None:
        if timeout is None:
            self.rests.release()
        super().get(timeout)

    def has_rested(self) -> None:
        assert self.rests.acquire(timeout=LIMIT), "the spare does not rest"


@pytest.fixture
def make_executor() -> Iterator[Callable[..., Executor]]:
    made: list[Executor] = []

    def make(
        slow_after: float = 10 * LIMIT, warn_after: float = 10 * LIMIT, emit: Callable[[Event], object] = print
    ) -> Executor:
        made.append(Executor("test-executor", slow_after, warn_after, emit))
        made[-1]._looks = Looks()
        made[-1].start()
        return made[-1]

    yield make
    for executor in made:
        executor.close()
        for thread in executor.threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


def ended(thread: threading.Thread | None) -> None:
    assert thread is not None
    thread.join(LIMIT)
    assert not thread.is_alive()


def looks_of(executor: Executor) -> Looks:
    assert isinstance(executor._looks, Looks)
    return executor._looks


def test_all_jobs_run_on_one_thread_in_their_order(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor()
    order: list[int] = []

    class Numbered(Step):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def run_job(self, worker: Worker) -> bool:
            order.append(self.number)
            return super().run_job(worker)

    plug = Step(stuck=True)
    executor.put(plug)
    reached(plug.began, "no job runs")
    jobs = [Numbered(number) for number in range(5)]
    for job in jobs:
        executor.put(job)
    executor.put(first := Numbered(-1), first=True)
    plug.freed.set()
    for job in (*jobs, first):
        job.has_run()
    assert order == [-1, 0, 1, 2, 3, 4]
    assert {job.thread for job in jobs} == {executor.threads[0]}
    assert all(job.was_active and not job.told for job in jobs)


def test_a_job_that_has_more_to_do_is_put_behind_the_others(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor()
    order: SimpleQueue[str] = SimpleQueue()

    class Thrice(Step):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.left, self.name = 3, name

        def run_job(self, worker: Worker) -> bool:
            self.left -= 1
            order.put(self.name)
            return self.left > 0

    plug = Step(stuck=True)
    executor.put(plug)
    for name in "ab":
        executor.put(Thrice(name))
    plug.freed.set()
    assert [order.get(timeout=LIMIT) for _ in range(6)] == list("ababab")


def test_a_server_with_a_stuck_job_is_replaced_and_ends_after_it(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor(slow_after=0.02)
    stuck, other = Step(stuck=True), Step()
    executor.put(stuck)
    executor.put(other)
    other.has_run()
    assert stuck.is_slow
    stuck.freed.set()
    stuck.has_run()
    assert not stuck.was_active
    ended(stuck.thread)
    executor.put(other)
    other.has_run()
    assert other.thread is executor.threads[0]
    assert len(executor.threads) == 3, "two servers and a spare"


def test_a_job_that_was_slow_waits_in_the_second_queue_until_it_is_quick(
    make_executor: Callable[..., Executor],
) -> None:
    executor = make_executor(slow_after=0.02)
    job, other = Step(stuck=True), Step()
    executor.put(job)
    executor.put(other)
    other.has_run()
    job.freed.set()
    job.has_run()
    executor.put(job)
    job.has_run()
    first, second = executor.threads[:2]
    assert job.thread is second

    def is_quick() -> bool:
        executor.put(job)  # on a busy machine another run may take long, too
        job.has_run()
        return not job.is_slow

    until(is_quick, "it was not noted that the job is quick again")
    executor.put(job)
    job.has_run()
    assert job.thread is first


def test_a_job_that_is_stuck_is_told_so_once(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor(slow_after=0.02, warn_after=0.1)
    looks, stuck, other = looks_of(executor), Step(stuck=True), Step()
    executor.put(stuck)
    executor.put(other)
    other.has_run()
    reached(stuck.was_told, "it was not told")
    looks.rests = threading.Semaphore(0)
    executor.put(other)
    looks.has_rested()
    stuck.freed.set()
    stuck.has_run()
    ended(stuck.thread)
    assert len(stuck.told) == 1
    assert stuck.told[0] >= 0.1
    assert not other.told


def test_an_error_where_a_job_is_told_ends_no_worker(
    make_executor: Callable[..., Executor], caplog: pytest.LogCaptureFixture
) -> None:
    executor = make_executor(slow_after=0.0, warn_after=0.0)

    class Raising(Step):
        def took_long(self, seconds: float) -> None:
            raise RuntimeError("escaped")

    job = Raising()
    executor.put(job)
    job.has_run()
    until(lambda: "was told that its run takes long" in caplog.text, "the error was not logged")
    executor.put(job)
    job.has_run()


def test_only_so_many_workers_are_replaced(
    make_executor: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "_MOST_STUCK", 2)
    executor = make_executor(slow_after=0.02)
    stuck = [Step(stuck=True) for _ in range(3)]
    other = Step()
    for job in (*stuck, other):
        executor.put(job)
    for job in stuck:
        reached(job.began, "a job does not run")
    assert not other.began.wait(0.1), "three are stuck, two are replaced"
    stuck[0].freed.set()
    other.has_run()
    for job in stuck:
        job.freed.set()


def test_the_spare_rests_while_no_job_runs_and_looks_again_when_one_does(
    make_executor: Callable[..., Executor],
) -> None:
    executor = make_executor(slow_after=0.02)
    looks_of(executor).has_rested()
    stuck, other = Step(stuck=True), Step()
    executor.put(stuck)
    executor.put(other)
    other.has_run()
    stuck.freed.set()


def test_no_job_runs_twice_at_a_time_however_many_threads_put_jobs(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor(slow_after=0.01)
    jobs = [Step() for _ in range(20)]

    def put(job: Step) -> None:
        for _ in range(200):
            executor.put(job)
            job.has_run()

    threads = [threading.Thread(target=put, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_job_that_raises_is_told_and_put_back(make_executor: Callable[..., Executor]) -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    executor = make_executor(emit=events.put)

    class Raising(Step):
        def run_job(self, worker: Worker) -> bool:
            super().run_job(worker)
            if len(tries) < 2:
                tries.append(RuntimeError("escaped"))
                raise tries[-1]
            return False

    tries: list[RuntimeError] = []
    job = Raising()
    executor.put(job)
    job.has_run(3)
    told = [events.get(timeout=LIMIT) for _ in tries]
    assert [event.error for event in told if isinstance(event, UnexpectedError)] == tries


class TestShortages:
    @pytest.fixture
    def refused(self, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        """While it is set, no thread can be started."""
        refused, start = threading.Event(), resources.start_thread

        def start_or_not(*args: Any, **options: Any) -> Any:
            if refused.is_set():
                raise ConnectionFailed("no thread")
            return start(*args, **options)

        monkeypatch.setattr(executor_module, "start_thread", start_or_not)
        return refused

    def test_without_any_thread_each_new_job_makes_another_try_and_it_is_told_once(
        self, make_executor: Callable[..., Executor], refused: threading.Event
    ) -> None:
        refused.set()
        events: list[Event] = []
        executor = make_executor(emit=events.append)
        assert isinstance(executor.start(), ConnectionFailed)
        first, second = Step(), Step()
        executor.put(first)
        assert not executor.threads
        refused.clear()
        executor.put(second)
        for job in (first, second):
            job.has_run()
        [event] = events
        assert isinstance(event, ThreadNotStarted)
        assert executor.start() is None

    def test_the_spare_serves_without_another_one_after_a_while(
        self, make_executor: Callable[..., Executor], refused: threading.Event
    ) -> None:
        events: list[Event] = []
        executor = make_executor(slow_after=0.02, emit=events.append)
        refused.set()
        stuck, other = Step(stuck=True), Step()
        executor.put(stuck)
        executor.put(other)
        other.has_run()
        assert len(executor.threads) == 1
        assert len(events) == 1
        stuck.freed.set()
        stuck.has_run()
        until(lambda: len(executor.threads) == 2, "the worker that is back is not the spare")
        executor.put(stuck)
        stuck.has_run()
        assert stuck.thread is executor.threads[0], "there is no second job queue"

    def test_a_server_starts_a_spare_when_that_is_possible_again(
        self, make_executor: Callable[..., Executor], refused: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(executor_module, "_LONGEST_TRY", 0.0)
        monkeypatch.setattr(executor_module, "_RETRY", 0.0)
        executor = make_executor(slow_after=0.02, emit=lambda event: None)
        refused.set()
        stuck, second, other = Step(stuck=True), Step(stuck=True), Step()
        executor.put(stuck)
        executor.put(other)
        other.has_run()
        refused.clear()
        executor.put(second)
        executor.put(other)
        other.has_run()
        for job in (stuck, second):
            job.freed.set()


def test_at_the_end_jobs_that_wait_run_once_more_without_being_active(make_executor: Callable[..., Executor]) -> None:
    executor = make_executor()
    plug, waiting = Step(stuck=True), Step()
    executor.put(plug)
    reached(plug.began, "no job runs")
    executor.put(waiting)
    executor.close()
    plug.freed.set()
    waiting.has_run()
    assert not waiting.was_active


def test_after_the_end_nothing_starts() -> None:
    executor = Executor("test-executor", 1.0, 1.0, print)
    assert executor.threads == []
    executor.close()
    executor.start()
    executor.put(job := Step())
    assert executor.threads == []
    assert not job.began.is_set()


def test_a_worker_that_forks_in_a_run_ends_after_it_whatever_thread_held_the_lock(
    make_executor: Callable[..., Executor],
) -> None:
    executor = make_executor()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with executor._lock:  # and not release it, as a thread that a forked child does not have
            held.set()
            reached(over, "the worker has not ended")

    class Forking(Step):
        def run_job(self, worker: Worker) -> bool:
            threading.Thread(target=hold).start()
            reached(held, "the lock is not held")
            executor.after_fork()
            assert (executor.closed, worker.is_active) == (True, False)
            return super().run_job(worker)

    forking = Forking()
    executor.put(forking)
    forking.has_run()
    ended(forking.thread)
    over.set()  # for the spare, which a child does not have
