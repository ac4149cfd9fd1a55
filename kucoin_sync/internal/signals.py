"""What a public method does where its caller has interrupted this package.

The garbage collector runs finalisers between any two steps of any thread. The main thread runs the handler of a signal
between any two of its steps, and every thread runs log handlers where it logs. Such code may call a public method while
this package is at work further down the same thread, with a lock held or a change half done. That call takes no lock
and waits for nothing: another thread does its work, in the order of the calls, and ends when all is done.

A call from a function that is marked with `holds_nothing`, such as the one that runs a callback, is like any other.
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

__all__ = ["defer", "deferring", "holds_nothing", "interrupting", "now_or_later", "settle"]

F = TypeVar("F", bound=Callable[..., Any])

_TOO_LONG = 1.0
"""Seconds for which a call waits for earlier ones that were deferred."""

_PACKAGE = __package__
_WITHIN = f"{_PACKAGE}."
# What calls others as users do: on top of streams, holding nothing. Inside `testing`, the peer is not of that kind.
_LIKE_USERS = tuple(f"{_WITHIN}{name}" for name in ("cli", "contrib", "testing.plugin"))
_TESTING = f"{_WITHIN}testing"
_BETWEEN = ("contextlib", "threading")
_BOOTSTRAP: CodeType = threading.Thread._bootstrap.__code__  # type: ignore[attr-defined]
_RUN = Thread.run.__code__
_holding_nothing: dict[int, CodeType] = {}  # by identity: equal code may stand elsewhere


def holds_nothing(function: F) -> F:
    """Mark a function that calls foreign code: at each of its own steps no lock is held, and no change is half done.

    Its callers hold no lock, either. What it calls within this package is not meant.
    """
    _holding_nothing[id(function.__code__)] = function.__code__
    return function


def interrupting() -> bool:
    """Return whether a public method, which calls this, was called by code that has interrupted this package.

    True, too, on a thread of this package that has not begun to run, because whoever starts it waits for it; and while
    the interpreter ends, because other threads may have ended with a lock held.
    """
    fork.notice()
    frame = sys._getframe(1)
    within = True
    running = False
    while True:
        ours = _is_ours(frame)
        if ours is not None:
            if ours and not within and id(frame.f_code) not in _holding_nothing:
                return True
            within = ours
            running = running or frame.f_code is _RUN
        if frame.f_back is None:
            break
        frame = frame.f_back
    starting = not running and frame.f_code is _BOOTSTRAP and isinstance(frame.f_locals.get("self"), Thread)
    return starting or sys.is_finalizing()


def _is_ours(frame: FrameType) -> bool | None:
    """Return whether the code that runs in a frame is this package's; None for what may stand between two of ours."""
    names = frame.f_globals
    package = names.get("__package__")
    if not package:
        return None if names.get("__name__") in _BETWEEN else False
    if package == _PACKAGE:
        return names.get("__name__") != "__main__"
    return str(package).startswith(_WITHIN) and package != _TESTING and not str(package).startswith(_LIKE_USERS)


class _Deferred:
    """Calls that could not be made at once, and the thread that makes them.

    Adding one takes no lock and does not wait, not even for the thread to have started: the caller may hold a lock that
    a finaliser on the new thread waits for.
    """

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], object]] = deque()
        self._turn = threading.Lock()  # held by the thread that makes the calls
        self._maker = 0  # the identifier of that thread
        self.thread: threading.Thread | None = None  # the last one that was started
        fork.register(self)

    def forked(self) -> None:
        """Keep what is to be done in a forked child, for the next call: the thread is the parent's."""
        self._turn, self._maker = threading.Lock(), 0
        self.thread = None

    def add(self, job: Callable[[], object]) -> bool:
        """Have a call made soon; False where that needs a thread and there is none. It stays in the queue then."""
        self._jobs.append(job)
        if self._turn.locked():
            return True  # who has it looks once more when it has given it back
        if sys.is_finalizing():
            return False
        try:
            _thread.start_new_thread(self._start, ())
        except (RuntimeError, MemoryError):
            return False
        return True

    def settle(self) -> None:
        """Wait until all earlier calls were made, but not for long."""
        if not self._jobs and not self._turn.locked():
            return
        fork.notice()
        if self._maker == threading.get_ident():
            return
        done = threading.Lock()
        done.acquire()
        if not self.add(done.release):
            self._run()
        done.acquire(timeout=_TOO_LONG)

    def _start(self) -> None:
        """Start the thread, on one without a name that only does this."""
        if not self._jobs:
            return
        thread = Thread(target=self._run, name="kucoin-deferred", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._run()
        else:
            self.thread = thread

    def _run(self) -> None:
        while self._jobs:
            with self._turn:
                self._maker = threading.get_ident()
                while self._jobs:
                    job = self._jobs.popleft()
                    try:
                        job()
                    except BaseException as error:
                        log(logging.ERROR, "a call that was deferred has failed", error=error)
                self._maker = 0


_deferred = _Deferred()


def defer(job: Callable[[], object]) -> None:
    """Have a call made soon on another thread."""
    _deferred.add(job)


def settle() -> None:
    """Wait until all that was deferred before is done; not where the caller is `interrupting`."""
    _deferred.settle()


def deferring() -> list[threading.Thread]:
    """Return the thread that makes deferred calls, if there is one."""
    thread = _deferred.thread
    return [] if thread is None or not thread.is_alive() else [thread]


def now_or_later(job: Callable[[], object]) -> bool:
    """Make a call at once where the caller may, else have it made soon; return whether it was made."""
    if interrupting():
        defer(job)
        return False
    settle()
    job()
    return True
