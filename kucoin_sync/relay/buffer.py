"""What a relay has received and not yet written to Redis, and how it becomes entries.

Counting begins here: a record that finds no room is left out, and its number with it, so that readers see the gap.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

import msgspec

from .entries import MOST_BYTES, News, encode
from .keys import Keys

__all__ = ["Buffer", "Feed", "Flush", "Item", "Writer"]

_RECORDS = 500
_BYTES = 256 * 1024
_FRAME = MOST_BYTES - 2 * _BYTES
"""Bytes of a frame that an entry has room for: beside it there may be records of `_BYTES`, and names."""

#: A record, as the fields that `entries.Record` has, or news.
Item: TypeAlias = "tuple[str, int, int, int, bytes] | News"


class Buffer:
    """Items on their way from the threads of the stream to the one that writes.

    Attributes:
        wanted: set when there is something, for the one thread that takes.
        dropped: records that found no room, here or in an entry.
    """

    def __init__(self, limit: int) -> None:
        self.items: deque[Item] = deque()
        self.wanted = threading.Event()
        self.dropped = 0
        self._limit = limit

    def put(self, item: Item) -> None:
        """Take an item; news always find room. Never waits."""
        if isinstance(item, tuple) and (len(self.items) >= self._limit or len(item[4]) > _FRAME):
            self.dropped += 1
            return
        self.items.append(item)
        if not self.wanted.is_set():
            self.wanted.set()

    def take(self, most: int) -> list[Item]:
        """Return what is there, at most so many; wait for nothing."""
        self.wanted.clear()
        found = [self.items.popleft() for _ in range(min(most, len(self.items)))]
        if self.items:
            self.wanted.set()
        return found


class Feed:
    """One topic while a relay carries it; of one thread at a time.

    Attributes:
        sequence: of its last record.
    """

    __slots__ = ("_epoch", "_put", "_run", "_run_of", "sequence", "topic")

    def __init__(self, topic: str, sequence: int, run_of: Callable[[int], int], put: Callable[[Item], None]) -> None:
        self.topic = topic
        self.sequence = sequence
        self._run_of = run_of
        self._put = put
        self._epoch = 0
        self._run = 0

    def took(self, frame: bytes, epoch: int, received_ns: int) -> None:
        """Pass a frame on that came over the connection `epoch`."""
        self.sequence += 1  # first: readers see a gap where what follows fails
        if epoch != self._epoch:
            self._epoch, self._run = epoch, self._run_of(epoch)
        self._put((self.topic, self.sequence, self._run, received_ns, frame))


class Runs:
    """Numbers of runs, by the stream's connection and by how often a topic was taken up."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._known: dict[tuple[int, int], int] = {}

    def of(self, taken_up: int) -> Callable[[int], int]:
        """Return what gives the runs of a topic that was taken up so many times."""

        def run_of(epoch: int) -> int:
            if (epoch, taken_up) not in self._known:
                if len(self._known) >= 1000:
                    self._known.clear()
                self._known[epoch, taken_up] = next(self._numbers)
            return self._known[epoch, taken_up]

        return run_of


class Flush(msgspec.Struct):
    """What is written at one go: entries with their streams, and the newest record and state of each topic."""

    entries: list[tuple[str, bytes]]
    last: dict[str, bytes]
    states: dict[str, bytes]


class Writer:
    """Makes entries."""

    def __init__(self, keys: Keys) -> None:
        self._shard = keys.shard
        self._streams: dict[str, str] = {}  # by topic, of the topics that came so far

    def flush(self, token: int, items: Iterable[Item], tried: Collection[int] = ()) -> Flush:
        """Return the entries for items, in which each stream keeps their order; `tried` as in `Entry`."""
        entries: list[tuple[str, bytes]] = []
        last: dict[str, tuple[str, int, int, int, msgspec.Raw]] = {}
        states: dict[str, bytes] = {}
        drafts: dict[str, _Draft] = {}
        for item in items:
            topic = item.topic if isinstance(item, News) else item[0]
            stream = self._streams.get(topic) or self._streams.setdefault(topic, self._shard(topic))
            draft = drafts.get(stream)
            if draft is None or draft.closed or (draft.news and not isinstance(item, News)):
                if draft is not None:
                    entries.append((stream, draft.text(token, tried)))
                draft = drafts[stream] = _Draft()
            if isinstance(item, News):
                draft.news.append(item)
                states[topic] = b"" if item.kind in ("dropped", "refused") else encode((token, item))
            else:
                record = last[topic] = (*item[:4], msgspec.Raw(item[4]))
                draft.add(record, len(item[4]))
        entries += [(stream, draft.text(token, tried)) for stream, draft in drafts.items()]
        return Flush(entries, {topic: encode((token, record)) for topic, record in last.items()}, states)


class _Draft:
    """An entry that is being filled."""

    __slots__ = ("_bytes", "news", "records")

    def __init__(self) -> None:
        self.records: list[object] = []
        self.news: list[News] = []
        self._bytes = 0

    @property
    def closed(self) -> bool:
        return self._bytes >= _BYTES or len(self.records) >= _RECORDS

    def add(self, record: object, size: int) -> None:
        self.records.append(record)
        self._bytes += size

    def text(self, token: int, tried: Collection[int]) -> bytes:
        return encode((token, self.records, self.news, tried))
