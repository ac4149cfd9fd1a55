"""The line and its threads: order, who is overtaken and when, what the watch does, and the end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync.delivery import executor as turns_module
from kucoin_sync.delivery.executor import Executor, Worker

from ...support.threads import LIMIT, reached


class Job:
    """Remembers its turns; waits in each for `freed`, where it is to be stuck."""

    def __init__(self, stuck: bool = False) -> None:
        self.served = threading.Semaphore(0)
        self.began = threading.Event()
        self.ended = threading.Event()
        self.freed = threading.Event()
        self.told: list[float] = []
        self.tellings = threading.Semaphore(0)
        self.thread: threading.Thread | None = None
        self.led = True
        if not stuck:
            self.freed.set()

    def run_job(self, worker: Worker) -> None:
        self.thread = threading.current_thread()
        self.began.set()
        reached(self.freed, "nobody freed the guest")
        self.led = worker.is_active
        self.served.release()
        self.ended.set()

    def took_long(self, seconds: float) -> None:
        self.told.append(seconds)
        self.tellings.release()

    def was_served(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.served.acquire(timeout=LIMIT), "the guest was not served"


class Look(threading.Event):
    """The event on which the watch waits; counts the waits that have no end."""

    def __init__(self) -> None:
        super().__init__()
        self.rests = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            self.rests.release()
        return super().wait(timeout)


@pytest.fixture
def make_turns() -> Iterator[Callable[..., Executor]]:
    made: list[Executor] = []

    def make(slow_after: float = 10 * LIMIT, long: float | None = None) -> Executor:
        made.append(Executor("test-turns", slow_after, slow_after if long is None else long))
        made[-1]._look = Look()
        made[-1].start()
        return made[-1]

    yield make
    for executor in made:
        executor.close()
        for thread in executor.threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


def test_all_are_served_by_one_thread_in_the_order_in_which_they_came(make_turns: Callable[..., Executor]) -> None:
    executor = make_turns()
    order: list[int] = []

    class Numbered(Job):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def run_job(self, worker: Worker) -> None:
            order.append(self.number)
            super().run_job(worker)

    plug = Job(stuck=True)
    executor.put(plug)
    reached(plug.began, "nobody is served")
    guests = [Numbered(number) for number in range(5)]
    for job in guests:
        executor.put(job)
    executor.put_first(first := Numbered(-1))
    plug.freed.set()
    for job in (*guests, first):
        job.was_served()
    assert order == [-1, 0, 1, 2, 3, 4]
    assert {job.thread for job in guests} == {executor.threads[0]}
    assert all(job.led and not job.told for job in guests)


def test_whoever_is_stuck_is_overtaken_and_told_so_and_its_thread_ends_with_its_turn(
    make_turns: Callable[..., Executor],
) -> None:
    executor = make_turns(slow_after=0.02)
    stuck, other = Job(stuck=True), Job()
    executor.put(stuck)
    executor.put(other)
    other.was_served()
    assert stuck.told[0] >= 0.02
    stuck.freed.set()
    reached(stuck.ended, "the turn does not end")
    assert not stuck.led
    assert stuck.thread is not None
    stuck.thread.join(LIMIT)
    assert not stuck.thread.is_alive()
    executor.put(other)
    other.was_served()
    assert other.thread is executor.threads[0]


def test_whoever_stays_stuck_is_told_again_once_though_nobody_waits_for_it_any_more(
    make_turns: Callable[..., Executor],
) -> None:
    executor = make_turns(slow_after=0.02, long=0.2)
    look, stuck = executor._look, Job(stuck=True)
    assert isinstance(look, Look)
    executor.put(stuck)
    for _ in range(2):
        assert stuck.tellings.acquire(timeout=LIMIT), "it was not told (again)"
    assert 0.02 <= stuck.told[0] < stuck.told[1] >= 0.2
    look.rests = threading.Semaphore(0)
    executor.put(Job())
    assert look.rests.acquire(timeout=LIMIT), "the watch does not rest again"
    assert len(stuck.told) == 2
    stuck.freed.set()


def test_only_so_many_are_overtaken(make_turns: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_MOST", 2)
    executor = make_turns(slow_after=0.02)
    stuck = [Job(stuck=True) for _ in range(3)]
    other = Job()
    for job in (*stuck, other):
        executor.put(job)
    for job in stuck:
        reached(job.began, "a guest was not served")
    assert not other.began.wait(0.1), "three are stuck, two are overtaken"
    assert stuck[2].led
    stuck[0].freed.set()
    other.was_served()
    for job in stuck:
        job.freed.set()


def test_the_watch_rests_while_there_are_no_turns_and_is_back_when_there_are(
    make_turns: Callable[..., Executor],
) -> None:
    executor = make_turns(slow_after=0.02)
    look = executor._look
    assert isinstance(look, Look)
    assert look.rests.acquire(timeout=LIMIT)
    executor._rouse()  # a call that finds nobody in line
    stuck, other = Job(stuck=True), Job()
    executor.put(stuck)
    executor.put(other)
    other.was_served()
    assert look.rests.acquire(timeout=LIMIT), "the watch does not rest again"
    stuck.freed.set()


@pytest.mark.parametrize("rung", [False, True])
def test_one_that_comes_just_before_the_leader_sleeps_is_served(
    make_turns: Callable[..., Executor], rung: bool
) -> None:
    executor = make_turns()
    late = Job()

    class Asleep(deque[Any]):
        def append(self, alarm: Any) -> None:
            super().append(alarm)
            if not late.began.is_set():
                (executor.put if rung else executor._line.append)(late)

    plug = Job(stuck=True)
    executor.put(plug)
    reached(plug.began, "nobody is served")
    executor._asleep = Asleep()
    plug.freed.set()
    late.was_served()


def test_nobody_is_served_twice_at_a_time_however_many_put(make_turns: Callable[..., Executor]) -> None:
    executor = make_turns(slow_after=0.01)
    guests = [Job() for _ in range(20)]

    def put(job: Job) -> None:
        for _ in range(200):
            executor.put(job)
            job.was_served()

    threads = [threading.Thread(target=put, args=(job,)) for job in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_at_the_end_those_in_line_get_a_last_turn_in_which_nobody_leads(make_turns: Callable[..., Executor]) -> None:
    executor = make_turns()
    plug, waiting = Job(stuck=True), Job()
    executor.put(plug)
    reached(plug.began, "nobody is served")
    executor.put(waiting)
    executor.close()
    plug.freed.set()
    waiting.was_served()
    assert not waiting.led


def test_after_the_end_nothing_starts() -> None:
    executor = Executor("test-turns", 1.0, 1.0)
    assert executor.threads == []
    executor.close()
    executor.start()
    executor.put(job := Job())
    assert executor.threads == []
    assert not job.began.is_set()


def test_who_is_abandoned_in_its_turn_ends_after_it_whoever_held_the_lock(make_turns: Callable[..., Executor]) -> None:
    executor = make_turns()
    held = threading.Event()

    def hold() -> None:
        executor._lock.acquire()  # and never release it, as a thread of the parent's does in a forked child
        held.set()

    class Forking(Job):
        def run_job(self, worker: Worker) -> None:
            super().run_job(worker)
            threading.Thread(target=hold).start()
            reached(held, "the lock is not held")
            executor.abandon()
            assert (executor.closed, worker.is_active) == (True, False)

    forking = Forking()
    executor.put(forking)
    reached(forking.ended, "the guest had no turn")
    assert forking.thread is not None
    forking.thread.join(LIMIT)
    assert not forking.thread.is_alive()
