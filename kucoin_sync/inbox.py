"""The bounded queues between the I/O threads and the consumers of a subscription, one class per overflow policy.

I/O threads `put`, consumers `pop`; neither ever waits for the other. A consumer that finds nothing waits in
`wait`; a `put` wakes one waiter, and only if there is one. `collections.deque` makes both ends atomic, so the
common path takes no lock; the lock is for the uncommon one: a full queue, a notice, the end.

What is queued are pushes: sealed frames, which `pop` opens, and messages that were opened to be routed.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from . import forking
from .messages import Message
from .sealed import Opener, Push, Sealed, kind_of

__all__ = ["OVERFLOW", "Gate", "Inbox", "InlineInbox", "inbox_for"]


class Gate(Protocol):
    """What waits for a message: it is released once, by whoever puts one."""

    def release(self) -> None: ...


class Inbox:
    """Messages on their way to a consumer. Policy "drop_newest": a full queue takes no more.

    Attributes:
        dropped: messages dropped so far.
        alert: `notice` may have something to say.
        finished: nothing more will be put; what is queued can still be popped.
        error: with `finished`, why the subscription ended, None for a normal close.
        take: returns the next push as it is; raises IndexError where there is none.
        size: returns how many there are.
        opener: opens sealed ones.
        first_use: in a forked child, called before a consumer first looks for messages.
    """

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        self.items: deque[Push] = deque()
        self.waiters: deque[Gate] = deque()
        self.dropped = 0
        self.alert = False
        self.finished = False
        self.error: Exception | None = None
        self.opener = Opener()
        self.take: Callable[[], Push] = self.items.popleft
        self.size: Callable[[], int] = self.items.__len__
        self._maxsize = maxsize
        self._on_overflow = on_overflow
        self._lock = threading.Lock()  # guards _missing, _congested, _full, _notices, dropped
        self._missing = 0  # dropped since the last message that was accepted
        self._congested = False  # the next put has to take the lock
        self._full = False  # an episode of overflow is under way
        self._notices: deque[Exception] = deque()
        self.first_use: Callable[[], None] | None = None
        forking.enrol(self)

    def forked(self) -> None:
        """Begin again in a forked child, empty: what waits here belongs to the parent.

        The queue stays the same object, because the thread that forked may be iterating over it.
        """
        self._lock = threading.Lock()
        self.items.clear()
        self.waiters.clear()
        self._notices.clear()
        self.dropped = self._missing = self.opener.unreadable = 0
        self._congested = self._full = False
        self.alert = self.first_use is not None

    def sleep(self, first_use: Callable[[], None]) -> None:
        """Have `first_use` called before a consumer first looks for messages."""
        self.first_use = first_use
        self.alert = True  # a consumer that finds nothing asks for a notice then

    def use(self) -> None:
        """Be about to be looked into."""
        first_use, self.first_use = self.first_use, None
        if first_use is not None:
            first_use()

    def __len__(self) -> int:
        return self.size()

    def put(self, push: Push) -> None:
        """Queue a push for the consumer; never waits."""
        if self._congested or len(self.items) >= self._maxsize:
            accepted = self._put_congested(push)
            if accepted is None:
                return
            push = accepted
        self.items.append(push)
        if self.waiters:
            self.wake()

    def put_many(self, pushes: Sequence[Push]) -> None:
        """Queue several pushes at once."""
        if self._congested or len(self.items) + len(pushes) > self._maxsize:
            for push in pushes:
                self.put(push)
            return
        self.items.extend(pushes)
        for _ in pushes:
            if not self.waiters:
                return
            self.wake()

    def pop(self) -> Message:
        """Return the next message; raise IndexError where there is none."""
        while True:
            message = self.opener.open(self.take())
            if message is not None:
                return message

    def oldest(self) -> Push | None:
        """Return the push that a consumer gets next and leave it where it is; None where there is none."""
        try:
            return self.items[0]
        except IndexError:
            return None

    def wake(self) -> None:
        """Release one waiter."""
        try:
            gate = self.waiters.popleft()
        except IndexError:
            return  # it was just released by another thread
        gate.release()

    def call(self, gate: Gate) -> None:
        """Have a gate released once, as soon as there is something to do for a consumer; never waits."""
        self.waiters.append(gate)
        if self.size() or ((self.finished or self.alert) and self.ready()):
            self.wake()

    def wait(self, timeout: float | None) -> bool:
        """Wait for a message, a notice or the end, at most `timeout` seconds; return whether there may be one."""
        gate = threading.Lock()
        gate.acquire()
        self.waiters.append(gate)
        seconds = -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))
        released = False
        try:
            if self.ready():
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
        with self._lock:
            if self.finished:
                return
            self.error = error
            self.finished = True
        while self.waiters:
            self.wake()

    def _put_congested(self, push: Push) -> Push | None:
        with self._lock:
            if len(self.items) >= self._maxsize:
                self._drop(push)
                return None
            return self._accept(push)

    def _accept(self, push: Push) -> Push | None:
        """Let a push in after others were dropped (under the lock); None where it can't be read."""
        if self._missing:
            message = self.opener.open(push)
            if message is None:
                return None
            push, self._missing = message.with_lost(self._missing + message.lost), 0
        self._congested = self._full = False
        return push

    def _drop(self, push: Push) -> None:
        """Count a dropped message (under the lock)."""
        self._missing += _absence(push)
        self.dropped += 1
        self._congested = True
        if not self._full:
            self._full = True
            self._on_overflow(self.dropped)


