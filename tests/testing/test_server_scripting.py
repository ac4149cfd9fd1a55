"""What the server does wrong when it is told to, and what it tells of its clients."""

import json
import operator
import re
import socket
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.frames import Close, CloseCode

from kucoin_sync.testing.server import KucoinServer

from .server_client import Client, client, http, raw_client, raw_handshake, token_of, websocket

TICKER = "/market/ticker:BTC-USDT"
ACK = {"id": "1", "type": "ack"}


def url_of(server: KucoinServer) -> str:
    return f"{server.endpoint()}?token={token_of(server)['token']}&connectId=c1"


# Commands


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (400, f"topic {TICKER} is invalid"),
        (401, "token is invalid"),
        (403, "login is required"),
        (404, f"topic {TICKER} is not found"),
        (406, "topic is required"),
        (415, "type is not supported"),
        (500, "system error"),
        (509, "exceed max permits per second"),
        (599, "system error"),
    ],
)
def test_the_next_subscribe_can_be_rejected_with_any_code(
    server: KucoinServer, peer: Client, code: int, text: str
) -> None:
    server.reject_next(code)
    assert peer.subscribe(TICKER) == {"id": "1", "type": "error", "code": code, "data": text}
    assert server.connections[0].topics == frozenset()
    assert peer.subscribe(TICKER) == ACK


def test_a_rejection_can_have_its_own_text_topic_and_number(server: KucoinServer, peer: Client) -> None:
    server.reject_next(509, "exceed max subscription count limitation of 300 per session", topic=TICKER, times=2)
    assert peer.subscribe("/market/ticker:ETH-USDT") == ACK
    for topic in (TICKER, "/market/ticker:ETH-USDT,BTC-USDT"):
        assert peer.subscribe(topic)["data"] == "exceed max subscription count limitation of 300 per session"
    assert peer.subscribe(TICKER) == ACK


def test_acks_can_be_withheld(server: KucoinServer, peer: Client) -> None:
    server.withhold_acks(2)
    peer.send("subscribe", topic=TICKER)
    peer.send("unsubscribe", topic=TICKER)
    assert peer.is_silent()
    assert peer.subscribe(TICKER) == ACK
    assert server.connections[0].topics == {TICKER}


def test_acks_can_come_twice(server: KucoinServer, peer: Client) -> None:
    server.duplicate_acks()
    assert peer.subscribe(TICKER) == ACK
    assert peer.recv() == ACK
    assert peer.subscribe(TICKER) == ACK
    assert peer.is_silent()


def test_pings_can_go_unanswered(server: KucoinServer, peer: Client) -> None:
    server.mute()
    peer.send("ping")
    assert peer.subscribe(TICKER) == ACK
    server.mute(pong=False, ack=True)
    peer.send("unsubscribe", topic=TICKER)
    assert peer.is_silent()
    server.mute(ack=True)
    peer.send("ping")
    peer.send("subscribe", topic=TICKER)
    server.wait_subscribed(TICKER)
    server.unmute()
    assert peer.subscribe(TICKER) == ACK
    assert peer.is_silent()


# Handshakes


def test_a_connection_can_be_left_without_a_welcome(server: KucoinServer) -> None:
    server.no_welcome(times=1)
    with client(server, welcome=False) as peer:
        assert peer.is_silent()
    with client(server):
        pass
    server.no_welcome()
    for _ in range(2):
        with client(server, welcome=False) as peer:
            assert peer.is_silent()
    server.clear()
    with client(server):
        pass


def test_a_handshake_can_be_left_hanging_until_the_server_stops(server: KucoinServer) -> None:
    server.hang_handshake()
    with raw_handshake(url_of(server)) as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.sendall(b"anybody there?")
        server.stop()
        sock.settimeout(5)
        assert sock.recv(1) == b""


