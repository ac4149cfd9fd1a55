"""Observers see everything that a stream's subscriptions and books get. A recorder is one.

Their methods are called on the I/O threads and on the threads that fetch snapshots, without a lock held. They must not
wait. An error that one of them raises is logged; it does not affect the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..events import Event
from ..exceptions import KucoinSyncError
from ..internal.guard import is_interrupt, log
from ..protocol.envelopes import Pushes
from ..protocol.session_events import TopicKey

__all__ = ["Observer", "tell_observers"]


class Observer(Protocol):
    """The calls that a stream makes to an observer; see `Client.add_observer`."""

    def on_messages(self, market: str, private: bool, pushes: Pushes) -> None:
        """Called before pushes are delivered to their subscriptions; in order, once for each push."""

    def on_subscribed(self, market: str, private: bool, keys: Iterable[TopicKey]) -> None:
        """Called when the server has confirmed keys."""

    def on_lost(self, market: str, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Called when no connection carries these public topics any more, because of `error`."""

    def on_event(self, event: Event) -> None:
        """Called with each event of the stream."""

    def on_snapshot(self, market: str, path: str, symbol: str, data: Any) -> None:
        """Called with each snapshot before its book gets it."""


def tell_observers(observers: Iterable[Observer], tell: Callable[[Observer], None]) -> None:
    """Call `tell` with each observer; log the error of one that raises."""
    for observer in observers:
        try:
            tell(observer)
        except BaseException as error:
            if is_interrupt(error):
                raise
            log(logging.ERROR, "%r has raised an error while it was told what a stream got", observer, error=error)
