"""The subscriptions of a stream: the calls of the stream's users, and the state that a forked child starts from."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from ..delivery.latency import measure_latency
from ..delivery.observer import tell_observers
from ..delivery.staleness import SilenceWatch
from ..delivery.subscription import Subscription
from ..events import Event
from ..exceptions import StreamClosed
from ..internal.check_thread import CheckThread
from ..internal.fork import FirstUse
from ..internal.guard import log
from ..internal.signals import is_reentrant
from ..protocol.session_events import TopicKey
from ..topics import grammar
from .actions import Action, run
from .group import ConnectionGroup
from .groups import ConnectionGroups, Watcher
from .pending_subscribe import PendingSubscribe
from .source import Counts, MakeSource

__all__ = ["SubscriptionManager", "Watcher"]


class SubscriptionManager(ConnectionGroups):
    """The subscriptions of one stream, with the connection groups that carry them.

    Args:
        make, capacity, emit, redundancy: as in the base class.
        label: what the names of its threads end with.
    """

    def __init__(
        self,
        make: MakeSource,
        capacity: Callable[[str, bool], int],
        emit: Callable[[Event], None],
        label: str = "",
        redundancy: int = 1,
    ) -> None:
        self._label = label
        self._subscriptions: dict[Subscription, None] = {}  # set first: any thread may report a mismatch from now on
        topics = lambda: [topic for each in list(self._subscriptions) for topic in each.topics]  # noqa: E731
        super().__init__(make, capacity, emit, topics, redundancy)
        self.tells_silence = True  # False for a stream that is not live, such as a replay
        self.before_wait: Callable[[], object] | None = None  # called before a consumer waits
        self._silence = self._make_silence_thread()
        # The lock of the base class guards the following, and `_subscriptions`.
        self._dropped = 0  # by ended subscriptions
        self._unreadable = 0  # by ended subscriptions
        self._watches: dict[Subscription, SilenceWatch] = {}
        self._joining: dict[Subscription, int] = {}  # subscriptions whose `subscribe` still runs, with its thread
        self.first_use = FirstUse()  # pending in a forked child until it connects

    # In a forked child

    def after_fork(self, on_first_use: Callable[[], object]) -> None:
        """Drop the parent's connections in a forked child. The first use calls `on_first_use`, which calls `resume`.

        Only the subscriptions are kept; `resume` makes new groups for them. A subscription whose `subscribe` call was
        running on another thread of the parent is dropped, because that thread does not exist in the child.
        """
        self._lock = threading.Lock()  # a thread of the parent may hold the old one
        for connection in self._made:
            connection.after_fork()
        joining, here = self._joining, threading.get_ident()
        self._subscriptions = {
            subscription: None
            for subscription in self._subscriptions
            if subscription.topics and not subscription.closed and joining.get(subscription, here) == here
        }
        self._watches = {each: watch for each, watch in self._watches.items() if each in self._subscriptions}
        self._live_before |= {kind for kind, group in self._connection_groups.items() if group.was_live}
        self._connection_groups, self._made, self._joining = {}, [], {}
        self._silence = self._make_silence_thread()
        self._observers = ()  # a recorder, for example, writes to a file of the parent
        self._dropped = self._unreadable = 0
        self._mismatches.after_fork()
        if self.recovery is not None:
            self.recovery.after_fork()
        self.closed = False
        self.first_use.after_fork(on_first_use)
        for subscription in self._subscriptions:
            subscription.message_queue.alert = True  # has a consumer that finds nothing call `first_use`

    def resume(self) -> list[Subscription]:
        """Subscribe everything that the parent had; return the subscriptions. A second call does nothing."""
        with self._lock:
            if not self.first_use.pending or self.closed:
                self.first_use.done()
                return []
            subscriptions = list(self._subscriptions)
            now = time.monotonic()
            for watch in self._watches.values():
                watch.begin(now)
            if self._watches:
                self._silence.look()
            actions = self._carry_all(subscriptions)
            self.first_use.done()
        log(
            logging.INFO,
            "this process was forked: its stream dials on its own now, for %d subscriptions",
            len(subscriptions),
        )
        run(actions)
        return subscriptions

    def _carry_all(self, subscriptions: list[Subscription]) -> list[Action]:
        """Place all topics, those of a tunnel together; return the actions that subscribe them (under the lock)."""
        tunnels: dict[tuple[ConnectionGroup, str], list[TopicKey]] = {}
        for subscription in subscriptions:
            if subscription.tunnel is not None:
                for group, keys in self._keys_by_group(subscription).items():
                    tunnels.setdefault((group, subscription.tunnel), []).extend(keys)
        actions: list[Action] = []
        with ExitStack() as undo:
            for (group, tunnel), keys in tunnels.items():
                actions += group.reserve(tunnel, keys, undo)
            for subscription in subscriptions:
                for group, keys in self._keys_by_group(subscription).items():
                    actions += group.add(subscription, keys, PendingSubscribe(), undo)
            undo.pop_all()
        return actions

    def _keys_by_group(self, subscription: Subscription) -> dict[ConnectionGroup, list[TopicKey]]:
        """Return the keys of a subscription by the group that is to carry them (under the lock)."""
        found: dict[ConnectionGroup, list[TopicKey]] = {}
        for single in subscription.topics:
            private = grammar.is_private(single) or bool(subscription.private)
            group = self._group(grammar.market_of(single), private)
            found.setdefault(group, []).append(TopicKey(single, subscription.tunnel))
        return found

    # For the stream

    def add(self, subscription: Subscription, stale_after: float | None) -> PendingSubscribe:
        """Subscribe the topics of a subscription; return the pending call to wait for.

        If this raises, nothing has changed. The caller must call `joined` after the wait, whatever its result.
        """
        self.first_use()
        call = PendingSubscribe()
        actions: list[Action] = []
        with self._lock, ExitStack() as undo:
            if self.closed:
                raise StreamClosed("the stream is closed; make a new one to subscribe")
            keys_by_group = self._keys_by_group(subscription)
            self._joining[subscription] = threading.get_ident()
            self._subscriptions[subscription] = None
            undo.callback(self._forget, subscription)
            for group, keys in keys_by_group.items():
                actions += group.add(subscription, keys, call, undo)
            if stale_after is not None and self.tells_silence:
                self._watches[subscription] = SilenceWatch(subscription, stale_after, time.monotonic())
                self._silence.look()
            undo.pop_all()
            call.done_if_nothing_outstanding()
        try:
            run(actions)
        except BaseException:
            self.end(subscription)
            for group in keys_by_group:
                for connection in group.all_connections():
                    self.idle(connection)
            raise
        return call

    def joined(self, subscription: Subscription) -> None:
        """Note that the `subscribe` call of a subscription has ended, with or without success."""
        self._joining.pop(subscription, None)

    def unsubscribe(self, topic: str, tunnel: str | None = None) -> None:
        """Remove topics, by name, from all subscriptions of a tunnel, or outside of tunnels."""
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

    def close_tunnel(self, name: str) -> None:
        """End all subscriptions of a tunnel."""
        with self._lock:
            ended = [each for each in self._subscriptions if each.tunnel == name]
            for subscription in ended:
                subscription.withhold(subscription.topics)
            for group in self._connection_groups.values():
                group.close_tunnel(name)
        self._finish(ended)
        for subscription in ended:
            subscription.wait_for_call()

    def end(self, subscription: Subscription) -> None:
        self.remove(subscription, subscription.topics)

    def remove(self, subscription: Subscription, singles: tuple[str, ...]) -> None:
        """Remove topics from a subscription; end it if none are left."""
        with self._lock:
            for group in self._connection_groups.values():
                group.remove(subscription, singles)
            ends = set(subscription.topics) <= set(singles)
            if not ends:
                subscription.drop_topics(set(singles))
        if ends:
            self._finish([subscription])

    def _finish(self, subscriptions: list[Subscription]) -> None:
        """End subscriptions, whose topics are removed; forget them last."""
        run(partial(subscription.message_queue.finish, None) for subscription in subscriptions)
        with self._lock:
            for subscription in subscriptions:
                self._forget(subscription)

    def carrying(self) -> dict[tuple[str, bool], list[TopicKey]]:
        """Return the keys that the server has confirmed, by (market, private)."""
        with self._lock_for_reading():
            return {kind: group.carried() for kind, group in list(self._connection_groups.items())}

    @property
    def count(self) -> int:
        """The number of open subscriptions."""
        return len(self._subscriptions)

    @property
    def subscriptions(self) -> list[Subscription]:
        """The open subscriptions, including those of books."""
        with self._lock:
            return list(self._subscriptions)

    def close(self) -> list[threading.Thread]:
        """Close everything without waiting; return the threads that will end.

        If an earlier call was interrupted, this one completes it. So do the other methods that end something.
        """
        with self._lock:
            self.closed = True
            subscriptions = list(self._subscriptions)
            calls = {call for group in self._connection_groups.values() for call in group.waiting()}
            connections = list(self._made)
        for subscription in subscriptions:
            subscription.withhold(subscription.topics)
            subscription.message_queue.finish(None)
        for call in calls:
            call.fail(StreamClosed("the stream was closed while a subscription waited for its confirmation"))
        for connection in connections:
            connection.close()
        self._silence.close()
        recovering = [] if self.recovery is None else self.recovery.close()
        return [*(connection.thread for connection in connections), *self._silence.threads, *recovering]

    def stats(self) -> dict[str, Any]:
        """Return plain numbers."""
        with self._lock_for_reading():
            groups, subscriptions = list(self._connection_groups.values()), list(self._subscriptions)
            queues = [subscription.message_queue for subscription in subscriptions]
            sources = [source for group in groups for source in group.all_connections()]
            latencies = [latency for source in sources if (latency := source.counts.pong_latency) is not None]
            gates = [gate for group in groups if (gate := group.dispatcher.gate) is not None]
            total = Counts()
            for counts in (*(group.past for group in groups), *(source.counts for source in sources)):
                total.add(counts)
            numbers = {
                "messages": total.messages,
                "bytes": total.bytes,
                "dropped": self._dropped + sum(queue.dropped for queue in queues),
                "pending": sum(map(len, queues)),
                "subscriptions": len(subscriptions),
                "topics": sum(len(group.assignment) for group in groups),
                "connections": len(sources),
                "redundant_topics": sum(group.dispatcher.redundant for group in groups) if self._redundancy > 1 else 0,
                "copies": sum(group.dispatcher.copies for group in groups),
                "recovered": sum(gate.recovered for gate in gates),
                "recoveries_incomplete": sum(gate.incomplete for gate in gates),
                "connects": total.connects,
                "reconnects": total.reconnects,
                "disconnects": total.disconnects,
                "failed_attempts": total.failures,
                "unreadable": self._unreadable
                + total.unreadable
                + sum(group.dispatcher.unreadable for group in groups)
                + sum(queue.decoder.unreadable for queue in queues),
                "unknown_types": total.unknown,
                "unrouted": sum(group.dispatcher.unrouted for group in groups),
                "misfits": self._mismatches.count,  # a public name, older than the word mismatch
                "pong_latency": max(latencies, default=None),
            }
            waiting = [push for queue in queues if (push := queue.oldest()) is not None]
            newest = [push for group in groups if (push := group.dispatcher.newest) is not None]
        return {**numbers, **measure_latency(waiting, newest, time.time_ns())}  # decodes, hence outside the lock

    def on_snapshot(self, market: str, path: str, symbol: str, data: Any) -> None:
        """Tell the observers about the snapshot of a book (on the thread that fetched it)."""
        tell_observers(self._observers, lambda observer: observer.on_snapshot(market, path, symbol, data))

    def _make_silence_thread(self) -> CheckThread:
        purpose = "subscriptions could not be checked for silence"
        return CheckThread(self._check_silence, name=f"kucoin-silence{self._label}", purpose=purpose)

    def _check_silence(self, now: float) -> float:
        """Emit the due `Stale` events; return the time of the next check."""
        with self._lock:
            events = [event for watch in self._watches.values() if (event := watch.check(now))]
            next_at = min((watch.check_at for watch in self._watches.values()), default=math.inf)
        for event in events:
            self.emit(event)
        return next_at

    def _lock_for_reading(self) -> AbstractContextManager[object]:
        """Return the lock, or a context that does nothing if the caller may hold the lock already.

        Such a caller may see a half-made change.
        """
        return nullcontext() if is_reentrant() else self._lock

    def _forget(self, subscription: Subscription) -> None:
        """Remove an ended subscription; keep its counts (under the lock)."""
        subscription.keep_alive = None
        self._watches.pop(subscription, None)
        if subscription in self._subscriptions:
            dropped, unreadable = subscription.dropped, subscription.message_queue.decoder.unreadable
            # No signal handler runs between the following.
            self._dropped += dropped
            self._unreadable += unreadable
            del self._subscriptions[subscription]

    def _forget_ended(self) -> None:
        for subscription in [subscription for subscription in self._subscriptions if not subscription.topics]:
            self._forget(subscription)
