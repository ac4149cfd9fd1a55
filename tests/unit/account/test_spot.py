"""Which calls the spot part makes, what they cost, and what it does with the answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from kucoin_sync.account.calls import Call, Plan
from kucoin_sync.account.spot import SpotPart
from kucoin_sync.exceptions import AuthenticationError, KucoinSyncError, RestError

MS = 1_700_000_000_000


class Answers:
    """Answers calls by their paths; notes them."""

    def __init__(self, **known: Any) -> None:
        self.known = known
        self.calls: list[Call] = []

    def play(self, plan: Plan[Any]) -> Any:
        calls = next(plan)
        while True:
            self.calls += calls
            try:
                calls = plan.send([self.answer(call) for call in calls])
            except StopIteration as ended:
                return ended.value

    def answer(self, call: Call) -> Any:
        name = call.path.removeprefix("/api/v1/hf/").removeprefix("/api/v3/hf/").replace("/", "_")
        margin = {"_api_v3_margin_accounts": {"accounts": []}, "_api_v3_isolated_accounts": {"assets": []}}
        usual: Any = margin.get(name, [])
        found = self.known.get(name, self.known.get(name.partition("_")[0], usual))
        return found(dict(call.query)) if callable(found) else found

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


def ledger(symbol: str, ms: int = MS) -> dict[str, Any]:
    return {"id": "1", "createdAt": str(ms), "context": msgspec.json.encode({"symbol": symbol}).decode()}


def order(order_id: str, symbol: str = "BTC-USDT", **more: Any) -> dict[str, Any]:
    return {
        "id": order_id, "symbol": symbol, "side": "buy", "size": "1", "dealSize": "0", "remainSize": "1",
        "cancelledSize": "0", "active": True, "tradeType": "TRADE", "createdAt": MS, "lastUpdatedAt": MS, **more,
    }  # fmt: skip


def part_in_step() -> SpotPart:
    part = SpotPart()
    part.proved()
    part.state.newest_ns = MS * 1_000_000
    part.cut()
    return part


def test_a_round_asks_for_each_symbol_that_is_open_named_traded_or_pushed() -> None:
    part = part_in_step()
    for symbol, number in (("KCS-USDT", "1"), ("ETH-USDT", "2")):
        data = {"symbol": symbol, "orderId": number, "side": "buy", "type": "open", "size": "1", "ts": MS}
        part.state.push("/spotMarket/tradeOrdersV2", data)
    answers = Answers(
        orders_active_symbols={"symbols": ["BTC-USDT"]}, accounts_ledgers=[ledger("SOL-USDT"), {"context": "?"}]
    )
    answers.play(part.round(final=False))
    asked = Counter((call.path, dict(call.query).get("symbol")) for call in answers.calls if "/v1/hf/" in call.path)
    for path in ("/api/v1/hf/orders/active/page", "/api/v1/hf/orders/done", "/api/v1/hf/fills"):
        assert {symbol for each, symbol in asked if each == path} == {"BTC-USDT", "ETH-USDT", "KCS-USDT", "SOL-USDT"}
    assert set(asked.values()) == {1}


def asked_for(part: SpotPart, **known: Any) -> set[str | None]:
    """Return the symbols of which a round asks for fills."""
    answers = Answers(**known)
    answers.play(part.round(final=False))
    return {dict(call.query).get("symbol") for call in answers.calls if call.path == "/api/v1/hf/fills"}


def test_a_symbol_is_asked_for_until_nothing_is_missing() -> None:
    part = part_in_step()
    assert asked_for(part, orders_active_symbols={"symbols": ["BTC-USDT"]}) == {"BTC-USDT"}
    assert asked_for(part, accounts_ledgers=[ledger("ETH-USDT")]) == {"BTC-USDT", "ETH-USDT"}
    part.proved()
    part.cut()
    assert asked_for(part) == set()


def test_the_symbol_of_an_order_that_lacks_fills_is_asked_for() -> None:
    part = part_in_step()
    part.proved()
    done = order("1", active=False, dealSize="1", remainSize="0")
    part.collect([done, order("2", "ETH-USDT", active=False, cancelExist=True, cancelledSize="1")], [])
    part.cut()
    assert asked_for(part) == {"BTC-USDT"}


def test_records_are_asked_for_from_some_seconds_before_the_cut() -> None:
    part = part_in_step()
    answers = Answers(orders_active_symbols={"symbols": ["BTC-USDT"]})
    answers.play(part.round(final=False))
    starts = {call.path: dict(call.query).get("startAt") for call in answers.calls}
    assert starts["/api/v1/hf/fills"] == starts["/api/v1/hf/accounts/ledgers"] == str(MS - 5000)


def test_ended_orders_are_asked_for_from_the_placing_of_the_oldest_open_one_at_most_two_days_back() -> None:
    for age, expected in ((60_000, MS - 60_000), (9 * 86_400_000, MS - 5000 - 2 * 86_400_000)):
        part = part_in_step()
        part.collect([order("1", createdAt=MS - age)], [])
        answers = Answers(orders_active_symbols={"symbols": []})
        answers.play(part.round(final=False))
        [start] = [dict(call.query)["startAt"] for call in answers.calls if call.path.endswith("hf/orders/done")]
        assert start == str(expected)
        part.now_ns = (MS + 3_600_000) * 1_000_000
        answers = Answers(orders_active_symbols={"symbols": []})
        answers.play(part.round(final=False))
        [start] = [dict(call.query)["startAt"] for call in answers.calls if call.path.endswith("hf/orders/done")]
        assert start == str(max(expected, MS + 3_600_000 - 2 * 86_400_000))


def test_what_was_opened_and_ended_in_the_cut_is_recovered() -> None:
    part = part_in_step()
    done = {"lastId": 1, "items": [order("9", active=False, cancelExist=True, cancelledSize="1", remainSize="0")]}
    answers = Answers(accounts_ledgers=[ledger("BTC-USDT")], orders_done=done, orders_active_symbols={})
    answers.play(part.round(final=False))
    [change] = part.state.take_changes()
    assert change.order is not None and (change.order.ending, change.recovered) == ("canceled", True)


def test_without_any_known_time_the_oldest_news_tells_where_to_begin() -> None:
    part = SpotPart()
    part.proved()
    part.cut()
    answers = Answers(accounts_ledgers=[ledger("BTC-USDT", MS + 9), ledger("BTC-USDT", MS)], orders_active_symbols={})
    answers.play(part.round(final=False))
    starts = {call.path: dict(call.query).get("startAt") for call in answers.calls}
    assert starts["/api/v1/hf/fills"] == str(MS - 5000)
    assert starts["/api/v1/hf/accounts/ledgers"] is None


def test_no_round_reads_further_back_than_the_first_one() -> None:
    """What is older would be told as if a cut had hidden it."""
    part = SpotPart()
    old = order("1", createdAt=MS - 3_600_000, lastUpdatedAt=MS - 3_600_000)
    for final in (True, False):
        answers = Answers(
            orders_active_symbols={"symbols": ["BTC-USDT"]}, orders_active_page={"items": [old], "totalPage": 1},
            accounts_ledgers=[ledger("BTC-USDT"), ledger("BTC-USDT", MS - 3_600_000)],
        )  # fmt: skip
        answers.play(part.round(final=final))
        starts = {call.path: dict(call.query).get("startAt") for call in answers.calls}
        assert starts["/api/v1/hf/fills"] == str(MS - 5000)
        part.proved()
        part.cut()


def test_where_nothing_ever_happened_no_history_is_read() -> None:
    part = SpotPart()
    answers = Answers(orders_active_symbols={"symbols": []})
    answers.play(part.round(final=True))
    assert not [path for path in answers.paths() if path.endswith(("/fills", "/done"))]


def test_a_final_round_takes_balances_and_which_orders_are_open() -> None:
    part = part_in_step()
    balances = [{"id": "a", "currency": "USDT", "type": "trade", "balance": "3", "available": "3", "holds": "0"}]
    cross = {"accounts": [{"currency": "USDT", "total": "1", "available": "1", "hold": "0"}]}
    answers = Answers(
        orders_active_symbols={"symbols": ["BTC-USDT"]}, orders_active_page={"items": [order("4")], "totalPage": 1},
        _api_v1_accounts=balances, _api_v3_margin_accounts=cross, _api_v3_isolated_accounts={"assets": []},
    )  # fmt: skip
    answers.play(part.round(final=True))
    assert part.shown == {"4"}
    assert {(each.account, each.total) for each in part.state.balances.values()} == {("trade", 3), ("margin", 1)}


def test_a_currency_that_a_list_has_no_row_of_is_asked_for_before_it_is_taken_for_zero() -> None:
    part = part_in_step()
    row = {"id": "a", "currency": "USDT", "type": "trade", "balance": "3", "available": "3", "holds": "0"}
    Answers(_api_v1_accounts=[row, {**row, "id": "b", "currency": "BTC"}]).play(part.round(final=True))

    def accounts(query: dict[str, str]) -> Any:
        return [row] if query == {"currency": "USDT"} else []

    answers = Answers(_api_v1_accounts=accounts)
    answers.play(part.round(final=True))
    assert [call.query for call in answers.calls if call.path == "/api/v1/accounts"] == [
        (), (("currency", "BTC"),), (("currency", "USDT"),)
    ]  # fmt: skip
    assert {each.currency: each.total for each in part.state.balances.values()} == {"USDT": 3, "BTC": 0}


@pytest.mark.parametrize("path", ["_api_v1_accounts", "_api_v3_margin_accounts", "_api_v3_isolated_accounts"])
@pytest.mark.parametrize("answer", [None, {}, "text", [None], {"accounts": None, "assets": None}, [{"type": "trade"}]])
def test_balances_that_can_not_be_read_are_not_taken_for_zero(path: str, answer: Any) -> None:
    part = part_in_step()
    row = {"id": "a", "currency": "USDT", "type": "trade", "balance": "3", "available": "3", "holds": "0"}
    Answers(_api_v1_accounts=[row]).play(part.round(final=True))
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Answers(**{"_api_v1_accounts": [row], path: answer}).play(part.round(final=True))
    assert [each.total for each in part.state.balances.values()] == [3]


def test_margin_orders_are_asked_for_by_their_kind_and_by_id_at_their_own_path() -> None:
    part = part_in_step()
    answers = Answers(margin_order_active_symbols=lambda query: {"symbols": ["BTC-USDT"]}, margin_orders_active=[])
    answers.play(part.round(final=False))
    kinds = {dict(call.query).get("tradeType") for call in answers.calls if call.path.endswith("margin/fills")}
    assert kinds == {"MARGIN_TRADE", "MARGIN_ISOLATED_TRADE"}
    part.collect([order("7", tradeType="MARGIN_TRADE"), order("8")], [])
    calls = [call for each in part.state.open_orders() for call in part.look_for(each)]
    assert [call.path for call in calls] == ["/api/v3/hf/margin/orders/7", "/api/v1/hf/orders/8"]
    assert [call.weight for call in calls] == [5, 2]


def test_refused_parts_are_named_and_not_asked_for_again() -> None:
    part = part_in_step()
    refused = RestError("101030", "not enabled")
    known: dict[str, Any] = {"margin": refused, "_api_v3_margin_accounts": refused, "orders_active_symbols": {}}
    Answers(**known).play(part.round(final=True))
    assert set(part.unseen) == {"cross margin", "isolated margin", "cross margin balances"}
    answers = Answers(**known)
    answers.play(part.round(final=True))
    assert not [path for path in answers.paths() if "/hf/margin" in path]


def test_a_refused_key_is_an_error() -> None:
    part = part_in_step()
    error = AuthenticationError("unknown", code="400003")
    with pytest.raises(AuthenticationError):
        Answers(orders_active_symbols=error).play(part.round(final=False))
    with pytest.raises(KucoinSyncError):
        Answers(_api_v1_accounts=error).play(SpotPart().check())


def test_50_symbols_cost_a_fraction_of_the_quota() -> None:
    part = part_in_step()
    symbols = [f"A{number}-USDT" for number in range(50)]
    answers = Answers(orders_active_symbols={"symbols": symbols})
    answers.play(part.round(final=True))
    weights = Counter[str]()
    for call in answers.calls:
        weights[call.pool] += call.weight
    assert weights["management"] == 5
    assert 6 * 50 < weights["spot"] < 400  # of 4000 in 30 seconds


def test_an_order_whose_push_does_not_tell_its_kind_is_looked_for_wherever_there_is_money() -> None:
    part = part_in_step()
    push = {"symbol": "BTC-USDT", "orderId": "1", "side": "buy", "type": "open", "size": "1", "ts": MS}
    part.state.push("/spotMarket/tradeOrdersV2", push)
    [order] = part.state.open_orders()
    assert [call.path for call in part.look_for(order)] == ["/api/v1/hf/orders/1"]
    data = {"currency": "USDT", "available": "1", "hold": "0", "total": "1", "relationEvent": "margin.transfer"}
    part.state.push("/account/balance", {**data, "time": str(MS)})
    assert [call.path for call in part.look_for(order)] == ["/api/v1/hf/orders/1", "/api/v3/hf/margin/orders/1"]
    answers = Answers()
    answers.play(part.round(final=False))
    kinds = [dict(call.query)["tradeType"] for call in answers.calls if call.path == "/api/v3/hf/margin/orders/done"]
    assert kinds == ["MARGIN_TRADE"]


def test_the_fills_of_one_order_are_asked_for_by_its_id() -> None:
    part = part_in_step()
    part.collect([order("7", tradeType="MARGIN_TRADE"), order("8", dealSize="1")], [])
    row = {"tradeId": 5, "createdAt": MS - 9_000_000}
    answers = Answers(fills=lambda query: {"items": [row], "lastId": 1}, margin_fills={"items": []})
    margin, spot = part.state.open_orders()
    assert answers.play(part.fills_of(margin)) == []
    assert answers.play(part.fills_of(spot)) == [row], "however old it is"
    assert [(call.path, dict(call.query)) for call in answers.calls] == [
        ("/api/v3/hf/margin/fills", {"symbol": "BTC-USDT", "orderId": "7", "startAt": str(MS), "limit": "100",
                                     "tradeType": "MARGIN_TRADE"}),
        ("/api/v1/hf/fills", {"symbol": "BTC-USDT", "orderId": "8", "startAt": str(MS), "limit": "100"}),
    ]  # fmt: skip
    refused = Answers(fills=RestError("900001", "no"))
    assert refused.play(part.fills_of(spot)) == []
    assert list(part.unseen) == ["spot fills of BTC-USDT"]


def test_a_bound_of_many_days_ago_is_left_away() -> None:
    """KuCoin may take it for the beginning of a range that has ended long ago."""
    for days, expected in ((1, str(MS - 5000)), (3, None)):
        part = part_in_step()
        part.now_ns = (MS + days * 86_400_000) * 1_000_000
        answers = Answers(orders_active_symbols={"symbols": ["BTC-USDT"]})
        answers.play(part.round(final=False))
        starts = {call.path: dict(call.query).get("startAt") for call in answers.calls}
        for path in ("fills", "orders/done", "accounts/ledgers"):
            assert starts[f"/api/v1/hf/{path}"] == expected


def test_what_is_refused_for_one_symbol_hides_only_that_and_only_until_it_is_answered() -> None:
    part = part_in_step()
    refused = RestError("900001", "symbol not exists")

    def page(query: dict[str, str]) -> Any:
        return refused if query["symbol"] == "OLD-USDT" else {"items": [order("4")], "totalPage": 1}

    symbols = {"symbols": ["BTC-USDT", "OLD-USDT"]}
    Answers(orders_active_symbols=symbols, orders_active_page=page).play(part.round(final=False))
    assert [order.order_id for order in part.state.open_orders()] == ["4"]
    assert list(part.unseen) == ["spot orders of OLD-USDT"]
    Answers(orders_active_symbols=symbols).play(part.round(final=False))
    assert part.unseen == {}


def test_without_the_list_of_symbols_those_of_the_ledger_are_asked_for() -> None:
    part = part_in_step()
    no_right = AuthenticationError("no right", code="400007")
    answers = Answers(orders_active_symbols=no_right, accounts_ledgers=[ledger("BTC-USDT")])
    answers.play(part.round(final=False))
    assert list(part.unseen) == ["spot symbols"]
    assert "/api/v1/hf/orders/active/page" in answers.paths()
