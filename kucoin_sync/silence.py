"""A watch over a subscription that stays silent: KuCoin confirms symbols that do not exist, and sends nothing.

No thread of its own: an I/O thread asks it when its time has come.
"""

from __future__ import annotations

from .events import Stale
from .sealed import Push, Pushes
from .subscription import Subscription

__all__ = ["SilenceWatch"]


class SilenceWatch:
    """Tells once per episode that nothing came for `seconds`; stands between routing and the subscription's inbox."""

    def __init__(self, subscription: Subscription, seconds: float, now: float) -> None:
        self.subscription = subscription
        self._seconds = seconds
        self._since = now
        self._told = False
        self._heard = False
        self._put = subscription.put
        self._put_many = subscription.put_many
        subscription.put = self._note
        subscription.put_many = self._note_many

    def begin(self, now: float) -> None:
        """Begin to count the time at `now`."""
        self._since, self._told, self._heard = now, False, False

    @property
    def check_at(self) -> float:
        """The instant at which `check` may have something to say."""
        return self._since + self._seconds

    def check(self, now: float) -> Stale | None:
        """Return the event to tell at `now`, None where there is none."""
        if self._heard:
            # When exactly the last message came is not kept, to keep its path short: the time starts again now.
            self._heard, self._told, self._since = False, False, now
            return None
        if now < self.check_at:
            return None
        silent, self._since = self._seconds, now
        if self._told or self.subscription.closed:
            return None
        self._told = True
        return Stale(self.subscription.topics, silent)

    def _note(self, push: Push) -> bool:
        self._heard = True
        return self._put(push)

    def _note_many(self, pushes: Pushes) -> None:
        self._heard = True
        self._put_many(pushes)
