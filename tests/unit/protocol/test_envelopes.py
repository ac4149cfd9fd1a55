"""Envelope prefixes, frame batches, and decoders: a message reads the same, however its frame was decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from kucoin_sync import Message
from kucoin_sync.delivery.inline_queue import InlineQueue
from kucoin_sync.delivery.overflow import OVERFLOW
from kucoin_sync.delivery.subscription import Subscription
from kucoin_sync.payloads import Ticker
from kucoin_sync.protocol.classic import _Plain, _Split, _Typed, decode_message
from kucoin_sync.protocol.envelopes import Decoder, FrameBatch, Push, RawPush, channel_of, opened, tunnel_of
from kucoin_sync.protocol.message import Arrival, Origin

from ...support.message_queues import make_message_queue, pop
from ...support.tickers import START, learned, prefix_of, symbols, ticker

ARRIVAL = Arrival(3, 17)


def raw_push(frame: bytes) -> RawPush:
    """Return the raw push of a frame of the ticker."""
    prefix = prefix_of(ticker(0))
    assert prefix is not None
    return RawPush(frame, ARRIVAL, prefix)


def price(message: Message) -> Decimal:
    """Read the payload."""
    found: Decimal = message.payload.price
    return found


READERS: dict[str, Callable[[Message], object]] = {
    "payload": price,
    "data": lambda message: message.data["price"],
    "item": lambda message: message["data"]["price"],
    "both": lambda message: (message["data"]["price"], price(message)),
    "neither": lambda message: message.topic,
    "whole": lambda message: message.get("subject"),
}


# What came together


def test_a_frame_batch_is_a_sequence_of_raw_pushes() -> None:
    frames = [ticker(n) for n in range(5)]
    prefix = raw_push(frames[0]).prefix
    batch = FrameBatch(frames, ARRIVAL, prefix=prefix)
    assert len(batch) == 5
    for pushes, wanted in ((batch, frames), (batch[1:3], frames[1:3])):
        assert isinstance(pushes, FrameBatch)
        assert [(each.frame, each.arrival, each.prefix) for each in pushes] == [
            (one, ARRIVAL, prefix) for one in wanted
        ]
        assert (pushes.prefix, pushes.left) == (prefix, len(wanted))
    assert (batch[-1].frame, batch[0].prefix) == (frames[-1], prefix)


def test_a_frame_batch_may_have_a_prefix_for_each_frame() -> None:
    frames = symbols("A", "B", "A", "C")
    found = learned(frames).find(frames)
    assert found is not None
    batch = FrameBatch(frames, ARRIVAL, found)
    assert len(batch) == 4
    for pushes, wanted in ((batch, slice(None)), (batch[1:3], slice(1, 3))):
        assert isinstance(pushes, FrameBatch)
        assert [(push.frame, push.arrival) for push in pushes] == [(frame, ARRIVAL) for frame in frames[wanted]]
        assert [push.prefix for push in pushes] == found[wanted]
        assert (pushes.prefix, pushes.left) == (None, len(frames[wanted]))
    assert (batch[-1].frame, batch[-1].prefix) == (frames[-1], found[-1])


def batch_of(*frames: bytes) -> FrameBatch:
    """Return a batch of frames, with a prefix for each."""
    found = learned(symbols("A", "B", "C")).find(list(frames))
    assert found is not None
    return FrameBatch(list(frames), ARRIVAL, found)


def test_each_frame_of_a_batch_is_taken_once_with_its_prefix_in_either_way() -> None:
    frames = symbols("A", "B", "A", "C", "B")
    batch = batch_of(*frames)
    prefixes = list(batch.prefixes or ())
    assert next(batch.rest) == (prefixes[0], frames[0])
    push = next(batch.pushes)
    assert (push.frame, push.arrival, push.prefix, batch.left) == (frames[1], ARRIVAL, prefixes[1], 3)
    assert next(batch.rest) == (prefixes[2], frames[2])
    assert [(each.frame, each.prefix) for each in batch.pushes] == list(zip(frames[3:], prefixes[3:], strict=True))
    assert (batch.left, list(batch.rest), list(batch.pushes)) == (0, [], [])
    assert (len(batch), [push.frame for push in batch]) == (5, frames), "to look at it takes nothing"


# Opening


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_however_it_is_read_a_message_says_the_same(reader: Callable[[Message], object]) -> None:
    decoder = Decoder()
    for n in range(5):
        frame = ticker(n)
        message = decoder.decode(raw_push(frame))
        assert message is not None
        plain = decode_message(frame)
        plain.raw, plain.origin = frame, Origin(ARRIVAL)
        assert reader(message) == reader(plain)
        assert (message.type, message.topic, message.subject) == (plain.type, plain.topic, plain.subject)
        assert (message.raw, message.epoch, message.received_ns, message.tunnel_id) == (frame, 3, 17, None)
        if n < 4:
            continue  # the rest would be reading, too
        assert message == plain
        assert message.data == plain.data == message["data"]
        assert message.payload == plain.payload
        assert isinstance(message.payload, Ticker)
        assert message.to_dict() == json.loads(frame) == dict(message)
        assert bytes(message.wire_data) == bytes(plain.wire_data)
        assert repr(message) == repr(plain)
        twin = message.with_lost(4)
        assert (twin.lost, twin, message.lost) == (4, message, 0)


@pytest.mark.parametrize(
    ("reader", "data", "payload"),
    [("payload", False, True), ("data", True, False), ("item", True, False), ("neither", False, False)],
)
def test_a_message_is_decoded_as_those_before_it_were_read(reader: str, data: bool, payload: bool) -> None:
    decoder = Decoder()
    for n in range(3):
        message = decoder.decode(raw_push(ticker(n)))
        assert message is not None
        if n == 2:
            assert (type(message) is _Typed, type(message) is _Plain) == (payload, data)
        READERS[reader](message)


@pytest.mark.parametrize(("first", "second"), [("payload", "data"), ("data", "payload")])
def test_who_reads_both_ways_has_nothing_decoded_in_vain(first: str, second: str) -> None:
    decoder = Decoder()
    for n in range(210):
        message = decoder.decode(raw_push(ticker(n)))
        assert message is not None
        if n > 205:
            assert type(message) is _Split
        READERS[first](message)
        if n > 1:
            READERS[second](message)


@pytest.mark.parametrize(("reader", "base"), [("payload", _Typed), ("data", _Plain)])
def test_who_keeps_reading_one_way_has_it_decoded_so_for_ever(reader: str, base: type) -> None:
    decoder = Decoder()
    for n in range(310):
        message = decoder.decode(raw_push(ticker(n)))
        assert message is not None
        assert n < 2 or isinstance(message, base)
        READERS[reader](message)


def test_data_beyond_the_usual_form_is_read_as_without_a_seal() -> None:
    mismatches: list[Message] = []
    decoder = Decoder()
    arrival = Arrival(1, 2, mismatches.append)
    frames = [ticker(1), ticker(2), ticker(3, price=[]), ticker(4)]
    found = []
    for frame in frames:
        message = decoder.decode(RawPush(frame, arrival, raw_push(frame).prefix))
        assert message is not None
        found.append(message.payload)
    assert (found[2].price, found[2].sequence) == (None, 3)
    assert [message.raw for message in mismatches] == [frames[2]]
    assert isinstance(found[3], Ticker)


def test_members_that_kucoin_adds_are_decoded_in_one_pass_from_the_second_message_on() -> None:
    mismatches: list[Message] = []
    decoder = Decoder()
    arrival = Arrival(1, 2, mismatches.append)
    for n in range(300):
        frame = ticker(n, more={"of": ["tomorrow"]}) if n > 100 and n % 2 else ticker(n)
        message = decoder.decode(RawPush(frame, arrival, raw_push(frame).prefix))
        assert message is not None
        assert n < 2 or n == 101 or isinstance(message, _Typed)
        assert isinstance(message.payload, Ticker)
        assert (message.payload.sequence, message.payload.price) == (n, Decimal(f"{n}.50"))
        assert message.payload.extra == ({"more": {"of": ["tomorrow"]}} if n > 100 and n % 2 else {})
    assert mismatches == []


def reading_payloads() -> Decoder:
    """Return a decoder whose consumer has read payloads."""
    decoder = Decoder()
    for n in range(3):
        message = decoder.decode(raw_push(ticker(n)))
        assert message is not None and message.payload
    return decoder


def test_pushes_are_decoded_as_one_by_one_whatever_is_among_them() -> None:
    decoder, whole = reading_payloads(), decode_message(ticker(7))
    pushes: list[Push] = [raw_push(ticker(3)), raw_push(ticker(4, price=[])), raw_push(ticker(5, price=[])), whole]
    found = list(decoder.decode_all([*pushes, raw_push(BAD[0]), raw_push(ticker(8))]))
    assert [message.data["sequence"] for message in found] == ["3", "4", "5", "7", "8"]
    assert found[3] is whole
    assert [isinstance(message, _Typed) for message in found] == [True, False, False, False, False]
    assert decoder.unreadable == 1
    after = decoder.decode(raw_push(ticker(9)))
    assert type(after) is _Split, "the struct does not fit what comes"


def test_frames_of_one_prefix_are_decoded_as_one_by_one() -> None:
    decoder = reading_payloads()
    frames = [ticker(1), BAD[0], ticker(2, price=[]), BAD[-1], ticker(3)]
    found = list(decoder.decode_all(FrameBatch(frames, ARRIVAL, prefix=raw_push(ticker(0)).prefix)))
    assert [message.data["sequence"] for message in found] == ["1", "2", "3"]
    assert [message.raw for message in found] == [ticker(1), ticker(2, price=[]), ticker(3)]
    assert [isinstance(message, _Typed) for message in found] == [True, False, False]
    assert decoder.unreadable == 2
    assert type(decoder.decode(raw_push(ticker(9)))) is _Split


def test_frames_of_several_prefixes_are_decoded_each_with_its_own() -> None:
    decoder = Decoder()
    frames = symbols("A", "B", "B", "C", "A")
    for times in range(3):
        batch = batch_of(*frames)
        found = list(decoder.decode_all(batch))
        for message, frame, prefix in zip(found, frames, batch.prefixes or (), strict=True):
            plain = decode_message(frame)
            assert (message.raw, message.topic, message.subject) == (frame, plain.topic, plain.subject)
            assert (message.origin.prefix, message.origin.arrival, message.lost) == (prefix, ARRIVAL, 0)
            assert isinstance(message, _Typed) == (times > 0)
            assert message.payload == plain.payload
        assert batch.left == 0


def test_members_that_kucoin_adds_are_decoded_in_one_pass_in_a_batch_too() -> None:
    decoder = reading_payloads()
    frames = [ticker(n, more=n) for n in range(5)]
    found = list(decoder.decode_batch(FrameBatch(frames, ARRIVAL, prefix=raw_push(frames[0]).prefix)))
    assert [isinstance(message, _Typed) for message in found] == [False, True, True, True, True]
    assert [message.payload.extra for message in found] == [{"more": n} for n in range(5)]


def test_a_batch_that_is_left_half_way_is_gone_on_with() -> None:
    decoder, batch = Decoder(), batch_of(*symbols("A", "B", "C"))
    assert next(decoder.decode_batch(batch, lambda _: pytest.fail("it was delivered"))).raw == batch.frames[0]
    assert [message.raw for message in decoder.decode_batch(batch)] == batch.frames[1:]


def test_the_frame_at_which_an_exception_comes_is_put_back_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    decoder, batch = Decoder(), batch_of(*symbols("A", "B", "C"))
    put_back: list[RawPush] = []
    loop = decoder.decode_batch(batch, put_back.append)
    next(loop)
    batch.frames[1] = BAD[0]
    monkeypatch.setattr(decoder, "_decode_fallback", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    [push] = put_back
    assert (push.frame, push.arrival, push.prefix) == (BAD[0], ARRIVAL, batch[1].prefix)
    assert batch.left == 1


BAD = [
    START + b'"data":{"price":',
    START + b'"data":{}}}',
    START + b'"data":' + b"[" * 100_000,
    START + b'"data":1,"type":2}',
    ticker(9)[:-1] + b"]",
]


@pytest.mark.parametrize("bad", BAD, ids=["cut short", "one brace too many", "deep", "another type", "a bracket"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_is_no_push_is_left_out_and_counted(reader: Callable[[Message], object], bad: bytes) -> None:
    message_queue = make_message_queue("raise")
    subscription = Subscription(("/a:B",), message_queue, close=lambda _: message_queue.finish(None))
    message_queue.put_many([raw_push(frame) for frame in (ticker(0), bad, ticker(1), ticker(2), bad, ticker(3))])
    subscription.close()
    seen = []
    for message in subscription:
        reader(message)
        seen.append(message.data["sequence"])
    assert seen == ["0", "1", "2", "3"]
    assert message_queue.decoder.unreadable == 2


def test_opened_leaves_out_what_can_not_be_read() -> None:
    whole = decode_message(ticker(7))
    assert [message.data["sequence"] for message in opened([raw_push(ticker(1)), raw_push(BAD[0]), whole])] == [
        "1",
        "7",
    ]
    assert channel_of(whole) == channel_of(raw_push(ticker(1))) == ("/market/ticker:BTC-USDT", "trade.ticker")
    assert tunnel_of(whole) is tunnel_of(raw_push(ticker(1))) is None


# In the queues


@pytest.mark.parametrize("overflow", [each for each in OVERFLOW if each != "latest"])
def test_what_was_dropped_is_told_by_the_next_that_can_be_read(overflow: str) -> None:
    message_queue = make_message_queue(overflow, 2)
    for n in range(4):
        message_queue.put(raw_push(ticker(n)))
    seen: list[Message] = []
    while len(message_queue):
        seen.append(pop(message_queue))
    message_queue.notice()
    for frame in (BAD[0], ticker(8)):
        message_queue.put(raw_push(frame))
    while len(message_queue):
        seen.append(pop(message_queue))
    assert sum(message.lost for message in seen) == 2 == message_queue.dropped
    assert seen[-1].data["sequence"] == "8"
    assert (seen[0].lost, seen[-1].lost) == ((2, 0) if overflow == "drop_oldest" else (0, 2))


def test_a_dropped_frame_that_the_oldest_policy_has_to_look_at_may_be_unreadable() -> None:
    message_queue = make_message_queue("drop_oldest", 2)
    for frame in (ticker(0), BAD[0], ticker(2)):
        message_queue.put(raw_push(frame))
    message = pop(message_queue)
    assert (message.data["sequence"], message.lost) == ("2", 1)
    with pytest.raises(IndexError):
        pop(message_queue)


def test_superseded_frames_are_only_counted_under_latest() -> None:
    message_queue = make_message_queue("latest", 2)
    message_queue.put_many([raw_push(ticker(n)) for n in range(5)])
    message_queue.put(raw_push(ticker(5)))
    message = pop(message_queue)
    assert (message.data["sequence"], message.lost, message_queue.dropped) == ("5", 5, 5)
    message_queue.put(raw_push(BAD[0]))
    with pytest.raises(IndexError):
        pop(message_queue)


def test_an_unreadable_frame_hides_none_under_latest() -> None:
    message_queue = make_message_queue("latest", 2)
    message_queue.put_many([raw_push(ticker(0)), raw_push(BAD[0])])
    message_queue.put(decode_message(ticker(1).replace(b"BTC", b"ETH")))
    for topic in ("/market/ticker:BTC-USDT", "/market/ticker:ETH-USDT"):
        message = pop(message_queue)
        assert (message.topic, message.lost) == (topic, 0)
    assert (message_queue.decoder.unreadable, message_queue.dropped) == (1, 0)


def test_a_loop_goes_on_over_data_beyond_the_usual_form() -> None:
    message_queue = make_message_queue("raise", 1000)
    subscription = Subscription(("/a:B",), message_queue, close=lambda _: message_queue.finish(None))
    message_queue.put_many([raw_push(ticker(n, price=[]) if n == 250 else ticker(n)) for n in range(500)])
    subscription.close()
    payloads = [message.payload for message in subscription]
    assert [n for n, payload in enumerate(payloads) if payload.price is None] == [250]
    assert (len(payloads), payloads[250].sequence) == (500, 250)


def test_an_inline_callback_gets_what_can_be_read() -> None:
    seen: list[str] = []
    message_queue = InlineQueue(
        lambda message: seen.append(message.payload.price), lambda error: pytest.fail(repr(error))
    )
    pushes: list[Push] = [raw_push(frame) for frame in (ticker(0), BAD[0], ticker(1))]
    message_queue.put_many(pushes)
    message_queue.put(raw_push(ticker(2)))
    message_queue.put(decode_message(ticker(3)))
    assert seen == [Decimal(f"{n}.50") for n in range(4)]
    message_queue.finish(None)
    message_queue.put_many(pushes)
    assert len(seen) == 4
