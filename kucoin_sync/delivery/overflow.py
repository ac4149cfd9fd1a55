"""The overflow policies: a message queue class for each."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat, starmap
from typing import Any, Literal, cast, get_args

from ..protocol.envelopes import FrameBatch, Push, Pushes, channel_of, is_readable
from .queue import MessageQueue, lost_count

__all__ = ["OVERFLOW", "Overflow", "check_maxsize", "queue_for"]

Overflow = Literal["raise", "drop_oldest", "drop_newest", "latest"]
OVERFLOW: tuple[Overflow, ...] = get_args(Overflow)


class _RaisingQueue(MessageQueue):
    """Policy "raise": a full queue drops pushes until the consumer has emptied it and got the error."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None], error: Callable[[int], Exception]) -> None:
        super().__init__(maxsize, on_overflow)
        self._make_error = error

    def notice(self) -> Exception | None:
        notice = super().notice()
        if notice is not None:
            return notice
        with self._lock:
            if not self._full or self.has_messages():
                return None
            self._full = False
            self.alert = bool(self._notices)
            return self._make_error(self._missing)

    def _overflow_unreported(self) -> bool:
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


class _OneByOneQueue(MessageQueue):
    """A message queue that examines each push separately. Batches are split."""

    def put_many(self, pushes: Pushes) -> bool:
        woken = [self.put(push) for push in pushes]
        return True in woken

    def source(self) -> Iterator[Push]:
        return starmap(self._take_one, repeat(()))

    def _take_singles(self, limit: int, decode: Callable[[Push], Any] | None = None) -> Iterator[Any]:
        with suppress(IndexError):  # another consumer has taken the rest
            for _ in range(min(limit, len(self))):
                push: Any = self._take_one()
                if decode is None or (push := decode(push)) is not None:
                    yield push

    def fits(self, count: int) -> bool:
        return count == 1 and not self._congested and len(self) < self._maxsize


class _DropOldestQueue(_OneByOneQueue):
    """Policy "drop_oldest": a full queue drops its first push. `put` and `take` hold the lock to keep `lost` exact."""

    def __init__(self, maxsize: int, on_overflow: Callable[[int], None]) -> None:
        super().__init__(maxsize, on_overflow)
        self._pushes = cast("deque[Push]", self.items)  # no batches

    def put(self, push: Push) -> bool:
        with self._lock:
            if len(self._pushes) >= self._maxsize:
                if not is_readable(push):  # it must not replace a readable push
                    self.decoder.unreadable += 1
                    return False
                self._drop(self._pushes.popleft())
            self._pushes.append(push)
        if self._overflows:
            self._report_overflows()
        return self._woken()

    def _take_one(self) -> Push:
        # Same structure as in the base class, see there.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    for push in self._singles:  # noqa: B007
                        break
                    if self._congested:
                        accepted = self._with_missing(push) if self._missing else push
                        if accepted is None:
                            push = None
                            continue
                        push, self._missing = accepted, 0
                        self._congested = self._full = False
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]


class _LatestQueue(_OneByOneQueue):
    """Policy "latest": keeps the newest push of each topic and subject, at the place of the one it supersedes."""

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
        return math.inf  # superseded pushes are not a loss under this policy

    def put(self, push: Push) -> bool:
        with self._lock:
            kept = self._keep(push)
        if not kept:
            self._report_overflows()
        return kept and self._woken()

    def put_many(self, pushes: Pushes) -> bool:
        """Queue pushes. If all are of one channel, keep the newest and only count the others."""
        alike = pushes.prefix is not None if isinstance(pushes, FrameBatch) else len(set(map(channel_of, pushes))) == 1
        if not alike:
            return super().put_many(pushes)
        with self._lock:
            kept = self._keep(pushes[-1], pushes[:-1])
        if not kept:
            self._report_overflows()
        return kept and self._woken()

    def _keep(self, push: Push, older: Pushes = ()) -> bool:
        """Queue a push that supersedes `older` ones (under the lock); return False if it is not queued."""
        channel = channel_of(push)
        superseded = self._newest.get(channel)
        while (older or superseded is not None) and not is_readable(push):  # it must not replace a readable push
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
            self._superseded[channel] = self._superseded.get(channel, 0) + missing
            self.dropped += dropped
        self._newest[channel] = push
        return True

    def put_back(self, push: Push | FrameBatch) -> None:
        """Queue an undelivered push again. If a newer one has come, count this one as superseded."""
        assert not isinstance(push, FrameBatch)
        channel = channel_of(push)
        with self._lock:
            newer = self._newest.get(channel)
            if newer is None:
                rest = dict(self._newest)
                self._newest.clear()
                self._newest[channel] = push
                self._newest.update(rest)
            elif newer is not push:
                self._superseded[channel] = self._superseded.get(channel, 0) + lost_count(push)
                self.dropped += 1
        self.wake()

    def _take_one(self) -> Push:
        # Same structure as in the base class, see there.
        push: Any = None
        try:
            with self._lock:
                while push is None:
                    for channel in self._newest:  # noqa: B007
                        break
                    else:
                        raise IndexError
                    push = self._newest[channel]
                    del self._newest[channel]
                    if channel in self._superseded:
                        self._missing += self._superseded[channel]
                        del self._superseded[channel]
                    if self._missing:
                        accepted = self._with_missing(push)
                        if accepted is None:
                            push = None
                            continue
                        push, self._missing = accepted, 0
                    self._congested = self._full = False
        except BaseException:
            if push is not None:
                self.put_back(push)
            raise
        return push  # type: ignore[no-any-return]


def check_maxsize(maxsize: object, least: str) -> None:
    """Raise ValueError if `maxsize` is no number of 1 or more; `least` ends the error with what has to fit."""
    if not isinstance(maxsize, (int, float)) or maxsize < 1:
        raise ValueError(f"maxsize is {maxsize!r}; {least}")


def queue_for(
    overflow: Overflow,
    maxsize: int,
    on_overflow: Callable[[int], None],
    error: Callable[[int], Exception],
) -> MessageQueue:
    """Return a message queue of a policy. `error` makes the exception of the policy "raise" from the number dropped."""
    if overflow == "raise":
        return _RaisingQueue(maxsize, on_overflow, error)
    if overflow == "drop_newest":
        return MessageQueue(maxsize, on_overflow)
    return {"drop_oldest": _DropOldestQueue, "latest": _LatestQueue}[overflow](maxsize, on_overflow)
