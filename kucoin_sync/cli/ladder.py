"""An order book as a ladder: asks above, bids below, and the size and cumulative size of each price."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from .. import BookNotReady, BookSnapshot, LocalBook
from . import figures
from .changes import RecentChanges
from .layout import Column, Glyphs, Line, Span, Style, bar, columns, crop, line, printable, text_of, wrapped
from .live import View

__all__ = ["Ladder", "ladder"]

_SIDES: tuple[tuple[str, Style], ...] = (("ask", "down"), ("bid", "up"))
_NARROWEST_BAR = 10
_RULES = 6  # columns beside the text between asks and bids


class Ladder(View):
    """The best `depth` levels of each side of a book, or fewer if they do not fit."""

    def __init__(self, book: LocalBook[Any, Any], depth: int, glyphs: Glyphs) -> None:
        self.title = f"Order book of {book.symbol}, level {book.level}"
        self._book = book
        self._depth = depth
        self._glyphs = glyphs
        self._snapshot: BookSnapshot | None = None
        self._reason = ""
        self._drawn = 0
        self._changes = RecentChanges()
        self._levels: dict[str, dict[Decimal, Decimal]] = {"ask": {}, "bid": {}}

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self._drawn >= self.limit

    def update(self) -> None:
        try:
            self._snapshot, self._reason = self._book.snapshot(self._depth), ""
            self.seen += 1
            self._note("ask", self._snapshot.asks)
            self._note("bid", self._snapshot.bids)
        except BookNotReady as error:
            if self._book.closed:
                self._book.wait_ready()  # raises the error that ended the book
            self._snapshot, self._reason = None, str(error)

    def draw(self, width: int, height: int) -> list[Line]:
        if self._snapshot is None:
            return [line(Span(text, "warn")) for text in wrapped(printable(self._reason), width)][:height]
        self._drawn += 1
        now = time.monotonic()
        return ladder(
            self._snapshot, width, height, self._glyphs, lambda side, price: self._changes.direction((side, price), now)
        )

    def _note(self, side: str, levels: Sequence[tuple[Decimal, Decimal]]) -> None:
        """Take in the sizes of a side. A level that was beyond the last one has not just changed."""
        now, before = time.monotonic(), self._levels[side]
        self._levels[side] = dict(levels)
        for price in before.keys() - self._levels[side].keys():
            self._changes.forget((side, price))
        for price, size in levels:
            if before and price not in before and (price < max(before) if side == "ask" else price > min(before)):
                self._changes.note((side, price), Decimal(0), now)
            self._changes.note((side, price), size, now)


def ladder(
    snapshot: BookSnapshot,
    width: int,
    height: int,
    glyphs: Glyphs,
    change_of: Callable[[str, Decimal], int] | None = None,
) -> list[Line]:
    """Return the levels of a snapshot that fit into `height` lines of at most `width` columns.

    `change_of` says of a side ("ask" or "bid") and a price whether the size there has just risen (1) or fallen (-1).
    """
    rows = max(1, (height - 2 - snapshot.partial) // 2)
    sides = [list(levels)[:rows] for levels in (snapshot.asks, snapshot.bids)]
    digits = [max((figures.decimals(level[part]) for side in sides for level in side), default=0) for part in (0, 1)]
    queues = _queues(snapshot)
    cells: list[list[Span]] = []
    totals: list[tuple[Decimal, Decimal]] = []
    for (name, style), levels in zip(_SIDES, sides, strict=True):
        total = Decimal(0)
        made = []
        for price, size in levels:
            total += size
            changed = 0 if change_of is None else change_of(name, price)
            mark = "" if change_of is None else figures.move(changed, glyphs)
            made.append(
                [
                    Span(name, "dim"),
                    Span(figures.fixed(price, digits[0]), style),
                    Span(f"{figures.fixed(size, digits[1])}{mark}", "bold" if changed else ""),
                    *([Span(str(len(queues[name, price])))] if snapshot.level == 3 else []),
                    Span(figures.fixed(total, digits[1]), "dim"),
                ]
            )
            totals.append((size, total))
        if name == "ask":  # the best ask stands next to the bids
            made.reverse()
            totals.reverse()
        cells += made
    heads = [
        Column("", right=False), Column("price"), Column("size"),
        *([Column("orders", rank=2)] if snapshot.level == 3 else []), Column("total", rank=1),
    ]  # fmt: skip
    titles, *table = columns(heads, cells, width)
    space = width - max((len(text_of(row)) for row in table), default=0) - 2
    if space >= _NARROWEST_BAR:
        most = max((total for _, total in totals), default=Decimal(0))
        for place, (row, (size, total)) in enumerate(zip(table, totals, strict=True)):
            ask = place < len(sides[0])
            if snapshot.level == 3:
                level = (sides[0][::-1] + sides[1])[place]
                after = _queue(queues["ask" if ask else "bid", level.price], space, glyphs)
            else:
                after = _depth(size, total, most, space, "down" if ask else "up", glyphs)
            table[place] = (*row, Span("  "), *after)
        titles = (*titles, Span("  "), Span("queue, first to trade first" if snapshot.level == 3 else "depth", "dim"))
    table.insert(len(sides[0]), _middle(snapshot, width, glyphs))
    lines = [crop(row, width) for row in (titles, *table)]
    if snapshot.partial:
        lines.append(
            crop(
                line(
                    Span(
                        "Without an API key only a part of the book is known: its last levels may be incomplete.", "dim"
                    )
                ),
                width,
            )
        )
    return lines


def _depth(size: Decimal, total: Decimal, most: Decimal, space: int, style: Style, glyphs: Glyphs) -> tuple[Span, ...]:
    """Return a bar for the size at a price, extended in another shade to the cumulative size."""
    own = bar(float(size / most), space, glyphs) if most else ""
    whole = bar(float(total / most), space, glyphs._replace(parts="")) if most else ""
    return Span(own, style), Span(glyphs.shade * max(0, len(whole) - len(own)), style)


def _queues(snapshot: BookSnapshot) -> dict[tuple[str, Decimal], list[Decimal]]:
    """Return the sizes of the orders at each price of each side, in trading order."""
    queues: dict[tuple[str, Decimal], list[Decimal]] = defaultdict(list)
    for name, orders in (("ask", snapshot.ask_orders), ("bid", snapshot.bid_orders)):
        for order in orders:
            queues[name, order.price].append(order.size)
    return queues


def _queue(sizes: Sequence[Decimal], space: int, glyphs: Glyphs) -> tuple[Span, ...]:
    """Return the sizes of a queue in trading order, and the number of those that do not fit."""
    shown: list[str] = []
    for place, size in enumerate(sizes):
        text = figures.short(size)
        left = len(sizes) - place - 1
        used = sum(len(other) + 3 for other in shown) + len(text)
        if used + (len(f"  +{left}") if left else 0) > space:
            return Span(f" {glyphs.wick} ".join(shown)), Span(f"  +{len(sizes) - place}", "dim")
        shown.append(text)
    return (Span(f" {glyphs.wick} ".join(shown)),)


def _middle(snapshot: BookSnapshot, width: int, glyphs: Glyphs) -> Line:
    """Return the line between asks and bids."""
    parts = [f"sequence {snapshot.sequence}"]
    if snapshot.spread is not None and snapshot.mid:
        share = snapshot.spread / snapshot.mid
        parts = [f"spread {snapshot.spread:f} ({share:.4%})", f"middle {snapshot.mid:f}", *parts]
    while len(parts) > 1 and len(glyphs.gap.join(parts)) + _RULES > width:
        parts.pop()
    text = f" {glyphs.gap.join(parts)} "
    return crop(line(Span(glyphs.rule * 3, "dim"), Span(text), Span(glyphs.rule * width, "dim")), width)
