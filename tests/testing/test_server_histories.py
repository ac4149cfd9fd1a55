"""REST's histories: what happened on the exchange, as late as the server is told to be, within the quotas."""

from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.server import KucoinServer, ServerLimits

from ..support.trades import trade
from .server_client import http

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"


class Time:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def server_options(time: Time) -> dict[str, Any]:
    return {"exchange": Exchange((SPOT, FUTURES), seed=1, levels=300), "monotonic": time}


def spot_trades(server: KucoinServer) -> list[dict[str, Any]]:
    answer = http("GET", server.rest_url + "/api/v1/market/histories", params={"symbol": SPOT}).json()
    assert answer["code"] == "200000"
    rows: list[dict[str, Any]] = answer["data"]
    return rows


def futures_trades(server: KucoinServer) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = http(
        "GET", server.futures_rest_url + "/api/v1/trade/history", params={"symbol": FUTURES}
    ).json()["data"]
    return rows


def test_spot_tells_the_last_100_trades_oldest_first_with_a_sequence_as_text(server: KucoinServer) -> None:
    trade(server, SPOT, 120)
    rows = spot_trades(server)
    assert len(rows) == 100
    assert sorted(rows[0]) == ["price", "sequence", "side", "size", "time"]
    numbers = [int(row["sequence"]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 2**53
    assert isinstance(rows[0]["sequence"], str)
    assert isinstance(rows[0]["time"], int)


def test_futures_tells_them_newest_first_with_a_sequence_as_number(server: KucoinServer) -> None:
    trade(server, FUTURES, 120)
    rows = futures_trades(server)
    assert len(rows) == 100
    numbers = [row["sequence"] for row in rows]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [int(row["tradeId"]) for row in rows] == numbers


def test_a_symbol_that_is_not_traded_has_no_trades(server: KucoinServer) -> None:
    url = server.rest_url + "/api/v1/market/histories"
    assert http("GET", url, params={"symbol": "NOSUCH-USDT"}).json() == {"code": "200000", "data": []}


def test_rest_is_as_late_as_it_is_told_to_be_by_the_servers_clock(server: KucoinServer, time: Time) -> None:
    trade(server, SPOT)
    first = spot_trades(server)
    time.now += 2
    trade(server, SPOT)
    both = spot_trades(server)
    assert len(both) > len(first) > 0
    server.lag_rest(1.5)
    assert spot_trades(server) == first
    time.now += 1
    server.advance(0.5)
    assert spot_trades(server) == both
    server.lag_rest(60)
    assert spot_trades(server) == []
    server.clear()
    assert spot_trades(server) == both


def test_a_lag_is_not_negative(server: KucoinServer) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        server.lag_rest(-1)


def test_the_public_quota_is_of_weights_and_comes_back(time: Time) -> None:
    limits = ServerLimits(weights_per_30s={"public": 7})
    with KucoinServer(exchange=Exchange((SPOT,)), limits=limits, monotonic=time) as server:
        url = server.rest_url + "/api/v1/market/histories"
        answers = [http("GET", url, params={"symbol": SPOT}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["gw-ratelimit-remaining"] for answer in answers] == ["4", "1", "0"]
        assert answers[-1].json()["code"] == "429000"
        time.now += 30
        assert http("GET", url, params={"symbol": SPOT}).status_code == 200


def test_without_an_exchange_there_is_no_history() -> None:
    with KucoinServer() as server:
        assert http("GET", server.rest_url + "/api/v1/market/histories", params={"symbol": SPOT}).status_code == 400
