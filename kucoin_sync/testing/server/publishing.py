"""Pushes on their way to whoever subscribed: each is encoded once and goes once to each connection and tunnel.

Takes no lock but those of the connections it sends on, one at a time, so publishing to one client waits for no
other one, except where that one has stalled: then for the send timeout, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from .catalogue import Catalogue
from .connection import Connection
from .frames import frame
from .index import Index
from .scripting import Scripting

__all__ = ["Outgoing", "Publisher", "Pushed"]

_CHUNK = 512
_encode = msgspec.json.Encoder().encode


class Outgoing(Protocol):
    """What a push consists of, as the simulated exchange makes them.

    `user` names the one account it is for; `extra` stands beside `data` in the envelope.
    """

    @property
    def topic(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def data(self) -> Any: ...
    @property
    def user(self) -> str | None: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


class Pushed(NamedTuple):
    """A push made by hand; see `Outgoing`."""

    topic: str
    data: Any
    subject: str | None = None
    user: str | None = None
    extra: Mapping[str, Any] = {}


class Publisher:
    """Send pushes.

    With `own_names`, prefixes of pushed topics, a push of one of these goes only to those who subscribed to it
    under that very name.
    """

    def __init__(
        self, index: Index, catalogue: Catalogue, script: Scripting, own_names: frozenset[str] = frozenset()
    ) -> None:
        self._index = index
        self._catalogue = catalogue
        self._script = script
        self._own_names = own_names

    def publish(self, push: Outgoing) -> int:
        """Send one push; return the number of frames sent."""
        return sum(connection.send_frames(data) for connection, data in self._frames(push))

    def publish_many(self, pushes: Iterable[Outgoing]) -> int:
        """Send pushes in order, several in one system call; return the number of frames sent."""
        rest = iter(pushes)
        sent = 0
        while chunk := list(islice(rest, _CHUNK)):
            waiting: dict[Connection, list[bytes]] = {}
            for push in chunk:
                for connection, data in self._frames(push):
                    waiting.setdefault(connection, []).append(data)
            sent += sum(
                len(frames) for connection, frames in waiting.items() if connection.send_frames(b"".join(frames))
            )
        return sent

    def _frames(self, push: Outgoing) -> Iterable[tuple[Connection, bytes]]:
        topic = push.topic
        routes = self._index.find(topic)
        if not routes or self._script.skips(topic):
            return
        exact = topic.partition(":")[0] in self._own_names
        lanes: dict[tuple[Connection, str | None], None] = {}
        for subscription, test in routes:
            if exact and subscription.topic != topic:
                continue
            if subscription.accepts(push.user) and (test is None or test(push)):
                lanes[subscription.connection, subscription.tunnel] = None
        personal = "channelType" not in push.extra and (push.user is not None or self._catalogue.is_private(topic))
        encoded: dict[tuple[str | None, str | None], bytes] = {}
        for connection, tunnel in lanes:
            variant = (tunnel, connection.user if personal else None)
            if variant not in encoded:
                encoded[variant] = frame(_encode(_message(push, *variant)))
            yield connection, encoded[variant]


def _message(push: Outgoing, tunnel: str | None, user: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"topic": str(push.topic), "type": "message"}  # a `TopicName` is no JSON
    if push.subject is not None:
        message["subject"] = push.subject
    message.update(push.extra)
    if user is not None:
        message["userId"] = user
        message["channelType"] = "private"
    if tunnel is not None:
        message["tunnelId"] = tunnel
    message["data"] = push.data
    return message
