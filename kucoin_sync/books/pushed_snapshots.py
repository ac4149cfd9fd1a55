"""Watch for the snapshots that a feed pushes, and have topics subscribed again when one does not come.

Rules:
1. A pushed snapshot has 10 seconds from the confirmation of its topic. KuCoin was observed to need up to 6 of them.
2. If none came that fits, or if the book has lost an update since, the topic is unsubscribed and subscribed again, on
   the same connection and for all its subscriptions. KuCoin then pushes another snapshot.
3. A book that lost an update is helped at once, unless that happened in the last minute, too. Other pauses grow.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from ..exceptions import ConnectionFailed
from ..internal import backoff
from ..internal.check_thread import CheckThread
from .source import BookSource

__all__ = ["PushedSnapshots"]

_WAIT = 10.0  # seconds for a pushed snapshot
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_CALM = 60.0  # seconds since the last time that a topic was subscribed again, after which the pauses are short again


class _SnapshotReceiver(Protocol):
    """A book that needs a snapshot; see `follower.Follower`."""

    @property
    def source(self) -> BookSource: ...
    @property
    def awaits_push(self) -> bool: ...
    def snapshot_attempt(self) -> int | None: ...
    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None: ...


class _Job:
    """What is to be done for one book, and when."""

    __slots__ = ("delays", "done_at", "due", "waiting")

    def __init__(self) -> None:
        self.due = math.inf
        self.waiting = False  # whether a snapshot may still come until then; else the topic is to be subscribed again
        self.done_at = -math.inf  # when the topic was subscribed again for this book
        self.delays: Iterator[float] = iter(())

    def next_delay(self, now: float) -> float:
        """Return how long to wait before the topic is subscribed again."""
        if now - self.done_at > _CALM:
            self.delays = backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)
            return 0.0
        return next(self.delays)


class PushedSnapshots:
    """Gets the books of one stream their pushed snapshots; see `snapshot_fetcher.SnapshotProvider`.

    Args:
        resubscribe: has a topic unsubscribed and subscribed again.
        clock: the time, in seconds.
        label: what the name of its thread ends with.
    """

    def __init__(
        self, resubscribe: Callable[[str], None], clock: Callable[[], float] = time.monotonic, *, label: str = ""
    ) -> None:
        self._label = label
        self._resubscribe = resubscribe
        self._clock = clock
        self._lock = threading.Lock()  # guards the following
        self._jobs: dict[_SnapshotReceiver, _Job] = {}
        self._closed = False
        self._thread = CheckThread(
            lambda now: self.check(self._clock()) - self._clock() + now,
            name=f"kucoin-pushed-snapshots{label}",
            purpose="the pushed snapshots of order books could not be watched",
        )
        self.request_count = 0

    def add(self, book: _SnapshotReceiver) -> None:
        """Prepare to watch for the snapshots of a book, until `remove`.

        Raises:
            ConnectionFailed: no thread could be started; nothing has changed.
        """
        with self._lock:
            if not self._closed:
                self._thread.look()
                self._jobs.setdefault(book, _Job())

    def request_snapshot(self, book: _SnapshotReceiver) -> None:
        """Watch that a snapshot comes; if none is to be expected, have the topic subscribed again."""
        with self._lock:
            job = self._jobs.get(book)
            if job is None or self._closed:
                return
            now = self._clock()
            job.waiting = book.awaits_push
            job.due = now + (_WAIT if job.waiting else job.next_delay(now))
            self._thread.look()

    def remove(self, book: _SnapshotReceiver) -> None:
        """Watch no more for a book."""
        with self._lock:
            self._jobs.pop(book, None)
            if not self._jobs:
                self._thread.rest()

    def obstacle(self, _: _SnapshotReceiver) -> str:
        """Return no obstacle: the reason of the book says that it waits for a snapshot."""
        return ""

    def after_fork(self) -> PushedSnapshots:
        """Return the replacement for a forked child, which has none of the threads."""
        return PushedSnapshots(self._resubscribe, self._clock, label=self._label)

    def close(self) -> list[threading.Thread]:
        """Tell the thread to end; return it."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            self._thread.close()
            return self._thread.threads

    def check(self, now: float) -> float:
        """Do what is due at `now`; return when something is due next. Called on the thread."""
        with self._lock:
            due = [(book, job) for book, job in self._jobs.items() if job.due <= now]
        for book, job in due:
            waiting = job.waiting
            with self._lock:
                if job.due > now:
                    continue  # the book has requested a snapshot meanwhile
                job.due = math.inf  # before the book is asked: it may request one at any time
            try:
                self._help(book, job, now)
            except BaseException:
                job.waiting, job.due = waiting, now  # it is looked at again, as are those after it
                raise
        with self._lock:
            return min((job.due for job in self._jobs.values()), default=math.inf)

    def _help(self, book: _SnapshotReceiver, job: _Job, now: float) -> None:
        """Do what is due for one book."""
        if book.snapshot_attempt() is None:
            return  # it has got one, or its connection was lost: then it requests one again
        if job.waiting:
            delay = job.next_delay(now)
            job.waiting, job.due = False, now + delay
            book.snapshot_delayed(delay, _missing())
        else:
            # If this has no effect, because the connection is being replaced, it is done again later.
            job.waiting, job.due, job.done_at = True, now + _WAIT, now
            self.request_count += 1
            self._resubscribe(book.source.topic)


def _missing() -> ConnectionFailed:
    return ConnectionFailed(
        f"KuCoin pushed none that fits within {_WAIT:g} s. It confirms symbols that do not exist, too, and stays silent"
    )
