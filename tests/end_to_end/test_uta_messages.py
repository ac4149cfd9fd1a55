"""Messages of the UTA feed on their way from the server to the user: each shape, each spelling, and any data at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_sync import Limits, Stream, Subscription
from kucoin_sync import payloads as p
from kucoin_sync.payloads import Payload
from kucoin_sync.testing import KucoinServer
from kucoin_sync.topics.table import TABLE

from ..support.selection import examples, first
from ..unit.payloads.uta_shapes import UTA_SHAPES

#: What the envelope of a message has besides `T`, `P` and `d`; KuCoin's spelling of `T`; and the time of the push.
_MORE = {
    p.UtaBook: {"dp": "increment@10ms", "t": "delta"},
    p.UtaCallAuction: {"t": "snapshot"},
}
_SUBJECTS = {"callAuctionInfo": "callAuctionInfo.SPOT"}
_PUSHED = 1787348157834794005


def topic_of(shape: type[Payload], data: Any) -> str:
    """Return the topic as which a payload comes."""
    symbol = data.get("s", "") if isinstance(data, dict) else ""
    kind = "FUTURES" if symbol.endswith("M") else "SPOT"
    rows = [row for row in TABLE if row.dialect == "uta" and shape in row.payloads.values()]
    row = next((row for row in rows if row.prefix.endswith(f".{kind}")), rows[0])
    if row.argument.value == "":
        return row.prefix
    suffix = {p.UtaCandle: "_1min", p.UtaBook: "_increment@10ms"}.get(shape, "")
    return f"{row.prefix}:{symbol}{suffix}"


def spellings(topic: str, shape: type[Payload], text: str) -> Iterator[tuple[str, str]]:
    """Yield messages of a topic in the forms that KuCoin has used, each with its `T`."""
    channel = topic.partition(":")[0].removeprefix("/uta/")
    subject = _SUBJECTS.get(channel, channel)
    more = "".join(f',"{key}":"{value}"' for key, value in _MORE.get(shape, {}).items())
    yield subject, f'{{"T":"{subject}"{more},"P":{_PUSHED},"d":{text}}}'
    yield subject, f'{{"T": "{subject}"{more.replace(":", ": ").replace(",", ", ")}, "P": {_PUSHED}, "d": {text}}}'
    yield subject, f'{{"d":{text},"P":"{_PUSHED}"{more},"T":"{subject}"}}'
    yield subject.lower(), f'{{"P":{_PUSHED},"new":[1],"T":"{subject.lower()}"{more},\n"d":{text} }}\n'


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[KucoinServer, Stream]]:
    """A local KuCoin and a stream to it for all tests of this module; no test opens a connection."""
    with KucoinServer() as server, Stream(**server.stream_options, limits=Limits(idle_seconds=1000)) as stream:
        stream.subscribe("/uta/funding-fee:XBTUSDTM", "/uta/ticker.SPOT:BTC-USDT", "/uta/orderAll.UNIFIED").close()
        yield server, stream


@pytest.mark.parametrize(
    ("shape", "text", "read"), UTA_SHAPES, ids=[f"{n}-{shape.__name__}" for n, (shape, *_) in enumerate(UTA_SHAPES)]
)
def test_a_message_of_each_shape_is_read_field_by_field_and_given_as_it_was_sent(
    served: tuple[KucoinServer, Stream], shape: type[Payload], text: str, read: dict[str, Any]
) -> None:
    server, stream = served
    topic = topic_of(shape, json.loads(text))
    before = stream.stats()
    with stream.subscribe(topic) as subscription:
        for text_frames in (False, True):
            for subject, frame in spellings(topic, shape, text):
                for connection in server.connections:
                    if topic in connection.topics:
                        connection.send_raw(frame, 1) if text_frames else connection.send_raw(frame)
                check(subscription, topic, subject, frame, read, shape)
    after = stream.stats()
    assert after["messages"] - before["messages"] == 8
    for count in ("unreadable", "unknown_types", "unrouted", "misfits"):
        assert after[count] == before[count]


def check(
    subscription: Subscription, topic: str, subject: str, frame: str, read: dict[str, Any], shape: type[Payload]
) -> None:
    sent = json.loads(frame)
    message = subscription.get(timeout=10)
    assert (message.topic, message.subject, message.lost, message.epoch > 0) == (topic, subject, 0, True)
    assert type(message.payload) is shape
    assert {name: getattr(message.payload, name) for name in read} == read
    assert message.raw == frame.encode()
    assert message["T"] == subject
    assert message["d"] is message.data
    assert message.to_dict() == dict(message) == sent
    assert message.type == sent.get("t", "message")


KEYS = st.sampled_from(["s", "i", "l", "p", "q", "E", "M", "S", "C", "O", "a", "b", "ts", "T", "d", "dp"]) | st.text(
    max_size=3
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "topic", first("/uta/ticker.SPOT:BTC-USDT", "/uta/obu.FUTURES:XBTUSDTM_5", "/uta/orderAll.UNIFIED")
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(datas=st.lists(st.tuples(st.dictionaries(KEYS, VALUES, max_size=6), st.integers(0, 6)), min_size=1, max_size=6))
def test_any_object_as_data_is_a_message_that_is_not_lost(
    served: tuple[KucoinServer, Stream], topic: str, datas: list[tuple[dict[str, Any], int]]
) -> None:
    server, stream = served
    name, _, argument = topic.removeprefix("/uta/").partition(":")
    symbol, _, depth = argument.partition("_")
    before = stream.stats()
    with stream.subscribe(topic) as subscription:
        [connection] = [each for each in server.connections if topic in each.topics]
        sent = [with_symbol(data, symbol, place) for data, place in datas]
        for data in sent:
            envelope = {"T": name, "P": _PUSHED, **({"dp": depth} if depth else {}), "d": data}
            assert connection.send_raw(json.dumps(envelope))
        got = [subscription.get(timeout=10) for _ in sent]
        assert [message["d"] for message in got] == [message.data for message in got] == sent
        for message, data in zip(got, sent, strict=True):
            payload = message.payload
            assert isinstance(payload, Payload) or payload == data, "a struct, or the data itself where it is none"
            assert (message.topic, message.lost, json.loads(message.raw)["d"]) == (topic, 0, data)
        assert subscription.pending == 0
    after = stream.stats()
    for count in ("unreadable", "unrouted", "disconnects"):
        assert after[count] == before[count]


def with_symbol(data: dict[str, Any], symbol: str, place: int) -> dict[str, Any]:
    """Return data with a symbol as its n-th member."""
    members = [(key, value) for key, value in data.items() if key != "s" or not symbol]
    return dict([*members[:place], *([("s", symbol)] if symbol else []), *members[place:]])