def test_a_hanging_handshake_ends_when_the_client_gives_up(server: KucoinServer) -> None:
    server.hang_handshake(times=1)
    with raw_handshake(url_of(server)):
        pass
    with client(server):
        pass


def test_a_handshake_can_be_redirected(server: KucoinServer) -> None:
    server.redirect_handshake("ws://127.0.0.1:9/elsewhere", status=307, times=1)
    with raw_handshake(url_of(server)) as sock:
        answer = sock.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 307 ")
    assert "Location: ws://127.0.0.1:9/elsewhere\r\n" in answer


def test_a_handshake_can_be_refused_with_a_status(server: KucoinServer) -> None:
    server.refuse_handshake(503, "busy", headers={"Retry-After": "3"})
    with pytest.raises(InvalidStatus) as refused, websocket(url_of(server)):
        pass
    response = refused.value.response
    assert (response.status_code, response.body, response.headers["Retry-After"]) == (503, b"busy", "3")
    with client(server):
        pass


def test_a_handshake_can_be_answered_with_anything(server: KucoinServer) -> None:
    server.answer_handshake(b"HTTP/9.9 nonsense\r\n\r\n")
    with pytest.raises(InvalidMessage), websocket(url_of(server)):
        pass


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, "/endpoint", 426),
        ({"Sec_WebSocket_Key": ""}, "/endpoint", 400),
        ({}, "/elsewhere", 404),
    ],
)
def test_what_is_no_handshake_is_refused(server: KucoinServer, headers: dict[str, str], path: str, status: int) -> None:
    with raw_handshake(server.endpoint().replace("/endpoint", path), **headers) as sock:
        assert sock.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_a_bad_token_can_be_refused_in_the_handshake() -> None:
    with KucoinServer(refuse_in_handshake=True) as server:
        token = token_of(server)["token"]
        server.expire_tokens()
        with pytest.raises(InvalidStatus) as refused, websocket(f"{server.endpoint()}?token={token}"):
            pass
        assert (refused.value.response.status_code, refused.value.response.body) == (401, b"token is expired")
        with client(server):
            pass


