"""Fork safety: close copied sockets and reset registered objects in a forked child.

A child has a copy of its parent's memory and copies of all its descriptors. Of the parent's threads it has only the one
that forked. So these steps run in the child before anything else:

1. The child closes its copies of the sockets and sends nothing: no close frame and no TLS alert. The connections belong
   to the parent, which notices nothing.
2. Each registered object's `after_fork` runs. It makes new locks, because a thread that is missing in the child may
   have held the old ones. It discards state that another thread may have left half changed, and keeps what the user
   wants.

No thread is started and no connection is opened in the child; the first use does that. A fork waits while a socket is
being made (`fork_guard`) and while a line is being logged, by this package (`log_guard`) or by others through the same
handlers (`hold_log_locks`): handlers, and the files to which they write, have locks that would stay locked in the
child. A fork waits for no other lock, so it can't deadlock.

In a gunicorn worker, gevent or eventlet may replace locks and threads only after the fork. So the child's first use
repeats the steps if the type of locks has changed by then: locks of the old type would block all its greenlets.

A server written in C may fork without running Python's fork hooks, as uWSGI does by default. Then the first public
method called in the child runs the steps above: each public method calls `detect_fork`, which compares process ids.
Such a fork has not waited for the two guards; `guard` frees the log handlers. A loop in a frame batch first
continues to the end of that batch, because a check before each frame would take too much time. On Linux `detect_fork`
reads a page of memory that the kernel clears in children, which is cheaper than asking for the process id.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, Protocol

__all__ = [
    "FirstUse", "ForkAware", "NotPicklable", "close_in_child", "detect_fork", "fork_guard", "hold_log_locks",
    "install_fork_hooks", "log_guard", "register",
]  # fmt: skip

_WIPE_ON_FORK = 18  # MADV_WIPEONFORK of Linux
_LOG_TIMEOUT = 1.0  # seconds; prevents a deadlock with a log handler that waits for the fork


class ForkAware(Protocol):
    """An object with locks, or with state that other threads change."""

    def after_fork(self) -> None:
        """Reset this object in a child in which no other thread runs."""


class _ForkState:
    """The sockets and objects of this process that a forked child has to close or reset."""

    def __init__(self) -> None:
        # Guards the attributes below. A fork takes it too. It is reentrant, because a signal handler may fork on a
        # thread that holds it.
        self.lock = threading.RLock()
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.registered: weakref.WeakKeyDictionary[ForkAware, None] = weakref.WeakKeyDictionary()  # oldest first
        self.registered_first: list[ForkAware] = []
        self.hooks_installed = False
        self.log_lock = threading.RLock()  # held while a line is logged
        self.handler_locks: Callable[[], list[Any]] = list
        self._held: list[Any] = []  # those of these locks that the fork in progress holds
        self.process = 0  # the id of the process that this state belongs to
        self.mark: Any = b"\0"  # its first byte is 0 if this may be another process
        self.unused: Any = None  # the kind of locks that a child has made, until its first use
        self._child_locks: dict[int, Any] = {}  # process id -> the lock under which that child is reset

    def before(self) -> None:
        self.lock.acquire()
        for lock in (self.log_lock, *self.handler_locks()):
            if lock.acquire(timeout=_LOG_TIMEOUT):
                self._held.append(lock)

    def _release(self) -> None:
        while self._held:
            with suppress(RuntimeError):  # in a child, Python has made the locks of handlers anew
                self._held.pop().release()

    def after_in_parent(self) -> None:
        self._release()
        self.lock.release()

    def detect_fork(self) -> None:
        process = os.getpid()
        with self._child_locks.setdefault(process, threading.RLock()):
            made, self.unused = self.unused, None
            if self.process != process or (made is not None and made is not threading.Lock):
                self.process = process
                self.reset()
            self.set_mark()

    def make_mark(self) -> None:
        """Make a page of memory that the kernel clears in a child; without one `detect_fork` compares process ids."""
        if sys.platform == "linux":
            try:
                page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
                page.madvise(_WIPE_ON_FORK)
                self.mark = page
            except (OSError, AttributeError, ValueError):
                pass
        self.set_mark()

    def set_mark(self) -> None:
        if isinstance(self.mark, mmap.mmap):
            self.mark[0] = 1

    def after_in_child(self) -> None:
        """Reset a child at once, and leave the mark at 0: its first use checks the kind of locks."""
        self._release()
        self.process = os.getpid()
        self.reset()
        self.unused = threading.Lock

    def reset(self) -> None:
        self.lock, self.log_lock = threading.RLock(), threading.RLock()
        for sock in list(self.sockets):
            sock.close()
        defect: BaseException | None = None
        # A stream is reset after the objects that it made.
        for fork_aware in (*self.registered_first, *reversed(list(self.registered))):
            try:
                fork_aware.after_fork()
            except BaseException as error:  # the others are reset all the same
                defect = error
        if defect is not None:
            raise defect


_state = _ForkState()


def install_fork_hooks() -> None:
    """Reset forked children from now on. Registers hooks with the process, once; not called at import."""
    detect_fork()
    with _state.lock:
        if _state.hooks_installed:
            return
        _state.process = os.getpid()
        _state.make_mark()
        if hasattr(os, "register_at_fork"):
            in_parent, in_child = _state.after_in_parent, _state.after_in_child
            os.register_at_fork(before=_state.before, after_in_parent=in_parent, after_in_child=in_child)
        _state.hooks_installed = True


def detect_fork() -> None:
    """Reset this process if it is a child that was forked without Python's hooks. Cheap otherwise."""
    if not _state.mark[0] and _state.hooks_installed:
        _state.detect_fork()


