"""The conversation over a WebSocket: welcome, ping, subscribe, unsubscribe, and every error frame."""

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from kucoin_sync.testing.server import KucoinServer, ServerLimits

from .server_client import Client, client, token_of, websocket

TICKER = "/market/ticker:BTC-USDT"


def error(code: int, text: str, command_id: str | None = "1") -> dict[str, Any]:
    found = {"type": "error", "code": code, "data": text}
    return found if command_id is None else {"id": command_id, **found}


def test_the_welcome_carries_the_connect_id(server: KucoinServer) -> None:
    with client(server, connect_id="mine"):
        assert server.connections[0].id == "mine"


def test_without_a_connect_id_the_server_makes_one(server: KucoinServer) -> None:
    url = f"{server.endpoint()}?token={token_of(server)['token']}"
    with websocket(url) as socket:
        welcome = json.loads(socket.recv(5))
        assert welcome == {"id": server.connections[0].id, "type": "welcome"}
    assert len(welcome["id"]) == 32


def test_a_ping_gets_a_pong_with_its_id_and_the_time_in_microseconds() -> None:
    with KucoinServer(clock=lambda: 1_700_000_000.5) as server, client(server) as peer:
        assert peer.ask("ping", id="77") == {"id": "77", "type": "pong", "timestamp": 1_700_000_000_500_000}
        peer.socket.send('{"type":"ping"}')
        assert peer.recv() == {"type": "pong", "timestamp": 1_700_000_000_500_000}


def test_a_protocol_ping_gets_a_protocol_pong(peer: Client) -> None:
    assert peer.socket.ping(b"x").wait(5)


def test_a_protocol_pong_means_nothing(peer: Client) -> None:
    peer.socket.pong(b"x")
    assert peer.is_silent()


def test_a_subscription_is_confirmed_with_its_id_as_text(peer: Client) -> None:
    assert peer.subscribe(TICKER, id=7) == {"id": "7", "type": "ack"}


@pytest.mark.parametrize("response", [False, None, "yes", 1])
def test_without_response_nothing_is_confirmed(server: KucoinServer, peer: Client, response: Any) -> None:
    peer.send("subscribe", topic=TICKER, response=response)
    assert peer.is_silent()
    assert server.connections[0].topics == {TICKER}


def test_flags_may_be_text(peer: Client) -> None:
    assert peer.subscribe(TICKER, response="true") == {"id": "1", "type": "ack"}
    assert peer.subscribe(TICKER, privateChannel="true") == error(403, "login is required")


def test_a_command_without_an_id_is_confirmed_without_one(peer: Client) -> None:
    assert peer.subscribe(TICKER, id=None) == {"type": "ack"}


def test_one_command_subscribes_several_symbols(server: KucoinServer, peer: Client) -> None:
    peer.subscribe("/market/ticker:BTC-USDT,ETH-USDT,BTC-USDT")
    assert server.connections[0].topics == {TICKER, "/market/ticker:ETH-USDT"}


def test_subscribing_twice_is_two_acks_and_one_stream(server: KucoinServer, peer: Client) -> None:
    assert peer.subscribe(TICKER) == peer.subscribe(TICKER) == {"id": "1", "type": "ack"}
    assert server.publish(TICKER, {}) == 1
    assert peer.recv()["topic"] == TICKER
    assert peer.is_silent()


def test_unsubscribing_ends_the_stream_and_is_confirmed(server: KucoinServer, peer: Client) -> None:
    peer.subscribe("/market/ticker:BTC-USDT,ETH-USDT")
    assert peer.ask("unsubscribe", topic=TICKER) == {"id": "1", "type": "ack"}
    assert server.publish(TICKER, {}) == 0
    assert server.publish("/market/ticker:ETH-USDT", {}) == 1


def test_unsubscribing_what_is_not_subscribed_is_confirmed(peer: Client) -> None:
    assert peer.ask("unsubscribe", topic=TICKER) == {"id": "1", "type": "ack"}


