"""Delivery: pushes of a connection group to its subscriptions, on the I/O threads and without a lock.

The stream's lock guards the changes of routes; each entry of a routing table is replaced whole, so that delivery can
read the tables at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import repeat
from operator import is_
from typing import NamedTuple

from ..delivery.observer import Observer, tell_observers
from ..delivery.subscription import Subscription
from ..net.direct_read import ReadLease
from ..protocol.envelopes import EnvelopePrefix, FrameBatch, Push, Pushes, opened
from ..protocol.message import UNREAD, Message, RawPush
from ..protocol.session_events import TopicKey
from ..topics.routing import Router
from .gate import Gate
from .merge import Merge
from .source import MessageSource

__all__ = ["Dispatcher", "SoleConsumer"]

_MAX_PREFIXES = 4096
"""Envelope prefixes whose sole subscription is cached."""


class SoleConsumer(NamedTuple):
    """A subscription that gets all pushes of a connection and has one consumer thread, which is waiting."""

    dispatcher: Dispatcher
    subscription: Subscription

    def takes_all_of(self, keys: Collection[TopicKey]) -> bool:
        """Return whether the subscription has exactly these keys and no observer is registered."""
        topics, tunnel = self.subscription.topics, self.subscription.tunnel
        mine = {TopicKey(each, tunnel) for each in topics}
        return len(keys) == len(topics) and not self.dispatcher.observers and set(keys) == mine

    def accept(self, read_lease: ReadLease) -> None:
        """Let the consumer read the socket itself."""
        self.subscription.message_queue.accept(read_lease)

    def put(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Deliver pushes, on the consumer's thread. Return False, and do nothing, if others want them too.

        Also return False if they cannot be queued in one step: a signal handler that raises could split them.
        """
        dispatcher, consumer = self
        if dispatcher.merges or dispatcher.observers or dispatcher.gate is not None:
            return False
        if not consumer.message_queue.fits(len(pushes)):
            return False
        if isinstance(pushes, tuple):
            [push] = pushes
            if dispatcher.sole_sink(push.prefix) is not consumer:
                return False
            dispatcher.newest = push
            consumer.put(push)
            return True
        if dispatcher.sole_sink_of(pushes) is not consumer:
            return False
        dispatcher.newest = pushes[-1]
        consumer.put_many(pushes)
        return True

    def has(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Return whether these pushes are still queued for the consumer."""
        return self.subscription.message_queue.has(pushes if isinstance(pushes, FrameBatch) else pushes[0])


class Dispatcher:
    """Routes the pushes of one connection group.

    Attributes:
        router: the subscriptions of each topic outside of tunnels.
        retiring: the connections that are being replaced, each with its replacement.
        merges: the connections whose pushes are merged with those of others, each with its merge until that is over.
        observers: the observers; replaced whole.
        gate: stands before the subscriptions with `recover=True`; None where there never was one.
        newest: the push that was read last.
        unrouted: how many messages matched no subscription.
        unreadable: how many frames could not be decoded for routing.
    """

    def __init__(self, market: str, private: bool, lock: AbstractContextManager[object], epochs: Iterator[int]) -> None:
        self.router: Router[Subscription] = Router(deduplicate=True)
        self.retiring: dict[MessageSource, MessageSource] = {}
        self.merges: dict[MessageSource, Merge] = {}
        self.observers: tuple[Observer, ...] = ()
        self.gate: Gate | None = None
        self.newest: Push | None = None
        self.unrouted = 0
        self.unreadable = 0
        self._market = market
        self._private = private
        self._lock = lock  # the stream's
        self._epochs = epochs
        self._past_copies = 0  # of merges that are over
        self._tunnels: dict[str, Router[Subscription]] = {}
        self._tunnelled = False  # whether there ever was a tunnel; its messages may still come after it was closed
        # The only subscription of each envelope prefix; None: decode the message. Replaced when routes change.
        self._sole_sinks: dict[EnvelopePrefix, Subscription | None] = {}

    # Under the stream's lock

    def add_route(self, key: TopicKey, subscription: Subscription) -> None:
        """Route a key to a subscription. Call `routes_changed` after the last change."""
        self._router(key.tunnel).add(key.topic, subscription)
        if subscription.recover and self.gate is not None:
            self.gate.add(key.topic)

    def remove_route(self, key: TopicKey, subscription: Subscription) -> bool:
        """Stop routing a key to a subscription; return whether no subscription has the key any more."""
        router = self._router(key.tunnel)
        last = router.remove(key.topic, subscription)
        if subscription.recover and self.gate is not None and not any(e.recover for e in router.sinks(key.topic)):
            self.gate.remove(key.topic)
        return last

    def sinks(self, key: TopicKey) -> list[Subscription]:
        """Return the subscriptions of a key."""
        return list(self._router(key.tunnel).sinks(key.topic))

    def close_tunnel(self, tunnel: str) -> None:
        """Remove the routes of a tunnel."""
        self._tunnels.pop(tunnel, None)
        self.routes_changed()

    def routes_changed(self) -> None:
        """Clear the cache of sole subscriptions. A delivery in progress goes on with the old one."""
        self._sole_sinks = {}

    def merge_for_good(self, connections: Sequence[MessageSource]) -> None:
        """Merge the messages of connections that are to carry the same topics."""
        merge = Merge(self._deliver, self._epochs, lasting=True)
        for connection in connections:
            merge.add(connection)
            self.merges[connection] = merge

    def begin_rotation(self, old: MessageSource, new: MessageSource, keys: Sequence[TopicKey]) -> None:
        """Merge the messages of a connection, and of those with which it is merged, with those of its replacement."""
        merge = self.merges.get(old)
        with ExitStack() as undo:
            if merge is None or merge.over:
                self.leave_merge(old)
                merge = Merge(self._deliver, self._epochs)
                undo.callback(merge.leave, old)
                merge.add(old, keys, live=True)
            undo.callback(merge.leave, new)
            merge.add(new)
            undo.pop_all()
        self.merges[old] = self.merges[new] = merge
        self.retiring[old] = new

    def leave_merge(self, connection: MessageSource) -> Merge | None:
        """Remove a connection that ends from its merge; return the merge, whose `flush` is to be called."""
        merge = self.merges.pop(connection, None)
        if merge is not None:
            merge.leave(connection)
            if merge not in self.merges.values():
                self._past_copies += merge.copies
        return merge

    @property
    def copies(self) -> int:
        """How many pushes were not delivered, because another connection has brought them."""
        return self._past_copies + sum(merge.copies for merge in set(self.merges.copy().values()))

    @property
    def redundant(self) -> int:
        """How many keys two connections have, so that one of them may be lost."""
        return sum(len(merge.redundant) for merge in set(self.merges.copy().values()))

    def replaced_by(self, new: MessageSource) -> MessageSource | None:
        """Return the connection that `new` is replacing, or None."""
        replaced = list(self.retiring.items())  # a copy: `stats` may read it without the lock
        return next((old for old, other in replaced if other is new), None)

    def _router(self, tunnel: str | None) -> Router[Subscription]:
        if tunnel is None:
            return self.router
        self._tunnelled = True
        return self._tunnels.setdefault(tunnel, Router(deduplicate=True))

    # On an I/O thread, without the lock

    def deliver(self, connection: MessageSource, pushes: Pushes) -> SoleConsumer | None:
        """Route pushes, through a merge if there is one. Return the sole consumer if it was waiting."""
        self.newest = pushes[-1]
        if self.merges and (merge := self.merges.get(connection)) is not None:
            if not merge.over:
                merge.bring(connection, pushes)
                return None
            with self._lock:
                self.leave_merge(connection)
        return self._deliver(pushes)

    def _deliver(self, pushes: Pushes) -> SoleConsumer | None:
        try:
            if self.gate is not None:
                pushes = self.gate.admit(pushes)
                if not len(pushes):
                    return None
            if self.observers:
                self._tell_observers(pushes)
            if len(pushes) == 1:
                push = pushes[0]
                if type(push) is RawPush and (sink := self.sole_sink(push.prefix)) is not None:
                    return SoleConsumer(self, sink) if sink.put(push) and self.gate is None else None
            elif isinstance(pushes, FrameBatch) and (sink := self.sole_sink_of(pushes)) is not None:
                return SoleConsumer(self, sink) if sink.put_many(pushes) and self.gate is None else None
            self.route(pushes)
        except BaseException:
            if self.gate is not None:
                self.gate.undelivered(pushes)
            raise
        return None

    def sole_sink_of(self, pushes: FrameBatch | tuple[RawPush]) -> Subscription | None:
        """Return the only subscription that gets all of some pushes; None if each must be routed by itself."""
        if not isinstance(pushes, FrameBatch):
            return self.sole_sink(pushes[0].prefix)
        if pushes.prefix is not None:
            return self.sole_sink(pushes.prefix)
        first, *others = set(pushes.prefixes or ())
        sink = self.sole_sink(first)
        if sink is None:
            return None
        # `route` looks up what is not in the cache.
        return sink if all(map(is_, map(self._sole_sinks.get, others), repeat(sink))) else None

    def route(self, pushes: Pushes, recovering: bool | None = None) -> None:
        """Put each push into its subscriptions; the pushes of one subscription are put together.

        With `recovering` only the subscriptions with `recover=True` get them, or only the others; with None all do.
        """
        taken: dict[Subscription, list[Push]] = {}
        appends: dict[EnvelopePrefix, Callable[[Push], None] | None] = {}
        for push in pushes:
            if type(push) is RawPush:
                prefix = push.prefix
                try:
                    append = appends[prefix]
                except KeyError:
                    sink = self.sole_sink(prefix)
                    left_out = sink is not None and recovering not in (None, sink.recover)
                    its = [] if sink is None or left_out else taken.setdefault(sink, [])
                    append = appends[prefix] = None if sink is None else its.append
                if append is not None:
                    append(push)
                    continue
            for message in self._opened((push,)):  # needs decoding, or has several subscriptions
                sinks = self._sinks(message)
                shared = len(sinks) > 1 or recovering is not None or message.data_read is not UNREAD
                for sink in sinks:  # one copy for each subscription: they must not see each other's changes
                    if recovering in (None, sink.recover):
                        taken.setdefault(sink, []).append(message.with_lost(message.lost) if shared else message)
        for sink, queued in taken.items():
            sink.put_many(queued)

    def route_some(self, pushes: Pushes, recovering: bool) -> None:
        """Route pushes to the subscriptions with `recover=True`, or to the others. The observers get the former."""
        if recovering:
            self._tell_observers(pushes)
        self.route(pushes, recovering)

    def _tell_observers(self, pushes: Pushes) -> None:
        tell_observers(self.observers, lambda observer: observer.on_messages(self._market, self._private, pushes))

    def sole_sink(self, prefix: EnvelopePrefix) -> Subscription | None:
        """Return the only subscription that gets all frames with this prefix; None if each must be decoded."""
        sole_sinks = self._sole_sinks  # if routes change now, the result goes into the replaced cache
        try:
            return sole_sinks[prefix]
        except KeyError:
            pass
        routes = () if self._tunnelled else self.router.exact.get(prefix.channel[0], ())
        sink = routes[0][0] if len(routes) == 1 and routes[0][1] is None else None
        if len(sole_sinks) >= _MAX_PREFIXES:
            sole_sinks.clear()
        sole_sinks[prefix] = sink
        return sink

    def _sinks(self, message: Message) -> list[Subscription]:
        """Return the subscriptions of a message; count it as unrouted if there are none."""
        if (topic := message.origin.arrival.topic) is not None:
            sinks = self.router.sinks(topic)
            if topic == message.topic or message.lost or not message.topic:
                return list(sinks)
            named = self.router.sinks(message.topic)  # they get it as a message of the topic that it names
            return [sink for sink in sinks if sink not in named]
        router = self.router if message.tunnel_id is None else self._tunnels.get(message.tunnel_id)
        routes = router.find(message.topic) if router is not None and message.topic is not None else ()
        found = [sink for sink, test in routes if test is None or test(message)]
        if not found and not (router is not None and message.topic and router.sinks(message.topic)):
            self.unrouted += 1  # an event that a subscription has got under another name is not
        return found

    def _opened(self, pushes: Pushes) -> list[Message]:
        """Decode pushes; count the unreadable ones."""
        messages = opened(pushes)
        self.unreadable += len(pushes) - len(messages)
        return messages
