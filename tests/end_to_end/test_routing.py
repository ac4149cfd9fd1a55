"""Each topic's messages reach the subscription that they belong to, whatever name they are pushed under."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import Stream, topics
from kucoin_sync.testing import KucoinServer
from kucoin_sync.topics import grammar
from kucoin_sync.topics.table import Argument

PUSHED_UNDER_ANOTHER_NAME = [
    ("/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT", {"asks": [], "bids": []}),
    ("/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2", {"orderId": "1"}),
    ("/market/snapshot:BTC", "/market/snapshot:CHR-BTC", {"data": {"symbol": "CHR-BTC", "market": "BTC"}}),
    ("/market/snapshot:DePIN", "/market/snapshot:CHR-BTC", {"data": {"market": "BTC", "markets": ["BTC", "DePIN"]}}),
    ("/contractMarket/tradeOrders", "/contractMarket/tradeOrders:XBTUSDTM", {"orderId": "2"}),
    ("/contract/positionAll", "/contract/position:XBTUSDTM", {"symbol": "XBTUSDTM"}),
    ("/contract/announcement:XBTUSDTM", "/contract/announcement", {"symbol": "XBTUSDTM"}),
    ("/contract/announcement", "/contract/announcement", {"symbol": "XBTUSDTM"}),
]
ARGUMENTS = {
    Argument.ALL: "all", Argument.SYMBOLS: "BTC-USDT", Argument.SYMBOL: "BTC-USDT", Argument.MARKET: "USDS",
    Argument.CURRENCIES: "BTC", Argument.CURRENCY: "BTC", Argument.CANDLES: "BTC-USDT_1hour",
    Argument.CONTRACT: "XBTUSDTM", Argument.CONTRACT_CANDLES: "XBTUSDTM_1min", Argument.CONTRACTS: "XBTUSDTM",
    Argument.DEPTH: "BTC-USDT_5", Argument.CONTRACT_DEPTH: "XBTUSDTM_5", Argument.ANY_SYMBOL: "XBTUSDTM",
}  # fmt: skip
EVERY_TOPIC = [f"{row.prefix}:{ARGUMENTS[row.argument]}" if row.argument is not Argument.NONE else row.prefix
               for row in topics.TABLE]  # fmt: skip


def push(server: KucoinServer, topic: str, data: Any) -> None:
    user = server.USER if grammar.is_private(topic) else None
    subject = None if topic.startswith("/uta/") else "any"  # of the UTA feed it is the channel
    assert server.publish(topic, data, subject=subject, user=user) == 1


def data_of(topic: str) -> dict[str, str]:
    """Return data that name their topic; those of the UTA feed also have the symbol and the interval in it."""
    symbol, _, interval = grammar.argument_of(topic).partition("_")
    return {"value": topic, **({"s": symbol, "i": interval} if topic.startswith("/uta/") else {})}


@pytest.mark.parametrize(("subscribed", "pushed", "data"), PUSHED_UNDER_ANOTHER_NAME)
def test_a_message_pushed_under_another_name_reaches_its_subscription(
    server: KucoinServer, stream: Stream, subscribed: str, pushed: str, data: Any
) -> None:
    subscription = stream.subscribe(subscribed)
    push(server, pushed, data)
    message = subscription.get(timeout=5)
    assert (message.topic, message.data) == (pushed, data)
    assert stream.stats()["unrouted"] == 0


@pytest.mark.parametrize("topic", EVERY_TOPIC)
def test_every_topic_of_the_table_can_be_subscribed_and_delivers(
    server: KucoinServer, stream: Stream, topic: str
) -> None:
    subscription = stream.subscribe(topic)
    push(server, topic, data_of(topic))
    message = subscription.get(timeout=5)
    assert message.data == data_of(topic)


def test_each_of_many_subscriptions_gets_its_own(server: KucoinServer, make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    subscriptions = {topic: stream.subscribe(topic) for topic in EVERY_TOPIC}
    for topic in EVERY_TOPIC:
        push(server, topic, data_of(topic))
    for topic, subscription in subscriptions.items():
        messages = (subscription.get(timeout=5) for _ in EVERY_TOPIC)
        assert any(message.data == data_of(topic) for message in messages), topic


def test_a_symbol_of_a_list_gets_its_push_alone(server: KucoinServer, stream: Stream) -> None:
    both = stream.subscribe("/market/ticker:BTC-USDT,ETH-USDT")
    one = stream.subscribe("/market/ticker:ETH-USDT")
    push(server, "/market/ticker:BTC-USDT", {"value": 1})
    push(server, "/market/ticker:ETH-USDT", {"value": 2})
    assert [both.get(5).data["value"], both.get(5).data["value"]] == [1, 2]
    assert one.get(5).data["value"] == 2
    assert one.pending == 0


def test_the_announcement_of_another_contract_is_not_mine(server: KucoinServer, stream: Stream) -> None:
    mine = stream.subscribe("/contract/announcement:XBTUSDTM")
    other = stream.subscribe("/contract/announcement:ETHUSDTM")
    push(server, "/contract/announcement", {"symbol": "ETHUSDTM"})
    assert other.get(5).data["symbol"] == "ETHUSDTM"
    assert mine.pending == 0


def test_an_event_that_came_under_another_name_before_is_not_one_that_nobody_wants(
    server: KucoinServer, stream: Stream
) -> None:
    market = stream.subscribe("/market/snapshot:BTC")
    symbol = stream.subscribe("/market/snapshot:KCS-BTC")
    data = {"data": {"symbol": "KCS-BTC", "market": "BTC", "close": 1}}
    for topic in ("/market/snapshot:KCS-BTC", "/market/snapshot:BTC"):
        push(server, topic, data)
    push(server, "/market/snapshot:BTC", {"data": {"symbol": "ETH-BTC", "market": "BTC"}})
    assert [market.get(5).data["data"]["symbol"] for _ in range(2)] == ["KCS-BTC", "ETH-BTC"]
    assert symbol.get(5).data == data
    assert (market.pending, symbol.pending) == (0, 0)
    assert stream.stats()["unrouted"] == 0


def test_what_nobody_wants_is_counted_and_changes_nothing(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe("/market/ticker:BTC-USDT")
    server.send_raw(b'{"type":"message","topic":"/market/ticker:DOGE-USDT","subject":"x","data":{}}')
    server.send_raw(b'{"type":"message","subject":"x","data":{}}')
    server.send_raw(b'{"type":"notice","data":"maintenance"}')
    server.send_raw(b"no JSON")
    push(server, "/market/ticker:BTC-USDT", {"value": 1})
    assert subscription.get(5).data == {"value": 1}
    stats = stream.stats()
    assert (stats["unrouted"], stats["unknown_types"], stats["unreadable"]) == (2, 1, 1)


def _start(topic: str) -> str:
    return f'{{"topic":"{topic}","type":"message","subject":"trade.ticker","data":'


def test_what_begins_like_a_push_and_is_none_is_skipped_and_counted(server: KucoinServer, stream: Stream) -> None:
    topic = "/market/ticker:BTC-USDT"
    one, other = stream.subscribe(topic), None
    for subscribed in range(2):
        for n in range(3):
            server.send_raw(_start(topic) + f'{{"n":{n}}}}}')
        server.send_raw(_start(topic) + '{"n":')
        server.send_raw(_start(topic) + '{"n":3}}')
        assert [one.get(5).data["n"] for _ in range(4)] == [0, 1, 2, 3]
        assert stream.stats()["unreadable"] == subscribed + 1
        if other is not None:
            assert [other.get(5).data["n"] for _ in range(4)] == [0, 1, 2, 3]
        other = other or stream.subscribe(topic)
    one.close()
    assert stream.stats()["unreadable"] == 2


def test_subscriptions_that_share_a_topic_share_its_messages(server: KucoinServer, stream: Stream) -> None:
    one, other = stream.subscribe("/market/ticker:BTC-USDT"), stream.subscribe("/market/ticker:BTC-USDT")
    for n in range(4):
        server.publish("/market/ticker:BTC-USDT", {"n": n})
        assert one.get(5) == other.get(5)


def test_a_tunnel_that_is_named_behind_the_data_is_seen(server: KucoinServer, stream: Stream) -> None:
    topic = "/market/ticker:BTC-USDT"
    outside = stream.subscribe(topic)
    for n in range(3):
        server.send_raw(_start(topic) + f'{{"n":{n}}}}}')
        assert outside.get(5).data == {"n": n}
    with stream.tunnel("bt1") as tunnel:
        inside = tunnel.subscribe(topic)
        server.send_raw(_start(topic) + '{"n":3},"tunnelId":"bt1"}')
        server.send_raw(_start(topic) + '{"n":4}}')
        assert inside.get(5).data == {"n": 3}
        assert outside.get(5).data == {"n": 4}
