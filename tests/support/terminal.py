"""A program in a pseudo terminal of a given size, and what an emulated terminal makes of its output."""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import pyte

from .processes import HEAR
from .threads import LIMIT, until

__all__ = ["EmulatedScreen", "Terminal"]

_ROOM = 4095
"""Bytes that a terminal of Linux holds until somebody reads them."""


class EmulatedScreen(pyte.Screen):
    """A screen with an alternate one, which counts what must not happen on that: lines that wrap, and scrolling."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.alternate = False
        self.wrapped = 0
        self.scrolled = 0

    def set_mode(self, *modes: int, **options: Any) -> None:
        super().set_mode(*modes, **options)
        if options.get("private") and 1049 in modes:
            self.alternate = True
            self.save_cursor()
            self._normal = copy.deepcopy(self.buffer)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if options.get("private") and 1049 in modes:
            self.alternate = False
            self.buffer = self._normal
            self.restore_cursor()

    def draw(self, data: str) -> None:
        for character in data:
            self.wrapped += self.alternate and self.cursor.x >= self.columns
            super().draw(character)

    def index(self) -> None:
        self.scrolled += self.alternate and self.cursor.y >= self.lines - 1
        super().index()


def _take_the_terminal() -> None:
    """Make the terminal the child's own, as a shell does, so that it may read keys; see `HEAR`, too."""
    HEAR()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`python -m kucoin_sync` with these arguments in a terminal; the end of the `with` kills what is left of it.

    Standard error is a pipe, or with `with_errors` the terminal, too.

    Attributes:
        screen: the emulated terminal.
        written: all that the program has written to it.
        master: the end of the terminal that is not the program's.
        modes: its modes before the program was started, as `termios.tcgetattr` tells them.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        with_errors: bool = False,
    ) -> None:
        self.screen = EmulatedScreen(columns, rows)
        self.written = b""
        self.began = time.monotonic()
        self._stream = pyte.ByteStream(self.screen)
        self.master, slave = pty.openpty()
        self.modes = termios.tcgetattr(self.master)
        self.resize(columns, rows)
        unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")
        clean = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kucoin_sync", *arguments],
            stdin=slave, stdout=slave, stderr=slave if with_errors else subprocess.PIPE,
            env={**clean, "TERM": "xterm-256color", **(environment or {})},
            # Where the tests run in the background of a shell script, SIGINT is ignored and children inherit that.
            preexec_fn=_take_the_terminal,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def wait_until_full(self) -> None:
        """Wait, without reading, until the program can write no more."""
        until(lambda: self._unread() >= _ROOM, "the terminal does not fill")

    def _unread(self) -> int:
        size: int = struct.unpack("i", fcntl.ioctl(self.master, termios.FIONREAD, bytes(4)))[0]
        return size

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, shown: Callable[[str], bool]) -> str:
        """Wait until the terminal shows something; return what it shows then."""
        deadline = time.monotonic() + LIMIT
        while not shown(self.text):
            assert time.monotonic() < deadline, f"waited in vain; the terminal shows\n{self.text}"
            assert self._read(deadline), f"the program has ended; the terminal shows\n{self.text}\n{self.errors()}"
        return self.text

    def finish(self) -> int:
        """Read all that still comes; return the exit code."""
        deadline = time.monotonic() + LIMIT
        while self._read(deadline):
            assert time.monotonic() < deadline, "the program does not end"
        return self.process.wait(LIMIT)

    def errors(self) -> str:
        """Return what the program, which has ended, wrote to standard error, unless that is the terminal."""
        self.process.wait(LIMIT)
        return "" if self.process.stderr is None else self.process.stderr.read().decode()

    def _read(self, deadline: float) -> bool:
        """Take in what comes, waiting for it; return whether more may come."""
        ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self.master, 65536) if ready else b""
        except OSError:
            return False  # as a terminal ends on Linux
        self.written += data
        self._stream.feed(data)
        return bool(data)
