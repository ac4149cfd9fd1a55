"""What is asked of a `subscribe` call before anything is done, and which queue its subscription gets."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import AuthenticationError, Credentials, InvalidTopic
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.connections.subscriber import SubscribeOptions, Subscriber
from kucoin_sync.delivery.inline_queue import InlineQueue

from ...support.sources import ONE, Connection

PRIVATE = "/account/balance"
KEY = Credentials("key", "secret", "passphrase")


def options(**others: Any) -> SubscribeOptions:
    return SubscribeOptions(None, False, 10, "raise", None, None, 0)._replace(**others)


@pytest.fixture
def subscriber(subscription_manager: SubscriptionManager) -> Subscriber:
    callbacks: Any = None
    return Subscriber(subscription_manager, callbacks, None, lambda: None)


@pytest.mark.parametrize(
    ("others", "kind", "text"),
    [
        ({"overflow": "drop"}, ValueError, "overflow is 'drop'; it is one of raise, drop_oldest"),
        ({"maxsize": 0}, ValueError, "maxsize is 0"),
        ({"callback": "print"}, TypeError, "callback must be callable, not str"),
        ({"inline": True}, ValueError, "needs a callback"),
        ({"stale_after": 0}, ValueError, "stale_after is 0"),
        ({"stale_after": float("nan")}, ValueError, "stale_after is nan"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(others: dict[str, Any], kind: type[Exception], text: str) -> None:
    options().check()
    with pytest.raises(kind, match=text):
        options(**others).check()


def test_a_private_topic_needs_a_key_and_nothing_is_left_behind_without_one(
    subscriber: Subscriber, subscription_manager: SubscriptionManager
) -> None:
    with pytest.raises(AuthenticationError, match=f"{PRIVATE} is a private topic and needs an API key"):
        subscriber.subscribe((ONE.topic, PRIVATE), options())
    with pytest.raises(AuthenticationError, match=r"was asked for with private=True"):
        subscriber.subscribe((ONE.topic,), options(private=True))
    with pytest.raises(InvalidTopic, match="leave private= away"):
        subscriber.subscribe((PRIVATE,), options(private=False))
    assert (Connection.made, subscription_manager.subscriptions) == ([], [])
    subscriber.credentials = KEY
    subscriber.subscribe((PRIVATE,), options())
    assert [connection.private for connection in Connection.made] == [True]


def test_a_topic_that_is_named_twice_is_subscribed_once(subscriber: Subscriber) -> None:
    subscription = subscriber.subscribe((ONE.topic, f"{ONE.topic},ETH-USDT"), options())
    assert subscription.topics == (ONE.topic, "/market/level2:ETH-USDT")


def test_an_inline_callback_has_no_queue(subscriber: Subscriber) -> None:
    inline = subscriber.subscribe((ONE.topic,), options(callback=print, inline=True))
    assert isinstance(inline.message_queue, InlineQueue)
    assert not isinstance(subscriber.subscribe((ONE.topic,), options()).message_queue, InlineQueue)
