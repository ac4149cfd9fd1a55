"""The pushes of an exchange, and the check whether a push is wanted.

The only state is the pending pushes. Nothing here sends them; the caller of the exchange does.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Outbox", "Push", "Wants"]

Wants = Callable[[str], bool] | None

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Push(NamedTuple):
    """One message for subscribers.

    `user` is the account that gets a `private` push; `extra` holds further fields of the envelope (`sn`, `id`,
    `userId`, `channelType`; on the UTA feed `P`, `dp`, `t`).
    """

    topic: str
    subject: str
    data: Any
    user: str | None = None
    private: bool = False
    extra: Mapping[str, Any] = _NOTHING

    def message(self) -> dict[str, Any]:
        """Return the whole message in KuCoin's form: that of the UTA feed for its topics."""
        if self.topic.startswith("/uta/"):
            return {"T": self.subject, **self.extra, "d": self.data}
        return {
            "topic": self.topic,
            "type": "message",
            "subject": self.subject,
            **self.extra,
            "data": self.data,
        }


class Outbox:
    """The pending pushes in order, until they are taken."""

    def __init__(self) -> None:
        self.wants: Wants = None
        self.pushes: list[Push] = []

    def wanted(self, topic: str) -> bool:
        """Return whether a push of this topic is wanted."""
        wants = self.wants
        return wants is None or wants(topic)

    def put_private(self, topic: str, subject: str, data: dict[str, Any], user: str, **extra: Any) -> None:
        """Add a push for one account."""
        envelope = {**extra, "userId": user, "channelType": "private"}
        self.pushes.append(Push(topic, subject, data, user, True, envelope))

    def put_uta(self, topic: str, subject: str, data: Any, now_ns: int, user: str | None = None, **extra: Any) -> None:
        """Add a push of the UTA feed, for one account or for all."""
        self.pushes.append(Push(topic, subject, data, user, user is not None, {"P": now_ns, **extra}))

    def take(self) -> list[Push]:
        """Return the pending pushes, and forget them."""
        taken, self.pushes = self.pushes, []
        return taken
