from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync.account.calls import Call
from kucoin_sync.account.futures import FuturesPart
from kucoin_sync.account.values import AccountOrder
from kucoin_sync.exceptions import AuthenticationError, RestError

from .test_spot import Answers

MS = 1_700_000_000_000


class FuturesAnswers(Answers):
    def answer(self, call: Call) -> Any:
        query = dict(call.query)
        name = call.path.rpartition("/")[2].replace("-", "_") + (f"_{query['status']}" if "status" in query else "")
        found = self.known.get(name, [])
        return found(query) if callable(found) else found


def overview(query: dict[str, str]) -> dict[str, Any]:
    equity = 5 if query["currency"] == "USDT" else 0
    return {"currency": query["currency"], "accountEquity": equity, "unrealisedPNL": 0, "availableBalance": equity}


def fill(number: int, ms: int = MS) -> dict[str, Any]:
    return {
        "symbol": "XBTUSDTM", "tradeId": str(number), "orderId": "1", "side": "buy", "price": "1", "size": 1,
        "tradeTime": ms * 1_000_000, "createdAt": ms,
    }  # fmt: skip


def part_in_step() -> FuturesPart:
    part = FuturesPart()
    part.proved()
    part.state.newest_ns = MS * 1_000_000
    part.cut()
    return part


def test_a_round_reads_the_quick_lists_without_a_symbol() -> None:
    part = part_in_step()
    answers = FuturesAnswers(orders_active={"items": [], "totalPage": 0}, recentFills=[fill(2), fill(1)])
    answers.play(part.round(final=False))
    assert answers.paths() == ["/api/v1/orders", "/api/v1/recentDoneOrders", "/api/v1/recentFills"]
    assert sum(call.weight for call in answers.calls) == 10
    assert [change.fill.trade_id for change in part.state.take_changes() if change.fill] == ["1", "2"]


def test_where_a_quick_list_is_full_and_does_not_reach_the_cut_the_slow_one_is_read() -> None:
    part = part_in_step()
    full = [fill(number) for number in range(1000)]
    answers = FuturesAnswers(recentFills=full, fills={"items": [fill(1000)], "totalPage": 1, "totalNum": 1})
    answers.play(part.round(final=False))
    [slow] = [call for call in answers.calls if call.path == "/api/v1/fills"]
    assert dict(slow.query)["startAt"] == str(MS - 5000)
    assert len(part.state.fills) == 1001
    answers = FuturesAnswers(recentFills=[*full[:-1], fill(1, MS - 6000)])
    answers.play(part_in_step().round(final=False))
    assert "/api/v1/fills" not in answers.paths()


def test_a_final_round_takes_positions_and_each_currency() -> None:
    part = part_in_step()
    answers = FuturesAnswers(
        account_overview=overview, positions=[{"symbol": "XBTUSDTM", "currentQty": 2}],
        orders_active={"items": [{"id": 4, "symbol": "XBTUSDTM", "side": "buy", "size": 1, "isActive": True}]},
    )  # fmt: skip
    answers.play(part.round(final=True))
    asked = [dict(call.query)["currency"] for call in answers.calls if call.path == "/api/v1/account-overview"]
    assert asked == ["ETH", "SOL", "USDC", "USDT", "XBT", "XRP"]
    assert [(each.currency, each.total) for each in part.state.balances.values()] == [("USDT", 5)]
    assert [position.symbol for position in part.state.open_positions()] == ["XBTUSDTM"]
    assert part.shown == {"4"}


def test_the_currency_of_a_position_is_asked_for_and_one_that_was_not_asked_for_is_not_known() -> None:
    part = part_in_step()
    assert not part.knows("USDT")
    position = {"symbol": "DOTUSDM", "currentQty": 2, "settleCurrency": "DOT"}
    for _ in range(2):
        answers = FuturesAnswers(account_overview=overview, positions=[position])
        answers.play(part.round(final=True))
    asked = [dict(call.query)["currency"] for call in answers.calls if call.path == "/api/v1/account-overview"]
    assert "DOT" in asked and "KCS" not in asked
    assert part.knows("DOT") and part.knows("ETH") and not part.knows("KCS")
    wallet = {"currency": "KCS", "walletBalance": "1", "availableBalance": "1", "timestamp": "1700000000000"}
    part.state.push("/contractAccount/wallet", wallet)
    assert part.knows("KCS")


@pytest.mark.parametrize(
    "positions", [None, {}, {"items": None}, [{"symbol": "?"}], [{"symbol": "XBTUSDTM", "currentQty": None}]]
)
def test_positions_that_can_not_be_read_are_not_taken_for_closed(positions: Any) -> None:
    part = part_in_step()
    known = [{"symbol": "XBTUSDTM", "currentQty": 2}]
    FuturesAnswers(account_overview=overview, positions=known).play(part.round(final=True))
    with pytest.raises(ValueError, match=r"rows|position"):
        FuturesAnswers(account_overview=overview, positions=positions).play(part.round(final=True))
    assert [position.size for position in part.state.open_positions()] == [2]


def test_what_the_key_may_not_see_is_named() -> None:
    part = part_in_step()
    refused = AuthenticationError("no right", code="400007")
    FuturesAnswers(account_overview=refused, positions=refused).play(part.round(final=True))
    assert sorted(part.unseen) == [
        *(f"futures balance of {currency}" for currency in ("ETH", "SOL", "USDC", "USDT", "XBT", "XRP")),
        "futures positions",
    ]
    with pytest.raises(AuthenticationError):
        FuturesAnswers(positions=refused).play(FuturesPart().check())


def test_an_order_is_looked_for_by_its_id() -> None:
    [call] = FuturesPart().look_for(AccountOrder(order_id="77", symbol="XBTUSDTM", side="buy"))
    assert (call.path, call.market, call.weight) == ("/api/v1/orders/77", "futures", 5)


def test_the_fills_of_one_order_are_asked_for_by_its_id() -> None:
    part = part_in_step()
    order = AccountOrder(order_id="1", symbol="XBTUSDTM", side="buy")
    refused = FuturesAnswers(fills=RestError("900001", "no"))
    assert refused.play(part.fills_of(order)) == []
    assert list(part.unseen) == ["futures fills"]
    answers = FuturesAnswers(fills={"items": [fill(1)], "totalPage": 1, "totalNum": 1})
    assert answers.play(part.fills_of(order)) == [fill(1)]
    assert part.unseen == {}
    assert [(call.path, dict(call.query)["orderId"], call.weight) for call in answers.calls] == [
        ("/api/v1/fills", "1", 5)
    ]
