"""What the system may have none of for a moment: descriptors, threads and memory.

Whoever needs some acquires them first, and changes its state afterwards. So a call that fails for want of one changes
nothing, and can be made again. The error is one of this package: it says what was missing, for what, and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..exceptions import ConnectionFailed
from .guard import Thread

__all__ = ["acquiring", "shortage", "start_thread"]

_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_MEMORY = (errno.ENOMEM, errno.ENOBUFS)


def shortage(error: BaseException, purpose: str) -> ConnectionFailed | None:
    """Return an error of the system as one that says what was missing for a purpose; None where nothing was."""
    while (missing := _missing(error)) is None:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return None
        error = inner
    what, remedy = missing
    reason = getattr(error, "strerror", None) or str(error)
    return ConnectionFailed(f"{what} for {purpose}{f' ({reason})' if reason else ''}; {remedy}, and try again")


def _missing(error: BaseException) -> tuple[str, str] | None:
    """Return what was missing, and what to do; None where an error is no shortage."""
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
    """Raise ConnectionFailed, which is retriable, where something is missing inside for a purpose."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        missing = shortage(error, purpose)
        if missing is None:
            raise
        raise missing from error


def start_thread(run: Callable[..., object], *args: Any, name: str) -> Thread:
    """Return a running thread.

    Raises:
        ConnectionFailed: none could be started.
    """
    with acquiring(f"the thread {name}"):
        thread = Thread(target=run, args=args, name=name, daemon=True)
        thread.start()
    return thread
