"""The table of topics, the helpers, the payloads, the printed reference and the README of the topics say the same."""

from __future__ import annotations

import functools
import inspect
import json

import msgspec
import pytest

from kucoin_sync import payloads, topics
from kucoin_sync.cli import main
from kucoin_sync.cli.topics import TABLE_STANDS_IN, markdown
from kucoin_sync.protocol.message import payload_class
from kucoin_sync.topics import TABLE, Topic, futures, grammar, uta
from kucoin_sync.topics.table import Argument

from .support.readmes import text_of

EXAMPLES = {
    Argument.NONE: (), Argument.ALL: (), Argument.SYMBOLS: ("BTC-USDT", "ETH-USDT"), Argument.SYMBOL: ("BTC-USDT",),
    Argument.MARKET: ("USDS",), Argument.CURRENCIES: ("BTC", "ETH"), Argument.CURRENCY: ("BTC",),
    Argument.CANDLES: ("BTC-USDT", "1hour"), Argument.CONTRACT: ("XBTUSDTM",),
    Argument.CONTRACT_CANDLES: ("XBTUSDTM", "1min"), Argument.CONTRACTS: ("XBTUSDTM", "ETHUSDTM"),
    Argument.DEPTH: ("BTC-USDT",), Argument.CONTRACT_DEPTH: ("XBTUSDTM",), Argument.ANY_SYMBOL: ("XBTUSDTM",),
}  # fmt: skip
#: The keywords of a helper that has several rows, by the prefix of the row.
KEYWORDS: dict[str, dict[str, object]] = {
    "/uta/execution.lite.UNIFIED": {"lite": True},
    **{f"/uta/execution.lite.{kind}": {"lite": True, "trade_type": kind} for kind in
       ("SPOT", "ISOLATED", "CROSS", "FUTURES")},
    **{f"/uta/balance.{kind}": {"account_type": kind} for kind in ("UNIFIED", "FUNDING", "ISOLATED")},
}  # fmt: skip
DOCUMENTED = """
/market/ticker:{s} /market/ticker:all /spotMarket/level1:{s} /spotMarket/level2Depth5:{s} /spotMarket/level2Depth50:{s}
/market/level2:{s} /market/match:{s} /market/level3:{s} /spotMarket/level3:{s} /market/candles:{s}_{type}
/market/snapshot:{symbol} /market/snapshot:{market} /callauction/level2Depth50:{s} /callauction/callauctionData:{s}
/indicator/index:{s} /indicator/markPrice:{s} /margin/fundingBook:{c}
/spotMarket/tradeOrdersV2 /spotMarket/tradeOrders /account/balance /spotMarket/advancedOrders /margin/position
/margin/isolatedPosition:{s} /margin/loan:{c}
/contractMarket/tickerV2:{s} /contractMarket/ticker:{s} /contractMarket/level2Depth5:{s}
/contractMarket/level2Depth50:{s} /contractMarket/level2:{s} /contractMarket/execution:{s}
/contractMarket/limitCandle:{s}_{type} /contract/instrument:{s} /contract/announcement:{s} /contract/announcement
/contractMarket/snapshot:{s}
/contractMarket/tradeOrders:{s} /contractMarket/tradeOrders /contractMarket/advancedOrders /contractAccount/wallet
/contract/position:{s} /contract/positionAll /contract/marginMode /contract/crossLeverage
/uta/ticker.SPOT:{s} /uta/ticker.FUTURES:{s} /uta/trade.SPOT:{s} /uta/trade.FUTURES:{s}
/uta/kline.SPOT:{s}_{type} /uta/kline.FUTURES:{s}_{type} /uta/obu.SPOT:{s}_{depth} /uta/obu.FUTURES:{s}_{depth}
/uta/mark-price:{s} /uta/funding-fee:{s} /uta/funding-fee-all-symbols /uta/callAuctionInfo:{s}
/uta/orderAll.UNIFIED /uta/order.UNIFIED:{s} /uta/execution.UNIFIED /uta/execution.lite.UNIFIED
/uta/execution.lite.SPOT /uta/execution.lite.ISOLATED /uta/execution.lite.CROSS /uta/execution.lite.FUTURES
/uta/balance.UNIFIED /uta/balance.FUNDING /uta/balance.ISOLATED /uta/positionAll.UNIFIED /uta/position.UNIFIED:{s}
/uta/leverage.UNIFIED /uta/lw.UNIFIED
""".split()  # noqa: SIM905 - as the documentation lists them


def helper(row: Topic) -> object:
    module, _, name = row.helper.rpartition(".")
    build = getattr(getattr(topics, module) if module else topics, name)
    return functools.partial(build, **KEYWORDS[row.prefix]) if row.prefix in KEYWORDS else build


def test_the_table_has_every_topic_of_kucoins_documentation() -> None:
    assert len(TABLE) == len(DOCUMENTED)
    assert {row.prefix for row in TABLE} == {topic.partition(":")[0] for topic in DOCUMENTED}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_the_helper_builds_the_topic_of_its_row(row: Topic) -> None:
    build = helper(row)
    assert inspect.getdoc(getattr(build, "func", build)), "a public function has a docstring"
    topic = build(*EXAMPLES[row.argument])  # type: ignore[operator]
    singles = grammar.split(topic)
    assert all(grammar.row_of(single) == row for single in singles)
    assert all(grammar.is_private(single) == row.private for single in singles)
    assert {grammar.market_of(single) for single in singles} == {"spot" if row.market == "margin" else row.market}


def test_there_is_no_helper_without_a_row() -> None:
    built = {row.helper for row in TABLE}
    for module, prefix in ((topics, ""), (futures, "futures."), (uta, "uta.")):
        functions = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
        assert {f"{prefix}{name}" for name in functions} <= built
    assert {row.helper.rpartition(".")[2] for row in TABLE} <= {*topics.__all__, *futures.__all__, *uta.__all__}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_each_subject_of_a_row_has_its_struct(row: Topic) -> None:
    topic = grammar.split(helper(row)(*EXAMPLES[row.argument]))[0]  # type: ignore[operator]
    for subject, cls in row.payloads.items():
        assert getattr(payloads, cls.__name__) is cls
        assert payload_class(topic, "anything" if subject == "*" else subject) is cls


def test_every_payload_struct_belongs_to_a_topic() -> None:
    used = {cls for row in TABLE for cls in row.payloads.values()}
    public = [getattr(payloads, name) for name in payloads.__all__]
    structs = {cls for cls in public if inspect.isclass(cls) and issubclass(cls, payloads.Payload)}
    bases = {base for cls in used for base in cls.__mro__[1:]}
    inside = {field.type for cls in used for field in msgspec.structs.fields(cls)}
    assert structs - bases - inside <= used


def test_the_readme_has_the_table() -> None:
    assert markdown() in text_of(TABLE_STANDS_IN)


def test_the_printed_reference_has_every_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [row.pattern for row in TABLE] == [line for line in lines if line.startswith("/")]
    assert main(["topics", "--json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["topic"], each["private"], each["push"]) for each in objects] == [
        (row.pattern, row.private, row.push) for row in TABLE
    ]
    assert all(each["payloads"] for each in objects)


def test_the_printed_reference_can_be_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "candles", "futures"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("/")] == [
        "/contractMarket/limitCandle:{contract}_{type}",
        "/uta/kline.FUTURES:{contract}_{type}",
    ]
    assert main(["topics", "nonsense"]) == 1
