"""What makes two pushes of a topic the same one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kucoin_sync.protocol import classic, uta_push
from kucoin_sync.protocol.message import UNREADABLE, Arrival, RawPush
from kucoin_sync.protocol.sameness import comparison_of, data_of, is_snapshot, whole_data
from kucoin_sync.topics.table import TABLE, Argument, Same

from ...support.messages import message, prefix_of


def value(topic: str, data: Any) -> Any:
    return comparison_of(topic).read(json.dumps(data).encode())


@pytest.mark.parametrize(
    ("topic", "one", "next_one"),
    [
        ("/market/ticker:BTC-USDT", {"sequence": "99", "Time": 5}, {"sequence": "100", "Time": 5}),
        ("/contractMarket/tickerV2:XBTUSDTM", {"sequence": 99}, {"sequence": 100}),
        ("/market/level2:BTC-USDT", {"sequenceStart": 3, "sequenceEnd": 99}, {"sequenceStart": 3, "sequenceEnd": 100}),
        ("/market/candles:BTC-USDT_1min", {"time": 2**60 + 1}, {"time": 2**60 + 2}),
        ("/spotMarket/level2Depth50:BTC-USDT", {"timestamp": 99}, {"timestamp": 100}),
        ("/uta/obu.SPOT:BTC-USDT_5", {"O": 99, "C": 99}, {"O": 99, "C": 100}),
        ("/uta/kline.SPOT:BTC-USDT_1min", {"O": 60, "v": "9.5"}, {"O": 60, "v": "10.5"}),
        ("/uta/kline.FUTURES:XBTUSDTM_1min", {"O": 60, "v": "99"}, {"O": "120", "v": 1}),
    ],
)
def test_positions_rise_as_numbers_however_they_are_spelt(topic: str, one: Any, next_one: Any) -> None:
    assert comparison_of(topic).rising
    assert value(topic, one) < value(topic, next_one)
    assert value(topic, one) == value(topic, {**one, "more": [{"sequence": 1}]})


@pytest.mark.parametrize(
    ("topic", "data", "others"),
    [
        ("/market/match:BTC-USDT", {"sequence": "7", "tradeId": "7", "time": "1"}, {"tradeId": "8"}),
        ("/contractMarket/execution:XBTUSDTM", {"sequence": 7, "tradeId": "7", "ts": 1}, {"sequence": 8}),
        (
            "/spotMarket/tradeOrdersV2",
            {"orderId": "a", "type": "match", "ts": 1, "filledSize": "1"},
            {"orderId": "b", "type": "filled", "ts": 2, "filledSize": "2", "canceledSize": "0"},
        ),
        ("/contractMarket/tradeOrders:XBTUSDTM", {"orderId": "a", "type": "open", "ts": 1}, {"ts": 2}),
        ("/uta/trade.SPOT:BTC-USDT", {"E": 7, "ti": "7", "M": 1}, {"E": 8}),
        ("/uta/execution.UNIFIED", {"s": "BTC-USDT", "oi": "0", "ti": 7}, {"ti": 8}),
        ("/account/balance", {"accountId": "1", "currency": "A", "total": "1"}, {"total": "2", "currency": "B"}),
    ],
)
def test_pushes_with_the_same_identity_are_the_same(topic: str, data: Any, others: dict[str, Any]) -> None:
    assert not comparison_of(topic).rising
    same = dict(reversed(data.items())) | {"more": 1}
    assert value(topic, data) == value(topic, same)
    for name, other in others.items():
        assert value(topic, data) != value(topic, {**data, name: other})


def test_numbers_and_texts_of_an_identity_are_the_same() -> None:
    assert value("/uta/trade.SPOT:BTC-USDT", {"E": 7, "ti": "7"}) == value(
        "/uta/trade.SPOT:BTC-USDT", {"E": "7", "ti": 7}
    )


@pytest.mark.parametrize("topic", ["/market/snapshot:BTC", "/contract/announcement", "/unknown/topic", None])
def test_of_other_topics_all_data_counts(topic: str | None) -> None:
    read = comparison_of(topic).read
    assert read(b' {"a": 1}') == read(b'{"a": 1}') == whole_data(b'{"a": 1}')
    assert read(b'{"a": 1}') != read(b'{"a": 2}')


@pytest.mark.parametrize("data", [b"{}", b"[]", b"", b'{"tradeId":""}', b'{"sequence":"x"'])
@pytest.mark.parametrize("topic", ["/market/ticker:BTC-USDT", "/market/match:BTC-USDT"])
def test_data_without_what_is_compared_is_unreadable(topic: str, data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        comparison_of(topic).read(data)


def test_the_data_of_a_push_is_the_same_decoded_or_not() -> None:
    decoded = message(7)
    start = decoded.raw[: decoded.raw.index(b'{"n"')]
    assert data_of(decoded) == data_of(RawPush(decoded.raw, Arrival(), prefix_of(start, "/a"))) == b'{"n": 7}'


@pytest.mark.parametrize(("kind", "expected"), [("snapshot", True), ("SNAPSHOT", True), ("delta", False)])
def test_a_snapshot_says_so(kind: str, expected: bool) -> None:
    frame = json.dumps({"T": "obu.SPOT", "dp": "5", "t": kind, "P": 1, "d": {"s": "BTC-USDT", "C": 1}}).encode()
    assert is_snapshot(uta_push.decode_push(frame)) is expected
    assert not is_snapshot(classic.decode_message(b'{"topic":"/a","data":{}}'))
    assert not is_snapshot(RawPush(b"{}", Arrival(), prefix_of(b"", "/a")))


def test_what_the_table_says_is_consistent() -> None:
    for row in TABLE:
        assert isinstance(row.same, Same)
        if row.same.rising:
            assert row.same.members
            assert row.argument not in (Argument.NONE, Argument.MARKET) or row.helper == "margin_position", (
                f"{row.prefix} has pushes of several symbols, whose positions do not rise together"
            )
        assert not row.same.joint or len(row.payloads) > 1