def test_what_a_client_sends_on_the_heels_of_its_handshake_is_not_lost(server: KucoinServer) -> None:
    url = url_of(server)
    handshake = (
        f"GET {url[url.index('/endpoint') :]} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    ping = b'{"type":"ping","id":"early"}'
    port = int(server.rest_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(handshake + bytes((0x81, 0x80 | len(ping))) + b"\0\0\0\0" + ping)
        came = b""
        while b"early" not in came:
            came += sock.recv(4096)
    assert came.index(b"welcome") < came.index(b"early")


# Connections


def test_connections_can_be_dropped_without_a_close_frame(server: KucoinServer, peer: Client) -> None:
    assert server.drop_connections() == 1
    assert server.connections == []
    assert server.ended[0].end == "dropped"
    with pytest.raises(ConnectionClosedError) as closed:
        peer.socket.recv(5)
    assert closed.value.rcvd is None


def test_connections_can_be_reset(server: KucoinServer) -> None:
    with raw_client(server) as sock:
        server.drop_connections(rst=True)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_one_connection_can_be_dropped_and_the_other_stays(server: KucoinServer, peer: Client) -> None:
    with client(server) as other:
        server.connections[0].drop()
        assert other.is_silent()
        with pytest.raises(ConnectionClosed):
            peer.socket.recv(5)
        server.connections[0].drop(rst=True)
        assert server.connections == []


def test_connections_can_be_closed_with_a_code_and_a_reason(server: KucoinServer, peer: Client) -> None:
    assert server.close_connections() == 1
    with pytest.raises(ConnectionClosed) as closed:
        peer.socket.recv(5)
    assert closed.value.rcvd == Close(1000, "Bye")
    server.wait_for(lambda s: s.ended)
    assert server.ended[0].end == "closed with 1000 Bye"
    with client(server) as other:
        server.connections[0].close(1013, "later")
        with pytest.raises(ConnectionClosed) as closed:
            other.socket.recv(5)
        assert closed.value.rcvd == Close(CloseCode.TRY_AGAIN_LATER, "later")


def test_nothing_is_pushed_after_a_close_frame(server: KucoinServer) -> None:
    with raw_client(server) as sock:
        server.close_connections()
        assert server.publish(TICKER, {}) == server.send_raw("x") == 0
        server.close_connections()
        assert sock.recv(4096) == b"\x88\x05\x03\xe8Bye"


def test_what_comes_after_a_close_frame_is_ignored(server: KucoinServer) -> None:
    with raw_client(server) as sock:
        server.close_connections()
        ping = b'{"type":"ping"}'
        sock.sendall(bytes((0x81, 0x80 | len(ping))) + b"\0\0\0\0" + ping)
        sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
        server.wait_for(lambda s: s.ended)
        assert server.received == []


def test_a_close_frame_that_is_not_answered_ends_the_connection_soon(server: KucoinServer) -> None:
    with raw_client(server) as sock:
        server.close_connections()
        assert len(server.connections) == 1
        server.advance(1.0)
        server.wait_for(lambda s: s.ended)
        assert sock.recv(4096) == b"\x88\x05\x03\xe8Bye"
        assert sock.recv(1) == b""


def test_a_close_of_the_client_is_answered(server: KucoinServer) -> None:
    with raw_client(server) as sock:
        sock.sendall(b"\x88\x82\0\0\0\0\x0b\xb8")
        assert sock.recv(4096) == b"\x88\x02\x0b\xb8"
        server.wait_for(lambda s: s.ended)
        assert server.ended[0].end == "the client closed with 3000"
    with raw_client(server) as sock:
        sock.sendall(b"\x88\x80\0\0\0\0")
        assert sock.recv(4096) == b"\x88\x02\x03\xe8"


def test_raw_frames_and_raw_bytes_go_to_everybody(server: KucoinServer, peer: Client) -> None:
    with client(server) as other:
        assert server.send_raw('{"type":"notice"}') == 2
        assert (peer.recv(), other.recv()) == ({"type": "notice"}, {"type": "notice"})
        server.send_raw(b'{"a":', fin=0)
        server.send_raw(b"1}", opcode=0)
        assert peer.recv() == {"a": 1}
        server.send_raw(b"\0", opcode=2)
        assert peer.socket.recv(5) == b"\0"
        assert server.send_bytes(b"\xff\xff\xff\xff") == 2
        with pytest.raises(ConnectionClosedError):
            peer.socket.recv(5)


# What it tells


def test_commands_are_kept_in_order_with_their_connection(server: KucoinServer) -> None:
    with client(server, connect_id="one") as one, client(server, "futures", connect_id="two") as two:
        one.subscribe(TICKER, id="a")
        two.ask("ping", id="b")
        one.socket.send("[]")
        one.recv()
    first, second = server.received
    assert first.message == {"id": "a", "type": "subscribe", "response": True, "topic": TICKER}
    assert (first.connection.id, first.connection.market) == ("one", "spot")
    assert (second.message["id"], second.connection.id, second.connection.market) == ("b", "two", "futures")
    assert first.received_ns <= second.received_ns


def test_handshakes_are_kept_whatever_became_of_them(server: KucoinServer) -> None:
    server.refuse_handshake(503)
    with raw_handshake(url_of(server), User_Agent="me") as sock:
        sock.recv(4096)
    with client(server, "futures", connect_id="two"):
        refused, let_in = server.handshakes
    assert (refused.path, refused.market, refused.headers["user-agent"]) == ("/endpoint", "spot", "me")
    assert (let_in.market, let_in.query["connectId"]) == ("futures", "two")
    assert len(server.requests) == 4


def test_a_connection_tells_who_it_is(server: KucoinServer) -> None:
    with client(server, "futures", server.credentials, connect_id="me") as peer:
        peer.subscribe("/contractAccount/wallet")
        (connection,) = server.connections
        assert (connection.private, connection.user, connection.market) == (True, "demo-user", "futures")
        assert repr(connection) == "<Connection me futures demo-user: 1 topics>"
    server.wait_for(lambda s: s.ended)
    assert repr(connection) == "<Connection me futures demo-user: the client closed with 1000>"
    assert connection.topics == frozenset()


def test_the_server_tells_where_it_is(server: KucoinServer) -> None:
    assert repr(server) == f"<KucoinServer {server.rest_url}: 0 connections>"
    assert repr(KucoinServer()) == "<KucoinServer not started: 0 connections>"
    with pytest.raises(RuntimeError, match="no port yet: start it"):
        _ = KucoinServer().rest_url


def test_the_options_of_a_stream_lead_to_the_server(server: KucoinServer) -> None:
    assert server.stream_options == {
        "credentials": server.credentials,
        "rest_url": server.rest_url,
        "futures_rest_url": server.rest_url + "/futures",
        "proxy": "",
        **server.uta_urls,
    }


def test_waiting_returns_what_was_waited_for(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(TICKER)
    assert server.wait_for(lambda s: len(s.received)) == 1
    server.wait_subscribed(TICKER)
    with pytest.raises(AssertionError, match="in vain for 1 subscriptions to /market/ticker:BTC-USDT,ETH-USDT"):
        server.wait_subscribed("/market/ticker:BTC-USDT,ETH-USDT", timeout=0.01)
    peer.subscribe("/market/ticker:ETH-USDT")
    server.wait_subscribed("/market/ticker:BTC-USDT,ETH-USDT")
    with pytest.raises(AssertionError, match="/account/balance"):
        server.wait_subscribed("/account/balance", timeout=0.01)


def test_waiting_in_vain_names_what_was_waited_for(server: KucoinServer, peer: Client) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("mine")

    server.take_rejection = broken  # type: ignore[method-assign]
    peer.subscribe(TICKER)
    text = re.escape("waited 0.01 s in vain for assert server.wait_for(lambda s: s.ended, 0.01)")
    with pytest.raises(AssertionError, match=text) as failed:
        assert server.wait_for(lambda s: s.ended, 0.01)
    assert "<Connection c1 spot public: 0 topics>" in str(failed.value)
    assert "raised in the server: ZeroDivisionError('mine')" in str(failed.value)
    with pytest.raises(AssertionError, match="in vain for the end"):
        server.wait_for(lambda s: s.ended, 0.01, "the end")
    with pytest.raises(AssertionError, match=r"in vain for operator\.attrgetter\('ended'\)"):
        server.wait_for(operator.attrgetter("ended"), 0.01)
    with pytest.raises(ZeroDivisionError):
        server.check()


def test_clear_makes_it_as_new(server: KucoinServer, peer: Client) -> None:
    token = token_of(server)["token"]
    peer.subscribe(TICKER)
    server.advance(30)
    server.mute(ack=True)
    server.reject_next()
    server.fail_rest("*", times=None)
    server.hang_handshake()
    server.set_snapshot("level2_20", "X", {})
    server.endpoint_override("ws://elsewhere")
    where = server.rest_url
    server.clear()
    assert server.rest_url == where
    assert (server.connections, server.ended, server.received, server.requests) == ([], [], [], [])
    with client(server, token=token, welcome=False) as other:
        assert other.recv()["data"] == "token is invalid"
    with client(server) as other:
        assert other.subscribe(TICKER) == ACK
    path = "/api/v1/market/orderbook/level2_20?symbol=X"
    assert http("GET", server.rest_url + path).json()["code"] == "900001"
    assert json.loads(http("POST", server.rest_url + "/api/v1/bullet-public").text)["data"]["instanceServers"][0][
        "endpoint"
    ].startswith("ws://127.0.0.1:")
