"""The interface between a feed's dialect and the code that works with any dialect.

A dialect says how to get the URL of a connection, what a frame means, and how a command is written. It keeps no state:
one object serves all connections. `classic` is the dialect of KuCoin's classic feed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from ..credentials import Credentials
from ..limits import Limits
from .envelopes import FrameBatch, Push
from .message import Arrival, RawPush

__all__ = ["Answer", "ControlFrame", "Dialect", "FrameReader", "Server"]

_MAX_LEARNED = 4096  # envelope prefixes
_MIN_FORGOTTEN = 256  # unsubscribed topics before the prefixes are learned again
_MAX_SKIPPED = 1000  # frames between two attempts to learn


class Server(NamedTuple):
    """A WebSocket endpoint.

    Attributes:
        ping_interval, ping_timeout: seconds; a welcome may say otherwise.
        token: what the URL must have to be accepted, "" if nothing. It is a secret.
    """

    endpoint: str
    ping_interval: float
    ping_timeout: float
    token: str = ""

    def __repr__(self) -> str:
        return f"Server({self.endpoint!r}, {self.ping_interval!r}, {self.ping_timeout!r})"


class Answer(NamedTuple):
    """A frame that is not a push.

    Attributes:
        kind: "welcome", "pong", "ack" or "error"; anything else is counted as unknown.
        command_id: the id of the command that it answers, "" without one.
        code, reason: of an error; the code is 0 if there is none.
        meaning: of an error: "full" (the connection takes no more topics), "split" (too many topics in one command),
            "pace" (too many commands), "busy" (try again later), "token" (the connect token is refused), "idle" (no
            ping came), "clock" (the time of a login is refused), or "refused".
        ping_interval, ping_timeout: seconds, if a welcome says them.
    """

    kind: str
    command_id: str = ""
    code: int = 0
    reason: str = ""
    meaning: str = ""
    ping_interval: float | None = None
    ping_timeout: float | None = None


class ControlFrame(msgspec.Struct):
    """A frame that is not a push. A dialect's own class adds the members that its answers have."""

    id: Any = None
    code: Any = None

    @property
    def command_id(self) -> str:
        """The id of the command as text, "" if there is none."""
        return "" if self.id is None else str(self.id)

    @property
    def status(self) -> int:
        """The error code as a number, 0 if it is missing or not a number."""
        try:
            return int(self.code or 0)
        except (TypeError, ValueError, OverflowError):
            return 0


class FrameReader:
    """Makes pushes of the frames of one connection. It learns from decoded frames how to find the next ones."""

    def __init__(self) -> None:
        self._learned = 0  # envelope prefixes
        self._forgotten = 0  # topics that were unsubscribed since learning began
        self._skipped = 0  # frames since the last attempt to learn
        self._to_skip = 0  # frames to skip before the next attempt

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:
        """Return the frames of one read as pushes, or None unless all envelope prefixes are known.

        This is on the path of every message, and may run while another thread calls the other methods.
        """
        raise NotImplementedError

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        """Return the push of a frame. Raise one of `message.UNREADABLE` if it is not a push, or malformed."""
        raise NotImplementedError

    def forget(self, topics: int) -> None:
        """Note that so many topics were unsubscribed. Begin again once most of what was learned may be theirs."""
        self._forgotten += topics
        if self._forgotten > max(_MIN_FORGOTTEN, self._learned // 2):
            self._begin_again()

    def _begin_again(self) -> None:
        """Forget what was learned; a subclass does more."""
        self._learned = self._forgotten = 0

    def _may_learn(self) -> bool:
        """Return whether to try to learn from a decoded frame: after a failure twice as many are skipped."""
        self._skipped += 1
        if self._skipped <= self._to_skip:
            return False
        self._skipped, self._to_skip = 0, min(2 * self._to_skip + 1, _MAX_SKIPPED)
        return True

    def _count_learned(self) -> None:
        """Note that an attempt has succeeded; make room for what it has learned."""
        self._to_skip = 0
        if self._learned >= _MAX_LEARNED:
            self._begin_again()
        self._learned += 1


class Dialect(Protocol):
    """What is particular to one feed.

    Attributes:
        name: what the rows of the topic table call it.
        binary: whether messages come in binary frames; text frames are messages in any dialect.
        site: names what the connects of the feed are counted for; "" for the REST URL.
        mixed: whether a public topic may be subscribed on a private connection, for the account's own messages in it.
        tunnels: whether topics may be subscribed in tunnels; `command` then writes "openTunnel" and "closeTunnel", too.
    """

    @property
    def name(self) -> str: ...
    @property
    def binary(self) -> bool: ...
    @property
    def mixed(self) -> bool: ...
    @property
    def site(self) -> str: ...
    @property
    def tunnels(self) -> bool: ...

    def limits(self, limits: Limits, *, private: bool) -> Limits:
        """Return the limits for this feed; `limits` are those of the stream."""

    def token_path(self, *, private: bool) -> str | None:
        """Return the REST path that gives a connect token; None if a connection needs none."""

    def servers(self, market: str, *, private: bool, token: Any = None) -> Sequence[Server]:
        """Return the servers to try in turn. `token` is the data of the answer to the token request, if there is one.

        Raises:
            TokenError: the answer does not have the documented form.
        """

    def url(self, server: Server, connect_id: str) -> str:
        """Return the URL of a new connection; `connect_id` is unique."""

    def login(self, credentials: Credentials, clock_ms: Callable[[], int]) -> Callable[[str], bytes] | None:
        """Return a function that writes the login command of a private connection, from its command id.

        It is sent after the welcome, and no other command before its acknowledgement. None if there is no login.
        """

    def ping(self, command_id: str) -> bytes:
        """Return a ping."""

    def command(
        self,
        kind: str,
        command_id: str,
        topics: Sequence[str] = (),
        tunnel: str | None = None,
        *,
        private: bool = False,
    ) -> bytes:
        """Return a command: "subscribe" or "unsubscribe" of topics that `topics.grammar.join` has put together."""

    def answer(self, frame: bytes) -> Answer:
        """Return what a frame means that is not a push. Raise one of `message.UNREADABLE` if it is malformed."""

    def reader(self) -> FrameReader:
        """Return the reader of a new connection."""
