"""The two threads that act without a client: one watches deadlines, one trades.

Both wait on events, so they end at once. They run between start and stop only.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...topics.grammar import argument_of
from .connection import Connection
from .index import Index
from .limits import Clock
from .publishing import Publisher
from .routes import View
from .state import State

if TYPE_CHECKING:
    from ..exchange import Exchange

__all__ = ["DeadlineWatch", "ExchangeFeed"]

_CHUNK = 256
_SHORTEST_WAIT = 0.001
_LONGEST_BACKLOG = 0.5
_WINDOW = 0.01
_FAST_BEAT = 0.1
_REMEMBERED_TIMES = 20_000


class DeadlineWatch:
    """Cut clients that are silent for too long or do not answer a close frame, and do jobs at their instants."""

    def __init__(self, state: State, clock: Clock, idle_timeout: float | None) -> None:
        self._state = state
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._stopping = False
        self._thread: threading.Thread | None = None  # watches the deadlines between start and stop

    def start(self) -> None:
        """Start to watch."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kucoin-server-deadlines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
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
                moved.clear()  # cleared before the check, so that no change is missed
        except BaseException as error:
            self._state.record(error)  # for example of an injected clock

    def _look(self) -> float | None:
        """End the connections that are due; return the seconds until the next deadline, None without one."""
        with self._state.lock:
            connections = list(self._state.open.values())
        now = self._clock.now()
        jobs, nearest = self._state.take_jobs(now)
        for job in jobs:
            job()
        for connection in connections:
            if connection.deadline(self._idle_timeout) <= now:
                connection.expire()
            nearest = min(nearest, connection.deadline(self._idle_timeout))
        return None if nearest == float("inf") else min(max(0.0, nearest - now), threading.TIMEOUT_MAX)


