"""The steps of one reconciliation, without I/O and on a number for a clock."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.account.calls import Call, Plan, one
from kucoin_sync.account.part import AccountPart
from kucoin_sync.account.reconciliation import RETRIES, Until, reconcile
from kucoin_sync.account.rows import Row, items
from kucoin_sync.account.values import AccountFill, AccountOrder
from kucoin_sync.exceptions import RestError

LAG = 5.0


def call(name: str) -> Call:
    return Call("spot", name, 1, "spot")


class SomePart(AccountPart):
    """A part whose rounds are one call each."""

    market = "spot"
    topics = ("/t",)

    def check(self) -> Plan[None]:
        yield from one(call("check"))

    def round(self, *, final: bool) -> Plan[None]:
        yield from one(call("final" if final else "round"))

    def look_for(self, lost: AccountOrder) -> list[Call]:
        return [call(f"order {lost.order_id}")]

    def fills_of(self, order: AccountOrder) -> Plan[list[Row]]:
        return items((yield from one(call(f"fills {order.order_id}"))))


def in_step(*orders: AccountOrder) -> SomePart:
    part = SomePart()
    part.proved()
    for order in orders:
        part.state.add_order(order, recovered=False)
    part.cut()
    part.state.take_changes()
    return part


def order(order_id: str, filled: int = 0) -> AccountOrder:
    return AccountOrder(
        order_id=order_id, symbol="S", side="buy", filled_size=Decimal(filled), canceled_size=Decimal(0)
    )  # fmt: skip


def steps(part: AccountPart, answers: Any = lambda name: {}) -> Iterator[str | Until]:
    """Yield what a reconciliation does."""
    run = reconcile(part, LAG)
    step = next(run)
    while True:
        if isinstance(step, Until):
            yield step
            found = None
        else:
            yield from (each.path for each in step)
            found = [answers(each.path) for each in step]
        try:
            step = run.send(found)
        except StopIteration:
            return


def test_the_first_one_checks_the_key_and_takes_the_state_when_rest_surely_shows_it() -> None:
    part = SomePart()
    assert list(steps(part)) == ["check", Until(LAG, gathered=True), "final"]
    assert not part.state.is_starting and not part.state.collecting


def test_a_later_one_recovers_at_once_and_proves_after_the_lag() -> None:
    part = in_step()
    assert list(steps(part)) == ["round", Until(LAG, gathered=True), "final"]
    assert part.since_ns == 0


def test_an_order_that_no_list_shows_is_looked_for_by_its_id() -> None:
    part = in_step(order("1"))
    row = {"id": "1", "symbol": "S", "side": "buy", "active": False, "cancelExist": True}
    walk = list(steps(part, lambda name: row if name == "order 1" else {}))
    assert walk == ["round", Until(LAG, gathered=True), "final", "order 1"]
    [change] = part.state.take_changes()
    assert change.recovered and change.order is not None and change.order.ending == "canceled"


def test_an_order_that_is_found_to_be_open_stays_open() -> None:
    part = in_step(order("1"))
    row = {"id": "1", "symbol": "S", "side": "buy", "active": True, "remainSize": None}
    assert len(list(steps(part, lambda name: row if name == "order 1" else {}))) == 4
    assert [each.active for each in part.state.open_orders()] == [True]


def test_an_order_that_is_nowhere_to_be_found_is_never_ended_but_said_to_be_unknown() -> None:
    part = in_step(order("1"))
    missing = RestError("400100", "order not exist")
    walk = list(steps(part, lambda name: missing if name == "order 1" else {}))
    assert walk.count("order 1") == len(RETRIES) + 1
    assert [step.seconds for step in walk if isinstance(step, Until)] == [LAG, LAG + 1, LAG + 4, LAG + 14]
    [change] = part.state.take_changes()
    assert change.kind == "unknown" and "1 of S is not among the open ones" in change.reason
    assert [each.active for each in part.state.open_orders()] == [None]
    part.cut()
    assert list(steps(part, lambda name: missing if name == "order 1" else {})).count("order 1") == 1, "asked once more"
    assert part.state.take_changes() == [], "and not told again"


def test_fills_that_are_missing_are_asked_for_again_and_then_said_to_be_unknown() -> None:
    for found in (True, False):
        part = in_step()
        part.state.add_order(order("1", filled=2), recovered=True)
        part.shown = frozenset({"1"})
        part.state.take_changes()
        fill = AccountFill(symbol="S", trade_id="7", order_id="1", side="buy", price=Decimal(1), size=Decimal(2))
        rounds = []

        def answers(name: str, part: AccountPart = part, fill: AccountFill = fill, found: bool = found) -> Any:
            rounds.append(name)  # noqa: B023 - used at once
            if found and rounds.count("round") == 2:  # noqa: B023
                part.state.add_fill(fill, recovered=True)
            return {}

        list(steps(part, answers))
        changes = part.state.take_changes()
        assert [change.kind for change in changes] == ["fill" if found else "unknown"]
        assert rounds.count("round") == (2 if found else 1 + len(RETRIES))
    assert "2 of 2" in changes[0].reason


def test_fills_that_no_list_shows_are_asked_for_by_their_order() -> None:
    part = in_step()
    part.state.add_order(order("1", filled=2), recovered=True)
    part.shown = frozenset({"1"})
    row = {"symbol": "S", "tradeId": "7", "orderId": "1", "side": "buy", "price": "1", "size": "2"}
    walk = list(steps(part, lambda name: [row] if name == "fills 1" else {}))
    assert walk == ["round", Until(LAG, gathered=True), "final", "fills 1"]
    assert [change.kind for change in part.state.take_changes()] == ["order", "fill"]


def test_fills_that_the_start_hides_are_told_when_rest_surely_shows_them() -> None:
    part = SomePart()
    push = {"symbol": "S", "orderId": "1", "side": "buy", "type": "match", "originSize": "9", "filledSize": "3",
            "matchSize": "1", "matchPrice": "1", "tradeId": "5", "ts": 5}  # fmt: skip
    part.state.push("/spotMarket/tradeOrdersV2", push)
    fill = {"symbol": "S", "tradeId": "7", "orderId": "1", "side": "buy", "price": "1", "size": "4"}
    older = {**fill, "tradeId": "3", "size": "2"}
    row = {"id": "1", "symbol": "S", "side": "buy", "size": "9", "dealSize": "7", "active": True, "remainSize": "2"}

    def answers(name: str) -> Any:
        if name == "final":
            part.collect([row], [older])
            part.shown = frozenset({"1"})
        return [older, fill] if name == "fills 1" else {}

    assert list(steps(part, answers)) == ["check", Until(LAG, gathered=True), "final", "fills 1"]
    told = [change.fill.trade_id for change in part.state.take_changes() if change.fill]
    assert told == ["5", "7"]


def test_a_refused_check_is_an_error() -> None:
    with pytest.raises(RestError):
        list(steps(SomePart(), lambda name: RestError("900001", "no")))
