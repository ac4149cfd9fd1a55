"""The bounded queues between the I/O threads and the consumers of a subscription, one class per overflow policy.

I/O threads `put`, consumers `pop`; neither ever waits for the other. A consumer that finds nothing waits in
`wait`; a `put` wakes one waiter, and only if there is one. `collections.deque` makes both ends atomic, so the
common path takes no lock; the lock is for the uncommon one: a full queue, a notice, the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .messages import Message

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
    """

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        self.items: deque[Message] = deque()
        self.waiters: deque[Gate] = deque()
        self.dropped = 0
        self.alert = False
        self.finished = False
        self.error: Exception | None = None
        self.pop: Callable[[], Message] = self.items.popleft
        self._maxsize = maxsize
        self._on_overflow = on_overflow
        self._lock = threading.Lock()  # guards _missing, _congested, _full, _notices, dropped
        self._missing = 0  # dropped since the last message that was accepted
        self._congested = False  # the next put has to take the lock
        self._full = False  # an episode of overflow is under way
        self._notices: deque[Exception] = deque()

    def __len__(self) -> int:
        return len(self.items)

    def put(self, message: Message) -> None:
        """Queue a message for the consumer; never waits."""
        if self._congested or len(self.items) >= self._maxsize:
            accepted = self._put_congested(message)
            if accepted is None:
                return
            message = accepted
        self.items.append(message)
        if self.waiters:
            self.wake()

    def put_many(self, messages: list[Message]) -> None:
        """Queue several messages at once."""
        if self._congested or len(self.items) + len(messages) > self._maxsize:
            for message in messages:
                self.put(message)
            return
        self.items.extend(messages)
        for _ in messages:
            if not self.waiters:
                return
            self.wake()

    def wake(self) -> None:
        """Release one waiter."""
        try:
            gate = self.waiters.popleft()
        except IndexError:
            return  # it was just released by another thread
        gate.release()

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

    def ready(self) -> bool:
        """Whether a consumer has something to do."""
        return bool(len(self) or self.finished or self._notices)

    def notice(self) -> Exception | None:
        """Return, once, what the consumer must be told when it has taken all that was queued."""
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

    def _put_congested(self, message: Message) -> Message | None:
        with self._lock:
            if len(self.items) >= self._maxsize:
                self._drop()
                return None
            return self._accept(message)

    def _accept(self, message: Message) -> Message:
        """Let a message in after others were dropped (under the lock)."""
        missing, self._missing = self._missing, 0
        self._congested = self._full = False
        return message.with_lost(missing) if missing else message

    def _drop(self) -> None:
        """Count a dropped message (under the lock)."""
        self._missing += 1
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

    def _put_congested(self, message: Message) -> Message | None:
        with self._lock:
            if self._full or len(self.items) >= self._maxsize:
                self._drop()
                self.alert = True
                return None
            return self._accept(message)


class _OneByOneInbox(Inbox):
    """An inbox in which each message has to be looked at."""

    def put_many(self, messages: list[Message]) -> None:
        for message in messages:
            self.put(message)


class _OldestInbox(_OneByOneInbox):
    """Policy "drop_oldest": a full queue makes room at its front. Both ends take the lock, to place `lost` exactly."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self.pop = self._pop

    def put(self, message: Message) -> None:
        with self._lock:
            if len(self.items) >= self._maxsize:
                self.items.popleft()
                self._drop()
            self.items.append(message)
        if self.waiters:
            self.wake()

    def _pop(self) -> Message:
        with self._lock:
            message = self.items.popleft()
            return self._accept(message) if self._congested else message


class _LatestInbox(_OneByOneInbox):
    """Policy "latest": one message per topic and subject, the newest, in the place of the one it supersedes."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._newest: dict[tuple[str | None, str | None], Message] = {}
        self._superseded: dict[tuple[str | None, str | None], int] = {}
        self.pop = self._pop

    def __len__(self) -> int:
        return len(self._newest)

    def put(self, message: Message) -> None:
        with self._lock:
            kept = self._keep(message)
        if kept and self.waiters:
            self.wake()

    def put_many(self, messages: list[Message]) -> None:
        """Queue the newest of several messages of one kind; what it supersedes among them is only counted."""
        newest = messages[-1]
        if any(message.subject != newest.subject or message.topic != newest.topic for message in messages):
            super().put_many(messages)
            return
        with self._lock:
            kept = self._keep(newest, len(messages) - 1)
        if kept and self.waiters:
            self.wake()

    def _keep(self, message: Message, older: int = 0) -> bool:
        """Keep a message that stands for `older` ones before it, too (under the lock); False where it has no room."""
        key = (message.topic, message.subject)
        if key in self._newest:
            older += 1
        elif len(self._newest) >= self._maxsize:
            for _ in range(older + 1):
                self._drop()
            return False
        if older:
            self._superseded[key] = self._superseded.get(key, 0) + older
            self.dropped += older
        self._newest[key] = message
        return True

    def _pop(self) -> Message:
        with self._lock:
            if not self._newest:
                raise IndexError
            key = next(iter(self._newest))
            message = self._newest.pop(key)
            lost = self._superseded.pop(key, 0) + self._missing
            self._missing, self._full, self._congested = 0, False, False
            return message.with_lost(lost) if lost else message


class InlineInbox(_OneByOneInbox):
    """No queue: the callback runs where the message arrives, on the I/O thread."""

    def __init__(self, callback: Callable[[Message], object], failed: Callable[[BaseException], None]) -> None:
        super().__init__(1, lambda dropped: None)
        self._callback = callback
        self._failed = failed

    def put(self, message: Message) -> None:
        if self.finished:
            return
        try:
            self._callback(message)
        except (Exception, SystemExit) as error:  # sys.exit() must not end the I/O thread
            self._failed(error)


OVERFLOW = ("raise", "drop_oldest", "drop_newest", "latest")


def inbox_for(
    overflow: str, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception]
) -> Inbox:
    """Return the inbox of a policy; `error` makes what the consumer is told of an overflow under "raise"."""
    if overflow == "raise":
        return _RaisingInbox(maxsize, on_overflow, error)
    return {"drop_oldest": _OldestInbox, "drop_newest": Inbox, "latest": _LatestInbox}[overflow](maxsize, on_overflow)
