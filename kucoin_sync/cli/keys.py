"""The keys that are pressed while a live view has the terminal."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from types import TracebackType

__all__ = ["PressedKeys"]

_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.)?")
"""What an arrow or a function key sends."""
_FIRST_OF_TWO = "\0\xe0"
"""With what the two codes of such a key begin on Windows."""
_LOOK_EVERY = 0.05


class PressedKeys:
    """The keys of the terminal behind standard input, one at a time and without an echo, until the end of the `with`.

    There are none where standard input is no terminal, or one in which another program is at the front: reading it
    would stop this one. Ctrl-C goes on to work as everywhere.

    Attributes:
        on: whether keys can be pressed.
    """

    def __init__(self, *, wanted: bool) -> None:
        self.on = False
        self._wanted = wanted
        self._before: list[object] = []
        self._input = -1

    def __enter__(self) -> PressedKeys:
        if not self._wanted:
            return self
        if sys.platform == "win32":
            self.on = sys.stdin is not None and sys.stdin.isatty()
        else:
            try:
                import termios
                import tty
            except ImportError:
                return self
            try:
                self._input = sys.stdin.fileno()
                if os.getpgrp() == os.tcgetpgrp(self._input):
                    self._before = termios.tcgetattr(self._input)
                    self.on = True
                    tty.setcbreak(self._input)
            except (OSError, ValueError, AttributeError, termios.error):
                pass  # standard input is closed, or no terminal
        return self

    def wait(self, seconds: float) -> str:
        """Wait for some seconds or for keys, and return these; Ctrl-C interrupts it."""
        if not self.on:
            time.sleep(seconds)  # not Event.wait: a signal can make it raise an error of its own
            return ""
        if sys.platform == "win32":
            return _console_keys(seconds)
        ready, _, _ = select.select([self._input], [], [], seconds)
        if not ready:
            return ""
        try:
            pressed = os.read(self._input, 1024)
        except OSError:
            pressed = b""
        if not pressed:  # the terminal is gone
            self._restore()
        return _ESCAPE.sub("", pressed.decode("ascii", "replace"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        if self.on and sys.platform != "win32":
            import contextlib
            import termios

            self.on = False
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]


def _console_keys(seconds: float) -> str:
    """Do as `PressedKeys.wait` in a console of Windows, where nothing can wait for a key and a time at once."""
    pressed = ""
    if sys.platform == "win32":
        import msvcrt

        deadline = time.monotonic() + seconds
        while not msvcrt.kbhit() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY))
        while msvcrt.kbhit():
            key = msvcrt.getwch()
            if key in _FIRST_OF_TWO:
                msvcrt.getwch()
            else:
                pressed += key
    return pressed
