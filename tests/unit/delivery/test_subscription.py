"""What users hold: `get`, iterating, its ends and errors in their place, and sharing between threads."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import KucoinSyncError, SlowConsumer, StreamClosed, Subscription, SubscriptionRejected
from kucoin_sync.delivery.overflow import OVERFLOW

from ...support.message_queues import make_message_queue, wait_for_a_consumer
from ...support.messages import batch_of, message, number
from ...support.threads import LIMIT, Task, reached

SHORT = 0.05  # seconds of a wait that ends by itself
TOPIC = "/market/ticker:BTC-USDT"


def make(*topics: str, overflow: str = "raise", maxsize: int = 10, **options: Any) -> Subscription[Any]:
    message_queue = make_message_queue(overflow, maxsize)
    return Subscription(
        topics or (TOPIC,), message_queue, close=lambda subscription: subscription.message_queue.finish(None), **options
    )


def put(subscription: Subscription[Any], *numbers: int) -> None:
    for n in numbers:
        subscription.put(message(n))


def until(error: type[Exception], subscription: Subscription[Any]) -> tuple[list[tuple[int, int]], Exception]:
    """Iterate until an error; return the numbers, how many were lost before each, and the error."""
    found: list[tuple[int, int]] = []
    try:
        for one in subscription:
            found.append((number(one), one.lost))
    except error as raised:
        return found, raised
    raise AssertionError(f"iterating ended without {error.__name__}, after {found}")


class TestGet:
    @pytest.mark.parametrize("timeout", [None, 0.0, -1.0, 5.0])
    def test_what_is_there_is_returned_at_once(self, timeout: float | None) -> None:
        subscription = make()
        put(subscription, 0, 1)
        assert [number(Task(subscription.get, timeout).result()) for _ in range(2)] == [0, 1]

    @pytest.mark.parametrize("timeout", [0.0, -1.0, SHORT])
    def test_nothing_in_time_is_an_error_that_names_the_topics(self, timeout: float) -> None:
        with pytest.raises(TimeoutError) as failure:
            Task(make().get, timeout).result()
        assert str(failure.value) == f"no message came on {TOPIC} within {timeout:g} s"

    @pytest.mark.parametrize("timeout", [None, 1e300, float("inf")])
    def test_it_waits_for_what_comes(self, timeout: float | None) -> None:
        subscription = make()
        getting = Task(subscription.get, timeout)
        wait_for_a_consumer(subscription.message_queue)
        put(subscription, 7)
        assert number(getting.result()) == 7

    def test_what_comes_many_at_once_is_taken_one_by_one(self) -> None:
        subscription = make()
        subscription.put_many([message(0), message(1), message(2)])
        assert [number(subscription.get(0)) for _ in range(3)] == [0, 1, 2]

    @pytest.mark.parametrize("timeout", [SHORT, None])
    def test_a_wake_up_for_nothing_does_not_end_it(self, timeout: float | None) -> None:
        subscription = make()
        getting = Task(subscription.get, timeout)
        wait_for_a_consumer(subscription.message_queue)
        subscription.message_queue.wake()
        if timeout is None:
            wait_for_a_consumer(subscription.message_queue)
            put(subscription, 7)
            assert number(getting.result()) == 7
        else:
            with pytest.raises(TimeoutError):
                getting.result()

    def test_wake_ups_for_nothing_do_not_prolong_it(self) -> None:
        subscription = make()
        over = threading.Event()

        def wake_for_nothing() -> None:
            while not over.is_set():
                if subscription.message_queue.waiters:
                    subscription.message_queue.wake()

        waking = Task(wake_for_nothing)
        try:
            with pytest.raises(TimeoutError):
                Task(subscription.get, SHORT).result()
        finally:
            over.set()
            waking.result()

    def test_what_comes_with_the_end_while_it_looks_is_not_overlooked(self) -> None:
        subscription = make()
        has_messages = subscription.message_queue.has_messages
        looks = []

        def look() -> bool:
            found = has_messages()
            looks.append(found)
            if len(looks) == 1:  # found nothing, and right behind the look it comes
                put(subscription, 7)
                subscription.close()
            return found

        subscription.message_queue.has_messages = look  # type: ignore[method-assign]
        assert number(subscription.get()) == 7
        assert looks[0] is False

    @pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
    def test_after_the_end_and_all_messages_it_raises(self, timeout: float | None) -> None:
        subscription = make()
        put(subscription, 0)
        subscription.close()
        assert number(subscription.get(timeout)) == 0
        for _ in range(2):
            with pytest.raises(StreamClosed, match=f"the subscription to {TOPIC} is closed"):
                subscription.get(timeout)

    def test_the_end_of_one_that_has_lost_its_topics(self) -> None:
        subscription = make()
        subscription.drop_topics({TOPIC})
        subscription.close()
        with pytest.raises(StreamClosed, match="the subscription to its topics is closed"):
            subscription.get()

    def test_a_fatal_error_is_raised_after_all_messages(self) -> None:
        subscription = make()
        put(subscription, 0)
        error = KucoinSyncError("it can't go on")
        subscription.message_queue.finish(error)
        assert number(subscription.get()) == 0
        for _ in range(2):
            with pytest.raises(KucoinSyncError) as raised:
                subscription.get()
            assert raised.value is error

    def test_it_raises_a_notice_once_and_goes_on(self) -> None:
        subscription = make()
        rejected = SubscriptionRejected(TOPIC, 404, "no such topic")
        getting = Task(subscription.get)
        wait_for_a_consumer(subscription.message_queue)
        subscription.message_queue.tell(rejected)
        with pytest.raises(SubscriptionRejected) as raised:
            getting.result()
        assert raised.value is rejected
        put(subscription, 0)
        assert number(subscription.get()) == 0


class TestIterating:
    def test_it_ends_after_what_was_received(self) -> None:
        subscription = make()
        put(subscription, 0, 1, 2)
        subscription.close()
        assert [number(one) for one in subscription] == [0, 1, 2]
        assert [*subscription] == []

    def test_it_waits(self) -> None:
        subscription = make()
        listing = Task(lambda: [number(one) for one in subscription])
        for n in range(3):
            wait_for_a_consumer(subscription.message_queue)
            put(subscription, n)
        wait_for_a_consumer(subscription.message_queue)
        subscription.close()
        assert listing.result() == [0, 1, 2]

    def test_next_gives_one(self) -> None:
        subscription = make()
        put(subscription, 0)
        subscription.close()
        assert number(next(subscription)) == 0
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(subscription)

    def test_a_fatal_error_comes_after_what_was_received(self) -> None:
        subscription = make()
        put(subscription, 0, 1)
        error = KucoinSyncError("it can't go on")
        subscription.message_queue.finish(error)
        assert until(KucoinSyncError, subscription) == ([(0, 0), (1, 0)], error)
        with pytest.raises(KucoinSyncError):
            next(subscription)

    def test_an_end_with_an_error_is_raised_even_where_the_error_is_that_it_is_closed(self) -> None:
        subscription = make()
        error = StreamClosed("the process was forked")
        subscription.message_queue.finish(error)
        assert until(StreamClosed, subscription) == ([], error)
        with pytest.raises(StreamClosed):
            next(subscription)

    def test_slow_consumer_is_raised_once_in_its_place_and_iterating_goes_on(self) -> None:
        subscription = make(maxsize=2)
        put(subscription, 0, 1, 2, 3, 4)
        found, slow = until(SlowConsumer, subscription)
        assert found == [(0, 0), (1, 0)]
        assert isinstance(slow, SlowConsumer)
        assert slow.dropped == 3
        put(subscription, 5, 6, 7)
        found, slow = until(SlowConsumer, subscription)
        assert found == [(5, 3), (6, 0)]
        assert isinstance(slow, SlowConsumer)
        assert slow.dropped == 1
        put(subscription, 8)
        subscription.close()
        assert [(number(one), one.lost) for one in subscription] == [(8, 1)]
        assert subscription.dropped == 4

    def test_slow_consumer_comes_before_the_end(self) -> None:
        subscription = make(maxsize=1)
        put(subscription, 0, 1)
        subscription.close()
        assert until(SlowConsumer, subscription)[0] == [(0, 0)]
        assert [*subscription] == []

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
    def test_the_other_policies_raise_nothing(self, overflow: str) -> None:
        subscription = make(overflow=overflow, maxsize=1)
        put(subscription, 0, 1, 2)
        subscription.close()
        assert len([*subscription]) == 1
        assert subscription.dropped == 2

    def test_a_rejected_topic_is_raised_in_its_place_and_iterating_goes_on(self) -> None:
        subscription = make()
        put(subscription, 0)
        rejected = SubscriptionRejected(TOPIC, 404, "no such topic")
        subscription.message_queue.tell(rejected)
        assert until(SubscriptionRejected, subscription) == ([(0, 0)], rejected)
        put(subscription, 1)
        subscription.close()
        assert [number(one) for one in subscription] == [1]


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestThreads:
    def test_each_message_goes_to_one_of_several_iterators(self, overflow: str) -> None:
        count = 20_000
        subscription = make(overflow=overflow, maxsize=count)
        all_taken = threading.Event()
        counted = threading.Lock()
        left = [count]

        def consume() -> list[int]:
            got = []
            for one in subscription:
                got.append(number(one))
                with counted:
                    left[0] -= 1
                    if not left[0]:
                        all_taken.set()
            return got

        consuming = [Task(consume) for _ in range(4)]
        for n in range(count):
            subscription.put(message(n, topic=f"/a:{n}"))
        reached(all_taken, f"{left[0]} messages are left, {subscription.pending} pending")
        subscription.close()
        got = [task.result() for task in consuming]
        assert sorted(n for each in got for n in each) == list(range(count))
        assert all(each == sorted(each) for each in got)

    @pytest.mark.parametrize(
        "end",
        [
            lambda subscription: subscription.close(),
            lambda subscription: subscription.message_queue.finish(KucoinSyncError("it can't go on")),
        ],
        ids=["close", "error"],
    )
    def test_an_end_from_another_thread_ends_all_that_wait(
        self, overflow: str, end: Callable[[Subscription[Any]], None]
    ) -> None:
        subscription = make(overflow=overflow)

        def ending(call: Callable[[], object]) -> str:
            try:
                return repr(call())
            except KucoinSyncError as error:
                return type(error).__name__

        tasks = [
            Task(ending, call)
            for call in (lambda: [*subscription], subscription.get, lambda: subscription.get(1000 * LIMIT))
        ]
        wait_for_a_consumer(subscription.message_queue, 3)
        end(subscription)
        closed = subscription.message_queue.error is None
        assert [task.result() for task in tasks] == (
            ["[]", "StreamClosed", "StreamClosed"] if closed else ["KucoinSyncError"] * 3
        )

    def test_a_consumer_may_close_what_it_iterates(self, overflow: str) -> None:
        subscription = make(overflow=overflow)
        for n in range(3):
            subscription.put(message(n, topic=f"/a:{n}"))
        got = []
        for one in subscription:
            got.append(number(one))
            subscription.close()
        assert got == [0, 1, 2]


class TestNumbers:
    def test_they_tell_how_it_fares(self) -> None:
        subscription = make(maxsize=2, tunnel="bt1", private=True, callback=print)
        assert (subscription.pending, subscription.dropped, subscription.closed) == (0, 0, False)
        put(subscription, 0, 1, 2)
        assert (subscription.pending, subscription.dropped, subscription.closed) == (2, 1, False)
        subscription.close()
        subscription.close()
        assert (subscription.pending, subscription.dropped, subscription.closed) == (2, 1, True)
        assert (subscription.tunnel, subscription.private, subscription.callback) == ("bt1", True, print)

    def test_topics_can_go(self) -> None:
        subscription = make("/a:X", "/a:Y", "/a:Z")
        subscription.drop_topics({"/a:Y", "/a:unknown"})
        assert subscription.topics == ("/a:X", "/a:Z")

    def test_repr_names_three_topics_and_the_state(self) -> None:
        subscription = make("/a:V", "/a:W", "/a:X", "/a:Y", "/a:Z", maxsize=1)
        put(subscription, 0, 1)
        assert repr(subscription) == "<Subscription to /a:V, /a:W, /a:X and 2 more: open, 1 pending, 1 dropped>"
        subscription.close()
        assert ": closed, 1 pending, 1 dropped>" in repr(subscription)

    def test_with_closes_it(self) -> None:
        with make() as subscription:
            assert not subscription.closed
        assert subscription.closed

    def test_with_closes_it_after_an_error_too(self) -> None:
        subscription = make()
        with pytest.raises(ValueError, match="mine"), subscription:
            raise ValueError("mine")
        assert subscription.closed


class TestForgotten:
    """A subscription that was not closed, and that its user holds no more."""

    def test_it_holds_no_messages_and_stays_open(self) -> None:
        subscription = make()
        held = subscription.held_by_user(None)
        put(subscription, 0)
        subscription.put_many(batch_of(1, 3, TOPIC))
        assert held.pending == 4
        del held
        gc.collect()
        put(subscription, 4)
        assert subscription.put_many(batch_of(5, 3, TOPIC)) is False
        assert (subscription.pending, subscription.dropped, subscription.closed) == (0, 0, False)

    def test_an_iterator_or_a_bound_method_keeps_it(self) -> None:
        for keep in (iter, lambda held: held.get):
            subscription = make()
            kept = keep(subscription.held_by_user(None))
            gc.collect()
            put(subscription, 0)
            assert subscription.pending == 1
            del kept

    def test_a_callback_and_a_watch_for_silence_go_on(self) -> None:
        called, seen = make(callback=print), make()
        heard: list[int] = []
        seen.notify(lambda: heard.append(1))
        for subscription in (called, seen):
            subscription.held_by_user(None)
            gc.collect()
            put(subscription, 0)
            assert subscription.pending == 1
        assert heard == [1]
