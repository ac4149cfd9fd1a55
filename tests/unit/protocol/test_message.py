"""Messages: three views of the same bytes that always agree, whatever the bytes hold."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.payloads import Payload
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.message import (
    UNREAD,
    UNREADABLE,
    Arrival,
    Message,
    Origin,
    mismatches_of,
    payload_class,
    prepare,
)
from kucoin_sync.topics import TABLE

from ...support.messages import prefix_of
from ...support.selection import examples

# One frame of each shape: spot, private with an account, futures with `sn`, in a tunnel, without a type, data that is
# a list, a number, null or absent, without a topic.
TICKER = b"""{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"sequence":"204771",
"price":"0.0713","size":"2.05","bestAsk":"0.0714","bestAskSize":"11.25","bestBid":"0.0712","bestBidSize":"8",
"Time":1712000000123}}"""
ALL = b"""{"topic":"/market/ticker:all","type":"message","subject":"KCS-BTC","data":{"bestAsk":"0.00011",
"bestAskSize":"1","bestBid":"0.0001","bestBidSize":"2","price":"0.000105","sequence":"77","size":"0.5","time":1712000000124}}"""
LEVEL2 = b"""{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":{"asks":
[["71.25","0.5","301"]],"bids":[["70.75","0","300"]]},"sequenceEnd":301,"sequenceStart":300,"symbol":"BTC-USDT",
"time":1712000000125}}"""
CANDLES = b"""{"topic":"/market/candles:BTC-USDT_1hour","type":"message","subject":"trade.candles.update","data":{
"symbol":"BTC-USDT","candles":["1712000000","70.5","71","71.5","70","12.25","870.5"],"time":1712000000126000000}}"""
ORDER = b"""{"topic":"/spotMarket/tradeOrdersV2","type":"message","subject":"orderChange","userId":"5f0001",
"channelType":"private","data":{"clientOid":"c-1","orderId":"o-1","orderTime":1712000000127,"orderType":"limit",
"originSize":"0.5","remainSize":"0.5","filledSize":"0","canceledSize":"0","price":"70","side":"buy","size":"0.5",
"status":"open","symbol":"BTC-USDT","ts":1712000000127000000,"type":"open"}}"""
BALANCE = b"""{"topic":"/account/balance","type":"message","subject":"account.balance","id":"6a01","userId":"5f0001",
"channelType":"private","data":{"accountId":"9","available":"12.5","availableChange":"-0.5","currency":"USDT","hold":"0.5",
"holdChange":"0.5","relationContext":{"symbol":"BTC-USDT","orderId":"o-1"},"relationEvent":"trade.hold",
"relationEventId":"r-1","time":"1712000000128","total":"13"}}"""
FUTURES = b"""{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2","sn":1712000000129,
"data":{"symbol":"XBTUSDTM","sequence":1712000000129,"bestBidSize":5,"bestBidPrice":"70.5","bestAskPrice":"70.6",
"bestAskSize":7,"ts":1712000000129000000}}"""
LEVERAGE = b"""{"topic":"/contract/crossLeverage","type":"message","data":{"ETHUSDTM":{"leverage":"8"}},
"subject":"user.config","userId":"u","channelType":"private"}"""
FUNDING = b"""{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"funding.rate","data":{
"granularity":60000,"fundingRate":-0.002966,"timestamp":1712000000130}}"""
TUNNELLED = b"""{"id":"5c01","type":"message","topic":"/market/ticker:KCS-BTC","subject":"trade.ticker",
"tunnelId":"bt1","data":{"sequence":"1","price":"0.01","size":"1","bestAsk":"0.02","bestAskSize":"1","bestBid":"0.01",
"bestBidSize":"1"}}"""
UNTYPED = b'{"topic":"/new/untyped","subject":"s","data":{"a":1}}'
LIST = b'{"type":"message","topic":"/new/list:x","subject":"s","data":[1,2.5,null,true,"\xc3\xa9",[]]}'
NUMBER = b'{"type":"message","topic":"/new/number","subject":null,"data":-7}'
NULL = b'{"type":"message","topic":"/new/null","subject":"s","data":null}'
NO_DATA = b'{"type":"message","topic":"/new/bare","more":{"a":[1]}}'
NO_TOPIC = b'{"type":"message","data":{"a":1}}'

FRAMES = [
    *(TICKER, ALL, LEVEL2, CANDLES, ORDER, BALANCE, FUTURES, FUNDING, TUNNELLED),
    *(UNTYPED, LIST, NUMBER, NULL, NO_DATA, NO_TOPIC),
]
NAMES = [
    *("ticker", "all", "level2", "candles", "order", "balance", "futures", "funding", "tunnelled"),
    *("untyped", "list", "number", "null", "no data", "no topic"),
]
every_frame = pytest.mark.parametrize("frame", FRAMES, ids=NAMES)


def received(frame: bytes, arrival: Arrival | None = None) -> Message:
    """Return a message as one that came over a connection."""
    message = decode_message(frame)
    message.raw, message.origin = frame, Origin(arrival or Arrival(3, 1712000000999000000))
    return message


@every_frame
def test_a_message_reads_exactly_like_kucoins_json(frame: bytes) -> None:
    message, whole = received(frame), json.loads(frame)
    assert message.to_dict() == whole
    assert message == whole
    assert whole == message
    assert dict(message) == whole
    assert list(message) == list(whole)
    assert len(message) == len(whole)
    assert list(message.keys()) == list(whole)
    assert list(message.items()) == list(whole.items())
    assert list(message.values()) == list(whole.values())
    for key, value in whole.items():
        assert key in message
        assert message[key] == value
        assert message.get(key) == value
        assert message.get(key, "default") == value


@every_frame
def test_a_key_that_is_not_there_is_absent_in_every_way(frame: bytes) -> None:
    message = received(frame)
    assert "nothing" not in message
    assert 7 not in message
    assert message.get("nothing") is None
    assert message.get("nothing", 5) == 5
    with pytest.raises(KeyError, match="nothing"):
        message["nothing"]
    for key in {"data", "topic", "subject"} - json.loads(frame).keys():
        assert key not in message
        with pytest.raises(KeyError, match=key):
            message[key]


@every_frame
def test_attributes_say_the_same_as_keys(frame: bytes) -> None:
    message, whole = received(frame), json.loads(frame)
    assert message.type == whole.get("type", "message") == "message"
    assert message.topic == whole.get("topic")
    assert message.subject == whole.get("subject")
    assert message.data == whole.get("data")
    assert message.tunnel_id == whole.get("tunnelId")
    assert message.raw == frame


def test_a_message_counts_as_a_mapping() -> None:
    message = received(TICKER)
    assert isinstance(message, Mapping)
    assert {**message} == json.loads(TICKER)
    match message:
        case {"topic": topic, "data": {"price": price}}:
            assert (topic, price) == ("/market/ticker:BTC-USDT", "0.0713")
        case _:
            raise AssertionError("it does not match like a dict")


def test_the_data_stays_the_frames_bytes_until_somebody_reads_it() -> None:
    message = received(LEVEL2)
    assert bytes(message.wire_data) == LEVEL2[LEVEL2.index(b'{"changes"') : -1]
    assert json.loads(bytes(message.wire_data)) == message.data


def test_the_data_is_one_object_whichever_way_it_is_read_first() -> None:
    for first in (lambda message: message.data, lambda message: message["data"], lambda message: message.get("data")):
        message = received(TICKER)
        data = first(message)
        assert message.data is data
        assert message["data"] is data
        assert message.get("data") is data
        assert dict(message.items())["data"] is data
        data["price"] = "changed"
        assert message["data"]["price"] == "changed"
        assert message.to_dict()["data"]["price"] == "0.0713"


def test_to_dict_gives_a_new_dict_each_time() -> None:
    message = received(TICKER)
    assert message.to_dict() is not message.to_dict()


def test_reading_the_data_of_a_message_without_any_does_not_add_it() -> None:
    message = received(NO_DATA)
    assert message.data is None
    assert message.payload is None
    assert "data" not in message
    assert message.get("data", "default") == "default"
    with pytest.raises(KeyError, match="data"):
        message["data"]


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (received(TICKER, Arrival(9)), True),
        (json.loads(TICKER), True),
        (received(ALL), False),
        (json.loads(ALL), False),
        (TICKER, False),
        (5, False),
    ],
    ids=["same frame", "same dict", "other frame", "other dict", "bytes", "number"],
)
def test_messages_are_equal_by_their_frames(other: object, equal: bool) -> None:
    message = received(TICKER)
    assert (message == other) is equal
    assert (other == message) is equal
    assert (message != other) is not equal
    assert (other != message) is not equal


def test_a_message_can_not_be_hashed_like_the_dict_that_it_reads_like() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(received(TICKER))


def test_a_message_prints_its_topic_subject_and_data() -> None:
    assert repr(received(FUNDING)) == (
        "Message(topic='/contract/instrument:XBTUSDTM', subject='funding.rate', "
        "data={'granularity': 60000, 'fundingRate': -0.002966, 'timestamp': 1712000000130})"
    )


@every_frame
def test_a_message_comes_through_pickle_with_all_that_the_client_knows(frame: bytes) -> None:
    message = received(frame).with_lost(4)
    for twin in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):
        assert twin == message
        assert twin.raw == frame
        assert twin.data == message.data
        assert (twin.lost, twin.epoch, twin.received_ns) == (4, 3, 1712000000999000000)


def test_what_was_read_before_does_not_travel_in_a_pickle() -> None:
    message = received(TICKER)
    size = len(pickle.dumps(message))
    assert message["data"] and message.payload
    assert len(pickle.dumps(message)) == size


def test_a_message_knows_the_connection_and_the_time_of_its_batch() -> None:
    arrival = Arrival(7, 1712000001000000000)
    one, other = received(TICKER, arrival), received(ALL, arrival)
    assert (one.epoch, other.epoch) == (7, 7)
    assert (one.received_ns, other.received_ns) == (1712000001000000000,) * 2
    assert (decode_message(TICKER).epoch, decode_message(TICKER).received_ns) == (0, 0)


def test_with_lost_makes_another_message_of_the_same_frame() -> None:
    message = received(TUNNELLED)
    twin = message.with_lost(12)
    assert (message.lost, twin.lost) == (0, 12)
    assert twin is not message
    assert twin == message
    assert (twin.type, twin.topic, twin.subject, twin.tunnel_id) == (
        "message",
        "/market/ticker:KCS-BTC",
        "trade.ticker",
        "bt1",
    )
    assert twin.data == message.data
    assert twin.to_dict() == message.to_dict()
    assert twin.origin is message.origin


# Typed payloads


@pytest.mark.parametrize(
    ("frame", "struct"),
    [
        (TICKER, "Ticker"),
        (ALL, "Ticker"),
        (LEVEL2, "Level2Update"),
        (CANDLES, "Candles"),
        (ORDER, "OrderChange"),
        (BALANCE, "Balance"),
        (FUTURES, "FuturesTickerV2"),
        (FUNDING, "FundingRate"),
        (TUNNELLED, "Ticker"),
    ],
)
def test_the_payload_is_the_struct_of_topic_and_subject(frame: bytes, struct: str) -> None:
    mismatches: list[Message] = []
    message = received(frame, Arrival(payload_mismatch=mismatches.append))
    assert type(message.payload).__name__ == struct
    assert message.payload is message.payload
    assert mismatches == []


def test_the_payload_has_exact_numbers() -> None:
    assert received(TICKER).payload.price == Decimal("0.0713")
    assert received(FUNDING).payload.time_ns == 1712000000130000000


@pytest.mark.parametrize("frame", FRAMES[-6:], ids=NAMES[-6:])
def test_without_a_struct_the_payload_is_the_plain_data(frame: bytes) -> None:
    mismatches: list[Message] = []
    message = received(frame, Arrival(payload_mismatch=mismatches.append))
    assert message.payload == json.loads(frame).get("data")
    assert message.payload is message.data
    assert mismatches == []


@pytest.mark.parametrize(
    "data",
    [b"[]", b"7", b'"text"', b"null", b'{"price":{"a":1}}', b'{"price":"not a number"}', b"[" * 300 + b"]" * 300],
)
def test_a_payload_of_no_use_is_the_struct_without_a_price_and_is_counted_once(data: bytes) -> None:
    mismatches: list[Message] = []
    frame = b'{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":' + data + b"}"
    message = received(frame, Arrival(payload_mismatch=mismatches.append))
    assert isinstance(message.payload, Payload)
    assert (message.payload.price, message.payload.best_bid, message.payload.time_ns) == (None, None, 0)
    assert message.data == json.loads(data)
    assert message.payload is message.payload
    assert len(mismatches) == 1
    assert mismatches[0] is message


def test_a_payload_with_something_odd_needs_nobody_who_counts() -> None:
    message = received(b'{"type":"message","topic":"/market/ticker:BTC-USDT","data":[1]}')
    assert message.payload.price is None
    assert message.payload.extra == {"data": [1]}


def test_a_known_topic_without_data_has_a_payload_without_values() -> None:
    message = received(b'{"type":"message","topic":"/market/ticker:BTC-USDT"}')
    assert message.payload.price is None
    assert mismatches_of(message) == ("there is no data",)


@pytest.mark.parametrize("frame", FRAMES, ids=NAMES)
def test_preparing_a_wanted_topic_changes_no_payload(frame: bytes) -> None:
    mismatches: list[Message] = []
    before = received(frame, Arrival(payload_mismatch=mismatches.append)).payload
    topic = json.loads(frame).get("topic", "")
    for _ in range(2):
        prepare(topic)
        after = received(frame, Arrival(payload_mismatch=mismatches.append))
        assert after.payload == before
        assert type(after.payload) is type(before)
    assert mismatches == []


def test_a_mismatch_of_a_prepared_topic_is_counted_too() -> None:
    mismatches: list[Message] = []
    prepare("/market/ticker:PREPARED-USDT")
    frame = b'{"type":"message","topic":"/market/ticker:PREPARED-USDT","subject":"trade.ticker","data":[1]}'
    message = received(frame, Arrival(payload_mismatch=mismatches.append))
    assert (message.payload.price, message.payload.extra) == (None, {"data": [1]})
    assert len(mismatches) == 1
    assert mismatches[0] is message


@pytest.mark.parametrize(
    ("subject", "data", "struct"),
    [
        (
            "mark.index.price",
            '{"granularity":1000,"indexPrice":70.5,"markPrice":70.25,"timestamp":1712000000130}',
            "MarkIndexPrice",
        ),
        ("funding.rate", '{"granularity":60000,"fundingRate":-0.0029,"timestamp":1712000000130}', "FundingRate"),
    ],
)
def test_a_prepared_topic_of_several_subjects_still_goes_by_its_subject(subject: str, data: str, struct: str) -> None:
    topic = "/contract/instrument:PREPAREDUSDTM"
    prepare(topic)
    frame = f'{{"type":"message","topic":"{topic}","subject":"{subject}","data":{data}}}'.encode()
    assert type(received(frame).payload).__name__ == struct


@pytest.mark.parametrize(
    ("topic", "subject", "struct"),
    [
        ("/market/ticker:BTC-USDT", "trade.ticker", "Ticker"),
        ("/market/ticker:all", "KCS-BTC", "Ticker"),
        ("/market/ticker:x,y", None, "Ticker"),
        ("/market/level3:BTC-USDT", "trade.l3open", "Level3Open"),
        ("/market/level3:BTC-USDT", "trade.new", None),
        ("/market/level3:BTC-USDT", None, None),
        ("/margin/position", "debt.ratio", "DebtRatio"),
        ("/margin/position", "position.status", "PositionStatus"),
        ("/contract/position:XBTUSDTM", "position.settlement", "PositionSettlement"),
        ("/contract/instrument:XBTUSDTM", "mark.index.price", "MarkIndexPrice"),
        ("/contractMarket/tradeOrders:XBTUSDTM", "symbolOrderChange", "FuturesOrderChange"),
        ("/account/balance", "*", "Balance"),
        ("/no/such", "x", None),
        ("", "x", None),
        (None, "x", None),
    ],
)
def test_the_struct_depends_on_the_prefix_and_the_subject(
    topic: str | None, subject: str | None, struct: str | None
) -> None:
    found = payload_class(topic, subject)
    assert (found.__name__ if found else None) == struct


@pytest.mark.parametrize("prefix", sorted({row.prefix for row in TABLE if "*" not in row.payloads}))
@pytest.mark.parametrize("subject", ['"new"', "null"])
def test_a_subject_without_a_struct_is_a_mismatch_where_others_have_one(prefix: str, subject: str) -> None:
    mismatches: list[Message] = []
    frame = f'{{"type":"message","topic":"{prefix}:A","subject":{subject},"data":{{"a":1}}}}'.encode()
    message = received(frame, Arrival(payload_mismatch=mismatches.append))
    for _ in range(2):
        assert message.payload is message.data
    assert mismatches == [message]
    assert mismatches_of(message) == (f"no struct is known for the subject {json.loads(subject)!r}",)
    other = received(frame.replace(prefix.encode(), b"/no/such"), Arrival(payload_mismatch=mismatches.append))
    assert (other.payload, mismatches_of(other)) == ({"a": 1}, ())
    assert mismatches == [message]


# Decoded with its data, as for who is known to read it


@pytest.mark.parametrize("frame", [TICKER, ALL, LEVEL2, CANDLES, FUTURES, FUNDING, LEVERAGE])
@pytest.mark.parametrize("reading", range(3))
def test_a_message_that_was_made_of_its_data_reads_as_any_other(frame: bytes, reading: int) -> None:
    other = received(frame)
    cls = payload_class(other.topic, other.subject)
    assert cls is not None
    data = bytes(other.wire_data)
    prefix = prefix_of(frame[: frame.index(data)], other.topic or "", other.subject)
    make, decode = prefix.readings[reading]
    message = make(other.topic, 0, frame, Origin(other.origin.arrival, prefix), UNREAD, UNREAD, None, decode(data))
    assert message == other
    assert (message.type, message.topic, message.subject) == ("message", other.topic, other.subject)
    assert (message.tunnel_id, message.epoch, message.received_ns) == (None, other.epoch, other.received_ns)
    assert bytes(message.wire_data) == bytes(other.wire_data)
    assert message.data == other.data == message["data"]
    assert message.payload == other.payload
    assert type(message.payload) is cls
    assert repr(message) == repr(other)


# What the wire must not do


@pytest.mark.parametrize("name", ["~origin", "~lost", "~data", "~payload", "~whole"])
@pytest.mark.parametrize("value", ["0", "1", "-1", "null", "true", '""', '"AA=="', "1.5", "[]", "{}", '{"epoch":9}'])
def test_a_frame_that_names_a_field_of_ours_is_refused(name: str, value: str) -> None:
    with pytest.raises(UNREADABLE):
        decode_message(f'{{"type":"message","topic":"/a/b","{name}":{value}}}'.encode())


@pytest.mark.parametrize(
    "name", ["raw", "lost", "arrival", "_data", "_payload", "_whole", "wire_data", "tunnel_id", "epoch", "received_ns"]
)
def test_the_wire_can_not_set_an_attribute_by_its_name(name: str) -> None:
    frame = f'{{"type":"message","topic":"/a/b","data":1,"{name}":5}}'.encode()
    message = received(frame)
    assert (message.raw, message.lost, message.epoch, message.data, message.tunnel_id) == (frame, 0, 3, 1, None)
    assert message[name] == 5


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"[]",
        b"[1]",
        b"5",
        b'"message"',
        b"null",
        b'{"type":1}',
        b'{"type":null}',
        b'{"type":""}',
        b'{"type":"ack","id":"1"}',
        b'{"topic":1}',
        b'{"topic":["/a/b"]}',
        b'{"subject":{}}',
        b'{"tunnelId":7}',
        b'{"data":NaN}',
        b'{"data":Infinity}',
        b'{"data":01}',
        b'{"data":"a\nb"}',
        b'{"data":"\\ud800"}',
        b'{"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"\xff\xfe",
    ],
    ids=lambda frame: repr(frame[:20]),
)
def test_what_is_no_message_is_refused_with_one_of_the_expected_errors(frame: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode_message(frame)


@pytest.mark.parametrize("order", ["type topic subject tunnelId data", "data tunnelId topic subject", "tunnelId topic"])
def test_an_empty_tunnel_is_none(order: str) -> None:
    sample = {"type": "message", "topic": "/a/b", "subject": "s", "tunnelId": "", "data": {"a": 1}}
    whole = {key: sample[key] for key in order.split()}
    message = received(json.dumps(whole).encode())
    for twin in (message, copy.copy(message), pickle.loads(pickle.dumps(message))):
        assert (twin.tunnel_id, twin.topic, twin.type) == (None, "/a/b", "message")
        assert (twin.subject, twin.data) == (whole.get("subject"), whole.get("data"))
        assert twin == whole


@pytest.mark.parametrize("subject", [5, -1.5, True, {}, {"a": [1]}, [], ["s"]])
def test_a_subject_that_is_no_text_is_none(subject: object) -> None:
    whole = {"type": "message", "topic": "/market/match:A-B", "subject": subject, "data": {"price": "1"}}
    message = received(json.dumps(whole).encode())
    for twin in (message, copy.copy(message), pickle.loads(pickle.dumps(message))):
        assert (twin.subject, twin.topic, twin.payload.price) == (None, "/market/match:A-B", 1)
        assert twin == whole


def test_a_number_beyond_all_bounds_is_no_error() -> None:
    digits = "9" * 5000
    frame = f'{{"type":"message","topic":"/a/b","data":{{"i":{digits},"f":1e999,"n":-{digits}}},"sn":{digits}}}'
    message = received(frame.encode())
    assert message.data["i"] == Decimal(digits)
    assert message.data["n"] == Decimal(f"-{digits}")
    assert message.data["f"] == float("inf")
    assert message["sn"] == Decimal(digits)
    assert message.get("sn") == message.to_dict()["sn"]
    assert message.payload is message.data


@pytest.mark.parametrize("length", [19, 20, 21, 300, 3999])
def test_a_long_integer_stays_exact(length: int) -> None:
    message = received(b'{"type":"message","topic":"/a/b","data":[' + b"9" * length + b",1e999]}")
    assert message.data == [10**length - 1, float("inf")]
    assert type(message.data[0]) is int


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
EXTRA = st.dictionaries(st.sampled_from(["sn", "id", "userId", "channelType", "new", "größe"]), JSON, max_size=3)


@settings(max_examples=examples(150), deadline=None)
@given(
    topic=st.sampled_from([None, "/new/topic:x", "/market/ticker:BTC-USDT", "/account/balance"]),
    data=JSON,
    extra=EXTRA,
    escaped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_any_json_comes_through_in_every_view(
    topic: str | None, data: Any, extra: dict[str, Any], escaped: bool, indent: int | None
) -> None:
    whole = {"topic": topic, **extra, "type": "message", "data": data}
    frame = json.dumps(whole, ensure_ascii=escaped, indent=indent).encode()
    counted: list[Message] = []
    message = received(frame, Arrival(payload_mismatch=counted.append))
    assert message == json.loads(frame) == whole
    assert message.data == data
    assert message.topic == topic
    assert list(message.items()) == list(whole.items())
    if topic in ("/market/ticker:BTC-USDT", "/account/balance"):
        assert isinstance(message.payload, Payload)
        assert len(counted) == bool(mismatches_of(message))
    else:
        assert message.payload is message.data
        assert not counted
    assert pickle.loads(pickle.dumps(message)).to_dict() == whole


def test_every_subject_of_the_table_is_known() -> None:
    for row in TABLE:
        for subject, cls in row.payloads.items():
            assert payload_class(f"{row.prefix}:x", subject) is cls


def test_only_a_dialect_knows_how_to_decode_a_frame() -> None:
    with pytest.raises(NotImplementedError):
        Message.decode_frame(TICKER)


def test_tab_completion_leaves_out_what_is_for_this_package() -> None:
    names = dir(received(TICKER))
    assert {"topic", "subject", "data", "payload", "lost", "to_dict"} <= set(names)
    assert not {"decode_frame", "data_key", "origin", "wire_data", "with_lost"} & set(names)


def pushed(topic: str, data: object, subject: str = "s") -> Message:
    frame = json.dumps({"type": "message", "topic": topic, "subject": subject, "data": data}).encode()
    made = decode_message(frame)
    made.raw = frame
    return made


@pytest.mark.parametrize(
    ("topic", "subject", "data", "symbol"),
    [
        ("/market/match:BTC-USDT", "trade.l3match", {"symbol": "odd"}, "BTC-USDT"),
        ("/market/ticker:all", "KCS-BTC", {}, "KCS-BTC"),
        ("/market/snapshot:BTC", "s", {"sequence": "1", "data": {"symbol": "KCS-BTC"}}, "KCS-BTC"),
        ("/spotMarket/tradeOrdersV2", "orderChange", {"symbol": "BTC-USDT"}, "BTC-USDT"),
        ("/spotMarket/tradeOrdersV2", "orderChange", {"symbol": ""}, None),
        ("/spotMarket/tradeOrdersV2", "orderChange", {"symbol": 5}, "5"),
        ("/spotMarket/tradeOrdersV2", "orderChange", [], None),
        ("/contract/announcement", "funding.begin", {"symbol": "XBTUSDTM"}, "XBTUSDTM"),
        ("/account/balance", "account.balance", {"symbol": "BTC-USDT"}, None),
        ("/contract/crossLeverage", "user.config", {"ETHUSDTM": {"leverage": "8"}}, None),
        ("/new/topic:BTC-USDT", "s", {"symbol": "BTC-USDT"}, None),
    ],
)
def test_the_symbol_comes_from_topic_subject_or_data(
    topic: str, subject: str, data: object, symbol: str | None
) -> None:
    assert pushed(topic, data, subject).symbol == symbol


def test_a_message_without_a_topic_has_no_symbol() -> None:
    assert Message().symbol is None


def test_the_symbol_of_a_topic_decodes_no_data() -> None:
    message = pushed("/market/match:BTC-USDT", {"symbol": "BTC-USDT"})
    assert message.symbol == "BTC-USDT"
    assert message.data_read is message.payload_read is UNREAD


@pytest.mark.parametrize("frame", [TICKER, FUTURES])
def test_json_takes_the_dict_of_a_message_and_says_so(frame: bytes) -> None:
    message = decode_message(frame)
    message.raw = frame
    assert json.loads(json.dumps(message.to_dict())) == json.loads(frame)
    for each in (message, pickle.loads(pickle.dumps(message))):
        with pytest.raises(TypeError, match=r"^Object of type Message \(.*\.to_dict\(\) is for JSON\) is not JSON "):
            json.dumps(each)


@pytest.mark.parametrize("frame", [TICKER, FUTURES])
def test_a_missing_attribute_of_a_message_says_where_its_values_are(frame: bytes) -> None:
    with pytest.raises(AttributeError, match=r"^'Message \(see its \.payload; .*\)' object has no attribute 'price'"):
        decode_message(frame).price  # type: ignore[attr-defined]  # noqa: B018
