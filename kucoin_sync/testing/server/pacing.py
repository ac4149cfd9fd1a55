"""The two threads with which a server does something of its own accord: watching deadlines, and trading.

Both wait on events, so that they end at once; neither lives longer than from start to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .index import Index
from .limits import Clock
from .publishing import Publisher
from .state import State

if TYPE_CHECKING:
    from ..exchange import Exchange

__all__ = ["DeadlineWatch", "ExchangeFeed"]

_CHUNK = 256
_SHORTEST_WAIT = 0.001
_LONGEST_BACKLOG = 0.5


class DeadlineWatch:
    """Cut clients that are silent for too long or leave a close frame unanswered."""

    def __init__(self, state: State, clock: Clock, idle_timeout: float | None) -> None:
        self._state = state
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._stopping = False
        self._thread: threading.Thread | None = None  # looks at the deadlines; from start to stop

    def start(self) -> None:
        """Watch."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kucoin-server-deadlines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        if self._thread is not None:
            self._stopping = True
            self._state.deadlines_moved.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        moved = self._state.deadlines_moved
        try:
            while not self._stopping:
                moved.wait(self._look())
                moved.clear()  # before looking again, so that nothing set in the meantime is missed
        except BaseException as error:
            self._state.record(error)  # such as one of an injected clock

    def _look(self) -> float | None:
        """End what is due; return the seconds until the next deadline, None where there is none."""
        with self._state.lock:
            connections = list(self._state.open.values())
        now = self._clock.now()
        nearest = float("inf")
        for connection in connections:
            if connection.deadline(self._idle_timeout) <= now:
                connection.expire()
            nearest = min(nearest, connection.deadline(self._idle_timeout))
        return None if nearest == float("inf") else min(max(0.0, nearest - now), threading.TIMEOUT_MAX)


class ExchangeFeed:
    """Drive a simulated exchange and push what it makes.

    It renders each topic under each of its names itself, so its pushes are published under their own names only
    where one of them would reach a subscriber twice.
    """

    #: Topics that the exchange renders under several names, by the prefix of the pushed one.
    OWN_NAMES = frozenset({"/market/snapshot", "/spotMarket/tradeOrdersV2", "/spotMarket/level2Depth50"})

    def __init__(
        self, exchange: Exchange, publisher: Publisher, index: Index, record: Callable[[BaseException], None]
    ) -> None:
        self.exchange = exchange
        exchange.wants = self._is_wanted
        self._publisher = publisher
        self._index = index
        self._record = record
        # Held while the exchange is moved or looked at: a snapshot is the truth at its sequence.
        self._truth = threading.Lock()
        # Held while it is moved and what came of it is sent: pushes leave in their order, whoever moves it.
        self._turn = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None  # trades at a rate; from `run` to `stop`

    def step(self, count: int = 1) -> int:
        """Let the crowd act `count` times; return the number of frames sent."""
        sent = 0
        with self._turn:
            for start in range(0, count, _CHUNK):
                with self._truth:
                    pushes = [push for _ in range(min(_CHUNK, count - start)) for push in self.exchange.step()]
                sent += self._publisher.publish_many(pushes)
        return sent

    def heartbeat(self) -> int:
        """Push what follows a timer; return the number of frames sent."""
        with self._turn:
            with self._truth:
                pushes = self.exchange.heartbeat()
            return self._publisher.publish_many(pushes)

    @contextmanager
    def trading(self) -> Iterator[Exchange]:
        """Hand out the exchange, alone; at the end push what came of it."""
        with self._turn:
            try:
                with self._truth:
                    yield self.exchange
            finally:
                with self._truth:
                    pushes = self.exchange.take_pushes()
                self._publisher.publish_many(pushes)

    def level2(self, symbol: str, depth: int | None) -> Mapping[str, Any]:
        """Return the snapshot of a level 2 book."""
        with self._truth:
            return self.exchange.level2_snapshot(symbol, depth)

    def level3(self, symbol: str) -> Mapping[str, Any]:
        """Return the snapshot of a level 3 book."""
        with self._truth:
            return self.exchange.level3_snapshot(symbol)

    def run(self, rate: float, beat_seconds: float) -> None:
        """Trade `rate` times a second, and push what follows a timer every `beat_seconds`, until `stop`."""
        self.stop()
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(rate, beat_seconds), name="kucoin-server-exchange", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Trade no more."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _is_wanted(self, topic: str) -> bool:
        if topic.partition(":")[0] in self.OWN_NAMES:
            return self._index.wants(topic)
        return bool(self._index.find(topic))

    def _run(self, rate: float, beat_seconds: float) -> None:
        try:
            self._keep_pace(rate, beat_seconds)
        except BaseException as error:
            self._record(error)

    def _keep_pace(self, rate: float, beat_seconds: float) -> None:
        started = next_beat = time.monotonic()
        done = 0
        wait = 0.0
        while not self._stopping.wait(wait):
            now = time.monotonic()
            due = int((now - started) * rate) - done
            # What a pause has left undone is not made up for in one burst.
            self.step(min(due, int(_LONGEST_BACKLOG * rate) + 1))
            done += due
            if now >= next_beat:
                self.heartbeat()
                next_beat = now + beat_seconds
            wait = max(_SHORTEST_WAIT, min(started + (done + 1) / rate, next_beat) - time.monotonic())
