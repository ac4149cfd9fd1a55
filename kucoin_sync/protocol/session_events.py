"""What a session finds out for its owner, and what the server's error answers mean.

Source of the texts: KuCoin's documentation ("Error code" of the WebSocket feed) and observed answers; code 509
alone has five meanings.
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
    """One wanted wire subscription: a single topic, in a tunnel or outside (None)."""

    topic: str
    tunnel: str | None = None


class Welcomed(NamedTuple):
    """The server said welcome; commands may go."""


class Acked(NamedTuple):
    """The server confirmed these subscriptions."""

    keys: tuple[TopicKey, ...]


class Refused(NamedTuple):
    """The server refused one subscription for good."""

    key: TopicKey
    error: KucoinSyncError


class ConnectionFull(NamedTuple):
    """The connection carries no more topics; these have to go to another one."""

    keys: tuple[TopicKey, ...]


class Proved(NamedTuple):
    """The server has answered a ping: all is read that it sent before the requests up to a number; see `Session.prove`.

    `answered` is false where the answer is overdue.
    """

    number: int
    answered: bool


class ServerError(NamedTuple):
    """The server sent an error that belongs to no command."""

    code: int
    reason: str


SessionEvent = Welcomed | Acked | Refused | ConnectionFull | Proved | ServerError


# What an error answer means, by its text; the first that matches counts.
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
