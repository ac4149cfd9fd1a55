"""The pushes of KuCoin's UTA feed: `{"T": …, "P": …, "d": {…}}`, their topics and their messages.

A push names its channel in `T`, its symbol in `d.s`, the interval of a candle in `d.i`, and the depth of a book in
`dp`. They are compared without regard to case, which KuCoin has changed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from .. import payloads
from ..payloads.extra import with_whole_characters
from ..topics.name import P_co
from ..topics.table import TABLE, Argument
from .message import UNREAD, UNREADABLE, Message, Reading, readings_with

__all__ = [
    "Envelope",
    "PushKey",
    "UtaMessage",
    "decode_envelope",
    "decode_push",
    "is_told_by_symbol",
    "key_of",
    "message_of",
    "readings_of",
    "topic_of",
]

_MAX_TOPICS = 256  # few, because they are remembered when nobody wants them any more


class UtaMessage(Message[P_co]):
    """A push of the UTA feed. Its keys are KuCoin's: `message["T"]`, `["P"]`, `["d"]`, and for some `["dp"]`, `["t"]`.

    `topic` is the topic as it was subscribed, `subject` is `T`, and `data` is `d`. `type` is `t`, which is "snapshot"
    or "delta" for books; "message" without one.
    """

    data_key = "d"

    @property
    def type(self) -> str:
        """KuCoin's word for the kind of push, "message" if it sends none."""
        kind: str = self.origin.prefix.type  # type: ignore[union-attr]  # a pattern of `uta_reader` has it
        return kind

    @staticmethod
    def decode_frame(frame: bytes) -> Message:
        return decode_push(frame)

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


def readings_of(cls: type[payloads.Payload] | None) -> tuple[Reading, ...]:
    """Return how to make messages of this feed with the payload `cls`; see `message.readings_with`."""
    return readings_with(_Split, _Typed, _Plain, cls)


class Envelope(msgspec.Struct):
    T: str
    d: msgspec.Raw
    dp: msgspec.Raw = msgspec.Raw()
    t: msgspec.Raw = msgspec.Raw()


class _About(msgspec.Struct):
    """What the data of a push is about."""

    s: msgspec.Raw = msgspec.Raw()
    i: msgspec.Raw = msgspec.Raw()


class PushKey(msgspec.Struct, frozen=True):
    """What of a push determines its topic and type, as KuCoin wrote it; None for what is missing or no text."""

    T: str
    dp: str | None
    t: str | None
    s: str | None
    i: str | None


_decode_usual = msgspec.json.Decoder(Envelope).decode
_decode_about = msgspec.json.Decoder(_About).decode
_decode_word = msgspec.json.Decoder(str | int).decode
_NOTHING = _About()


def decode_envelope(frame: bytes) -> Envelope:
    """Return the envelope of a push; raise one of UNREADABLE for any other frame."""
    try:
        return _decode_usual(frame)
    except UNREADABLE:
        return _decode_usual(with_whole_characters(frame))


def key_of(envelope: Envelope) -> PushKey:
    try:
        about = _decode_about(envelope.d)
    except UNREADABLE:  # the data is no object
        about = _NOTHING
    return PushKey(envelope.T, _word(envelope.dp), _word(envelope.t), _word(about.s), _word(about.i))


def _word(value: msgspec.Raw) -> str | None:
    """Return a text, or a whole number as text; None for anything else."""
    try:
        return str(_decode_word(value))
    except UNREADABLE:
        return None


@lru_cache(maxsize=_MAX_TOPICS)
def topic_of(key: PushKey) -> str:
    """Return the single topic of a push. That of an unknown channel begins in the same way and is in no table."""
    known = _CHANNELS.get(key.T.lower())
    prefix, argument = known or (f"/uta/{key.T}", Argument.ANY_SYMBOL)
    if argument is Argument.NONE or not key.s:
        return prefix
    more = key.i if argument in _CANDLES else key.dp if argument in _DEPTHS else None
    return f"{prefix}:{key.s.upper()}_{more.lower()}" if more else f"{prefix}:{key.s.upper()}"


def is_told_by_symbol(key: PushKey) -> bool:
    """Return whether a push is of a known channel, and its symbol is all that its data says of its topic."""
    _, argument = _CHANNELS.get(key.T.lower(), ("", Argument.NONE))
    if not key.s or argument is Argument.NONE or argument in _CANDLES:
        return False
    return argument not in _DEPTHS or key.dp is not None


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


def decode_push(frame: bytes) -> Message:
    """Return the message of a whole frame, without `raw` and `origin`; raise one of UNREADABLE if it is no push."""
    envelope = decode_envelope(frame)
    return message_of(key_of(envelope), envelope)


def message_of(key: PushKey, envelope: Envelope) -> Message:
    """Return the message of a decoded envelope, without `raw` and `origin`."""
    return _Undecoded(topic_of(key), subject=key.T, type=key.t or "message", wire_data=envelope.d)
