"""What streams and tunnels have in common: `subscribe`, `on` and `unsubscribe`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ..delivery.overflow import Overflow
from ..delivery.subscription import Subscription
from ..exceptions import InvalidTopic
from ..internal.fork import NotPicklable
from ..internal.signals import holds_no_lock, run_or_defer
from ..protocol.message import Message
from ..topics import grammar
from ..topics.name import TopicName
from .gate import TopicRecovery
from .manager import SubscriptionManager
from .subscriber import Callback, SubscribeOptions, Subscriber

__all__ = ["Subscribing"]

P = TypeVar("P")
P2 = TypeVar("P2")
P3 = TypeVar("P3")
P4 = TypeVar("P4")
T = TypeVar("T")
C = TypeVar("C", bound=Callback)

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    class DeliveryOptions(TypedDict, total=False):
        """The keyword arguments of `Stream.subscribe` without the callback."""

        inline: bool
        maxsize: int
        overflow: Overflow
        private: bool | None
        stale_after: float | None
        timeout: float | None
        recover: bool

    class SubscribeArguments(DeliveryOptions, Generic[P], total=False):
        """The keyword arguments of `Stream.subscribe`."""

        callback: Callable[[Message[P]], object] | None

    class UnknownPayload:
        """The payload that the callback of a topic gets whose type is not known, because the topic is plain text.

        With `Any` in its place, the overload for text would accept a callback that is wrong for a typed topic.
        """

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...


class Subscribing(NotPicklable):
    """Base class of `Client` and `Tunnel`. Subscriptions keep it alive."""

    def __init__(self, subscriber: Subscriber, subscription_manager: SubscriptionManager, tunnel: str | None) -> None:
        self._subscriber = subscriber
        self._subscription_manager = subscription_manager
        self._tunnel = tunnel  # None for topics that are in no tunnel

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._subscription_manager.closed

    def _check_open(self) -> None:
        """Raise StreamClosed if nothing can be subscribed here any more. The manager checks that for streams."""

    def _recovery_of(self, topics: tuple[str, ...]) -> TopicRecovery:
        """Return what recovers these topics; raise InvalidTopic if one of them can't be recovered."""
        raise InvalidTopic(f"{topics[0]} can't be recovered in a tunnel; subscribe it without recover=True there")

    # A type checker joins the types of several topics to their base class, unless each has a variable of its own.
    @overload
    def subscribe(self, topic: TopicName[P], **options: Unpack[SubscribeArguments[P]]) -> Subscription[P]: ...
    @overload
    def subscribe(
        self, topic: TopicName[P], topic_2: TopicName[P2], /, **options: Unpack[SubscribeArguments[P | P2]]
    ) -> Subscription[P | P2]: ...
    @overload
    def subscribe(
        self,
        topic: TopicName[P],
        topic_2: TopicName[P2],
        topic_3: TopicName[P3],
        /,
        **options: Unpack[SubscribeArguments[P | P2 | P3]],
    ) -> Subscription[P | P2 | P3]: ...
    @overload
    def subscribe(
        self,
        topic: TopicName[P],
        topic_2: TopicName[P2],
        topic_3: TopicName[P3],
        topic_4: TopicName[P4],
        /,
        **options: Unpack[SubscribeArguments[P | P2 | P3 | P4]],
    ) -> Subscription[P | P2 | P3 | P4]: ...
    @overload
    def subscribe(
        self, topic: TopicName[P], *more_topics: TopicName[P], **options: Unpack[SubscribeArguments[P]]
    ) -> Subscription[P]: ...
    @overload
    def subscribe(
        self, topic: str, *more_topics: str, **options: Unpack[SubscribeArguments[UnknownPayload]]
    ) -> Subscription: ...
    def subscribe(
        self,
        topic: str,
        *more_topics: str,
        callback: Callback | None = None,
        inline: bool = False,
        maxsize: int = 10_000,
        overflow: Overflow = "raise",
        private: bool | None = None,
        stale_after: float | None = None,
        timeout: float | None = 10.0,
        recover: bool = False,
    ) -> Subscription:
        """Subscribe topics; return an iterable subscription after the server has confirmed them.

        Args:
            topic, more_topics: such as "/market/ticker:ETH-USDT" or `topics.ticker("BTC-USDT", "ETH-USDT")`.
            callback: called with each message on the stream's callback thread, instead of iterating. If it takes longer
                than 50 ms, the callbacks of other subscriptions go on, on another thread.
            inline: call the callback on the I/O thread, for the lowest latency; it must not block.
            maxsize: messages that may be queued for the consumer.
            overflow: what to do when the queue is full: "raise" (SlowConsumer), "drop_oldest", "drop_newest", or
                "latest" (keep only the newest message of each topic and subject).
            private: True asks for the account's own messages of a topic (`privateChannel`).
            stale_after: seconds without a message after which a `Stale` event is emitted, once per episode.
            timeout: seconds to wait for the confirmation; 0 does not wait, None waits without limit.
            recover: deliver what was missed during a cut, too, from REST (`message.recovered`), in its place; what
                can't be recovered is told (`RecoveryIncomplete`). For trades and candles; see
                `kucoin_sync/recovery/README.md`.

        Raises:
            InvalidTopic, SubscriptionRejected, AckTimeout, AuthenticationError, StreamClosed;
            ConnectionFailed: the server could not be reached within the timeout.
        """
        self._check_open()
        options = SubscribeOptions(callback, inline, maxsize, overflow, private, stale_after, timeout)
        if recover:
            options = options._replace(recover=self._recovery_of((topic, *more_topics)))
        # One step, see `MessageQueue.source`.
        [subscription] = map(self._subscriber.subscribe, ((topic, *more_topics),), (options,), (self._tunnel,), (self,))
        try:
            self._check_open()
        except BaseException:
            subscription.close()
            raise
        return subscription

    @overload
    def on(  # type: ignore[overload-overlap]  # a text may be a typed topic
        self, topic: TopicName[P], **options: Unpack[DeliveryOptions]
    ) -> Callable[[Callable[[Message[P]], T]], Callable[[Message[P]], T]]: ...
    @overload
    def on(  # type: ignore[overload-overlap]
        self, topic: TopicName[P], topic_2: TopicName[P2], /, **options: Unpack[DeliveryOptions]
    ) -> Callable[[Callable[[Message[P | P2]], T]], Callable[[Message[P | P2]], T]]: ...
    @overload
    def on(self, topic: str, *more_topics: str, **options: Unpack[DeliveryOptions]) -> Callable[[C], C]: ...
    def on(self, topic: str, *more_topics: str, **options: Any) -> Callable[[C], C]:
        """Decorate a function to become the callback of topics; `options` are those of `subscribe`."""
        for each in (topic, *more_topics):
            grammar.split(each)  # raises InvalidTopic here, also for a function that is decorated without topics

        @holds_no_lock
        def register(callback: C) -> C:
            self.subscribe(topic, *more_topics, callback=callback, **options)
            return callback

        return register

    def unsubscribe(self, topic: str | Subscription) -> None:
        """End a subscription, or remove a topic, by its subscribed name, from all subscriptions made here."""
        if isinstance(topic, Subscription):
            topic.close()
            return
        grammar.split(topic)  # raises InvalidTopic here, not on another thread
        run_or_defer(lambda: self._subscription_manager.unsubscribe(topic, self._tunnel))
