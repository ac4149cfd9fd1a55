"""The `subscribe` call: check the arguments, place the topics on connections, wait for the server to confirm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..credentials import Credentials
from ..delivery.callbacks import Callbacks, check_callback
from ..delivery.inline_queue import InlineQueue
from ..delivery.overflow import OVERFLOW, Overflow, check_maxsize, queue_for
from ..delivery.queue import MessageQueue
from ..delivery.subscription import Subscription
from ..events import Overflowed
from ..exceptions import (
    KEY_NEEDED,
    AckTimeout,
    AuthenticationError,
    ConnectionFailed,
    InvalidTopic,
    SlowConsumer,
    StreamClosed,
)
from ..internal.signals import defer, is_reentrant, wait_for_deferred
from ..protocol.dialects import DIALECTS
from ..protocol.message import Message
from ..topics import grammar
from .gate import TopicRecovery
from .manager import SubscriptionManager
from .pending_subscribe import PendingSubscribe

__all__ = ["Callback", "SubscribeOptions", "Subscriber"]

Callback = Callable[[Message], object]


class SubscribeOptions(NamedTuple):
    """The options of one `subscribe` call; see `Stream.subscribe`."""

    callback: Callback | None = None
    inline: bool = False
    maxsize: int = 10_000
    overflow: Overflow = "raise"
    private: bool | None = None
    stale_after: float | None = None
    timeout: float | None = 10.0
    recover: TopicRecovery | None = None

    def check(self) -> None:
        """Raise ValueError or TypeError for an invalid option."""
        if self.overflow not in OVERFLOW:
            raise ValueError(f"overflow is {self.overflow!r}; it is one of {', '.join(OVERFLOW)}")
        check_maxsize(self.maxsize, "a subscription holds at least 1 message")
        check_callback("callback", self.callback)
        if self.inline and self.callback is None:
            raise ValueError("inline=True needs a callback")
        if self.stale_after is not None and not self.stale_after > 0:
            raise ValueError(f"stale_after is {self.stale_after!r}; it is a positive number of seconds, or None")
        if self.recover is not None and self.private:
            raise ValueError("recover=True is for public messages; leave private= away")


class Subscriber:
    """Makes subscriptions for a stream and its tunnels."""

    def __init__(
        self,
        subscription_manager: SubscriptionManager,
        callbacks: Callbacks,
        credentials: Credentials | None,
        find_credentials: Callable[[], Credentials | None] = Credentials.from_environment,
    ) -> None:
        self.credentials = credentials
        self._find_credentials = find_credentials
        self._subscription_manager = subscription_manager
        self._callbacks = callbacks

    def subscribe(
        self, topics: tuple[str, ...], options: SubscribeOptions, tunnel: str | None = None, holder: object = None
    ) -> Subscription[Any]:
        """Return a subscription to the topics after the server has confirmed it; see `Stream.subscribe`.

        `holder` is kept alive while the user holds the subscription or its callback may be called.

        If the caller has interrupted this package on the same thread, this returns before the confirmation. A later
        error then ends the subscription.
        """
        options.check()
        singles = tuple(dict.fromkeys(single for topic in topics for single in grammar.split(topic)))
        for single in singles:
            self._check(single, options.private, tunnel)
        subscription = self._make(singles, options, tunnel)
        held = subscription if holder is None else subscription.held_by_user(holder)
        if options.callback is not None:
            subscription.keep_alive = holder
        if is_reentrant():
            if self._subscription_manager.closed:
                raise StreamClosed("the stream is closed; make a new one to subscribe")
            defer(partial(self._join_later, subscription, options._replace(timeout=0)))
            return held
        wait_for_deferred()
        try:
            self._join(subscription, options)
        except BaseException:  # a signal handler may raise even after `_join` has returned
            self._undo(subscription, singles)
            raise
        return held

    def _join(self, subscription: Subscription[Any], options: SubscribeOptions) -> None:
        """Register a subscription with the manager and wait for the confirmation, up to the user's timeout."""
        serve = None
        if options.recover is not None:
            self._subscription_manager.recover_by(options.recover)
        if options.callback is not None and not options.inline:
            serve = self._callbacks.prepare(subscription)
        call = self._subscription_manager.add(subscription, options.stale_after)
        if serve is not None:
            serve()
        if options.timeout != 0 and not self._subscription_manager.is_io_thread():
            self._await(call, options.timeout, subscription.topics)
        self._subscription_manager.joined(subscription)

    def _undo(self, subscription: Subscription[Any], singles: tuple[str, ...]) -> None:
        """Remove a subscription that the caller will not get."""
        subscription.withhold(singles)
        self._subscription_manager.remove(subscription, singles)
        self._subscription_manager.joined(subscription)

    def _join_later(self, subscription: Subscription[Any], options: SubscribeOptions) -> None:
        """Do as `_join` for a subscription that the user has already; an error ends it. It may be closed by now."""
        singles = subscription.topics
        try:
            if not subscription.closed:
                self._join(subscription, options)
        except Exception as error:
            subscription.message_queue.finish(error)
            self._undo(subscription, singles)

    def find_credentials(self) -> Credentials | None:
        """Return the stream's credentials; look for some if it has none yet. Return None if there are none."""
        if self.credentials is None:
            self.credentials = self._find_credentials()
        return self.credentials

    def _check(self, single: str, private: bool | None, tunnel: str | None) -> None:
        """Raise InvalidTopic for a topic that can't be had like this, AuthenticationError if it lacks a key."""
        dialect = DIALECTS[grammar.dialect_of(grammar.market_of(single))]
        if tunnel is not None and not dialect.tunnels:
            raise InvalidTopic(f"{single} can't be subscribed in a tunnel, because its feed has none")
        needs_key = grammar.is_private(single)
        if needs_key and private is False:
            raise InvalidTopic(f"{single} is a private topic; leave private= away or pass True")
        if private and not needs_key and not dialect.mixed:
            raise InvalidTopic(f"{single} has no messages of the account's own; leave private= away")
        if (needs_key or private) and self.find_credentials() is None:
            what = "is a private topic" if needs_key else "was asked for with private=True"
            raise AuthenticationError(f"{single} {what} and needs an API key: {KEY_NEEDED}")

    def _make(self, singles: tuple[str, ...], options: SubscribeOptions, tunnel: str | None) -> Subscription:
        """Return a new subscription with the message queue that its options ask for."""

        def overflowed(dropped: int) -> None:
            self._callbacks.emit(Overflowed(subscription.topics, dropped))

        def slow(dropped: int) -> SlowConsumer:
            return SlowConsumer(
                f"{dropped} messages of {', '.join(subscription.topics[:3])} were dropped because {options.maxsize} "
                "were waiting already; take messages faster, raise maxsize, or choose another overflow policy",
                dropped=dropped,
            )

        message_queue: MessageQueue
        if options.callback is not None and options.inline:
            message_queue = InlineQueue(options.callback, lambda error: self._callbacks.failed(subscription, error))
        else:
            message_queue = queue_for(options.overflow, options.maxsize, overflowed, slow)
        message_queue.first_use = self._subscription_manager.first_use
        message_queue.before_wait = self._subscription_manager.before_wait
        subscription = Subscription(
            singles,
            message_queue,
            close=self._subscription_manager.end,
            callback=options.callback,
            tunnel=tunnel,
            private=options.private,
            recover=options.recover is not None,
        )
        brings = self._subscription_manager.brings
        subscription.waits_for_itself = lambda: all(brings(single, tunnel) for single in singles)
        return subscription

    def _await(self, call: PendingSubscribe, timeout: float | None, singles: tuple[str, ...]) -> None:
        if not call.gate.wait(timeout):
            error = self._subscription_manager.last_error(call)
            missing = sorted(key.topic for _, key in tuple(call.outstanding))
            if isinstance(error, AckTimeout):
                raise AckTimeout(
                    f"{', '.join(missing[:3])} ({len(missing)} of {call.total} topics) could not be subscribed within "
                    f"{timeout:g} s: {error}; the topics of one call share commands"
                )
            if error is not None:
                raise ConnectionFailed(f"{singles[0]} could not be subscribed within {timeout:g} s: {error}") from None
            raise AckTimeout(
                f"KuCoin did not confirm {', '.join(missing[:3])} ({len(missing)} of {call.total} topics) within "
                f"{timeout:g} s; try again, with a longer timeout= for many topics"
            )
        if call.error is not None:
            raise call.error
