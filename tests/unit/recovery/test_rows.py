"""What REST tells of a trade becomes the frame of its push, with nothing added."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from kucoin_sync import topics
from kucoin_sync.exceptions import RestError
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.envelopes import opened
from kucoin_sync.protocol.message import Arrival, Message
from kucoin_sync.recovery.rows import TradeRows, trade_rows_for
from kucoin_sync.recovery.trades import Mark, TradeJoin
from kucoin_sync.testing import Exchange
from kucoin_sync.topics.grammar import dialect_of, market_of

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"
TOPICS = (topics.match(SPOT), topics.futures.match(FUTURES), topics.uta.trades(SPOT), topics.uta.trades(FUTURES))
MISSING: Any = object()
UNTOLD = {TOPICS[0]: {"makerOrderId", "takerOrderId", "type"}, TOPICS[1]: set(), TOPICS[2]: set(), TOPICS[3]: set()}


def message_of(topic: str, frame: bytes) -> Message:
    [message] = opened([DIALECTS[dialect_of(market_of(topic))].reader().push(frame, Arrival(1, 1))])
    return message


def source_of(topic: str) -> TradeRows:
    source = trade_rows_for(topic)
    assert source is not None
    return source


def traded(topic: str) -> tuple[list[Message], Any]:
    """Return the pushes of a few trades, and what REST tells of them."""
    symbol = topic.partition(":")[2]
    exchange = Exchange((symbol,), seed=1)
    exchange.wants = lambda wanted: wanted == topic
    for _ in range(3):
        exchange.place(symbol, "buy", "1", user="")
    pushes = [message_of(topic, msgspec.json.encode(push.message())) for push in exchange.take_pushes()]
    rows = exchange.trade_rows(symbol, exchange.now_ns, uta=topic.startswith("/uta/"))
    return pushes, {"tradeType": "", "list": rows} if topic.startswith("/uta/") else rows


@pytest.mark.parametrize("topic", TOPICS)
def test_a_row_is_the_push_of_its_trade_without_what_rest_does_not_tell(topic: str) -> None:
    pushes, data = traded(topic)
    rows = source_of(topic).read(data)
    assert len(rows) == len(pushes) > 2
    for row, push in zip(rows, pushes, strict=True):
        message = message_of(topic, row.frame)
        assert (message.topic, message.subject) == (topic, push.subject)
        assert {name for name, value in message.data.items() if value is None} == UNTOLD[topic]
        told = {name: value for name, value in message.data.items() if value is not None and name != "M"}
        assert told == {name: value for name, value in push.data.items() if name not in {*UNTOLD[topic], "M"}}
        assert type(message.payload) is type(push.payload)
        mark = source_of(topic).mark_of(push)
        assert mark is not None
        assert (mark.sequence, mark.time_ns // 10**6) == (row.mark.sequence, row.mark.time_ns // 10**6)


def test_the_order_ids_of_a_recovered_spot_trade_are_none() -> None:
    _, data = traded(TOPICS[0])
    frame = source_of(TOPICS[0]).read(data)[0].frame
    payload = message_of(TOPICS[0], frame).payload
    assert (payload.maker_order_id, payload.taker_order_id, payload.type) == (None, None, None)
    assert payload.trade_id == str(payload.sequence)


@pytest.mark.parametrize(
    ("topic", "market", "query"),
    [
        (TOPICS[0], "spot", {"symbol": SPOT}),
        (TOPICS[1], "futures", {"symbol": FUTURES}),
        (TOPICS[2], "spot", {"tradeType": "SPOT", "symbol": SPOT}),
        (TOPICS[3], "spot", {"tradeType": "FUTURES", "symbol": FUTURES}),
    ],
)
def test_each_topic_has_its_service_and_its_query(topic: str, market: str, query: dict[str, str]) -> None:
    source = source_of(topic)
    join = source.join(Mark(1, 1), 0.0)
    assert isinstance(join, TradeJoin)
    assert (source.market, source.query(join)) == (market, query)


@pytest.mark.parametrize("data", [None, {}, [{"sequence": "x"}], [["1"]]])
def test_an_answer_that_can_not_be_read_is_an_error_of_rest(data: Any) -> None:
    with pytest.raises(RestError, match="can't be read"):
        source_of(TOPICS[0]).read(data)


def test_rows_with_a_trade_id_keep_it() -> None:
    data = [{"sequence": "7", "price": "1", "size": "2", "side": "buy", "time": 5, "tradeId": "t"}]
    [row] = source_of(TOPICS[0]).read(data)
    assert message_of(TOPICS[0], row.frame).payload.trade_id == "t"


@pytest.mark.parametrize("topic", TOPICS)
def test_an_odd_member_costs_itself_only_and_an_odd_sequence_its_row(topic: str) -> None:
    _, data = traded(topic)
    told = data["list"] if isinstance(data, dict) else data
    source, answer = source_of(topic), sorted(told, key=lambda row: int(row["sequence"]))[-3:]
    usual = source.read({"list": answer})
    first, middle, last = ({**message_of(topic, row.frame).data} for row in usual)
    names = (
        {"price": "p", "size": "q", "side": "S", "ts": "M", "tradeId": "ti", "isRpiTrade": "rpi"}
        if "/uta/" in topic
        else {}
    )
    for member, odd in product(answer[1], [None, "", 7, 1.5, "BUY", True, [], {}, MISSING, "1e1000000", 10**30]):
        if member == "sequence" and odd == 7:
            continue  # another trade
        rows = [answer[0], {name: value for name, value in {**answer[1], member: odd}.items() if value is not MISSING}]
        for each in ([*rows, answer[2]], [answer[2], *reversed(rows)]):
            found = source.read({"list": each})
            shown = [message_of(topic, row.frame).data for row in found]
            assert (shown[0], shown[-1]) == (first, last)
            if member == "sequence":
                assert found == [usual[0], usual[2]._replace(after_hole=True)]
            else:
                assert [row.mark.sequence for row in found] == [row.mark.sequence for row in usual]
                name = names.get(member, member) if "/uta/" in topic else member
                assert {key for key in middle if shown[1].get(key) != middle[key]} <= {name}
                message_of(topic, found[1].frame).payload.to_dict()


def test_a_row_that_is_no_object_is_a_hole_before_the_next_one() -> None:
    row = {"sequence": "7", "price": "1", "size": "2", "side": "buy", "time": 5}
    for odd in (None, [], "text", 7):
        found = source_of(TOPICS[0]).read([odd, row, odd, {**row, "sequence": "9", "time": None}, odd])
        assert [(each.mark, each.after_hole) for each in found] == [(Mark(7, 5), True), (Mark(9, 5), True)]


def test_a_push_without_a_sequence_has_no_place() -> None:
    frame = msgspec.json.encode({"topic": str(TOPICS[0]), "type": "message", "subject": "trade.l3match", "data": {}})
    assert source_of(TOPICS[0]).mark_of(message_of(TOPICS[0], frame)) is None


def test_other_topics_have_no_rows() -> None:
    assert trade_rows_for(topics.ticker(SPOT)) is None
    assert trade_rows_for("/no/such:topic") is None
