"""The dialect of the UTA feed: hosts, limits, login, commands and answers in all their forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kucoin_sync import Credentials, Limits
from kucoin_sync.protocol.dialect import Answer
from kucoin_sync.protocol.message import UNREADABLE
from kucoin_sync.protocol.uta import UTA, Hosts, Uta
from kucoin_sync.topics.grammar import join


def command(kind: str, *topics: str) -> dict[str, Any]:
    ((_, singles),) = join(topics)
    decoded: dict[str, Any] = json.loads(UTA.command(kind, "7", singles))
    return decoded


def answer(**members: object) -> Answer:
    return UTA.answer(json.dumps(members).encode())


def test_each_market_has_its_host_and_no_token() -> None:
    hosts = {
        "uta-spot": "wss://x-push-spot.kucoin.com",
        "uta-futures": "wss://x-push-futures.kucoin.com",
        "uta": "wss://wsapi-push.kucoin.com",
    }
    for market, url in hosts.items():
        [server] = UTA.servers(market, private=market == "uta")
        assert (server.endpoint, server.ping_interval, server.ping_timeout, server.token) == (url, 18.0, 10.0, "")
        assert UTA.url(server, "id") == url
    assert UTA.token_path(private=True) is UTA.token_path(private=False) is None
    mine = Uta(Hosts("ws://127.0.0.1:1", "ws://127.0.0.1:2", "ws://127.0.0.1:3"))
    assert [mine.servers(market, private=False)[0].endpoint for market in hosts] == [
        "ws://127.0.0.1:1",
        "ws://127.0.0.1:2",
        "ws://127.0.0.1:3",
    ]
    assert (UTA.site, mine.site) == ("x-push-spot.kucoin.com", "127.0.0.1:1")


def test_limits_are_those_of_the_feed_unless_the_user_has_others() -> None:
    usual = UTA.limits(Limits(), private=False)
    assert (usual.topics_per_connection, usual.commands_per_10s, usual.connections_per_minute) == (400, 270, 25)
    assert UTA.limits(Limits(), private=True).commands_per_10s == 90
    assert usual.topics_per_command == 100
    own = Limits(topics_per_connection=7, commands_per_10s=8, connections_per_minute=9, step_timeout=3)
    assert UTA.limits(own, private=False) == own


def test_a_login_is_the_signature_of_an_empty_post() -> None:
    key = Credentials("the-key", "the-secret", "the-passphrase")
    write = UTA.login(key, lambda: 1790113111261)
    signed = key.headers(1790113111261, "POST", "/api/websocket/users/verify")
    assert json.loads(write("a1")) == {
        "id": "a1",
        "op": "auth",
        "kc-api-key": "the-key",
        "kc-api-sign": signed["KC-API-SIGN"],
        "kc-api-timestamp": "1790113111261",
        "kc-api-passphrase": signed["KC-API-PASSPHRASE"],
    }


def test_a_ping() -> None:
    assert json.loads(UTA.ping("p1")) == {"id": "p1", "type": "ping"}


@pytest.mark.parametrize(
    ("topics", "members"),
    [
        (
            ("/uta/ticker.SPOT:BTC-USDT", "/uta/ticker.SPOT:ETH-USDT"),
            {"channel": "ticker", "tradeType": "SPOT", "symbols": ["BTC-USDT", "ETH-USDT"]},
        ),
        (
            ("/uta/ticker.FUTURES:XBTUSDTM",),
            {"channel": "ticker", "tradeType": "FUTURES", "symbols": ["XBTUSDTM"]},
        ),
        (("/uta/trade.SPOT:BTC-USDT",), {"channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT"}),
        (
            ("/uta/kline.FUTURES:XBTUSDTM_1min",),
            {"channel": "kline", "tradeType": "FUTURES", "symbol": "XBTUSDTM", "interval": "1min"},
        ),
        (
            ("/uta/obu.SPOT:BTC-USDT_increment@10ms",),
            {"channel": "obu", "tradeType": "SPOT", "symbol": "BTC-USDT", "depth": "increment@10ms", "rpiFilter": 0},
        ),
        (("/uta/mark-price:XBTUSDTM",), {"channel": "mark-price", "symbol": "XBTUSDTM"}),
        (
            ("/uta/funding-fee:XBTUSDTM", "/uta/funding-fee:ETHUSDTM"),
            {"channel": "funding-fee", "symbols": ["XBTUSDTM", "ETHUSDTM"]},
        ),
        (("/uta/funding-fee-all-symbols",), {"channel": "funding-fee-all-symbols"}),
        (("/uta/callAuctionInfo:BTC-USDT",), {"channel": "callAuctionInfo", "symbol": "BTC-USDT"}),
        (("/uta/orderAll.UNIFIED",), {"channel": "orderAll", "tradeType": "UNIFIED"}),
        (("/uta/order.UNIFIED:XBTUSDTM",), {"channel": "order", "tradeType": "UNIFIED", "symbol": "XBTUSDTM"}),
        (("/uta/execution.lite.SPOT",), {"channel": "execution.lite", "tradeType": "SPOT"}),
        (("/uta/balance.FUNDING",), {"channel": "balance", "accountType": "FUNDING"}),
    ],
)
def test_a_command_has_the_members_of_its_channel(topics: tuple[str, ...], members: dict[str, Any]) -> None:
    assert command("subscribe", *topics) == {"id": "7", "action": "SUBSCRIBE", **members}
    assert command("unsubscribe", *topics) == {"id": "7", "action": "UNSUBSCRIBE", **members}


@pytest.mark.parametrize("member", ["message", "data", "op", "type"])
def test_a_welcome_is_one_by_any_of_its_members(member: str) -> None:
    assert answer(**{member: "welcome"}) == Answer("welcome")
    full = answer(**{member: "welcome", "pingInterval": 18000, "pingTimeout": "10000", "sessionId": "s"})
    assert full == Answer("welcome", ping_interval=18.0, ping_timeout=10.0)


@pytest.mark.parametrize("interval", [0, -1, "soon", None, [], {}, 1e12, "nan", "inf"])
def test_an_interval_that_makes_no_sense_is_the_usual_one(interval: object) -> None:
    assert answer(message="welcome", pingInterval=interval).ping_interval is None


@pytest.mark.parametrize("member", ["op", "type"])
def test_a_pong_is_one_by_either_member_and_its_id_may_be_a_number(member: str) -> None:
    assert answer(**{"id": "p1", member: "pong", "ts": 1790113111261396000}) == Answer("pong", "p1")
    assert answer(**{"id": 1, member: "pong"}) == Answer("pong", "1")


@pytest.mark.parametrize("result", [True, "true", "TRUE"])
def test_an_ack(result: object) -> None:
    assert answer(id="s1", result=result) == Answer("ack", "s1")


@pytest.mark.parametrize("result", [False, "false"])
@pytest.mark.parametrize("member", ["message", "reason", "msg", "data"])
def test_a_refusal_has_its_text_under_one_of_several_names(result: object, member: str) -> None:
    refused = Answer("error", "s1", 0, "invalid request data", "refused")
    assert answer(**{"id": "s1", "result": result, member: "invalid request data"}) == refused


def test_a_refusal_may_lack_a_text_or_have_a_code_and_be_long() -> None:
    assert answer(id="s1", result=False).reason == "without a reason"
    assert answer(id="s1", result=False, message=7, code="400003").reason == "without a reason"
    assert answer(id="s1", result=False, code="400003").code == 400003
    assert answer(id="s1", result=False, code="odd").code == 0
    assert len(answer(id="s1", result=False, msg="x" * 10_000).reason) == 500
    assert answer(id="s1", result=False, msg="system busy, please retry later").meaning == "busy"
    assert answer(id="s1", result=False, code=401, msg="token is invalid").meaning == "refused"
    assert answer(type="error", id="s1", msg="no").kind == "error"


@pytest.mark.parametrize("members", [{}, {"id": "s1"}, {"type": "news"}, {"T": "x"}, {"result": None}, {"result": 2}])
def test_anything_else_is_an_unknown_frame(members: dict[str, Any]) -> None:
    assert answer(**members).kind in ("", "news")


@pytest.mark.parametrize("frame", [b"", b"[]", b"7", b'"welcome"', b"{", b"null", b"\xff"])
def test_a_frame_that_is_no_object_is_malformed(frame: bytes) -> None:
    with pytest.raises(UNREADABLE):
        UTA.answer(frame)
