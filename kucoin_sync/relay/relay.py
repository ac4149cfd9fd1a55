"""`Relay`: passes KuCoin's feed on through Redis while it holds the lease, and stands by while it does not.

Rules:
1. One relay of a namespace holds the lease, and renews it several times before it expires. A waiting relay takes the
   lease as soon as it has expired. Each leadership has a newer fencing token than all before. Redis rejects writes with
   an older token.
2. The holder passes on its configured topics and the topics that readers want. It drops a topic that no reader has
   asked for in a while.
3. While Redis does not answer, the holder continues to receive. If no other relay has taken the lease afterwards, it
   writes the buffered messages. Readers see a gap where the buffer was full.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from .. import Stream
from ..delivery.callbacks import Callbacks
from ..events import Event
from ..exceptions import ConnectionFailed, InvalidTopic, KucoinSyncError, is_fatal
from ..internal import backoff
from ..internal.flag import Flag
from ..internal.guard import Thread, guarded
from ..internal.latch import Latch
from ..internal.resources import error_or_defect, shortage_error, start_thread
from ..internal.signals import holds_no_lock, is_reentrant, run_or_defer
from ..protocol.session_events import TopicKey
from ..topics import grammar
from .codec import Lease, decode_record
from .events import LeaseLost, LeaseTaken, RedisFailed, RelayDelayed
from .jobs import Jobs
from .keys import Keys
from .leadership import Leadership, refusal_reason
from .scripts import HolderScripts, Retention
from .server import BROKEN, RedisServer
from .stream import NAMESPACE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Relay"]

_BLOCK_MS = 50
_POLLS_PER_LEASE = 10
_KEEP_TOPICS_SECONDS = 15.0
"""Seconds after a failure of Redis in which no topic is dropped: Redis may have lost the readers' requests."""

_BUFFER_RECORDS = 200_000


