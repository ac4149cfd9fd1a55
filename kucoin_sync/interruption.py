"""Whether we are called by a signal's handler that has interrupted this package at work.

The main thread may then hold a lock that it only releases once the handler has returned, so that waiting for that lock,
or for a thread that waits for it, would take for ever.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType

__all__ = ["interrupted"]

_PACKAGE = __name__.rpartition(".")[0]


def interrupted() -> bool:
    """Return whether below the caller, and whoever else outside of this package calls it, the package is at work.

    Only the main thread is ever interrupted. What is built on a stream (the subpackages) holds none of its locks.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    while frame is not None and not _is_ours(frame):
        frame = frame.f_back
    return frame is not None


def _is_ours(frame: FrameType) -> bool:
    package, _, _ = frame.f_globals.get("__name__", "").rpartition(".")
    return bool(package == _PACKAGE)
