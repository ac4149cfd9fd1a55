"""The UTA feed of the local server: its frames, commands, login, limits and messages, without an exchange."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from kucoin_sync import Stream
from kucoin_sync.testing.server import KucoinServer, ServerLimits
from tests.testing.server_client import TIMEOUT, client, websocket
from tests.testing.uta_client import auth_of, uta_client

ACK = {"id": "1", "result": True}
INVALID = {"id": "1", "result": False, "message": "invalid request data"}


# Session


@pytest.mark.parametrize("market", ["uta-spot", "uta-futures", "uta"])
def test_the_welcome_is_kucoins_in_a_binary_frame(server: KucoinServer, market: str) -> None:
    with websocket(server.endpoint(market)) as socket:
        frame = socket.recv(TIMEOUT)
        assert isinstance(frame, bytes)
        [connection] = server.connections
        assert json.loads(frame) == {"sessionId": connection.id, "message": "welcome", "pingInterval": 18000}
        assert connection.market == market
        assert connection.user is None


def test_the_welcome_has_the_servers_ping_values() -> None:
    with (
        KucoinServer(ping_interval=0.5, ping_timeout=2.5) as server,
        websocket(server.endpoint("uta-spot")) as socket,
    ):
        welcome = json.loads(socket.recv(TIMEOUT))
        assert (welcome["pingInterval"], welcome["pingTimeout"]) == (500, 2500)


def test_a_stream_takes_the_urls_of_a_server_that_is_not_at_a_loopback_address() -> None:
    with KucoinServer(host="0.0.0.0") as server:
        with Stream(**server.stream_options) as stream:
            assert stream.subscribe("/uta/balance.UNIFIED")
        server.announce("kucoin.example", 80)
        assert server.uta_urls["uta_spot_url"].startswith("ws://kucoin.example:80/")
        Stream(**server.stream_options).close()


def test_the_urls_are_arguments_of_a_stream(server: KucoinServer) -> None:
    assert server.uta_urls == {
        "uta_spot_url": server.endpoint("uta-spot"),
        "uta_futures_url": server.endpoint("uta-futures"),
        "uta_private_url": server.endpoint("uta"),
    }
    assert len({*server.uta_urls.values(), server.endpoint("spot"), server.endpoint("futures")}) == 5
    server.announce("127.0.0.1", 1234)
    assert all("//127.0.0.1:1234/" in url for url in server.uta_urls.values())


def test_pings_of_both_forms_are_answered(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        pong = peer.ask(id="p1", type="ping")
        assert pong.pop("ts") > 10**18
        assert pong == {"type": "pong", "id": "p1"}
        pong = peer.ask(id=7, op="ping", timestamp=1790113111261)
        assert 10**12 < pong.pop("timestamp") < 10**13
        assert pong == {"op": "pong", "id": "7"}, "a numeric id comes back as text"


def test_a_muted_server_sends_no_pong(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        server.mute()
        peer.send(type="ping", id="lost")
        server.wait_for(lambda server: server.received)
        server.unmute()
        assert peer.is_silent()


def test_what_is_not_json_gets_no_answer(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        peer.socket.send("hello")
        peer.socket.send("[1]")
        assert peer.is_silent()


def test_a_silent_client_is_cut_without_a_close_frame() -> None:
    with KucoinServer(idle_timeout=60.0) as server, uta_client(server) as peer:
        server.advance(61)
        with pytest.raises(ConnectionClosed) as caught:
            peer.recv()
        assert caught.value.rcvd is None
        server.wait_for(lambda server: server.ended)
        assert server.ended[0].end == "silent"


def test_drop_connections_cuts_both_feeds(server: KucoinServer) -> None:
    with uta_client(server) as peer, client(server) as classic:
        assert server.drop_connections() == 2
        for one in (peer, classic):
            with pytest.raises(ConnectionClosed):
                one.recv()


def test_connections_to_it_do_not_count_as_sessions_of_the_classic_feed() -> None:
    with KucoinServer(limits=ServerLimits(sessions=1)) as server, uta_client(server), client(server) as classic:
        assert classic.is_silent()


# Commands


@pytest.mark.parametrize(
    ("market", "channel", "symbol", "members", "topic"),
    [
        ("uta-spot", "ticker", "BTC-USDT", {}, "/uta/ticker.SPOT:BTC-USDT"),
        ("uta-spot", "trade", "BTC-USDT", {}, "/uta/trade.SPOT:BTC-USDT"),
        ("uta-spot", "kline", "BTC-USDT", {"interval": "1min"}, "/uta/kline.SPOT:BTC-USDT_1min"),
        ("uta-spot", "obu", "BTC-USDT", {"depth": "1"}, "/uta/obu.SPOT:BTC-USDT_1"),
        ("uta-spot", "obu", "BTC-USDT", {"depth": "5", "rpiFilter": 0}, "/uta/obu.SPOT:BTC-USDT_5"),
        (
            "uta-spot", "obu", "BTC-USDT", {"depth": "increment@10ms", "rpiFilter": 0},
            "/uta/obu.SPOT:BTC-USDT_increment@10ms",
        ),
        ("uta-spot", "callAuctionInfo", "GROVE-USDT", {}, "/uta/callAuctionInfo:GROVE-USDT"),
        ("uta-futures", "ticker", "XBTUSDTM", {}, "/uta/ticker.FUTURES:XBTUSDTM"),
        ("uta-futures", "mark-price", "XBTUSDTM", {}, "/uta/mark-price:XBTUSDTM"),
        ("uta-futures", "funding-fee", "XBTUSDTM", {}, "/uta/funding-fee:XBTUSDTM"),
        ("uta-futures", "funding-fee-all-symbols", None, {}, "/uta/funding-fee-all-symbols"),
        ("uta", "orderAll", None, {}, "/uta/orderAll.UNIFIED"),
        ("uta", "order", "XBTUSDTM", {}, "/uta/order.UNIFIED:XBTUSDTM"),
        ("uta", "execution", None, {}, "/uta/execution.UNIFIED"),
        ("uta", "execution.lite", None, {"tradeType": "CROSS"}, "/uta/execution.lite.CROSS"),
        ("uta", "balance", None, {"accountType": "FUNDING"}, "/uta/balance.FUNDING"),
        ("uta", "positionAll", None, {}, "/uta/positionAll.UNIFIED"),
        ("uta", "position", "XBTUSDTM", {"tradeType": "FUTURES"}, "/uta/position.FUTURES:XBTUSDTM"),
        ("uta", "leverage", None, {}, "/uta/leverage.UNIFIED"),
        ("uta", "lw", None, {}, "/uta/lw.UNIFIED"),
    ],
)  # fmt: skip
def test_every_channel_is_subscribed_and_unsubscribed(
    server: KucoinServer, market: str, channel: str, symbol: str | None, members: dict[str, Any], topic: str
) -> None:
    with uta_client(server, market) as peer:
        assert peer.command("SUBSCRIBE", channel, symbol, **members) == ACK
        [connection] = server.connections
        assert connection.topics == {topic}
        server.wait_subscribed(topic)
        assert peer.command("subscribe", channel, symbol, **members) == ACK, "in either letter case, and twice"
        assert connection.topics == {topic}
        assert peer.command("UNSUBSCRIBE", channel, symbol, **members) == ACK
        assert connection.topics == set()
        assert peer.command("unsubscribe", channel, symbol, **members) == ACK


@pytest.mark.parametrize(
    ("market", "channel", "prefix"),
    [
        ("uta-spot", "ticker", "/uta/ticker.SPOT"),
        ("uta-futures", "ticker", "/uta/ticker.FUTURES"),
        ("uta-futures", "funding-fee", "/uta/funding-fee"),
    ],
)
def test_some_channels_take_several_symbols(server: KucoinServer, market: str, channel: str, prefix: str) -> None:
    with uta_client(server, market) as peer:
        assert peer.subscribe(channel, symbols=["A", "B", "A"]) == ACK
        server.wait_subscribed(f"{prefix}:A,B")
        assert peer.unsubscribe(channel, symbols=["B"]) == ACK
        assert server.connections[0].topics == {f"{prefix}:A"}


def test_an_unknown_symbol_is_confirmed(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        assert peer.subscribe("trade", "XBTUSDTM") == ACK
        assert peer.is_silent()


@pytest.mark.parametrize(
    ("channel", "members"),
    [
        ("nothing", {}),
        ("obu", {"depth": "7"}),
        ("obu", {}),
        ("obu", {"depth": "5", "rpiFilter": 1}),
        ("kline", {"interval": "7min"}),
        ("kline", {}),
        ("trade", {"symbol": None}),
        ("trade", {"symbol": ""}),
        ("trade", {"symbol": 5}),
        ("trade", {"tradeType": None}),
        ("ticker", {"symbols": []}),
        ("ticker", {"symbols": [5]}),
        ("ticker", {"symbols": "BTC-USDT"}),
    ],
)
def test_invalid_commands_are_refused_in_the_observed_words(
    server: KucoinServer, channel: str, members: dict[str, Any]
) -> None:
    with uta_client(server) as peer:
        assert peer.subscribe(channel, **{"symbol": "BTC-USDT", **members}) == INVALID
        assert server.connections[0].topics == set()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"action": "resubscribe"},
        {"action": 5},
        {"type": "hello"},
        {"type": "PING"},
        {"action": "ping"},
        {"type": "subscribe", "channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT"},
        {"op": "subscribe", "channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT"},
    ],
)
def test_what_is_no_command_is_refused(server: KucoinServer, message: dict[str, Any]) -> None:
    with uta_client(server) as peer:
        assert peer.ask(**message) == INVALID


def test_symbols_for_one_symbol_are_refused_in_the_observed_words(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        answer = peer.subscribe("obu", symbols=["BTC-USDT"], depth="5")
        assert answer == {"id": "1", "result": False, "reason": "symbols are not supported for topic obu"}


@pytest.mark.parametrize(
    ("market", "channel", "trade_type", "shown"),
    [
        ("uta-futures", "obu", "SPOT", 'Obu type = "public_spot"'),
        ("uta-spot", "trade", "FUTURES", 'Trade type = "public_futures"'),
        ("uta-spot", "mark-price", None, 'Mark-price type = "public_futures"'),
        ("uta-futures", "callAuctionInfo", None, 'CallAuctionInfo type = "public_spot"'),
        ("uta-spot", "orderAll", "UNIFIED", 'OrderAll type = "private"'),
        ("uta", "trade", "SPOT", 'Trade type = "public_spot"'),
    ],
)
def test_a_channel_of_another_service_is_refused_in_the_observed_words(
    server: KucoinServer, market: str, channel: str, trade_type: str | None, shown: str
) -> None:
    with uta_client(server, market) as peer:
        answer = peer.subscribe(channel, "BTC-USDT", tradeType=trade_type, depth="5")
        assert answer == {"id": "1", "result": False, "reason": f"topic {shown} not allowed in current environment"}


def test_a_server_with_symbols_refuses_others() -> None:
    with KucoinServer(symbols={"BTC-USDT"}) as server, uta_client(server) as peer:
        assert peer.subscribe("trade", "BTC-USDT") == ACK
        assert peer.subscribe("trade", "NO-USDT") == INVALID


# Login


def test_a_private_command_needs_a_login(server: KucoinServer) -> None:
    with uta_client(server, "uta", login=False) as peer:
        assert peer.subscribe("orderAll")["result"] is False
        assert peer.login(server) == {"id": "a1", "result": True}
        [connection] = server.connections
        assert (connection.user, connection.private) == (server.USER, True)
        assert peer.subscribe("orderAll") == ACK


def test_the_time_of_a_login_may_be_a_number(server: KucoinServer) -> None:
    with uta_client(server, "uta", login=False) as peer:
        auth = auth_of(server)
        assert peer.ask(**{**auth, "kc-api-timestamp": int(auth["kc-api-timestamp"])})["result"] is True


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"kc-api-key": "other"}, "KC-API-KEY not exists"),
        ({"kc-api-sign": "other"}, "Invalid KC-API-SIGN"),
        ({"kc-api-passphrase": KucoinServer.PASSPHRASE}, "Invalid KC-API-PASSPHRASE"),
        ({"kc-api-timestamp": "1"}, "Invalid KC-API-TIMESTAMP"),
        ({"kc-api-sign": ""}, "Please check the header of your request for KC-API-KEY, KC-API-SIGN, "
         "KC-API-TIMESTAMP, KC-API-PASSPHRASE"),
    ],
)  # fmt: skip
def test_a_wrong_login_is_refused(server: KucoinServer, members: dict[str, Any], text: str) -> None:
    with uta_client(server, "uta", login=False) as peer:
        assert peer.login(server, **members) == {"id": "a1", "result": False, "message": text}
        assert server.connections[0].user is None


def test_an_old_time_is_refused(server: KucoinServer) -> None:
    with uta_client(server, "uta", login=False) as peer:
        server.advance(30)
        assert peer.ask(**auth_of(server))["message"] == "Invalid KC-API-TIMESTAMP"


def test_a_public_service_takes_no_login(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        assert peer.login(server) == {**INVALID, "id": "a1"}


# Limits


@pytest.mark.parametrize(("market", "limit"), [("uta-spot", 300), ("uta", 100)])
def test_messages_over_the_limit_are_refused(server: KucoinServer, market: str, limit: int) -> None:
    with uta_client(server, market, login=False) as peer:
        for _ in range(limit):
            assert peer.ask(type="ping")["type"] == "pong"
        assert peer.ask(type="ping") == {"id": "1", "result": False, "message": "exceed max permits per second"}
        server.advance(10)
        assert peer.ask(type="ping")["type"] == "pong"


@pytest.mark.parametrize(("market", "limit"), [("uta-futures", 600), ("uta", 400)])
def test_topics_over_the_limit_are_refused(market: str, limit: int) -> None:
    limits = ServerLimits(uta_messages_per_10s=None, uta_private_messages_per_10s=None)
    with KucoinServer(limits=limits) as server, uta_client(server, market) as peer:
        channel = "position" if market == "uta" else "trade"
        for n in range(limit):
            assert peer.subscribe(channel, f"C{n}USDTM") == ACK
        assert peer.subscribe(channel, "C0USDTM") == ACK
        assert peer.subscribe(channel, "LATEUSDTM") == {
            "id": "1",
            "result": False,
            "message": f"exceed max subscription count limitation of {limit} per session",
        }


# Messages


def test_a_message_has_kucoins_form(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        peer.subscribe("ticker", "BTC-USDT")
        assert server.publish("/uta/ticker.SPOT:BTC-USDT", {"s": "BTC-USDT", "l": "1"}) == 1
        assert server.publish("/uta/ticker.SPOT:ETH-USDT", {"s": "ETH-USDT"}) == 0
        message = peer.recv()
        assert message.pop("P") > 10**18
        assert message == {"T": "ticker.SPOT", "d": {"s": "BTC-USDT", "l": "1"}}
        assert peer.is_silent()


def test_members_of_a_message_can_be_given(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        peer.subscribe("callAuctionInfo", "BTC-USDT")
        server.publish("/uta/callAuctionInfo:BTC-USDT", [1], "callAuctionInfo.SPOT", P=5, t="snapshot")
        assert peer.recv() == {"T": "callAuctionInfo.SPOT", "P": 5, "t": "snapshot", "d": [1]}


@pytest.mark.parametrize(
    ("depth", "kind"), [("1", "snapshot"), ("5", "snapshot"), ("50", "snapshot"), ("increment@10ms", "delta")]
)
def test_a_message_of_a_book_has_its_depth_and_kind(server: KucoinServer, depth: str, kind: str) -> None:
    with uta_client(server, "uta-futures") as peer:
        peer.subscribe("obu", "XBTUSDTM", depth=depth)
        server.publish(f"/uta/obu.FUTURES:XBTUSDTM_{depth}", {"s": "XBTUSDTM"}, P=1)
        assert peer.recv() == {"T": "obu.FUTURES", "P": 1, "dp": depth, "t": kind, "d": {"s": "XBTUSDTM"}}


@pytest.mark.parametrize(
    ("channel", "symbol", "topic", "subject"),
    [
        ("orderAll", None, "/uta/orderAll.UNIFIED", "orderAll.UNIFIED"),
        ("order", "BTC-USDT", "/uta/order.UNIFIED:BTC-USDT", "orderAll.UNIFIED"),
        ("position", "XBTUSDTM", "/uta/position.UNIFIED:XBTUSDTM", "positionAll.UNIFIED"),
        ("execution.lite", None, "/uta/execution.lite.UNIFIED", "execution.lite.UNIFIED"),
        ("lw", None, "/uta/lw.UNIFIED", "lw.UNIFIED"),
    ],
)
def test_private_messages_have_the_documented_names(
    server: KucoinServer, channel: str, symbol: str | None, topic: str, subject: str
) -> None:
    with uta_client(server, "uta") as peer:
        assert peer.subscribe(channel, symbol) == ACK
        server.publish(topic, {}, P=1)
        assert peer.recv() == {"T": subject, "P": 1, "d": {}}


def test_a_private_message_goes_to_its_account_only() -> None:
    keys = {
        KucoinServer.KEY: (KucoinServer.SECRET, KucoinServer.PASSPHRASE, "me"),
        "other": ("s", "p", "other"),
    }
    with KucoinServer(credentials=keys) as server, uta_client(server, "uta") as peer:
        peer.subscribe("balance")
        assert server.publish("/uta/balance.UNIFIED", {}, user="other") == 0
        assert server.publish("/uta/balance.UNIFIED", {}, user="me") == 1
        assert peer.recv()["T"] == "balance.UNIFIED"


def test_raw_frames_are_binary_unless_told_otherwise(server: KucoinServer) -> None:
    with uta_client(server) as peer, client(server) as classic:
        server.send_raw('{"T":"new"}')
        assert peer.recv() == {"T": "new"}
        assert classic.socket.recv(TIMEOUT) == '{"T":"new"}'
        server.connections[0].send_raw("{}", 1)
        assert peer.socket.recv(TIMEOUT) == "{}"


def test_both_feeds_have_topics_of_their_own(server: KucoinServer) -> None:
    with uta_client(server) as peer, client(server) as classic:
        assert classic.subscribe("/uta/callAuctionInfo:BTC-USDT")["type"] == "error"
        classic.subscribe("/market/ticker:BTC-USDT")
        peer.subscribe("ticker", "BTC-USDT")
        assert server.publish("/market/ticker:BTC-USDT", {}) == 1
        assert server.publish("/uta/ticker.SPOT:BTC-USDT", {}) == 1


# Plans


@pytest.mark.parametrize("member", ["message", "reason", "msg"])
def test_a_subscribe_command_can_be_refused(server: KucoinServer, member: str) -> None:
    with uta_client(server) as peer:
        server.reject_next(text="no", topic="/uta/trade.SPOT:BTC-USDT", member=member)
        assert peer.subscribe("trade", "ETH-USDT") == ACK
        assert peer.subscribe("trade", "BTC-USDT") == {"id": "1", "result": False, member: "no"}
        assert peer.subscribe("trade", "BTC-USDT") == ACK
        server.reject_next()
        assert peer.subscribe("trade", "BTC-USDT") == INVALID


def test_a_refusal_by_the_topic_of_several_symbols(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        server.reject_next(text="no", topic="/uta/ticker.SPOT:A,B")
        assert peer.subscribe("ticker", symbols=["A"]) == ACK
        assert peer.subscribe("ticker", symbols=["A", "B"])["message"] == "no"


def test_confirmations_can_be_withheld_and_doubled(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        server.withhold_acks()
        peer.send(action="SUBSCRIBE", channel="trade", tradeType="SPOT", symbol="A")
        server.wait_subscribed("/uta/trade.SPOT:A")
        assert peer.is_silent()
        server.duplicate_acks()
        assert peer.subscribe("trade", "B") == ACK
        assert peer.recv() == ACK


def test_no_welcome(server: KucoinServer) -> None:
    server.no_welcome(times=1)
    with uta_client(server, welcome=False) as peer:
        assert peer.is_silent()


@pytest.mark.parametrize(
    "welcome", [{"data": "welcome", "pingInterval": 30000, "pingTimeout": 10000}, {"type": "welcome"}]
)
def test_the_welcome_can_have_another_form(server: KucoinServer, welcome: dict[str, Any]) -> None:
    server.welcome_as(welcome, times=1)
    with uta_client(server, welcome=False) as peer:
        assert peer.recv() == {"sessionId": server.connections[0].id, **welcome}
    with uta_client(server) as peer:
        assert peer.is_silent()


def test_frames_can_be_text(server: KucoinServer) -> None:
    server.uta_text_frames = True
    with websocket(server.endpoint("uta-spot")) as socket:
        assert isinstance(socket.recv(TIMEOUT), str)
        socket.send('{"action":"subscribe","channel":"trade","tradeType":"SPOT","symbol":"A"}')
        assert socket.recv(TIMEOUT) == '{"result":true}'
        server.uta_text_frames = False
        with uta_client(server) as peer:
            peer.subscribe("trade", "A")
            assert server.publish("/uta/trade.SPOT:A", {}, P=1) == 2
            assert peer.recv() == {"T": "trade.SPOT", "P": 1, "d": {}}
        assert socket.recv(TIMEOUT) == '{"T":"trade.SPOT","P":1,"d":{}}'


def test_a_confirmation_can_be_text(server: KucoinServer) -> None:
    server.uta_ack = "true"
    with uta_client(server, "uta", login=False) as peer:
        assert peer.login(server) == {"id": "a1", "result": "true"}
        assert peer.subscribe("orderAll") == {"id": "1", "result": "true"}
        server.clear()
        assert server.uta_ack is True


@pytest.mark.parametrize("member", ["message", "reason", "msg"])
def test_a_login_can_be_refused(server: KucoinServer, member: str) -> None:
    server.refuse_auth("key expired", member=member)
    with uta_client(server, "uta", login=False) as peer:
        assert peer.login(server) == {"id": "a1", "result": False, member: "key expired"}
        assert peer.subscribe("orderAll")["result"] is False
        assert peer.login(server)["result"] is True


def test_a_login_can_stay_without_an_answer(server: KucoinServer) -> None:
    server.refuse_auth(None)
    with uta_client(server, "uta", login=False) as peer:
        peer.send(**auth_of(server))
        server.wait_for(lambda server: server.received)
        assert peer.is_silent()
        assert peer.login(server)["result"] is True


def test_withheld_confirmations_are_not_those_of_logins(server: KucoinServer) -> None:
    server.withhold_acks()
    with uta_client(server, "uta") as peer:
        peer.send(action="SUBSCRIBE", channel="orderAll", tradeType="UNIFIED")
        assert peer.is_silent()


def test_a_message_can_be_left_out_or_repeated(server: KucoinServer) -> None:
    topic = "/uta/ticker.SPOT:A"
    with uta_client(server) as peer:
        server.skip_sequence(topic)
        server.repeat_sequence(topic)
        assert server.publish(topic, {}) == 0, "a plan waits for a subscriber"
        peer.subscribe("ticker", "A")
        for n, sent in ((1, 0), (2, 2), (3, 1)):
            assert server.publish(topic, {"E": n}) == sent
        assert [peer.recv()["d"]["E"] for _ in range(3)] == [2, 2, 3]


def test_a_classic_message_can_be_repeated(server: KucoinServer) -> None:
    with client(server) as peer:
        peer.subscribe("/market/ticker:A-B")
        server.repeat_sequence("/market/ticker:A-B")
        assert server.publish("/market/ticker:A-B", {}) == 2
        assert peer.recv() == peer.recv()
