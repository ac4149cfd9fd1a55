"""The locks of a book or an account, between the updates and the readers, and the wait until it can be read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..delivery.subscription import SHORT_WAIT
from ..exceptions import BookNotReady, KucoinSyncError
from ..internal.fork import FirstUse
from ..internal.latch import Latch
from ..internal.signals import is_reentrant

__all__ = ["BookLocks"]

T = TypeVar("T")


class BookLocks(ABC):
    """The locks of a book, and the threads that wait for it.

    Args:
        name: the book, for errors.

    Attributes:
        first_use: called before each use, without the lock.
        before_wait: called before a thread waits for the book or its changes.
        waits_for_itself: returns whether the current thread is the one that brings the book's updates.
        lock: guards the book. It is reentrant, so that a signal handler can read a book wherever it interrupts.
        reader_lock: readers take it before `lock` and hold it; updates only pass through it. A lock favours the thread
            that had it last, so readers would not get at the book during a burst of updates.
        updating: whether a thread changes the book.
    """

    not_ready: type[KucoinSyncError] = BookNotReady

    def __init__(self, name: object) -> None:
        self._name = name
        self.first_use = FirstUse()
        self.before_wait: Callable[[], object] | None = None
        self.waits_for_itself: Callable[[], bool] | None = None
        self._waiting: set[Latch] = set()  # latches of threads that wait for the book to be ready or to end
        self.make_locks()

    @abstractmethod
    def _settled(self) -> bool:
        """Return whether the book can be read or has ended."""

    def make_locks(self) -> None:
        """Make the locks; in a forked child again, because a thread of the parent may hold them."""
        self.lock = threading.RLock()
        self.reader_lock = threading.RLock()
        self.updating = False
        self._reading_thread = 0  # the identifier of the thread that reads

    def under_lock(self, do: Callable[[], T]) -> T:
        """Return `do()`, called with the locks of a reader; raises BookNotReady if the caller must not wait for them.

        This is no `contextmanager`, and neither is `update`: if a signal handler raised between the generator's step
        and the beginning of the block, the locks would stay held for as long as the error is kept.
        """
        # A thread that has the lock may not have said yet that it changes the book, or no longer say so.
        if self.updating or self._reading_thread or self.lock._is_owned():  # type: ignore[attr-defined]
            self._check_free()
        with self.reader_lock, self.lock:
            before, self._reading_thread = self._reading_thread, threading.get_ident()
            try:
                return do()
            finally:
                self._reading_thread = before

    def update(self, do: Callable[[], T]) -> T:
        """Return `do()`, called with the lock; until it returns, reentrant readers are refused."""
        with self.lock:
            self.updating = True
            try:
                return do()
            finally:
                self.updating = False

    def _check_free(self) -> None:
        """Raise BookNotReady if the call is reentrant and the book is in use.

        An update on any thread, or a reader on another thread, uses the book. The calling thread may hold a lock that
        they wait for: the book's own, while a reader has the readers' lock and waits for it.
        """
        if (self.updating or self._reading_thread != threading.get_ident()) and is_reentrant():
            raise self.not_ready(f"{self._name} is in use and can't be waited for inside this call; read it later")

    def wait_until_settled(self, timeout: float | None) -> bool:
        """Wait until the book can be read or has ended; return whether one of them happened within `timeout` seconds.

        A reentrant call does not wait. Without a timeout, a call on the I/O thread that brings the updates waits for
        half a second.
        """
        if self.before_wait is not None:
            self.before_wait()
        self.first_use()
        if is_reentrant():
            return self._settled()
        if self._settled():
            return True
        if timeout is None and self.waits_for_itself is not None and self.waits_for_itself():
            timeout = SHORT_WAIT
        latch = Latch()
        try:
            if self.under_lock(partial(self._add_waiting, latch)):
                return True
            return latch.wait(timeout)
        finally:
            self.under_lock(partial(self._waiting.discard, latch))

    def _add_waiting(self, latch: Latch) -> bool:
        """Set a latch once the book can be read or has ended; return whether that is so already."""
        if not self._settled():
            self._waiting.add(latch)
        return self._settled()

    def _wake_waiting(self) -> None:
        """Wake the threads that wait, if the book can be read or has ended (under the lock)."""
        if self._waiting and self._settled():
            for latch in self._waiting:
                latch.set()
            self._waiting.clear()
