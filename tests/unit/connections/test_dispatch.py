"""Where pushes go, and what a sole consumer takes, with sources that a test controls."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.connections import dispatch
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.protocol.envelopes import FrameBatch, Pushes
from kucoin_sync.protocol.message import Arrival, RawPush
from kucoin_sync.protocol.session_events import TopicKey

from ...support.message_queues import Waiters, wait_for_a_consumer
from ...support.messages import prefix_of
from ...support.sources import (
    ONE,
    PREFIXES,
    TWO,
    Connection,
    batch,
    lone,
    replaced,
    subscribed,
)
from ...support.threads import LIMIT, Task


@pytest.fixture
def sole_consumer(subscription_manager: SubscriptionManager) -> Any:
    """Who waited for a push that came alone, to the only subscription."""
    connection = subscribed(subscription_manager, ONE)
    [subscription] = subscription_manager.subscriptions
    assert connection.group(connection, lone(ONE)) is None, "nobody has waited"
    assert connection.group(connection, lone(ONE)) is None, "nobody has waited"
    subscription.message_queue.clear()
    subscription.message_queue.waiters = Waiters()
    waiting = Task(subscription.message_queue.wait, LIMIT)
    wait_for_a_consumer(subscription.message_queue)
    sole_consumer = connection.group(connection, lone(ONE))
    assert waiting.result() is True
    subscription.message_queue.clear()
    return sole_consumer


def test_what_is_remembered_of_beginnings_of_frames_is_bounded(
    subscription_manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_MAX_PREFIXES", 3)
    keys = [TopicKey(f"/market/level2:A{n}-USDT") for n in range(20)]
    connection = subscribed(subscription_manager, *keys)
    [subscription] = subscription_manager.subscriptions
    for key in keys:
        connection.group(connection, [RawPush(b"{}", Arrival(), prefix_of(b"", key.topic))])
        assert len(connection.group.__self__._sole_sinks) <= 3
    assert len(subscription.message_queue) == 10 and subscription.dropped == 10


def test_what_came_together_is_routed_by_its_prefixes(subscription_manager: SubscriptionManager) -> None:
    frames = [b'{"n":%d}' % n for n in range(4)]
    connection = subscribed(subscription_manager, ONE, TWO)
    [first] = subscription_manager.subscriptions

    def alike() -> FrameBatch:
        return FrameBatch(frames, Arrival(), prefix=PREFIXES[ONE])

    def mixed() -> FrameBatch:
        return FrameBatch(frames, Arrival(), [PREFIXES[key] for key in (ONE, TWO, TWO, ONE)])

    def bring(*pushes: Pushes) -> list[list[Any]]:
        for each in pushes:
            connection.group(connection, each)
            assert connection.group.__self__.newest.frame == each[-1].frame
        found: list[list[Any]] = []
        for subscription in subscription_manager.subscriptions:
            message_queue = subscription.message_queue
            found.append([getattr(push, "frame", push) for push in message_queue.take(len(message_queue))])
            found[-1] += [getattr(push, "frame", push) for push in message_queue.take(len(message_queue))]
            assert not len(message_queue)
        return found

    for _ in range(2):  # the second time it is known whose they are
        assert bring(mixed()) == [frames]
        assert bring(alike(), [alike()[2]]) == [[*frames, frames[2]]]
    batch = mixed()
    connection.group(connection, batch)
    assert list(first.message_queue.items) == [batch], "what is for one subscription alone stays together"
    first.message_queue.clear()
    assert subscribed(subscription_manager, TWO) is connection
    for _ in range(2):
        assert [len(found) for found in bring(alike())] == [4, 0]
    subscription_manager.remove(first, (TWO.topic,))
    for _ in range(2):
        assert bring(mixed()) == [[frames[0], frames[3]], frames[1:3]]
    assert first.topics == (ONE.topic,)


def test_who_waited_for_a_push_that_came_alone_is_told_of_and_takes_the_next(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    [subscription] = subscription_manager.subscriptions
    push = lone(ONE)
    assert sole_consumer.put(push) is True
    assert sole_consumer.dispatcher.newest is push[0]
    assert sole_consumer.has(push)
    assert not sole_consumer.has(lone(ONE))
    assert len(subscription.message_queue) == 1
    assert subscription_manager.stats()["pending"] == 1
    assert sole_consumer.put(lone(TWO)) is False


def test_it_takes_what_came_together_in_one_step_or_not_at_all(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    [subscription] = subscription_manager.subscriptions
    message_queue = subscription.message_queue
    came = [batch(ONE, ONE) for _ in range(message_queue.room() // 2)]
    for each in came:
        assert sole_consumer.put(each) is True
        assert sole_consumer.has(each)
    assert (list(message_queue.items), sole_consumer.dispatcher.newest.frame) == (came, came[-1].frames[-1])
    for more in (batch(ONE, ONE), lone(ONE)):
        assert sole_consumer.put(more) is False, "the I/O thread drops what has no room"
        assert not sole_consumer.has(more)
    assert (message_queue.room(), message_queue.dropped) == (0, 0)
    assert len(list(message_queue.take(2))) == 2
    assert sole_consumer.put(batch(ONE, TWO)) is False
    assert sole_consumer.put(lone(ONE)) is True


def test_it_takes_none_that_others_have_a_share_in(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    subscribed(subscription_manager, ONE)
    assert sole_consumer.put(lone(ONE)) is False
    assert [len(subscription.message_queue) for subscription in subscription_manager.subscriptions] == [0, 0]


def test_it_takes_none_of_what_it_has_no_more(subscription_manager: SubscriptionManager, sole_consumer: Any) -> None:
    [subscription] = subscription_manager.subscriptions
    subscription_manager.remove(subscription, (ONE.topic,))
    assert sole_consumer.put(lone(ONE)) is False


def test_it_takes_none_that_an_observer_is_to_get(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    observer: Any = object()
    subscription_manager.add_observer(observer)
    assert (sole_consumer.put(lone(ONE)), sole_consumer.takes_all_of([ONE])) == (False, False)
    subscription_manager.remove_observer(observer)
    assert (sole_consumer.put(lone(ONE)), sole_consumer.takes_all_of([ONE])) == (True, True)


def test_it_takes_none_while_one_connection_takes_over_from_another(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    replaced(subscription_manager, Connection.made[-1])
    assert sole_consumer.put(lone(ONE)) is False


def test_it_takes_them_again_when_the_other_connection_has_taken_over(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    old = Connection.made[-1]
    new = replaced(subscription_manager, old)
    new.group(new, lone(ONE))
    subscription_manager.ended(old)
    assert sole_consumer.put(lone(ONE)) is False
    new.group(new, lone(ONE))
    assert sole_consumer.put(lone(ONE)) is True
    [subscription] = subscription_manager.subscriptions
    assert len(subscription.message_queue) == 3


def test_it_takes_all_of_what_brings_nothing_else(
    subscription_manager: SubscriptionManager, sole_consumer: Any
) -> None:
    assert sole_consumer.takes_all_of((ONE,))
    for keys in ((), (TWO,), (ONE, TWO), (TopicKey(ONE.topic, "bt1"),)):
        assert not sole_consumer.takes_all_of(keys)