@pytest.mark.parametrize(
    "topic",
    ["/market/ticker:btc-usdt", "/market/ticker:NO-SUCH", "/market/candles:BTC-USDT_9min", "/market/snapshot:XYZ"],
)
def test_unknown_symbols_are_confirmed_and_silent(peer: Client, topic: str) -> None:
    assert peer.subscribe(topic) == {"id": "1", "type": "ack"}
    assert peer.is_silent()


@pytest.mark.parametrize(
    ("topic", "code", "text"),
    [
        (None, 406, "topic is required"),
        ("", 406, "topic is required"),
        (5, 400, "topic is invalid"),
        ("ticker", 400, "topic ticker is invalid"),
        ("/market/ticker:all:all", 400, "topic /market/ticker:all:all is invalid"),
        ("/market/ticker", 400, "topic /market/ticker is invalid"),
        ("/market/ticker:", 400, "topic /market/ticker: is invalid"),
        ("/market/ticker:A-B,,C-D", 400, "topic /market/ticker:A-B,,C-D is invalid"),
        ("/account/balance:BTC", 400, "topic /account/balance:BTC is invalid"),
        ("/no/such:BTC-USDT", 404, "topic does not exist"),
        ("/contractMarket/tickerV2:XBTUSDTM", 404, "topic /contractMarket/tickerV2:XBTUSDTM is not found"),
        ("/account/balance", 403, "login is required"),
        ("/spotMarket/tradeOrdersV2", 403, "login is required"),
    ],
)
@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_a_bad_topic_gets_kucoins_code_and_text(peer: Client, kind: str, topic: Any, code: int, text: str) -> None:
    if kind == "unsubscribe" and code == 403:
        assert peer.ask(kind, topic=topic) == {"id": "1", "type": "ack"}
    else:
        assert peer.ask(kind, topic=topic) == error(code, text)


def test_a_refused_command_subscribes_nothing_of_it(server: KucoinServer, peer: Client) -> None:
    peer.subscribe("/market/ticker:A-B,,C-D")
    assert server.connections[0].topics == frozenset()


def test_spot_topics_are_not_on_the_futures_service(server: KucoinServer) -> None:
    with client(server, "futures") as peer:
        assert peer.subscribe(TICKER) == error(404, f"topic {TICKER} is not found")
        assert peer.subscribe("/contractMarket/tickerV2:XBTUSDTM") == {"id": "1", "type": "ack"}
        assert peer.subscribe("/contractMarket/tradeOrders") == error(403, "login is required")


def test_the_private_channel_needs_a_login(peer: Client) -> None:
    assert peer.subscribe(TICKER, privateChannel=True) == error(403, "login is required")


@pytest.mark.parametrize("kind", [None, 5, [], ""])
def test_a_command_without_a_type_is_invalid(peer: Client, kind: Any) -> None:
    expected = "type is not supported" if kind == "" else "command type is invalid"
    assert peer.ask(kind) == error(415, expected)


def test_an_unknown_type_is_not_supported(peer: Client) -> None:
    assert peer.ask("fly") == error(415, "type is not supported")


@pytest.mark.parametrize("text", ["[]", "5", "null", '"ping"'])
def test_json_that_is_no_object_has_an_invalid_format(peer: Client, text: str) -> None:
    peer.socket.send(text)
    assert peer.recv() == error(400, "data format is invalid", None)


