"""`Message`, the base of the message classes of all dialects, and the structs of payloads.

By default only the envelope of a push is decoded; its data stays undecoded until it is read. `envelopes.Decoder`
decodes the data with the envelope if the consumer reads it anyway. Nothing here knows connections or subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeAlias

import msgspec

from .. import payloads
from ..topics.grammar import payload_class, payloads_of, symbol_of
from ..topics.name import P_co
from ..topics.table import Argument

__all__ = [
    "Arrival",
    "EnvelopePrefix",
    "Message",
    "Origin",
    "RawPush",
    "decode_alone",
    "decode_any",
    "mismatches_of",
    "payload_class",
    "prepare",
    "readings_with",
]

#: The exceptions that a decoder may raise for bytes from the network; RecursionError for deep nesting.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

if TYPE_CHECKING:
    _Topic = str  # a subscription has no message without a topic
    _Local = Any
    _LocalOrigin: TypeAlias = "Origin | RawPush"
    _LocalInt = int
    _LocalBytes = bytes
else:
    _Topic = str | None

    # A frame must not set the fields that this package adds. No JSON value fits these types, so a frame that names such
    # a field is refused as malformed.
    class _Local:
        """No JSON value decodes to this."""

    _LocalInt = Annotated[int, msgspec.Meta(gt=0, lt=0)]
    _LocalOrigin = _LocalBytes = _Local

#: The value of a field that was not decoded yet.
UNREAD: Any = msgspec.UNSET

#: The class of a message, and the decoder of its data, which raises one of UNREADABLE if the data does not fit.
Reading: TypeAlias = "tuple[Callable[..., Message], Callable[[bytes], Any]]"

#: Raises one of UNREADABLE unless the bytes are exactly one JSON value.
decode_alone = msgspec.json.Decoder(msgspec.Raw).decode
decode_any = msgspec.json.Decoder().decode


class Arrival(msgspec.Struct, gc=False):
    """What all messages of one read share: one object for all of them keeps each small.

    Attributes:
        epoch: the number of the connection, from 1.
        received_ns: when they were read, in nanoseconds since 1970.
        payload_mismatch: called with a message whose payload does not have the usual form, or None.
        recovered: whether REST has told them, after a cut; see `kucoin_sync.recovery`.
        topic: the wanted topic that they belong to, where a relay has found it; else None.
    """

    epoch: int = 0
    received_ns: int = 0
    payload_mismatch: Callable[[Message], None] | None = None
    recovered: bool = False
    topic: str | None = None


class EnvelopePrefix(msgspec.Struct, gc=False, eq=False, frozen=True):
    """What all frames of one topic and subject have in common, so that they are routed undecoded.

    Attributes:
        start: their first bytes, in a dialect that has the same ones before all data of a topic.
        inside: the slice of a frame from which its data is decoded.
        channel: topic and subject.
        readings: how to make a message of a frame, for each reading of its data; see `envelopes`.
        decode: returns the message of a whole frame, without `raw` and `origin`; raises one of UNREADABLE.
    """

    start: bytes
    inside: slice
    channel: tuple[str, str | None]
    readings: tuple[Reading, ...]
    decode: Callable[[bytes], Message]


class Origin(msgspec.Struct, gc=False, eq=False, frozen=True):
    """The origin of a message: the read with which it arrived, and its envelope prefix if that is known."""

    arrival: Arrival
    prefix: EnvelopePrefix | None = None


class RawPush(msgspec.Struct, gc=False, eq=False, frozen=True):
    """An undecoded frame that is routed by its envelope prefix; later the origin of its message.

    It is not a tuple, because the garbage collector would track each one.
    """

    frame: bytes
    arrival: Arrival
    prefix: EnvelopePrefix


_NO_ORIGIN = Origin(Arrival())


#: Names for use in this package only; `dir` and tab completion leave them out.
_INTERNAL = {"data_key", "data_read", "decode_frame", "origin", "payload_read", "wire_data", "with_lost"}


class Message(msgspec.Struct, Generic[P_co], gc=False, eq=False):
    """One push from KuCoin, in three views of the same bytes.

    The keys and attributes below are those of the classic feed; another dialect has a subclass.

    As KuCoin's JSON: `message["data"]["price"]`, `message.get("sn")`, `"userId" in message`, `message.to_dict()`.
    By attribute: `topic`, `subject`, `symbol`, `data` (plain Python), `type`, `tunnel_id`.
    Typed: `payload`, the struct of that topic, or the plain data if no struct is known. A field that can't be read is
    None in the struct. The stream reports it once per topic (`PayloadMismatch`), as it does a subject without a struct.

    The client adds `epoch` (the number of the connection, which rises with each reconnect), `lost` (messages dropped in
    this subscription immediately before this one), `received_ns` (wall clock, nanoseconds since 1970), `recovered`
    (REST has told it after a cut; `raw` is then made of the row) and `raw` (the frame's bytes).

    A text with half a surrogate pair, which is no character, has U+FFFD in its place; `raw` is as it came.
    """

    data_key: ClassVar[str] = "data"  # of the data in KuCoin's JSON

    def __init_subclass__(cls) -> None:
        # Shown by `json.dumps(message)`, "Object of type <name> is not JSON serializable", and by `message.price`,
        # "'<name>' object has no attribute 'price'": the name says what to use. Python shows 50 characters of it.
        cls.__name__ = "Message (see its .payload; .to_dict() is for JSON)"

    topic: _Topic = None  # type: ignore[assignment]
    lost: _LocalInt = msgspec.field(name="~lost", default=0)
    raw: _LocalBytes = msgspec.field(name="~raw", default=b"")
    origin: _LocalOrigin = msgspec.field(name="~origin", default=_NO_ORIGIN)
    data_read: _Local = msgspec.field(name="~data", default=UNREAD)
    payload_read: _Local = msgspec.field(name="~payload", default=UNREAD)
    _whole: _Local = msgspec.field(name="~whole", default=None)

    @property
    def type(self) -> str:
        """KuCoin's word for a push."""
        return "message"

    @property
    def subject(self) -> str | None:
        """The kind of push within its topic, None if KuCoin sends none or no text."""
        return self.origin.prefix.channel[1]  # type: ignore[union-attr]  # a class without a prefix has the field

    @property
    def symbol(self) -> str | None:
        """The symbol that it is about, such as "BTC-USDT"; None if it is about none, or about several.

        It comes from the topic; in pushes of all tickers from the subject, in those of a market or an account from the
        data.
        """
        topic = self.topic
        symbol = symbol_of(topic) if topic else None
        if symbol is not None or not topic:
            return symbol
        if topic.endswith(f":{Argument.ALL.value}"):
            return self.subject
        cls = payload_class(topic, self.subject)
        return getattr(self.payload, "symbol", None) or None if hasattr(cls, "symbol") else None

    @property
    def tunnel_id(self) -> str | None:
        """The tunnel through which it came, None outside all tunnels."""
        return None

    @property
    def wire_data(self) -> msgspec.Raw:
        """The undecoded data, empty if the frame has none."""
        return self.decode_frame(self.raw).wire_data

    @property
    def data(self) -> Any:
        """The data as plain Python, None if the frame has none."""
        if self.data_read is UNREAD:
            wire_data = self.wire_data
            if not len(wire_data):
                return None  # not kept: an absent key stays absent
            self.data_read = payloads.plain(wire_data)
        return self.data_read

    @property
    def payload(self) -> P_co | Any:
        """The data as the struct of its topic and subject; as plain Python if no struct is known."""
        if self.payload_read is UNREAD:
            decode = _decoder_of(self.topic, self.subject)
            if decode is None:
                self.payload_read = self._read_leniently()
                return self.payload_read
            try:
                self.payload_read = decode(self.wire_data)
            except UNREADABLE:
                self.payload_read = self._read_leniently()
        return self.payload_read

    @property
    def epoch(self) -> int:
        """The number of the connection over which it came, from 1.

        With `recover=True` it stays where a gap was closed, and rises where one may be left.
        """
        return self.origin.arrival.epoch

    @property
    def received_ns(self) -> int:
        """When it was read from the socket, in nanoseconds since 1970 by this machine's clock.

        A consumer that waits for each message may read the socket itself. A message that comes while the consumer is
        busy is then read when it waits again, or after 50 ms by the I/O thread.
        """
        return self.origin.arrival.received_ns

    @property
    def recovered(self) -> bool:
        """Whether it was missed during a cut and then fetched by REST. Fields that REST does not tell are None."""
        return self.origin.arrival.recovered

    @staticmethod
    def decode_frame(frame: bytes) -> Message:
        """Return the message of a push, without `raw` and `origin`; raise one of UNREADABLE for any other frame."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return KuCoin's JSON as a new dict; `json.dumps` takes it."""
        whole: dict[str, Any] = payloads.plain(self.raw)
        return whole

    def with_lost(self, lost: int) -> Message[P_co]:
        """Return another message of the same frame, with another `lost`."""
        twin = self._twin()
        twin.lost, twin.raw, twin.origin = lost, self.raw, self.origin
        twin.data_read = twin.payload_read = UNREAD
        twin._whole = None
        return twin

    def _twin(self) -> Message[P_co]:
        """Return another message of the same frame that shares no decoded data with this one."""
        return self.decode_frame(self.raw)

    def _read_leniently(self) -> Any:
        cls = payload_class(self.topic, self.subject)
        if cls is None:
            unusual, payload = bool(payloads_of(self.topic or "")), self.data
        else:
            reading = _read(cls, self.wire_data)
            unusual, payload = bool(reading.mismatches), reading.payload
        if unusual and (payload_mismatch := self.origin.arrival.payload_mismatch) is not None:
            payload_mismatch(self)
        return payload

    def _mapping(self) -> dict[str, Any]:
        if self._whole is None:
            self._whole = self.to_dict()
            if self.data_key in self._whole:
                self._whole[self.data_key] = self.data  # both views return the same object
        whole: dict[str, Any] = self._whole
        return whole

    def __getitem__(self, key: str) -> Any:
        # Most programs read these two keys: return them without decoding the whole frame.
        if key == "data":
            value = self.data
            return self._mapping()[key] if value is None else value
        if key == "topic" and self.topic is not None:
            return self.topic
        return self._mapping()[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key of KuCoin's JSON, or `default` if the key is missing."""
        return self._mapping().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._mapping()

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    def keys(self) -> KeysView[str]:
        """Return the keys of KuCoin's JSON."""
        return self._mapping().keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of KuCoin's JSON."""
        return self._mapping().values()

    def items(self) -> ItemsView[str, Any]:
        """Return the items of KuCoin's JSON."""
        return self._mapping().items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Message):
            return self.raw == other.raw
        if isinstance(other, Mapping):
            return self._mapping() == other
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other  # the base class compares by identity

    __hash__ = None  # type: ignore[assignment]  # like the dict that it stands for

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - _INTERNAL)

    def __repr__(self) -> str:
        return f"Message(topic={self.topic!r}, subject={self.subject!r}, data={self.data!r})"

    def __reduce__(self) -> Any:
        return _unpickle, (type(self), self.raw, self.lost, self.epoch, self.received_ns, self.recovered)


