"""One direction of a proxied connection: a queue of bytes between source and target.

Bytes keep their order, and a close or a reset waits behind the last byte. `now` is an argument (seconds of a monotonic
clock); nothing here waits. Not thread-safe: the proxy's lock guards it.
"""

from __future__ import annotations

import math
import socket
from collections import deque

from .settings import Faults, Limit, Settings

__all__ = ["Flow"]

_QUEUED = 256 * 1024
_READ = 64 * 1024
_TICK = 0.01  # seconds between two pieces while a rate is set
_RESET = None  # a reset in the queue; a close is b""


class Flow:
    """The bytes of one connection in one direction.

    Attributes:
        done: whether the end of the connection was passed on.
        verdict: "close" or "reset" if the whole connection must end, else "".
    """

    def __init__(self, source: socket.socket, target: socket.socket, faults: Faults) -> None:
        self.source = source
        self.target = target
        self.done = False
        self.verdict = ""
        self._faults = faults
        self._queue: deque[tuple[float, bytes | None]] = deque()  # (instant of the read, bytes)
        self._queued = 0
        self._ended = False  # the source has ended
        self._blocked = False  # the target's buffer is full
        self._next = 0.0  # instant at which the next piece may pass
        self._limit: Limit | None = None
        self._left = 0  # bytes until the limit

    @property
    def reads(self) -> bool:
        """Return whether it has room for more bytes from its source."""
        return not self._ended and self._queued < _QUEUED

    @property
    def writes(self) -> bool:
        """Return whether it waits for room in its target."""
        return self._blocked and not self.done

    def read(self, now: float) -> None:
        """Read from the source into the queue."""
        try:
            data: bytes | None = self.source.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = _RESET
        self._queue.append((now, data))
        self._queued += len(data or b"")
        self._ended = not data

    def unblock(self) -> None:
        """Note that the target has room again."""
        self._blocked = False

    def due(self) -> float:
        """Return the instant of the next work, infinity if there is none."""
        return self._due(self._faults.settings)

    def _due(self, settings: Settings) -> float:
        if settings.limit is not self._limit:
            return 0.0  # at once
        if self._limit is not None and not self._left:
            return math.inf if self._limit.then == "hold" else 0.0
        if self.done or self._blocked or settings.held or not self._queue:
            return math.inf
        when, what = self._queue[0]
        return max(when + settings.delay + (0.0 if what else settings.close_delay), self._next)

    def step(self, now: float) -> None:
        """Pass on the bytes that are due.

        Raises:
            OSError: the target is closed or broken.
        """
        while not self.verdict:
            settings = self._faults.settings  # another thread may replace it
            if (limit := settings.limit) is not self._limit:
                self._limit, self._left = limit, limit.count if limit is not None else 0
            if self._due(settings) > now:
                return
            if self._limit is not None and not self._left:
                self.verdict = self._limit.then
            else:
                self._pass_on(now)

    def _pass_on(self, now: float) -> None:
        when, what = self._queue[0]
        if what is _RESET:
            self.verdict = "reset"
        elif not what:
            self._queue.popleft()
            self.target.shutdown(socket.SHUT_WR)
            self.done = True
        else:
            sent = self._send(what, now)
            if sent < len(what):
                self._queue[0] = (when, what[sent:])
            else:
                self._queue.popleft()

    def _send(self, data: bytes, now: float) -> int:
        settings, count = self._faults.settings, len(data)
        if self._limit is not None:
            count = min(count, self._left)
        if settings.piece is not None:
            count = min(count, settings.piece)
        if settings.rate is not None:
            count = min(count, max(1, int(settings.rate * _TICK)))
        try:
            sent = self.target.send(data[:count])
        except BlockingIOError:
            self._blocked = True
            return 0
        self._queued -= sent
        self._left -= sent
        self._faults.count(sent)
        if settings.rate is not None:
            begun = self._next if now - self._next < _TICK else now  # a late call does not lower the rate
            self._next = begun + sent / settings.rate
        if settings.piece is not None:
            self._next = max(self._next, now + settings.pause)
        return sent
