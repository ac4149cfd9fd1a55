"""The bounded queue between the I/O threads and the consumers of a subscription; `overflow` has one for each policy.

I/O threads put pushes into it, consumers take them. A consumer that finds nothing waits in `wait`. A `put` wakes one
waiting consumer, and only if there is one.

Items are raw pushes, messages that were decoded to be routed, and frame batches. A batch stays the first item while
consumers take frame after frame from its iterators.

Rules:
1. A single push is appended without the lock. A batch, a full queue, a notice and the end take it.
2. Whatever changes the front takes the lock, so that no consumer takes a whole batch. Frames are taken from the first
   batch without it: a step of an iterator is atomic.
3. A signal handler may raise, or take messages itself, behind every step. So what belongs together happens in one
   step, which is a call into C; and what was taken and not delivered is put back.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, repeat, starmap
from typing import Any, Protocol

from ..internal import fork
from ..internal.signals import holds_no_lock
from ..net.direct_read import ReadLease
from ..protocol.envelopes import Decoder, FrameBatch, Push, Pushes, RawPush
from ..protocol.message import Message

__all__ = ["Inbox", "InlineInbox", "Latch", "lost_count", "uncalled"]

_NOBODY, _SEVERAL = -1, -2
_ONCE = ((),)
_pop_first: Callable[[deque[Any]], Any] = deque.popleft
_append: Callable[[deque[Any], FrameBatch], None] = deque.append
_remove: Callable[[deque[Any], FrameBatch], None] = deque.remove


class Latch(Protocol):
    """What waits for a message: it is released once, by whoever puts one."""

    def release(self) -> None: ...


class Inbox:
    """Messages on their way to the consumers. Policy "drop_newest": a full queue takes no more.

    Attributes:
        items: what waits.
        dropped: messages dropped so far.
        alert: whether `notice` may have something to say.
        finished: nothing more will be put; what is queued can still be taken.
        error: with `finished`, why the subscription ended, None for a normal close.
        read_lease: with it the consumer reads the socket itself.
        decoder: makes messages of raw pushes.
        first_use: in a forked child, called before a consumer first looks for messages.
        callback: called with each message, where the consumer is a callback. It is looked up for each message, because
            closing replaces it.
        calling: whether a call may be under way.
        leaving: gates of those who wait until it is not; opened by whoever has called, behind that.
    """

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        self.items: deque[Push | FrameBatch] = deque()
        self.waiters: deque[Latch] = deque()
        self.dropped = 0
        self.alert = False
        self.finished = False
        self.error: Exception | None = None
        self.read_lease: ReadLease | None = None
        self.decoder = Decoder()
        self.callback: Callable[[Message], object] = uncalled
        self.calling = False
        self.first_use: Callable[[], None] | None = None
        self.leaving: deque[Latch] = deque()
        self._maxsize = maxsize
        self._on_overflow = on_overflow
        # Guards the following and `dropped`. Reentrant, because a signal handler may take messages, too, wherever it
        # interrupts a consumer.
        self._lock = threading.RLock()
        self._singles: Iterator[Any] = map(_pop_first, repeat(self.items))  # the first item in one step, under the lock
        self._batches: deque[FrameBatch] = deque()  # those in `items`
        self._both: tuple[deque[Any], ...] = self.items, self._batches
        self._in_batches = 0  # at least as many frames as batches have left beyond one each
        self._missing = 0  # dropped since the last message that was accepted
        self._congested = False  # the next put has to take the lock
        self._full = False  # an episode of overflow is under way
        self._notices: deque[Exception] = deque()
        self._overflows: deque[int] = deque()  # numbers of messages dropped, to be told when the lock is free
        self._consumer = _NOBODY  # the one thread that waits here
        fork.register(self)

    def after_fork(self) -> None:
        """Begin again in a forked child, empty: what waits here belongs to the parent.

        The queue stays the same object, because the thread that forked may be iterating over it.
        """
        self._lock = threading.RLock()
        self.clear()
        self.waiters.clear()
        self.leaving.clear()
        self._notices.clear()
        self._overflows.clear()
        self.dropped = self._missing = self.decoder.unreadable = 0
        self._congested = self._full = False
        self._consumer, self.read_lease = _NOBODY, None
        self.calling = False
        self.alert = self.first_use is not None

    def clear(self) -> None:
        """Drop everything, also for a loop that is in a batch."""
        for batch in self._batches:
            deque(batch.rest, maxlen=0)
        self.items.clear()
        self._batches.clear()
        self._in_batches = 0

    def sleep(self, first_use: Callable[[], None]) -> None:
        """Have `first_use` called before a consumer first looks for messages."""
        self.first_use = first_use
        self.alert = True  # a consumer that finds nothing asks for a notice then

    def use(self) -> None:
        """Be about to be looked into."""
        fork.detect_fork()
        first_use, self.first_use = self.first_use, None
        if first_use is not None:
            try:
                first_use()
            except BaseException:
                self.sleep(first_use)  # for the next time
                raise

    def __len__(self) -> int:
        items, batches = len(self.items), self._batches
        return max(0, items + sum([batch.left - 1 for batch in batches.copy()])) if batches else items

    def has_messages(self) -> bool:
        """Return whether a consumer would find one."""
        return bool(self.items) and (self.first_batch() is not None or bool(self.items))

    def put(self, push: Push) -> bool:
        """Queue a push; never waits. Return whether the only thread that ever takes messages here waited for it."""
        if self._congested or (len(self.items) + self._in_batches >= self._maxsize and not self._has_room(1)):
            accepted = self._put_congested(push)
            if accepted is None:
                self._tell_overflows()
                return False
            push = accepted
        self.items.append(push)
        return self._woken() if self.waiters else False

    def put_many(self, pushes: Pushes) -> bool:
        """Queue several pushes at once; return the same."""
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
        woken_one = self._woken()
        for _ in range(count - 1):
            if not self.waiters:
                break
            self.wake()
        return woken_one

    def fits(self, count: int) -> bool:
        """Return whether so many pushes are queued in one step, without one being looked at, dropped or replaced."""
        return not self._congested and (
            len(self.items) + self._in_batches + count <= self._maxsize or self._has_room(count)
        )

    def first_batch(self) -> FrameBatch | None:
        """Return the batch that is the first item, None where that is none; batches of which all is gone are dropped.

        A consumer that takes a frame from it has it.
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
                with suppress(ValueError, IndexError):  # a signal handler has dropped it already
                    tuple(map(_remove, self._both, repeat(batch)))
        return None

    def source(self) -> Iterator[Push]:
        """Return what yields the next push in one step: `for push in inbox.source(): break`.

        It raises IndexError where there is none. Python runs signal handlers between bytecodes, and never between this
        step and the assignment. A consumer that can't deliver what it has taken calls `put_back`.
        """
        return starmap(self._take_one, _ONCE)

    def _take_one(self) -> Push:
        # No signal handler runs between a step that takes, or that notes what was taken, and the next line.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    batch = self.first_batch()
                    for push in self._singles if batch is None else batch.pushes:  # noqa: B007
                        break
                    if isinstance(push, FrameBatch):  # a signal handler has just taken what was before it
                        self.put_back(push)
                        push = None
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]

    def take(self, most: int) -> Iterator[Push]:
        """Yield at most so many of the pushes that wait; for threads that no signal interrupts."""
        batch = self.first_batch()
        return self._take_singles(most) if batch is None else islice(batch.pushes, most)

    def _take_singles(self, most: int) -> Iterator[Push]:
        for _ in range(min(most, len(self))):
            try:
                push = self._take_one()
            except IndexError:
                return  # another consumer has taken the rest
            yield push

    def put_back(self, push: Push | FrameBatch) -> None:
        """Queue what was taken and not delivered, as the first; once, where a signal has it done again."""
        with self._lock:
            if not self.items or self.items[0] is not push:
                self.items.appendleft(push)
        self.wake()  # another consumer may have found nothing in the meantime

    def leave(self, push: Push | None) -> None:
        """Go away as a consumer that an exception has stopped, with a push that was taken and not delivered."""
        if push is not None:
            self.put_back(push)
        elif self.has_messages():
            self.wake()  # what waits may have woken this consumer and no other

    def has(self, push: Push | FrameBatch) -> bool:
        """Return whether this very push waits."""
        return any(item is push for item in tuple(self.items))

    def oldest(self) -> Push | None:
        """Return the push that a consumer gets next, and leave it where it is; None where there is none."""
        for item in tuple(islice(self.items, 2)):  # of the first all may be gone
            if not isinstance(item, FrameBatch):
                return item
            left = item.left
            if left:
                return item[-left]
        return None

    def _has_room(self, count: int) -> bool:
        """Return whether there is room for so many more, having counted what is there."""
        with self._lock:
            self._in_batches = sum([max(0, batch.left - 1) for batch in self._batches.copy()])
            return len(self) + count <= self._maxsize

    def _woken(self) -> bool:
        """Wake one waiting consumer; return whether it is the only thread that ever takes messages here."""
        if not self.waiters:
            return False
        self.wake()
        return self._consumer > _NOBODY

    def wake(self) -> None:
        """Release one waiter."""
        try:
            gate = self.waiters.popleft()
        except IndexError:
            return  # it was just released by another thread
        gate.release()

    def call(self, gate: Latch) -> None:
        """Have a gate released once, as soon as there is something to do for a consumer; never waits."""
        self._consumer = _SEVERAL  # who comes back at some time, on any thread
        self.waiters.append(gate)
        if self.has_messages() or ((self.finished or self.alert) and self.ready()):
            self.wake()

    @holds_no_lock
    def wait(self, timeout: float | None) -> bool:
        """Wait for a message, a notice or the end, at most `timeout` seconds; return whether there may be one."""
        me = threading.get_ident()
        if self._consumer != me:
            self._consumer = me if self._consumer == _NOBODY else _SEVERAL
        if (read_lease := self.read_lease) is not None:
            if self._consumer == me and not read_lease.over:
                return read_lease.read(timeout) or self.ready()
            read_lease.give_back()
            self.read_lease = None
        gate = threading.Lock()
        gate.acquire()
        seconds = -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))
        released = False
        try:
            self.waiters.append(gate)
            if self.ready() or self.read_lease is not None:
                return True
            released = gate.acquire(timeout=seconds)
        finally:
            # However the wait ends: a gate left behind would swallow the wake-up of another consumer.
            if not released:
                try:
                    self.waiters.remove(gate)
                except ValueError:
                    pass  # released meanwhile
        return released or self.ready()

    def called(self) -> None:
        """Note that no call of the callback is under way any more."""
        self.calling = False
        while self.leaving:
            with suppress(IndexError):  # another thread has just let it go
                self.leaving.popleft().release()

    def wait_for_call(self, timeout: float) -> None:
        """Wait for the callback's call under way, at most `timeout` seconds."""
        gate = threading.Lock()
        gate.acquire()
        self.leaving.append(gate)
        if self.calling:  # looked at behind that: who has called looks for gates behind its call
            gate.acquire(timeout=timeout)
        with suppress(ValueError):  # it was released
            self.leaving.remove(gate)

    def accept(self, read_lease: ReadLease) -> None:
        """Have the consumer read the socket itself."""
        self.read_lease = read_lease
        if self.waiters:
            self.wake()  # it is back already

    def room(self) -> float:
        """Return how many more pushes it takes without dropping one."""
        return self._maxsize - len(self)

    def ready(self) -> bool:
        """Whether a consumer has something to do."""
        return self.has_messages() or self.finished or bool(self._notices)

    def notice(self) -> Exception | None:
        """Return, once, what the consumer must be told when it has taken all that was queued."""
        self.use()
        with self._lock:
            told = self._notices.popleft() if self._notices and not len(self) else None
            self.alert = bool(self._notices) or self._untold()
            return told

    def _untold(self) -> bool:
        """Whether the consumer has yet to be told of an overflow (under the lock)."""
        return False

    def tell(self, error: Exception) -> None:
        """Have the consumer told of `error` when it has taken all that is queued; the subscription goes on."""
        with self._lock:
            self._notices.append(error)
            self.alert = True
        self.wake()

    def finish(self, error: Exception | None) -> None:
        """Let the consumers end once they have taken what is queued, with `error` if there is one."""
        if not self.finished:  # no lock: a finaliser may call this anywhere
            self.error = error
            self.finished = True
        while self.waiters:
            self.wake()

    def _put_congested(self, push: Push) -> Push | None:
        with self._lock:
            if len(self) >= self._maxsize:
                self._drop(push)
                return None
            return self._accept(push)

    def _accept(self, push: Push) -> Push | None:
        """Let a push in after others were dropped (under the lock); None where it can't be read."""
        accepted: Push | None = push
        if self._missing:
            accepted = self._telling(push)
            if accepted is None:
                return None
            self._missing = 0
        self._congested = self._full = False
        return accepted

    def _telling(self, push: Push) -> Message | None:
        """Return the message that tells of what is missing before it; None where it can't be read."""
        message = self.decoder.decode(push)
        return None if message is None else message.with_lost(self._missing + message.lost)

    def _drop(self, push: Push) -> None:
        """Count a dropped message (under the lock)."""
        self._missing += lost_count(push)
        self.dropped += 1
        self._congested = True
        if not self._full:
            self._full = True
            self._overflows.append(self.dropped)

    def _tell_overflows(self) -> None:
        """Tell of overflows that were noted under the lock; not under the lock."""
        while self._overflows:
            try:
                dropped = self._overflows.popleft()
            except IndexError:
                return  # another thread has just told it
            self._on_overflow(dropped)


