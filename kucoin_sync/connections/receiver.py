"""The receive loop of a connection: read frames, count them, deliver them, and lend the reading to a sole consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from ..net.direct_read import HandoffPolicy
from ..net.websocket import WebSocketConnection
from ..protocol.envelopes import FrameBatch, Pushes
from ..protocol.message import Arrival, Message, RawPush
from ..protocol.session import Session
from ..protocol.session_events import TopicKey
from .source import Deliver, DirectConsumer, MessageSource

__all__ = ["Receiver"]


class Receiver:
    """Receives the frames of one session over one transport; on the I/O thread unless a method says otherwise.

    Args:
        source: the connection; its `counts` are updated and its `epoch` is stamped on the messages.
        process: passes frames to the session under the connection's lock; returns the pushes.
        deliver: takes the pushes.
        payload_mismatch: called with messages whose payload has a field of an unexpected form.
        wanted: returns the wanted keys of the connection.
        handoff_policy: decides when a consumer may read the socket; outlives the session.
    """

    def __init__(
        self,
        source: MessageSource,
        session: Session,
        transport: WebSocketConnection,
        process: Callable[[Session, list[bytes], Arrival, float], Pushes],
        deliver: Deliver,
        payload_mismatch: Callable[[Message], None],
        wanted: Callable[[], Collection[TopicKey]],
        handoff_policy: HandoffPolicy,
    ) -> None:
        self._source = source
        self._session = session
        self._transport = transport
        self._process = process
        self._deliver = deliver
        self._payload_mismatch = payload_mismatch
        self._wanted = wanted
        self._handoff_policy = handoff_policy

    def receive(self, deadline: float, now: float) -> float:
        """Receive and deliver until the deadline, or until the session or another thread has work; return the time.

        This loop is the hot path of every message.
        """
        source, session, transport, counts = self._source, self._session, self._transport, self._source.counts
        while True:
            frames = transport.receive(deadline, now)
            now = time.monotonic()
            if not frames:
                counts.unreadable += transport.take_skipped()
                if transport.take_controls():
                    self._process(session, frames, Arrival(source.epoch), now)
                return now
            session.heartbeat.last_frame = now
            arrival = Arrival(source.epoch, time.time_ns(), self._payload_mismatch)
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
            sole_consumer = self._deliver(source, pushes) if pushes else None
            if eventful or now >= deadline or transport.woken:
                return now
            if sole_consumer is not None and self._handoff_policy.offers(now, len(pushes)):
                self._offer_read_lease(sole_consumer)

    def _offer_read_lease(self, sole_consumer: DirectConsumer) -> None:
        """Let the sole consumer read the socket, if all topics of this connection are its own."""
        read_lease = None
        if sole_consumer.takes_all_of(self._wanted()):
            with suppress(MemoryError):  # without a lease this thread reads on
                read_lease = self._transport.lend_read(
                    self._recognise, partial(self._put, sole_consumer), sole_consumer.has
                )
        if read_lease is not None:
            sole_consumer.accept(read_lease)
        self._handoff_policy.lent = read_lease

    def _recognise(self, frames: list[bytes]) -> FrameBatch | tuple[RawPush] | None:
        """Return frames as pushes, on the consumer's thread; None if the I/O thread must process them."""
        session = self._session
        session.heartbeat.last_frame = time.monotonic()
        return session.recognise(frames, Arrival(self._source.epoch, time.time_ns(), self._payload_mismatch))

    def _put(self, sole_consumer: DirectConsumer, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Deliver and count pushes, on the consumer's thread. Return False, and do nothing, if others want them too."""
        if not sole_consumer.put(pushes):
            return False
        counts = self._source.counts
        counts.messages += len(pushes)
        counts.bytes += len(pushes.text if isinstance(pushes, FrameBatch) else pushes[0].frame)
        return True
