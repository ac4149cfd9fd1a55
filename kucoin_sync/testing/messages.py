"""`make_message`: a message for a unit test, without a server or a stream."""

from __future__ import annotations

import time
from typing import Any, TypeVar, overload

import msgspec

from .. import InvalidTopic, Message
from ..protocol.classic import decode_message
from ..protocol.message import Arrival, Origin
from ..protocol.uta_push import decode_push
from ..topics import TopicName, grammar
from .server.publishing import Pushed, classic_message, uta_message

__all__ = ["make_message"]

P = TypeVar("P")


@overload
def make_message(
    topic: TopicName[P],
    data: Any,
    subject: str | None = None,
    *,
    epoch: int = 1,
    lost: int = 0,
    recovered: bool = False,
    received_ns: int | None = None,
    **envelope: Any,
) -> Message[P]: ...
@overload
def make_message(
    topic: str,
    data: Any,
    subject: str | None = None,
    *,
    epoch: int = 1,
    lost: int = 0,
    recovered: bool = False,
    received_ns: int | None = None,
    **envelope: Any,
) -> Message: ...
def make_message(
    topic: str,
    data: Any,
    subject: str | None = None,
    *,
    epoch: int = 1,
    lost: int = 0,
    recovered: bool = False,
    received_ns: int | None = None,
    **envelope: Any,
) -> Message:
    """Return the message that a stream would deliver for a push of these contents.

    Args:
        topic: one topic of either feed, such as "/market/ticker:BTC-USDT".
        data: KuCoin's `data` (`d` in the UTA feed); JSON values, and `Decimal`, which becomes text.
        subject: the kind of push; needed where it decides which struct the payload is.
        epoch, lost, recovered: the attributes of the message.
        received_ns: nanoseconds since 1970; None for now.
        envelope: further members beside the data, such as `sn`.

    Raises:
        InvalidTopic: it is no topic, or names several.
        ValueError: the topic has several structs, and `subject` names none of them.
    """
    singles = grammar.split(topic)
    if len(singles) != 1:
        raise InvalidTopic(f"a message has one topic, and {topic!r:.200} names {len(singles)}; make a message for each")
    (single,) = singles
    row = grammar.row_of(single)
    if row is not None and "*" not in row.payloads and subject not in row.payloads:
        raise ValueError(f"subject is {subject!r}; for {single} it is one of {', '.join(row.payloads)}")
    now = time.time_ns()
    push = Pushed(single, data, subject, None, envelope)
    uta = row is not None and row.dialect == "uta"
    frame = msgspec.json.encode(uta_message(push, now) if uta else classic_message(push))
    message = (decode_push if uta else decode_message)(frame)
    message.raw, message.lost = frame, lost
    message.origin = Origin(Arrival(epoch, now if received_ns is None else received_ns, recovered=recovered))
    return message
