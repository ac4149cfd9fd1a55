"""The bounded queue between the I/O threads and the consumers of a subscription; `overflow` has one for each policy.

I/O threads `put`, consumers `pop`; neither ever waits for the other. A consumer that finds nothing waits in
`wait`; a `put` wakes one waiter, and only if there is one. `collections.deque` makes both ends atomic, so the
common path takes no lock; the lock is for the uncommon one: a full queue, a notice, the end.

What is queued are pushes: sealed frames, which `pop` opens, and messages that were opened to be routed. For who takes
them one after the other, a run of many waits in the queue as one item (see `runs`).
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat, starmap
from typing import Any, Protocol, cast

from . import forking
from .baton import Baton
from .interruption import holds_nothing
from .messages import Message
from .runs import RunQueue, Waiting
from .sealed import Opener, Push, Pushes, Run, Sealed

__all__ = ["Gate", "Inbox", "InlineInbox", "absence", "uncalled"]

_NOBODY, _SEVERAL = -1, -2
_drop_first: Callable[[deque[Any]], Any] = deque.popleft
_MANY = 64  # pushes in a run that is worth to be queued as one


class Gate(Protocol):
    """What waits for a message: it is released once, by whoever puts one."""

    def release(self) -> None: ...


class Inbox:
    """Messages on their way to a consumer. Policy "drop_newest": a full queue takes no more.

    Args:
        runs: whether runs are queued as they are.

    Attributes:
        dropped: messages dropped so far.
        alert: `notice` may have something to say.
        finished: nothing more will be put; what is queued can still be popped.
        error: with `finished`, why the subscription ended, None for a normal close.
        baton: where the consumer is to read from the socket itself.
        take: returns the next push as it is; raises IndexError where there is none. For threads that no signal
            interrupts.
        source: `for push in source: break` does the same where a signal's handler may raise. Python runs handlers after
            calls, and never between this step and the variable. Who can't deliver the push, calls `put_back`.
        singles: the same and cheaper, where `first[0]`, the first item, is not a run.
        size: returns how many there are.
        runs: the queue, where runs are queued as they are.
        opener: opens sealed ones.
        first_use: in a forked child, called before a consumer first looks for messages.
        callback: what is called with each message, where the consumer is a callback. It is looked up for each message:
            who closes puts something else here.
        calling: whether a call may be under way.
        leaving: gates of those who wait until it is not; opened by whoever has called, behind that.
    """

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None], *, runs: bool = False) -> None:
        self.items: deque[Push | Waiting] = deque()
        self.waiters: deque[Gate] = deque()
        self.dropped = 0
        self.alert = False
        self.finished = False
        self.error: Exception | None = None
        self.baton: Baton | None = None
        self.opener = Opener()
        self.callback: Callable[[Message], object] = uncalled
        self.calling = False
        self.leaving: deque[Gate] = deque()
        self.runs = RunQueue(self.items) if runs else None
        self.take: Callable[[], Push] = self._take_of_runs if runs else self.items.popleft  # type: ignore[assignment]
        self.singles: Iterator[Any] = map(_drop_first, repeat(self.items))
        self.first: Sequence[Any] = self.items
        self.source: Iterator[Push] = starmap(self.take, repeat(())) if runs else self.singles
        self.size: Callable[[], int] = self.items.__len__ if self.runs is None else self.runs.__len__
        self._inside = 0  # at least as many are there beyond the number of items, as runs are of many
        self._maxsize = maxsize
        self._on_overflow = on_overflow
        # A signal's handler may take messages, too, wherever it interrupts a consumer.
        self._lock = threading.RLock()  # guards _missing, _congested, _full, _notices, dropped, _inside
        self._missing = 0  # dropped since the last message that was accepted
        self._congested = False  # the next put has to take the lock
        self._full = False  # an episode of overflow is under way
        self._notices: deque[Exception] = deque()
        self._overflows: deque[int] = deque()  # numbers of messages dropped, to be told when the lock is free
        self.first_use: Callable[[], None] | None = None
        self._consumer = _NOBODY  # the one thread that waits here
        forking.enrol(self)

    def forked(self) -> None:
        """Begin again in a forked child, empty: what waits here belongs to the parent.

        The queue stays the same object, because the thread that forked may be iterating over it.
        """
        self._lock = threading.RLock()
        if self.runs is not None:
            self.runs.clear()
        self.items.clear()
        self.waiters.clear()
        self.leaving.clear()
        self._notices.clear()
        self._overflows.clear()
        self.dropped = self._missing = self._inside = self.opener.unreadable = 0
        self._congested = self._full = False
        self._consumer, self.baton = _NOBODY, None
        self.calling = False
        self.alert = self.first_use is not None

    def sleep(self, first_use: Callable[[], None]) -> None:
        """Have `first_use` called before a consumer first looks for messages."""
        self.first_use = first_use
        self.alert = True  # a consumer that finds nothing asks for a notice then

    def use(self) -> None:
        """Be about to be looked into."""
        forking.notice()
        first_use, self.first_use = self.first_use, None
        if first_use is not None:
            try:
                first_use()
            except BaseException:
                self.sleep(first_use)  # for the next time
                raise

    def __len__(self) -> int:
        return self.size()

    def put(self, push: Push) -> bool:
        """Queue a push for the consumer; never waits. Return whether that is one thread, which waited for it."""
        if self._congested or (len(self.items) + self._inside >= self._maxsize and not self._has_room(1)):
            accepted = self._put_congested(push)
            if accepted is None:
                self._tell_overflows()
                return False
            push = accepted
        self.items.append(push)
        return self._woken() if self.waiters else False

    def put_many(self, pushes: Pushes) -> None:
        """Queue several pushes at once."""
        count = len(pushes)
        if self._congested or (len(self.items) + self._inside + count > self._maxsize and not self._has_room(count)):
            for push in pushes:
                self.put(push)
            return
        if self.runs is not None and count >= _MANY and isinstance(pushes, Run):
            with self._lock:
                self._inside += count - 1
                self.runs.append(pushes)
        else:
            self.items.extend(pushes)
        for _ in range(count):
            if not self.waiters:
                return
            self.wake()

    def pop(self) -> Message:
        """Return the next message; raise IndexError where there is none."""
        while True:
            message = self.opener.open(self.take())
            if message is not None:
                return message

    def run(self) -> Waiting | None:
        """Return the run that is the first in the queue, None where it is none; whoever takes its frames has them."""
        if self.runs is None:
            return None
        with self._lock:
            return self.runs.first()

    def put_back(self, push: Push | Waiting) -> None:
        """Queue what was taken and not delivered, as the first; a run that was taken as one item, too."""
        self.items.appendleft(push)
        self.wake()  # another consumer may have found nothing in the meantime

    def leave(self, push: Push | Waiting | None) -> None:
        """Go away as a consumer whom an exception has stopped, with a push that was taken and not delivered."""
        if push is not None:
            self.put_back(push)
        elif self.size():
            self.wake()  # what waits may have woken this consumer and nobody else

    def has(self, push: Push) -> bool:
        """Whether this very push waits."""
        return any(item is push for item in tuple(self.items))

    def oldest(self) -> Push | None:
        """Return the push that a consumer gets next and leave it where it is; None where there is none."""
        if self.runs is not None:
            return self.runs.oldest()
        try:
            return cast("Push", self.items[0])
        except IndexError:
            return None

    def _take_of_runs(self) -> Push:
        assert self.runs is not None
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    for push in self.runs.source():  # noqa: B007
                        break
                    if isinstance(push, Waiting):  # another consumer has taken what was before it, just now
                        self.items.appendleft(push)
                        push = None
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]

    def _has_room(self, count: int) -> bool:
        """Whether there is room for so many more, having looked at how many are there."""
        with self._lock:
            if self.runs is not None:
                self.runs.first()  # away with those of which all is gone: they are items, and nothing inside
            size = self.size()
            self._inside = max(0, size - len(self.items))
            return size + count <= self._maxsize

    def _woken(self) -> bool:
        """Release the waiters' first; return whether all who ever wait here are one thread."""
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

    def call(self, gate: Gate) -> None:
        """Have a gate released once, as soon as there is something to do for a consumer; never waits."""
        self._consumer = _SEVERAL  # who comes back at some time, on any thread
        self.waiters.append(gate)
        if self.size() or ((self.finished or self.alert) and self.ready()):
            self.wake()

    @holds_nothing
    def wait(self, timeout: float | None) -> bool:
        """Wait for a message, a notice or the end, at most `timeout` seconds; return whether there may be one."""
        me = threading.get_ident()
        if self._consumer != me:
            self._consumer = me if self._consumer == _NOBODY else _SEVERAL
        if (baton := self.baton) is not None:
            if self._consumer == me and not baton.over:
                return baton.read(timeout) or self.ready()
            baton.give_back()
            self.baton = None
        gate = threading.Lock()
        gate.acquire()
        seconds = -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))
        released = False
        try:
            self.waiters.append(gate)
            if self.ready() or self.baton is not None:
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

    def accept(self, baton: Baton) -> None:
        """Have the consumer read the socket itself."""
        self.baton = baton
        if self.waiters:
            self.wake()  # it is back already

    def room(self) -> float:
        """Return how many more pushes it takes without dropping one."""
        return self._maxsize - len(self)

    def ready(self) -> bool:
        """Whether a consumer has something to do."""
        return bool(self.size() or self.finished or self._notices)

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
            if self.size() >= self._maxsize:
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
        message = self.opener.open(push)
        return None if message is None else message.with_lost(self._missing + message.lost)

    def _drop(self, push: Push) -> None:
        """Count a dropped message (under the lock)."""
        self._missing += absence(push)
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

    @holds_nothing
    def put(self, push: Push) -> bool:
        message = self.opener.open(push)
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

    @holds_nothing
    def put_many(self, pushes: Pushes) -> None:
        self.calling = True
        for message in self.opener.each(pushes):
            if self.finished:
                break
            try:
                self.callback(message)
            except BaseException as error:
                self._failed(error)
        self.called()


def uncalled(_: Message) -> None:
    """Be called in the place of a callback that is not to be called any more."""


def absence(push: Push) -> int:
    """Return how many messages are missing where a push is: itself, and those that it says are missing before it."""
    return 1 if isinstance(push, Sealed) else 1 + push.lost
