"""The server cut, closed, muted, restarted, its token expired: the subscriber goes on by itself."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from kucoin_sync import Connected, Disconnected, Message, Resubscribed, Retrying, Rotated, Stream, StreamClosed
from kucoin_sync.testing import KucoinServer

from .conftest import Events

ETH = "/market/ticker:ETH-USDT"


def publish(server: KucoinServer, *numbers: int) -> None:
    for number in numbers:
        server.publish(ETH, {"sequence": str(number)}, subject="trade.ticker")


def read(subscription, count: int) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    """Return (number, epoch) of the next messages."""
    messages = [subscription.get(timeout=10) for _ in range(count)]
    return [(int(message["data"]["sequence"]), message.epoch) for message in messages]


@pytest.fixture
def server(nothing_left_behind: None) -> Iterator[KucoinServer]:
    """A local KuCoin that wants pings in quick succession, so that a missing pong shows soon."""
    with KucoinServer(ping_interval=0.4, ping_timeout=0.6) as server:
        yield server


BREAKS: dict[str, Callable[[KucoinServer], object]] = {
    "cut": lambda server: server.drop_connections(),
    "reset": lambda server: server.drop_connections(rst=True),
    "closed 1000": lambda server: server.close_connections(1000, "Bye"),
    "closed 1001": lambda server: server.close_connections(1001, "going away"),
    "closed 1012": lambda server: server.close_connections(1012, "restart"),
    "stopped and started": lambda server: (server.stop(), server.start()),
}


@pytest.mark.parametrize("how", BREAKS)
def test_after_a_break_the_subscriber_goes_on_by_itself(
    server: KucoinServer, stream: Stream, events: Events, how: str
) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, 1, 2)
    assert read(subscription, 2) == [(1, 1), (2, 1)]
    BREAKS[how](server)
    assert events.wait(Resubscribed).epoch == 2
    publish(server, 3)
    assert read(subscription, 1) == [(3, 2)]
    assert stream.stats()["reconnects"] == 1


def test_code_and_reason_of_the_close_are_told(server: KucoinServer, stream: Stream, events: Events) -> None:
    stream.subscribe(ETH)
    server.close_connections(1012, "restart")
    event = events.wait(Disconnected)
    assert (event.code, event.reason, event.epoch, event.market, event.private) == (1012, "restart", 1, "spot", False)
    assert 0.25 <= event.retry_in <= 0.5
    assert "code 1012, 'restart'" in str(event)


def test_nothing_queued_before_a_cut_is_lost_and_it_comes_before_the_next_epoch(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, *range(500))
    server.close_connections()
    events.wait(Resubscribed)
    publish(server, *range(500, 510))
    got = read(subscription, 510)
    assert [number for number, _ in got] == list(range(510))
    assert [epoch for _, epoch in got] == [1] * 500 + [2] * 10


def test_a_server_that_answers_no_ping_is_given_up(server: KucoinServer, stream: Stream, events: Events) -> None:
    subscription = stream.subscribe(ETH)
    server.mute()
    event = events.wait(Disconnected)
    assert "answered no ping" in str(event)
    server.unmute()
    events.wait(Resubscribed)
    publish(server, 1)
    [(number, epoch)] = read(subscription, 1)
    assert number == 1
    assert epoch >= 2


def test_a_muted_server_that_keeps_sending_is_given_up_too_and_its_data_delivered(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe(ETH)
    server.mute()
    stop = threading.Event()
    sent: list[int] = []

    def feed() -> None:
        for number in itertools.count():
            if server.publish(ETH, {"sequence": str(number)}):
                sent.append(number)
            if stop.wait(0.01):
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    events.wait(Disconnected)
    stop.set()
    feeder.join(5)
    assert subscription.pending >= 10
    assert [number for number, _ in read(subscription, 10)] == sent[:10]


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


STATES: dict[str, Callable[[KucoinServer], object]] = {
    "token request unanswered": lambda server: server.fail_rest("/api/v1/bullet-*", hang=True, times=None),
    "handshake unanswered": lambda server: server.hang_handshake(),
    "no welcome": lambda server: server.no_welcome(),
    "no ack": lambda server: server.mute(ack=True),
    "token refused, waiting to retry": lambda server: server.fail_rest("/api/v1/bullet-*", 500, "500000", times=None),
    "server gone, waiting to retry": lambda server: server.stop(),
}


@pytest.mark.parametrize("state", STATES)
def test_close_ends_a_waiting_subscribe_in_every_state(
    server: KucoinServer, make_stream: Callable[..., Stream], state: str
) -> None:
    stream = make_stream()
    STATES[state](server)
    outcome: list[BaseException] = []

    def subscribe() -> None:
        try:
            stream.subscribe(ETH, timeout=30)
        except StreamClosed as error:
            outcome.append(error)

    waiting = threading.Thread(target=subscribe)
    waiting.start()
    if "server gone" not in state:
        server.wait_for(lambda s: s.requests, what="the token request")
    stream.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert "closed while" in str(outcome[0]) or "is closed" in str(outcome[0])


def test_close_may_be_called_from_callbacks_and_many_threads(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    for inline in (False, True):
        stream = make_stream()
        closed = threading.Event()

        def callback(message: Message, stream: Stream = stream, closed: threading.Event = closed) -> None:
            stream.close()
            closed.set()

        stream.subscribe(ETH, callback=callback, inline=inline)
        publish(server, 1)
        assert closed.wait(5)
        threads = [threading.Thread(target=stream.close) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert stream.closed
        with pytest.raises(StreamClosed, match="make a new one"):
            stream.subscribe(ETH)
