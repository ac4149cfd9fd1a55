"""The connections of one kind (spot or futures, public or private) and who gets what they bring.

A lane decides under the stream's lock and returns what is to be done outside it. A connection is not told what was
decided, but what is wanted at that moment: two threads may come to it in another order than they decided in. Delivery
takes no lock: the routers' entries are replaced whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple

from .baton import Baton
from .carrier import Carrier, Counts
from .events import Event, Progress
from .exceptions import KucoinSyncError
from .gate import Gate
from .merge import FIRST, SECOND, Merge
from .messages import UNREAD, Message
from .outcomes import Key
from .sealed import Head, Medley, Push, Pushes, Run, Sealed, opened
from .shards import Shards
from .subscription import Subscription
from .tap import Tap, tell_taps
from .topics.routing import Router

__all__ = ["Lane", "Waiter"]

Action = Callable[[], None]
_MOST = 4096


class Waiter:
    """One `subscribe` call waiting for the server's answers; its owner's lock covers all but `gate`.

    Args:
        emit: takes events under the lock, to be told when it is free.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self.gate = Gate()
        self.error: KucoinSyncError | None = None
        self.outstanding: set[tuple[Lane, Key]] = set()
        self.total = 0
        self._emit = emit
        self._told = 0

    def expect(self, lane: Lane, key: Key) -> None:
        """Wait for this key, too."""
        self.outstanding.add((lane, key))
        self.total += 1

    def done(self, lane: Lane, keys: Iterable[Key]) -> None:
        """Note confirmed keys."""
        self.outstanding.difference_update((lane, key) for key in keys)
        done = self.total - len(self.outstanding)
        if self.total > 100 and done > self._told:
            self._told = done
            self._emit(Progress(done, self.total))
        self.done_if_nothing_outstanding()

    def done_if_nothing_outstanding(self) -> None:
        """End the wait at once where there is nothing to wait for."""
        if not self.outstanding:
            self.gate.set()

    def fail(self, error: KucoinSyncError) -> None:
        """End the wait with an error."""
        self.error = self.error or error
        self.gate.set()


class Taker(NamedTuple):
    """A subscription whose one consumer waited for a push that came alone, and which alone gets all like it."""

    lane: Lane
    subscription: Subscription

    def takes_all_of(self, keys: Collection[Key]) -> bool:
        """Whether it alone gets what these keys bring, and nothing else; not where a tap hears all, too."""
        topics, tunnel = self.subscription.topics, self.subscription.tunnel
        return len(keys) == len(topics) and not self.lane.taps and set(keys) == {Key(each, tunnel) for each in topics}

    def accept(self, baton: Baton) -> None:
        """Have the consumer read by itself what comes next."""
        self.subscription.inbox.accept(baton)

    def put(self, push: Sealed) -> bool:
        """Deliver another push, on the consumer's thread; False, with nothing done, where it is not its alone."""
        return self.lane.deliver_alone(push, self.subscription)

    def has(self, push: Sealed) -> bool:
        """Whether a push waits for the consumer."""
        return self.subscription.inbox.has(push)