@pytest.mark.parametrize("text", ["hello", "", "{", '{"a":1}x', b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json_gets_the_text_of_a_parser(peer: Client, text: Any) -> None:
    peer.socket.send(text)
    answer = peer.recv()
    assert (answer["type"], answer["code"]) == ("error", 400)
    assert answer["data"]
    assert "id" not in answer


def test_a_binary_message_is_read_like_text(peer: Client) -> None:
    peer.socket.send(b'{"id":"9","type":"ping"}')
    assert peer.recv()["id"] == "9"


def test_a_fragmented_message_is_put_together(peer: Client) -> None:
    peer.socket.send(['{"id":"9",', '"type":', '"ping"}'])
    assert peer.recv()["id"] == "9"


def test_symbols_can_be_a_closed_set() -> None:
    with KucoinServer(symbols={"BTC-USDT", "XBTUSDTM"}) as server:
        with client(server) as peer:
            ack = {"id": "1", "type": "ack"}
            known = (
                TICKER, "/market/candles:BTC-USDT_1min", "/market/ticker:all", "/market/snapshot:KCS",
                "/margin/fundingBook:BTC",
            )  # fmt: skip
            assert [peer.subscribe(topic) for topic in known] == [ack] * 5
            single = "/market/ticker:ETH-USDT"
            assert peer.subscribe(f"{TICKER},ETH-USDT") == error(404, f"topic {single} is not found")
            for unknown in ("/market/ticker:btc-usdt", "/market/candles:ETH-USDT_1min"):
                assert peer.subscribe(unknown) == error(404, f"topic {unknown} is not found")
        with client(server, "futures") as peer:
            assert peer.subscribe("/contract/instrument:XBTUSDTM") == ack
            assert peer.subscribe("/contract/instrument:ETHUSDTM")["code"] == 404


def test_topics_that_kucoin_has_not_can_be_allowed(server: KucoinServer) -> None:
    server.allow_topic("/market/newThing")
    server.allow_topic("/contractNew/secret", private=True)
    with client(server) as peer:
        assert peer.subscribe("/market/newThing:BTC-USDT")["type"] == "ack"
        assert peer.subscribe("/market/newThing")["type"] == "ack"
        assert server.publish("/market/newThing:BTC-USDT", {}) == 1
    with client(server, "futures") as peer:
        assert peer.subscribe("/contractNew/secret") == error(403, "login is required")
    server.clear()
    with client(server) as peer:
        assert peer.subscribe("/market/newThing") == error(404, "topic does not exist")


def test_topics_that_were_allowed_are_not_bound_to_the_closed_set() -> None:
    with KucoinServer(symbols=()) as server:
        server.allow_topic("/market/newThing")
        with client(server) as peer:
            assert peer.subscribe("/market/newThing:BTC-USDT")["type"] == "ack"


# Limits


def symbols(count: int, prefix: str = "S") -> str:
    return "/market/ticker:" + ",".join(f"{prefix}{number}-USDT" for number in range(count))


def test_a_command_takes_a_hundred_topics(server: KucoinServer, peer: Client) -> None:
    assert peer.subscribe(symbols(100)) == {"id": "1", "type": "ack"}
    assert peer.subscribe(symbols(101, "T")) == error(509, "exceed max subscription count limitation of 100 per time")
    assert server.connections[0].topic_count() == 100


def test_a_session_takes_three_hundred_topics(peer: Client) -> None:
    for prefix in "ABC":
        assert peer.subscribe(symbols(100, prefix))["type"] == "ack"
    assert peer.subscribe(TICKER) == error(509, "exceed max subscription count limitation of 300 per session")
    assert peer.subscribe(symbols(100, "A"))["type"] == "ack"  # nothing new
    peer.ask("unsubscribe", topic="/market/ticker:A0-USDT")
    assert peer.subscribe(TICKER)["type"] == "ack"


def test_topics_in_tunnels_count_for_the_session() -> None:
    with KucoinServer(limits=ServerLimits(topics_per_session=2)) as server, client(server) as peer:
        peer.ask("openTunnel", newTunnelId="t")
        assert peer.subscribe(TICKER)["type"] == "ack"
        assert peer.subscribe(TICKER, tunnelId="t")["type"] == "ack"
        full = error(509, "exceed max subscription count limitation of 2 per session")
        assert peer.subscribe("/market/ticker:ETH-USDT", tunnelId="t") == full


def test_a_client_may_say_a_hundred_things_in_ten_seconds() -> None:
    now = [1000.0]
    with KucoinServer(monotonic=lambda: now[0]) as server, client(server) as peer:
        for _ in range(100):
            assert peer.ask("ping")["type"] == "pong"
        assert peer.ask("ping") == error(509, "exceed max permits per second")
        assert peer.subscribe(TICKER) == error(509, "exceed max permits per second")
        assert server.connections[0].topics == frozenset()
        now[0] += 10.0
        assert peer.subscribe(TICKER)["type"] == "ack"


def test_every_limit_can_be_lifted() -> None:
    limits = ServerLimits(
        topics_per_command=None, topics_per_session=None, messages_per_10s=None, tunnels=None, sessions=None
    )
    with KucoinServer(limits=limits) as server, client(server) as peer:
        assert peer.subscribe(symbols(400))["type"] == "ack"
        for number in range(120):
            assert peer.ask("openTunnel", newTunnelId=f"t{number}")["type"] == "ack"


# Tunnels


def test_a_tunnel_is_opened_used_and_closed(server: KucoinServer, peer: Client) -> None:
    assert peer.ask("openTunnel", newTunnelId="bt1") == {"id": "1", "type": "ack"}
    peer.subscribe(TICKER, tunnelId="bt1")
    assert server.connections[0].tunnels == {"bt1": {TICKER}}
    assert server.connections[0].topics == frozenset()
    assert server.publish(TICKER, {"price": "1"}) == 1
    assert peer.recv() == {"topic": TICKER, "type": "message", "tunnelId": "bt1", "data": {"price": "1"}}
    assert peer.ask("closeTunnel", tunnelId="bt1") == {"id": "1", "type": "ack"}
    assert server.publish(TICKER, {}) == 0
    assert server.connections[0].tunnels == {}


def test_the_same_topic_in_two_tunnels_and_outside_comes_three_times(server: KucoinServer, peer: Client) -> None:
    for tunnel in ("a", "b"):
        peer.ask("openTunnel", newTunnelId=tunnel)
        peer.subscribe(TICKER, tunnelId=tunnel)
    peer.subscribe(TICKER)
    server.wait_subscribed(TICKER, 3)
    assert server.publish(TICKER, {}) == 3
    assert {peer.recv().get("tunnelId") for _ in range(3)} == {"a", "b", None}
    peer.ask("unsubscribe", topic=TICKER, tunnelId="a")
    assert server.publish(TICKER, {}) == 2


def test_a_connection_has_at_most_five_tunnels(peer: Client) -> None:
    for number in range(5):
        assert peer.ask("openTunnel", newTunnelId=f"t{number}")["type"] == "ack"
    assert peer.ask("openTunnel", newTunnelId="t5") == error(509, "exceed max tunnel count limitation of 5 per session")
    assert peer.ask("openTunnel", newTunnelId="t0")["type"] == "ack"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("subscribe", {"topic": TICKER}), ("unsubscribe", {"topic": TICKER}), ("closeTunnel", {})],
)
def test_a_command_for_a_tunnel_that_is_not_open_is_refused(peer: Client, kind: str, fields: dict[str, str]) -> None:
    assert peer.ask(kind, tunnelId="bt9", **fields) == error(404, "tunnel bt9 is not found")
    assert peer.ask(kind, tunnelId=9, **fields) == error(404, "tunnel 9 is not found")


