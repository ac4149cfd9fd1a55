"""What a switchboard tells of topics that are carried or no longer carried, with connections that do as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, Event, Rotated, switchboard
from kucoin_sync import lane as lane_module
from kucoin_sync.carrier import Counts
from kucoin_sync.exceptions import KucoinSyncError
from kucoin_sync.inbox import Inbox
from kucoin_sync.messages import Batch, Sealed
from kucoin_sync.outcomes import Key
from kucoin_sync.sealed import Medley, Pushes, Run
from kucoin_sync.subscription import Subscription
from kucoin_sync.switchboard import Switchboard

from .support.inboxes import Waiters, wait_for_a_consumer
from .support.messages import head_of
from .support.threads import LIMIT, Task

ONE, TWO, INSIDE = Key("/market/level2:BTC-USDT"), Key("/market/level2:ETH-USDT"), Key("/market/level2:KCS-BTC", "bt1")
FUTURES = Key("/contractMarket/level2:XBTUSDTM")
GONE = ConnectionFailed("gone")


class Connection:
    """A connection that carries what a test has put into `active`."""

    made: list[Connection] = []

    def __init__(self, number: int, market: str, private: bool, owner: Any, lane: Any) -> None:
        self.market, self.private, self.lane = market, private, lane
        self.active: set[Key] = set()
        self.wanted: set[Key] = set()
        self.counts = Counts()
        self.over = False
        self.last_error = None
        self.epoch = number
        self.thread = threading.current_thread()
        Connection.made.append(self)

    def is_active(self, key: Key) -> bool:
        return key in self.active

    def start(self) -> None: ...
    def close(self) -> None: ...
    def subscribe(self, keys: Iterable[Key]) -> None:
        self.wanted.update(keys)

    def unsubscribe(self, keys: Iterable[Key]) -> None:
        self.wanted.difference_update(keys)

    def prove(self) -> None: ...
    def retire(self, seconds: float) -> None: ...


class Watcher:
    """Notes what it is told; `meanwhile` happens while it is told of a loss."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Key, ...]]] = []
        self.meanwhile: Any = lambda: None

    def carried(self, keys: Iterable[Key]) -> None:
        if keys := tuple(keys):
            self.told.append(("carried", keys))

    def lost(self, keys: Iterable[Key], error: KucoinSyncError) -> None:
        self.told.append(("lost", tuple(keys)))
        self.meanwhile()


@pytest.fixture
def told() -> list[Event]:
    """The events that were emitted."""
    return []


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, told: list[Event]) -> Switchboard:
    monkeypatch.setattr(Connection, "made", [])
    make: Any = Connection
    return Switchboard(make, 300, told.append)


@pytest.fixture
def watcher(board: Switchboard) -> Watcher:
    board.watcher = watcher = Watcher()
    return watcher


def subscribed(board: Switchboard, *keys: Key, private: bool = False) -> Any:
    """Return the connection of keys that were subscribed just now."""
    subscription = Subscription[Any](tuple(key.topic for key in keys), Inbox(10, print), close=print)
    board.add(subscription, {("spot", private): list(keys)}, None)
    return Connection.made[-1]


def confirmed(board: Switchboard, connection: Any, *keys: Key) -> None:
    connection.active.update(keys)
    board.acked(connection, keys)


def lost(board: Switchboard, connection: Any) -> None:
    connection.active.clear()
    board.failed(connection, GONE, fatal=False)


def replaced(board: Switchboard, old: Any) -> Any:
    """Return the connection that begins to take over."""
    board.aged(old)
    assert Connection.made[-1] is not old
    return Connection.made[-1]


def test_what_the_server_confirms_is_carried(board: Switchboard, watcher: Watcher) -> None:
    assert not board.carries(ONE.topic)
    connection = subscribed(board, ONE)
    assert not board.carries(ONE.topic)
    confirmed(board, connection, ONE)
    assert board.carries(ONE.topic)
    assert not board.carries(TWO.topic)
    assert watcher.told == [("carried", (ONE,))]


def test_what_a_lost_connection_carried_or_should_have_is_lost(board: Switchboard, watcher: Watcher) -> None:
    connection = subscribed(board, ONE, TWO)
    confirmed(board, connection, ONE)
    lost(board, connection)
    assert not board.carries(ONE.topic)
    lost(board, connection)
    assert watcher.told == [("carried", (ONE,)), ("lost", (ONE, TWO)), ("lost", (ONE, TWO))]


