"""The dialect of KuCoin's classic feed: connecting, commands, answers, pushes.

Sources: KuCoin's documentation, and observed frames. The error texts come from its page "Error code" and from observed
answers. The code is not enough to tell errors apart: code 509 has five meanings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from ..credentials import Credentials
from ..exceptions import TokenError
from ..limits import Limits
from ..payloads.extra import with_whole_characters
from ..topics.grammar import join
from ..topics.name import P_co
from .dialect import Answer, ControlFrame, FrameReader, Server
from .envelopes import END, FrameBatch, Push
from .message import (
    UNREAD,
    UNREADABLE,
    Arrival,
    EnvelopePrefix,
    Message,
    Origin,
    RawPush,
    decode_alone,
    decode_any,
    payload_class,
    readings_with,
)

__all__ = ["CLASSIC", "DATA", "Classic", "EnvelopePrefixes", "classify_error", "decode_message", "prefix_for"]

#: The envelope prefix of a frame ends with these bytes.
DATA = b'"data":'
_start_of = attrgetter("start")
_KEY_LENGTH = 32  # bytes


class Classic:
    """The dialect of KuCoin's classic feed; see `Dialect` for the methods."""

    name = "classic"
    binary = False
    mixed = True
    site = ""
    tunnels = True

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

    def reader(self) -> EnvelopePrefixes:
        return EnvelopePrefixes()


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


class _Control(ControlFrame):
    """A frame that is not a push: welcome, ack, pong or error."""

    type: str = ""
    id: str | int | None = None
    code: int | str | None = None
    data: msgspec.Raw = msgspec.Raw()

    @property
    def reason(self) -> str:
        """The error's text, or its JSON if it is not text; at most 500 characters."""
        json_text = bytes(self.data)
        return (decode_any(json_text) if json_text.startswith(b'"') else json_text.decode())[:500]


_decode_control = msgspec.json.Decoder(_Control).decode
_encode = msgspec.json.Encoder().encode

# The meaning of an error answer, by its text. The first match counts.
_MEANINGS = (
    ("full", re.compile(r"limitation of \d+ per session", re.I)),
    ("split", re.compile(r"limitation of \d+ per time", re.I)),
    ("pace", re.compile(r"permits per second", re.I)),
    ("busy", re.compile(r"service busy|session count limitation|retry later|system error", re.I)),
    ("token", re.compile(r"token is (invalid|expired)|token .*expired", re.I)),
    ("idle", re.compile(r"ping timeout", re.I)),
    # Answers of a gateway before KuCoin's servers; they say nothing of a topic.
    ("pace", re.compile(r"too many requests", re.I)),
    ("busy", re.compile(r"gateway|unavailable|time[d-]? ?out|internal (server )?error", re.I)),
)


def classify_error(code: int, reason: str) -> str:
    """Return what an error answer means; see `Answer.meaning`."""
    for found, pattern in _MEANINGS:
        if pattern.search(reason):
            return found
    if code in (408, 425) or (500 <= code < 600 and code != 509):
        return "busy"
    return {401: "token", 429: "pace", 509: "pace"}.get(code, "refused")


# Pushes


class _ClassicMessage(Message[P_co]):
    """A push of the classic feed."""

    @staticmethod
    def decode_frame(frame: bytes) -> Message:
        return decode_message(frame)


class _Undecoded(_ClassicMessage[P_co]):
    """A message whose envelope was decoded; its data is decoded when it is read."""

    type: Literal["message"] = "message"  # KuCoin leaves it out of some pushes
    subject: str | None = None
    tunnel_id: Annotated[str, msgspec.Meta(min_length=1)] | None = msgspec.field(name="tunnelId", default=None)
    wire_data: msgspec.Raw = msgspec.field(name="data", default=msgspec.Raw())

    def _twin(self) -> Message[P_co]:
        return self.__copy__()  # type: ignore[attr-defined, no-any-return]


# If the prefix is known, only the data of a frame is decoded. The last field of these classes holds the decoded data.


class _Split(_ClassicMessage[P_co]):
    """A message whose data is decoded when it is read."""

    wire_data: msgspec.Raw = msgspec.Raw()


class _Typed(_ClassicMessage[P_co]):
    """A message whose data was decoded as a struct."""

    payload: Any = UNREAD


class _Plain(_ClassicMessage[P_co]):
    """A message whose data was decoded as plain Python."""

    data: Any = None


class _Odd(_Undecoded[P_co]):
    """A message that names no tunnel where others name theirs, or whose subject may be no text."""

    subject: Any = None
    tunnel_id: str | None = msgspec.field(name="tunnelId", default=None)


