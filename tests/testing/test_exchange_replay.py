"""Books rebuilt from a snapshot and the pushes after it equal the exchange's own, at every sequence."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, Push

STEPS = 2_000
SPOT = ("BTC-USDT", "KCS-BTC")
CONTRACT = "XBTUSDTM"

Sides = dict[str, dict[Decimal, Decimal]]


def only(exchange: Exchange, *topics: str) -> None:
    exchange.wants = set(topics).__contains__


def set_level(side: dict[Decimal, Decimal], price: str, size: "str | int") -> None:
    if Decimal(size):
        side[Decimal(price)] = Decimal(size)
    else:
        side.pop(Decimal(price), None)


def sorted_rows(sides: Sides) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    return sorted(sides["bids"].items(), reverse=True), sorted(sides["asks"].items())


def sides_of(snapshot: dict[str, Any]) -> Sides:
    return {name: {Decimal(str(price)): Decimal(size) for price, size in snapshot[name]} for name in ("bids", "asks")}


@pytest.mark.parametrize("symbol", SPOT)
def test_spot_level_2(symbol: str) -> None:
    exchange = Exchange((symbol,), seed=1, levels=15)
    only(exchange, f"/market/level2:{symbol}")
    snapshot = exchange.level2_snapshot(symbol)
    sides, sequence = sides_of(snapshot), int(snapshot["sequence"])
    unchanged = several = 0
    for _ in range(STEPS):
        for push in exchange.step():
            data = push.data
            assert data["sequenceStart"] == sequence + 1
            rows = [(name, row) for name in ("bids", "asks") for row in data["changes"][name]]
            numbers = sorted(int(row[2]) for _, row in rows)
            assert numbers == list(range(data["sequenceStart"], data["sequenceEnd"] + 1))
            for name, (price, size, _) in rows:
                if price == "0":
                    unchanged += 1
                else:
                    set_level(sides[name], price, size)
            sequence = data["sequenceEnd"]
            several += len(numbers) > 1
        truth = exchange.level2(symbol)
        assert (sequence, *sorted_rows(sides)) == truth
    assert unchanged > STEPS / 2
    assert several > STEPS / 4


def test_futures_level_2() -> None:
    exchange = Exchange((CONTRACT,), seed=2, levels=15)
    only(exchange, f"/contractMarket/level2:{CONTRACT}")
    snapshot = exchange.level2_snapshot(CONTRACT)
    sides, sequence = sides_of(snapshot), snapshot["sequence"]
    names = {"buy": "bids", "sell": "asks"}
    for _ in range(STEPS):
        for push in exchange.step():
            assert push.data["sequence"] == push.extra["sn"] == sequence + 1
            sequence += 1
            price, side, size = push.data["change"].split(",")
            set_level(sides[names[side]], price, size)
        assert (sequence, *sorted_rows(sides)) == exchange.level2(CONTRACT)


class Orders:
    """A level 3 book kept by the rules of the feed: id -> [side, price, size], in time order."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.sequence = int(snapshot["sequence"])
        self.orders: dict[str, list[Any]] = {}
        for name, side in (("bids", "buy"), ("asks", "sell")):
            for id, price, size, _ in snapshot[name]:
                self.orders[id] = [side, Decimal(price), Decimal(size)]

    def open(self, data: dict[str, Any]) -> None:
        if data["price"]:
            self.orders[data["orderId"]] = [data["side"], Decimal(data["price"]), Decimal(data["size"])]

    def resize(self, id: str, size: str) -> None:
        if id in self.orders:
            self.orders[id][2] = Decimal(size)

    def rows(self) -> tuple[list[tuple[str, Decimal, Decimal]], ...]:
        bids = [(id, price, size) for id, (side, price, size) in self.orders.items() if side == "buy"]
        asks = [(id, price, size) for id, (side, price, size) in self.orders.items() if side == "sell"]
        return sorted(bids, key=lambda row: -row[1]), sorted(asks, key=lambda row: row[1])


