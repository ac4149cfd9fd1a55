"""The newest message of a topic, taken from subscriptions that the test fills."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import StreamClosed, SubscriptionRejected
from kucoin_sync.connections.last_values import LastValues
from kucoin_sync.protocol.message import Message
from kucoin_sync.testing import make_message

from ...support.interrupts import points_of
from ...support.threads import Task

A, B, C = ("/market/ticker:A-USDT", "/market/ticker:B-USDT", "/market/ticker:C-USDT")


class Subscribed:
    """A subscription that has the messages that a test puts into it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.waiting: list[Message] = []
        self.closed = False

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def get(self, timeout: float | None) -> Message:
        if self.waiting:
            return self.waiting.pop(0)
        raise StreamClosed("it is closed") if self.closed else TimeoutError(f"nothing came within {timeout}")

    def close(self) -> None:
        self.closed = True


class Source:
    """A client whose subscriptions begin with a message each, while it has some."""

    def __init__(self) -> None:
        self.made: list[Subscribed] = []
        self.closed = False
        self.refusal: Exception | None = None
        self.first = 1

    def subscribe(self, topic: str, **options: Any) -> Any:
        assert options["overflow"] == "latest"
        if self.refusal is not None:
            raise self.refusal
        self.made.append(Subscribed(topic))
        if self.first:
            self.push(self.first)
        return self.made[-1]

    def push(self, number: int, received_ns: int = 1) -> None:
        self.made[-1].waiting.append(make_message(A, {"n": number}, received_ns=received_ns))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def values(source: Source) -> LastValues:
    return LastValues(lambda: source, 2)


def test_the_newest_is_read_again_and_again_over_one_subscription(source: Source, values: LastValues) -> None:
    assert values.get(A, None).data == {"n": 1}, "without a limit, too"
    assert values.get(A, 1e300).data == {"n": 1}, "nor does a limit beyond those of the system matter"
    source.push(3, received_ns=3)
    source.push(2, received_ns=2)
    first = values.get(A, 0.0)
    assert first.data == {"n": 3}
    first.data.clear()
    assert values.get(A, None).data == {"n": 3}, "each reader has a message of its own"
    assert len(source.made) == 1


def test_the_first_message_must_come_in_time(source: Source, values: LastValues) -> None:
    source.first = 0
    with pytest.raises(TimeoutError, match=f"no message came on {A} within -1 s"):
        values.get(A, -1.0)  # the caller's number, not what was left of it


def test_beyond_the_limit_the_topic_that_was_not_read_for_longest_goes(source: Source, values: LastValues) -> None:
    for topic in (A, B, A, C):
        values.get(topic, 1.0)
    assert [each.closed for each in source.made] == [False, True, False]
    unlimited = LastValues(lambda: source, None)
    for topic in (A, B, C):
        unlimited.get(topic, 1.0)
    assert not any(each.closed for each in source.made[3:])


def test_a_topic_that_has_ended_is_subscribed_again(source: Source, values: LastValues) -> None:
    values.get(A, 1.0)
    source.made[0].close()
    source.first = 2
    assert values.get(A, 1.0).data == {"n": 2}
    source.closed = source.made[1].closed = True
    with pytest.raises(StreamClosed):
        values.get(A, 1.0)


def test_a_new_message_is_newer_than_the_remembered_one_whatever_the_clock_says(
    source: Source, values: LastValues
) -> None:
    source.first = 0
    with pytest.raises(TimeoutError):
        values.get(A, 0.0)
    source.push(1, received_ns=10)
    values.get(A, 1.0)
    source.push(2, received_ns=1)
    assert values.get(A, 1.0).data == {"n": 2}


def test_an_interrupt_loses_no_message(source: Source, values: LastValues, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupt(BaseException):
        pass

    def interrupted(taken: Subscribed) -> int:
        monkeypatch.undo()
        raise Interrupt

    monkeypatch.setattr(Subscribed, "pending", property(interrupted))
    with pytest.raises(Interrupt):
        values.get(A, 1.0)  # after the first message was taken
    assert values.get(A, 0.0).data == {"n": 1}


def test_a_read_that_is_interrupted_locks_out_no_other_thread(source: Source, values: LastValues) -> None:
    for point in points_of(lambda: values.get(A, 1.0)):
        assert Task(values.get, A, 0.0).result().data == {"n": 1}, f"after an interrupt at point {point}"


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_where_each_new_subscription_ends_at_once_the_reader_is_told(
    source: Source, values: LastValues, timeout: float | None
) -> None:
    source.first = 0
    subscribe = source.subscribe

    def ended(topic: str, **options: Any) -> Any:
        made = subscribe(topic, **options)
        made.close()
        return made

    source.subscribe = ended  # type: ignore[method-assign]
    with pytest.raises(StreamClosed):
        values.get(A, timeout)
    assert len(source.made) == 2


def test_topics_that_are_replaced_again_and_again_do_not_outlast_the_deadline(source: Source) -> None:
    values = LastValues(lambda: source, 1)
    source.first = 0
    subscribe = source.subscribe

    def replaced(topic: str, **options: Any) -> Any:
        made = subscribe(topic, **options)
        if topic == A:
            with pytest.raises(TimeoutError):
                values.get(B, 0.0)
        return made

    source.subscribe = replaced  # type: ignore[method-assign]
    with pytest.raises(TimeoutError, match=f"no message came on {A} within 0 s"):
        values.get(A, 0.0)


def test_a_refusal_reaches_the_reader_and_the_next_one_tries_again(source: Source, values: LastValues) -> None:
    source.refusal = SubscriptionRejected(A, 404, "no such topic")
    with pytest.raises(SubscriptionRejected):
        values.get(A, 1.0)
    source.refusal = None
    assert values.get(A, 1.0).data == {"n": 1}


def test_a_forked_child_does_not_show_the_message_of_its_parent(source: Source, values: LastValues) -> None:
    values.get(A, 1.0)
    values.after_fork()
    with pytest.raises(TimeoutError):
        values.get(A, 0.0)
    source.push(5)
    assert values.get(A, 0.0).data == {"n": 5}


def test_a_read_inside_a_read_of_the_same_topic_does_not_block(source: Source, values: LastValues) -> None:
    inner: list[Message] = []
    subscribe = source.subscribe

    def interrupted(topic: str, **options: Any) -> Any:
        source.subscribe = subscribe  # type: ignore[method-assign]
        inner.append(values.get(A, 1.0))
        return subscribe(topic, **options)

    source.subscribe = interrupted  # type: ignore[method-assign]
    assert values.get(A, 1.0).data == inner[0].data == {"n": 1}
