"""The queue of commands: their order, rate and answers, with time as a number."""

from __future__ import annotations

import itertools
import math

import pytest

from kucoin_sync.limits import Limits
from kucoin_sync.protocol.commands import ACK_TIMEOUT, Command, CommandQueue
from kucoin_sync.protocol.session_events import TopicKey

BTC, ETH, KCS = (TopicKey(f"/market/ticker:{symbol}-USDT") for symbol in ("BTC", "ETH", "KCS"))


def queue_of(**limits: int) -> CommandQueue:
    return CommandQueue(itertools.count(1), Limits(**limits), 0.0)


def others(count: int) -> list[TopicKey]:
    return [TopicKey(f"/market/ticker:T{number}-USDT") for number in range(count)]


def waiting(queue: CommandQueue) -> list[tuple[str, tuple[TopicKey, ...]]]:
    return [(command.kind, command.keys) for command in queue.waiting]


def take_all(queue: CommandQueue, now: float = 0.0) -> list[Command]:
    """Return the commands that may be sent at `now`."""
    return list(iter(lambda: queue.take(now), None))


def test_a_new_queue_has_nothing_to_do() -> None:
    queue = queue_of()
    assert queue.idle
    assert queue.take(0.0) is None
    assert queue.next_deadline() == math.inf
    assert queue.next_id() == "1"


def test_keys_share_a_command_up_to_the_limit() -> None:
    queue = queue_of(topics_per_command=2)
    queue.add("subscribe", [BTC, ETH, KCS])
    assert waiting(queue) == [("subscribe", (BTC, ETH)), ("subscribe", (KCS,))]
    assert [command.id for command in queue.waiting] == ["1", "2"]
    assert not queue.idle


def test_commands_wait_in_the_order_of_their_positions() -> None:
    queue = queue_of()
    queue.add("subscribe", [BTC])
    assert queue.add_for_tunnel("openTunnel", "t") == 2
    queue.add("subscribe", [TopicKey(ETH.topic, "t")])
    queue.add("subscribe", [KCS], order=1)
    assert [(command.id, command.tunnel) for command in queue.waiting] == [
        ("1", None), ("4", None), ("2", "t"), ("3", "t"),
    ]  # fmt: skip


def test_keys_are_removed_from_the_commands_of_a_kind() -> None:
    queue = queue_of()
    queue.remove("subscribe", [BTC])
    queue.add("subscribe", [BTC, ETH])
    queue.add("unsubscribe", [BTC])
    queue.remove("subscribe", [])
    queue.remove("subscribe", [BTC])
    assert waiting(queue) == [("subscribe", (ETH,)), ("unsubscribe", (BTC,))]
    queue.remove("unsubscribe", [BTC])
    assert waiting(queue) == [("subscribe", (ETH,))]


def test_only_a_command_that_was_never_sent_is_removed_by_its_position() -> None:
    queue = queue_of()
    first, second = queue.add_for_tunnel("openTunnel", "a"), queue.add_for_tunnel("openTunnel", "b")
    command = queue.take(0.0)
    assert command is not None
    assert not queue.remove_unsent(first)
    queue.put(command)
    assert not queue.remove_unsent(first)
    assert queue.remove_unsent(second)
    assert [each.tunnel for each in queue.waiting] == ["a"]


def test_a_taken_command_waits_for_its_answer() -> None:
    queue = queue_of()
    queue.add("subscribe", [BTC, ETH])
    command = queue.take(3.0)
    assert command is not None
    assert (command.attempts, command.keys_sent, command.deadline) == (1, 2, 3.0 + ACK_TIMEOUT)
    assert not queue.idle
    assert queue.next_deadline() == 13.0
    assert queue.answered("7") is None
    assert queue.answered(command.id) is command
    assert queue.idle


