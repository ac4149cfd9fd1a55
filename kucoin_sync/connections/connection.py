"""A connection to KuCoin: one I/O thread that dials, receives and reconnects until the connection is closed.

The thread drives a `Session` (the protocol) over a `WebSocketConnection` (the socket). Both are replaced after each
cut; the wanted topics in `_wanted` stay. Only the I/O thread touches the socket, except while it lends a consumer
thread a `ReadLease`. Other threads give the session a command under the lock and wake the I/O thread.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from urllib.parse import urlsplit

from ..events import ConnectDelayed, Connected, Disconnected, Resubscribed, Retrying, ServerNotice
from ..exceptions import CLOCK_REFUSED, AuthenticationError, ConnectionFailed, KucoinSyncError
from ..net.connect_pace import connect_pace
from ..net.handshake import SecretUrl
from ..net.rest import Rest
from ..net.websocket import ConnectionLost, WebSocketConnection
from ..protocol.dialect import Server
from ..protocol.session import Session
from ..protocol.session_events import (
    Acked,
    ConnectionFull,
    Proved,
    SessionEvent,
    TopicKey,
    TopicRefused,
    Unsubscribed,
    Welcomed,
)
from ..topics.grammar import dialect_of
from .options import ConnectionOptions
from .owner_requests import OwnerRequests
from .receiver import ReceivingSource
from .source import Deliver, SourceListener

__all__ = ["Connection"]

_NEVER = float("inf")
_BUSY = "KuCoin may be busy: try again"
_MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes to read before an overdue pong counts as missing: more than a system buffers for one socket."""


