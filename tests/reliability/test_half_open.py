"""A peer that is there and says nothing more, or no more than half: it is given up in time, and replaced."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kucoin_sync import Disconnected, Limits, Resubscribed, Stream
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.streams import Events, MakeServer, MakeStream
from .feed import Feed, at_best, numbers, on_both, publish, pushed, read

INTERVAL, TIMEOUT = 2.0, 0.3


@contextmanager
def feeding(server: KucoinServer, topic: str) -> Iterator[list[int]]:
    """Publish until the end of the `with`; yield the numbers that went out."""
    stop = threading.Event()
    sent: list[int] = []

    def feed() -> None:
        for number in itertools.count():
            if server.publish_many([pushed(topic, {"n": f"{number:08}"})]):
                sent.append(number)
            if stop.wait(0.01):
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield sent
    finally:
        stop.set()
        feeder.join(5)


# What withholds the pongs, and whether data flows meanwhile.
SILENCES: dict[str, tuple[Callable[[FaultProxy, KucoinServer], object], bool]] = {
    "both directions dead": (lambda proxy, server: (proxy.to_client.hold(), proxy.to_server.hold()), False),
    "nothing comes": (lambda proxy, server: proxy.to_client.hold(), False),
    "pings vanish while data flows": (lambda proxy, server: proxy.to_server.hold(), True),
    "the server ignores pings while data flows": (lambda proxy, server: server.mute(), True),
}


@on_both("how", SILENCES)
def test_a_peer_that_answers_no_ping_is_given_up_within_interval_and_timeout_and_its_data_delivered(
    make_server: MakeServer,
    make_proxy: Callable[[KucoinServer], FaultProxy],
    make_stream: MakeStream,
    how: str,
    feed: Feed,
) -> None:
    silence, flows = SILENCES[how]

    def seconds() -> float:
        events = Events()
        server = make_server(ping_interval=INTERVAL, ping_timeout=TIMEOUT)
        proxy = make_proxy(server)
        with make_stream(server, on_event=events) as stream:
            subscription = stream.subscribe(feed.eth)
            publish(server, range(10), feed.eth)
            assert numbers(subscription, 10) == list(range(10))
            if flows:
                with feeding(server, feed.eth) as sent:
                    began = silenced(proxy, server)
                    event = events.wait(Disconnected)
                    taken = time.monotonic() - began
                assert subscription.pending >= 10
                assert numbers(subscription, 10) == sent[:10]
            else:
                began = silenced(proxy, server)
                event = events.wait(Disconnected)
                taken = time.monotonic() - began
            assert "answered no ping" in str(event)
            proxy.heal()
            server.unmute()
            events.wait(Resubscribed)
            publish(server, [10**7], feed.eth)
            while (latest := read(subscription, 1)[0])[0] != 10**7:
                assert latest[1] >= 1
            assert latest[1] >= 2
            return taken

    def silenced(proxy: FaultProxy, server: KucoinServer) -> float:
        silence(proxy, server)
        return time.monotonic()

    limit = INTERVAL + TIMEOUT + 0.2  # and what a machine takes to notice
    assert at_best(limit, seconds) <= limit


def test_half_a_message_and_then_silence_ends_the_connection_after_10_seconds(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    assert Limits().step_timeout == 10.0
    stream = make_stream(limits=Limits(step_timeout=1.0))
    subscription = stream.subscribe(feed.eth)
    before = proxy.to_client.passed
    publish(server, [0], feed.eth)
    assert numbers(subscription, 1) == [0]
    size = proxy.to_client.passed - before
    proxy.to_client.hold_after(size + size // 2)
    publish(server, [1, 2], feed.eth)
    assert "part of a message and not the rest within 1 s" in str(events.wait(Disconnected))
    proxy.heal()
    events.wait(Resubscribed)
    publish(server, [3], feed.eth)
    got = read(subscription, 2)
    assert [number for number, _ in got] == [1, 3], "what was complete, and nothing of the half"


def test_one_byte_now_and_then_ends_the_connection_after_10_seconds(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, events: Events, feed: Feed
) -> None:
    stream = make_stream(limits=Limits(step_timeout=1.0))
    subscription = stream.subscribe(feed.eth)
    proxy.to_client.slice(1, pause=0.04)  # a message would take seconds
    publish(server, [1], feed.eth)
    assert "part of a message and not the rest within 1 s" in str(events.wait(Disconnected))
    proxy.heal()
    events.wait(Resubscribed)
    publish(server, [2], feed.eth)
    assert numbers(subscription, 1) == [2]


def test_a_slow_network_that_delivers_is_no_reason_to_leave(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    proxy.to_client.slice(7)
    proxy.to_client.delay(0.05)
    publish(server, range(200), feed.eth)
    assert numbers(subscription, 200) == list(range(200))
    proxy.to_client.limit_rate(20_000)
    publish(server, range(200), feed.eth)
    assert numbers(subscription, 200) == list(range(200))
    assert not [event for event in events.all if isinstance(event, Disconnected)]
