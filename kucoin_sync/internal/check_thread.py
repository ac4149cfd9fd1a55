"""A thread that makes a check whenever it is due: for silence, for missed messages, for snapshots."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .flag import Flag
from .guard import guarded
from .resources import start_thread
from .timed_queue import TimedQueue

__all__ = ["CheckThread"]

_RETRY_DELAY = 1.0
"""Seconds until the next check after one that has raised."""
_LATE, _CATCH_UP = 0.5, 0.25
"""Seconds by which a check is late if the process was paused, and seconds that the other threads get before it then."""


class CheckThread:
    """A thread that calls a check; it starts with the first `look`, and with the first one after `rest`.

    Args:
        check: takes the time, returns the time of the next check; called on the thread.
        name: of the thread.
        purpose: what is not done if the check raises, for the log.
    """

    def __init__(self, check: Callable[[float], float], *, name: str, purpose: str) -> None:
        self._check = check
        self._name = name
        self._purpose = purpose
        self._thread: threading.Thread | None = None
        # Of the last thread: whether it is wanted, and what wakes it; a finaliser may put an item, too.
        self._wanted = Flag()
        self._wakes: TimedQueue[None] = TimedQueue()
        self._closed = False

    @property
    def threads(self) -> list[threading.Thread]:
        """The thread if it was started, else nothing."""
        return [] if self._thread is None else [self._thread]

    def look(self) -> None:
        """Check now; start the thread if needed. Not thread-safe.

        Raises:
            ConnectionFailed: the thread could not be started.
        """
        if self._wanted.is_set():
            self._wakes.put(None)
            return
        self._wanted, self._wakes = wanted, wakes = Flag(), TimedQueue[None]()
        try:
            wanted.set()
            self._thread = start_thread(self._run, wanted, wakes, name=self._name)
        except BaseException:
            self.rest()  # an interrupted start may have left a running thread
            raise

    def rest(self) -> None:
        """Let the thread end until the next `look`. Not thread-safe."""
        self._wanted.clear()
        self._wakes.put(None)

    def close(self) -> None:
        """Tell the thread to end. Does not join it."""
        self._closed = True
        self._wakes.put(None)

    def _run(self, wanted: Flag, wakes: TimedQueue[None]) -> None:
        while not self._closed and wanted.is_set():
            now = time.monotonic()
            at = now + _RETRY_DELAY
            with guarded(self._purpose):
                at = self._check(now)
            try:
                wakes.get(timeout=at - time.monotonic())
            except queue.Empty:
                if time.monotonic() - at > _LATE:  # what has come during a pause is to be received before the check
                    with suppress(queue.Empty):
                        wakes.get(timeout=_CATCH_UP)
