"""A file that is whole or not there: written beside its place, under a name of its own, and moved there at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

__all__ = ["beside"]


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield the path to write to; move the file to `path` at the end, or remove it where anything was raised.

    Raises:
        FileExistsError: there is a file at `path`, before or at the end; it is left as it is.
    """
    if os.path.lexists(path):
        raise FileExistsError(path)
    temporary = path.with_name(f".{token_hex(8)}.part")
    try:
        yield temporary
        _move(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # it was moved, or never made
            temporary.unlink()


def _move(source: Path, target: Path) -> None:
    """Move a file without replacing another one."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        os.replace(source, target)