class _RaisingInbox(Inbox):
    """Policy "raise": once full, nothing more is taken until the consumer has drained it and been told."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception]) -> None:
        super().__init__(maxsize, on_overflow)
        self._make_error = error

    def notice(self) -> Exception | None:
        told = super().notice()
        if told is not None:
            return told
        with self._lock:
            if not self._full or self.items:
                return None
            self._full = False
            self.alert = bool(self._notices)
            return self._make_error(self._missing)

    def _untold(self) -> bool:
        return self._full

    def ready(self) -> bool:
        return self._full or super().ready()

    def _put_congested(self, push: Push) -> Push | None:
        with self._lock:
            if self._full or len(self.items) >= self._maxsize:
                self._drop(push)
                self.alert = True
                return None
            return self._accept(push)


class _OneByOneInbox(Inbox):
    """An inbox in which each push has to be looked at."""

    def put_many(self, pushes: Sequence[Push]) -> None:
        for push in pushes:
            self.put(push)


class _OldestInbox(_OneByOneInbox):
    """Policy "drop_oldest": a full queue makes room at its front. Both ends take the lock, to place `lost` exactly."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self.take = self._take

    def put(self, push: Push) -> None:
        with self._lock:
            if len(self.items) >= self._maxsize:
                self._drop(self.items.popleft())
            self.items.append(push)
        if self.waiters:
            self.wake()

    def _take(self) -> Push:
        with self._lock:
            while True:
                push = self.items.popleft()
                accepted = self._accept(push) if self._congested else push
                if accepted is not None:
                    return accepted


class _LatestInbox(_OneByOneInbox):
    """Policy "latest": one push per topic and subject, the newest, in the place of the one it supersedes."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._newest: dict[tuple[str | None, str | None], Push] = {}
        self._superseded: dict[tuple[str | None, str | None], int] = {}
        self.take = self._take
        self.size = self._newest.__len__

    def forked(self) -> None:
        super().forked()
        self._newest.clear()
        self._superseded.clear()

    def oldest(self) -> Push | None:
        with self._lock:
            return next(iter(self._newest.values()), None)

    def room(self) -> float:
        return math.inf  # whoever wants the newest only has nothing against dropping the others

    def put(self, push: Push) -> None:
        with self._lock:
            kept = self._keep(push)
        if kept and self.waiters:
            self.wake()

    def put_many(self, pushes: Sequence[Push]) -> None:
        """Queue the newest of several pushes of one kind; what it supersedes among them is only counted."""
        if len(set(map(kind_of, pushes))) > 1:
            super().put_many(pushes)
            return
        with self._lock:
            kept = self._keep(pushes[-1], pushes[:-1])
        if kept and self.waiters:
            self.wake()

    def _keep(self, push: Push, older: Sequence[Push] = ()) -> bool:
        """Keep a push that stands for `older` ones before it, too (under the lock); False where it has no room."""
        kind = kind_of(push)
        if kind in self._newest:
            older = (self._newest[kind], *older)
        elif len(self._newest) >= self._maxsize:
            for each in (*older, push):
                self._drop(each)
            return False
        if older:
            self._superseded[kind] = self._superseded.get(kind, 0) + sum(map(_absence, older))
            self.dropped += len(older)
        self._newest[kind] = push
        return True

    def _take(self) -> Push:
        with self._lock:
            while self._newest:
                kind = next(iter(self._newest))
                push = self._newest.pop(kind)
                self._missing += self._superseded.pop(kind, 0)
                accepted = self._accept(push)
                if accepted is not None:
                    return accepted
            raise IndexError


class InlineInbox(Inbox):
    """No queue: the callback runs where the message arrives, on the I/O thread."""

    def __init__(self, callback: Callable[[Message], object], failed: Callable[[BaseException], None]) -> None:
        super().__init__(1, lambda dropped: None)
        self._callback = callback
        self._failed = failed

    def room(self) -> float:
        return math.inf

    def put(self, push: Push) -> None:
        message = self.opener.open(push)
        if message is None or self.finished:
            return
        try:
            self._callback(message)
        except (Exception, SystemExit) as error:  # sys.exit() must not end the I/O thread
            self._failed(error)

    def put_many(self, pushes: Sequence[Push]) -> None:
        for message in self.opener.each(pushes):
            if self.finished:
                return
            try:
                self._callback(message)
            except (Exception, SystemExit) as error:
                self._failed(error)


def _absence(push: Push) -> int:
    """Return how many messages are missing where a push is: itself, and those that it says are missing before it."""
    return 1 if isinstance(push, Sealed) else 1 + push.lost


OVERFLOW = ("raise", "drop_oldest", "drop_newest", "latest")


def inbox_for(
    overflow: str, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception]
) -> Inbox:
    """Return the inbox of a policy; `error` makes what the consumer is told of an overflow under "raise"."""
    if overflow == "raise":
        return _RaisingInbox(maxsize, on_overflow, error)
    return {"drop_oldest": _OldestInbox, "drop_newest": Inbox, "latest": _LatestInbox}[overflow](maxsize, on_overflow)
