"""The queues: each policy against a model, who is told what and when, and that no wake-up is ever lost."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import chain, count, islice
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kucoin_sync import Message, SlowConsumer, StreamClosed
from kucoin_sync import inbox as inbox_module
from kucoin_sync import runs as runs_module
from kucoin_sync.inbox import Inbox, InlineInbox
from kucoin_sync.messages import Batch, decode_message
from kucoin_sync.overflow import OVERFLOW
from kucoin_sync.runs import Waiting
from kucoin_sync.sealed import Run, kind_of
from kucoin_sync.subscription import Subscription

from .support.inboxes import make_inbox, wait_for_a_consumer
from .support.messages import head_of, message, number
from .support.threads import LIMIT, Task, reached

SHORT = 0.05  # seconds of a wait that ends by itself


def taken(inbox: Inbox) -> list[tuple[int, int]]:
    """Return all that is queued: number and how many were lost before it."""
    found = []
    while len(inbox):
        one = inbox.pop()
        found.append((number(one), one.lost))
    return found


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
@settings(max_examples=200, deadline=None)
@given(
    maxsize=st.integers(1, 4),
    steps=st.lists(st.one_of(st.integers(1, 7), st.sampled_from(["pop", "notice"])), max_size=60),
)
def test_a_policy_does_as_its_model(overflow: str, maxsize: int, steps: list[int | str]) -> None:
    """A number puts that many at once, one of them by itself."""
    episodes: list[int] = []
    inbox = make_inbox(overflow, maxsize, episodes.append)
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
                inbox.put(batch[0])
            else:
                inbox.put_many(batch)
        elif step == "pop" and model.queue:
            one = inbox.pop()
            assert (number(one), one.lost) == model.pop()
            delivered.append((number(one), one.lost))
        elif step == "pop":
            with pytest.raises(IndexError):
                inbox.pop()
        else:
            told = inbox.notice()
            assert (told.dropped if isinstance(told, SlowConsumer) else None) == model.notice()
        assert len(inbox) == len(model.queue)
        assert inbox.ready() == bool(model.queue or (overflow == "raise" and model.full))
        assert inbox.dropped == model.dropped
        assert episodes == model.episodes
    delivered += taken(inbox)
    assert len(delivered) + inbox.dropped == sent
    assert sum(lost for _, lost in delivered) + inbox._missing == inbox.dropped
    if overflow != "latest":
        before = -1
        for n, lost in delivered:
            assert lost == n - before - 1, "`lost` has to say exactly how many are missing before a message"
            before = n


class TestPolicies:
    def test_raise_takes_nothing_more_until_the_consumer_was_told(self) -> None:
        inbox = make_inbox("raise", 2)
        for n in range(4):
            inbox.put(message(n))
        assert number(inbox.pop()) == 0
        assert inbox.notice() is None
        inbox.put(message(4))  # there would be room
        assert number(inbox.pop()) == 1
        with pytest.raises(IndexError):
            inbox.pop()
        told = inbox.notice()
        assert isinstance(told, SlowConsumer)
        assert told.dropped == 3
        assert inbox.notice() is None
        inbox.put(message(5))
        inbox.put(message(6))
        assert taken(inbox) == [(5, 3), (6, 0)]

    def test_what_is_dropped_after_the_telling_counts_too(self) -> None:
        inbox = make_inbox("raise", 1)
        for n in range(3):
            inbox.put(message(n))
        inbox.pop()
        assert inbox.notice() is not None
        inbox.put(message(3))
        inbox.put(message(4))
        assert taken(inbox) == [(3, 2)]
        assert isinstance(inbox.notice(), SlowConsumer)

    def test_drop_newest_says_it_at_the_next_that_has_room(self) -> None:
        inbox = make_inbox("drop_newest", 2)
        for n in range(5):
            inbox.put(message(n))
        assert number(inbox.pop()) == 0
        inbox.put(message(5))
        assert taken(inbox) == [(1, 0), (5, 3)]
        assert inbox.notice() is None

    def test_drop_oldest_says_it_at_the_oldest_that_is_left(self) -> None:
        inbox = make_inbox("drop_oldest", 2)
        for n in range(5):
            inbox.put(message(n))
        assert taken(inbox) == [(3, 3), (4, 0)]
        assert inbox.notice() is None

    def test_latest_keeps_one_of_each_topic_and_subject_in_its_place(self) -> None:
        inbox = make_inbox("latest", 10)
        inbox.put(message(0, topic="/a:X"))
        inbox.put(message(1, topic="/a:Y"))
        inbox.put(message(2, topic="/a:X"))
        inbox.put(message(3, topic="/a:X", subject="other"))
        inbox.put(message(4, topic="/a:X"))
        assert len(inbox) == 3
        assert taken(inbox) == [(4, 2), (1, 0), (3, 0)]
        assert inbox.dropped == 2

    def test_latest_drops_a_new_topic_where_there_are_too_many(self) -> None:
        told: list[int] = []
        inbox = make_inbox("latest", 1, told.append)
        inbox.put(message(0, topic="/a:X"))
        inbox.put(message(1, topic="/a:Y"))
        inbox.put(message(2, topic="/a:Z"))
        assert told == [1]
        assert taken(inbox) == [(0, 2)]
        inbox.put(message(3, topic="/a:Y"))
        assert taken(inbox) == [(3, 0)]

    @pytest.mark.parametrize("overflow", OVERFLOW)
    def test_the_oldest_can_be_looked_at_and_stays(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        assert inbox.oldest() is None
        for n, topic in enumerate(("/a", "/b")):
            inbox.put(message(n, topic))
        oldest = inbox.oldest()
        assert isinstance(oldest, Message)
        assert number(oldest) == 0
        assert taken(inbox) == [(0, 0), (1, 0)]
        assert inbox.oldest() is None

    @pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest"])
    def test_an_episode_of_overflow_is_told_once(self, overflow: str) -> None:
        told: list[int] = []
        inbox = make_inbox(overflow, 1, told.append)
        for n in range(5):
            inbox.put(message(n))
        assert told == [1]
        taken(inbox)
        inbox.notice()
        for n in range(5, 10):
            inbox.put(message(n))
        assert told == [1, 5]

    def test_messages_without_a_topic_are_one_topic_under_latest(self) -> None:
        inbox = make_inbox("latest")
        inbox.put(decode_message(b"{}"))
        inbox.put(decode_message(b"{}"))
        assert len(inbox) == 1

    def test_an_unknown_policy_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            make_inbox("drop_all")


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestForked:
    """What a child makes of an inbox."""

    def test_it_is_empty_and_has_lost_nothing(self, overflow: str) -> None:
        inbox = make_inbox(overflow, 2)
        for n in range(5):
            inbox.put(message(n))
        inbox.tell(RuntimeError("for the parent"))
        inbox.forked()
        assert (len(inbox), inbox.dropped, inbox.alert, inbox.ready(), inbox.notice()) == (0, 0, False, False, None)
        inbox.put(message(5))
        assert taken(inbox) == [(5, 0)]

    def test_it_has_a_lock_of_its_own_and_nobody_waits(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        gate = threading.Lock()
        gate.acquire()
        inbox.call(gate)
        with inbox._lock:
            inbox.forked()
            inbox.tell(RuntimeError("for the child"))
        assert gate.locked(), "nobody is there who waited at it"
        assert inbox.notice() is not None

    def test_its_first_use_is_told_once_by_who_finds_nothing_or_looks(self, overflow: str) -> None:
        for use in (Inbox.notice, Inbox.use):
            used: list[int] = []
            inbox = make_inbox(overflow)
            inbox.sleep(lambda used=used: used.append(1))
            inbox.forked()
            assert inbox.alert, "a consumer that finds nothing asks for a notice"
            use(inbox)
            use(inbox)
            assert used == [1]

    def test_one_that_has_ended_stays_ended(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        error = RuntimeError("refused")
        inbox.finish(error)
        inbox.forked()
        assert (inbox.finished, inbox.error) == (True, error)


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestNotices:
    def test_a_notice_comes_after_what_is_queued_and_once(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        error = RuntimeError("a topic was refused")
        inbox.put(message(0))
        inbox.tell(error)
        assert inbox.notice() is None
        assert inbox.ready()
        inbox.pop()
        assert inbox.ready()
        assert inbox.notice() is error
        assert inbox.notice() is None
        assert not inbox.ready()

    def test_several_notices_come_in_their_order(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        errors = [RuntimeError("one"), RuntimeError("two")]
        for error in errors:
            inbox.tell(error)
        assert [inbox.notice(), inbox.notice(), inbox.notice()] == [*errors, None]

    def test_the_first_end_counts(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        inbox.put(message(0))
        error = RuntimeError("why")
        assert not inbox.finished
        inbox.finish(error)
        inbox.finish(None)
        assert inbox.finished
        assert inbox.error is error
        assert inbox.ready()
        assert taken(inbox) == [(0, 0)]


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestWaiting:
    @pytest.mark.parametrize("timeout", [0.0, -1.0, SHORT])
    def test_a_wait_for_nothing_ends_by_itself(self, overflow: str, timeout: float) -> None:
        inbox = make_inbox(overflow)
        assert Task(inbox.wait, timeout).result() is False
        assert not inbox.waiters

    @pytest.mark.parametrize("timeout", [None, 1e300, float("inf")])
    @pytest.mark.parametrize(
        "wake",
        [
            lambda inbox: inbox.put(message(0)),
            lambda inbox: inbox.put_many([message(0), message(1)]),
            lambda inbox: inbox.tell(RuntimeError("a notice")),
            lambda inbox: inbox.finish(None),
        ],
        ids=["put", "put_many", "tell", "finish"],
    )
    def test_what_comes_ends_a_wait(self, overflow: str, timeout: float | None, wake: Callable[[Inbox], None]) -> None:
        inbox = make_inbox(overflow)
        waiting = Task(inbox.wait, timeout)
        wait_for_a_consumer(inbox)
        wake(inbox)
        assert waiting.result() is True
        assert not inbox.waiters

    def test_what_is_there_ends_a_wait_at_once(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        inbox.put(message(0))
        assert Task(inbox.wait, None).result() is True
        assert not inbox.waiters

    def test_one_message_wakes_one_and_the_end_wakes_all(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        came = threading.Semaphore(0)

        def waiting() -> bool:
            woken = inbox.wait(None)
            came.release()
            return woken

        tasks = [Task(waiting) for _ in range(4)]
        wait_for_a_consumer(inbox, 4)
        inbox.put(message(0))
        assert came.acquire(timeout=LIMIT), "nobody was woken"
        assert len(inbox.waiters) == 3
        inbox.put_many([message(1), message(2, topic="/a:Y")])
        for _ in range(2):
            assert came.acquire(timeout=LIMIT), "a message woke nobody"
        assert len(inbox.waiters) == 1
        inbox.finish(None)
        assert [task.result() for task in tasks] == [True] * 4
        assert not inbox.waiters

    def test_waking_where_nobody_waits_is_allowed(self, overflow: str) -> None:
        make_inbox(overflow).wake()

    def test_a_wait_whose_message_another_takes_leaves_no_gate_behind(self, overflow: str) -> None:
        """A gate that nobody waits at would swallow a wake-up that is meant for another consumer."""
        inbox = make_inbox(overflow)
        inbox.put(message(0))
        looks = []
        ready = inbox.ready

        def stolen() -> bool:
            looks.append(ready())
            taken(inbox)  # by another consumer, between the look and the taking
            return looks[-1]

        inbox.ready = stolen  # type: ignore[method-assign]
        assert inbox.wait(None) is True
        assert looks[0] is True
        assert not inbox.waiters

    def test_a_wait_that_is_interrupted_leaves_no_gate_behind(
        self, overflow: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted:
            """A lock at which Ctrl-C comes."""

            def acquire(self, timeout: float | None = None) -> bool:
                if timeout is not None:
                    raise KeyboardInterrupt
                return True

        inbox = make_inbox(overflow)
        fake = SimpleNamespace(Lock=Interrupted, TIMEOUT_MAX=1.0, get_ident=threading.get_ident)
        monkeypatch.setattr(inbox_module, "threading", fake)
        with pytest.raises(KeyboardInterrupt):
            inbox.wait(None)
        assert not inbox.waiters


class Baton:
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
class TestBatons:
    def test_who_has_one_waits_by_reading(self, overflow: str) -> None:
        inbox, baton = make_inbox(overflow), Baton(True, False, False)
        inbox.accept(baton)  # type: ignore[arg-type]
        assert [inbox.wait(None), inbox.wait(1.5)] == [True, False]
        inbox.finish(None)
        assert inbox.wait(2.5) is True, "the end is something to see"
        assert baton.asked == [None, 1.5, 2.5]
        assert not inbox.waiters

    def test_one_that_is_over_is_put_away(self, overflow: str) -> None:
        inbox, baton = make_inbox(overflow), Baton()
        inbox.accept(baton)  # type: ignore[arg-type]
        baton.over = True
        assert inbox.wait(0) is False
        assert (baton.asked, inbox.baton) == ([], None)

    def test_a_second_thread_that_waits_gives_it_back(self, overflow: str) -> None:
        inbox, baton = make_inbox(overflow), Baton(True)
        inbox.accept(baton)  # type: ignore[arg-type]
        assert inbox.wait(None) is True
        assert Task(inbox.wait, 0).result() is False
        assert (baton.over, inbox.baton) == (True, None)

    def test_who_waits_already_is_woken_to_read(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        waiting = Task(inbox.wait, None)
        wait_for_a_consumer(inbox)
        inbox.accept(Baton())  # type: ignore[arg-type]
        assert waiting.result() is True

    def test_who_is_about_to_wait_sees_it(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        ready = inbox.ready

        def passed_meanwhile() -> bool:
            inbox.baton = Baton()  # type: ignore[assignment]
            return ready()

        inbox.ready = passed_meanwhile  # type: ignore[method-assign]
        assert Task(inbox.wait, None).result() is True
        assert not inbox.waiters

    def test_a_message_tells_whether_one_thread_has_waited_for_it(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        assert inbox.put(message(0, topic="/a:A")) is False, "nobody waited"
        taken(inbox)
        waiting = Task(inbox.wait, None)
        wait_for_a_consumer(inbox)
        assert inbox.put(message(1)) is True
        assert waiting.result() is True
        assert inbox.put(message(2, topic="/a:B")) is False, "nobody waits now"

    def test_it_does_not_where_several_threads_wait(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        tasks = [Task(inbox.wait, None) for _ in range(2)]
        wait_for_a_consumer(inbox, 2)
        assert [inbox.put(message(0)), inbox.put(message(1, topic="/a:A"))] == [False, False]
        assert [task.result() for task in tasks] == [True, True]

    def test_it_does_not_where_somebody_is_to_be_called(self, overflow: str) -> None:
        inbox = make_inbox(overflow)
        assert inbox.wait(0) is False
        gate = threading.Lock()
        gate.acquire()
        inbox.call(gate)
        assert inbox.put(message(0)) is False
        assert gate.acquire(timeout=LIMIT)

    def test_a_forked_child_has_none(self, overflow: str) -> None:
        inbox, baton = make_inbox(overflow), Baton()
        inbox.accept(baton)  # type: ignore[arg-type]
        inbox.forked()
        assert Task(inbox.wait, 0).result() is False
        assert baton.asked == []


@pytest.mark.parametrize("overflow", OVERFLOW)
class TestThreads:
    def test_nothing_is_lost_or_doubled_and_everybody_is_woken(self, overflow: str) -> None:
        """Four put, four take; the end is told only after all has been taken, so that it hides no lost wake-up."""
        putters, each = 4, 12_500
        inbox = make_inbox(overflow, maxsize=putters * each)
        got: list[list[int]] = [[] for _ in range(4)]
        all_taken = threading.Event()
        counted = threading.Lock()
        left = [putters * each]

        def put(of: int) -> None:
            numbers = range(of, putters * each, putters)
            # A topic of its own for each, so that "latest" has nothing to supersede.
            ready = [message(n, topic=f"/a:{n}") for n in numbers]
            for at in range(0, each, 10):
                inbox.put_many(ready[at : at + 5])
                for one in ready[at + 5 : at + 10]:
                    inbox.put(one)

        def taking(into: list[int]) -> None:
            while True:
                try:
                    one = inbox.pop()
                except IndexError:
                    if inbox.finished:
                        return
                    inbox.wait(None)
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
        reached(all_taken, f"{left[0]} messages are left, {len(inbox)} queued, {len(inbox.waiters)} consumers wait")
        inbox.finish(None)
        for task in takers:
            task.result()
        assert sorted(n for into in got for n in into) == list(range(putters * each))
        for into in got:
            for of in range(putters):
                mine = [n for n in into if n % putters == of]
                assert mine == sorted(mine), "what one putter put was taken in another order"

    def test_every_single_message_wakes_somebody(self, overflow: str) -> None:
        """The next is put only after the last was taken, so that a lost wake-up stops everything."""
        inbox = make_inbox(overflow)
        taken_one = threading.Semaphore(0)

        def taking() -> None:
            while True:
                try:
                    inbox.pop()
                except IndexError:
                    if inbox.finished:
                        return
                    inbox.wait(None)
                else:
                    taken_one.release()

        takers = [Task(taking) for _ in range(4)]
        one = message(0)
        for n in range(3000):
            inbox.put(one)
            assert taken_one.acquire(timeout=LIMIT), f"message {n} woke nobody"
        inbox.finish(None)
        for task in takers:
            task.result()

    def test_what_was_delivered_and_what_was_lost_is_what_was_sent(self, overflow: str) -> None:
        putters, each = 4, 5000
        inbox = make_inbox(overflow, maxsize=8)
        messages = [message(n, topic=f"/a:{n % 16}") for n in range(putters * each)]
        counts: list[tuple[int, int]] = []

        def put(of: int) -> None:
            for at in range(of * each, (of + 1) * each, 10):
                inbox.put_many(messages[at : at + 3])
                for one in messages[at + 3 : at + 10]:
                    inbox.put(one)

        def taking() -> None:
            delivered = lost = 0
            while True:
                try:
                    one = inbox.pop()
                except IndexError:
                    if inbox.notice() is None and inbox.finished and not len(inbox):
                        break
                    inbox.wait(None)
                    continue
                delivered += 1
                lost += one.lost
            counts.append((delivered, lost))

        takers = [Task(taking) for _ in range(4)]
        for task in [Task(put, of) for of in range(putters)]:
            task.result()
        inbox.finish(None)
        for task in takers:
            task.result()
        delivered, lost = (sum(column) for column in zip(*counts, strict=True))
        assert delivered + inbox.dropped == putters * each
        assert lost + inbox._missing == inbox.dropped  # those after the last message have none that could tell


@pytest.fixture(scope="module", autouse=True)
def short_runs() -> Iterator[None]:
    """Have runs queued as such that are not worth it yet."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(inbox_module, "_MANY", 8)
        yield