def test_private_connections_are_not_told_of(board: Switchboard, watcher: Watcher) -> None:
    """A public topic can be subscribed there, too, for the account's own messages only."""
    connection = subscribed(board, ONE, private=True)
    confirmed(board, connection, ONE)
    assert not board.carries(ONE.topic)
    lost(board, connection)
    board.full(connection, (ONE,))
    assert watcher.told == []


def test_a_connection_that_is_given_up_ends_its_subscriptions_and_nothing_is_told(
    board: Switchboard, watcher: Watcher
) -> None:
    connection = subscribed(board, ONE)
    board.failed(connection, GONE, fatal=True)
    assert watcher.told == []


def test_nobody_need_watch(board: Switchboard) -> None:
    connection = subscribed(board, ONE)
    confirmed(board, connection, ONE)
    lost(board, connection)


def test_while_one_of_two_connections_carries_a_topic_it_is_not_lost(board: Switchboard, watcher: Watcher) -> None:
    old = subscribed(board, ONE, TWO)
    confirmed(board, old, ONE, TWO)
    new = replaced(board, old)
    assert board.carries(ONE.topic)
    watcher.told.clear()
    lost(board, new)
    assert watcher.told == []
    confirmed(board, new, ONE)
    lost(board, old)
    assert watcher.told == [("carried", (ONE,)), ("lost", (TWO,))]
    assert board.carries(ONE.topic)
    assert not board.carries(TWO.topic)


def test_what_is_confirmed_just_before_a_loss_is_told_is_told_again(board: Switchboard, watcher: Watcher) -> None:
    old = subscribed(board, ONE)
    confirmed(board, old, ONE)
    new = replaced(board, old)
    watcher.told.clear()
    # The new one's thread tells of its confirmation before the old one's thread tells of the loss that it has seen.
    watcher.meanwhile = lambda: new.active.add(ONE)
    lost(board, old)
    assert watcher.told == [("lost", (ONE,)), ("carried", (ONE,))]


def test_topics_of_tunnels_are_no_public_ones_of_that_name(board: Switchboard, watcher: Watcher) -> None:
    board.open_tunnel("bt1")
    subscription = Subscription[Any]((INSIDE.topic,), Inbox(10, print), close=print, tunnel="bt1")
    board.add(subscription, {("spot", False): [INSIDE]}, None)
    connection = Connection.made[-1]
    confirmed(board, connection, INSIDE)
    assert not board.carries(INSIDE.topic)
    watcher.meanwhile = lambda: connection.active.update({INSIDE, Key(INSIDE.topic)})
    lost(board, connection)
    assert watcher.told == [("carried", (INSIDE,)), ("lost", (INSIDE,))]


def test_what_was_replaced_or_given_up_has_no_say_any_more(board: Switchboard) -> None:
    old = subscribed(board, ONE)
    confirmed(board, old, ONE)
    new = replaced(board, old)
    confirmed(board, new, ONE)
    board.aged(old)
    board.full(old, (ONE,))
    board.idle(old)
    board.failed(old, GONE, fatal=True)
    assert Connection.made == [old, new], "nothing takes over once more"
    assert board.carries(ONE.topic)
    [subscription] = board.subscriptions
    assert not subscription.closed
    board.failed(new, GONE, fatal=True)
    assert subscription.closed
    board.failed(new, GONE, fatal=True)
    assert Connection.made == [old, new]


def test_a_connection_is_closed_when_it_has_carried_nothing_for_a_while(board: Switchboard) -> None:
    connection = subscribed(board, ONE)
    closed: list[object] = []
    connection.close = lambda: closed.append(connection)
    board.idle(connection)
    assert closed == []
    confirmed(board, connection, ONE)
    board.unsubscribe(ONE.topic)
    board.idle(connection)
    assert closed == [connection]
    assert subscribed(board, ONE) is not connection


def test_a_rotation_is_told_of_when_the_old_connection_has_ended(board: Switchboard, told: list[Event]) -> None:
    old = subscribed(board, ONE)
    new = replaced(board, old)
    board.ended(old)
    assert told == [Rotated("spot", False, new.epoch)]


