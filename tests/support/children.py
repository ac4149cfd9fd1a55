"""Python scripts in processes of their own, which never outlive the test."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["script"]


@contextmanager
def script(
    text: str, *arguments: str, before: Callable[[], object] | None = None, inside: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a script with a pipe to its input and one from its output.

    `before` is called in the child first; `inside` is a command that runs the rest of its command line.
    """
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", textwrap.dedent(text), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
