"""Join the trades that REST tells with those that were pushed, without a gap, a repetition or a step back. Pure.

The sequences of trades are never dense, so that a hole can't be seen from the numbers. Only overlap proves that nothing
is missing. Rules:
1. Everything delivered so far is the chain; its end is the last delivered trade. The pushes of one connection are a
   segment without holes. An answer of REST has the latest 100 trades without holes.
2. An answer that has the end of the chain extends it: its later rows are delivered at once. A segment is joined as
   soon as the chain has reached its first push.
3. The oldest row of an answer can be later than the end of the chain. Then the trades between them are gone for ever:
   that gap is told, and the chain goes on after it.
4. Pushes that are held for too long, or are too many, are delivered after a gap that is told.
5. An answer with rows on both sides of the end of the chain, or of a push, but without that trade itself shows that
   REST does not number the trades as the pushes do. So does a lower sequence with a later time. Then the gap is told,
   and the pushes go on alone until the next cut.
6. A row with a higher sequence and an earlier time than the end of the chain is merged by its sequence, if it is not
   earlier than half of the rows up to the end, or if a later row has a higher sequence: then times do not rise with the
   sequences. Otherwise it may be from before the trades were numbered anew. It is left out then, and a gap is told.
7. A row of an answer that can't be read is a hole before the next row. A gap is told there, unless the trades around it
   are pushes of one segment. A trade that the answer lacks at that place may be that row: rule 5 does not apply. A push
   of it that comes later is left out.

Instants are monotonic seconds, and arguments. Source of the rules: KuCoin's REST documentation and recorded answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from .pacing import MAX_HELD, PacedJoin

__all__ = ["Gap", "Live", "Mark", "Recovered", "Row", "Step", "TradeJoin"]

_FEW_ROWS = 10  # new rows of an answer; with fewer the next request may come later
_MS = 1_000_000


class Mark(NamedTuple):
    """The place of a trade in the feed: its sequence, and its time in nanoseconds since 1970."""

    sequence: int
    time_ns: int


class Row(NamedTuple):
    """A trade that REST has told, as the frame in which it would have been pushed.

    `after_hole` tells whether the answer had a row immediately before it that can't be read.
    """

    mark: Mark
    frame: bytes
    after_hole: bool = False


class Live(NamedTuple):
    """Deliver a push."""

    push: Any


class Recovered(NamedTuple):
    """Deliver a row, a `Row` or one of another kind that has a `frame`."""

    row: Any


class Gap(NamedTuple):
    """Tell that something may be missing between two marks; None for what is unknown.

    A mark begins with a sequence and a time.
    """

    last: Any
    first: Any
    reason: str


Step: TypeAlias = "Live | Recovered | Gap"


class TradeJoin(PacedJoin):
    """Fills the gap in one topic's trades, from a cut until the pushes go on.

    Args:
        last: the last trade that was delivered.
        now: the instant of the cut.
    """

    def __init__(self, last: Mark, now: float) -> None:
        super().__init__(now)
        self._end = last  # of the chain
        self._known: dict[int, int] = {}  # the latest sequences in the chain, as far as they matter, with their times
        self._holes: set[int] = set()  # those of them that follow a row that can't be read
        self._left_out: set[int] = set()  # sequences of rows that were told to be left out
        self._segments: list[list[tuple[Mark, Any]]] = []  # pushes that are held; the last may still grow
        self._open = False  # whether the last segment is that of a live connection
        self._reached = False  # whether the chain has reached the pushes of the live connection
        self._held = 0

    @property
    def fetch_at(self) -> float:
        """The instant of the next request; infinite if there is none."""
        return math.inf if self._reached else super().fetch_at

    def lost(self, now: float) -> list[Step]:
        self._open = self._reached = False
        return super().lost(now)

    def pushed(self, mark: Mark | None, push: Any, now: float) -> list[Step]:
        """Take a push; a mark of None means that its place is unknown."""
        if self.done:
            return [Live(push)]
        if mark is None:
            return self._stop("a push has no sequence", None, [Live(push)])
        if mark.sequence <= self._end.sequence:
            return self._pushed_below(mark, push)
        if self._reached:
            self.done = True
            return [Live(push)]
        if not self._open:
            self._open = True
            self._segments.append([])
            self._held_since = min(self._held_since, now)
            self._fetch_soon(now)
        self._segments[-1].append((mark, push))
        self._held += 1
        return self.give_up("too many pushes had to wait") if self._held > MAX_HELD else []

    def _pushed_below(self, mark: Mark, push: Any) -> list[Step]:
        """Take a push that is not later than the end of the chain."""
        known = self._known.get(mark.sequence)
        if _is_renumbered(mark, self._end) and known != _ms(mark):
            return self._stop(_ANEW, mark, [Live(push)])
        if known is not None or mark.sequence == self._end.sequence:
            self._reached = True  # rows have told it already, and all up to the end of the chain
            return []
        following = min((each for each in self._known if each > mark.sequence), default=None)
        if self._known and mark.sequence > min(self._known) and following not in self._holes:
            return self._stop(_OTHER_NUMBERS, mark)
        return []

    def answered(self, rows: Sequence[Row], asked_at: float, now: float) -> list[Step]:
        """Take the rows of an answer, in any order, to a request of the instant `asked_at`."""
        if self.done or self._reached:
            return []
        self._note_answer(asked_at)
        answer = {row.mark.sequence: row for row in rows}
        told, before = self._leave_out(answer), self._end
        steps: list[Step] = []
        if answer:
            steps += list(self._stops(answer)) or self._extend(answer)
        if told:
            steps.append(Gap(self._end, None, _EARLIER))
        new = sum(isinstance(step, Recovered) for step in steps)
        little = self._end == before or new < _FEW_ROWS
        self._fetch_again(now, waited_for=self._open, brought_little=little)
        return steps

    def give_up(self, reason: str = "") -> list[Step]:
        """Deliver all held pushes after gaps."""
        reason = reason or self.failure or "REST does not tell the trades up to the first push in time"
        steps: list[Step] = []
        for segment in self._take_segments():
            steps += self._jump(segment[0][0], reason)
            steps += self._deliver(segment)
        self.done = self._open
        return steps

    def _leave_out(self, answer: dict[int, Row]) -> bool:
        """Take rows out of an answer that may be from before the trades were numbered anew; return if some are new."""
        odd = {each for each, row in answer.items() if _is_renumbered(self._end, row.mark)}
        if odd and (times := sorted(_ms(row.mark) for each, row in answer.items() if each <= self._end.sequence)):
            highest, middle = max(answer.keys() - odd), times[(len(times) - 1) // 2]
            odd = {each for each in odd if each > highest and _ms(answer[each].mark) < middle}
        for each in odd:
            del answer[each]
        new = odd - self._left_out
        self._left_out |= new
        return bool(new)

    def _stops(self, answer: dict[int, Row]) -> Iterator[Step]:
        """Give the pushes on alone if the numbers of an answer do not fit."""
        marks = [row.mark for row in answer.values()]
        lowest, highest, end = min(answer), max(answer), self._end.sequence
        if any(_is_renumbered(mark, self._end) for mark in marks):
            yield from self._stop(_ANEW)
        elif lowest < end < highest and _lacks(answer, end):
            yield from self._stop(_OTHER_NUMBERS)
        else:
            for segment in self._segments:
                if any(lowest < mark.sequence < highest and _lacks(answer, mark.sequence) for mark, _ in segment):
                    yield from self._stop(_OTHER_NUMBERS)
                    return

    def _extend(self, answer: dict[int, Row]) -> Iterator[Step]:
        """Extend the chain by an answer, and by the segments that it reaches."""
        lowest, highest = min(answer), max(answer)
        self._holes = {each for each, row in answer.items() if row.after_hole and each > lowest}
        while highest > self._end.sequence:
            first = self._segments[0][0][0] if self._segments else None
            if lowest > self._end.sequence:  # older trades are gone
                after = answer[lowest].mark if first is None or lowest < first.sequence else first
                yield from self._jump(after, "more trades were missed than REST tells")
            if first is None or highest < first.sequence:
                yield from self._deliver([(row.mark, row) for row in answer.values()])
                self._known = {each: _ms(row.mark) for each, row in answer.items()}
                return
            self._held -= len(segment := self._segments.pop(0))
            last = segment[-1][0].sequence
            joined: dict[int, Any] = {each: row for each, row in answer.items() if each <= last}
            joined.update((mark.sequence, push) for mark, push in segment)
            marks = {each: row.mark for each, row in answer.items()} | {mark.sequence: mark for mark, _ in segment}
            yield from self._deliver([(marks[each], joined[each]) for each in joined])
            self._known = {each: _ms(mark) for each, mark in marks.items()}
            if not self._segments:
                self._held_since = math.inf
                if self._open:
                    self.done = True
                    return

    def _deliver(self, items: list[tuple[Mark, Any]]) -> Iterator[Step]:
        """Deliver rows and pushes beyond the end of the chain, in their order."""
        pushed = False
        for mark, item in sorted(items, key=lambda each: each[0].sequence):
            was_pushed, pushed = pushed, not isinstance(item, Row)
            if mark.sequence > self._end.sequence:
                if mark.sequence in self._holes and not (pushed and was_pushed):
                    yield Gap(self._end, mark, "REST tells a trade that can't be read")
                self._end = mark
                yield Live(item) if pushed else Recovered(item)

    def _jump(self, first: Mark | None, reason: str) -> Iterator[Step]:
        """Tell a gap after the end of the chain."""
        yield Gap(self._end, first, reason)
        if first is not None:
            self._end = Mark(first.sequence - 1, self._end.time_ns)
        self._known = {}

    def _stop(self, reason: str, first: Mark | None = None, more: Sequence[Step] = ()) -> list[Step]:
        """Let the pushes go on alone: tell a gap before each held segment, and one before `first` and `more`.

        Without a live connection, more may be missing after the last held push: then the join goes on from there.
        """
        steps: list[Step] = []
        for segment in self._take_segments():
            steps.append(Gap(self._end, segment[0][0], reason))
            steps += [Live(push) for _, push in segment]
            self._end = segment[-1][0]
        if not steps or more:
            steps += [Gap(self._end, first, reason), *more]
            self.done = True
        self.done = self.done or self._open
        return steps

    def _take_segments(self) -> list[list[tuple[Mark, Any]]]:
        taken, self._segments = self._segments, []
        self._held, self._held_since = 0, math.inf
        return taken


_OTHER_NUMBERS = "REST does not number the trades as the pushes do"
_ANEW = "KuCoin numbers the trades anew"
_EARLIER = "trades with later numbers and earlier times than the last one are left out"


def _lacks(answer: dict[int, Row], sequence: int) -> bool:
    """Return whether a trade between two rows is missing, unless it may be one that can't be read."""
    if sequence in answer:
        return False
    return not answer[min(each for each in answer if each > sequence)].after_hole


def _ms(mark: Mark) -> int:
    """Return the time of a trade in milliseconds, to which some feeds round it."""
    return mark.time_ns // _MS


def _is_renumbered(mark: Mark, end: Mark) -> bool:
    """Return whether a trade has a lower sequence than another, and a later time."""
    return mark.sequence < end.sequence and _ms(mark) > _ms(end)
