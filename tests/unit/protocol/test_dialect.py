"""What dialects have in common: servers that keep their token secret, and answers; and the list of all dialects."""

from __future__ import annotations

from kucoin_sync.protocol.dialect import Answer, Server
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.topics.table import TABLE


def test_a_server_shows_everything_but_its_token() -> None:
    server = Server("wss://a.example/", 18.0, 10.0, "s3cret")
    assert repr(server) == "Server('wss://a.example/', 18.0, 10.0)"
    assert server.token == "s3cret"


def test_an_answer_that_says_nothing_more_is_no_error_and_changes_no_heartbeat() -> None:
    answer = Answer("ack", "7")
    assert (answer.code, answer.reason, answer.meaning) == (0, "", "")
    assert (answer.ping_interval, answer.ping_timeout) == (None, None)


def test_every_topic_has_a_dialect_and_every_market_has_one() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert {row.dialect for row in TABLE} <= DIALECTS.keys()
    markets = {(row.market, row.dialect) for row in TABLE}
    assert len({market for market, _ in markets}) == len(markets)
