"""The subscriptions that get the changes of a local book or a local account."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from ..exceptions import SlowConsumer, StreamClosed
from .overflow import queue_for
from .subscription import Subscription

__all__ = ["Listeners"]


class Listeners:
    """Makes subscriptions to the changes of one thing, such as a book.

    A subscription without a callback lives only while its consumer holds it: there is only a weak reference to it here.
    A subscription with a callback is kept alive. Not thread-safe: the lock of that thing guards it.

    Args:
        name: the thing, for errors.
        kind: what it is, such as "book".
    """

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind
        self._refs: tuple[weakref.ref[Subscription[Any]], ...] = ()
        self._with_callback: list[Subscription[Any]] = []

    def __len__(self) -> int:
        return len(self._refs)

    def make(
        self,
        maxsize: int,
        callback: Callable[[Any], object] | None,
        close: Callable[[Subscription[Any]], None],
        overflowed: Callable[[tuple[str, ...], int], None],
    ) -> Subscription[Any]:
        """Return a new subscription, which gets changes once it is added.

        Args:
            maxsize: changes that may wait in it.
            callback: called with each change, None for a consumer that iterates.
            close: called when the subscription is closed.
            overflowed: called with its topics and the number of dropped changes when it overflows.
        """
        name, kind = self._name, self._kind

        def slow(dropped: int) -> SlowConsumer:
            return SlowConsumer(
                f"{dropped} changes of {name} were dropped because {maxsize} were waiting already; take them faster, "
                f"or raise maxsize; the {kind} itself has them all",
                dropped=dropped,
            )

        message_queue = queue_for("raise", maxsize, lambda dropped: overflowed((name,), dropped), slow)
        on_message: Any = callback
        return Subscription[Any]((name,), message_queue, close=close, callback=on_message)

    def add(self, subscription: Subscription[Any]) -> None:
        """Put changes into a subscription from now on."""
        self._refs = tuple(weakref.ref(each) for each in (*self.alive(), subscription))
        if subscription.callback is not None:
            self._with_callback.append(subscription)

    def remove(self, subscription: Subscription[Any]) -> None:
        """Put no more changes into a subscription."""
        self._refs = tuple(weakref.ref(each) for each in self.alive() if each is not subscription)
        self._with_callback = [each for each in self._with_callback if each is not subscription]

    def end(self, error: Exception) -> list[Subscription[Any]]:
        """End and remove all subscriptions, because the thing has ended with `error`; return them.

        `StreamClosed` ends them without an error, and no callback is called any more.
        """
        requested = isinstance(error, StreamClosed)
        listeners = self.alive()
        for listener in listeners:
            if requested:
                listener.withhold(listener.topics)
            listener.message_queue.finish(None if requested else error)
        self._refs = ()
        return listeners

    def finish(self) -> None:
        """End the subscriptions after the changes that they already have."""
        for listener in self.alive():
            listener.message_queue.finish(None)

    def alive(self) -> list[Subscription[Any]]:
        """Return the subscriptions that still exist."""
        return [listener for each in self._refs if (listener := each()) is not None]

    @property
    def with_callback(self) -> tuple[Subscription[Any], ...]:
        """The subscriptions with a callback."""
        return tuple(self._with_callback)

    def free_capacity(self) -> float:
        """Return the number of changes that all subscriptions have room for."""
        return min((listener.message_queue.room() for listener in self.alive()), default=math.inf)

    def put(self, changes: Iterable[Any]) -> None:
        """Put changes into all subscriptions."""
        alive = self.alive()
        if len(alive) != len(self._refs):
            self._refs = tuple(map(weakref.ref, alive))
        for change in changes:
            for listener in alive:
                listener.put(change if listener is alive[0] else change.with_lost(0))  # each gets its own object
