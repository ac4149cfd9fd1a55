"""The pushes have the shapes that KuCoin documents, and that clients have recorded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.account import pushes

MATCH: dict[str, Any] = {
    "symbol": "KCS-USDT", "orderType": "limit", "side": "sell", "orderId": "5efab0", "clientOid": "two",
    "orderTime": 1729577515444, "type": "match", "status": "match", "liquidity": "taker", "size": "0.3",
    "filledSize": "0.1", "price": "0.938", "matchPrice": "0.96738", "matchSize": "0.1", "tradeId": "11067996711960577",
    "remainSize": "0.2", "canceledSize": "0", "originSize": "0.3", "ts": 1729577515482038606,
}  # fmt: skip


def test_a_match_is_an_order_and_a_fill_without_a_fee() -> None:
    order = pushes.order(MATCH)
    assert (order.size, order.filled_size, order.remaining_size) == (Decimal("0.3"), Decimal("0.1"), Decimal("0.2"))
    assert (order.active, order.ending, order.created_ns) == (True, None, 1729577515444000000)
    fill = pushes.match(MATCH)
    assert fill is not None
    assert (fill.trade_id, fill.price, fill.size, fill.fee) == (
        "11067996711960577",
        Decimal("0.96738"),
        order.filled_size,
        None,
    )


BALANCE = {"currency": "KCS", "available": "1", "hold": "0", "relationEvent": "trade.hold", "time": "1729577515473"}
WALLET = {"currency": "USDT", "walletBalance": "1", "availableBalance": "1", "timestamp": "1729577515473"}


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize(
    ("read", "data", "name"),
    [
        *((pushes.order, MATCH, name) for name in ("orderId", "symbol")),
        *((pushes.match, MATCH, name) for name in ("orderId", "symbol", "side")),
        (pushes.balance, BALANCE, "currency"),
        (pushes.wallet, WALLET, "currency"),
    ],
)
def test_a_push_without_an_id_can_not_be_read(read: Any, data: dict[str, Any], name: str, nothing: object) -> None:
    read(data)
    with pytest.raises(ValueError, match=f"{name} is {nothing!r}"):
        read({**data, name: nothing})


def test_an_odd_member_of_an_order_costs_itself_only() -> None:
    usual = pushes.order(MATCH).to_dict()
    names = {"clientOid": "client_oid", "tradeType": "trade_type", "ts": "time_ns", "orderTime": "created_ns"}
    for member in ("side", "price", "clientOid", "tradeType", "ts", "orderTime", "liquidity", "orderType", "status"):
        for odd in (None, "", "much", 7, 1e300, 10**40, "1e1000000", True, [], {}):
            shown = pushes.order({**MATCH, member: odd}).to_dict()
            assert {name for name in usual if usual[name] != shown[name]} <= {names.get(member, member)}, (member, odd)
            assert len(str(shown["time_ns"])) <= 19 >= len(str(shown["created_ns"])), (member, odd)
    assert pushes.order({**MATCH, "side": None}).side is None
    assert pushes.order({**MATCH, "side": " SELL"}).side == "sell"


@pytest.mark.parametrize("data", [{"type": "open"}, {"type": "match", "tradeId": ""}])
def test_other_events_are_no_fills(data: dict[str, Any]) -> None:
    assert pushes.match({**MATCH, **data}) is None


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        ({"type": "filled", "status": "done"}, "filled"),
        ({"type": "canceled", "status": "done"}, "canceled"),
        ({"type": "update", "status": "done"}, "canceled"),
        ({"type": "update", "status": "open"}, None),
    ],
)
def test_an_order_ends_with_a_terminal_type_or_status(data: dict[str, str], ending: str | None) -> None:
    order = pushes.order({**MATCH, **data})
    assert (order.active, order.ending) == (ending is None, ending)
    assert (order.remaining_size == 0) == (ending is not None)


def test_a_received_order_has_its_whole_size_left() -> None:
    data = {key: MATCH[key] for key in ("symbol", "side", "orderId", "originSize", "ts")}
    order = pushes.order({**data, "type": "received", "status": "new"})
    assert (order.size, order.remaining_size, order.filled_size) == (Decimal("0.3"), Decimal("0.3"), 0)


def test_a_futures_order_tells_the_size_that_is_left_of_it() -> None:
    data = {**MATCH, "symbol": "XBTUSDTM", "type": "update", "status": "open", "size": "8", "filledSize": "3"}
    del data["originSize"]
    order = pushes.order({**data, "remainSize": "5", "canceledSize": "2", "price": "0"})
    assert (order.size, order.price) == (10, None)


@pytest.mark.parametrize(
    ("event", "account", "account_id"),
    [
        ("trade.setted", "trade", "548"),
        ("trade_hf.hold", "trade", "548"),
        ("main.deposit", "main", "548"),
        ("margin.transfer", "margin", None),
        ("marginV2.transfer", "margin", None),
        ("isolated_BTC-USDT.hold", "isolated BTC-USDT", None),
        ("isolatedV2_BTC-USDT.hold", "isolated BTC-USDT", None),
        ("isolated_BTC-USDTV2.hold", "isolated BTC-USDT", None),
        ("other", "", "548"),
        ("earn_hf.subscribe", "", "548"),
        ("", "trade", "548"),
    ],
)
def test_the_account_of_a_balance_is_told_by_its_event(event: str, account: str, account_id: str | None) -> None:
    data = {
        "accountId": "548", "currency": "USDT", "total": "3", "available": "2", "hold": "1", "relationEvent": event,
        "time": "1729577515444",
    }  # fmt: skip
    balance = pushes.balance(data)
    assert (balance.account, balance.account_id, balance.total) == (account, account_id, 3)
    assert balance.time_ns == 1729577515444000000


def test_only_a_whole_wallet_counts() -> None:
    data = {"currency": "USDT", "walletBalance": "10", "availableBalance": "4", "timestamp": "1729577515444"}
    wallet = pushes.wallet(data)
    assert wallet is not None and (wallet.total, wallet.hold, wallet.account) == (10, 6, "futures")
    assert pushes.wallet({"currency": "USDT", "availableBalance": 5923, "holdBalance": 2312}) is None
