"""Detect subscriptions that get no messages. KuCoin confirms symbols that do not exist and then sends nothing.

A stream starts a thread for this with its first watched subscription. An I/O thread cannot do it: while it dials, waits
for its next attempt or resolves a name, no messages come and the watch matters most.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from ..events import Stale
from ..internal.guard import guarded
from ..internal.resources import start_thread
from ..internal.timed_queue import TimedQueue
from .subscription import Subscription

__all__ = ["SilenceThread", "SilenceWatch"]

_RETRY_DELAY = 1.0
"""Seconds until the next check after one that has raised."""


class SilenceThread:
    """A thread that calls a check whenever it is due.

    Args:
        check: takes the time, returns the time of the next check; called on the thread.
        name: of the thread.
        purpose: what is not done if the check raises, for the log.
    """

    def __init__(
        self,
        check: Callable[[float], float],
        *,
        name: str,
        purpose: str = "subscriptions could not be checked for silence",
    ) -> None:
        self._check = check
        self._name = name
        self._purpose = purpose
        self._wakes: TimedQueue[None] = TimedQueue()  # a finaliser may put an item, too
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def threads(self) -> list[threading.Thread]:
        """The thread if it was started, else nothing."""
        return [] if self._thread is None else [self._thread]

    def look(self) -> None:
        """Check now, because a watch was added; start the thread if needed. Not thread-safe.

        Raises:
            ConnectionFailed: the thread could not be started.
        """
        if self._thread is None:
            wanted = threading.Event()
            wanted.set()
            try:
                self._thread = start_thread(self._run, wanted, name=self._name)
            except BaseException:
                wanted.clear()  # an interrupted start may have left a running thread
                self._wakes.put(None)
                raise
        else:
            self._wakes.put(None)

    def close(self) -> None:
        """Tell the thread to end. Does not join it."""
        self._closed = True
        self._wakes.put(None)

    def _run(self, wanted: threading.Event) -> None:
        while not self._closed and wanted.is_set():
            now = time.monotonic()
            at = now + _RETRY_DELAY
            with guarded(self._purpose):
                at = self._check(now)
            try:
                self._wakes.get(timeout=at - time.monotonic())
            except queue.Empty:
                pass  # the next check is due


class SilenceWatch:
    """Reports once per episode that a subscription got no message for `seconds`."""

    def __init__(self, subscription: Subscription, seconds: float, now: float) -> None:
        self.subscription = subscription
        self._seconds = seconds
        self._since = now
        self._told = False
        self._heard = False
        subscription.notify(self._note)

    def begin(self, now: float) -> None:
        """Start the time at `now`."""
        self._since, self._told, self._heard = now, False, False

    @property
    def check_at(self) -> float:
        """The time at which `check` may return an event."""
        return self._since + self._seconds

    def check(self, now: float) -> Stale | None:
        """Return a `Stale` event if one is due at `now`, else None."""
        if self._heard:
            # To keep delivery fast, the time of the last message is not recorded. The time restarts at this check.
            self._heard, self._told, self._since = False, False, now
            return None
        if now < self.check_at:
            return None
        silent, self._since = self._seconds, now
        if self._told or self.subscription.closed:
            return None
        self._told = True
        return Stale(self.subscription.topics, silent)

    def _note(self) -> None:
        self._heard = True
