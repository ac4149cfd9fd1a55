"""Compare the pushes of two connections without decoding them, as long as both bring the same.

Two connections are in step on a topic once both have brought the same pushes of it. Rules:
1. What one of them brings is delivered, whatever it is, unless the other one has brought a push that this one has not.
2. Then this one has to bring equal data next. That is a copy.
3. If it brings other data, or is far behind, the step ends: `merged_topic` decodes the pushes that only one connection
   has brought, and the last ones that both have brought. Nothing else tells where the two are.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, Protocol

from ..protocol.envelopes import EnvelopePrefix, FrameBatch, Push, Pushes, RawPush

__all__ = ["ACCEPTED", "COPY", "HELD", "Held", "InStep", "Side", "TopicStep"]

ACCEPTED, COPY, HELD = 0, 1, 2  # what became of a push
_MAX_AWAITED = 1_000
"""Pushes of a topic that only one of the two connections has brought."""
_MAX_AWAITED_BYTES = 256 * 1024
"""Their bytes, if all are as large as the last one. Many topics wait at once while one connection is silent."""
_MAX_RECENT = 8
"""Pushes that both have brought: the last one may be unreadable, or the positions of the last ones may be equal."""
_MAX_FRAMES = 1_000
"""Frames by which copies are found before anything of them is read."""


class _Member(Protocol):
    """A connection; `known` has, for each envelope prefix, the topic and the side of the connection in it."""

    @property
    def known(self) -> Mapping[EnvelopePrefix, tuple[object, Side]]: ...


class Held(NamedTuple):
    """A push that waits until its connection is placed, with what `Side` had for it when it came."""

    value: Any  # its position, or what stands for its data
    nth: int  # `Side.count`
    turn: int
    push: Push


@dataclass(eq=False, slots=True)
class Side:
    """One connection's part in a topic.

    Attributes:
        live: whether pushes may come.
        placed: whether the connection began at or before what the others have brought.
        held: pushes that wait until it is placed, the oldest first.
        owed: the values of the pushes that only others have brought, the oldest first.
        forgotten: how many pushes it owes that were too many for `owed`. Until it brings one that is in `owed`, as many
            others are taken for these.
        position, count: of its last push, and how many with that position it has brought.
        turn: how often its positions went back.
        waits: whether the merge was told to ask for the proofs that place the connection.
        step: shared with the connection with which this one is in step; None without one.
    """

    live: bool
    placed: bool
    turn: int
    held: list[Held] = field(default_factory=list)
    owed: deque[Hashable] = field(default_factory=deque)
    forgotten: int = 0
    position: Any = None
    count: int = 0
    waits: bool = False
    step: TopicStep | None = None

    def holds_from(self, position: Any) -> bool:
        """Return whether the first held push has this position or a lower one."""
        return bool(self.held) and self.held[0].value <= position


@dataclass(eq=False, slots=True)
class TopicStep:
    """What two connections have brought of a topic since they are in step.

    Attributes:
        ahead: the connection that has brought what the other one has not, if there is any.
        awaited: the data of these pushes, the oldest first.
        recent: the data of the last pushes that both have brought, the oldest first.
    """

    ahead: Side | None = None
    awaited: list[bytes] = field(default_factory=list)
    recent: deque[bytes] = field(default_factory=partial(deque, maxlen=_MAX_RECENT))

    def take(self, side: Side, data: bytes) -> int | None:
        """Take the data of a push; return ACCEPTED or COPY, or None if the step has to end first."""
        awaited = self.awaited
        if not awaited:
            self.ahead = side
        elif self.ahead is not side:
            if awaited[0] != data:
                return None
            self.recent.append(awaited.pop(0))
            return COPY
        elif (count := len(awaited)) >= _MAX_AWAITED or count * len(data) >= _MAX_AWAITED_BYTES:
            return None
        awaited.append(data)
        return ACCEPTED


class InStep:
    """The topics of one merge that are in step.

    Args:
        lock: guards this object; held by the callers of `take`.

    Attributes:
        copies: how many pushes were left out, because another connection has brought them.
        frames: a cache of frames that one connection has brought, each with step, data, connection and side.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.copies = 0
        self._lock = lock
        self.frames: dict[bytes, tuple[TopicStep, bytes, _Member, Side]] = {}

    def take(self, member: _Member, pushes: Pushes, fresh: list[Push]) -> tuple[int, Pushes]:
        """Take pushes of a connection, up to the first one whose topic is not in step.

        Append what is to be delivered to `fresh`, unless that is all of `pushes`.

        Returns:
            How many were accepted, and the pushes that are left.
        """
        known, frames = member.known, self.frames
        if len(frames) >= _MAX_FRAMES:
            frames.clear()
        accepted: list[int] = []
        place = 0
        for prefix, frame in _frames_of(pushes):
            found = known.get(prefix)
            if found is None or (step := found[1].step) is None:
                break
            data = frame[prefix.inside]
            result = step.take(found[1], data)
            if result == ACCEPTED:
                accepted.append(place)
                frames[frame] = step, data, member, found[1]
            elif result is None:
                break
            place += 1
        count = len(accepted)
        if count == len(pushes):
            return count, ()
        self.copies += place - count
        fresh += map(pushes.__getitem__, accepted)
        return count, pushes[place:] if place else pushes

    def drop_copies(self, member: _Member, frames: list[bytes]) -> list[bytes]:
        """Return the frames of a read without the copies at its beginning; called without the lock.

        There may be copies in what is left, too.
        """
        known = self.frames
        if frames[0] not in known:
            return frames
        count = 0
        with self._lock:
            for frame in frames:
                step, data, ahead, side = known.pop(frame, _NONE)
                if ahead is member or step.ahead is not side or not step.awaited or step.awaited[0] != data:
                    break
                step.recent.append(step.awaited.pop(0))
                count += 1
            self.copies += count
        return frames[count:]


_NONE: tuple[TopicStep, bytes, Any, Any] = TopicStep(), b"", None, None


def _frames_of(pushes: Pushes) -> Iterable[tuple[EnvelopePrefix, bytes]]:
    """Return the prefixes and the frames of pushes, up to the first one that was decoded."""
    if isinstance(pushes, FrameBatch):
        prefixes: Iterable[Any] = pushes.prefixes or repeat(pushes.prefix)
        return zip(prefixes, pushes.frames)  # noqa: B905 - one may be endless
    return _frames_of_list(pushes)


def _frames_of_list(pushes: Iterable[Push]) -> Iterator[tuple[EnvelopePrefix, bytes]]:
    for push in pushes:
        if not isinstance(push, RawPush):
            return
        yield push.prefix, push.frame
