"""The server restarted, its token expired, the connection replaced: the subscriber goes on by itself."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable

import pytest

from kucoin_sync import Connected, Disconnected, Resubscribed, Retrying, Rotated, Stream
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events

ETH = "/market/ticker:ETH-USDT"


def publish(server: KucoinServer, *numbers: int) -> None:
    for number in numbers:
        server.publish(ETH, {"sequence": str(number)}, subject="trade.ticker")


def read(subscription, count: int) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    """Return (number, epoch) of the next messages."""
    messages = [subscription.get(timeout=10) for _ in range(count)]
    return [(int(message["data"]["sequence"]), message.epoch) for message in messages]


def test_after_a_restart_of_the_server_the_subscriber_goes_on_by_itself(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, 1, 2)
    assert read(subscription, 2) == [(1, 1), (2, 1)]
    server.stop()
    server.start()
    assert events.wait(Resubscribed).epoch == 2
    publish(server, 3)
    assert read(subscription, 1) == [(3, 2)]
    assert stream.stats()["reconnects"] == 1


def test_an_expired_token_is_replaced_by_a_fresh_one(server: KucoinServer, stream: Stream, events: Events) -> None:
    stream.subscribe(ETH)
    server.expire_tokens()
    server.drop_connections()
    events.wait(Resubscribed)
    tokens = [request for request in server.requests if request.path.endswith("bullet-public")]
    assert len(tokens) == 2


@pytest.mark.parametrize("how", ["error frame", "HTTP 401"])
def test_a_token_that_the_feed_refuses_is_replaced(events: Events, how: str) -> None:
    with (
        KucoinServer(refuse_in_handshake=how == "HTTP 401") as server,
        Stream(**server.stream_options, on_event=events) as stream,
    ):
        server.fail_rest("/api/v1/bullet-public", 200, "200000", body=_stale_token(server), times=1)
        stream.subscribe(ETH)
        refused = events.wait(Retrying)
        assert "token" in str(refused.error)
        assert events.wait(Connected).epoch == 1


def _stale_token(server: KucoinServer) -> str:
    instance = {"endpoint": server.endpoint(), "encrypt": False, "pingInterval": 18000, "pingTimeout": 10000}
    return json.dumps({"code": "200000", "data": {"token": "stale", "instanceServers": [instance]}})


def test_the_next_instance_server_is_tried_after_a_failure(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    working = {"endpoint": server.endpoint(), "encrypt": False, "protocol": "websocket"}
    broken = {**working, "endpoint": "ws://127.0.0.1:9/endpoint"}
    server.instance_servers = [broken, working]
    stream.subscribe(ETH)
    assert "127.0.0.1:9" in str(events.wait(Retrying))
    assert events.wait(Connected)


def test_a_connection_is_replaced_before_its_day_is_over_without_loss_or_repetition(
    server: KucoinServer, make_stream: Callable[..., Stream], events: Events
) -> None:
    stream = make_stream(rotate_after=0.4)
    subscription = stream.subscribe(ETH)
    stop = threading.Event()
    sent = []

    def feed() -> None:
        for number in itertools.count():
            publish(server, number)
            sent.append(number)
            if stop.wait(0.002):
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    events.wait(Rotated, 3)
    stop.set()
    feeder.join(5)
    got = read(subscription, len(sent))
    assert [number for number, _ in got] == sent
    epochs = [epoch for _, epoch in got]
    assert epochs == sorted(epochs)
    assert epochs[-1] >= 3
    assert not [event for event in events.all if isinstance(event, Disconnected)]


def test_a_waiting_iterator_ends_when_another_thread_closes(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    ended = threading.Event()
    started = threading.Event()

    def iterate() -> None:
        started.set()
        assert list(subscription) == []
        ended.set()

    reader = threading.Thread(target=iterate)
    reader.start()
    started.wait(5)
    stream.close()
    assert ended.wait(5)
    reader.join(5)
