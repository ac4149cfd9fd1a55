"""How late messages are: by what waits and by what was read last."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kucoin_sync.delivery.latency import measure_latency
from kucoin_sync.protocol.classic import EnvelopePrefixes, decode_message
from kucoin_sync.protocol.envelopes import Push, RawPush
from kucoin_sync.protocol.message import UNREAD, Arrival, Message, Origin

SECOND = 10**9
NOW = 1_700_000_100 * SECOND


def frame(sent_ms: int | None = None, **more: Any) -> bytes:
    data = {"sequence": "1", "price": "7", **more}
    if sent_ms is not None:
        data["time"] = sent_ms
    start = b'{"topic":"/market/ticker:BTC-USDT","type":"message","subject":"trade.ticker","data":'
    return start + json.dumps(data).encode() + b"}"


def ago(seconds: float) -> int:
    """Return KuCoin's time, in milliseconds, so many seconds before now."""
    return NOW // 10**6 - int(seconds * 1000)


def raw_push(raw: bytes, read: float, frame: bytes = b"") -> Push:
    """Return a raw push that was read so many seconds before now, or another frame that begins like it."""
    prefixes = EnvelopePrefixes()
    prefixes.learn(raw)
    (prefix,) = prefixes.known.values()
    return RawPush(frame or raw, Arrival(1, NOW - int(read * SECOND)), prefix)


def message(raw: bytes, read: float) -> Message:
    made = decode_message(raw)
    made.raw, made.origin = raw, Origin(Arrival(1, NOW - int(read * SECOND)))
    return made


@pytest.mark.parametrize("push", [raw_push, message])
def test_what_waits_is_late_as_of_now_and_what_was_read_by_as_much_as_then(push: Any) -> None:
    old, new = push(frame(ago(30)), 29.5), push(frame(ago(9)), 8)
    assert measure_latency([], [new], NOW) == {"lag": pytest.approx(1), "queue_delay": 0}
    assert measure_latency([old], [new], NOW) == {"lag": pytest.approx(30), "queue_delay": pytest.approx(29.5)}
    assert measure_latency([new, old], [], NOW) == {"lag": pytest.approx(30), "queue_delay": pytest.approx(29.5)}
    assert measure_latency([new], [old], NOW) == {"lag": pytest.approx(9), "queue_delay": pytest.approx(8)}


def test_the_time_of_any_topic_is_found_whatever_its_unit() -> None:
    sent_ns = NOW - 3 * SECOND
    raw = (
        b'{"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":{"sequence":"1",'
        b'"symbol":"BTC-USDT","side":"buy","size":"1","price":"2","takerOrderId":"a","makerOrderId":"b","tradeId":"c",'
        b'"type":"match","time":"%d"}}' % sent_ns
    )
    assert measure_latency([], [message(raw, 1)], NOW)["lag"] == pytest.approx(2)


def test_without_a_time_there_is_no_lag_but_a_delay() -> None:
    odd = b'{"topic":"/new/topic","type":"message","data":[1]}'
    assert measure_latency([], [], NOW) == {"lag": None, "queue_delay": 0}
    for raw in (frame(), odd, frame(time="soon"), b'{"topic":"/market/ticker:BTC-USDT","type":"message"}'):
        assert measure_latency([message(raw, 2)], [message(raw, 2)], NOW) == {
            "lag": None,
            "queue_delay": pytest.approx(2),
        }


def test_a_raw_frame_that_is_no_push_has_no_lag() -> None:
    raw = frame(ago(1))
    assert measure_latency([raw_push(raw, 1, raw[:-9])], [], NOW) == {"lag": None, "queue_delay": pytest.approx(1)}


def test_a_clock_that_is_slow_shows() -> None:
    assert measure_latency([], [message(frame(ago(-2)), 1)], NOW)["lag"] == pytest.approx(-3)
    assert measure_latency([message(frame(), -1)], [], NOW)["queue_delay"] == 0


def test_a_message_that_a_consumer_has_stays_as_it_was() -> None:
    one = message(frame(ago(5)), 1)
    measure_latency([one], [one], NOW)
    assert one.payload_read is UNREAD
    assert one.data_read is UNREAD
