"""One consumer thread that waits for message after message reads the socket itself; all else goes on as ever."""

from __future__ import annotations

import itertools
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from kucoin_sync import Disconnected, Overflowed, Resubscribed, Stream, StreamClosed, Subscription
from kucoin_sync.testing import KucoinServer

from ..support.certificates import client_context, server_context
from ..support.streams import FAST, Events
from ..support.threads import LIMIT, Task, until

ETH, BTC = "/market/ticker:ETH-USDT", "/market/ticker:BTC-USDT"


class Game:
    """A server that sends, on a thread of its own, what it is asked for; tickers are numbered.

    Attributes:
        took: the numbers that were taken.
    """

    def __init__(self, server: KucoinServer) -> None:
        self.took: list[int] = []
        self._server = server
        self._numbers = itertools.count(1)
        self._asked: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, topic: str = ETH, count: int = 1) -> None:
        self._asked.put((topic, count))

    def take(self, subscription: Subscription[Any], count: int = 1) -> None:
        for _ in range(count):
            self.took.append(int(subscription.get(timeout=LIMIT).payload.sequence))

    def go_on_until_it_reads(self, subscription: Subscription[Any], *topics: str) -> None:
        """Send and take one message after the other until the consumer has read twenty of them itself."""
        for topic in itertools.islice(itertools.cycle(topics or (ETH,)), 50_000):
            self.send(topic)
            self.take(subscription)
            if reads(subscription):
                return
        raise AssertionError("the consumer does not read by itself")

    def close(self) -> None:
        self._asked.put(("", 0))
        self._thread.join(LIMIT)

    def _serve(self) -> None:
        while (asked := self._asked.get())[1]:
            topic, count = asked
            for _ in range(count):
                ticker = {"sequence": str(next(self._numbers)), "price": "3000.1"}
                self._server.publish(topic, ticker, subject="trade.ticker")


def reads(subscription: Subscription[Any], count: int = 20) -> bool:
    """Whether the consumer reads by itself now, and has done so often."""
    read_lease = subscription.message_queue.read_lease
    return read_lease is not None and read_lease.reads >= count and not read_lease.over


@pytest.fixture
def game(server: KucoinServer) -> Iterator[Game]:
    game = Game(server)
    yield game
    game.close()


def goes_back_and_forth(game: Game, subscription: Subscription[Any]) -> None:
    for _ in range(3):
        game.go_on_until_it_reads(subscription)
        game.send(count=50)  # some come together
        game.take(subscription, 50)
    assert game.took == list(range(1, len(game.took) + 1))


def test_every_message_comes_once_and_in_order_and_is_counted(game: Game, stream: Stream) -> None:
    with stream.subscribe(ETH) as subscription:
        goes_back_and_forth(game, subscription)
        assert stream.stats()["messages"] == len(game.took)
        assert stream.stats()["pending"] == 0


