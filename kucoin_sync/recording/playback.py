"""Deliver a recording to the subscriptions and books of a replay, on the player's thread."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..delivery.queue import MessageQueue
from ..events import Connected, Disconnected, Event
from ..exceptions import ConnectionFailed
from ..internal.flag import Flag
from ..internal.guard import log
from ..protocol.envelopes import Pushes, channel_of
from ..protocol.session_events import TopicKey
from . import format
from .errors import FramesMissing
from .recorded_snapshots import RecordedSnapshots
from .replay_source import SubscribedTopics

__all__ = ["Interrupted", "Playback", "ReplayConsumer", "ReplayOutput"]

_STALLED = 5.0


class ReplayConsumer(Protocol):
    """The part of a subscription that the player uses."""

    @property
    def message_queue(self) -> MessageQueue: ...
    @property
    def callback(self) -> Any: ...
    def put_many(self, pushes: Pushes, /) -> None: ...
    def finish(self) -> None: ...


class ReplayOutput(Protocol):
    """What the player uses of a `ReplayStream`. It must not keep that alive."""

    def consumers(self) -> Sequence[ReplayConsumer]:
        """Return all subscriptions, including those of books."""

    def books(self) -> Sequence[tuple[Any, ReplayConsumer]]:
        """Return the followers of all open books, each with the subscription that brings its updates."""

    def emit(self, event: Event) -> None:
        """Report an event."""


class Interrupted(Exception):
    """The replay was moved or closed while the thread was playing."""


class Playback:
    """Delivers the frames and lines of a recording to one stream.

    Args:
        snapshots: gives books the snapshots that the replay passes.
        paced: whether the frames come at their time; else they wait until every queue has room for them.

    Attributes:
        topics_by_kind: the subscribed topics by (market, private).
        interruption: set when the thread has to stop what it plays.
    """

    def __init__(self, output: ReplayOutput, snapshots: RecordedSnapshots, *, paced: bool) -> None:
        self.topics_by_kind: dict[tuple[str, bool], SubscribedTopics] = {}
        self.interruption = Flag()
        self._output = output
        self._snapshots = snapshots
        self._paced = paced
        self._known_room = 0.0  # messages that fit into every queue, by the last measurement

    def changed(self) -> None:
        """Measure the room in the queues again, because the subscriptions have changed."""
        self._known_room = 0.0

    def consumers(self) -> list[ReplayConsumer]:
        """Return the subscriptions that do not belong to books."""
        of_books = {id(consumer) for _, consumer in self._output.books()}
        return [consumer for consumer in self._output.consumers() if id(consumer) not in of_books]

    def poll_until(self, true: Callable[[], bool], what: str) -> None:
        """Poll a condition of the consumers until it holds. They do not notify the player, to keep reading fast."""
        pause, since, warned = 0.0005, time.monotonic(), False
        while not true():
            if self.interruption.wait(pause):
                raise Interrupted
            pause = min(1.5 * pause, 0.02)
            if not warned and time.monotonic() - since > _STALLED:
                warned = True
                log(
                    logging.WARNING,
                    "the replay waits for %s to take messages from their queues; is a consumer stuck?",
                    what,
                )

    def restart_books(self) -> None:
        """Make the books start again from the next snapshot that fits."""
        error = ConnectionFailed("the replay was moved to another time")
        for (market, private), topics in list(self.topics_by_kind.items()):
            if not private:
                self._lose(market, None, error)
                for book, _ in self._output.books():
                    book.allow_older()
                keys = topics.set_carried(None, carried=True)
                topics.sources[0].owner.acked(topics.sources[0], keys)

    def deliver(self, batch: format.Batch) -> None:
        topics = self.topics_by_kind.get((batch.origin.market, batch.origin.private))
        if topics is None:
            return
        source = topics.sources[0]
        pushes = topics.pushes(batch, source.owner.payload_mismatch)
        if self._paced:
            if pushes:
                source.deliver_recorded(pushes, batch.origin.epoch)
            return
        start = 0
        while start < len(pushes):
            room = int(min(self._room(len(pushes) - start), len(pushes) - start))
            source.deliver_recorded(pushes[start : start + room], batch.origin.epoch)
            start += room

    def _room(self, wanted: int) -> float:
        """Return how many messages may be delivered now; wait until it is at least one."""
        if self._known_room < wanted:
            self._known_room = self._measure()
            if self._known_room < 1:
                self.poll_until(lambda: self._measure() >= 1, "subscriptions")
                self._known_room = self._measure()
        room = min(self._known_room, wanted)
        self._known_room -= room
        return max(1.0, room)

    def _measure(self) -> float:
        rooms = [consumer.message_queue.room() for consumer in self._output.consumers()]
        rooms += [book.free_capacity(consumer.message_queue) for book, consumer in self._output.books()]
        return min(rooms, default=math.inf)

    def deliver_to_books(self, batch: format.Batch) -> bool:
        """Give books their updates from before the time of a move; return whether there are books."""
        topics = self.topics_by_kind.get((batch.origin.market, False))
        if batch.origin.private or topics is None or not self._output.books():
            return False
        pushes = topics.pushes(batch, topics.sources[0].owner.payload_mismatch)
        for push in pushes:
            topic = channel_of(push)[0]
            for book, consumer in self._output.books():
                if book.source.topic == topic:
                    self.poll_until(lambda: consumer.message_queue.room() >= 1, "books")  # noqa: B023 - called at once
                    consumer.put_many([push])
        return True

    def handle_line(self, record: format.Line, *, silent: bool) -> None:
        if isinstance(record, format.SnapshotLine):
            self.settle_books()
            self._snapshots.pass_snapshot(record)
        elif isinstance(record, format.Subscribed):
            topics = self.topics_by_kind.get((record.market, record.private))
            if topics is not None:
                keys = topics.set_carried([TopicKey(*each) for each in record.topics], carried=True)
                topics.sources[0].owner.acked(topics.sources[0], keys)
        elif isinstance(record, format.Lost):
            self._snapshots.discard(record.topics)
            self._lose(record.market, [TopicKey(topic) for topic in record.topics], ConnectionFailed(record.error))
        elif isinstance(record, format.Dropped):
            self._snapshots.discard()
            self._output.emit(FramesMissing(record.count, record.reason))
        elif isinstance(record, (format.ConnectedLine, format.DisconnectedLine)) and not silent:
            self._report_connection(record)

    def _report_connection(self, record: format.ConnectedLine | format.DisconnectedLine) -> None:
        topics = self.topics_by_kind.get((record.market, record.private))
        if topics is None:
            return
        which = record.market, record.private, record.epoch
        counts = topics.sources[0].counts
        if isinstance(record, format.ConnectedLine):
            counts.reconnects += counts.connects > 0
            counts.connects += 1
            self._output.emit(Connected(*which, record.host))
        else:
            counts.disconnects += 1
            error = ConnectionFailed(record.error)
            self._output.emit(Disconnected(*which, record.code, record.reason, error, 0.0))

    def _lose(self, market: str, keys: Sequence[TopicKey] | None, error: ConnectionFailed) -> None:
        """Tell books that these public topics, or all, are no longer carried."""
        topics = self.topics_by_kind.get((market, False))
        if topics is None:
            return
        self.settle_books()
        topics.set_carried(keys, carried=False)
        for source in topics.sources:
            source.owner.failed(source, error, fatal=False)

    def settle_books(self) -> None:
        """Wait until the books have applied all delivered updates and those in need have requested a snapshot.

        A book requests its snapshot on another thread, after it has applied an update. The request is made here once
        more, because that thread may be late.
        """
        for book, consumer in self._output.books():
            self.poll_until(lambda: not len(consumer.message_queue) or book.ended is not None, "books")  # noqa: B023 - called at once
            with book.lock:
                pass  # the last update is applied under this lock
            self._snapshots.request_snapshot(book)
