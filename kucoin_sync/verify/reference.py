"""The members, kinds and subjects that the local KuCoin sends, which are those that this package was tested with."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import NamedTuple

import msgspec

from ..payloads import Payload
from ..protocol.message import payload_class
from ..testing.demo import Demonstration
from .members import members_of_data
from .plan import CONTRACT, SYMBOL, topics_of

__all__ = ["Usual", "usual_shapes"]

_STEPS, _BEAT = 1200, 300


class Usual(NamedTuple):
    """What the local KuCoin sends of one struct on topics of one prefix.

    Attributes:
        kinds: the kinds of each member.
        always: the members that all of its messages have.
        subjects: their subjects.
    """

    kinds: dict[str, set[str]]
    always: set[str]
    subjects: set[str | None]


@cache
def usual_shapes() -> dict[tuple[str, type[Payload]], Usual]:
    """Return what the local KuCoin sends, by the prefix of the topic and the struct."""
    found: dict[tuple[str, type[Payload]], Usual] = {}
    exchange = Demonstration((SYMBOL, CONTRACT), 0)
    exchange.wants = _wanted(set(topics_of("all", private=True))).__contains__
    for step in range(_STEPS):
        pushes = exchange.step()
        if step % _BEAT == 0:
            pushes = [*pushes, *exchange.heartbeat()]
        for push in pushes:
            cls = payload_class(push.topic, push.subject)
            if cls is None:
                continue
            members = members_of_data(cls, msgspec.json.decode(msgspec.json.encode(push.data)))
            paths = {member.path for member in members}
            usual = found.setdefault((push.topic.partition(":")[0], cls), Usual({}, set(paths), set()))
            usual.always.intersection_update(paths)
            usual.subjects.add(push.subject)
            for member in members:
                usual.kinds.setdefault(member.path, set()).add(member.kind)
    return found


def _wanted(topics: Collection[str]) -> set[str]:
    """Return the topics as they are pushed: some private ones come with a symbol."""
    return {*topics, *(f"{topic}:{symbol}" for topic in topics if ":" not in topic for symbol in (SYMBOL, CONTRACT))}
