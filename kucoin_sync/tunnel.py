"""Multiplex tunnels: separate, named groups of subscriptions over one connection.

Legacy, unverified live: documented by KuCoin from 2019 to 2023 ("Multiplex"), absent from its current documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar, overload

from .connections.manager import SubscriptionManager
from .connections.subscriber import Callback, Options, SubscribeOptions, Subscriber
from .delivery.subscription import Subscription
from .exceptions import InvalidTopic, StreamClosed
from .internal.fork import NotPicklable
from .internal.signals import holds_no_lock, run_or_defer
from .topics import grammar
from .topics.name import TopicName

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Tunnel"]

P = TypeVar("P")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tunnel(NotPicklable):
    """A tunnel of a stream, made by `Stream.tunnel`; closing it ends its subscriptions.

    The first topic subscribed in it chooses the connection. All topics of the tunnel stay on that connection.
    """

    def __init__(
        self, name: str, subscriber: Subscriber, subscription_manager: SubscriptionManager, stream: object = None
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidTopic(f"{name!r} is no name of a tunnel; it has 1 to 64 letters, digits, - or _")
        self.name = name
        self._subscriber = subscriber
        self._subscription_manager = subscription_manager
        self._closed = False
        self._stream = stream  # the tunnel keeps its stream alive
        subscription_manager.open_tunnel(name)

    @property
    def closed(self) -> bool:
        """Whether the tunnel was closed."""
        return self._closed

    @overload
    def subscribe(
        self, topic: TopicName[P], *more_topics: TopicName[P], **options: Unpack[Options]
    ) -> Subscription[P]: ...
    @overload
    def subscribe(self, topic: str, *more_topics: str, **options: Unpack[Options]) -> Subscription: ...
    def subscribe(
        self,
        topic: str,
        *more_topics: str,
        callback: Callback | None = None,
        inline: bool = False,
        maxsize: int = 10_000,
        overflow: str = "raise",
        private: bool | None = None,
        stale_after: float | None = None,
        timeout: float | None = 10.0,
    ) -> Subscription:
        """Subscribe topics within the tunnel; arguments and errors are those of `Stream.subscribe`."""
        self._check_open()
        options = SubscribeOptions(callback, inline, maxsize, overflow, private, stale_after, timeout)
        [subscription] = map(self._subscriber.subscribe, ((topic, *more_topics),), (options,), (self.name,), (self,))
        try:
            self._check_open()
        except BaseException:
            subscription.close()
            raise
        return subscription

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosed(f"the tunnel {self.name!r} is closed; open it again with stream.tunnel({self.name!r})")

    def unsubscribe(self, topic: str | Subscription) -> None:
        """End a subscription of this tunnel, or remove a topic from all subscriptions of this tunnel."""
        if isinstance(topic, Subscription):
            topic.close()
            return
        grammar.split(topic)  # raises InvalidTopic here, not on another thread
        run_or_defer(lambda: self._subscription_manager.unsubscribe(topic, self.name))

    def close(self) -> None:
        """Close the tunnel and end its subscriptions. Closing twice is allowed."""
        if self._closed:
            return  # another tunnel may have taken the name
        self._closed = True
        run_or_defer(lambda: self._subscription_manager.close_tunnel(self.name))
        self._subscription_manager.free_tunnel(
            self.name
        )  # last: a new tunnel of this name must not be closed by the line above

    def __enter__(self) -> Tunnel:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Tunnel {self.name!r}: {'closed' if self._closed else 'open'}>"
