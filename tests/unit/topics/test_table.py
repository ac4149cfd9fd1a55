"""The table of topics: complete, and consistent with itself."""

from __future__ import annotations

from collections import Counter

import pytest

from kucoin_sync import payloads
from kucoin_sync.topics.table import CANDLE_TYPES, FUTURES_CANDLE_TYPES, TABLE, Argument, Topic

# Every topic of KuCoin's documentation, as (pattern, market, private).
DOCUMENTED = {
    ("/market/ticker:{symbol},…", "spot", False),
    ("/market/ticker:all", "spot", False),
    ("/spotMarket/level1:{symbol},…", "spot", False),
    ("/spotMarket/level2Depth5:{symbol},…", "spot", False),
    ("/spotMarket/level2Depth50:{symbol},…", "spot", False),
    ("/market/level2:{symbol},…", "spot", False),
    ("/market/match:{symbol},…", "spot", False),
    ("/market/level3:{symbol},…", "spot", False),
    ("/spotMarket/level3:{symbol},…", "spot", False),
    ("/market/candles:{symbol}_{type}", "spot", False),
    ("/market/snapshot:{symbol}", "spot", False),
    ("/market/snapshot:{market}", "spot", False),
    ("/callauction/level2Depth50:{symbol}", "spot", False),
    ("/callauction/callauctionData:{symbol}", "spot", False),
    ("/indicator/index:{symbol},…", "margin", False),
    ("/indicator/markPrice:{symbol},…", "margin", False),
    ("/margin/fundingBook:{currency},…", "margin", False),
    ("/spotMarket/tradeOrdersV2", "spot", True),
    ("/spotMarket/tradeOrders", "spot", True),
    ("/account/balance", "spot", True),
    ("/spotMarket/advancedOrders", "spot", True),
    ("/margin/position", "margin", True),
    ("/margin/isolatedPosition:{symbol}", "margin", True),
    ("/margin/loan:{currency}", "margin", True),
    ("/contractMarket/tickerV2:{contract}", "futures", False),
    ("/contractMarket/ticker:{contract}", "futures", False),
    ("/contractMarket/level2Depth5:{contract}", "futures", False),
    ("/contractMarket/level2Depth50:{contract}", "futures", False),
    ("/contractMarket/level2:{contract}", "futures", False),
    ("/contractMarket/execution:{contract}", "futures", False),
    ("/contractMarket/limitCandle:{contract}_{type}", "futures", False),
    ("/contract/instrument:{contract}", "futures", False),
    ("/contract/announcement:{contract}", "futures", False),
    ("/contract/announcement", "futures", False),
    ("/contractMarket/snapshot:{contract}", "futures", False),
    ("/contractMarket/tradeOrders:{contract}", "futures", True),
    ("/contractMarket/tradeOrders", "futures", True),
    ("/contractMarket/advancedOrders", "futures", True),
    ("/contractAccount/wallet", "futures", True),
    ("/contract/position:{contract}", "futures", True),
    ("/contract/positionAll", "futures", True),
    ("/contract/marginMode", "futures", True),
    ("/contract/crossLeverage", "futures", True),
    ("/uta/ticker.SPOT:{symbol},…", "uta-spot", False),
    ("/uta/ticker.FUTURES:{contract},…", "uta-futures", False),
    ("/uta/trade.SPOT:{symbol}", "uta-spot", False),
    ("/uta/trade.FUTURES:{contract}", "uta-futures", False),
    ("/uta/kline.SPOT:{symbol}_{type}", "uta-spot", False),
    ("/uta/kline.FUTURES:{contract}_{type}", "uta-futures", False),
    ("/uta/obu.SPOT:{symbol}_{depth}", "uta-spot", False),
    ("/uta/obu.FUTURES:{contract}_{depth}", "uta-futures", False),
    ("/uta/mark-price:{contract}", "uta-futures", False),
    ("/uta/funding-fee:{contract},…", "uta-futures", False),
    ("/uta/funding-fee-all-symbols", "uta-futures", False),
    ("/uta/callAuctionInfo:{symbol}", "uta-spot", False),
    ("/uta/orderAll.UNIFIED", "uta", True),
    ("/uta/order.UNIFIED:{symbol or contract}", "uta", True),
    ("/uta/execution.UNIFIED", "uta", True),
    *((f"/uta/execution.lite.{kind}", "uta", True) for kind in ("UNIFIED", "SPOT", "ISOLATED", "CROSS", "FUTURES")),
    *((f"/uta/balance.{kind}", "uta", True) for kind in ("UNIFIED", "FUNDING", "ISOLATED")),
    ("/uta/positionAll.UNIFIED", "uta", True),
    ("/uta/position.UNIFIED:{contract}", "uta", True),
    ("/uta/leverage.UNIFIED", "uta", True),
    ("/uta/lw.UNIFIED", "uta", True),
}

every_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)


def test_the_table_has_every_documented_topic_once() -> None:
    rows = [(row.pattern, row.market, row.private) for row in TABLE]
    assert set(rows) == DOCUMENTED
    assert len(rows) == len(DOCUMENTED)


