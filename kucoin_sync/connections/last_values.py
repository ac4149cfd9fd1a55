"""Keep the newest message of each of a few topics, for programs that show one value: `Client.last`, web views."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ..delivery.subscription import Subscription
from ..exceptions import InvalidTopic, KucoinSyncError, StreamClosed
from ..internal.fork import detect_fork
from ..internal.signals import holds_no_lock
from ..protocol.message import Message
from ..topics import grammar
from .subscribing import Subscribing

__all__ = ["LastValues"]


class LastValues:
    """Keeps one subscription for each topic that is read, for at most `limit` topics.

    Args:
        client: returns the client to subscribe with.
        limit: the largest number of topics, None for any. A further topic replaces the least recently read one.
    """

    def __init__(self, client: Callable[[], Subscribing], limit: int | None) -> None:
        self._client = client
        self._limit = limit
        # Guards _values; never held while waiting. Reentrant, because a finaliser may read a topic while it is held.
        self._lock = threading.RLock()
        self._values: OrderedDict[str, _Last] = OrderedDict()  # the least recently read comes first

    @holds_no_lock
    def get(self, topic: str, timeout: float | None) -> Message:
        """Return the newest message of a topic; wait up to `timeout` seconds for the first one, None: for ever.

        If messages of several subjects were received at the same instant, it is one of these.

        Raises:
            TimeoutError: no message has arrived in time.
            StreamClosed: the stream is closed, or the replay has ended.
            InvalidTopic: it is no topic, or names several.
            KucoinSyncError: the topic could not be subscribed; see `Client.subscribe`.
        """
        detect_fork()  # before a lock is taken, which a child replaces
        singles = grammar.split(topic)
        if len(singles) != 1:
            raise InvalidTopic(f"{topic!r:.200} names {len(singles)} topics; ask for the last message of each")
        (single,) = singles
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        tries = ends = 0
        while True:
            tries += 1
            client, last = self._client(), self._value_of(single)
            is_new = not last.subscribed
            try:
                return last.read(deadline)
            except StreamClosed:
                current = self._client()
                ends += is_new and not last.closed and current is client
                self._remove(single, last)
                if current.closed or ends > 1:  # every new subscription ends: a replay is over
                    raise
                if tries > 1 and time.monotonic() >= deadline:
                    raise TimeoutError(f"no message came on {single} within {timeout:g} s") from None
                # The topic was replaced or unsubscribed meanwhile, or the client is a new one: try again.
            except TimeoutError as error:
                if time.monotonic() < deadline or isinstance(error, KucoinSyncError):
                    raise
                raise TimeoutError(f"no message came on {single} within {timeout:g} s") from None
            except KucoinSyncError:
                self._remove(single, last)
                raise

    def after_fork(self) -> None:
        """Reset the locks and values in a forked child; the subscriptions reset themselves."""
        self._lock = threading.RLock()
        for last in self._values.values():
            last.after_fork()

    def _value_of(self, single: str) -> _Last:
        with self._lock:
            last = self._values.get(single)
            if last is None:
                self._remove_unsubscribed()
                last = self._values.setdefault(single, _Last(self._client, single))
            self._values.move_to_end(single)
            full = self._limit is not None and len(self._values) > self._limit
            evicted = self._values.popitem(last=False)[1] if full else None
        if evicted is not None:
            evicted.close()
        return last

    def _remove_unsubscribed(self) -> None:
        """Remove topics that were unsubscribed, if their number has no limit (under the lock).

        Two are looked at for each new one, so that no more than that are left.
        """
        for _ in range(min(2, len(self._values)) if self._limit is None else 0):
            single, last = self._values.popitem(last=False)
            if not last.unsubscribed:
                self._values[single] = last

    def _remove(self, single: str, last: _Last) -> None:
        with self._lock:
            if self._values.get(single) is last:
                del self._values[single]
        last.close()


class _Last:
    """The newest message of one topic."""

    def __init__(self, client: Callable[[], Subscribing], single: str) -> None:
        self._client = client
        self._single = single
        # Held while subscribing and reading; guards the following. Reentrant, as a finaliser may read meanwhile.
        self._lock = threading.RLock()
        self._subscription: Subscription | None = None
        self._newest: Message | None = None
        self._taken: deque[Message] = deque()  # taken from the subscription; all are newer than _newest
        self.closed = False

    @property
    def subscribed(self) -> bool:
        """Whether the topic was subscribed."""
        return self._subscription is not None

    @property
    def unsubscribed(self) -> bool:
        """Whether the topic was unsubscribed again."""
        return self._subscription is not None and self._subscription.closed

    def after_fork(self) -> None:
        """Reset in a forked child, which must not show the parent's last message."""
        self._lock = threading.RLock()
        self._newest = None
        self._taken.clear()

    @holds_no_lock
    def read(self, deadline: float) -> Message:
        """Return a copy of the newest message; wait for the first one."""
        left = _until(deadline)
        acquired: list[bool] = []
        try:
            # A signal handler may raise between any two steps, so the lock is acquired and noted in one step.
            acquired.extend(map(self._lock.acquire, (True,), (-1 if left is None else left,)))
            if not acquired[0]:
                raise TimeoutError(f"no message came on {self._single}")
            if self._subscription is None:
                self._subscription = self._client().subscribe(self._single, overflow="latest", timeout=_until(deadline))
                if self.closed:  # meanwhile
                    self._subscription.close()
            subscription = self._subscription
            ended = subscription.closed  # read first: what is pending then is all
            # Likewise, a message is taken and kept in one step.
            if self._newest is None and not self._taken:
                self._taken.extend(map(subscription.get, (_until(deadline),)))
            with contextlib.suppress(TimeoutError):  # pending frames may be malformed
                for _ in range(subscription.pending):
                    self._taken.extend(map(subscription.get, (0,)))
            if ended:
                subscription.get(timeout=0)  # raises why
            if self._taken:
                # Not compared with _newest: the clock, or a replay, may have been set back.
                self._newest = max(self._taken, key=lambda message: (message.epoch, message.received_ns))
                self._taken.clear()
            assert self._newest is not None
            return self._newest.with_lost(self._newest.lost)
        finally:
            if True in acquired:
                self._lock.release()

    def close(self) -> None:
        """Unsubscribe; waiting readers get StreamClosed."""
        self.closed = True
        if self._subscription is not None:
            self._subscription.close()


def _until(deadline: float) -> float | None:
    left = deadline - time.monotonic()
    return None if left > threading.TIMEOUT_MAX else max(0.0, left)
