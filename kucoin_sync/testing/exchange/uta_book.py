"""The order book `increment@10ms` of the UTA feed: the best 500 levels of each side, and their changes.

Sources: KuCoin's documentation, and observed messages for the sequences. A change has the size after it; 0 removes a
level, also one that leaves the best 500. Each change begins where the one before it ended: `O` is the last `C` + 1.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from .engine import Engine
from .orders import Event, Side
from .push import Outbox, Push
from .units import text

__all__ = ["DEPTH", "NEVER", "UtaBook", "Windows"]

DEPTH = 500
_WINDOW_NS = 10_000_000
_MS = 1_000_000
NEVER = 1 << 63


class Windows:
    """The windows of 10 ms in which books collect their changes.

    All windows end at the same instants. `due_ns` is the end of the current window, if a book has changed in it.
    `push_entering` says whether a change names a level that enters the best 500 because a better one has gone.
    KuCoin's documentation does not say whether its feed does.
    """

    def __init__(self) -> None:
        self.due_ns = NEVER
        self.push_entering = True
        self._changed: dict[UtaBook, None] = {}

    def add(self, book: UtaBook, now_ns: int) -> None:
        """Note that a book has changed."""
        if not self._changed:
            self.due_ns = now_ns - now_ns % _WINDOW_NS + _WINDOW_NS
        self._changed[book] = None

    def close(self, now_ns: int) -> None:
        """End the current window: push the changes of every book."""
        changed, self._changed = self._changed, {}
        self.due_ns = NEVER
        for book in changed:
            book.close(now_ns)


class _View:
    """The best levels of one side of a book, as subscribers know them."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._sizes: dict[int, int] = {}  # price -> size
        self._keys: list[int] = []  # as the keys of a `Side`: the best last
        self.changed: set[int] = set()  # prices of levels that changed in this window

    def reset(self) -> list[tuple[int, int]]:
        """Take the current levels and return them."""
        rows = self._side.visible(DEPTH)
        self._sizes = dict(rows)
        self._keys = [price * self._side.sign for price, _ in reversed(rows)]
        self.changed.clear()
        return rows

    def take_changes(self, push_entering: bool) -> list[tuple[int, int]]:
        """Return (price, new size) of what changed since the last call, best first."""
        if not self.changed:
            return []
        side, sizes, keys, changed = self._side, self._sizes, self._keys, self.changed
        self.changed = set()
        # Only a full view has levels of the book below it.
        bottom = keys[0] if len(keys) == DEPTH else None
        before: dict[int, int] = {}
        for price in changed:
            key = price * side.sign
            level = side.levels.get(key)
            size = 0 if level is None else level.visible
            known = sizes.get(price, 0)
            if size == known or (not known and bottom is not None and key < bottom):
                continue
            before[price] = known
            if not known:
                insort(keys, key)
            elif not size:
                del keys[bisect_left(keys, key)], sizes[price]
                continue
            sizes[price] = size
        while len(keys) > DEPTH:
            price = keys.pop(0) * side.sign
            before.setdefault(price, sizes[price])
            del sizes[price]
        if bottom is not None and len(keys) < DEPTH:
            entered = self._fill(bottom)
            before.update((price, 0) for price in entered if push_entering or price in changed)
        prices = sorted((price for price, size in before.items() if size != sizes.get(price, 0)), reverse=side.sign > 0)
        return [(price, sizes.get(price, 0)) for price in prices]

    def _fill(self, bottom: int) -> list[int]:
        """Add levels below the key `bottom` until the view is full, and return their prices."""
        side = self._side
        entered: list[int] = []
        at = bisect_left(side.keys, bottom)
        while at and len(self._keys) + len(entered) < DEPTH:
            at -= 1
            level = side.levels[side.keys[at]]
            if level.visible:
                entered.append(level.price)
                self._sizes[level.price] = level.visible
        self._keys[:0] = [price * side.sign for price in reversed(entered)]
        return entered


class UtaBook:
    """The book `increment@10ms` of one symbol."""

    def __init__(self, engine: Engine, outbox: Outbox, windows: Windows) -> None:
        spec = engine.spec
        self._engine = engine
        self._outbox = outbox
        self._windows = windows
        self._subject = f"obu.{'FUTURES' if spec.futures else 'SPOT'}"
        self._topic = f"/uta/{self._subject}:{spec.symbol}_increment@10ms"
        self._views = {"sell": _View(engine.asks), "buy": _View(engine.bids)}
        self._active = False
        self._last = 0  # the last sequence that subscribers know
        self._changed_ns = 0

    def begin(self) -> bool:
        """Ask before an action whether the book is wanted, and return it."""
        wanted = self._outbox.wanted(self._topic)
        if wanted and not self._active:
            self._reset()
        self._active = wanted
        return wanted

    def record(self, event: Event) -> None:
        """Note a change of a visible level."""
        if event.level is None:
            return
        resting = event.maker or event.order
        self._views[resting.side].changed.add(resting.price)
        self._changed_ns = event.now_ns
        self._windows.add(self, event.now_ns)

    def close(self, now_ns: int) -> None:
        """Push what changed, if anything of the best 500 did."""
        if not self._active:
            return
        entering = self._windows.push_entering
        asks, bids = (view.take_changes(entering) for view in self._views.values())
        if asks or bids:
            first, self._last = self._last + 1, self._engine.sequence
            data = self._data(asks, bids, first, self._changed_ns)
            self._outbox.put_uta(self._topic, self._subject, data, now_ns, dp="increment@10ms", t="delta")

    def snapshot(self, now_ns: int) -> Push:
        """Return the push that a new subscriber gets; all changes up to it are pushed before."""
        if self._active:
            self.close(now_ns)
        asks, bids = self._reset()
        self._active = True
        extra = {"P": now_ns, "dp": "increment@10ms", "t": "snapshot"}
        return Push(self._topic, self._subject, self._data(asks, bids, self._last, now_ns), extra=extra)

    def _reset(self) -> list[list[tuple[int, int]]]:
        if not self._active:
            self._last = self._engine.sequence
        return [view.reset() for view in self._views.values()]

    def _data(
        self, asks: list[tuple[int, int]], bids: list[tuple[int, int]], first: int, changed_ns: int
    ) -> dict[str, Any]:
        spec = self._engine.spec
        rows = [
            [[text(price, spec.price_scale), text(size, spec.size_scale)] for price, size in side]
            for side in (asks, bids)
        ]
        changed = changed_ns - changed_ns % _MS
        return {"s": spec.symbol, "a": rows[0], "b": rows[1], "O": first, "C": self._last, "M": changed}
