"""What becomes of a full queue: an inbox for each overflow policy."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import cast

from .inbox import Inbox, absence
from .sealed import Push, Pushes, Run, kind_of

__all__ = ["OVERFLOW", "inbox_for"]

OVERFLOW = ("raise", "drop_oldest", "drop_newest", "latest")


class _RaisingInbox(Inbox):
    """Policy "raise": once full, nothing more is taken until the consumer has drained it and been told."""

    def __init__(
        self, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception], *, runs: bool
    ) -> None:
        super().__init__(maxsize, on_overflow, runs=runs)
        self._make_error = error

    def notice(self) -> Exception | None:
        told = super().notice()
        if told is not None:
            return told
        with self._lock:
            if not self._full or self.size():
                return None
            self._full = False
            self.alert = bool(self._notices)
            return self._make_error(self._missing)

    def _untold(self) -> bool:
        return self._full

    def ready(self) -> bool:
        return self._full or super().ready()

    def _put_congested(self, push: Push) -> Push | None:
        with self._lock:
            if self._full or self.size() >= self._maxsize:
                self._drop(push)
                self.alert = True
                return None
            return self._accept(push)


class _OneByOneInbox(Inbox):
    """An inbox in which each push has to be looked at."""

    def put_many(self, pushes: Pushes) -> None:
        for push in pushes:
            self.put(push)


class _OldestInbox(_OneByOneInbox):
    """Policy "drop_oldest": a full queue makes room at its front. Both ends take the lock, to place `lost` exactly."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self.take = self._take
        self._pushes = cast("deque[Push]", self.items)  # no runs

    def put(self, push: Push) -> bool:
        with self._lock:
            if len(self._pushes) >= self._maxsize:
                self._drop(self._pushes.popleft())
            self._pushes.append(push)
        return self._woken()

    def _take(self) -> Push:
        with self._lock:
            while True:
                push = self._pushes.popleft()
                accepted = self._accept(push) if self._congested else push
                if accepted is not None:
                    return accepted


class _LatestInbox(_OneByOneInbox):
    """Policy "latest": one push per topic and subject, the newest, in the place of the one it supersedes."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._newest: dict[tuple[str | None, str | None], Push] = {}
        self._superseded: dict[tuple[str | None, str | None], int] = {}
        self.take = self._take
        self.size = self._newest.__len__

    def forked(self) -> None:
        super().forked()
        self._newest.clear()
        self._superseded.clear()

    def oldest(self) -> Push | None:
        with self._lock:
            return next(iter(self._newest.values()), None)

    def room(self) -> float:
        return math.inf  # whoever wants the newest only has nothing against dropping the others

    def put(self, push: Push) -> bool:
        with self._lock:
            kept = self._keep(push)
        return kept and self._woken()

    def put_many(self, pushes: Pushes) -> None:
        """Queue the newest of several pushes of one kind; what it supersedes among them is only counted."""
        if not isinstance(pushes, Run) and len(set(map(kind_of, pushes))) > 1:
            super().put_many(pushes)
            return
        with self._lock:
            kept = self._keep(pushes[-1], pushes[:-1])
        if kept and self.waiters:
            self.wake()

    def _keep(self, push: Push, older: Pushes = ()) -> bool:
        """Keep a push that stands for `older` ones before it, too (under the lock); False where it has no room."""
        kind = kind_of(push)
        superseded = self._newest.get(kind)
        if superseded is None and len(self._newest) >= self._maxsize:
            for each in (*older, push):
                self._drop(each)
            return False
        dropped = len(older)
        missing = dropped if isinstance(older, Run) else sum(map(absence, older))
        if superseded is not None:
            dropped += 1
            missing += absence(superseded)
        if dropped:
            self._superseded[kind] = self._superseded.get(kind, 0) + missing
            self.dropped += dropped
        self._newest[kind] = push
        return True

    def _take(self) -> Push:
        with self._lock:
            while self._newest:
                kind = next(iter(self._newest))
                push = self._newest.pop(kind)
                self._missing += self._superseded.pop(kind, 0)
                accepted = self._accept(push)
                if accepted is not None:
                    return accepted
            raise IndexError


def inbox_for(
    overflow: str,
    maxsize: int,
    on_overflow: Callable[[int], None],
    error: Callable[[int], Exception],
    *,
    runs: bool = False,
) -> Inbox:
    """Return the inbox of a policy; `error` makes what the consumer is told of an overflow under "raise".

    With `runs`, for a consumer that iterates, runs are queued as they are where the policy allows that.
    """
    if overflow == "raise":
        return _RaisingInbox(maxsize, on_overflow, error, runs=runs)
    if overflow == "drop_newest":
        return Inbox(maxsize, on_overflow, runs=runs)
    return {"drop_oldest": _OldestInbox, "latest": _LatestInbox}[overflow](maxsize, on_overflow)
