"""Recordings of frames of one's own, and a clock that goes when a test says so."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kucoin_sync.internal.flag import Flag
from kucoin_sync.recording.compression import compression_for
from kucoin_sync.recording.format import Batch, End, FrameOrigin, Header, Line, Subscribed, frames_as_text, line_as_text
from kucoin_sync.recording.index import RecordingIndex
from kucoin_sync.recording.player import Clock

__all__ = [
    "SECOND",
    "START",
    "StepClock",
    "WatchedClock",
    "frames_in",
    "numbers",
    "push",
    "recorded",
    "rows_of",
    "write",
]

START, SECOND = 1_700_000_000_000_000_000, 1_000_000_000


def push(number: int, topic: str = "/market/match:BTC-USDT") -> bytes:
    """Return the frame of a push that carries a number."""
    return msgspec.json.encode({"topic": topic, "type": "message", "subject": "trade", "data": {"number": number}})


def write(path: Path, *blocks: Iterable[bytes | Line], whole: bool = True, **topics: Any) -> Path:
    """Write a recording of blocks of frames and lines; each block begins a second after the one before it."""
    names = topics.get("topics", ["/market/match:BTC-USDT"])
    first = [Header(1, "0", START, 1), Subscribed(START, "spot", False, tuple((name, None) for name in names))]
    texts = [b"".join(map(line_as_text, first))]
    for number, block in enumerate(blocks):
        origin = FrameOrigin(START + (number + 1) * SECOND, 1, "spot", False)
        texts.append(
            b"".join(
                frames_as_text(origin, [each]) if isinstance(each, bytes) else line_as_text(each) for each in block
            )
        )
    if whole:
        texts.append(line_as_text(End(START + (len(blocks) + 1) * SECOND)))
    compress = compression_for(path).compress
    path.write_bytes(b"".join(bytes(compress(text)) for text in texts))
    return path


def recorded(path: Any) -> list[bytes]:
    """Return all frames of a recording."""
    return frames_in(RecordingIndex(path).read())


def frames_in(records: Iterable[Any]) -> list[bytes]:
    """Return the frames among records."""
    return [frame for record in records if isinstance(record, Batch) for frame in record.frames]


class WatchedClock(Clock):
    """A clock on which every wait is over at once; it remembers them."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def wait(self, interruption: Flag, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        return interruption.is_set()


class StepClock(Clock):
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._time = self._asked = 0.0
        self.waiting = False  # whether a thread waits for a later time

    def now(self) -> float:
        self._asked = self._time
        return self._asked

    def move_to(self, time: float) -> None:
        """Let it be this late."""
        with self._moved:
            self._time = time
            self._moved.notify_all()

    def wait(self, interruption: Flag, seconds: float) -> bool:
        due = self._asked + seconds  # whoever waits has looked at the clock, which may have moved since
        with self._moved:
            while self._time < due and not interruption.is_set():
                self.waiting = True
                self._moved.wait(0.005)  # whoever interrupts tells the event only
            self.waiting = False
        return interruption.is_set()


def numbers(messages: Sequence[Any]) -> list[int]:
    """Return the numbers that pushes carry."""
    return [message.data["number"] for message in messages]


def rows_of(table: Path) -> list[dict[str, Any]]:
    """Return the rows of an exported table."""
    if table.suffix == ".csv":
        with open(table, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    found = pytest.importorskip("pyarrow.parquet").read_table(table)
    times = {each.name: found[each.name].cast("int64") for each in found.schema if "timestamp" in str(each.type)}
    columns = {name: times.get(name, found[name]).to_pylist() for name in found.column_names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
