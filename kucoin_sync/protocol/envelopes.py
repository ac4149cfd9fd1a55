"""Frames that are routed by their first bytes, and decoded once, by their consumer, in the way in which it reads them.

The frames of one topic and subject begin with the same bytes, up to their data. `EnvelopePrefixes` learns these bytes
from messages that were decoded whole. A frame that begins with a known prefix needs no decoding to be routed. The
consumer's `Decoder` decodes it: envelope and data in one pass, as plain Python or as the topic's struct, as the
consumer has read the messages before.

Pure. Each object is used by one thread, but for a `Decoder`: threads that share a subscription share it, and can at
worst have it choose a slower way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter, length_hint
from typing import Any, Literal, TypeAlias, overload

import msgspec

from .message import (
    UNREAD,
    UNREADABLE,
    Arrival,
    EnvelopePrefix,
    Message,
    Origin,
    RawPush,
    decode_alone,
    decode_message,
    prefix_for,
)

__all__ = [
    "DATA",
    "END",
    "Decoder",
    "EnvelopePrefix",
    "EnvelopePrefixes",
    "FrameBatch",
    "Push",
    "Pushes",
    "RawPush",
    "channel_of",
    "is_readable",
    "opened",
]

#: The ways to open a frame: its data undecoded, as its struct, as plain Python, as its struct with members that it has
#: no fields for.
UNDECODED, AS_PAYLOAD, AS_DATA, AS_PAYLOAD_WITH_MORE = 0, 1, 2, 3
#: Where the beginning of a frame ends.
DATA = b'"data":'
#: With what a frame ends, behind its data.
END = ord("}")
_start_of = attrgetter("start")
_MOST = 4096
_GONE = 256
_GLANCE = 100
_GLIMPSE = 32


Push: TypeAlias = Message | RawPush


class FrameBatch(msgspec.Struct, gc=False, eq=False):
    """Frames of one read whose envelope prefixes are all known: raw pushes that stay together.

    It reads as a sequence of raw pushes. Consumers that share a queue take frame after frame from `rest` or `pushes`,
    each of which goes on behind what the other has yielded.

    Attributes:
        frames: the frames, in the order in which they came.
        arrival: what all of them have in common.
        prefixes: for each frame its prefix; None where `prefix` is that of all.
        prefix: the one prefix of all frames, None where they differ.
        text: all frames joined, where that was done already, else b"".
        rest: yields the prefix and the frame of each, once.
        pushes: yields raw pushes.
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
        """The number of frames that nobody has taken from `rest`."""
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


class _Beginning(msgspec.Struct, forbid_unknown_fields=True):
    """All that a head may say: what else there is could differ from frame to frame, or matter to routing."""

    type: Literal["message"]
    topic: str
    data: Literal[0]
    subject: str | None = None


_decode_beginning = msgspec.json.Decoder(_Beginning).decode


