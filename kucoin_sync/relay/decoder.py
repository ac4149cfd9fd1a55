"""Make pushes from frames that were read from Redis; a frame whose envelope prefix is known is not decoded. Pure."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.envelopes import DATA, EnvelopePrefixes, Push, RawPush
from ..protocol.message import UNREADABLE, Arrival, Message, Origin, decode_message

__all__ = ["RelayDecoder"]


class RelayDecoder:
    """Makes pushes from frames; used by one thread."""

    def __init__(self) -> None:
        self._prefixes = EnvelopePrefixes()
        self._arrival = Arrival()

    def push(
        self, frame: bytes, epoch: int, received_ns: int, payload_mismatch: Callable[[Message], None] | None, lost: int
    ) -> Push | None:
        """Return the push of a frame, or None if it is malformed; a push with `lost` messages is decoded at once."""
        arrival = self._arrival
        if arrival.received_ns != received_ns or arrival.epoch != epoch:
            arrival = self._arrival = Arrival(epoch, received_ns, payload_mismatch)
        if not lost:
            prefix = self._prefixes.known.get(frame[: frame.find(DATA)])
            if prefix is not None:
                return RawPush(frame, arrival, prefix)
        try:
            message = decode_message(frame)
        except UNREADABLE:
            return None
        message.raw, message.origin, message.lost = frame, Origin(arrival), lost
        if not lost:
            self._prefixes.learn(frame)
        return message
