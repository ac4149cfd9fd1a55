"""What a `subscribe` call waits for, and how it hears of its progress."""

from __future__ import annotations

from kucoin_sync import ConnectionFailed, Progress
from kucoin_sync.connections.pending_subscribe import PendingSubscribe
from kucoin_sync.protocol.session_events import TopicKey

KEYS = [TopicKey(f"/market/ticker:A{n}-USDT") for n in range(101)]
SPOT, FUTURES = "a group", "another group"


def waiting_for(*keys: TopicKey) -> PendingSubscribe:
    call = PendingSubscribe()
    for key in keys:
        call.expect(SPOT, key)
    return call


def test_it_waits_until_all_keys_of_all_groups_are_confirmed() -> None:
    call = waiting_for(*KEYS[:2])
    call.expect(FUTURES, KEYS[0])
    for group, keys in ((SPOT, KEYS[:1]), (FUTURES, KEYS[1:2]), (FUTURES, KEYS[:1])):
        assert call.done(group, keys) is None
        assert not call.gate.wait(0)
    call.done(SPOT, KEYS[1:2])
    assert call.gate.wait(0)


def test_what_waits_for_nothing_goes_on_at_once() -> None:
    call = PendingSubscribe()
    assert not call.gate.wait(0)
    call.done_if_nothing_outstanding()
    assert call.gate.wait(0)


def test_the_first_error_ends_the_wait() -> None:
    call, first = waiting_for(KEYS[0]), ConnectionFailed("first")
    call.fail(first)
    call.fail(ConnectionFailed("second"))
    assert call.gate.wait(0)
    assert call.error is first


def test_a_large_one_tells_how_far_it_is_and_nothing_twice() -> None:
    call = waiting_for(*KEYS)
    assert call.done(SPOT, KEYS[:40]) == Progress(40, 101)
    assert call.done(SPOT, KEYS[:40]) is None
    assert call.done(SPOT, KEYS) == Progress(101, 101)
