"""`ReplaySource`: the message source of a replay, which delivers the recorded frames of subscribed topics."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import compress

from .. import SubscriptionRejected
from ..connections.source import Deliver, MessageSource, SourceListener
from ..exceptions import KucoinSyncError
from ..protocol.dialects import DIALECTS
from ..protocol.envelopes import EnvelopePrefix, FrameBatch, Push, Pushes
from ..protocol.message import UNREADABLE, Arrival, Message, RawPush
from ..protocol.session_events import TopicKey
from ..topics.grammar import dialect_of
from ..topics.routing import Router
from .format import Batch

__all__ = ["NotRecorded", "ReplaySource", "SubscribedTopics"]

_MAX_NAMED = 8
_MAX_PREFIXES = 8192


class NotRecorded(SubscriptionRejected):
    """A recording does not have a topic."""

    def __init__(self, topic: str, recorded: Iterable[str], name: str) -> None:
        names = sorted(recorded)
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        listed = ", ".join(names[:_MAX_NAMED]) + more
        KucoinSyncError.__init__(self, f"{topic} is not in {name}, which has {listed or 'no topics of this kind'}")
        self.topic, self.code, self.reason = topic, 404, "not recorded"


class SubscribedTopics:
    """The subscribed topics of one market, public or private; it selects their frames from the recording.

    Args:
        market: the market, which tells the dialect.
        recorded: the recorded topics, each with its tunnel.
        name: the name of the recording, for errors.
        changed: called when further topics were subscribed.
    """

    def __init__(
        self, market: str, recorded: set[tuple[str, str | None]], name: str, changed: Callable[[], object]
    ) -> None:
        self.sources: list[ReplaySource] = []
        self.recorded = recorded
        self.name = name
        self._changed = changed
        self._lock = threading.Lock()  # guards all of the following; no foreign code is called under it
        self._wanted: Router[TopicKey] = Router()
        self._keys: dict[TopicKey, bool] = {}  # subscribed keys, and whether each is carried now
        self._subscribed_prefixes: dict[EnvelopePrefix, bool] = {}  # whether frames with this prefix are subscribed
        self._reader = DIALECTS[dialect_of(market)].reader()  # used by the player's thread only

    def want(self, keys: Iterable[TopicKey]) -> None:
        """Deliver these keys from now on."""
        with self._lock:
            for key in keys:
                self._keys[key] = True
                self._wanted.add(key.topic, key)
            self._subscribed_prefixes = {}
        self._changed()

    def leave(self, keys: Iterable[TopicKey]) -> None:
        """Stop delivering these keys."""
        with self._lock:
            for key in keys:
                if self._keys.pop(key, None) is not None:
                    self._wanted.remove(key.topic, key)
            self._subscribed_prefixes = {}

    def wanted(self, tunnel: str) -> list[TopicKey]:
        """Return the subscribed keys of a tunnel."""
        with self._lock:
            return [key for key in self._keys if key.tunnel == tunnel]

    def set_carried(self, keys: Iterable[TopicKey] | None, *, carried: bool) -> tuple[TopicKey, ...]:
        """Note whether the recorded connection carries these keys, or all, from here on; return the subscribed ones."""
        with self._lock:
            changed = tuple(self._keys) if keys is None else tuple(key for key in keys if key in self._keys)
            for key in changed:
                self._keys[key] = carried
            return changed

    def is_carried(self, key: TopicKey) -> bool:
        """Whether a key is subscribed and carried."""
        with self._lock:
            return self._keys.get(key, False)

    def pushes(self, batch: Batch, payload_mismatch: Callable[[Message], None]) -> Pushes:
        """Return the pushes of a batch whose topics are subscribed."""
        origin = batch.origin
        mismatch = None if origin.recovered else payload_mismatch  # REST does not tell all fields
        arrival = Arrival(origin.epoch, origin.received_ns, mismatch, origin.recovered)
        known = self._reader.recognise(list(batch.frames), arrival)
        if isinstance(known, FrameBatch) and (prefixes := known.prefixes) is not None:
            wanted = set(filter(self._wants, dict.fromkeys(prefixes)))
            chosen = list(map(wanted.__contains__, prefixes))
            frames = list(compress(batch.frames, chosen))
            if len(wanted) == 1:
                return FrameBatch(frames, arrival, prefix=wanted.pop())
            return FrameBatch(frames, arrival, list(compress(prefixes, chosen))) if frames else ()
        if known is not None:
            return known if self._wants(known[0].prefix) else ()
        pushes: list[Push] = []
        for frame in batch.frames:
            try:
                push = self._reader.push(frame, arrival)
            except UNREADABLE:
                self.sources[0].counts.unreadable += 1
                continue
            topic = push.prefix.channel[0] if isinstance(push, RawPush) else push.topic
            if topic is not None and self._wanted.find(topic):
                pushes.append(push)
        return pushes

    def _wants(self, prefix: EnvelopePrefix) -> bool:
        """Return whether frames with a prefix are subscribed."""
        known = self._subscribed_prefixes  # if the topics change now, the result goes into the replaced cache
        wanted = known.get(prefix)
        if wanted is None:
            if len(known) >= _MAX_PREFIXES:
                known.clear()
            wanted = known[prefix] = bool(self._wanted.find(prefix.channel[0]))
        return wanted


class ReplaySource(MessageSource):
    """A message source that takes the place of a connection. The player's thread delivers its frames.

    Attributes:
        epoch: the epoch of the last delivered message, as recorded.
    """

    def __init__(
        self,
        number: int,
        market: str,
        private: bool,
        owner: SourceListener,
        deliver: Deliver,
        topics: SubscribedTopics,
        thread: Callable[[], threading.Thread],
    ) -> None:
        super().__init__(number, market, private, owner, deliver)
        self.owner = owner
        self.last_error: KucoinSyncError | None = None
        self._unanswered: deque[tuple[TopicKey, ...]] = deque()
        self._topics = topics
        self._thread = thread
        topics.sources.append(self)

    @property
    def thread(self) -> threading.Thread:
        """The player's thread."""
        return self._thread()

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Deliver the recorded ones of these keys; `start` confirms them, and refuses all others."""
        keys = tuple(keys)
        self._topics.want(key for key in keys if tuple(key) in self._topics.recorded)
        self._unanswered.append(keys)

    def start(self) -> None:
        """Answer what was subscribed; the player starts when the replay does."""
        for keys in tuple(self._unanswered):  # a call that is interrupted is made again
            recorded = tuple(key for key in keys if tuple(key) in self._topics.recorded)
            if recorded:
                self.owner.acked(self, recorded)
            for key in keys:
                if key not in recorded:
                    names = {topic for topic, _ in self._topics.recorded}
                    self.owner.refused(self, key, NotRecorded(key.topic, names, self._topics.name))
            with suppress(ValueError):  # another thread has answered it, too
                self._unanswered.remove(keys)

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Stop delivering these keys."""
        self._topics.leave(keys)

    def close_tunnel(self, tunnel: str) -> None:
        """Stop delivering the keys of a tunnel."""
        self._topics.leave(self._topics.wanted(tunnel))

    def is_active(self, key: TopicKey) -> bool:
        """Whether a key is carried at this point of the recording."""
        return self._topics.is_carried(key)

    def deliver_recorded(self, pushes: Pushes, epoch: int) -> None:
        """Deliver recorded pushes, and count them."""
        self.epoch = epoch
        self.counts.messages += len(pushes)
        self.counts.bytes += sum(len(push.frame if isinstance(push, RawPush) else push.raw) for push in pushes)
        self._deliver(self, pushes)