Mapping.register(Message)


def mismatches_of(message: Message) -> tuple[str, ...]:
    """Return what is unusual in the payload of a message, such as "price is null"; () if nothing is."""
    cls = payload_class(message.topic, message.subject)
    if cls is None:
        return (f"no struct is known for the subject {message.subject!r}",) if payloads_of(message.topic or "") else ()
    return tuple(each.text for each in _read(cls, message.wire_data).mismatches)


def _read(cls: type[payloads.Payload], data: msgspec.Raw) -> payloads.ReadResult[payloads.Payload]:
    """Return the struct for the data of a push, with defaults if the data is missing or can't be read."""
    read = payloads.reader_for(cls)
    if not len(data):
        return payloads.ReadResult(read(b"{}").payload, (payloads.Mismatch("there is no data", True),))
    try:
        return read(data)
    except UNREADABLE as error:
        return payloads.ReadResult(read(b"{}").payload, (payloads.Mismatch(f"the data can't be read ({error})", True),))


@cache
def readings_with(
    split: type[Message], typed: type[Message], plain: type[Message], cls: type[payloads.Payload] | None
) -> tuple[Reading, ...]:
    """Return how to make messages with the payload `cls`, for each reading.

    The order is: data undecoded, as the struct, as plain Python, as the struct with members that KuCoin added.

    Args:
        split, typed, plain: a dialect's classes of messages whose data is undecoded, a struct, plain Python.
    """
    undecoded: Reading = split, decode_alone
    as_plain: Reading = plain, decode_any
    if cls is None:
        return undecoded, undecoded, as_plain, undecoded
    fast = payloads.fast_decoder_for(cls)
    return undecoded, (typed, fast), as_plain, (typed, payloads.extensible_decoder_for(cls) or fast)


def prepare(single: str) -> None:
    """Build the decoders for the payloads of a topic before they are needed.

    msgspec can lose a KeyboardInterrupt while it builds a decoder. So the main thread builds none while it reads.
    """
    for cls in payloads_of(single).values():
        payloads.fast_decoder_for(cls)
        payloads.reader_for(cls)


@lru_cache(maxsize=256)  # bounded, so that unsubscribed topics do not fill it
def _decoder_of(topic: str | None, subject: str | None) -> Callable[[msgspec.Raw], Any] | None:
    """Return the decoder for a usual payload; None if no struct is known."""
    cls = payload_class(topic, subject)
    return None if cls is None else payloads.fast_decoder_for(cls)


def _unpickle(
    cls: type[Message], raw: bytes, lost: int, epoch: int, received_ns: int, recovered: bool = False
) -> Message:
    message = cls.decode_frame(raw)
    message.raw, message.lost, message.origin = raw, lost, Origin(Arrival(epoch, received_ns, recovered=recovered))
    return message