def test_a_replacement_that_was_given_up_has_replaced_nothing(board: Switchboard, told: list[Event]) -> None:
    old = subscribed(board, ONE)
    new = replaced(board, old)
    board.failed(new, GONE, fatal=True)
    board.ended(new)
    board.ended(old)
    assert not [event for event in told if isinstance(event, Rotated)]
    assert board.subscriptions == []


def test_who_waits_is_told_why_the_one_connection_of_several_is_not_there(board: Switchboard) -> None:
    subscription = Subscription[Any]((ONE.topic, FUTURES.topic), Inbox(10, print), close=print)
    waiter = board.add(subscription, {("spot", False): [ONE], ("futures", False): [FUTURES]}, None)
    spot, futures = Connection.made
    assert board.last_error(waiter) is None
    futures.last_error = GONE
    assert board.last_error(waiter) is GONE
    confirmed(board, futures, FUTURES)
    assert board.last_error(waiter) is None, "what waits now is not there for another reason"
    confirmed(board, spot, ONE)
    assert waiter.gate.wait(0)


def test_what_is_remembered_of_beginnings_of_frames_is_bounded(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "_MOST", 3)
    keys = [Key(f"/market/level2:A{n}-USDT") for n in range(20)]
    connection = subscribed(board, *keys)
    [subscription] = board.subscriptions
    for key in keys:
        connection.lane(connection, [Sealed(b"{}", Batch(), head_of(b"", key.topic))])
        assert len(connection.lane.__self__._alone) <= 3
    assert len(subscription.inbox) == 10 and subscription.dropped == 10


def test_what_came_together_is_routed_by_its_heads(board: Switchboard) -> None:
    heads = [head_of(b"", key.topic) for key in (ONE, TWO)]
    frames = [b'{"n":%d}' % n for n in range(4)]
    batch = Batch()
    connection = subscribed(board, ONE, TWO)
    [first] = board.subscriptions

    def bring(*pushes: Pushes) -> list[list[Any]]:
        for each in pushes:
            connection.lane(connection, each)
        found: list[list[Any]] = []
        for subscription in board.subscriptions:
            found.append([getattr(push, "frame", push) for push in subscription.inbox.items])
            subscription.inbox.items.clear()
        return found

    run, medley = Run.of(heads[0], batch, frames), Medley([heads[0], heads[1], heads[1], heads[0]], batch, frames)
    for _ in range(2):  # the second time it is known whose they are
        assert bring(medley) == [frames]
        assert bring(run, [run[2]]) == [[*frames, frames[2]]]
    assert subscribed(board, TWO) is connection
    for _ in range(2):
        assert [len(found) for found in bring(run)] == [4, 0]
    board.remove(first, (TWO.topic,))
    for _ in range(2):
        assert bring(medley) == [[frames[0], frames[3]], frames[1:3]]
    assert first.topics == (ONE.topic,)


def lone(key: Key) -> Sealed:
    return Sealed(b'{"type":"message","topic":"%s","data":1}' % key.topic.encode(), Batch(), HEADS[key])


HEADS = {key: head_of(b"", key.topic) for key in (ONE, TWO)}


@pytest.fixture
def taker(board: Switchboard) -> Any:
    """Who waited for a push that came alone, to the only subscription."""
    connection = subscribed(board, ONE)
    [subscription] = board.subscriptions
    assert connection.lane(connection, [lone(ONE)]) is None, "nobody has waited"
    assert connection.lane(connection, [lone(ONE)]) is None, "nobody has waited"
    subscription.inbox.items.clear()
    subscription.inbox.waiters = Waiters()
    waiting = Task(subscription.inbox.wait, LIMIT)
    wait_for_a_consumer(subscription.inbox)
    taker = connection.lane(connection, [lone(ONE)])
    assert waiting.result() is True
    subscription.inbox.items.clear()
    return taker


def test_who_waited_for_a_push_that_came_alone_is_told_of_and_takes_the_next(board: Switchboard, taker: Any) -> None:
    [subscription] = board.subscriptions
    push = lone(ONE)
    assert taker.put(push) is True
    assert taker.lane.newest is push
    assert len(subscription.inbox) == 1
    assert board.stats()["pending"] == 1
    assert taker.put(lone(TWO)) is False