class EnvelopePrefixes:
    """The heads that a connection has learned; of what the server sends it keeps a bounded number.

    Attributes:
        known: the heads by what stands before `DATA`.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, EnvelopePrefix] = {}
        self._glimpses: dict[
            bytes, EnvelopePrefix
        ] = {}  # the same by that part of their beginning in which they differ
        self._glimpse = itemgetter(slice(0, 0))
        self._learned = False  # something since they were told apart
        self._gone = 0  # topics that the connection carries no longer, since it has begun to learn
        self._passed = 0  # frames since the last attempt to learn
        self._pause = 0  # frames to pass before the next

    def forget(self, topics: int) -> None:
        """Note that so many topics are carried no longer; where they may be most of what was learned, learn anew."""
        self._gone += topics
        if self._gone > max(_GONE, len(self.known) // 2):
            self.known.clear()
            self._glimpses, self._learned, self._gone = {}, False, 0

    def find(self, frames: list[bytes]) -> list[EnvelopePrefix] | None:
        """Return the head of each frame, None where not all are known."""
        if self._learned:
            self._learned = False
            self._tell_apart()
        try:
            heads = list(map(self._glimpses.__getitem__, map(self._glimpse, frames)))
        except KeyError:
            heads = []
        if heads and all(map(bytes.startswith, frames, map(_start_of, heads))):
            return heads
        # Some are new, or can't be told apart at a glimpse.
        known = self.known.get
        heads = [found for frame in frames if (found := known(frame[: frame.find(DATA)]))]
        return heads if len(heads) == len(frames) else None

    def _tell_apart(self) -> None:
        """Choose the bytes to glimpse at: behind what all heads have in common."""
        first, last = min(self.known), max(self.known)
        common = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0)
        self._glimpse = itemgetter(slice(common, common + _GLIMPSE))
        self._glimpses = {self._glimpse(start): head for start, head in self.known.items()}

    def learn(self, frame: bytes) -> None:
        """Take a look at a frame that was decoded as a push; the more rarely, the more often that was in vain."""
        self._passed += 1
        if self._passed <= self._pause:
            return
        self._passed = 0
        start, data, _ = frame.partition(DATA)
        beginning = start + data
        try:
            says = _decode_beginning(beginning + b"0}")
            decode_alone(frame[len(beginning) : -1] if frame[-1] == END else b"")  # there is nothing behind the data
        except UNREADABLE:
            self._pause = min(2 * self._pause + 1, 1000)
            return
        self._pause = 0
        if len(self.known) >= _MOST:
            self.known.clear()
        self._learned = True
        self.known[start] = prefix_for(beginning, says.topic, says.subject)


class Decoder:
    """Decodes frames for one consumer, in the way in which it has read the messages before.

    Attributes:
        unreadable: frames that turned out to be no push.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._way = UNDECODED
        self._fixed = False
        self._last: Message | None = None  # the way in which it was read is still to be looked at
        self._unseen = _GLANCE  # messages until the next look

    def decode(self, push: Push) -> Message | None:
        """Return the message of a push, None where its frame has none."""
        if not isinstance(push, RawPush):
            return push
        if self._last is not None:
            self.way(self._last)
            self._last = None
        prefix, frame = push.prefix, push.frame
        make, decode_data = prefix.readings[self._way]
        try:
            data = decode_data(frame[prefix.inside] if frame[-1] == END else b"")
        except UNREADABLE:
            return self._decode_anyhow(frame, push)
        message = make(prefix.channel[0], 0, frame, push, UNREAD, UNREAD, None, data)
        self._unseen -= 1
        if self._unseen < 0 or (self._way == UNDECODED and not self._fixed):
            self._unseen = _GLANCE
            self._last = message
        return message

    def decode_all(self, pushes: Iterable[Push]) -> Iterator[Message]:
        """Yield the messages of pushes."""
        if isinstance(pushes, FrameBatch):
            yield from self.decode_batch(pushes)
            return
        for push in pushes:
            message = self.decode(push)
            if message is not None:
                yield message

    def decode_batch(self, batch: FrameBatch, put_back: Callable[[RawPush], None] | None = None) -> Iterator[Message]:
        """Yield the messages of the frames that are left in a batch; the way of reading is looked at once.

        `put_back` gets the frame that was taken when an exception came.
        """
        way, message = self.way(self._last), self._last
        info, last_prefix = batch.arrival, None
        frame: bytes | None = None  # taken and not delivered
        try:
            for prefix, frame in batch.rest:
                if prefix is not last_prefix:
                    last_prefix, origin, inside, topic = prefix, Origin(info, prefix), prefix.inside, prefix.channel[0]
                    make, decode_data = prefix.readings[way]
                try:
                    data = decode_data(frame[inside] if frame[-1] == END else b"")
                    message = make(topic, 0, frame, origin, UNREAD, UNREAD, None, data)
                except UNREADABLE:
                    message = self._decode_anyhow(frame, origin)
                    way, last_prefix = self._way, None  # it may have found a better way
                    if message is None:
                        continue
                frame = None
                yield message
        except BaseException:
            if frame is not None and put_back is not None:
                put_back(RawPush(frame, info, prefix))
            raise
        finally:
            self._last = message

    def _decode_anyhow(self, frame: bytes, origin: Origin | RawPush) -> Message | None:
        """Return the message of a frame that can't be decoded in the consumer's way, None where it has none."""
        message = _undecoded(frame, origin)
        if message is None:
            self.unreadable += 1
        elif self._way == AS_PAYLOAD and self._reads(frame, origin, AS_PAYLOAD_WITH_MORE):
            self._way = AS_PAYLOAD_WITH_MORE
        else:
            self._way, self._fixed = UNDECODED, True  # the way does not fit this topic
        return message

    @staticmethod
    def _reads(frame: bytes, origin: Origin | RawPush, way: int) -> bool:
        prefix = origin.prefix
        try:
            return prefix is not None and bool(prefix.readings[way][1](frame[prefix.inside]))
        except UNREADABLE:
            return False

    def way(self, message: Message | None) -> int:
        """Return how to open the next frame, having looked at how a message was read that came before it."""
        if message is None or self._fixed:
            return self._way
        # What is decoded with a message does not show in these: only what it took a second step to read.
        data, payload = message.data_read is not UNREAD, message.payload_read is not UNREAD
        if self._way == UNDECODED:
            if data != payload:
                self._way = AS_DATA if data else AS_PAYLOAD
        elif payload if self._way == AS_DATA else data:
            self._way, self._fixed = UNDECODED, True  # both are wanted
        return self._way


def channel_of(push: Push) -> tuple[str | None, str | None]:
    """Return the topic and the subject of a push."""
    return push.prefix.channel if isinstance(push, RawPush) else (push.topic, push.subject)


def is_readable(push: Push) -> bool:
    """Whether a push has a message."""
    return not isinstance(push, RawPush) or _undecoded(push.frame, push) is not None


def opened(pushes: Iterable[Push]) -> list[Message]:
    """Return the messages in pushes, with their data undecoded; those that can't be read are left out."""
    messages = (_undecoded(push.frame, push) if isinstance(push, RawPush) else push for push in pushes)
    return [message for message in messages if message is not None]


def _undecoded(frame: bytes, origin: Origin | RawPush) -> Message | None:
    try:
        message = decode_message(frame)
    except UNREADABLE:
        return None
    message.raw, message.origin = frame, origin
    return message
