"""Frames that are routed unopened: who reads a message has it decoded, once, in the way in which it is read.

The frames of one topic and subject begin with the same bytes, up to their data. `Heads` learns these beginnings from
messages that were decoded whole; what begins like one of them needs no decoding to be routed. The consumer's
`Opener` decodes it: envelope and data in one pass, as plain Python or as the topic's struct, as the consumer
has read the message before.

Pure; each object is used by one thread, but for an `Opener`, in which threads that share a subscription can at worst
choose a slower way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from .messages import (
    UNREAD,
    UNREADABLE,
    Head,
    Message,
    Sealed,
    decode_message,
    decode_plain,
    payload_class,
    typed_decoder_for,
)

__all__ = ["DATA", "Head", "Heads", "Opener", "Push", "Run", "Sealed", "kind_of", "opened"]

#: The ways to open a frame: its data undecoded, as its struct, as plain Python.
UNDECODED, AS_PAYLOAD, AS_DATA = 0, 1, 2
#: Where the beginning of a frame ends.
DATA = b'"data":'
_MOST = 4096
_GLANCE = 100


Push: TypeAlias = "Message | Sealed"
#: Pushes in their order, and the head of all of them where they have one in common.
Run: TypeAlias = "tuple[Head | None, Sequence[Push]]"


class _Beginning(msgspec.Struct, forbid_unknown_fields=True):
    """All that a head may say: what else there is could differ from frame to frame, or matter to routing."""

    type: Literal["message"]
    topic: str
    data: Literal[0]
    subject: str | None = None


_decode_beginning = msgspec.json.Decoder(_Beginning).decode


class Heads:
    """The heads that a connection has learned; of what the server sends it keeps a bounded number.

    Attributes:
        known: the heads by what stands before `DATA`.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self._passed = 0  # frames since the last attempt to learn
        self._pause = 0  # frames to pass before the next

    def learn(self, frame: bytes) -> None:
        """Take a look at a frame that was decoded as a push; the more rarely, the more often that was in vain."""
        self._passed += 1
        if self._passed <= self._pause:
            return
        self._passed = 0
        start, data, _ = frame.partition(DATA)
        try:
            beginning = _decode_beginning(start + data + b"0}")
            whole = decode_message(frame)
        except UNREADABLE:
            self._pause = min(2 * self._pause + 1, 1000)
            return
        kind = beginning.topic, beginning.subject
        if (whole.topic, whole.subject, whole.tunnel_id) != (*kind, None):
            return  # it says more behind its data
        self._pause = 0
        if len(self.known) >= _MOST:
            self.known.clear()
        cls = payload_class(*kind)
        typed = typed_decoder_for(cls) if cls is not None else None
        self.known[start] = Head(start + data, kind, (decode_message, typed or decode_message, decode_plain))


class Opener:
    """Opens frames for one consumer.

    Attributes:
        unreadable: frames that turned out to be no push.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._way = UNDECODED
        self._fixed = False
        self._last: Message | None = None  # whose way of being read is still to be looked at
        self._unseen = _GLANCE  # messages until that is done again

    def open(self, push: Push) -> Message | None:
        """Return the message of a push, None where a frame has none."""
        if not isinstance(push, Sealed):
            return push
        if self._last is not None:
            self.way(self._last)
            self._last = None
        try:
            message = push.head.decoders[self._way](push.frame)
        except UNREADABLE:
            return self.open_undecoded(push)
        message.origin = push
        self._unseen -= 1
        if self._unseen < 0 or (self._way == UNDECODED and not self._fixed):
            self._unseen = _GLANCE
            self._last = message
        return message

    def each(self, pushes: Iterable[Push]) -> Iterator[Message]:
        """Yield the messages in pushes; how they are read is looked at when they come together, not for each."""
        way, message = self.way(self._last), self._last
        try:
            for push in pushes:
                if isinstance(push, Sealed):
                    try:
                        message = push.head.decoders[way](push.frame)
                        message.origin = push
                    except UNREADABLE:
                        message = self.open_undecoded(push)
                        if message is None:
                            continue
                    yield message
                else:
                    yield push  # it was opened elsewhere, or is a book's change
        finally:
            self._last = message

    def open_undecoded(self, push: Sealed) -> Message | None:
        """Do the same for a frame that could not be opened in the consumer's way."""
        message = _undecoded(push)
        if message is None:
            self.unreadable += 1
        else:
            self._way, self._fixed = UNDECODED, True  # the way does not fit this topic
        return message

    def way(self, message: Message | None) -> int:
        """Return how to open the next frame, having looked at how a message was read that came before it."""
        if message is None or self._fixed:
            return self._way
        # What is decoded with a message does not show in these: only what it took a second step to read.
        data, payload = message.data_read is not UNREAD, message.payload_read is not UNREAD
        if self._way == UNDECODED:
            if data != payload:
                self._way = AS_DATA if data else AS_PAYLOAD
        elif data if self._way == AS_PAYLOAD else payload:
            self._way, self._fixed = UNDECODED, True  # both are wanted
        return self._way


def kind_of(push: Push) -> tuple[str | None, str | None]:
    """Return the topic and the subject of a push."""
    return push.head.kind if isinstance(push, Sealed) else (push.topic, push.subject)


def opened(pushes: Iterable[Push]) -> list[Message]:
    """Return the messages in pushes, with their data undecoded; those that can't be read are left out."""
    messages = (_undecoded(push) if isinstance(push, Sealed) else push for push in pushes)
    return [message for message in messages if message is not None]


def _undecoded(push: Sealed) -> Message | None:
    try:
        message = decode_message(push.frame)
    except UNREADABLE:
        return None
    message.origin = push
    return message