def test_every_message_comes_once_and_in_order_to_a_loop(game: Game, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    game.send()
    for number, message in enumerate(subscription, 1):
        assert int(message.payload.sequence) == number
        if reads(subscription, 100):
            break
        assert number < 50_000
        game.send()


def test_a_notice_reaches_a_loop_and_never_finds_two_messages(game: Game, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    messages = iter(subscription)
    while not reads(subscription):
        game.send()
        next(messages)
    subscription.message_queue.tell(RuntimeError("a notice"))

    def go_on() -> None:
        for _ in range(10):
            game.send()
            next(messages)

    with pytest.raises(RuntimeError, match="a notice"):
        go_on()


def test_several_topics_of_one_subscription_are_no_hindrance(game: Game, stream: Stream) -> None:
    game.go_on_until_it_reads(stream.subscribe(ETH, BTC), ETH, BTC)


def test_over_tls_it_is_the_same(events: Events) -> None:
    with KucoinServer(tls=server_context()) as server:
        options = {**server.stream_options, "limits": FAST, "ssl_context": client_context(), "on_event": events}
        with Stream(**options) as stream:
            game = Game(server)
            subscription = stream.subscribe(ETH)
            goes_back_and_forth(game, subscription)
            game.close()


def test_an_io_thread_wakes_for_what_else_there_is_to_do(game: Game, stream: Stream, server: KucoinServer) -> None:
    subscription = stream.subscribe(ETH)
    game.go_on_until_it_reads(subscription)
    heard: list[Any] = []
    with stream.subscribe(BTC, callback=heard.append):
        game.send(BTC)
        until(lambda: heard, "the other subscription hears nothing")
    game.go_on_until_it_reads(subscription)
    stream.unsubscribe(ETH)
    server.wait_for(lambda server: not any(connection.topics for connection in server.connections))
    with pytest.raises(StreamClosed):
        subscription.get(timeout=LIMIT)


def test_where_others_get_their_share_of_the_connection_the_io_thread_reads(game: Game, stream: Stream) -> None:
    heard: list[int] = []
    subscription = stream.subscribe(ETH)
    with stream.subscribe(BTC, callback=lambda message: heard.append(threading.get_ident()), inline=True):
        for _ in range(200):
            game.send(ETH)
            game.take(subscription)
            game.send(BTC)
            assert not reads(subscription, 0)
        until(lambda: len(heard) == 200, "not all came")
        assert threading.get_ident() not in heard


def test_a_busy_consumer_keeps_nothing_from_being_received(game: Game, make_stream: Callable[..., Stream]) -> None:
    events = Events()
    stream = make_stream(on_event=events)
    subscription = stream.subscribe(ETH, maxsize=10, overflow="drop_oldest")
    game.go_on_until_it_reads(subscription)
    game.send(count=30)
    assert events.wait(Overflowed).topics == (ETH,)
    until(lambda: subscription.dropped == 20, "not all were received")


def test_a_lost_connection_is_told_and_replaced(
    game: Game, stream: Stream, server: KucoinServer, events: Events
) -> None:
    subscription = stream.subscribe(ETH)
    game.go_on_until_it_reads(subscription)
    dropping = Task(server.drop_connections)
    with pytest.raises(TimeoutError):
        subscription.get(timeout=0.5)
    dropping.result()
    assert "without a close frame" in str(events.wait(Disconnected).error)
    events.wait(Resubscribed)
    game.go_on_until_it_reads(subscription)


@pytest.mark.parametrize("end", ["the stream", "the subscription"])
def test_its_end_ends_the_wait(game: Game, stream: Stream, end: str) -> None:
    subscription = stream.subscribe(ETH)
    game.go_on_until_it_reads(subscription)
    closing = threading.Timer(0.002, stream.close if end == "the stream" else subscription.close)
    closing.start()
    with pytest.raises(StreamClosed):
        subscription.get(timeout=LIMIT)
    closing.join(LIMIT)


def until_interrupted(game: Game, subscription: Subscription[Any], prepare: Callable[[Any], None]) -> None:
    """Go on, with every read lease prepared, until Ctrl-C comes."""
    for _ in range(1000):
        game.go_on_until_it_reads(subscription)
        prepare(subscription.message_queue.read_lease)
        game.send()
        try:
            game.take(subscription)  # read by the I/O thread, where that took the lease back just now
        except KeyboardInterrupt:
            return
    raise AssertionError("nothing was interrupted")


def test_ctrl_c_behind_a_read_loses_nothing(game: Game, stream: Stream) -> None:
    def prepare(read_lease: Any) -> None:
        def interrupted(*_: object) -> NoReturn:
            raise KeyboardInterrupt

        read_lease._recognise = interrupted

    subscription = stream.subscribe(ETH)
    for _ in range(3):
        until_interrupted(game, subscription, prepare)
        game.take(subscription)
    game.go_on_until_it_reads(subscription)
    assert game.took == list(range(1, len(game.took) + 1))
    assert stream.stats()["reconnects"] == 0


def test_ctrl_c_in_a_read_of_which_nobody_can_tell_what_it_has_read_costs_a_connection_and_no_more(
    game: Game, stream: Stream, events: Events
) -> None:
    def prepare(read_lease: Any) -> None:
        receive_into = read_lease._receive_into

        def read_and_raise(*arguments: Any) -> NoReturn:
            receive_into(*arguments)
            raise KeyboardInterrupt

        read_lease._receive_into = read_and_raise

    subscription = stream.subscribe(ETH)
    until_interrupted(game, subscription, prepare)
    assert "a signal came while a message" in str(events.wait(Disconnected).error)
    events.wait(Resubscribed)
    game.go_on_until_it_reads(subscription)
    assert len(set(range(1, game.took[-1])) - set(game.took)) == 1
    assert game.took == sorted(game.took)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("how", ["takes one", "waits for it"])
def test_a_signals_handler_that_takes_messages_in_the_middle_of_a_read_gets_them(
    game: Game, stream: Stream, events: Events, how: str
) -> None:
    """It may interrupt the consumer anywhere, and no thread may then wait for the other."""
    taken = []

    def come_back() -> None:
        events.wait(Resubscribed)
        game.send(count=2)

    def handler(*_: Any) -> NoReturn:
        coming = Task(come_back)
        if how == "waits for it":
            coming.result()
        taken.append(subscription.get(timeout=LIMIT))
        coming.result()
        raise KeyboardInterrupt

    def prepare(read_lease: Any) -> None:
        def interrupted(*_: object) -> None:
            signal.raise_signal(signal.SIGUSR1)

        read_lease._recognise = interrupted

    subscription = stream.subscribe(ETH)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        until_interrupted(game, subscription, prepare)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(taken) == 1
    game.take(subscription)
    game.go_on_until_it_reads(subscription)
    assert game.took == sorted(game.took)
