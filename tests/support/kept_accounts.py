"""An account's keeper among stand-ins: its subscriptions are filled by hand, and REST is a simulated exchange."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from kucoin_sync.account.keeper import AccountKeeper
from kucoin_sync.delivery.callbacks import Callbacks
from kucoin_sync.delivery.overflow import queue_for
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.exceptions import KucoinSyncError
from kucoin_sync.internal.fork import FirstUse
from kucoin_sync.net.waker import Waker
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.message import Arrival, Message, Origin
from kucoin_sync.protocol.session_events import TopicKey
from kucoin_sync.testing.exchange import Exchange, Push

from .accounts import answer_path

__all__ = ["KeptAccount"]


class _Manager:
    """Stands for the subscription manager."""

    def __init__(self) -> None:
        self.first_use = FirstUse()
        self.before_wait = None
        self.closed = False
        self.watchers: dict[bool, Any] = {}
        self.carried: set[str] = set()
        self.error: KucoinSyncError | None = None

    def brings(self, topic: str) -> bool:
        return False

    def carries(self, topic: str, *, private: bool = False) -> bool:
        return private and topic in self.carried

    def obstacle(self, topic: str, *, private: bool = False) -> KucoinSyncError | None:
        return self.error


class _Subscriber:
    """Makes subscriptions that a test fills."""

    def __init__(self) -> None:
        self.made: list[Subscription[Any]] = []
        self.error: Exception | None = None
        self.key: object = "a key"

    def find_credentials(self) -> object:
        return self.key

    def subscribe(self, topics: tuple[str, ...], options: Any) -> Subscription[Any]:
        if self.error is not None and self.made:
            raise self.error
        message_queue = queue_for("raise", options.maxsize, lambda dropped: None, lambda dropped: RuntimeError())
        self.made.append(Subscription(topics, message_queue, close=lambda each: each.message_queue.finish(None)))
        return self.made[-1]


class KeptAccount:
    """A keeper, and what surrounds it."""

    def __init__(self, rest_lag: float = 0.0) -> None:
        self.exchange = Exchange(["BTC-USDT", "XBTUSDTM"], seed=3)
        self.manager, self.subscriber = _Manager(), _Subscriber()
        self.callbacks = Callbacks(None)
        self.refusals: dict[str, KucoinSyncError] = {}
        self.keeper = AccountKeeper(
            cast(Any, self.manager), cast(Any, self.subscriber), self.callbacks, self._make_rest, rest_lag
        )

    def _make_rest(self, waker: Waker, signing: bool) -> Any:
        kept = self

        class Rest:
            def call(self, market: str, method: str, path: str, query: Any, *, signed: bool) -> Any:
                refusal = kept.refusals.get(path)
                found = refusal or answer_path(kept.exchange, market, path, query, kept.exchange.now_ns)
                if isinstance(found, Exception):
                    raise found
                return found

            def close(self) -> None:
                pass

        return Rest()

    def keys(self, market: str) -> list[TopicKey]:
        return [TopicKey(topic) for topic in self.keeper.followers[market].part.topics]

    def connect(self, *markets: str) -> None:
        """Confirm the topics of some parts, by default of all."""
        for market in markets or tuple(self.keeper.followers):
            self.manager.carried.update(key.topic for key in self.keys(market))
            self.keeper.carried(self.keys(market))

    def cut(self, *markets: str) -> None:
        for market in markets or tuple(self.keeper.followers):
            self.manager.carried.difference_update(key.topic for key in self.keys(market))
            self.keeper.lost(self.keys(market), KucoinSyncError("a cut"))

    def push(self, push: Push) -> None:
        """Put a push into the subscription that has its topic."""
        [subscription] = [each for each in self.subscriber.made if each.topics == (push.topic,) and not each.closed]
        subscription.put(_message(push))

    def close(self) -> None:
        """End everything, and wait for the threads."""
        for thread in self.keeper.close():
            thread.join(30.0)
            assert not thread.is_alive()
        self.callbacks.close()
        for thread in self.callbacks.threads:
            thread.join(30.0)


def _message(push: Push) -> Message:
    """Return a push as a subscription gets it."""
    raw = msgspec.json.encode(push.message())
    message = decode_message(raw)
    message.raw, message.origin = raw, Origin(Arrival())
    return message
