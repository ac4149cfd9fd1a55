"""The pushes of the UTA feed: their topics, whatever the case, and their messages in all views."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import payloads as p
from kucoin_sync.protocol.message import UNREADABLE, Arrival, Origin
from kucoin_sync.protocol.uta_push import decode_envelope, decode_push, is_told_by_symbol, key_of, readings_of

TICKER = b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"E":35866825780,"l":"70.5","s":"BTC-USDT"}}'


@pytest.mark.parametrize(
    ("message", "topic"),
    [
        ({"T": "ticker.SPOT", "d": {"s": "BTC-USDT"}}, "/uta/ticker.SPOT:BTC-USDT"),
        ({"T": "TICKER.spot", "d": {"s": "btc-usdt"}}, "/uta/ticker.SPOT:BTC-USDT"),
        ({"T": "trade.FUTURES", "d": {"s": "XBTUSDTM"}}, "/uta/trade.FUTURES:XBTUSDTM"),
        ({"T": "kline.SPOT", "d": {"i": "1MIN", "s": "BTC-USDT"}}, "/uta/kline.SPOT:BTC-USDT_1min"),
        ({"T": "obu.spot", "dp": "5", "t": "snapshot", "d": {"s": "BTC-USDT"}}, "/uta/obu.SPOT:BTC-USDT_5"),
        ({"T": "obu.SPOT", "dp": 50, "d": {"s": "BTC-USDT"}}, "/uta/obu.SPOT:BTC-USDT_50"),
        (
            {"T": "obu.FUTURES", "dp": "Increment@10ms", "t": "delta", "d": {"s": "XBTUSDTM"}},
            "/uta/obu.FUTURES:XBTUSDTM_increment@10ms",
        ),
        ({"T": "mark-price", "d": {"s": "XBTUSDTM"}}, "/uta/mark-price:XBTUSDTM"),
        ({"T": "mark-price.FUTURES", "d": {"s": "XBTUSDTM"}}, "/uta/mark-price:XBTUSDTM"),
        ({"T": "funding-fee-all-symbols", "d": [{"s": "XBTUSDTM"}]}, "/uta/funding-fee-all-symbols"),
        ({"T": "callAuctionInfo.SPOT", "t": "snapshot", "d": {"s": "A-USDT"}}, "/uta/callAuctionInfo:A-USDT"),
        ({"T": "callAuctionInfo", "d": {"s": "A-USDT"}}, "/uta/callAuctionInfo:A-USDT"),
        ({"T": "orderAll.UNIFIED", "d": {"s": "BTC-USDT"}}, "/uta/orderAll.UNIFIED"),
        ({"T": "order.UNIFIED", "d": {"s": "BTC-USDT"}}, "/uta/order.UNIFIED:BTC-USDT"),
        ({"T": "execution.lite.UNIFIED", "d": {"s": "BTC-USDT"}}, "/uta/execution.lite.UNIFIED"),
        ({"T": "balance.unified", "d": {"c": "BTC"}}, "/uta/balance.UNIFIED"),
        ({"T": "news.SPOT", "d": {"s": "BTC-USDT"}}, "/uta/news.SPOT:BTC-USDT"),
        ({"T": "ticker.SPOT", "d": None}, "/uta/ticker.SPOT"),
        ({"T": "ticker.SPOT", "d": {"s": None}}, "/uta/ticker.SPOT"),
        ({"T": "ticker.SPOT", "d": {"s": 7}}, "/uta/ticker.SPOT:7"),
        ({"T": "ticker.SPOT", "d": {"s": True}}, "/uta/ticker.SPOT"),
        ({"T": "ticker.SPOT", "d": {"s": ["BTC-USDT"]}}, "/uta/ticker.SPOT"),
    ],
)
def test_a_push_names_its_topic(message: dict[str, Any], topic: str) -> None:
    decoded = decode_push(json.dumps(message).encode())
    assert (decoded.topic, decoded.subject) == (topic, message["T"])
    assert decoded.data == message["d"]
    assert decoded.type == message.get("t", "message")


@pytest.mark.parametrize(
    "frame", [b"", b"[]", b"7", b"{}", b'{"T":"x"}', b'{"d":{}}', b'{"T":null,"d":{}}', b'{"T":"x","d":}']
)
def test_a_frame_without_channel_or_data_is_no_push(frame: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode_push(frame)


def test_a_message_has_kucoins_keys_and_the_attributes_of_all_feeds() -> None:
    message = decode_push(TICKER)
    message.raw, message.origin = TICKER, Origin(Arrival(3, 4))
    assert (message.topic, message.subject, message.type) == ("/uta/ticker.SPOT:BTC-USDT", "ticker.SPOT", "message")
    assert (message.epoch, message.received_ns, message.tunnel_id) == (3, 4, None)
    assert message["T"] == message.subject
    assert message["d"] is message.data
    assert message["P"] == 1787348157834794005
    assert message.get("dp") is None
    assert "topic" not in message
    assert message == json.loads(TICKER)
    assert isinstance(message.payload, p.UtaSpotTicker)
    assert message.payload.price == Decimal("70.5")
    twin = pickle.loads(pickle.dumps(message))
    assert (twin, twin.topic, twin.epoch, twin.data) == (message, message.topic, 3, message.data)
    with pytest.raises(KeyError):
        message["data"]


def test_a_message_without_data_says_so() -> None:
    message = decode_push(b'{"T":"ticker.SPOT","d":null}')
    message.raw = b'{"T":"ticker.SPOT","d":null}'
    assert (message["d"], message.data) == (None, None)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (TICKER, True),
        (b'{"T":"obu.SPOT","dp":"5","d":{"s":"BTC-USDT"}}', True),
        (b'{"T":"obu.SPOT","d":{"s":"BTC-USDT"}}', False),
        (b'{"T":"kline.SPOT","d":{"s":"BTC-USDT","i":"1min"}}', False),
        (b'{"T":"orderAll.UNIFIED","d":{"s":"BTC-USDT"}}', False),
        (b'{"T":"ticker.SPOT","d":{}}', False),
        (b'{"T":"news","d":{"s":"BTC-USDT"}}', False),
    ],
)
def test_which_pushes_the_symbol_tells_apart(frame: bytes, told: bool) -> None:
    assert is_told_by_symbol(key_of(decode_envelope(frame))) is told


def test_a_payload_without_a_struct_is_read_as_it_is() -> None:
    undecoded, as_payload, plain, more = readings_of(None)
    assert undecoded == as_payload == more
    assert plain[1](b'{"a":1}') == {"a": 1}
