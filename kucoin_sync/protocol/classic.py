"""The dialect of KuCoin's classic feed.

Sources: KuCoin's documentation, and observed frames. The error texts come from its page "Error code" and from observed
answers. The code is not enough to tell errors apart: code 509 has five meanings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from ..credentials import Credentials
from ..exceptions import TokenError
from ..limits import Limits
from ..topics.grammar import join
from .dialect import Answer, Server

__all__ = ["CLASSIC", "Classic", "classify_error"]


class Classic:
    """The dialect of KuCoin's classic feed; see `Dialect` for the methods."""

    name = "classic"
    binary = False

    def limits(self, limits: Limits, *, private: bool) -> Limits:  # noqa: ARG002
        return limits

    def token_path(self, *, private: bool) -> str | None:
        return "/api/v1/bullet-private" if private else "/api/v1/bullet-public"

    def servers(self, market: str, *, private: bool, token: Any = None) -> Sequence[Server]:  # noqa: ARG002
        path = self.token_path(private=private)
        try:
            answer = msgspec.convert(token, _Token)
        except msgspec.ValidationError as error:
            raise TokenError(f"KuCoin's answer to {path} is not a connect token: {error}") from None
        finally:
            del token  # a secret, which the variables of a traceback must not show
        if not answer.token or not answer.instanceServers:
            raise TokenError(f"KuCoin's answer to {path} names no token or no server")
        return [
            Server(each.endpoint, each.pingInterval / 1000, each.pingTimeout / 1000, answer.token)
            for each in answer.instanceServers
        ]

    def url(self, server: Server, connect_id: str) -> str:
        separator = "&" if "?" in server.endpoint else "?"
        return f"{server.endpoint}{separator}token={quote(server.token, safe='')}&connectId={connect_id}"

    def login(self, credentials: Credentials, clock_ms: Callable[[], int]) -> None:
        """Return None: the token has the login."""

    def ping(self, command_id: str) -> bytes:
        return _encode({"id": command_id, "type": "ping"})

    def command(
        self,
        kind: str,
        command_id: str,
        topics: Sequence[str] = (),
        tunnel: str | None = None,
        *,
        private: bool = False,
    ) -> bytes:
        """Also "openTunnel" and "closeTunnel", without topics."""
        fields: dict[str, Any] = {"id": command_id, "type": kind}
        if topics:
            ((joined, _),) = join(topics, len(topics))
            fields.update(topic=joined, privateChannel=private)
        if tunnel is not None:
            fields["newTunnelId" if kind == "openTunnel" else "tunnelId"] = tunnel
        return _encode({**fields, "response": True})

    def answer(self, frame: bytes) -> Answer:
        control = _decode_control(frame)
        frame.decode()
        if control.type == "message":
            raise ValueError("a malformed push")
        if control.type != "error":
            return Answer(control.type, control.command_id)
        code, reason = control.status, control.reason
        return Answer("error", control.command_id, code, reason, classify_error(code, reason))


CLASSIC = Classic()


class _Server(msgspec.Struct):
    endpoint: str
    pingInterval: float  # noqa: N815 - KuCoin's name
    pingTimeout: float  # noqa: N815 - KuCoin's name

    def __post_init__(self) -> None:
        for name in ("pingInterval", "pingTimeout"):
            if not 0 < getattr(self, name) <= 86_400_000:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not a number of milliseconds in a day")


class _Token(msgspec.Struct):
    """The data of the answer to a token request (times in milliseconds)."""

    token: str
    instanceServers: list[_Server]  # noqa: N815 - KuCoin's name

    def __repr__(self) -> str:
        return f"_Token(***, {self.instanceServers!r})"


class _Control(msgspec.Struct):
    """A frame that is not a push: welcome, ack, pong or error."""

    type: str = ""
    id: str | int | None = None
    code: int | str | None = None
    data: msgspec.Raw = msgspec.Raw()

    @property
    def command_id(self) -> str:
        """The id of the command as text, "" if there is none."""
        return "" if self.id is None else str(self.id)

    @property
    def status(self) -> int:
        """The error code as a number, 0 if it is missing or not a number."""
        try:
            return int(self.code or 0)
        except ValueError:
            return 0

    @property
    def reason(self) -> str:
        """The error's text, or its JSON if it is not text; at most 500 characters."""
        json_text = bytes(self.data)
        return (_decode_any(json_text) if json_text.startswith(b'"') else json_text.decode())[:500]


_decode_control = msgspec.json.Decoder(_Control).decode
_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode

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
    """Return what an error answer means; see `Answer.meaning`."""
    for found, pattern in _MEANINGS:
        if pattern.search(reason):
            return found
    return {401: "token", 500: "busy", 509: "pace"}.get(code, "refused")
