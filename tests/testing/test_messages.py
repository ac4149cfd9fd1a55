"""`make_message`: messages for unit tests, of both feeds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kucoin_sync import InvalidTopic, topics
from kucoin_sync.testing import KucoinServer, make_message

TICKER = topics.ticker("BTC-USDT")
DATA = {"sequence": "5", "price": Decimal("64999.90"), "bestAsk": "65000"}


def test_a_made_message_has_all_views() -> None:
    message = make_message(TICKER, DATA, subject="trade.ticker", sn=7)
    assert (message.topic, message.subject, message.symbol) == (TICKER, "trade.ticker", "BTC-USDT")
    assert message["data"]["price"] == message.data["price"] == "64999.90"
    assert message.payload.price == Decimal("64999.90")
    assert message.get("sn") == 7
    assert (message.epoch, message.lost) == (1, 0)
    assert message.received_ns > 1_700_000_000 * 10**9


def test_its_own_fields_can_be_given() -> None:
    message = make_message(TICKER, DATA, epoch=3, lost=2, recovered=True, received_ns=5)
    assert (message.epoch, message.lost, message.recovered, message.received_ns) == (3, 2, True, 5)
    assert "recovered" not in message and not make_message(TICKER, DATA).recovered


def test_a_message_of_the_uta_feed() -> None:
    data = {"s": "BTC-USDT", "O": 1, "C": 1, "a": [["2", "1"]], "b": []}
    message = make_message(topics.uta.book("BTC-USDT", depth=5), data)
    assert (message.topic, message.symbol) == ("/uta/obu.SPOT:BTC-USDT_5", "BTC-USDT")
    assert (message["T"], message["dp"], message["t"], message["d"]) == ("obu.SPOT", "5", "snapshot", data)
    assert message.payload.sequence == 1


def test_it_is_the_message_that_a_stream_delivers(kucoin_server: KucoinServer, kucoin_stream) -> None:  # type: ignore[no-untyped-def]
    subscription = kucoin_stream.subscribe(TICKER)
    kucoin_server.publish(TICKER, DATA, subject="trade.ticker")
    assert subscription.get(timeout=20) == make_message(TICKER, DATA, "trade.ticker")


def test_a_topic_that_can_not_exist_is_refused() -> None:
    with pytest.raises(InvalidTopic, match="needs"):
        make_message("/market/ticker", {})
    with pytest.raises(InvalidTopic, match="names 2; make a message for each"):
        make_message(topics.ticker("BTC-USDT", "ETH-USDT"), {})


def test_a_subject_that_decides_the_struct_is_needed() -> None:
    topic = topics.futures.instrument("XBTUSDTM")
    with pytest.raises(ValueError, match=r"subject is None; for .* it is one of mark.index.price, funding.rate"):
        make_message(topic, {})
    assert make_message(topic, {"markPrice": 5}, "mark.index.price").payload.mark_price == 5


def test_an_unknown_topic_has_plain_data() -> None:
    assert make_message("/new/topic:A", {"n": 1}).payload == {"n": 1}
