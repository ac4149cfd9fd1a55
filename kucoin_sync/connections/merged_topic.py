"""One topic and subject that several connections carry: which of their pushes to deliver, and in what order.

Each connection brings the pushes in the order of its server. Rules:
1. A connection that has just begun to carry the topic may be ahead of others. Its pushes are held until a placed
   connection, or the only other one, brings one that is as new, or until the others have proved that no earlier one is
   under way. Then it is called placed. If all have just begun, the first that can be placed so has begun first.
2. A push of a placed connection is delivered unless another connection has brought the same push before.
3. Where the pushes have positions (`topics.table.Same.rising`), a push is a copy if its position is below the highest
   that was delivered. Several pushes may have one position: then the second of one connection is the second of another.
4. Else a connection owes each push that only the other connections have brought. A push that it owes is a copy when it
   comes; the pushes that it owes from before that one will not come any more.
5. If the positions of one connection go back, KuCoin numbers the pushes anew, and this connection is delivered from
   there on. What the others bring counts as copies until their positions go back, too.
6. Two placed connections that have brought the same are in step. As long as they stay so, `in_step` decides, without
   decoding anything.

A connection repeats no push by mistake: equal pushes of one connection are as many pushes. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from ..protocol.envelopes import Push
from ..protocol.message import UNREADABLE, RawPush
from ..protocol.sameness import Comparison, data_of, is_snapshot, whole_data
from .in_step import ACCEPTED, COPY, HELD, Held, InStep, Side, TopicStep

__all__ = ["MergedTopic"]

_MAX_OWED = 10_000
"""Pushes that one connection may owe and that are remembered; see `Side.forgotten`."""
_MAX_HELD = 1_000
"""Pushes of one connection that may be held."""
_MAX_TRIES = 3
"""How often in a row a step may end before both connections have brought the same; then there is no other one."""
_DELIVERED: Any = None
"""Stands for a push that was delivered before its data is decoded."""


class MergedTopic:
    """The state of one topic and subject.

    Args:
        comparison: how pushes are compared.
        in_step: counts the copies.

    Attributes:
        sides: the part of each connection; the keys are any objects that stand for connections.
        again: whether the next snapshot begins the topic again, because one was asked for.
    """

    __slots__ = ("_count", "_holding", "_in_step", "_position", "_read", "_rising", "_snapshots", "_tries", "_turn",
                 "again", "sides")  # fmt: skip

    def __init__(self, comparison: Comparison, in_step: InStep) -> None:
        self._in_step = in_step
        self.sides: dict[Any, Side] = {}
        self.again = False
        self._read = comparison.read
        self._rising = comparison.rising
        self._snapshots = comparison.snapshots
        # Of the last delivered push, as in `Side`.
        self._position: Any = None
        self._count = 0
        self._turn = 0
        self._holding = 0  # sides with held pushes
        self._tries = 0  # how many steps in a row have ended before both connections had brought the same

    def add(self, member: Any, *, live: bool, placed: bool) -> None:
        """Add a connection, or have it begin again; what is held of it is dropped."""
        self._end_step()
        before = self.sides.get(member)
        self._holding -= bool(before is not None and before.held)
        self.sides[member] = Side(live=live, placed=placed, turn=self._turn)
        self._begin_step()

    def begin_later(self, member: Any) -> None:
        """Note that a connection may begin to carry the topic later than another one."""
        self._end_step()
        self.sides[member].placed = False

    def begin_again(self) -> None:
        """Begin the topic again with the next snapshot, because one was asked for."""
        self._end_step()
        self.again = self._snapshots

    def lose(self, member: Any, fresh: list[Push]) -> None:
        """Note that a connection was lost. Append what was held of it to `fresh` if no other one can bring it."""
        side = self.sides[member]
        side.live = False
        others = [other for other in self.sides.values() if other.live]
        first = side.held[0].value if side.held and self._rising else None
        if not others or not (first is None or any(each.placed or each.holds_from(first) for each in others)):
            self.place(side, fresh)
        self.add(member, live=False, placed=False)
        for other in self.sides.values():
            if self._read is whole_data:  # its pushes may never be those of the lost one: rather twice than never
                other.forgotten = 0
            other.turn = max(other.turn, self._turn)

    def remove(self, member: Any) -> None:
        """Forget a connection that was lost, or was not added whole."""
        self.sides.pop(member, None)

    def is_caught_up(self, member: Any) -> bool:
        """Return whether a connection has brought all that was delivered."""
        self._end_step()
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
        if (step := side.step) is not None:
            result = step.take(side, data)
            if result == ACCEPTED:
                fresh.append(push)
                return ACCEPTED
            if result == COPY:
                self._in_step.copies += 1
                return COPY
            if step.ahead is not side:
                self._tries = 0 if step.recent else self._tries + 1
            self._end_step()
        result = self._take(side, data, push, fresh)
        if result == COPY and self._is_level(side):
            self._begin_step()
        return result

    def _take(self, side: Side, data: bytes, push: Push, fresh: list[Push]) -> int:
        """Do what `take` does, by what the data says."""
        try:
            value = self._read(data)
        except UNREADABLE:
            if self._rising and self._position is None and not self._holding:
                self._compare_all_data()
            return self._take_equal(side, whole_data(data), push, fresh, holds=not self._rising)
        if not self._rising:
            return self._take_equal(side, value, push, fresh, holds=True)
        if side.placed and side.turn == self._turn and not self._holding and not self.again:
            before, latest = side.position, self._position
            if before is not None and value > before and latest is not None:
                side.position, side.count = value, 1
                if value > latest:
                    self._position, self._count = value, 1
                    fresh.append(push)
                    return ACCEPTED
                self._in_step.copies += 1
                return COPY
        return self._take_rising(side, value, push, fresh)

    def undecided(self, member: Any) -> list[Any]:
        """Return the other connections with held pushes if it is not known yet with which connection to begin."""
        if not self._holding or any(each.live and each.placed for each in self.sides.values()):
            return []
        return [other for other, side in self.sides.items() if side.held and side.live and other is not member]

    def begin_with(self, member: Any) -> bool:
        """Begin with a connection whose held pushes the others have not brought before they proved to be as far.

        So these pushes are older than all that the others bring, and this connection brings what the others hold. Drop
        that, and return whether there was any. Nothing is dropped if pushes have positions, which tell what is older.
        """
        side = self.sides[member]
        if self._rising or not side.held or any(self._holder(each.value, (side,)) for each in side.held):
            return False
        dropping = self.undecided(member)
        for other in dropping:
            self._holding -= 1
            self.sides[other].held, self.sides[other].waits = [], False
        return bool(dropping)

    def place(self, side: Side, fresh: list[Push]) -> None:
        """Append the held pushes of a connection to `fresh`: no earlier ones can come any more."""
        side.placed, side.waits = side.live, False
        if self._rising and self._holding and side.held:
            self._place_older(side.held[0].value, fresh)
        while side.held:  # what is equal to a push of another connection is removed meanwhile
            held = side.held.pop(0)
            self._holding -= not side.held
            if self._rising:
                self._deliver_held(held, fresh)
            else:
                self._take_equal(side, held.value, held.push, fresh, holds=False)

    def _place_older(self, position: Any, fresh: list[Push]) -> None:
        """Append the held pushes of all connections with lower positions to `fresh`."""
        older = []
        for side in [each for each in self.sides.values() if each.held and each.held[0].value < position]:
            while side.held and side.held[0].value < position:
                older.append(side.held.pop(0))
            self._holding -= not side.held
        for each in sorted(older, key=lambda held: (held.turn, held.value)):
            self._deliver_held(each, fresh)

    def _deliver_held(self, held: Held, fresh: list[Push]) -> None:
        """Append a held push with a position to `fresh`, unless it is a copy."""
        if self._is_new(held.turn, held.value, held.nth):
            self._position, self._count, self._turn = held.value, held.nth, held.turn
            fresh.append(held.push)
        else:
            self._in_step.copies += 1

    def _compare_all_data(self) -> None:
        """Compare all data from now on, because the first push has no position."""
        self._rising, self._read = False, whole_data

    def _must_wait(self, side: Side, position: Any = None) -> bool:
        """Return whether another connection may still bring earlier pushes.

        One whose own held pushes all have higher positions can't.
        """
        return any(
            other.live and not (self._rising and other.held and not other.holds_from(position))
            for other in self.sides.values()
            if other is not side
        )

    def _is_pair(self) -> bool:
        """Return whether there are two live connections: no third one may still bring earlier pushes."""
        return sum(each.live for each in self.sides.values()) == 2

    def _hold(self, side: Side, value: Any, push: Push, fresh: list[Push]) -> int:
        self._holding += not side.held
        side.held.append(Held(value, side.count, side.turn, push))
        if len(side.held) <= _MAX_HELD:
            return HELD
        self.place(side, fresh)
        return ACCEPTED

    # Connections in step

    def _begin_step(self) -> None:
        """Begin a step if there are two live connections, and both have brought the same."""
        if self._tries >= _MAX_TRIES or self._holding or self.again:
            return
        live = [each for each in self.sides.values() if each.live]
        if len(live) == 2 and all(map(self._is_level, live)):
            live[0].step = live[1].step = TopicStep()

    def _is_level(self, side: Side) -> bool:
        """Return whether a connection is placed and has brought exactly what was delivered."""
        if side.owed or side.position != self._position or side.forgotten or not side.placed:
            return False
        return side.turn == self._turn and side.count == self._count

    def _end_step(self) -> None:
        """End the step, if there is one: decode what tells where the two connections are."""
        sides = [each for each in self.sides.values() if each.step is not None]
        if not sides:
            return
        step = sides[0].step
        assert step is not None
        for side in sides:
            side.step = None
        if step.recent and self._rising:
            self._set_position(step.recent, sides)
        awaited, step.awaited = step.awaited, []  # a frame of it that is still known is no copy any more
        for data in awaited:
            assert step.ahead is not None
            self._take(step.ahead, data, _DELIVERED, [])

    def _set_position(self, recent: Iterable[bytes], sides: list[Side]) -> None:
        """Note the position of the last push that all these connections have brought; `recent` has the last ones."""
        position, count = self._position, self._count
        for data in recent:
            try:
                value = self._read(data)
            except UNREADABLE:
                continue
            position, count = value, count + 1 if value == position else 1
        if position is None:
            self._compare_all_data()
            return
        for each in sides:
            each.position, each.count = position, count
        self._position, self._count = position, count

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
        first = side.held[0].value if side.held else position
        reached = [other for other in self.sides.values() if other is not side and other.holds_from(first)]
        if not side.placed:
            for other in reached if self._is_pair() else ():
                self.place(other, fresh)  # it has begun before this one
            reached = []
        if self.again and is_snapshot(push):
            self._begin_again(side, position)
        elif not self._is_new(side.turn, position, side.count):
            self._in_step.copies += 1
            if not side.placed:
                self.place(side, fresh)
            return COPY
        elif not side.placed and self._must_wait(side, first):
            return self._hold(side, position, push, fresh)
        if not side.placed:
            self.place(side, fresh)
        if reached:
            self._place_older(position, fresh)
        self._position, self._count, self._turn = position, side.count, side.turn
        fresh.append(push)
        for other in reached:
            self.place(other, fresh)
        return ACCEPTED

    def _begin_again(self, side: Side, position: Any) -> None:
        """Begin at a snapshot of one connection. What follows it is delivered after it, also what came before it."""
        self.again = False
        self._turn += 1
        self._position, self._count = position, side.count
        for other in self.sides.values():
            other.turn, other.placed = self._turn, other is side

    # Pushes without positions

    def _take_equal(self, side: Side, value: Hashable, push: Push, fresh: list[Push], *, holds: bool) -> int:
        """Do what `take` does; `holds` says whether the push may be held."""
        if holds and not side.placed and self._holding and self._is_pair() and self._holder(value, (side,)) is not None:
            self.place(side, fresh)
        owed = side.owed
        if value in owed:
            while owed.popleft() != value:
                pass
            side.forgotten = 0
            if not side.placed and holds:
                self.place(side, fresh)
            self._in_step.copies += 1
            return COPY
        if side.forgotten:
            side.forgotten -= 1
            self._in_step.copies += 1
            return COPY
        if holds and not side.placed and self._must_wait(side):
            return self._hold(side, value, push, fresh)
        if holds and not side.placed:
            self.place(side, fresh)
        holders: list[Side] = []
        self._deliver_equal(value, push, fresh, (side,), holders)
        for other in holders:
            self.place(other, fresh)
        return ACCEPTED

    def _deliver_equal(
        self, value: Hashable, push: Push, fresh: list[Push], brought: tuple[Side, ...], holders: list[Side]
    ) -> None:
        """Append a push to `fresh`, behind what other connections hold before an equal one. The rest of them owe it.

        `brought` has the connections that have brought it, or will bring only what is newer. The others that hold it
        are appended to `holders`; what they hold up to it is removed.
        """
        while self._holding and (other := self._holder(value, brought)) is not None:
            place = next(n for n, each in enumerate(other.held) if each.value == value)
            before, other.held = other.held[:place], other.held[place + 1 :]
            self._holding -= not other.held
            self._in_step.copies += 1
            brought = *brought, other
            holders.append(other)
            for each in before:
                self._deliver_equal(each.value, each.push, fresh, brought, holders)
        fresh.append(push)
        self._owe(value, *brought)

    def _holder(self, value: Hashable, brought: tuple[Side, ...]) -> Side | None:
        """Return a connection that holds an equal push, apart from these."""
        others = (other for other in self.sides.values() if other not in brought)
        return next((other for other in others if any(each.value == value for each in other.held)), None)

    def _owe(self, value: Hashable, *brought: Side) -> None:
        """Note that the live connections have still to bring a push, except those that have."""
        for other in self.sides.values():
            if other.live and other not in brought:
                other.owed.append(value)
                if len(other.owed) > _MAX_OWED:
                    other.owed.popleft()
                    other.forgotten += 1
