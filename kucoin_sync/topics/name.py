"""A topic's name that a type checker can tell the payloads of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # part of every type checker; the default is what `Message` alone means

    P_co = TypeVar("P_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    P_co = TypeVar("P_co", covariant=True)

__all__ = ["P_co", "TopicName"]


class TopicName(str, Generic[P_co]):
    """Plain text in every respect; the parameter is the struct (or structs) that messages of the topic carry.

    What `Stream.subscribe` makes of it: `message.payload` is typed `Ticker | Any` after `topics.ticker(…)`, `Any`
    because a payload that does not fit its struct stays plain data.
    """

    __slots__ = ()
