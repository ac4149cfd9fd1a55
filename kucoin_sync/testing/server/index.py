"""Who subscribed to what: from a pushed topic to the subscriptions that it is for, in one step.

The matching rules are those of `topics.routing`. Written to under the server's lock. Most pushes carry the
topic that was subscribed and are found without it; the others are looked up under it.
"""

from __future__ import annotations

import threading

from ...topics.routing import Route, Router
from .connection import Subscription

__all__ = ["Index"]


class Index:
    """The subscriptions of all connections."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock  # the server's; held for changes and for what is not found at once
        self._router: Router[Subscription] = Router()

    def add(self, subscription: Subscription) -> None:
        """Take note of a subscription."""
        with self._lock:
            self._router.add(subscription.topic, subscription)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._lock:
            self._router.remove(subscription.topic, subscription)

    def find(self, topic: str) -> tuple[Route[Subscription], ...]:
        """Return the subscriptions that a pushed topic may be for, each with the test that a push must pass."""
        routes = self._router.exact.get(topic)
        if routes is not None:
            return routes
        with self._lock:
            return self._router.find(topic)

    def wants(self, topic: str) -> bool:
        """Whether anybody subscribed to a topic under this very name."""
        return topic in self._router.exact

    def count(self, single: str) -> int:
        """Return how many subscriptions a single topic has."""
        return len(self._router.sinks(single))
