"""The account of one stream: opening and closing it, its readers, and the thread that keeps it in step.

One thread, `kucoin-account`, applies the pushes and the answers of REST. It runs no user code, and waits for nothing
but its queue and the account's lock. It exists while somebody holds the account.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import setcontext
from functools import partial
from itertools import islice, repeat
from queue import Empty
from typing import Any, TypeVar

import msgspec

from ..books.followed import Followed
from ..books.snapshot_fetcher import FetcherFactory
from ..connections.manager import SubscriptionManager
from ..connections.subscriber import SubscribeOptions, Subscriber
from ..delivery.callbacks import Callbacks
from ..delivery.listeners import Listeners
from ..delivery.subscription import Subscription
from ..events import AccountFailed, Overflowed
from ..exceptions import KEY_NEEDED, AccountNotReady, AuthenticationError, KucoinSyncError, StreamClosed
from ..internal.guard import log
from ..internal.resources import as_defect, shortage_error, start_thread
from ..internal.signals import is_reentrant, run_or_defer
from ..internal.timed_queue import TimedQueue
from ..protocol.session_events import TopicKey
from .futures import FuturesPart
from .part import AccountPart
from .part_follower import PartFollower, Release
from .rest_calls import RestCalls
from .spot import SpotPart
from .values import AMOUNTS, AccountChange

__all__ = ["AccountKeeper"]

_CLOSED = "the stream is closed; make a new one to follow an account"
_WITH_STREAM = "the account was closed with its stream"
_NAME = "the account"
_PARTS: tuple[type[AccountPart], ...] = (SpotPart, FuturesPart)
_OPTIONS = SubscribeOptions(
    callback=None, inline=False, maxsize=10_000, overflow="raise", private=None, stale_after=None, timeout=0
)

T = TypeVar("T")


class AccountKeeper(Followed):
    """Keeps one account in step with the exchange. All methods may be called from any thread.

    Attributes:
        reconciliations: how often it was reconciled.
    """

    not_ready = AccountNotReady

    def __init__(
        self,
        subscription_manager: SubscriptionManager,
        subscriber: Subscriber,
        callbacks: Callbacks,
        make_rest: FetcherFactory,
        rest_lag: float,
    ) -> None:
        super().__init__(_NAME, Listeners(_NAME, "account"))
        self.first_use = subscription_manager.first_use
        self.before_wait = subscription_manager.before_wait
        self.reconciliations = 0
        self.rest_lag = rest_lag
        self._subscription_manager = subscription_manager
        self._subscriber = subscriber
        self._callbacks = callbacks
        self._calls = RestCalls(make_rest, label=callbacks.label)
        # What the thread is to do, put by any thread, at any step.
        self._queue: TimedQueue[Callable[[float], object]] = TimedQueue()
        self._thread: threading.Thread | None = None
        self._ready = self._pending_resume = False
        self.followers = self._make_followers()
        topics = [topic for follower in self.followers.values() for topic in follower.part.topics]
        self.waits_for_itself = lambda: any(map(subscription_manager.brings, topics))

    def _make_followers(self) -> dict[str, PartFollower]:
        return {kind.market: PartFollower(kind(), self.rest_lag, self._calls, self._on_answers) for kind in _PARTS}

    # Opening and closing

    def check(self) -> None:
        """Raise StreamClosed or AuthenticationError if an account can't be opened."""
        if self._subscription_manager.closed:
            raise StreamClosed(_CLOSED)
        if self._subscriber.find_credentials() is None:
            raise AuthenticationError(f"an account needs an API key: {KEY_NEEDED}")

    def open_later(self) -> None:
        """Do as `open` for callers that hold the account already; an error ends it. It may be closed by now."""
        if self.ended is None:
            with suppress(KucoinSyncError):
                self.open()

    def open(self) -> None:
        """Subscribe, and start to follow.

        Raises:
            AuthenticationError: there is no API key.
            StreamClosed, ConnectionFailed.
        """
        self.check()
        subscriptions: list[Subscription[Any]] = []
        followers = list(self.followers.values())
        try:
            topics = [(topic,) for follower in followers for topic in follower.part.topics]
            subscriptions.extend(map(self._subscriber.subscribe, topics, repeat(_OPTIONS)))  # see `MessageQueue.source`
            rest = iter(subscriptions)
            for follower in followers:
                follower.subscriptions = list(islice(rest, len(follower.part.topics)))
            self._start()
        except BaseException as error:
            for subscription in subscriptions:
                subscription.close()
            self.end(error if isinstance(error, KucoinSyncError) else StreamClosed("the account could not be opened"))
            raise

    def _start(self) -> None:
        """Start the threads, and take what the subscriptions bring."""
        self._calls.open()
        self._thread = start_thread(self._work, name=f"kucoin-account{self._callbacks.label}")
        self._subscription_manager.watchers[True] = self
        for follower in self.followers.values():
            for message_queue in follower.queues:
                message_queue.call(Release(self._queue, partial(self._serve, follower)))
            self._queue.put(partial(self._look, follower))

    def end(self, error: Exception) -> list[threading.Thread]:
        """End the account; `StreamClosed` means that the user asked for it. Return the threads that will end."""
        first, listeners = self.update(partial(self._end, error))
        if self._subscription_manager.watchers.get(True) is self:
            self._subscription_manager.watchers.pop(True, None)
        for follower in self.followers.values():
            for subscription in follower.subscriptions:
                subscription.close()
        threads = [] if self._thread is None else [self._thread]
        threads += self._calls.close()
        self._queue.put(lambda now: None)
        if first and not isinstance(error, StreamClosed):
            self._callbacks.emit(AccountFailed(error))
        if isinstance(self.ended, StreamClosed):
            for listener in listeners:
                listener.wait_for_call()
        return threads

    def close(self) -> list[threading.Thread]:
        """End the account with its stream."""
        return self.end(StreamClosed(_WITH_STREAM))

    # Fork

    def after_fork(self) -> None:
        """Begin anew in a forked child: another thread of the parent may have been changing something."""
        self.make_locks()
        self._queue = TimedQueue()
        self._thread = None
        self._calls = self._calls.after_fork()
        self._ready = False
        if self.ended is None:
            subscriptions = {market: each.subscriptions for market, each in self.followers.items()}
            self.followers = self._make_followers()
            for market, follower in self.followers.items():
                follower.subscriptions = subscriptions[market]
            self._pending_resume = True
            self.alert_listeners()

    def resume(self) -> None:
        """Follow the account in a forked child. If it raises ConnectionFailed, the next call tries again."""
        if not self._pending_resume or self.ended is not None:
            return
        serve = self._callbacks.prepare(*self.callback_listeners)
        self._pending_resume = False
        try:
            self._start()
        except BaseException:
            self._pending_resume = True
            raise
        serve()

    # Reading

    def _settled(self) -> bool:
        return self._ready or self.ended is not None

    @property
    def ready(self) -> bool:
        """Whether the account can be read."""
        return self._ready and self.ended is None

    def read(self, how: Callable[[], T]) -> T:
        """Return `how()`, called under the lock.

        Raises:
            AccountNotReady: the account can't be read; the text says why. StreamClosed: its stream is closed.
        """
        self.first_use()
        return self.under_lock(lambda: self._read(how))

    def _read(self, how: Callable[[], T]) -> T:
        if self.ended is not None:
            text = f"the account can't be read any more: {self.ended}"
            raise StreamClosed(text) if self._subscription_manager.closed else AccountNotReady(text)
        if not self._ready:
            raise AccountNotReady(f"the account can't be read now, because {self._why()}")
        return how()

    def wait(self, timeout: float | None) -> None:
        """Wait until the account can be read; see `LocalAccount.wait_ready`."""
        if not self.wait_until_settled(timeout):
            if is_reentrant() or timeout is None:
                raise AccountNotReady(f"the account can't be waited for inside this call, because {self._why()}")
            raise AccountNotReady(f"the account was not ready within {timeout:g} s, because {self._why()}")
        if self.ended is not None:
            raise self.ended

    def _why(self) -> str:
        reasons = []
        for market, follower in self.followers.items():
            if is_reentrant():  # the caller may hold a lock that the details need
                reasons += [] if follower.settled else [f"{market}: {follower.reason}"]
            elif not follower.settled:
                why = follower.why()
                error = str(self._subscription_manager.obstacle(follower.part.topics[0], private=True) or "")
                reasons.append(f"{market}: {why} ({error})" if error not in why else f"{market}: {why}")
        return "; ".join(reasons) or "it is being reconciled"

    def describe(self) -> str:
        """Return the state in a few words (under the lock)."""
        if self.ended is not None:
            return f"ended, {self.ended}"
        if not self._ready:
            return f"not ready, {self._why()}"
        orders = sum(len(each.part.state.open_orders()) for each in self.followers.values())
        return f"ready, {orders} open orders, reconciled {self.reconciliations} times"

    def unproved(self) -> list[str]:
        """Return what can't be seen or stays unknown, as sentences."""
        found = []
        for follower in self.followers.values():
            found += [*follower.part.unseen.values(), *follower.part.state.doubts.values()]
        return found

    # Listeners

    def listen(self, maxsize: int, callback: Callable[[Any], object] | None = None) -> Subscription[Any]:
        """Do as the base class; have a callback called, too. Raise ConnectionFailed if there is no thread for it."""
        subscription = super().listen(maxsize, callback)
        if callback is not None:
            run_or_defer(partial(self._callbacks.serve, subscription))
        return subscription

    def _on_overflow(self, topics: tuple[str, ...], dropped: int) -> None:
        self._queue.put(lambda now: self._callbacks.emit(Overflowed(topics, dropped)))

    # Called by the connections, on their threads

    def carried(self, keys: Iterable[TopicKey]) -> None:
        """Note that the server sends these topics from now on."""
        for follower, topics in self._of(keys):
            self._queue.put(partial(self._carried, follower, topics))

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        """Note that the server sends these topics no longer. What it has sent before is applied first."""
        for follower, topics in self._of(keys):
            pushes = follower.drain()
            reason = f"there is no connection to KuCoin: {error}"
            self._queue.put(partial(self._lost, follower, topics, reason, pushes))

    def _of(self, keys: Iterable[TopicKey]) -> list[tuple[PartFollower, list[str]]]:
        topics = {key.topic for key in keys if key.tunnel is None}
        found = [(each, [topic for topic in each.part.topics if topic in topics]) for each in self.followers.values()]
        return [(follower, own) for follower, own in found if own]

    def _on_answers(self, follower: PartFollower, number: int, answers: list[Any]) -> None:
        self._queue.put(lambda now: self._change(lambda: follower.answers(number, answers, now), follower))

    # The thread

    def _work(self) -> None:
        setcontext(AMOUNTS.copy())
        while self.ended is None:
            try:
                self._next_job()(time.monotonic())
            except KucoinSyncError as error:
                self.end(error)
            except BaseException as error:
                self._handle_defect(error)

    def _next_job(self) -> Callable[[float], object]:
        """Return what is to be done next, as soon as there is something."""
        due = min(each.next_deadline for each in self.followers.values())
        try:
            return self._queue.get(timeout=due - time.monotonic())
        except Empty:
            return self._act

    def _handle_defect(self, error: BaseException) -> None:
        """Begin anew if a resource was short; end the account after any other unexpected error."""
        if (missing := shortage_error(error, _NAME)) is not None:
            log(logging.WARNING, "the account starts again: %s", missing, error=error)
            for follower in self.followers.values():  # what has failed may be a job that tells which topics are carried
                self._lost(follower, list(follower.part.topics), str(missing), (), time.monotonic())
                self._look(follower, time.monotonic())
            return
        log(logging.ERROR, "a defect ended the account", error=error)
        self.end(as_defect(error))

    def _act(self, now: float) -> None:
        for follower in self.followers.values():
            if follower.next_deadline <= now:
                self._change(partial(follower.act, now), follower)
                self._serve(follower, now)

    def _look(self, follower: PartFollower, now: float) -> None:
        """Note which topics were confirmed before the connections told this keeper."""
        carries = self._subscription_manager.carries
        self._carried(follower, [topic for topic in follower.part.topics if carries(topic, private=True)], now)

    def _carried(self, follower: PartFollower, topics: list[str], now: float) -> None:
        self._change(partial(follower.carried, topics, now), follower)

    def _lost(self, follower: PartFollower, topics: list[str], reason: str, pushes: Iterable[Any], _: float) -> None:
        self._change(partial(follower.lost, topics, reason, pushes), follower)

    def _serve(self, follower: PartFollower, now: float) -> None:
        """Apply some pushes of a part; then have this called again when there are more."""
        if follower.unseen is not None or self.ended is not None:
            return
        if self._change(partial(follower.take, now), None):
            self._queue.put(partial(self._serve, follower))
            return
        for message_queue in follower.queues:
            if message_queue.finished and not len(message_queue):
                self._on_finished(follower, message_queue.error)
                return
            if not message_queue.waiters and not len(message_queue):
                message_queue.call(Release(self._queue, partial(self._serve, follower)))

    def _on_finished(self, follower: PartFollower, error: Exception | None) -> None:
        """Leave a part out of which a topic has ended with an error."""
        if error is None:
            closed = self._subscription_manager.closed
            raise StreamClosed(_WITH_STREAM if closed else "a topic of the account was unsubscribed; open it again")
        self._change(partial(follower.give_up, error), follower)

    def _change(self, do: Callable[[], T], follower: PartFollower | None) -> T:
        """Return `do()`, called with the lock; then tell the listeners what has changed."""

        def do_and_publish() -> T:
            result = do()
            self._publish()
            return result

        with self.reader_lock:
            pass  # let waiting readers go first
        result = self.update(do_and_publish)
        if follower is not None:
            self._queue.put(partial(self._serve, follower))
        return result

    def _publish(self) -> None:
        """Put the changes into the listeners, and note whether the account can be read (under the lock)."""
        followers = list(self.followers.values())
        changes: list[AccountChange] = []
        for follower in followers:
            changes += follower.part.state.take_changes()
        unseen = [follower.unseen for follower in followers if follower.unseen is not None]
        if len(unseen) == len(followers):
            raise unseen[0] if isinstance(unseen[0], KucoinSyncError) else as_defect(unseen[0])
        ready = all(follower.settled for follower in followers)
        if ready and not self._ready:
            self.reconciliations += 1
            changes.append(AccountChange(kind="reconciled", reason="; ".join(self.unproved())))
        self._ready = ready
        if self._listeners:
            count = self.reconciliations
            self._listeners.put(msgspec.structs.replace(change, reconciliations=count) for change in changes)
        self._wake_waiting()
