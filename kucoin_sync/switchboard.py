"""Between a stream and its connections: who wants what, who carries it, and who is told what becomes of it.

One lock guards it all; what has to be done with a connection is decided under it and done after it was released.
Lock order: a lane's, this lock, then a connection's or an inbox's, never the other way round.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any, Protocol

from .carrier import Carrier, MakeCarrier
from .events import Event, PayloadMismatch, Rejected, Rotated
from .exceptions import ConnectionFailed, InvalidTopic, KucoinSyncError, StreamClosed
from .forking import notice
from .guard import guarded, log
from .interruption import defer, interrupting
from .lag import delays
from .lane import Action, Lane, Waiter
from .messages import Message, mismatches_of, prepare
from .outcomes import Key
from .payloads import watchers
from .resources import acquiring
from .silence import SilenceThread, SilenceWatch
from .subscription import Subscription
from .tap import Tap, tell_taps
from .topics import grammar

__all__ = ["Switchboard", "Watcher", "kind_of"]

_RETIRE = 5.0
"""Seconds that a replaced connection gets to deliver its last."""
_MOST_ODD_TOPICS = 1_000
_SHOWN_MISMATCHES = 3


class Watcher(Protocol):
    """Who wants to know when public topics are carried; called without any lock held."""

    def carried(self, keys: Iterable[Key]) -> None:
        """The server has confirmed these on a connection."""

    def lost(self, keys: Iterable[Key], error: KucoinSyncError) -> None:
        """There is no connection that carries these, because of `error`."""


class Switchboard:
    """The lanes of one stream.

    Args:
        make: makes a connection, or what stands for one.
        capacity: topics that one carries.
        emit: takes events, from any thread, without waiting.
    """

    def __init__(self, make: MakeCarrier, capacity: int, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self.command_ids: Iterator[int] = itertools.count(1)
        self.epochs: Iterator[int] = itertools.count(1)
        self.closed = False
        self.watcher: Watcher | None = None
        self.tells_silence = True  # not for what is no live feed
        self._silence = SilenceThread(self._check_silence)
        self._taps: tuple[Tap, ...] = ()  # replaced whole, under the lock
        self._make_carrier = make
        self._capacity = capacity
        self._io_numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards all of the following, and all that is in the lanes
        self._lanes: dict[tuple[str, bool], Lane] = {}
        self._made: list[Carrier] = []
        self._subscriptions: dict[Subscription, None] = {}
        self._tunnels: dict[str, object] = {}  # by name, what has it; changed without the lock
        self._progress: deque[Event] = deque()  # what waiters have to tell when the lock is free
        self._dropped = 0  # by subscriptions that are gone
        self._unreadable = 0  # found by the same
        self._misfits = 0
        self._odd_topics: set[str] = set()  # of which a misfit was told
        watchers.add(self)
        self._watches: dict[Subscription, SilenceWatch] = {}
        self._joining: dict[Subscription, int] = {}  # those that `subscribe` has not returned yet, with its thread
        self._first_use: Callable[[], object] | None = None  # while a forked child has not begun again
        self._live_before: frozenset[tuple[str, bool]] = frozenset()  # kinds that were live in the parent of a fork

    # In a forked child

    def renew(self, first_use: Callable[[], object]) -> None:
        """Let go of the parent's connections; call `first_use`, which is to `resume`, when ours are wanted.

        What is wanted outlives the fork, and nothing else: the lanes are made anew from the subscriptions. Those that
        another thread of the parent was about to make are not there, as that thread is not.
        """
        self._lock = threading.Lock()
        for connection in {*self._made, *(each for lane in self._lanes.values() for each in lane.all_connections())}:
            connection.abandon()
        joining, here = self._joining, threading.get_ident()
        self._subscriptions = {
            subscription: None
            for subscription in self._subscriptions
            if subscription.topics and not subscription.closed and joining.get(subscription, here) == here
        }
        self._watches = {each: watch for each, watch in self._watches.items() if each in self._subscriptions}
        self._live_before |= {kind for kind, lane in self._lanes.items() if lane.was_live}
        self._lanes, self._made, self._joining = {}, [], {}
        self._silence = SilenceThread(self._check_silence)
        self._taps = ()  # such as a recorder, whose file is the parent's
        self._dropped = self._unreadable = self._misfits = 0
        self.closed = False
        self._first_use = first_use
        for subscription in self._subscriptions:
            subscription.inbox.sleep(self.use)

    def use(self) -> None:
        """Be about to be used: a forked child begins again now."""
        notice()
        if (first_use := self._first_use) is not None:
            first_use()

    def resume(self) -> list[Subscription]:
        """Want everything that the parent wanted; return the subscriptions, none where that was done already."""
        with self._lock:
            if self._first_use is None or self.closed:
                return []
            subscriptions = list(self._subscriptions)
            now = time.monotonic()
            for watch in self._watches.values():
                watch.begin(now)
            if self._watches:
                self._silence.look()
            actions = self._carry_all(subscriptions)
            self._first_use = None
        log(
            logging.INFO,
            "this process was forked: its stream dials on its own now, for %d subscriptions",
            len(subscriptions),
        )
        _do(actions)
        return subscriptions

    def _carry_all(self, subscriptions: list[Subscription]) -> list[Action]:
        """Find places for all topics, each tunnel's together; return what gets them sent (under the lock)."""
        tunnels: dict[tuple[str, Lane], dict[Key, None]] = {}
        kinds = {subscription: _by_kind(subscription) for subscription in subscriptions}
        for subscription, groups in kinds.items():
            if subscription.tunnel is not None:
                for kind, keys in groups.items():
                    tunnels.setdefault((subscription.tunnel, self._lane(*kind)), {}).update(dict.fromkeys(keys))
        actions: list[Action] = []
        with ExitStack() as undo:
            for (tunnel, lane), together in tunnels.items():
                actions += lane.reserve(tunnel, list(together), undo)
            for subscription, groups in kinds.items():
                for kind, keys in groups.items():
                    actions += self._lane(*kind).add(subscription, keys, Waiter(self._progress.append), undo)
            undo.pop_all()
        return actions

    # For the stream

    def add(
        self, subscription: Subscription, groups: dict[tuple[str, bool], list[Key]], stale_after: float | None
    ) -> Waiter:
        """Have the keys of each kind (market, private) delivered to a subscription; return what waits for them.

        Where it raises, nothing has changed. To be followed by `joined`, however the wait ends.
        """
        self.use()
        waiter = Waiter(self._progress.append)
        actions: list[Action] = []
        with self._lock, ExitStack() as undo:
            if self.closed:
                raise StreamClosed("the stream is closed; make a new one to subscribe")
            lanes = {kind: self._lane(*kind) for kind in groups}
            self._joining[subscription] = threading.get_ident()
            self._subscriptions[subscription] = None
            undo.callback(self._forget, subscription)
            for kind, keys in groups.items():
                actions += lanes[kind].add(subscription, keys, waiter, undo)
            if stale_after is not None and self.tells_silence:
                self._watches[subscription] = SilenceWatch(subscription, stale_after, time.monotonic())
                self._silence.look()
            undo.pop_all()
            waiter.done_if_nothing_outstanding()
        try:
            _do(actions)
        except BaseException:
            self.end(subscription)
            for lane in lanes.values():
                for connection in lane.all_connections():
                    self.idle(connection)
            raise
        return waiter

    def joined(self, subscription: Subscription) -> None:
        """Somebody holds a subscription from now on, or nobody will."""
        self._joining.pop(subscription, None)

    def unsubscribe(self, topic: str | Subscription, tunnel: str | None = None) -> None:
        """End a subscription, or take topics, by name, away from all that have them in the tunnel or outside."""
        if isinstance(topic, Subscription):
            topic.close()
            return
        singles = grammar.split(topic)
        with self._lock:
            carrying = [
                subscription
                for subscription in self._subscriptions
                if subscription.tunnel == tunnel and not set(singles).isdisjoint(subscription.topics)
            ]
        for subscription in carrying:
            subscription.withhold(singles)
            self.remove(subscription, singles)
        for subscription in carrying:
            subscription.wait_for_call()

    def open_tunnel(self, name: str) -> None:
        """Take a tunnel's name; without the lock, in one step."""
        ours = object()
        if self.closed:
            raise StreamClosed("the stream is closed; make a new one to open a tunnel")
        try:
            if self._tunnels.setdefault(name, ours) is not ours:
                raise InvalidTopic(f"a tunnel {name!r} is open already; choose another name")
        except BaseException:
            if self._tunnels.get(name) is ours:  # a signal's handler has raised
                self.free_tunnel(name)
            raise

    def free_tunnel(self, name: str) -> None:
        """Give a tunnel's name back; without the lock, in one step."""
        self._tunnels.pop(name, None)

    def close_tunnel(self, name: str) -> None:
        """End all that is subscribed in a tunnel."""
        actions: list[Action] = []
        with self._lock:
            ended = [each for each in self._subscriptions if each.tunnel == name]
            for subscription in ended:
                self._forget(subscription)
                subscription.withhold(subscription.topics)
                actions.append(partial(subscription.inbox.finish, None))
            for lane in self._lanes.values():
                actions += lane.close_tunnel(name)
        _do(actions)
        for subscription in ended:
            subscription.wait_for_call()

    def end(self, subscription: Subscription) -> None:
        """End a subscription."""
        self.remove(subscription, subscription.topics)

    def remove(self, subscription: Subscription, singles: tuple[str, ...]) -> None:
        """Take topics away from a subscription, and end it when it has none left."""
        actions: list[Action] = []
        with self._lock:
            for lane in self._lanes.values():
                actions += lane.remove(subscription, singles)
            if set(subscription.topics) <= set(singles):
                self._forget(subscription)
                actions.append(partial(subscription.inbox.finish, None))
            else:
                subscription.drop_topics(set(singles))
        _do(actions)

    def last_error(self, waiter: Waiter) -> KucoinSyncError | None:
        """Return why connections that a waiter waits for are not there, None where they are."""
        with self._lock:
            return next((error for lane in self._lanes.values() if (error := lane.last_error(waiter))), None)

    def obstacle(self, topic: str) -> KucoinSyncError | None:
        """Return why the connection of a public topic, outside of tunnels, is not there; None where it is."""
        key = Key(topic)
        with self._lock:
            lane = self._lanes.get((grammar.market_of(topic), False))
            if lane is None or key not in lane.shards or _is_carried(lane, lane.shards.home(key), key):
                return None
            return lane.obstacle(key)

    def carries(self, topic: str) -> bool:
        """Whether a public topic, outside of tunnels, is known to be sent by the server now."""
        key = Key(topic)
        with self._lock:
            lane = self._lanes.get((grammar.market_of(topic), False))
            return lane is not None and key in lane.shards and _is_carried(lane, lane.shards.home(key), key)

    def add_tap(self, tap: Tap) -> None:
        """Tell `tap` of all that comes from now on."""
        with self._lock:
            self._set_taps((*self._taps, tap))

    def remove_tap(self, tap: Tap) -> None:
        """Tell `tap` nothing more."""
        with self._lock:
            self._set_taps(tuple(other for other in self._taps if other is not tap))

    def carrying(self) -> dict[tuple[str, bool], list[Key]]:
        """Return the keys that are known to be sent by the server now, by kind (market, private)."""
        with self._reading():
            return {
                kind: [
                    key
                    for number in lane.shards.numbers
                    for key in lane.shards.keys(number)
                    if _is_carried(lane, number, key)
                ]
                for kind, lane in list(self._lanes.items())
            }

    @property
    def count(self) -> int:
        """How many subscriptions have not ended."""
        return len(self._subscriptions)

    @property
    def subscriptions(self) -> list[Subscription]:
        """Those that have not ended, the books' included."""
        with self._lock:
            return list(self._subscriptions)

    @property
    def is_connected(self) -> bool:
        """Whether there may be a connection."""
        return not self.closed and bool(self._made)

    def is_io_thread(self) -> bool:
        """Whether the current thread is one of ours that must not wait."""
        current = threading.current_thread()
        return any(connection.thread is current for connection in list(self._made))

    def close(self) -> list[threading.Thread]:
        """Close everything without waiting; return the threads that will end."""
        with self._lock:
            first, self.closed = not self.closed, True
            subscriptions = list(self._subscriptions)
            waiters = {waiter for lane in self._lanes.values() for waiter in lane.waiting()}
        connections = self._connections()
        if first:
            for subscription in subscriptions:
                subscription.withhold(subscription.topics)
                subscription.inbox.finish(None)
            for waiter in waiters:
                waiter.fail(StreamClosed("the stream was closed while a subscription waited for its confirmation"))
        for connection in connections:
            connection.close()
        self._silence.close()
        return [*(connection.thread for connection in connections), *self._silence.threads]

    def stats(self) -> dict[str, Any]:
        """Return plain numbers."""
        with self._reading():
            lanes = list(self._lanes.values())
            connections = [connection for lane in lanes for connection in lane.all_connections()]
            subscriptions = list(self._subscriptions)
            counts = [lane.past for lane in lanes] + [connection.counts for connection in connections]
            latencies = [count.pong_latency for count in counts if count.pong_latency is not None]
            waiting = [push for each in subscriptions if (push := each.inbox.oldest()) is not None]
            newest = [lane.newest for lane in lanes if lane.newest is not None]
            numbers = {
                "messages": sum(count.messages for count in counts),
                "bytes": sum(count.bytes for count in counts),
                "dropped": self._dropped + sum(subscription.dropped for subscription in subscriptions),
                "pending": sum(len(subscription.inbox) for subscription in subscriptions),
                "subscriptions": len(subscriptions),
                "topics": sum(len(lane.shards) for lane in lanes),
                "connections": len(connections),
                "connects": sum(count.connects for count in counts),
                "reconnects": sum(count.reconnects for count in counts),
                "disconnects": sum(count.disconnects for count in counts),
                "failed_attempts": sum(count.failures for count in counts),
                "unreadable": self._unreadable
                + sum(count.unreadable for count in counts)
                + sum(lane.unreadable for lane in lanes)
                + sum(subscription.inbox.opener.unreadable for subscription in subscriptions),
                "unknown_types": sum(count.unknown for count in counts),
                "unrouted": sum(lane.unrouted for lane in lanes),
                "misfits": self._misfits,
                "pong_latency": max(latencies, default=None),
            }
        return {**numbers, **delays(waiting, newest, time.time_ns())}  # which decodes: nobody need wait for that

    def fetched(self, market: str, path: str, symbol: str, data: Any) -> None:
        """A book's snapshot has come (on the thread that fetched it)."""
        tell_taps(self._taps, lambda tap: tap.fetched(market, path, symbol, data))

    # For connections, on their I/O threads

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        tell_taps(self._taps, lambda tap: tap.told(event))
        self._emit(event)

    def misfit(self, message: Message) -> None:
        """Count a payload with something odd in it, and tell it once per topic (on the consumer's thread)."""
        if interrupting():
            defer(partial(self.misfit, message))
        elif self._is_first_misfit(topic := str(message.topic)):
            shown = mismatches_of(message)
            more = f"; and {len(shown) - _SHOWN_MISMATCHES} more" if len(shown) > _SHOWN_MISMATCHES else ""
            self.emit(PayloadMismatch(topic, "; ".join(shown[:_SHOWN_MISMATCHES]) + more))

    def odd_text(self, topic: str, reason: str) -> None:
        """Do the same with what showed when a property was read (on any thread); of the topic the symbol is not known.

        Every stream is told, and only one that has such a topic takes note.
        """
        if interrupting():
            defer(partial(self.odd_text, topic, reason))
            return
        wanted = [single for each in list(self._subscriptions) for single in each.topics]
        if any(single.startswith(f"{topic}:") for single in wanted) and self._is_first_misfit(topic):
            self.emit(PayloadMismatch(topic, reason))

    def _is_first_misfit(self, topic: str) -> bool:
        with self._lock:
            self._misfits += 1
            if topic in self._odd_topics:
                return False
            if len(self._odd_topics) >= _MOST_ODD_TOPICS:
                self._odd_topics.clear()
            self._odd_topics.add(topic)
            return True

    def acked(self, connection: Carrier, keys: tuple[Key, ...]) -> None:
        """The server confirmed keys."""
        for key in keys:
            prepare(key.topic)  # before anybody who waits for this can read a payload
        with self._lock:
            self._of(connection).acked(keys)
        self._tell_progress()
        self._tell_carried(connection.market, connection.private, keys)

    def refused(self, connection: Carrier, key: Key, error: KucoinSyncError) -> None:
        """The server refused a key for good."""
        with self._lock:
            actions = self._of(connection).refused([key], error)
            self._forget_ended()
        self.emit(Rejected(key.topic, error))
        _do(actions)

    def full(self, connection: Carrier, keys: tuple[Key, ...]) -> None:
        """The server carries no more topics on a connection."""
        with self._lock:
            actions = [] if self.closed else self._of(connection).move(connection, keys)
        _do(actions)
        if not connection.private:
            self._tell_lost(
                connection.market,
                keys,
                ConnectionFailed("the server asked for another connection, which is being made"),
            )

    def failed(self, connection: Carrier, error: KucoinSyncError, *, fatal: bool) -> None:
        """A connection was lost or could not be made; with `fatal` it will not be tried again."""
        with self._lock:
            lane = self._of(connection)
            if connection in lane.retiring:
                connection.close()
            uncarried = [] if fatal or connection.private else _uncarried(lane, connection)
            actions = lane.failed_for_good(connection, error) if fatal else []
            self._forget_ended()
        if fatal:
            self.emit(Rejected("", error))
        _do(actions)
        self._tell_lost(connection.market, uncarried, error)

    def was_live(self, connection: Carrier) -> bool:
        """Whether any connection of this one's kind was ever made; before a fork counts, too."""
        kind = connection.market, connection.private
        with self._lock:
            return kind in self._live_before or self._lanes[kind].was_live

    def settled(self, connection: Carrier) -> None:
        """All that a connection carries was confirmed or refused."""
        with self._lock:
            old = self._of(connection).replaced_by(connection)
        if old is not None:
            old.retire(_RETIRE)

    def proved(self, connection: Carrier) -> None:
        """All has come that a connection was sent before it was last asked for a proof."""
        with self._lock:
            merge = self._of(connection).retiring.get(connection)
        if merge is not None:
            merge.proved()

    def aged(self, connection: Carrier) -> bool:
        """A connection nears the end of its life; return whether that was seen to, so that it need not ask again."""
        with self._lock:
            lane = self._of(connection)
            actions = [] if self.closed else lane.replace(connection)
        _do(actions or [])
        return actions is not None

    def idle(self, connection: Carrier) -> None:
        """A connection has carried nothing for a while."""
        with self._lock:
            closing = self._of(connection).drop_if_idle(connection)
        if closing:
            connection.close()

    def ended(self, connection: Carrier) -> None:
        """A connection's thread is about to end."""
        with self._lock:
            lane = self._of(connection)
            new = lane.replacement_of(connection)
            merge = lane.retired(connection)
            if connection not in lane.all_connections():
                lane.past.add(connection.counts)
        if merge is not None:
            merge.end_first()
            if new is not None and new.epoch:  # else the old one was lost before the new one was made
                self.emit(Rotated(new.market, new.private, new.epoch))

    def _check_silence(self, now: float) -> float:
        """Tell of subscriptions that have been silent for too long; return when to look again."""
        with self._lock:
            events = [event for watch in self._watches.values() if (event := watch.check(now))]
            next_at = min((watch.check_at for watch in self._watches.values()), default=math.inf)
        for event in events:
            self.emit(event)
        return next_at

    def _reading(self) -> AbstractContextManager[object]:
        """Return the lock, for a look at the numbers; nothing where the caller may have it already.

        Such a caller sees things as they are in the middle of a change.
        """
        return nullcontext() if interrupting() else self._lock

    def _tell_progress(self) -> None:
        while self._progress:
            try:
                event = self._progress.popleft()
            except IndexError:
                return  # another thread has just told it
            self.emit(event)

    def _tell_carried(self, market: str, private: bool, keys: Sequence[Key]) -> None:
        """Tell the taps, and of public keys the watcher, too."""
        tell_taps(self._taps, lambda tap: tap.carried(market, private, keys))
        if self.watcher is not None and not private:
            self.watcher.carried(keys)

    def _tell_lost(self, market: str, keys: Sequence[Key], error: KucoinSyncError) -> None:
        """Tell the watcher and the taps of public keys that were not carried when it was last looked at."""
        if not keys or (self.watcher is None and not self._taps):
            return
        tell_taps(self._taps, lambda tap: tap.lost(market, keys, error))
        if self.watcher is not None:
            self.watcher.lost(keys, error)
        # The connection that takes over may have been confirmed in the meantime, and told so before.
        self._tell_carried(market, False, [key for key in keys if self.carries(key.topic)])

    def _lane(self, market: str, private: bool) -> Lane:
        lane = self._lanes.get((market, private))
        if lane is None:
            lane = self._lanes[market, private] = Lane(market, private, self._capacity, self._make, self._lock)
            lane.taps = self._taps
        return lane

    def _set_taps(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        for lane in self._lanes.values():
            lane.taps = taps

    def _make(self, lane: Lane) -> Carrier:
        with acquiring("another connection"):
            connection = self._make_carrier(next(self._io_numbers), lane.market, lane.private, self, lane.deliver)
        self._made = [other for other in self._made if not other.over]
        self._made.append(connection)
        return connection

    def _of(self, connection: Carrier) -> Lane:
        return self._lanes[connection.market, connection.private]

    def _connections(self) -> list[Carrier]:
        """Return the connections whose threads may still run, those that no lane knows any more included."""
        with self._lock:
            return list(self._made)

    def _forget(self, subscription: Subscription) -> None:
        subscription.keeper = None
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._dropped += subscription.dropped
            self._unreadable += subscription.inbox.opener.unreadable
            self._watches.pop(subscription, None)

    def _forget_ended(self) -> None:
        for subscription in [subscription for subscription in self._subscriptions if not subscription.topics]:
            self._forget(subscription)


def kind_of(single: str, private: bool | None) -> tuple[str, bool]:
    """Return the market of a topic and whether it needs an authorised connection."""
    return grammar.market_of(single), grammar.is_private(single) or bool(private)


def _by_kind(subscription: Subscription) -> dict[tuple[str, bool], list[Key]]:
    groups: dict[tuple[str, bool], list[Key]] = {}
    for single in subscription.topics:
        groups.setdefault(kind_of(single, subscription.private), []).append(Key(single, subscription.tunnel))
    return groups


def _is_carried(lane: Lane, number: int, key: Key) -> bool:
    """Whether the connection of a shard, or the one that it replaces, carries a key."""
    current = lane.connections.get(number)
    if current is None:  # it is looked at in the middle of a change
        return False
    old = lane.replaced_by(current)
    return current.is_active(key) or (old is not None and old.is_active(key))


def _uncarried(lane: Lane, connection: Carrier) -> list[Key]:
    """Return the keys of a connection that was lost, or of the one that replaces it, which no other one carries."""
    current = lane.replacement_of(connection) or connection
    numbers = [number for number, other in lane.connections.items() if other is current]
    return [key for number in numbers for key in lane.shards.keys(number) if not _is_carried(lane, number, key)]


def _do(actions: list[Action]) -> None:
    """Do what was decided. Where a signal's handler raises in between, the rest is done before the error goes on.

    What it has interrupted is done again, which each action allows.
    """
    left = list(actions)
    try:
        while left:
            left[0]()
            del left[0]
    except BaseException:
        for action in left:
            with guarded("a connection could not be told what to do"):
                action()
        raise
