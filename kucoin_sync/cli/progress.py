"""The progress of a command: one line that is overwritten in a terminal; no output elsewhere."""

from __future__ import annotations

import sys

from .screens import size_of

__all__ = ["ProgressLine", "size"]


class ProgressLine:
    """One line on standard error."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Overwrite the line."""
        if self._shown:
            width = size_of(sys.stderr).columns - 1
            print(f"\r{text[:width]:<{width}}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            self.show("")
            print("\r", end="", file=sys.stderr, flush=True)


def size(count: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