class Lane:
    """Topics, connections and subscriptions of one kind."""

    def __init__(
        self,
        market: str,
        private: bool,
        capacity: int,
        make: Callable[[Lane], Carrier],
        lock: AbstractContextManager[object],
    ) -> None:
        self.market = market
        self.private = private
        self.shards = Shards(capacity)
        self.connections: dict[int, Carrier] = {}
        self.retiring: dict[Carrier, Merge] = {}  # replaced, still bringing messages
        self.newest: Push | None = None  # what was read last, for whoever asks how late it was
        self.unrouted = 0
        self.unreadable = 0
        self.taps: tuple[Tap, ...] = ()  # replaced whole
        self.router: Router[Subscription] = Router(once=True)
        self._tunnels: dict[str, Router[Subscription]] = {}
        self._tunnelled = False  # whether there ever was one: what came through it may still be under way
        self._merges: dict[Carrier, Merge] = {}  # by replacement, until it is over
        self._waiters: dict[Key, list[Waiter]] = {}
        self._make = make
        self._lock = lock  # the stream's
        # Held while connections are told what is wanted: who has read it last, tells it last. Taken before that lock.
        self._telling = threading.Lock()
        self.past = Counts()  # of connections that are gone
        # Who alone gets all that has a head; None: each message has to be looked at. Replaced after every change.
        self._alone: dict[Head, Subscription | None] = {}

    # Under the stream's lock

    def add(self, subscription: Subscription, keys: list[Key], waiter: Waiter, undo: ExitStack) -> list[Action]:
        """Route the keys to a subscription; return what makes the server send them.

        Raises:
            InvalidTopic: a tunnel's connection has no room for them.
            ConnectionFailed: no other connection could be made.
        """
        actions = self._carry(self._place(keys, undo), undo)
        undo.callback(self._remove_routes, subscription, keys, waiter)
        for key in keys:
            self._router(key.tunnel).add(key.topic, subscription)
            if key in self._waiters or not self.connections[self.shards.home(key)].is_active(key):
                self._waiters.setdefault(key, []).append(waiter)
                waiter.expect(self, key)
        self._alone = {}
        return actions

    def _remove_routes(self, subscription: Subscription, keys: list[Key], waiter: Waiter) -> None:
        """Undo `add`."""
        for key in keys:
            self._router(key.tunnel).remove(key.topic, subscription)
            if waiter in (waiters := self._waiters.get(key, [])):
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(key, None)
        self._alone = {}

    def reserve(self, tunnel: str, keys: list[Key], undo: ExitStack) -> list[Action]:
        """Find room for all keys of a new tunnel together; return what makes the server send them."""
        self.shards.pin(tunnel, len(keys))
        return self._carry(self._place(keys, undo), undo)

    def remove(self, subscription: Subscription, singles: Iterable[str]) -> list[Action]:
        """Route topics no longer to a subscription; return what makes the server stop those that nobody wants."""
        tunnel = subscription.tunnel
        router = self._router(tunnel)
        unwanted = []
        for single in singles:
            if subscription in router.sinks(single) and router.remove(single, subscription):
                unwanted.append(Key(single, tunnel))
        self._alone = {}
        self.acked(unwanted)  # nobody need wait for them any more
        return [partial(self._tell, number, keys) for number, keys in self.shards.remove(unwanted).items()]

    def close_tunnel(self, tunnel: str) -> list[Action]:
        """Take a tunnel away with all that is in it; return what closes it at the server."""
        self._tunnels.pop(tunnel, None)
        self._alone = {}
        number = self.shards.home_of_tunnel(tunnel)
        if number is None:
            return []
        self.acked(self.shards.unpin(tunnel)[1])  # nobody need wait for them any more
        return [partial(connection.close_tunnel, tunnel) for connection in self._carriers(number)]

    def acked(self, keys: Iterable[Key]) -> None:
        """Tell whoever waits that the server confirmed keys."""
        waiters: dict[Waiter, list[Key]] = {}
        for key in keys:
            for waiter in self._waiters.pop(key, ()):
                waiters.setdefault(waiter, []).append(key)
        for waiter, done in waiters.items():
            waiter.done(self, done)

    def refused(self, keys: Iterable[Key], error: KucoinSyncError) -> list[Action]:
        """Take refused keys away from everybody; return what tells the subscriptions."""
        actions: list[Action] = []
        for key in keys:
            for waiter in self._waiters.pop(key, ()):
                waiter.fail(error)
            router = self._router(key.tunnel)
            for subscription in router.sinks(key.topic):
                router.remove(key.topic, subscription)
                subscription.drop_topics({key.topic})
                over = not subscription.topics
                actions.append(partial(subscription.inbox.finish if over else subscription.inbox.tell, error))
            self.shards.remove([key])
        self._alone = {}
        return actions

    def move(self, connection: Carrier, keys: Iterable[Key]) -> list[Action]:
        """Find other places for keys that a full connection refused.

        Raises:
            ConnectionFailed: no other connection could be made; the keys are at their old places.
        """
        number = self._number(connection)
        if number is None:
            return []
        with ExitStack() as undo:
            undo.callback(self.shards.put_back, number, [key for key in keys if self.shards.is_at(key, number)])
            actions = self._carry(self.shards.full(number, keys), undo)
            undo.pop_all()
        return actions

    def failed_for_good(self, connection: Carrier, error: KucoinSyncError) -> list[Action]:
        """Give a connection up with all that it carries."""
        number = self._number(connection)
        if number is None:
            return []
        actions = self.refused(self.shards.keys(number), error)
        if (old := self.replaced_by(connection)) is not None:
            actions.append(old.close)
        self.shards.drop(number)
        del self.connections[number]
        self._merges.pop(connection, None)
        return actions

    def replace(self, old: Carrier) -> list[Action] | None:
        """Begin to replace a connection that nears the end of its life; None while it is replacing another one.

        Raises:
            ConnectionFailed: no other connection could be made; the old one stays.
        """
        number = self._number(old)
        if number is None:
            return []
        if self.replaced_by(old) is not None:
            return None
        merge = Merge(self._route_late, ask=old.prove)
        new = self._make(self)
        self._merges.pop(old, None)
        self.retiring[old] = merge
        self._merges[new] = merge
        self.connections[number] = new
        return [partial(self._tell, number, self.shards.keys(number)), new.start]

    def replaced_by(self, new: Carrier) -> Carrier | None:
        """Return the connection that `new` replaces, None where it replaces none."""
        merge = self._merges.get(new)
        replaced = list(self.retiring.items())  # it may be looked at without the lock
        return next((old for old, other in replaced if other is merge), None) if merge else None

    def replacement_of(self, old: Carrier) -> Carrier | None:
        """Return the connection that replaces `old`, None where none does."""
        merge = self.retiring.get(old)
        return next((new for new, other in self._merges.items() if other is merge), None) if merge else None

    def retired(self, old: Carrier) -> Merge | None:
        """Note that a replaced connection has ended; return the merge to end."""
        return self.retiring.pop(old, None)

    def drop_if_idle(self, connection: Carrier) -> bool:
        """Forget a connection that carries nothing; return whether it is to be closed."""
        number = self._number(connection)
        if number is None or self._waiters or not self.shards.drop_if_empty(number):
            return False
        del self.connections[number]
        self._merges.pop(connection, None)
        return True

    def waiting(self) -> set[Waiter]:
        """Return the `subscribe` calls that wait for this lane."""
        return {waiter for waiters in self._waiters.values() for waiter in waiters}

    def last_error(self, waiter: Waiter) -> KucoinSyncError | None:
        """Return why the connections that a waiter waits for are not there, None where they are."""
        mine = (key for lane, key in tuple(waiter.outstanding) if lane is self)
        return next((error for key in mine if (error := self.obstacle(key))), None)

    def obstacle(self, key: Key) -> KucoinSyncError | None:
        """Return why the connection of a key is not there, None where it is."""
        return self.connections[self.shards.home(key)].last_error if key in self.shards else None

    @property
    def was_live(self) -> bool:
        """Whether any of its connections was ever made."""
        return any(counts.connects for counts in (self.past, *(each.counts for each in self.all_connections())))

    def all_connections(self) -> list[Carrier]:
        """Return the connections, those being replaced included."""
        return [*self.connections.values(), *self.retiring]

    # Without the lock

    def _tell(self, number: int, keys: Iterable[Key]) -> None:
        """Tell the connections of a shard which of some keys are wanted there now, and which are not."""
        with self._telling:
            with self._lock:
                current = self.connections.get(number)
                if current is None:
                    return  # it was given up, with all that it carried
                wanted = [key for key in keys if self.shards.is_at(key, number)]
                gone = [key for key in keys if not self.shards.is_at(key, number)]
                carriers = self._carriers(number)
            if wanted:
                current.subscribe(wanted)
            if gone:
                for connection in carriers:
                    connection.unsubscribe(gone)

    # On an I/O thread, without a lock

    def deliver(self, connection: Carrier, pushes: Pushes) -> Taker | None:
        """Route pushes, through a merge where one is under way."""
        self.newest = pushes[-1]
        if self._merges:
            if (merge := self.retiring.get(connection)) is not None:
                merge.bring(FIRST, self._opened(pushes))
                return None
            if (merge := self._merges.get(connection)) is not None:
                if not merge.over:
                    merge.bring(SECOND, self._opened(pushes))
                    return None
                with self._lock:
                    self._merges.pop(connection, None)
        if self.taps:
            self._tell_taps(pushes)
        if type(pushes) is Run:
            if (sink := self._alone.get(pushes.head)) is not None:
                sink.put_many(pushes)
                return None
        elif len(pushes) == 1 and type(push := pushes[0]) is Sealed:
            if (sink := self._alone.get(push.head)) is not None:
                return Taker(self, sink) if sink.put(push) else None
        elif type(pushes) is Medley and (sink := self._only_taker(pushes.heads)) is not None:
            sink.put_many(pushes)
            return None
        self.route(pushes)
        return None

    def deliver_alone(self, push: Sealed, taker: Subscription) -> bool:
        """Deliver a push on its taker's thread; False, with nothing done, where it is not the taker's alone."""
        if self._merges or self.taps or self._alone.get(push.head) is not taker:
            return False
        self.newest = push
        taker.put(push)
        return True

    def _only_taker(self, heads: Sequence[Head]) -> Subscription | None:
        """Return who alone gets all that has these heads, None where it takes a look at each message to know."""
        sink = self._sole_sink(heads[0])
        if sink is None or self._sole_sink(heads[-1]) is not sink:
            return None
        return sink if all(self._sole_sink(head) is sink for head in set(heads)) else None

    def route(self, pushes: Pushes) -> None:
        """Put each push into the subscriptions that it belongs to; what belongs to one goes there together."""
        taken: dict[Subscription, list[Push]] = {}
        by_head: dict[Head, Callable[[Push], None] | None] = {}
        for push in pushes:
            if type(push) is Sealed:
                head = push.head
                try:
                    append = by_head[head]
                except KeyError:
                    sink = self._sole_sink(head)
                    append = by_head[head] = None if sink is None else taken.setdefault(sink, []).append
                if append is not None:
                    append(push)
                    continue
            for message in self._opened((push,)):  # to be looked at, or for several
                sinks = self._sinks(message)
                shared = len(sinks) > 1 or message.data_read is not UNREAD
                for sink in sinks:  # each gets one of its own: what one makes of it shows to no other
                    taken.setdefault(sink, []).append(message.with_lost(message.lost) if shared else message)
        for sink, its in taken.items():
            sink.put_many(its)

    def _route_late(self, messages: list[Message]) -> None:
        """Route what came out of a merge."""
        if self.taps:
            self._tell_taps(messages)
        self.route(messages)

    def _tell_taps(self, pushes: Pushes) -> None:
        tell_taps(self.taps, lambda tap: tap.brought(self.market, self.private, pushes))

    def _sole_sink(self, head: Head) -> Subscription | None:
        """Return who alone gets all that has this head, None where it takes a look at each message to know."""
        alone = self._alone  # what is found out while routes change is kept with what is replaced
        try:
            return alone[head]
        except KeyError:
            pass
        routes = () if self._tunnelled else self.router.exact.get(head.kind[0], ())
        sink = routes[0][0] if len(routes) == 1 and routes[0][1] is None else None
        if len(alone) >= _MOST:
            alone.clear()
        alone[head] = sink
        return sink

    def _sinks(self, message: Message) -> list[Subscription]:
        """Return the subscriptions that a message belongs to, and count it where there is none."""
        router = self.router if message.tunnel_id is None else self._tunnels.get(message.tunnel_id)
        routes = router.find(message.topic) if router is not None and message.topic is not None else ()
        sinks = [sink for sink, test in routes if test is None or test(message)]
        if not sinks:
            self.unrouted += 1
        return sinks

    def _opened(self, pushes: Pushes) -> list[Message]:
        """Return the messages in pushes, for who has to look at them; count what can't be read."""
        messages = opened(pushes)
        self.unreadable += len(pushes) - len(messages)
        return messages

    def _router(self, tunnel: str | None) -> Router[Subscription]:
        if tunnel is None:
            return self.router
        self._tunnelled = True
        return self._tunnels.setdefault(tunnel, Router(once=True))

    def _number(self, connection: Carrier) -> int | None:
        return next((number for number, other in self.connections.items() if other is connection), None)

    def _carriers(self, number: int) -> list[Carrier]:
        """Return the connection of a shard and the one that it replaces."""
        current = self.connections[number]
        old = self.replaced_by(current)
        return [current] if old is None else [current, old]

    def _place(self, keys: list[Key], undo: ExitStack) -> dict[int, list[Key]]:
        """Find places for keys. Their undoing is there first, as a signal's handler may raise at any step."""
        new, before = [key for key in keys if key not in self.shards], self.shards.numbers
        undo.callback(self._give_up, new, before)
        return self.shards.place(keys)

    def _give_up(self, keys: list[Key], before: tuple[int, ...]) -> None:
        """Undo `_place`, as far as it came."""
        self.shards.remove(keys)
        for number in [number for number in self.shards.numbers if number not in before]:
            self.shards.drop(number)

    def _carry(self, placed: dict[int, list[Key]], undo: ExitStack) -> list[Action]:
        """Make the connections that placed keys need; return what has the server send the keys."""
        fresh = [number for number in placed if number not in self.connections]
        undo.callback(self._take_back, placed, fresh)
        for number in fresh:
            self.connections[number] = self._make(self)
        actions: list[Action] = [partial(self._tell, number, keys) for number, keys in placed.items()]
        return [*actions, *(self.connections[number].start for number in placed)]

    def _take_back(self, placed: dict[int, list[Key]], fresh: list[int]) -> None:
        """Undo `_carry`, and that the keys were placed."""
        for keys in placed.values():
            self.shards.remove(keys)
        for number in fresh:
            self.shards.drop(number)
            if (connection := self.connections.pop(number, None)) is not None:
                connection.close()
