"""The subscriptions that get changes; `tests/unit/books/test_listeners.py` tests them with a book's."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from kucoin_sync import SlowConsumer, StreamClosed
from kucoin_sync.account import AccountChange
from kucoin_sync.delivery.listeners import Listeners


@pytest.fixture
def listeners() -> Listeners:
    return Listeners("the account", "account")


def made(listeners: Listeners, maxsize: int = 10, callback: Any = None) -> Any:
    subscription = listeners.make(maxsize, callback, lambda _: None, lambda *_: None)
    listeners.add(subscription)
    return subscription


def changes(*kinds: str) -> list[AccountChange]:
    return [AccountChange(kind=kind) for kind in kinds]


def test_each_listener_gets_each_change_as_its_own_object(listeners: Listeners) -> None:
    first, second = made(listeners), made(listeners)
    listeners.put(iter(changes("order", "fill")))
    found = [[each.get(timeout=0) for _ in range(2)] for each in (first, second)]
    assert [[change.kind for change in its] for its in found] == [["order", "fill"]] * 2
    assert found[0][0] is not found[1][0]


def test_one_that_nobody_holds_is_forgotten(listeners: Listeners) -> None:
    made(listeners)
    kept = made(listeners, callback=print)
    gc.collect()
    listeners.put(changes("order"))
    assert listeners.alive() == [kept] == list(listeners.with_callback) and len(listeners) == 1
    listeners.remove(kept)
    assert len(listeners) == 0


def test_one_that_is_slow_is_told_how_many_it_has_missed(listeners: Listeners) -> None:
    slow = made(listeners, maxsize=1)
    assert listeners.free_capacity() == 1
    listeners.put(changes("order", "fill", "balance"))
    assert slow.get(timeout=0).kind == "order"
    with pytest.raises(SlowConsumer, match=r"2 changes of the account .* the account itself has them all"):
        slow.get(timeout=0)
    listeners.put(changes("position"))
    assert slow.get(timeout=0).lost == 2


def test_the_end_comes_after_the_changes(listeners: Listeners) -> None:
    loop, other = made(listeners), made(listeners)
    listeners.put(changes("order"))
    listeners.finish()
    assert [change.kind for change in loop] == ["order"]
    assert listeners.end(StreamClosed("closed")) == [loop, other] and len(listeners) == 0
