"""The interface between a stream and its message sources.

A message source delivers the messages of one market, public or private. `connection.Connection` is the source that
dials KuCoin; replay and relay have sources of their own. A stream makes a source when a topic needs one, and another
when all sources of that market are full.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ..events import Event, UnexpectedError
from ..exceptions import AckTimeout, ConnectionFailed, KucoinSyncError, is_fatal
from ..internal.guard import log
from ..internal.resources import as_defect, error_or_defect
from ..net.direct_read import ReadLease
from ..net.reconnecting import Reconnecting
from ..protocol.envelopes import FrameBatch, Pushes, RawPush
from ..protocol.message import Message
from ..protocol.session_events import TopicKey

__all__ = [
    "Counts",
    "Deliver",
    "DirectConsumer",
    "MakeSource",
    "MessageSource",
    "ReconnectingSource",
    "SourceListener",
    "TopicInterrupted",
    "weak_callback",
]


class DirectConsumer(Protocol):
    """A subscription that gets all pushes of a source and whose one consumer waits; see `dispatch.SoleConsumer`."""

    def takes_all_of(self, keys: Collection[TopicKey]) -> bool: ...
    def accept(self, read_lease: ReadLease) -> None: ...
    def put(self, pushes: FrameBatch | tuple[RawPush]) -> bool: ...
    def has(self, pushes: FrameBatch | tuple[RawPush]) -> bool: ...


class TopicInterrupted(ConnectionFailed):
    """A topic was unsubscribed, to be subscribed again; its connection is live."""


class SourceListener(Protocol):
    """The owner of a message source. The source calls it on its own thread, without holding a lock."""

    @property
    def command_ids(self) -> Iterator[int]: ...
    @property
    def epochs(self) -> Iterator[int]: ...
    def payload_mismatch(self, _: Message) -> None: ...
    def emit(self, event: Event) -> None: ...
    def was_live(self, source: MessageSource) -> bool: ...
    def welcomed(self, source: MessageSource) -> None: ...
    def choose_server(self, source: MessageSource, endpoints: Sequence[str]) -> int: ...
    def acked(self, source: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def interrupted(self, source: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def refused(self, source: MessageSource, key: TopicKey, error: KucoinSyncError) -> None: ...
    def full(self, source: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def failed(self, source: MessageSource, error: KucoinSyncError, *, fatal: bool) -> None: ...
    def settled(self, source: MessageSource) -> None: ...
    def proved(self, source: MessageSource, *, answered: bool) -> None: ...
    def aged(self, source: MessageSource) -> bool: ...
    def idle(self, source: MessageSource) -> None: ...
    def ended(self, source: MessageSource) -> None: ...


class Counts(msgspec.Struct):
    """Counters of one source; only its thread writes them."""

    messages: int = 0
    bytes: int = 0
    unreadable: int = 0
    unknown: int = 0
    connects: int = 0
    reconnects: int = 0
    disconnects: int = 0
    failures: int = 0
    pong_latency: float | None = None

    def add(self, other: Counts) -> None:
        """Add the counters of another source, except its latency."""
        for name in ("messages", "bytes", "unreadable", "unknown", "connects", "reconnects", "disconnects", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class MessageSource:
    """Delivers the messages of one market, public or private, until it is closed. Its own thread calls its owner.

    `subscribe`, `unsubscribe` and `close_tunnel` are called under the lock of the owner, so they must not call it.

    Attributes:
        last_error: why no messages can come now; None while they can.
        epoch: a number from the owner's `epochs`; it rises whenever messages may be missing between two messages.
        endpoint: the server of the connection, or of the attempt to make one; set by the owner's `choose_server`.
        drop_copies: returns frames that were read without copies at their beginning; set while the messages are merged
            with those of other connections.
    """

    last_error: KucoinSyncError | None

    def __init__(self, number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver) -> None:
        self.number = number
        self.market = market
        self.private = private
        self.epoch = 0
        self.endpoint = ""
        self.drop_copies: Callable[[list[bytes]], list[bytes]] | None = None
        self.counts = Counts()
        self._owner = owner
        self._deliver = deliver
        self._payload_mismatch = weak_callback(owner.payload_mismatch)

    @property
    def thread(self) -> threading.Thread:
        """The thread that delivers the messages."""
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Whether the thread has run and ended."""
        return self.thread.ident is not None and not self.thread.is_alive()

    def start(self) -> None:
        """Start to deliver messages, unless already started. Called after each `subscribe`."""

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Deliver these keys too; after `start`, call the owner's `acked` or `refused` for each."""
        raise NotImplementedError

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Stop delivering these keys."""
        raise NotImplementedError

    def resubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Have those of the keys that are delivered now unsubscribed and, after the answer, subscribed again.

        Call the owner's `interrupted` between the two. A source that can't do it does nothing.
        """

    def close_tunnel(self, tunnel: str) -> None:
        """Close a tunnel and drop all keys in it."""

    def is_active(self, key: TopicKey) -> bool:
        """Return whether this key is delivered now. Takes no lock."""
        raise NotImplementedError

    def delay_of(self, key: TopicKey) -> AckTimeout | None:  # noqa: ARG002 - for sources that have to wait
        """Return why and how long this key waits until the server is asked for it; None if it does not."""
        return None

    @property
    def welcomed(self) -> bool:
        """Whether the server takes subscriptions now. No message of one can come before that. Takes no lock."""
        return True

    def prove(self) -> None:
        """Call the owner's `proved` when everything sent before now has arrived, or when the proof is overdue."""

    def retire(self, seconds: float) -> None:  # noqa: ARG002 - for sources that are replaced
        """End when everything sent before now has arrived, after `seconds` at the latest. Another source takes over."""
        self.close()

    def close(self) -> None:
        """Tell the thread to end; it stops waiting at once. Does not join the thread."""

    def after_fork(self) -> None:
        """Drop this copy in a forked child; tell neither the peer nor the owner.

        Of the parent's threads only the one that forked exists in the child. The others may have held locks, so this
        must not wait for anything. The socket belongs to the parent: send nothing.
        """


