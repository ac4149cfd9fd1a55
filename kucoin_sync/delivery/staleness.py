"""A watch over subscriptions that stay silent: KuCoin confirms symbols that do not exist, and sends nothing.

It has a thread of its own, which a stream starts with its first watched subscription. No other thread will do: an I/O
thread may be dialling, waiting for its next attempt, or inside the system's name resolution, and then most of all
nothing comes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from ..events import Stale
from ..internal.guard import guarded
from ..internal.resources import start_thread
from ..protocol.envelopes import Push, Pushes
from .subscription import Subscription

__all__ = ["SilenceThread", "SilenceWatch"]

_AGAIN = 1.0
"""Seconds until the next look after one that has failed."""


class SilenceThread:
    """Looks for silence whenever it is time.

    Args:
        check: looks, and returns the instant at which to look again; called on the thread.
    """

    def __init__(self, check: Callable[[float], float]) -> None:
        self._check = check
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()  # as a finaliser may put something, too
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def threads(self) -> list[threading.Thread]:
        """The thread, where there is one."""
        return [] if self._thread is None else [self._thread]

    def look(self) -> None:
        """Look now, for there is another watch; not to be called by two threads at a time.

        Raises:
            ConnectionFailed: the thread could not be started.
        """
        if self._thread is None:
            wanted = threading.Event()
            wanted.set()
            try:
                self._thread = start_thread(self._run, wanted, name="kucoin-silence")
            except BaseException:
                wanted.clear()  # an interrupted start may have left a running thread
                self._wakes.put(None)
                raise
        else:
            self._wakes.put(None)

    def close(self) -> None:
        """Let the thread end. Does not wait for it."""
        self._closed = True
        self._wakes.put(None)

    def _run(self, wanted: threading.Event) -> None:
        while not self._closed and wanted.is_set():
            now = time.monotonic()
            at = now + _AGAIN
            with guarded("subscriptions could not be checked for silence"):
                at = self._check(now)
            try:
                self._wakes.get(timeout=min(max(0.0, at - time.monotonic()), threading.TIMEOUT_MAX))
            except queue.Empty:
                pass  # it is time


class SilenceWatch:
    """Tells once per episode that nothing came for `seconds`; stands between routing and the subscription's inbox."""

    def __init__(self, subscription: Subscription, seconds: float, now: float) -> None:
        self.subscription = subscription
        self._seconds = seconds
        self._since = now
        self._told = False
        self._heard = False
        self._put = subscription.put
        self._put_many = subscription.put_many
        subscription.put = self._note
        subscription.put_many = self._note_many

    def begin(self, now: float) -> None:
        """Begin to count the time at `now`."""
        self._since, self._told, self._heard = now, False, False

    @property
    def check_at(self) -> float:
        """The instant at which `check` may have something to say."""
        return self._since + self._seconds

    def check(self, now: float) -> Stale | None:
        """Return the event to tell at `now`, None where there is none."""
        if self._heard:
            # When exactly the last message came is not kept, to keep its path short: the time starts again now.
            self._heard, self._told, self._since = False, False, now
            return None
        if now < self.check_at:
            return None
        silent, self._since = self._seconds, now
        if self._told or self.subscription.closed:
            return None
        self._told = True
        return Stale(self.subscription.topics, silent)

    def _note(self, push: Push) -> bool:
        self._heard = True
        return self._put(push)

    def _note_many(self, pushes: Pushes) -> bool:
        self._heard = True
        return self._put_many(pushes)
