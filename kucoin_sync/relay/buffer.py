"""Buffer received messages until they are written to Redis, and build the entries to write.

Each record gets its sequence number here. A record that does not fit is dropped and its number is skipped, so that
readers see the gap.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias

import msgspec

from ..internal.flag import Flag
from .codec import MAX_BYTES, News, encode
from .keys import Keys

__all__ = ["Buffer", "EntryBuilder", "Flush", "Item", "RelayedTopic"]

_ENTRY_RECORDS = 500
_ENTRY_BYTES = 256 * 1024
_MAX_FRAME_BYTES = MAX_BYTES - 2 * _ENTRY_BYTES
"""Largest frame that is written, in bytes. An entry may also hold `_ENTRY_BYTES` of other records, and topic names."""

#: The fields of a `codec.Record`, or news.
Item: TypeAlias = "tuple[str, int, int, int, bytes] | tuple[str, int, int, int, bytes, bool] | News"


class Buffer:
    """A bounded queue of items from the stream's threads to the writing thread.

    Attributes:
        has_items: set while there are items; the writing thread waits for it.
        dropped: records that did not fit, into the buffer or into an entry.
    """

    def __init__(self, limit: int) -> None:
        self.items: deque[Item] = deque()
        self.has_items = Flag()
        self.dropped = 0
        self._limit = limit

    def put(self, item: Item) -> None:
        """Append an item, or drop a record if the buffer is full; news are always accepted. Never wait."""
        if isinstance(item, tuple) and (len(self.items) >= self._limit or len(item[4]) > _MAX_FRAME_BYTES):
            self.dropped += 1
            return
        self.items.append(item)
        if not self.has_items.is_set():
            self.has_items.set()

    def take(self, most: int) -> list[Item]:
        """Remove and return at most `most` items, without waiting."""
        self.has_items.clear()
        found = [self.items.popleft() for _ in range(min(most, len(self.items)))]
        if self.items:
            self.has_items.set()
        return found


class RelayedTopic:
    """A topic that a relay passes on; it numbers the topic's messages. Used by one thread at a time.

    Attributes:
        sequence: the number of its last record.
    """

    __slots__ = ("_epoch", "_put", "_run", "_run_of", "sequence", "topic")

    def __init__(self, topic: str, sequence: int, run_of: Callable[[int], int], put: Callable[[Item], None]) -> None:
        self.topic = topic
        self.sequence = sequence
        self._run_of = run_of
        self._put = put
        self._epoch = 0
        self._run = 0

    def forward(self, frame: bytes, epoch: int, received_ns: int, *, recovered: bool = False) -> None:
        """Put a frame that was received over the connection `epoch` into the buffer."""
        self.sequence += 1  # first, so that readers see a gap if the rest fails
        if epoch != self._epoch:
            self._epoch, self._run = epoch, self._run_of(epoch)
        record = (self.topic, self.sequence, self._run, received_ns, frame)
        self._put((*record, True) if recovered else record)


class RunNumbers:
    """Assigns run numbers: one for each pair of a connection and a count of a topic's subscriptions."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._known: dict[tuple[int, int], int] = {}

    def of(self, taken_up: int) -> Callable[[int], int]:
        """Return a function from epoch to run, for a topic that was subscribed for the `taken_up`-th time."""

        def run_of(epoch: int) -> int:
            if (epoch, taken_up) not in self._known:
                if len(self._known) >= 1000:
                    self._known.clear()
                self._known[epoch, taken_up] = next(self._numbers)
            return self._known[epoch, taken_up]

        return run_of


class Flush(msgspec.Struct):
    """One write to Redis: entries with their Redis streams, and the newest record and state of each topic."""

    entries: list[tuple[str, bytes]]
    last: dict[str, bytes]
    states: dict[str, bytes]


class EntryBuilder:
    """Builds entries from items."""

    def __init__(self, keys: Keys) -> None:
        self._shard = keys.shard
        self._streams: dict[str, str] = {}  # the Redis stream of each topic so far

    def flush(self, token: int, items: Iterable[Item], tried: Collection[int] = ()) -> Flush:
        """Return the entries for items, in their order within each Redis stream; for `tried` see `codec.Entry`."""
        entries: list[tuple[str, bytes]] = []
        last: dict[str, tuple[Any, ...]] = {}
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
                record = last[topic] = (*item[:4], msgspec.Raw(item[4]), *item[5:])
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
        return self._bytes >= _ENTRY_BYTES or len(self.records) >= _ENTRY_RECORDS

    def add(self, record: object, size: int) -> None:
        self.records.append(record)
        self._bytes += size

    def text(self, token: int, tried: Collection[int]) -> bytes:
        return encode((token, self.records, self.news, tried))
