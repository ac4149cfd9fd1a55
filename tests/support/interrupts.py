"""Exceptions of signals' handlers, raised at a chosen point: the n-th at which Python may run a handler.

Python runs handlers when a function begins and when a call has returned. It does not run them between two other
instructions, so that no test raises there.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

import kucoin_sync

__all__ = ["Interrupt", "interrupted", "interrupted_at", "points_of"]

_PACKAGE = os.path.dirname(kucoin_sync.__file__)
_LOOPS = ("__iter__", "each_frame")  # generators over which users iterate
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
    sys.setprofile(look)
    kept = None  # a loop that is left half-way must not end, which nobody sees an exception of, before we look away
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
    if f"{os.sep}hypothesis{os.sep}" in code.co_filename:  # which has itself called by the collector
        return True
    if code.co_filename == socket.__file__:  # whose `socketpair` has descriptors that nobody owns for a moment
        return True
    if code.co_name == "__del__" or "weakref" in os.path.basename(code.co_filename):
        return True
    return event == "call" and bool(code.co_flags & inspect.CO_GENERATOR) and code.co_name not in _LOOPS


def points_of(call: Callable[[], object]) -> Iterator[int]:
    """Yield 1, 2, … after having called with an interrupt at that point, as long as there is one."""
    for point in count(1):
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

    try:
        sys.setprofile(pass_or_interrupt)
        call()
    finally:
        sys.setprofile(None)
