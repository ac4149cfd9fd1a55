"""Detect subscriptions that get no messages. KuCoin confirms symbols that do not exist and then sends nothing.

A stream checks that on a thread of its own. An I/O thread cannot do it: while it dials, waits for its next attempt or
resolves a name, no messages come and the watch matters most.
"""

from __future__ import annotations

from ..events import Stale
from .subscription import Subscription

__all__ = ["SilenceWatch"]


class SilenceWatch:
    """Reports once per episode that a subscription got no message for `seconds`."""

    def __init__(self, subscription: Subscription, seconds: float, now: float) -> None:
        self.subscription = subscription
        self._seconds = seconds
        self._since = now
        self._told = False
        self._heard = False
        subscription.notify(self._note)

    def begin(self, now: float) -> None:
        """Start the time at `now`."""
        self._since, self._told, self._heard = now, False, False

    @property
    def check_at(self) -> float:
        """The time at which `check` may return an event."""
        return self._since + self._seconds

    def check(self, now: float) -> Stale | None:
        """Return a `Stale` event if one is due at `now`, else None."""
        if self._heard:
            # To keep delivery fast, the time of the last message is not recorded. The time restarts at this check.
            self._heard, self._told, self._since = False, False, now
            return None
        if now < self.check_at:
            return None
        silent, self._since = self._seconds, now
        if self._told or self.subscription.closed:
            return None
        self._told = True
        return Stale(self.subscription.topics, silent)

    def _note(self) -> None:
        self._heard = True
