"""`RestRecovery`: asks REST for what the recovering topics of one stream have missed, and keeps the deadlines.

The requests run in a queue of their own with the quota of the book snapshots. One thread, started with the first cut,
looks when a request is due, and when pushes were held for long enough.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..books.snapshot_fetcher import SnapshotQueue
from ..connections.gate import Route, TopicRecovery
from ..events import Event
from ..exceptions import InvalidTopic, KucoinSyncError
from ..internal.check_thread import CheckThread
from ..internal.guard import guarded
from ..protocol.session_events import TopicKey
from ..topics.grammar import argument_of, market_of
from .candle_rows import candle_rows_for
from .gate import RecoveringTopic, RecoveryGate, RowSource
from .rows import trade_rows_for

__all__ = ["RestRecovery"]

_LONGEST_RETRY = 5.0


class _Source(NamedTuple):
    """Where the rows of one request come from; see `BookSource`."""

    market: str
    path: str
    symbol: str
    query: dict[str, str]
    signed: bool = False


class _Request:
    """A request for the rows of one topic. To the queue, which calls it on its threads, it is a book to fetch for."""

    was_live = True  # as a book that was ready before: a request that fails is repeated

    def __init__(self, gate: RecoveryGate, state: RecoveringTopic, ended: Callable[[_Request], None]) -> None:
        source, join = state.source, state.join
        self.source = _Source(source.market, source.path, argument_of(source.topic), source.query(join))
        self._asked_at = math.inf
        self._gate = gate
        self._state = state
        self._join = join
        self._ended = ended

    def snapshot_attempt(self) -> int | None:
        """Note the start of the request."""
        self._asked_at = time.monotonic()
        return 0

    def apply_snapshot(self, data: Any, _: int) -> bool:
        """Take an answer, for the join that asked: a later one has another gap, and asks for another range."""
        rows = self._state.source.read(data)
        now = time.monotonic()
        with self._gate.lock:
            self._state.asked = False
        self._gate.step(
            self._state.source.topic,
            lambda join: join.answered(rows, self._asked_at, now) if join is self._join else (),
        )
        self._ended(self)
        return False

    def snapshot_delayed(self, seconds: float, error: Exception | None = None) -> None:
        """Note a failure. Another request follows."""
        retry_at = time.monotonic() + min(seconds, _LONGEST_RETRY)
        with self._gate.lock:
            self._state.asked = False
            if self._state.join is self._join is not None:
                self._join.failed(f"REST does not answer: {error}", retry_at)
        self._ended(self)

    def end(self, error: KucoinSyncError) -> None:
        """Note a refusal as a failure."""
        self.snapshot_delayed(_LONGEST_RETRY, error)


class RestRecovery(TopicRecovery):
    """Recovers the topics of one stream.

    Args:
        queue: runs the requests.
        emit: takes events, from any thread, without waiting.
        epochs: numbers of epochs, shared with the connections.
        label: what the name of its thread ends with.
    """

    def __init__(
        self, queue: SnapshotQueue, emit: Callable[[Event], None], epochs: Iterator[int], *, label: str = ""
    ) -> None:
        self._label = label
        self._emit = emit
        self._epochs = epochs
        self._queue = queue
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()  # guards the gates and the start of the thread
        self._gates: dict[str, RecoveryGate] = {}
        self._closed = False
        self._thread = CheckThread(
            self._serve, name=f"kucoin-recovery{self._label}", purpose="missed messages were not recovered"
        )

    def after_fork(self) -> None:
        """Start again in a forked child, which has none of the threads. Its groups get new gates."""
        self._queue = self._queue.after_fork()
        self._begin()

    def close(self) -> list[threading.Thread]:
        """Recover nothing any more; return the threads that are going to end."""
        with self._lock:
            self._closed = True
            self._thread.close()
        return [*self._thread.threads, *self._queue.close()]

    # For the connections

    def check(self, topic: str) -> None:
        super().check(topic)
        if _source_of(topic) is None:
            raise InvalidTopic(f"{topic} can't be recovered: REST does not have candles of this length")

    def gate(self, market: str, route: Route) -> RecoveryGate:
        gate = RecoveryGate(market, route, self._emit, self._epochs, _known_source_of, self._look)
        with self._lock:
            self._gates[market] = gate
        return gate

    def carried(self, keys: list[TopicKey]) -> None:
        """Ask REST again at once, which can be reached where KuCoin has just confirmed a topic."""
        now = time.monotonic()
        for topic, gate in self._recovering(keys):
            if (state := gate.topics.get(topic)) is not None:  # it may have been unsubscribed meanwhile
                self._queue.reachable(state.source.market)
            gate.carried(topic, now)

    def lost(self, keys: list[TopicKey]) -> None:
        now = time.monotonic()
        for topic, gate in self._recovering(keys):
            gate.lost(topic, now)

    def _recovering(self, keys: list[TopicKey]) -> list[tuple[str, RecoveryGate]]:
        found = []
        for key in keys:
            gate = self._gates.get(market_of(key.topic))
            if gate is not None and key.tunnel is None and key.topic in gate.topics:
                found.append((key.topic, gate))
        return found

    # The thread

    def _look(self) -> None:
        """Let the thread look at the joins; start it if needed."""
        with guarded("missed messages can't be recovered"), self._lock:
            if not self._closed:
                self._thread.look()

    def _serve(self, now: float) -> float:
        """Begin the requests that are due, and end what was held for too long; return when to look again."""
        next_at = math.inf
        with self._lock:
            gates = list(self._gates.values())
        for gate in gates:
            overdue: list[str] = []
            with gate.lock:
                for state, join in gate.joins():
                    if join.deadline <= now:
                        overdue.append(state.source.topic)
                    elif not state.asked and join.fetch_at <= now:
                        self._queue.request_snapshot(_Request(gate, state, self._ended))
                        state.asked = True
                    next_at = min(next_at, join.deadline, math.inf if state.asked else join.fetch_at)
            for topic in overdue:
                gate.step(topic, lambda join: join.give_up())
                next_at = now
        return next_at

    def _ended(self, request: _Request) -> None:
        self._queue.remove(request)
        self._look()


def _source_of(topic: str) -> RowSource | None:
    return trade_rows_for(topic) or candle_rows_for(topic)


def _known_source_of(topic: str) -> RowSource:
    source = _source_of(topic)
    assert source is not None, "recoverable topics were checked"
    return source
