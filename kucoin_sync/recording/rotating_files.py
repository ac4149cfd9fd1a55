"""The files of one recording, one after the other: `day.jsonl.zst`, or `day-0001.jsonl.zst`, `day-0002.jsonl.zst` …

Whole blocks are written, or nothing of one: where the disk is full in the middle of a block, its beginning is taken
back before the next one is written; until then a reader takes it for the end of a file that was cut.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..internal.resources import shortage_error
from .compression import SUFFIXES, Buffer, Packing, packing_for
from .errors import RecordingError

__all__ = ["File", "OpenFile", "RotatingFiles", "numbered", "open_new", "part_of"]

_TRIES = 100  # numbers that may turn out to be taken
_PART = re.compile(r"(.*)-(\d{4,})")


class File(Protocol):
    """What is written to; see `io.FileIO`."""

    def write(self, data: memoryview, /) -> int | None: ...
    def truncate(self, size: int, /) -> int: ...
    def seek(self, offset: int, /) -> int: ...
    def close(self) -> None: ...


#: Opens a file that is not there yet.
OpenFile = Callable[[Path], File]


def open_new(path: Path) -> File:
    """Open a file that must not be there yet, unbuffered: what was written outlives the process."""
    return open(path, "xb", buffering=0)


def numbered(path: Path, number: int) -> Path:
    """Return the path of a part, from 1."""
    stem, suffix = _stem(path)
    return path.with_name(f"{stem}-{number:04d}{suffix}")


def part_of(path: Path) -> tuple[str, int]:
    """Return what tells in which order files are parts of a recording: the name without the number, and the number."""
    stem, suffix = _stem(path)
    found = _PART.fullmatch(stem)
    return (f"{found[1]}{suffix}", int(found[2])) if found else (path.name, 0)


def _stem(path: Path) -> tuple[str, str]:
    suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
    return path.name.removesuffix(suffix), suffix


class RotatingFiles:
    """Writes blocks; owned by one thread.

    Args:
        path: of the recording; its parts are numbered if there may be several.
        rotate_size: bytes of a file after which the next is begun, None for one file.
        rotate_time: seconds after which the next is begun, None for one file.
        beginning: returns the first lines of a part, by its number.
        clock: seconds.

    Attributes:
        path: of the file under way.
        count: how many files there are.
        written: bytes written to all of them.

    Raises:
        RecordingError: the first file can't be made, or its name has no known suffix.
    """

    def __init__(
        self,
        path: Path,
        rotate_size: int | None,
        rotate_time: float | None,
        beginning: Callable[[int], bytes],
        clock: Callable[[], float],
        open_file: OpenFile = open_new,
    ) -> None:
        self._packing: Packing = packing_for(path)
        self._base = path
        self._rotate_size = rotate_size
        self._rotate_time = rotate_time
        self._beginning = beginning
        self._clock = clock
        self._open = open_file
        self._file: File | None = None
        self._size = 0  # of what is whole in the file
        self._began = 0.0
        self._torn = False  # whether something may stand behind it
        self._number = 0
        self.path = path
        self.count = 0
        self.written = 0
        if rotate_size is not None or rotate_time is not None:
            self._number = _last_number(path)
        try:
            self._next()
        except (OSError, MemoryError) as error:
            if (missing := shortage_error(error, "the file")) is not None:
                raise RecordingError(f"{self.path} can't be made: {missing}", retriable=True) from None
            reason = (
                "it is there already; choose another name"
                if isinstance(error, FileExistsError)
                else getattr(error, "strerror", error)
            )
            raise RecordingError(f"{self.path} can't be made: {reason}") from None

    def write(self, text: Buffer) -> None:
        """Write a block, in the next file where that is due. Raises OSError, with nothing of it written."""
        if self._is_due():
            self._next()
        assert self._file is not None
        self._put(self._file, text)

    def close(self, text: bytes = b"") -> None:
        """Write a last block and close the file. Raises OSError where the block could not be written."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if text:
                self._put(file, text)
        finally:
            file.close()

    def discard(self) -> None:
        """Close the first file, to which nothing was written but its beginning, and take it away."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _is_due(self) -> bool:
        if self._file is None:
            return True
        return (self._rotate_size is not None and self._size >= self._rotate_size) or (
            self._rotate_time is not None and self._clock() - self._began >= self._rotate_time
        )

    def _next(self) -> None:
        number, path, file = self._open_next()
        try:
            size = self._put_whole(file, self._beginning(self.count + 1))
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        previous, self._file = self._file, file
        self._number, self.count, self.path, self._size, self._torn = number, self.count + 1, path, size, False
        self._began = self._clock()
        if previous is not None:
            previous.close()

    def _open_next(self) -> tuple[int, Path, File]:
        """Open the next file: with the next number, or a higher one where another recorder has taken that meanwhile."""
        rotates = self._rotate_size is not None or self._rotate_time is not None
        number = self._number + 1
        for tries in range(1, _TRIES + 1):
            path = numbered(self._base, number) if rotates else self._base
            if self.count == 0:
                self.path = path
            try:
                return number, path, self._open(path)
            except FileExistsError:
                if not rotates or tries == _TRIES:
                    raise
            number = max(number, _last_number(self._base)) + 1
        raise AssertionError("unreachable")

    def _put(self, file: File, text: Buffer) -> None:
        if self._torn:
            self._mend(file)
        self._torn = True
        self._size += self._put_whole(file, text)
        self._torn = False

    def _put_whole(self, file: File, text: Buffer) -> int:
        view = memoryview(self._packing.pack(text))
        size = len(view)
        while view:
            view = view[file.write(view) or 0 :]
        self.written += size
        return size

    def _mend(self, file: File) -> None:
        """Take back what stands behind the last whole block."""
        file.seek(self._size)
        file.truncate(self._size)
        self._torn = False


def _last_number(path: Path) -> int:
    """Return the number of the last part that is there, 0 without one."""
    name = part_of(numbered(path, 1))[0]
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    parts = [part_of(each) for each in siblings if any(each.name.endswith(suffix) for suffix in SUFFIXES)]
    return max((number for base, number in parts if base == name), default=0)
