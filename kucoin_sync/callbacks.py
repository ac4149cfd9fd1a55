"""The thread that runs users' callbacks, so that a slow one never stops an I/O thread.

One thread for all callbacks of a stream, started with the first; it serves ready subscriptions in turn, a
few messages each, so that a busy topic does not starve the others. Events go first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from .events import CallbackFailed, CallbackSlow, Event
from .subscription import Subscription

__all__ = ["Callbacks"]

_TURN = 64
_SLOW = 1.0
_log = logging.getLogger("kucoin_sync")


class _Ready:
    """The gate of a subscription with a callback: its release puts the subscription in line."""

    __slots__ = ("_callbacks", "subscription", "told_slow")

    def __init__(self, callbacks: Callbacks, subscription: Subscription) -> None:
        self._callbacks = callbacks
        self.subscription = subscription
        self.told_slow = False

    def release(self) -> None:
        self._callbacks.ready(self)


class Callbacks:
    """Runs callbacks and `on_event` on the thread `kucoin-callbacks`.

    `_line` and `_events` are deques, appended to by any thread and taken from by the callback thread alone;
    `_wanted` is a semaphore of one that says there is something in either.
    """

    def __init__(self, on_event: Callable[[Event], object] | None) -> None:
        self._on_event = on_event
        self._line: deque[_Ready] = deque()
        self._events: deque[Event] = deque()
        self._wanted = threading.Event()
        self._closed = False
        self._starting = threading.Lock()  # guards _thread
        self._thread: threading.Thread | None = None

    def emit(self, event: Event) -> None:
        """Log an event and have `on_event` called with it; never waits."""
        _log.log(event.level, "%s", event)
        if self._on_event is not None and not self._closed:
            self._events.append(event)
            self._start()
            self._wanted.set()

    def serve(self, subscription: Subscription) -> None:
        """Run the subscription's callback for its messages from now on."""
        self._start()
        self._arm(_Ready(self, subscription))

    def ready(self, gate: _Ready) -> None:
        """Put a subscription with messages in line; called from I/O threads."""
        self._line.append(gate)
        self._wanted.set()

    def close(self) -> None:
        """Let the thread end after the callback it is in."""
        self._closed = True
        self._wanted.set()

    @property
    def thread(self) -> threading.Thread | None:
        """The callback thread, None while there was no need of one."""
        return self._thread

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="kucoin-callbacks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._events or (self._line and not self._closed):
                while self._events:
                    self._call_on_event(self._events.popleft())
                if self._line and not self._closed:
                    self._turn(self._line.popleft())
            if self._closed:
                return

    def _turn(self, gate: _Ready) -> None:
        """Serve a few messages of one subscription, then put it back: in line, or to wait for more."""
        subscription = gate.subscription
        pop, callback = subscription.inbox.pop, subscription.callback
        assert callback is not None
        for _ in range(_TURN):
            try:
                message = pop()
            except IndexError:
                break
            started = time.monotonic()
            try:
                callback(message)
            except (Exception, SystemExit) as error:  # sys.exit() must not end everybody's callbacks
                self.failed(subscription, error)
            self._check_pace(gate, time.monotonic() - started)
            if self._closed:
                return
        if len(subscription.inbox):
            self._line.append(gate)
        else:
            self._arm(gate)

    def _arm(self, gate: _Ready) -> None:
        inbox = gate.subscription.inbox
        while (notice := inbox.notice()) is not None:
            _log.warning("%s", notice)
        if inbox.finished and not len(inbox):
            return
        inbox.waiters.append(gate)
        if inbox.ready():
            inbox.wake()

    def failed(self, subscription: Subscription, error: BaseException) -> None:
        """Report what a callback raised."""
        _log.error("a callback of %r raised", subscription, exc_info=error)
        self.emit(CallbackFailed(subscription.topics, error))

    def _check_pace(self, gate: _Ready, seconds: float) -> None:
        if seconds >= _SLOW and not gate.told_slow:
            gate.told_slow = True
            self.emit(CallbackSlow(gate.subscription.topics, seconds))

    def _call_on_event(self, event: Event) -> None:
        assert self._on_event is not None
        try:
            self._on_event(event)
        except (Exception, SystemExit):
            _log.exception("on_event raised for %r", event)
