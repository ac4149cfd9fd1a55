"""Frames that are routed undecoded, and the decoder of the consumer, which decodes each of them once.

The dialect's `FrameReader` finds the envelope prefix of a frame, which is enough to route it. The consumer's `Decoder`
later decodes its data in one pass: as plain Python or as the topic's struct, depending on how the consumer has read
earlier messages. Threads that share a subscription share its decoder. Their races can only make it choose a slower
reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import length_hint
from typing import Any, TypeAlias, overload

import msgspec

from .message import UNREAD, UNREADABLE, Arrival, EnvelopePrefix, Message, Origin, RawPush

__all__ = [
    "END",
    "Decoder",
    "EnvelopePrefix",
    "FrameBatch",
    "Push",
    "Pushes",
    "RawPush",
    "arrival_of",
    "channel_of",
    "is_readable",
    "opened",
    "topics_of",
    "tunnel_of",
    "with_arrival",
]

#: How to read the data of a frame: undecoded, as the struct, as plain Python, or as the struct with room for members
#: that KuCoin added.
UNDECODED, AS_PAYLOAD, AS_DATA, AS_PAYLOAD_WITH_MORE = 0, 1, 2, 3
#: The last byte of a frame, in any dialect.
END = ord("}")
_REVIEW_EVERY = 100  # messages between two reviews of how the consumer reads them


Push: TypeAlias = Message | RawPush


class FrameBatch(msgspec.Struct, gc=False, eq=False):
    """Frames of one read whose envelope prefixes are all known.

    It is a sequence of raw pushes. Consumers take frames from the iterators `rest` and `pushes`. Both share one
    position, so that each frame is taken once.

    Attributes:
        frames: the frames, in the order of their arrival.
        arrival: what all frames share.
        prefixes: the prefix of each frame; None if all frames have `prefix`.
        prefix: the prefix of all frames; None if they differ.
        text: all frames joined, if the caller has joined them; else b"".
        rest: takes frames; yields prefix and frame.
        pushes: takes frames; yields raw pushes.
    """

    frames: list[bytes]
    arrival: Arrival
    prefixes: list[EnvelopePrefix] | None = None
    prefix: EnvelopePrefix | None = None
    text: bytes = b""
    rest: Iterator[tuple[EnvelopePrefix, bytes]] = iter(())
    pushes: Iterator[RawPush] = iter(())
    _frames_left: Iterator[bytes] = iter(())

    def __post_init__(self) -> None:
        self._frames_left = frames = iter(self.frames)
        prefixes: Iterator[Any] = repeat(self.prefix) if self.prefixes is None else iter(self.prefixes)
        self.rest = zip(prefixes, frames)  # noqa: B905 - one is endless
        self.pushes = map(RawPush, frames, repeat(self.arrival), prefixes)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def left(self) -> int:
        """The number of frames that were not taken yet."""
        return length_hint(self._frames_left)

    def __iter__(self) -> Iterator[RawPush]:
        prefixes: Iterable[Any] = self.prefixes or repeat(self.prefix)
        return map(RawPush, self.frames, repeat(self.arrival), prefixes)

    @overload
    def __getitem__(self, index: int) -> RawPush: ...

    @overload
    def __getitem__(self, index: slice) -> FrameBatch: ...

    def __getitem__(self, index: int | slice) -> RawPush | FrameBatch:
        if isinstance(index, slice):
            prefixes = None if self.prefixes is None else self.prefixes[index]
            return FrameBatch(self.frames[index], self.arrival, prefixes, self.prefix)
        prefix: Any = self.prefix if self.prefixes is None else self.prefixes[index]
        return RawPush(self.frames[index], self.arrival, prefix)


Pushes: TypeAlias = Sequence[Push] | FrameBatch


class Decoder:
    """Decode frames for one consumer, as it has read earlier messages.

    Attributes:
        unreadable: frames that could not be decoded as a push.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._reading = UNDECODED
        self._final = False  # whether `_reading` stays as it is
        self._last: Message | None = None  # a message whose reading is still to be reviewed
        self._until_review = _REVIEW_EVERY  # messages

    def decode(self, push: Push) -> Message | None:
        """Return the message of a push, or None if its frame is malformed."""
        if not isinstance(push, RawPush):
            return push
        if self._last is not None:
            self.reading(self._last)
            self._last = None
        prefix, frame = push.prefix, push.frame
        make, decode_data = prefix.readings[self._reading]
        try:
            data = decode_data(frame[prefix.inside] if frame[-1] == END else b"")
        except UNREADABLE:
            return self._decode_fallback(frame, push, prefix)
        message = make(prefix.channel[0], 0, frame, push, UNREAD, UNREAD, None, data)
        self._until_review -= 1
        if self._until_review < 0 or (self._reading == UNDECODED and not self._final):
            self._until_review = _REVIEW_EVERY
            self._last = message
        return message

    def decode_all(self, pushes: Iterable[Push]) -> Iterator[Message]:
        """Yield the messages of pushes; leave out malformed frames."""
        if isinstance(pushes, FrameBatch):
            yield from self.decode_batch(pushes)
            return
        for push in pushes:
            message = self.decode(push)
            if message is not None:
                yield message

    def decode_batch(self, batch: FrameBatch, put_back: Callable[[RawPush], None] | None = None) -> Iterator[Message]:
        """Take all frames that are left in a batch; yield their messages. The reading is chosen once, before.

        If an exception interrupts it, `put_back` is called with the frame that was taken and not yielded.
        """
        reading, message = self.reading(self._last), self._last
        arrival, last_prefix = batch.arrival, None
        frame: bytes | None = None  # taken and not yielded
        try:
            for prefix, frame in batch.rest:
                if prefix is not last_prefix:
                    last_prefix, origin = prefix, Origin(arrival, prefix)
                    inside, topic = prefix.inside, prefix.channel[0]
                    make, decode_data = prefix.readings[reading]
                try:
                    data = decode_data(frame[inside] if frame[-1] == END else b"")
                    message = make(topic, 0, frame, origin, UNREAD, UNREAD, None, data)
                except UNREADABLE:
                    message = self._decode_fallback(frame, origin, prefix)
                    reading, last_prefix = self._reading, None  # the fallback may have changed it
                    if message is None:
                        continue
                frame = None
                yield message
        except BaseException:
            if frame is not None and put_back is not None:
                put_back(RawPush(frame, arrival, prefix))
            raise
        finally:
            self._last = message

    def _decode_fallback(self, frame: bytes, origin: Origin | RawPush, prefix: EnvelopePrefix) -> Message | None:
        """Decode a frame whose data does not fit the current reading; return None if it is not a push."""
        message = _undecoded(frame, origin, prefix)
        if message is None:
            self.unreadable += 1
        elif self._reading == AS_PAYLOAD and self._fits(frame, prefix, AS_PAYLOAD_WITH_MORE):
            self._reading = AS_PAYLOAD_WITH_MORE
        else:
            self._reading, self._final = UNDECODED, True  # no other reading fits this topic
        return message

    @staticmethod
    def _fits(frame: bytes, prefix: EnvelopePrefix, reading: int) -> bool:
        """Return whether the data of a frame can be decoded by a reading."""
        try:
            return bool(prefix.readings[reading][1](frame[prefix.inside]))
        except UNREADABLE:
            return False

    def reading(self, message: Message | None) -> int:
        """Review how an earlier message was read; return how to read the next frame."""
        if message is None or self._final:
            return self._reading
        # These fields are set only by a second decoding. Data that was decoded with the message does not set them.
        data, payload = message.data_read is not UNREAD, message.payload_read is not UNREAD
        if self._reading == UNDECODED:
            if data != payload:
                self._reading = AS_DATA if data else AS_PAYLOAD
        elif payload if self._reading == AS_DATA else data:
            self._reading, self._final = UNDECODED, True  # the consumer reads both views
        return self._reading


