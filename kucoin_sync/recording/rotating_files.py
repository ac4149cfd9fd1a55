"""Write the files of one recording: `day.jsonl.zst`, or `day-0001.jsonl.zst`, `day-0002.jsonl.zst` and so on.

Blocks are written whole or not at all. If the disk fills up in the middle of a block, the partial block is removed
before the next one is written. Until then, readers treat the file as truncated there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..internal.resources import shortage_error
from .compression import SUFFIXES, Buffer, Compression, compression_for
from .errors import RecordingError

__all__ = ["File", "OpenFile", "RotatingFiles", "numbered", "open_new", "part_of"]

_MAX_NUMBERS_TRIED = 100  # numbers to try if other recorders take them first
_PART = re.compile(r"(.*)-(\d{4,})")


class File(Protocol):
    """The part of `io.FileIO` that is used for writing."""

    def write(self, data: memoryview, /) -> int | None: ...
    def truncate(self, size: int, /) -> int: ...
    def seek(self, offset: int, /) -> int: ...
    def close(self) -> None: ...


#: Creates a file, which must not exist yet.
OpenFile = Callable[[Path], File]


def open_new(path: Path) -> File:
    """Create a file, which must not exist yet. It is unbuffered, so that written data outlives the process."""
    return open(path, "xb", buffering=0)


def numbered(path: Path, number: int) -> Path:
    """Return the path of the part with this number, from 1."""
    stem, suffix = _stem(path)
    return path.with_name(f"{stem}-{number:04d}{suffix}")


def part_of(path: Path) -> tuple[str, int]:
    """Return the name of a file without its part number, and the number; 0 if it has none."""
    stem, suffix = _stem(path)
    found = _PART.fullmatch(stem)
    return (f"{found[1]}{suffix}", int(found[2])) if found else (path.name, 0)


def _stem(path: Path) -> tuple[str, str]:
    suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
    return path.name.removesuffix(suffix), suffix


class RotatingFiles:
    """Writes blocks to one file, or to several in turn; used by one thread.

    Args:
        path: the path of the recording; a part number is added if `rotate_size` or `rotate_time` is set.
        rotate_size: bytes of a file after which the next file is started; None for no limit.
        rotate_time: seconds after which the next file is started; None for no limit.
        first_lines: returns the first lines of a part, given its number.
        clock: returns the current instant, in seconds.

    Attributes:
        path: the file that is being written.
        count: the number of files.
        written: bytes written to all files, compressed.

    Raises:
        RecordingError: the first file can't be created, or its name has no known suffix.
    """

    def __init__(
        self,
        path: Path,
        rotate_size: int | None,
        rotate_time: float | None,
        first_lines: Callable[[int], bytes],
        clock: Callable[[], float],
        open_file: OpenFile = open_new,
    ) -> None:
        self._compression: Compression = compression_for(path)
        self._base = path
        self._rotate_size = rotate_size
        self._rotate_time = rotate_time
        self._first_lines = first_lines
        self._clock = clock
        self._open = open_file
        self._file: File | None = None
        self._size = 0  # bytes of whole blocks in the file
        self._opened_at = 0.0
        self._has_partial_block = False  # whether a partial block may follow them
        self._number = 0
        self.path = path
        self.count = 0
        self.written = 0
        if rotate_size is not None or rotate_time is not None:
            self._number = _last_number(path)
        try:
            self._start_next()
        except (OSError, MemoryError) as error:
            if (missing := shortage_error(error, "the file")) is not None:
                raise RecordingError(f"{self.path} can't be created: {missing}", retriable=True) from None
            reason = (
                "it already exists; choose another name"
                if isinstance(error, FileExistsError)
                else getattr(error, "strerror", error)
            )
            raise RecordingError(f"{self.path} can't be created: {reason}") from None

    def write(self, text: Buffer) -> None:
        """Write a block, to a new file if rotation is due.

        Raises:
            OSError: nothing of the block counts as written.
        """
        if self._rotation_due():
            self._start_next()
        assert self._file is not None
        self._write_block(self._file, text)

    def close(self, text: bytes = b"") -> None:
        """Write a last block and close the file.

        Raises:
            OSError: the block could not be written.
        """
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if text:
                self._write_block(file, text)
        finally:
            file.close()

    def discard(self) -> None:
        """Close and delete the first file, which has only its first lines."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _rotation_due(self) -> bool:
        if self._file is None:
            return True
        return (self._rotate_size is not None and self._size >= self._rotate_size) or (
            self._rotate_time is not None and self._clock() - self._opened_at >= self._rotate_time
        )

    def _start_next(self) -> None:
        number, path, file = self._open_next()
        try:
            size = self._write_whole(file, self._first_lines(self.count + 1))
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        previous, self._file = self._file, file
        self._number, self.count, self.path, self._size, self._has_partial_block = (
            number,
            self.count + 1,
            path,
            size,
            False,
        )
        self._opened_at = self._clock()
        if previous is not None:
            previous.close()

    def _open_next(self) -> tuple[int, Path, File]:
        """Create the next file, with the next number or a higher one if another recorder has taken that number."""
        rotates = self._rotate_size is not None or self._rotate_time is not None
        number = self._number + 1
        for tries in range(1, _MAX_NUMBERS_TRIED + 1):
            path = numbered(self._base, number) if rotates else self._base
            if self.count == 0:
                self.path = path
            try:
                return number, path, self._open(path)
            except FileExistsError:
                if not rotates or tries == _MAX_NUMBERS_TRIED:
                    raise
            number = max(number, _last_number(self._base)) + 1
        raise AssertionError("unreachable")

    def _write_block(self, file: File, text: Buffer) -> None:
        if self._has_partial_block:
            self._remove_partial_block(file)
        self._has_partial_block = True
        self._size += self._write_whole(file, text)
        self._has_partial_block = False

    def _write_whole(self, file: File, text: Buffer) -> int:
        view = memoryview(self._compression.compress(text))
        size = len(view)
        while view:
            view = view[file.write(view) or 0 :]
        self.written += size
        return size

    def _remove_partial_block(self, file: File) -> None:
        """Remove the partial block after the last whole block."""
        file.seek(self._size)
        file.truncate(self._size)
        self._has_partial_block = False


def _last_number(path: Path) -> int:
    """Return the number of the last existing part, or 0 if there is none."""
    name = part_of(numbered(path, 1))[0]
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    parts = [part_of(each) for each in siblings if any(each.name.endswith(suffix) for suffix in SUFFIXES)]
    return max((number for base, number in parts if base == name), default=0)
