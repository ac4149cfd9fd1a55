"""All dialects, by their names in the topic table."""

from __future__ import annotations

from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.topics import TABLE


def test_every_topic_has_a_dialect_and_every_market_has_one() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert {row.dialect for row in TABLE} <= DIALECTS.keys()
    markets = {(row.market, row.dialect) for row in TABLE}
    assert len({market for market, _ in markets}) == len(markets)
