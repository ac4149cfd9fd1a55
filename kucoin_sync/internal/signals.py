"""Reentrant calls: public methods called by code that has interrupted this package.

The garbage collector runs finalisers between any two steps of any thread. The main thread runs signal handlers between
any two of its steps. Every thread runs log handlers where it logs. Such code may call a public method while this
package is further down the same stack, with a lock held or a change half done. Such a reentrant call takes no lock and
waits for nothing: it is deferred to another thread, which makes the deferred calls in order and then ends.

A call from a function marked with `holds_no_lock`, such as the one that runs a callback, is not reentrant.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from . import fork
from .guard import Thread, log

__all__ = ["defer", "deferred_threads", "holds_no_lock", "is_reentrant", "run_or_defer", "wait_for_deferred"]

F = TypeVar("F", bound=Callable[..., Any])

_WAIT_TIMEOUT = 1.0
"""Seconds for which `wait_for_deferred` waits at most."""

_PACKAGE = __package__.partition(".")[0]
_SUBPACKAGES = f"{_PACKAGE}."
# These use streams from above, as user code does, and hold no lock. So do the modules directly in `testing`.
_LIKE_USERS = tuple(f"{_SUBPACKAGES}{name}" for name in ("cli", "contrib", "testing.plugin"))
_TESTING = f"{_SUBPACKAGES}testing"
_TRANSPARENT = ("contextlib", "threading")
_BOOTSTRAP: CodeType = threading.Thread._bootstrap.__code__  # type: ignore[attr-defined]
_RUN = Thread.run.__code__
_lockless: dict[int, CodeType] = {}  # by identity, because other functions may have equal code


def holds_no_lock(function: F) -> F:
    """Mark a function that calls foreign code: none of its own steps runs with a lock held or a change half done.

    The same must hold for its callers. The mark does not extend to the functions of this package that it calls.
    """
    _lockless[id(function.__code__)] = function.__code__
    return function


def is_reentrant() -> bool:
    """Return whether the public method that asks was called by code that has interrupted this package.

    Also true on a thread of this package that has not yet begun to run, because its starter waits for it; and while the
    interpreter shuts down, because threads may have ended with a lock held.
    """
    fork.detect_fork()
    within, running = True, False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (ours := _is_ours(frame)) is not None:
            if ours and not within and id(frame.f_code) not in _lockless:
                return True
            within = ours
            running = running or frame.f_code is _RUN
        outermost, frame = frame, frame.f_back
    starting = not running and outermost.f_code is _BOOTSTRAP and isinstance(outermost.f_locals.get("self"), Thread)
    return starting or sys.is_finalizing()


def _is_ours(frame: FrameType) -> bool | None:
    """Return whether a frame runs this package's code; None for library code that may stand between two such frames."""
    names = frame.f_globals
    package = names.get("__package__")
    if not package:
        return None if names.get("__name__") in _TRANSPARENT else False
    if package == _PACKAGE:
        return names.get("__name__") != "__main__"
    return str(package).startswith(_SUBPACKAGES) and package != _TESTING and not str(package).startswith(_LIKE_USERS)


class _DeferredCalls:
    """A queue of calls that could not be made at once, and the thread that makes them.

    Adding a call takes no lock and does not wait, not even for the thread to have started: the caller may hold a lock
    that a finaliser on the new thread waits for.
    """

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], object]] = deque()
        self._run_lock = threading.Lock()  # held by the thread that makes the calls
        self._runner = 0  # the identifier of that thread
        self._thread: threading.Thread | None = None  # the last one that was started
        fork.register(self, first=True)

    def after_fork(self) -> None:
        """Keep the queued calls for the next use: the thread that made them exists in the parent only."""
        self._run_lock, self._runner = threading.Lock(), 0
        self._thread = None

    def add(self, job: Callable[[], object]) -> bool:
        """Make a call soon on another thread. Return False if none could be started; the call stays queued then."""
        self._jobs.append(job)
        if self._run_lock.locked():
            return True  # the running thread looks at the queue again after it has released the lock
        if sys.is_finalizing():
            return False
        try:
            _thread.start_new_thread(self._start, ())
        except (RuntimeError, MemoryError):
            return False
        return True

    def wait(self) -> None:
        """Wait until all calls queued before are made, at most `_WAIT_TIMEOUT` seconds. Not for reentrant callers."""
        if not self._jobs and not self._run_lock.locked():
            return
        fork.detect_fork()
        if self._runner == threading.get_ident():
            return
        done = threading.Lock()
        done.acquire()
        if not self.add(done.release):
            self._run()
        done.acquire(timeout=_WAIT_TIMEOUT)

    def threads(self) -> list[threading.Thread]:
        """Return the thread that makes the calls, if it is alive."""
        return [] if self._thread is None or not self._thread.is_alive() else [self._thread]

    def _start(self) -> None:
        """Start the named thread. This runs on an unnamed thread, so that `add` does not wait."""
        if not self._jobs:
            return
        thread = self._thread = Thread(target=self._run, name="kucoin-deferred", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._run()

    def _run(self) -> None:
        while self._jobs:
            with self._run_lock:
                self._runner = threading.get_ident()
                while self._jobs:
                    job = self._jobs.popleft()
                    try:
                        job()
                    except BaseException as error:
                        log(logging.ERROR, "a deferred call has failed", error=error)
                self._runner = 0


_deferred = _DeferredCalls()
defer = _deferred.add
wait_for_deferred = _deferred.wait
deferred_threads = _deferred.threads


def run_or_defer(job: Callable[[], object]) -> bool:
    """Make a call at once, or defer it if the caller is reentrant; return whether it was made."""
    if is_reentrant():
        defer(job)
        return False
    wait_for_deferred()
    job()
    return True
