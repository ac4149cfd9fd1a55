"""Merge two connections that carry the same topics: deliver each message once, early, and in order.

The first connection is the old one; the second replaces it. Each delivers the messages of a topic and subject in the
order of the feed. Rules, for each topic and subject:
1. The start of the second in the feed is known once it repeats a message of the first. Until then its messages are
   held, because earlier ones may still come on the first. To bound that wait, the merge asks for a proof (a pong) that
   the first has delivered everything sent to it so far.
2. After that a message is delivered from the connection on which it comes first. Its copy, owed by the other
   connection, is remembered and skipped.
3. When the first has ended, nothing is held. The merge is over when the second has delivered every message that it
   owes, or a newer one, of each topic.

An `identity` function tells which pushes are the same. No lock is held during delivery. If both connections receive
at once, one thread delivers the messages of both, in the order in which they were accepted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import TypeAlias

from ..protocol.message import Arrival, Message, Origin

__all__ = ["FIRST", "SECOND", "Identity", "Merge", "same_data"]

FIRST, SECOND = 0, 1
_MAX_OWED = 200_000  # messages that the connections owe, in total
_MAX_HELD = 10_000  # messages held, in total
_MAX_CHANNELS = 20_000  # topics and subjects
_MAX_UNDELIVERED = 100_000  # messages accepted and not yet delivered
_MAX_LATE = 100_000  # messages of the second after which the merge ends, counted from the end of the first

#: Returns a value that is equal for two pushes of one topic and subject only if they are the same push.
Identity: TypeAlias = Callable[[Message], Hashable]
_Channel: TypeAlias = "tuple[str | None, str | None, str | None]"


def same_data(message: Message) -> Hashable:
    """Identify a push by the hash of its data bytes; the hash takes less memory than the bytes."""
    return hash(bytes(message.wire_data))


class _Feed:
    """The state of one topic and subject."""

    __slots__ = ("held", "owed", "placed")

    def __init__(self) -> None:
        self.placed = False  # whether the start of the second connection is known
        self.held: list[tuple[Hashable, Message]] = []  # messages of the second, until `placed`
        # For each connection: the messages that only the other one has delivered so far.
        self.owed: tuple[deque[Hashable], deque[Hashable]] = (deque(), deque())


class Merge:
    """Merges the messages of two connections; called on the I/O threads of both.

    Args:
        deliver: takes messages; called by one thread at a time, without a lock held.
        ask: requests a proof; `proved` is called when the first connection has delivered everything sent before.
        identity: returns equal values for the same push.
        second_welcomed: returns whether the second connection may get messages yet. What the first delivers before that
            cannot come again, and equal messages of the second are new ones.

    Attributes:
        over: the second connection may bypass this merge from now on.
    """

    def __init__(
        self,
        deliver: Callable[[list[Message]], None],
        ask: Callable[[], object],
        identity: Identity = same_data,
        second_welcomed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.over = False
        self._deliver = deliver
        self._ask = ask
        self._identity = identity
        self._second_welcomed = second_welcomed
        self._lock = threading.Lock()  # guards all of the following; not held during any call out
        self._feeds: dict[_Channel, _Feed] = {}
        self._held = 0
        self._owed = 0  # total of all `owed`
        self._asked: set[_Channel] = set()  # channels with held messages that the pending proof covers
        self._unasked: set[_Channel] = set()  # channels with held messages that it does not cover
        self._alone = False  # the first has ended
        self._late = 0  # messages of the second since the first has ended
        self._epoch = 0  # the highest epoch accepted so far
        self._second_epoch = 0
        self._restamped: tuple[Arrival, Arrival] | None = None  # the last arrival with a raised epoch: before, after
        self._ready: deque[list[Message]] = deque()  # accepted messages, in order of delivery
        self._delivering = False
        self._deliverer = 0  # id of the delivering thread
        self._undelivered = 0  # messages in `_ready` and in the current delivery
        self._fewer = threading.Condition(self._lock)  # notified when `_undelivered` falls

    def bring(self, source: int, messages: list[Message]) -> None:
        """Take messages of one connection, FIRST or SECOND."""
        with self._lock:
            if self._alone and source == FIRST:
                return
            fresh: list[Message] = []
            for message in messages:
                self._take(source, message, fresh)
            if self._owed > _MAX_OWED:
                self._forget_older_half()
            if self._held > _MAX_HELD or len(self._feeds) > _MAX_CHANNELS:
                self._place(list(self._feeds), fresh)
            if len(self._feeds) > _MAX_CHANNELS:
                self._forget_all()
            if self._alone:
                self._late += len(messages)
                if self._late >= _MAX_LATE:
                    self._forget_all()
            self._put(fresh)
            asks = self._begin_to_ask()
        if asks:
            self._ask()
        self._deliver_ready()

    def proved(self) -> None:
        """Note that the first connection has delivered everything sent before the last call of `ask`."""
        with self._lock:
            fresh: list[Message] = []
            self._place(self._asked, fresh)
            self._asked = set()
            self._put(fresh)
            asks = self._begin_to_ask()
        if asks:
            self._ask()
        self._deliver_ready()

    def end_first(self) -> None:
        """Note that the first connection has ended."""
        with self._lock:
            if self._alone:
                return
            self._alone = True
            fresh: list[Message] = []
            self._place(list(self._feeds), fresh)
            for feed in self._feeds.values():
                feed.owed[FIRST].clear()
            self._feeds = {channel: feed for channel, feed in self._feeds.items() if feed.owed[SECOND]}
            self._owed = sum(len(feed.owed[SECOND]) for feed in self._feeds.values())
            self._put(fresh)
        self._deliver_ready()

    # Under the lock

    def _take(self, source: int, message: Message, fresh: list[Message]) -> None:
        """Accept, hold or skip a message; append accepted messages to `fresh`."""
        if source == SECOND and message.epoch != self._second_epoch:
            self._second_epoch = message.epoch
            for each in self._feeds.values():  # a reconnect: the start of the second is unknown again
                each.placed = self._alone
        channel = message.topic, message.subject, message.tunnel_id
        feed = self._feeds.get(channel)
        if feed is None:
            if self._alone:
                fresh.append(message)
                return
            feed = self._feeds[channel] = _Feed()
        identity = self._identity(message)
        owed, others = feed.owed[source], feed.owed[1 - source]
        if owed and identity in owed:  # a copy of a delivered message
            self._owed -= 1
            while owed.popleft() != identity:
                self._owed -= 1
            if source == SECOND:
                self._place([channel], fresh)
                if self._alone and not owed:
                    del self._feeds[channel]
        elif source == FIRST:
            place = next((place for place, (held, _) in enumerate(feed.held) if held == identity), None)
            if place is None:
                if self._second_welcomed():
                    others.append(identity)
                    self._owed += 1
            else:  # the second has it too: its held messages before this one are older
                fresh += (held for _, held in islice(feed.held, place))
                del feed.held[: place + 1]
                self._held -= place + 1
            fresh.append(message)
            if place is not None:
                self._place([channel], fresh)
        elif self._alone:
            self._owed -= len(owed)
            del self._feeds[channel]  # a newer message: the second is no longer behind
            fresh.append(message)
        elif feed.placed:
            others.append(identity)
            self._owed += 1
            fresh.append(message)
        else:
            feed.held.append((identity, message))
            self._held += 1
            if channel not in self._asked:
                self._unasked.add(channel)

    def _place(self, channels: list[_Channel] | set[_Channel], fresh: list[Message]) -> None:
        """Accept the held messages of some channels: no earlier message can come any more."""
        for channel in channels:
            feed = self._feeds.get(channel)
            if feed is None:
                continue
            feed.placed = True
            self._unasked.discard(channel)
            if feed.held:
                feed.owed[FIRST].extend(identity for identity, _ in feed.held)
                self._owed += len(feed.held)
                fresh += (message for _, message in feed.held)
                self._held -= len(feed.held)
                feed.held = []

    def _forget_older_half(self) -> None:
        """Bound the memory. A connection that is this far behind may then deliver messages twice."""
        for feed in self._feeds.values():
            for owed in feed.owed:
                for _ in range(len(owed) // 2):
                    owed.popleft()
        self._owed = sum(len(owed) for feed in self._feeds.values() for owed in feed.owed)

    def _forget_all(self) -> None:
        """End all tracking; later copies are delivered as new messages."""
        self._feeds.clear()
        self._owed = 0

    def _begin_to_ask(self) -> bool:
        """Return whether to ask for a proof now. If so, the proof covers all channels with held messages."""
        if self._alone or self._asked or not self._unasked:
            return False
        self._asked, self._unasked = self._unasked, set()
        return True

    def _put(self, fresh: list[Message]) -> None:
        """Append messages to the delivery queue. An epoch lower than an earlier one is raised to it."""
        for message in fresh:
            epoch = message.epoch
            if epoch >= self._epoch:
                self._epoch = epoch
            else:
                message.origin = Origin(self._raised(message.origin.arrival), message.origin.prefix)
        if fresh:
            self._ready.append(fresh)
            self._undelivered += len(fresh)

    def _raised(self, arrival: Arrival) -> Arrival:
        """Return a copy of an arrival with the highest epoch so far; messages of one arrival share the copy."""
        if self._restamped is None or self._restamped[0] is not arrival or self._restamped[1].epoch != self._epoch:
            self._restamped = arrival, Arrival(self._epoch, arrival.received_ns, arrival.payload_mismatch)
        return self._restamped[1]

    # Without the lock

    def _deliver_ready(self) -> None:
        """Deliver the accepted messages, unless another thread does so already.

        If that thread has fallen far behind, wait for it. It does so when an inline callback blocks; without a merge
        that callback would block this thread too.
        """
        while True:
            with self._lock:
                if self._delivering:
                    if self._deliverer != threading.get_ident():
                        self._fewer.wait_for(lambda: self._undelivered <= _MAX_UNDELIVERED)
                    return
                if not self._ready:
                    self.over = self._alone and not self._feeds
                    return
                self._delivering, self._deliverer = True, threading.get_ident()
                messages = self._ready.popleft()
            try:
                self._deliver(messages)
            finally:
                with self._lock:
                    self._delivering = False
                    self._undelivered -= len(messages)
                    self._fewer.notify_all()
