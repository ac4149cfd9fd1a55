"""A subscription to which nothing comes is told of as `Stale`, whatever keeps it from coming."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kucoin_sync import Disconnected, Limits, Retrying, Stale, Stream
from kucoin_sync.testing import KucoinServer

from ..end_to_end.conftest import Events
from ..support.threads import reached
from .conftest import MakeStream
from .feed import Feed, on_both, publish

SECONDS = 0.4


def nothing(_: KucoinServer) -> None:
    """The connection lives, and is silent."""


def server_away(server: KucoinServer) -> None:
    server.stop()


def token_hangs(server: KucoinServer) -> None:
    server.fail_rest("/api/v1/bullet*", hang=True, times=None)
    server.drop_connections()


def asked_to_wait(server: KucoinServer) -> None:
    server.fail_rest("/api/v1/bullet*", status=429, code="429000", headers={"Retry-After": "60"}, times=None)
    server.drop_connections()


def handshake_hangs(server: KucoinServer) -> None:
    server.hang_handshake()
    server.drop_connections()


def no_welcome(server: KucoinServer) -> None:
    server.no_welcome()
    server.drop_connections()


def no_ack(server: KucoinServer) -> None:
    server.mute(pong=False, ack=True)
    server.drop_connections()


def connect_pace(server: KucoinServer) -> None:
    server.drop_connections()  # with one connection a minute


@contextmanager
def resolver_hangs(server: KucoinServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    go, look_up = threading.Event(), socket.getaddrinfo

    def hanging(*arguments: Any, **options: Any) -> Any:
        go.wait()
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    server.drop_connections()
    try:
        yield
    finally:
        go.set()


OUTAGES: list[Callable[[KucoinServer], None]] = [
    nothing, server_away, token_hangs, asked_to_wait, handshake_hangs, no_welcome, no_ack, connect_pace,
]  # fmt: skip


def told(events: Events) -> list[Stale]:
    return [event for event in events.all if isinstance(event, Stale)]


@on_both("outage", OUTAGES, [outage for outage in OUTAGES if outage not in (token_hangs, asked_to_wait)])
def test_silence_is_told_once_whatever_the_connection_waits_for(
    server: KucoinServer, make_stream: MakeStream, events: Events, outage: Callable[[KucoinServer], None], feed: Feed
) -> None:
    per_minute = 1 if outage is connect_pace else 25
    stream = make_stream(limits=Limits(connections_per_minute=per_minute))
    subscription = stream.subscribe(feed.eth, stale_after=SECONDS)
    publish(server, [1], feed.eth)
    assert subscription.get(timeout=10)
    early = len(told(events))  # on a slow machine the first message may come late
    outage(server)
    assert events.wait(Stale, early + 1).topics == (feed.eth,)
    other = stream.subscribe(f"{feed.ticker}:OTHER-ONE", stale_after=2 * SECONDS, timeout=0)
    assert events.wait(Stale, early + 2).topics == other.topics
    assert len(told(events)) == early + 2, "the first is not told again meanwhile"


def test_silence_is_told_while_the_name_resolution_of_the_system_hangs(
    server: KucoinServer, make_stream: MakeStream, events: Events, monkeypatch: pytest.MonkeyPatch, feed: Feed
) -> None:
    stream = make_stream()
    stream.subscribe(feed.eth, stale_after=SECONDS)
    with resolver_hangs(server, monkeypatch):
        assert events.wait(Stale).topics == (feed.eth,)


def test_silence_is_told_where_there_never_was_a_connection(
    server: KucoinServer, make_stream: MakeStream, feed: Feed
) -> None:
    server.stop()
    stale = threading.Event()
    stream = make_stream(on_event=lambda event: stale.set() if isinstance(event, Stale) else None)
    stream.subscribe(feed.eth, stale_after=SECONDS, timeout=0)
    reached(stale, "the silence was not told")


def test_an_episode_ends_with_a_message_and_the_next_one_is_told_again(
    server: KucoinServer, stream: Stream, events: Events, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth, stale_after=SECONDS)
    for episode in range(1, 4):
        events.wait(Stale, episode)
        server.drop_connections()
        events.wait(Disconnected, episode)
        server.wait_subscribed(feed.eth)
        publish(server, [episode], feed.eth)
        assert subscription.get(timeout=10)
    events.wait(Stale, 4)
    assert len(told(events)) == 4


def test_a_watch_ends_with_its_subscription_in_an_outage_too(
    server: KucoinServer, stream: Stream, events: Events, feed: Feed
) -> None:
    first = stream.subscribe(feed.eth, stale_after=SECONDS)
    second = stream.subscribe(feed.btc, stale_after=2 * SECONDS)
    server.stop()
    first.close()
    assert events.wait(Stale).topics == second.topics
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
