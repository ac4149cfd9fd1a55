"""Write a file atomically: to a temporary name in the same folder, then move the finished file to its final name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; then move the file to `path`, or delete it if an exception was raised.

    Raises:
        FileExistsError: `path` exists, at the beginning or at the end, and is not to be replaced. It is not changed.
    """
    if not replace and os.path.lexists(path):
        raise FileExistsError(path)
    temporary = path.with_name(f".{token_hex(8)}.part")
    try:
        yield temporary
        if replace:
            os.replace(temporary, path)
        else:
            _move(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # the file was moved, or never created
            temporary.unlink()


def _move(source: Path, target: Path) -> None:
    """Move a file without replacing another one."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # this file system has no hard links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.replace(source, target)
