"""The decisions of a group about its connections, with sources that a test controls."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, Event, Rotated
from kucoin_sync.connections import groups, manager
from kucoin_sync.connections.manager import SubscriptionManager

from ...support.sources import (
    GONE,
    ONE,
    TWO,
    Connection,
    Watcher,
    confirmed,
    lost,
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
    [connection] = subscription_manager._connection_groups["spot", False].connections[1]
    subscription_manager.aged(connection)


def fill(subscription_manager: SubscriptionManager) -> None:
    group = subscription_manager._connection_groups["spot", False]
    if (home := group.assignment.home(ONE)) is not None:
        connection: Any
        [connection] = group.connections[home]
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
    source: Any
    for number, [source] in group.connections.items():
        assert source.wanted == set(group.assignment.keys(number))
    for old in group.dispatcher.retiring:
        source = old
        assert source.wanted <= {key for number in group.assignment.numbers for key in group.assignment.keys(number)}


def test_a_replacement_that_was_given_up_has_replaced_nothing(
    subscription_manager: SubscriptionManager, emitted: list[Event]
) -> None:
    old = subscribed(subscription_manager, ONE)
    new = replaced(subscription_manager, old)
    subscription_manager.failed(new, GONE, fatal=True)
    subscription_manager.ended(new)
    subscription_manager.ended(old)
    assert not [event for event in emitted if isinstance(event, Rotated)]
    assert subscription_manager.subscriptions == []


# Two connections for each topic


@pytest.fixture
def redundant(monkeypatch: pytest.MonkeyPatch, emitted: list[Event]) -> SubscriptionManager:
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    return SubscriptionManager(make, lambda *_: 1, emitted.append, redundancy=2)


def welcomed(subscription_manager: SubscriptionManager, *connections: Any) -> None:
    for connection in connections:
        subscription_manager.welcomed(connection)


def test_each_topic_is_on_two_connections_that_come_and_go_together(redundant: SubscriptionManager) -> None:
    subscribed(redundant, ONE)
    first, second = Connection.made
    assert first.wanted == second.wanted == {ONE}
    welcomed(redundant, first, second)
    assert first.epoch == second.epoch
    assert redundant.stats()["redundant_topics"] == 0
    for connection, other in ((first, second), (second, first)):
        confirmed(redundant, connection, ONE)
        redundant.proved(other, answered=True)
    assert redundant.stats()["redundant_topics"] == 1
    subscribed(redundant, TWO)
    assert [connection.wanted for connection in Connection.made] == [{ONE}, {ONE}, {TWO}, {TWO}]
    redundant.unsubscribe(ONE.topic)
    redundant.unsubscribe(TWO.topic)
    redundant.idle(second)
    assert [connection.over for connection in Connection.made] == [True, True, False, False]
    redundant.idle(first)
    assert redundant.stats()["connections"] == 2


def test_a_second_connection_that_can_not_be_made_leaves_no_first_one(
    redundant: SubscriptionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*arguments: Any) -> Any:
        if Connection.made:
            raise GONE
        return Connection(*arguments)

    monkeypatch.setattr(redundant, "_make_source", make)
    with pytest.raises(ConnectionFailed):
        subscribed(redundant, ONE)
    [first] = Connection.made
    assert first.over
    stats = redundant.stats()
    assert (stats["connections"], stats["topics"], stats["subscriptions"]) == (0, 0, 0)
    Connection.made.clear()
    monkeypatch.setattr(redundant, "_make_source", Connection)
    subscribed(redundant, ONE)
    assert len(Connection.made) == 2


def test_what_the_server_refuses_on_one_is_gone_from_both(redundant: SubscriptionManager) -> None:
    subscribed(redundant, ONE)
    first, second = Connection.made
    redundant.refused(first, ONE, GONE)
    assert second.wanted == set()
    subscribed(redundant, TWO)
    redundant.failed(first, GONE, fatal=True)
    assert second.over
    assert redundant.subscriptions == []


def test_topics_that_one_has_no_room_for_are_moved_from_both(redundant: SubscriptionManager) -> None:
    subscribed(redundant, ONE)
    first, second = Connection.made
    first.wanted.discard(ONE)
    redundant.full(first, (ONE,))
    assert [connection.wanted for connection in Connection.made] == [set(), set(), {ONE}, {ONE}]
    assert second in Connection.made


def test_a_topic_begins_again_on_one_of_the_connections_that_carry_it(redundant: SubscriptionManager) -> None:
    again: list[Any] = []
    subscribed(redundant, ONE)
    first, second = Connection.made
    for connection in (first, second):
        connection.resubscribe = lambda keys, connection=connection: again.append(connection)  # type: ignore[attr-defined]
    redundant.resubscribe(ONE.topic)
    assert again == []
    confirmed(redundant, second, ONE)
    redundant.resubscribe(ONE.topic)
    assert again == [second]


def test_a_connection_takes_a_server_that_its_partner_does_not_use(redundant: SubscriptionManager) -> None:
    subscribed(redundant, ONE)
    subscribed(redundant, TWO)
    first, second, other, _ = Connection.made
    servers = ["a", "b"]
    assert [redundant.choose_server(each, servers) for each in (first, second, other)] == [0, 1, 0]
    assert (first.endpoint, second.endpoint) == ("a", "b")
    assert redundant.choose_server(first, ["b"]) == 0, "where there is no other"
    assert redundant.choose_server(second, ["b", "a"]) == 1
    redundant.aged(first)
    assert redundant.choose_server(Connection.made[-1], servers) == 1, "a replacement is apart from the one that stays"
    assert redundant.choose_server(first, servers) == 0, "one that was replaced has no partners"


def test_what_is_confirmed_on_the_second_is_told_once(redundant: SubscriptionManager) -> None:
    redundant.watchers[False] = watcher = Watcher()
    subscribed(redundant, ONE)
    first, second = Connection.made
    welcomed(redundant, first, second)
    for connection, other in ((first, second), (second, first)):
        confirmed(redundant, connection, ONE)
        redundant.proved(other, answered=True)
    lost(redundant, first)
    welcomed(redundant, first)
    confirmed(redundant, first, ONE)
    assert watcher.told == [("carried", (ONE,))]
    lost(redundant, second)
    assert watcher.told[1:] == [("lost", (ONE,)), ("carried", (ONE,))], (
        "the first has not proved that it has everything"
    )
    lost(redundant, first)
    assert watcher.told[3:] == [("lost", (ONE,))]
