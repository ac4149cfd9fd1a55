"""The bounded queue between the I/O threads and the consumers of a subscription. `overflow` has its other policies.

I/O threads put pushes. Consumers take them, or wait in `wait`. A `put` wakes one waiting consumer, if there is one.

Items are raw pushes, messages that routing had to decode, and frame batches. A batch stays the first item while
consumers take its frames one by one.

Rules:
1. A single push is appended without the lock. Batches, overflow, notices and the end are handled under it.
2. The first item is removed or replaced under the lock, so that no consumer takes a whole batch. A thread of this
   package, which no signal handler interrupts, takes pushes without it if there is no batch, and puts back a batch.
   Frames are taken from the first batch without it, because one step of its iterator is atomic.
3. A signal handler may raise, or take messages itself, between any two bytecodes. Changes that must not be separated
   are made by one call into C. A consumer puts back a push that it has taken and cannot deliver.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, repeat, starmap
from operator import methodcaller
from typing import Any

from ..internal import fork
from ..internal.signals import holds_no_lock
from ..net.direct_read import ReadLease
from ..protocol.envelopes import Decoder, FrameBatch, Push, Pushes, RawPush
from ..protocol.message import Message
from .callback_slot import CallbackSlot, Releasable

__all__ = ["MessageQueue", "lost_count"]

_NOBODY, _SEVERAL = -1, -2
_pop_first: Callable[[deque[Any]], Any] = deque.popleft
_append: Callable[[deque[Any], FrameBatch], None] = deque.append
_remove: Callable[[deque[Any], FrameBatch], None] = deque.remove
_release: Callable[[Releasable], object] = methodcaller("release")


class MessageQueue(CallbackSlot):
    """The queue of one subscription. Policy "drop_newest": a full queue drops new pushes.

    Attributes:
        items: the queued pushes and batches.
        waiters: the latches of waiting consumers, released one for each push.
        dropped: how many messages were dropped.
        alert: whether `notice` has something to do: it may return an error, or call `first_use`.
        finished: no more pushes will come; queued ones can still be taken.
        error: why the subscription has ended, with `finished`; None after a normal close.
        read_lease: allows the sole consumer thread to read the socket itself.
        decoder: decodes raw pushes to messages.
        first_use: called before a consumer looks for messages; its owner shares one with all queues.
        before_wait: called before a consumer waits.
    """

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__()
        self.items: deque[Push | FrameBatch] = deque()
        self.waiters: deque[Releasable] = deque()
        self.dropped = 0
        self.alert = False
        self.finished = False
        self.error: Exception | None = None
        self.read_lease: ReadLease | None = None
        self.decoder = Decoder()
        self.first_use = fork.FirstUse()
        self.before_wait: Callable[[], object] | None = None
        self._maxsize = maxsize
        self._on_overflow = on_overflow
        # Guards the following and `dropped`. A signal handler may take messages while it interrupts a consumer.
        self._lock = threading.RLock()
        self._singles: Iterator[Any] = map(_pop_first, repeat(self.items))  # pops the first item in one step
        self._batches: deque[FrameBatch] = deque()  # the batches in `items`
        self._both: tuple[deque[Any], ...] = self.items, self._batches
        self._in_batches = 0  # an upper bound: frames left in all batches, minus one per batch
        self._missing = 0  # messages dropped since the last accepted one
        self._congested = False  # the next `put` must take the lock
        self._full = False  # an episode of overflow is under way
        self._notices: deque[Exception] = deque()
        self._overflows: deque[int] = deque()  # counts to report after the lock is released
        self._consumer = _NOBODY  # id of the only thread that ever waited here, or a constant
        fork.register(self)

    def after_fork(self) -> None:
        """Empty the queue in a forked child: the queued messages belong to the parent.

        The object is kept, because the thread that forked may be iterating over it.
        """
        self._lock = threading.RLock()
        self.clear()
        self.waiters.clear()
        self.leaving.clear()
        self.calling = False
        self._notices.clear()
        self._overflows.clear()
        self.dropped = self._missing = self.decoder.unreadable = 0
        self._congested = self._full = False
        self._consumer, self.read_lease = _NOBODY, None
        self.alert = self.first_use.pending

    def clear(self) -> None:
        """Drop all items. A consumer in the middle of a batch gets no more frames of it either."""
        for batch in self._batches.copy():
            deque(batch.rest, maxlen=0)
        self.items.clear()
        self._batches.clear()
        self._in_batches = 0

    def __len__(self) -> int:
        items, batches = len(self.items), self._batches
        return max(0, items + sum([batch.left - 1 for batch in batches.copy()])) if batches else items

    def has_messages(self) -> bool:
        """Return whether a consumer would find a message."""
        items = self.items
        return bool(items) and (not self._batches or self.first_batch() is not None or bool(items))

    def put(self, push: Push) -> bool:
        """Queue a push; never waits. Return whether it woke the only thread that ever takes messages here."""
        if self._congested or (len(self.items) + self._in_batches >= self._maxsize and not self._has_room(1)):
            accepted = self._put_congested(push)
            if accepted is None:
                self._report_overflows()
                return False
            push = accepted
        self.items.append(push)
        return self._woken() if self.waiters else False

    def put_many(self, pushes: Pushes) -> bool:
        """Queue several pushes at once; return as `put`."""
        count = len(pushes)
        if not self.fits(count):
            woken = [self.put(push) for push in pushes]
            return True in woken
        if isinstance(pushes, FrameBatch):
            with self._lock:
                self._in_batches += count - 1
                tuple(map(_append, self._both, repeat(pushes)))
        else:
            self.items.extend(pushes)
        woken_one = self._woken() if self.waiters else False
        while self.waiters and (count := count - 1):
            self.wake()
        return woken_one

    def fits(self, count: int) -> bool:
        """Return whether `count` pushes can be queued in one step, without dropping or replacing any."""
        return not self._congested and (
            len(self.items) + self._in_batches + count <= self._maxsize or self._has_room(count)
        )

    def first_batch(self) -> FrameBatch | None:
        """Return the first item if it is a batch, else None. Empty batches before it are removed.

        A consumer owns each frame that it takes from the batch.
        """
        items = self.items
        try:
            if not isinstance(items[0], FrameBatch):
                return None
        except IndexError:
            return None
        with self._lock:
            while items and isinstance(batch := items[0], FrameBatch):
                if batch.left:
                    return batch
                with suppress(ValueError, IndexError):  # a signal handler has removed it already
                    tuple(map(_remove, self._both, repeat(batch)))
        return None

    def source(self) -> Iterator[Push]:
        """Return an iterator over the next push, to be used as `for push in message_queue.source(): break`.

        Taking the push and assigning it is one step: Python runs signal handlers between bytecodes, never within this
        one. The step raises IndexError if the queue is empty. A consumer that cannot deliver its push calls `put_back`.
        It does so too with a batch, which it gets if the batch was queued after this call.
        """
        return starmap(self._take_one, repeat(())) if self._batches else self._singles

    def _take_one(self) -> Push:
        # No signal handler runs between taking a push, or recording it as taken, and the next line.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    batch = self.first_batch() if self._batches else None
                    for push in self._singles if batch is None else batch.pushes:  # noqa: B007
                        break
                    if isinstance(push, FrameBatch):  # a signal handler has just taken the pushes before it
                        self.put_back(push)
                        push = None
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]

    def take(self, limit: int) -> Iterator[Push]:
        """Yield at most `limit` queued pushes; only for threads that no signal handler interrupts."""
        batch = self.first_batch()
        return self._take_singles(limit) if batch is None else islice(batch.pushes, limit)

    def take_messages(self, limit: int) -> Iterator[Message]:
        """Do what `take` does, and decode; malformed frames are left out."""
        batch, decoder = self.first_batch(), self.decoder
        return (
            self._take_singles(limit, decoder.decode) if batch is None else islice(decoder.decode_batch(batch), limit)
        )

    def _take_singles(self, limit: int, decode: Callable[[Push], Any] | None = None) -> Iterator[Any]:
        """Yield at most `limit` pushes, decoded or not. A lock for each would be expensive while there is no batch."""
        items, batches = self.items, self._batches
        try:
            for _ in range(min(limit, len(self) if batches else len(items))):
                push: Any = self._take_one() if batches else items.popleft()
                if type(push) is FrameBatch:  # another consumer has just taken the push before it
                    self.put_back(push)
                    push = self._take_one()
                if decode is None or (push := decode(push)) is not None:
                    yield push
        except IndexError:
            return  # another consumer has taken the rest

    def put_back(self, push: Push | FrameBatch) -> None:
        """Queue an undelivered push again as the first item. A repeated call, after a signal, changes nothing."""
        with self._lock:
            if not self.items or self.items[0] is not push:
                self.items.appendleft(push)
        self.wake()  # another consumer may have found the queue empty meanwhile

    def leave(self, push: Push | None) -> None:
        """Clean up for a consumer that an exception has stopped. `push`: one that it has taken and not delivered."""
        if push is not None:
            self.put_back(push)
        elif self.has_messages():
            self.wake()  # the queued push may have woken only this consumer

    def has(self, push: Push | FrameBatch) -> bool:
        """Return whether this push object is queued."""
        return any(item is push for item in self.items.copy())  # a copy, because other threads change it meanwhile

    def oldest(self) -> Push | None:
        """Return the next push without taking it; None if the queue is empty."""
        for place in (0, 1):  # the first may be an empty batch
            try:
                item = self.items[place]
            except IndexError:
                return None
            if not isinstance(item, FrameBatch):
                return item
            left = item.left
            if left:
                return item[-left]
        return None

    def _has_room(self, count: int) -> bool:
        """Count the queued pushes exactly; return whether there is room for `count` more."""
        with self._lock:
            self._in_batches = sum([max(0, batch.left - 1) for batch in self._batches.copy()])
            return len(self) + count <= self._maxsize

    def _woken(self) -> bool:
        """Do as `wake` for an I/O thread; return whether one thread alone ever takes messages here."""
        try:
            gate = self.waiters.popleft()
        except IndexError:
            return False  # it was just released by another thread
        gate.release()
        return self._consumer > _NOBODY

    def wake(self) -> None:
        """Release the first waiting consumer. That is one step: a signal handler could leave it waiting for ever."""
        with suppress(IndexError):  # it was just released by another thread
            next(map(_release, map(_pop_first, (self.waiters,))))

    def call(self, gate: Releasable) -> None:
        """Release `gate` once when there is something for a consumer to do; never waits."""
        self._consumer = _SEVERAL  # the messages may be taken later, on any thread
        self.waiters.append(gate)
        if self.has_messages() or ((self.finished or self.alert) and self.ready()):
            self.wake()

    @holds_no_lock
    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds for a message, a notice or the end; return whether there may be one."""
        me = threading.get_ident()
        if self._consumer != me:
            self._consumer = me if self._consumer == _NOBODY else _SEVERAL
        if (read_lease := self.read_lease) is not None:
            if self._consumer == me and not read_lease.over:
                return read_lease.read(timeout) or self.ready()
            read_lease.give_back()
            self.read_lease = None
        if self.before_wait is not None:
            self.before_wait()
        (gate := threading.Lock()).acquire()
        seconds = -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))
        released = False
        try:
            self.waiters.append(gate)
            if self.ready() or self.read_lease is not None:
                return True
            released = gate.acquire(timeout=seconds)
        finally:
            # Also after an exception: a gate left behind would swallow the wake-up of another consumer.
            if not released:
                with suppress(ValueError):  # released meanwhile
                    self.waiters.remove(gate)
        return released or self.ready()

    def accept(self, read_lease: ReadLease) -> None:
        """Give the consumer a lease to read the socket itself."""
        self.read_lease = read_lease
        if self.waiters:
            self.wake()  # it waits in the queue again already

    def room(self) -> float:
        """Return how many more pushes fit without dropping one."""
        return self._maxsize - len(self)

    def ready(self) -> bool:
        """Return whether a consumer has something to do."""
        return self.has_messages() or self.finished or bool(self._notices)

    def notice(self) -> Exception | None:
        """Return an error to raise to the consumer once it has emptied the queue; each error only once."""
        self.first_use()
        with self._lock:
            told = self._notices.popleft() if self._notices and not len(self) else None
            self.alert = bool(self._notices) or self._overflow_unreported()
            return told

    def _overflow_unreported(self) -> bool:
        """Return whether the consumer has still to get an overflow error (under the lock)."""
        return False

    def tell(self, error: Exception) -> None:
        """Raise `error` to the consumer once it has emptied the queue; the subscription goes on."""
        with self._lock:
            self._notices.append(error)
            self.alert = True
        self.wake()

    def finish(self, error: Exception | None) -> None:
        """End the consumers, with `error` if given, once they have emptied the queue."""
        if not self.finished:  # no lock: a finaliser may call this anywhere
            self.error = error
            self.finished = True
        with suppress(IndexError):  # there are no more; all are woken in one step, see `source`
            deque(map(_release, iter(self.waiters.popleft, None)), 0)

    def _put_congested(self, push: Push) -> Push | None:
        """Return the push to queue, or None if it was dropped."""
        with self._lock:
            if len(self) >= self._maxsize:
                self._drop(push)
                return None
            return self._accept(push)

    def _accept(self, push: Push) -> Push | None:
        """Prepare a push to be queued after others were dropped (under the lock); None if it is unreadable."""
        accepted: Push | None = push
        if self._missing:
            accepted = self._with_missing(push)
            if accepted is None:
                return None
            self._missing = 0
        self._congested = self._full = False
        return accepted

    def _with_missing(self, push: Push) -> Message | None:
        """Return the push as a message whose `lost` counts the missing ones; None if it is unreadable."""
        message = self.decoder.decode(push)
        return None if message is None else message.with_lost(self._missing + message.lost)

    def _drop(self, push: Push) -> None:
        """Count a dropped push (under the lock)."""
        self._missing += lost_count(push)
        self.dropped += 1
        self._congested = True
        if not self._full:
            self._full = True
            self._overflows.append(self.dropped)

    def _report_overflows(self) -> None:
        """Report the overflows that were noted under the lock; called without it."""
        while self._overflows:
            try:
                dropped = self._overflows.popleft()
            except IndexError:
                return  # another thread has just reported it
            self._on_overflow(dropped)


def lost_count(push: Push) -> int:
    """Return how many messages are lost with a push: itself, and those already missing before it."""
    return 1 if isinstance(push, RawPush) else 1 + push.lost
