"""Two topics that share pushes: a sink gets each event once, under whichever name KuCoin pushes it."""

from __future__ import annotations

import itertools
import pickle
from typing import Any, NamedTuple

import pytest

from kucoin_sync.topics import TABLE
from kucoin_sync.topics.routing import Router


class Push(NamedTuple):
    topic: str
    data: Any = None
    subject: str | None = None


PAIRS = [
    ("/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2"),
    ("/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT"),
    ("/market/snapshot:BTC", "/market/snapshot:CHR-BTC"),
    ("/market/snapshot:DeFi", "/market/snapshot:BTC"),
    ("/contractMarket/tradeOrders", "/contractMarket/tradeOrders:XBTUSDTM"),
    ("/contract/positionAll", "/contract/position:XBTUSDTM"),
    ("/contract/announcement:XBTUSDTM", "/contract/announcement"),
    ("/uta/orderAll.UNIFIED", "/uta/order.UNIFIED:XBTUSDTM"),
    ("/uta/order.UNIFIED:XBTUSDTM", "/uta/orderAll.UNIFIED"),
    ("/uta/positionAll.UNIFIED", "/uta/position.UNIFIED:XBTUSDTM"),
    ("/uta/position.UNIFIED:XBTUSDTM", "/uta/positionAll.UNIFIED"),
]
"""A topic, and another name under which its pushes may come."""


def event(number: int) -> dict[str, Any]:
    """Return the data of an event that may be pushed on all these topics."""
    inner = {"market": "BTC", "markets": ["BTC", "DeFi"], "number": number}
    return {"symbol": "XBTUSDTM", "s": "XBTUSDTM", "type": "match", "number": number, "data": inner}


class Sinks:
    """Sinks that want topics, and the pushes that each one got."""

    def __init__(self, **wanted: tuple[str, ...]) -> None:
        self.router: Router[str] = Router(deduplicate=True)
        self.got: dict[str, list[tuple[str, int]]] = {}
        for sink, names in wanted.items():
            for name in names:
                self.add(name, sink)

    def add(self, topic: str, sink: str) -> None:
        self.got.setdefault(sink, [])
        self.router.add(topic, sink)

    def push(self, topic: str, number: int, subject: str | None = None, **more: Any) -> None:
        push = Push(topic, {**event(number), **more}, subject)
        routes = self.router.find(topic)
        assert self.router.exact.get(topic, routes) == routes
        for sink, test in routes:
            if test is None or test(push):
                self.got[sink].append((topic, number))


def test_the_pairs_cover_the_table() -> None:
    named = {row.prefix for row in TABLE if row.pushed_as}
    assert {one.partition(":")[0] for one, _ in PAIRS} == named


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("order", ["one first", "other first", "each in a row", "the other in a row first"])
@pytest.mark.parametrize("wanted", ["by two", "by three", "by one"])
def test_an_event_pushed_under_both_names_is_delivered_once_per_topic(
    one: str, other: str, order: str, wanted: str
) -> None:
    numbers = range(5)
    pushes = {
        "one first": [(topic, number) for number in numbers for topic in (one, other)],
        "other first": [(topic, number) for number in numbers for topic in (other, one)],
        "each in a row": [(topic, number) for topic in (one, other) for number in numbers],
        "the other in a row first": [(topic, number) for topic in (other, one) for number in numbers],
    }[order]
    sinks = Sinks(both=(one, other)) if wanted == "by one" else Sinks(a=(one,), b=(other,))
    if wanted == "by three":
        sinks.add(one, "c")
    for topic, number in pushes:
        sinks.push(topic, number)
    if wanted == "by one":
        assert sinks.got["both"] == pushes, "it wants both feeds, and gets each push of both once"
        return
    for got in sinks.got.values():
        assert [number for _, number in got] == list(numbers)
    if not one.startswith(("/market/snapshot", "/uta/")):  # each may come under the other's name
        assert sinks.got["b"] == [(other, number) for number in numbers]


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("adding", list(itertools.permutations("ab")))
def test_an_event_pushed_under_the_other_name_only_reaches_both_once(
    one: str, other: str, adding: tuple[str, ...]
) -> None:
    sinks = Sinks(**{sink: ((one,) if sink == "a" else (other,)) for sink in adding})
    sinks.add(one, "both")
    sinks.add(other, "both")
    for number in range(5):
        sinks.push(other, number)
    assert all(got == [(other, number) for number in range(5)] for got in sinks.got.values())
    assert len(sinks.got) == 3


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_pushes_that_arrive_after_one_topic_is_removed_are_not_repeated(one: str, other: str) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    for number in range(3):
        sinks.push(one, number)
        sinks.push(other, number)
    sinks.router.remove(other, "b")
    sinks.push(one, 3)
    sinks.push(other, 3)
    assert [number for _, number in sinks.got["a"]] == [0, 1, 2, 3]
    sinks.add(other, "b")
    sinks.push(other, 4)
    sinks.push(one, 4)
    assert [number for _, number in sinks.got["a"]] == [0, 1, 2, 3, 4]
    assert [number for _, number in sinks.got["b"]] == [0, 1, 2, 4]
    sinks.router.remove(one, "a")
    sinks.add(one, "a")
    sinks.push(other, 5)
    sinks.push(one, 5)
    assert [number for _, number in sinks.got["a"]] == [0, 1, 2, 3, 4, 5], "nothing is known of it any more"
    assert [number for _, number in sinks.got["b"]] == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_topic_wanted_alone_gets_pushes_under_all_of_its_names(one: str, other: str) -> None:
    sinks = Sinks(a=(one,))
    pushes = [(one, 0), (other, 1), (one, 2), (other, 3)]
    for topic, number in pushes:
        sinks.push(topic, number)
    assert sinks.got["a"] == pushes
    assert [test for _, test in sinks.router.exact[one]] == [None], "its own name needs no look at the payload"


