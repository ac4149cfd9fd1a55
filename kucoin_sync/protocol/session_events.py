"""The events of a session, and the meanings of KuCoin's error answers.

The error texts come from KuCoin's documentation ("Error code" of the WebSocket feed) and from observed answers. The
code is not enough to tell them apart: code 509 has five meanings.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..exceptions import KucoinSyncError

__all__ = [
    "Acked",
    "ConnectionFull",
    "Proved",
    "Refused",
    "ServerError",
    "SessionEvent",
    "TopicKey",
    "Welcomed",
    "classify_error",
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


class Refused(NamedTuple):
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


SessionEvent = Welcomed | Acked | Refused | ConnectionFull | Proved | ServerError


# The meaning of an error answer, by its text. The first match counts.
_MEANINGS = (
    ("full", re.compile(r"limitation of \d+ per session", re.I)),
    ("split", re.compile(r"limitation of \d+ per time", re.I)),
    ("pace", re.compile(r"permits per second", re.I)),
    ("busy", re.compile(r"service busy|session count limitation|retry later|system error", re.I)),
    ("token", re.compile(r"token is (invalid|expired)|token .*expired", re.I)),
    ("idle", re.compile(r"ping timeout", re.I)),
)


def classify_error(code: int, reason: str) -> str:
    """Return what an error answer means: full, split, pace, busy, token, idle or refused."""
    for found, pattern in _MEANINGS:
        if pattern.search(reason):
            return found
    return {401: "token", 500: "busy", 509: "pace"}.get(code, "refused")
