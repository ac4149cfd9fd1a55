"""Whether we are called by a signal's handler that has interrupted this package at work.

The main thread may then hold a lock that it only releases once the handler has returned, so that waiting for that lock,
or for a thread that waits for it, would take for ever.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType

__all__ = ["interrupted"]


def interrupted() -> bool:
    """Return whether below the caller, and whoever else outside of this package calls it, a stream is at work.

    Only the main thread is ever interrupted. What is built on streams (the subpackages) holds none of their locks.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package(frame).partition(".")[0] == __package__:
        frame = frame.f_back
    while frame is not None and _package(frame) != __package__:
        frame = frame.f_back
    return frame is not None


def _package(frame: FrameType) -> str:
    """Return the package of the code that runs in a frame, "" for a program's own module, as which ours runs, too."""
    names = frame.f_globals
    return "" if names.get("__name__") == "__main__" else str(names.get("__package__") or "")
