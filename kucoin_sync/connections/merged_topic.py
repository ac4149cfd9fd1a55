"""One topic and subject that several connections carry: which of their pushes to deliver, and in what order.

Each connection brings the pushes in the order of its server. Rules:
1. A connection that has just begun to carry the topic may be ahead of another one. Its pushes are held until another
   connection brings one that is as new, or has proved that no earlier one is under way. Then the connection is placed.
   If all have just begun, the first that can be placed so is the one that began first.
2. A push of a placed connection is delivered unless another connection has brought the same push before.
3. Where the pushes have positions (`topics.table.Same.rising`), a push is a copy if its position is below the highest
   that was delivered. Of pushes with equal positions each connection may bring as many as another one has brought.
4. Else a connection owes each push that only the other connections have brought. A push that it owes is a copy; the
   pushes that it owes from before that one will not come any more.
5. A connection whose own positions go back is delivered from there on: KuCoin numbers the pushes anew. The others are
   held to be behind until theirs go back, too.

A connection repeats no push by mistake: equal pushes of one connection are as many pushes. Not thread-safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

from ..protocol.envelopes import Push
from ..protocol.message import UNREADABLE, RawPush
from ..protocol.sameness import Comparison, data_of, is_snapshot, whole_data

__all__ = ["ACCEPTED", "COPY", "HELD", "MergedTopic", "Side", "Tally"]

ACCEPTED, COPY, HELD = 0, 1, 2
_MAX_OWED = 10_000
"""Pushes that one connection may owe and that are remembered; see `Side.forgotten`."""
_MAX_HELD = 1_000
"""Pushes of one connection that may be held."""


class Tally:
    """Counts the pushes that were left out, because another connection has brought them."""

    copies = 0


class Side:
    """One connection's part in a topic.

    Attributes:
        live: whether pushes may come.
        placed: whether the connection began at or before what the others have brought.
        held: pushes that wait until it is placed, each with its value, count and turn.
        owed: the values of the pushes that only others have brought, the oldest first.
        forgotten: how many older pushes it owes. Until it brings one that is remembered, as many are taken for these.
        position, count: of its last push, and how many with that position it has brought.
        turn: how often its positions went back.
        waits: whether the merge knows that there are held pushes.
    """

    __slots__ = ("count", "forgotten", "held", "live", "owed", "placed", "position", "turn", "waits")

    def __init__(self, *, live: bool, placed: bool, turn: int) -> None:
        self.live = live
        self.placed = placed
        self.held: list[tuple[Any, int, int, Push]] = []
        self.owed: deque[Hashable] = deque()
        self.forgotten = 0
        self.position: Any = None
        self.count = 0
        self.turn = turn
        self.waits = False


class MergedTopic:
    """The state of one topic and subject.

    Args:
        comparison: how pushes are compared.
        tally: counts the copies.

    Attributes:
        sides: by connection, whatever stands for one.
        again: whether the next snapshot begins the topic again, because one was asked for.
    """

    __slots__ = ("_count", "_holding", "_position", "_read", "_rising", "_tally", "_turn", "again", "sides")

    def __init__(self, comparison: Comparison, tally: Tally) -> None:
        self._tally = tally
        self.sides: dict[Any, Side] = {}
        self.again = False
        self._read = comparison.read
        self._rising = comparison.rising
        # Of the last delivered push, as in `Side`.
        self._position: Any = None
        self._count = 0
        self._turn = 0
        self._holding = 0  # sides with held pushes

    def add(self, member: Any, *, live: bool, placed: bool) -> None:
        """Add a connection, or have it begin again; what is held of it is dropped."""
        before = self.sides.get(member)
        self._holding -= bool(before is not None and before.held)
        self.sides[member] = Side(live=live, placed=placed, turn=self._turn)

    def lose(self, member: Any, fresh: list[Push]) -> None:
        """Note that a connection was lost; append what was held of it to `fresh` if no other one can bring it."""
        side = self.sides[member]
        side.live = False
        if not any(other.live for other in self.sides.values()):
            self.place(side, fresh)
        self.add(member, live=False, placed=False)
        for other in self.sides.values():
            if self._read is whole_data:  # its pushes may never be those of the lost one: rather twice than never
                other.forgotten = 0
            other.turn = max(other.turn, self._turn)

    def remove(self, member: Any) -> None:
        """Forget a connection that was lost."""
        del self.sides[member]

    def is_caught_up(self, member: Any) -> bool:
        """Return whether a connection has brought all that was delivered."""
        side = self.sides[member]
        if self._rising:
            mine, latest = (side.turn, side.position, side.count), (self._turn, self._position, self._count)
            return side.position is not None and mine >= latest
        return not side.owed

    def take(self, side: Side, push: Push, fresh: list[Push]) -> int:
        """Take a push of a connection; append what is to be delivered to `fresh`.

        Returns:
            ACCEPTED, COPY or HELD: what became of the push itself.
        """
        data = push.frame[push.prefix.inside] if type(push) is RawPush else data_of(push)
        try:
            value = self._read(data)
        except UNREADABLE:
            if self._rising and self._position is None and not self._holding:
                self._compare_all_data()
            return self._take_equal(side, whole_data(data), push, fresh, holds=not self._rising)
        if not self._rising:
            return self._take_equal(side, value, push, fresh, holds=True)
        if side.placed and side.turn == self._turn and not self._holding and not self.again:  # most pushes
            before, latest = side.position, self._position
            if before is not None and value > before and latest is not None:
                side.position, side.count = value, 1
                if value > latest:
                    self._position, self._count = value, 1
                    fresh.append(push)
                    return ACCEPTED
                self._tally.copies += 1
                return COPY
        return self._take_rising(side, value, push, fresh)

    def undecided(self, member: Any) -> list[Any]:
        """Return the other connections with held pushes if it is not known yet with which connection to begin.

        Pushes with positions tell by these which is older.
        """
        if self._rising or not self._holding or any(each.live and each.placed for each in self.sides.values()):
            return []
        return [other for other, side in self.sides.items() if side.held and side.live and other is not member]

    def begin_with(self, member: Any) -> bool:
        """Begin with a connection whose held pushes the others have not brought before they proved to be as far.

        So these pushes are older than all that the others bring, and this connection brings what the others hold. Drop
        that, and return whether there was any.
        """
        dropping = self.undecided(member) if self.sides[member].held else []
        for other in dropping:
            self._holding -= 1
            self.sides[other].held, self.sides[other].waits = [], False
        return bool(dropping)

    def place(self, side: Side, fresh: list[Push]) -> None:
        """Append the held pushes of a connection to `fresh`: no earlier ones can come any more."""
        side.placed, side.waits = side.live, False
        if not side.held:
            return
        held, side.held = side.held, []
        self._holding -= 1
        for value, count, turn, push in held:
            if not self._rising:
                self._owe(value, side)
            elif not self._is_new(turn, value, count):
                self._tally.copies += 1
                continue
            else:
                self._position, self._count, self._turn = value, count, turn
            fresh.append(push)

    def _compare_all_data(self) -> None:
        """Compare all data from now on, because the first push has no position."""
        self._rising, self._read = False, whole_data

    def _must_wait(self, side: Side, position: Any = None) -> bool:
        """Return whether another connection may still bring earlier pushes.

        It can't if it has held pushes of its own that all have higher positions.
        """
        return any(
            other.live and not (self._rising and other.held and other.held[0][0] > position)
            for other in self.sides.values()
            if other is not side
        )

    def _hold(self, side: Side, value: Any, push: Push, fresh: list[Push]) -> int:
        self._holding += not side.held
        side.held.append((value, side.count, side.turn, push))
        if len(side.held) <= _MAX_HELD:
            return HELD
        self.place(side, fresh)
        return ACCEPTED

    # Pushes with positions

    def _is_new(self, turn: int, position: Any, count: int) -> bool:
        if turn != self._turn or self._position is None:
            return turn > self._turn or self._position is None
        return bool(position > self._position or (position == self._position and count > self._count))

    def _take_rising(self, side: Side, position: Any, push: Push, fresh: list[Push]) -> int:
        before = side.position
        # The snapshot with which a connection begins may have the position of the change that follows it.
        one = 1 if side.placed or not is_snapshot(push) else 0
        if before is None or position > before:
            side.count = one
        elif position == before:
            side.count += one
        else:
            side.turn, side.count = side.turn + 1, one
        side.position = position
        reached = self._reached(side, position) if self._holding else ()
        if not side.placed:
            for other in reached:
                self.place(other, fresh)  # it has begun before this one
            reached = ()
        if self.again and is_snapshot(push):
            self._begin_again(side, position)
        elif not self._is_new(side.turn, position, side.count):
            self._tally.copies += 1
            if not side.placed:
                self.place(side, fresh)
            return COPY
        elif not side.placed and self._must_wait(side, position):
            return self._hold(side, position, push, fresh)
        if not side.placed:
            self.place(side, fresh)
        for other in reached:
            newer = [each for each in other.held if each[0] >= position]
            del other.held[len(other.held) - len(newer) :]
            self.place(other, fresh)
            other.held, self._holding = newer, self._holding + bool(newer)
        self._position, self._count, self._turn = position, side.count, side.turn
        fresh.append(push)
        for other in reached:
            self.place(other, fresh)
        return ACCEPTED

    def _reached(self, side: Side, position: Any) -> list[Side]:
        """Return the other connections whose held pushes begin at or before a position."""
        return [
            other for other in self.sides.values() if other is not side and other.held and other.held[0][0] <= position
        ]

    def _begin_again(self, side: Side, position: Any) -> None:
        """Begin at a snapshot of one connection. What follows it is delivered after it, also what came before it."""
        self.again = False
        self._turn += 1
        self._position, self._count = position, side.count
        for other in self.sides.values():
            other.turn, other.placed = self._turn, other is side

    # Pushes without

    def _take_equal(self, side: Side, value: Hashable, push: Push, fresh: list[Push], *, holds: bool) -> int:
        owed = side.owed
        if value in owed:
            while owed.popleft() != value:
                pass
            side.forgotten = 0
            if not side.placed and holds:
                self.place(side, fresh)
            self._tally.copies += 1
            return COPY
        if side.forgotten:
            side.forgotten -= 1
            self._tally.copies += 1
            return COPY
        matching = self._release_matching(side, value, fresh) if self._holding else ()
        if holds and not side.placed and not matching and self._must_wait(side):
            return self._hold(side, value, push, fresh)
        if holds and not side.placed:
            self.place(side, fresh)
        fresh.append(push)
        self._owe(value, side, *matching)
        for other in matching:
            self.place(other, fresh)
        return ACCEPTED

    def _release_matching(self, side: Side, value: Hashable, fresh: list[Push]) -> list[Side]:
        """Return the other connections that hold an equal push; append what `side` and they hold before it to `fresh`.

        All that is older than what `side` will bring. The equal push itself is removed from what they hold.
        """
        matching = []
        for other in self.sides.values():
            place = next((n for n, each in enumerate(other.held) if each[0] == value), None)
            if other is not side and place is not None:
                self.place(side, fresh)
                fresh += (each[3] for each in other.held[:place])
                del other.held[: place + 1]
                self._tally.copies += 1
                self._holding -= not other.held
                matching.append(other)
        return matching

    def _owe(self, value: Hashable, *brought: Side) -> None:
        """Note that the live connections have still to bring a push, except those that have."""
        for other in self.sides.values():
            if other.live and other not in brought:
                other.owed.append(value)
                if len(other.owed) > _MAX_OWED:
                    other.owed.popleft()
                    other.forgotten += 1