class InlineInbox(Inbox):
    """No queue: the callback runs where the message arrives, on the I/O thread."""

    def __init__(self, callback: Callable[[Message], object], failed: Callable[[BaseException], None]) -> None:
        super().__init__(1, lambda dropped: None)
        self.callback = callback
        self._failed = failed

    def room(self) -> float:
        return math.inf

    @holds_no_lock
    def put(self, push: Push) -> bool:
        message = self.decoder.decode(push)
        if message is None:
            return False
        self.calling = True
        try:
            if not self.finished:
                self.callback(message)
        except BaseException as error:  # such as asyncio.CancelledError: the I/O thread goes on
            self._failed(error)
        self.calling = False
        if self.leaving:
            self.called()
        return False

    @holds_no_lock
    def put_many(self, pushes: Pushes) -> bool:
        self.calling = True
        for message in self.decoder.decode_all(pushes):
            if self.finished:
                break
            try:
                self.callback(message)
            except BaseException as error:
                self._failed(error)
        self.called()
        return False


def uncalled(_: Message) -> None:
    """Be called in the place of a callback that is not to be called any more."""


def lost_count(push: Push) -> int:
    """Return how many messages are missing where a push is: itself, and those that it says are missing before it."""
    return 1 if isinstance(push, RawPush) else 1 + push.lost
