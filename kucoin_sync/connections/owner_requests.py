"""Requests of a connection to its owner that are repeated until they succeed, such as to replace the connection."""

from __future__ import annotations

from collections.abc import Callable

from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal import backoff
from ..internal.resources import shortage_error

__all__ = ["OwnerRequests"]


class _Request:
    """A request to the owner, repeated until it succeeds. `attempt` makes it and returns whether it succeeded."""

    def __init__(self, attempt: Callable[[], bool], due: float = 0.0) -> None:
        self.attempt = attempt
        self.due = due
        self.attempts = 0
        self._delays = backoff.retry_delays()

    def delay(self, now: float) -> float:
        """Record a failed attempt; return the seconds until the next one."""
        self.attempts += 1
        delay = next(self._delays)
        self.due = now + delay
        return delay


class OwnerRequests:
    """The pending requests of one connection. Only its I/O thread uses them.

    Args:
        failed: called with the number of attempts, the error and the delay, after an attempt that raised.
    """

    def __init__(self, failed: Callable[[int, KucoinSyncError, float], object]) -> None:
        self._failed = failed
        self._requests: list[_Request] = []

    def add(self, attempt: Callable[[], bool], due: float = 0.0) -> None:
        """Add a request to be made at the time `due`; `attempt` makes it and returns whether it succeeded."""
        self._requests.append(_Request(attempt, due))

    def clear(self) -> None:
        """Drop all requests."""
        self._requests.clear()

    def make_due(self, now: float) -> float:
        """Make the requests that are due; return when the next one is due.

        Each request needs another connection. If none can be made, the request is repeated later.
        """
        for request in [request for request in self._requests if now >= request.due]:
            try:
                if request.attempt():
                    self._requests.remove(request)
                else:
                    request.delay(now)
            except BaseException as error:
                missing = error if isinstance(error, ConnectionFailed) else shortage_error(error, "another connection")
                if missing is None:
                    raise
                delay = request.delay(now)
                self._failed(request.attempts, missing, delay)
        return min((request.due for request in self._requests), default=float("inf"))
