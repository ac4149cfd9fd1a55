"""`subscribe` and `unsubscribe` of a stream or tunnel, with sources that a test controls."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import InvalidTopic, StreamClosed
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.connections.subscriber import Subscriber
from kucoin_sync.connections.subscribing import Subscribing

from ...support.sources import ONE, TWO


class Owner(Subscribing):
    """Is closed after `open_checks` checks."""

    open_checks = 99

    def _check_open(self) -> None:
        self.open_checks -= 1
        if self.open_checks < 0:
            raise StreamClosed("closed")


@pytest.fixture
def owner(subscription_manager: SubscriptionManager) -> Owner:
    callbacks: Any = None
    return Owner(Subscriber(subscription_manager, callbacks, None, lambda: None), subscription_manager, None)


def test_unsubscribe_takes_a_subscription_or_a_topic(owner: Owner, subscription_manager: SubscriptionManager) -> None:
    first = owner.subscribe(ONE.topic, TWO.topic, timeout=0)
    second = owner.subscribe(ONE.topic, timeout=0)
    owner.unsubscribe(ONE.topic)
    assert (first.topics, second.closed) == ((TWO.topic,), True)
    owner.unsubscribe(first)
    assert first.closed
    assert subscription_manager.subscriptions == []
    with pytest.raises(InvalidTopic):
        owner.unsubscribe("no topic")


def test_one_that_is_closed_meanwhile_leaves_no_subscription(
    owner: Owner, subscription_manager: SubscriptionManager
) -> None:
    owner.open_checks = 1
    with pytest.raises(StreamClosed):
        owner.subscribe(ONE.topic, timeout=0)
    assert subscription_manager.subscriptions == []


def test_a_decorator_without_topics_is_refused_where_it_is_written(owner: Owner) -> None:
    on: Any = owner.on
    with pytest.raises(InvalidTopic, match="not function"):

        @on
        def _(message: object) -> None:
            pass

    with pytest.raises(InvalidTopic, match="'no topic' is not a topic"):
        owner.on(ONE.topic, "no topic")
