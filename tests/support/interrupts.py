"""Exceptions of signals' handlers, raised at a chosen point: the n-th at which Python may run a handler.

Python runs handlers when a function begins and when a call has returned. It does not run them between two other
instructions, so that no test raises there.
"""

from __future__ import annotations

import gc
import inspect
import os
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import CodeType, FrameType
from typing import Any, NoReturn

import kucoin_sync
from kucoin_sync.books.locks import BookLocks

from .threads import Task, until

__all__ = [
    "Interrupt", "code_of", "handled_before", "interrupt", "interrupted", "interrupted_at", "points_of", "read_before",
]  # fmt: skip

_PACKAGE = os.path.dirname(kucoin_sync.__file__)
_LOOPS = ("__iter__", "decode_batch")  # generators over which users iterate
_TESTS = os.path.dirname(os.path.dirname(__file__))


class Interrupt(BaseException):
    """What the handler raises."""


def interrupted_at(point: int, call: Callable[[], object], errors: list[BaseException]) -> bool:
    """Call; return whether there was such a point inside the code under test, at which an `Interrupt` was raised.

    It is added to `errors`, as a program may keep it: whatever was under way is kept with it.
    """
    left = point

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in ("call", "c_return") and _is_inside(frame) and not _is_unseen(frame, event):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise Interrupt

    before = sys.getprofile()
    kept = None  # a loop that is left half-way must not end, which nobody sees an exception of, before we look away
    with _no_collector():
        sys.setprofile(look)
        try:
            kept = call()
        except Interrupt as error:
            errors.append(error)
        finally:
            sys.setprofile(before)
        del kept
    return left <= 0


def _is_inside(frame: FrameType | None) -> bool:
    """Whether a frame is the package's, or of what the package has called."""
    while frame is not None and not frame.f_code.co_filename.startswith(_TESTS):
        if frame.f_code.co_filename.startswith(_PACKAGE):
            return True
        frame = frame.f_back
    return False


def _is_unseen(frame: FrameType, event: str) -> bool:
    """Whether nobody can see what is raised: Python prints it, or the standard library loses what it had."""
    code = frame.f_code
    if code.co_filename == socket.__file__:  # whose `socketpair` has descriptors that nobody owns for a moment
        return True
    if code.co_name == "__del__" or "weakref" in os.path.basename(code.co_filename):
        return True
    return event == "call" and bool(code.co_flags & inspect.CO_GENERATOR) and code.co_name not in _LOOPS


def points_of(call: Callable[[], object], every: int = 1) -> Iterator[int]:
    """Yield the number of each `every`-th point after a call with an interrupt there; the first of them is random."""
    for point in count(random.randint(1, every), every):
        kept: list[BaseException] = []
        if not interrupted_at(point, call, kept):
            return
        yield point


def interrupted(call: Callable[[], object], instant: int) -> None:
    """Have Ctrl-C come in a call, at one of the instants at which it may: a function begins, or a built-in returns."""
    left = instant

    def pass_or_interrupt(_: object, event: str, __: object) -> None:
        nonlocal left
        left -= event in ("call", "c_return")
        if not left:
            raise KeyboardInterrupt

    with _no_collector():
        try:
            sys.setprofile(pass_or_interrupt)
            call()
        finally:
            sys.setprofile(None)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector from running: Python only prints what is raised in its finalisers and callbacks."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def handled_before(step: int, call: Callable[[], object], handle: Callable[[], object], code: set[CodeType]) -> bool:
    """Call, and run `handle` before the n-th bytecode of these functions; return whether there were so many.

    What `handle` raises comes out of that bytecode. There are more such instants than Python has for signal handlers.
    """
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            handle()

    with _counted(count, code):
        try:
            call()
        except Interrupt:
            pass
    return left <= 0


def read_before(
    step: int, call: Callable[[], object], locks: BookLocks, read: Callable[[], object], code: set[CodeType]
) -> bool:
    """Call, and read before the n-th bytecode of these functions; return whether there were so many.

    If the lock is held there, another reader waits for it, and has the readers' lock.
    """
    readers: list[Task[object]] = []

    def handle() -> None:
        if locks.lock._is_owned():  # type: ignore[attr-defined]
            readers.append(Task(locks.under_lock, lambda: None))
            until(lambda: not _is_free(locks.reader_lock), "the other reader does not wait")
        read()

    reached = handled_before(step, call, handle, code)
    for reader in readers:
        reader.result()
    return reached


def _is_free(lock: Any) -> bool:
    """Return whether nobody has a lock."""
    free: bool = lock.acquire(blocking=False)
    if free:
        lock.release()
    return free


@contextmanager
def _counted(count: Callable[[], None], code: set[CodeType]) -> Iterator[None]:
    """Call `count` before each bytecode of these functions, on this thread."""
    here = threading.get_ident()
    busy = False  # the handler may call such functions, too

    def look() -> None:
        nonlocal busy
        if not busy and threading.get_ident() == here:
            busy = True
            try:
                count()
            finally:
                busy = False

    if sys.version_info >= (3, 12):  # where opcodes that have run without a trace function are not traced again
        monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
        monitoring.use_tool_id(tool, __name__)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, lambda _, __: look())
        for each in code:
            monitoring.set_local_events(tool, each, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            for each in code:
                monitoring.set_local_events(tool, each, 0)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)
        return

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            if frame.f_code not in code:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            look()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def code_of(*owners: type) -> set[CodeType]:
    """Return the code of all functions that classes define."""
    return {member.__code__ for owner in owners for member in vars(owner).values() if inspect.isfunction(member)}


def interrupt() -> NoReturn:
    """Do what the handler of Ctrl-C does."""
    raise Interrupt
