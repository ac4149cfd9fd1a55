"""The overflow policies, each against a model; what is dropped, and who is told of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import Message, SlowConsumer
from kucoin_sync.delivery.overflow import OVERFLOW
from kucoin_sync.protocol.classic import decode_message

from ...support.message_queues import make_message_queue, pop, popped, taken
from ...support.messages import batch_of, message, number
from ...support.selection import examples


class Model:
    """What a policy means, for one thread. Items are numbers, or topic and number under "latest"."""

    def __init__(self, overflow: str, maxsize: int) -> None:
        self.overflow = overflow
        self.maxsize = maxsize
        self.queue: list[tuple[int, int]] = []  # number, lost before it
        self.missing = 0
        self.full = False
        self.dropped = 0
        self.episodes: list[int] = []
        self.superseded: dict[int, int] = {}

    def put(self, n: int, topic: int) -> None:
        getattr(self, "put_" + self.overflow)(n, topic)

    def drop(self) -> None:
        self.missing += 1
        self.dropped += 1
        if not self.full:
            self.episodes.append(self.dropped)
        self.full = True

    def accept(self, n: int) -> None:
        self.queue.append((n, self.missing))
        self.missing = 0

    def put_raise(self, n: int, topic: int) -> None:
        if self.full or len(self.queue) == self.maxsize:
            self.drop()
        else:
            self.accept(n)

    def put_drop_newest(self, n: int, topic: int) -> None:
        if len(self.queue) == self.maxsize:
            self.drop()
        else:
            self.accept(n)
            self.full = False

    def put_drop_oldest(self, n: int, topic: int) -> None:
        if len(self.queue) == self.maxsize:
            del self.queue[0]
            self.drop()
        self.queue.append((n, 0))

    def put_latest(self, n: int, topic: int) -> None:
        for at, (queued, lost) in enumerate(self.queue):
            if queued % 3 == topic:
                self.queue[at] = (n, lost + 1)
                self.dropped += 1
                return
        if len(self.queue) == self.maxsize:
            self.drop()
        else:
            self.queue.append((n, 0))

    def pop(self) -> tuple[int, int]:
        n, lost = self.queue.pop(0)
        if self.overflow in ("drop_oldest", "latest"):
            lost += self.missing
            self.missing = 0
            self.full = False
        return n, lost

    def notice(self) -> int | None:
        if self.overflow == "raise" and self.full and not self.queue:
            self.full = False
            return self.missing
        return None


@pytest.mark.parametrize("overflow", OVERFLOW)
@settings(max_examples=examples(200), deadline=None)
@given(
    maxsize=st.integers(1, 4),
    steps=st.lists(st.one_of(st.integers(1, 7), st.sampled_from(["pop", "notice"])), max_size=60),
)
def test_a_policy_does_as_its_model(overflow: str, maxsize: int, steps: list[int | str]) -> None:
    """A number puts that many at once, one of them by itself."""
    episodes: list[int] = []
    message_queue = make_message_queue(overflow, maxsize, episodes.append)
    model = Model(overflow, maxsize)
    sent = 0
    delivered: list[tuple[int, int]] = []
    for step in steps:
        if isinstance(step, int):
            batch = [message(n, topic=f"/market/ticker:T{n % 3}-USDT") for n in range(sent, sent + step)]
            for n in range(sent, sent + step):
                model.put(n, n % 3)
            sent += step
            if step == 1:
                message_queue.put(batch[0])
            else:
                message_queue.put_many(batch)
        elif step == "pop" and model.queue:
            one = pop(message_queue)
            assert (number(one), one.lost) == model.pop()
            delivered.append((number(one), one.lost))
        elif step == "pop":
            with pytest.raises(IndexError):
                pop(message_queue)
        else:
            told = message_queue.notice()
            assert (told.dropped if isinstance(told, SlowConsumer) else None) == model.notice()
        assert len(message_queue) == len(model.queue)
        assert message_queue.ready() == bool(model.queue or (overflow == "raise" and model.full))
        assert message_queue.dropped == model.dropped
        assert episodes == model.episodes
    delivered += taken(message_queue)
    assert len(delivered) + message_queue.dropped == sent
    assert sum(lost for _, lost in delivered) + message_queue._missing == message_queue.dropped
    if overflow != "latest":
        before = -1
        for n, lost in delivered:
            assert lost == n - before - 1, "`lost` has to say exactly how many are missing before a message"
            before = n


class TestPolicies:
    def test_raise_takes_nothing_more_until_the_consumer_was_told(self) -> None:
        message_queue = make_message_queue("raise", 2)
        for n in range(4):
            message_queue.put(message(n))
        assert number(pop(message_queue)) == 0
        assert message_queue.notice() is None
        message_queue.put(message(4))  # there would be room
        assert number(pop(message_queue)) == 1
        with pytest.raises(IndexError):
            pop(message_queue)
        told = message_queue.notice()
        assert isinstance(told, SlowConsumer)
        assert told.dropped == 3
        assert message_queue.notice() is None
        message_queue.put(message(5))
        message_queue.put(message(6))
        assert taken(message_queue) == [(5, 3), (6, 0)]

    def test_what_is_dropped_after_the_telling_counts_too(self) -> None:
        message_queue = make_message_queue("raise", 1)
        for n in range(3):
            message_queue.put(message(n))
        pop(message_queue)
        assert message_queue.notice() is not None
        message_queue.put(message(3))
        message_queue.put(message(4))
        assert taken(message_queue) == [(3, 2)]
        assert isinstance(message_queue.notice(), SlowConsumer)

    def test_drop_newest_says_it_at_the_next_that_has_room(self) -> None:
        message_queue = make_message_queue("drop_newest", 2)
        for n in range(5):
            message_queue.put(message(n))
        assert number(pop(message_queue)) == 0
        message_queue.put(message(5))
        assert taken(message_queue) == [(1, 0), (5, 3)]
        assert message_queue.notice() is None

    def test_drop_oldest_says_it_at_the_oldest_that_is_left(self) -> None:
        message_queue = make_message_queue("drop_oldest", 2)
        for n in range(5):
            message_queue.put(message(n))
        assert taken(message_queue) == [(3, 3), (4, 0)]
        assert message_queue.notice() is None

    def test_latest_keeps_one_of_each_topic_and_subject_in_its_place(self) -> None:
        message_queue = make_message_queue("latest", 10)
        message_queue.put(message(0, topic="/a:X"))
        message_queue.put(message(1, topic="/a:Y"))
        message_queue.put(message(2, topic="/a:X"))
        message_queue.put(message(3, topic="/a:X", subject="other"))
        message_queue.put(message(4, topic="/a:X"))
        assert len(message_queue) == 3
        assert taken(message_queue) == [(4, 2), (1, 0), (3, 0)]
        assert message_queue.dropped == 2

    def test_latest_drops_a_new_topic_where_there_are_too_many(self) -> None:
        told: list[int] = []
        message_queue = make_message_queue("latest", 1, told.append)
        message_queue.put(message(0, topic="/a:X"))
        message_queue.put(message(1, topic="/a:Y"))
        message_queue.put(message(2, topic="/a:Z"))
        assert told == [1]
        assert taken(message_queue) == [(0, 2)]
        message_queue.put(message(3, topic="/a:Y"))
        assert taken(message_queue) == [(3, 0)]

    @pytest.mark.parametrize("overflow", OVERFLOW)
    def test_the_oldest_can_be_looked_at_and_stays(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        assert message_queue.oldest() is None
        for n, topic in enumerate(("/a", "/b")):
            message_queue.put(message(n, topic))
        oldest = message_queue.oldest()
        assert isinstance(oldest, Message)
        assert number(oldest) == 0
        assert taken(message_queue) == [(0, 0), (1, 0)]
        assert message_queue.oldest() is None

    @pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest"])
    def test_an_episode_of_overflow_is_told_once(self, overflow: str) -> None:
        told: list[int] = []
        message_queue = make_message_queue(overflow, 1, told.append)
        for n in range(5):
            message_queue.put(message(n))
        assert told == [1]
        taken(message_queue)
        message_queue.notice()
        for n in range(5, 10):
            message_queue.put(message(n))
        assert told == [1, 5]

    def test_messages_without_a_topic_are_one_topic_under_latest(self) -> None:
        message_queue = make_message_queue("latest")
        message_queue.put(decode_message(b"{}"))
        message_queue.put(decode_message(b"{}"))
        assert len(message_queue) == 1

    def test_an_unknown_policy_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            make_message_queue("drop_all")

    def test_what_a_batch_supersedes_under_latest_is_only_counted(self) -> None:
        message_queue = make_message_queue("latest", 2)
        message_queue.put_many(batch_of(0, 9))
        message_queue.put_many(batch_of(9, 1))
        one = pop(message_queue)
        assert (number(one), one.lost, message_queue.dropped) == (9, 9, 9)
        message_queue.put_many([message(0, "/a:B"), message(1, "/a:C")])
        message_queue.put_many(batch_of(0, 9))
        assert (len(message_queue), message_queue.dropped) == (2, 18)

    def test_each_channel_of_a_batch_is_kept_under_latest(self) -> None:
        message_queue = make_message_queue("latest", 2)
        message_queue.put_many(batch_of(0, 9, "/a:X", "/a:Y"))
        assert [(number(one), one.topic, one.lost) for one in popped(message_queue)] == [(8, "/a:X", 4), (7, "/a:Y", 3)]
        assert message_queue.dropped == 7

    def test_a_batch_pushes_out_the_oldest_one_by_one(self) -> None:
        message_queue = make_message_queue("drop_oldest", 3)
        message_queue.put(message(0))
        message_queue.put_many(batch_of(1, 5, "/a:X", "/a:Y"))
        assert taken(message_queue) == [(3, 3), (4, 0), (5, 0)]
        assert message_queue.dropped == 3


@pytest.mark.parametrize("overflow", OVERFLOW)
def test_what_a_dropped_message_says_is_missing_before_it_stays_missing(overflow: str) -> None:
    message_queue = make_message_queue(overflow, maxsize=1)
    pushes = [message(each).with_lost(10**each) for each in range(4)]
    delivered = []
    for push in pushes[:3]:
        message_queue.put(push)
    delivered.append(pop(message_queue))
    if overflow == "raise":
        message_queue.notice()
    message_queue.put_many(pushes[3:])
    delivered += popped(message_queue)
    assert sum(each.lost for each in delivered) + len(delivered) == 1111 + 4


def test_a_queue_tells_for_how_many_it_has_room() -> None:
    raising = make_message_queue("raise", 3)
    assert raising.room() == 3
    raising.put(message(1))
    assert raising.room() == 2
    assert make_message_queue("latest", 3).room() == math.inf
