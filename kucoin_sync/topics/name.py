"""Topic names that carry the type of their payloads for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # part of every type checker; the default is for a bare `Message`

    P_co = TypeVar("P_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    P_co = TypeVar("P_co", covariant=True)

__all__ = ["P_co", "TopicName"]


class TopicName(str, Generic[P_co]):
    """A `str` whose type parameter is the struct (or structs) of the topic's payloads.

    For a subscription to `topics.ticker(…)`, `message.payload` has the type `Ticker | Any`. `Any` is part of it because
    a payload that does not fit its struct stays plain data.
    """

    __slots__ = ()