def test_an_event_of_the_newer_topic_only_is_not_delivered_on_the_older() -> None:
    for names in (("v1",), ("v1", "v2")):
        topics = {"v1": ("/spotMarket/tradeOrders",), "v2": ("/spotMarket/tradeOrdersV2",)}
        sinks = Sinks(**{name: topics[name] for name in names})
        sinks.push("/spotMarket/tradeOrdersV2", 1, type="received")
        sinks.push("/spotMarket/tradeOrdersV2", 2, type="open")
        assert sinks.got["v1"] == [("/spotMarket/tradeOrdersV2", 2)]


def test_two_payloads_are_one_event_if_their_common_members_are_equal() -> None:
    sinks = Sinks(a=("/spotMarket/tradeOrders",), b=("/spotMarket/tradeOrdersV2",))
    sinks.push("/spotMarket/tradeOrdersV2", 1, feeType="takerFee")
    sinks.push("/spotMarket/tradeOrders", 1, clientOid="x")
    sinks.push("/spotMarket/tradeOrders", 2)
    assert sinks.got["a"] == [("/spotMarket/tradeOrdersV2", 1), ("/spotMarket/tradeOrders", 2)]


ORDER_PAIRS = [pair for pair in PAIRS if "tradeOrders" in pair[0]]
FILL = {
    "orderId": "5c35c02703aa673ceec2a168",
    "type": "match",
    "ts": 1593487482038606180,
    "orderTime": 1593487482000000000,
    "filledSize": "0.1",
    "canceledSize": "0",
    "price": "0.938",
    "status": "match",
}
SPELLINGS: dict[str, dict[str, Any]] = {
    "another unit": {"orderTime": 1593487482000},
    "more digits": {"price": "0.9380"},
    "more digits in what identifies it": {"filledSize": "0.10", "canceledSize": "0.0"},
    "a text": {"ts": "1593487482038606180"},
    "a number": {"filledSize": 0.1, "canceledSize": 0},
    "a member more": {"liquidity": "taker", "clientOid": None},
    "another word": {"status": "done"},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("one", "other"), ORDER_PAIRS)
def test_of_an_order_event_only_what_identifies_it_is_compared_and_by_value(
    one: str, other: str, spelling: str
) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    fills = [{**FILL, "filledSize": size} for size in ("0.1", "0.2", "0.3")]
    for number in range(2):
        sinks.push(other, number, **fills[number])
    sinks.push(one, 0, **{**fills[0], **SPELLINGS[spelling]})
    for number in (1, 2):
        sinks.push(one, number, **fills[number])
    assert [number for _, number in sinks.got["a"]] == [0, 1, 2]


@pytest.mark.parametrize("member", ["orderId", "type", "ts", "filledSize", "canceledSize"])
@pytest.mark.parametrize("value", ["sNaN", "NaN", "7", None, [], 10**5000], ids=range(6))
def test_order_events_that_differ_in_what_identifies_them_are_two(member: str, value: Any) -> None:
    sinks = Sinks(a=("/spotMarket/tradeOrders",), b=("/spotMarket/tradeOrdersV2",))
    sinks.push("/spotMarket/tradeOrdersV2", 1, **FILL)
    sinks.push("/spotMarket/tradeOrders", 1, **{**FILL, member: value})
    assert [number for _, number in sinks.got["a"]] == [1, 1]


POSITION_PAIRS = [pair for pair in PAIRS if pair[0] == "/contract/positionAll"]
POSITION_SUBJECTS = ["position.change", "position.settlement", "position.adjustRiskLimit"]


@pytest.mark.parametrize(("one", "other"), POSITION_PAIRS)
@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(POSITION_SUBJECTS, 2)))
def test_events_of_two_kinds_are_two_though_their_common_members_are_equal(
    one: str, other: str, before: str, after: str
) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    sinks.push(other, 0, before)
    sinks.push(one, 0, after)
    assert sinks.got["a"] == [(other, 0), (one, 0)]
    sinks.push(one, 0, before)
    assert sinks.got["a"] == [(other, 0), (one, 0)], "it is the first, under its own name"


