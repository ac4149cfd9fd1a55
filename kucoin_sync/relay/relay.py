"""`Relay`: passes KuCoin's feed on through Redis while it holds the lease, and waits for its turn while it does not.

Rules:
1. Of all relays of a namespace one holds the lease. It renews it several times in its span, and whoever waits takes it
   as soon as it has run out. Each holding has a fencing token, newer than all before it, and nothing is written
   for an older one.
2. The holder passes on what it was told to and what readers want. What no reader has asked for in a while it drops.
3. While Redis does not answer, a holder goes on receiving. If afterwards nobody else has taken the lease, it writes
   what came meanwhile; what found no room readers see as a gap.
"""

from __future__ import annotations

import logging
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
from ..internal.guard import Thread, guarded, log
from ..internal.latch import Latch
from ..internal.resources import shortage_error, start_thread
from ..internal.signals import holds_no_lock, is_reentrant, run_or_defer
from ..protocol.session_events import TopicKey
from ..topics import grammar
from .codec import Lease, decode_record
from .events import LeaseLost, LeaseTaken, RedisFailed, RelayDelayed
from .jobs import Jobs
from .keys import Keys
from .leadership import Leadership, objection
from .scripts import HolderScripts, Keep
from .server import BROKEN, RedisServer
from .stream import NAMESPACE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Relay"]

_BLOCK = 50
_POLLS = 10
_GRACE = 15.0
"""Seconds after Redis was gone in which nothing is dropped: it may have forgotten what readers want, who come back."""

_BUFFER = 200_000


