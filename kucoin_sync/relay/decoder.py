"""Make pushes from frames that were read from Redis; a frame whose envelope prefix is known is not decoded. Pure."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.dialects import DIALECTS
from ..protocol.envelopes import Push, opened
from ..protocol.message import UNREADABLE, Arrival, Message
from ..topics.grammar import dialect_of

__all__ = ["RelayDecoder"]


class RelayDecoder:
    """Makes pushes from the frames of one market; used by one thread."""

    def __init__(self, market: str) -> None:
        self._make_push = DIALECTS[dialect_of(market)].reader().push
        self._arrival = Arrival()

    def push(
        self,
        frame: bytes,
        epoch: int,
        received_ns: int,
        payload_mismatch: Callable[[Message], None] | None,
        lost: int,
        *,
        topic: str,
        recovered: bool = False,
    ) -> Push | None:
        """Return the push of a frame, or None if it is malformed; a push with `lost` messages is decoded at once.

        `topic` is the subscribed topic, whatever the frame names.
        """
        arrival = self._arrival
        same_read = arrival.received_ns == received_ns and arrival.epoch == epoch
        if not same_read or arrival.recovered is not recovered or arrival.topic != topic:
            mismatch = None if recovered else payload_mismatch  # REST does not tell all fields
            arrival = self._arrival = Arrival(epoch, received_ns, mismatch, recovered, topic)
        try:
            push = self._make_push(frame, arrival)
        except UNREADABLE:
            return None
        if not lost:
            return push
        for message in opened((push,)):
            message.lost = lost
            return message
        return None