_decode_usual = msgspec.json.Decoder(_Undecoded).decode
_decode_odd = msgspec.json.Decoder(_Odd).decode


def decode_message(frame: bytes) -> Message:
    """Return the message of a push. Raise one of UNREADABLE for any other frame. The caller sets `raw` and `origin`."""
    try:
        return _decode_usual(frame)
    except UNREADABLE:
        odd = _decode_odd(with_whole_characters(frame))
        if odd.topic is None:
            raise
        subject = odd.subject if isinstance(odd.subject, str) else None
        return _Undecoded(odd.topic, subject=subject, tunnel_id=odd.tunnel_id or None, wire_data=odd.wire_data)


def prefix_for(start: bytes, topic: str, subject: str | None) -> EnvelopePrefix:
    """Return the envelope prefix of a topic and subject whose frames begin with `start`."""
    readings = readings_with(_Split, _Typed, _Plain, payload_class(topic, subject))
    return EnvelopePrefix(start, slice(len(start), -1), (topic, subject), readings, decode_message)


class _EnvelopeFields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields that an envelope prefix may have.

    Any other field could differ between the frames of a topic, or matter for routing. Such frames are not learned.
    """

    type: Literal["message"]
    topic: str
    data: Literal[0]
    subject: str | None = None


_decode_envelope = msgspec.json.Decoder(_EnvelopeFields).decode


class EnvelopePrefixes(FrameReader):
    """The reader of one connection.

    All frames of one topic and subject begin with the same bytes, up to their data. These bytes are learned from frames
    that were decoded completely.

    Attributes:
        known: the prefixes by the bytes of a frame before `DATA`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[bytes, EnvelopePrefix] = {}
        self._by_key: dict[bytes, EnvelopePrefix] = {}  # `known` by a short part in which the prefixes differ
        self._key_of = itemgetter(slice(0, 0))
        self._keys_outdated = False  # whether a prefix was learned since the keys were chosen
        self._last: EnvelopePrefix | None = None  # the prefix of the last frame

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:
        last = self._last
        if len(frames) == 1:
            frame = frames[0]
            if not frame.isascii():
                return None
            if last is None or not frame.startswith(last.start):
                last = self.known.get(frame[: frame.find(DATA)])
                if last is None:
                    return None
                self._last = last
            return (RawPush(frame, arrival, last),)
        prefixes = None
        if last is None or not all(map(bytes.startswith, frames, repeat(last.start))):
            last, prefixes = None, self.find(frames)
            if prefixes is None:
                return None
            self._last = prefixes[-1]
        text = b"".join(frames)
        return FrameBatch(frames, arrival, prefixes, last, text) if text.isascii() else None

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        found = self.known.get(frame[: frame.find(DATA)])
        if found is not None:
            self._last = found
            return RawPush(frame, arrival, found)
        message = decode_message(frame)
        message.raw, message.origin = frame, Origin(arrival)
        self.learn(frame)
        return message

    def _begin_again(self) -> None:
        super()._begin_again()
        self.known.clear()
        self._by_key, self._keys_outdated = {}, False

    def find(self, frames: list[bytes]) -> list[EnvelopePrefix] | None:
        """Return the prefix of each frame, or None if any of them is unknown."""
        if self._keys_outdated:
            self._keys_outdated = False
            self._choose_keys()
        try:
            prefixes = list(map(self._by_key.__getitem__, map(self._key_of, frames)))
        except KeyError:
            prefixes = []
        if prefixes and all(map(bytes.startswith, frames, map(_start_of, prefixes))):
            return prefixes
        # A prefix is unknown, or two prefixes have the same key.
        known = self.known.get
        prefixes = []
        for frame in frames:
            if (found := known(frame[: frame.find(DATA)])) is None:
                return None
            prefixes.append(found)
        return prefixes

    def _choose_keys(self) -> None:
        """Take the bytes after the common beginning of all prefixes as their keys."""
        first, last = min(self.known), max(self.known)
        common = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0)
        self._key_of = itemgetter(slice(common, common + _KEY_LENGTH))
        self._by_key = {self._key_of(start): prefix for start, prefix in self.known.items()}

    def learn(self, frame: bytes) -> None:
        """Learn the prefix of a frame that was decoded as a push."""
        if not self._may_learn():
            return
        start, data, _ = frame.partition(DATA)
        beginning = start + data
        try:
            fields = _decode_envelope(beginning + b"0}")
            decode_alone(frame[len(beginning) : -1] if frame[-1] == END else b"")  # nothing may follow the data
        except UNREADABLE:
            return
        self._count_learned()
        self._keys_outdated = True
        self.known[start] = prefix_for(beginning, fields.topic, fields.subject)


CLASSIC = Classic()
