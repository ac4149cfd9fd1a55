from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.account.calls import Call, one
from kucoin_sync.account.futures import FuturesPart
from kucoin_sync.account.part import SLACK_NS
from kucoin_sync.account.spot import SpotPart
from kucoin_sync.exceptions import AuthenticationError, RestError


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number), "symbol": "BTC-USDT", "side": "buy", "size": "1", "dealSize": "1", "active": False,
        "lastUpdatedAt": 1_700_000_000_000 + number, **more,
    }  # fmt: skip


def fill(number: int, **more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC-USDT", "tradeId": number, "orderId": "1", "side": "buy", "price": "1", "size": "0.1",
        "createdAt": 1_700_000_000_000, **more,
    }  # fmt: skip


def test_fills_come_oldest_first_and_before_the_endings() -> None:
    part = SpotPart()
    part.proved()
    part.collect([row(3), row(2)], [fill(10, orderId="3", size="1"), fill(9, orderId="2", size="1")])
    told = [change.fill.trade_id if change.fill else change.order.order_id for change in part.state.take_changes()]  # type: ignore[union-attr]
    assert told == ["9", "10", "2", "3"]


@pytest.mark.parametrize("odd", [None, "", "much", 7, []])
def test_a_fill_without_a_side_has_that_of_its_order_if_it_is_known(odd: Any) -> None:
    part = SpotPart()
    part.proved()
    with pytest.raises(ValueError, match="side is"):
        part.collect([], [fill(9, side=odd)])
    part.collect([row(1)], [])
    part.collect([row(1, side=odd)], [fill(9, side=odd)])
    assert [each.side for each in part.state.fills.values()] == ["buy"]
    assert part.state.orders["1"].side == "buy"


def test_a_cut_remembers_from_when_on_records_may_be_missing_until_all_is_proved() -> None:
    part = FuturesPart()
    part.cut()
    assert part.since_ns == 0, "nothing is known yet"
    part.state.newest_ns = 1_700_000_000 * 10**9
    part.cut()
    part.state.newest_ns += 60 * 10**9
    part.cut()
    assert part.since_ns == 1_700_000_000 * 10**9 - SLACK_NS, "what the first cut hid is not known yet"
    part.proved()
    assert part.since_ns == 0


def test_what_is_refused_is_named_unless_it_is_the_key() -> None:
    part = SpotPart()
    part.hide("cross margin", RestError("101030", "not enabled"))
    part.hide("spot", AuthenticationError("no right", code="400007"))
    assert list(part.unseen) == ["cross margin", "spot"]
    assert part.unseen["cross margin"].startswith("cross margin: KuCoin answered")
    with pytest.raises(AuthenticationError):
        part.hide("spot", AuthenticationError("unknown key", code="400003"))


def test_what_a_refused_plan_would_find_is_nothing_and_named_until_the_plan_is_answered() -> None:
    part, call = SpotPart(), Call("spot", "/list", 2, "spot")
    for answer, found in ((RestError("101030", "not enabled"), []), ([row(1)], [row(1)])):
        plan = part.seen("orders", one(call))
        assert next(plan) == [call]
        with pytest.raises(StopIteration) as ended:
            plan.send([answer])
        assert ended.value.value == found
        assert ("orders" in part.unseen) is (not found)


def test_open_orders_that_neither_a_list_nor_a_push_has_shown_have_vanished() -> None:
    part = SpotPart()
    part.proved()
    part.cut()
    for number in (1, 2, 3):
        part.state.push("/spotMarket/tradeOrdersV2", order_push(number))
    part.state.fresh = {"2"}
    part.shown = frozenset({"3"})
    assert [order.order_id for order in part.vanished()] == ["1"]


def order_push(number: int) -> dict[str, Any]:
    return {"symbol": "BTC-USDT", "orderId": str(number), "side": "buy", "type": "open", "size": "1", "ts": number}
