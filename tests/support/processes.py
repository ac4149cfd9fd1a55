"""Programs in process groups of their own, which never outlive the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .threads import LIMIT, until

__all__ = ["HEAR", "EndingOnce", "Program"]

#: The type of a fixture: it returns options with which a command ends soon after a condition holds.
EndingOnce = Callable[..., list[str]]

#: Where the tests run in the background of a shell script, SIGINT is ignored and children inherit that: a `preexec_fn`.
HEAR = partial(signal.signal, signal.SIGINT, signal.default_int_handler)


class Program:
    """A program that runs for the length of a `with`; what it prints is shown where the test fails."""

    def __init__(self, command: Sequence[str], directory: Path, **environment: str) -> None:
        self._command = command
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._output = directory / "output.txt"

    def __enter__(self) -> Program:
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=HEAR,
            )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self, number: signal.Signals) -> int:
        """Send it a signal; return its exit code when it has ended."""
        self._process.send_signal(number)
        return self._process.wait(LIMIT)

    def printed(self, pattern: str) -> str:
        """Return the first group of a pattern in what it has printed, waiting for that."""
        found = until(lambda: re.search(pattern, self._output.read_text()), f"{pattern!r} was not printed")
        text: str = found[1]
        return text

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._command} has not ended within {LIMIT:g} s of SIGTERM") from None
        finally:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # none of its processes is left
            self._process.wait()
            print(self._output.read_text())
