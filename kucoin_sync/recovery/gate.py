"""`RecoveryGate`: holds, orders and stamps the messages of the recovering topics of one connection group.

While a topic is live, its pushes pass, and only the last one is remembered. From a cut until its join is done, pushes
go to the join. What the join returns is delivered in that order, by one thread at a time: others leave theirs to it. No
lock is held during delivery. What an error keeps from being delivered is told as a gap.

A topic whose gap was closed keeps its epoch. Its later messages get that epoch instead of their connection's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from ..connections.gate import Gate, Route
from ..events import Event, RecoveryIncomplete
from ..protocol.dialects import DIALECTS
from ..protocol.envelopes import (
    FrameBatch,
    Push,
    Pushes,
    arrival_of,
    channel_of,
    opened,
    topics_of,
    tunnel_of,
    with_arrival,
)
from ..protocol.message import Arrival, Message
from ..topics.grammar import dialect_of
from .trades import Gap, Live, Mark, Row, Step

__all__ = ["Join", "RecoveringTopic", "RecoveryGate", "RowSource"]


class Join(Protocol):
    """Fills the gap of one topic; see `trades.TradeJoin`."""

    @property
    def done(self) -> bool: ...
    @property
    def fetch_at(self) -> float: ...
    @property
    def deadline(self) -> float: ...
    def lost(self, now: float) -> Sequence[Step]: ...
    def carried(self, now: float) -> Sequence[Step]: ...
    def pushed(self, mark: Any, push: Any, now: float) -> Sequence[Step]: ...
    def answered(self, rows: Any, asked_at: float, now: float) -> Sequence[Step]: ...
    def failed(self, reason: str, retry_at: float) -> None: ...
    def give_up(self, reason: str = "") -> Sequence[Step]: ...


class RowSource(Protocol):
    """How the missed messages of one topic are fetched and read; see `rows.TradeRows`."""

    @property
    def topic(self) -> str: ...
    @property
    def market(self) -> str: ...
    @property
    def path(self) -> str: ...
    def query(self, join: Any, /) -> dict[str, str]: ...
    def join(self, last: Any, now: float, /) -> Join: ...
    def read(self, data: Any, /) -> Any: ...
    def mark_of(self, message: Message, /) -> Any: ...


_Outgoing: TypeAlias = "list[Push] | Event"


class RecoveringTopic:
    """The state of one topic; the gate's lock guards it.

    Attributes:
        source: how its missed messages are fetched and read.
        last: its last push while it is live.
        join: fills a gap, None while there is none.
        asked: whether a request for its rows is under way.
    """

    def __init__(self, source: RowSource) -> None:
        self.source = source
        self.last: Push | None = None
        self.join: Join | None = None
        self.asked = False
        self._above: int | None = None  # after a gap: the next message gets an epoch above this one
        self._epoch: int | None = None  # that its messages get; None: they keep that of their connection
        self._stamped: tuple[Arrival, Arrival] | None = None  # an arrival, and its copy with another epoch
        self._outgoing: deque[_Outgoing] = deque()
        self._delivering = False

    @property
    def is_plain(self) -> bool:
        """Whether its pushes may pass as they are."""
        settled = self._epoch is None and (self._above is None or self.last is not None)
        return self.join is None and settled and not self._delivering and not self._outgoing

    def keep_epoch(self) -> None:
        """Give the messages from now on the epoch of the last one, if there is one since a loss."""
        if self.last is None:
            return
        self._above = None
        if self._epoch is None:
            self._epoch = arrival_of(self.last).epoch

    def lose(self) -> None:
        """Drop the pushes that wait for delivery, and tell a gap instead. The next message gets another epoch."""
        told: list[_Outgoing] = [each for each in self._outgoing if isinstance(each, Event)]
        known = 0 if self.last is None else arrival_of(self.last).epoch
        self._outgoing = deque([*told, self._told(Gap(None, None, _FAILED))])
        self._above = max(self._above or 0, self._epoch or 0, known)
        self._epoch = self.last = None

    def put(self, steps: Iterable[Step], make: Callable[[Row, Arrival], Push | None], epochs: Iterator[int]) -> None:
        """Queue what a join returned, for delivery. `make` makes the push of a row."""
        pushes: list[Push] = []
        for step in steps:
            if isinstance(step, Gap):
                self._outgoing += [pushes, self._told(step)]
                pushes, self._above, self._epoch = [], self._epoch or 0, None
            elif isinstance(step, Live):
                self._settle_epoch(arrival_of(step.push).epoch, epochs)
                self.last = step.push
                pushes.append(self._with_epoch(step.push))
            else:
                self._settle_epoch(0, epochs)
                push = make(step.row, Arrival(self._epoch or 0, time.time_ns(), recovered=True))
                if push is not None:
                    pushes.append(push)
                    self.last = push
        self._outgoing.append(pushes)

    def _told(self, gap: Gap) -> RecoveryIncomplete:
        last, first = gap.last or _NOWHERE, gap.first or _NOWHERE
        return RecoveryIncomplete(self.source.topic, last[0], last[1], first[0], first[1], gap.reason)

    def _settle_epoch(self, epoch: int, epochs: Iterator[int]) -> None:
        """Choose the epoch of the messages after a gap; `epoch` is that of the connection, 0 without one."""
        if self._above is not None:
            self._epoch = epoch if epoch > self._above else next(epochs)
            self._above = None

    def _with_epoch(self, push: Push) -> Push:
        """Return a push with the epoch of this topic."""
        arrival = arrival_of(push)
        if self._epoch is None or arrival.epoch == self._epoch:
            return push
        if self._stamped is None or self._stamped[0] is not arrival or self._stamped[1].epoch != self._epoch:
            self._stamped = arrival, msgspec.structs.replace(arrival, epoch=self._epoch)
        return with_arrival(push, self._stamped[1])

    def settle(self) -> None:
        """Forget a join that is done, and an epoch that is that of the connection."""
        if self.join is not None and self.join.done:
            self.join = None
        if (
            self.join is None
            and self.last is not None
            and not self._outgoing
            and not self._delivering
            and arrival_of(self.last).epoch == self._epoch
            and not arrival_of(self.last).recovered
        ):
            self._epoch = None

    def next_outgoing(self) -> _Outgoing | None:
        """Take what is to be delivered next, unless another thread delivers; `delivered` must follow."""
        if self._delivering or not self._outgoing:
            return None
        self._delivering = True
        return self._outgoing.popleft()

    def delivered(self, failed: _Outgoing | None = None) -> None:
        """Note that what was taken is delivered, or has `failed`."""
        self._delivering = False
        if isinstance(failed, Event):
            self._outgoing.appendleft(failed)
        elif failed is not None:
            self.lose()


_NOWHERE = (None, None)
_FAILED = "an unexpected error, or a lack of memory, kept messages from being delivered"


class RecoveryGate(Gate):
    """The gate of one market's public topics.

    Args:
        market: the market.
        route: delivers pushes to the subscriptions that recover, or to the others.
        emit: takes events.
        epochs: numbers that no connection has.
        source_of: returns how the missed messages of a topic are fetched and read.
        changed: called, without a lock held, when a join may have to be served.
    """

    def __init__(
        self,
        market: str,
        route: Route,
        emit: Callable[[Event], None],
        epochs: Iterator[int],
        source_of: Callable[[str], RowSource],
        changed: Callable[[], None],
    ) -> None:
        self.lock = threading.Lock()  # guards the topics and the counts
        self.topics: dict[str, RecoveringTopic] = {}
        self._unusual: dict[str, RecoveringTopic] = {}  # those whose pushes may not pass as they are
        self._route = route
        self._emit = emit
        self._epochs = epochs
        self._source_of = source_of
        self._changed = changed
        self._reader = DIALECTS[dialect_of(market)].reader()

    def add(self, topic: str) -> None:
        with self.lock:
            if topic not in self.topics:
                self.topics[topic] = RecoveringTopic(self._source_of(topic))

    def remove(self, topic: str) -> None:
        with self.lock:
            self.topics.pop(topic, None)
            self._unusual.pop(topic, None)

    def admit(self, pushes: Pushes) -> Pushes:
        if not self.topics:
            return pushes
        unusual = self._unusual
        if not unusual or (isinstance(pushes, FrameBatch) and unusual.keys().isdisjoint(topics_of(pushes))):
            self._remember(pushes)
            return pushes
        passing: list[Push] = []
        touched: dict[str, list[Push]] = {}
        for push in pushes:
            topic = channel_of(push)[0]
            if topic in self._unusual and tunnel_of(push) is None:  # subscriptions of tunnels do not recover
                touched.setdefault(topic, []).append(push)
            else:
                passing.append(push)
        self._remember(passing)
        for topic, its in touched.items():
            self._take(topic, its)
        return passing

    def _remember(self, pushes: Pushes) -> None:
        """Remember the last push of each recovering topic."""
        topics = self.topics
        if isinstance(pushes, FrameBatch):
            if topics.keys().isdisjoint(topics_of(pushes)):
                return
            if pushes.prefix is not None:
                pushes = (pushes[-1],)
        for push in pushes:
            state = topics.get(channel_of(push)[0] or "")
            if state is not None and tunnel_of(push) is None:
                state.last = push

    def _take(self, topic: str, pushes: list[Push]) -> None:
        """Deliver pushes of a topic to the subscriptions that do not recover, and pass them to its join."""
        self._route(pushes, False)
        now = time.monotonic()
        try:
            with self.lock:
                state = self.topics.get(topic)
                if state is None:
                    return
                join = state.join
                self._put(state, lambda: self._pushed(state, pushes, now))
        finally:
            self.flush(topic)
        if join is not None:
            self._changed()

    def _pushed(self, state: RecoveringTopic, pushes: list[Push], now: float) -> list[Step]:
        """Pass pushes of a topic to its join, if there is one (under the lock); return what is to be delivered."""
        steps: list[Step] = []
        for push in pushes:
            steps += [Live(push)] if state.join is None else state.join.pushed(self._mark_of(state, push), push, now)
        return steps

    def _put(self, state: RecoveringTopic, act: Callable[[], Iterable[Step]]) -> None:
        """Queue what a join returns (under the lock). If that fails, the join is over, and a gap is told."""
        try:
            state.put(act(), self._make, self._epochs)
        except BaseException:
            state.join = None
            state.lose()
            raise

    def undelivered(self, pushes: Pushes) -> None:
        topics = topics_of(pushes) if isinstance(pushes, FrameBatch) else [channel_of(push)[0] for push in pushes]
        for topic in self.topics.keys() & topics:
            with self.lock:
                state = self.topics.get(topic)
                if state is not None:
                    self._unusual[topic] = state
                    state.lose()
            self.flush(topic)

    def lost(self, topic: str, now: float) -> None:
        """Note that a topic is not pushed any more."""
        try:
            with self.lock:
                state = self.topics.get(topic)
                if state is None or (state.join is None and state.last is None):
                    return  # no message was ever delivered: there is nothing to prove
                self._unusual[topic] = state
                self._put(state, lambda: self._cut(state, now))
        finally:
            self.flush(topic)
        self._changed()

    def _cut(self, state: RecoveringTopic, now: float) -> Iterable[Step]:
        """Tell the join of a topic of a cut, or make one (under the lock); return what is to be delivered."""
        state.settle()  # the thread that ended a join may not have come to it
        state.keep_epoch()
        if state.join is not None:
            return state.join.lost(now)
        if (mark := self._mark_of(state, state.last)) is None:
            return [Gap(None, None, "the last message before the cut has no sequence")]
        state.join = state.source.join(mark, now)
        return ()

    def carried(self, topic: str, now: float) -> None:
        """Note that the server has confirmed a topic."""
        self.step(topic, lambda join: join.carried(now))
        self._changed()

    def step(self, topic: str, act: Callable[[Join], Iterable[Step]]) -> None:
        """Let the join of a topic act, if there is one, and deliver what it returns."""
        try:
            with self.lock:
                state = self.topics.get(topic)
                if state is None or (join := state.join) is None:
                    return
                self._put(state, lambda: act(join))
        finally:
            self.flush(topic)

    def flush(self, topic: str) -> None:
        """Deliver what waits, unless another thread does so already. What can't be delivered is told as a gap."""
        try:
            self._flush(topic)
        except BaseException:
            self._flush(topic)
            raise

    def _flush(self, topic: str) -> None:
        while True:
            with self.lock:
                state = self.topics.get(topic)
                if state is None:
                    return
                state.settle()
                outgoing = state.next_outgoing()
                if outgoing is None:
                    if state.is_plain:
                        self._unusual.pop(topic, None)
                    return
                self.incomplete += isinstance(outgoing, Event)
            try:
                if isinstance(outgoing, Event):
                    self._emit(outgoing)
                elif outgoing:
                    self._route(outgoing, True)
            except BaseException:
                with self.lock:
                    self.incomplete -= isinstance(outgoing, Event)
                    state.delivered(failed=outgoing)
                raise
            with self.lock:
                state.delivered()

    def joins(self) -> list[tuple[RecoveringTopic, Join]]:
        """Return the topics with a join (under the lock)."""
        return [(state, state.join) for state in self.topics.values() if state.join is not None]

    def _mark_of(self, state: RecoveringTopic, push: Push | None) -> Mark | None:
        for message in opened(() if push is None else (push,)):
            mark: Mark | None = state.source.mark_of(message)
            return mark
        return None

    def _make(self, row: Row, arrival: Arrival) -> Push | None:
        """Return the push of a row (under the lock)."""
        push = self._reader.push(row.frame, arrival)
        self.recovered += push is not None
        return push