def test_an_overdue_command_is_taken_back() -> None:
    queue = queue_of()
    queue.add("subscribe", [BTC])
    [early] = take_all(queue, 0.0)
    queue.add("subscribe", [ETH])
    [late] = take_all(queue, 1.0)
    assert not queue.is_overdue(9.9)
    assert queue.take_overdue(9.9) == []
    assert queue.is_overdue(10.0)
    assert queue.take_overdue(10.0) == [early]
    assert list(queue.sent.values()) == [late]


def test_answers_no_longer_apply_to_keys_that_are_dropped() -> None:
    queue = queue_of()
    queue.add("subscribe", [BTC, ETH])
    queue.add("unsubscribe", [BTC])
    subscribe, unsubscribe = take_all(queue)
    queue.drop_answers({BTC})
    assert (subscribe.keys, unsubscribe.keys) == ((ETH,), (BTC,))


@pytest.mark.parametrize(("kind", "count"), [("subscribe", 15), ("unsubscribe", 10), ("closeTunnel", 10)])
def test_some_of_the_rate_is_left_for_pings_and_new_subscriptions(kind: str, count: int) -> None:
    queue = queue_of(commands_per_10s=20)
    for number in range(20):
        queue.add_for_tunnel(kind, str(number))
    assert len(take_all(queue)) == count
    assert queue.next_deadline() == 10.0
    assert len(take_all(queue, 9.9)) == 0
    assert len(take_all(queue, 10.0)) == 20 - count


def test_pings_count_and_a_pause_holds_everything_back() -> None:
    queue = queue_of(commands_per_10s=6)
    queue.record_ping(1.0)
    queue.add("subscribe", [BTC])
    assert queue.take(10.9) is None
    queue.pause(12.0)
    queue.pause(11.5)
    assert queue.next_deadline() == 12.0
    assert queue.take(11.9) is None
    assert queue.take(12.0) is not None


# Delays


def test_the_delay_of_a_key_is_that_of_its_command_behind_those_before_it() -> None:
    queue = queue_of(commands_per_10s=7, topics_per_command=1)
    assert queue.delay_of(BTC, 0.0) is None
    queue.add("subscribe", [BTC])
    assert queue.delay_of(BTC, 0.0) is None, "it may be sent"
    queue.add("subscribe", [ETH, KCS, *others(2)])
    assert [command.keys for command in take_all(queue)] == [(BTC,), (ETH,)]
    reason = "Limits.commands_per_10s is 7 for one connection, with its pings"
    assert queue.delay_of(BTC, 1.0) is None, "it was sent"
    assert queue.delay_of(KCS, 1.0) == (9.0, reason)
    assert [queue.delay_of(key, 1.0) for key in others(2)] == [(9.0, reason), (19.0, reason)]
    assert [command.keys for command in take_all(queue, 10.0)] == [(KCS,), (others(1)[0],)]
    assert queue.delay_of(others(2)[1], 10.0) == (10.0, reason)


def test_the_server_may_be_why_a_command_waits() -> None:
    queue = queue_of()
    queue.add("subscribe", [BTC])
    queue.pause(3.0)
    assert queue.delay_of(BTC, 1.0) == (2.0, "KuCoin is busy, or has asked for fewer commands")
    assert queue.delay_of(BTC, 3.0) is None


def test_a_long_delay_is_told_once_until_nothing_waits() -> None:
    queue = queue_of(commands_per_10s=7, topics_per_command=1)
    queue.add("subscribe", [BTC, ETH])
    take_all(queue)
    queue.add("unsubscribe", [BTC])
    assert queue.delay_to_tell(0.0) is None, "nobody waits for an unsubscribe"
    queue.add("subscribe", [KCS])
    assert queue.delay_to_tell(9.5) is None, "it is sent soon"
    delay = queue.delay_to_tell(2.0)
    assert delay is not None
    assert delay.seconds == 8.0
    assert queue.delay_to_tell(2.0) is None
    take_all(queue, 10.0)
    assert queue.delay_to_tell(10.0) is None
    queue.add("subscribe", [BTC])
    assert queue.delay_to_tell(10.0) is not None
