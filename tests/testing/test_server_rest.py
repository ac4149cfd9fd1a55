"""The REST side of the local server: tokens, time, snapshots, quotas and scripted failures, asked with requests."""

import threading
from typing import Any

import pytest
import requests

from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.server import KucoinServer, ServerLimits

from .server_client import get, http, token_of

PUBLIC = "/api/v1/bullet-public"


def test_a_public_token_names_the_endpoint_and_the_ping_values_in_milliseconds(server: KucoinServer) -> None:
    answer = http("POST", server.rest_url + PUBLIC).json()
    assert answer["code"] == "200000"
    assert answer["data"]["instanceServers"] == [
        {
            "endpoint": f"ws://{server.rest_url[7:]}/endpoint",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": 18000,
            "pingTimeout": 10000,
        }
    ]


def test_tokens_differ_and_need_url_encoding(server: KucoinServer) -> None:
    tokens = {token_of(server)["token"] for _ in range(5)}
    assert len(tokens) == 5
    assert all("=" in token for token in tokens)


def test_the_futures_service_has_its_own_endpoint(server: KucoinServer) -> None:
    data = token_of(server, "futures")
    assert data["instanceServers"][0]["endpoint"] == f"ws://{server.rest_url[7:]}/futures/endpoint"


def test_both_services_tell_the_time() -> None:
    with KucoinServer(clock=lambda: 1546837113.087) as server:
        for base in (server.rest_url, server.futures_rest_url):
            assert http("GET", base + "/api/v1/timestamp").json() == {"code": "200000", "data": 1546837113087}


def test_the_ping_values_and_the_instance_servers_can_be_chosen() -> None:
    with KucoinServer(ping_interval=0.5, ping_timeout=0.25) as server:
        server.instance_servers = [{"endpoint": "wss://one"}, {"endpoint": "wss://two", "encrypt": True}]
        servers = token_of(server)["instanceServers"]
    assert [(s["endpoint"], s["encrypt"]) for s in servers] == [("wss://one", False), ("wss://two", True)]
    assert {(s["pingInterval"], s["pingTimeout"]) for s in servers} == {(500, 250)}


