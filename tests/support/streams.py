"""What tests of streams share: the events of a stream, limits, and the types of the fixtures that make streams."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kucoin_sync import Event, Limits, Stream
from kucoin_sync.testing import FaultProxy, KucoinServer

from .threads import LIMIT

__all__ = ["FAST", "Events", "MakeProxy", "MakeServer", "MakeStream", "gone"]

MakeProxy = Callable[[KucoinServer], FaultProxy]
MakeServer = Callable[..., KucoinServer]
MakeStream = Callable[..., Stream]

#: Limits for tests that connect often.
FAST = Limits(connections_per_minute=100_000)


class Events:
    """An `on_event` that remembers, and can be waited on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.all.append(event)
            self._changed.notify_all()

    def wait(self, kind: type[Event], count: int = 1, timeout: float = 10.0) -> Any:
        """Return the `count`-th event of a kind, waiting for it."""

        def found() -> list[Event]:
            return [event for event in self.all if isinstance(event, kind)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, timeout), (
                f"waited in vain for {count} x {kind.__name__}; there were {self.all}"
            )
            return found()[count - 1]


def gone(server: KucoinServer, topic: str) -> None:
    """Wait until no connection has the topic."""
    server.wait_for(lambda s: not any(topic in each.topics for each in s.connections), LIMIT, "the end of a topic")
