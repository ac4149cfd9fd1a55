"""What REST tells of a candle becomes the frame of its push, column by column."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest

from kucoin_sync import topics
from kucoin_sync.exceptions import RestError
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.envelopes import opened
from kucoin_sync.protocol.message import Arrival, Message
from kucoin_sync.recovery.candle_rows import CandleRows, candle_rows_for
from kucoin_sync.testing import Exchange

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"
TOPICS = [str(topics.candles(SPOT, "1min")), str(topics.futures.candles(FUTURES, "1min"))]
FIELDS = ("symbol", "start_ns", "open", "high", "low", "close", "volume", "turnover")


def message_of(frame: bytes) -> Message:
    [message] = opened([DIALECTS["classic"].reader().push(frame, Arrival(1, 1))])
    return message


def source_of(topic: str) -> CandleRows:
    source = candle_rows_for(topic)
    assert source is not None
    return source


def pushed(topic: str) -> tuple[Message, list[list[Any]]]:
    """Return the push of the current candle, and REST's rows at the same time."""
    symbol = topic.partition(":")[2].rpartition("_")[0]
    exchange = Exchange((symbol,), seed=1)
    exchange.wants = lambda wanted: wanted == topic
    for _ in range(300):
        exchange.step()
    [push] = exchange.heartbeat()
    return message_of(msgspec.json.encode(push.message())), exchange.candle_rows(symbol, "1min", exchange.now_ns)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_row_is_the_push_of_its_candle(topic: str) -> None:
    push, data = pushed(topic)
    rows = source_of(topic).read(data)
    assert len(rows) == len(data) > 1
    message = message_of(rows[-1].frame)
    assert (message.topic, message.subject, message.data["time"]) == (topic, push.subject, None)
    assert [getattr(message.payload, each) for each in FIELDS] == [getattr(push.payload, each) for each in FIELDS]
    mark = source_of(topic).mark_of(push)
    assert mark is not None
    assert (mark.sequence, mark.volume) == (rows[-1].mark.sequence, rows[-1].mark.volume)
    assert mark.time_ns == push.payload.time_ns > 0


def test_an_older_row_of_futures_has_no_turnover() -> None:
    [row] = source_of(TOPICS[1]).read([[1_728_576_000_000, 60791.1, 61035, 58940, 60300, 5501167]])
    assert message_of(row.frame).data["candles"] == [
        "1728576000", "60791.1", "60300", "61035", "58940", None, "5501167",
    ]  # fmt: skip
    assert message_of(row.frame).payload.turnover is None


@pytest.mark.parametrize(
    ("topic", "query"),
    [
        (TOPICS[0], {"symbol": SPOT, "type": "1min", "startAt": "60", "endAt": "90000"}),
        (TOPICS[1], {"symbol": FUTURES, "granularity": "1", "from": "60000", "to": "12000000"}),
    ],
)
def test_each_market_has_its_query(topic: str, query: dict[str, str]) -> None:
    source = source_of(topic)
    mark = source.read([["60"] * 7 if "/market" in topic else [60_000, 1, 1, 1, 1, 1, 1]])[0].mark
    assert source.query(source.join(mark, 0.0)) == query
    assert source.market == ("spot" if "/market" in topic else "futures")


@pytest.mark.parametrize("data", [None, [["x"]], [[1, 2]], [["60", "1", "1", "1", "1", "x", "1"]]])
@pytest.mark.parametrize("topic", TOPICS)
def test_an_answer_that_can_not_be_read_is_an_error_of_rest(topic: str, data: Any) -> None:
    with pytest.raises(RestError, match="can't be read"):
        source_of(topic).read(data)


@pytest.mark.parametrize("topic", TOPICS)
def test_an_odd_column_costs_itself_only_and_an_odd_start_its_row(topic: str) -> None:
    source, unit = source_of(topic), "60" if topic == TOPICS[0] else 60_000
    answer = [[each * int(unit) if topic == TOPICS[1] else f"{each * 60}", *"123456"] for each in (1, 2, 3)]
    usual = source.read(answer)
    assert [row.mark.sequence for row in usual] == [60, 120, 180]
    pushed = [message_of(row.frame).data["candles"] for row in usual]
    for column, odd in product(range(7), [None, "", 7, 1.5, "much", True, [], {}, "1e1000000", "NaN", 10**400]):
        if (column, odd) == (0, 7):
            continue  # another candle
        middle = [*answer[1][:column], odd, *answer[1][column + 1 :]]
        for each in ([answer[0], middle, answer[2]], [answer[2], middle, answer[0]]):
            found = source.read(each)
            shown = [message_of(row.frame).data["candles"] for row in found]
            assert (shown[0], shown[-1]) == (pushed[0], pushed[2])
            if column == 0:
                assert found == [usual[0], usual[2]._replace(after_hole=True)]
            else:
                assert sum(one != other for one, other in zip(shown[1], pushed[1], strict=True)) <= 1
                assert found[1].mark.volume == usual[1].mark.volume or column == 5
                message_of(found[1].frame).payload.to_dict()


def test_a_volume_that_can_not_be_read_counts_as_complete_but_in_the_newest_row() -> None:
    rows = [["60", *"123456"], ["120", *"1234", "", "6"], ["180", *"1234", None, "6", "a column more"]]
    for answer in (rows, rows[::-1]):
        found = source_of(TOPICS[0]).read(answer)
        assert [row.mark.volume for row in found] == [Decimal(5), Decimal("Infinity"), Decimal(0)]


def test_a_push_without_a_candle_has_no_place() -> None:
    frame = msgspec.json.encode({"topic": TOPICS[0], "type": "message", "subject": "trade.candles.update", "data": {}})
    assert source_of(TOPICS[0]).mark_of(message_of(frame)) is None


@pytest.mark.parametrize(
    "topic",
    [
        topics.match(SPOT), topics.uta.candles(SPOT, "1min"), topics.futures.candles(FUTURES, "3min"), "/no/such:topic",
    ],
)  # fmt: skip
def test_other_topics_and_lengths_have_no_rows(topic: str) -> None:
    assert candle_rows_for(topic) is None
