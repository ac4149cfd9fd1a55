"""Callbacks where the system starts no more threads: they go on on those that there are, and it is told."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, Event, Message, Stream, ThreadNotStarted
from kucoin_sync.delivery.executor import Executor, Job, Worker
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.forks import child
from ..support.streams import Events, MakeStream
from ..support.threads import LIMIT, Task, reached, until
from .feed import ETH, MATCH, Feed, publish

OURS = "kucoin-callbacks"


class Threads:
    """Lets threads for callbacks be started, or not."""

    def __init__(self) -> None:
        self.refused: Callable[[int], bool] = lambda number: False
        self.count = 0
        self.started = 0
        self._start = threading.Thread.start

    def start(self, thread: threading.Thread) -> None:
        if thread.name.startswith(OURS):
            self.count += 1
            if self.refused(self.count):
                raise RuntimeError("can't start new thread")
            self.started += 1
        self._start(thread)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    threads = Threads()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: threads.start(thread))
    return threads


class Callback:
    """Counts its calls; the n-th of these waits until it is freed."""

    def __init__(self, *stuck: int) -> None:
        self.numbers: list[str] = []
        self.stuck = {number: threading.Event() for number in stuck}
        self.began = {number: threading.Event() for number in stuck}

    def __call__(self, message: Message) -> None:
        self.numbers.append(message.data["n"])
        number = len(self.numbers)
        if number in self.stuck:
            self.began[number].set()
            reached(self.stuck[number], "nobody freed the callback")

    def reaches(self, count: int) -> None:
        until(lambda: len(self.numbers) >= count, f"{len(self.numbers)} of {count} calls")
        assert self.numbers == [f"{number:08}" for number in range(len(self.numbers))]


@pytest.fixture
def thread_events(events: Events) -> Callable[[], list[ThreadNotStarted]]:
    return lambda: [event for event in events.all if isinstance(event, ThreadNotStarted)]


def test_one_that_is_stuck_while_no_thread_can_be_started_holds_up_itself_only(
    server: KucoinServer,
    stream: Stream,
    events: Events,
    threads: Threads,
    thread_events: Callable[[], list[ThreadNotStarted]],
    feed: Feed,
) -> None:
    slow, other = Callback(1, 2), Callback()
    stream.subscribe(feed.eth, callback=slow)
    stream.subscribe(feed.match, callback=other)
    threads.refused = lambda number: True
    publish(server, range(3), feed.eth)
    reached(slow.began[1], "the callback was not called")
    for number in range(20):
        publish(server, [number], feed.match)
        other.reaches(number + 1)
    assert "no thread could be started for callbacks" in str(events.wait(ThreadNotStarted))
    slow.stuck[1].set()  # and the replaced worker is back
    reached(slow.began[2], "the callback was not called again")
    for number in range(20, 40):
        publish(server, [number], feed.match)
        other.reaches(number + 1)
    slow.stuck[2].set()
    slow.reaches(3)
    assert len({event.purpose for event in thread_events()}) == len(thread_events()), "it is told once"
    threads.refused = lambda number: False
    publish(server, range(40, 60), feed.match)
    other.reaches(60)
    until(lambda: stream.stats()["pending"] == 0, "something is left")


def test_when_threads_can_be_started_again_the_next_one_that_is_stuck_is_passed_as_ever(
    server: KucoinServer,
    stream: Stream,
    events: Events,
    threads: Threads,
    thread_events: Callable[[], list[ThreadNotStarted]],
) -> None:
    slow, second, other = Callback(1), Callback(1), Callback()
    stream.subscribe(ETH, callback=slow)
    stream.subscribe(MATCH, callback=other)
    stream.subscribe("/market/match:SECOND-USDT", callback=second)
    threads.refused = lambda number: True
    publish(server, [0])
    events.wait(ThreadNotStarted)
    threads.refused = lambda number: False
    for number in itertools.count():
        publish(server, [number], MATCH)
        other.reaches(number + 1)
        if threads.started > 2:  # there is a spare again
            break
    publish(server, [0], "/market/match:SECOND-USDT")
    reached(second.began[1], "the second one was not called")
    for again in range(number + 1, number + 20):
        publish(server, [again], MATCH)
        other.reaches(again + 1)
    slow.stuck[1].set()
    second.stuck[1].set()
    slow.reaches(1)
    second.reaches(1)


@pytest.mark.parametrize("refused", range(1, 9))
@pytest.mark.parametrize("times", [1, 3])
def test_whichever_thread_is_refused_all_are_called_in_the_end(
    server: KucoinServer, make_stream: MakeStream, events: Events, threads: Threads, refused: int, times: int
) -> None:
    threads.refused = lambda number: refused <= number < refused + times
    stream = make_stream()
    callbacks = [Callback(1, 2), Callback(1), Callback()]
    topics = [ETH, MATCH, "/market/match:THIRD-USDT"]
    for callback, topic in zip(callbacks, topics, strict=True):
        for _ in range(times + 1):
            try:
                stream.subscribe(topic, callback=callback)
                break
            except ConnectionFailed:  # which leaves nothing behind
                assert refused == 1
    assert stream.stats()["subscriptions"] == len(topics)
    for topic in topics:
        publish(server, range(5), topic)
    for callback in callbacks:
        for number, stuck in callback.stuck.items():
            if callback is callbacks[0]:
                reached(callback.began[number], "the callback was not called")
                callbacks[2].reaches(min(5, number))
            stuck.set()
    for callback in callbacks:
        callback.reaches(5)
    if threads.count >= refused > 1:
        events.wait(ThreadNotStarted)


@pytest.mark.parametrize("refused", [1, 2, 5])
def test_events_wait_in_their_order_for_a_thread(
    server: KucoinServer, make_stream: MakeStream, threads: Threads, refused: int
) -> None:
    threads.refused = lambda number: number <= refused
    told = Events()
    stream = make_stream(on_event=told)
    subscription = stream.subscribe(ETH)
    emitted = [Event() for _ in range(10)]
    for event in emitted:
        stream.emit(event)
    until(lambda: [event for event in told.all if type(event) is Event] == emitted, "not all events came")
    kinds = [type(event).__name__ for event in told.all]
    assert kinds[0] == "Connected"
    subscription.close()


def test_events_get_a_thread_once_there_is_one_though_nothing_happens_any_more(
    server: KucoinServer, make_stream: MakeStream, threads: Threads, feed: Feed
) -> None:
    threads.refused = lambda number: True
    told = Events()
    stream = make_stream(on_event=told)
    stream.subscribe(feed.eth)
    stream.emit(Event())
    threads.refused = lambda number: False
    until(lambda: any(type(event) is Event for event in told.all), "the event did not come")


#: Each has a callback called soon.
CALLERS: dict[str, Callable[[Stream, Callable[[Any], object]], object]] = {
    "subscription": lambda stream, callback: stream.subscribe(ETH, callback=callback),
    "book": lambda stream, callback: stream.book("BTC-USDT", on_change=callback),
    "uta book": lambda stream, callback: stream.book("BTC-USDT", on_change=callback, feed="uta"),
    "account": lambda stream, callback: stream.account(rest_lag=0, on_change=callback),
}


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(("BTC-USDT",), seed=5, levels=20)}


def calls(server: KucoinServer, came: threading.Semaphore) -> bool:
    """Let something happen until a callback is called."""
    for _ in range(int(LIMIT / 0.05)):
        publish(server, [1])
        server.step_exchange(5)
        if came.acquire(timeout=0.05):
            return True
    return False


@pytest.mark.parametrize("caller", CALLERS)
def test_what_finds_no_thread_for_its_callback_fails_and_leaves_nothing(
    server: KucoinServer, make_stream: MakeStream, threads: Threads, caller: str
) -> None:
    stream, came = make_stream(), threading.Semaphore(0)
    threads.refused = lambda number: True
    with pytest.raises(ConnectionFailed, match="no thread could be started"):
        CALLERS[caller](stream, lambda _: came.release())
    assert (stream.stats()["subscriptions"], stream.stats()["books"]) == (0, 0)
    threads.refused = lambda number: False
    held = CALLERS[caller](stream, lambda _: came.release())
    assert calls(server, came), "the callback is not called"
    del held


@pytest.mark.parametrize("caller", CALLERS)
def test_a_forked_child_without_a_thread_for_its_callbacks_tries_again(
    server: KucoinServer, make_stream: MakeStream, threads: Threads, caller: str
) -> None:
    stream, came = make_stream(), threading.Semaphore(0)
    held = CALLERS[caller](stream, lambda _: came.release())
    assert calls(server, came), "the callback is not called"
    while came.acquire(blocking=False):
        pass

    def begin_again(say: Callable[[Any], None]) -> None:
        threads.refused = lambda number: True
        try:
            stream.resume()
        except ConnectionFailed as error:
            say(str(error))
        threads.refused = lambda number: False
        stream.resume()
        say(came.acquire(timeout=LIMIT))

    with child(begin_again) as forked:
        assert forked.hear().startswith("no thread could be started")
        heard = Task(forked.hear)
        while not heard.done.is_set():
            publish(server, [1])
            server.step_exchange(5)
            heard.done.wait(0.05)
        assert heard.result() is True
    del held


def test_a_stream_ends_while_it_has_no_spare_worker(
    server: KucoinServer, make_stream: MakeStream, events: Events, threads: Threads
) -> None:
    stream, slow, other = make_stream(), Callback(1), Callback()
    stream.subscribe(ETH, callback=slow)
    stream.subscribe(MATCH, callback=other)
    threads.refused = lambda number: True
    publish(server, [0])
    events.wait(ThreadNotStarted)
    publish(server, range(3), MATCH)
    other.reaches(3)
    stream.close()

    def alive() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith(OURS)]

    assert len(alive()) == 1, "the one that is stuck"
    slow.stuck[1].set()
    until(lambda: not alive(), "a thread is left")


def test_a_job_that_is_put_where_no_thread_is_has_one_started(threads: Threads) -> None:
    ran = threading.Semaphore(0)

    class Once(Job):
        def run_job(self, worker: Worker) -> bool:
            ran.release()
            return False

    executor = Executor(OURS, LIMIT, LIMIT, print)
    threads.refused = lambda number: number <= 2
    executor.put(Once())
    executor.put(Once())
    assert not executor.threads
    executor.put(Once())
    for _ in range(3):
        assert ran.acquire(timeout=LIMIT), "a job did not run"
    executor.close()
