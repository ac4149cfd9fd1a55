"""What stands before the subscriptions with `recover=True`: it may hold pushes back, and add those that were missed.

A stream to KuCoin has the gate of `kucoin_sync.recovery`. Other streams get their recovered messages from their source.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from ..exceptions import InvalidTopic
from ..protocol.envelopes import FrameBatch, Pushes, arrival_of, channel_of, topics_of, with_arrival
from ..protocol.session_events import TopicKey
from ..topics.grammar import row_of
from ..topics.table import TABLE

__all__ = ["Gate", "Route", "SourceGate", "TopicRecovery"]

_MAX_TOPICS = 10_000  # whose holes are counted

Route = Callable[[Pushes, bool], None]
"""Delivers pushes to the subscriptions of their topics: to those with `recover=True`, or to the others."""


class Gate:
    """The gate of one connection group. On I/O threads `admit` and `undelivered` are called, the others under the
    stream's lock.

    Attributes:
        recovered: how many missed messages were delivered after all.
        incomplete: how often not all of them could be.
    """

    recovered = 0
    incomplete = 0

    def admit(self, pushes: Pushes) -> Pushes:
        """Return those of the pushes that are delivered now, to all subscriptions; deliver the others to some."""
        raise NotImplementedError

    def undelivered(self, pushes: Pushes) -> None:
        """Note that pushes could not be admitted, or were not all delivered."""

    def add(self, topic: str) -> None:
        """Recover a topic from now on; it may be recovered already."""

    def remove(self, topic: str) -> None:
        """Stop recovering a topic."""


class SourceGate(Gate):
    """Keeps what a relay or a recording has recovered from the subscriptions without `recover=True`.

    For these there is a hole instead. So the epoch of a topic's pushes rises by one at each of its holes.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        # By topic: how many there were, and whether the last push was a recovered one.
        self._holes: dict[str | None, tuple[int, bool]] = {}

    def admit(self, pushes: Pushes) -> Pushes:
        touched = bool(self._holes)
        if isinstance(pushes, FrameBatch):
            recovered = pushes.arrival.recovered
            touched = touched and not self._holes.keys().isdisjoint(topics_of(pushes))
        else:
            recovered = any(arrival_of(push).recovered for push in pushes)
        if not recovered and not touched:
            return pushes
        for push in pushes:
            self._route((push,), True)
            topic, arrival = channel_of(push)[0], arrival_of(push)
            holes, is_open = self._holes.get(topic, (0, False))
            if arrival.recovered:
                self.recovered += 1
                self._holes[topic] = holes if is_open else holes + 1, True
                if len(self._holes) > _MAX_TOPICS:
                    del self._holes[next(iter(self._holes))]
                continue
            if holes:
                self._holes[topic] = holes, False
                push = with_arrival(push, msgspec.structs.replace(arrival, epoch=arrival.epoch + holes))
            self._route((push,), False)
        return ()


class TopicRecovery:
    """What recovers the topics of a stream. It is told when public topics are confirmed and lost.

    As it is, it serves a stream whose source has the recovered messages: a relay or a recording.
    """

    def check(self, topic: str) -> None:
        """Raise InvalidTopic if the topic table names no path of REST that tells what was missed of a single topic."""
        row = row_of(topic)
        if row is None or not row.recovery:
            can = ", ".join(dict.fromkeys(row.prefix for row in TABLE if row.recovery))
            raise InvalidTopic(f"{topic} can't be recovered; recover=True (--recover) is for the topics of {can}")

    def gate(self, market: str, route: Route) -> Gate:  # noqa: ARG002
        """Return the gate of a new connection group of public topics."""
        return SourceGate(route)

    def carried(self, keys: list[TopicKey]) -> None:
        """Note that the server has confirmed keys."""

    def lost(self, keys: list[TopicKey]) -> None:
        """Note that no connection carries these keys any more."""

    def after_fork(self) -> None:
        """Start again in a forked child."""

    def close(self) -> list[threading.Thread]:
        """Recover nothing any more; return the threads that are going to end."""
        return []
