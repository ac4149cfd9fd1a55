"""The patterns by which the pushes of the UTA feed are routed agree with a full parse, always."""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.protocol.envelopes import Decoder, FrameBatch, Pushes, channel_of
from kucoin_sync.protocol.message import UNREADABLE, Arrival, RawPush
from kucoin_sync.protocol.uta_push import decode_push
from kucoin_sync.protocol.uta_reader import UtaReader

from ...support.selection import examples

ARRIVAL = Arrival(1, 2)
COMPACT, SPACED = (",", ":"), (", ", ": ")
ORDERS = ("first", "inside", "last")


def push(
    channel: str = "ticker.SPOT",
    symbol: str = "BTC-USDT",
    *,
    order: str = "last",
    spaces: tuple[str, str] = COMPACT,
    time_ns: int = 1787348157834794005,
    price: str = "70.5",
    **more: object,
) -> bytes:
    """Return a frame of the push, with the symbol in one of three places."""
    data: list[tuple[str, object]] = [("E", 35866825780), ("S", "SELL"), ("b", "78280.5"), ("l", price)]
    data.insert({"first": 0, "inside": 2, "last": 4}[order], ("s", symbol))
    return json.dumps({"T": channel, **more, "P": time_ns, "d": dict(data)}, separators=spaces).encode()


def read(reader: UtaReader, frames: list[bytes]) -> Pushes:
    """Return pushes as a session gets them."""
    found = reader.recognise(frames, ARRIVAL)
    return [reader.push(frame, ARRIVAL) for frame in frames] if found is None else found


@pytest.mark.parametrize(
    "frame",
    [b"", b"{}", b'{"T":"x"}', b'{"d":{}}', b'{"T":7,"d":{}}', b'{"T":"x","d":}', b'{"T":"x","d":{}', b"[]", b"7",
     b'{"id":"1","result":true}'],
)  # fmt: skip
def test_a_frame_without_channel_or_data_is_no_push(frame: bytes) -> None:
    for reader in (UtaReader(), trained(push())):
        with pytest.raises(UNREADABLE):
            reader.push(frame, ARRIVAL)


def trained(*frames: bytes) -> UtaReader:
    reader = UtaReader()
    for frame in frames:
        reader.push(frame, ARRIVAL)
    return reader


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("spaces", [COMPACT, SPACED])
def test_frames_of_a_known_topic_are_not_decoded(order: str, spaces: tuple[str, str]) -> None:
    reader = trained(push(order=order, spaces=spaces))
    frames = [push(order=order, spaces=spaces, time_ns=10**18 + n, price="1" * (n + 1)) for n in range(5)]
    found = reader.recognise(frames, ARRIVAL)
    assert isinstance(found, FrameBatch)
    assert found.prefix is not None
    assert found.prefix.channel == ("/uta/ticker.SPOT:BTC-USDT", "ticker.SPOT")
    messages = list(Decoder().decode_all(found))
    assert [message.payload.price for message in messages] == [int("1" * (n + 1)) for n in range(5)]
    assert [message["P"] for message in messages] == [10**18 + n for n in range(5)]
    [alone] = reader.recognise(frames[:1], ARRIVAL) or ()
    assert isinstance(alone, RawPush)
    assert alone.prefix is found.prefix


@pytest.mark.parametrize("order", ORDERS)
def test_frames_of_several_known_topics_are_not_decoded(order: str) -> None:
    symbols = [f"C{n}-USDT" for n in range(20)]
    reader = trained(*(push(symbol=symbol, order=order) for symbol in symbols))
    found = reader.recognise([push(symbol=symbol, order=order) for symbol in symbols * 2], ARRIVAL)
    assert isinstance(found, FrameBatch)
    assert [raw.prefix.channel[0] for raw in found] == [f"/uta/ticker.SPOT:{symbol}" for symbol in symbols * 2]


def test_frames_of_several_channels_and_forms_are_not_decoded() -> None:
    frames = [
        push(channel, symbol, order=order, spaces=spaces)
        for channel in ("ticker.SPOT", "trade.SPOT", "TRADE.spot")
        for symbol in ("BTC-USDT", "ETH-USDT")
        for order in ORDERS
        for spaces in (COMPACT, SPACED)
    ]
    mixed = Random(7).sample(frames * 2, 2 * len(frames))
    found = trained(*frames).recognise(mixed, ARRIVAL)
    assert isinstance(found, FrameBatch)
    assert [channel_of(raw) for raw in found] == [(each.topic, each.subject) for each in map(decode_push, mixed)]


