"""One thread that serves whoever is in line, and goes on beside one that is stuck.

Rules:
1. One thread, the leader, serves the line. While nobody takes long, nobody else does.
2. A leader that is in one turn for longer than the patience is overtaken: another thread leads from then on. The
   old one ends its turn as soon as it can, and is no more. So who is stuck holds up nobody else.
3. Whoever stands in line stands there once, and is put back by its own turn: it is never served twice at a time.
4. At most `_MOST` are stuck at a time; after that, the line waits.
5. Where no thread can be started to overtake a leader, the watch tries again and again. After a while it leads itself,
   until one can be started or the old leader is back. Where there is no thread at all, whoever comes into line tries
   to start one.
6. What a turn raises is told, and its guest is put back into line.

The watch over them is a thread of its own, because nothing else is sure to run while the leader is stuck. It looks once
per patience while there are turns, and not at all while there are none.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..events import Event, ThreadNotStarted, UnexpectedError
from ..exceptions import ConnectionFailed
from ..internal.guard import guarded, log
from ..internal.resources import acquiring, start_thread
from ..internal.signals import defer, is_reentrant

__all__ = ["Executor", "Job", "Worker"]

_MOST = 16
_AFTER_DEFECT = 0.01
_RETRY = 0.1
"""Seconds until a watch that leads tries again to start a thread for that."""

_UNLED = 0.5
"""Seconds for which the watch tries to start a thread before it leads itself: then nobody watches."""


class Job(Protocol):
    """Who can stand in line."""

    def run_job(self, worker: Worker) -> None:
        """Do a little of what there is to do, no more of it once `worker.is_active` is false; raise nothing."""

    def took_long(self, seconds: float) -> None:
        """Be told, during a turn or after it, that it has lasted for longer than the patience; later of a long one."""


class Worker:
    """A thread that serves the line while it `is_active`."""

    __slots__ = ("alarm", "is_active", "job", "retry_at", "since", "stands_in", "thread", "told")

    def __init__(self) -> None:
        self.is_active = False
        self.stands_in = False  # it is the watch, because no thread could be started
        self.retry_at = 0.0  # when it tries again to start one
        self.alarm = threading.Lock()  # held; released to wake it
        self.alarm.acquire()
        self.job: Job | None = None  # whose turn it is
        self.since = 0.0  # when the turn began
        self.told = False  # whether the guest was told that it is a long one
        self.thread: threading.Thread | None = None


class _Alarm(Protocol):
    """What is rung for who comes into line: the lock of a leader that sleeps, or what starts one."""

    def release(self) -> None: ...


class _Starter:
    """Stands for the alarm of a leader that could not be started: to ring it is to try again."""

    def __init__(self, start: Callable[[], None]) -> None:
        self.release = start


class Executor:
    """The line and its threads.

    Args:
        name: of the threads.
        patience: seconds that a turn may last before the others go on without it.
        long: seconds after which whoever has the turn is told so again.
        tell: takes events, without waiting.
    """

    def __init__(
        self, name: str, slow_after: float, long: float, tell: Callable[[Event], object] = lambda event: None
    ) -> None:
        self._tell = tell
        self._name = name
        self._slow_after = slow_after
        self._long = long
        self._line: deque[Job] = deque()  # appended to by any thread, taken from by the leader
        self._asleep: deque[_Alarm] = deque()  # the alarm of a leader that found nobody in line
        self._starter = _Starter(self._start_and_rouse)
        # Guards all of the following. Taken once per turn, so that nobody is overtaken between two of them.
        self._lock = threading.Lock()
        self._leader = Worker()  # this one only stands for nobody
        self._stuck: set[Worker] = set()
        self._resting = False  # whether the watch waits for a turn to begin
        self._watch: threading.Thread | None = None
        self._short = False  # whether it was told that no thread can be started
        self._unled_from = math.inf  # since when the watch has tried in vain to start a thread
        self._look = threading.Event()  # wakes the watch
        self.closed = False

    def put(self, job: Job) -> None:
        """Put somebody at the end of the line."""
        self._line.append(job)
        if self._asleep:
            self._rouse()

    def put_first(self, job: Job) -> None:
        """Put somebody at the head of the line."""
        self._line.appendleft(job)
        if self._asleep:
            self._rouse()

    def pass_on(self, other: Executor) -> None:
        """Put all who stand in line here into another line."""
        while self._line:
            other.put(self._line.popleft())

    def start(self) -> None:
        """Begin to serve, where nobody does yet.

        Raises:
            ConnectionFailed: no thread could be started.
        """
        if self._watch is not None:
            return
        shortage: ConnectionFailed | None = None
        with self._lock:
            if self.closed:
                return
            if self._leader.thread is None:
                self._lead()
            if self._watch is None:
                try:
                    self._watch = start_thread(self._run_watch, name=f"{self._name}-watch")
                except ConnectionFailed as error:
                    shortage = error  # until there is a watch, the line waits for who is stuck
        if shortage is not None:
            self.tell_shortage(shortage)

    def start_soon(self) -> None:
        """Begin to serve; where no thread can be started, tell so, and try again when somebody comes into line."""
        try:
            self.start()
        except ConnectionFailed as error:
            if self._starter not in self._asleep:
                self._asleep.append(self._starter)
            self.tell_shortage(error)

    def _start_and_rouse(self) -> None:
        if is_reentrant():  # a finaliser that ends a subscription comes here, too
            defer(self._start_and_rouse)
            return
        self.start_soon()
        if self._line and self._leader.thread is not None:
            self._rouse()  # whoever rang may have meant a leader that sleeps

    def tell_shortage(self, error: ConnectionFailed) -> None:
        """Tell once, until the next thread is started (not under the lock)."""
        short, self._short = self._short, True
        if not short:
            self._tell(ThreadNotStarted(f"callbacks ({self._name})", error.__cause__ or error))

    def close(self) -> None:
        """End after the turn under way; those in line get a last one, in which nobody leads."""
        with self._lock:
            self.closed = True
            self._leader.is_active = False
        self._look.set()
        while self._asleep:
            self._rouse()

    def abandon(self) -> None:
        """End in a forked child, which has none of the threads, but maybe one that forked: it ends after its turn."""
        self.closed = True
        workers = {self._leader, *self._stuck}
        self._leader = Worker()
        self._line.clear()
        for worker in workers:
            worker.is_active = False
            if worker.thread is threading.current_thread() and self._lock.locked():
                self._lock.release()  # held by a thread that is no more; during a turn it is not by this one

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that end soon after `close`; those that are stuck are left to themselves."""
        with self._lock:
            return [thread for thread in dict.fromkeys((self._leader.thread, self._watch)) if thread is not None]

    def _lead(self) -> None:
        """Have a new thread lead (under the lock, for which it waits).

        Raises:
            ConnectionFailed: none could be started, and nothing has changed.
        """
        with acquiring(f"the thread {self._name}"):
            worker = Worker()
            worker.thread = start_thread(self._run, worker, name=self._name)
        worker.is_active = True
        self._leader = worker
        self._short = False

    def _run(self, me: Worker) -> None:
        while True:
            try:
                self._serve(me)
                break
            except BaseException as error:
                self._tell_defect(f"the thread {self._name}", error)
        with self._lock:
            self._stuck.discard(me)
            last = self._leader is me
        while last and self._line:
            self._run_job(self._line.popleft(), me)

    def _serve(self, me: Worker) -> None:
        """Serve the line as long as `me` leads."""
        line, lock, clock = self._line, self._lock, time.monotonic
        now = clock()
        while True:
            with lock:
                if not me.is_active and not self._lead_again(me):
                    return
                me.job = job = line.popleft() if line else None
                me.since, me.told = now, False
            if me.stands_in and self._is_relieved(me, now):
                if job is not None:
                    self.put_first(job)
                return
            if job is None:
                self._sleep(me)
                now = clock()
                continue
            if self._resting:  # nobody else changes it during a turn
                self._resting = False
                self._look.set()
            self._run_job(job, me)
            began, now = now, clock()
            if now - began >= self._slow_after:
                with guarded("a defect where %r was told that its turn took long", job):
                    job.took_long(now - began)
                    self.start()  # what is missing, such as the watch

    def _run_job(self, job: Job, me: Worker) -> None:
        try:
            job.run_job(me)
        except BaseException as error:
            self._tell_defect(f"a turn of {job!r}", error)
            if not self.closed:
                self._line.append(job)

    def _tell_defect(self, place: str, error: BaseException) -> None:
        """Tell what nothing should have raised; what follows comes a moment later, so that it can't fill the log."""
        log(logging.ERROR, "a defect in %s, which goes on", place, error=error)
        with guarded("a defect could not be told"):
            self._tell(UnexpectedError(place, error))
        time.sleep(_AFTER_DEFECT)

    def _sleep(self, me: Worker) -> None:
        self._asleep.append(me.alarm)
        if (self._line or not me.is_active) and self._is_up(me):
            return
        seconds = _RETRY if me.stands_in else -1
        if not me.alarm.acquire(timeout=seconds) and not self._is_up(me):
            me.alarm.acquire()

    def _is_up(self, me: Worker) -> bool:
        """Take an alarm away before it rings; False where somebody is about to ring it, or has."""
        try:
            self._asleep.remove(me.alarm)
        except ValueError:
            return False
        return True

    def _rouse(self) -> None:
        try:
            self._asleep.popleft().release()
        except IndexError:
            pass  # somebody was faster

    # While no thread can be started

    def _stand_in(self) -> Worker:
        """Let the watch lead (under the lock)."""
        worker = Worker()
        worker.thread = self._watch
        worker.is_active = worker.stands_in = True
        worker.retry_at = time.monotonic() + _RETRY
        return worker

    def _is_relieved(self, me: Worker, now: float) -> bool:
        """Start a thread in the place of the watch, where that is possible again; return whether it was."""
        if now < me.retry_at:
            return False
        me.retry_at = now + _RETRY
        with self._lock:
            try:
                if me.is_active:
                    self._lead()
            except ConnectionFailed:
                return False
            me.is_active = False
        return True

    def _lead_again(self, me: Worker) -> bool:
        """Lead once more in the place of the watch, if that stands in (under the lock)."""
        watch = self._leader
        if self.closed or not watch.stands_in or watch is me:
            return False
        watch.is_active, me.is_active = False, True
        self._leader = me
        self._stuck.discard(me)
        return True

    # The watch

    def _run_watch(self) -> None:
        while not self.closed:
            try:
                self._watch_once()
            except BaseException as error:
                self._tell_defect(f"the thread {self._name}-watch", error)

    def _watch_once(self) -> None:
        with self._lock:
            told, wait, shortage = self._look_around(time.monotonic())
            leader = self._leader
        for job, lasted in told:
            with guarded("a defect where %r was told that its turn takes long", job):
                job.took_long(lasted)
        if shortage is not None:
            self.tell_shortage(shortage)
        if leader.stands_in:
            self._run(leader)
            if self._line:
                self._rouse()  # what was put while the watch slept has rung its alarm, maybe
            return
        self._look.wait(wait)
        self._look.clear()

    def _look_around(self, now: float) -> tuple[list[tuple[Job, float]], float | None, ConnectionFailed | None]:
        """Overtake a leader whose turn takes long (under the lock).

        Returns:
            Whom to tell so, when to look again, and why no thread could be started to lead.
        """
        leader = self._leader
        self._resting = leader.job is None
        shortage: ConnectionFailed | None = None
        told: list[tuple[Job, float]] = []
        waits: list[float] = []
        if leader.job is None:
            self._unled_from = math.inf
        else:
            left = leader.since + self._slow_after - now
            waits.append(left if left > 0 else self._slow_after)
            if left <= 0 and len(self._stuck) < _MOST and not self.closed:
                try:
                    self._lead()
                except ConnectionFailed as error:
                    shortage = error
                    self._unled_from = min(self._unled_from, now)
                    if now - self._unled_from >= _UNLED:
                        self._leader = self._stand_in()
                if self._leader is not leader:
                    self._unled_from = math.inf
                    leader.is_active = False
                    self._stuck.add(leader)
                    told.append((leader.job, now - leader.since))
        for worker in {leader, *self._stuck}:
            if worker.job is None or worker.told:
                continue
            left = worker.since + self._long - now
            if left > 0:
                waits.append(left)
            else:
                worker.told = True
                told.append((worker.job, now - worker.since))
        return told, min(waits, default=None), shortage
