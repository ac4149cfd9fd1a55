"""The message queue: waits, notices, batches and interrupts; no wake-up is ever lost."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, count, islice
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kucoin_sync import Message, StreamClosed
from kucoin_sync.delivery import queue as queue_module
from kucoin_sync.delivery.overflow import OVERFLOW
from kucoin_sync.delivery.queue import MessageQueue
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.internal.fork import FirstUse
from kucoin_sync.protocol import envelopes as envelopes_module
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.envelopes import FrameBatch, RawPush, channel_of

from ...support.interrupts import interrupted_at
from ...support.message_queues import make_message_queue, pop, popped, taken, wait_for_a_consumer
from ...support.messages import batch_of, message, number
from ...support.selection import examples, first
from ...support.threads import LIMIT, Task, reached

SHORT = 0.05  # seconds of a wait that ends by itself


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestForked:
    """What a child makes of a message queue."""

    def test_it_is_empty_and_has_lost_nothing(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow, 2)
        for n in range(5):
            message_queue.put(message(n))
        message_queue.tell(RuntimeError("for the parent"))
        message_queue.after_fork()
        assert (
            len(message_queue),
            message_queue.dropped,
            message_queue.alert,
            message_queue.ready(),
            message_queue.notice(),
        ) == (0, 0, False, False, None)
        message_queue.put(message(5))
        assert taken(message_queue) == [(5, 0)]

    def test_it_has_a_lock_of_its_own_and_nobody_waits(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        gate = threading.Lock()
        gate.acquire()
        message_queue.call(gate)
        with message_queue._lock:
            message_queue.after_fork()
            message_queue.tell(RuntimeError("for the child"))
        assert gate.locked(), "nobody is there who waited at it"
        assert message_queue.notice() is not None

    def test_its_first_use_is_told_once_by_who_finds_nothing_or_looks(self, overflow: str) -> None:
        for use in (MessageQueue.notice, lambda message_queue: message_queue.first_use()):
            used: list[int] = []
            message_queue, first_use = make_message_queue(overflow), FirstUse()
            message_queue.first_use = first_use
            first_use.after_fork(lambda used=used, first_use=first_use: (used.append(1), first_use.done()))
            message_queue.after_fork()
            assert message_queue.alert, "a consumer that finds nothing asks for a notice"
            use(message_queue)
            use(message_queue)
            assert used == [1]

    def test_one_that_has_ended_stays_ended(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        error = RuntimeError("refused")
        message_queue.finish(error)
        message_queue.after_fork()
        assert (message_queue.finished, message_queue.error) == (True, error)


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestNotices:
    def test_a_notice_comes_after_what_is_queued_and_once(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        error = RuntimeError("a topic was refused")
        message_queue.put(message(0))
        message_queue.tell(error)
        assert message_queue.notice() is None
        assert message_queue.ready()
        pop(message_queue)
        assert message_queue.ready()
        assert message_queue.notice() is error
        assert message_queue.notice() is None
        assert not message_queue.ready()

    def test_several_notices_come_in_their_order(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        errors = [RuntimeError("one"), RuntimeError("two")]
        for error in errors:
            message_queue.tell(error)
        assert [message_queue.notice(), message_queue.notice(), message_queue.notice()] == [*errors, None]

    def test_the_first_end_counts(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        message_queue.put(message(0))
        error = RuntimeError("why")
        assert not message_queue.finished
        message_queue.finish(error)
        message_queue.finish(None)
        assert message_queue.finished
        assert message_queue.error is error
        assert message_queue.ready()
        assert taken(message_queue) == [(0, 0)]


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestWaiting:
    @pytest.mark.parametrize("timeout", [0.0, -1.0, SHORT])
    def test_a_wait_for_nothing_ends_by_itself(self, overflow: str, timeout: float) -> None:
        message_queue = make_message_queue(overflow)
        assert Task(message_queue.wait, timeout).result() is False
        assert not message_queue.waiters

    @pytest.mark.parametrize("timeout", [None, 1e300, float("inf")])
    @pytest.mark.parametrize(
        "wake",
        [
            lambda message_queue: message_queue.put(message(0)),
            lambda message_queue: message_queue.put_many([message(0), message(1)]),
            lambda message_queue: message_queue.tell(RuntimeError("a notice")),
            lambda message_queue: message_queue.finish(None),
        ],
        ids=["put", "put_many", "tell", "finish"],
    )
    def test_what_comes_ends_a_wait(
        self, overflow: str, timeout: float | None, wake: Callable[[MessageQueue], None]
    ) -> None:
        message_queue = make_message_queue(overflow)
        waiting = Task(message_queue.wait, timeout)
        wait_for_a_consumer(message_queue)
        wake(message_queue)
        assert waiting.result() is True
        assert not message_queue.waiters

    def test_what_is_there_ends_a_wait_at_once(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        message_queue.put(message(0))
        assert Task(message_queue.wait, None).result() is True
        assert not message_queue.waiters

    def test_one_message_wakes_one_and_the_end_wakes_all(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        came = threading.Semaphore(0)

        def waiting() -> bool:
            woken = message_queue.wait(None)
            came.release()
            return woken

        tasks = [Task(waiting) for _ in range(4)]
        wait_for_a_consumer(message_queue, 4)
        message_queue.put(message(0))
        assert came.acquire(timeout=LIMIT), "nobody was woken"
        assert len(message_queue.waiters) == 3
        message_queue.put_many([message(1), message(2, topic="/a:Y")])
        for _ in range(2):
            assert came.acquire(timeout=LIMIT), "a message woke nobody"
        assert len(message_queue.waiters) == 1
        message_queue.finish(None)
        assert [task.result() for task in tasks] == [True] * 4
        assert not message_queue.waiters

    def test_waking_where_nobody_waits_is_allowed(self, overflow: str) -> None:
        make_message_queue(overflow).wake()

    def test_a_wait_whose_message_another_takes_leaves_no_gate_behind(self, overflow: str) -> None:
        """A gate that nobody waits at would swallow a wake-up that is meant for another consumer."""
        message_queue = make_message_queue(overflow)
        message_queue.put(message(0))
        looks = []
        ready = message_queue.ready

        def stolen() -> bool:
            looks.append(ready())
            taken(message_queue)  # by another consumer, between the look and the taking
            return looks[-1]

        message_queue.ready = stolen  # type: ignore[method-assign]
        assert message_queue.wait(None) is True
        assert looks[0] is True
        assert not message_queue.waiters

    def test_a_wait_that_is_interrupted_leaves_no_gate_behind(
        self, overflow: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted:
            """A lock at which Ctrl-C comes."""

            def acquire(self, timeout: float | None = None) -> bool:
                if timeout is not None:
                    raise KeyboardInterrupt
                return True

        message_queue = make_message_queue(overflow)
        fake = SimpleNamespace(Lock=Interrupted, TIMEOUT_MAX=1.0, get_ident=threading.get_ident)
        monkeypatch.setattr(queue_module, "threading", fake)
        with pytest.raises(KeyboardInterrupt):
            message_queue.wait(None)
        assert not message_queue.waiters


class ReadLease:
    """Stands for one: notes for how long it is asked to read."""

    def __init__(self, *answers: bool) -> None:
        self.over = False
        self.asked: list[float | None] = []
        self._answers = iter(answers)

    def read(self, timeout: float | None) -> bool:
        self.asked.append(timeout)
        return next(self._answers)

    def give_back(self) -> None:
        self.over = True


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestReadLeases:
    def test_who_has_one_waits_by_reading(self, overflow: str) -> None:
        message_queue, read_lease = make_message_queue(overflow), ReadLease(True, False, False)
        message_queue.accept(read_lease)  # type: ignore[arg-type]
        assert [message_queue.wait(None), message_queue.wait(1.5)] == [True, False]
        message_queue.finish(None)
        assert message_queue.wait(2.5) is True, "the end is something to see"
        assert read_lease.asked == [None, 1.5, 2.5]
        assert not message_queue.waiters

    def test_one_that_is_over_is_put_away(self, overflow: str) -> None:
        message_queue, read_lease = make_message_queue(overflow), ReadLease()
        message_queue.accept(read_lease)  # type: ignore[arg-type]
        read_lease.over = True
        assert message_queue.wait(0) is False
        assert (read_lease.asked, message_queue.read_lease) == ([], None)

    def test_a_second_thread_that_waits_gives_it_back(self, overflow: str) -> None:
        message_queue, read_lease = make_message_queue(overflow), ReadLease(True)
        message_queue.accept(read_lease)  # type: ignore[arg-type]
        assert message_queue.wait(None) is True
        assert Task(message_queue.wait, 0).result() is False
        assert (read_lease.over, message_queue.read_lease) == (True, None)

    def test_who_waits_already_is_woken_to_read(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        waiting = Task(message_queue.wait, None)
        wait_for_a_consumer(message_queue)
        message_queue.accept(ReadLease())  # type: ignore[arg-type]
        assert waiting.result() is True

    def test_who_is_about_to_wait_sees_it(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        ready = message_queue.ready

        def passed_meanwhile() -> bool:
            message_queue.read_lease = ReadLease()  # type: ignore[assignment]
            return ready()

        message_queue.ready = passed_meanwhile  # type: ignore[method-assign]
        assert Task(message_queue.wait, None).result() is True
        assert not message_queue.waiters

    def test_a_message_tells_whether_one_thread_has_waited_for_it(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        assert message_queue.put(message(0, topic="/a:A")) is False, "nobody waited"
        taken(message_queue)
        waiting = Task(message_queue.wait, None)
        wait_for_a_consumer(message_queue)
        assert message_queue.put(message(1)) is True
        assert waiting.result() is True
        assert message_queue.put(message(2, topic="/a:B")) is False, "nobody waits now"

    def test_it_does_not_where_several_threads_wait(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        tasks = [Task(message_queue.wait, None) for _ in range(2)]
        wait_for_a_consumer(message_queue, 2)
        assert [message_queue.put(message(0)), message_queue.put(message(1, topic="/a:A"))] == [False, False]
        assert [task.result() for task in tasks] == [True, True]

    def test_it_does_not_where_somebody_is_to_be_called(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow)
        assert message_queue.wait(0) is False
        gate = threading.Lock()
        gate.acquire()
        message_queue.call(gate)
        assert message_queue.put(message(0)) is False
        assert gate.acquire(timeout=LIMIT)

    def test_a_forked_child_has_none(self, overflow: str) -> None:
        message_queue, read_lease = make_message_queue(overflow), ReadLease()
        message_queue.accept(read_lease)  # type: ignore[arg-type]
        message_queue.after_fork()
        assert Task(message_queue.wait, 0).result() is False
        assert read_lease.asked == []


@pytest.mark.parametrize("overflow", first(*OVERFLOW))
class TestThreads:
    def test_nothing_is_lost_or_doubled_and_everybody_is_woken(self, overflow: str) -> None:
        """Four put, four take; the end is told only after all has been taken, so that it hides no lost wake-up."""
        putters, each = 4, 12_500
        message_queue = make_message_queue(overflow, maxsize=putters * each)
        got: list[list[int]] = [[] for _ in range(4)]
        all_taken = threading.Event()
        counted = threading.Lock()
        left = [putters * each]

        def put(of: int) -> None:
            numbers = range(of, putters * each, putters)
            # A topic of its own for each, so that "latest" has nothing to supersede.
            ready = [message(n, topic=f"/a:{n}") for n in numbers]
            for at in range(0, each, 10):
                message_queue.put_many(ready[at : at + 5])
                for one in ready[at + 5 : at + 10]:
                    message_queue.put(one)

        def taking(into: list[int]) -> None:
            while True:
                try:
                    one = pop(message_queue)
                except IndexError:
                    if message_queue.finished:
                        return
                    message_queue.wait(None)
                    continue
                assert one.lost == 0
                into.append(number(one))
                with counted:
                    left[0] -= 1
                    if not left[0]:
                        all_taken.set()

        takers = [Task(taking, into) for into in got]
        for task in [Task(put, of) for of in range(putters)]:
            task.result()
        reached(
            all_taken,
            f"{left[0]} messages are left, {len(message_queue)} queued, {len(message_queue.waiters)} consumers wait",
        )
        message_queue.finish(None)
        for task in takers:
            task.result()
        assert sorted(n for into in got for n in into) == list(range(putters * each))
        for into in got:
            for of in range(putters):
                mine = [n for n in into if n % putters == of]
                assert mine == sorted(mine), "what one putter put was taken in another order"

    def test_every_single_message_wakes_somebody(self, overflow: str) -> None:
        """The next is put only after the last was taken, so that a lost wake-up stops everything."""
        message_queue = make_message_queue(overflow)
        taken_one = threading.Semaphore(0)

        def taking() -> None:
            while True:
                try:
                    pop(message_queue)
                except IndexError:
                    if message_queue.finished:
                        return
                    message_queue.wait(None)
                else:
                    taken_one.release()

        takers = [Task(taking) for _ in range(4)]
        one = message(0)
        for n in range(3000):
            message_queue.put(one)
            assert taken_one.acquire(timeout=LIMIT), f"message {n} woke nobody"
        message_queue.finish(None)
        for task in takers:
            task.result()

    def test_what_was_delivered_and_what_was_lost_is_what_was_sent(self, overflow: str) -> None:
        putters, each = 4, 5000
        message_queue = make_message_queue(overflow, maxsize=8)
        messages = [message(n, topic=f"/a:{n % 16}") for n in range(putters * each)]
        counts: list[tuple[int, int]] = []

        def put(of: int) -> None:
            for at in range(of * each, (of + 1) * each, 10):
                message_queue.put_many(messages[at : at + 3])
                for one in messages[at + 3 : at + 10]:
                    message_queue.put(one)

        def taking() -> None:
            delivered = lost = 0
            while True:
                try:
                    one = pop(message_queue)
                except IndexError:
                    if message_queue.notice() is None and message_queue.finished and not len(message_queue):
                        break
                    message_queue.wait(None)
                    continue
                delivered += 1
                lost += one.lost
            counts.append((delivered, lost))

        takers = [Task(taking) for _ in range(4)]
        for task in [Task(put, of) for of in range(putters)]:
            task.result()
        message_queue.finish(None)
        for task in takers:
            task.result()
        delivered, lost = (sum(column) for column in zip(*counts, strict=True))
        assert delivered + message_queue.dropped == putters * each
        assert (
            lost + message_queue._missing == message_queue.dropped
        )  # those after the last message have none that could tell


def numbers(messages: Iterable[Message]) -> list[int]:
    return [number(one) for one in messages]


def closing(message_queue: MessageQueue) -> Subscription[Any]:
    return Subscription(("/a",), message_queue, close=lambda _: message_queue.finish(None))


@pytest.mark.parametrize("topics", [(), ("/a:X", "/a:Y", "/a:Z")], ids=["one prefix", "three prefixes"])
@settings(max_examples=examples(300), deadline=None)
@example(overflow="drop_newest", maxsize=10, steps=[1, 9, 1, 1, "pop", "iterate", "iterate", 10, "pop", 2])
@given(
    overflow=st.sampled_from(OVERFLOW),
    maxsize=st.integers(1, 60),
    steps=st.lists(
        st.one_of(st.integers(1, 40), st.sampled_from(["pop", "pop", "take", "iterate", "notice"])), max_size=40
    ),
)
def test_batches_are_queued_as_their_pushes_are_one_by_one(
    topics: tuple[str, ...], overflow: str, maxsize: int, steps: list[int | str]
) -> None:
    batches, single = make_message_queue(overflow, maxsize), make_message_queue(overflow, maxsize)
    sent = 0
    for step in steps:
        if isinstance(step, int):
            pushes = batch_of(sent, step, *topics)
            sent += step
            batches.put_many(pushes if sent % 3 else list(pushes))
            for push in pushes:
                single.put(push)
        elif step == "notice":
            assert str(batches.notice()) == str(single.notice())
        elif step == "iterate" and (batch := batches.first_batch()) is not None:
            for prefix, frame in islice(batch.rest, sent % 7):
                assert (frame, prefix.channel[0]) == ((other := pop(single)).raw, other.topic)
        elif step == "take":
            for took in batches.take_messages(sent % 5):
                other = pop(single)
                assert (took.raw, took.topic, took.lost) == (other.raw, other.topic, other.lost)
        elif len(single):
            one = pop(batches)
            other = pop(single)
            assert (one.raw, one.topic, one.lost) == (other.raw, other.topic, other.lost)
        else:
            with pytest.raises(IndexError):
                pop(batches)
        assert (len(batches), batches.dropped, batches.ready()) == (len(single), single.dropped, single.ready())
        oldest, alike = batches.oldest(), single.oldest()
        assert (oldest and channel_of(oldest)) == (alike and channel_of(alike))
        assert (batches.room(), getattr(oldest, "frame", None)) == (single.room(), getattr(alike, "frame", None))
    assert [(one.raw, one.lost) for one in popped(batches)] == [(one.raw, one.lost) for one in popped(single)]


class TestBatches:
    def test_a_loop_may_end_anywhere_and_others_go_on(self) -> None:
        message_queue = make_message_queue(maxsize=1000)
        subscription = closing(message_queue)
        message_queue.put_many(batch_of(0, 30))
        message_queue.put(message(30))
        message_queue.put_many(batch_of(31, 20, "/a:X", "/a:Y"))
        seen = []
        for one in subscription:
            seen.append(number(one))
            if len(seen) == 10:
                break
        assert (subscription.pending, number(subscription.get(0))) == (41, 10)
        for one in subscription:
            seen.append(number(one))
            if len(seen) == 29:
                break
        assert number(next(subscription)) == 30
        subscription.close()
        rest = list(subscription)
        assert numbers(rest) == list(range(31, 51))
        assert [one.topic for one in rest] == ["/a:X" if n % 2 == 0 else "/a:Y" for n in range(31, 51)]
        assert [*seen[:10], *seen[10:]] == [*range(10), *range(11, 30)]
        assert (subscription.pending, message_queue.first_batch()) == (0, None)

    def test_each_message_goes_to_one_consumer_and_in_order(self) -> None:
        message_queue = make_message_queue(maxsize=1_000_000)
        subscription = closing(message_queue)

        def read() -> list[int]:
            return numbers(subscription)

        def get() -> list[int]:
            found = []
            while True:
                try:
                    found.append(number(subscription.get()))
                except StreamClosed:
                    return found

        def take() -> list[int]:
            found: list[int] = []
            while not message_queue.finished or message_queue.has_messages():
                found += numbers(message_queue.take_messages(7))
                message_queue.wait(SHORT)
            return found

        tasks = [Task(read), Task(get), Task(take), Task(read), Task(get)]
        sent = 0
        for n in range(300):
            batch = batch_of(sent, 1 + n % 30, "/a:X", "/a:Y") if n % 2 else batch_of(sent, 1 + n % 30)
            sent += len(batch)
            if n % 5:
                message_queue.put_many(batch)
            else:
                for push in batch:
                    message_queue.put(push)
        subscription.close()
        found = [task.result() for task in tasks]
        assert all(numbers == sorted(numbers) for numbers in found)
        assert sorted(chain.from_iterable(found)) == list(range(sent))
        assert (len(message_queue), message_queue.room()) == (0, 1_000_000)

    def test_each_consumer_of_one_batch_goes_on_behind_what_the_others_took(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        subscription = closing(message_queue)
        message_queue.put_many(batch_of(0, 12, "/a:X", "/a:Y", "/a:Z"))
        one, other = iter(subscription), iter(subscription)
        found = [next(one), next(other), subscription.get(0), next(one), next(subscription), next(other)]
        found += message_queue.take_messages(3)
        found += [pop(message_queue), next(one), next(other)]
        assert numbers(found) == list(range(12))
        assert [each.topic for each in found] == ["/a:X", "/a:Y", "/a:Z"] * 4
        assert (len(message_queue), message_queue.oldest(), list(message_queue.take_messages(5))) == (0, None, [])

    def test_the_last_frame_may_be_taken_by_another_consumer_at_the_last_instant(self) -> None:
        class Gone:
            """Says that there is one more frame, which is gone when it is asked for."""

            said = False

            def __iter__(self) -> Gone:
                return self

            def __next__(self) -> bytes:
                raise StopIteration

            def __length_hint__(self) -> int:
                said, self.said = self.said, True
                return 0 if said else 1

        message_queue = make_message_queue(maxsize=100)
        batch = batch_of(0, 1)
        batch._frames_left = Gone()
        assert list(batch.pushes)
        message_queue.put_many(batch)
        message_queue.put_many(batch_of(1, 2))
        assert (number(pop(message_queue)), len(message_queue)) == (1, 1)

    def test_a_frame_that_is_no_push_is_left_out_and_counted(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        subscription = closing(message_queue)
        batch = batch_of(0, 12)
        batch.frames[3] = batch.frames[3][:-1]
        batch.frames[5] = batch.frames[5][:-1] + b"]"
        batch.frames[9] += b"}"
        message_queue.put_many(batch)
        subscription.close()
        assert numbers(subscription) == [0, 1, 2, 4, 6, 7, 8, 10, 11]
        assert message_queue.decoder.unreadable == 3

    @pytest.mark.parametrize("topics", first([], ["/a:X", "/a:Y"]), ids=["one prefix", "two prefixes"])
    def test_ctrl_c_at_any_instant_costs_at_most_the_message_that_was_being_taken(self, topics: list[str]) -> None:
        files = {envelopes_module.__file__, queue_module.__file__}
        before = sys.gettrace()  # such as that of coverage
        for instant in count(1):
            message_queue = make_message_queue(maxsize=1000)
            subscription = closing(message_queue)
            message_queue.put_many(batch_of(0, 8, *topics))
            message_queue.put(message(8))
            message_queue.put_many(batch_of(9, 8, *topics))
            taken: list[int] = []
            left = instant

            def trace(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal left
                if frame.f_code.co_filename not in files:
                    return None
                frame.f_trace_opcodes = True
                if event in ("opcode", "line"):  # Python 3.12 has only lines to tell
                    left -= 1
                    if left == 0:
                        raise KeyboardInterrupt
                return trace

            loop = iter(subscription)  # which must not end half-way before we look away
            sys.settrace(trace)
            try:
                for one in loop:
                    taken.append(number(one))
                    if len(taken) % 3 == 0:
                        taken.append(number(subscription.get(0)))
                    if len(taken) >= 14:
                        break
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            del loop
            there = len(message_queue)
            rest = numbers(popped(message_queue))
            assert len(rest) == there, f"after instruction {instant}"
            with pytest.raises(IndexError):
                pop(message_queue)
            assert 16 <= len(taken) + len(rest) <= 17
            assert [*taken, *rest] == sorted({*taken, *rest})
            if left > 0:
                break
        assert instant > 100

    @pytest.mark.parametrize("method", ["put", "put_many"])
    @pytest.mark.parametrize("overflow", OVERFLOW)
    def test_ctrl_c_while_what_fits_is_queued_leaves_all_of_it_or_none(self, overflow: str, method: str) -> None:
        """A consumer that reads the socket queues what it has read itself, and asks `has` after an exception."""
        for point in count(1):
            message_queue = make_message_queue(overflow, maxsize=20)
            batch = batch_of(0, 8)
            pushes: Any = batch if method == "put_many" else batch[0]
            size = 8 if method == "put_many" else 1
            if not message_queue.fits(size):
                assert method == "put_many" and overflow in ("drop_oldest", "latest")
                return
            ended = not interrupted_at(point, partial(getattr(message_queue, method), pushes), [])
            there = size if message_queue.has(pushes) else 0
            assert (len(message_queue), message_queue.dropped) == (there, 0)
            assert numbers(popped(message_queue)) == list(range(there))
            assert message_queue.fits(size)
            if ended:
                assert there == size
                break
        assert point > 2

    def test_a_batch_wakes_as_many_as_it_can_serve(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        subscription = closing(message_queue)
        tasks = [Task(lambda: number(subscription.get())) for _ in range(3)]
        wait_for_a_consumer(message_queue, 3)
        assert message_queue.put_many(batch_of(0, 10)) is False, "several threads waited"
        assert sorted(task.result() for task in tasks) == [0, 1, 2]

    @pytest.mark.parametrize("overflow", OVERFLOW)
    def test_it_is_told_whether_one_thread_has_waited_for_a_batch(self, overflow: str) -> None:
        message_queue = make_message_queue(overflow, maxsize=100)
        assert message_queue.put_many(batch_of(0, 5)) is False, "nobody waited"
        popped(message_queue)
        waiting = Task(message_queue.wait, None)
        wait_for_a_consumer(message_queue)
        assert message_queue.put_many(batch_of(5, 5, "/a:X", "/a:Y")) is True
        assert waiting.result() is True
        assert message_queue.put_many(batch_of(10, 5)) is False, "nobody waits now"

    def test_a_push_that_is_put_back_is_the_next_and_wakes_who_found_nothing(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        message_queue.put_many(batch_of(0, 3))
        push = next(message_queue.source())
        task = Task(lambda: message_queue.wait(LIMIT))
        message_queue.waiters.append(gate := threading.Lock())
        gate.acquire()
        for _ in range(2):  # as where a signal handler raises behind the first time
            message_queue.put_back(push)
        assert gate.acquire(timeout=LIMIT)
        assert task.result()
        assert (len(message_queue), message_queue.oldest()) == (3, push)
        assert numbers(popped(message_queue)) == [0, 1, 2]

    def test_what_was_taken_makes_room_without_more_ado(self, monkeypatch: pytest.MonkeyPatch) -> None:
        message_queue = make_message_queue(maxsize=20)
        monkeypatch.setattr(message_queue, "_put_congested", pytest.fail)
        for n in range(0, 100, 10):
            message_queue.put_many(batch_of(n, 10))
            assert len(popped(message_queue)) == 10
        looks: list[int] = []
        has_room = message_queue._has_room
        monkeypatch.setattr(message_queue, "_has_room", lambda count: looks.append(count) or has_room(count))
        message_queue.put_many(batch_of(0, 10))
        assert [number(pop(message_queue)) for _ in range(5)] == list(range(5))
        for n in range(10, 25):
            message_queue.put(message(n))
        assert numbers(popped(message_queue)) == list(range(5, 25))
        assert len(looks) <= 3, "it is looked at how many there are, not for each"

    def test_a_batch_without_room_for_all_of_it_is_queued_as_far_as_there_is(self) -> None:
        message_queue = make_message_queue("drop_newest", maxsize=10)
        message_queue.put_many(batch_of(0, 6))
        assert (message_queue.fits(4), message_queue.fits(5)) == (True, False)
        message_queue.put_many(batch_of(6, 6, "/a:X", "/a:Y"))
        assert (len(message_queue), message_queue.dropped, message_queue.room()) == (10, 2, 0)
        assert [number(pop(message_queue)) for _ in range(4)] == [0, 1, 2, 3]
        assert not message_queue.fits(1), "the next has to tell of those that are missing"
        message_queue.put_many(batch_of(12, 4))
        assert taken(message_queue) == [
            (4, 0),
            (5, 0),
            *((n, 0) for n in range(6, 10)),
            (12, 2),
            (13, 0),
            (14, 0),
            (15, 0),
        ]

    def test_the_oldest_is_behind_a_batch_of_which_all_is_gone(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        message_queue.put_many(batch_of(0, 1, "/a:X", "/a:Y"))
        message_queue.put_many(batch_of(1, 2, "/a:X", "/a:Y"))
        for n, topic in enumerate(("/a:X", "/a:Y")):
            oldest = message_queue.oldest()
            assert isinstance(oldest, RawPush)
            assert (number(decode_message(oldest.frame)), oldest.prefix.channel[0]) == (n, topic)
            batch = message_queue.first_batch()
            assert batch is not None
            assert next(batch.pushes).frame == oldest.frame
        assert batch is not None
        assert [decode_message(frame).data["n"] for _, frame in batch.rest] == [2]
        assert (message_queue.oldest(), len(message_queue), message_queue.has_messages()) == (None, 0, False)
        message_queue.put(message(3))
        assert (message_queue.oldest(), len(message_queue), message_queue.first_batch()) == (message(3), 1, None)

    def test_take_yields_no_more_than_it_is_asked_for(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        assert list(message_queue.take_messages(5)) == []
        for n in range(3):
            message_queue.put(message(n))
        message_queue.put_many(batch_of(3, 5, "/a:X", "/a:Y"))
        found: list[Message] = []
        for most, wanted in ((0, 0), (2, 2), (3, 5), (1, 6), (9, 8)):
            found += message_queue.take_messages(most)
            assert (len(found), len(message_queue)) == (wanted, 8 - wanted)
        assert numbers(found) == list(range(8))

    def test_take_leaves_what_comes_meanwhile_and_stops_where_others_took_the_rest(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        for n in range(3):
            message_queue.put(message(n))
        taking = message_queue.take_messages(9)
        assert next(taking) == message(0)
        message_queue.put(message(3))
        assert numbers(taking) == [1, 2]
        message_queue.put(message(4))
        taking = message_queue.take_messages(9)
        assert next(taking) == message(3)
        assert number(pop(message_queue)) == 4
        assert list(taking) == []

    def test_take_gets_no_whole_batch_where_another_consumer_was_faster(self) -> None:
        message_queue = make_message_queue(maxsize=100)
        looks = ["the second", "the first"]  # at `_batches`; the batch comes right after the second

        class Batches(deque[FrameBatch]):
            def __bool__(self) -> bool:
                was_empty = not len(self)
                if looks and looks.pop() == "the second":
                    message_queue.items.popleft()  # by another consumer
                    message_queue.put_many(batch_of(1, 3))
                return not was_empty

        message_queue.put(message(0))
        message_queue._batches = batches = Batches()
        message_queue._both = message_queue.items, batches
        assert numbers(message_queue.take_messages(1)) == [1]
        assert not looks
        assert numbers(message_queue.take_messages(9)) == [2, 3]

    def test_a_batch_that_comes_in_the_instant_of_taking_is_taken_message_by_message(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        message_queue = make_message_queue(maxsize=20)
        subscription = closing(message_queue)
        message_queue.put(message(0))
        source = message_queue.source

        def late() -> Any:
            found = source()
            if not len(message_queue):
                message_queue.put_many(batch_of(1, 3))
            return found

        assert number(subscription.get(0)) == 0
        monkeypatch.setattr(message_queue, "source", late)
        monkeypatch.setattr(message_queue, "has_messages", lambda: True)
        assert number(subscription.get(0)) == 1
        monkeypatch.undo()
        assert numbers(popped(message_queue)) == [2, 3]

    def test_a_signal_handler_may_take_what_was_before_a_batch_at_the_last_instant(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        message_queue = make_message_queue(maxsize=20)
        subscription = closing(message_queue)
        message_queue.put(message(0))
        message_queue.put_many(batch_of(1, 3))
        found: list[int] = []
        first_batch = message_queue.first_batch

        def interrupted() -> FrameBatch | None:
            batch = first_batch()
            if not found:
                found.append(-1)
                found.append(number(subscription.get(0)))
            return batch

        monkeypatch.setattr(message_queue, "first_batch", interrupted)
        found.append(number(subscription.get(0)))
        assert found == [-1, 0, 1]
        assert len(message_queue) == 2
        assert numbers(popped(message_queue)) == [2, 3]

    def test_a_signal_handler_may_drop_a_batch_that_is_used_up_at_the_last_instant(self) -> None:
        class Interrupting:
            """Says that nothing is left, and has a signal handler take the next message just then."""

            def __iter__(self) -> Interrupting:
                return self

            def __next__(self) -> bytes:
                raise StopIteration

            def __length_hint__(self) -> int:
                if not found:
                    found.append(-1)
                    found.append(number(pop(message_queue)))
                return 0

        message_queue = make_message_queue(maxsize=20)
        found: list[int] = []
        batch = batch_of(0, 1)
        assert list(batch.pushes)
        message_queue.put_many(batch)
        batch._frames_left = Interrupting()
        message_queue.put(message(1))
        message_queue.put(message(2))
        assert (number(pop(message_queue)), found, len(message_queue)) == (2, [-1, 1], 0)

    def test_a_forked_child_has_none_of_them_even_where_a_loop_is_in_one(self) -> None:
        message_queue = make_message_queue(maxsize=20)
        subscription = closing(message_queue)
        message_queue.put_many(batch_of(0, 10))
        message_queue.put_many(batch_of(10, 10, "/a:X", "/a:Y"))
        loop = iter(subscription)
        assert number(next(loop)) == 0
        message_queue.after_fork()
        assert (len(message_queue), message_queue.first_batch(), message_queue.oldest()) == (0, None, None)
        message_queue.put_many(batch_of(20, 20))
        assert (len(message_queue), message_queue.dropped) == (20, 0)
        assert number(next(loop)) == 20

    def test_a_signal_handler_may_take_messages_where_it_interrupts_who_takes_them(self) -> None:
        message_queue = make_message_queue(maxsize=20)
        message_queue.put_many(batch_of(0, 20))

        def interrupted() -> int:
            with message_queue._lock:
                return number(pop(message_queue))

        assert Task(interrupted).result() == 0


@pytest.mark.parametrize("overflow", OVERFLOW)
def test_what_comes_just_as_a_wait_begins_ends_it(overflow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message_queue = make_message_queue(overflow)
    ready = message_queue.ready

    def ready_at_once() -> bool:
        message_queue.put(message(1))
        return ready()

    monkeypatch.setattr(message_queue, "ready", ready_at_once)
    assert message_queue.wait(LIMIT)
    assert not message_queue.waiters
    assert taken(message_queue) == [(1, 0)]
