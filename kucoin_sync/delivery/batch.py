"""A queue in which what came together and begins alike stays together: an item of many frames.

Who iterates takes frame after frame of such an item where it stands, by its iterator, which is atomic. So the first
item is the only one of which some may be gone, and whoever else takes a message gets the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import repeat
from operator import length_hint
from typing import Any

import msgspec

from ..protocol.envelopes import Push, RawPush, Run
from ..protocol.message import Origin

__all__ = ["RunQueue", "Waiting"]

_seal: Callable[..., RawPush] = RawPush  # a run always has a head
_drop_first: Callable[[deque[Any]], Any] = deque.popleft


class Waiting(msgspec.Struct, gc=False, eq=False, frozen=True):
    """A run that waits. To go on with the iterator is to take a frame, or with `pushes`, which goes on with it."""

    origin: Origin
    frames: Iterator[bytes]
    pushes: Iterable[RawPush] = ()

    @property
    def left(self) -> int:
        """How many were not taken yet."""
        return length_hint(self.frames)


class RunQueue:
    """Pushes in order, runs as one item each.

    Its owner's lock covers all but `items`, from which single pushes may be taken without it, and `len`.

    Args:
        items: where they are.
    """

    def __init__(self, items: deque[Push | Waiting]) -> None:
        self._items = items
        self._runs: deque[Waiting] = deque()  # those that are in `items`
        self._both: tuple[deque[Any], ...] = (self._items, self._runs)

    def __len__(self) -> int:
        return len(self._items) - len(self._runs) + sum([run.left for run in tuple(self._runs)])

    def append(self, run: Run) -> None:
        """Put a run at the end."""
        frames = iter(run.frames)
        waiting = Waiting(
            Origin(run.batch, run.head), frames, map(RawPush, frames, repeat(run.batch), repeat(run.head))
        )
        self._runs.append(waiting)
        self._items.append(waiting)

    def first(self) -> Waiting | None:
        """Return the first item where it is a run, having taken away those of which all is gone."""
        while self._items and isinstance(run := self._items[0], Waiting):
            if run.left:
                return run
            tuple(map(_drop_first, self._both))  # one step, so that Ctrl-C comes before it or after it
        return None

    def source(self) -> Iterable[Any]:
        """Return what the next push is to be taken from, in one step; empty where another consumer was faster."""
        run = self.first()
        if run is None:
            return map(_drop_first, self._both[:1])  # a run where another consumer has taken what was before it
        return run.pushes

    def oldest(self) -> Push | None:
        """Return the push that is taken next and leave it where it is; None where there is none."""
        for place in (0, 1):  # of the first all may be gone
            try:
                item = self._items[place]
            except IndexError:
                break
            if not isinstance(item, Waiting):
                return item
            for frame in copy(item.frames):
                return _seal(frame, item.origin.batch, item.origin.head)
        return None

    def clear(self) -> None:
        """Drop everything, so that a loop that is in a run finds nothing more in it."""
        for run in self._runs:
            deque(run.frames, maxlen=0)
        self._items.clear()
        self._runs.clear()