class Relay:
    """Passes the feed of a stream on to any number of `RelayStream`s.

    Args:
        stream: a stream for this relay alone; the relay subscribes topics on it. The caller closes it.
        url: the URL of Redis, such as "redis://user:password@host:6379/0"; rediss:// for TLS.
        topics: topics to pass on even if no reader wants them.
        private: also pass on private topics; then every client that can read Redis sees the account's messages.
        namespace: the prefix of all keys; relays and their readers use the same.
        lease_seconds: the lifetime of the lease: how long the other relays wait after the holder dies.
        keep_seconds: how long messages stay in Redis, approximately; a reader that is away for longer sees a gap.
        length: entries that each of the 16 Redis streams keeps, approximately; one entry has the messages of some
            milliseconds.
        ca_certs: path of the authorities' certificates, for TLS with a private authority.
        on_event: called with each `Event` of the relay; all are logged, too. The stream has its own.

    Raises:
        ConnectionFailed: the URL is malformed. InvalidTopic: a topic can't be passed on.
    """

    def __init__(
        self,
        stream: Stream,
        url: str,
        *,
        topics: Iterable[str] = (),
        private: bool = False,
        namespace: str = NAMESPACE,
        lease_seconds: float = 3.0,
        keep_seconds: float = 30.0,
        length: int = 10_000,
        ca_certs: str | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        for name, value, least in (("lease_seconds", lease_seconds, 0.1), ("keep_seconds", keep_seconds, 0.1)):
            if not value >= least:
                raise ValueError(f"{name} is {value!r}; it is at least {least:g}")
        if length < 1:
            raise ValueError(f"length is {length!r}; a stream keeps at least 1 entry")
        self._server, self._keys = RedisServer(url, ca_certs), Keys(namespace)
        self._stream = stream
        self._configured_topics = {single for topic in topics for single in grammar.split(topic)}
        for topic in self._configured_topics:
            if reason := refusal_reason(topic, private=private):
                raise InvalidTopic(f"{topic} can't be passed on: {reason}")
        self._private = private
        self._lease_ms = int(lease_seconds * 1000)
        self._retention = Retention(length, int(keep_seconds * 1000))
        self._callbacks = Callbacks(on_event)
        self._closing = Flag()
        self._ended = Latch()
        self._decided = Flag()  # set while the relay holds the lease, and when it has given up
        # Only the relay's thread changes the following.
        self._leadership: Leadership | None = None
        self._client = self._server.client()
        self._scripts = HolderScripts(self._client, self._keys)
        self._jobs: Jobs | None = None
        self._last_request_id: bytes = b"$"  # the id of the last request that was read
        self._renew_at = 0.0
        self._drop_from = 0.0  # the instant from which unwanted topics are dropped
        self._failure: ConnectionFailed | None = None  # the permanent error that ended the relay
        self._has_answered = False  # whether Redis has ever answered
        self._published = 0  # by earlier leaderships
        self._dropped = 0
        self._thread = Thread(name="kucoin-relay")  # a placeholder until `start`

    def start(self) -> None:
        """Start the relay's threads."""
        self._stream.watch(self)
        run_or_defer(self._start_thread)

    def _start_thread(self) -> None:
        try:
            self._thread = start_thread(self._run, name="kucoin-relay")
        except BaseException:
            self._stream.unwatch()
            raise

    def run(self) -> None:
        """Start, and wait until the relay is closed.

        Raises:
            ConnectionFailed: Redis refused the user, or its certificate does not verify.
        """
        self.start()
        self._ended.wait(None)  # not `join`: after Ctrl-C in `join`, the thread counts as dead
        if self._failure is not None:
            raise self._failure

    def close(self, timeout: float = 10.0) -> None:
        """Stop, and release the lease. May be called from any thread, and more than once. The stream stays open."""
        if not run_or_defer(self._begin_to_close):
            return
        for thread in [self._thread, *self._callbacks.threads]:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(timeout)

    def _begin_to_close(self) -> None:
        """Tell the threads to end."""
        self._closing.set()
        self._callbacks.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Relay through {self._server.name}: {'holds the lease' if self.holds_lease else 'waiting'}>"

    @property
    def holds_lease(self) -> bool:
        """Whether this relay holds the lease and passes the feed on."""
        return self._leadership is not None

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that this relay passes on now."""
        leadership = self._leadership
        return () if leadership is None else tuple(sorted(leadership.feeds))

    def wait_lease(self, timeout: float | None = None) -> bool:
        """Wait until this relay holds the lease; return whether it does.

        In a finaliser or signal handler that has interrupted this package, this does not wait.

        Raises:
            ConnectionFailed: as `run`.
        """
        held = self.holds_lease if is_reentrant() else self._decided.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return held

    def stats(self) -> dict[str, int]:
        """Return numbers: messages written, dropped and waiting; topics; the fencing token."""
        leadership = self._leadership
        if leadership is None:
            return {"published": self._published, "dropped": self._dropped, "pending": 0, "topics": 0, "token": 0}
        return {
            "published": self._published + leadership.published,
            "dropped": self._dropped + leadership.buffer.dropped,
            "pending": len(leadership.buffer.items),
            "topics": len(leadership.feeds),
            "token": leadership.token,
        }

    # For the stream, on its threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """Note that KuCoin sends these topics from now on."""
        if (leadership := self._leadership) is not None:
            leadership.carried(keys)

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Note that KuCoin no longer sends these topics."""
        if (leadership := self._leadership) is not None:
            leadership.lost(keys, error)

    # The relay's thread

    def _run(self) -> None:
        delays = backoff.retry_delays(0.1, 2.0)
        try:
            while not self._closing.is_set():
                try:
                    self._step()
                    self._has_answered = True
                    delays = backoff.retry_delays(0.1, 2.0)
                except BaseException as error:
                    delay = next(delays)
                    self._failed(error, delay)
                    if self._failure is not None:
                        return
                    self._closing.wait(delay)
        finally:
            with guarded("the relay could not release the lease at its end"):
                self._end_leadership()
            self._client.connection_pool.disconnect()
            self._ended.set()

    def _failed(self, error: BaseException, delay: float) -> None:
        """Report an error before the next attempt in `delay` seconds; give up if the error is permanent."""
        ours = isinstance(error, KucoinSyncError) or shortage_error(error, "the relay") is not None
        if isinstance(error, BROKEN) and not ours:
            failure = self._server.failure(error)
            if is_fatal(failure, was_live=self._has_answered, needs_key=False):
                self._give_up(failure)
                return
            self._client.connection_pool.disconnect()
            self._drop_from = time.monotonic() + delay + _KEEP_TOPICS_SECONDS
            self._callbacks.emit(RedisFailed(failure, delay))
            return
        reason = error_or_defect(error, "the relay", "a defect in the relay, which tries again")
        self._callbacks.emit(RelayDelayed(reason, delay))

    def _give_up(self, failure: ConnectionFailed) -> None:
        self._failure = failure
        self._decided.set()

    def _step(self) -> None:
        leadership = self._leadership
        if leadership is not None:
            self._serve(leadership)
            return
        taken = self._scripts.acquire(self._lease_ms, self._lease(0))
        if taken is None:
            self._closing.wait(self._lease_ms / 1000 / _POLLS_PER_LEASE)
        else:
            self._begin_leadership(taken[0])

    def _begin_leadership(self, token: int) -> None:
        """Begin a leadership; continue the sequences of the one before."""
        lasts: Any = self._client.hgetall(self._keys.last)
        sequences = {found[1].topic: found[1].sequence for text in lasts.values() if (found := decode_record(text))}
        newest: Any = self._client.xrevrange(self._keys.asks, count=1)
        self._last_request_id = newest[0][0] if newest else b"0-0"
        self._renew_at = 0.0
        with ExitStack() as undo:
            undo.callback(self._release, token)  # another relay may have the resources that this one lacks
            leadership = Leadership(
                token, sequences, self._stream, self._server, self._keys,
                retention=self._retention, limit=_BUFFER_RECORDS, emit=self._callbacks.emit,
            )  # fmt: skip
            undo.callback(leadership.end)
            self._jobs = Jobs(leadership, self._stream.fetcher, self._server, self._keys, self._stream.resubscribe)
            undo.pop_all()
        self._leadership = leadership
        self._decided.set()
        self._callbacks.emit(LeaseTaken(token))

    def _serve(self, leadership: Leadership) -> None:
        """Renew the lease when due, and handle readers' requests."""
        now = time.monotonic()
        if now >= self._renew_at or leadership.superseded.is_set():
            wanted = self._scripts.renew(self._lease_ms, self._lease(leadership.token))
            if wanted is None:
                self._retake_lease(leadership)
                return
            self._renew_at = now + self._lease_ms / 3000
            self._update_topics(leadership, wanted)
        for topic in leadership.refused():
            self._client.zrem(self._keys.wanted, topic)
        found: Any = self._client.xread({self._keys.asks: self._last_request_id}, count=1000, block=_BLOCK_MS)
        for _, entries in found:
            self._last_request_id = entries[-1][0]
            for _, fields in entries:
                if fields.get(b"kind") == b"wanted":
                    self._renew_at = 0.0
                elif self._jobs is not None:
                    self._jobs.add(fields.get(b"book", b"").decode(errors="replace"))

    def _update_topics(self, leadership: Leadership, wanted: set[str]) -> None:
        """Subscribe the wanted topics that are missing, and drop those that are no longer wanted."""
        carried = leadership.feeds.keys()
        fresh: list[str] = []
        for topic in sorted((wanted | self._configured_topics) - carried):
            reason = refusal_reason(topic, private=self._private)
            if reason:
                leadership.refuse(topic, 400, reason)
                self._client.zrem(self._keys.wanted, topic)
            elif not grammar.is_private(topic):
                fresh.append(topic)
            elif self._jobs is not None:
                self._jobs.add(_Private(leadership, topic))
        if fresh:
            leadership.subscribe(fresh)
        if time.monotonic() >= self._drop_from:
            leadership.drop(sorted(carried - wanted - self._configured_topics))

    def _retake_lease(self, leadership: Leadership) -> None:
        """Take a new token if Redis has lost this relay's; end the leadership if another relay has a newer token."""
        taken = self._scripts.acquire(self._lease_ms, self._lease(0))
        if taken is not None and taken[1] is None:
            leadership.token = taken[0]
            leadership.superseded.clear()
            self._renew_at = 0.0
            self._callbacks.emit(LeaseTaken(leadership.token))
            return
        self._end_leadership()
        self._callbacks.emit(LeaseLost(leadership.token))
        if taken is not None:
            self._begin_leadership(taken[0])

    def _lease(self, token: int) -> Lease:
        return Lease(token, f"{socket.gethostname()}:{os.getpid()}", self._stream.has_key())

    def _end_leadership(self) -> None:
        """End the leadership, if there is one, and release the lease."""
        leadership, self._leadership = self._leadership, None
        if self._failure is None:
            self._decided.clear()
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            with guarded("the jobs of the relay could not be ended"):
                jobs.close()
        if leadership is not None:
            leadership.end()
            self._published += leadership.published
            self._dropped += leadership.buffer.dropped
            self._release(leadership.token)

    def _release(self, token: int) -> None:
        """Release the lease."""
        try:
            self._scripts.release(token)
        except BROKEN:
            pass  # the lease expires by itself


class _Private(msgspec.Struct, frozen=True):
    """The job of subscribing a private topic; jobs for the same topic are equal."""

    leadership: Leadership
    topic: str

    def __call__(self) -> None:
        self.leadership.subscribe_private(self.topic)