def test_a_tunnel_command_needs_a_tunnel(peer: Client) -> None:
    for fields in ({}, {"newTunnelId": ""}, {"newTunnelId": 5}):
        assert peer.ask("openTunnel", **fields) == error(400, "data format is invalid")
    assert peer.ask("closeTunnel") == error(400, "data format is invalid")


# Connecting


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_token_of_the_other_service_or_of_nobody_is_invalid(server: KucoinServer, market: str) -> None:
    other = "futures" if market == "spot" else "spot"
    for token in (token_of(server, other)["token"], "nonsense", ""):
        with client(server, market, token=token, welcome=False) as peer:
            assert peer.recv() == error(401, "token is invalid", "c1")
            with pytest.raises(ConnectionClosedOK) as closed:
                peer.socket.recv(5)
            assert closed.value.rcvd == Close(1000, "Bye")
    assert server.connections == []


def test_a_token_expires_after_a_day(server: KucoinServer) -> None:
    token = token_of(server)["token"]
    server.advance(86_399)
    with client(server, token=token):
        pass
    server.advance(1)
    with client(server, token=token, welcome=False) as peer:
        assert peer.recv() == error(401, "token is expired", "c1")


def test_tokens_can_be_expired_while_connections_stay(server: KucoinServer, peer: Client) -> None:
    token = token_of(server)["token"]
    server.expire_tokens()
    with client(server, token=token, welcome=False) as other:
        assert other.recv() == error(401, "token is expired", "c1")
    assert peer.ask("ping")["type"] == "pong"
    with client(server):
        pass


