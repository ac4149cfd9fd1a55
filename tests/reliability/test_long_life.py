"""A process that streams for months: nothing grows, and the time of day does not matter."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kucoin_sync import Disconnected, Resubscribed
from kucoin_sync.testing import FaultProxy, KucoinServer
from kucoin_sync.testing.server import ServerLimits

from ..support.children import script
from ..support.selection import examples
from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import reached
from .feed import Feed, numbers, on_both, publish

# A client that measures itself: it reads a line, does what it says, and prints descriptors, threads and kilobytes.
CLIENT = """
    import gc, itertools, json, os, sys, threading
    from kucoin_sync import Limits, Resubscribed, Stream
    from kucoin_sync.internal import backoff

    backoff.retry_delays = lambda *_: itertools.repeat(0.0)
    back = threading.Semaphore(0)

    def tell(event):
        if isinstance(event, Resubscribed):
            back.release()

    def measure():
        gc.collect()
        with open("/proc/self/statm") as file:
            kilobytes = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        return len(os.listdir("/proc/self/fd")), threading.active_count(), kilobytes

    def reconnect(count):
        for _ in range(count):
            print("cut", flush=True)
            assert back.acquire(timeout=20)

    def subscribe(count):
        for _ in range(0, count, 100):
            made = [stream.subscribe(f"{ticker}:A{number}-USDT", timeout=0) for number in range(99)]
            made.append(stream.subscribe(f"{ticker}:LAST-USDT"))  # answered behind the others
            for subscription in made:
                subscription.close()

    limits = Limits(connections_per_minute=10**6, commands_per_10s=10**6)
    stream = Stream(**json.loads(sys.argv[1]), limits=limits, on_event=tell)
    ticker = sys.argv[2]
    kept = stream.subscribe(f"{ticker}:ETH-USDT", maxsize=10)  # nobody reads it
    for line in sys.stdin:
        name, count = line.split()
        globals()[name](int(count))
        print(*measure(), flush=True)
    stream.close()
"""


class Client:
    """The client, in a process of its own, so that what the local KuCoin remembers does not count."""

    def __init__(self, process: subprocess.Popen[str], server: KucoinServer, proxy: FaultProxy) -> None:
        self._process = process
        self._server = server
        self._proxy = proxy

    def do(self, what: str, count: int) -> list[int]:
        """Have it do something so many times; return what it measures then."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(what, count, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line != "cut\n":
                return [int(number) for number in line.split()]
            assert self._proxy.reset() == 1
        raise AssertionError("the client has ended")


@pytest.fixture
def client(make_server: MakeServer, feed: Feed) -> Iterator[Client]:
    server = make_server(limits=ServerLimits(messages_per_10s=None, uta_messages_per_10s=None))
    with FaultProxy(*server.address) as proxy:
        server.announce(*proxy.address)
        options = server.uta_urls if feed.is_uta else {"rest_url": server.rest_url}
        with script(CLIENT, json.dumps(options), feed.ticker) as process:
            assert process.stdin is not None
            yield Client(process, server, proxy)
            process.stdin.close()
            assert process.wait(30) == 0


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("what", "before", "count"), [("reconnect", 100, examples(1000)), ("subscribe", examples(10_000), examples(10_000))]
)
def test_1000_reconnects_and_10000_subscriptions_leave_descriptors_threads_and_memory_flat(
    client: Client, what: str, before: int, count: int, feed: Feed
) -> None:
    first = client.do(what, before)  # until the heap has the size that garbage between two collections needs
    last = client.do(what, count)
    print(f"descriptors, threads, kilobytes: {first}, then {last}")
    descriptors, threads, kilobytes = (now - then for now, then in zip(last, first, strict=True))
    assert abs(descriptors) <= 2
    assert abs(threads) <= 2
    assert kilobytes <= 5 * 1024


ENDS: dict[str, Callable[[KucoinServer], object]] = {
    "a cut": lambda server: server.drop_connections(),
    "a reset": lambda server: server.drop_connections(rst=True),
    "a close frame": lambda server: server.close_connections(1001),
    "a broken frame": lambda server: server.send_bytes(b"\xf0\x00"),
}


@on_both("end", ENDS)
def test_what_was_read_into_is_freed_with_its_connection_and_does_not_wait_for_the_garbage_collector(
    server: KucoinServer, make_stream: MakeStream, events: Events, end: str, feed: Feed
) -> None:
    stream = make_stream(server)
    stream.subscribe(feed.eth)
    transport = stream._subscription_manager._made[0]._transport  # type: ignore[attr-defined]
    freed = threading.Event()
    watch = weakref.finalize(transport._frames, freed.set)
    del transport
    gc.disable()
    try:
        ENDS[end](server)
        events.wait(Resubscribed)
        reached(freed, "something holds on to the buffer")
    finally:
        gc.enable()
        watch.detach()


@contextmanager
def wall_clock_moved(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    now, now_ns = time.time, time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + seconds)
        patch.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))
        yield


@on_both("seconds", [3600.0, -3600.0])
def test_a_wall_clock_that_is_moved_by_an_hour_disturbs_nothing(
    make_stream: MakeStream,
    make_server: MakeServer,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    feed: Feed,
) -> None:
    server = make_server(ping_interval=2.0, ping_timeout=5.0)
    stream = make_stream(server)
    subscription = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    before = subscription.get(timeout=10).received_ns
    with wall_clock_moved(monkeypatch, seconds):
        publish(server, [2], feed.eth)
        message = subscription.get(timeout=10)
        assert (message.received_ns - before) / 1e9 == pytest.approx(seconds, abs=30), "it is what the clock says"
        server.wait_for(lambda s: feed.commands(s, "ping"))
        with pytest.raises(TimeoutError):
            subscription.get(timeout=0.01)
        assert not [event for event in events.all if isinstance(event, Disconnected)]
        server.drop_connections()
        events.wait(Resubscribed)
        publish(server, [3], feed.eth)
        assert numbers(subscription, 1) == [3]


@on_both("seconds", [3600.0, -3600.0])
def test_a_signature_corrects_itself_from_the_servers_time(
    make_server: MakeServer, make_stream: MakeStream, events: Events, seconds: float, feed: Feed
) -> None:
    offset = 0.0
    server = make_server(clock=lambda: time.time() + offset)
    stream = make_stream(server)
    subscription = stream.subscribe(feed.private)
    offset = seconds  # the two clocks differ from now on
    server.drop_connections()
    events.wait(Resubscribed)
    server.publish(feed.private, {"n": "1"}, user=server.USER)
    assert numbers(subscription, 1) == [1]
    offset = -seconds
    server.drop_connections()
    events.wait(Resubscribed, 2)
    assert not make_stream(server).subscribe(feed.private).closed, "at first contact, too"
