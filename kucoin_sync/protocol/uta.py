"""The dialect of KuCoin's UTA feed: hosts, login, commands, answers. `uta_push` and `uta_reader` have its pushes.

The hosts are fixed, and there is no connect token. A private connection logs in after the welcome. Sources: KuCoin's
documentation and SDKs, and observed frames. Where they disagree about a form, each form is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ..credentials import Credentials
from ..limits import Limits
from ..topics.grammar import argument_of, row_of
from ..topics.table import Argument
from .classic import classify_error
from .dialect import Answer, ControlFrame, Server
from .uta_reader import UtaReader

__all__ = ["UTA", "Hosts", "Uta"]

#: Seconds; KuCoin's SDK uses them if a welcome says nothing.
_PING_INTERVAL, _PING_TIMEOUT = 18.0, 10.0
_MAX_MILLISECONDS = 86_400_000
_LOGIN_PATH = "/api/websocket/users/verify"
#: Channels whose command has a list of symbols, also for one.
_LISTS = (Argument.SYMBOLS, Argument.CONTRACTS)
_LIMITS = {"topics_per_connection": 400, "connections_per_minute": 25}
_COMMANDS_PER_10S, _PRIVATE_COMMANDS_PER_10S = 270, 90
_DEFAULT_LIMITS = Limits()
#: The refusal of a time in a signature; KuCoin's text for a missing member names the timestamp after the key.
_CLOCK = re.compile(r"^(?!.*KC-API-KEY).*timestamp", re.I | re.S)


class Hosts(NamedTuple):
    """The URLs of the feed's servers, by market."""

    spot: str = "wss://x-push-spot.kucoin.com"
    futures: str = "wss://x-push-futures.kucoin.com"
    private: str = "wss://wsapi-push.kucoin.com"

    def of(self, market: str) -> str:
        """Return the URL of "uta-spot", "uta-futures" or "uta", which is private."""
        return {"uta-spot": self.spot, "uta-futures": self.futures}.get(market, self.private)


class Uta:
    """The dialect of KuCoin's UTA feed; see `Dialect` for the methods."""

    name = "uta"
    binary = True
    mixed = False
    tunnels = False

    def __init__(self, hosts: Hosts | None = None) -> None:
        self._hosts = hosts or Hosts()
        #: KuCoin counts the connects of an IP address to all servers of the feed (documented).
        self.site = urlsplit(self._hosts.spot).netloc

    def limits(self, limits: Limits, *, private: bool) -> Limits:
        """Return KuCoin's limits of this feed; those that the user has changed stay."""
        own = {**_LIMITS, "commands_per_10s": _PRIVATE_COMMANDS_PER_10S if private else _COMMANDS_PER_10S}
        kept = {name for name in own if getattr(limits, name) != getattr(_DEFAULT_LIMITS, name)}
        return msgspec.structs.replace(limits, **{name: value for name, value in own.items() if name not in kept})

    def token_path(self, *, private: bool) -> None:
        """Return None: there is no token."""

    def servers(self, market: str, *, private: bool, token: Any = None) -> Sequence[Server]:  # noqa: ARG002
        return [Server(self._hosts.of(market), _PING_INTERVAL, _PING_TIMEOUT)]

    def url(self, server: Server, connect_id: str) -> str:  # noqa: ARG002
        return server.endpoint

    def login(self, credentials: Credentials, clock_ms: Callable[[], int]) -> Callable[[str], bytes]:
        def write(command_id: str) -> bytes:
            signed = credentials.headers(clock_ms(), "POST", _LOGIN_PATH)
            names = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
            return _encode({"id": command_id, "op": "auth", **{name.lower(): signed[name] for name in names}})

        return write

    def ping(self, command_id: str) -> bytes:
        return _encode({"id": command_id, "type": "ping"})

    def command(
        self,
        kind: str,
        command_id: str,
        topics: Sequence[str] = (),
        tunnel: str | None = None,  # noqa: ARG002
        *,
        private: bool = False,  # noqa: ARG002
    ) -> bytes:
        return _encode({"id": command_id, "action": kind.upper(), **_members(topics)})

    def answer(self, frame: bytes) -> Answer:
        control = _decode_control(frame)
        frame.decode()
        if control.T is not None and control.d:
            raise ValueError("a malformed push")
        words = (control.message, control.data, control.op, control.type)
        if "welcome" in words:
            return Answer(
                "welcome", ping_interval=_seconds(control.pingInterval), ping_timeout=_seconds(control.pingTimeout)
            )
        if "pong" in words:
            return Answer("pong", control.command_id)
        result = control.result.lower() if isinstance(control.result, str) else control.result
        if result in (True, "true"):
            return Answer("ack", control.command_id)
        if result in (False, "false") or "error" in words:
            code, reason = control.status, control.reason
            meaning = classify_error(code, reason)
            if meaning in ("token", "refused"):  # there is no token
                meaning = "clock" if _CLOCK.search(reason) else "refused"
            return Answer("error", control.command_id, code, reason, meaning)
        return Answer(str(control.type or control.op or ""), control.command_id)

    def reader(self) -> UtaReader:
        return UtaReader()


class _Control(ControlFrame):
    """A frame that is not a push, or a malformed one. The types of its members vary."""

    T: Any = None
    d: msgspec.Raw = msgspec.Raw()
    message: Any = None
    reason_text: Any = msgspec.field(name="reason", default=None)
    msg: Any = None
    data: Any = None
    op: Any = None
    type: Any = None
    result: Any = None
    pingInterval: Any = None  # noqa: N815 - KuCoin's name
    pingTimeout: Any = None  # noqa: N815 - KuCoin's name

    @property
    def reason(self) -> str:
        """The error's text, which has one of three names; at most 500 characters."""
        texts = (self.message, self.reason_text, self.msg, self.data)
        return next((text for text in texts if isinstance(text, str) and text), "without a reason")[:500]


_decode_control = msgspec.json.Decoder(_Control).decode
_encode = msgspec.json.Encoder().encode


def _seconds(milliseconds: Any) -> float | None:
    """Return milliseconds, as number or text, in seconds; None if they make no sense."""
    try:
        number = float(milliseconds)
    except (TypeError, ValueError, OverflowError):
        return None
    return number / 1000 if 0 < number <= _MAX_MILLISECONDS else None


def _members(topics: Sequence[str]) -> dict[str, Any]:
    """Return the members of a command that say what it is about."""
    name = topics[0].partition(":")[0].removeprefix("/uta/")
    channel, _, kind = name.rpartition(".")
    if not channel:
        channel, kind = name, ""
    members: dict[str, Any] = {"channel": channel}
    if kind:
        members["accountType" if channel == "balance" else "tradeType"] = kind
    row, argument = row_of(topics[0]), argument_of(topics[0])
    if row is not None and row.argument in _LISTS:
        members["symbols"] = [argument_of(topic) for topic in topics]
    elif channel == "kline":
        members["symbol"], _, members["interval"] = argument.rpartition("_")
    elif channel == "obu":
        members["symbol"], _, members["depth"] = argument.rpartition("_")
        members["rpiFilter"] = 0
    elif argument:
        members["symbol"] = argument
    return members


UTA = Uta()