@every_row
def test_every_row_has_its_frequency_and_description(row: Topic) -> None:
    assert row.push
    assert row.about
    assert not row.about.endswith(".")


@every_row
def test_every_row_has_a_struct_for_its_payloads(row: Topic) -> None:
    assert row.payloads
    for subject, cls in row.payloads.items():
        assert subject == "*" or subject.strip(". ") == subject != ""
        assert issubclass(cls, payloads.Payload)


@every_row
def test_names_of_futures_topics_and_helpers_show_the_market(row: Topic) -> None:
    futures, uta = row.market == "futures", row.dialect == "uta"
    assert row.prefix.startswith("/contract") is futures
    assert row.helper.startswith("futures.") is futures
    assert row.prefix.startswith("/uta/") is row.market.startswith("uta") is uta
    assert row.helper.startswith("uta.") is uta
    assert row.helper.removeprefix("futures.").removeprefix("uta.").isidentifier()


def test_all_rows_of_a_prefix_are_equally_private_and_of_one_market() -> None:
    kinds = {(row.prefix, row.private, row.market) for row in TABLE}
    assert len(kinds) == len({row.prefix for row in TABLE})


def test_rows_of_one_prefix_and_subject_agree_on_the_struct() -> None:
    choices = {(row.prefix, subject, cls) for row in TABLE for subject, cls in row.payloads.items()}
    assert Counter((prefix, subject) for prefix, subject, _ in choices).most_common(1)[0][1] == 1


def test_two_classic_rows_share_a_helper_only_if_it_takes_contracts_or_none() -> None:
    counts = Counter(row.helper for row in TABLE if row.dialect == "classic")
    assert {helper for helper, count in counts.items() if count > 1} == {"futures.orders", "futures.announcement"}


@every_row
def test_other_names_of_pushes_are_topics_of_the_table(row: Topic) -> None:
    for alias in row.pushed_as:
        assert alias.prefix in {other.prefix for other in TABLE}
        assert alias.argument in ("same", "any", "none")
        assert all(isinstance(path, tuple) and path for path in alias.fields)


def test_topics_that_are_pushed_under_other_names() -> None:
    named = {row.pattern: [(alias.prefix, alias.argument) for alias in row.pushed_as] for row in TABLE if row.pushed_as}
    assert named == {
        "/market/snapshot:{market}": [("/market/snapshot", "any")],
        "/callauction/level2Depth50:{symbol}": [("/spotMarket/level2Depth50", "same")],
        "/spotMarket/tradeOrders": [("/spotMarket/tradeOrdersV2", "none")],
        "/contract/announcement:{contract}": [("/contract/announcement", "none")],
        "/contractMarket/tradeOrders": [("/contractMarket/tradeOrders", "any")],
        "/contract/positionAll": [("/contract/position", "any")],
        "/uta/orderAll.UNIFIED": [("/uta/order.UNIFIED", "any")],
        "/uta/order.UNIFIED:{symbol or contract}": [("/uta/orderAll.UNIFIED", "none")],
        "/uta/positionAll.UNIFIED": [("/uta/position.UNIFIED", "any")],
        "/uta/position.UNIFIED:{contract}": [("/uta/positionAll.UNIFIED", "none")],
    }


def test_withdrawn_topics_say_since_when() -> None:
    assert {row.pattern: row.legacy for row in TABLE if row.legacy} == {
        "/market/level3:{symbol},…": "withdrawn by KuCoin in 2021",
        "/spotMarket/level3:{symbol},…": "withdrawn by KuCoin in 2021",
        "/margin/fundingBook:{currency},…": "absent from the current documentation",
        "/margin/loan:{currency}": "absent from the current documentation",
    }


def test_only_lists_of_symbols_and_currencies_share_a_command() -> None:
    assert {argument for argument in Argument if argument.joins} == {
        Argument.SYMBOLS,
        Argument.CURRENCIES,
        Argument.CONTRACTS,
    }


def test_a_helper_takes_any_number_of_names_but_one_candle() -> None:
    assert {argument for argument in Argument if not argument.repeats} == {
        Argument.NONE,
        Argument.ALL,
        Argument.CANDLES,
        Argument.CONTRACT_CANDLES,
    }


def test_a_topic_without_an_argument_is_printed_as_its_prefix() -> None:
    row = next(row for row in TABLE if row.helper == "account_balance")
    assert (row.argument, row.pattern) == (Argument.NONE, "/account/balance")


def test_candle_types() -> None:
    assert " ".join(CANDLE_TYPES) == (
        "1min 3min 5min 15min 30min 1hour 2hour 4hour 6hour 8hour 12hour 1day 1week 1month"
    )
    assert [candle for candle in CANDLE_TYPES if candle not in FUTURES_CANDLE_TYPES] == ["6hour"]
    assert set(FUTURES_CANDLE_TYPES) < set(CANDLE_TYPES)
