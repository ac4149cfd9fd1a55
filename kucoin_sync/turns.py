"""One thread that serves whoever is in line, and goes on beside one that is stuck.

Rules:
1. One thread, the leader, serves the line. While nobody takes long, nobody else does.
2. A leader that is in one turn for longer than the patience is overtaken: another thread leads from then on. The
   old one ends its turn as soon as it can, and is no more. So who is stuck holds up nobody else.
3. Whoever stands in line stands there once, and is put back by its own turn: it is never served twice at a time.
4. At most `_MOST` are stuck at a time; after that, the line waits.

The watch over them is a thread of its own, because nothing else is sure to run while the leader is stuck. It looks once
per patience while there are turns, and not at all while there are none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from .guard import Thread

__all__ = ["Guest", "Turns", "Worker"]

_MOST = 16


class Guest(Protocol):
    """Who can stand in line."""

    def take_turn(self, worker: Worker) -> None:
        """Do a little of what there is to do, no more of it once `worker.leads` is false; raise nothing."""

    def took_long(self, seconds: float) -> None:
        """Be told, during a turn or after it, that it has lasted for longer than the patience; later of a long one."""


class Worker:
    """A thread that serves the line while it `leads`."""

    __slots__ = ("alarm", "guest", "leads", "since", "thread", "told")

    def __init__(self) -> None:
        self.leads = True
        self.alarm = threading.Lock()  # held; released to wake it
        self.alarm.acquire()
        self.guest: Guest | None = None  # whose turn it is
        self.since = 0.0  # when the turn began
        self.told = False  # whether the guest was told that it is a long one
        self.thread: threading.Thread | None = None


class Turns:
    """The line and its threads.

    Args:
        name: of the threads.
        patience: seconds that a turn may last before the others go on without it.
        long: seconds after which whoever has the turn is told so again.
    """

    def __init__(self, name: str, patience: float, long: float) -> None:
        self._name = name
        self._patience = patience
        self._long = long
        self._line: deque[Guest] = deque()  # appended to by any thread, taken from by the leader
        self._asleep: deque[threading.Lock] = deque()  # the alarm of a leader that found nobody in line
        # Guards all of the following. Taken once per turn, so that nobody is overtaken between two of them.
        self._lock = threading.Lock()
        self._leader = Worker()  # this one only stands for nobody
        self._stuck: set[Worker] = set()
        self._resting = False  # whether the watch waits for a turn to begin
        self._watch: threading.Thread | None = None
        self._look = threading.Event()  # wakes the watch
        self.closed = False

    def put(self, guest: Guest) -> None:
        """Put somebody at the end of the line."""
        self._line.append(guest)
        if self._asleep:
            self._rouse()

    def put_first(self, guest: Guest) -> None:
        """Put somebody at the head of the line."""
        self._line.appendleft(guest)
        if self._asleep:
            self._rouse()

    def start(self) -> None:
        """Begin to serve, where nobody does yet."""
        if self._watch is not None:
            return
        with self._lock:
            if self._watch is None and not self.closed:
                self._lead()
                self._watch = Thread(target=self._run_watch, name=f"{self._name}-watch", daemon=True)
                self._watch.start()

    def close(self) -> None:
        """End after the turn under way; those in line get a last one, in which nobody leads."""
        with self._lock:
            self.closed = True
            self._leader.leads = False
        self._look.set()
        self._rouse()

    def abandon(self) -> None:
        """End in a forked child, which has none of the threads, but maybe one that forked: it ends after its turn."""
        self.closed = True
        workers = {self._leader, *self._stuck}
        self._leader = Worker()
        self._line.clear()
        for worker in workers:
            worker.leads = False
            if worker.thread is threading.current_thread() and self._lock.locked():
                self._lock.release()  # held by a thread that is no more; during a turn it is not by this one

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that end soon after `close`; those that are stuck are left to themselves."""
        with self._lock:
            return [thread for thread in (self._leader.thread, self._watch) if thread is not None]

    def _lead(self) -> None:
        """Have a new thread lead (under the lock)."""
        worker = self._leader = Worker()
        worker.thread = Thread(target=self._run, args=(worker,), name=self._name, daemon=True)
        worker.thread.start()

    def _run(self, me: Worker) -> None:
        line, lock, clock = self._line, self._lock, time.monotonic
        now = clock()
        while True:
            with lock:
                if not me.leads:
                    break
                me.guest = guest = line.popleft() if line else None
                me.since, me.told = now, False
            if guest is None:
                self._sleep(me)
                now = clock()
                continue
            if self._resting:  # nobody else changes it during a turn
                self._resting = False
                self._look.set()
            guest.take_turn(me)
            began, now = now, clock()
            if now - began >= self._patience:
                guest.took_long(now - began)
        with lock:
            self._stuck.discard(me)
            last = self._leader is me
        while last and line:
            line.popleft().take_turn(me)

    def _sleep(self, me: Worker) -> None:
        self._asleep.append(me.alarm)
        if self._line or not me.leads:
            try:
                self._asleep.remove(me.alarm)
            except ValueError:
                pass  # somebody is about to ring, or has
            else:
                return
        me.alarm.acquire()

    def _rouse(self) -> None:
        try:
            self._asleep.popleft().release()
        except IndexError:
            pass  # somebody was faster

    def _run_watch(self) -> None:
        while not self.closed:
            with self._lock:
                told, wait = self._look_around(time.monotonic())
            for guest, lasted in told:
                guest.took_long(lasted)
            self._look.wait(wait)
            self._look.clear()

    def _look_around(self, now: float) -> tuple[list[tuple[Guest, float]], float | None]:
        """Overtake a leader whose turn takes long; return whom to tell so, and when to look again (under the lock)."""
        leader = self._leader
        self._resting = leader.guest is None
        told: list[tuple[Guest, float]] = []
        waits: list[float] = []
        if leader.guest is not None:
            left = leader.since + self._patience - now
            waits.append(left if left > 0 else self._patience)
            if left <= 0 and len(self._stuck) < _MOST and not self.closed:
                leader.leads = False
                self._stuck.add(leader)
                self._lead()
                told.append((leader.guest, now - leader.since))
        for worker in {leader, *self._stuck}:
            if worker.guest is None or worker.told:
                continue
            left = worker.since + self._long - now
            if left > 0:
                waits.append(left)
            else:
                worker.told = True
                told.append((worker.guest, now - worker.since))
        return told, min(waits, default=None)
