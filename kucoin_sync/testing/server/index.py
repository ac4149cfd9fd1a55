"""Who subscribed to what: from a pushed topic to the subscriptions that it is for, in one step.

The matching rules are those of `topics.routing`. Written to under the server's lock. Most pushes carry the
topic that was subscribed and are found without it; the others are looked up under it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ...topics.routing import Route, Router

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Index", "Subscription"]


class Subscription:
    """One single topic of one connection, in a tunnel or outside (None).

    `personal` is whether it gets only what is for its own account (`privateChannel` of a topic that has both).
    """

    __slots__ = ("connection", "personal", "topic", "tunnel")

    def __init__(self, connection: Connection, tunnel: str | None, topic: str, personal: bool) -> None:
        self.connection = connection
        self.tunnel = tunnel
        self.topic = topic
        self.personal = personal

    def accepts(self, user: str | None) -> bool:
        """Whether a push for `user` (None: for everybody) is for this subscription."""
        return not self.personal if user is None else self.connection.user == user


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
