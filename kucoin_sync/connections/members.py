"""What a merge knows of its connections, and what waits for their proofs; see `merge`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ..protocol.message import EnvelopePrefix
from ..protocol.session_events import TopicKey
from .in_step import Side
from .merged_topic import MergedTopic

__all__ = ["Carrier", "MergeMember", "Wait", "redundant"]


class Carrier(Protocol):
    """A connection; see `source.MessageSource`."""

    epoch: int
    drop_copies: Callable[[list[bytes]], list[bytes]] | None

    def prove(self) -> None: ...


class Wait:
    """Something that waits for proofs: confirmed keys, or the held pushes of one topic."""

    __slots__ = ("keys", "member", "one_is_enough", "pending", "side", "topic")

    def __init__(
        self,
        member: MergeMember,
        pending: set[MergeMember],
        keys: tuple[TopicKey, ...] = (),
        topic: MergedTopic | None = None,
        side: Side | None = None,
    ) -> None:
        self.member = member
        self.pending = pending  # whose proofs are missing
        self.one_is_enough = False  # of these proofs
        self.keys = keys
        self.topic = topic
        self.side = side

    def ask(self) -> None:
        """Have the missing proofs asked for next."""
        for member in self.pending:
            member.unasked.append(self)

    def narrow(self) -> None:
        """Wait for one proof only, if there are connections on which all these keys are proven already."""
        keys = self.keys or tuple(self.member.unproven)
        proven = {each for each in self.pending if each.acked.issuperset(keys) and each.unproven.isdisjoint(keys)}
        if proven:
            self.pending, self.one_is_enough = proven, True


class MergeMember:
    """What a merge knows of one connection."""

    def __init__(self, source: Carrier) -> None:
        self.source = source
        self.live = False
        self.acked: set[TopicKey] = set()
        self.unproven: set[TopicKey] = set()
        self.known: dict[EnvelopePrefix, tuple[MergedTopic, Side]] = {}  # a cache
        self.asked: list[Wait] = []  # what waits for the proof that was asked for
        self.unasked: list[Wait] = []  # what waits for the next one


def redundant(members: Iterable[MergeMember]) -> set[TopicKey]:
    """Return the keys that at least two of these connections have, proven."""
    once: set[TopicKey] = set()
    twice: set[TopicKey] = set()
    for member in members:
        keys = member.acked - member.unproven
        twice |= once & keys
        once |= keys
    return twice
