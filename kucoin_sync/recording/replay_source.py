"""One kind of connection in a replay: which recorded frames somebody wants, and the carriers that bring them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from .. import SubscriptionRejected
from ..connections.source import Counts, Deliver, SourceListener
from ..exceptions import KucoinSyncError
from ..protocol.envelopes import DATA, EnvelopePrefix, EnvelopePrefixes, FrameBatch, Push, Pushes
from ..protocol.message import UNREADABLE, Message, Origin, RawPush, decode_message
from ..protocol.message import Batch as Reading
from ..protocol.session_events import TopicKey
from ..topics.routing import Router
from .format import Batch

__all__ = ["NotRecorded", "ReplaySource", "Track"]

_NAMED = 8
_HEADS = 8192


class NotRecorded(SubscriptionRejected):
    """A recording does not have a topic."""

    def __init__(self, topic: str, recorded: Iterable[str], name: str) -> None:
        names = sorted(recorded)
        there = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        KucoinSyncError.__init__(self, f"{topic} is not in {name}, which has {there or 'no topics of this kind'}")
        self.topic, self.code, self.reason = topic, 404, "not recorded"


class Player(Protocol):
    """What carriers ask of the player."""

    @property
    def thread(self) -> threading.Thread: ...
    @property
    def over(self) -> bool: ...
    def changed(self) -> None: ...


class Track:
    """What is wanted of one market, public or private."""

    def __init__(self, recorded: set[tuple[str, str | None]], name: str) -> None:
        self.carriers: list[ReplaySource] = []
        self.recorded = recorded
        self.name = name
        self._lock = threading.Lock()  # guards all of the following; nobody is called under it
        self._wanted: Router[TopicKey] = Router()
        self._keys: dict[TopicKey, bool] = {}  # and whether they are carried now
        self._known: dict[EnvelopePrefix, bool] = {}  # whether somebody wants what has this head
        self._heads = EnvelopePrefixes()  # the player's thread's

    def want(self, keys: Iterable[TopicKey]) -> None:
        """Bring these, too."""
        with self._lock:
            for key in keys:
                self._keys[key] = True
                self._wanted.add(key.topic, key)
            self._known = {}

    def leave(self, keys: Iterable[TopicKey]) -> None:
        """Bring these no longer."""
        with self._lock:
            for key in keys:
                if self._keys.pop(key, None) is not None:
                    self._wanted.remove(key.topic, key)
            self._known = {}

    def wanted(self, tunnel: str) -> list[TopicKey]:
        """Return what is wanted in a tunnel."""
        with self._lock:
            return [key for key in self._keys if key.tunnel == tunnel]

    def set_carried(self, keys: Iterable[TopicKey] | None, *, carried: bool) -> tuple[TopicKey, ...]:
        """Note that the recorded connection carried these, or all, from here on, or no longer; return the wanted."""
        with self._lock:
            changed = tuple(self._keys) if keys is None else tuple(key for key in keys if key in self._keys)
            for key in changed:
                self._keys[key] = carried
            return changed

    def is_carried(self, key: TopicKey) -> bool:
        """Whether a key is wanted and carried."""
        with self._lock:
            return self._keys.get(key, False)

    def pushes(self, batch: Batch, payload_mismatch: Callable[[Message], None]) -> Pushes:
        """Return what is wanted of a batch."""
        reading = Reading(batch.origin.epoch, batch.origin.received_ns, payload_mismatch)
        pushes: list[Push] = []
        heads: set[EnvelopePrefix | None] = set()
        known, find = self._known, self._heads.known.get
        for frame in batch.frames:
            head = find(frame[: frame.find(DATA)])
            if head is not None:
                wanted = known.get(head)
                if wanted is None:
                    if len(known) >= _HEADS:
                        known.clear()
                    wanted = known[head] = bool(self._wanted.find(head.channel[0]))
                if wanted:
                    pushes.append(RawPush(frame, reading, head))
                    heads.add(head)
                continue
            try:
                message = decode_message(frame)
            except UNREADABLE:
                self.carriers[0].counts.unreadable += 1
                continue
            self._heads.learn(frame)
            if message.topic is not None and self._wanted.find(message.topic):
                message.raw, message.origin = frame, Origin(reading)
                pushes.append(message)
                heads.add(None)
        if len(heads) == 1 and (head := heads.pop()) is not None:
            return FrameBatch([push.frame for push in pushes if isinstance(push, RawPush)], reading, prefix=head)
        return pushes


class ReplaySource:
    """Stands for a connection: its frames are brought by the player's thread.

    Attributes:
        epoch: the number of the recorded connection that the last message came over.
    """

    def __init__(
        self,
        number: int,
        market: str,
        private: bool,
        owner: SourceListener,
        deliver: Deliver,
        track: Track,
        player: Player,
    ) -> None:
        self.number = number
        self.market = market
        self.private = private
        self.owner = owner
        self.deliver = deliver
        self.epoch = 0
        self.counts = Counts()
        self.last_error: KucoinSyncError | None = None
        self._track = track
        self._player = player
        track.carriers.append(self)

    @property
    def thread(self) -> threading.Thread:
        """The player's thread."""
        return self._player.thread

    @property
    def over(self) -> bool:
        """Whether the player has ended."""
        return self._player.over

    def start(self) -> None:
        """Do nothing: the player starts when the replay does."""

    def abandon(self) -> None:
        """There is nothing to let go of in a forked child: the player's thread is not there."""

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Confirm at once what the recording has, refuse what it has not."""
        keys = tuple(keys)
        there = tuple(key for key in keys if tuple(key) in self._track.recorded)
        self._track.want(there)
        self._player.changed()
        if there:
            self.owner.acked(self, there)
        for key in keys:
            if key not in there:
                names = {topic for topic, _ in self._track.recorded}
                self.owner.refused(self, key, NotRecorded(key.topic, names, self._track.name))

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Bring these no longer."""
        self._track.leave(keys)

    def close_tunnel(self, tunnel: str) -> None:
        """Bring nothing more that is in a tunnel."""
        self._track.leave(self._track.wanted(tunnel))

    def is_active(self, key: TopicKey) -> bool:
        """Whether a key is carried at this point of the recording."""
        return self._track.is_carried(key)

    def prove(self) -> None:
        """Do nothing: no carrier of a replay is replaced."""

    def retire(self, seconds: float) -> None:
        """No carrier of a replay is replaced."""

    def close(self) -> None:
        """Do nothing: the player ends with its stream."""

    def bring(self, pushes: Pushes, epoch: int) -> None:
        """Deliver what was recorded."""
        self.epoch = epoch
        self.counts.messages += len(pushes)
        self.counts.bytes += sum(len(push.frame if isinstance(push, RawPush) else push.raw) for push in pushes)
        self.deliver(self, pushes)
