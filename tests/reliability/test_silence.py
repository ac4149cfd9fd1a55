"""A subscription to which nothing comes is told of as `Stale`, whatever keeps it from coming."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kucoin_sync import ConnectDelayed, Disconnected, Limits, Retrying, Stale, Stream
from kucoin_sync.testing import KucoinServer

from ..support.silence import SECONDS, SilenceClock, told
from ..support.streams import Events, MakeStream
from ..support.threads import LIMIT, reached
from .feed import Feed, on_both, publish


@pytest.fixture
def silence_clock(monkeypatch: pytest.MonkeyPatch) -> SilenceClock:
    return SilenceClock(monkeypatch)


def nothing(server: KucoinServer, events: Events) -> None:
    """The connection lives, and is silent."""


def server_away(server: KucoinServer, events: Events) -> None:
    server.stop()
    events.wait(Retrying, timeout=LIMIT)


def drop_until(server: KucoinServer, again: Callable[[KucoinServer], int]) -> None:
    """Drop the connection, and wait until the client has come as far as before."""
    before = again(server)
    server.drop_connections()
    server.wait_for(lambda server: again(server) > before, LIMIT)


def token_hangs(server: KucoinServer, events: Events) -> None:
    server.fail_rest("/api/v1/bullet*", hang=True, times=None)
    drop_until(server, lambda server: len(server.requests))


def asked_to_wait(server: KucoinServer, events: Events) -> None:
    server.fail_rest("/api/v1/bullet*", status=429, code="429000", headers={"Retry-After": "60"}, times=None)
    drop_until(server, lambda server: len(server.requests))


def handshake_hangs(server: KucoinServer, events: Events) -> None:
    server.hang_handshake()
    drop_until(server, lambda server: len(server.handshakes))


def no_welcome(server: KucoinServer, events: Events) -> None:
    server.no_welcome()
    drop_until(server, lambda server: len(server.handshakes))


def no_ack(server: KucoinServer, events: Events) -> None:
    server.mute(pong=False, ack=True)
    drop_until(server, lambda server: len(server.received))


def connect_pace(server: KucoinServer, events: Events) -> None:
    server.drop_connections()  # with one connection a minute
    events.wait(ConnectDelayed, timeout=LIMIT)


@contextmanager
def resolver_hangs(server: KucoinServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    asked, go, look_up = threading.Event(), threading.Event(), socket.getaddrinfo

    def hanging(*arguments: Any, **options: Any) -> Any:
        asked.set()
        go.wait()
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    server.drop_connections()
    try:
        reached(asked, "no address is looked up")
        yield
    finally:
        go.set()


OUTAGES: list[Callable[[KucoinServer, Events], None]] = [
    nothing, server_away, token_hangs, asked_to_wait, handshake_hangs, no_welcome, no_ack, connect_pace,
]  # fmt: skip


@on_both("outage", OUTAGES, [outage for outage in OUTAGES if outage not in (token_hangs, asked_to_wait)])
def test_silence_is_told_once_whatever_the_connection_waits_for(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    silence_clock: SilenceClock,
    outage: Callable[[KucoinServer, Events], None],
    feed: Feed,
) -> None:
    per_minute = 1 if outage is connect_pace else 25
    stream = make_stream(limits=Limits(connections_per_minute=per_minute))
    subscription = stream.subscribe(feed.eth, stale_after=SECONDS)
    publish(server, [1], feed.eth)
    assert subscription.get(timeout=LIMIT)
    outage(server, events)
    assert silence_clock.next_told(events).topics == (feed.eth,)
    other = stream.subscribe(f"{feed.ticker}:OTHER-ONE", stale_after=2 * SECONDS, timeout=0)
    assert silence_clock.next_told(events).topics == other.topics
    assert len(told(events)) == 2, "the first is not told again meanwhile"


def test_silence_is_told_while_the_name_resolution_of_the_system_hangs(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    silence_clock: SilenceClock,
    monkeypatch: pytest.MonkeyPatch,
    feed: Feed,
) -> None:
    stream = make_stream()
    stream.subscribe(feed.eth, stale_after=SECONDS)
    with resolver_hangs(server, monkeypatch):
        assert silence_clock.next_told(events).topics == (feed.eth,)


def test_silence_is_told_where_there_never_was_a_connection(
    server: KucoinServer, make_stream: MakeStream, silence_clock: SilenceClock, feed: Feed
) -> None:
    server.stop()
    stale = threading.Event()
    stream = make_stream(on_event=lambda event: stale.set() if isinstance(event, Stale) else None)
    stream.subscribe(feed.eth, stale_after=SECONDS, timeout=0)
    silence_clock.run_until(stale.is_set, "the silence was not told")


def test_an_episode_ends_with_a_message_and_the_next_one_is_told_again(
    server: KucoinServer, stream: Stream, events: Events, silence_clock: SilenceClock, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth, stale_after=SECONDS)
    for episode in range(1, 4):
        silence_clock.next_told(events)
        server.drop_connections()
        events.wait(Disconnected, episode)
        server.wait_subscribed(feed.eth)
        publish(server, [episode], feed.eth)
        assert subscription.get(timeout=LIMIT)
    silence_clock.next_told(events)
    assert len(told(events)) == 4


def test_a_watch_ends_with_its_subscription_in_an_outage_too(
    server: KucoinServer, stream: Stream, events: Events, silence_clock: SilenceClock, feed: Feed
) -> None:
    first = stream.subscribe(feed.eth, stale_after=SECONDS)
    second = stream.subscribe(feed.btc, stale_after=2 * SECONDS)
    server.stop()
    first.close()
    assert silence_clock.next_told(events).topics == second.topics
    events.wait(Retrying)
    assert len(told(events)) == 1


def test_a_stream_without_such_a_subscription_has_no_thread_for_it(
    server: KucoinServer, stream: Stream, feed: Feed
) -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "kucoin-silence"]

    stream.subscribe(feed.eth)
    assert names() == []
    for number in range(3):
        stream.subscribe(f"{feed.ticker}:N{number}-USDT", stale_after=60.0)
    assert names() == ["kucoin-silence"]
    stream.close()
    assert names() == []