def run_of(first: int, count: int) -> Run:
    """Return a run of numbered messages."""
    frames = [message(n).raw for n in range(first, first + count)]
    start, data, _ = frames[0].partition(b'"data": ') if frames else (b"", b"", b"")
    return Run.of(head_of(start + data, "/market/ticker:BTC-USDT", "trade.ticker"), Batch(1), frames)


@settings(max_examples=300, deadline=None)
@example(overflow="drop_newest", maxsize=10, steps=[1, 9, 1, 1, "pop", "iterate", "iterate", 10, "pop", 2])
@given(
    overflow=st.sampled_from(["raise", "drop_newest"]),
    maxsize=st.integers(1, 60),
    steps=st.lists(st.one_of(st.integers(1, 40), st.sampled_from(["pop", "pop", "iterate", "notice"])), max_size=40),
)
def test_runs_are_queued_as_their_pushes_are_one_by_one(overflow: str, maxsize: int, steps: list[int | str]) -> None:
    runs, single = make_inbox(overflow, maxsize, runs=True), make_inbox(overflow, maxsize)
    sent = 0
    for step in steps:
        if isinstance(step, int):
            pushes = run_of(sent, step)
            sent += step
            runs.put_many(pushes if sent % 3 else list(pushes))
            for push in pushes:
                single.put(push)
        elif step == "notice":
            assert str(runs.notice()) == str(single.notice())
        elif step == "iterate" and (run := runs.run()) is not None:
            for frame in islice(run.frames, sent % 7):
                assert frame == single.pop().raw
        elif len(single):
            one, other = runs.pop(), single.pop()
            assert (one.raw, one.lost) == (other.raw, other.lost)
        else:
            with pytest.raises(IndexError):
                runs.pop()
        assert (len(runs), runs.dropped, runs.ready()) == (len(single), single.dropped, single.ready())
        oldest, other = runs.oldest(), single.oldest()
        assert (oldest and kind_of(oldest)) == (other and kind_of(other))
        assert (runs.room(), getattr(oldest, "frame", None)) == (single.room(), getattr(other, "frame", None))
    assert [(one.raw, one.lost) for one in popped(runs)] == [(one.raw, one.lost) for one in popped(single)]


