"""The functions that build topics of futures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync.topics import futures
from kucoin_sync.topics.table import FUTURES_CANDLE_TYPES

OF_CONTRACTS = {
    "ticker": "/contractMarket/tickerV2",
    "ticker_v1": "/contractMarket/ticker",
    "depth5": "/contractMarket/level2Depth5",
    "depth50": "/contractMarket/level2Depth50",
    "level2": "/contractMarket/level2",
    "match": "/contractMarket/execution",
    "instrument": "/contract/instrument",
    "announcement": "/contract/announcement",
    "snapshot": "/contractMarket/snapshot",
    "orders": "/contractMarket/tradeOrders",
    "position": "/contract/position",
}
PLAIN_FUTURES = {
    "stop_orders": "/contractMarket/advancedOrders",
    "wallet": "/contractAccount/wallet",
    "positions": "/contract/positionAll",
    "margin_mode": "/contract/marginMode",
    "cross_leverage": "/contract/crossLeverage",
}


@pytest.mark.parametrize(("name", "prefix"), OF_CONTRACTS.items())
def test_helpers_that_take_contracts(name: str, prefix: str) -> None:
    build: Callable[..., str] = getattr(futures, name)
    assert build("XBTUSDTM") == f"{prefix}:XBTUSDTM"
    assert build("XBTUSDTM", ".KXBT") == f"{prefix}:XBTUSDTM,.KXBT"


@pytest.mark.parametrize(
    ("name", "topic"),
    [*PLAIN_FUTURES.items(), ("orders", "/contractMarket/tradeOrders"), ("announcement", "/contract/announcement")],
)
def test_helpers_of_futures_without_an_argument(name: str, topic: str) -> None:
    assert getattr(futures, name)() == topic


@pytest.mark.parametrize("type", FUTURES_CANDLE_TYPES)
def test_candles_of_futures_take_a_contract_and_a_type(type: str) -> None:
    assert futures.candles("XBTUSDTM", type) == f"/contractMarket/limitCandle:XBTUSDTM_{type}"
