"""What a forked child makes of the sockets and streams that it has copies of.

A child has its parent's memory as it was at that instant, copies of all descriptors, and of the threads only the one
that forked. So there, before anything else runs:

1. Its copies of the sockets are closed without a word to the peer, neither a close frame nor a TLS alert. The
   connections belong to the parent, which notices nothing, and which alone can end them.
2. Whoever has enrolled makes itself anew: fresh locks for those that threads held which the child does not have, and
   nothing that another thread may have left half done. What the user wants is kept.

No thread is started and nothing is dialled; that is left to the first use. A fork waits for sockets that are being made
until they are noted, and for what is being logged: files have locks of their own, which the child would wait for in
vain. It waits for none of the other locks, so that it is safe wherever it happens.

A worker of gunicorn may have gevent or eventlet replace locks and threads only after the fork. The first use sees to
that child once more: locks of the old kind would hold up all of its greenlets.

A server that is written in C may fork without Python's hooks, as uWSGI does unless it is told otherwise. Then all of
this is done by the first public method that is called in the child: it calls `notice`, which compares the numbers of
the processes. The fork has waited for nothing then. A loop that was in the midst of a run (see `runs`) goes on to the
run's end first: to look before each frame costs too much. Where the system can do that (Linux), a page of memory that
it empties in children saves asking for the number.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol

__all__ = ["Heir", "OfOneProcess", "close_in_child", "enrol", "held_off", "marks", "notice", "speaking", "watch"]

MARKS = 100
_WIPE_ON_FORK = 18  # MADV_WIPEONFORK of Linux
_LONGEST_SPEECH = 1.0
"""Seconds for which a fork waits for what is being logged: it may be waiting for the fork."""


class Heir(Protocol):
    """Who has locks, or state that other threads change."""

    def forked(self) -> None:
        """Make yourself anew, in a child in which no other thread runs."""


class _Inheritance:
    """What a child has to see to, in the whole process."""

    def __init__(self) -> None:
        # Guards the following; a fork takes it, too, which may be in a signal's handler that interrupts who has it.
        self.lock = threading.RLock()
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.heirs: weakref.WeakKeyDictionary[Heir, None] = weakref.WeakKeyDictionary()  # oldest first
        self.watched = False
        self.voice = threading.RLock()  # whose turn it is to log
        self._silent = False  # whether the fork under way has that lock
        self.process = 0  # the one that all this belongs to
        self.mark: Any = b"\0"  # begins with 0 where this may be another process
        self.marks: Any = b"\1" * MARKS  # for who looks once for each message: as many, none of which is 0 here
        self.unused: Any = None  # the kind of locks that a child has made anew, until its first use
        self._seeing: dict[int, Any] = {}  # held by who sees to a child, by the child's number

    def before(self) -> None:
        self.lock.acquire()
        self._silent = self.voice.acquire(timeout=_LONGEST_SPEECH)

    def in_parent(self) -> None:
        if self._silent:
            self.voice.release()
        self.lock.release()

    def after_in_child(self) -> None:
        """See to a child at once, and leave the mark at 0: its first use looks for another kind of locks."""
        self.process = os.getpid()
        self.in_child()
        self.unused = threading.Lock

    def notice(self) -> None:
        process = os.getpid()
        with self._seeing.setdefault(process, threading.RLock()):
            made, self.unused = self.unused, None
            if self.process != process or (made is not None and made is not threading.Lock):
                self.process = process
                self.in_child()
            self.set_mark()

    def make_mark(self) -> None:
        """Make a page of memory that is all 0 in a child; without one `notice` asks for the process."""
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(_WIPE_ON_FORK)
        except (OSError, AttributeError, ValueError):
            return
        self.mark, self.marks = page, memoryview(page)[:MARKS]
        self.set_mark()

    def set_mark(self) -> None:
        if isinstance(self.mark, mmap.mmap):
            self.mark[:MARKS] = b"\1" * MARKS

    def in_child(self) -> None:
        self.lock, self.voice = threading.RLock(), threading.RLock()
        for sock in list(self.sockets):
            sock.close()
        for heir in reversed(list(self.heirs)):  # a stream comes after all that it has made
            heir.forked()


_inheritance = _Inheritance()


def watch() -> None:
    """See to children from now on. Registers with the process, once; not done at import."""
    notice()
    with _inheritance.lock:
        if not _inheritance.watched:
            _inheritance.process = os.getpid()
            _inheritance.make_mark()
        if not _inheritance.watched and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_inheritance.before,
                after_in_parent=_inheritance.in_parent,
                after_in_child=_inheritance.after_in_child,
            )
        _inheritance.watched = True


def notice() -> None:
    """See to a fork of which Python does not know, where this process is the child of one; cheap where it is not."""
    if not _inheritance.mark[0] and _inheritance.watched:
        _inheritance.notice()


def marks() -> Iterable[int]:
    """Return what to iterate over beside messages: where a 0 comes, call `notice`."""
    return _inheritance.marks  # type: ignore[no-any-return]


def enrol(heir: Heir) -> None:
    """Have a child call `heir.forked()`, if it still exists then; whoever enrolled last comes first."""
    notice()
    with _inheritance.lock:
        _inheritance.heirs[heir] = None


# The next two return the lock itself. One that the generator of a `contextmanager` takes stays held where a signal's
# handler raises between the generator's step and the beginning of the block, as long as somebody keeps the error.


def held_off() -> AbstractContextManager[object]:
    """Let no fork happen inside: between the making of a socket and `close_in_child`."""
    notice()
    return _inheritance.lock


def speaking() -> AbstractContextManager[object]:
    """Let no fork happen inside, where something is logged."""
    notice()
    return _inheritance.voice


def close_in_child(*sockets: socket.socket) -> None:
    """Have a child close its copies."""
    with _inheritance.lock:
        for sock in sockets:
            _inheritance.sockets.add(sock)


class OfOneProcess:
    """What can't be sent to another process."""

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"a {name} can't be pickled or copied, because its connections and threads are those of one process: make "
            'a Stream in each process; or fork them (multiprocessing.get_context("fork")), with all streams in them'
        )
