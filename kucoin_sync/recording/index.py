"""`RecordingIndex`: the files of a recording, and what is in them.

All files are read through once: the lines of the recorder are looked at, the frames are passed over. What is kept is
small: one place for each block, and the names of topics and snapshots.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..internal.resources import shortage_error
from .compression import SUFFIXES, packing_for
from .errors import RecordingError
from .format import FORMAT, Dropped, End, Header, Line, Record, Snapshot, Subscribed, own_lines, records, time_of

__all__ = ["Paths", "Place", "RecordingIndex"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Kind = tuple[str, bool]
SnapshotKey = tuple[str, str, str]


#: Opens a file to be read.
OpenFile = Callable[[Path], BinaryIO]


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")


class Place(NamedTuple):
    """Where a block is: the number of its file, and the offset in it; blocks are ordered by it."""

    file: int
    offset: int


class RecordingIndex:
    """A recording, ready to be read from any time.

    Args:
        paths: a file, a folder, a pattern such as "day-*.jsonl.zst", or several of these.

    Attributes:
        files: in the order of their beginnings.
        topics: by market and whether private, the topics that were subscribed, each with its tunnel or None.
        snapshots: by market, REST path and symbol, the time of each and the place of its block.
        begin_ns, end_ns: the first and the last time.
        dropped: messages that the recorder dropped.
        torn: files that the recorder did not close, or that are damaged.

    Raises:
        RecordingError: there is no such file, or one is no recording.
    """

    def __init__(self, paths: Paths) -> None:
        found = _found(paths)
        self.topics: dict[Kind, set[tuple[str, str | None]]] = {}
        self.snapshots: dict[SnapshotKey, list[tuple[int, Place]]] = {}
        self.begin_ns = self.end_ns = 0
        self.dropped = 0
        self.torn: list[Path] = []
        self.files = sorted(found, key=_began)
        self._blocks: list[tuple[int, Place]] = []  # the first time and the place of each
        try:
            for number in range(len(self.files)):
                self._scan(number)
        except (OSError, MemoryError) as error:
            raise _unreadable(self.files[number], error) from None

    @property
    def name(self) -> str:
        """What to call it."""
        first = self.files[0].name
        return first if len(self.files) == 1 else f"{first} and {len(self.files) - 1} more"

    def read(self, place: Place | None = None, open_file: OpenFile = _open) -> Iterator[Record]:
        """Yield the records from a block on, from the beginning without one."""
        place = place or Place(0, 0)
        for number in range(place.file, len(self.files)):
            path = self.files[number]
            with open_file(path) as file:
                for block in packing_for(path).blocks(file, place.offset if number == place.file else 0):
                    yield from records(block.text)

    def place_at(self, at_ns: int) -> Place:
        """Return the last block that begins before a time, the first where none does."""
        before = [place for began, place in self._blocks if began <= at_ns]
        return before[-1] if before else Place(0, 0)

    def _scan(self, number: int) -> None:
        path = self.files[number]
        last: Line | None = None
        last_ns, whole = 0, True
        with open(path, "rb") as file:
            for block in packing_for(path).blocks(file):
                place, whole = Place(number, block.place), block.whole
                first_ns = time_of(block.text)
                if first_ns is None:
                    continue
                self._blocks.append((first_ns, place))
                self.begin_ns = self.begin_ns or first_ns
                last_ns = time_of(block.text, last=True) or first_ns
                for last in own_lines(block.text):
                    self._note(last, place)
        self.end_ns = max(self.end_ns, last_ns)
        if not whole or not isinstance(last, End):
            self.torn.append(path)

    def _note(self, line: Line, place: Place) -> None:
        if isinstance(line, Subscribed):
            self.topics.setdefault((line.market, line.private), set()).update(line.topics)
        elif isinstance(line, Snapshot):
            key = line.market, line.path, line.symbol
            self.snapshots.setdefault(key, []).append((line.at_ns, place))
        elif isinstance(line, Dropped):
            self.dropped += line.count


def _found(paths: Paths) -> list[Path]:
    found: dict[Path, None] = {}
    each: str | os.PathLike[str]
    for each in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        path = Path(each)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if any(file.name.endswith(end) for end in SUFFIXES)]
        elif path.exists():
            files = [path]
        else:
            files = [Path(name) for name in sorted(glob.glob(os.fspath(each)))]
        if not files:
            raise RecordingError(f"there is no recording {os.fspath(each)}; recordings end with {', '.join(SUFFIXES)}")
        found.update(dict.fromkeys(files))
    if not found:
        raise RecordingError("no recording was named")
    return list(found)


def _unreadable(path: Path, error: OSError | MemoryError) -> RecordingError:
    missing = shortage_error(error, "the file")
    if missing is not None:
        return RecordingError(f"{path} can't be read: {missing}", retriable=True)
    return RecordingError(f"{path} can't be read: {getattr(error, 'strerror', error)}")


def _began(path: Path) -> int:
    """Return when a file was begun; RecordingError where it is no recording."""
    try:
        with open(path, "rb") as file:
            block = next(packing_for(path).blocks(file), None)
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from None
    header = next(own_lines(block.text), None) if block else None
    if not isinstance(header, Header):
        raise RecordingError(f"{path} is no recording, or one of which not even the beginning is left")
    if header.format > FORMAT:
        raise RecordingError(
            f"{path} was made by kucoin-sync {header.package}, in a form that this version can't read; update it"
        )
    return header.at_ns
