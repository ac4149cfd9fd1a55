"""Routing: every push reaches each sink that wants it once, under whichever name it comes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.topics.routing import Router

from ...support.selection import examples


class Push(NamedTuple):
    topic: str
    data: Any = None


class TooDeep(NamedTuple):
    topic: str

    @property
    def data(self) -> Any:
        raise RecursionError


def receivers(router: Router[str], message: Any) -> list[str]:
    """Return the sinks that get a message, in order."""
    routes = router.find(message.topic)
    assert router.exact.get(message.topic, routes) == routes
    return [sink for sink, test in routes if test is None or test(message)]


def routing(**wanted: str) -> Router[str]:
    """Return a router in which each keyword is a sink, and its value its topics, separated by blanks."""
    router: Router[str] = Router()
    for sink, topics in wanted.items():
        for topic in topics.split():
            router.add(topic, sink)
    return router


def test_an_empty_router_routes_nothing() -> None:
    router = routing()
    assert len(router) == 0
    assert router.find("/market/ticker:BTC-USDT") == ()
    assert router.sinks("/market/ticker:BTC-USDT") == ()


def test_a_push_goes_to_all_sinks_of_its_topic() -> None:
    router = routing(a="/market/ticker:BTC-USDT", b="/market/ticker:BTC-USDT /market/ticker:ETH-USDT")
    assert len(router) == 2
    assert router.sinks("/market/ticker:BTC-USDT") == ("a", "b")
    assert router.exact["/market/ticker:BTC-USDT"] == (("a", None), ("b", None))
    assert receivers(router, Push("/market/ticker:ETH-USDT")) == ["b"]
    assert receivers(router, Push("/market/ticker:KCS-USDT")) == []


@pytest.mark.parametrize("topic", ["/market/ticker:BTC-USDT", "/unknown/topic:x", "/contract/positionAll"])
def test_add_returns_whether_first_and_remove_whether_last(topic: str) -> None:
    router: Router[str] = Router()
    assert router.add(topic, "a") is True
    assert router.add(topic, "b") is False
    assert router.remove(topic, "a") is False
    assert router.sinks(topic) == ("b",)
    assert router.remove(topic, "b") is True
    assert router.sinks(topic) == ()
    assert len(router) == 0
    assert router.exact == {}
    assert receivers(router, Push(topic)) == []


def test_removing_a_sink_from_another_topic_changes_nothing() -> None:
    router = routing(a="/market/ticker:BTC-USDT")
    assert router.remove("/market/ticker:BTC-USDT", "b") is False
    assert router.sinks("/market/ticker:BTC-USDT") == ("a",)


def test_a_topic_can_be_wanted_again() -> None:
    router = routing(a="/contract/positionAll")
    router.remove("/contract/positionAll", "a")
    assert receivers(router, Push("/contract/position:XBTUSDTM")) == []
    assert router.add("/contract/positionAll", "b") is True
    assert receivers(router, Push("/contract/position:XBTUSDTM")) == ["b"]


def test_a_push_of_several_symbols_goes_to_the_sinks_of_each() -> None:
    router = routing(a="/market/ticker:BTC-USDT", b="/market/ticker:ETH-USDT", c="/market/ticker:KCS-USDT")
    assert receivers(router, Push("/market/ticker:BTC-USDT,ETH-USDT")) == ["a", "b"]


def test_all_tickers_come_under_the_topic_that_was_subscribed() -> None:
    router = routing(a="/market/ticker:all", b="/market/ticker:BTC-USDT")
    assert receivers(router, Push("/market/ticker:all")) == ["a"]


def test_orders_of_all_contracts_come_under_each_contract() -> None:
    router = routing(all="/contractMarket/tradeOrders", one="/contractMarket/tradeOrders:XBTUSDTM")
    assert receivers(router, Push("/contractMarket/tradeOrders:XBTUSDTM")) == ["one", "all"]
    assert receivers(router, Push("/contractMarket/tradeOrders:ETHUSDTM")) == ["all"]
    assert receivers(router, Push("/contractMarket/tradeOrders")) == ["all"]


def test_all_positions_come_under_each_contract() -> None:
    router = routing(all="/contract/positionAll", one="/contract/position:XBTUSDTM")
    assert receivers(router, Push("/contract/position:XBTUSDTM")) == ["one", "all"]
    assert receivers(router, Push("/contract/position:ETHUSDTM")) == ["all"]
    assert receivers(router, Push("/contract/positionAll")) == ["all"]
    assert receivers(router, Push("/contract/instrument:XBTUSDTM")) == []


def test_an_announcement_without_an_argument_is_routed_by_its_symbol() -> None:
    router = routing(x="/contract/announcement:XBTUSDTM", e="/contract/announcement:ETHUSDTM")
    assert receivers(router, Push("/contract/announcement", {"symbol": "XBTUSDTM"})) == ["x"]
    assert receivers(router, Push("/contract/announcement", {"symbol": "KCSUSDTM"})) == []
    assert receivers(router, Push("/contract/announcement:ETHUSDTM", {"symbol": "XBTUSDTM"})) == ["e"]


def test_a_call_auctions_depth_comes_under_the_name_of_the_plain_depth() -> None:
    router = routing(
        auction="/callauction/level2Depth50:BTC-USDT",
        depth="/spotMarket/level2Depth50:BTC-USDT",
        other="/callauction/level2Depth50:ETH-USDT",
    )
    assert receivers(router, Push("/spotMarket/level2Depth50:BTC-USDT")) == ["depth", "auction"]
    assert receivers(router, Push("/callauction/level2Depth50:BTC-USDT")) == ["auction"]


def test_orders_come_under_the_newer_name_too() -> None:
    router = routing(v1="/spotMarket/tradeOrders", v2="/spotMarket/tradeOrdersV2")
    assert receivers(router, Push("/spotMarket/tradeOrdersV2")) == ["v2", "v1"]
    assert receivers(router, Push("/spotMarket/tradeOrders")) == ["v1"]
    assert receivers(router, Push("/spotMarket/tradeOrdersV2:x")) == []


@pytest.mark.parametrize(
    "data",
    [
        {"data": {"market": "BTC"}},
        {"data": {"markets": ["DeFi", "BTC"]}},
        {"market": "BTC"},
        {"markets": ["BTC"]},
    ],
)
def test_a_markets_snapshot_pushed_under_a_symbol_is_routed_by_its_market(data: Any) -> None:
    router = routing(btc="/market/snapshot:BTC", usds="/market/snapshot:USDS", one="/market/snapshot:CHR-BTC")
    assert receivers(router, Push("/market/snapshot:CHR-BTC", data)) == ["one", "btc"]
    assert receivers(router, Push("/market/snapshot:LTC-BTC", data)) == ["btc"]
    assert receivers(router, Push("/market/snapshot:BTC", data)) == ["btc"]


@pytest.mark.parametrize(
    "data",
    [None, 7, "BTC", [], ["BTC"], {}, {"data": None}, {"data": {"market": None}}, {"data": {"markets": "xBTCx"}}],
)
def test_a_payload_of_another_form_has_no_market(data: Any) -> None:
    router = routing(btc="/market/snapshot:BTC")
    assert receivers(router, Push("/market/snapshot:LTC-BTC", data)) == []


def test_a_payload_that_is_nested_too_deep_is_delivered() -> None:
    router = routing(btc="/market/snapshot:BTC")
    assert receivers(router, TooDeep("/market/snapshot:LTC-BTC")) == ["btc"]


def test_no_sink_gets_a_push_twice() -> None:
    router = routing(
        a="/contract/positionAll /contract/position:XBTUSDTM /market/snapshot:BTC /market/snapshot:DeFi "
        "/market/snapshot:CHR-BTC",
        b="/market/snapshot:USDS /market/snapshot:DeFi /market/snapshot:BTC",
    )
    snapshot = {"data": {"market": "BTC", "markets": ["BTC", "DeFi"]}}
    assert receivers(router, Push("/contract/position:XBTUSDTM")) == ["a"]
    assert receivers(router, Push("/market/snapshot:CHR-BTC", snapshot)) == ["a", "b"]
    assert receivers(router, Push("/market/snapshot:BTC", snapshot)) == ["a", "b"]
    assert receivers(router, Push("/market/snapshot:LTC-BTC,KCS-BTC", snapshot)) == ["a", "b"]
    assert receivers(router, Push("/market/snapshot:LTC-BTC", {"data": {"market": "DeFi"}})) == ["a", "b"]
    assert receivers(router, Push("/market/snapshot:LTC-BTC", {"data": {"market": "USDS"}})) == ["b"]
    assert receivers(router, Push("/market/snapshot:LTC-BTC", {"data": {"market": "none"}})) == []


def test_a_sink_added_twice_gets_a_push_once_and_is_removed_by_one_call() -> None:
    router = routing(a="/market/ticker:BTC-USDT /market/ticker:BTC-USDT")
    assert receivers(router, Push("/market/ticker:BTC-USDT")) == ["a"]
    assert router.remove("/market/ticker:BTC-USDT", "a") is True


def test_find_caches_nothing() -> None:
    router = routing(a="/contract/positionAll")
    for number in range(100):
        router.find(f"/contract/position:C{number}")
        router.find(f"/market/ticker:A{number}-B,C{number}-D")
    assert set(router.exact) == {"/contract/positionAll"}


def test_entries_are_replaced_whole() -> None:
    router = routing(a="/contract/position:XBTUSDTM")
    before = router.exact["/contract/position:XBTUSDTM"]
    router.add("/contract/positionAll", "b")
    assert before == (("a", None),)
    assert router.exact["/contract/position:XBTUSDTM"] == (("a", None), ("b", None))
    router.remove("/contract/positionAll", "b")
    assert router.exact["/contract/position:XBTUSDTM"] == (("a", None),)


class Meddling:
    """A sink whose `__hash__` calls a function, which stands for another thread that runs at that moment."""

    def __init__(self) -> None:
        self.meddle: Callable[[], object] = lambda: None

    def __hash__(self) -> int:
        meddle, self.meddle = self.meddle, lambda: None
        meddle()
        return 1


@pytest.mark.parametrize("removed", ["BTC", "USDS", "DeFi"])
def test_find_works_while_another_thread_changes_the_wanted_topics(removed: str) -> None:
    router: Router[Meddling] = Router()
    sink, other = Meddling(), Meddling()
    for market in ("BTC", "USDS", "DeFi"):
        router.add(f"/market/snapshot:{market}", sink)

    def meddle() -> None:
        router.remove(f"/market/snapshot:{removed}", sink)
        router.add("/market/snapshot:NFT", other)

    sink.meddle = meddle
    ((found, test),) = router.find("/market/snapshot:LTC-BTC")
    assert found is sink
    assert test is not None
    for market in {"BTC", "USDS", "DeFi"} - {removed}:
        assert test(Push("/market/snapshot:LTC-BTC", {"market": market}))


def test_a_removed_topic_leaves_nothing_behind() -> None:
    router: Router[str] = Router()
    for number in range(500):
        for topic in (f"/contract/announcement:C{number}USDTM", f"/market/ticker:C{number}-USDT"):
            router.add(topic, "a")
            router.remove(topic, "a")
    assert len(pickle.dumps(router)) < 500


TOPICS = [
    "/market/ticker:BTC-USDT",
    "/market/ticker:ETH-USDT",
    "/market/ticker:all",
    "/market/snapshot:BTC",
    "/market/snapshot:USDS",
    "/market/snapshot:CHR-BTC",
    "/callauction/level2Depth50:BTC-USDT",
    "/spotMarket/level2Depth50:BTC-USDT",
    "/spotMarket/tradeOrders",
    "/spotMarket/tradeOrdersV2",
    "/contract/announcement:XBTUSDTM",
    "/contract/announcement:ETHUSDTM",
    "/contractMarket/tradeOrders",
    "/contractMarket/tradeOrders:XBTUSDTM",
    "/contract/position:XBTUSDTM",
    "/contract/positionAll",
    "/unknown/topic:x",
]
PUSHED = [
    *TOPICS,
    "/market/ticker:BTC-USDT,ETH-USDT",
    "/market/snapshot:LTC-BTC",
    "/contract/announcement",
    "/contract/position:ETHUSDTM",
    "/contractMarket/tradeOrders:ETHUSDTM",
    "/callauction/level2Depth50:ETH-USDT",
    "/nobody/wants:this",
]
DATA = [
    None,
    {"symbol": "XBTUSDTM"},
    {"data": {"market": "BTC", "markets": ["BTC", "USDS"]}},
    {"data": {"market": "USDS", "markets": None}},
]


def wants(single: str, pushed: str, data: Any) -> bool:
    """Return whether a push may belong to a wanted topic: a slow model of the protocol."""
    prefix, _, argument = single.partition(":")
    pushed_prefix, _, pushed_arguments = pushed.partition(":")
    if pushed_prefix == prefix and argument in pushed_arguments.split(","):
        return True
    if single == "/contractMarket/tradeOrders":
        return pushed_prefix == single
    if single == "/contract/positionAll":
        return pushed_prefix == "/contract/position"
    if single == "/spotMarket/tradeOrders":
        return pushed == "/spotMarket/tradeOrdersV2"
    if prefix == "/contract/announcement":
        return pushed == prefix and data is not None and data.get("symbol") == argument
    if prefix == "/callauction/level2Depth50":
        return pushed == f"/spotMarket/level2Depth50:{argument}"
    if prefix == "/market/snapshot" and "-" not in argument and pushed_prefix == prefix:
        inner = (data or {}).get("data") or {}
        return inner.get("market") == argument or argument in (inner.get("markets") or [])
    return False


@settings(max_examples=examples(120), deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(TOPICS), st.sampled_from("abc")), max_size=40))
def test_routing_agrees_with_the_model(steps: list[tuple[str, str]]) -> None:
    router: Router[str] = Router()
    wanted: set[tuple[str, str]] = set()
    for topic, sink in steps:
        others = {other for single, other in wanted if single == topic} - {sink}
        if (topic, sink) in wanted:
            wanted.discard((topic, sink))
            assert router.remove(topic, sink) is not bool(others)
        else:
            wanted.add((topic, sink))
            assert router.add(topic, sink) is not bool(others)
    assert len(router) == len({topic for topic, _ in wanted})
    assert set(router.exact) == {topic for topic, _ in wanted}
    for pushed in PUSHED:
        for data in DATA:
            expected = sorted({sink for single, sink in wanted if wants(single, pushed, data)})
            assert sorted(receivers(router, Push(pushed, data))) == expected, (pushed, data)
