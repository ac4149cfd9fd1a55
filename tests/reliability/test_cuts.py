"""Connections that end while messages flow: what had come is delivered, and the stream comes back by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from kucoin_sync import Disconnected, Resubscribed, Stream
from kucoin_sync.protocol.session import Session
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.frames import close
from ..support.streams import Events, MakeStream
from .feed import Feed, at_best, on_both, publish, read


@on_both("end", ["close frame", "FIN"])
def test_all_that_came_before_the_end_is_delivered_in_order_before_anything_of_the_next_epoch(
    server: KucoinServer, stream: Stream, events: Events, end: str, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    publish(server, range(500), feed.eth)
    last = feed.frame(feed.push(b'{"n":"500"}')) * 10
    if end == "close frame":
        server.send_bytes(last + close(1000, b"Bye"))  # in one piece
    else:
        server.send_bytes(last)
        server.drop_connections()
    events.wait(Resubscribed)  # nothing was read so far: a consumer could hardly be slower
    publish(server, range(501, 510), feed.eth)
    assert read(subscription, 519) == [
        *((number, 1) for number in range(500)),
        *[(500, 1)] * 10,
        *((number, 2) for number in range(501, 510)),
    ]


@on_both("run", range(4))
def test_a_reset_in_mid_stream_costs_no_complete_message_and_delivers_no_partial_one(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, rng: random.Random, run: int, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    before = proxy.to_client.passed
    publish(server, [0], feed.eth)
    assert read(subscription, 1) == [(0, 1)]
    size = proxy.to_client.passed - before
    complete = rng.randrange(100)
    # In the head of the next message, in its payload, or right between the two messages.
    rest = (0, 1, rng.randrange(2, size), size - 1)[run]
    proxy.to_client.reset_after(complete * size + rest)
    publish(server, range(1, 200), feed.eth)
    assert "reset" in str(events.wait(Disconnected).error)
    proxy.heal()
    events.wait(Resubscribed)
    publish(server, [1000], feed.eth)
    got = read(subscription, complete + 1)
    assert got == [*((number, 1) for number in range(1, complete + 1)), (1000, got[-1][1])]
    assert got[-1][1] > 1
    assert stream.stats()["unreadable"] == 0


def test_a_defect_of_the_package_costs_a_connection_and_not_the_stream(
    server: KucoinServer,
    stream: Stream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    feed: Feed,
) -> None:
    subscription = stream.subscribe(feed.eth)
    receive = Session.receive

    def fail_once(*_: object) -> None:
        monkeypatch.setattr(Session, "receive", receive)
        raise ZeroDivisionError

    monkeypatch.setattr(Session, "receive", fail_once)
    publish(server, [1], feed.eth)
    assert "a defect in this package: ZeroDivisionError" in str(events.wait(Disconnected).error)
    assert "a defect ended connection 1" in caplog.text and "Traceback" in caplog.text
    events.wait(Resubscribed)
    publish(server, [2], feed.eth)
    assert read(subscription, 1) == [(2, 2)]


def test_a_cut_is_over_within_2_seconds_with_default_settings(
    server: KucoinServer, proxy: FaultProxy, make_stream: MakeStream, feed: Feed
) -> None:
    def seconds() -> float:
        events = Events()
        with make_stream(on_event=events) as stream:
            subscription = stream.subscribe(feed.eth)
            began = time.monotonic()
            proxy.cut()
            events.wait(Resubscribed)
            taken = time.monotonic() - began
            publish(server, [1], feed.eth)
            assert read(subscription, 1) == [(1, 2)]
            return taken

    assert at_best(2.0, seconds) <= 2.0


CLOSES: dict[str, tuple[Callable[[KucoinServer], object], int, str]] = {
    "1000": (lambda server: server.close_connections(1000, "Bye"), 1000, "Bye"),
    "1001": (lambda server: server.close_connections(1001, "going away"), 1001, "going away"),
    "1006": (lambda server: server.drop_connections(), 1006, ""),
    "1006 by a reset": (lambda server: server.drop_connections(rst=True), 1006, ""),
    "1012": (lambda server: server.close_connections(1012, "restart"), 1012, "restart"),
}


@on_both("how", CLOSES)
def test_after_any_close_the_stream_comes_back_and_the_event_has_code_and_reason(
    server: KucoinServer, stream: Stream, events: Events, how: str, feed: Feed
) -> None:
    end, code, reason = CLOSES[how]
    subscription = stream.subscribe(feed.eth)
    end(server)
    event = events.wait(Disconnected)
    assert (event.code, event.reason, event.epoch, event.market, event.private) == (code, reason, 1, feed.market, False)
    assert 0.25 <= event.retry_in <= 0.5
    if reason:
        assert f"code {code}, {reason!r}" in str(event)
    assert events.wait(Resubscribed).epoch == 2
    publish(server, [3], feed.eth)
    assert read(subscription, 1) == [(3, 2)]
    assert stream.stats()["reconnects"] == 1
