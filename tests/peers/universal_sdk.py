"""KuCoin's own SDK, with its default options."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import Any

from kucoin_universal_sdk.api import DefaultClient
from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder, WebSocketClientOptionBuilder

from kucoin_sync.testing import FaultProxy, KucoinServer

SYMBOL = "BTC-USDT"
TOPIC = f"/market/ticker:{SYMBOL}"
TICKER = {
    "price": "0.08", "size": "0.011", "bestAsk": "0.08", "bestAskSize": "0.18", "bestBid": "0.049",
    "bestBidSize": "0.036", "time": 1704873323416,
}  # fmt: skip


class Feed:
    """A started client with a subscription, the numbers of the messages that came, and the names of its events."""

    def __init__(self, server: KucoinServer, work: Callable[[int], object] = lambda number: None) -> None:
        self.came: list[int] = []
        self.events: Queue[str] = Queue()
        self._work = work
        self.client = self._make(server)

    def _make(self, server: KucoinServer) -> Any:
        options = WebSocketClientOptionBuilder().with_event_callback(lambda event, *_: self.events.put(str(event)))
        service = DefaultClient(
            ClientOptionBuilder()
            .set_key(server.KEY).set_secret(server.SECRET).set_passphrase(server.PASSPHRASE)
            .set_spot_endpoint(server.rest_url).set_futures_endpoint(server.futures_rest_url)
            .set_broker_endpoint(server.rest_url)
            .set_transport_option(TransportOptionBuilder().build())
            .set_websocket_client_option(options.build()).build()
        ).ws_service()  # fmt: skip
        return service.new_spot_public_ws()

    def begin(self) -> Feed:
        """Start and subscribe."""
        self.client.start()
        self.client.ticker([SYMBOL], self._take)
        return self

    def _take(self, _: str, __: str, event: Any) -> None:
        number = int(event.sequence)
        self.came.append(number)
        self._work(number)

    def has_told(self, word: str) -> bool:
        """Whether there was an event with this word."""
        return any(word in event for event in self.events.queue)


def publish(server: KucoinServer, number: int) -> None:
    server.publish(TOPIC, {"sequence": str(number), **TICKER}, "trade.ticker")


def the_server_closes() -> str:
    with KucoinServer() as server:
        Feed(server).begin()
        server.close_connections()
        began = time.monotonic()
        server.wait_for(lambda server: server.ended)
        server.wait_subscribed(TOPIC, timeout=60)
        return f"subscribed again after {time.monotonic() - began:.0f} s"


def the_server_closes_while_messages_wait() -> str:
    with KucoinServer() as server:
        feed = Feed(server, lambda number: time.sleep(0.05)).begin()
        for number in range(400):
            publish(server, number)
        server.close_connections()
        server.wait_for(lambda server: server.ended)
        server.wait_subscribed(TOPIC, timeout=60)
        publish(server, 1000)
        wait_until(lambda: 1000 in feed.came)
        told = feed.has_told("FULL")
        return f"{len(feed.came) - 1} of 400 were delivered, {'with' if told else 'without'} an event about the others"


def a_handshake_is_never_answered() -> str:
    with KucoinServer() as server:
        server.hang_handshake(times=1)
        feed, failed = Feed(server), 0
        for _ in range(4):
            try:
                feed.client.start()
            except Exception:
                failed += 1
        return f"{failed} of 4 starts failed, though only the first was not answered"


def the_link_is_dead() -> str:
    with KucoinServer(ping_interval=2, ping_timeout=2) as server, FaultProxy(*server.address) as proxy:
        server.announce(*proxy.address)
        feed = Feed(server).begin()
        proxy.to_client.hold()
        proxy.to_server.hold()
        time.sleep(60)
        noticed = feed.has_told("DISCONNECTED") or feed.has_told("RECONNECT")
        return f"{'noticed' if noticed else 'not noticed'} within 60 s, with a ping every 2 s"


def a_topic_is_refused() -> str:
    with KucoinServer() as server:
        feed = Feed(server)
        feed.client.start()
        server.reject_next(404)
        try:
            feed.client.ticker([SYMBOL], lambda *_: None)
        except Exception as error:
            return f"{type(error).__name__}: {error}; an event says why: {feed.has_told('ERROR')}"
        return "no error"


def it_is_stopped_while_it_reconnects() -> str:
    with KucoinServer() as server:
        feed = Feed(server).begin()
        server.stop()
        wait_until(lambda: feed.has_told("TRY_RECONNECT"))
        stopping = threading.Thread(target=feed.client.stop, daemon=True)
        stopping.start()
        stopping.join(60)
        return "stop() has not returned after 60 s" if stopping.is_alive() else "stop() returned"


def a_callback_raises() -> str:
    def fail(number: int) -> None:
        raise ValueError(number)

    with KucoinServer() as server:
        feed = Feed(server, fail).begin()
        for number in (1, 2):
            publish(server, number)
        wait_until(lambda: len(feed.came) == 2)
        return f"it got the next message; an event says so: {feed.has_told('CALLBACK_ERROR')}"


def the_process_forks() -> str:
    reader, writer = os.pipe()
    with KucoinServer() as server:
        feed = Feed(server).begin()
        if os.fork() == 0:
            try:
                feed.client.ticker(["ETH-USDT"], lambda *_: None)
                said = "subscribed"
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, said.encode())
            os._exit(0)
        return f"in the child: {os.read(reader, 1000).decode()}"


def wait_until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        the_server_closes, the_server_closes_while_messages_wait, a_handshake_is_never_answered, the_link_is_dead,
        a_topic_is_refused, it_is_stopped_while_it_reconnects, a_callback_raises, the_process_forks,
    )
}  # fmt: skip