def popped(inbox: Inbox) -> list[Message]:
    """Return all that is queued."""
    found = []
    while len(inbox):
        found.append(inbox.pop())
    return found


class TestRuns:
    def test_a_loop_may_end_anywhere_and_others_go_on(self) -> None:
        inbox = make_inbox(maxsize=1000, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=lambda _: inbox.finish(None))
        inbox.put_many(run_of(0, 30))
        inbox.put(message(30))
        inbox.put_many(run_of(31, 20))
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
        assert [number(one) for one in subscription] == list(range(31, 51))
        assert [*seen[:10], *seen[10:]] == [*range(10), *range(11, 30)]
        assert (subscription.pending, inbox.run()) == (0, None)

    def test_each_message_goes_to_one_of_those_who_iterate(self) -> None:
        inbox = make_inbox(maxsize=1_000_000, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=lambda _: inbox.finish(None))

        def read() -> list[int]:
            return [number(one) for one in subscription]

        def get() -> list[int]:
            found = []
            while True:
                try:
                    found.append(number(subscription.get()))
                except StreamClosed:
                    return found

        tasks = [Task(read), Task(get), Task(read), Task(get)]
        sent = 0
        for n in range(300):
            run = run_of(sent, 1 + n % 30)
            sent += len(run)
            inbox.put_many(run)
        subscription.close()
        found = [task.result() for task in tasks]
        assert all(numbers == sorted(numbers) for numbers in found)
        assert sorted(chain.from_iterable(found)) == list(range(sent))

    def test_a_frame_that_is_no_push_is_left_out_and_counted(self) -> None:
        inbox = make_inbox(maxsize=100, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=lambda _: inbox.finish(None))
        run = run_of(0, 12)
        run.frames[3] = run.frames[3][:-1]
        run.frames[5] = run.frames[5][:-1] + b"]"
        run.frames[9] += b"}"
        inbox.put_many(run)
        subscription.close()
        assert [number(one) for one in subscription] == [0, 1, 2, 4, 6, 7, 8, 10, 11]
        assert inbox.opener.unreadable == 3

    def test_ctrl_c_at_any_instant_costs_at_most_the_message_that_was_being_taken(self) -> None:
        files = {runs_module.__file__, inbox_module.__file__}
        before = sys.gettrace()  # such as that of coverage
        for instant in count(1):
            inbox = make_inbox(maxsize=1000, runs=True)
            subscription: Subscription = Subscription(("/a",), inbox, close=print)
            inbox.put_many(run_of(0, 8))
            inbox.put(message(8))
            inbox.put_many(run_of(9, 8))
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

            sys.settrace(trace)
            try:
                for one in subscription:
                    taken.append(number(one))
                    if len(taken) % 3 == 0:
                        taken.append(number(subscription.get(0)))
                    if len(taken) >= 14:
                        break
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            there = len(inbox)
            rest = [number(one) for one in popped(inbox)]
            assert len(rest) == there, f"after instruction {instant}"
            with pytest.raises(IndexError):
                inbox.pop()
            assert 16 <= len(taken) + len(rest) <= 17
            assert [*taken, *rest] == sorted({*taken, *rest})
            if left > 0:
                break
        assert instant > 100

    def test_a_run_wakes_as_many_as_it_can_serve(self) -> None:
        inbox = make_inbox(maxsize=100, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=lambda _: inbox.finish(None))
        tasks = [Task(lambda: number(subscription.get())) for _ in range(3)]
        wait_for_a_consumer(inbox, 3)
        inbox.put_many(run_of(0, 10))
        assert sorted(task.result() for task in tasks) == [0, 1, 2]

    def test_a_run_that_was_taken_out_goes_back_and_wakes_who_found_nothing(self) -> None:
        inbox = make_inbox(maxsize=100, runs=True)
        inbox.put_many(run_of(0, 10))
        assert [number(inbox.pop()) for _ in range(9)] == list(range(9))
        run = inbox.items.popleft()
        assert isinstance(run, Waiting)
        task = Task(lambda: inbox.wait(LIMIT))
        wait_for_a_consumer(inbox)
        inbox.put_back(run)
        assert task.result()
        assert [number(one) for one in popped(inbox)] == [9]

    def test_what_was_taken_makes_room_without_more_ado(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inbox = make_inbox(maxsize=20, runs=True)
        monkeypatch.setattr(inbox, "_put_congested", pytest.fail)
        for n in range(0, 100, 10):
            inbox.put_many(run_of(n, 10))
            assert len(popped(inbox)) == 10
        looks: list[int] = []
        has_room = inbox._has_room
        monkeypatch.setattr(inbox, "_has_room", lambda count: looks.append(count) or has_room(count))
        inbox.put_many(run_of(0, 10))
        assert [number(inbox.pop()) for _ in range(5)] == list(range(5))
        for n in range(10, 25):
            inbox.put(message(n))
        assert [number(one) for one in popped(inbox)] == list(range(5, 25))
        assert len(looks) <= 3, "it is looked at how many there are, not for each"

    def test_a_run_that_comes_out_in_place_of_a_single_one_is_put_back(self) -> None:
        class Misleading:
            """Says once that something else is the first, as another consumer saw it a moment ago."""

            def __init__(self, items: Any) -> None:
                self.items = items
                self.misleads = False

            def __getitem__(self, index: int) -> Any:
                misleads, self.misleads = self.misleads, False
                return None if misleads else self.items[index]

            def __getattr__(self, name: str) -> Any:
                return getattr(self.items, name)

        inbox = make_inbox(maxsize=20, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=print)
        inbox.put(message(0))
        inbox.put_many(run_of(1, 10))
        items: Any = Misleading(inbox.items)
        inbox.items = items
        loop = iter(subscription)
        assert number(next(loop)) == 0
        items.misleads = True
        assert [number(next(loop)) for _ in range(10)] == list(range(1, 11))

    def test_a_forked_child_has_none_of_them_even_where_a_loop_is_in_one(self) -> None:
        inbox = make_inbox(maxsize=20, runs=True)
        subscription: Subscription = Subscription(("/a",), inbox, close=lambda _: inbox.finish(None))
        inbox.put_many(run_of(0, 20))
        loop = iter(subscription)
        assert number(next(loop)) == 0
        inbox.forked()
        assert (len(inbox), inbox.run()) == (0, None)
        inbox.put_many(run_of(20, 20))
        assert (len(inbox), inbox.dropped) == (20, 0)
        assert number(next(loop)) == 20

    def test_a_signals_handler_may_take_messages_where_it_interrupts_who_takes_them(self) -> None:
        inbox = make_inbox(maxsize=20, runs=True)
        inbox.put_many(run_of(0, 20))

        def interrupted() -> int:
            with inbox._lock:
                return number(inbox.pop())

        assert Task(interrupted).result() == 0

    def test_what_a_run_supersedes_under_latest_is_only_counted(self) -> None:
        inbox = make_inbox("latest", 2)
        inbox.put_many(run_of(0, 9))
        inbox.put_many(run_of(9, 1))
        one = inbox.pop()
        assert (number(one), one.lost, inbox.dropped) == (9, 9, 9)
        inbox.put_many([message(0, "/a:B"), message(1, "/a:C")])
        inbox.put_many(run_of(0, 9))
        assert (len(inbox), inbox.dropped) == (2, 18)


class TestInline:
    def test_the_callback_runs_where_the_message_is_put(self) -> None:
        got: list[tuple[int, threading.Thread]] = []
        inbox = InlineInbox(lambda one: got.append((number(one), threading.current_thread())), pytest.fail)
        inbox.put(message(0))
        inbox.put_many([message(1), message(2)])
        assert got == [(n, threading.current_thread()) for n in range(3)]
        assert len(inbox) == 0
        assert inbox.dropped == 0

    @pytest.mark.parametrize("error", [ValueError("why"), SystemExit(1)])
    def test_what_it_raises_is_reported_and_it_goes_on(self, error: BaseException) -> None:
        errors: list[BaseException] = []
        got: list[int] = []

        def failing(one: Message) -> None:
            got.append(number(one))
            raise error

        inbox = InlineInbox(failing, errors.append)
        inbox.put(message(0))
        inbox.put_many([message(1), message(2)])
        assert got == [0, 1, 2]
        assert errors == [error] * 3

    def test_after_the_end_it_is_not_called(self) -> None:
        inbox = InlineInbox(lambda one: pytest.fail("called after the end"), pytest.fail)
        inbox.finish(None)
        inbox.put(message(0))
        inbox.put_many([message(1)])


@pytest.mark.parametrize("overflow", OVERFLOW)
def test_what_comes_just_as_a_wait_begins_ends_it(overflow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = make_inbox(overflow)
    ready = inbox.ready

    def ready_at_once() -> bool:
        inbox.put(message(1))
        return ready()

    monkeypatch.setattr(inbox, "ready", ready_at_once)
    assert inbox.wait(LIMIT)
    assert not inbox.waiters
    assert taken(inbox) == [(1, 0)]


def test_an_inbox_tells_for_how_many_it_has_room() -> None:
    raising = make_inbox("raise", 3)
    assert raising.room() == 3
    raising.put(message(1))
    assert raising.room() == 2
    assert make_inbox("latest", 3).room() == math.inf
    assert InlineInbox(lambda _: None, lambda _: None).room() == math.inf


@pytest.mark.parametrize("overflow", OVERFLOW)
def test_what_a_dropped_message_says_is_missing_before_it_stays_missing(overflow: str) -> None:
    inbox = make_inbox(overflow, maxsize=1)
    pushes = [message(each).with_lost(10**each) for each in range(4)]
    delivered = []
    for push in pushes[:3]:
        inbox.put(push)
    delivered.append(inbox.pop())
    if overflow == "raise":
        inbox.notice()
    inbox.put_many(pushes[3:])
    delivered.append(inbox.pop()) if len(inbox) else None
    assert sum(each.lost for each in delivered) + len(delivered) == 1111 + 4


def test_who_waits_for_a_call_under_way_is_let_go_when_it_is_over() -> None:
    began, go_on = threading.Event(), threading.Event()

    def call(_: Message) -> None:
        began.set()
        assert go_on.wait(LIMIT)

    for put in (InlineInbox.put, lambda inbox, one: InlineInbox.put_many(inbox, [one])):
        began.clear(), go_on.clear()
        inbox = InlineInbox(call, pytest.fail)
        caller = Task(put, inbox, message(1))
        reached(began, "it was not called")
        waiters = [Task(inbox.wait_for_call, LIMIT) for _ in range(3)]
        inbox.wait_for_call(SHORT)  # which ends by itself
        assert not [waiter for waiter in waiters if waiter.done.is_set()]
        go_on.set()
        for task in (caller, *waiters):
            task.result()
        assert not inbox.leaving
        inbox.wait_for_call(LIMIT)  # nothing is under way
