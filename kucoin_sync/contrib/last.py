"""The newest message of each of a few topics, for views that show one value and are done."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from .. import Client, KucoinSyncError, Message, StreamClosed, Subscription

__all__ = ["LastValues"]


class LastValues:
    """Keeps one subscription for each topic that is read, of at most `limit` topics.

    Args:
        client: returns what is subscribed with.
        limit: topics; beyond, the one that was read longest ago is unsubscribed.
    """

    def __init__(self, client: Callable[[], Client], limit: int) -> None:
        self._client = client
        self._limit = limit
        # Guards _kept; never held while waiting. A finaliser that interrupts a step may read a topic, too.
        self._lock = threading.RLock()
        self._kept: OrderedDict[str, _Last] = OrderedDict()  # the one that was read longest ago comes first

    def get(self, single: str, timeout: float) -> Message:
        """Return the newest message of a topic, waiting up to `timeout` seconds for the first one.

        Where one receive brought messages of several subjects, it is any of these.

        Raises:
            TimeoutError: none came. As `Client.subscribe`: the topic could not be subscribed.
        """
        deadline = time.monotonic() + timeout
        while True:
            last = self._find(single)
            try:
                return last.read(deadline)
            except StreamClosed:
                self._forget(single, last)
                if self._client().closed:
                    raise
                # Others have pushed it out while we waited, or the client is a new one: once more.
            except TimeoutError:
                raise
            except KucoinSyncError:
                self._forget(single, last)
                raise

    def renew(self) -> None:
        """Begin again in a forked child, whose subscriptions begin again by themselves."""
        self._lock = threading.RLock()
        for last in self._kept.values():
            last.renew()

    def _find(self, single: str) -> _Last:
        with self._lock:
            last = self._kept.get(single) or self._kept.setdefault(single, _Last(self._client, single))
            self._kept.move_to_end(single)
            pushed_out = self._kept.popitem(last=False)[1] if len(self._kept) > self._limit else None
        if pushed_out is not None:
            pushed_out.close()
        return last

    def _forget(self, single: str, last: _Last) -> None:
        with self._lock:
            if self._kept.get(single) is last:
                del self._kept[single]
        last.close()


class _Last:
    """The newest message of one topic."""

    def __init__(self, client: Callable[[], Client], single: str) -> None:
        self._client = client
        self._single = single
        self._turn = threading.Lock()  # whose turn it is to subscribe and to take messages; guards the following
        self._subscription: Subscription | None = None
        self._newest: Message | None = None
        self._closed = False

    def renew(self) -> None:
        """Begin again in a forked child: what the parent has seen is no news there."""
        self._turn = threading.Lock()
        self._newest = None

    def read(self, deadline: float) -> Message:
        """Return the newest message, one of the caller's own, waiting for the first one."""
        if not self._turn.acquire(timeout=_until(deadline)):
            raise TimeoutError(f"nothing has come on {self._single}")
        try:
            subscription = self._subscribe(deadline)
            newest = self._newest or subscription.get(timeout=_until(deadline))
            with contextlib.suppress(TimeoutError):  # the frames that it has can't be read
                for _ in range(subscription.pending):
                    newest = max(subscription.get(timeout=0), newest, key=_age)
            if subscription.closed:
                subscription.get(timeout=0)  # raises why
            self._newest = newest
            return newest.with_lost(newest.lost)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Unsubscribe; who waits is told that it is closed."""
        self._closed = True
        if self._subscription is not None:
            self._subscription.close()

    def _subscribe(self, deadline: float) -> Subscription:
        if self._subscription is None:
            self._subscription = self._client().subscribe(self._single, overflow="latest", timeout=_until(deadline))
            if self._closed:  # meanwhile
                self._subscription.close()
        return self._subscription


def _until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _age(message: Message) -> tuple[int, int]:
    return message.epoch, message.received_ns