class Relay:
    """Passes the feed of a stream on to any number of `RelayStream`s.

    Args:
        stream: made for this relay alone; the relay subscribes what is wanted. Whoever made it closes it.
        url: where Redis is, such as "redis://user:password@host:6379/0"; rediss:// for TLS.
        topics: passed on whether a reader wants them or not.
        private: also pass on private topics that readers ask for: whoever can read Redis sees the account's messages.
        namespace: relays and readers of the same one belong together.
        lease_seconds: how long a dead holder keeps the others waiting.
        keep_seconds: how long messages stay in Redis, about: a reader that is away for longer sees a gap.
        length: entries that each of the 16 streams keeps at most, about; one has the messages of some milliseconds.
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
        self._fixed = {single for topic in topics for single in grammar.split(topic)}
        for topic in self._fixed:
            if complaint := objection(topic, private=private):
                raise InvalidTopic(f"{topic} can't be passed on: {complaint}")
        self._private = private
        self._lease_ms = int(lease_seconds * 1000)
        self._keep = Keep(length, int(keep_seconds * 1000))
        self._callbacks = Callbacks(on_event)
        self._closing = threading.Event()
        self._ended = Latch()
        self._changed = threading.Condition()  # guards _term, for who waits for the lease
        self._term: Leadership | None = None
        # Of the relay's thread alone:
        self._client = self._server.client()
        self._scripts = HolderScripts(self._client, self._keys)
        self._jobs: Jobs | None = None
        self._asked: bytes = b"$"  # the last entry of the readers' asks that was read
        self._renew_at = 0.0
        self._drop_from = 0.0  # the instant from which unwanted topics are dropped
        self._failure: ConnectionFailed | None = None  # why it has ended by itself
        self._worked = False  # whether Redis has ever answered
        self._published = 0  # by terms that are over
        self._dropped = 0
        self._thread = Thread(name="kucoin-relay")  # which stands for one until `start`

    def start(self) -> None:
        """Begin, on threads of the relay's own."""
        self._stream.watch(self)
        run_or_defer(self._start_thread)

    def _start_thread(self) -> None:
        try:
            self._thread = start_thread(self._run, name="kucoin-relay")
        except BaseException:
            self._stream.unwatch()
            raise

    def run(self) -> None:
        """Begin, and return when the relay is closed.

        Raises:
            ConnectionFailed: Redis refused the user, or its certificate does not verify.
        """
        self.start()
        self._ended.wait(None)  # a `join` that Ctrl-C interrupts takes the thread for dead
        if self._failure is not None:
            raise self._failure

    def close(self, timeout: float = 10.0) -> None:
        """End, and give the lease back; from any thread, and more than once. The stream stays open."""
        if not run_or_defer(self._begin_to_close):
            return
        for thread in [self._thread, *self._callbacks.threads]:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(timeout)

    def _begin_to_close(self) -> None:
        """Let the threads end."""
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
        """Whether it passes the feed on now."""
        return self._term is not None

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it passes on now."""
        term = self._term
        return () if term is None else tuple(sorted(term.feeds))

    def wait_lease(self, timeout: float | None = None) -> bool:
        """Wait until it holds the lease; return whether it does. Raises as `run`.

        A finaliser or handler that has interrupted this package does not wait.
        """
        if is_reentrant():
            held = self.holds_lease
        else:
            with self._changed:
                held = self._changed.wait_for(lambda: self._term is not None or self._failure is not None, timeout)
        if self._failure is not None:
            raise self._failure
        return held

    def stats(self) -> dict[str, int]:
        """Return plain numbers: messages written, left out for want of room, waiting; topics; the fencing token."""
        term = self._term
        if term is None:
            return {"published": self._published, "dropped": self._dropped, "pending": 0, "topics": 0, "token": 0}
        return {
            "published": self._published + term.published,
            "dropped": self._dropped + term.buffer.dropped,
            "pending": len(term.buffer.items),
            "topics": len(term.feeds),
            "token": term.token,
        }

    # For the stream, on its threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """KuCoin sends these from now on."""
        if (term := self._term) is not None:
            term.carried(keys)

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """KuCoin sends these no longer."""
        if (term := self._term) is not None:
            term.lost(keys, error)

    # The relay's thread

    def _run(self) -> None:
        delays = backoff.retry_delays(0.1, 2.0)
        try:
            while not self._closing.is_set():
                try:
                    self._step()
                    self._worked = True
                    delays = backoff.retry_delays(0.1, 2.0)
                except BaseException as error:
                    delay = next(delays)
                    self._failed(error, delay)
                    if self._failure is not None:
                        return
                    self._closing.wait(delay)
        finally:
            with guarded("the relay could not give all back at its end"):
                self._leave()
            self._client.connection_pool.disconnect()
            self._ended.set()

    def _failed(self, error: BaseException, delay: float) -> None:
        """Tell of an error, after which another attempt follows in `delay` seconds; give up where none can help."""
        missing = error if isinstance(error, KucoinSyncError) else shortage_error(error, "the relay")
        if missing is None and isinstance(error, BROKEN):
            failure = self._server.failure(error)
            if is_fatal(failure, was_live=self._worked, needs_key=False):
                self._give_up(failure)
                return
            self._client.connection_pool.disconnect()
            self._drop_from = time.monotonic() + delay + _GRACE
            self._callbacks.emit(RedisFailed(failure, delay))
            return
        if missing is None:
            log(logging.ERROR, "a defect in the relay, which tries again", error=error)
            missing = ConnectionFailed(f"a defect in this package: {type(error).__name__}: {error}")
        self._callbacks.emit(RelayDelayed(missing, delay))

    def _give_up(self, failure: ConnectionFailed) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _step(self) -> None:
        term = self._term
        if term is not None:
            self._serve(term)
            return
        taken = self._scripts.acquire(self._lease_ms, self._lease(0))
        if taken is None:
            self._closing.wait(self._lease_ms / 1000 / _POLLS)
        else:
            self._begin(taken[0])

    def _begin(self, token: int) -> None:
        """Begin to hold the lease: go on with the numbers of whoever held it before."""
        lasts: Any = self._client.hgetall(self._keys.last)
        sequences = {found[1].topic: found[1].sequence for text in lasts.values() if (found := decode_record(text))}
        newest: Any = self._client.xrevrange(self._keys.asks, count=1)
        self._asked = newest[0][0] if newest else b"0-0"
        self._renew_at = 0.0
        with ExitStack() as undo:
            undo.callback(self._release, token)  # for another relay, which may have what is missing here
            term = Leadership(
                token, sequences, self._stream, self._server, self._keys,
                keep=self._keep, limit=_BUFFER, emit=self._callbacks.emit,
            )  # fmt: skip
            undo.callback(term.end)
            self._jobs = Jobs(term, self._stream.fetcher, self._server, self._keys)
            undo.pop_all()
        with self._changed:
            self._term = term
            self._changed.notify_all()
        self._callbacks.emit(LeaseTaken(token))

    def _serve(self, term: Leadership) -> None:
        """Do what is due while the lease is held."""
        now = time.monotonic()
        if now >= self._renew_at or term.doubted.is_set():
            wanted = self._scripts.renew(self._lease_ms, self._lease(term.token))
            if wanted is None:
                self._regain(term)
                return
            self._renew_at = now + self._lease_ms / 3000
            self._carry(term, wanted)
        for topic in term.refused():
            self._client.zrem(self._keys.wanted, topic)
        found: Any = self._client.xread({self._keys.asks: self._asked}, count=1000, block=_BLOCK)
        for _, entries in found:
            self._asked = entries[-1][0]
            for _, fields in entries:
                if fields.get(b"kind") == b"wanted":
                    self._renew_at = 0.0
                elif self._jobs is not None:
                    self._jobs.add(fields.get(b"book", b"").decode(errors="replace"))

    def _carry(self, term: Leadership, wanted: set[str]) -> None:
        """Have exactly those topics passed on that are wanted."""
        carried = term.feeds.keys()
        fresh: list[str] = []
        for topic in sorted((wanted | self._fixed) - carried):
            complaint = objection(topic, private=self._private)
            if complaint:
                term.refuse(topic, 400, complaint)
                self._client.zrem(self._keys.wanted, topic)
            elif not grammar.is_private(topic):
                fresh.append(topic)
            elif self._jobs is not None:
                self._jobs.add(_Private(term, topic))
        if fresh:
            term.subscribe(fresh)
        if time.monotonic() >= self._drop_from:
            term.drop(sorted(carried - wanted - self._fixed))

    def _regain(self, term: Leadership) -> None:
        """Go on with a new token where Redis has only forgotten ours; end the term where another one is newer."""
        taken = self._scripts.acquire(self._lease_ms, self._lease(0))
        if taken is not None and taken[1] is None:
            term.token = taken[0]
            term.doubted.clear()
            self._renew_at = 0.0
            self._callbacks.emit(LeaseTaken(term.token))
            return
        self._leave()
        self._callbacks.emit(LeaseLost(term.token))
        if taken is not None:
            self._begin(taken[0])

    def _lease(self, token: int) -> Lease:
        return Lease(token, f"{socket.gethostname()}:{os.getpid()}", self._stream.has_key())

    def _leave(self) -> None:
        """End the term, if there is one, and let others have the lease."""
        with self._changed:
            term, self._term = self._term, None
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            with guarded("the errands of the relay could not be ended"):
                jobs.close()
        if term is not None:
            term.end()
            self._published += term.published
            self._dropped += term.buffer.dropped
            self._release(term.token)

    def _release(self, token: int) -> None:
        """Let others have the lease."""
        try:
            self._scripts.release(token)
        except BROKEN:
            pass  # it runs out


class _Private(msgspec.Struct, frozen=True):
    """The errand of taking a private topic up; the same for the same topic."""

    term: Leadership
    topic: str

    def __call__(self) -> None:
        self.term.subscribe_private(self.topic)
