"""One stream carries both feeds at once, with everything that a subscription can do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from kucoin_sync import Event, KucoinSyncError, Message, Stale, Stream, topics
from kucoin_sync.events import Connected
from kucoin_sync.metrics import KucoinCollector
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events
from ..support.threads import reached, until

CLASSIC, UTA, FUTURES = "/market/match:BTC-USDT", "/uta/trade.SPOT:BTC-USDT", "/uta/trade.FUTURES:XBTUSDTM"


class Observed:
    """An observer that counts what it is told, by market."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.subscribed: set[str] = set()
        self.lost: set[str] = set()

    def on_messages(self, market: str, private: bool, pushes: Iterable[Any]) -> None:
        self.messages[market] += len(list(pushes))

    def on_subscribed(self, market: str, private: bool, keys: Iterable[Any]) -> None:
        self.subscribed |= {key.topic for key in keys}

    def on_lost(self, market: str, keys: Iterable[Any], error: KucoinSyncError) -> None:
        self.lost |= {key.topic for key in keys}

    def on_event(self, event: Event) -> None: ...

    def on_snapshot(self, market: str, path: str, symbol: str, data: Any) -> None: ...


def publish(server: KucoinServer, topic: str, number: int) -> None:
    symbol, now = topic.partition(":")[2], time.time_ns()
    if topic == CLASSIC:
        data: dict[str, Any] = {"symbol": symbol, "price": f"{number}", "size": "1", "side": "buy", "time": str(now)}
    else:
        data = {"s": symbol, "p": f"{number}", "q": "1", "S": "buy", "E": number, "M": now}
    assert server.publish(topic, data, **({} if topic != CLASSIC else {"subject": "trade.l3match"})) == 1


def test_a_bot_reads_both_feeds_by_the_same_properties(server: KucoinServer, stream: Stream, events: Events) -> None:
    both = stream.subscribe(topics.match("BTC-USDT"), topics.uta.trades("BTC-USDT"))
    assert {events.wait(Connected, count).market for count in (1, 2)} == {"spot", "uta-spot"}
    for number in range(3):
        for topic in (CLASSIC, UTA):
            publish(server, topic, number)
    got = [both.get(timeout=10) for _ in range(6)]
    for topic in (CLASSIC, UTA):
        trades = [message.payload for message in got if message.topic == topic]
        assert [(trade.price, trade.size, trade.side) for trade in trades] == [(Decimal(n), 1, "buy") for n in range(3)]
        assert all(trade.symbol == "BTC-USDT" and trade.time_ns > 10**18 for trade in trades)
    stream.unsubscribe(UTA)
    server.wait_for(lambda s: not any(UTA in each.topics for each in s.connections))
    assert both.topics == (CLASSIC,)
    publish(server, CLASSIC, 3)
    assert both.get(timeout=10)["data"]["price"] == "3"
    assert stream.stats()["unrouted"] == 0


def test_callbacks_an_observer_the_numbers_and_silence(server: KucoinServer, stream: Stream, events: Events) -> None:
    observed = Observed()
    stream.add_observer(observed)
    threads: dict[str, str] = {}
    called = {name: threading.Event() for name in ("callback", "inline")}

    def note(name: str) -> None:
        threads[name] = threading.current_thread().name
        called[name].set()

    @stream.on(UTA)
    def callback(message: Message) -> None:
        note("callback")

    stream.subscribe(FUTURES, callback=lambda message: note("inline"), inline=True)
    newest = stream.subscribe(UTA, overflow="latest", stale_after=0.3)
    for number in range(5):
        publish(server, UTA, number)
    publish(server, FUTURES, 9)
    for name, event in called.items():
        reached(event, f"the {name} was not called")
    assert threads["callback"].startswith("kucoin-callbacks")
    assert threads["inline"].startswith("kucoin-io")
    until(lambda: newest.dropped == 4, "four of five were not replaced")
    message = newest.get(timeout=10)
    assert (message.payload.sequence, message.lost) == (4, 4)
    assert events.wait(Stale).topics == (UTA,)
    assert observed.messages == {"uta-spot": 5, "uta-futures": 1}
    assert observed.subscribed == {UTA, FUTURES}

    registry = CollectorRegistry()
    registry.register(KucoinCollector(stream))
    assert registry.get_sample_value("kucoin_sync_messages_total", {"stream": "default"}) == 6
    assert 0 <= stream.stats()["lag"] < 60
    server.drop_connections()
    until(lambda: observed.lost == {UTA, FUTURES}, "the observer was not told what is lost")
