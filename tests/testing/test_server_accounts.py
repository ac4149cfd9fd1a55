"""The accounts by REST: what the exchange holds, in KuCoin's shapes, paging and order, as late as it is told to be."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.exceptions import RestError
from kucoin_sync.net.endpoints import Endpoints
from kucoin_sync.net.rest import Rest
from kucoin_sync.net.waker import Waker
from kucoin_sync.testing import Exchange, KucoinServer, LiveExchange

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange([SPOT, FUTURES], seed=5)}


@pytest.fixture
def get(server: KucoinServer) -> Iterator[Any]:
    waker = Waker()
    rest = Rest(
        Endpoints(server.rest_url, server.futures_rest_url), waker=waker, credentials=server.credentials,
        context=lambda: pytest.fail("no TLS here"), proxy="",
    )  # fmt: skip

    def get(path: str, **query: Any) -> Any:
        market = "futures" if path.startswith("futures:") else "spot"
        words = {name: str(value) for name, value in query.items()}
        return rest.call(market, "GET", path.removeprefix("futures:"), words, signed=True)

    yield get
    rest.close()
    waker.close()


def orders(exchange: LiveExchange, count: int) -> list[str]:
    """Place orders that rest; return their ids."""
    return [exchange.place(SPOT, "buy", "0.001", 60_000 - number) for number in range(count)]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_balances_are_those_of_the_exchange(get: Any, live_exchange: LiveExchange) -> None:
    orders(live_exchange, 1)
    rows = get("/api/v1/accounts")
    assert {
        row["currency"]: (Decimal(row["available"]), Decimal(row["holds"])) for row in rows
    } == live_exchange.balances()
    assert {row["type"] for row in rows} == {"trade"}
    assert [row["currency"] for row in get("/api/v1/accounts", currency="BTC")] == ["BTC"]
    assert get("/api/v1/accounts", type="main") == []


def test_open_orders_are_listed_whole_and_in_pages(get: Any, live_exchange: LiveExchange) -> None:
    placed = orders(live_exchange, 3)
    live_exchange.reduce(placed[0], "0.0005")
    assert get("/api/v1/hf/orders/active/symbols") == {"symbols": [SPOT]}
    whole = get("/api/v1/hf/orders/active", symbol=SPOT)
    assert set(ids(whole)) == set(placed)
    assert {row["id"]: row["cancelledSize"] for row in whole}[placed[0]] == "0.0005"
    page = get("/api/v1/hf/orders/active/page", symbol=SPOT, pageNum=2, pageSize=2)
    assert (page["currentPage"], page["totalNum"], page["totalPage"]) == (2, 3, 2)
    assert ids(page["items"]) == [placed[0]], "the newest was created last"
    with pytest.raises(RestError, match="symbol can not be empty"):
        get("/api/v1/hf/orders/active/page")


def test_ended_orders_and_fills_come_newest_first_in_pages_by_last_id(get: Any, live_exchange: LiveExchange) -> None:
    bought = live_exchange.place(SPOT, "buy", "0.0001")
    canceled = orders(live_exchange, 3)
    for order in canceled:
        live_exchange.cancel(order)
    first = get("/api/v1/hf/orders/done", symbol=SPOT, limit=3)
    rest = get("/api/v1/hf/orders/done", symbol=SPOT, limit=3, lastId=first["lastId"])
    assert [*ids(first["items"]), *ids(rest["items"])] == [*reversed(canceled), bought]
    assert [row["cancelExist"] for row in first["items"]] == [True] * 3
    row = rest["items"][0]
    assert (row["active"], row["cancelExist"], row["dealSize"]) == (False, False, "0.0001")
    fills = get("/api/v1/hf/fills", symbol=SPOT)["items"]
    assert sum(Decimal(fill["size"]) for fill in fills) == Decimal("0.0001")
    assert all(isinstance(fill["tradeId"], int) and fill["orderId"] == bought for fill in fills)
    assert get("/api/v1/hf/fills", symbol=SPOT, startAt=2_000_000_000_000)["items"] == []
    assert get("/api/v1/hf/fills", symbol=SPOT, orderId="?")["items"] == []
    assert get("/api/v1/hf/orders/done", symbol=SPOT, lastId=3)["items"] == []


def test_the_ledger_names_order_and_trade(get: Any, live_exchange: LiveExchange) -> None:
    bought = live_exchange.place(SPOT, "buy", "0.0001")
    entries = get("/api/v1/hf/accounts/ledgers")
    assert {entry["currency"] for entry in entries} == {"BTC", "USDT"}
    assert all(bought in entry["context"] and SPOT in entry["context"] for entry in entries)
    usdt = get("/api/v1/hf/accounts/ledgers", currency="USDT")
    assert Decimal(usdt[0]["balance"]) == sum(live_exchange.balances()["USDT"])


def test_one_order_is_found_by_its_id(get: Any, live_exchange: LiveExchange) -> None:
    [order] = orders(live_exchange, 1)
    assert get(f"/api/v1/hf/orders/{order}", symbol=SPOT)["active"] is True
    for path in (f"/api/v1/hf/orders/{order}", "/api/v1/hf/orders/none"):
        with pytest.raises(RestError, match="order not exist"):
            get(path, symbol="ETH-USDT")
    future = live_exchange.place(FUTURES, "buy", 1, "1")
    assert get(f"futures:/api/v1/orders/{future}")["status"] == "open"
    with pytest.raises(RestError, match="100001"):
        get("futures:/api/v1/orders/none")
    with pytest.raises(RestError, match="404"):
        get("/api/v1/orders/none")


def test_futures_have_lists_without_a_symbol(get: Any, live_exchange: LiveExchange) -> None:
    resting = live_exchange.place(FUTURES, "buy", 4, "1")
    sold = live_exchange.place(FUTURES, "sell", 3)
    assert ids(get("futures:/api/v1/orders", status="active")["items"]) == [resting]
    assert ids(get("futures:/api/v1/orders")["items"]) == ids(get("futures:/api/v1/recentDoneOrders")) == [sold]
    quick = get("futures:/api/v1/recentFills")
    assert get("futures:/api/v1/fills", orderId="?")["items"] == []
    assert quick == get("futures:/api/v1/fills")["items"] and sum(fill["size"] for fill in quick) == 3
    [position] = get("futures:/api/v1/positions")
    assert (position["symbol"], position["currentQty"], position["isOpen"]) == (FUTURES, -3, True)
    assert get("futures:/api/v2/position", symbol="ETHUSDTM") == []
    live_exchange.place(FUTURES, "buy", 3)
    assert get("futures:/api/v1/positions") == []


def test_the_wallet_is_that_of_the_currency_that_is_asked_for(get: Any, live_exchange: LiveExchange) -> None:
    live_exchange.place(FUTURES, "buy", 4, "1")
    data = get("futures:/api/v1/account-overview", currency="USDT")
    assert data["accountEquity"] == 500_000 and 0 < data["orderMargin"] < 1
    assert data["availableBalance"] + data["orderMargin"] == pytest.approx(500_000)
    assert get("futures:/api/v1/account-overview")["currency"] == "XBT"


def test_the_margin_accounts_are_there_and_empty(get: Any) -> None:
    assert get("/api/v3/margin/accounts")["accounts"] == []
    assert get("/api/v3/isolated/accounts")["assets"] == []
    assert get("/api/v3/hf/margin/order/active/symbols")["symbols"] == []
    assert get("/api/v3/hf/margin/orders/active") == get("/api/v3/hf/margin/account/ledgers") == []
    assert get("/api/v3/hf/margin/orders/done")["items"] == get("/api/v3/hf/margin/fills")["items"] == []


def test_rest_shows_the_account_as_it_was(server: KucoinServer, get: Any, live_exchange: LiveExchange) -> None:
    orders(live_exchange, 1)
    server.advance(2.0)
    before = live_exchange.balances()
    live_exchange.place(SPOT, "buy", "0.001", 60_500)
    live_exchange.place(FUTURES, "buy", 1)
    server.lag_rest(1.0)
    rows = get("/api/v1/accounts")
    assert {row["currency"]: (Decimal(row["available"]), Decimal(row["holds"])) for row in rows} == before
    assert len(get("/api/v1/hf/orders/active", symbol=SPOT)) == 1
    assert get("futures:/api/v1/recentFills") == get("futures:/api/v1/positions") == []
    server.advance(1.0)
    assert len(get("/api/v1/hf/orders/active", symbol=SPOT)) == 2
    assert len(get("futures:/api/v1/positions")) == 1


def test_another_users_account_is_another(server: KucoinServer, get: Any, live_exchange: LiveExchange) -> None:
    live_exchange.place(SPOT, "buy", "0.001", 60_000, user="")
    assert get("/api/v1/hf/orders/active/symbols") == {"symbols": []}