def test_depth_and_type_of_a_book_are_told_apart() -> None:
    kinds = [("5", "snapshot"), ("50", "snapshot"), ("increment@10ms", "snapshot"), ("increment@10ms", "delta")]
    frames = [push("obu.SPOT", dp=depth, t=kind) for depth, kind in kinds]
    found = trained(*frames).recognise(frames * 3, ARRIVAL)
    assert isinstance(found, FrameBatch)
    messages = list(Decoder().decode_all(found))
    assert [message.type for message in messages] == [kind for _, kind in kinds] * 3
    assert [message.topic for message in messages] == [f"/uta/obu.SPOT:BTC-USDT_{depth}" for depth, _ in kinds] * 3


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "odd",
    [
        push("trade.SPOT"),
        push("ticker.FUTURES"),
        push(symbol="ETH-USDT"),
        push(symbol="1BTC-USDT"),
        push(symbol="BTC-USDT2"),
        push(time_ns=1787348157834),
        push(more=1),
        push(price=',"s":"BTC-USDT"}}'),
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"s":"ETH-USDT","x":1},"e":{"l":"1","s":"BTC-USDT"}}',
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"s":"ETH-USDT","x":{"l":"1","s":"BTC-USDT"}}}',
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"x":[{"l":"1","s":"BTC-USDT"}],"s":"ETH-USDT"}}',
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"s":"BTC-USDT"},"T":"trade.SPOT"}',
        b'{"d":{"l":"1","s":"BTC-USDT"},"P":1787348157834794005,"T":"trade.SPOT"}',
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":[{"l":"1","s":"BTC-USDT"}]}',
        b'{"T":"ticker.SPOT","P":1787348157834794005,"d":{"l":"1"}}',
        b'{"T":"ticker.SPOT","P":"787348157834794005","d":{"l":"1","s":"BTC-USDT"}}',
        b' {"T":"ticker.SPOT","P":1787348157834794005,"d":{"l":"1","s":"BTC-USDT"}} ',
    ],
)
def test_a_frame_that_only_looks_like_a_known_one_has_its_own_topic(order: str, odd: bytes) -> None:
    usual = push(order=order)
    for frames in ([odd], [usual, odd], [odd, usual], [usual, odd, usual], [odd, odd]):
        got = read(trained(usual), frames)
        assert [channel_of(each) for each in got] == [
            (message.topic, message.subject) for message in map(decode_push, frames)
        ]


def test_frames_that_are_not_ascii_are_decoded() -> None:
    reader = trained(push())
    frame = push(price="ü").replace(b"\\u00fc", "ü".encode())
    assert reader.recognise([push(), frame], ARRIVAL) is None
    assert channel_of(reader.push(frame, ARRIVAL)) == ("/uta/ticker.SPOT:BTC-USDT", "ticker.SPOT")


def test_candles_and_private_pushes_do_not_keep_others_from_being_learned() -> None:
    reader = UtaReader()
    for _ in range(100):
        reader.push(b'{"T":"kline.SPOT","P":1,"d":{"i":"1min","s":"BTC-USDT"}}', ARRIVAL)
        reader.push(b'{"T":"balance.UNIFIED","P":1,"d":{"c":"BTC"}}', ARRIVAL)
        reader.push(b'{"T":"news.SPOT","P":1,"d":{"s":"BTC-USDT"}}', ARRIVAL)
    reader.push(push(), ARRIVAL)
    assert reader.recognise([push()], ARRIVAL) is not None


def test_frames_that_can_not_be_learned_are_tried_ever_less_often() -> None:
    reader = UtaReader()
    odd = push(more=1)
    for _ in range(8):
        reader.push(odd, ARRIVAL)
    reader.push(push(), ARRIVAL)
    assert reader.recognise([push()], ARRIVAL) is None, "this one was skipped"
    for _ in range(16):
        reader.push(push(), ARRIVAL)
    assert reader.recognise([push()], ARRIVAL) is not None


