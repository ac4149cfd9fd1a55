"""`RelaySource`: the message source of a `RelayStream`, one thread that reads the relay's streams from Redis.

It takes the place of a connection to KuCoin. The wanted topics and the read position of each outlive the connection to
Redis: after a reconnect the source continues where it was, without a gap as long as Redis has kept the entries. The
relay's news say which topics KuCoin has confirmed, lost or refused. A topic also counts as carried once a record of it
has arrived.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..connections.source import Deliver, ReconnectingSource, SourceListener
from ..events import Connected, Disconnected, Resubscribed, Retrying
from ..exceptions import ConnectionFailed, KucoinSyncError, SubscriptionRejected
from ..net.waker import Cancelled
from ..protocol.envelopes import Push
from ..protocol.session_events import TopicKey
from ..topics import grammar
from .codec import FIELD, News, Record, decode_entry, decode_lease, decode_record, decode_state
from .decoder import RelayDecoder
from .keys import Keys
from .read_position import ReadPosition
from .scripts import ReaderScripts
from .server import BROKEN, RedisServer

__all__ = ["BLOCK", "RelaySource"]

BLOCK = 50
"""Milliseconds that one call to Redis waits for entries."""

_WANTED_SECONDS = 10
_RENEW_SECONDS = 1.0
_IDLE_SECONDS = 30.0
_MAX_ENTRIES = 100
_MAX_RUNS = 1000


class RelaySource(ReconnectingSource):
    """Reads the topics of one market, public or private, until it is closed; it reconnects after errors.

    Attributes:
        epoch: rises with each connection to Redis and each change of the relay.
        last_error: why no messages arrive now: Redis does not answer, no relay runs, or the relay has lost KuCoin.
    """

    _delays = 0.1, 5.0

    def __init__(
        self,
        number: int,
        market: str,
        private: bool,
        server: RedisServer,
        keys: Keys,
        owner: SourceListener,
        deliver: Deliver,
    ) -> None:
        super().__init__(number, market, private, owner, deliver)
        self.last_error: KucoinSyncError | None = ConnectionFailed(
            f"Redis at {server.name} has not answered yet; check that it runs, its URL, and firewalls"
        )
        self._server = server
        self._keys = keys
        self._decoder = RelayDecoder(market)
        self._client = server.client(lambda: self._waker.cancelled)
        self._scripts = ReaderScripts(self._client, keys)
        self._lock = threading.Lock()  # guards the following three
        self._wanted: dict[str, ReadPosition] = {}
        self._unrequested: dict[str, None] = {}  # wanted, but not requested from the relay yet
        self._active: set[str] = set()
        # Of the thread alone:
        self._last_ids: dict[str, bytes] = {}  # the id of the last read entry, by Redis stream
        self._holder = 0  # the token of the lease holder, 0 if there is none
        self._runs: dict[tuple[int, int], int] = {}  # epochs by token and run
        self._renew_at = 0.0
        self._resubscribed_due = False  # whether `Resubscribed` is due when all topics are carried
        self._acquire_thread(name=f"kucoin-redis-{number}")

    # For the stream; see `connections.source.MessageSource`

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Request these keys from now on."""
        with self._lock:
            for key in keys:
                self._wanted.setdefault(key.topic, ReadPosition(self._owner.epochs))
                self._unrequested[key.topic] = None
        self._waker.wake()

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Stop requesting these keys; the relay drops a topic when no reader has requested it for a while."""
        with self._lock:
            for key in keys:
                self._wanted.pop(key.topic, None)
                self._unrequested.pop(key.topic, None)
                self._active.discard(key.topic)
        self._waker.wake()

    def is_active(self, key: TopicKey) -> bool:
        """Whether the relay carries this key now; takes no lock."""
        return key.topic in self._active

    def close(self) -> None:
        """Interrupt the thread and tell it to end; do not wait for it."""
        super().close()
        self._client.connection_pool.disconnect()

    def after_fork(self) -> None:
        """Close the copy of the connection in a forked child, without sending anything to Redis.

        The child does not have the thread, unless an inline callback forked on it. Then that thread ends afterwards.
        """
        self._forked = True
        self._lock = threading.Lock()
        self._client.connection_pool.reset()

    # The thread

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        self._waker.clear()  # another thread may have closed the connection
        return self._server.failure(error) if isinstance(error, BROKEN) else super()._failure_of(error)

    def _disconnect(self) -> None:
        self._client.connection_pool.disconnect()

    def _has_topics(self) -> bool:
        return bool(self._wanted)

    def _report(self, failure: KucoinSyncError, attempt: int, delay: float) -> float:
        if self._holder:
            self._report_lost(failure, delay)
        else:
            self.last_error = failure
            self._owner.emit(Retrying(self.market, self.private, attempt, failure, delay))
        return delay

    def _serve(self) -> None:
        """Request topics and read entries, until an error."""
        with self._lock:
            self._unrequested.update(dict.fromkeys(self._wanted))
        self._renew_at = 0.0
        idle_since = time.monotonic()
        while True:
            if self._forked:
                raise Cancelled
            if self._waker.called:
                self._waker.clear()
            now = time.monotonic()
            if self._unrequested or now >= self._renew_at:
                self._request_topics(now)
                if self._connected_at is None:
                    self._connected_at = now
                    self.counts.reconnects += self.counts.connects > 0
                    self.counts.connects += 1
            if self._wanted:
                idle_since = now
            elif now >= idle_since + _IDLE_SECONDS:
                idle_since = now
                self._owner.idle(self)
            if not self._last_ids:
                self._waker.pause(BLOCK / 1000)
                continue
            streams: Any = self._last_ids
            found: Any = self._client.xread(streams, count=_MAX_ENTRIES, block=BLOCK)
            if found:
                self._handle_entries(found)

    # Requesting topics

    def _request_topics(self, now: float) -> None:
        """Request the wanted topics from the relay; handle their states, and the last records of new topics."""
        with self._lock:
            fresh, topics = dict(self._unrequested), list(self._wanted)
            self._unrequested.clear()
        new = [topic for topic in fresh if topic in topics]
        if self.private and (public := [topic for topic in new if not grammar.is_private(topic)]):
            self._handle_news([News("refused", each, 400, "relays do not pass private=True on") for each in public])
            new = [topic for topic in new if topic not in public]
            topics = [topic for topic in topics if topic not in public]
        requested = new or topics  # all topics when a renewal is due
        if not new:
            self._renew_at = now + _RENEW_SECONDS
        streams = list(dict.fromkeys(map(self._keys.shard, requested)))
        try:
            lease, states, lasts, ends = self._scripts.want(
                requested, streams, seconds=_WANTED_SECONDS, notify=bool(new), last=bool(new)
            )
        except BaseException:
            with self._lock:
                self._unrequested.update(fresh)
            raise
        for stream, end in zip(streams, ends, strict=True):
            last_id = self._last_ids.get(stream)
            if last_id is None:
                self._last_ids[stream] = end
            elif _is_before(end, last_id) and end != b"0-0":
                self._last_ids[stream] = b"0-0"  # Redis has restarted, with a clock that is behind
        if not new:
            used = set(streams)
            self._last_ids = {stream: at for stream, at in self._last_ids.items() if stream in used}
        holder = decode_lease(lease)
        self._set_holder(holder.token if holder is not None else 0)
        self._handle_states(new, states, lasts)

    def _handle_states(self, new: list[str], states: list[bytes | None], lasts: list[bytes | None]) -> None:
        """Handle the states from the lease holder, and deliver the last records of new topics."""
        news = [found[1] for state in states if (found := decode_state(state)) and found[0] == self._holder]
        carried = {each.topic for each in news if each.kind == "carried"}
        pushes: list[Push] = []
        for topic, text in zip(new, lasts, strict=False):
            position = self._wanted.get(topic)
            if position is None or position.joined:
                continue  # after a reconnect, the Redis stream has the records
            last = decode_record(text)
            if last is None:
                position.join(self._holder, 0)
            elif topic in carried:
                position.join(last[0], last[1].sequence - 1)
                self._handle_record(last[0], last[1], pushes)
            else:
                position.join(last[0], last[1].sequence)  # not carried now: the record is outdated
        if pushes:
            self._deliver_pushes(pushes)
        self._handle_news(news)

    def _set_holder(self, holder: int) -> None:
        """Note the token of the lease holder; if it has changed, report the connection as lost and made again."""
        if holder == self._holder:
            if not holder and (self.last_error is None or not self.epoch):
                self.last_error = self._no_relay_error()
            return
        if self._holder:
            self._report_lost(
                self._no_relay_error() if not holder else ConnectionFailed("another relay has taken over"), 0.0
            )
        self._holder = holder
        if not holder:
            self.last_error = self._no_relay_error()
            return
        self._resubscribed_due = self.epoch > 0
        self.epoch = next(self._owner.epochs)
        self.last_error = None
        self._owner.emit(Connected(self.market, self.private, self.epoch, self._server.name))

    def _no_relay_error(self) -> ConnectionFailed:
        return ConnectionFailed(
            f"no relay holds the lease in Redis at {self._server.name}; start one with kucoin-sync relay"
        )

    def _report_lost(self, error: KucoinSyncError, delay: float) -> None:
        """Note and report that no messages arrive any more."""
        self._holder = 0
        self.last_error = error
        with self._lock:
            self._active.clear()
        self._owner.emit(Disconnected(self.market, self.private, self.epoch, 1006, "", error, delay))
        self._owner.failed(self, error, fatal=False)

    # Reading

    def _handle_entries(self, found: list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]) -> None:
        """Handle entries in their order."""
        pushes: list[Push] = []
        for stream, entries in found:
            self._last_ids[stream.decode()] = entries[-1][0]
            for _, fields in entries:
                text = fields.get(FIELD, b"")
                self.counts.bytes += len(text)
                entry = decode_entry(text)
                if entry is None:
                    self.counts.unreadable += 1
                    continue
                if entry.token > self._holder:
                    self._set_holder(entry.token)
                for record in entry.records:
                    self._handle_record(entry.token, record, pushes, entry.tried)
                if entry.news and entry.token == self._holder:
                    if pushes:
                        self._deliver_pushes(pushes)
                        pushes = []
                    self._handle_news(entry.news)
        if pushes:
            self._deliver_pushes(pushes)

    def _handle_record(self, token: int, record: Record, pushes: list[Push], tried: Sequence[int] = ()) -> None:
        """Append the push of a record unless it is unwanted or a duplicate; for `tried` see `codec.Entry`."""
        position = self._wanted.get(record.topic)
        if position is None:
            return
        sequence = position.sequence + 1
        if record.sequence == sequence and record.run == position.run and token == position.token:
            position.sequence = sequence  # the usual case
            lost: int | None = 0
        else:
            lost = position.lost_before(token, record, self._epoch_of(token, record.run), tried)
        if lost is None:
            return
        push = self._decoder.push(
            bytes(record.frame),
            position.epoch,
            record.received_ns,
            self._payload_mismatch,
            lost,
            topic=record.topic,
            recovered=record.recovered,
        )
        if push is None:
            self.counts.unreadable += 1
        else:
            pushes.append(push)
        if record.topic not in self._active and token == self._holder and not record.recovered:
            self._handle_news([News("carried", record.topic)])

    def _epoch_of(self, token: int, run: int) -> int:
        """Return the epoch of a relay's run: the current one for the token's first run, else a new one."""
        epoch = self._runs.get((token, run))
        if epoch is None:
            if len(self._runs) >= _MAX_RUNS:
                self._runs.clear()
            fresh = any(known == token for known, _ in self._runs) or not self.epoch
            epoch = self._runs[token, run] = next(self._owner.epochs) if fresh else self.epoch
        return epoch

    def _deliver_pushes(self, pushes: list[Push]) -> None:
        self.counts.messages += len(pushes)
        self._deliver(self, pushes)

    def _handle_news(self, news: Sequence[News]) -> None:
        """Note the changed states of topics, and tell the owner."""
        carried: list[TopicKey] = []
        lost: list[News] = []
        interrupted: list[TopicKey] = []
        with self._lock:
            for each in news:
                topic = each.topic
                if topic not in self._wanted:
                    continue
                if each.kind == "carried" and topic not in self._active:
                    self._active.add(topic)
                    carried.append(TopicKey(topic))
                elif each.kind in ("lost", "dropped") and topic in self._active:
                    self._active.discard(topic)
                    lost.append(each)
                elif each.kind == "interrupted" and topic in self._active:
                    self._active.discard(topic)
                    interrupted.append(TopicKey(topic))
            settled = len(self._active) == len(self._wanted)
        if interrupted:
            self._owner.interrupted(self, tuple(interrupted))
        if carried:
            self.last_error = None if settled else self.last_error
            self._owner.acked(self, tuple(carried))
        for each in news:
            if each.kind == "refused" and each.topic in self._wanted:
                self._refused(each)
            elif each.kind == "lost" and not lost and each.topic in self._wanted and each.topic not in self._active:
                self.last_error = _upstream(each)
        if lost:
            self.last_error = error = _upstream(lost[0])
            self._resubscribed_due = True
            self._owner.emit(Disconnected(self.market, self.private, self.epoch, 1006, "", error, 0.0))
            self._owner.failed(self, error, fatal=False)
        elif settled and self._resubscribed_due and self._active:
            self._resubscribed_due = False
            self._owner.emit(Resubscribed(self.market, self.private, self.epoch, len(self._active)))
        if settled:
            self._owner.settled(self)

    def _refused(self, news: News) -> None:
        key = TopicKey(news.topic)
        self.unsubscribe([key])
        self._owner.refused(self, key, SubscriptionRejected(news.topic, news.code, news.reason))


def _upstream(news: News) -> ConnectionFailed:
    return ConnectionFailed(f"the relay has no connection to KuCoin that carries {news.topic}: {news.reason}")


def _is_before(one: bytes, other: bytes) -> bool:
    """Whether the entry id `one` is below the entry id `other`."""
    (a, b), (c, d) = one.split(b"-"), other.split(b"-")
    return (int(a), int(b)) < (int(c), int(d))
