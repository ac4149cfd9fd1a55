"""Book sources: topic, endpoint and feed of each kind of book."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import InvalidTopic
from kucoin_sync.books import FUTURES_LEVEL2, LEVEL2, LEVEL3, UTA_LEVEL2, BookSource

SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"
LEVEL3_PATH = "/api/v2/market/orderbook/level3"


@pytest.mark.parametrize(
    ("options", "market", "topic", "feed", "path", "signed", "depth"),
    [
        ({}, "spot", f"/market/level2:{SPOT}", LEVEL2, "/api/v1/market/orderbook/level2_100", False, 100),
        ({"with_key": True}, "spot", f"/market/level2:{SPOT}", LEVEL2, "/api/v3/market/orderbook/level2", True, None),
        ({"level": 3}, "spot", f"/spotMarket/level3:{SPOT}", LEVEL3, LEVEL3_PATH, False, None),
        ({"level": 3, "generation": 1}, "spot", f"/market/level3:{SPOT}", LEVEL3, LEVEL3_PATH, False, None),
        (
            {"symbol": CONTRACT, "with_key": True},
            "futures", f"/contractMarket/level2:{CONTRACT}", FUTURES_LEVEL2, "/api/v1/level2/snapshot", False, None,
        ),
        ({"feed": "uta"}, "uta-spot", f"/uta/obu.SPOT:{SPOT}_increment@10ms", UTA_LEVEL2, "", False, 500),
        (
            {"symbol": CONTRACT, "feed": "uta", "with_key": True},
            "uta-futures", f"/uta/obu.FUTURES:{CONTRACT}_increment@10ms", UTA_LEVEL2, "", False, 500,
        ),
    ],
)  # fmt: skip
def test_each_kind_of_book_has_its_topic_and_endpoint(
    options: dict[str, Any], market: str, topic: str, feed: Any, path: str, signed: bool, depth: int | None
) -> None:
    source = BookSource.of(**{"symbol": SPOT, **options})
    assert (source.market, source.topic, source.feed) == (market, topic, feed)
    assert (source.path, source.signed, source.depth) == (path, signed, depth)
    assert type(source.topic) is str
    level = "level 3 " if options.get("level") == 3 else ""
    assert str(source) == f"the {level}book of {options.get('symbol', SPOT)}"


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ({"symbol": "btc-usdt"}, InvalidTopic, "did you mean BTC-USDT"),
        ({"symbol": "btc-usdt", "feed": "uta"}, InvalidTopic, "did you mean BTC-USDT"),
        ({"symbol": "BTC-USDT,ETH-USDT", "feed": "uta"}, InvalidTopic, "does not take"),
        ({"symbol": None, "feed": "uta"}, InvalidTopic, "a symbol such as BTC-USDT"),
        ({"feed": "uta", "level": 3}, ValueError, "the UTA feed has no books of level 3"),
        ({"feed": "pro"}, ValueError, 'KuCoin\'s feeds are "classic" and "uta"'),
        ({"symbol": "xbtusdtm"}, InvalidTopic, "did you mean XBTUSDTM"),
        ({"symbol": "BTC-USDT,ETH-USDT"}, InvalidTopic, "does not take"),
        ({"symbol": ""}, InvalidTopic, "does not take"),
        ({"symbol": None}, InvalidTopic, "a symbol such as BTC-USDT"),
        (
            {"symbol": CONTRACT, "level": 3},
            InvalidTopic,
            "'XBTUSDTM' has no book of level 3, which is for spot symbols",
        ),
        ({"level": 1}, ValueError, "level is 1; a book is of level 2"),
        ({"level": "2"}, ValueError, "level is '2'"),
        ({"generation": 3}, ValueError, "generation is 3; the level 3 feed has generations 1 and 2"),
    ],
)
def test_impossible_books_are_refused(options: dict[str, Any], error: type[Exception], hint: str) -> None:
    with pytest.raises(error, match=hint):
        BookSource.of(**{"symbol": SPOT, **options})
