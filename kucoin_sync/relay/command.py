"""A relay as a command runs it: until it is interrupted, telling what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import Stream
from .relay import Relay

__all__ = ["run_relay"]


def run_relay(stream: Stream, url: str, say: Callable[[str], object], **options: Any) -> None:
    """Relay until KeyboardInterrupt; `say` each event, and at the end how many messages were passed on.

    Args:
        options: those of `Relay`.

    Raises:
        ConnectionFailed: Redis refused the user, its certificate does not verify, or its URL is malformed.
        InvalidTopic: a topic can't be passed on.
    """
    relay = Relay(stream, url, on_event=lambda event: say(str(event)), **options)
    try:
        relay.run()
    except KeyboardInterrupt:
        pass  # the end is as wished
    finally:
        relay.close()
        numbers = relay.stats()
        say(f"{numbers['published']} messages passed on, {numbers['dropped']} dropped")