def test_a_user_has_at_most_fifty_sessions() -> None:
    with KucoinServer(limits=ServerLimits(sessions=2)) as server, client(server), client(server):
        with client(server, welcome=False) as peer:
            assert peer.recv() == error(509, "exceed max session count limitation of 2", "c1")
            with pytest.raises(ConnectionClosedOK):
                peer.socket.recv(5)
        with client(server, credentials=server.credentials):
            assert len(server.connections) == 3
    assert ServerLimits().sessions == 50


def test_too_many_connections_in_a_minute_find_the_service_busy() -> None:
    with KucoinServer(limits=ServerLimits(connections_per_minute=1)) as server:
        with client(server):
            pass
        with client(server, welcome=False) as peer:
            assert peer.recv() == error(509, "service busy, please retry later", "c1")
        server.advance(60)
        with client(server):
            pass
        server.clear()
        with client(server):
            pass


def test_an_idle_client_is_cut_with_kucoins_words(server: KucoinServer, peer: Client) -> None:
    server.advance(59)
    assert peer.ask("ping")["type"] == "pong"
    server.advance(59)
    assert peer.is_silent()
    server.publish("/market/ticker:all", {})
    server.advance(60)
    assert peer.recv() == error(400, "ping timeout", None)
    with pytest.raises(ConnectionClosedOK) as closed:
        peer.socket.recv(5)
    assert closed.value.rcvd == Close(1000, "Bye")
    server.wait_for(lambda s: s.ended)
    assert server.ended[0].end == "ping timeout"


def test_a_protocol_ping_does_not_count_as_a_message(server: KucoinServer, peer: Client) -> None:
    server.advance(59)
    assert peer.socket.ping().wait(5)
    server.advance(1)
    assert peer.recv() == error(400, "ping timeout", None)


def test_without_an_idle_timeout_nobody_is_cut() -> None:
    with KucoinServer(idle_timeout=None) as server, client(server) as peer:
        server.advance(1e6)
        assert peer.is_silent()


def test_a_clock_of_ones_own_is_looked_at_after_a_nudge() -> None:
    now = [0.0]
    with KucoinServer(monotonic=lambda: now[0]) as server, client(server) as peer:
        now[0] = 60.0
        server.advance(0)
        assert peer.recv()["data"] == "ping timeout"


def test_a_fault_of_the_server_is_a_system_error_and_is_raised_by_check(server: KucoinServer, peer: Client) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("mine")

    server.take_rejection = broken  # type: ignore[method-assign]
    assert peer.subscribe(TICKER) == error(500, "system error")
    with pytest.raises(ZeroDivisionError, match="mine"):
        server.check()


def test_an_unmasked_frame_is_a_protocol_error(server: KucoinServer, peer: Client) -> None:
    peer.socket.socket.sendall(b"\x81\x02{}")
    with pytest.raises(ConnectionClosedError) as closed:
        peer.socket.recv(5)
    assert closed.value.rcvd == Close(1002, "a client's frames are masked")
    server.wait_for(lambda s: s.ended)
    assert server.ended[0].end == "closed with 1002 a client's frames are masked"
    server.check()


@pytest.mark.parametrize("frame", [b"\x80\x80\0\0\0\0", b"\xf1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x88\x81\0\0\0\0x"])
def test_frames_that_cannot_be_are_protocol_errors(peer: Client, frame: bytes) -> None:
    peer.socket.socket.sendall(frame)
    with pytest.raises(ConnectionClosedError) as closed:
        peer.socket.recv(5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1002
