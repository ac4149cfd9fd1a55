"""Forked children that do what a test says, and never outlive it."""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from .threads import LIMIT

__all__ = ["Child", "child", "client_sockets", "fork_unnoticed", "unix_sockets", "unwarned"]


_LONGER = LIMIT + 15
"""Seconds to wait for what a child says: longer than it waits itself, so that it can say what it has waited for."""


@contextmanager
def unwarned() -> Iterator[None]:
    """Let fork whoever wants to, though Python warns, with reason, of doing so beside threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class Child:
    """A forked child and what it says.

    Args:
        call: what it does; `say`, its argument, sends something to the parent.
        returns: whether the child, having done that, goes on where this was called, instead of ending.
        fork: makes the child.
    """

    def __init__(
        self,
        call: Callable[[Callable[[Any], None]], object],
        *,
        returns: bool = False,
        fork: Callable[[], int] = os.fork,
    ) -> None:
        faulthandler.register(
            signal.SIGUSR1, sys.__stderr__, all_threads=True
        )  # by which a child that hangs can be asked where
        self._reader, writer = os.pipe()
        with unwarned():
            self.pid = fork()
        self._status: int | None = None
        if self.pid == 0:
            os.close(self._reader)
            _run(call, writer)
            if not returns:
                os._exit(0)
        os.close(writer)
        self._pipe = os.fdopen(self._reader if self.pid else os.open(os.devnull, os.O_RDONLY), "rb")

    def hear(self) -> Any:
        """Return the next thing that it says; fail with its traceback where it failed, or when it says nothing."""
        try:
            if not select.select([self._pipe], [], [], _LONGER)[0]:
                raise AssertionError(f"the child said nothing within {_LONGER:g} s")
            said, failed = pickle.load(self._pipe)
        except EOFError:
            raise AssertionError("the child ended without a word") from None
        if failed:
            raise AssertionError(f"in the child:\n{said}")
        return said

    def wait(self) -> int:
        """Return the exit code, once it has ended by itself and said nothing more."""
        if select.select([self._pipe], [], [], LIMIT)[0] and self._pipe.peek(1):
            self.hear()
            raise AssertionError("the child said more than was asked for")
        _, self._status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status)

    def end(self) -> None:
        """Kill it where it still lives."""
        if self._status is None:
            if not select.select([self._pipe], [], [], 0)[0]:
                os.kill(self.pid, signal.SIGUSR1)
                time.sleep(1)  # until it has told: a signal that kills is not waited for
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self._pipe.close()


def _run(call: Callable[[Callable[[Any], None]], object], writer: int) -> None:
    def say(what: Any, failed: bool = False) -> None:
        data = pickle.dumps((what, failed))
        while data:
            data = data[os.write(writer, data) :]

    try:
        call(say)
    except BaseException:
        say(traceback.format_exc(), True)
        os._exit(1)


def fork_unnoticed() -> int:
    """Fork as a server does that is written in C: Python runs none of its hooks, and the parent's threads look alive.

    The interpreter renews its own lock all the same, as `os.fork` has it do. A child of the bare call of C would hang
    whenever a thread of its parent's was asking for that lock: it keeps the mark of a waiter who never comes.
    """
    hooks = _hooks()
    kept = [list(each) for each in hooks]
    for each in hooks:
        each.clear()
    pid = -1
    try:
        pid = os.fork()
    finally:
        for each, before in zip(hooks, kept, strict=True):
            each[:] = before
        if pid == 0:
            _let_threads_look_alive()
    return pid


@cache
def _hooks() -> list[list[Any]]:
    """Return the interpreter's own lists of what it calls before a fork, and after it in the parent and the child."""

    def known() -> None:
        """Do nothing: the lists are found by it."""

    os.register_at_fork(before=known, after_in_parent=known, after_in_child=known)
    gc.unfreeze()  # the collector tells only of objects that it looks at
    hooks = [each for each in gc.get_referrers(known) if isinstance(each, list)]
    gc.freeze()
    assert len(hooks) == 3
    return hooks


def _let_threads_look_alive() -> None:
    """Do to the parent's threads what a fork of C does, which tells nobody that they are no more."""

    gone = set(threading.enumerate()) - {threading.current_thread()}
    is_alive, join = threading.Thread.is_alive, threading.Thread.join

    def looks_alive(thread: threading.Thread) -> bool:
        return thread in gone or is_alive(thread)

    def join_own(thread: threading.Thread, timeout: float | None = None) -> None:
        assert thread not in gone, "a child waits for a thread of its parent's"
        join(thread, timeout)

    threading.Thread.is_alive, threading.Thread.join = looks_alive, join_own  # type: ignore[method-assign]


@contextmanager
def child(call: Callable[[Callable[[Any], None]], object], fork: Callable[[], int] = os.fork) -> Iterator[Child]:
    """Have a forked child do something; it is expected to end by itself, with the exit code 0."""
    made = Child(call, fork=fork)
    try:
        yield made
        assert made.wait() == 0
    finally:
        made.end()


def client_sockets(*ports: int) -> int:
    """Return how many sockets of this process are connected to one of these ports of this machine."""
    return sum(peer[1] in ports for _, peer in _sockets() if isinstance(peer, tuple))


def unix_sockets() -> int:
    """Return how many ends of socket pairs this process has."""
    return sum(family == socket.AF_UNIX for family, _ in _sockets())


def _sockets() -> Iterator[tuple[int, Any]]:
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as sock:
                try:
                    yield sock.family, sock.getpeername()
                except OSError:
                    yield sock.family, None
        except OSError:
            continue  # that of the listing itself
