"""Contain errors that foreign code raises: logging handlers, users' callbacks, and whatever else runs on our threads.

Rules:
1. The package logs through `log` alone. An error raised by a logging handler is printed on standard error and goes no
   further.
2. Code that may raise anything, and whose failure must not stop its caller, runs inside `guarded`. That logs the error.
3. Every thread of the package is a `Thread`, which logs an error that its target does not catch.
4. On the main thread, errors that are not an `Exception` pass through: they come from Ctrl-C or from a signal handler.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
import threading
import traceback
from itertools import starmap
from typing import Any

from .fork import hold_log_locks, log_guard, register

__all__ = ["Thread", "guarded", "is_interrupt", "log"]

_log = logging.getLogger("kucoin_sync")
_LOGGERS = _log, logging.getLogger("urllib3.connectionpool")
"""Those that log on the threads of this package."""
_LOCK_TIMEOUT = 1.0
"""Seconds for which a forked child waits for a thread of its own to release the lock of a log handler."""


def log(level: int, text: str, *arguments: object, error: BaseException | None = None) -> None:
    """Log a line, with the traceback of `error` if one is given. A fork waits until the line is logged."""
    trace = None if error is None else (type(error), error, error.__traceback__)
    try:
        with log_guard():
            _log.log(level, text, *arguments, exc_info=trace, stacklevel=2)
    except BaseException as raised:
        if is_interrupt(raised):
            raise
        _print(raised)


class _LogLocks:
    """Leaves the log handlers of a forked child free. Only those that get lines of this package's threads matter.

    A fork takes their locks, so that no thread of the parent is writing. A server written in C may fork without that,
    and without Python's own hook, which makes the locks anew; then `after_fork` does so.
    """

    def __init__(self) -> None:
        register(self, first=True)
        hold_log_locks(lambda: [handler.lock for handler in self._handlers()])

    def _handlers(self) -> list[logging.Handler]:
        found = [] if logging.lastResort is None else [logging.lastResort]
        for logger in _LOGGERS:
            above: logging.Logger | None = logger
            while above is not None:
                found += above.handlers
                above = above.parent if above.propagate else None
        return [handler for handler in dict.fromkeys(found) if handler.lock is not None]

    def after_fork(self) -> None:
        """Replace each lock that a thread of the parent held: nobody would release it."""
        for handler in self._handlers():
            assert handler.lock is not None
            if handler.lock.acquire(timeout=_LOCK_TIMEOUT):
                handler.lock.release()
            else:
                handler.lock = threading.RLock()


_log_locks = _LogLocks()


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is an interrupt for the program, which must pass through (rule 4)."""
    return not isinstance(error, Exception) and threading.current_thread() is threading.main_thread()


class guarded:  # noqa: N801 - used like a function, as those of `contextlib` are
    """Log `text`, as `log` does, with an error raised inside the block, and continue after the block."""

    def __init__(self, text: str, *arguments: object) -> None:
        self._text = text
        self._arguments = arguments

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is None or is_interrupt(error):
            return False
        log(logging.ERROR, self._text, *self._arguments, error=error)
        return True


class Thread(threading.Thread):
    """A thread of this package. It does not keep the process alive.

    If `start` raises, the target does not run. That includes an error raised by a signal handler during `start`.

    A forked child has none of its parent's threads, also if it was forked without Python's hooks.
    """

    _cancelled = False
    _process = 0  # the process that started it

    def __new__(cls, *_: Any, **__: Any) -> Thread:
        """Make one of the kind of threads that there is now: gevent may have put in its own since this was imported."""
        kind = threading.Thread
        return super().__new__(cls if issubclass(cls, kind) else type(cls.__name__, (cls, kind), {}))

    def start(self) -> None:
        """Start the thread and let its target run."""
        self._process = os.getpid()
        self._may_run = threading.Lock()
        self._may_run.acquire()
        try:
            if threading.current_thread() is threading.main_thread():
                self._start_elsewhere()
            else:
                super().start()
            # Unpacking `starmap` releases the lock as the last step: no signal handler runs between it and the end.
            [_] = starmap(self._may_run.release, ((),))
        except BaseException:
            self._cancelled = True
            self._may_run.release()
            raise

    def _start_elsewhere(self) -> None:
        """Start this thread from another one.

        `threading.Thread.start` waits for a `threading.Event`, which breaks when a signal handler raises meanwhile.
        """
        started = threading.Lock()
        started.acquire()
        errors: list[BaseException] = []

        def start() -> None:
            try:
                threading.Thread.start(self)
            except BaseException as error:
                errors.append(error)
            finally:
                started.release()

        _thread.start_new_thread(start, ())
        started.acquire()
        if errors:
            raise errors[0]

    def is_alive(self) -> bool:
        """Return whether the thread runs in this process."""
        return self._is_here() and super().is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended; do not wait for a thread of the parent process."""
        if self._is_here():
            super().join(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    def _is_here(self) -> bool:
        return self._process in (0, os.getpid()) or self.ident == threading.get_ident()

    def run(self) -> None:
        self._may_run.acquire()
        if not self._cancelled:
            with guarded("the thread %s was ended by an uncaught error", self.name):
                super().run()


def _print(error: BaseException) -> None:
    """Print an error that a logging handler raised, as `logging.Handler.handleError` does, if stderr is available."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    try:
        sys.stderr.write("--- Logging error ---\n")
        traceback.print_exception(type(error), error, error.__traceback__)
    except BaseException as raised:
        if is_interrupt(raised):
            raise
