"""Join the candles that REST tells with those that were pushed. Pure.

A pushed candle has all trades since its start, so that nothing is missing as long as it is the same candle. When a
later one is pushed after a cut, REST has to tell the candles before it, from the one on that was open at the cut.
Rules:
1. A row of REST is final if the answer has a later row that had begun 2 seconds before REST was asked, or if it is the
   only one and its range had ended 30 seconds before. A row that is not final is delivered too while nothing is pushed,
   if it shows more volume than the last message.
2. Pushes of a later candle are held until an answer has a row of that candle or a later one, and final rows before it.
   The row of the candle that was open at the cut must be among them: that is the overlap.
3. An answer in which that row has less volume than was pushed shows an earlier state: another is fetched. An answer
   with later rows but without that row closes nothing: the gap is told.
4. KuCoin completes a candle a little after its end. If the last push was that early in its candle, the candle before it
   is taken from REST, too: it counts as the one that was open, and pushes wait until it is final.
5. Pushes that are held for too long, or are too many, are delivered after a gap that is told. At another cut those
   that are held are dropped: later ones, and rows, show all that they showed.
6. A row of an answer that can't be read is a hole before the next row. A gap is told there, unless the candles around
   it are pushes. It may be the row of the candle that was open at the cut: rule 3 does not apply.

A range of REST without a row had no trade. Instants are monotonic seconds, and arguments. The server's time is only
estimated from the times of pushes, never too late. Source of the rules: KuCoin's REST documentation and recorded
answers.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from .pacing import MAX_HELD, PacedJoin
from .trades import Gap, Live, Recovered, Step

__all__ = ["CandleJoin", "CandleMark", "CandleRow"]

_GRACE = 2.0  # seconds after which KuCoin has put all trades into a candle
_LONGEST_LAG = 30.0  # seconds after which REST surely tells a candle


class CandleMark(NamedTuple):
    """The state of a candle: its start in seconds since 1970, the time of the push in nanoseconds, and the volume."""

    sequence: int
    time_ns: int
    volume: Decimal


class CandleRow(NamedTuple):
    """A candle that REST has told, as the frame in which it would have been pushed.

    `after_hole` tells whether the answer had a row immediately before it that can't be read.
    """

    mark: CandleMark
    frame: bytes
    after_hole: bool = False


class CandleJoin(PacedJoin):
    """Fills the gap in one topic's candles, from a cut until the pushes go on; see `trades.TradeJoin`.

    Args:
        last: the last candle that was delivered.
        now: the instant of the cut.
        span: the seconds of a candle, of a month those of the longest.
        most_rows: the largest number of rows of an answer.
    """

    def __init__(self, last: CandleMark, now: float, span: int, most_rows: int) -> None:
        super().__init__(now)
        self._open = last  # the candle that was open at the cut, as it was pushed
        if 0 < last.time_ns < (last.sequence + _GRACE) * 1e9:
            last = CandleMark(last.sequence - span, last.time_ns, Decimal(0))
        self._last = last
        self._span = span
        self._most_rows = most_rows
        self._from = last.sequence  # the start of the next range to ask for
        self._is_matched = False  # whether an answer had the candle that was open at the cut
        self._held: list[tuple[CandleMark, Any]] = []  # pushes, all of one connection
        self._offset = -math.inf  # the server's time minus the monotonic clock, at least
        self._note_time(last, now)

    @property
    def range(self) -> tuple[int, int]:
        """The starts of the first and the last candle to ask for, in seconds since 1970."""
        return self._from, self._from + (self._most_rows - 1) * self._span

    def lost(self, now: float) -> list[Step]:
        self._take_held()
        return super().lost(now)

    def pushed(self, mark: CandleMark | None, push: Any, now: float) -> list[Step]:
        """Take a push; a mark of None means that its place is unknown."""
        if self.done:
            return [Live(push)]
        if mark is None:
            self.done = True
            return [*self.give_up(_NO_START), Gap(self._last, None, _NO_START), Live(push)]
        self._note_time(mark, now)
        if mark.sequence < self._last.sequence:
            return []  # REST was faster
        if mark.sequence == self._last.sequence:
            if mark.volume < self._last.volume:
                return []  # REST was faster
            self._last, self.done = mark, not self._held
            return [Live(push)]
        if not self._held:
            self._held_since = now
            self._fetch_soon(now)
        self._held.append((mark, push))
        return self.give_up("too many pushes had to wait") if len(self._held) > MAX_HELD else []

    def answered(self, rows: Sequence[CandleRow], asked_at: float, now: float) -> list[Step]:
        """Take the rows of an answer, in any order, to a request of the instant `asked_at` for `range`."""
        if self.done:
            return []
        self._note_answer(asked_at)
        answer = sorted((row for row in rows if row.mark.sequence >= self._last.sequence), key=lambda row: row.mark)
        _, end = self.range
        age = self._offset + asked_at - end - self._span  # of the end of this page
        is_final = len(answer) == 1 and age >= _LONGEST_LAG  # of several rows, the next page has the last one again
        last, steps = self._last, list(self._join(answer, asked_at, is_final=is_final) if answer else ())
        if self._is_matched and (age >= 0 if len(answer) > 1 else age >= _LONGEST_LAG):
            self._from = answer[-1].mark.sequence if len(answer) > 1 else end  # pages overlap by one row
            self._fetch_at = now
            return steps
        self._fetch_again(now, waited_for=bool(self._held), brought_little=self._last == last)
        return steps

    def give_up(self, reason: str = "") -> list[Step]:
        """Deliver all held pushes after a gap."""
        reason = reason or self.failure or "REST does not tell the candles up to the first push in time"
        held = self._take_held()
        if not held:
            return []
        self.done = True
        return [Gap(self._last, held[0][0], reason), *self._deliver(held)]

    def _join(self, answer: list[CandleRow], asked_at: float, *, is_final: bool) -> Iterator[Step]:
        """Deliver what an answer tells; `answer` is in the order of starts and not empty.

        `is_final` tells that its only row is, because the page has ended long ago.
        """
        if self._last.sequence < self._open.sequence and self._open.sequence + _GRACE > self._offset + asked_at:
            return  # the candle before the open one may not be complete yet
        if not self._is_matched:
            yield from self._match(answer)
            if not self._is_matched:
                return
        final = [
            row
            for row, later in pairwise(answer)
            if min(row.mark.sequence + self._span, later.mark.sequence) + _GRACE <= self._offset + asked_at
        ]
        if is_final:
            final = answer
        newest = answer[-1].mark.sequence
        holes = {row.mark.sequence for row in answer if row.after_hole}
        if not self._held:
            told = answer if len(final) == len(answer) - 1 else final
            yield from self._deliver([(row.mark, row) for row in told], holes)
            return
        start = self._held[0][0].sequence
        yield from self._deliver([(row.mark, row) for row in final if row.mark.sequence < start], holes)
        if newest >= start and all(row.mark.sequence >= start for row in answer[len(final) :]):
            yield from self._deliver(self._take_held(), holes)
            self.done = True

    def _match(self, answer: list[CandleRow]) -> Iterator[Step]:
        """Look whether an answer has the candle that was open at the cut."""
        row = next((row for row in answer if row.mark.sequence >= self._open.sequence), None)
        if row is None:
            return
        first = row.mark
        if row.after_hole and first.sequence > self._open.sequence:
            self._is_matched = True  # the hole is told when the row is delivered
            return
        if first.sequence == self._open.sequence or not self._open.volume:
            self._is_matched = first.sequence > self._open.sequence or first.volume >= self._open.volume
            return
        reason = "REST does not have the candle that was open at the cut"
        if self._held:
            yield from self.give_up(reason)
        else:
            yield Gap(self._last, first, reason)
            self._is_matched = True

    def _deliver(self, items: list[tuple[CandleMark, Any]], holes: Container[int] = ()) -> Iterator[Step]:
        """Deliver rows and pushes that are later than the last message, or show more of the same candle.

        `holes` are the starts of the rows after a hole.
        """
        pushed = False
        for mark, item in sorted(items, key=lambda each: (each[0].sequence, each[0].volume)):
            was_pushed, pushed = pushed, not isinstance(item, CandleRow)
            last, known = self._last, self._open
            if mark.sequence > last.sequence and mark.sequence in holes and not (pushed and was_pushed):
                yield Gap(last, mark, "REST tells a candle that can't be read")
                self._last = last = max(last, known) if mark.sequence == known.sequence else last
            if mark.sequence == known.sequence and mark.volume <= known.volume:
                continue  # it was delivered before the cut
            if (mark.sequence, mark.volume) > (last.sequence, last.volume):
                self._last = mark
                yield Live(item) if pushed else Recovered(item)

    def _note_time(self, mark: CandleMark, now: float) -> None:
        self._offset = max(self._offset, mark.time_ns / 1e9 - now)

    def _take_held(self) -> list[tuple[CandleMark, Any]]:
        taken, self._held = self._held, []
        self._held_since = math.inf
        return taken


_NO_START = "a push has no start"
