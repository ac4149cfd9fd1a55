"""The decisions of a group about its connections, with sources that a test controls."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import Event, Rotated
from kucoin_sync.connections import groups, manager
from kucoin_sync.connections.manager import SubscriptionManager

from ...support.sources import (
    GONE,
    ONE,
    TWO,
    Connection,
    confirmed,
    replaced,
    subscribed,
)
from ...support.threads import Task


def test_what_was_replaced_or_given_up_has_no_say_any_more(subscription_manager: SubscriptionManager) -> None:
    old = subscribed(subscription_manager, ONE)
    confirmed(subscription_manager, old, ONE)
    new = replaced(subscription_manager, old)
    confirmed(subscription_manager, new, ONE)
    subscription_manager.aged(old)
    subscription_manager.full(old, (ONE,))
    subscription_manager.idle(old)
    subscription_manager.failed(old, GONE, fatal=True)
    assert Connection.made == [old, new], "nothing takes over once more"
    assert subscription_manager.carries(ONE.topic)
    [subscription] = subscription_manager.subscriptions
    assert not subscription.closed
    subscription_manager.failed(new, GONE, fatal=True)
    assert subscription.closed
    subscription_manager.failed(new, GONE, fatal=True)
    assert Connection.made == [old, new]


def test_a_connection_is_closed_when_it_has_carried_nothing_for_a_while(
    subscription_manager: SubscriptionManager,
) -> None:
    connection = subscribed(subscription_manager, ONE)
    closed: list[object] = []
    connection.close = lambda: closed.append(connection)
    subscription_manager.idle(connection)
    assert closed == []
    confirmed(subscription_manager, connection, ONE)
    subscription_manager.unsubscribe(ONE.topic)
    subscription_manager.idle(connection)
    assert closed == [connection]
    assert subscribed(subscription_manager, ONE) is not connection


def subscribe(subscription_manager: SubscriptionManager) -> None:
    subscribed(subscription_manager, ONE)


def unsubscribe(subscription_manager: SubscriptionManager) -> None:
    for subscription in subscription_manager.subscriptions:
        if ONE.topic in subscription.topics:
            subscription_manager.end(subscription)


def rotate(subscription_manager: SubscriptionManager) -> None:
    subscription_manager.aged(subscription_manager._connection_groups["spot", False].connections[1])


def fill(subscription_manager: SubscriptionManager) -> None:
    group = subscription_manager._connection_groups["spot", False]
    if ONE in group.assignment:
        connection: Any = group.connections[group.assignment.home(ONE)]
        connection.wanted.discard(ONE)
        subscription_manager.full(connection, (ONE,))


STEPS = (subscribe, unsubscribe, rotate, fill)


@pytest.mark.parametrize("before", STEPS[:2])
@pytest.mark.parametrize("second", STEPS)
@pytest.mark.parametrize("first", STEPS)
def test_what_is_decided_first_and_told_last_undoes_nothing(
    subscription_manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch, before: Any, first: Any, second: Any
) -> None:
    """Another thread decides, and tells the connections, between the two steps of the first one."""
    subscribed(subscription_manager, TWO)
    before(subscription_manager)
    do, between = manager.run, iter((second,))

    def do_later(decided: Any) -> None:
        for step in between:
            Task(step, subscription_manager).result()
        do(decided)

    for module in (manager, groups):
        monkeypatch.setattr(module, "run", do_later)
    first(subscription_manager)
    group = subscription_manager._connection_groups["spot", False]
    for number, connection in group.connections.items():
        source: Any = connection
        assert source.wanted == set(group.assignment.keys(number))
    for old in group.dispatcher.retiring:
        source = old
        assert source.wanted <= {key for number in group.assignment.numbers for key in group.assignment.keys(number)}


def test_a_replacement_that_was_given_up_has_replaced_nothing(
    subscription_manager: SubscriptionManager, told: list[Event]
) -> None:
    old = subscribed(subscription_manager, ONE)
    new = replaced(subscription_manager, old)
    subscription_manager.failed(new, GONE, fatal=True)
    subscription_manager.ended(new)
    subscription_manager.ended(old)
    assert not [event for event in told if isinstance(event, Rotated)]
    assert subscription_manager.subscriptions == []