class ReconnectingSource(Reconnecting, MessageSource):
    """A source with a connection of its own, to KuCoin or to Redis, which is made again until the source is closed."""

    _forked = False  # whether this is a forked child's copy of the parent's source

    def _has_topics(self) -> bool:
        """Return whether any topic is wanted."""
        raise NotImplementedError

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        return error_or_defect(
            error, f"connection {self.number}", "a defect ended connection %d; it will be made again", self.number
        )

    def _give_up(self, failure: KucoinSyncError) -> bool:
        if is_fatal(failure, was_live=self._owner.was_live(self), needs_key=self.private):
            self._owner.failed(self, failure, fatal=True)
            return True
        if self._connected_at is None:
            self.counts.failures += 1
        else:
            self.counts.disconnects += 1
        return False

    def _report_defect(self, error: BaseException) -> None:
        name = self._thread.name
        log(logging.ERROR, "a defect in the thread %s, which begins again", name, error=error)
        self._owner.emit(UnexpectedError(f"the thread {name}", error))
        self.last_error = failure = as_defect(error)
        self._owner.failed(self, failure, fatal=False)

    def _pausing(self) -> None:
        if not self._has_topics():
            self._owner.idle(self)  # closes this source unless a topic was just placed on it

    def _end(self) -> None:
        if not self._forked:
            self._owner.ended(self)


#: Takes pushes, on the source's thread, without a lock held. Returns the sole consumer if it was waiting for them.
Deliver: TypeAlias = Callable[[MessageSource, Pushes], DirectConsumer | None]
#: Makes a source from its number, its market, whether it is private, its owner and the receiver of its pushes.
MakeSource: TypeAlias = Callable[[int, str, bool, SourceListener, Deliver], MessageSource]


def weak_callback(method: Callable[[Message], None]) -> Callable[[Message], None]:
    """Return a function that calls a method without keeping its object alive.

    The garbage collector does not track messages. A queued message that kept the stream alive would be a leak.
    """
    reference = weakref.WeakMethod(method)

    def call(message: Message) -> None:
        found = reference()
        if found is not None:
            found(message)

    return call
