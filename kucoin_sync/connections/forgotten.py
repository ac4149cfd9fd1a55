"""End a stream that users hold no part of, and say where it was made."""

from __future__ import annotations

import sys
import warnings
import weakref
from types import FrameType

from ..delivery.callbacks import Callbacks
from ..internal.signals import defer
from .manager import SubscriptionManager

__all__ = ["end_when_forgotten"]

_PACKAGE = __package__.partition(".")[0]


def end_when_forgotten(stream: object, name: str, manager: SubscriptionManager, callbacks: Callbacks) -> None:
    """Have the threads of `stream` end when nothing refers to it any more. None of the other arguments may do so.

    `name` is what the warning calls the stream.
    """
    finaliser = weakref.finalize(stream, _end, name, _place_of_user(), manager, callbacks)
    finaliser.atexit = False


def _place_of_user() -> tuple[str, int]:
    """Return the file and the line outside this package that have called into it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] != _PACKAGE:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "<unknown>", 1


def _end(name: str, place: tuple[str, int], manager: SubscriptionManager, callbacks: Callbacks) -> None:
    """End the threads of a stream. Runs on any thread, in the garbage collector."""
    if not manager.is_connected:
        return

    def end() -> None:
        callbacks.close()
        for watcher in list(manager.watchers.values()):
            if (close := getattr(watcher, "close", None)) is not None:
                close()
        manager.close()

    defer(end)
    warnings.warn_explicit(
        f"nothing refers to the {name} any more, and it was not closed: it ends now; close it, or use "
        f"`with`. It was made at {place[0]}, line {place[1]}",
        ResourceWarning,
        *place,
    )
