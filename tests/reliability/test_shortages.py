"""No descriptor, no thread or no memory for a moment, at each acquisition of each operation.

A call that fails for that has changed nothing, says what was missing, and can be made again. What fails where nobody
waits for it is told, and is tried again by itself. Afterwards messages come as if nothing had been.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import BookReady, ConnectionFailed, Disconnected, Limits, Resubscribed, Retrying, Rotated
from kucoin_sync.books import snapshot_fetcher
from kucoin_sync.internal import backoff
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import Exchange, KucoinServer, ServerLimits

from ..support.children import script
from ..support.forks import child
from ..support.shortages import RESOURCES, Shortage, World, walk
from ..support.streams import MakeStream
from ..support.threads import LIMIT, until
from .feed import ETH, UTA, Feed, publish

OTHER, FUTURES = "/market/ticker:KCS-USDT", "/contractMarket/tickerV2:XBTUSDTM"
SPOT, OTHERS = "BTC-USDT", ("ETH-USDT", "KCS-USDT")
#: Topics that the server takes on a connection, fewer than the stream believes.
FULL = 5

# The operations. Each is armed at its first `yield` and disarmed at its second; what follows has to work.


def first_subscribe(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    subscription = world.call(lambda: stream.subscribe(ETH, timeout=LIMIT))
    yield
    world.flows(subscription)


def several_kinds(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    subscription = world.call(lambda: stream.subscribe(ETH, FUTURES, timeout=LIMIT, stale_after=LIMIT))
    yield
    world.flows(subscription)
    world.flows(subscription, FUTURES)


def second_connection(world: World) -> Iterator[None]:
    stream = world.stream(limits=Limits(topics_per_connection=1, connections_per_minute=10**6))
    first = stream.subscribe(ETH)
    yield
    second = world.call(lambda: stream.subscribe(OTHER, timeout=LIMIT))
    yield
    world.flows(first)
    world.flows(second, OTHER)


def redundant_subscribe(world: World) -> Iterator[None]:
    stream = world.stream(redundancy=2)
    yield
    subscription = world.call(lambda: stream.subscribe(ETH, timeout=LIMIT))
    until(lambda: stream.stats()["redundant_topics"], "the topic is not on two connections")
    yield
    world.flows(subscription)


def redundant_reconnect(world: World) -> Iterator[None]:
    stream = world.stream(redundancy=2)
    subscription = stream.subscribe(ETH)
    until(lambda: stream.stats()["redundant_topics"], "the topic is not on two connections")
    yield
    world.server.connections[0].drop()
    world.events.wait(Resubscribed, timeout=LIMIT)
    yield
    world.flows(subscription)


def move_from_a_full_connection(world: World) -> Iterator[None]:
    stream = world.stream()
    first = stream.subscribe(*(f"/market/ticker:A{number}-USDT" for number in range(FULL - 1)))
    yield
    second = world.call(lambda: stream.subscribe(ETH, OTHER, timeout=LIMIT))
    yield
    world.flows(first, "/market/ticker:A0-USDT")
    world.flows(second)
    world.flows(second, OTHER)


def tunnel(world: World) -> Iterator[None]:
    stream = world.stream()

    def subscribe() -> Any:
        opened = stream.tunnel("bt1")
        try:
            return opened, opened.subscribe(ETH, timeout=LIMIT)
        except BaseException:
            opened.close()
            raise

    yield
    opened, subscription = world.call(subscribe)
    yield
    assert not subscription.closed
    opened.close()
    assert subscription.closed


def callback(world: World) -> Iterator[None]:
    stream = world.stream()
    came = threading.Semaphore(0)
    yield
    world.call(lambda: stream.subscribe(ETH, callback=lambda _: came.release(), timeout=LIMIT))
    publish(world.server, range(3))
    yield
    publish(world.server, range(3))
    for _ in range(6):
        assert came.acquire(timeout=LIMIT), "the callback is not called any more"


def slow_callback(world: World) -> Iterator[None]:
    stream = world.stream()
    other, gate, late = threading.Semaphore(0), threading.Event(), threading.Event()
    stream.subscribe(OTHER, callback=lambda _: other.release())
    stream.subscribe(ETH, callback=lambda _: (gate.wait(LIMIT), late.set()))
    publish(world.server, [1], OTHER)
    assert other.acquire(timeout=LIMIT)
    yield
    publish(world.server, [1])
    publish(world.server, [2], OTHER)
    assert other.acquire(timeout=LIMIT), "a slow callback holds up the others for good"
    gate.set()
    assert late.wait(LIMIT)
    yield
    publish(world.server, [3], OTHER)
    assert other.acquire(timeout=LIMIT)


def rotation(world: World, **options: Any) -> Iterator[None]:
    stream = world.stream(**{"rotate_after": 0.1, **options})
    subscription = stream.subscribe(ETH, timeout=LIMIT)
    yield
    rotated = sum(isinstance(event, Rotated) for event in world.events.all)
    for number in itertools.count(100_000):
        if sum(isinstance(event, Rotated) for event in world.events.all) > rotated + 1:
            break
        publish(world.server, [number])
        try:
            came = int(subscription.get(timeout=1.0)["data"]["n"])
        except TimeoutError:
            assert any(isinstance(event, Disconnected) for event in world.events.all), "a message is missing, unsaid"
        else:
            assert came == number, "a message is missing or came twice"
    yield
    world.flows(subscription)


def redundant_rotation(world: World) -> Iterator[None]:
    return rotation(world, redundancy=2, rotate_after=0.3)  # a connection has time to prove what it has


def reconnect(world: World) -> Iterator[None]:
    subscription = world.stream().subscribe(ETH)
    yield
    world.server.drop_connections()
    world.events.wait(Resubscribed, timeout=LIMIT)
    yield
    world.flows(subscription)


def uta_first_subscribe(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    subscription = world.call(lambda: stream.subscribe(UTA.eth, timeout=LIMIT))
    yield
    world.flows(subscription, UTA.eth)


def uta_several_kinds(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    subscription = world.call(lambda: stream.subscribe(UTA.eth, UTA.futures, UTA.private, timeout=LIMIT))
    yield
    world.flows(subscription, UTA.eth)
    world.flows(subscription, UTA.futures)


def uta_reconnect(world: World) -> Iterator[None]:
    subscription = world.stream().subscribe(UTA.eth)
    yield
    world.server.drop_connections()
    world.events.wait(Resubscribed, timeout=LIMIT)
    yield
    world.flows(subscription, UTA.eth)


def first_book(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    book = world.call(lambda: stream.book(SPOT))
    world.retry(lambda: book.wait_ready(timeout=LIMIT))
    yield
    follows(world, book)


def uta_first_book(world: World) -> Iterator[None]:
    stream = world.stream()
    yield
    book = world.call(lambda: stream.book(SPOT, feed="uta"))
    world.retry(lambda: book.wait_ready(timeout=LIMIT))
    yield
    follows(world, book)


def book_with_callback(world: World) -> Iterator[None]:
    stream = world.stream(on_event=None)  # each event would have the threads for callbacks asked for again
    came = threading.Semaphore(0)
    yield
    book = world.call(lambda: stream.book(SPOT, on_change=lambda _: came.release()))
    book.wait_ready(timeout=LIMIT)
    yield
    follows(world, book)
    assert came.acquire(timeout=LIMIT), "the callback is not called"


def account_with_callback(world: World) -> Iterator[None]:
    stream = world.stream(on_event=None, limits=Limits(idle_seconds=0.01, connections_per_minute=10**6))
    came = threading.Semaphore(0)
    yield
    world.call(lambda: stream.account(rest_lag=0, on_change=lambda _: came.release()))
    yield
    assert came.acquire(timeout=LIMIT), "the callback is not called"


def resync(world: World) -> Iterator[None]:
    stream = world.stream()
    books = [stream.book(symbol) for symbol in (SPOT, *OTHERS)]
    world.events.wait(BookReady, len(books), timeout=LIMIT)
    yield
    world.server.drop_connections()
    world.events.wait(BookReady, 2 * len(books), timeout=LIMIT)
    yield
    follows(world, books[0])


def follows(world: World, book: Any) -> None:
    """Move the market; the book moves with it."""
    before = book.sequence
    world.server.step_exchange(50)
    until(lambda: book.ready and book.sequence > before, "the book does not follow the market")


def recorder_start(world: World) -> Iterator[None]:
    stream = world.stream()
    subscription = stream.subscribe(ETH)
    path = world.folder / "start.jsonl"
    path.unlink(missing_ok=True)
    yield
    recorder = world.call(lambda: Recorder(stream, path))
    yield
    world.flows(subscription)
    recorder.close()
    assert recorder.stats()["messages"] == 1


def recorder_rotation(world: World) -> Iterator[None]:
    stream = world.stream()
    subscription = stream.subscribe(ETH)
    for old in world.folder.glob("part-*"):
        old.unlink()
    with Recorder(stream, world.folder / "part.jsonl", rotate_size=1, flush_every=0.001) as recorder:
        world.flows(subscription)
        yield
        for number in range(2, 5):
            world.flows(subscription)
            until(lambda: recorder.stats()["messages"] >= number, "the recorder writes no more")  # noqa: B023
        yield
        world.flows(subscription)
    assert recorder.dropped == 0
    assert recorder.stats()["messages"] == 5
    assert recorder.stats()["files"] > 1


def replay(world: World) -> Iterator[None]:
    for old in world.folder.glob("day-*"):
        old.unlink()
    stream = world.stream()
    subscription = stream.subscribe(ETH)
    with Recorder(stream, world.folder / "day.jsonl", rotate_size=1, flush_every=0.001) as recorder:
        for number in range(1, 4):
            world.flows(subscription)
            until(lambda: recorder.stats()["messages"] >= number, "the recorder writes no more")  # noqa: B023
    stream.close()
    yield
    played = world.call(lambda: ReplayStream(world.folder / "day-*.jsonl", None, on_event=world.events))
    with played:
        replayed = world.call(lambda: played.subscribe(ETH))
        first = world.call(lambda: replayed.get(timeout=LIMIT))
        messages = [first, *replayed]
        yield
        assert len(messages) == 3


OPERATIONS: dict[str, Callable[[World], Iterator[None]]] = {
    each.__name__: each
    for each in (
        first_subscribe,
        several_kinds,
        second_connection,
        redundant_subscribe,
        redundant_reconnect,
        move_from_a_full_connection,
        tunnel,
        callback,
        slow_callback,
        rotation,
        redundant_rotation,
        reconnect,
        first_book,
        book_with_callback,
        account_with_callback,
        resync,
        recorder_start,
        recorder_rotation,
        replay,
    )
}


UTA_OPERATIONS = {
    each.__name__: each for each in (uta_first_subscribe, uta_several_kinds, uta_reconnect, uta_first_book)
}


#: What is walked each time, because it takes no time; the others with `pytest -m long`.
SHORT = {
    "first_subscribe",
    "second_connection",
    "redundant_subscribe",
    "tunnel",
    "callback",
    "reconnect",
    "recorder_start",
    "uta_first_subscribe",
    "uta_first_book",
}


@pytest.fixture
def server_options() -> dict[str, Any]:
    limits = ServerLimits(topics_per_session=FULL)
    return {"exchange": Exchange((SPOT, *OTHERS), seed=5, levels=20), "limits": limits}


def points(operations: Iterable[str]) -> Iterator[Any]:
    for operation, resource in itertools.product(operations, RESOURCES):
        marks = () if operation in SHORT and resource != "memory" else pytest.mark.long
        yield pytest.param(operation, resource, marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("operation", "resource"), list(points(OPERATIONS)))
def test_nothing_to_be_had_for_a_moment_breaks_nothing(
    server: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operation: str, resource: str
) -> None:
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.005))
    monkeypatch.setattr(snapshot_fetcher, "_MIN_INTERVAL", 0.0)
    # Once; and for as long as the first attempts to try again take. A recorder pauses for longer each time.
    for times in (1,) if resource == "memory" or operation == "recorder_rotation" else (1, 4):
        # Threads for snapshots beside the first one are started where they can be had; nobody needs to know.
        told = operation != "resync"
        print(walk(OPERATIONS[operation], monkeypatch, resource, times, server, tmp_path, told=told), "points")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("operation", "resource"), list(points(UTA_OPERATIONS)))
def test_nothing_to_be_had_for_a_moment_breaks_nothing_on_the_uta_feed(
    server: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operation: str, resource: str
) -> None:
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.005))
    for times in (1,) if resource == "memory" else (1, 4):
        print(walk(UTA_OPERATIONS[operation], monkeypatch, resource, times, server, tmp_path), "points")


@pytest.mark.parametrize("resource", ["descriptors", "threads"])
def test_a_forked_child_that_can_not_begin_again_tries_at_its_next_use(
    server: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, resource: str
) -> None:
    shortage = Shortage(monkeypatch, resource)
    world = World(server, shortage, tmp_path)
    stream = world.stream()
    book, subscription = stream.book(SPOT), stream.subscribe(ETH)
    book.wait_ready(timeout=LIMIT)

    def begin_again(number: int, say: Callable[[Any], None]) -> None:
        failed = ""
        shortage.arm(number)
        try:
            subscription.pending  # noqa: B018 - the first use
        except ConnectionFailed as error:
            failed = str(error)
        shortage.disarm()
        say((shortage.met, failed))
        say((subscription.pending, book.wait_ready(timeout=LIMIT).ready))
        say(subscription.get(timeout=LIMIT)["data"]["n"])

    failures = []
    for number in itertools.count(1):
        with child(partial(begin_again, number)) as forked:
            met, failed = forked.hear()
            failures.append(failed)
            assert forked.hear() == (0, True)
            server.wait_subscribed(ETH, 2)
            publish(server, [7])
            assert forked.hear() == "00000007"
        if not met:
            break
    assert failures[0].startswith("no ")
    world.close()


# A client in a process of its own, which tells its parent what happens.
LIMITED = """
    import os, resource, sys, threading
    from kucoin_sync import ConnectionFailed, Retrying, Rotated, Stream

    TOPIC = "/market/ticker:ETH-USDT"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held, told = [], {Retrying: threading.Semaphore(0), Rotated: threading.Semaphore(0)}

    def reach():
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, hard))
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass

    def free():
        while held:
            os.close(held.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def tell(event):
        if type(event) in told:
            told[type(event)].release()

    stream = Stream(rest_url=sys.argv[1], proxy="", rotate_after=0.3, on_event=tell)
    reach()
    try:
        stream.subscribe(TOPIC)
    except ConnectionFailed as error:
        print(error, flush=True)
    free()
    subscription = stream.subscribe(TOPIC, timeout=20)
    reach()
    assert told[Retrying].acquire(timeout=20), "that no descriptor is free is not told"
    while told[Rotated].acquire(blocking=False):
        pass
    free()
    assert told[Rotated].acquire(timeout=20), "the rotation is never made up for"
    print("ready", flush=True)
    print(subscription.get(timeout=20)["data"]["n"], flush=True)
    stream.close()
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no way to count the open files here")
def test_a_real_limit_of_open_files_is_outlasted(server: KucoinServer) -> None:
    with script(LIMITED, server.rest_url) as client:
        assert client.stdout is not None
        assert client.stdout.readline().startswith("no file descriptor was free")
        assert client.stdout.readline() == "ready\n"
        publish(server, [1])
        assert client.stdout.readline() == "00000001\n"
        assert client.wait(LIMIT) == 0


# From 3.12 on, Python starts no thread any more once the main thread has ended.
ENDED = """
    import json, sys, threading
    from kucoin_sync import Stream

    options, topic, other, market = json.loads(sys.argv[1]), *sys.argv[2:]
    called = threading.Semaphore(0)
    stream = Stream(**options, proxy="", rotate_after=0.2)
    subscription = stream.subscribe(topic)
    stream.subscribe(other, callback=lambda _: called.release())

    def work():
        threading.main_thread().join()
        print("ended", flush=True)
        for command in sys.stdin:
            if command == "cut\\n":
                while not stream.stats()["disconnects"] or len(stream.carrying()[market, False]) < 2:
                    threading.Event().wait(0.01)
            else:
                for _ in range(6):
                    subscription.get(timeout=20)
                    assert called.acquire(timeout=20), "a callback is not called"
            print("done", flush=True)
        stream.close()

    threading.Thread(target=work).start()
"""


def test_messages_callbacks_and_reconnects_go_on_when_the_main_thread_has_ended(
    server: KucoinServer, feed: Feed
) -> None:
    options = server.uta_urls if feed.is_uta else {"rest_url": server.rest_url}
    with script(ENDED, json.dumps(options), feed.eth, feed.btc, feed.market) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "ended\n"
        for command in ("read", "cut", "read"):
            if command == "cut":
                server.drop_connections()
            else:
                publish(server, range(6), feed.btc)
                publish(server, range(6), feed.eth)
            client.stdin.write(f"{command}\n")
            client.stdin.flush()
            assert client.stdout.readline() == "done\n"
        client.stdin.close()
        assert client.wait(LIMIT) == 0


def test_a_connection_that_can_not_be_replaced_comes_back_by_itself_after_a_cut(
    server: KucoinServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.005))
    shortage = Shortage(monkeypatch, "threads")
    world = World(server, shortage, tmp_path)
    subscription = world.stream(rotate_after=0.3).subscribe(ETH)
    shortage.arm(1, times=10**9)
    world.events.wait(Retrying)
    assert not any(isinstance(event, Rotated) for event in world.events.all)
    server.drop_connections()
    world.events.wait(Resubscribed)
    world.flows(subscription)
    shortage.disarm()
    world.events.wait(Rotated)
    world.flows(subscription)
    world.close()


def test_a_call_that_nobody_answered_leaves_no_connection_behind(server: KucoinServer, make_stream: MakeStream) -> None:
    stream = make_stream()
    server.fail_rest("/api/v1/bullet-public", status=503, times=None)
    with pytest.raises(ConnectionFailed):
        stream.subscribe(ETH, timeout=1)
    until(lambda: stream.stats()["connections"] == 0, "it goes on with dialling for nobody")
