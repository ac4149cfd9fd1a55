"""Which topics are subscribed, and which of them are sure to bring messages."""

from __future__ import annotations

import pytest

from kucoin_sync.topics import TABLE
from kucoin_sync.topics.grammar import row_of, split
from kucoin_sync.verify.plan import feeds_of, interval_of, topics_of


def prefixes(feed: str, *, private: bool = False) -> set[str]:
    return {topic.partition(":")[0] for topic in topics_of(feed, private=private)}


def test_every_topic_of_the_table_is_subscribed() -> None:
    assert prefixes("all", private=True) == {row.prefix for row in TABLE}
    assert prefixes("uta") == {row.prefix for row in TABLE if row.dialect == "uta" and not row.private}
    assert prefixes("classic") == {row.prefix for row in TABLE if row.dialect == "classic" and not row.private}
    wanted = list(topics_of("all", private=True))
    assert len(wanted) == len(set(wanted))
    assert all(split(topic) == (topic,) for topic in wanted)


def test_the_option_names_one_feed_or_both() -> None:
    assert [feeds_of(feed) for feed in ("classic", "uta", "all")] == [("classic",), ("uta",), ("classic", "uta")]


@pytest.mark.parametrize(
    ("topic", "seconds"),
    [
        ("/market/ticker:BTC-USDT", 0.1),
        ("/contract/instrument:XBTUSDTM", 1.0),
        ("/uta/funding-fee:XBTUSDTM", 60.0),
        ("/market/match:BTC-USDT", None),
        ("/contract/announcement", None),
        ("/callauction/level2Depth50:BTC-USDT", None),
        ("/uta/callAuctionInfo:BTC-USDT", None),
        ("/uta/lw.UNIFIED", None),
    ],
)
def test_an_interval_is_what_the_table_says_of_a_public_topic_that_is_always_pushed(
    topic: str, seconds: float | None
) -> None:
    row = row_of(topic)
    assert row is not None
    assert interval_of(row) == seconds