def test_an_endpoint_can_be_overridden(server: KucoinServer) -> None:
    server.endpoint_override("wss://ws-api-spot.example/")
    (named,) = token_of(server)["instanceServers"]
    assert (named["endpoint"], named["encrypt"]) == ("wss://ws-api-spot.example/", True)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_an_unknown_path_is_404_in_kucoins_envelope(server: KucoinServer, method: str) -> None:
    answer = http(method, server.rest_url + "/api/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"code": "404", "msg": "Not Found"})


def test_the_two_services_have_different_paths(server: KucoinServer) -> None:
    assert http("GET", server.futures_rest_url + "/api/v1/market/orderbook/level2_20?symbol=X").status_code == 404
    assert get(server, "/api/v1/level2/snapshot?symbol=X").status_code == 404


def test_a_snapshot_can_be_scripted_by_path_by_its_end_and_by_a_function(server: KucoinServer) -> None:
    path = "/api/v1/market/orderbook/level2_20?symbol=BTC-USDT"
    server.set_snapshot("level2_20", "BTC-USDT", {"sequence": "1"})
    assert get(server, path).json()["data"] == {"sequence": "1"}
    server.set_snapshot("/api/v1/market/orderbook/level2_20", "BTC-USDT", lambda: {"sequence": "2"})
    assert get(server, path).json()["data"] == {"sequence": "2"}
    server.set_snapshot("depth20", "XBTUSDTM", {"sequence": 3})
    futures = http("GET", server.futures_rest_url + "/api/v1/level2/depth20?symbol=XBTUSDTM")
    assert futures.json()["data"] == {"sequence": 3}


def test_a_symbol_without_a_snapshot_does_not_exist(server: KucoinServer) -> None:
    server.set_snapshot("level2_20", "BTC-USDT", {})
    answer = get(server, "/api/v1/market/orderbook/level2_20?symbol=ETH-USDT")
    assert (answer.status_code, answer.json()) == (400, {"code": "900001", "msg": "symbol not exists"})
    answer = get(server, "/api/v1/market/orderbook/level2_20")
    assert answer.json() == {"code": "400100", "msg": "symbol can not be empty"}


def test_snapshots_come_from_the_exchange() -> None:
    exchange = Exchange(("BTC-USDT", "XBTUSDTM"))
    with KucoinServer(exchange=exchange) as server:
        signed = "/api/v3/market/orderbook/level2?symbol=BTC-USDT"
        now_ms = get(server, "/api/v1/timestamp").json()["data"]
        full = get(server, signed, headers=server.credentials.headers(now_ms, "GET", signed)).json()["data"]
        assert full == exchange.level2_snapshot("BTC-USDT")
        spot = {
            depth: get(server, f"/api/v1/market/orderbook/level2_{depth}?symbol=BTC-USDT").json()["data"]
            for depth in (20, 100)
        }
        assert spot == {depth: exchange.level2_snapshot("BTC-USDT", depth) for depth in (20, 100)}
        level3 = get(server, "/api/v2/market/orderbook/level3?symbol=BTC-USDT").json()["data"]
        assert level3 == exchange.level3_snapshot("BTC-USDT")
        paths = {None: "snapshot", 20: "depth20", 100: "depth100"}
        futures = {
            depth: http("GET", f"{server.futures_rest_url}/api/v1/level2/{name}?symbol=XBTUSDTM").json()["data"]
            for depth, name in paths.items()
        }
        assert futures == {depth: exchange.level2_snapshot("XBTUSDTM", depth) for depth in paths}
        unknown = get(server, "/api/v1/market/orderbook/level2_20?symbol=NO-SUCH")
        assert unknown.json() == {"code": "900001", "msg": "symbol not exists"}


def test_a_scripted_snapshot_wins_over_the_exchange() -> None:
    with KucoinServer(exchange=Exchange(("BTC-USDT",))) as server:
        server.set_snapshot("level2_20", "BTC-USDT", {"sequence": "7"})
        assert get(server, "/api/v1/market/orderbook/level2_20?symbol=BTC-USDT").json()["data"] == {"sequence": "7"}


def test_quota_headers_count_down_and_the_quota_comes_back() -> None:
    now = [100.0]
    with KucoinServer(limits=ServerLimits(requests_per_30s=2), monotonic=lambda: now[0]) as server:
        first, second, third = (get(server, "/api/v1/timestamp") for _ in range(3))
        assert [r.headers["gw-ratelimit-remaining"] for r in (first, second, third)] == ["1", "0", "0"]
        assert {r.headers["gw-ratelimit-limit"] for r in (first, second, third)} == {"2"}
        assert third.headers["gw-ratelimit-reset"] == "30000"
        assert (third.status_code, third.json()["code"]) == (429, "429000")
        now[0] += 30
        assert get(server, "/api/v1/timestamp").status_code == 200
        get(server, "/api/v1/timestamp")
        server.clear()
        assert get(server, "/api/v1/timestamp").status_code == 200


def test_without_a_quota_there_are_no_quota_headers() -> None:
    with KucoinServer(limits=ServerLimits(requests_per_30s=None)) as server:
        assert "gw-ratelimit-limit" not in get(server, "/api/v1/timestamp").headers


def test_a_request_can_be_failed_a_number_of_times(server: KucoinServer) -> None:
    server.fail_rest("/api/v1/timestamp", headers={"Retry-After": "7"}, times=2)
    answers = [get(server, "/api/v1/timestamp") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].json() == {
        "code": "429000",
        "msg": "Too many requests in a short period of time, please retry later",
    }
    assert answers[0].headers["Retry-After"] == "7"


def test_a_request_can_be_failed_for_ever_by_a_pattern_until_clear(server: KucoinServer) -> None:
    server.fail_rest("/api/v1/*", 500, "500000", "mine", times=None)
    for _ in range(3):
        answer = get(server, "/api/v1/timestamp")
        assert (answer.status_code, answer.json()) == (500, {"code": "500000", "msg": "mine"})
    server.clear()
    assert get(server, "/api/v1/timestamp").status_code == 200


def test_the_body_of_a_failure_can_be_anything(server: KucoinServer) -> None:
    server.fail_rest("*", 403, body="<html>blocked</html>", headers={"Content-Type": "text/html"})
    answer = get(server, "/api/v1/timestamp")
    assert (answer.status_code, answer.text) == (403, "<html>blocked</html>")
    assert answer.headers["Content-Type"] == "text/html"
    server.fail_rest("*", 200, body=b"\xff")
    assert get(server, "/api/v1/timestamp").content == b"\xff"


def test_a_failure_can_be_only_a_delay(server: KucoinServer) -> None:
    server.fail_rest("/api/v1/timestamp", 200, "200000", delay=0.05)
    answer = get(server, "/api/v1/timestamp")
    assert answer.json()["code"] == "200000"
    assert answer.elapsed.total_seconds() >= 0.05


def test_a_request_can_be_dropped(server: KucoinServer) -> None:
    server.fail_rest("*", drop=True)
    with pytest.raises(requests.ConnectionError):
        get(server, "/api/v1/timestamp")


@pytest.mark.parametrize("plan", [{"hang": True}, {"delay": 60.0}])
def test_a_request_that_hangs_ends_when_the_server_stops(server: KucoinServer, plan: dict[str, Any]) -> None:
    server.fail_rest("*", times=None, **plan)
    events: list[Exception] = []

    def ask() -> None:
        try:
            get(server, "/api/v1/timestamp")
        except requests.RequestException as error:
            events.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for(lambda s: s.requests)
    server.stop()
    thread.join()
    assert isinstance(events[0], requests.ConnectionError)


def test_times_counts_from_one(server: KucoinServer) -> None:
    with pytest.raises(ValueError, match="times counts from 1, not 0"):
        server.fail_rest("*", times=0)


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("400003", 401, "KC-API-KEY not exists"),
        ("411100", 400, "User is frozen, please contact support center."),
        ("429000", 429, "Too many requests in a short period of time, please retry later"),
        ("500000", 500, "Internal Server Error"),
        ("123456", 400, "error"),
    ],
)
def test_the_next_token_can_be_refused(server: KucoinServer, code: str, status: int, text: str) -> None:
    server.refuse_token(code)
    answer = http("POST", server.futures_rest_url + PUBLIC)
    assert (answer.status_code, answer.json()) == (status, {"code": code, "msg": text})
    assert http("POST", server.rest_url + PUBLIC).status_code == 200


