"""What brings a reader its messages: one thread that reads the relay's streams from Redis.

It is to a `RelayStream` what a connection to KuCoin is to a `Stream`. What is wanted, and where the reader is in each
topic, outlives the connection to Redis: after a cut it goes on where it was, without a gap as long as the entries are
still there. It is the relay that says which topics KuCoin has confirmed, lost or refused; a topic of which a record has
come is carried, too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..connections.source import Counts, Deliver, OnThread, SourceListener, weak_callback
from ..events import Connected, Disconnected, Resubscribed, Retrying
from ..exceptions import ConnectionFailed, KucoinSyncError, SubscriptionRejected, is_fatal
from ..internal import backoff
from ..internal.guard import log
from ..net.socket import Cancelled
from ..protocol.envelopes import Push, channel_of
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
"""Milliseconds after which a wait for entries looks at what else there is to do."""

_WANTED_SECONDS = 10
_RENEW = 1.0
_IDLE = 30.0
_STABLE = 30.0
_ENTRIES = 100
_RUNS = 1000
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0


class RelaySource(OnThread):
    """Reads the topics of one market, public or private, for ever until it is closed.

    Attributes:
        epoch: rises with each connection to Redis and each change of the relay.
        last_error: why nothing comes now: Redis does not answer, no relay runs, or that has lost KuCoin.
    """

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
        self.number = number
        self.market = market
        self.private = private
        self.epoch = 0
        self.last_error: KucoinSyncError | None = ConnectionFailed(
            f"Redis at {server.name} has not answered yet; check that it runs, its URL, and firewalls"
        )
        self.counts = Counts()
        self._server = server
        self._keys = keys
        self._owner = owner
        self._deliver = deliver
        self._payload_mismatch = weak_callback(owner.payload_mismatch)
        self._opening = RelayDecoder()
        self._client = server.client(lambda: self._waker.cancelled)
        self._scripts = ReaderScripts(self._client, keys)
        self._lock = threading.Lock()  # guards the following four
        self._wanted: dict[str, ReadPosition] = {}
        self._fresh: dict[str, None] = {}  # wanted, and the relay not told yet
        self._active: set[str] = set()
        self._renamed: set[str] = set()  # those wanted whose pushes may have the name of another topic
        # Of the thread alone:
        self._positions: dict[str, bytes] = {}  # by stream: the last entry that was read
        self._holder = 0  # the token of the relay that is followed, 0 while there is none
        self._runs: dict[tuple[int, int], int] = {}  # epochs by token and run
        self._connected = 0.0
        self._renew_at = 0.0
        self._abandoned = False  # it is a forked child's copy of its parent's
        self._unsettled = False  # whether `Resubscribed` is to be told when all is carried again
        self._acquire_thread(self._run, name=f"kucoin-redis-{number}")

    # For the stream; see `carrier.MessageSource`

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Want these keys from now on."""
        with self._lock:
            for key in keys:
                self._wanted.setdefault(key.topic, ReadPosition(self._owner.epochs))
                self._fresh[key.topic] = None
                if (row := grammar.row_of(key.topic)) is not None and row.pushed_as:
                    self._renamed.add(key.topic)
        self._waker.wake()

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Want these keys no longer; the relay drops them when no reader has asked for them for a while."""
        with self._lock:
            for key in keys:
                self._wanted.pop(key.topic, None)
                self._fresh.pop(key.topic, None)
                self._active.discard(key.topic)
                self._renamed.discard(key.topic)
        self._waker.wake()

    def close_tunnel(self, tunnel: str) -> None:
        """Do nothing: there are no tunnels through a relay."""

    def is_active(self, key: TopicKey) -> bool:
        """Whether the relay has it from KuCoin now; takes no lock."""
        return key.topic in self._active

    def prove(self) -> None:
        """Do nothing: no carrier of a reader is replaced."""

    def retire(self, seconds: float) -> None:  # noqa: ARG002 - nothing needs to be waited for
        """End."""
        self.close()

    def close(self) -> None:
        """Let the thread end, from whatever it is waiting in. Does not wait for it."""
        self._waker.cancel()
        self._client.connection_pool.disconnect()

    def abandon(self) -> None:
        """Let go of it in a forked child: its copy of the connection is closed without a word to Redis.

        Its thread isn't there, unless it is the one that forked (in an inline callback): then it ends after that.
        """
        self._abandoned = True
        self._lock = threading.Lock()
        self._client.connection_pool.reset()

    # The thread

    def _run(self) -> None:
        try:
            self.serve_until_closed(
                self._come_back_for_ever, lambda error: self._owner.failed(self, error, fatal=False)
            )
        finally:
            self._client.connection_pool.disconnect()
            self._waker.close()
            if not self._abandoned:
                self._owner.ended(self)

    def _come_back_for_ever(self) -> None:
        delays, attempt = backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY), 0
        while True:
            attempt += 1
            self._connected = 0.0
            try:
                self._converse()
            except BROKEN as error:
                self._waker.clear()  # where it is we who have closed the connection
                failure = self._server.failure(error)
            except Cancelled:
                raise
            except BaseException as error:
                self._waker.clear()
                log(
                    logging.ERROR,
                    "a defect ended connection %d to Redis; it will be made again",
                    self.number,
                    error=error,
                )
                failure = ConnectionFailed(f"a defect in this package: {type(error).__name__}: {error}")
            self._client.connection_pool.disconnect()
            if is_fatal(failure, was_live=self._owner.was_live(self), needs_key=self.private):
                self._owner.failed(self, failure, fatal=True)
                return
            if self._connected and time.monotonic() - self._connected >= _STABLE:
                delays = backoff.retry_delays(_FIRST_DELAY, _LONGEST_DELAY)
            delay = next(delays)
            if self._connected:
                attempt = 0
                self.counts.disconnects += 1
            else:
                self.counts.failures += 1
            if self._holder:
                self._tell_lost(failure, delay)
            else:
                self.last_error = failure
                self._owner.emit(Retrying(self.market, self.private, attempt, failure, delay))
            self._pause(delay)

    def _pause(self, delay: float) -> None:
        until = time.monotonic() + delay
        while (remaining := until - time.monotonic()) > 0:
            self._waker.sleep(remaining)

    def _converse(self) -> None:
        """Read until something breaks."""
        with self._lock:
            self._fresh.update(dict.fromkeys(self._wanted))
        self._renew_at = 0.0
        idle_since = time.monotonic()
        while True:
            if self._abandoned:
                raise Cancelled
            if self._waker.called:
                self._waker.clear()
            now = time.monotonic()
            if self._fresh or now >= self._renew_at:
                self._want(now)
                if not self._connected:
                    self._connected = now
                    self.counts.reconnects += self.counts.connects > 0
                    self.counts.connects += 1
            if self._wanted:
                idle_since = now
            elif now >= idle_since + _IDLE:
                idle_since = now
                self._owner.idle(self)
            if not self._positions:
                self._waker.sleep(BLOCK / 1000)
                continue
            streams: Any = self._positions
            found: Any = self._client.xread(streams, count=_ENTRIES, block=BLOCK)
            if found:
                self._read(found)

    # Wanting

    def _want(self, now: float) -> None:
        """Tell the relay what is wanted; take what it says of these topics, and the last record of new ones."""
        with self._lock:
            fresh, topics = dict(self._fresh), list(self._wanted)
            self._fresh.clear()
        new = [topic for topic in fresh if topic in topics]
        if self.private and (public := [topic for topic in new if not grammar.is_private(topic)]):
            self._take_news([News("refused", each, 400, "relays do not pass private=True on") for each in public])
            new = [topic for topic in new if topic not in public]
            topics = [topic for topic in topics if topic not in public]
        told = new or topics  # all of them from time to time
        if not new:
            self._renew_at = now + _RENEW
        streams = list(dict.fromkeys(map(self._keys.shard, told)))
        try:
            lease, states, lasts, ends = self._scripts.want(
                told, streams, seconds=_WANTED_SECONDS, tell=bool(new), last=bool(new)
            )
        except BaseException:
            with self._lock:
                self._fresh.update(fresh)
            raise
        for stream, end in zip(streams, ends, strict=True):
            position = self._positions.get(stream)
            if position is None:
                self._positions[stream] = end
            elif _is_before(end, position) and end != b"0-0":
                self._positions[stream] = b"0-0"  # Redis began again, by a clock that is behind
        if not new:
            used = set(streams)
            self._positions = {stream: at for stream, at in self._positions.items() if stream in used}
        holder = decode_lease(lease)
        self._follow(holder.token if holder is not None else 0)
        self._take_states(new, states, lasts)

    def _take_states(self, new: list[str], states: list[bytes | None], lasts: list[bytes | None]) -> None:
        """Take what the relay that holds the lease says of topics, and deliver the last records of new ones."""
        news = [found[1] for state in states if (found := decode_state(state)) and found[0] == self._holder]
        carried = {each.topic for each in news if each.kind == "carried"}
        pushes: list[Push] = []
        for topic, text in zip(new, lasts, strict=False):
            place = self._wanted.get(topic)
            if place is None or place.joined:
                continue  # of who comes back, what came since is in the stream
            last = decode_record(text)
            if last is None:
                place.join(self._holder, 0)
            elif topic in carried:
                place.join(last[0], last[1].sequence - 1)
                self._take(last[0], last[1], pushes)
            else:
                place.join(last[0], last[1].sequence)  # too old to be of use
        if pushes:
            self._hand_over(pushes)
        self._take_news(news)

    def _follow(self, holder: int) -> None:
        """Note who holds the lease; where that has changed, all is lost until the new one says otherwise."""
        if holder == self._holder:
            if not holder and (self.last_error is None or not self.epoch):
                self.last_error = self._nobody()
            return
        if self._holder:
            self._tell_lost(self._nobody() if not holder else ConnectionFailed("another relay has taken over"), 0.0)
        self._holder = holder
        if not holder:
            self.last_error = self._nobody()
            return
        self._unsettled = self.epoch > 0
        self.epoch = next(self._owner.epochs)
        self.last_error = None
        self._owner.emit(Connected(self.market, self.private, self.epoch, self._server.name))

    def _nobody(self) -> ConnectionFailed:
        return ConnectionFailed(
            f"no relay holds the lease in Redis at {self._server.name}; start one with kucoin-sync relay"
        )

    def _tell_lost(self, error: KucoinSyncError, delay: float) -> None:
        """Note that nothing comes any more."""
        self._holder = 0
        self.last_error = error
        with self._lock:
            self._active.clear()
        self._owner.emit(Disconnected(self.market, self.private, self.epoch, 1006, "", error, delay))
        self._owner.failed(self, error, fatal=False)

    # Reading

    def _read(self, found: list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]) -> None:
        """Take entries in their order."""
        pushes: list[Push] = []
        for stream, entries in found:
            self._positions[stream.decode()] = entries[-1][0]
            for _, fields in entries:
                text = fields.get(FIELD, b"")
                self.counts.bytes += len(text)
                entry = decode_entry(text)
                if entry is None:
                    self.counts.unreadable += 1
                    continue
                if entry.token > self._holder:
                    self._follow(entry.token)
                for record in entry.records:
                    self._take(entry.token, record, pushes, entry.tried)
                if entry.news and entry.token == self._holder:
                    if pushes:
                        self._hand_over(pushes)
                        pushes = []
                    self._take_news(entry.news)
        if pushes:
            self._hand_over(pushes)

    def _take(self, token: int, record: Record, pushes: list[Push], tried: Sequence[int] = ()) -> None:
        """Append the push of a record, where it is wanted and was not had before; `tried` as in `Entry`."""
        place = self._wanted.get(record.topic)
        if place is None:
            return
        sequence = place.sequence + 1
        if record.sequence == sequence and record.run == place.run and token == place.token:
            place.sequence = sequence  # as nearly always
            lost: int | None = 0
        else:
            lost = place.lost_before(token, record, self._epoch_of(token, record.run), tried)
        if lost is None:
            return
        opened = self._opening.push(bytes(record.frame), place.epoch, record.received_ns, self._payload_mismatch, lost)
        if opened is None:
            self.counts.unreadable += 1
        elif lost or record.topic not in self._renamed or not self._comes_by_itself(opened, record.topic):
            pushes.append(opened)
        if record.topic not in self._active and token == self._holder:
            self._take_news([News("carried", record.topic)])

    def _comes_by_itself(self, push: Push, topic: str) -> bool:
        """Whether a push of a topic has the name of another one that is wanted, too, and so comes as one of that."""
        name = channel_of(push)[0]
        return name != topic and name in self._wanted

    def _epoch_of(self, token: int, run: int) -> int:
        """Return the epoch of a relay's run: that of the connection for the first, later ones for others."""
        epoch = self._runs.get((token, run))
        if epoch is None:
            if len(self._runs) >= _RUNS:
                self._runs.clear()
            fresh = any(known == token for known, _ in self._runs) or not self.epoch
            epoch = self._runs[token, run] = next(self._owner.epochs) if fresh else self.epoch
        return epoch

    def _hand_over(self, pushes: list[Push]) -> None:
        self.counts.messages += len(pushes)
        self._deliver(self, pushes)

    def _take_news(self, news: Sequence[News]) -> None:
        """Note what has become of topics, and tell the owner."""
        carried: list[TopicKey] = []
        lost: list[News] = []
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
            settled = len(self._active) == len(self._wanted)
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
            self._unsettled = True
            self._owner.emit(Disconnected(self.market, self.private, self.epoch, 1006, "", error, 0.0))
            self._owner.failed(self, error, fatal=False)
        elif settled and self._unsettled and self._active:
            self._unsettled = False
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
    """Whether an entry's id is below another's."""
    (a, b), (c, d) = one.split(b"-"), other.split(b"-")
    return (int(a), int(b)) < (int(c), int(d))
