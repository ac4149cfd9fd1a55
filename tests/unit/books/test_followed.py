"""What books and accounts share; their own tests have the rest."""

from __future__ import annotations

from kucoin_sync import StreamClosed
from kucoin_sync.account import AccountChange
from kucoin_sync.books.followed import Followed
from kucoin_sync.delivery.listeners import Listeners


class Thing(Followed):
    """Something that can always be read."""

    def __init__(self) -> None:
        super().__init__("the thing", Listeners("the thing", "thing"))
        self.slow: list[tuple[tuple[str, ...], int]] = []

    def _settled(self) -> bool:
        return True

    def _on_overflow(self, topics: tuple[str, ...], dropped: int) -> None:
        self.slow.append((topics, dropped))

    def tell(self, *kinds: str) -> None:
        self._listeners.put(AccountChange(kind=kind) for kind in kinds)


def test_a_listener_gets_the_changes_until_it_is_closed() -> None:
    thing = Thing()
    listener = thing.listen(2)
    thing.tell("order")
    listener.close()
    thing.tell("fill")
    assert [change.kind for change in listener] == ["order"]  # type: ignore[attr-defined]
    assert thing.callback_listeners == ()


def test_one_that_is_too_slow_is_noted() -> None:
    thing = Thing()
    listener = thing.listen(1)
    thing.tell("order", "fill", "balance")
    assert thing.slow == [(("the thing",), 1)] and listener.dropped == 2


def test_a_listener_to_what_has_ended_has_nothing_to_wait_for() -> None:
    thing = Thing()
    for error in (StreamClosed("closed"), ValueError("broken")):
        thing.ended = error
        queue = thing.listen(1).message_queue
        assert queue.finished and queue.error == (None if isinstance(error, StreamClosed) else error)


def test_in_a_child_a_consumer_that_finds_nothing_is_alerted() -> None:
    thing = Thing()
    listener, other = thing.listen(1), thing.listen(1, print)
    thing.alert_listeners()
    assert listener.message_queue.alert and other.message_queue.alert
    assert thing.callback_listeners == (other,)


def test_the_first_end_counts_and_each_one_ends_the_listeners() -> None:
    thing = Thing()
    thing.keep_alive = object()
    first, error = thing.listen(1), ValueError("broken")
    assert thing._end(error) == (True, [first])
    second = thing.listen(1)
    assert thing._end(StreamClosed("closed")) == (False, [second])
    assert thing.ended is error and thing.keep_alive is None
    assert first.message_queue.error is second.message_queue.error is error
