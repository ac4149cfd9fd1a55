"""Make one feed of two connections that bring the same: each message when it first comes, once, and in order.

The connections are the first, which was there before, and the second, which was subscribed later; each brings the
messages of a topic and subject in the order of the feed. Rules, for each topic and subject:
1. Where the second begins is known once it has brought something that the first has brought too. Until then its
   messages are held, because the first may still bring what came before them. They are held no longer than the peer
   itself holds those of the first: the merge asks for a proof, such as a pong, that the first has brought all that it
   was sent.
2. From then on a message is delivered by whichever connection brings it first. What the other one still has to bring
   is remembered, and left out when it comes.
3. When the first has ended, nothing is held any more. The merge is over when the second has brought, of each topic, all
   that the first had brought, or something newer.

An `identity` says which pushes are the same. No lock is held while messages are delivered: where both connections
bring some at once, one thread delivers both in the order of the decision.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import TypeAlias

from .messages import Batch, Message, Origin

__all__ = ["FIRST", "SECOND", "Identity", "Merge", "same_data"]

FIRST, SECOND = 0, 1
_OWED = 200_000  # messages by which one connection may be behind the other, in all
_HELD = 10_000  # messages held in all
_KINDS = 20_000  # topics and subjects
_UNDELIVERED = 100_000  # messages to be delivered in all
_LATE = 100_000  # messages after the end of the first for which the second may be behind

#: Returns what two pushes of one topic and subject have in common only if they are the same.
Identity: TypeAlias = Callable[[Message], Hashable]
_Kind: TypeAlias = "tuple[str | None, str | None, str | None]"


def same_data(message: Message) -> Hashable:
    """Tell pushes apart by the bytes of their data; the hash of these takes less memory."""
    return hash(bytes(message.wire_data))


class _Feed:
    """What is known of one topic and subject."""

    __slots__ = ("held", "owed", "placed")

    def __init__(self) -> None:
        self.placed = False  # whether it is known where the second connection begins
        self.held: list[tuple[Hashable, Message]] = []  # of the second, until then
        # For each connection what the other one has brought, and it has not.
        self.owed: tuple[deque[Hashable], deque[Hashable]] = (deque(), deque())


class Merge:
    """Between the I/O threads of two connections.

    Args:
        deliver: takes messages; called by one thread at a time, without a lock held.
        ask: has `proved` called when the first connection has brought all that it was sent before now.
        identity: tells which pushes are the same.

    Attributes:
        over: whether the second connection's messages need not come through here any more.
    """

    def __init__(
        self, deliver: Callable[[list[Message]], None], ask: Callable[[], object], identity: Identity = same_data
    ) -> None:
        self.over = False
        self._deliver = deliver
        self._ask = ask
        self._identity = identity
        self._lock = threading.Lock()  # guards all of the following; nobody is called with it held
        self._feeds: dict[_Kind, _Feed] = {}
        self._held = 0
        self._owed = 0  # all that is owed
        self._asked: set[_Kind] = set()  # with something held when the proof under way was asked for
        self._unasked: set[_Kind] = set()  # with something held since
        self._alone = False  # the first has ended
        self._late = 0  # messages of the second since then
        self._epoch = 0  # the highest that was delivered
        self._second_epoch = 0
        self._restamped: tuple[Batch, Batch] | None = None  # the last batch whose epoch was raised, and what it became
        self._ready: deque[list[Message]] = deque()  # to be delivered, in this order
        self._delivering = False
        self._deliverer = 0  # the thread that does
        self._undelivered = 0  # messages in `_ready`, and those that are being delivered
        self._fewer = threading.Condition(self._lock)  # notified when there are fewer of them

    def bring(self, source: int, messages: list[Message]) -> None:
        """Take what a connection has brought."""
        with self._lock:
            if self._alone and source == FIRST:
                return
            fresh: list[Message] = []
            for message in messages:
                self._take(source, message, fresh)
            if self._owed > _OWED:
                self._forget_older_half()
            if self._held > _HELD or len(self._feeds) > _KINDS:
                self._place(list(self._feeds), fresh)
            if len(self._feeds) > _KINDS:
                self._forget_all()
            if self._alone:
                self._late += len(messages)
                if self._late >= _LATE:
                    self._forget_all()
            self._put(fresh)
            asks = self._begin_to_ask()
        if asks:
            self._ask()
        self._deliver_ready()

    def proved(self) -> None:
        """The first connection has brought all that it was sent before the last call of `ask`."""
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
        """The first connection has ended."""
        with self._lock:
            if self._alone:
                return
            self._alone = True
            fresh: list[Message] = []
            self._place(list(self._feeds), fresh)
            for feed in self._feeds.values():
                feed.owed[FIRST].clear()
            self._feeds = {kind: feed for kind, feed in self._feeds.items() if feed.owed[SECOND]}
            self._owed = sum(len(feed.owed[SECOND]) for feed in self._feeds.values())
            self._put(fresh)
        self._deliver_ready()

    # Under the lock

    def _take(self, source: int, message: Message, fresh: list[Message]) -> None:
        if source == SECOND and message.epoch != self._second_epoch:
            self._second_epoch = message.epoch
            for each in self._feeds.values():  # it begins somewhere else
                each.placed = self._alone
        kind = message.topic, message.subject, message.tunnel_id
        feed = self._feeds.get(kind)
        if feed is None:
            if self._alone:
                fresh.append(message)
                return
            feed = self._feeds[kind] = _Feed()
        identity = self._identity(message)
        owed, others = feed.owed[source], feed.owed[1 - source]
        if owed and identity in owed:  # it was delivered already
            self._owed -= 1
            while owed.popleft() != identity:
                self._owed -= 1
            if source == SECOND:
                self._place([kind], fresh)
                if self._alone and not owed:
                    del self._feeds[kind]
        elif source == FIRST:
            place = next((place for place, (held, _) in enumerate(feed.held) if held == identity), None)
            if place is None:
                others.append(identity)
                self._owed += 1
            else:  # the second has brought it too, with others before and behind it
                fresh += (held for _, held in islice(feed.held, place))
                del feed.held[: place + 1]
                self._held -= place + 1
            fresh.append(message)
            if place is not None:
                self._place([kind], fresh)
        elif self._alone:
            self._owed -= len(owed)
            del self._feeds[kind]  # it has gone on to something newer
            fresh.append(message)
        elif feed.placed:
            others.append(identity)
            self._owed += 1
            fresh.append(message)
        else:
            feed.held.append((identity, message))
            self._held += 1
            if kind not in self._asked:
                self._unasked.add(kind)

    def _place(self, kinds: list[_Kind] | set[_Kind], fresh: list[Message]) -> None:
        """Deliver what is held of some topics: nothing comes before it any more."""
        for kind in kinds:
            feed = self._feeds.get(kind)
            if feed is None:
                continue
            feed.placed = True
            self._unasked.discard(kind)
            if feed.held:
                feed.owed[FIRST].extend(identity for identity, _ in feed.held)
                self._owed += len(feed.held)
                fresh += (message for _, message in feed.held)
                self._held -= len(feed.held)
                feed.held = []

    def _forget_older_half(self) -> None:
        """Keep memory bounded: whoever is that far behind may bring something twice."""
        for feed in self._feeds.values():
            for owed in feed.owed:
                for _ in range(len(owed) // 2):
                    owed.popleft()
        self._owed = sum(len(owed) for feed in self._feeds.values() for owed in feed.owed)

    def _forget_all(self) -> None:
        self._feeds.clear()
        self._owed = 0

    def _begin_to_ask(self) -> bool:
        """Whether a proof is to be asked for, and none is under way."""
        if self._alone or self._asked or not self._unasked:
            return False
        self._asked, self._unasked = self._unasked, set()
        return True

    def _put(self, fresh: list[Message]) -> None:
        """Have messages delivered behind those before them. Epochs rise, whichever connection is faster."""
        for message in fresh:
            epoch = message.epoch
            if epoch >= self._epoch:
                self._epoch = epoch
            else:
                message.origin = Origin(self._raised(message.origin.batch), message.origin.head)
        if fresh:
            self._ready.append(fresh)
            self._undelivered += len(fresh)

    def _raised(self, batch: Batch) -> Batch:
        """Return a batch with the highest epoch so far: the same one for messages that came together."""
        if self._restamped is None or self._restamped[0] is not batch or self._restamped[1].epoch != self._epoch:
            self._restamped = batch, Batch(self._epoch, batch.received_ns, batch.misfit)
        return self._restamped[1]

    # Without the lock

    def _deliver_ready(self) -> None:
        """Deliver what is ready, unless another thread does; wait for that thread where it is far behind.

        It is where an inline callback blocks it, which would block this thread, too, with no merge between.
        """
        while True:
            with self._lock:
                if self._delivering:
                    if self._deliverer != threading.get_ident():
                        self._fewer.wait_for(lambda: self._undelivered <= _UNDELIVERED)
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
