"""What a merge knows of its connections, and what waits for their proofs; see `merge`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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


@dataclass(eq=False, slots=True)
class Wait:
    """What waits for proofs: `keys` that were confirmed on `member`, or its held pushes of a `topic`, in its `side`."""

    member: MergeMember
    pending: set[MergeMember]  # whose proofs are missing
    keys: tuple[TopicKey, ...] = ()
    topic: MergedTopic | None = None
    side: Side | None = None
    one_is_enough: bool = False  # of the missing proofs

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


@dataclass(eq=False)
class MergeMember:
    """What a merge knows of one connection."""

    source: Carrier
    live: bool = False
    acked: set[TopicKey] = field(default_factory=set)
    unproven: set[TopicKey] = field(default_factory=set)
    known: dict[EnvelopePrefix, tuple[MergedTopic, Side]] = field(default_factory=dict)  # a cache
    asked: list[Wait] = field(default_factory=list)  # what waits for the proof that was asked for
    unasked: list[Wait] = field(default_factory=list)  # what waits for the next one

    def forget(self, keys: set[TopicKey]) -> None:
        """Forget keys that are not wanted any more."""
        self.acked -= keys
        self.unproven -= keys
        self.withdraw(keys)

    def begin_later(self, keys: set[TopicKey], others: Iterable[MergeMember]) -> None:
        """Note keys that this connection may begin to carry later than others. What they prove from now on counts."""
        self.unproven |= keys
        for other in others:
            other.withdraw(keys, self)

    def withdraw(self, keys: set[TopicKey], of: MergeMember | None = None) -> None:
        """Have no proof that was asked for so far count for keys of another connection, or of all others.

        They may be subscribed again before it comes.
        """
        for wait in self.asked + self.unasked:
            if of in (None, wait.member):
                wait.keys = tuple(key for key in wait.keys if key not in keys)


def redundant(members: Iterable[MergeMember]) -> set[TopicKey]:
    """Return the keys that at least two of these connections have, proven."""
    once: set[TopicKey] = set()
    twice: set[TopicKey] = set()
    for member in members:
        keys = member.acked - member.unproven
        twice |= once & keys
        once |= keys
    return twice