def register(fork_aware: ForkAware, *, first: bool = False) -> None:
    """Call `fork_aware.after_fork()` in each child while the object exists; objects registered later come first.

    Args:
        first: for an object that lives as long as the process: it comes before all others, whose hooks may use it.
    """
    detect_fork()
    with _state.lock:
        if first:
            _state.registered_first.append(fork_aware)
        else:
            _state.registered[fork_aware] = None


# The next two return the lock itself. A lock that the generator of a `contextmanager` takes stays held if a signal
# handler raises between the generator's step and the beginning of the block, as long as the error is kept.


def fork_guard() -> AbstractContextManager[object]:
    """Delay forks until the block of a `with` ends. It spans the making of a socket and its `close_in_child`."""
    detect_fork()
    return _state.lock


def log_guard() -> AbstractContextManager[object]:
    """Delay forks until the block of a `with`, which logs a line, ends."""
    detect_fork()
    return _state.log_lock


def hold_log_locks(handler_locks: Callable[[], list[Any]]) -> None:
    """Have each fork take the locks that a call of `handler_locks` returns, which are those of log handlers."""
    _state.handler_locks = handler_locks


def close_in_child(*sockets: socket.socket) -> None:
    """Close the copies of these sockets in each forked child."""
    with _state.lock:
        _state.sockets.update(sockets)


class FirstUse:
    """What a forked child does before it first uses something that it has from its parent.

    All parts of a stream share one object, and call it before each use. While the first use is pending, it makes the
    call that `after_fork` has set. That call ends with `done`; until then each use makes it again.
    """

    def __init__(self) -> None:
        self._resume: Callable[[], object] | None = None

    @property
    def pending(self) -> bool:
        """Whether this is a forked child, and nothing was used in it yet."""
        return self._resume is not None

    def after_fork(self, resume: Callable[[], object]) -> None:
        """Call `resume` before the next use."""
        self._resume = resume

    def done(self) -> None:
        """Note that `resume` has succeeded."""
        self._resume = None

    def __call__(self) -> None:
        """Resume if the first use is pending. Called without a lock held."""
        detect_fork()
        if (resume := self._resume) is not None:
            resume()


class NotPicklable:
    """Base class of objects that can't be sent to another process."""

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"a {name} can't be pickled or copied, because its connections and threads are those of one process: make "
            'a Stream in each process; or fork them (multiprocessing.get_context("fork")), with all streams in them'
        )
