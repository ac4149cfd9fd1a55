"""The thread of a message source that has a connection, to KuCoin or to Redis, and the loop that connects it again."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from ..events import UnexpectedError
from ..exceptions import KucoinSyncError, is_fatal
from ..internal import backoff
from ..internal.guard import guarded, log
from ..internal.resources import acquiring, as_defect, error_or_defect, start_thread
from ..net.waker import Cancelled, Waker
from .source import Deliver, MessageSource, SourceListener

__all__ = ["ReconnectingSource"]

_STABLE_SECONDS = 30.0
"""A connection that lived this long resets the delays between attempts."""
_RESTART_DELAY = 1.0
"""Seconds before the loop begins again after an error that no attempt to connect has raised."""
_IDLE_WAIT = 3600.0


class ReconnectingSource(MessageSource):
    """A source with a thread of its own, which connects again until the source is closed.

    The thread and the waker are acquired in the constructor, so that `start` cannot fail for lack of resources. The
    thread is idle until `start`.

    Args:
        thread_name: the name of the thread, without its number.
        delays: the shortest and the longest ceiling of the delays between attempts, in seconds.
    """

    _started = False
    _forked = False  # whether this is a forked child's copy of the parent's source
    _connected_at: float | None = None  # when the current connection was made; None before that

    def __init__(
        self,
        number: int,
        market: str,
        private: bool,
        owner: SourceListener,
        deliver: Deliver,
        delays: tuple[float, float] = (0.5, 60.0),
    ) -> None:
        super().__init__(number, market, private, owner, deliver)
        self._delays = delays

    # For the subclass

    def _serve(self) -> None:
        """Connect, set `_connected_at`, and deliver messages until an error; return if the source has done its work."""
        raise NotImplementedError

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        """Return the error that ended `_serve` as one of this package."""
        return error_or_defect(
            error, f"connection {self.number}", "a defect ended connection %d; it will be made again", self.number
        )

    def _disconnect(self) -> None:
        """Drop the connection, after `_serve` and after a defect."""
        raise NotImplementedError

    def _report(self, failure: KucoinSyncError, attempt: int, delay: float) -> float:
        """Report a lost connection, or a failed attempt; return the seconds until the next attempt.

        Args:
            attempt: how many attempts have failed; 0 for a lost connection.
            delay: the planned seconds.
        """
        raise NotImplementedError

    def _has_topics(self) -> bool:
        """Return whether any topic is wanted."""
        raise NotImplementedError

    def _end(self) -> None:
        """Release what the thread has acquired."""

    # For the owner

    def start(self) -> None:
        """Let the thread start its work."""
        self._started = True
        self._waker.wake()

    def close(self) -> None:
        """Tell the thread to end; it stops waiting at once. Does not join the thread."""
        self._waker.cancel()

    @property
    def begun(self) -> bool:
        """Whether `start` was called."""
        return self._started

    @property
    def thread(self) -> threading.Thread:
        """The thread that runs this source."""
        return self._thread

    def _acquire_thread(self, name: str) -> None:
        """Create the waker and start the thread; the last step of a constructor.

        Raises:
            ConnectionFailed: the system refused a socket or a thread; nothing is left behind.
        """
        with acquiring("another connection"):
            self._waker = Waker()
        try:
            waker = self._waker
            found = weakref.WeakMethod(self._run, lambda _: waker.wake())
            self._thread = start_thread(_run_when_started, found, waker, name=name)
        except BaseException:
            self._waker.cancel()  # an interrupted start may have left a running thread
            self._waker.close()
            raise

    # The thread

    def _run(self) -> None:
        try:
            while not self._started:
                self._waker.pause(_IDLE_WAIT)
            while not self._has_ended():
                self._sleep(_RESTART_DELAY)
        except Cancelled:
            pass  # the owner has closed it
        finally:
            self._end()
            self._waker.close()
            if not self._forked:
                self._owner.ended(self)

    def _has_ended(self) -> bool:
        """Reconnect until the source has done its work; return False after a defect in the loop itself."""
        try:
            self._reconnect_until_done()
            return True
        except Cancelled:
            raise
        except BaseException as error:
            name = self._thread.name
            log(logging.ERROR, "a defect in the thread %s, which begins again", name, error=error)
            with guarded("the thread %s could not tell of its defect", name):
                self._owner.emit(UnexpectedError(f"the thread {name}", error))
                self.last_error = failure = as_defect(error)
                try:
                    self._owner.failed(self, failure, fatal=False)
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
            if is_fatal(failure, was_live=self._owner.was_live(self), needs_key=self.private):
                self._owner.failed(self, failure, fatal=True)
                return
            if self._connected_at is None:
                self.counts.failures += 1
            else:
                self.counts.disconnects += 1
                attempt = 0
                if time.monotonic() - self._connected_at >= _STABLE_SECONDS:
                    delays = backoff.retry_delays(*self._delays)
            self._pause(self._report(failure, attempt, next(delays)))

    def _pause(self, delay: float) -> None:
        """Wait before the next attempt. The owner may close a source without topics meanwhile."""
        until = time.monotonic() + delay
        while (remaining := until - time.monotonic()) > 0:
            if not self._has_topics():
                self._owner.idle(self)  # closes this source unless a topic was just placed on it
            self._waker.pause(remaining)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (remaining := until - time.monotonic()) > 0:
            self._waker.pause(remaining)


def _run_when_started(found: weakref.WeakMethod[Callable[[], None]], waker: Waker) -> None:
    """Wait until a source is started or closed, then run it.

    Until then the thread holds only a weak reference. So a source is freed if a signal handler raises before the caller
    has stored it.
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
