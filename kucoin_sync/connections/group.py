"""The connections of one market, public or private, and the decisions about them.

The group tells connections which keys are wanted under the stream's lock, so that they hear of decisions in their
order. What may call out, such as to start a source or to end a subscription, is returned as actions, to be run after
the release of the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from ..delivery.subscription import Subscription
from ..events import Progress
from ..exceptions import KucoinSyncError
from ..protocol.session_events import TopicKey
from .actions import Action, run
from .dispatch import Dispatcher
from .merge import Merge
from .pending_subscribe import PendingSubscribe
from .source import Counts, MessageSource
from .topic_assignment import TopicAssignment

__all__ = ["ConnectionGroup"]


class ConnectionGroup:
    """The connections, topics and pending `subscribe` calls of one market, public or private.

    Args:
        redundancy: how many connections carry each topic.
        epochs: yields rising epoch numbers.

    Attributes:
        connections: by the connection numbers of `assignment`; those of one number carry the same topics.
    """

    def __init__(
        self,
        market: str,
        private: bool,
        capacity: int,
        make: Callable[[ConnectionGroup], MessageSource],
        lock: AbstractContextManager[object],
        redundancy: int,
        epochs: Iterator[int],
    ) -> None:
        self.market = market
        self.private = private
        self.assignment = TopicAssignment(capacity)
        self.connections: dict[int, list[MessageSource]] = {}
        self.dispatcher = Dispatcher(market, private, lock, epochs)
        self.redundancy = redundancy
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
            if key in self._pending or not self._carriers(key):
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
        """Stop routing topics to a subscription, and unsubscribe those that no subscription has any more."""
        keys = [TopicKey(single, subscription.tunnel) for single in singles]
        carried = [key for key in keys if self.assignment.home(key) is not None]
        for key in carried:
            self.dispatcher.remove_route(key, subscription)
        unwanted = [key for key in carried if not self.dispatcher.sinks(key)]
        self.dispatcher.routes_changed()
        self.acked(unwanted)  # ends the waits for these keys
        self._unsubscribe(unwanted)

    def resubscribe(self, key: TopicKey) -> None:
        """Have a key unsubscribed and subscribed again, for all its subscriptions."""
        if carriers := self._carriers(key):
            connection = carriers[0]  # the snapshot of one is enough, and the others go on
            if (merge := self.dispatcher.merges.get(connection)) is not None:
                merge.begin_again(key.topic)
            connection.resubscribe([key])

    def close_tunnel(self, tunnel: str) -> None:
        """Remove a tunnel and its keys."""
        self.dispatcher.close_tunnel(tunnel)
        number = self.assignment.home_of_tunnel(tunnel)
        if number is not None:
            keys = [key for key in self.assignment.keys(number) if key.tunnel == tunnel]
            self.acked(keys)  # ends the waits for these keys
            self._forget_in_merges(number, keys)
            run(partial(connection.close_tunnel, tunnel) for connection in self._sources_of(number))
            self.assignment.unpin(tunnel)  # last, so that a call that was interrupted can be made again

    def acked(self, keys: Collection[TopicKey]) -> list[Progress]:
        """Note that the server has confirmed keys: the calls that wait for them go on. Return how far these are."""
        calls: dict[PendingSubscribe, list[TopicKey]] = {}
        for key in keys:
            for call in self._pending.get(key, ()):
                calls.setdefault(call, []).append(key)
        progress = [each for call, done in calls.items() if (each := call.done(self, done)) is not None]
        for key in keys:
            self._pending.pop(key, None)
        return progress

    def refused(self, keys: Collection[TopicKey], error: KucoinSyncError) -> list[Action]:
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
        self._unsubscribe(list(keys))
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
            undo.callback(
                self.assignment.put_back, number, [key for key in keys if self.assignment.home(key) == number]
            )
            undo.callback(self._drop_all_but, self.assignment.numbers)
            placed = self._make_missing(self.assignment.full(number, keys))
            undo.pop_all()
        moved = [key for keys in placed.values() for key in keys]
        self._forget_in_merges(number, moved)
        run(partial(other.unsubscribe, moved) for other in self.connections[number] if other is not connection)
        return self._subscribe(placed)

    def failed_for_good(self, connection: MessageSource, error: KucoinSyncError) -> list[Action]:
        """Remove a failed connection and its keys; return the actions that report `error` to the subscriptions."""
        number = self._number(connection)
        if number is None:
            return []
        sources = [each for each in self._sources_of(number) if each is not connection]
        actions = [*self.refused(self.assignment.keys(number), error), *(each.close for each in sources)]
        self.assignment.drop(number)
        del self.connections[number]
        self.dispatcher.leave_merge(connection)
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
        with ExitStack() as undo:
            new = self._make(self)
            undo.callback(new.close)
            keys = self.assignment.keys(number)
            new.subscribe(keys)
            sources = [new if each is old else each for each in self.connections[number]]
            self.dispatcher.begin_rotation(old, new, keys)
            undo.pop_all()
        self.connections[number] = sources
        return [new.start]

    def drop_if_idle(self, connection: MessageSource) -> list[MessageSource]:
        """Forget the connections of a number without topics; return those that the caller must close."""
        number = self._number(connection)
        if number is None or self._pending or not self.assignment.drop_if_empty(number):
            return []
        idle = self.connections.pop(number)
        for each in idle:
            self.dispatcher.leave_merge(each)
        return idle

    def waiting(self) -> set[PendingSubscribe]:
        """Return the `subscribe` calls that wait for this group."""
        return {call for calls in self._pending.values() for call in calls}

    def failure(self, key: TopicKey) -> KucoinSyncError | None:
        """Return why no connection of a key is connected; None if one is."""
        number = self.assignment.home(key)
        errors = [None] if number is None else [each.last_error for each in self.connections[number]]
        return None if None in errors else errors[0]

    def obstacle(self, key: TopicKey) -> KucoinSyncError | None:
        """Return the failure of a key, or why the server was not asked for it yet (AckTimeout); None for neither."""
        if (failure := self.failure(key)) is not None:
            return failure
        number = self.assignment.home(key)
        delays = [] if number is None else [each.delay_of(key) for each in self.connections[number]]
        return next(filter(None, delays), None)

    def is_carried(self, key: TopicKey) -> bool:
        """Return whether the server has confirmed a key on one of its connections, or on one that is being replaced."""
        number = self.assignment.home(key)
        return number is not None and any(each.is_active(key) for each in self._sources_of(number))

    def sources_of_key(self, key: TopicKey) -> list[MessageSource]:
        """Return the connections that are to carry a key, and those that they are replacing."""
        number = self.assignment.home(key)
        return [] if number is None else self._sources_of(number)

    def carried(self) -> list[TopicKey]:
        """Return the keys that the server has confirmed."""
        return [
            key for number in self.assignment.numbers for key in self.assignment.keys(number) if self.is_carried(key)
        ]

    def lose(self, connection: MessageSource) -> list[TopicKey]:
        """Note that a connection was lost; return the keys whose messages may be missing for that."""
        merge = self.dispatcher.merges.get(connection)
        gap = [] if merge is None else merge.lose(connection)
        number = self._number(self.dispatcher.retiring.get(connection, connection))
        if number is None:
            return []
        missing = set(gap) if self.redundancy > 1 else set()
        return [key for key in self.assignment.keys(number) if key in missing or not self.is_carried(key)]

    def partners(self, connection: MessageSource) -> list[MessageSource]:
        """Return the other connections that carry the topics of a connection, except those that are being replaced."""
        number = self._number(connection)
        return [] if number is None else [each for each in self.connections[number] if each is not connection]

    def keys_of(self, connection: MessageSource) -> tuple[TopicKey, ...]:
        """Return the keys that a connection is to carry."""
        number = self._number(connection)
        return () if number is None else self.assignment.keys(number)

    @property
    def was_live(self) -> bool:
        """Whether any connection of the group was ever welcomed."""
        return any(counts.connects for counts in (self.past, *(each.counts for each in self.all_connections())))

    def all_connections(self) -> list[MessageSource]:
        """Return all connections, including those that are being replaced."""
        return [*(each for sources in list(self.connections.values()) for each in sources), *self.dispatcher.retiring]

    def _number(self, connection: MessageSource) -> int | None:
        return next((number for number, sources in self.connections.items() if connection in sources), None)

    def _carriers(self, key: TopicKey) -> list[MessageSource]:
        """Return the connections on which the server has confirmed a key, except those that are being replaced."""
        number = self.assignment.home(key)
        return [] if number is None else [each for each in self.connections[number] if each.is_active(key)]

    def _sources_of(self, number: int) -> list[MessageSource]:
        """Return the connections of a number, and those that they are replacing."""
        current = self.connections.get(number, ())  # () if they could not be made, or in the middle of a change
        replaced = [old for old, new in list(self.dispatcher.retiring.items()) if new in current]
        return [*current, *replaced]

    def _forget_in_merges(self, number: int, keys: Iterable[TopicKey]) -> None:
        keys = tuple(keys)
        for merge in self._merges_of(number):
            merge.forget(keys)

    def _merges_of(self, number: int) -> set[Merge]:
        """Return the merges that the connections of a number are in: one at most."""
        merges = self.dispatcher.merges
        return {merges[each] for each in self._sources_of(number) if each in merges}

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
                made = self.connections[number] = []  # the undo closes what was made, if another can't be made
                for _ in range(self.redundancy):
                    made.append(self._make(self))
                if self.redundancy > 1:
                    self.dispatcher.merge_for_good(made)
        return placed

    def _subscribe(self, placed: dict[int, list[TopicKey]]) -> list[Action]:
        """Subscribe keys on their connections; return the actions that start these."""
        for number, keys in placed.items():
            for merge in self._merges_of(number):
                merge.expect(keys)
        run(partial(each.subscribe, keys) for number, keys in placed.items() for each in self.connections[number])
        return [each.start for number in placed for each in self.connections[number]]

    def _unsubscribe(self, keys: list[TopicKey]) -> None:
        """Take keys from their connections; forget last where they were, for the case that an interrupt comes."""
        by_number: dict[int, list[TopicKey]] = {}
        for key in dict.fromkeys(keys):
            if (number := self.assignment.home(key)) is not None:
                by_number.setdefault(number, []).append(key)
        for number, gone in by_number.items():
            self._forget_in_merges(number, gone)
        run(partial(each.unsubscribe, gone) for number, gone in by_number.items() for each in self._sources_of(number))
        self.assignment.remove(keys)

    def _drop_all_but(self, before: tuple[int, ...]) -> None:
        """Drop the connections that were made since."""
        for number in [number for number in self.assignment.numbers if number not in before]:
            self.assignment.drop(number)
            for connection in self.connections.pop(number, ()):
                self.dispatcher.leave_merge(connection)
                connection.close()
