"""The stream against a peer that shares no code with it: `websockets` for the feed, `responses` for REST."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from websockets.sync.server import Server, ServerConnection, serve

from kucoin_sync import AckTimeout, Stream

REST = "http://127.0.0.1:1"
TOKEN = "t0ken/with+signs=="


class Peer:
    """A feed that confirms what is subscribed and sends one message of it."""

    def __init__(self) -> None:
        self.commands: list[dict[str, object]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.connections: list[ServerConnection] = []
        self.threads: list[threading.Thread] = []  # of the connections; they close the sockets
        self.server: Server = serve(self.converse, "127.0.0.1", 0)
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def endpoint(self) -> str:
        return f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/endpoint"

    def converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        self.queries.append(query)
        self.connections.append(connection)
        self.threads += threading.current_thread(), connection.recv_events_thread
        connection.send(json.dumps({"id": query["connectId"][0], "type": "welcome"}))
        for text in connection:
            command = json.loads(text)
            self.commands.append(command)
            if command["type"] == "ping":
                connection.send(json.dumps({"id": command["id"], "type": "pong"}))
                continue
            connection.send(json.dumps({"id": command["id"], "type": "ack"}))
            if command["type"] == "subscribe":
                body = json.dumps({"type": "message", "topic": command["topic"], "subject": "s", "data": {"n": "é"}})
                connection.send([body[:7], body[7:20], body[20:]])  # in fragments


@pytest.fixture
def independent_peer(nothing_left_behind: None) -> Iterator[Peer]:
    peer = Peer()
    peer.thread.start()
    yield peer
    peer.server.shutdown()
    for thread in (peer.thread, *peer.threads):
        thread.join(10)


@pytest.fixture
def independent_stream(independent_peer: Peer) -> Iterator[Stream]:
    servers = [{"endpoint": independent_peer.endpoint, "encrypt": False, "pingInterval": 300, "pingTimeout": 5000}]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as rest:
        rest.post(
            f"{REST}/api/v1/bullet-public",
            json={"code": "200000", "data": {"token": TOKEN, "instanceServers": servers}},
        )
        with Stream(rest_url=REST) as stream:
            yield stream


def test_it_streams_from_a_foreign_server(independent_peer: Peer, independent_stream: Stream) -> None:
    subscription = independent_stream.subscribe("/market/match:BTC-USDT")
    assert subscription.get(timeout=5).data == {"n": "é"}
    assert independent_peer.queries[0]["token"] == [TOKEN]
    assert independent_peer.commands[0] == {
        "id": "1", "type": "subscribe", "topic": "/market/match:BTC-USDT", "privateChannel": False, "response": True,
    }  # fmt: skip


def test_it_comes_back_to_a_foreign_server(independent_peer: Peer, independent_stream: Stream) -> None:
    subscription = independent_stream.subscribe("/market/match:BTC-USDT")
    assert subscription.get(timeout=5).epoch == 1
    independent_peer.connections[0].close(1012, "restart")
    assert subscription.get(timeout=10).epoch == 2
    assert len({query["connectId"][0] for query in independent_peer.queries}) == 2


def test_a_foreign_server_that_says_nothing_is_an_ack_timeout(
    independent_peer: Peer, independent_stream: Stream
) -> None:
    independent_stream.subscribe("/market/match:BTC-USDT")
    independent_peer.connections[0].send = lambda *_, **__: None  # type: ignore[assignment, method-assign]
    with pytest.raises(AckTimeout):
        independent_stream.subscribe("/market/match:ETH-USDT", timeout=0.2)