def apply_old(book: Orders, push: Push) -> None:
    data = push.data
    kind = push.subject.removeprefix("trade.l3")
    assert data["type"] == kind
    if kind == "open":
        book.open(data)
    elif kind == "match" and data["makerOrderId"] in book.orders:
        book.orders[data["makerOrderId"]][2] -= Decimal(data["size"])
    elif kind == "change":
        if data["orderId"] in book.orders:
            assert book.orders[data["orderId"]][2] == Decimal(data["oldSize"])
        book.resize(data["orderId"], data["newSize"])
    elif kind == "done":
        left = book.orders.pop(data["orderId"], None)
        if left is not None:
            assert left[2] == Decimal(data.get("size", "0"))


def apply_new(book: Orders, push: Push) -> None:
    data = push.data
    if push.subject == "open":
        book.open(data)
    elif push.subject == "match" and data["makerOrderId"] in book.orders:
        book.orders[data["makerOrderId"]][2] -= Decimal(data["size"])
        assert book.orders[data["makerOrderId"]][2] == Decimal(data["remainSize"])
    elif push.subject == "update":
        book.resize(data["orderId"], data["size"])
    elif push.subject == "done":
        book.orders.pop(data["orderId"], None)


@pytest.mark.parametrize(("family", "apply"), [("/market/level3", apply_old), ("/spotMarket/level3", apply_new)])
@pytest.mark.parametrize("symbol", SPOT)
def test_level_3(symbol: str, family: str, apply: Callable[[Orders, Push], None]) -> None:
    exchange = Exchange((symbol,), seed=3, levels=15)
    only(exchange, f"{family}:{symbol}")
    book = Orders(exchange.level3_snapshot(symbol))
    subjects = set()
    for _ in range(STEPS):
        for push in exchange.step():
            assert int(push.data["sequence"]) == book.sequence + 1
            book.sequence += 1
            apply(book, push)
            subjects.add(push.subject)
        sequence, *sides = exchange.level3(symbol)
        assert book.sequence == sequence
        assert book.rows() == tuple([(o.id, o.price, o.size) for o in side] for side in sides)
    assert len(subjects) == 5


@pytest.mark.parametrize("symbol", [*SPOT, CONTRACT])
def test_level_3_adds_up_to_level_2(symbol: str) -> None:
    exchange = Exchange((symbol,), seed=4, levels=15)
    only(exchange)
    for _ in range(400):
        exchange.step()
        sequence, *sides = exchange.level3(symbol)
        summed = []
        for side in sides:
            levels: dict[Decimal, Decimal] = {}
            for order in side:
                levels[order.price] = levels.get(order.price, Decimal(0)) + order.size
            summed.append(list(levels.items()))
        assert (sequence, *summed) == exchange.level2(symbol)


def test_level_2_level_3_and_ticker_share_one_numbering_and_matches_have_another() -> None:
    exchange = Exchange(("BTC-USDT",), seed=6)
    exchange.wants = lambda topic: not topic.startswith("/uta/")
    sequences: dict[str, set[int]] = {}
    for _ in range(500):
        for push in exchange.step():
            family = push.topic.split(":")[0]
            first = push.data.get("sequenceStart") or push.data["sequence"]
            last = push.data.get("sequenceEnd", first)
            sequences.setdefault(family, set()).update(range(int(first), int(last) + 1))
    every = sequences["/market/level2"]
    assert every == sequences["/market/level3"] == sequences["/spotMarket/level3"]
    assert len(every) == max(every) - min(every) + 1
    assert sequences["/market/match"].isdisjoint(every)
    assert sequences["/market/ticker"] < every


def test_a_reader_who_starts_in_the_middle_meets_no_hole() -> None:
    exchange = Exchange(("BTC-USDT",), seed=7)
    only(exchange)
    for _ in range(100):
        exchange.step()
    before = exchange.level2("BTC-USDT").sequence
    only(exchange, "/market/level2:BTC-USDT")
    assert exchange.step()[0].data["sequenceStart"] == before + 1
