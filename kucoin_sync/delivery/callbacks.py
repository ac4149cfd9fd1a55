"""Runs users' callbacks and `on_event` on an executor's threads, never on an I/O thread.

A subscription with a callback is a job that calls it with a few messages each run, so that a busy topic does not
starve the others. All events are one job, which goes before the others. See `executor` for what runs at a time.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..events import CallbackFailed, CallbackSlow, Event
from ..exceptions import StreamClosed
from ..internal.guard import log
from ..internal.signals import holds_no_lock
from .executor import Executor, Job, Worker
from .subscription import Subscription

__all__ = ["Callbacks", "check_callback", "held_by"]

_ROUND = 16
_SLOW_AFTER = 0.05
_WARN_AFTER = 1.0

_ASYNC = "nobody would await it; give a plain function, which may hand what it gets to your event loop"
_USELESS = (
    (inspect.iscoroutinefunction, "an async function", _ASYNC),
    (inspect.isasyncgenfunction, "an async generator", _ASYNC),
    (inspect.isgeneratorfunction, "a generator", "calling it does nothing; give a plain function"),
)


def check_callback(name: str, callback: object) -> None:
    """Raise TypeError if a callback is neither None nor a function that does something when it is called."""
    if callback is None:
        return
    if not callable(callback):
        raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
    for is_useless, kind, reason in _USELESS:
        if is_useless(callback) or is_useless(type(callback).__call__):
            raise TypeError(f"{name} is {kind}: {reason}")


class _Owner(Protocol):
    _on_event: Callable[[Event], object] | None


def held_by(owner: _Owner, on_event: Callable[[Event], object] | None) -> Callable[[Event], object] | None:
    """Have `owner` hold `on_event`; return a function that calls it, and that keeps neither alive.

    `on_event` may be a method of an object that holds `owner`. Then threads that hold it would keep both alive.
    """
    check_callback("on_event", on_event)
    owner._on_event = on_event
    return None if on_event is None else partial(_call_of, weakref.ref(owner))


@holds_no_lock
def _call_of(reference: weakref.ref[_Owner], event: Event) -> None:
    owner = reference()
    if owner is not None and owner._on_event is not None:
        owner._on_event(event)


class _CallbackJob(Job):
    """Calls a subscription's callback. The message queue releases the job when there is something to do."""

    def __init__(self, callbacks: Callbacks, subscription: Subscription) -> None:
        self._callbacks = callbacks
        self._executor = callbacks.executor
        self._message_queue = subscription.message_queue
        self.subscription = subscription

    def release(self) -> None:
        self._executor.put(self)

    @holds_no_lock
    def run_job(self, worker: Worker) -> bool:
        """Call the callback with a few messages, and wait for others when there are none."""
        message_queue = self._message_queue
        message_queue.calling = True
        for message in message_queue.take_messages(_ROUND if worker.is_active else 0):
            try:
                message_queue.callback(message)  # looked up each time: it may have been taken away
            except BaseException as error:  # sys.exit(), too, must not end everybody's callbacks
                self._callbacks.failed(self.subscription, error)
            if not worker.is_active:
                break
        message_queue.called()
        if self._executor.closed:
            return False
        if message_queue.has_messages():
            return True
        self.wait()
        return False

    def wait(self) -> None:
        """Have the job put when there is a message, unless none will come."""
        message_queue = self._message_queue
        while message_queue.alert and (notice := message_queue.notice()) is not None:
            log(logging.WARNING, "%s", notice)
        if not message_queue.finished or len(message_queue):
            message_queue.call(self)

    def took_long(self, seconds: float) -> None:
        self._callbacks.emit(CallbackSlow(self.subscription.topics, seconds))


class _EventJob(Job):
    """Calls `on_event` with one event after the other."""

    def __init__(self, on_event: Callable[[Event], object], executor: Executor) -> None:
        self._on_event = on_event
        self._executor = executor
        self.waiting: deque[Event] = deque()
        self._is_put = threading.Lock()  # held while the job waits or runs; nothing waits for it

    def add(self, *events: Event) -> None:
        """Have `on_event` called with events after those before them."""
        self.waiting.extend(events)
        if self.waiting and self._is_put.acquire(blocking=False):
            self._executor.put(self, first=True)

    @holds_no_lock
    def run_job(self, worker: Worker) -> bool:
        """Call `on_event` with all events that wait, also at the end of the stream."""
        while self.waiting and (worker.is_active or self._executor.closed):
            event = self.waiting.popleft()
            try:
                self._on_event(event)
            except BaseException as error:
                log(logging.ERROR, "on_event raised for %r", event, error=error)
        self._is_put.release()
        self.add()  # those that came just now
        return False

    def took_long(self, seconds: float) -> None:
        log(logging.WARNING, "on_event has been running for %.1f s; further events wait until it returns", seconds)


class Callbacks:
    """Runs callbacks and `on_event` on threads named `kucoin-callbacks`, one at a time unless one takes long.

    Args:
        on_event: called with each event, or None.
        slow_after: seconds after which the others go on beside a callback.
        warn_after: seconds after which it is reported to the user.
        label: what the names of the stream's threads end with; "" for nothing.
    """

    def __init__(
        self,
        on_event: Callable[[Event], object] | None,
        slow_after: float = _SLOW_AFTER,
        warn_after: float = _WARN_AFTER,
        *,
        label: str = "",
    ) -> None:
        check_callback("on_event", on_event)
        self.label = label
        self._on_event = on_event
        self._limits = (slow_after, warn_after)
        self._begin()

    def _begin(self) -> None:
        self.executor = Executor(f"kucoin-callbacks{self.label}", *self._limits, self.emit)
        self._events = None if self._on_event is None else _EventJob(self._on_event, self.executor)

    def after_fork(self) -> None:
        """Begin again in a forked child; no callback runs until `serve`."""
        self.executor.after_fork()
        if self._events is not None:
            self._events.waiting.clear()
        self._begin()

    def emit(self, event: Event) -> None:
        """Log an event and have `on_event` called with it; never waits."""
        log(event.level, "%s", event)
        if self._events is not None and not self.executor.closed:
            self._events.add(event)
            self.executor.start()

    def retry(self, now: float) -> float:
        """Try again to start a thread if there was none for events; return when to call this again."""
        return self.executor.retry(now)

    def prepare(self, *subscriptions: Subscription) -> Callable[[], None]:
        """Return what runs the subscriptions' callbacks for their messages, from when it is called; it does not fail.

        Raises:
            ConnectionFailed: no thread could be started for them.
        """
        if subscriptions and (shortage := self.executor.start()) is not None:
            raise shortage
        jobs = [_CallbackJob(self, subscription) for subscription in subscriptions]

        def serve() -> None:
            for job in jobs:
                job.wait()

        return serve

    def serve(self, subscription: Subscription) -> None:
        """Run the subscription's callback for its messages from now on; if `prepare` fails, close the subscription."""
        try:
            self.prepare(subscription)()
        except BaseException:
            subscription.close()
            raise

    def failed(self, subscription: Subscription, error: BaseException) -> None:
        """Report what a callback raised, unless the end of the stream is the reason."""
        if self.closed and isinstance(error, StreamClosed):
            return
        log(logging.ERROR, "a callback of %r raised", subscription, error=error)
        self.emit(CallbackFailed(subscription.topics, error))

    def close(self) -> None:
        """Let the threads end after the callback that they are in."""
        self.executor.close()

    @property
    def closed(self) -> bool:
        """Whether no callback is run any more."""
        return self.executor.closed

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that end soon after `close`; none if they were never needed."""
        return self.executor.threads