def test_requests_are_kept_with_what_matters_of_them(server: KucoinServer) -> None:
    path = "/api/v1/level2/snapshot"
    http("GET", f"{server.futures_rest_url}{path}?symbol=XBTUSDTM&x=%2F", headers={"KC-API-KEY": "k"})
    http("POST", server.rest_url + PUBLIC, data="{}")
    first, second = server.requests
    assert (first.method, first.path, first.target) == ("GET", path, f"{path}?symbol=XBTUSDTM&x=%2F")
    assert (first.query, first.market, first.body) == ({"symbol": "XBTUSDTM", "x": "/"}, "futures", "")
    assert first.headers["kc-api-key"] == "k"
    assert (second.market, second.body) == ("spot", "{}")
    assert first.received_ns <= second.received_ns
    assert repr(second) == "<Request POST /api/v1/bullet-public (spot)>"


def test_one_connection_carries_many_requests(server: KucoinServer) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(5):
            assert session.get(server.rest_url + "/api/v1/timestamp").status_code == 200
    assert len(server.requests) == 5


def test_an_error_of_a_scripted_snapshot_is_an_answer_and_is_raised_by_check(server: KucoinServer) -> None:
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("mine")

    server.set_snapshot("level2_20", "X", broken)
    answer = get(server, "/api/v1/market/orderbook/level2_20?symbol=X")
    assert (answer.status_code, answer.json()) == (500, {"code": "500000", "msg": "Internal Server Error"})
    del answer  # an answer keeps its connection open, and the traceback of an error keeps this function's variables
    with pytest.raises(ZeroDivisionError, match="mine"):
        server.check()
    server.check()
