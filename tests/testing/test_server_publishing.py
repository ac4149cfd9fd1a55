"""Pushes: who gets them, under which name, in which envelope, and how fast they may be sent."""

import json
import socket
import struct
import threading
from contextlib import ExitStack
from typing import Any

import pytest
from websocket import ABNF

from kucoin_sync import Credentials, topics
from kucoin_sync.testing.exchange import Push
from kucoin_sync.testing.server import KucoinServer, Pushed
from kucoin_sync.testing.server.frames import close_frame, frame

from .server_client import Client, client, raw_client

TICKER = "/market/ticker:BTC-USDT"


def test_a_push_has_kucoins_envelope(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(TICKER)
    assert server.publish(TICKER, {"price": "0.08"}, "trade.ticker", sn=5, id="x") == 1
    assert peer.recv() == {
        "topic": TICKER,
        "type": "message",
        "subject": "trade.ticker",
        "sn": 5,
        "id": "x",
        "data": {"price": "0.08"},
    }


def test_a_topic_may_be_named_by_its_helper(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(topics.ticker("BTC-USDT"))
    assert server.publish(topics.ticker("BTC-USDT"), {"price": "1"}) == 1
    assert peer.recv()["topic"] == "/market/ticker:BTC-USDT"


def test_a_push_that_nobody_wants_is_sent_to_nobody(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(TICKER)
    assert server.publish("/market/ticker:ETH-USDT", {}) == 0
    assert peer.is_silent()


def test_everybody_who_subscribed_gets_it(server: KucoinServer) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(client(server)) for _ in range(3)]
        for peer in peers:
            peer.subscribe(TICKER)
        assert server.publish(TICKER, {"n": 1}) == 3
        assert [peer.recv()["data"] for peer in peers] == [{"n": 1}] * 3
    server.wait_for(lambda s: not s.connections)
    assert server.publish(TICKER, {"n": 1}) == 0


@pytest.mark.parametrize(
    ("market", "subscribed", "pushed", "data"),
    [
        ("spot", "/market/ticker:A-B,C-D", "/market/ticker:C-D", {}),
        ("spot", "/market/ticker:all", "/market/ticker:all", {}),
        ("spot", "/market/snapshot:BTC", "/market/snapshot:BTC", {}),
        ("spot", "/market/snapshot:BTC", "/market/snapshot:KCS-BTC", {"data": {"market": "BTC"}}),
        ("spot", "/market/snapshot:BTC", "/market/snapshot:KCS-BTC", {"data": {"markets": ["X", "BTC"]}}),
        ("futures", "/contract/announcement:XBTUSDTM", "/contract/announcement", {"symbol": "XBTUSDTM"}),
    ],
)
def test_a_push_under_another_name_reaches_the_subscriber(
    server: KucoinServer, market: str, subscribed: str, pushed: str, data: Any
) -> None:
    with client(server, market) as peer:
        peer.subscribe(subscribed)
        assert server.publish(pushed, data) == 1
        assert peer.recv()["topic"] == pushed


@pytest.mark.parametrize(
    ("market", "subscribed", "pushed", "data"),
    [
        ("spot", "/market/snapshot:BTC", "/market/snapshot:KCS-USDT", {"data": {"market": "USDS"}}),
        ("futures", "/contract/announcement:XBTUSDTM", "/contract/announcement", {"symbol": "ETHUSDTM"}),
        ("spot", "/market/ticker:all", "/market/ticker:A-B", {}),
    ],
)
def test_a_push_for_others_does_not(server: KucoinServer, market: str, subscribed: str, pushed: str, data: Any) -> None:
    with client(server, market) as peer:
        peer.subscribe(subscribed)
        assert server.publish(pushed, data) == 0


@pytest.mark.parametrize(
    ("subscribed", "pushed"),
    [
        ("/contract/positionAll", "/contract/position:XBTUSDTM"),
        ("/contractMarket/tradeOrders", "/contractMarket/tradeOrders:XBTUSDTM"),
    ],
)
def test_private_pushes_under_another_name_reach_the_subscriber_once(
    server: KucoinServer, subscribed: str, pushed: str
) -> None:
    with client(server, "futures", server.credentials) as peer:
        assert peer.subscribe(subscribed)["type"] == "ack"
        assert server.publish(pushed, {}) == 1
        peer.subscribe(pushed)
        assert server.publish(pushed, {}) == 1


def test_a_private_push_tells_its_user(server: KucoinServer) -> None:
    with client(server, credentials=server.credentials) as peer:
        peer.subscribe("/account/balance", privateChannel=True)
        server.publish("/account/balance", {"total": "1"}, "account.balance")
        assert peer.recv() == {
            "topic": "/account/balance",
            "type": "message",
            "subject": "account.balance",
            "userId": KucoinServer.USER,
            "channelType": "private",
            "data": {"total": "1"},
        }


def test_a_private_push_goes_to_its_user_only() -> None:
    keys = {"k1": ("s1", "p1"), "k2": ("s2", "p2")}
    with (
        KucoinServer(credentials=keys) as server,
        client(server, credentials=Credentials("k1", *keys["k1"])) as one,
        client(server, credentials=Credentials("k2", *keys["k2"])) as two,
        client(server) as nobody,
    ):
        one.subscribe("/account/balance")
        two.subscribe("/account/balance")
        nobody.subscribe("/account/balance")
        assert server.publish("/account/balance", {}, user="k2") == 1
        assert two.recv()["userId"] == "k2"
        assert server.publish("/account/balance", {}) == 2
        assert (one.recv()["userId"], two.recv()["userId"]) == ("k1", "k2")


def test_the_private_channel_of_a_public_topic_has_only_the_accounts_own_messages(server: KucoinServer) -> None:
    topic = "/market/level3:BTC-USDT"
    with client(server, credentials=server.credentials) as peer:
        peer.subscribe(topic, privateChannel=True)
        assert server.publish(topic, {"type": "limit"}) == 0
        assert server.publish(topic, {"type": "activated"}, user=KucoinServer.USER) == 1
        message = peer.recv()
        assert (message["channelType"], message["userId"]) == ("private", KucoinServer.USER)
        peer.subscribe(topic)
        assert server.publish(topic, {"type": "limit"}) == 1
        assert "channelType" not in peer.recv()


def test_a_push_of_an_exchange_keeps_its_own_envelope(server: KucoinServer) -> None:
    push = Push("/account/balance", "account.balance", {}, "demo-user", True, {"id": "7", "channelType": "private"})
    with client(server, credentials=server.credentials) as peer:
        peer.subscribe("/account/balance")
        assert server.publish_many([push]) == 1
        assert peer.recv() == push.message()


def test_many_pushes_keep_their_order(server: KucoinServer) -> None:
    with client(server) as one, client(server) as two:
        one.subscribe("/market/ticker:A-B,C-D")
        two.subscribe("/market/ticker:A-B")
        pushes = [Pushed(f"/market/ticker:{'A-B' if n % 2 else 'C-D'}", n) for n in range(1500)]
        assert server.publish_many(pushes) == 2250
        assert [one.recv()["data"] for _ in range(1500)] == list(range(1500))
        assert [two.recv()["data"] for _ in range(750)] == list(range(1, 1500, 2))
        assert server.publish_many([]) == 0


def test_publishers_in_several_threads_do_not_mix_their_frames(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(TICKER)

    def publish(who: int) -> None:
        for number in range(300):
            server.publish(TICKER, [who, number, "x" * 300])

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    came = [peer.recv()["data"] for _ in range(900)]
    for thread in threads:
        thread.join()
    for who in range(3):
        assert [number for sender, number, _ in came if sender == who] == list(range(300))


def test_pushes_can_be_skipped_to_make_a_gap(server: KucoinServer, peer: Client) -> None:
    peer.subscribe("/market/ticker:BTC-USDT,ETH-USDT")
    server.skip_sequence(TICKER, 2)
    server.skip_sequence(TICKER)
    assert server.publish("/market/ticker:ETH-USDT", 9) == 1
    assert [server.publish(TICKER, n) for n in range(5)] == [0, 0, 0, 1, 1]
    assert [peer.recv()["data"] for _ in range(3)] == [9, 3, 4]


def test_skipping_ends_with_clear(server: KucoinServer) -> None:
    server.skip_sequence(TICKER, 5)
    server.clear()
    with client(server) as peer:
        peer.subscribe(TICKER)
        assert server.publish(TICKER, 1) == 1


def test_nothing_comes_between_a_subscription_and_its_ack(server: KucoinServer) -> None:
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            server.publish(TICKER, {})

    command = {"id": "1", "type": "subscribe", "topic": TICKER, "response": True}
    thread = threading.Thread(target=publish)
    with ExitStack() as stack:
        socks = [stack.enter_context(raw_client(server)) for _ in range(10)]
        thread.start()
        stack.callback(stop.set)
        for sock in socks:
            sock.sendall(_masked(command))
            assert sock.recv(25) == frame(b'{"id":"1","type":"ack"}')
    thread.join()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("opcode", [ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT])
@pytest.mark.parametrize("fin", [0, 1])
def test_frames_are_those_of_websocket_client(size: int, opcode: int, fin: int) -> None:
    payload = b"x" * size
    assert frame(payload, opcode, fin) == ABNF(fin, 0, 0, 0, opcode, 0, payload).format()


def test_a_close_frame_has_a_code_and_a_short_reason() -> None:
    assert close_frame(1000, "Bye") == b"\x88\x05\x03\xe8Bye"
    assert len(close_frame(1000, "x" * 200)) == 127


def test_a_client_that_takes_nothing_is_dropped_and_others_are_served() -> None:
    with KucoinServer(send_timeout=0.1) as server, raw_client(server) as stalled, client(server) as peer:
        stalled.sendall(_masked({"type": "subscribe", "topic": TICKER}))
        server.wait_subscribed(TICKER)
        dead = server.connections[0]
        peer.subscribe("/market/ticker:ETH-USDT")
        blob = "x" * 32_000_000
        assert server.publish_many([Pushed(TICKER, blob), Pushed("/market/ticker:ETH-USDT", 1)]) == 1
        assert peer.recv()["data"] == 1
        assert dead.stalled
        assert dead.end == "dropped: the client did not read"
        server.wait_for(lambda s: dead in s.ended)


def test_a_client_that_went_away_while_it_was_sent_to_is_no_error() -> None:
    with KucoinServer() as server, raw_client(server) as gone:
        gone.sendall(_masked({"type": "subscribe", "topic": TICKER}))
        server.wait_subscribed(TICKER)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        while server.publish(TICKER, {}):
            pass
        server.wait_for(lambda s: s.ended)
        assert server.ended[0].end == "the client went away"
        assert server.publish(TICKER, {}) == 0


def _masked(message: dict[str, Any]) -> bytes:
    return ABNF.create_frame(json.dumps(message), ABNF.OPCODE_TEXT).format()
