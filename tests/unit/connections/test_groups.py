"""What is told of confirmed and lost topics, with sources that a test controls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from kucoin_sync import Event, Rotated
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.exceptions import KucoinSyncError
from kucoin_sync.protocol.envelopes import Pushes
from kucoin_sync.protocol.session_events import TopicKey

from ...support.sources import (
    GONE,
    INSIDE,
    ONE,
    TWO,
    Connection,
    Watcher,
    confirmed,
    lone,
    lost,
    replaced,
    subscribed,
)


@pytest.fixture
def watcher(subscription_manager: SubscriptionManager) -> Watcher:
    subscription_manager.watchers[False] = watcher = Watcher()
    return watcher


def test_what_the_server_confirms_is_carried(subscription_manager: SubscriptionManager, watcher: Watcher) -> None:
    assert not subscription_manager.carries(ONE.topic)
    connection = subscribed(subscription_manager, ONE)
    assert not subscription_manager.carries(ONE.topic)
    confirmed(subscription_manager, connection, ONE)
    assert subscription_manager.carries(ONE.topic)
    assert not subscription_manager.carries(TWO.topic)
    assert watcher.told == [("carried", (ONE,))]


def test_what_a_lost_connection_carried_or_should_have_is_lost(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    connection = subscribed(subscription_manager, ONE, TWO)
    confirmed(subscription_manager, connection, ONE)
    lost(subscription_manager, connection)
    assert not subscription_manager.carries(ONE.topic)
    lost(subscription_manager, connection)
    assert watcher.told == [("carried", (ONE,)), ("lost", (ONE, TWO)), ("lost", (ONE, TWO))]


def test_private_connections_are_not_told_of(subscription_manager: SubscriptionManager, watcher: Watcher) -> None:
    """A public topic can be subscribed there, too, for the account's own messages only."""
    connection = subscribed(subscription_manager, ONE, private=True)
    confirmed(subscription_manager, connection, ONE)
    assert not subscription_manager.carries(ONE.topic)
    lost(subscription_manager, connection)
    subscription_manager.full(connection, (ONE,))
    assert watcher.told == []


def test_the_watcher_of_private_topics_is_told_of_these_alone(subscription_manager: SubscriptionManager) -> None:
    subscription_manager.watchers[True] = watcher = Watcher()
    public, connection = subscribed(subscription_manager, ONE), subscribed(subscription_manager, TWO, private=True)
    for each, key in ((public, ONE), (connection, TWO)):
        confirmed(subscription_manager, each, key)
    assert subscription_manager.carries(TWO.topic, private=True)
    assert not subscription_manager.carries(ONE.topic, private=True)
    for each in (public, connection):
        lost(subscription_manager, each)
    assert not subscription_manager.carries(TWO.topic, private=True)
    assert subscription_manager.obstacle(TWO.topic, private=True) is connection.last_error
    assert watcher.told == [("carried", (TWO,)), ("lost", (TWO,))]


