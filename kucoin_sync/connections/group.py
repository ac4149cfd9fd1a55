"""The connections of one market, public or private, and the decisions about them.

The group tells connections which keys are wanted under the stream's lock, so that they hear of decisions in their
order. What may call out, such as to start a source or to end a subscription, is returned as actions, to be run after
the release of the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from ..delivery.subscription import Subscription
from ..events import Progress
from ..exceptions import KucoinSyncError
from ..protocol.session_events import TopicKey
from .actions import Action, run
from .dispatch import Dispatcher
from .pending_subscribe import PendingSubscribe
from .source import Counts, MessageSource
from .tunnels import TunnelAssignment

__all__ = ["ConnectionGroup"]


class ConnectionGroup:
    """The connections, topics and pending `subscribe` calls of one market, public or private."""

    def __init__(
        self,
        market: str,
        private: bool,
        capacity: int,
        make: Callable[[ConnectionGroup], MessageSource],
        lock: AbstractContextManager[object],
    ) -> None:
        self.market = market
        self.private = private
        self.assignment = TunnelAssignment(capacity)
        self.connections: dict[int, MessageSource] = {}  # by the connection numbers of `assignment`
        self.dispatcher = Dispatcher(market, private, lock)
        self.past = Counts()  # of connections that have ended
        self._pending: dict[TopicKey, list[PendingSubscribe]] = {}  # the calls that wait for each key
        self._make = make

    # Under the stream's lock

    def add(
        self, subscription: Subscription, keys: list[TopicKey], call: PendingSubscribe, undo: ExitStack
    ) -> list[Action]:
        """Route keys to a subscription, and subscribe them; return the actions that start their connections.

        Raises:
            InvalidTopic: the connection of a tunnel is full.
            ConnectionFailed: no other connection could be made.
        """
        placed = self._place(keys, undo)
        undo.callback(self._remove_routes, subscription, keys, call)
        for key in keys:
            self.dispatcher.add_route(key, subscription)
            if key in self._pending or not self.connections[self.assignment.home(key)].is_active(key):
                self._pending.setdefault(key, []).append(call)
                call.expect(self, key)
        self.dispatcher.routes_changed()
        return self._subscribe(placed)

    def _remove_routes(self, subscription: Subscription, keys: list[TopicKey], call: PendingSubscribe) -> None:
        """Undo `add`."""
        for key in keys:
            self.dispatcher.remove_route(key, subscription)
            if call in (calls := self._pending.get(key, [])):
                calls.remove(call)
            if not calls:
                self._pending.pop(key, None)
        self.dispatcher.routes_changed()

    def reserve(self, tunnel: str, keys: list[TopicKey], undo: ExitStack) -> list[Action]:
        """Place all keys of a new tunnel on one connection, and subscribe them; return the actions that start it."""
        self.assignment.pin(tunnel, len(set(keys)))
        return self._subscribe(self._place(keys, undo))

    def remove(self, subscription: Subscription, singles: Iterable[str]) -> None:
        """Stop routing topics to a subscription, and unsubscribe those that no other subscription has."""
        unwanted = []
        for key in [TopicKey(single, subscription.tunnel) for single in singles]:
            if subscription in self.dispatcher.sinks(key) and self.dispatcher.remove_route(key, subscription):
                unwanted.append(key)
        self.dispatcher.routes_changed()
        self.acked(unwanted)  # ends the waits for these keys
        self._unsubscribe(unwanted)

    def resubscribe(self, key: TopicKey) -> None:
        """Have a key unsubscribed and subscribed again, for all its subscriptions."""
        if key in self.assignment:
            self.connections[self.assignment.home(key)].resubscribe([key])

    def close_tunnel(self, tunnel: str) -> None:
        """Remove a tunnel and its keys."""
        self.dispatcher.close_tunnel(tunnel)
        number = self.assignment.home_of_tunnel(tunnel)
        if number is not None:
            self.acked(self.assignment.unpin(tunnel)[1])  # ends the waits for these keys
            run(partial(connection.close_tunnel, tunnel) for connection in self._sources_of(number))

    def acked(self, keys: Iterable[TopicKey]) -> list[Progress]:
        """Note that the server has confirmed keys: the calls that wait for them go on. Return how far these are."""
        calls: dict[PendingSubscribe, list[TopicKey]] = {}
        for key in keys:
            for call in self._pending.pop(key, ()):
                calls.setdefault(call, []).append(key)
        return [progress for call, done in calls.items() if (progress := call.done(self, done)) is not None]

    def refused(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> list[Action]:
        """Remove refused keys from all subscriptions; return the actions that report the error to these."""
        actions: list[Action] = []
        for key in keys:
            for call in self._pending.pop(key, ()):
                call.fail(error)
            for subscription in self.dispatcher.sinks(key):
                self.dispatcher.remove_route(key, subscription)
                subscription.drop_topics({key.topic})
                over = not subscription.topics
                actions.append(
                    partial(subscription.message_queue.finish if over else subscription.message_queue.tell, error)
                )
            self.assignment.remove([key])
        self.dispatcher.routes_changed()
        return actions

    def move(self, connection: MessageSource, keys: Iterable[TopicKey]) -> list[Action]:
        """Move keys that a full connection has refused; return the actions that start their new connections.

        Raises:
            ConnectionFailed: no other connection could be made; the keys keep their old places.
        """
        number = self._number(connection)
        if number is None:
            return []
        with ExitStack() as undo:
            undo.callback(self.assignment.put_back, number, [key for key in keys if self.assignment.is_at(key, number)])
            undo.callback(self._drop_all_but, self.assignment.numbers)
            placed = self._make_missing(self.assignment.full(number, keys))
            undo.pop_all()
        return self._subscribe(placed)

    def failed_for_good(self, connection: MessageSource, error: KucoinSyncError) -> list[Action]:
        """Remove a failed connection and its keys; return the actions that report `error` to the subscriptions."""
        number = self._number(connection)
        if number is None:
            return []
        actions = self.refused(self.assignment.keys(number), error)
        if (old := self.dispatcher.replaced_by(connection)) is not None:
            actions.append(old.close)
        self.assignment.drop(number)
        del self.connections[number]
        self.dispatcher.merges.pop(connection, None)
        return actions

    def replace(self, old: MessageSource) -> list[Action] | None:
        """Start to replace a connection before the server cuts it; return None while it replaces another one itself.

        Raises:
            ConnectionFailed: no other connection could be made; the old one stays.
        """
        number = self._number(old)
        if number is None:
            return []
        if self.dispatcher.replaced_by(old) is not None:
            return None
        new = self._make(self)
        self.dispatcher.begin_merge(old, new)
        self.connections[number] = new
        new.subscribe(self.assignment.keys(number))
        return [new.start]

    def drop_if_idle(self, connection: MessageSource) -> bool:
        """Forget a connection without topics; return whether the caller must close it."""
        number = self._number(connection)
        if number is None or self._pending or not self.assignment.drop_if_empty(number):
            return False
        del self.connections[number]
        self.dispatcher.merges.pop(connection, None)
        return True

    def waiting(self) -> set[PendingSubscribe]:
        """Return the `subscribe` calls that wait for this group."""
        return {call for calls in self._pending.values() for call in calls}

    def last_error(self, call: PendingSubscribe) -> KucoinSyncError | None:
        """Return why a connection that a `subscribe` call waits for is not connected; None if all are."""
        mine = (key for group, key in tuple(call.outstanding) if group is self)
        return next((error for key in mine if (error := self.obstacle(key))), None)

    def obstacle(self, key: TopicKey) -> KucoinSyncError | None:
        """Return why the connection of a key is not connected; None if it is."""
        return self.connections[self.assignment.home(key)].last_error if key in self.assignment else None

    def is_carried(self, key: TopicKey, number: int | None = None) -> bool:
        """Return whether the server has confirmed a key on its connection, or on the one that this is replacing.

        Args:
            number: the connection number of the key, if known.
        """
        if number is None:
            if key not in self.assignment:
                return False
            number = self.assignment.home(key)
        current = self.connections.get(number)
        if current is None:  # `stats` and others may look in the middle of a change
            return False
        old = self.dispatcher.replaced_by(current)
        return current.is_active(key) or (old is not None and old.is_active(key))

    def carried(self) -> list[TopicKey]:
        """Return the keys that the server has confirmed."""
        assignment = self.assignment
        return [key for n in assignment.numbers for key in assignment.keys(n) if self.is_carried(key, n)]

    def uncarried(self, connection: MessageSource) -> list[TopicKey]:
        """Return the keys of a lost connection, or of its replacement, that no other connection carries."""
        current = self.dispatcher.replacement_of(connection) or connection
        number = self._number(current)
        if number is None:
            return []
        return [key for key in self.assignment.keys(number) if not self.is_carried(key, number)]

    @property
    def was_live(self) -> bool:
        """Whether any connection of the group was ever welcomed."""
        return any(counts.connects for counts in (self.past, *(each.counts for each in self.all_connections())))

    def all_connections(self) -> list[MessageSource]:
        """Return all connections, including those that are being replaced."""
        return [*self.connections.values(), *self.dispatcher.retiring]

    def _number(self, connection: MessageSource) -> int | None:
        return next((number for number, other in self.connections.items() if other is connection), None)

    def _sources_of(self, number: int) -> list[MessageSource]:
        """Return the connection of a number and the one that it is replacing, if any."""
        current = self.connections.get(number)
        if current is None:  # it could not be made
            return []
        old = self.dispatcher.replaced_by(current)
        return [current] if old is None else [current, old]

    def _place(self, keys: list[TopicKey], undo: ExitStack) -> dict[int, list[TopicKey]]:
        """Assign keys to connections; return the new ones by connection number.

        The undo is registered first, because a signal handler may raise at any time.
        """
        undo.callback(self._release, keys, self.assignment.numbers)
        return self._make_missing(self.assignment.place(keys))

    def _release(self, keys: list[TopicKey], before: tuple[int, ...]) -> None:
        """Undo `_place`, also a partial one, after the undo of all routes that were added with it."""
        self._unsubscribe([key for key in keys if not self.dispatcher.sinks(key)])
        self._drop_all_but(before)

    def _make_missing(self, placed: dict[int, list[TopicKey]]) -> dict[int, list[TopicKey]]:
        """Make the connections that are missing; return the argument."""
        for number in placed:
            if number not in self.connections:
                self.connections[number] = self._make(self)
        return placed

    def _subscribe(self, placed: dict[int, list[TopicKey]]) -> list[Action]:
        """Subscribe keys on their connections; return the actions that start these."""
        run(partial(self.connections[number].subscribe, keys) for number, keys in placed.items())
        return [self.connections[number].start for number in placed]

    def _unsubscribe(self, keys: list[TopicKey]) -> None:
        """Take keys from their connections."""
        removed = self.assignment.remove(keys).items()
        run(partial(each.unsubscribe, gone) for number, gone in removed for each in self._sources_of(number))

    def _drop_all_but(self, before: tuple[int, ...]) -> None:
        """Drop the connections that were made since."""
        for number in [number for number in self.assignment.numbers if number not in before]:
            self.assignment.drop(number)
            if (connection := self.connections.pop(number, None)) is not None:
                connection.close()
