"""Send pushes to subscribers. Each push is encoded once, and sent once to each connection and tunnel.

Publishing takes only the send locks of the connections, one at a time. A client that stalls delays the others once, by
the send timeout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from .catalogue import Catalogue
from .connection import Connection
from .frames import frame
from .index import Index
from .limits import Clock
from .scripting import Scripting

__all__ = ["Outgoing", "Publisher", "Pushed", "classic_message", "uta_message"]

_CHUNK = 512
_encode = msgspec.json.Encoder().encode


class Outgoing(Protocol):
    """The parts of a push, as the simulated exchange makes it.

    `user` is the account that gets it; `extra` holds further fields of the envelope.
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
    """A push that a test makes; see `Outgoing`."""

    topic: str
    data: Any
    subject: str | None = None
    user: str | None = None
    extra: Mapping[str, Any] = {}


class Publisher:
    """Send pushes.

    `own_names` holds prefixes of topics. A push of such a topic goes only to subscriptions of exactly this name.
    """

    def __init__(
        self,
        index: Index,
        catalogue: Catalogue,
        script: Scripting,
        clock: Clock,
        own_names: frozenset[str] = frozenset(),
    ) -> None:
        self._clock = clock
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
        uta = topic.startswith("/uta/")
        exact = uta or topic.partition(":")[0] in self._own_names
        namespaces: dict[tuple[Connection, str | None], None] = {}
        for subscription, test in routes:
            if exact and subscription.topic != topic:
                continue
            if subscription.accepts(push.user) and (test is None or test(push)):
                namespaces[subscription.connection, subscription.tunnel] = None
        copies = 2 if self._script.repeats(topic) else 1
        for _ in range(copies):
            yield from self._uta_frames(push, namespaces) if uta else self._classic_frames(push, namespaces)

    def _classic_frames(
        self, push: Outgoing, namespaces: Iterable[tuple[Connection, str | None]]
    ) -> Iterator[tuple[Connection, bytes]]:
        topic = push.topic
        personal = "channelType" not in push.extra and (push.user is not None or self._catalogue.is_private(topic))
        encoded: dict[tuple[str | None, str | None], bytes] = {}
        for connection, tunnel in namespaces:
            variant = (tunnel, connection.user if personal else None)
            if variant not in encoded:
                encoded[variant] = frame(_encode(classic_message(push, *variant)))
            yield connection, encoded[variant]

    def _uta_frames(
        self, push: Outgoing, namespaces: Iterable[tuple[Connection, str | None]]
    ) -> Iterator[tuple[Connection, bytes]]:
        data = _encode(uta_message(push, int(self._clock.wall() * 1e9)))
        encoded: dict[int, bytes] = {}
        for connection, _ in namespaces:
            if connection.opcode not in encoded:
                encoded[connection.opcode] = frame(data, connection.opcode)
            yield connection, encoded[connection.opcode]


def classic_message(push: Outgoing, tunnel: str | None = None, user: str | None = None) -> dict[str, Any]:
    """Return a push in the form of the classic feed."""
    message: dict[str, Any] = {"topic": str(push.topic), "type": "message"}  # JSON can't encode a `TopicName`
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


_DEPTHS = ("1", "5", "50")
_PUSHED_AS = {"order": "orderAll", "position": "positionAll"}


def uta_message(push: Outgoing, now_ns: int) -> dict[str, Any]:
    """Return a push in the form of the UTA feed: `T`, `P` (the time of the push) and `d`.

    `T` is the push's subject, or what the documentation names for the topic. The members in `extra` come before `d`
    and replace those of the same name. A push of an order book has its depth (`dp`) and its kind (`t`).
    """
    channel, _, argument = push.topic.removeprefix("/uta/").partition(":")
    name, dot, account = channel.rpartition(".")
    subject = f"{_PUSHED_AS.get(name, name)}{dot}{account}"
    if channel == "callAuctionInfo":
        subject = "callAuctionInfo.SPOT"
    message: dict[str, Any] = {"T": subject if push.subject is None else push.subject, "P": now_ns}
    if channel == "callAuctionInfo":
        message["t"] = "snapshot"
    if name == "obu":
        depth = argument.rpartition("_")[2]
        message["dp"] = depth
        message["t"] = "snapshot" if depth in _DEPTHS else "delta"
    message.update(push.extra)
    message["d"] = push.data
    return message
