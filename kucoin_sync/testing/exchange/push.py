"""What the exchange hands out, and the question whether anybody wants it.

Holds no state but the pushes that were not taken yet. Never writes to a socket: who takes a push sends it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Outbox", "Push", "Wants"]

Wants = Callable[[str], bool] | None

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Push(NamedTuple):
    """One message on its way to subscribers.

    `user` names the one account it is for when `private` is true; `extra` holds what stands beside `data` in
    the envelope (`sn`, `id`, `userId`, `channelType`).
    """

    topic: str
    subject: str
    data: dict[str, Any]
    user: str | None = None
    private: bool = False
    extra: Mapping[str, Any] = _NOTHING

    def message(self) -> dict[str, Any]:
        """Return the whole message as KuCoin words it."""
        return {
            "topic": self.topic,
            "type": "message",
            "subject": self.subject,
            **self.extra,
            "data": self.data,
        }


class Outbox:
    """Pushes in the order in which they came about, until somebody takes them."""

    def __init__(self) -> None:
        self.wants: Wants = None
        self.pushes: list[Push] = []

    def wanted(self, topic: str) -> bool:
        """Tell whether a push of this topic is worth rendering."""
        wants = self.wants
        return wants is None or wants(topic)

    def put_private(self, topic: str, subject: str, data: dict[str, Any], user: str, **extra: Any) -> None:
        """Add a push for one account."""
        envelope = {**extra, "userId": user, "channelType": "private"}
        self.pushes.append(Push(topic, subject, data, user, True, envelope))

    def take(self) -> list[Push]:
        """Return what is here and start anew."""
        taken, self.pushes = self.pushes, []
        return taken
