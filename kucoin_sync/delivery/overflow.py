"""What becomes of a full queue: an inbox for each overflow policy."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from ..protocol.envelopes import FrameBatch, Push, Pushes, channel_of, is_readable
from .queue import Inbox, lost_count

__all__ = ["OVERFLOW", "inbox_for"]

OVERFLOW = ("raise", "drop_oldest", "drop_newest", "latest")


class _RaisingInbox(Inbox):
    """Policy "raise": once full, nothing more is taken until the consumer has drained it and been told."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception]) -> None:
        super().__init__(maxsize, on_overflow)
        self._make_error = error

    def notice(self) -> Exception | None:
        told = super().notice()
        if told is not None:
            return told
        with self._lock:
            if not self._full or self.has_messages():
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
            if self._full or len(self) >= self._maxsize:
                self._drop(push)
                self.alert = True
                return None
            return self._accept(push)


class _OneByOneInbox(Inbox):
    """An inbox in which each push has to be looked at, when it comes and when it is taken; batches are taken apart."""

    def put_many(self, pushes: Pushes) -> bool:
        woken = [self.put(push) for push in pushes]
        return True in woken

    def fits(self, count: int) -> bool:
        return count == 1 and not self._congested and len(self) < self._maxsize


class _OldestInbox(_OneByOneInbox):
    """Policy "drop_oldest": a full queue makes room at its front. Both ends take the lock, to place `lost` exactly."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._pushes = cast("deque[Push]", self.items)  # no batches

    def put(self, push: Push) -> bool:
        with self._lock:
            if len(self._pushes) >= self._maxsize:
                if not is_readable(push):  # it must not replace what can be read
                    self.decoder.unreadable += 1
                    return False
                self._drop(self._pushes.popleft())
            self._pushes.append(push)
        if self._overflows:
            self._tell_overflows()
        return self._woken()

    def _take_one(self) -> Push:
        # As in the base class.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    for push in self._singles:  # noqa: B007
                        break
                    if self._congested:
                        told = self._telling(push) if self._missing else push
                        if told is None:
                            push = None
                            continue
                        push, self._missing = told, 0
                        self._congested = self._full = False
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]


class _LatestInbox(_OneByOneInbox):
    """Policy "latest": one push per topic and subject, the newest, in the place of the one it supersedes."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._newest: dict[tuple[str | None, str | None], Push] = {}
        self._superseded: dict[tuple[str | None, str | None], int] = {}

    def after_fork(self) -> None:
        super().after_fork()
        self._newest.clear()
        self._superseded.clear()

    def __len__(self) -> int:
        return len(self._newest)

    def has_messages(self) -> bool:
        return bool(self._newest)

    def has(self, push: Push | FrameBatch) -> bool:
        assert not isinstance(push, FrameBatch)
        return self._newest.get(channel_of(push)) is push

    def oldest(self) -> Push | None:
        with self._lock:
            return next(iter(self._newest.values()), None)

    def room(self) -> float:
        return math.inf  # whoever wants the newest only has nothing against dropping the others

    def put(self, push: Push) -> bool:
        with self._lock:
            kept = self._keep(push)
        if not kept:
            self._tell_overflows()
        return kept and self._woken()

    def put_many(self, pushes: Pushes) -> bool:
        """Queue the newest of several pushes of one channel; what it supersedes among them is only counted."""
        alike = pushes.prefix is not None if isinstance(pushes, FrameBatch) else len(set(map(channel_of, pushes))) == 1
        if not alike:
            return super().put_many(pushes)
        with self._lock:
            kept = self._keep(pushes[-1], pushes[:-1])
        if not kept:
            self._tell_overflows()
        return kept and self._woken()

    def _keep(self, push: Push, older: Pushes = ()) -> bool:
        """Keep a push that stands for `older` ones before it, too (under the lock); False where it has no room."""
        kind = channel_of(push)
        superseded = self._newest.get(kind)
        while (older or superseded is not None) and not is_readable(push):  # it must not replace what can be read
            self.decoder.unreadable += 1
            if not older:
                return False
            older, push = older[:-1], older[-1]
        if superseded is None and len(self._newest) >= self._maxsize:
            for each in (*older, push):
                self._drop(each)
            return False
        dropped = len(older)
        missing = dropped if isinstance(older, FrameBatch) else sum(map(lost_count, older))
        if superseded is not None:
            dropped += 1
            missing += lost_count(superseded)
        if dropped:
            self._superseded[kind] = self._superseded.get(kind, 0) + missing
            self.dropped += dropped
        self._newest[kind] = push
        return True

    def put_back(self, push: Push | FrameBatch) -> None:
        """Queue what was taken and not delivered; where something newer came, it counts as superseded."""
        assert not isinstance(push, FrameBatch)
        kind = channel_of(push)
        with self._lock:
            newer = self._newest.get(kind)
            if newer is None:
                rest = dict(self._newest)
                self._newest.clear()
                self._newest[kind] = push
                self._newest.update(rest)
            elif newer is not push:
                self._superseded[kind] = self._superseded.get(kind, 0) + lost_count(push)
                self.dropped += 1
        self.wake()

    def _take_one(self) -> Push:
        # As above.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    for kind in self._newest:  # noqa: B007
                        break
                    else:
                        raise IndexError
                    push = self._newest[kind]
                    del self._newest[kind]
                    if kind in self._superseded:
                        self._missing += self._superseded[kind]
                        del self._superseded[kind]
                    if self._missing:
                        told = self._telling(push)
                        if told is None:
                            push = None
                            continue
                        push, self._missing = told, 0
                    self._congested = self._full = False
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]


def inbox_for(
    overflow: str,
    maxsize: int,
    on_overflow: Callable[[int], None],
    error: Callable[[int], Exception],
) -> Inbox:
    """Return the inbox of a policy; `error` makes what the consumer is told of an overflow under "raise"."""
    if overflow == "raise":
        return _RaisingInbox(maxsize, on_overflow, error)
    if overflow == "drop_newest":
        return Inbox(maxsize, on_overflow)
    return {"drop_oldest": _OldestInbox, "latest": _LatestInbox}[overflow](maxsize, on_overflow)
