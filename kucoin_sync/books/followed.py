"""What a local book and a local account share: their locks, how they end, and who gets their changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..delivery.listeners import Listeners
from ..delivery.subscription import Subscription
from ..exceptions import StreamClosed
from ..internal.signals import run_or_defer
from .locks import BookLocks

__all__ = ["Followed"]


class Followed(BookLocks):
    """Something that follows the exchange and has listeners to its changes. The lock guards the attributes below.

    Attributes:
        ended: the error that ended it, None while it lives. `StreamClosed` means that the user asked for it.
        keep_alive: an object that must exist while a callback gets the changes.
    """

    def __init__(self, name: object, listeners: Listeners) -> None:
        super().__init__(name)
        self.ended: Exception | None = None
        self.keep_alive: object = None
        self._listeners = listeners

    def listen(self, maxsize: int, callback: Callable[[Any], object] | None = None) -> Subscription[Any]:
        """Return a subscription that gets the changes from now on.

        Without a callback it gets them only while the caller holds it.
        """
        self.first_use()
        subscription = self._listeners.make(maxsize, callback, self._remove_listener, self._on_overflow)
        subscription.message_queue.first_use = self.first_use
        subscription.message_queue.before_wait = self.before_wait
        subscription.waits_for_itself = self.waits_for_itself
        run_or_defer(partial(self.under_lock, partial(self._add_listener, subscription)))
        return subscription

    def _on_overflow(self, topics: tuple[str, ...], dropped: int) -> None:
        """Note that a listener is too slow (under the lock)."""
        raise NotImplementedError

    def _add_listener(self, subscription: Subscription[Any]) -> None:
        if self.ended is not None:
            subscription.message_queue.finish(None if isinstance(self.ended, StreamClosed) else self.ended)
        self._listeners.add(subscription)

    def _remove_listener(self, subscription: Subscription[Any]) -> None:
        self.under_lock(partial(self._listeners.remove, subscription))
        subscription.message_queue.finish(None)

    def _end(self, error: Exception) -> tuple[bool, list[Subscription[Any]]]:
        """Note the end, and end the listeners; return whether it is the first end, and the listeners (under lock)."""
        first = self.ended is None
        if first:
            self.ended, self.keep_alive = error, None
        listeners = self._listeners.end(self.ended or error)
        self._wake_waiting()
        return first, listeners

    @property
    def callback_listeners(self) -> tuple[Subscription[Any], ...]:
        """The listeners with a callback."""
        return self._listeners.with_callback

    def alert_listeners(self) -> None:
        """Have consumers that find nothing call `first_use`, in a forked child."""
        for listener in self._listeners.alive():
            listener.message_queue.alert = True
