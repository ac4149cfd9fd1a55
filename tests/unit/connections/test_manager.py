"""The subscription manager and its groups, with connections that a test controls."""

from __future__ import annotations

from typing import Any

from kucoin_sync import AckTimeout
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription

from ...support.sources import FUTURES, GONE, ONE, Connection, confirmed


def test_who_waits_is_told_why_the_one_connection_of_several_is_not_there(
    subscription_manager: SubscriptionManager,
) -> None:
    subscription = Subscription[Any]((ONE.topic, FUTURES.topic), MessageQueue(10, print), close=print)
    call = subscription_manager.add(subscription, None)
    spot, futures = Connection.made
    assert subscription_manager.last_error(call) is None
    futures.last_error = GONE
    assert subscription_manager.last_error(call) is GONE
    confirmed(subscription_manager, futures, FUTURES)
    assert subscription_manager.last_error(call) is None, "what waits now is not there for another reason"
    confirmed(subscription_manager, spot, ONE)
    assert call.gate.wait(0)


def test_who_waits_is_told_that_a_command_waits_where_every_connection_is_there(
    subscription_manager: SubscriptionManager,
) -> None:
    subscription = Subscription[Any]((ONE.topic, FUTURES.topic), MessageQueue(10, print), close=print)
    call = subscription_manager.add(subscription, None)
    spot, futures = Connection.made
    spot.delay = delay = AckTimeout("the command waits")
    assert subscription_manager.last_error(call) is delay
    assert subscription_manager.obstacle(ONE.topic) is delay
    futures.last_error = GONE
    assert subscription_manager.last_error(call) is GONE
    confirmed(subscription_manager, spot, ONE)
    assert subscription_manager.obstacle(ONE.topic) is None
