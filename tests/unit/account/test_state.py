"""Each merge, in every order in which pushes and rows may come."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest

from kucoin_sync.account.state import PartState
from kucoin_sync.account.values import AccountBalance, AccountFill, AccountOrder, AccountPosition

ORDER = AccountOrder(
    order_id="1", client_oid="mine", symbol="BTC-USDT", side="buy", size=Decimal(10), remaining_size=Decimal(10),
    canceled_size=Decimal(0), time_ns=1,
)  # fmt: skip
FILL = AccountFill(
    symbol="BTC-USDT", trade_id="7", order_id="1", side="buy", price=Decimal(5), size=Decimal(2), time_ns=3
)
BALANCE = AccountBalance(
    currency="USDT", account="trade", account_id="a", available=Decimal(3), hold=Decimal(0), total=Decimal(3)
)
POSITION = AccountPosition(symbol="XBTUSDTM", side="long", size=Decimal(2), entry_price=Decimal(9), time_ns=5)


def order(filled: int, *, canceled: int = 0, ending: str | None = None, **more: Any) -> AccountOrder:
    left = Decimal(0) if ending else Decimal(10 - filled - canceled)
    return msgspec.structs.replace(
        ORDER, filled_size=Decimal(filled), canceled_size=Decimal(canceled), remaining_size=left,
        active=ending is None, ending=ending, **more,
    )  # fmt: skip


def started() -> PartState:
    """Return a state that is in step."""
    state = PartState()
    state.proved()
    return state


def kinds(state: PartState) -> list[tuple[str, bool]]:
    return [(change.kind, change.recovered) for change in state.take_changes()]


# Orders


@pytest.mark.parametrize("sequence", list(permutations([order(0), order(4), order(10, ending="filled")])))
def test_the_latest_state_of_an_order_wins_in_any_sequence(sequence: tuple[AccountOrder, ...]) -> None:
    state = started()
    for each in sequence:
        state.add_order(each, recovered=False)
    known = state.order("1")
    assert known is not None and (known.filled_size, known.ending) == (10, "filled")
    assert state.open_orders() == []


def test_an_older_state_of_an_open_order_changes_nothing() -> None:
    state = started()
    state.add_order(order(4, canceled=1), recovered=False)
    state.take_changes()
    for older in (order(0), order(3), order(4)):
        assert not state.add_order(older, recovered=True)
    known = state.order("1")
    assert known is not None and (known.filled_size, known.remaining_size) == (4, 5) and kinds(state) == []


def test_an_ending_with_the_same_sizes_is_later_and_is_never_undone() -> None:
    state = started()
    ended = order(0, canceled=6, ending="canceled")
    assert state.add_order(order(0, canceled=6), recovered=False)
    assert state.add_order(ended, recovered=True)
    assert not state.add_order(order(0, canceled=6), recovered=True)
    assert not state.add_order(ended, recovered=False)
    assert kinds(state) == [("order", False), ("order", True)]


def test_a_state_keeps_what_it_does_not_tell() -> None:
    state = started()
    state.add_order(order(0, created_ns=5, trade_type="TRADE"), recovered=False)
    state.add_order(order(4, client_oid=None), recovered=False)
    known = state.order("mine")
    assert known is not None and known is state.order("1")
    assert (known.client_oid, known.created_ns, known.trade_type, known.filled_size) == ("mine", 5, "TRADE", 4)


def test_a_client_id_names_the_open_order_of_those_that_have_it() -> None:
    opened, ended = order(0, created_ns=5), order(0, canceled=10, ending="canceled", created_ns=5)
    later = order(0, order_id="2", created_ns=9)
    for sequence in permutations([opened, ended, later]):
        state = started()
        for each in sequence:
            state.add_order(each, recovered=True)
        named = state.order("mine")
        assert named is not None and named.order_id == "2"


def test_a_client_id_names_the_later_one_of_ended_orders() -> None:
    for numbers in (("1", "2"), ("2", "1")):
        state = started()
        for number in numbers:
            ended = order(0, canceled=10, ending="canceled", order_id=number, created_ns=int(number))
            state.add_order(ended, recovered=True)
        named = state.order("mine")
        assert named is not None and named.order_id == "2"


def test_a_row_without_the_cancelled_size_does_not_undo_a_decrease() -> None:
    state = started()
    state.add_order(order(0, canceled=3), recovered=False)
    row = msgspec.structs.replace(ORDER, filled_size=Decimal(1), canceled_size=None, remaining_size=None)
    assert state.add_order(row, recovered=True)
    known = state.order("1")
    assert known is not None and (known.filled_size, known.canceled_size, known.remaining_size) == (1, 3, 6)


def test_the_start_state_is_no_change() -> None:
    state = PartState()
    state.add_order(order(4), recovered=True)
    state.add_fill(FILL, recovered=True)
    state.set_balances([BALANCE], accounts=("trade",))
    state.set_positions([POSITION])
    assert kinds(state) == [] and not state.fills
    state.proved()
    assert state.missing_fills() == []
    assert (len(state.open_orders()), len(state.balances), len(state.open_positions())) == (1, 1, 1)


def test_what_becomes_of_a_pushed_order_is_told_although_rows_of_the_start_show_it() -> None:
    state = PartState()
    state.add_order(order(0, order_id="2"), recovered=True)
    push = {"symbol": "BTC-USDT", "orderId": "1", "side": "buy", "type": "open", "originSize": "10", "ts": 1}
    state.push("/spotMarket/tradeOrdersV2", push)
    assert kinds(state) == [("order", False)]
    state.cut()
    for _ in range(2):
        for order_id in ("1", "2"):
            state.add_fill(msgspec.structs.replace(FILL, order_id=order_id), recovered=True)
            state.add_order(order(2, canceled=8, ending="canceled", order_id=order_id), recovered=True)
    told = state.take_changes()
    assert [change.kind for change in told] == ["fill", "order"] and all(change.recovered for change in told)
    assert [key[2] for key in state.fills] == ["1"], "the other one is part of the start state"
    state.proved()
    assert state.missing_fills() == []


def test_a_doubt_is_told_and_ends_with_the_next_news() -> None:
    state = started()
    state.add_order(order(0), recovered=False)
    state.take_changes()
    state.doubt(order(0), "nobody knows")
    [change] = state.take_changes()
    assert (change.kind, change.reason) == ("unknown", "nobody knows")
    assert [each.active for each in state.open_orders()] == [None]
    assert state.doubts == {"1": "nobody knows"}
    state.add_order(order(0, canceled=10, ending="canceled"), recovered=True)
    assert state.doubts == {} and state.open_orders() == []


def test_the_oldest_ended_orders_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.account.state._MOST_ENDED", 2)
    state = started()
    state.add_order(order(0), recovered=False)
    for number in range(2, 9):
        ended = order(0, canceled=10, ending="canceled", order_id=str(number), client_oid=f"c{number}")
        state.add_order(ended, recovered=False)
    assert len(state.orders) <= 5 and "1" in state.orders and "8" in state.orders
    assert state.order("c2") is None and state.order("c8") is not None


# Fills


def test_a_fill_is_told_once_and_completed_by_its_second_report() -> None:
    for push_first in (True, False):
        state = started()
        row = msgspec.structs.replace(FILL, fee=Decimal("0.1"), fee_currency="USDT")
        reports = [(FILL, False), (row, True)] if push_first else [(row, True), (FILL, False)]
        assert [state.add_fill(fill, recovered=recovered) for fill, recovered in reports] == [True, False]
        assert kinds(state) == [("fill", not push_first)]
        [fill] = state.fills.values()
        assert (fill.fee, fill.fee_currency) == (Decimal("0.1"), "USDT")


def test_both_orders_of_a_trade_with_oneself_have_a_fill() -> None:
    state = started()
    state.add_fill(FILL, recovered=False)
    state.add_fill(msgspec.structs.replace(FILL, order_id="2"), recovered=False)
    assert len(state.fills) == 2


def test_fills_from_before_the_start_stay_out() -> None:
    state = PartState()
    state.add_fill(FILL, recovered=True)
    state.proved()
    state.cut()
    assert not state.add_fill(FILL, recovered=True)
    assert kinds(state) == []


def test_a_push_of_the_start_counts_although_its_row_was_faster() -> None:
    state = PartState()
    state.add_order(order(2), recovered=True)
    state.add_fill(FILL, recovered=True)
    assert state.add_fill(FILL, recovered=False)
    assert kinds(state) == [("fill", False)]
    assert state.missing_fills() == []


def test_a_push_counts_although_its_row_was_faster_and_is_of_the_start() -> None:
    state = PartState()
    state.add_order(order(2), recovered=True)
    state.add_fill(FILL, recovered=True)
    state.proved()
    state.push(ORDERS, match(2, 2, 7))
    assert told(state) == ["7"] and state.missing_fills() == []
    state.push(ORDERS, match(5, 3, 8))
    assert told(state) == ["8", "order"] and not state.lacking


def test_what_is_filled_without_a_known_fill_is_missing_and_may_be_forgone() -> None:
    state = started()
    state.add_order(order(5), recovered=True)
    state.add_fill(FILL, recovered=True)
    [(found, missing)] = state.missing_fills()
    assert (found.order_id, missing) == ("1", 3)
    state.take_changes()
    state.forgo_fills(found, missing, "3 are missing")
    assert kinds(state) == [("unknown", True)]
    assert state.missing_fills() == [] and state.doubts == {"1": "3 are missing"}


def match(filled: int, size: int, trade: int, **more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC-USDT", "orderId": "1", "side": "buy", "type": "match", "originSize": "10", "matchPrice": "1",
        "filledSize": filled, "matchSize": size, "remainSize": 10 - filled, "tradeId": str(trade), "ts": trade, **more,
    }  # fmt: skip


ORDERS = "/spotMarket/tradeOrdersV2"
END = {**match(10, 0, 99), "type": "filled", "status": "done"}


def told(state: PartState) -> list[str]:
    """Return the changes in short: the trades of fills, "ended" or "order" of orders, and other kinds."""
    return [
        each.fill.trade_id if each.fill else "ended" if each.order and each.kind == "order" and each.order.ending
        else each.kind
        for each in state.take_changes()
    ]  # fmt: skip


def test_pushes_without_a_side_keep_that_of_the_order() -> None:
    state = started()
    state.push(ORDERS, match(0, 0, 1, type="open", side=None))
    assert state.orders["1"].side is None
    state.push(ORDERS, match(3, 3, 1, side="BUY"))
    state.push(ORDERS, match(5, 2, 2, side=None))
    state.push(ORDERS, {**END, "side": None})
    assert [each.side for each in state.fills.values()] == ["buy", "buy"]
    assert state.orders["1"].side == "buy" and state.orders["1"].active is False


def test_an_order_of_which_a_match_was_not_pushed_is_noted_until_it_is_known() -> None:
    state = started()
    state.push(ORDERS, match(3, 3, 1))
    assert not state.lacking
    state.push(ORDERS, match(9, 2, 3))
    assert state.lacking == {"1"} and state.lacks({"1", "2"}) and not state.lacks({"2"})
    state.push(ORDERS, match(7, 4, 2))
    assert not state.lacks(state.lacking)
    state.cut()
    assert not state.lacking
    state.push(ORDERS, match(10, 1, 5, filledSize=12))
    assert not state.lacking, "more may be missing than this"


def test_an_ending_is_told_after_all_fills_whoever_tells_them() -> None:
    for recovered in (True, False):
        state = started()
        state.push(ORDERS, match(4, 4, 1))
        state.push(ORDERS, END)
        assert told(state) == ["1", "order"] and state.open_orders() == []
        for number, size in ((2, 5), (3, 1)):
            fill = msgspec.structs.replace(FILL, trade_id=str(number), size=Decimal(size))
            state.add_fill(fill, recovered=recovered)
        assert told(state) == ["2", "3", "ended"]
        state.push(ORDERS, END)
        assert told(state) == []


def test_an_ending_is_told_after_it_is_known_that_fills_stay_unknown() -> None:
    state = started()
    state.add_order(order(10, ending="filled"), recovered=True)
    [(ended, missing)] = state.missing_fills()
    state.forgo_fills(ended, missing, "10 are missing")
    assert told(state) == ["unknown", "ended"]


def test_the_ending_of_an_order_that_is_forgotten_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.account.state._MOST_ENDED", 1)
    state = started()
    state.add_order(order(10, ending="filled"), recovered=False)
    for number in range(2, 4):
        state.add_order(order(0, canceled=10, ending="canceled", order_id=str(number)), recovered=False)
    assert "1" not in state.orders and told(state) == ["ended"] * 3


@pytest.mark.parametrize("row", [None, 0, 3])
def test_the_fills_since_the_first_push_of_an_order_are_told_once_each(row: int | None) -> None:
    """The order was partly filled before, and the rest of its fills was hidden by a cut before the first ready."""
    state = PartState()
    if row is not None:  # which may lag behind
        state.add_order(order(row), recovered=True)
    state.push(ORDERS, match(5, 2, 7))
    state.cut()
    rows = [msgspec.structs.replace(FILL, trade_id=str(each), size=Decimal(size)) for each, size in
            ((5, 1), (6, 2), (7, 2), (8, 1), (11, 4))]  # fmt: skip
    for _ in range(2):
        for each in rows:
            state.add_fill(each, recovered=True)
        state.add_order(order(10, ending="filled"), recovered=True)
    assert told(state) == ["7", "order"]
    state.tell_newest_fills()
    assert told(state) == ["8", "11", "ended"]
    state.proved()
    state.tell_newest_fills()
    assert state.missing_fills() == [] and told(state) == []
    state.cut()
    for each in rows:
        state.add_fill(each, recovered=True)
    assert told(state) == [], "the others are from before the start"


def test_fills_of_the_start_whose_sizes_do_not_fit_stay_missing() -> None:
    state = PartState()
    state.push(ORDERS, match(5, 2, 7))
    state.add_fill(msgspec.structs.replace(FILL, trade_id="8", size=Decimal(6)), recovered=True)
    state.add_order(order(10, ending="filled"), recovered=True)
    state.tell_newest_fills()
    assert [missing for _, missing in state.missing_fills()] == [5] and told(state) == ["7", "order"]


def test_fills_after_several_pushes_of_the_start_are_not_from_before_it() -> None:
    state = PartState()
    state.push(ORDERS, match(4, 4, 1))
    state.push(ORDERS, match(6, 2, 2))
    state.cut()
    state.add_fill(msgspec.structs.replace(FILL, trade_id="3", size=Decimal(4)), recovered=True)
    state.add_order(order(10, ending="filled"), recovered=True)
    assert told(state) == ["1", "order", "2", "order", "3", "ended"]


def test_pushes_of_the_start_in_another_sequence_lack_no_fill() -> None:
    pushes = [match(0, 0, 1, type="open"), match(4, 4, 2), match(10, 6, 3), END]
    for sequence in permutations(pushes):
        state = PartState()
        state.add_order(order(4), recovered=True)
        for push in sequence:
            state.push(ORDERS, push)
        assert state.missing_fills() == []
        assert sorted(each for each in told(state) if each != "order") == ["2", "3", "ended"]


def test_only_the_latest_fills_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.account.state._MOST_FILLS", 2)
    state = started()
    for number in range(3):
        state.add_fill(msgspec.structs.replace(FILL, trade_id=str(number)), recovered=False)
    assert [trade for _, trade, _ in state.fills] == ["1", "2"]


def test_a_doubt_about_fills_ends_when_all_of_them_are_known() -> None:
    state = started()
    state.add_order(order(4), recovered=True)
    [(doubted, missing)] = state.missing_fills()
    state.forgo_fills(doubted, missing, "fills are missing")
    state.proved()
    assert state.doubts == {"1": "fills are missing"} and state.missing_fills() == []
    later = msgspec.structs.replace(FILL, trade_id="9")
    state.add_fill(later, recovered=False)  # of 2, and new
    state.add_order(order(6), recovered=False)
    state.add_fill(FILL, recovered=True)
    state.proved()
    assert state.doubts == {"1": "fills are missing"}, "one of 2 is still unknown"
    state.add_fill(msgspec.structs.replace(FILL, trade_id="8"), recovered=True)
    state.proved()
    assert state.doubts == {}
    state.add_order(order(8), recovered=True)
    assert [missing for _, missing in state.missing_fills()] == [2], "later ones are missed as before"


def test_an_order_that_is_forgotten_is_in_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.account.state._MOST_ENDED", 1)
    state = started()
    state.add_order(order(10, ending="filled"), recovered=True)
    for doubted, missing in state.missing_fills():
        state.forgo_fills(doubted, missing, "fills are missing")
    for number in range(2, 6):
        state.add_order(order(0, canceled=10, ending="canceled", order_id=str(number)), recovered=False)
    state.proved()
    assert "1" not in state.orders and state.doubts == {}


# Balances


def balance(available: int, time_ns: int = 0, **more: Any) -> AccountBalance:
    amount = Decimal(available)
    return msgspec.structs.replace(BALANCE, available=amount, total=amount, time_ns=time_ns, **more)


def wire(available: int, ms: int, account: str = "a") -> dict[str, Any]:
    return {
        "accountId": account, "currency": "USDT", "total": available, "available": available, "hold": 0,
        "relationEvent": "trade.setted", "time": str(1_700_000_000_000 + ms),
    }  # fmt: skip


def test_a_push_since_the_cut_wins_over_a_row() -> None:
    state = started()
    state.set_balances([balance(1)], accounts=("trade",))
    state.cut()
    state.push("/account/balance", wire(2, 1))
    state.set_balances([balance(3)], accounts=("trade",))
    assert [each.available for each in state.balances.values()] == [2]
    state.cut()
    state.set_balances([balance(3)], accounts=("trade",))
    assert [each.available for each in state.balances.values()] == [3]
    assert kinds(state) == [("balance", True), ("balance", False), ("balance", True)]


def test_an_older_push_and_a_repeated_one_change_nothing() -> None:
    state = started()
    for available, ms in ((2, 5), (1, 4), (2, 5)):
        state.push("/account/balance", wire(available, ms))
    assert kinds(state) == [("balance", False)]
    assert state.balances["a", "USDT"].available == 2


def test_balances_of_one_currency_in_two_accounts_are_two() -> None:
    state = started()
    state.push("/account/balance", wire(2, 1))
    state.push("/account/balance", wire(5, 1, account="b"))
    assert [each.available for each in state.balances.values()] == [2, 5]


def odd(available: int, ms: int, account: str = "a") -> dict[str, Any]:
    return {**wire(available, ms, account), "relationEvent": "earn.subscribe"}


def test_a_push_of_an_unknown_kind_is_of_the_account_that_has_its_id() -> None:
    state = started()
    state.push("/account/balance", wire(2, 1))
    state.push("/account/balance", odd(5, 2))
    assert [(each.account, each.available) for each in state.balances.values()] == [("trade", 5)]
    assert kinds(state) == [("balance", False), ("balance", False)] and not state.doubts


def test_a_push_of_an_account_that_is_not_known_makes_no_balance_and_is_told_once() -> None:
    state = started()
    for available, ms in ((5, 1), (6, 2)):
        state.push("/account/balance", odd(available, ms))
    [change] = state.take_changes()
    assert change.kind == "unknown" and "USDT" in change.reason and "id a" in change.reason
    assert not state.balances and list(state.doubts.values()) == [change.reason]
    state.cut()
    state.set_balances([], accounts=("trade",))
    state.proved()
    assert not state.balances and not state.doubts, "no account that is followed has it"
    state.push("/account/balance", odd(7, 3))
    assert kinds(state) == [("unknown", False)]


@pytest.mark.parametrize("again", [False, True])
def test_a_row_tells_which_account_a_pushed_balance_is_of(again: bool) -> None:
    state = started()
    state.push("/account/balance", odd(5, 1))
    state.cut()
    if again:
        state.push("/account/balance", odd(6, 2))
    state.set_balances([balance(3, account="main")], accounts=("main", "trade"))
    state.proved()
    assert [(each.account, each.available) for each in state.balances.values()] == [("main", 6 if again else 3)]
    assert not state.doubts
    assert kinds(state) == [("unknown", False), ("balance", not again)]


def test_what_was_pushed_since_the_cut_stays_in_doubt_if_no_row_tells_its_account() -> None:
    state = started()
    state.cut()
    state.push("/account/balance", odd(5, 1))
    state.set_balances([], accounts=("trade",))
    state.proved()
    assert len(state.doubts) == 1


def test_a_known_balance_that_is_not_listed_is_zero() -> None:
    state = started()
    state.set_balances([balance(1), balance(1, account="futures", account_id=None)], accounts=("trade",))
    state.cut()
    state.set_balances([], accounts=("trade",))
    assert [each.total for each in state.balances.values()] == [0, 1]


# Positions


def test_a_partial_push_of_a_position_changes_only_what_it_tells() -> None:
    state = started()
    state.set_positions([POSITION])
    state.take_changes()
    marks = {"markPrice": 7947.83, "unrealisedPnl": -0.5, "currentTimestamp": 1_700_000_000_001}
    state.push("/contract/position:XBTUSDTM", marks)
    [position] = state.open_positions()
    assert (position.size, position.entry_price, position.mark_price) == (2, 9, Decimal("7947.83"))
    assert kinds(state) == [], "a move of the mark price is no change"
    state.push("/contract/positionAll", {"fundingFee": -296})
    assert state.open_positions() == [position]


def test_a_partial_push_that_may_be_of_two_positions_changes_only_the_mark_price() -> None:
    state = started()
    profit = Decimal(1)
    both = [msgspec.structs.replace(POSITION, position_side=side, unrealised_pnl=profit) for side in ("LONG", "SHORT")]
    state.set_positions(both)
    state.push("/contract/position:XBTUSDTM", {"markPrice": 8, "unrealisedPnl": -5})
    assert [(each.mark_price, each.unrealised_pnl) for each in state.open_positions()] == [(8, 1), (8, 1)]
    state.push("/contract/position:XBTUSDTM", {"unrealisedPnl": -6})
    state.push("/contract/position:XBTUSDTM", {"positionSide": "SHORT", "unrealisedPnl": -7})
    assert [each.unrealised_pnl for each in state.open_positions()] == [1, -7]
    state.set_positions(both[:1])
    state.push("/contract/position:XBTUSDTM", {"unrealisedPnl": -8})
    assert [each.unrealised_pnl for each in state.open_positions()] == [-8]


def test_a_position_that_is_not_listed_any_more_is_closed() -> None:
    state = started()
    state.set_positions([POSITION])
    state.cut()
    state.set_positions([])
    assert state.open_positions() == []
    changes = state.take_changes()
    assert [(change.position.side, change.position.size) for change in changes if change.position] == [
        ("long", 2),
        (None, 0),
    ]


def test_a_push_of_a_position_since_the_cut_wins_over_a_row() -> None:
    state = started()
    state.set_positions([POSITION])
    state.cut()
    state.push("/contract/position:XBTUSDTM", {"symbol": "XBTUSDTM", "currentQty": -1})
    state.set_positions([POSITION])
    state.set_positions([])
    assert [(each.side, each.size, each.entry_price) for each in state.open_positions()] == [("short", 1, 9)]


def test_an_older_push_of_a_position_changes_nothing() -> None:
    state = started()
    for quantity, ms in ((1, 5), (2, 4), (3, 5), (4, 0)):
        stamp = {"currentTimestamp": 1_700_000_000_000 + ms} if ms else {}
        state.push("/contract/position:XBTUSDTM", {"symbol": "XBTUSDTM", "currentQty": quantity, **stamp})
        assert [each.size for each in state.open_positions()] == [1 if quantity == 2 else quantity]
    state.cut()
    state.set_positions([msgspec.structs.replace(POSITION, time_ns=9 * 10**18)])
    state.push(
        "/contract/position:XBTUSDTM", {"symbol": "XBTUSDTM", "currentQty": 5, "currentTimestamp": 1_700_000_000_001}
    )
    assert [each.size for each in state.open_positions()] == [5], "the time of a row is no measure"


def test_a_flat_contract_is_no_position() -> None:
    state = started()
    state.push("/contract/position:XBTUSDTM", {"symbol": "XBTUSDTM", "currentQty": 0})
    assert kinds(state) == [] and state.open_positions() == []


def test_wallets_and_orders_come_by_their_topics() -> None:
    state = started()
    state.push("/contractAccount/wallet", {"currency": "USDT", "walletBalance": "9", "availableBalance": "4"})
    state.push("/contractAccount/wallet", {"currency": "USDT", "orderMargin": "9"})
    data = {"symbol": "XBTUSDTM", "orderId": "1", "side": "buy", "type": "open", "size": "3", "ts": 1_700_000_000}
    state.push("/contractMarket/tradeOrders:XBTUSDTM", data)
    state.push("/somewhere/else", {})
    assert kinds(state) == [("balance", False), ("order", False)]


def test_what_was_filled_before_the_first_push_of_an_order_is_not_missing() -> None:
    state = PartState()
    data = {
        "symbol": "BTC-USDT", "orderId": "1", "side": "buy", "type": "match", "filledSize": "5", "remainSize": "1",
        "matchSize": "2", "matchPrice": "1", "tradeId": "9", "ts": 1_700_000_000,
    }  # fmt: skip
    state.push("/spotMarket/tradeOrdersV2", data)
    assert state.missing_fills() == []
