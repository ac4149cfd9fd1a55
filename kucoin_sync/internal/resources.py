"""Shortages of system resources: descriptors, threads and memory.

The package acquires a resource before it changes any state. So a call that fails for lack of a resource changes nothing
and can be repeated. The error is one of this package: it names the missing resource, its purpose and a remedy.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..exceptions import ConnectionFailed, KucoinSyncError
from .guard import Thread, log

__all__ = ["acquiring", "as_defect", "error_or_defect", "shortage_error", "start_thread"]

_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_MEMORY = (errno.ENOMEM, errno.ENOBUFS)


def shortage_error(error: BaseException, purpose: str) -> ConnectionFailed | None:
    """Translate an error, or one of its causes, that reports a shortage; return None if none does.

    Args:
        purpose: what the missing resource was for, such as "connection 3"; it becomes part of the message.
    """
    while (missing := _missing(error)) is None:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return None
        error = inner
    what, remedy = missing
    reason = getattr(error, "strerror", None) or str(error)
    return ConnectionFailed(f"{what} for {purpose}{f' ({reason})' if reason else ''}; {remedy}, and try again")


def error_or_defect(error: BaseException, purpose: str, text: str, *arguments: object) -> KucoinSyncError:
    """Return an error as one of this package. One that is neither that nor a shortage is a defect, which is logged.

    Args:
        purpose: as for `shortage_error`.
        text, arguments: the line to log, as for `log`.
    """
    if isinstance(error, KucoinSyncError):
        return error
    missing = shortage_error(error, purpose)
    if missing is None:
        log(logging.ERROR, text, *arguments, error=error)
    return missing or as_defect(error)


def as_defect(error: BaseException) -> ConnectionFailed:
    """Return an error that this package did not expect as one of its own."""
    return ConnectionFailed(f"a defect in this package: {type(error).__name__}: {error}")


def _missing(error: BaseException) -> tuple[str, str] | None:
    """Return what was missing and the remedy; None if the error reports no shortage."""
    code = error.errno if isinstance(error, OSError) else None
    if code in _DESCRIPTORS:
        return "no file descriptor was free", "close files or connections, or raise the limit (ulimit -n)"
    if isinstance(error, MemoryError) or code in _MEMORY:
        return "no memory was free", "free some"
    if isinstance(error, RuntimeError) and "thread" in str(error):
        if "shutdown" in str(error):
            return "no thread can be started any more", "keep the program's main thread running"
        return "no thread could be started", "end others, or raise the limit (ulimit -u)"
    return None


@contextmanager
def acquiring(purpose: str) -> Iterator[None]:
    """Raise ConnectionFailed, which is retriable, if the block fails for lack of a resource."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        missing = shortage_error(error, purpose)
        if missing is None:
            raise
        raise missing from error


def start_thread(run: Callable[..., object], *args: Any, name: str) -> Thread:
    """Return a new thread that is running.

    Raises:
        ConnectionFailed: no thread could be started.
    """
    with acquiring(f"the thread {name}"):
        thread = Thread(target=run, args=args, name=name, daemon=True)
        thread.start()
    return thread
