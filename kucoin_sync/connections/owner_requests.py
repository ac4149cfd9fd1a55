"""Requests of a connection to its owner that are repeated until they succeed, such as to replace the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal import backoff
from ..internal.resources import shortage_error

__all__ = ["OwnerRequests"]


@dataclass(eq=False, slots=True)
class _Request:
    attempt: Callable[[], bool]
    due: float
    attempts: int = 0
    delays: Iterator[float] = field(default_factory=backoff.retry_delays)


class OwnerRequests:
    """The pending requests of one connection. Each needs another connection. Only its I/O thread uses them.

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
        self._requests.clear()

    def make_due(self, now: float) -> float:
        """Make the requests that are due; return when the next one is due. Those that fail are repeated later."""
        for request in [request for request in self._requests if now >= request.due]:
            missing = None
            try:
                if request.attempt():
                    self._requests.remove(request)
                    continue
            except BaseException as error:
                missing = error if isinstance(error, ConnectionFailed) else shortage_error(error, "another connection")
                if missing is None:
                    raise
            delay = next(request.delays)
            request.attempts, request.due = request.attempts + 1, now + delay
            if missing is not None:
                self._failed(request.attempts, missing, delay)
        return min((request.due for request in self._requests), default=float("inf"))
