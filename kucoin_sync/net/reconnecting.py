"""A thread that has a connection, and the loop that makes it again until the thread is closed."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from ..exceptions import KucoinSyncError
from ..internal import backoff
from ..internal.guard import guarded
from ..internal.resources import acquiring, start_thread
from .waker import Cancelled, Waker

__all__ = ["Reconnecting"]

_STABLE_SECONDS = 30.0
"""A connection that lived this long resets the delays between attempts."""
_RESTART_DELAY = 1.0
"""Seconds before the loop begins again after an error that no attempt to connect has raised."""
_IDLE_WAIT = 3600.0


class Reconnecting:
    """Base class of objects with a connection and a thread that makes it again.

    The thread and its waker are acquired in the constructor, so that `start` cannot fail for lack of resources. The
    thread is idle until `start`.

    Attributes:
        begun: whether `start` was called.
    """

    begun = False
    _delays = 0.5, 60.0  # the shortest and the longest ceiling of the delays between attempts
    _connected_at: float | None = None  # when the current connection was made; None before that

    def _acquire_thread(self, *, name: str) -> None:
        """Create the waker and start the thread; the last step of a constructor.

        Raises:
            ConnectionFailed: the system refused a socket or a thread; nothing is left behind.
        """
        with acquiring("another connection"):
            self._waker = Waker()
        try:
            waker = self._waker
            found = weakref.WeakMethod(self._run, lambda _: waker.wake())
            self._thread = start_thread(_run_when_begun, found, waker, name=name)
        except BaseException:
            self._waker.cancel()  # an interrupted start may have left a running thread
            self._waker.close()
            raise

    @property
    def thread(self) -> threading.Thread:
        return self._thread

    def start(self) -> None:
        """Let the thread start its work."""
        self.begun = True
        self._waker.wake()

    def close(self) -> None:
        """Tell the thread to end; it stops waiting at once. Does not join the thread."""
        self._waker.cancel()

    # For the subclass, on the thread

    def _serve(self) -> None:
        """Connect, set `_connected_at`, and use the connection until an error; return if there is no more to do."""
        raise NotImplementedError

    def _disconnect(self) -> None:
        """Drop the connection, after `_serve` and after a defect."""
        raise NotImplementedError

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        """Return the error that ended `_serve` as one of this package."""
        raise NotImplementedError

    def _give_up(self, failure: KucoinSyncError) -> bool:
        """Return whether no further attempt is to be made, having reported so."""
        raise NotImplementedError

    def _report(self, failure: KucoinSyncError, attempt: int, delay: float) -> float:
        """Report a lost connection, or a failed attempt; return the seconds until the next attempt.

        Args:
            attempt: how many attempts have failed; 0 for a lost connection.
            delay: the planned seconds.
        """
        raise NotImplementedError

    def _report_defect(self, error: BaseException) -> None:
        """Report an error that the loop itself or one of the methods here has raised."""
        raise NotImplementedError

    def _pausing(self) -> None:
        """Called before the thread pauses, and whenever it was woken in a pause."""

    def _end(self) -> None:
        """Called when the thread is about to end."""

    # The thread

    def _run(self) -> None:
        try:
            while not self.begun:
                self._waker.pause(_IDLE_WAIT)
            while not self._has_ended():
                self._pause(_RESTART_DELAY, lambda: None)
        except Cancelled:
            pass  # it was closed
        finally:
            self._waker.close()
            self._end()

    def _has_ended(self) -> bool:
        """Connect again until there is no more to do; return False after a defect in the loop itself."""
        try:
            self._reconnect_until_done()
            return True
        except Cancelled:
            raise
        except BaseException as error:
            with guarded("the thread %s could not report its defect", self._thread.name):
                try:
                    self._report_defect(error)
                finally:
                    self._disconnect()
            return False

    def _reconnect_until_done(self) -> None:
        delays, attempt = backoff.retry_delays(*self._delays), 0
        while True:
            attempt += 1
            self._connected_at = None
            try:
                self._serve()
                return
            except Cancelled:
                raise
            except BaseException as error:  # the thread must survive every error, not only `Exception`
                failure = self._failure_of(error)
            finally:
                self._disconnect()
            if self._give_up(failure):
                return
            if self._connected_at is not None:
                attempt = 0
                if time.monotonic() - self._connected_at >= _STABLE_SECONDS:
                    delays = backoff.retry_delays(*self._delays)
            self._pause(self._report(failure, attempt, next(delays)), self._pausing)

    def _pause(self, seconds: float, pausing: Callable[[], object]) -> None:
        until = time.monotonic() + seconds
        while (remaining := until - time.monotonic()) > 0:
            pausing()
            self._waker.pause(remaining)


def _run_when_begun(found: weakref.WeakMethod[Callable[[], None]], waker: Waker) -> None:
    """Wait until an object is started or closed, then run it.

    Until then the thread holds only a weak reference. So the object is freed if a signal handler raises before the
    caller has stored it.
    """
    while True:
        run: Any = found()
        if run is None:
            waker.close()
            return
        if run.__self__.begun or waker.cancelled:
            break
        del run
        waker.wait(_IDLE_WAIT)
        try:
            waker.clear()
        except Cancelled:
            pass
    run()
