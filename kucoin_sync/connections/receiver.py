"""The receive loop of a connection: read frames, count them, deliver them, and lend the reading to a sole consumer."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from functools import partial

from ..exceptions import AckTimeout
from ..internal.guard import log
from ..net.direct_read import HandoffPolicy
from ..net.websocket import WebSocketConnection
from ..protocol.commands import Delay
from ..protocol.envelopes import FrameBatch, Pushes
from ..protocol.message import Arrival, RawPush
from ..protocol.session import Session
from ..protocol.session_events import TopicKey
from .source import Deliver, DirectConsumer, ReconnectingSource, SourceListener

__all__ = ["ReceivingSource"]


class ReceivingSource(ReconnectingSource):
    """A source that receives frames; on the I/O thread unless a method says otherwise."""

    def __init__(self, number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver) -> None:
        super().__init__(number, market, private, owner, deliver)
        self._lock = threading.Lock()  # guards the session and _wanted; never held while dispatching or dialling
        self._session: Session | None = None  # guarded by the lock
        self._wanted: dict[TopicKey, None] = {}
        self._handoff_policy = HandoffPolicy()  # decides when a consumer may read the socket

    # For the owner; see `MessageSource`

    def is_active(self, key: TopicKey) -> bool:
        session = self._session
        return session is not None and session.is_active(key)

    @property
    def welcomed(self) -> bool:
        session = self._session
        return session is not None and session.welcomed

    def delay_of(self, key: TopicKey) -> AckTimeout | None:
        with self._lock:
            delay = None if self._session is None else self._session.delay_of(key, time.monotonic())
        if delay is None:
            return None
        waits = f"waits for another {delay.seconds:.1f} s, because {delay.reason}"
        return AckTimeout(f"the command for {key.topic} {waits}")

    # On the I/O thread

    def _log_delay(self, delay: Delay | None) -> None:
        """Log that a command has to wait, if one has."""
        if delay is not None:
            text = "delayed: a command of connection %d waits for %.1f s, because %s"
            log(logging.WARNING, text, self.number, delay.seconds, delay.reason)

    def _receive(self, session: Session, transport: WebSocketConnection, deadline: float, now: float) -> float:
        """Receive and deliver until the deadline, or until the session or another thread has work; return the time.

        This loop is the hot path of every message.
        """
        counts = self.counts
        while True:
            frames = transport.receive(deadline, now)
            now = time.monotonic()
            if not frames:
                counts.unreadable += transport.skipped
                if transport.controls:
                    self._process(session, frames, Arrival(self.epoch), now)
                transport.skipped = transport.controls = 0
                return now
            session.heartbeat.last_frame = now
            if self.drop_copies is not None and not (frames := self._drop_copies(frames)):
                if now >= deadline or transport.woken:
                    return now
                continue
            arrival = Arrival(self.epoch, time.time_ns(), self._payload_mismatch)
            pushes: Pushes | None = session.recognise(frames, arrival)
            if pushes is None:
                pushes = self._process(session, frames, arrival, now)
            counts.messages += len(pushes)
            if len(frames) == 1:
                counts.bytes += len(frames[0])
            else:
                counts.bytes += len(pushes.text) if isinstance(pushes, FrameBatch) else sum(map(len, frames))
            if eventful := session.eventful:  # count before delivery
                session.eventful = False
                counts.unreadable += session.unreadable
                counts.unknown += session.unknown
                counts.pong_latency = session.heartbeat.latency
                session.unreadable = session.unknown = 0
            sole_consumer = self._deliver(self, pushes) if pushes else None
            if eventful or now >= deadline or transport.woken:
                return now
            if sole_consumer is not None and self._handoff_policy.offers(now, len(pushes)):
                self._offer_read_lease(sole_consumer, session, transport)

    def _drop_copies(self, frames: list[bytes]) -> list[bytes]:
        """Return frames without those that another connection has brought; count these."""
        drop_copies, counts = self.drop_copies, self.counts
        rest = frames if drop_copies is None else drop_copies(frames)
        if rest is not frames:
            counts.messages += len(frames) - len(rest)
            counts.bytes += sum(map(len, frames)) - sum(map(len, rest))
        return rest

    def _process(self, session: Session, frames: list[bytes], arrival: Arrival, now: float) -> Pushes:
        """Pass frames to the session under the lock; return the pushes."""
        with self._lock:  # looked up here, because `after_fork` replaces it
            return session.receive(frames, arrival, now)

    def _offer_read_lease(
        self, sole_consumer: DirectConsumer, session: Session, transport: WebSocketConnection
    ) -> None:
        """Let the sole consumer read the socket, if all topics of this connection are its own."""
        read_lease = None
        if sole_consumer.takes_all_of(tuple(self._wanted)):  # in one step
            with suppress(MemoryError):  # without a lease this thread reads on
                read_lease = transport.lend_read(
                    partial(self._recognise, session), partial(self._put, sole_consumer), sole_consumer.has
                )
        if read_lease is not None:
            sole_consumer.accept(read_lease)
        self._handoff_policy.lent = read_lease

    def _recognise(self, session: Session, frames: list[bytes], now: float) -> FrameBatch | tuple[RawPush] | None:
        """Return frames as pushes, on the consumer's thread; None if the I/O thread must process them."""
        session.heartbeat.last_frame = now
        return session.recognise(frames, Arrival(self.epoch, time.time_ns(), self._payload_mismatch))

    def _put(self, sole_consumer: DirectConsumer, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Deliver and count pushes, on the consumer's thread. Return False, and do nothing, if others want them too."""
        if not sole_consumer.put(pushes):
            return False
        counts = self.counts
        counts.messages += len(pushes)
        counts.bytes += len(pushes.text if isinstance(pushes, FrameBatch) else pushes[0].frame)
        return True
