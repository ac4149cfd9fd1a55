"""The locks of a book, between the updates and the readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ..exceptions import BookNotReady
from ..internal.signals import is_reentrant

__all__ = ["BookLocks"]

T = TypeVar("T")


class BookLocks:
    """The locks of a book.

    Args:
        name: the book, for errors.

    Attributes:
        lock: guards the book. It is reentrant, so that a signal handler can read a book wherever it interrupts.
        reader_lock: readers take it before `lock` and hold it; updates only pass through it. A lock favours the thread
            that had it last, so readers would not get at the book during a burst of updates.
        updating: whether a thread changes the book.
    """

    def __init__(self, name: object) -> None:
        self._name = name
        self.make_locks()

    def make_locks(self) -> None:
        """Make the locks; in a forked child again, because a thread of the parent may hold them."""
        self.lock = threading.RLock()
        self.reader_lock = threading.RLock()
        self.updating = False
        self._reading_thread = 0  # the identifier of the thread that reads

    def under_lock(self, do: Callable[[], T]) -> T:
        """Return `do()`, called with the locks of a reader; raises BookNotReady if the caller must not wait for them.

        This is no `contextmanager`, and neither is `Follower._change`: if a signal handler raised between the
        generator's step and the beginning of the block, the locks would stay held for as long as the error is kept.
        """
        if self.updating or self._reading_thread:
            self._check_free()
        with self.reader_lock, self.lock:
            before, self._reading_thread = self._reading_thread, threading.get_ident()
            try:
                return do()
            finally:
                self._reading_thread = before

    def _check_free(self) -> None:
        """Raise BookNotReady if the call is reentrant and the book is in use.

        An update on any thread, or a reader on another thread, uses the book. The calling thread may hold a lock that
        they wait for.
        """
        if (self.updating or self._reading_thread != threading.get_ident()) and is_reentrant():
            raise BookNotReady(f"{self._name} is in use and can't be waited for inside this call; read it later")