class Connection(ReceivingSource):
    """A public or private connection of one market. It reconnects until it is closed.

    Attributes:
        epoch: the number of the current or last welcomed connection; 0 before the first.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        number: int,
        market: str,
        private: bool,
        owner: SourceListener,
        deliver: Deliver,
    ) -> None:
        super().__init__(number, market, private, owner, deliver)
        self._failure: KucoinSyncError | None = None  # error of the last attempt or connection; see `last_error`
        self._options = options
        self._dialect = options.dialects[dialect_of(market)]
        self._again: set[TopicKey] = set()  # keys to subscribe again once they are unsubscribed; guarded, too
        # Only the I/O thread uses the following.
        self._rest: Rest | None = None
        self._transport: WebSocketConnection | None = None
        self._requests = OwnerRequests(
            lambda attempts, error, delay: owner.emit(Retrying(market, private, attempts, error, delay))
        )
        self._retiring: float | None = None  # deadline at which a replaced connection closes
        self._proof_to_tell = _NEVER  # number of the proof to report to the owner
        self._proof_to_leave = _NEVER  # number of the proof after which to close; 0: close now
        self._server_index = 0  # index of the server to try next
        self._failed_attempts = 0  # since the last welcome
        self._host = ""
        self._clock_corrected = False  # whether the clock was corrected since the last welcome
        self._acquire_thread(name=f"kucoin-io-{number}{options.label}")

    # For the owner; see `MessageSource`

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        keys = tuple(keys)
        with self._lock:
            self._wanted.update(dict.fromkeys(keys))
            if self._session is not None:
                self._session.subscribe(keys)
        self._waker.wake()

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        keys = tuple(keys)
        with self._lock:
            for key in keys:
                self._wanted.pop(key, None)
            self._again.difference_update(keys)
            if self._session is not None:
                self._session.unsubscribe(keys)
        self._waker.wake()

    def resubscribe(self, keys: Iterable[TopicKey]) -> None:
        with self._lock:
            if self._session is not None:
                active = list(filter(self._session.is_active, keys))
                self._again.update(active)
                self._session.unsubscribe(active)
        self._waker.wake()

    def close_tunnel(self, tunnel: str) -> None:
        with self._lock:
            for key in [key for key in self._wanted if key.tunnel == tunnel]:
                del self._wanted[key]
            if self._session is not None:
                self._session.close_tunnel(tunnel)
        self._waker.wake()

    @property
    def last_error(self) -> KucoinSyncError | None:
        """The current step of connecting, or the error of the last attempt; None while messages can come."""
        step = self._waker.step
        if step is not None:
            before = "" if self._failure is None else f". Before that: {self._failure}"
            return ConnectionFailed(f"{step.so_far()}{before}")
        if self._failure is None and self._connected_at is None:
            return ConnectionFailed("no attempt to connect has come to its first step")
        return self._failure

    @last_error.setter
    def last_error(self, error: KucoinSyncError | None) -> None:
        self._failure = error

    def prove(self) -> None:
        with self._lock:
            if self._session is not None:
                self._proof_to_tell = self._session.prove()
        self._waker.wake()

    def retire(self, seconds: float) -> None:
        with self._lock:
            self._retiring = time.monotonic() + seconds
            if self._session is not None:
                self._proof_to_leave = self._session.prove()
        self._waker.wake()

    def after_fork(self) -> None:
        self._forked = True  # the thread exists only if an inline callback forked on it; then it ends after that
        self._lock = threading.Lock()
        self._session = None
        if self._transport is not None:
            self._transport.after_fork()

    # On the I/O thread

    def _serve(self) -> None:
        self._connect()
        self._run_session()

    def _end(self) -> None:
        try:
            if self._rest is not None:
                self._rest.close()
        finally:
            super()._end()

    def _has_topics(self) -> bool:
        return bool(self._wanted)

    def _failure_of(self, error: BaseException) -> KucoinSyncError:
        if isinstance(error, ConnectionLost):
            return error.with_traceback(None)  # a traceback would keep this object alive
        return super()._failure_of(error)

    def _connect(self) -> None:
        """Find out the servers, dial one of them, do the WebSocket handshake and start a session."""
        options = self._options
        if self._rest is None:
            self._rest = options.rest(self._waker)
        servers = self._rest.servers(self._dialect, self.market, private=self.private)
        limits = self._dialect.limits(options.limits, private=self.private)
        site = f"{self._dialect.name} {self._dialect.site or options.endpoints.of(self.market)}"
        connect_pace.wait(site, limits.connections_per_minute, self._waker, self._tell_delay)
        server = self._choose(servers)
        self._host = urlsplit(server.endpoint).hostname or ""
        self._transport = WebSocketConnection.connect(
            SecretUrl(self._dialect.url(server, secrets.token_hex(8))),
            waker=self._waker,
            limits=options.limits,
            context=options.context() if server.endpoint.startswith("wss:") else None,
            proxy=options.proxy,
            user_agent=options.user_agent,
            binary=self._dialect.binary,
        )
        self._waker.begin(f"{self._host} has sent no welcome", _BUSY)
        session = Session(
            self._dialect,
            ids=self._owner.command_ids,
            ping_interval=server.ping_interval,
            ping_timeout=server.ping_timeout,
            now=time.monotonic(),
            private=self.private,
            limits=limits,
            login=self._login(),
        )
        with self._lock:
            session.subscribe(self._wanted)
            self._again.clear()
            self._session = session

    def _tell_delay(self, seconds: float, reason: str) -> None:
        self._owner.emit(ConnectDelayed(self.market, self.private, seconds, reason))

    def _login(self) -> Callable[[str], bytes] | None:
        """Return what writes the login and begins the wait for its answer; None without a login."""
        assert self._rest is not None
        credentials = self._options.credentials() if self.private else None
        write = self._dialect.login(credentials, self._rest.clock_ms) if credentials else None
        if write is None:
            return None

        def login(command_id: str) -> bytes:
            self._waker.begin(f"{self._host} has answered no login", _BUSY)
            return write(command_id)

        return login

    def _choose(self, servers: Sequence[Server]) -> Server:
        """Return the server to try: one that no partner of this connection uses, until each of these has failed."""
        first = self._server_index % len(servers)
        turn = [*servers[first:], *servers[:first]]
        endpoints = [server.endpoint for server in turn]
        if self._failed_attempts >= len(servers) - 1:
            endpoints = endpoints[:1]
        return turn[self._owner.choose_server(self, endpoints)]

    def _run_session(self) -> None:
        """Send commands and receive messages until the connection is lost. Return when a retired connection is done."""
        session, transport = self._session, self._transport
        assert session is not None and transport is not None
        reconnected = self.counts.connects > 0
        resubscribing = True
        now = time.monotonic()
        self._requests.clear()
        self._requests.add(partial(self._owner.aged, self), now + self._options.lifetime())
        idle_since = now
        received_in_time = transport.taken  # bytes received when no pong was overdue
        while True:
            overdue = session.is_overdue(now)
            if not overdue:
                received_in_time = transport.taken
            # After a pause of this thread or process the pong may be in the backlog: read it before judging the peer.
            behind = overdue and transport.taken - received_in_time < _MAX_BACKLOG and transport.has_more()
            with self._lock:
                session.handle_deadline(now, behind=behind)
                frames = session.frames_to_send(now)
                events = session.events()
                deadline = session.next_deadline()
                settled = session.settled
                delay = session.delay_to_tell(now)
                retiring = self._retiring
                idle = not self._wanted
            for event in events:  # first, because the owner must know of a welcome before anything is subscribed
                self._handle_session_event(event)
            _send(transport, frames)
            self._log_delay(delay)
            if session.lost is not None:
                self._correct_clock(session.lost)
                raise ConnectionLost(session.lost) if session.lost.retriable else session.lost
            if settled and resubscribing:
                resubscribing = False
                if reconnected:
                    self._owner.emit(Resubscribed(self.market, self.private, self.epoch, len(self._wanted)))
                self._owner.settled(self)
            if retiring is not None:
                if self._proof_to_leave == 0:
                    return
                if now >= retiring:  # what was sent to it may be lost
                    raise ConnectionLost(ConnectionFailed("the connection that was replaced did not answer any more"))
                deadline = min(deadline, retiring)
            deadline = min(deadline, self._requests.make_due(now), self._options.retry(now))
            if not idle:
                idle_since = now
            elif now >= idle_since + self._options.limits.idle_seconds:
                idle_since = now
                self._owner.idle(self)
            else:
                deadline = min(deadline, idle_since + self._options.limits.idle_seconds)
            now = self._receive(session, transport, deadline, now)

    def _correct_clock(self, lost: KucoinSyncError) -> None:
        """Correct the clock and raise ConnectionLost if KuCoin refused the time of a login; once until a welcome."""
        refused = isinstance(lost, AuthenticationError) and lost.login and lost.code == CLOCK_REFUSED
        if not refused or self._clock_corrected:
            return
        assert self._rest is not None
        self._rest.correct_clock(self.market)
        self._clock_corrected = True
        raise ConnectionLost(ConnectionFailed(f"{lost}; the next login has the time of KuCoin's clock"))

    def _handle_session_event(self, event: SessionEvent) -> None:
        if isinstance(event, Welcomed):
            self._connected_at = time.monotonic()
            self._failed_attempts = 0
            self._owner.welcomed(self)  # sets the epoch
            self.counts.reconnects += self.counts.connects > 0
            self.counts.connects += 1
            self._clock_corrected = False
            self.last_error = self._waker.step = None
            self._owner.emit(Connected(self.market, self.private, self.epoch, self._host))
        elif isinstance(event, Acked):
            # A key may have been unsubscribed since; a later command for it has a confirmation of its own.
            if keys := tuple(key for key in event.keys if self.is_active(key)):
                self._owner.acked(self, keys)
        elif isinstance(event, Unsubscribed):
            self._subscribe_again(event.keys)
        elif isinstance(event, TopicRefused):
            with self._lock:
                self._wanted.pop(event.key, None)
            self._owner.refused(self, event.key, event.error)
        elif isinstance(event, Proved):
            if event.number >= self._proof_to_tell:
                self._proof_to_tell = _NEVER
                self._owner.proved(self, answered=event.answered)  # which may ask for another one
            if event.answered and event.number >= self._proof_to_leave and self._proof_to_tell == _NEVER:
                self._proof_to_leave = 0
        elif isinstance(event, ConnectionFull):
            self._requests.add(partial(self._move, event.keys))
        else:
            self._owner.emit(ServerNotice(self.market, self.private, self.epoch, event.code, event.reason))

    def _subscribe_again(self, keys: tuple[TopicKey, ...]) -> None:
        """Subscribe those of these unsubscribed keys again that `resubscribe` was called for."""
        if again := tuple(key for key in keys if key in self._again):
            self._owner.interrupted(self, again)
            with self._lock:
                if self._session is not None:
                    self._session.subscribe(key for key in again if key in self._again)
                self._again.difference_update(again)
            self._waker.wake()

    def _move(self, keys: tuple[TopicKey, ...]) -> bool:
        """Ask the owner to move keys to another connection, because the server has refused them as one too many."""
        with self._lock:
            for key in keys:
                self._wanted.pop(key, None)
        try:
            self._owner.full(self, keys)
        except BaseException:
            with self._lock:
                self._wanted.update(dict.fromkeys(keys))
            raise
        return True

    def _report(self, failure: KucoinSyncError, attempt: int, delay: float) -> float:
        code, reason = 1006, ""
        if isinstance(failure, ConnectionLost):
            code, reason, failure = failure.code, failure.reason, failure.error
        self.last_error = failure
        if self._connected_at is None:
            self._server_index += 1  # try another server
            self._failed_attempts += 1
            delay = max(delay, getattr(failure, "retry_after", None) or 0.0)
            self._owner.emit(Retrying(self.market, self.private, attempt, failure, delay))
        else:
            self._owner.emit(Disconnected(self.market, self.private, self.epoch, code, reason, failure, delay))
        self._owner.failed(self, failure, fatal=False)
        return delay

    def _disconnect(self) -> None:
        """End the session, send its remaining commands and close the socket."""
        self._waker.step = None
        with self._lock:
            session, self._session = self._session, None
            self._proof_to_tell = _NEVER  # the next session counts anew
        transport = self._transport
        if transport is not None:
            try:
                if session is not None and session.lost is None:
                    for frame in session.frames_to_send(time.monotonic()):  # for example an unsubscribe
                        transport.send_text(frame)
            finally:
                transport.close()  # if this raises, `_transport` stays set and the next call closes again
                self._transport = None


def _send(transport: WebSocketConnection, frames: list[bytes]) -> None:
    """Send frames and forget them: a login has the key in it, which the variables of a traceback must not show."""
    while frames:
        transport.send_text(frames.pop(0))
