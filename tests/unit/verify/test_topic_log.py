"""What is kept of the messages of a topic: counts, and one sample of each shape."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.verify import topic_log
from kucoin_sync.verify.topic_log import TopicLog, member_of_mismatch

from .venue import message_of

TICKER, DEPTH, ORDERS = "/market/ticker:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT", "/spotMarket/tradeOrdersV2"


def log_of(topic: str, *data: Any, subject: str = "x") -> TopicLog:
    log = TopicLog(topic)
    for each in data:
        log.add(message_of({"type": "message", "topic": topic, "subject": subject, "data": each}))
    return log


def test_messages_of_one_shape_have_one_sample() -> None:
    log = log_of(
        TICKER, {"price": "1", "sequence": "1"}, {"sequence": "2", "price": "2"}, {"price": 3, "sequence": "3"}
    )
    seen = log.seen()
    assert (log.topic, log.messages, seen.messages, seen.typed) == (TICKER, 3, 3, 3)
    assert [(shape.count, shape.sample["price"]) for shape in seen.shapes] == [(2, "1"), (1, 3)]


def test_a_message_with_an_unusual_value_is_not_typed_and_has_a_sample_of_its_own() -> None:
    seen = log_of(TICKER, {"price": "1", "sequence": "1"}, {"price": "one", "sequence": "2"}).seen()
    assert seen.typed == 1
    assert [shape.sample["price"] for shape in seen.shapes] == ["1", "one"]


def test_data_that_is_no_object_is_kept_too() -> None:
    seen = log_of(TICKER, [1], None, "text").seen()
    assert [shape.sample for shape in seen.shapes] == [[1], None, "text"]
    assert seen.typed == 0


def test_a_list_is_shortened_unless_its_end_has_members_that_its_start_lacks() -> None:
    rows: list[list[Any]] = [["1", "2"]] * 50
    whole = {"asks": rows, "bids": [*rows[:-1], ["1", 2]], "timestamp": 1}
    [short, more] = log_of(DEPTH, {"asks": rows, "bids": rows, "timestamp": 1}, whole).seen().shapes
    assert {len(short.sample[side]) for side in ("asks", "bids")} == {8}
    assert more.sample == whole


def test_the_data_of_an_account_is_cleaned_at_once() -> None:
    [shape] = log_of(ORDERS, {"orderId": "5c35c02703aa673c", "symbol": "BTC-USDT", "price": "7"}).seen().shapes
    assert shape.sample == {"orderId": "removed", "symbol": "BTC-USDT", "price": "1"}


def test_a_sample_is_no_deeper_than_any_payload() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    [shape] = log_of(TICKER, {"price": "1", "sequence": "1", "new": nested}).seen().shapes
    depth = 0
    value = shape.sample["new"]
    while value is not None:
        [value] = value
        depth += 1
    assert depth < 10


def test_the_number_of_shapes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_log, "_MAX_SHAPES", 3)
    seen = log_of(TICKER, *({"price": "1", "sequence": "1", f"new{n}": n} for n in range(5))).seen()
    assert (len(seen.shapes), seen.messages) == (3, 5)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("price is null", "price"),
        ("asks[17][1] is missing", "asks[][]"),
        ("bids[3] has 3 columns where 2 are usual", "bids[]"),
    ],
)
def test_the_member_of_a_mismatch(text: str, member: str) -> None:
    assert member_of_mismatch(text) == member
