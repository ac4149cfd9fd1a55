"""An index from pushed topics to subscriptions.

The matching rules are those of `topics.routing`. Changes hold the server's lock. Most pushes have the topic that was
subscribed, which is found without the lock; other topics are looked up under it.
"""

from __future__ import annotations

import threading

from ...topics.routing import Route, Router
from .connection import Subscription

__all__ = ["Index"]


class Index:
    """The subscriptions of all connections."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock  # the server's lock, for changes and for topics without an exact entry
        self._router: Router[Subscription] = Router()

    def add(self, subscription: Subscription) -> None:
        """Add a subscription."""
        with self._lock:
            self._router.add(subscription.topic, subscription)

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription."""
        with self._lock:
            self._router.remove(subscription.topic, subscription)

    def find(self, topic: str) -> tuple[Route[Subscription], ...]:
        """Return the subscriptions that may match a pushed topic, each with a test for the push."""
        routes = self._router.exact.get(topic)
        if routes is not None:
            return routes
        with self._lock:
            return self._router.find(topic)

    def wants(self, topic: str) -> bool:
        """Return whether a topic is subscribed under exactly this name."""
        return topic in self._router.exact

    def count(self, single: str) -> int:
        """Return the number of subscriptions to a single topic."""
        return len(self._router.sinks(single))