def test_it_takes_none_that_others_have_a_share_in(board: Switchboard, taker: Any) -> None:
    subscribed(board, ONE)
    assert taker.put(lone(ONE)) is False
    assert [len(subscription.inbox) for subscription in board.subscriptions] == [0, 0]


def test_it_takes_none_of_what_it_has_no_more(board: Switchboard, taker: Any) -> None:
    [subscription] = board.subscriptions
    board.remove(subscription, (ONE.topic,))
    assert taker.put(lone(ONE)) is False


def test_it_takes_none_that_a_tap_has_to_hear_of(board: Switchboard, taker: Any) -> None:
    tap: Any = object()
    board.add_tap(tap)
    assert (taker.put(lone(ONE)), taker.takes_all_of([ONE])) == (False, False)
    board.remove_tap(tap)
    assert (taker.put(lone(ONE)), taker.takes_all_of([ONE])) == (True, True)


def test_it_takes_none_while_one_connection_takes_over_from_another(board: Switchboard, taker: Any) -> None:
    replaced(board, Connection.made[-1])
    assert taker.put(lone(ONE)) is False


def test_it_takes_them_again_when_the_other_connection_has_taken_over(board: Switchboard, taker: Any) -> None:
    old = Connection.made[-1]
    new = replaced(board, old)
    new.lane(new, [lone(ONE)])
    board.ended(old)
    assert taker.put(lone(ONE)) is False
    new.lane(new, [lone(ONE)])
    assert taker.put(lone(ONE)) is True
    [subscription] = board.subscriptions
    assert len(subscription.inbox) == 3


def test_it_takes_all_of_what_brings_nothing_else(board: Switchboard, taker: Any) -> None:
    assert taker.takes_all_of((ONE,))
    for keys in ((), (TWO,), (ONE, TWO), (Key(ONE.topic, "bt1"),)):
        assert not taker.takes_all_of(keys)


def test_what_a_full_connection_refuses_is_lost_until_another_one_carries_it(
    board: Switchboard, watcher: Watcher
) -> None:
    old = subscribed(board, ONE, TWO)
    confirmed(board, old, ONE, TWO)
    new = replaced(board, old)
    watcher.told.clear()
    board.full(new, (TWO,))
    third = Connection.made[-1]
    assert third is not new
    assert watcher.told == [("lost", (TWO,))]
    confirmed(board, third, TWO)
    assert board.carries(TWO.topic)
    assert watcher.told[1:] == [("carried", (TWO,))]


def subscribe(board: Switchboard) -> None:
    subscribed(board, ONE)


def unsubscribe(board: Switchboard) -> None:
    for subscription in board.subscriptions:
        if ONE.topic in subscription.topics:
            board.end(subscription)


def rotate(board: Switchboard) -> None:
    board.aged(board._lanes["spot", False].connections[1])


def fill(board: Switchboard) -> None:
    lane = board._lanes["spot", False]
    if ONE in lane.shards:
        connection: Any = lane.connections[lane.shards.home(ONE)]
        connection.wanted.discard(ONE)
        board.full(connection, (ONE,))


STEPS = (subscribe, unsubscribe, rotate, fill)


@pytest.mark.parametrize("before", STEPS[:2])
@pytest.mark.parametrize("second", STEPS)
@pytest.mark.parametrize("first", STEPS)
def test_what_is_decided_first_and_told_last_undoes_nothing(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch, before: Any, first: Any, second: Any
) -> None:
    """Another thread decides, and tells the connections, between the two steps of the first one."""
    subscribed(board, TWO)
    before(board)
    do, between = switchboard._do, iter((second,))

    def do_later(actions: Any) -> None:
        for step in between:
            Task(step, board).result()
        do(actions)

    monkeypatch.setattr(switchboard, "_do", do_later)
    first(board)
    lane = board._lanes["spot", False]
    for number, connection in lane.connections.items():
        carrier: Any = connection
        assert carrier.wanted == set(lane.shards.keys(number))
    for old in lane.retiring:
        carrier = old
        assert carrier.wanted <= {key for number in lane.shards.numbers for key in lane.shards.keys(number)}
