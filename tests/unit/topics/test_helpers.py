"""The functions that build topics: one for each topic, with the text that KuCoin takes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import kucoin_sync.topics.futures
import kucoin_sync.topics.uta
from kucoin_sync import topics
from kucoin_sync.exceptions import InvalidTopic
from kucoin_sync.topics import futures, uta
from kucoin_sync.topics.grammar import row_of
from kucoin_sync.topics.table import CANDLE_TYPES, TABLE

from .test_futures import OF_CONTRACTS, PLAIN_FUTURES

OF_SYMBOLS = {
    "ticker": "/market/ticker",
    "level1": "/spotMarket/level1",
    "depth5": "/spotMarket/level2Depth5",
    "depth50": "/spotMarket/level2Depth50",
    "level2": "/market/level2",
    "match": "/market/match",
    "level3": "/market/level3",
    "level3_v2": "/spotMarket/level3",
    "snapshot": "/market/snapshot",
    "call_auction_depth50": "/callauction/level2Depth50",
    "call_auction": "/callauction/callauctionData",
    "index_price": "/indicator/index",
    "mark_price": "/indicator/markPrice",
    "isolated_margin_position": "/margin/isolatedPosition",
}
OF_CURRENCIES = {
    "market_snapshot": "/market/snapshot",
    "funding_book": "/margin/fundingBook",
    "margin_loan": "/margin/loan",
}
PLAIN = {
    "ticker_all": "/market/ticker:all",
    "orders": "/spotMarket/tradeOrdersV2",
    "orders_v1": "/spotMarket/tradeOrders",
    "account_balance": "/account/balance",
    "stop_orders": "/spotMarket/advancedOrders",
    "margin_position": "/margin/position",
}


@pytest.mark.parametrize(("name", "prefix"), OF_SYMBOLS.items())
def test_helpers_that_take_symbols(name: str, prefix: str) -> None:
    build: Callable[..., str] = getattr(topics, name)
    assert build("BTC-USDT") == f"{prefix}:BTC-USDT"
    assert build("BTC-USDT", "ETH-USDT") == f"{prefix}:BTC-USDT,ETH-USDT"


@pytest.mark.parametrize(("name", "prefix"), OF_CURRENCIES.items())
def test_helpers_that_take_currencies_or_markets(name: str, prefix: str) -> None:
    build: Callable[..., str] = getattr(topics, name)
    assert build("BTC") == f"{prefix}:BTC"
    assert build("BTC", "KCS") == f"{prefix}:BTC,KCS"


@pytest.mark.parametrize(("name", "topic"), PLAIN.items())
def test_helpers_without_an_argument(name: str, topic: str) -> None:
    assert getattr(topics, name)() == topic


def test_candles_take_several_symbols() -> None:
    both = "/market/candles:BTC-USDT_1min,ETH-USDT_1min"
    assert topics.candles("BTC-USDT", "ETH-USDT", type="1min") == both
    assert topics.candles("BTC-USDT", "ETH-USDT", "1min") == both  # type: ignore[call-overload]
    assert topics.candles(symbol="BTC-USDT", type="1min") == "/market/candles:BTC-USDT_1min"
    limit = "/contractMarket/limitCandle:XBTUSDTM_1min,ETHUSDTM_1min"
    assert futures.candles("XBTUSDTM", "ETHUSDTM", type="1min") == limit
    assert topics.uta.candles("BTC-USDT", "ETH-USDT", type="1min") == "/uta/kline.SPOT:BTC-USDT_1min,ETH-USDT_1min"
    with pytest.raises(TypeError, match=r'candles of BTC-USDT need a type, as in candles\("BTC-USDT", "1hour"\)'):
        topics.candles("BTC-USDT")  # type: ignore[call-overload]
    with pytest.raises(InvalidTopic, match="is a spot symbol and"):
        topics.uta.candles("BTC-USDT", "XBTUSDTM", type="1min")


@pytest.mark.parametrize("type", CANDLE_TYPES)
def test_candles_take_a_symbol_and_a_type(type: str) -> None:
    assert topics.candles("BTC-USDT", type) == f"/market/candles:BTC-USDT_{type}"


def test_a_repeated_name_counts_once() -> None:
    assert topics.ticker("BTC-USDT", "ETH-USDT", "BTC-USDT") == "/market/ticker:BTC-USDT,ETH-USDT"


@pytest.mark.parametrize(
    "build",
    [
        *(getattr(topics, name) for name in {**OF_SYMBOLS, **OF_CURRENCIES}),
        *(getattr(futures, name) for name in OF_CONTRACTS if name not in ("orders", "announcement")),
    ],
)
def test_a_helper_without_its_argument_raises(build: Callable[..., str]) -> None:
    with pytest.raises(InvalidTopic, match=r"^/\w+/\w+ needs a .* such as"):
        build()


def test_a_helper_refuses_a_wrong_argument_with_the_right_form() -> None:
    with pytest.raises(InvalidTopic, match="did you mean BTC-USDT"):
        topics.ticker("btc-usdt")
    with pytest.raises(InvalidTopic, match="a futures symbol such as XBTUSDTM"):
        futures.ticker("BTC-USDT")
    with pytest.raises(InvalidTopic, match="does not take"):
        topics.ticker(["BTC-USDT"])  # type: ignore[arg-type]
    with pytest.raises(InvalidTopic, match="1min, 3min"):
        topics.candles("BTC-USDT", "2min")
    with pytest.raises(InvalidTopic, match="/contractMarket/limitCandle does not take"):
        futures.candles("XBTUSDTM", "6hour")


def helpers_in(module: Any) -> set[str]:
    return {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}


def test_every_row_of_the_table_has_its_helper_and_every_helper_its_row() -> None:
    assert {row.helper for row in TABLE} == {
        *helpers_in(topics),
        *(f"futures.{name}" for name in helpers_in(futures)),
        *(f"uta.{name}" for name in helpers_in(uta)),
    }


def test_every_helper_builds_a_topic_of_its_row() -> None:
    built = [
        *((name, getattr(topics, name)("BTC-USDT")) for name in OF_SYMBOLS),
        *((name, getattr(topics, name)("BTC")) for name in OF_CURRENCIES),
        *((name, getattr(topics, name)()) for name in PLAIN),
        *((f"futures.{name}", getattr(futures, name)("XBTUSDTM")) for name in OF_CONTRACTS),
        *((f"futures.{name}", getattr(futures, name)()) for name in PLAIN_FUTURES),
    ]
    for helper, topic in built:
        row = row_of(topic)
        assert row is not None
        assert row.helper == helper


@pytest.mark.parametrize("name", ["kucoin_sync.topics", "kucoin_sync.topics.futures", "kucoin_sync.topics.uta"])
def test_every_helper_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    for helper in helpers_in(module):
        assert (getattr(module, helper).__doc__ or "").endswith((".", ").", '".')), helper


def test_docstrings_of_private_topics_say_private() -> None:
    for row in TABLE:
        part, _, name = row.helper.rpartition(".")
        module = getattr(topics, part) if part else topics
        assert (getattr(module, name).__doc__ or "").startswith("Private: ") is row.private


def test_the_helpers_of_futures_are_part_of_the_package() -> None:
    assert topics.futures is kucoin_sync.topics.futures
    assert topics.uta is kucoin_sync.topics.uta
    assert topics.CANDLE_TYPES is CANDLE_TYPES
    assert topics.TABLE is TABLE
