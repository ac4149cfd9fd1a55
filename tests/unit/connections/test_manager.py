"""The subscription manager and its groups, with connections that a test controls."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, Event, Rotated
from kucoin_sync.connections import dispatch, groups, manager
from kucoin_sync.connections.manager import SubscriptionManager
from kucoin_sync.connections.source import Counts
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.exceptions import KucoinSyncError
from kucoin_sync.protocol.envelopes import FrameBatch, Pushes
from kucoin_sync.protocol.message import Arrival, RawPush
from kucoin_sync.protocol.session_events import TopicKey

from ...support.message_queues import Waiters, wait_for_a_consumer
from ...support.messages import prefix_of
from ...support.threads import LIMIT, Task

ONE, TWO, INSIDE = (
    TopicKey("/market/level2:BTC-USDT"),
    TopicKey("/market/level2:ETH-USDT"),
    TopicKey("/market/level2:KCS-BTC", "bt1"),
)
FUTURES = TopicKey("/contractMarket/level2:XBTUSDTM")
GONE = ConnectionFailed("gone")


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
        self.epoch = number
        self.thread = threading.current_thread()
        Connection.made.append(self)

    def is_active(self, key: TopicKey) -> bool:
        return key in self.active

    def start(self) -> None: ...
    def close(self) -> None: ...
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


@pytest.fixture
def told() -> list[Event]:
    """The events that were emitted."""
    return []


@pytest.fixture
def subscription_manager(monkeypatch: pytest.MonkeyPatch, told: list[Event]) -> SubscriptionManager:
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    return SubscriptionManager(make, lambda *_: 300, told.append)


@pytest.fixture
def watcher(subscription_manager: SubscriptionManager) -> Watcher:
    subscription_manager.watcher = watcher = Watcher()
    return watcher


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
    confirmed(subscription_manager, new, ONE)
    lost(subscription_manager, old)
    assert watcher.told == [("carried", (ONE,)), ("lost", (TWO,))]
    assert subscription_manager.carries(ONE.topic)
    assert not subscription_manager.carries(TWO.topic)


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


def test_a_rotation_is_told_of_when_the_old_connection_has_ended(
    subscription_manager: SubscriptionManager, told: list[Event]
) -> None:
    old = subscribed(subscription_manager, ONE)
    new = replaced(subscription_manager, old)
    subscription_manager.ended(old)
    assert told == [Rotated("spot", False, new.epoch)]


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


def lone(key: TopicKey) -> tuple[RawPush]:
    """Return a push that came alone."""
    return (RawPush(b'{"type":"message","topic":"%s","data":1}' % key.topic.encode(), Arrival(), PREFIXES[key]),)


def batch(*keys: TopicKey) -> FrameBatch:
    """Return pushes that came together."""
    pushes = [lone(key)[0] for key in keys]
    prefixes = [push.prefix for push in pushes]
    return FrameBatch([push.frame for push in pushes], Arrival(), prefixes)


PREFIXES = {key: prefix_of(b"", key.topic) for key in (ONE, TWO)}


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
