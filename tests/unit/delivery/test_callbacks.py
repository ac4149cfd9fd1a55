"""Callbacks: order, rounds, what they and `on_event` may do wrong, who is slow, and the end."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import CallbackFailed, CallbackSlow, Event, Message, Progress, Stale, StreamClosed, Subscription
from kucoin_sync.delivery.callbacks import Callbacks, check_callback
from kucoin_sync.delivery.executor import Executor
from kucoin_sync.protocol.envelopes import FrameBatch
from kucoin_sync.protocol.message import Arrival

from ...support.message_queues import Waiters, make_message_queue, wait_for_a_consumer
from ...support.messages import message, number, prefix_of
from ...support.threads import LIMIT, Task, reached, until

ROUND = 16  # messages of one subscription before another is served


class Seen:
    """What was called, in order, and can be waited for."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, what: Any) -> None:
        with self._changed:
            self.all.append(what)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Any]:
        """Return all, once there are `count`."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, LIMIT), (
                f"{len(self.all)} of {count} came within {LIMIT:g} s"
            )
            return list(self.all)


class Plug:
    """Keeps the callback thread busy until `pull`, so that a test can prepare what follows."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._begun = threading.Event()
        self._pulled = threading.Event()
        plug = subscribe(self._wait)
        callbacks.serve(plug)
        plug.put(message(0))
        reached(self._begun, "the callback thread does not run")

    def _wait(self, _: Message) -> None:
        self._begun.set()
        reached(self._pulled, "the plug was never pulled")

    def pull(self) -> None:
        self._pulled.set()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def make_callbacks() -> Iterator[Callable[..., Callbacks]]:
    """Make callback threads, which are ended after the test."""
    made: list[Callbacks] = []

    def make(
        on_event: Callable[[Event], object] | None = None,
        slow_after: float = 10 * LIMIT,
        warn_after: float | None = None,
    ) -> Callbacks:
        made.append(Callbacks(on_event, slow_after, warn_after=slow_after if warn_after is None else warn_after))
        return made[-1]

    yield make
    for callbacks in made:
        callbacks.close()
        ended(callbacks)


def ended(callbacks: Callbacks) -> None:
    for thread in callbacks.threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), f"{thread.name} has not ended within {LIMIT:g} s"


def replaced(callbacks: Callbacks) -> None:
    """Wait until another thread serves in the place of a stuck one: it calls a callback of its own."""
    served = threading.Event()
    probe = subscribe(lambda _: served.set())
    callbacks.serve(probe)
    probe.put(message(0))
    reached(served, "nobody took over")


def subscribe(callback: Callable[[Message], object], topic: str = "/a:X", **options: Any) -> Subscription[Any]:
    message_queue = make_message_queue(**{"maxsize": 10_000, **options})
    return Subscription(
        (topic,), message_queue, close=lambda subscription: subscription.message_queue.finish(None), callback=callback
    )


def stale(n: float) -> Stale:
    return Stale(("/a:X",), n)


