"""Message sources that a test controls, in place of connections, for a subscription manager."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from kucoin_sync import AckTimeout, ConnectionFailed
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.connections.source import Counts
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.exceptions import KucoinSyncError
from kucoin_sync.protocol.envelopes import FrameBatch
from kucoin_sync.protocol.message import Arrival, RawPush
from kucoin_sync.protocol.session_events import TopicKey

from .messages import prefix_of

__all__ = [
    "FUTURES",
    "GONE",
    "INSIDE",
    "ONE",
    "PREFIXES",
    "TWO",
    "Connection",
    "Watcher",
    "batch",
    "confirmed",
    "lone",
    "lost",
    "replaced",
    "subscribed",
]


ONE, TWO, INSIDE = (
    TopicKey("/market/level2:BTC-USDT"),
    TopicKey("/market/level2:ETH-USDT"),
    TopicKey("/market/level2:KCS-BTC", "bt1"),
)
FUTURES = TopicKey("/contractMarket/level2:XBTUSDTM")
GONE = ConnectionFailed("gone")
PREFIXES = {key: prefix_of(b"", key.topic) for key in (ONE, TWO)}


class Connection:
    """A connection that carries what a test has put into `active`."""

    made: list[Connection] = []

    def __init__(self, number: int, market: str, private: bool, owner: Any, group: Any) -> None:
        self.market, self.private, self.group = market, private, group
        self.active: set[TopicKey] = set()
        self.wanted: set[TopicKey] = set()
        self.counts = Counts()
        self.over = False
        self.last_error = None
        self.delay: AckTimeout | None = None
        self.epoch = number
        self.endpoint = ""
        self.thread = threading.current_thread()
        Connection.made.append(self)

    def is_active(self, key: TopicKey) -> bool:
        return key in self.active

    def delay_of(self, _: TopicKey) -> AckTimeout | None:
        return self.delay

    def start(self) -> None: ...
    def close(self) -> None:
        self.over = True

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        self.wanted.update(keys)

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        self.wanted.difference_update(keys)

    def prove(self) -> None: ...
    def retire(self, seconds: float) -> None: ...


class Watcher:
    """Notes what it is told; `meanwhile` happens while it is told of a loss."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[TopicKey, ...]]] = []
        self.meanwhile: Any = lambda: None

    def carried(self, keys: Iterable[TopicKey]) -> None:
        if keys := tuple(keys):
            self.told.append(("carried", keys))

    def lost(self, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        self.told.append(("lost", tuple(keys)))
        self.meanwhile()


def subscribed(subscription_manager: SubscriptionManager, *keys: TopicKey, private: bool = False) -> Any:
    """Return the connection of keys that were subscribed just now."""
    subscription = Subscription[Any](
        tuple(key.topic for key in keys), MessageQueue(10, print), close=print, private=private
    )
    subscription_manager.add(subscription, None)
    return Connection.made[-1]


def confirmed(subscription_manager: SubscriptionManager, connection: Any, *keys: TopicKey) -> None:
    connection.active.update(keys)
    subscription_manager.acked(connection, keys)


def lost(subscription_manager: SubscriptionManager, connection: Any) -> None:
    connection.active.clear()
    subscription_manager.failed(connection, GONE, fatal=False)


def replaced(subscription_manager: SubscriptionManager, old: Any) -> Any:
    """Return the connection that begins to take over."""
    subscription_manager.aged(old)
    assert Connection.made[-1] is not old
    return Connection.made[-1]


def lone(key: TopicKey) -> tuple[RawPush]:
    """Return a push that came alone."""
    return (RawPush(b'{"type":"message","topic":"%s","data":1}' % key.topic.encode(), Arrival(), PREFIXES[key]),)


def batch(*keys: TopicKey) -> FrameBatch:
    """Return pushes that came together."""
    pushes = [lone(key)[0] for key in keys]
    prefixes = [push.prefix for push in pushes]
    return FrameBatch([push.frame for push in pushes], Arrival(), prefixes)
