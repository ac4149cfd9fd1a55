"""The connection groups of a stream, and the answers to the calls of their connections.

One lock guards the groups. It is taken before the lock of a connection or a message queue. What may call out is decided
under it and run after its release.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from ..delivery.mismatches import MismatchReporter
from ..delivery.observer import Observer, tell_observers
from ..events import Event, Rejected, Rotated
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal.resources import acquiring
from ..protocol.message import Message, prepare
from ..protocol.session_events import TopicKey
from ..topics import grammar
from .actions import run
from .gate import TopicRecovery
from .group import ConnectionGroup
from .merge import Merge
from .pending_subscribe import PendingSubscribe
from .source import MakeSource, MessageSource, TopicInterrupted

__all__ = ["ConnectionGroups", "Watcher"]

_RETIRE_TIMEOUT = 5.0
"""Seconds that a replaced connection gets to deliver the messages sent to it."""


class Watcher(Protocol):
    """Gets a call when topics are confirmed or lost, public or private ones; called without a lock held."""

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """Called when the server has confirmed keys."""

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Called when no connection carries these keys any more, because of `error`."""


class ConnectionGroups:
    """The groups of one stream by (market, private); the `SourceListener` of their connections.

    Args:
        make: makes a message source.
        capacity: returns how many topics a message source of a market, public or private, may have.
        emit: takes events, from any thread, without waiting.
        topics: returns the single topics that are subscribed.
        redundancy: how many connections carry each topic.
    """

    def __init__(
        self,
        make: MakeSource,
        capacity: Callable[[str, bool], int],
        emit: Callable[[Event], None],
        topics: Callable[[], Iterable[str]],
        redundancy: int,
    ) -> None:
        self.command_ids: Iterator[int] = itertools.count(1)
        self.epochs: Iterator[int] = itertools.count(1)
        self.closed = False
        self.watchers: dict[bool, Watcher] = {}  # False: that of public topics, True: that of private ones
        self.recovery: TopicRecovery | None = None  # from the first subscription with `recover=True`
        self._emit = emit
        self._mismatches = MismatchReporter(self.emit, topics)
        self._observers: tuple[Observer, ...] = ()  # replaced whole, under the lock
        self._make_source = make
        self._capacity = capacity
        self._redundancy = redundancy
        self._io_numbers = itertools.count(1)
        self._lock = threading.Lock()
        # The lock guards the following, the groups, and the attributes of the subclass.
        self._connection_groups: dict[tuple[str, bool], ConnectionGroup] = {}
        self._made: list[MessageSource] = []  # all connections whose threads may still run
        self._live_before: frozenset[tuple[str, bool]] = frozenset()  # the groups that were live before a fork

    # For the stream

    def last_error(self, call: PendingSubscribe) -> KucoinSyncError | None:
        """Return why a `subscribe` call waits: a connection is missing, or a command is not sent yet (AckTimeout)."""
        with self._lock:
            failures = (group.failure(key) for group, key in call.outstanding)
            obstacles = (group.obstacle(key) for group, key in call.outstanding)
            return next(filter(None, failures), None) or next(filter(None, obstacles), None)

    def obstacle(self, topic: str, *, private: bool = False) -> KucoinSyncError | None:
        """Return why no connection can bring a topic, outside of tunnels, now; None if one can."""
        with self._lock:
            group = self._group_of(topic, private)
            return None if group is None or group.is_carried(TopicKey(topic)) else group.obstacle(TopicKey(topic))

    def carries(self, topic: str, *, private: bool = False) -> bool:
        """Return whether the server has confirmed a topic outside of tunnels, on a public or a private connection."""
        with self._lock:
            group = self._group_of(topic, private)
            return group is not None and group.is_carried(TopicKey(topic))

    def resubscribe(self, topic: str) -> None:
        """Have a public topic outside of tunnels unsubscribed and subscribed again, for all its subscriptions.

        Some feeds then push a snapshot. Between the two, messages of the topic are lost: the watcher and the observers
        are told so. A topic that the server does not send now is left alone.
        """
        with self._lock:
            group = self._group_of(topic, False)
            if group is not None and not self.closed:
                group.resubscribe(TopicKey(topic))

    def _group_of(self, topic: str, private: bool) -> ConnectionGroup | None:
        return self._connection_groups.get((grammar.market_of(topic), private))

    def add_observer(self, observer: Observer) -> None:
        with self._lock:
            self._set_observers((*self._observers, observer))

    def remove_observer(self, observer: Observer) -> None:
        with self._lock:
            self._set_observers(tuple(other for other in self._observers if other is not observer))

    @property
    def is_connected(self) -> bool:
        """Whether the stream is open and has made a connection."""
        return not self.closed and bool(self._made)

    def is_io_thread(self) -> bool:
        """Return whether the current thread is an I/O thread of this stream, which must not wait."""
        current = threading.current_thread()
        return any(connection.thread is current for connection in list(self._made))

    def brings(self, topic: str, tunnel: str | None = None) -> bool:
        """Return whether the current thread is the only one that brings a topic, so that it must not wait for it."""
        if not self.is_io_thread():
            return False
        current, key = threading.current_thread(), TopicKey(topic, tunnel)
        with self._lock:
            groups = list(self._connection_groups.values())
            threads = {source.thread for group in groups for source in group.sources_of_key(key)}
        return threads == {current}

    # For connections, on their I/O threads

    def emit(self, event: Event) -> None:
        """Pass an event to the observers and the stream."""
        tell_observers(self._observers, lambda observer: observer.on_event(event))
        self._emit(event)

    def payload_mismatch(self, message: Message) -> None:
        """Report a payload with a field of an unexpected form (on the consumer's thread)."""
        self._mismatches.report(message)

    def welcomed(self, connection: MessageSource) -> None:
        """Note that a connection was made, and set its epoch."""
        with self._lock:
            group = self._of(connection)
            merge = group.dispatcher.merges.get(connection)
            keys = group.keys_of(connection)
        if merge is None:
            connection.epoch = next(self.epochs)
        else:
            merge.join(connection, keys)

    def choose_server(self, connection: MessageSource, endpoints: Sequence[str]) -> int:
        """Return the place of the first endpoint that no partner of a connection uses, or 0; note it as its own."""
        with self._lock:
            used = {partner.endpoint for partner in self._of(connection).partners(connection)}
            place = next((place for place, endpoint in enumerate(endpoints) if endpoint not in used), 0)
            connection.endpoint = endpoints[place]
            return place

    def acked(self, connection: MessageSource, keys: tuple[TopicKey, ...]) -> None:
        """Note that the server has confirmed keys."""
        for key in keys:
            prepare(key.topic)  # build the decoder before a consumer reads a payload
        with self._lock:
            group = self._of(connection)
            progress = group.acked(keys)
            merge = group.dispatcher.merges.get(connection)
        fresh = keys if merge is None else merge.acked(connection, keys)
        if merge is not None:
            merge.flush()
        for each in progress:
            self.emit(each)
        self._tell_carried(connection.market, connection.private, fresh)

    def interrupted(self, connection: MessageSource, keys: tuple[TopicKey, ...]) -> None:
        """Note that keys were unsubscribed, and are about to be subscribed again."""
        with self._lock:
            merge = self._of(connection).dispatcher.merges.get(connection)
        if merge is not None:
            merge.interrupted(connection, keys)
        if not connection.private:
            self._tell_lost(connection, keys, TopicInterrupted("the topic is being subscribed again"))

    def refused(self, connection: MessageSource, key: TopicKey, error: KucoinSyncError) -> None:
        """Remove a key that the server has refused."""
        with self._lock:
            actions = self._of(connection).refused([key], error)
            self._forget_ended()
        self.emit(Rejected(key.topic, error))
        run(actions)

    def full(self, connection: MessageSource, keys: tuple[TopicKey, ...]) -> None:
        """Move keys away from a connection on which the server accepts no more topics."""
        with self._lock:
            actions = [] if self.closed else self._of(connection).move(connection, keys)
        run(actions)
        self._tell_lost(
            connection, keys, ConnectionFailed("the server asked for another connection, which is being made")
        )

    def failed(self, connection: MessageSource, error: KucoinSyncError, *, fatal: bool) -> None:
        """Note that a connection was lost or could not be made. With `fatal` it ends; else it reconnects."""
        with self._lock:
            group = self._of(connection)
            merge = group.dispatcher.merges.get(connection)
            replaced = connection in group.dispatcher.retiring
        if replaced:
            connection.close()
        gap = () if fatal else self._tell_gap(connection, merge, error)
        with self._lock:
            lost = [key for key in group.lose(connection) if key not in gap]
            actions = group.failed_for_good(connection, error) if fatal else []
            self._forget_ended()
        if merge is not None:
            merge.flush()
        if fatal:
            self.emit(Rejected("", error))
        run(actions)
        if not fatal:
            self._tell_lost(connection, lost, error)

    def was_live(self, connection: MessageSource) -> bool:
        """Return whether any connection of this group was ever welcomed, in this process or before a fork."""
        kind = connection.market, connection.private
        with self._lock:
            return kind in self._live_before or self._connection_groups[kind].was_live

    def settled(self, connection: MessageSource) -> None:
        """Note that the server has confirmed or refused all keys of a connection: the one it replaces can end."""
        with self._lock:
            old = self._of(connection).dispatcher.replaced_by(connection)
        if old is not None:
            old.retire(_RETIRE_TIMEOUT)

    def proved(self, connection: MessageSource, *, answered: bool) -> None:
        """Note that a connection has delivered everything sent before the last proof request, or does not answer."""
        with self._lock:
            merge = self._of(connection).dispatcher.merges.get(connection)
        if not answered:
            error = ConnectionFailed("the connection that may have earlier messages does not answer")
            self._tell_gap(connection, merge, error)
        if merge is not None:
            merge.proved(connection, answered=answered)
            merge.flush()

    def aged(self, connection: MessageSource) -> bool:
        """Start to replace an old connection; return False if the connection must ask again later."""
        with self._lock:
            group = self._of(connection)
            actions = [] if self.closed else group.replace(connection)
        run(actions or [])
        return actions is not None

    def idle(self, connection: MessageSource) -> None:
        """Close a connection that had no topics for a while, unless it has some now."""
        with self._lock:
            closing = self._of(connection).drop_if_idle(connection)
        run(each.close for each in closing)

    def ended(self, connection: MessageSource) -> None:
        """Note that the thread of a connection is about to end."""
        with self._lock:
            group = self._of(connection)
            merge = group.dispatcher.merges.get(connection)
            replaced = connection in group.dispatcher.retiring and not self.closed
        if replaced:
            error = ConnectionFailed("the connection was replaced before the other one had all that it may have missed")
            self._tell_gap(connection, merge, error)
        with self._lock:
            new = group.dispatcher.retiring.pop(connection, None)
            merge = group.dispatcher.leave_merge(connection)
            if connection not in group.all_connections():
                group.past.add(connection.counts)
        if merge is not None:
            merge.flush()
        if new is not None and new.epoch and new in group.all_connections():
            # Else the old one was lost before the new one was welcomed, or the new one was given up.
            self.emit(Rotated(new.market, new.private, new.epoch))

    def _forget_ended(self) -> None:
        """Forget subscriptions without topics (under the lock); for the subclass."""

    def _tell_carried(self, market: str, private: bool, keys: Sequence[TopicKey]) -> None:
        """Tell the observers and the watcher about confirmed keys."""
        tell_observers(self._observers, lambda observer: observer.on_subscribed(market, private, keys))
        if not private and self.recovery is not None:
            self.recovery.carried(list(keys))
        if (watcher := self.watchers.get(private)) is not None:
            watcher.carried(keys)

    def _tell_gap(self, connection: MessageSource, merge: Merge | None, error: KucoinSyncError) -> list[TopicKey]:
        """Tell of the keys that are lost with a connection, before its merge passes on what another one has brought."""
        gap = [] if merge is None else merge.gap_without(connection)
        self._tell_lost(connection, gap, error)
        return gap

    def _tell_lost(self, connection: MessageSource, keys: Sequence[TopicKey], error: KucoinSyncError) -> None:
        """Tell the watcher about keys that no connection carries any more. Tell the others if they are public."""
        market, private = connection.market, connection.private
        watcher = self.watchers.get(private)
        observers, recovery = ((), None) if private else (self._observers, self.recovery)
        if not keys or (watcher is None and not observers and recovery is None):
            return
        if recovery is not None:
            recovery.lost(list(keys))
        tell_observers(observers, lambda observer: observer.on_lost(market, keys, error))
        if watcher is not None:
            watcher.lost(keys, error)
        # Another connection may have had keys confirmed, and reported that, just before this.
        self._tell_carried(market, private, [key for key in keys if self.carries(key.topic, private=private)])

    def _group(self, market: str, private: bool) -> ConnectionGroup:
        """Return a group; make it if needed (under the lock)."""
        group = self._connection_groups.get((market, private))
        if group is None:
            group = self._connection_groups[market, private] = ConnectionGroup(
                market,
                private,
                self._capacity(market, private),
                self._make,
                self._lock,
                self._redundancy,
                self.epochs,
            )
            group.dispatcher.observers = self._observers
            self._set_gate(group)
        return group

    def recover_by(self, recovery: TopicRecovery) -> None:
        """Recover the topics of subscriptions with `recover=True` from now on."""
        with self._lock:
            self.recovery = self.recovery or recovery
            for group in self._connection_groups.values():
                self._set_gate(group)

    def _set_gate(self, group: ConnectionGroup) -> None:
        dispatcher = group.dispatcher
        if self.recovery is not None and not group.private and dispatcher.gate is None:
            dispatcher.gate = self.recovery.gate(group.market, dispatcher.route_some)

    def _set_observers(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        for group in self._connection_groups.values():
            group.dispatcher.observers = observers

    def _make(self, group: ConnectionGroup) -> MessageSource:
        """Make a connection for a group (under the lock)."""
        with acquiring("another connection"):
            connection = self._make_source(
                next(self._io_numbers), group.market, group.private, self, group.dispatcher.deliver
            )
        self._made = [other for other in self._made if not other.over]
        self._made.append(connection)
        return connection

    def _of(self, connection: MessageSource) -> ConnectionGroup:
        return self._connection_groups[connection.market, connection.private]