def test_patterns_are_forgotten_with_their_topics_and_learned_again() -> None:
    reader = trained(push())
    reader.forget(256)
    assert reader.recognise([push()], ARRIVAL) is not None
    reader.forget(1)
    assert reader.recognise([push()], ARRIVAL) is None
    reader.push(push(), ARRIVAL)
    assert reader.recognise([push()], ARRIVAL) is not None


def test_any_number_of_topics_and_forms_is_bounded() -> None:
    reader = UtaReader()
    for number in range(5000):
        reader.push(push(symbol=f"C{number}-USDT"), ARRIVAL)
    assert reader._learned <= 4096
    for digits in range(1, 200):
        reader.push(push(time_ns=10**digits), ARRIVAL)
    assert len(reader._families) <= 64


OBJECTS = st.dictionaries(
    st.text(max_size=3) | st.sampled_from(["s", "i", "l", "p", "T", "d"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=12)
        | st.sampled_from(["BTC-USDT", "ETH-USDT", "1min", ',"s":"BTC-USDT"}}', '}}{"T":"ticker.SPOT","P":']),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["s", "x"]), inner, max_size=2),
        max_leaves=6,
    ),
    max_size=5,
)  # fmt: skip
CHANNELS = st.sampled_from(["ticker.SPOT", "obu.SPOT", "kline.SPOT", "orderAll.UNIFIED", "funding-fee", "news"])
FRAMES = st.builds(
    lambda channel, data, spaces, ascii, time_ns: json.dumps(
        {"T": channel, "P": time_ns, "d": data}, separators=spaces, ensure_ascii=ascii
    ).encode("utf-8", "replace"),
    CHANNELS,
    OBJECTS,
    st.sampled_from([COMPACT, SPACED]),
    st.booleans(),
    st.sampled_from([1787348157834794005, 1787348157834, 7]),
)


@settings(max_examples=examples(300), deadline=None)
@given(reads=st.lists(st.lists(FRAMES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_any_object_as_data_is_a_message_of_its_topic(reads: list[list[bytes]]) -> None:
    reader = trained(*(push(order=order) for order in ORDERS), push("obu.SPOT", dp="5", t="snapshot"))
    for frames in reads:
        got = read(reader, frames)
        assert len(got) == len(frames)
        for each, frame in zip(got, frames, strict=True):
            whole = decode_push(frame)
            assert channel_of(each) == (whole.topic, whole.subject)
            message = Decoder().decode(each)
            assert message is not None
            assert message.raw == frame
            assert message.to_dict() == json.loads(frame)
            assert message.data == json.loads(frame)["d"]
            assert message.payload is not None or message.data is None


@pytest.mark.parametrize("seed", range(20))
def test_random_reads_of_alike_frames_agree_with_a_full_parse(seed: int) -> None:
    draw = Random(seed)
    reader = UtaReader()
    for _ in range(100):
        frames = [
            push(
                draw.choice(["ticker.SPOT", "ticker.spot", "trade.SPOT"]),
                draw.choice(["BTC-USDT", "1BTC-USDT", "BTC-USDTX", "ETH-USDT"]),
                order=draw.choice(ORDERS),
                spaces=draw.choice([COMPACT, SPACED]) if seed % 2 else COMPACT,
                time_ns=draw.choice([10**18, 10**12]) + draw.randrange(10**11),
                price=f"{draw.random() * 10 ** draw.randrange(6):.{draw.randrange(4)}f}",
            )
            for _ in range(draw.choice([1, 1, 3, 10]))
        ]
        got = read(reader, frames)
        for each, frame in zip(got, frames, strict=True):
            whole = decode_push(frame)
            assert channel_of(each) == (whole.topic, whole.subject)
            if isinstance(each, RawPush):
                assert json.loads(frame[each.prefix.inside]) == json.loads(frame)["d"]


def test_recognising_costs_a_small_part_of_a_full_parse() -> None:
    frames = [push(time_ns=10**18 + n) for n in range(200)]
    reader = trained(frames[0])

    def seconds(call: Any) -> float:
        times = []
        for _ in range(30):
            begin = time.process_time()
            call()
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(lambda: reader.recognise(frames, ARRIVAL)) * 2 < seconds(lambda: [decode_push(f) for f in frames])
