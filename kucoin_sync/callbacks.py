"""Runs users' callbacks, so that a slow one never stops an I/O thread.

One thread for all callbacks of a stream, started with the first; it serves ready subscriptions in turn, a few messages
each, so that a busy topic does not starve the others. Events go first. A callback that takes long stays alone with
its thread: another one serves the other subscriptions (see `turns`). While it goes on to take long, it is served
beside them, in a line for slow ones, so that it holds them up once and not again and again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from .events import CallbackFailed, CallbackSlow, Event
from .exceptions import ConnectionFailed
from .guard import log
from .interruption import holds_nothing
from .sealed import Push
from .subscription import Subscription
from .turns import Turns, Worker

__all__ = ["Callbacks"]

_TURN = 16
_PATIENCE = 0.05
"""Seconds for a turn after which the others go on beside it; below, a slow callback is in one line with them again."""

_SLOW = 1.0
"""Seconds after which it is told, too."""


class _Slowness:
    """That somebody takes long: news once, to one thread, after a turn of at least `slow` seconds."""

    __slots__ = ("_slow", "_told")

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._told = threading.Lock()  # taken for good by whoever tells; nobody ever waits for it

    def is_news(self, seconds: float) -> bool:
        """Return whether a turn of so many seconds has to be told."""
        return seconds >= self._slow and self._told.acquire(blocking=False)


class _Ready:
    """The gate of a subscription with a callback: its release puts the subscription in line."""

    __slots__ = ("_callbacks", "_inbox", "_slowness", "_turns", "subscription")

    def __init__(self, callbacks: Callbacks, subscription: Subscription) -> None:
        self._inbox = subscription.inbox
        self._callbacks = callbacks
        self._turns = callbacks.turns
        self._slowness = _Slowness(callbacks.slow)
        self.subscription = subscription

    def release(self) -> None:
        self._turns.put(self)

    @holds_nothing
    def take_turn(self, worker: Worker) -> None:
        """Serve a few messages, then stand in line again, or wait for more."""
        inbox = self._inbox
        began = 0.0 if self._turns is self._callbacks.turns else time.monotonic()
        pushes: Iterator[Push] = islice(iter(inbox.take, None), min(_TURN, inbox.size()) if worker.leads else 0)
        inbox.calling = True
        try:
            for message in inbox.opener.each(pushes):
                try:
                    inbox.callback(message)  # looked up each time: it may have been taken away
                except BaseException as error:  # sys.exit(), too, must not end everybody's callbacks
                    self._callbacks.failed(self.subscription, error)
                if not worker.leads:
                    break
        except IndexError:
            pass  # the subscription has another consumer beside its callback
        inbox.called()
        if self._turns.closed:
            return
        if began and time.monotonic() - began < self._callbacks.patience:
            self._turns = self._callbacks.turns
        if inbox.size():
            self._turns.put(self)
        elif inbox.alert or inbox.finished:
            self.arm()
        else:
            inbox.call(self)

    def arm(self) -> None:
        """Wait for the next message."""
        inbox = self.subscription.inbox
        while inbox.alert and (notice := inbox.notice()) is not None:
            log(logging.WARNING, "%s", notice)
        if inbox.finished and not len(inbox):
            return
        inbox.call(self)

    def took_long(self, seconds: float) -> None:
        callbacks = self._callbacks
        self._turns = callbacks.beside
        try:
            callbacks.beside.start()
        except ConnectionFailed as error:
            self._turns = callbacks.turns  # in one line with the others again
            callbacks.beside.pass_on(callbacks.turns)
            callbacks.beside.tell_shortage(error)
        if self._slowness.is_news(seconds):
            self._callbacks.emit(CallbackSlow(self.subscription.topics, seconds))


class _Events:
    """What `on_event` is to be called with; in line while there is something."""

    def __init__(self, on_event: Callable[[Event], object], turns: Turns, slow: float) -> None:
        self._on_event = on_event
        self._turns = turns
        self._slowness = _Slowness(slow)
        self._lock = threading.Lock()  # guards the following
        self._waiting: deque[Event] = deque()
        self._in_line = False  # or having its turn

    def put(self, event: Event) -> None:
        """Have `on_event` called with an event after those before it."""
        with self._lock:
            self._waiting.append(event)
            if self._in_line:
                return
            self._in_line = True
        self._turns.put_first(self)

    def abandon(self) -> None:
        """Forget in a forked child what the parent has yet to tell."""
        self._lock = threading.Lock()
        self._waiting.clear()

    def take_turn(self, worker: Worker) -> None:
        """Call `on_event` for all that there is, at the end of the stream, too."""
        while True:
            if not worker.leads and not self._turns.closed:
                self._turns.put_first(self)
                return
            with self._lock:
                if not self._waiting:
                    self._in_line = False
                    return
                event = self._waiting.popleft()
            try:
                self._call(event)
            except BaseException as error:
                log(logging.ERROR, "on_event raised for %r", event, error=error)

    @holds_nothing
    def _call(self, event: Event) -> None:
        self._on_event(event)

    def took_long(self, seconds: float) -> None:
        if self._slowness.is_news(seconds):
            log(logging.WARNING, "on_event has been running for %.1f s; further events wait until it returns", seconds)


class Callbacks:
    """Runs callbacks and `on_event` on the thread `kucoin-callbacks`, one at a time unless one takes long.

    Args:
        on_event: called with each event, or None.
        patience: seconds after which callbacks that keep the others waiting are left to themselves.
        slow: seconds after which that is told.
    """

    def __init__(
        self, on_event: Callable[[Event], object] | None, patience: float = _PATIENCE, slow: float = _SLOW
    ) -> None:
        self.patience = patience
        self.slow = slow
        self._on_event = on_event
        self._begin()

    def _begin(self) -> None:
        self.turns = Turns("kucoin-callbacks", self.patience, self.slow, self.emit)
        self.beside = Turns("kucoin-callbacks-slow", self.slow, self.slow, self.emit)  # for callbacks that take long
        self._events = None if self._on_event is None else _Events(self._on_event, self.turns, self.slow)

    def renew(self) -> None:
        """Begin again in a forked child; nobody is served until `serve`."""
        self.turns.abandon()
        self.beside.abandon()
        if self._events is not None:
            self._events.abandon()
        self._begin()

    def emit(self, event: Event) -> None:
        """Log an event and have `on_event` called with it; never waits."""
        log(event.level, "%s", event)
        if self._events is not None and not self.turns.closed:
            self._events.put(event)
            self.turns.start_soon()

    def prepare(self, subscription: Subscription) -> Callable[[], None]:
        """Return what runs the subscription's callback for its messages, from when it is called; it does not fail.

        Raises:
            ConnectionFailed: there was no thread to be had for it.
        """
        self.turns.start()
        return _Ready(self, subscription).arm

    def serve(self, subscription: Subscription) -> None:
        """Run the subscription's callback for its messages from now on."""
        _Ready(self, subscription).arm()
        self.turns.start_soon()

    def failed(self, subscription: Subscription, error: BaseException) -> None:
        """Report what a callback raised."""
        log(logging.ERROR, "a callback of %r raised", subscription, error=error)
        self.emit(CallbackFailed(subscription.topics, error))

    def close(self) -> None:
        """Let the threads end after the callback that they are in."""
        self.turns.close()
        self.beside.close()

    @property
    def closed(self) -> bool:
        """Whether no callback is run any more."""
        return self.turns.closed

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that end soon after `close`, none while there was no need of them."""
        return [*self.turns.threads, *self.beside.threads]
