"""The pushes of KuCoin's UTA feed: `{"T": …, "P": …, "d": {…}}`, and the reader that finds their topics.

A push names its channel in `T`, its symbol in `d.s`, the interval of a candle in `d.i`, and the depth of a book in
`dp`. They are compared without regard to case, which KuCoin has changed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from ..topics.name import P_co
from ..topics.table import TABLE, Argument
from .envelopes import FrameBatch, Push
from .message import UNREAD, UNREADABLE, Arrival, EnvelopePrefix, Message, Origin, RawPush

__all__ = ["UtaMessage", "UtaReader"]

_MAX_PREFIXES = 4096


class UtaMessage(Message[P_co]):
    """A push of the UTA feed. Its keys are KuCoin's: `message["T"]`, `["P"]`, `["d"]`, and for some `["dp"]`, `["t"]`.

    `topic` is the topic as it was subscribed, `subject` is `T`, and `data` is `d`. `type` is `t`, which is "snapshot"
    or "delta" for books; "message" without one.
    """

    data_key = "d"

    @property
    def type(self) -> str:
        """KuCoin's word for the kind of push, "message" if it sends none."""
        kind: str = self.origin.prefix.type
        return kind

    @staticmethod
    def decode_frame(frame: bytes) -> Message:
        return _decode(frame)

    def __getitem__(self, key: str) -> Any:
        # Most programs read these two keys: return them without decoding the whole frame.
        if key == "d":
            value = self.data
            return self._mapping()[key] if value is None else value
        return self.subject if key == "T" else self._mapping()[key]


class _Undecoded(UtaMessage[P_co]):
    """A message whose envelope was decoded; its data is decoded when it is read."""

    subject: str | None = None
    type: str = "message"
    wire_data: msgspec.Raw = msgspec.Raw()


# If the prefix is known, only the data of a frame is decoded. The last field of these classes holds the decoded data.


class _Split(UtaMessage[P_co]):
    """A message whose data is decoded when it is read."""

    wire_data: msgspec.Raw = msgspec.Raw()


class _Typed(UtaMessage[P_co]):
    """A message whose data was decoded as a struct."""

    payload: Any = UNREAD


class _Plain(UtaMessage[P_co]):
    """A message whose data was decoded as plain Python."""

    data: Any = None


class _Prefix(EnvelopePrefix, frozen=True):
    """An envelope prefix of this feed.

    Attributes:
        type: see `UtaMessage.type`.
    """

    type: str = "message"


class _Envelope(msgspec.Struct):
    T: str
    d: msgspec.Raw
    dp: msgspec.Raw = msgspec.Raw()
    t: msgspec.Raw = msgspec.Raw()


class _About(msgspec.Struct):
    """What the data of a push is about."""

    s: msgspec.Raw = msgspec.Raw()
    i: msgspec.Raw = msgspec.Raw()


class _Key(msgspec.Struct, frozen=True):
    """What of a push determines its topic and type, as KuCoin wrote it; None for what is missing or no text."""

    T: str
    dp: str | None
    t: str | None
    s: str | None
    i: str | None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_about = msgspec.json.Decoder(_About).decode
_decode_word = msgspec.json.Decoder(str | int).decode
_NOTHING = _About()


def _key_of(envelope: _Envelope) -> _Key:
    try:
        about = _decode_about(envelope.d)
    except UNREADABLE:  # the data is no object
        about = _NOTHING
    return _Key(envelope.T, _word(envelope.dp), _word(envelope.t), _word(about.s), _word(about.i))


def _word(value: msgspec.Raw) -> str | None:
    """Return a text, or a whole number as text; None for anything else."""
    try:
        return str(_decode_word(value))
    except UNREADABLE:
        return None


@lru_cache(maxsize=_MAX_PREFIXES)
def _topic_of(key: _Key) -> str:
    """Return the single topic of a push. That of an unknown channel begins in the same way and is in no table."""
    known = _CHANNELS.get(key.T.lower())
    prefix, argument = known or (f"/uta/{key.T}", Argument.ANY_SYMBOL)
    if argument is Argument.NONE or not key.s:
        return prefix
    more = key.i if argument in _CANDLES else key.dp if argument in _DEPTHS else None
    return f"{prefix}:{key.s.upper()}_{more.lower()}" if more else f"{prefix}:{key.s.upper()}"


_CANDLES = Argument.CANDLES, Argument.CONTRACT_CANDLES
_DEPTHS = Argument.DEPTH, Argument.CONTRACT_DEPTH
#: The prefix and the argument of each channel, by `T` in lower case.
_CHANNELS: dict[str, tuple[str, Argument]] = {}
for _row in TABLE:
    if _row.dialect == "uta":
        _name = _row.prefix.removeprefix("/uta/").lower()
        _CHANNELS[_name] = _row.prefix, _row.argument
        if "." not in _name:  # KuCoin sends `callAuctionInfo.SPOT`, and others of these without a suffix
            _CHANNELS[f"{_name}.{_row.market.removeprefix('uta-')}"] = _row.prefix, _row.argument


def _decode(frame: bytes) -> Message:
    """Return the message of a whole frame, without `raw` and `origin`; raise one of UNREADABLE if it is no push."""
    envelope = _decode_envelope(frame)
    key = _key_of(envelope)
    return _Undecoded(_topic_of(key), subject=key.T, type=key.t or "message", wire_data=envelope.d)


class UtaReader:
    """Makes pushes of the frames of one connection; see `FrameReader` for the methods."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Prefix] = {}

    def recognise(self, frames: list[bytes], arrival: Arrival) -> FrameBatch | tuple[RawPush] | None:  # noqa: ARG002
        return None

    def push(self, frame: bytes, arrival: Arrival) -> Push:
        message = _decode(frame)
        message.raw, message.origin = frame, Origin(arrival)
        return message

    def forget(self, topics: int) -> None:
        """Do nothing: few topics are remembered."""
