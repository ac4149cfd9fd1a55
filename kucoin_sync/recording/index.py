"""`RecordingIndex`: the files, blocks, topics and snapshots of a recording.

All files are read once. Only recorder lines are decoded, and frames with pushed snapshots of books; all other frames
are skipped. The index is small: the position of each block, the topics, and the positions of the snapshots.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..internal.resources import shortage_error
from .compression import SUFFIXES, compression_for
from .errors import RecordingError
from .format import (
    FORMAT,
    Dropped,
    End,
    Header,
    Line,
    Record,
    SnapshotLine,
    Subscribed,
    recorder_lines,
    records,
    time_of,
)
from .pushed import has_pushed_snapshots, pushed_snapshots

__all__ = ["BlockPosition", "Paths", "RecordingIndex"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Kind = tuple[str, bool]
SnapshotKey = tuple[str, str, str]

_MOST_NAMES = 100_000
"""Largest number of topics of a kind, and of books, in an index; far more than KuCoin has. Others are left out."""

#: Opens a file for reading.
OpenFile = Callable[[Path], BinaryIO]


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")


class BlockPosition(NamedTuple):
    """The position of a block: the number of its file, and the offset in that file in bytes."""

    file: int
    offset: int


class RecordingIndex:
    """An indexed recording, which can be read from any time.

    Args:
        paths: a file, a folder, a pattern such as "day-*.jsonl.zst", or several of these.

    Attributes:
        files: the files, ordered by the time of their creation.
        topics: the subscribed topics, each with its tunnel or None; keyed by market and whether private.
        snapshots: the blocks that have snapshots of a book, each with the time of its first one and its position; keyed
            by market, REST path and symbol. The path is "" for those that the UTA feed has pushed, which are frames.
        begin_ns, end_ns: the first and the last time, in nanoseconds since 1970.
        dropped: messages that the recorder dropped.
        torn: files that the recorder did not close, or that are damaged.

    Raises:
        RecordingError: there is no such file, or a file is not a recording.
    """

    def __init__(self, paths: Paths) -> None:
        found = _matching_files(paths)
        self.topics: dict[Kind, set[tuple[str, str | None]]] = {}
        self.snapshots: dict[SnapshotKey, list[tuple[int, BlockPosition]]] = {}
        self.begin_ns = self.end_ns = 0
        self.dropped = 0
        self.torn: list[Path] = []
        self.files = sorted(found, key=_creation_time)
        self._blocks: list[tuple[int, BlockPosition]] = []  # the first time and the position of each
        try:
            for number in range(len(self.files)):
                self._scan(number)
        except (OSError, MemoryError) as error:
            raise _unreadable(self.files[number], error) from None

    @property
    def name(self) -> str:
        """The name of the recording for messages: its first file, and the number of others."""
        first = self.files[0].name
        return first if len(self.files) == 1 else f"{first} and {len(self.files) - 1} more"

    def read(self, position: BlockPosition | None = None, open_file: OpenFile = _open) -> Iterator[Record]:
        """Yield the records from the block at `position` on, or from the beginning if it is None."""
        position = position or BlockPosition(0, 0)
        for number in range(position.file, len(self.files)):
            path = self.files[number]
            with open_file(path) as file:
                for block in compression_for(path).blocks(file, position.offset if number == position.file else 0):
                    yield from records(block.text)

    def position_at(self, at_ns: int) -> BlockPosition:
        """Return the position of the last block that starts at or before a time, else of the first block."""
        before = [position for began, position in self._blocks if began <= at_ns]
        return before[-1] if before else BlockPosition(0, 0)

    def _scan(self, number: int) -> None:
        path = self.files[number]
        last: Line | None = None
        last_ns, whole = 0, True
        with open(path, "rb") as file:
            for block in compression_for(path).blocks(file):
                position, whole = BlockPosition(number, block.offset), block.whole
                first_ns = time_of(block.text)
                if first_ns is None:
                    continue
                self._blocks.append((first_ns, position))
                self.begin_ns = self.begin_ns or first_ns
                last_ns = time_of(block.text, last=True) or first_ns
                for last in recorder_lines(block.text):
                    self._add_line(last, position)
                if has_pushed_snapshots(block.text):
                    for market, symbol, at_ns in pushed_snapshots(block.text):
                        self._add_snapshot((market, "", symbol), at_ns, position)
        self.end_ns = max(self.end_ns, last_ns)
        if not whole or not isinstance(last, End):
            self.torn.append(path)

    def _add_line(self, line: Line, position: BlockPosition) -> None:
        if isinstance(line, Subscribed):
            topics = self.topics.setdefault((line.market, line.private), set())
            if len(topics) < _MOST_NAMES:
                topics.update(line.topics)
        elif isinstance(line, SnapshotLine):
            self._add_snapshot((line.market, line.path, line.symbol), line.at_ns, position)
        elif isinstance(line, Dropped):
            self.dropped += line.count

    def _add_snapshot(self, book: SnapshotKey, at_ns: int, position: BlockPosition) -> None:
        known = self.snapshots.get(book)
        if known is None and len(self.snapshots) < _MOST_NAMES:
            self.snapshots[book] = [(at_ns, position)]
        elif known is not None and known[-1][1] != position:
            known.append((at_ns, position))


def _matching_files(paths: Paths) -> list[Path]:
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


def _creation_time(path: Path) -> int:
    """Return the time of a file's creation; raise RecordingError if it is not a recording."""
    try:
        with open(path, "rb") as file:
            block = next(compression_for(path).blocks(file), None)
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from None
    header = next(recorder_lines(block.text), None) if block else None
    if not isinstance(header, Header):
        raise RecordingError(f"{path} is not a recording, or its beginning is damaged")
    if header.format > FORMAT:
        raise RecordingError(
            f"{path} was written by kucoin-sync {header.package} in a format that this version can't read; update "
            "kucoin-sync"
        )
    return header.at_ns
