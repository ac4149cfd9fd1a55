"""A server that is away, for seconds or for long, or that lets nobody in: the stream comes back, and never hammers."""

from __future__ import annotations

import itertools
import threading

import pytest

from kucoin_sync import Disconnected, Limits, Resubscribed, Retrying, Stream
from kucoin_sync.internal import backoff
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.streams import Events
from ..support.threads import reached
from .clock import Clock
from .feed import Feed, on_both, publish, read


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pauses(events: Events) -> list[float]:
    """Return the pauses before each attempt, as the events told them."""
    return [event.retry_in for event in events.all if isinstance(event, Disconnected | Retrying)]


@on_both("away", [3, 60, 3600])
def test_after_an_absence_the_stream_recovers_with_pauses_that_grow_are_capped_and_vary(
    clock: Clock, server: KucoinServer, stream: Stream, events: Events, away: int, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    stopped = threading.Event()
    gone = clock.seconds
    back = False

    def slept(_: float) -> None:
        nonlocal back
        reached(stopped, "the server has not stopped")
        if not back and clock.seconds - gone >= away:
            back = True
            server.start()

    clock.slept = slept
    server.stop()
    stopped.set()
    assert events.wait(Resubscribed).epoch == 2
    publish(server, [1], feed.eth)
    assert read(subscription, 1) == [(1, 2)]
    found = pauses(events)
    assert away <= sum(found) < away + 61
    for pause, ceiling in zip(found, (min(0.5 * 2**n, 60.0) for n in itertools.count()), strict=False):
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(found)) == len(found), "jitter"


def test_pauses_begin_small_again_after_a_stable_time(
    clock: Clock, server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    stream.subscribe(feed.eth)
    for count in range(1, 5):
        proxy.reset()
        events.wait(Resubscribed, count)
    grown = pauses(events)
    assert 2.0 <= grown[-1] <= 4.0, "after four short connections"
    clock.seconds += 30.0
    proxy.reset()
    events.wait(Resubscribed, 5)
    assert pauses(events)[-1] <= 0.5


def test_no_more_than_25_connections_are_made_in_a_minute(
    clock: Clock, server: KucoinServer, proxy: FaultProxy, stream: Stream, monkeypatch: pytest.MonkeyPatch, feed: Feed
) -> None:
    assert Limits().connections_per_minute == 25
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.001))
    made: list[tuple[float, int]] = []
    clock.slept = lambda _: made.append((clock.monotonic(), proxy.accepted))
    proxy.to_client.reset_after(0)
    stream.subscribe(feed.eth, timeout=0)
    proxy.wait_for(lambda proxy: proxy.accepted >= 100)
    stream.close()
    for (first, before), (last, after) in itertools.combinations(made, 2):
        assert last - first >= 60.0 or after - before <= 25
    assert 180.0 <= made[-1][0] - made[0][0] <= 260.0, "and not many fewer"
