"""A follower without threads or sockets: the test calls it in their place."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from kucoin_sync import Event, LocalBook, LocalLevel2Book, LocalLevel3Book, SlowConsumer
from kucoin_sync.books import BookSource
from kucoin_sync.books.follower import Follower
from kucoin_sync.delivery.overflow import queue_for
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.envelopes import RawPush
from kucoin_sync.protocol.message import Arrival, Message, Origin

from .messages import prefix_of

__all__ = ["FollowedBook", "Owner", "message", "raw_push"]

_encode = msgspec.json.Encoder().encode


def message(topic: str, data: Any, subject: str | None = None, *, epoch: int = 1, received_ns: int = 1) -> Message:
    """Return a decoded push as a connection delivers it; `data` may be its JSON text."""
    raw = _encode(
        {
            "type": "message",
            "topic": topic,
            "subject": subject,
            "data": msgspec.Raw(data) if isinstance(data, bytes) else data,
        }
    )
    made = decode_message(raw)
    made.raw, made.origin = raw, Origin(Arrival(epoch, received_ns))
    return made


def raw_push(opened: Message, frame: bytes | None = None) -> RawPush:
    """Return a push as a raw frame, as a connection delivers it; `frame` replaces its bytes."""
    start, data, _ = opened.raw.partition(b'"data":')
    prefix = prefix_of(start + data, opened.topic or "", opened.subject)
    return RawPush(opened.raw if frame is None else frame, opened.origin.arrival, prefix)


class Owner:
    """An owner of a book that records its calls."""

    def __init__(self) -> None:
        self.requested = 0
        self.ended_books: list[Any] = []
        self.events: list[Event] = []
        self.closed = False
        self.step = ""  # what the running request for a snapshot waits for

    def request_snapshot(self, _: Any) -> None:
        self.requested += 1

    def on_ended(self, book: Any) -> None:
        self.ended_books.append(book)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def obstacle(self, _: Any) -> str:
        return ""

    def snapshot_obstacle(self, _: Any) -> str:
        return self.step


class FollowedBook:
    """One book with its follower and its message queue.

    Attributes:
        book: the user's book.
        message queue: received messages that wait to be applied.
    """

    def __init__(self, symbol: str, maxsize: int = 10_000, depth: int | None = None, **options: Any) -> None:
        self._puts = 0
        self.owner = Owner()
        self.source = structs.replace(BookSource.of(symbol, with_key=True, **options), depth=depth)
        self.follower: Follower[Any, Any] = Follower(self.source, self.owner)
        self.book: LocalBook = (LocalLevel3Book if self.source.level == 3 else LocalLevel2Book)(self.follower, 10_000)
        self.message_queue: MessageQueue = queue_for(
            "raise", maxsize, lambda dropped: None, lambda dropped: SlowConsumer("too slow", dropped=dropped)
        )

    def put(self, data: Any, subject: str | None = None, **options: Any) -> None:
        """Receive an update; every second one is a raw frame."""
        came = message(self.source.topic, data, subject, **options)
        self._puts += 1
        self.message_queue.put(came if self._puts % 2 else raw_push(came))

    def push(self, data: Any, subject: str | None = None, **options: Any) -> None:
        """Receive an update and apply it."""
        self.put(data, subject, **options)
        self.take()

    def take(self, most: int = 10_000) -> None:
        """Apply received updates, as the books' thread does."""
        self.follower.apply_pending(self.message_queue, most)

    def fetch(self, data: Any) -> bool:
        """Pass a snapshot to the book, as REST does; return whether another one is needed."""
        attempt = self.follower.snapshot_attempt()
        assert attempt is not None, "no snapshot is wanted"
        return self.follower.apply_snapshot(data, attempt)