class TestMessages:
    def test_what_came_together_comes_in_order_with_what_came_alone(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()
        subscription = subscribe(lambda one: seen(number(one)))
        frames = [message(n).raw for n in range(1000)]
        prefix = prefix_of(frames[0][: frames[0].index(b'{"n"')], "/market/ticker:BTC-USDT", "trade.ticker")
        for first in range(0, 1000, 50):
            subscription.put_many(FrameBatch(frames[first : first + 45], Arrival(), prefix=prefix))
            for n in range(first + 45, first + 50):
                subscription.put(message(n))
            if first == 500:
                callbacks.serve(subscription)
        assert seen.wait(1000) == list(range(1000))
        assert subscription.pending == 0

    def test_they_come_in_order_on_a_thread_of_their_own(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        threads = set()

        def callback(one: Message) -> None:
            threads.add(threading.current_thread())
            seen(number(one))

        callbacks = make_callbacks()
        assert callbacks.threads == []
        subscription = subscribe(callback)
        subscription.put(message(0))  # before it is served
        callbacks.serve(subscription)
        for n in range(1, 1000):
            subscription.put(message(n))
        assert seen.wait(1000) == list(range(1000))
        assert threads == {callbacks.threads[0]}
        assert [thread.name for thread in callbacks.threads] == ["kucoin-callbacks"] * 2, "one of them is the spare"
        assert all(thread.daemon for thread in callbacks.threads)

    def test_one_that_came_before_it_was_served_is_not_forgotten(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()
        subscription = subscribe(lambda one: seen(number(one)))
        subscription.put(message(0))
        callbacks.serve(subscription)
        assert seen.wait(1) == [0]

    def test_each_that_comes_after_a_pause_is_served(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()
        subscription = subscribe(lambda one: seen(number(one)))
        callbacks.serve(subscription)
        for n in range(100):
            wait_for_a_consumer(subscription.message_queue)
            subscription.put(message(n))
            seen.wait(n + 1)
        assert seen.all == list(range(100))

    def test_a_busy_subscription_lets_every_other_run(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()
        plug = Plug(callbacks)
        names = "abc"
        for name in names:
            subscription = subscribe(lambda one, name=name: seen((name, number(one))))
            callbacks.serve(subscription)
            subscription.put_many([message(n) for n in range(3 * ROUND)])
        plug.pull()
        called = seen.wait(3 * 3 * ROUND)
        assert called == [(name, n) for i in range(3) for name in names for n in range(i * ROUND, (i + 1) * ROUND)]

    def test_what_was_received_before_the_end_is_delivered(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()
        plug = Plug(callbacks)
        subscription = subscribe(lambda one: seen(number(one)))
        callbacks.serve(subscription)
        subscription.put_many([message(n) for n in range(100)])
        subscription.finish()
        plug.pull()
        assert seen.wait(100) == list(range(100))
        callbacks.close()
        ended(callbacks)
        assert not subscription.message_queue.waiters

    def test_the_end_of_an_idle_subscription_is_taken_note_of(self, make_callbacks: Callable[..., Callbacks]) -> None:
        callbacks = make_callbacks()
        subscription = subscribe(pytest.fail)
        callbacks.serve(subscription)
        wait_for_a_consumer(subscription.message_queue)
        subscription.close()
        Plug(callbacks).pull()  # behind it in the line
        assert not subscription.message_queue.waiters
        assert isinstance(subscription.message_queue.waiters, Waiters)
        assert not subscription.message_queue.waiters.came.acquire(blocking=False), (
            "the thread waits for what has ended"
        )

    def test_an_overflow_is_logged_and_delivery_goes_on(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, caplog: pytest.LogCaptureFixture
    ) -> None:
        callbacks = make_callbacks()
        plug = Plug(callbacks)
        subscription = subscribe(lambda one: seen((number(one), one.lost)), maxsize=2)
        callbacks.serve(subscription)
        wait_for_a_consumer(subscription.message_queue)
        for n in range(5):
            subscription.put(message(n))
        plug.pull()
        wait_for_a_consumer(subscription.message_queue)
        subscription.put(message(5))
        assert seen.wait(3) == [(0, 0), (1, 0), (5, 3)]
        assert [record.getMessage() for record in caplog.records] == ["too slow"]

    def test_a_notice_is_logged_and_delivery_goes_on(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, caplog: pytest.LogCaptureFixture
    ) -> None:
        callbacks = make_callbacks()
        subscription = subscribe(lambda one: seen(number(one)))
        callbacks.serve(subscription)
        wait_for_a_consumer(subscription.message_queue)
        subscription.message_queue.tell(RuntimeError("a topic was refused"))
        wait_for_a_consumer(subscription.message_queue)
        subscription.put(message(0))
        assert seen.wait(1) == [0]
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "a topic was refused")
        ]


class TestErrors:
    @pytest.mark.parametrize("error", [ValueError("why"), SystemExit(1), KeyboardInterrupt()])
    def test_what_a_callback_raises_is_reported_and_the_next_message_comes(
        self,
        make_callbacks: Callable[..., Callbacks],
        seen: Seen,
        caplog: pytest.LogCaptureFixture,
        error: BaseException,
    ) -> None:
        events = Seen()

        def callback(one: Message) -> None:
            seen(number(one))
            if number(one) == 0:
                raise error

        callbacks = make_callbacks(events)
        subscription = subscribe(callback, topic="/a:Y")
        callbacks.serve(subscription)
        subscription.put_many([message(0), message(1)])
        assert seen.wait(2) == [0, 1]
        assert events.wait(1) == [CallbackFailed(("/a:Y",), error)]
        logged = next(record for record in caplog.records if record.exc_info)
        assert logged.levelname == "ERROR"
        assert "a callback of <Subscription to /a:Y: open" in logged.getMessage()
        assert logged.exc_info is not None
        assert logged.exc_info[1] is error

    def test_that_the_stream_is_closed_is_no_error_of_a_callback_that_its_end_reaches(
        self, make_callbacks: Callable[..., Callbacks], caplog: pytest.LogCaptureFixture
    ) -> None:
        callbacks = make_callbacks(events := Seen())
        subscription = subscribe(print, topic="/a:Y")
        callbacks.failed(subscription, early := StreamClosed("another stream is closed"))
        assert events.wait(1) == [CallbackFailed(("/a:Y",), early)]
        callbacks.close()
        caplog.clear()
        callbacks.failed(subscription, StreamClosed("the stream is closed"))
        assert not caplog.records
        callbacks.failed(subscription, ValueError("why"))
        assert caplog.records

    @pytest.mark.parametrize("error", [ValueError("why"), SystemExit(1), KeyboardInterrupt()])
    def test_what_on_event_raises_is_logged_and_the_next_event_comes(
        self, make_callbacks: Callable[..., Callbacks], caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        events = Seen()

        def on_event(event: Event) -> None:
            events(event)
            raise error

        callbacks = make_callbacks(on_event)
        callbacks.emit(stale(1))
        callbacks.emit(stale(2))
        assert events.wait(2) == [stale(1), stale(2)]
        callbacks.close()
        ended(callbacks)
        logged = [record for record in caplog.records if record.exc_info]
        assert [record.getMessage() for record in logged] == [f"on_event raised for {stale(n)!r}" for n in (1, 2)]

    def test_a_subscription_with_another_consumer_is_served_what_is_left(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks()

        def callback(one: Message) -> None:
            seen(number(one))
            if number(one) == 0:
                assert number(subscription.get(0)) == 1

        plug = Plug(callbacks)
        subscription = subscribe(callback)
        callbacks.serve(subscription)
        subscription.put_many([message(0), message(1)])
        plug.pull()
        wait_for_a_consumer(subscription.message_queue, 2)
        subscription.put(message(2))
        assert seen.wait(2) == [0, 2]


class TestSlowness:
    def test_a_callback_that_is_stuck_is_named_once_and_holds_up_itself_only(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        events = Seen()
        callbacks = make_callbacks(events, slow_after=0.05)
        freed = threading.Event()

        def stuck(one: Message) -> None:
            if number(one) == 0:
                reached(freed, "nobody freed the callback")
            seen(("stuck", number(one)))

        first, other = subscribe(stuck, topic="/a:STUCK"), subscribe(lambda one: seen(number(one)))
        for subscription in (first, other):
            callbacks.serve(subscription)
        first.put_many([message(n) for n in range(3)])
        for n in range(100):
            other.put(message(n))
        assert seen.wait(100) == list(range(100))
        [event] = events.wait(1)
        assert isinstance(event, CallbackSlow)
        assert event.topics == ("/a:STUCK",)
        assert event.seconds >= 0.05
        freed.set()
        assert seen.wait(103)[100:] == [("stuck", 0), ("stuck", 1), ("stuck", 2)]
        assert events.all == [event]

    def test_a_callback_that_takes_long_again_holds_up_nobody_again(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        callbacks = make_callbacks(slow_after=0.05)
        freed = [threading.Event() for _ in range(3)]

        def stuck(one: Message) -> None:
            reached(freed[number(one)], "nobody freed the callback")
            threading.Event().wait(0.06)
            seen(("stuck", number(one)))

        first, other = subscribe(stuck, topic="/a:STUCK"), subscribe(lambda one: seen(number(one)))
        for subscription in (first, other):
            callbacks.serve(subscription)
        first.put(message(0))
        replaced(callbacks)
        monkeypatch.setattr(Executor, "_replace", lambda *_: False)  # no server need be replaced any more
        freed[0].set()
        seen.wait(1)
        for n in (1, 2):
            first.put(message(n))
            other.put(message(10 + n))
            assert seen.wait(2 * n)[-1] == 10 + n
            freed[n].set()
            assert seen.wait(2 * n + 1)[-1] == ("stuck", n)

    def test_a_callback_that_is_quick_again_runs_among_the_others_again(
        self, make_callbacks: Callable[..., Callbacks]
    ) -> None:
        callbacks = make_callbacks(slow_after=0.05)
        freed, threads = threading.Event(), Seen()

        def stuck(one: Message) -> None:
            if number(one) == 0:
                reached(freed, "nobody freed the callback")
            threads(threading.current_thread())

        subscription = subscribe(stuck)
        callbacks.serve(subscription)
        subscription.put(message(0))
        replaced(callbacks)
        freed.set()
        threads.wait(1)
        for n in range(1, 1000):
            subscription.put(message(n))
            if threads.wait(n + 1)[-1] is callbacks.threads[0]:
                break
        assert threads.all[1] is callbacks.threads[1], "after a run that took long, it waits in the second job queue"
        assert threads.all[-1] is callbacks.threads[0]

    def test_a_run_that_took_long_is_told_even_when_no_spare_watched_it(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Executor, "_stand_by", lambda *_: False)
        events = Seen()
        callbacks = make_callbacks(events, slow_after=0.0)
        for topic in ("/a:X", "/a:Y"):
            subscription = subscribe(seen, topic=topic)
            callbacks.serve(subscription)
            subscription.put_many([message(n) for n in range(3 * ROUND)])
        seen.wait(6 * ROUND)
        callbacks.close()
        ended(callbacks)
        assert sorted(event.topics for event in events.all) == [("/a:X",), ("/a:Y",)]

    def test_a_callback_that_takes_long_but_not_very_is_passed_and_not_named(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, caplog: pytest.LogCaptureFixture
    ) -> None:
        freed, events = threading.Event(), Seen()

        def stuck(_: object) -> None:
            reached(freed, "nobody freed the callback")

        for on_event in (events, stuck):
            callbacks = make_callbacks(on_event, slow_after=0.01, warn_after=10 * LIMIT)
            if on_event is stuck:
                callbacks.emit(stale(1))
            first, other = subscribe(stuck), subscribe(seen, topic="/a:OTHER")
            for subscription in (first, other):
                callbacks.serve(subscription)
            first.put(message(0))
            other.put(message(1))
            seen.wait(1)
        freed.set()
        callbacks.close()
        ended(callbacks)
        assert events.all == []
        assert not [record for record in caplog.records if "has been running" in record.getMessage()]

    def test_a_callback_that_stays_stuck_is_passed_early_and_named_later(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        freed, events = threading.Event(), Seen()
        callbacks = make_callbacks(events, slow_after=0.01, warn_after=0.1)
        subscription = subscribe(lambda one: reached(freed, "nobody freed the callback"))
        callbacks.serve(subscription)
        subscription.put(message(0))
        [event] = events.wait(1)
        freed.set()
        assert isinstance(event, CallbackSlow)
        assert event.seconds >= 0.1

    def test_a_quick_callback_is_not_named_slow(self, make_callbacks: Callable[..., Callbacks], seen: Seen) -> None:
        events = Seen()
        callbacks = make_callbacks(events)
        subscription = subscribe(seen)
        callbacks.serve(subscription)
        subscription.put(message(0))
        seen.wait(1)
        callbacks.close()
        ended(callbacks)
        assert events.all == []

    def test_an_on_event_that_is_stuck_is_logged_once_holds_up_events_only_and_keeps_their_order(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen, caplog: pytest.LogCaptureFixture
    ) -> None:
        freed, events = threading.Event(), Seen()

        def on_event(event: Event) -> None:
            if event == stale(1):
                reached(freed, "nobody freed on_event")
            threads.append(threading.current_thread())
            events(event)

        threads: list[threading.Thread] = []
        callbacks = make_callbacks(on_event, slow_after=0.05)
        callbacks.emit(stale(1))
        subscription = subscribe(lambda one: seen(number(one)))
        callbacks.serve(subscription)
        for n in range(100):
            subscription.put(message(n))
        assert seen.wait(100) == list(range(100))
        for n in range(2, 50):
            callbacks.emit(stale(n))
        freed.set()
        assert events.wait(49) == [stale(n) for n in range(1, 50)]
        assert set(threads[1:]) == {callbacks.threads[0]}, "one at a time with the callbacks again"
        told = [record.getMessage() for record in caplog.records if "on_event has been running" in record.getMessage()]
        assert len(told) == 1


class TestEvents:
    def test_they_come_in_order_on_the_callback_thread_and_are_logged(
        self, make_callbacks: Callable[..., Callbacks], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "kucoin_sync")
        events = Seen()
        callbacks = make_callbacks(lambda event: events((event, threading.current_thread())))
        emitted = [stale(1), Progress(1, 2), stale(2)]
        for event in emitted:
            callbacks.emit(event)
        assert events.wait(3) == [(event, callbacks.threads[0]) for event in emitted]
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", str(stale(1))),
            ("DEBUG", "subscribing: 1 of 2 topics confirmed"),
            ("WARNING", str(stale(2))),
        ]

    def test_without_on_event_they_are_logged_and_need_no_thread(
        self, make_callbacks: Callable[..., Callbacks], caplog: pytest.LogCaptureFixture
    ) -> None:
        callbacks = make_callbacks()
        callbacks.emit(stale(1))
        assert callbacks.threads == []
        assert [record.getMessage() for record in caplog.records] == [str(stale(1))]

    def test_they_go_before_messages(self, make_callbacks: Callable[..., Callbacks], seen: Seen) -> None:
        callbacks = make_callbacks(seen)
        plug = Plug(callbacks)
        subscriptions = [subscribe(lambda one: seen(number(one))) for _ in range(2)]
        for subscription in subscriptions:
            callbacks.serve(subscription)
            subscription.put_many([message(n) for n in range(ROUND)])
        callbacks.emit(stale(1))
        callbacks.emit(stale(2))
        plug.pull()
        assert seen.wait(2 + 2 * ROUND) == [stale(1), stale(2), *range(ROUND), *range(ROUND)]

    def test_one_that_comes_during_a_run_goes_before_the_next_run(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks = make_callbacks(seen)
        plug = Plug(callbacks)

        def emitting(one: Message) -> None:
            seen(number(one))
            callbacks.emit(stale(1))

        for callback in (emitting, lambda one: seen("other")):
            subscription = subscribe(callback)
            callbacks.serve(subscription)
            subscription.put(message(0))
        plug.pull()
        assert seen.wait(3) == [0, stale(1), "other"]


class TestClose:
    def test_an_idle_thread_ends(self, make_callbacks: Callable[..., Callbacks]) -> None:
        callbacks = make_callbacks()
        callbacks.serve(subscribe(pytest.fail))
        callbacks.close()
        callbacks.close()
        ended(callbacks)

    def test_the_callback_under_way_is_the_last(self, make_callbacks: Callable[..., Callbacks], seen: Seen) -> None:
        callbacks = make_callbacks()
        plug = Plug(callbacks)
        subscription = subscribe(seen)
        callbacks.serve(subscription)
        subscription.put(message(0))
        callbacks.close()
        plug.pull()
        ended(callbacks)
        assert seen.all == []

    def test_the_end_of_a_run_releases_those_that_wait_for_the_call(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        callbacks, go_on = make_callbacks(), threading.Event()

        def call(one: Message) -> None:
            seen(number(one))
            reached(go_on, "the test did not let it go on")

        subscription = subscribe(call)
        callbacks.serve(subscription)
        subscription.put(message(0))
        assert seen.wait(1) == [0]
        waiting = Task(subscription.message_queue.wait_for_call, threading.TIMEOUT_MAX)
        until(lambda: subscription.message_queue.leaving, "nobody waits")
        go_on.set()
        waiting.result()

    def test_a_callback_may_close(self, make_callbacks: Callable[..., Callbacks], seen: Seen) -> None:
        callbacks = make_callbacks()

        def closing(one: Message) -> None:
            seen(number(one))
            callbacks.close()

        plug = Plug(callbacks)
        subscription = subscribe(closing)
        callbacks.serve(subscription)
        subscription.put_many([message(0), message(1)])
        plug.pull()
        ended(callbacks)
        assert seen.all == [0]

    def test_on_event_may_close_and_events_from_before_still_come(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        def on_event(event: Event) -> None:
            seen(event)
            callbacks.close()

        callbacks = make_callbacks(on_event)
        plug = Plug(callbacks)
        callbacks.emit(stale(1))
        callbacks.emit(stale(2))
        plug.pull()
        ended(callbacks)
        assert seen.all == [stale(1), stale(2)]

    def test_on_event_that_was_stuck_hears_the_last_events_when_it_returns(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        stuck, freed = threading.Event(), threading.Event()

        def on_event(event: Event) -> None:
            if event == stale(1):
                stuck.set()
                reached(freed, "nobody freed on_event")
            seen(event)

        callbacks = make_callbacks(on_event, slow_after=0.05)
        callbacks.emit(stale(1))
        callbacks.emit(stale(2))
        reached(stuck, "on_event was not called")
        replaced(callbacks)
        callbacks.close()
        ended(callbacks)
        assert seen.all == []
        freed.set()
        assert seen.wait(2) == [stale(1), stale(2)]

    def test_a_callback_that_is_stuck_is_left_to_itself_and_is_the_last_of_its_subscription(
        self, make_callbacks: Callable[..., Callbacks], seen: Seen
    ) -> None:
        stuck, freed = threading.Event(), threading.Event()
        workers = []

        def callback(one: Message) -> None:
            workers.append(threading.current_thread())
            stuck.set()
            reached(freed, "nobody freed the callback")
            seen(number(one))

        callbacks = make_callbacks(slow_after=0.05)
        subscription = subscribe(callback)
        callbacks.serve(subscription)
        subscription.put_many([message(0), message(1)])
        reached(stuck, "the callback was not called")
        replaced(callbacks)
        callbacks.close()
        ended(callbacks)
        freed.set()
        workers[0].join(LIMIT)
        assert seen.all == [0]

    def test_after_close_nothing_is_called_and_no_thread_begun(
        self, make_callbacks: Callable[..., Callbacks], caplog: pytest.LogCaptureFixture
    ) -> None:
        callbacks = make_callbacks(pytest.fail)
        callbacks.close()
        callbacks.emit(stale(1))
        subscription = subscribe(pytest.fail)
        callbacks.serve(subscription)
        subscription.put(message(0))
        assert callbacks.threads == []
        assert [record.getMessage() for record in caplog.records] == [str(stale(1))]


class TestForked:
    """What becomes of the one thread that a forked child has, where it forked in `on_event` or a callback."""

    def test_on_event_hears_none_of_the_events_before_and_the_thread_ends(
        self, make_callbacks: Callable[..., Callbacks]
    ) -> None:
        heard: list[Event] = []
        queued, renewed, again = (threading.Event() for _ in range(3))

        def on_event(event: Event) -> None:
            heard.append(event)
            if len(heard) == 1:
                reached(queued, "no second event was queued")
                callbacks.after_fork()
                renewed.set()
            else:
                again.set()

        callbacks = make_callbacks(on_event)
        callbacks.emit(stale(1))
        executor, (old, spare) = callbacks.executor, callbacks.threads
        callbacks.emit(stale(2))
        queued.set()
        reached(renewed, "on_event was not called")
        old.join(LIMIT)
        assert not old.is_alive()
        executor.close()  # for the spare, which a child does not have
        spare.join(LIMIT)
        assert not callbacks.threads, "no thread is needed before the next event"
        callbacks.emit(stale(3))
        reached(again, "the next event was not told")
        assert heard == [stale(1), stale(3)]

    def test_a_callback_is_the_last_until_its_subscription_is_served_again(
        self, make_callbacks: Callable[..., Callbacks]
    ) -> None:
        heard: list[int] = []
        again = threading.Event()

        def callback(received: Message) -> None:
            heard.append(number(received))
            if len(heard) == 1:
                subscription.message_queue.after_fork()
                callbacks.after_fork()
            elif len(heard) == 3:
                again.set()

        callbacks = make_callbacks()
        subscription = subscribe(callback)
        callbacks.serve(subscription)
        executor, (old, spare) = callbacks.executor, callbacks.threads
        subscription.put_many([message(n) for n in range(3)])
        old.join(LIMIT)
        assert not old.is_alive()
        executor.close()  # for the spare, which a child does not have
        spare.join(LIMIT)
        assert heard == [0]
        callbacks.serve(subscription)
        subscription.put_many([message(3), message(4)])
        reached(again, "it is not served again")
        assert heard == [0, 3, 4]


async def _async_callback(_: Any) -> None:
    pass


async def _async_generator(_: Any) -> Any:
    yield


def _generator(_: Any) -> Iterator[None]:
    yield


class _Async:
    async def __call__(self, _: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (5, "must be callable, not int"),
        (_async_callback, "is an async function: nobody would await it"),
        (functools.partial(_async_callback), "is an async function: "),
        (_Async(), "is an async function: "),
        (_Async().__call__, "is an async function: "),
        (_async_generator, "is an async generator: "),
        (_generator, "is a generator: calling it does nothing"),
    ],
)
def test_a_callback_of_which_a_call_does_nothing_is_refused(callback: Any, text: str) -> None:
    with pytest.raises(TypeError, match=f"^on_event {text}"):
        Callbacks(callback)


@pytest.mark.parametrize("callback", [None, print, Seen(), Seen().__call__, Seen, functools.partial(print, 1)])
def test_any_other_callback_is_accepted(callback: Any) -> None:
    check_callback("callback", callback)
