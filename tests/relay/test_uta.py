"""Topics of the UTA feed go through a relay as those of the classic feed do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import topics
from kucoin_sync.events import Connected, Disconnected, Resubscribed
from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT, until
from .test_reading import take

BTC, ETH = "/uta/trade.SPOT:BTC-USDT", "/uta/trade.SPOT:ETH-USDT"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(("BTC-USDT",), seed=5)}


def test_a_reader_gets_both_feeds_byte_for_byte(
    server: KucoinServer, reader: RelayStream, make_reader: MakeReader, events: Events
) -> None:
    subscription = reader.subscribe(topics.uta.trades("BTC-USDT", "ETH-USDT"), "/market/ticker:BTC-USDT")
    assert {events.wait(Connected, count).market for count in (1, 2)} == {"uta-spot", "spot"}
    frames = [
        b'{"T": "trade.SPOT","P":1787348157834794005,\n"d":{"s":"BTC-USDT","p":"1.50","E":1,"\\u00fc":"\xc3\xbc"}}',
        b'{"d":{"p":"2.5","s":"ETH-USDT"},"T":"Trade.spot"}',
    ]
    for frame in frames:
        server.send_raw(frame)
    got = take(subscription, 2)
    assert sorted(message.raw for message in got) == sorted(frames)
    first, second = sorted(got, key=lambda message: message.topic or "")
    assert (first.topic, first["T"], first["P"], first["d"]["E"]) == (BTC, "trade.SPOT", 1787348157834794005, 1)
    assert (second.topic, second.payload.price) == (ETH, Decimal("2.5"))
    server.publish("/market/ticker:BTC-USDT", {"price": "1"})
    assert take(subscription, 1)[0]["topic"] == "/market/ticker:BTC-USDT"

    late = make_reader().subscribe(BTC)
    assert take(late, 1)[0].raw == frames[0], "a late reader begins with the last message"
    assert len([each for each in server.connections if BTC in each.topics]) == 1
    assert reader.stats()["unreadable"] == 0


def test_books_of_several_depths_keep_their_topics(server: KucoinServer, reader: RelayStream) -> None:
    wanted = [topics.uta.book("BTC-USDT", depth=depth) for depth in (1, 5, 50, "increment@10ms")]
    subscriptions = [reader.subscribe(topic) for topic in wanted]
    for number, topic in enumerate(wanted):
        server.publish(topic, {"C": number, "O": number, "a": [], "b": [["1", "2"]], "s": "BTC-USDT"})
    for number, (topic, subscription) in enumerate(zip(wanted, subscriptions, strict=True)):
        if "increment" in topic:
            (snapshot,) = take(subscription, 1)
            assert (snapshot.topic, snapshot.type) == (topic, "snapshot")
        (message,) = take(subscription, 1)
        assert (message.topic, message.payload.sequence_end) == (topic, number)
        assert message.type == ("delta" if "increment" in topic else "snapshot")


def test_private_topics_come_once_whichever_name_a_push_has(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay(credentials=server.credentials, private=True)
    reader = make_reader()
    both = reader.subscribe(topics.uta.orders(), topics.uta.orders("BTC-USDT"), topics.uta.balances(), timeout=LIMIT)
    server.publish("/uta/balance.UNIFIED", {"c": "USDT", "b": "1"}, user=KucoinServer.USER)
    assert take(both, 1)[0].topic == "/uta/balance.UNIFIED"
    one = make_reader().subscribe(topics.uta.orders("ETH-USDT"), timeout=LIMIT)
    for symbol in ("BTC-USDT", "ETH-USDT"):
        server.publish("/uta/orderAll.UNIFIED", {"s": symbol, "oi": "1"}, user=KucoinServer.USER)
    assert take(one, 1)[0]["d"]["s"] == "ETH-USDT"
    assert one.pending == 0


def test_a_cut_of_kucoins_is_told_and_the_topic_comes_back(
    server: KucoinServer, reader: RelayStream, events: Events
) -> None:
    topic = topics.uta.ticker("BTC-USDT")
    subscription = reader.subscribe(topic)
    server.publish(topic, {"s": "BTC-USDT", "E": 1})
    assert take(subscription, 1)[0].payload.sequence == 1
    server.drop_connections()
    assert events.wait(Disconnected).market == "uta-spot"
    assert events.wait(Resubscribed, timeout=LIMIT).topics == 1
    until(lambda: server.publish(topic, {"s": "BTC-USDT", "E": 2}) == 1, "it is not carried again")
    message = take(subscription, 1)[0]
    assert (message.payload.sequence, message.lost) == (2, 0)
    assert message.epoch > 1