def test_a_connection_that_is_given_up_ends_its_subscriptions_and_nothing_is_told(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    connection = subscribed(subscription_manager, ONE)
    subscription_manager.failed(connection, GONE, fatal=True)
    assert watcher.told == []


def test_nobody_need_watch(subscription_manager: SubscriptionManager) -> None:
    connection = subscribed(subscription_manager, ONE)
    confirmed(subscription_manager, connection, ONE)
    lost(subscription_manager, connection)


def test_while_one_of_two_connections_carries_a_topic_it_is_not_lost(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    old = subscribed(subscription_manager, ONE, TWO)
    confirmed(subscription_manager, old, ONE, TWO)
    new = replaced(subscription_manager, old)
    assert subscription_manager.carries(ONE.topic)
    watcher.told.clear()
    lost(subscription_manager, new)
    assert watcher.told == []
    subscription_manager.welcomed(new)
    confirmed(subscription_manager, new, ONE)
    subscription_manager.proved(old, answered=True)
    lost(subscription_manager, old)
    assert watcher.told == [("carried", (ONE,)), ("lost", (TWO,))]
    assert subscription_manager.carries(ONE.topic)
    assert not subscription_manager.carries(TWO.topic)


class Told:
    """An observer that notes what it is told of messages and losses."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_messages(self, market: str, private: bool, pushes: Pushes) -> None:
        self.told.append("message")

    def on_subscribed(self, market: str, private: bool, keys: Iterable[TopicKey]) -> None:
        self.told += ["carried" for _ in keys]

    def on_lost(self, market: str, keys: Iterable[TopicKey], error: KucoinSyncError) -> None:
        self.told += ["lost" for _ in keys]

    def on_event(self, event: Event) -> None: ...
    def on_snapshot(self, market: str, path: str, symbol: str, data: Any) -> None: ...


@pytest.mark.parametrize("is_cut", [True, False])
def test_what_a_replaced_connection_has_not_proved_is_lost_before_the_messages_of_the_new_one_follow(
    subscription_manager: SubscriptionManager, watcher: Watcher, is_cut: bool
) -> None:
    subscription_manager.add_observer(observer := Told())
    old = subscribed(subscription_manager, ONE)
    confirmed(subscription_manager, old, ONE)
    new = replaced(subscription_manager, old)
    subscription_manager.welcomed(new)
    confirmed(subscription_manager, new, ONE)
    [group] = subscription_manager._connection_groups.values()
    group.dispatcher.deliver(new, lone(ONE))
    if not is_cut:
        subscription_manager.proved(old, answered=False)  # the message waits for the next proof
    watcher.told.clear()
    observer.told.clear()
    if is_cut:
        lost(subscription_manager, old)
    else:
        subscription_manager.proved(old, answered=False)
    assert observer.told == ["lost", "carried", "message"]
    assert watcher.told == [("lost", (ONE,)), ("carried", (ONE,))]


@pytest.mark.parametrize("is_cut", [True, False])
def test_what_only_one_of_two_had_is_lost_before_the_messages_of_the_other_one_follow(
    monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    manager = SubscriptionManager(make, lambda *_: 300, print, redundancy=2)
    manager.add_observer(observer := Told())
    subscribed(manager, ONE)
    connections: list[Any] = Connection.made
    one, other = connections
    for each in connections:
        manager.welcomed(each)
        confirmed(manager, each, ONE)
    for each in connections:
        manager.proved(each, answered=True)
    lost(manager, one)
    manager.welcomed(one)
    confirmed(manager, one, ONE)
    [group] = manager._connection_groups.values()
    group.dispatcher.deliver(one, lone(ONE))
    if not is_cut:
        manager.proved(other, answered=False)
    assert "message" not in observer.told
    observer.told.clear()
    if is_cut:
        lost(manager, other)
    else:
        manager.proved(other, answered=False)
    assert observer.told == ["lost", "carried", "message"]


def test_what_is_confirmed_just_before_a_loss_is_told_is_told_again(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    old = subscribed(subscription_manager, ONE)
    confirmed(subscription_manager, old, ONE)
    new = replaced(subscription_manager, old)
    watcher.told.clear()
    # The new one's thread tells of its confirmation before the old one's thread tells of the loss that it has seen.
    watcher.meanwhile = lambda: new.active.add(ONE)
    lost(subscription_manager, old)
    assert watcher.told == [("lost", (ONE,)), ("carried", (ONE,))]


def test_topics_of_tunnels_are_no_public_ones_of_that_name(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    subscription = Subscription[Any]((INSIDE.topic,), MessageQueue(10, print), close=print, tunnel="bt1")
    subscription_manager.add(subscription, None)
    connection = Connection.made[-1]
    confirmed(subscription_manager, connection, INSIDE)
    assert not subscription_manager.carries(INSIDE.topic)
    watcher.meanwhile = lambda: connection.active.update({INSIDE, TopicKey(INSIDE.topic)})
    lost(subscription_manager, connection)
    assert watcher.told == [("carried", (INSIDE,)), ("lost", (INSIDE,))]


def test_a_rotation_is_told_of_when_the_old_connection_has_ended(
    subscription_manager: SubscriptionManager, emitted: list[Event]
) -> None:
    old = subscribed(subscription_manager, ONE)
    new = replaced(subscription_manager, old)
    subscription_manager.ended(old)
    assert emitted == [Rotated("spot", False, new.epoch)]


def test_what_a_replaced_connection_has_not_proved_is_lost_when_it_ends(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    old = subscribed(subscription_manager, ONE, TWO)
    confirmed(subscription_manager, old, ONE, TWO)
    new = replaced(subscription_manager, old)
    subscription_manager.welcomed(new)
    confirmed(subscription_manager, new, ONE)
    subscription_manager.proved(old, answered=True)
    confirmed(subscription_manager, new, TWO)
    watcher.told.clear()
    subscription_manager.ended(old)
    assert watcher.told == [("lost", (TWO,)), ("carried", (TWO,))]


def test_what_a_full_connection_refuses_is_lost_until_another_one_carries_it(
    subscription_manager: SubscriptionManager, watcher: Watcher
) -> None:
    old = subscribed(subscription_manager, ONE, TWO)
    confirmed(subscription_manager, old, ONE, TWO)
    new = replaced(subscription_manager, old)
    watcher.told.clear()
    subscription_manager.full(new, (TWO,))
    third = Connection.made[-1]
    assert third is not new
    assert watcher.told == [("lost", (TWO,))]
    confirmed(subscription_manager, third, TWO)
    assert subscription_manager.carries(TWO.topic)
    assert watcher.told[1:] == [("carried", (TWO,))]
