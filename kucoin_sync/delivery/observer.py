"""Who wants to have all that a stream's subscriptions and books get, beside them: such as a recorder.

Its methods are called where things happen, on I/O threads and on those that fetch snapshots, without any lock held.
They must not wait. What they raise is logged and costs nobody else anything.
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

__all__ = ["Observer", "tell_taps"]


class Observer(Protocol):
    """What a stream tells; see `Client.add_tap`."""

    def brought(self, market: str, private: bool, pushes: Pushes) -> None:
        """These are about to be given to their subscriptions, in this order, each of them once."""

    def carried(self, market: str, private: bool, keys: Iterable[TopicKey]) -> None:
        """The server sends these from now on."""

    def lost(self, market: str, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """There is no connection that carries these public topics, because of `error`."""

    def told(self, event: Event) -> None:
        """A connection has told of itself."""

    def fetched(self, market: str, path: str, symbol: str, data: Any) -> None:
        """A book's snapshot has come, and is about to be given to the book."""


def tell_taps(taps: Iterable[Observer], tell: Callable[[Observer], None]) -> None:
    """Tell each of the taps; log what one of them raises."""
    for tap in taps:
        try:
            tell(tap)
        except BaseException as error:
            if is_interrupt(error):
                raise
            log(logging.ERROR, "%r has raised where it was told what a stream got", tap, error=error)
