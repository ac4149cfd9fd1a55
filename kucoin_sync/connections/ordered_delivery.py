"""Deliver the pushes that several I/O threads have accepted: on one thread at a time, without a lock, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from ..protocol.envelopes import FrameBatch, Push, Pushes, arrival_of, with_arrival
from ..protocol.message import Arrival

__all__ = ["OrderedDelivery"]

_MAX_UNDELIVERED = 100_000  # pushes accepted and not yet delivered


class OrderedDelivery:
    """A queue between the threads that accept pushes and the one of them that delivers.

    Args:
        deliver: takes pushes; called by one thread at a time, without the lock held.
        lock: guards this object; held by the callers of `put` and `put_batch`.
        failed: called under the lock when `deliver` has raised, as pushes may be missing then.

    Attributes:
        epoch: the highest epoch accepted so far. Pushes with a lower one are raised to it.
    """

    def __init__(self, deliver: Callable[[Pushes], object], lock: threading.Lock, failed: Callable[[], object]) -> None:
        self.epoch = 0
        self._deliver = deliver
        self._failed = failed
        self._lock = lock
        self._restamped: tuple[Arrival, Arrival] | None = None  # the last arrival with a raised epoch: before, after
        self._ready: deque[Pushes] = deque()  # accepted pushes, in order of delivery
        self._delivering = False
        self._deliverer = 0  # id of the delivering thread
        self._undelivered = 0  # pushes in `_ready` and in the current delivery
        self._fewer = threading.Condition(lock)  # notified when `_undelivered` falls
        self._waiting = 0  # threads that wait for that

    # Under the lock

    @property
    def is_empty(self) -> bool:
        """Whether everything was delivered."""
        return not self._ready and not self._delivering

    def put_batch(self, batch: Pushes) -> None:
        """Queue a whole batch of one read."""
        arrival = batch.arrival if isinstance(batch, FrameBatch) else arrival_of(batch[0])
        if arrival.epoch < self.epoch:
            self.put(list(batch))
            return
        self.epoch = arrival.epoch
        self._queue(batch)

    def put(self, pushes: list[Push]) -> None:
        """Queue pushes. The list is theirs from now on."""
        checked: Arrival | None = None
        for place, push in enumerate(pushes):
            arrival = arrival_of(push)
            if arrival is checked:
                continue
            if arrival.epoch >= self.epoch:
                self.epoch, checked = arrival.epoch, arrival
            else:
                pushes[place] = with_arrival(push, self._raised(arrival))
        if pushes:
            self._queue(pushes)

    def _queue(self, pushes: Pushes) -> None:
        self._ready.append(pushes)
        self._undelivered += len(pushes)

    def _raised(self, arrival: Arrival) -> Arrival:
        """Return a copy of an arrival with the highest epoch so far; pushes of one arrival share the copy."""
        if self._restamped is None or self._restamped[0] is not arrival or self._restamped[1].epoch != self.epoch:
            self._restamped = arrival, msgspec.structs.replace(arrival, epoch=self.epoch)
        return self._restamped[1]

    def take_turn(self) -> Pushes | None:
        """Return queued pushes that the caller must `deliver`; None if there are none, or another thread delivers."""
        if self._delivering or not self._ready:
            return None
        self._delivering, self._deliverer = True, threading.get_ident()
        return self._ready.popleft()

    # Without the lock

    def deliver(self, pushes: Pushes | None) -> None:
        """Deliver what `take_turn` has returned, and what was queued meanwhile."""
        while pushes is not None:
            count, done = len(pushes), False
            try:
                self._deliver(pushes)
                done = True
            finally:
                with self._lock:
                    self._undelivered -= count
                    self._delivering = False
                    if self._waiting:
                        self._fewer.notify_all()
                    if not done:
                        self._failed()
                    pushes = self.take_turn() if done else None

    def wait_if_behind(self) -> None:
        """Wait while another thread delivers and has fallen far behind.

        It does so when an inline callback blocks; without a merge that callback would block this thread too.
        """
        if self._undelivered <= _MAX_UNDELIVERED:
            return
        with self._lock:
            if self._delivering and self._deliverer != threading.get_ident():
                self._waiting += 1
                try:
                    self._fewer.wait_for(lambda: self._undelivered <= _MAX_UNDELIVERED)
                finally:
                    self._waiting -= 1
