"""What code of others raises ends no thread of this package: logging handlers, users' code, and threads.

Rules:
1. The package logs through `log` alone. What a logging handler raises is printed on standard error, and ends there.
2. Code that may raise anything, and whose failure concerns nobody else, runs inside `guarded`, which logs the error.
3. Every thread of the package is a `Thread`: what escapes from it all the same is logged.
4. On the main thread, errors that are no `Exception` pass: they come from Ctrl-C or another signal's handler.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import traceback
from itertools import starmap
from types import TracebackType
from typing import Any

from .forking import speaking

__all__ = ["Thread", "guarded", "is_interrupt", "log"]

_log = logging.getLogger("kucoin_sync")


def log(level: int, text: str, *arguments: object, error: BaseException | None = None) -> None:
    """Log a line, with the traceback of `error` if there is one. No fork happens meanwhile."""
    trace = None if error is None else (type(error), error, error.__traceback__)
    try:
        with speaking():
            _log.log(level, text, *arguments, exc_info=trace, stacklevel=2)
    except BaseException as raised:
        if is_interrupt(raised):
            raise
        _print(raised)


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is meant for the program and not for whoever caught it: see rule 4."""
    return not isinstance(error, Exception) and threading.current_thread() is threading.main_thread()


class guarded:  # noqa: N801 - used like a function, as those of `contextlib` are
    """Log what is raised inside, and go on behind it.

    Args:
        text, arguments: what is logged, as for `log`.
    """

    def __init__(self, text: str, *arguments: object) -> None:
        self._text = text
        self._arguments = arguments

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or is_interrupt(error):
            return False
        log(logging.ERROR, self._text, *self._arguments, error=error)
        return True


class Thread(threading.Thread):
    """A thread of this package. It does not keep the process alive.

    Where `start` raises, be it an exception of a signal's handler, the target does not run.
    """

    _cancelled = False

    def __new__(cls, *_: Any, **__: Any) -> Thread:
        """Make one of the kind of threads that there is now: gevent may have put in its own since this was imported."""
        return super().__new__(_of_kind(cls, threading.Thread))

    def start(self) -> None:
        """Start it, and let the target run."""
        self._go = threading.Lock()
        self._go.acquire()
        try:
            if threading.current_thread() is threading.main_thread():
                self._start_elsewhere()
            else:
                super().start()
            [_] = starmap(self._go.release, ((),))  # as `Inbox.source`: nothing is raised behind this
        except BaseException:
            self._cancelled = True
            self._go.release()
            raise

    def _start_elsewhere(self) -> None:
        """Have another thread start it: `threading.Event`, which that waits for, does not stand an interrupt."""
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

    def run(self) -> None:
        """Run the target."""
        self._go.acquire()
        if self._cancelled:
            return
        with guarded("the thread %s was ended by an error that nothing in it has caught", self.name):
            super().run()


def _of_kind(ours: type[Thread], kind: type[threading.Thread]) -> type[Thread]:
    return ours if issubclass(ours, kind) else type(ours.__name__, (ours, kind), {})


def _print(error: BaseException) -> None:
    """Print what a logging handler raised, as `logging.Handler.handleError` does, where there is somewhere to print."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    try:
        sys.stderr.write("--- Logging error ---\n")
        traceback.print_exception(type(error), error, error.__traceback__)
    except BaseException as raised:
        if is_interrupt(raised):
            raise