def channel_of(push: Push) -> tuple[str | None, str | None]:
    """Return the topic and the subject of a push."""
    return push.prefix.channel if isinstance(push, RawPush) else (push.topic, push.subject)


def tunnel_of(push: Push) -> str | None:
    """Return the tunnel of a push, None outside all tunnels; no raw push comes through one."""
    return None if isinstance(push, RawPush) else push.tunnel_id


def arrival_of(push: Push) -> Arrival:
    """Return the arrival of a push."""
    return push.arrival if isinstance(push, RawPush) else push.origin.arrival


def with_arrival(push: Push, arrival: Arrival) -> Push:
    """Return a copy of a push with another arrival."""
    if isinstance(push, RawPush):
        return RawPush(push.frame, arrival, push.prefix)
    message = push.with_lost(push.lost)
    message.origin = Origin(arrival, push.origin.prefix)
    return message


def topics_of(batch: FrameBatch) -> set[str | None]:
    """Return the topics of the frames of a batch, without looking at each."""
    prefixes = set(batch.prefixes or ()) if batch.prefix is None else {batch.prefix}
    return {prefix.channel[0] for prefix in prefixes}


def is_readable(push: Push) -> bool:
    """Return whether the frame of a push can be decoded."""
    return not isinstance(push, RawPush) or _undecoded(push.frame, push, push.prefix) is not None


def opened(pushes: Iterable[Push]) -> list[Message]:
    """Return the messages of pushes, with their data undecoded; leave out malformed frames."""
    messages = (_undecoded(push.frame, push, push.prefix) if isinstance(push, RawPush) else push for push in pushes)
    return [message for message in messages if message is not None]


def _undecoded(frame: bytes, origin: Origin | RawPush, prefix: EnvelopePrefix) -> Message | None:
    """Decode the envelope of a frame only; return None if it is malformed."""
    try:
        message = prefix.decode(frame)
    except UNREADABLE:
        return None
    message.raw, message.origin = frame, origin
    return message
