"""The events that a session reports to its connection."""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import KucoinSyncError

__all__ = [
    "Acked",
    "ConnectionFull",
    "Proved",
    "ServerError",
    "SessionEvent",
    "TopicKey",
    "Unsubscribed",
    "Welcomed",
]


class TopicKey(NamedTuple):
    """One subscription on the connection: a single topic, in a tunnel or outside all tunnels (None)."""

    topic: str
    tunnel: str | None = None


class Welcomed(NamedTuple):
    """The server sent `welcome`; commands may be sent now."""


class Acked(NamedTuple):
    """The server confirmed these subscriptions."""

    keys: tuple[TopicKey, ...]


class Unsubscribed(NamedTuple):
    """The server answered an unsubscribe for these keys: it sends their messages no longer."""

    keys: tuple[TopicKey, ...]


class TopicRefused(NamedTuple):
    """The server refused one subscription; it will not be tried again."""

    key: TopicKey
    error: KucoinSyncError


class ConnectionFull(NamedTuple):
    """The connection cannot carry more topics; these topics need another connection."""

    keys: tuple[TopicKey, ...]


class Proved(NamedTuple):
    """The server has answered a ping that was sent for `Session.prove`.

    All messages have been read that the server sent before the proofs up to `number` were asked for.
    `answered` is False if the answer is overdue.
    """

    number: int
    answered: bool


class ServerError(NamedTuple):
    """The server sent an error that belongs to no command."""

    code: int
    reason: str


SessionEvent = Welcomed | Acked | Unsubscribed | TopicRefused | ConnectionFull | Proved | ServerError