@pytest.mark.parametrize(("one", "other"), POSITION_PAIRS)
@pytest.mark.parametrize(("under_other", "under_own"), list(itertools.permutations(POSITION_SUBJECTS, 2)))
def test_one_kind_may_come_under_the_own_name_and_another_kind_under_the_other_name(
    one: str, other: str, under_other: str, under_own: str
) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    for number in range(3):
        sinks.push(other, number, under_other)
        sinks.push(one, number, under_own)
        sinks.push(other, number, under_own)
    assert sinks.got["a"] == [(name, number) for number in range(3) for name in (other, one)]
    sinks.push(one, 2, under_other)
    sinks.push(other, 3, under_other)
    assert len(sinks.got["a"]) == 6, "now this kind has come under the own name, too"


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("name", [0, 1])
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("stamp", ["U", "ts", "timestamp", "currentTimestamp", "sequence"])
def test_an_event_with_a_time_that_is_pushed_again_under_one_name_is_delivered_once_per_topic(
    one: str, other: str, name: int, times: int, stamp: str
) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    topic = (one, other)[name]
    for first in range(0, 12, 3):
        for number in [*range(first, first + 3)] * times:
            sinks.push(topic, number, **{stamp: 1700000000000 + number // 2})
    assert sinks.got["a"] == [(topic, number) for number in range(12)]
    assert sinks.got["b"] in ([], sinks.got["a"])
    assert sinks.got["b"] or name == 0


@pytest.mark.parametrize(
    ("one", "other"), [pair for pair in PAIRS if pair[::-1] not in PAIRS and pair[0] != "/market/snapshot:DeFi"]
)
def test_events_that_may_be_two_are_two(one: str, other: str) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    for _ in range(2):
        sinks.push(other, 0)  # equal, but nothing says when they were
    for timestamp in range(3):
        sinks.push(other, 1, timestamp=timestamp)
    for subject in ("funding.begin", "funding.end"):
        sinks.push(other, 2, subject, timestamp=9)
    for sink in "ab":
        assert [number for _, number in sinks.got[sink]] == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("one", "other"), ORDER_PAIRS)
def test_an_order_event_that_is_pushed_again_in_another_spelling_is_delivered_once(
    one: str, other: str, spelling: str
) -> None:
    sinks = Sinks(a=(one,), b=(other,))
    for size in ("0.1", "0.2"):
        fill = {**FILL, "filledSize": size}
        sinks.push(other, 0, **fill)
        sinks.push(other, 0, **{**fill, **{k: v for k, v in SPELLINGS[spelling].items() if k != "filledSize"}})
    assert sinks.got == {"a": [(other, 0)] * 2, "b": [(other, 0)] * 2}


def test_remembered_messages_are_bounded_and_removed_with_their_sink() -> None:
    sinks = Sinks(a=("/contract/positionAll",))
    for number in range(3000):
        topic = f"/contract/position:C{number}"
        sinks.router.add(topic, "b")
        sinks.router.find(topic)
        for sink, test in sinks.router.find(topic):
            assert test is None or test(Push(topic, event(number))), sink
        sinks.router.remove(topic, "b")
    for deduplicator in sinks.router._deduplicators.values():
        assert len(deduplicator.other_names) <= 1000
        assert all(len(recent) <= 256 for recent in deduplicator._recent.values())
        for by_kind in deduplicator._delivered.values():
            assert all(len(delivered) <= 256 for delivered in by_kind.values())
    sinks.router.remove("/contract/positionAll", "a")
    assert sinks.router._deduplicators == {}
    assert len(pickle.dumps(sinks.router)) < 500


MUTUAL = [pair for pair in PAIRS if pair[::-1] in PAIRS]


@pytest.mark.parametrize(("one", "other"), MUTUAL)
@pytest.mark.parametrize("name", [0, 1])
@pytest.mark.parametrize("apart", [1, 3])
def test_an_event_that_both_topics_push_under_one_name_is_delivered_once(
    one: str, other: str, name: int, apart: int
) -> None:
    sinks = Sinks(a=(one,), b=(other,), both=(one, other))
    for first in range(0, 12, apart):
        for number in [*range(first, first + apart)] * 2:
            sinks.push((one, other)[name], number)
    assert [number for _, number in sinks.got["a"]] == [number for _, number in sinks.got["b"]] == list(range(12))
    assert sorted(number for _, number in sinks.got["both"]) == sorted([*range(12)] * 2), "once for each topic"


@pytest.mark.parametrize(("one", "other"), MUTUAL)
def test_an_event_comes_twice_under_one_name_where_one_topic_only_is_wanted(one: str, other: str) -> None:
    sinks = Sinks(a=(one,))
    for number in (1, 1, 2):
        sinks.push(one, number)
    assert [number for _, number in sinks.got["a"]] == [1, 1, 2]
    assert MUTUAL
