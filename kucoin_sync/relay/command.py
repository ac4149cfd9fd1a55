"""Run a relay for a command line: until Ctrl-C, printing its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import Stream
from .relay import Relay

__all__ = ["run_relay"]


def run_relay(stream: Stream, url: str, say: Callable[[str], object], **options: Any) -> None:
    """Run a relay until KeyboardInterrupt; call `say` with each event, and at the end with the number of messages.

    Args:
        options: further arguments of `Relay`.

    Raises:
        ConnectionFailed: Redis refused the user, its certificate does not verify, or its URL is malformed.
        InvalidTopic: a topic can't be passed on.
    """
    relay = Relay(stream, url, on_event=lambda event: say(str(event)), **options)
    try:
        relay.run()
    except KeyboardInterrupt:
        pass  # Ctrl-C is the normal end
    finally:
        relay.close()
        numbers = relay.stats()
        say(f"{numbers['published']} messages passed on, {numbers['dropped']} dropped")
