"""What stands before the subscriptions with `recover=True`: it may hold pushes back, and add those that were missed.

A stream to KuCoin has the gate of `kucoin_sync.recovery`. Other streams get their recovered messages from their source.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ..exceptions import InvalidTopic
from ..protocol.envelopes import FrameBatch, Push, Pushes, arrival_of, channel_of, topics_of, with_arrival
from ..protocol.message import Arrival
from ..protocol.session_events import TopicKey
from ..topics.grammar import row_of
from ..topics.table import TABLE

__all__ = ["Gate", "SourceGate", "SourceRecovery", "TopicRecovery", "check_recoverable"]

_MAX_TOPICS = 10_000  # whose holes are counted

Route = Callable[[Pushes, bool], None]
"""Delivers pushes to the subscriptions of their topics: to those with `recover=True`, or to the others."""


class Gate(Protocol):
    """The gate of one connection group. `admit` is called on I/O threads, the others under the stream's lock.

    Attributes:
        recovered: how many missed messages were delivered after all.
        incomplete: how often not all of them could be.
    """

    recovered: int
    incomplete: int

    def admit(self, pushes: Pushes) -> Pushes:
        """Return those of the pushes that are delivered now, to all subscriptions; deliver the others to some."""

    def add(self, topic: str) -> None:
        """Recover a topic from now on; it may be recovered already."""

    def remove(self, topic: str) -> None:
        """Stop recovering a topic."""


class TopicRecovery(Protocol):
    """What recovers the topics of a stream. It is told when public topics are confirmed and lost."""

    def check(self, topic: str) -> None:
        """Raise InvalidTopic if a topic can't be recovered."""

    def gate(self, market: str, route: Route) -> Gate:
        """Return the gate of a new connection group of public topics."""

    def carried(self, keys: list[TopicKey]) -> None: ...
    def lost(self, keys: list[TopicKey]) -> None: ...
    def after_fork(self) -> None: ...
    def close(self) -> list[threading.Thread]: ...


class SourceGate:
    """Keeps what a relay or a recording has recovered from the subscriptions without `recover=True`.

    For these there is a hole instead. So the epoch of a topic's pushes rises by one at each of its holes.
    """

    def __init__(self, route: Route) -> None:
        self.recovered = self.incomplete = 0
        self._route = route
        # By topic: how many there were, and whether the last push was a recovered one.
        self._holes: dict[str | None, tuple[int, bool]] = {}

    def admit(self, pushes: Pushes) -> Pushes:
        if isinstance(pushes, FrameBatch):
            recovered = pushes.arrival.recovered
            touched = not self._holes.keys().isdisjoint(topics_of(pushes)) if self._holes else False
        else:
            recovered = any(arrival_of(push).recovered for push in pushes)
            touched = bool(self._holes)
        if not recovered and not touched:
            return pushes
        for push in pushes:
            self._route((push,), True)
            topic = channel_of(push)[0]
            holes, is_open = self._holes.get(topic, (0, False))
            if arrival_of(push).recovered:
                self.recovered += 1
                self._holes[topic] = holes if is_open else holes + 1, True
                if len(self._holes) > _MAX_TOPICS:
                    del self._holes[next(iter(self._holes))]
            else:
                if holes:
                    self._holes[topic] = holes, False
                self._route((_later(push, holes) if holes else push,), False)
        return ()

    def add(self, topic: str) -> None:
        """Do nothing: the source recovers."""

    def remove(self, topic: str) -> None:
        """Do nothing: the source recovers."""


class SourceRecovery:
    """The recovery of a stream whose source has the recovered messages, a relay or a recording."""

    def check(self, topic: str) -> None:
        check_recoverable(topic)

    def gate(self, market: str, route: Route) -> Gate:  # noqa: ARG002
        return SourceGate(route)

    def carried(self, keys: list[TopicKey]) -> None:
        """Do nothing: the source recovers."""

    def lost(self, keys: list[TopicKey]) -> None:
        """Do nothing: the source recovers."""

    def after_fork(self) -> None:
        """Do nothing: there is no state."""

    def close(self) -> list[threading.Thread]:
        return []


def _later(push: Push, epochs: int) -> Push:
    """Return a push whose epoch is higher by `epochs`."""
    arrival = arrival_of(push)
    return with_arrival(push, Arrival(arrival.epoch + epochs, arrival.received_ns, arrival.payload_mismatch))


def check_recoverable(topic: str) -> None:
    """Raise InvalidTopic if the topic table names no path of REST that tells what was missed of a single topic."""
    row = row_of(topic)
    if row is None or not row.recovery:
        can = ", ".join(dict.fromkeys(row.prefix for row in TABLE if row.recovery))
        raise InvalidTopic(f"{topic} can't be recovered; recover=True (--recover) is for the topics of {can}")