class ExchangeFeed:
    """Drive a simulated exchange and publish its pushes.

    The exchange renders some topics under each of their names. Such a push is published under its own name only,
    because a subscriber would get it twice otherwise.
    """

    #: Prefixes of the topics that the exchange renders under several names.
    OWN_NAMES = frozenset({"/market/snapshot", "/spotMarket/tradeOrdersV2", "/spotMarket/level2Depth50"})

    def __init__(
        self,
        exchange: Exchange,
        publisher: Publisher,
        index: Index,
        record: Callable[[BaseException], None],
        clock: Callable[[], float],
    ) -> None:
        self.exchange = exchange
        exchange.wants = self._is_wanted
        self._publisher = publisher
        self._index = index
        self._record = record
        self._clock = clock
        # The exchange's time at instants of the server's clock, guarded by the next lock.
        self._times: deque[tuple[float, int]] = deque([(-math.inf, exchange.now_ns)], maxlen=_REMEMBERED_TIMES)
        # Held while the exchange is moved or read, so that a snapshot matches its sequence.
        self._exchange_lock = threading.Lock()
        # Held while the exchange is moved and its pushes are sent, so that all threads send pushes in order.
        self._push_lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None  # trades at a rate between `run` and `stop`

    def step(self, count: int = 1) -> int:
        """Let the crowd act `count` times; return the number of frames sent."""
        with self._push_lock:
            return self._act(count) + self._close_windows()

    def _act(self, count: int) -> int:
        sent = 0
        with self._push_lock:
            for start in range(0, count, _CHUNK):
                with self._moving():
                    pushes = [push for _ in range(min(_CHUNK, count - start)) for push in self.exchange.step()]
                sent += self._publisher.publish_many(pushes)
        return sent

    def heartbeat(self) -> int:
        """Push the periodic feeds; return the number of frames sent."""
        with self._push_lock:
            with self._exchange_lock:
                pushes = self.exchange.heartbeat()
            return self._publisher.publish_many(pushes)

    @contextmanager
    def trading(self) -> Iterator[Exchange]:
        """Yield the exchange for exclusive use; at the end send its pushes."""
        with self._push_lock:
            try:
                with self._moving():
                    yield self.exchange
            finally:
                self._close_windows()

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Hold the exchange while its time moves, and remember when it did."""
        with self._exchange_lock:
            try:
                yield
            finally:
                self._times.append((self._clock(), self.exchange.now_ns))

    @contextmanager
    def view(self, lag: float) -> Iterator[View]:
        """Yield the exchange for reading, with its time `lag` seconds of the server's clock ago."""
        with self._exchange_lock:
            now_ns = self.exchange.now_ns
            if lag:
                now_ns = self._times[max(0, bisect_right(self._times, (self._clock() - lag, math.inf)) - 1)][1]
            yield View(self.exchange, now_ns)

    def send_book(self, connection: Connection, topic: str) -> None:
        """Send the snapshot of a book `increment@10ms` of the UTA feed to a new subscriber.

        Other subscribers get the changes up to it before. Nothing is sent for a symbol that is not traded.
        """
        symbol = argument_of(topic).rpartition("_")[0]
        with self._push_lock:
            with self._exchange_lock:
                try:
                    snapshot = self.exchange.uta_book(symbol)
                except ValueError:
                    return
                pushes = self.exchange.take_pushes()
            self._publisher.publish_many(pushes)
            if snapshot.topic == topic:
                connection.send(snapshot.message())

    def _close_windows(self) -> int:
        """Push what is pending and what books of the UTA feed have collected; return the number of frames sent."""
        with self._push_lock:
            with self._exchange_lock:
                self.exchange.close_windows()
                pushes = self.exchange.take_pushes()
            return self._publisher.publish_many(pushes)

    def _beat_fast(self) -> None:
        with self._push_lock:
            with self._exchange_lock:
                pushes = self.exchange.fast_heartbeat()
            self._publisher.publish_many(pushes)

    def level2(self, symbol: str, depth: int | None) -> Mapping[str, Any]:
        """Return the snapshot of a level 2 book."""
        with self._exchange_lock:
            return self.exchange.level2_snapshot(symbol, depth)

    def level3(self, symbol: str) -> Mapping[str, Any]:
        """Return the snapshot of a level 3 book."""
        with self._exchange_lock:
            return self.exchange.level3_snapshot(symbol)

    def run(self, rate: float, beat_seconds: float) -> None:
        """Trade `rate` times a second and push the periodic feeds every `beat_seconds`, until `stop`."""
        self.stop()
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(rate, beat_seconds), name="kucoin-server-exchange", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop trading."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _is_wanted(self, topic: str) -> bool:
        if topic.startswith("/uta/") or topic.partition(":")[0] in self.OWN_NAMES:
            return self._index.wants(topic)
        return bool(self._index.find(topic))

    def _run(self, rate: float, beat_seconds: float) -> None:
        try:
            self._trade(rate, beat_seconds)
        except BaseException as error:
            self._record(error)

    def _trade(self, rate: float, beat_seconds: float) -> None:
        started = next_beat = next_fast_beat = next_window = time.monotonic()
        done = 0
        wait = 0.0
        while not self._stopping.wait(wait):
            now = time.monotonic()
            due = int((now - started) * rate) - done
            # Trades missed during a pause are not made up for in a burst.
            self._act(min(due, int(_LONGEST_BACKLOG * rate) + 1))
            done += due
            if now >= next_window:
                self._close_windows()
                next_window = now + _WINDOW
            if now >= next_beat:
                self.heartbeat()
                next_beat, next_fast_beat = now + beat_seconds, now + _FAST_BEAT
            elif now >= next_fast_beat:
                self._beat_fast()
                next_fast_beat = now + _FAST_BEAT
            next_due = min(started + (done + 1) / rate, next_beat, next_fast_beat)
            if self.exchange.window_is_open:
                next_due = min(next_due, next_window)
            wait = max(_SHORTEST_WAIT, next_due - time.monotonic())
