"""A small server of KuCoin's UTA feed that answers as its documentation says and pushes what a test gives it."""

from __future__ import annotations

import json
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

__all__ = ["UtaServer"]


class UtaServer:
    """All three hosts of the feed on one port; `with` starts it.

    Attributes:
        commands: all commands so far, without pings.
        pings: how many came.
        welcome: the text of the welcome.
        acknowledged: the `result` of an ack.
        refusal: the members of a refusal.
        refused: symbols and keys that it refuses.
    """

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.pings = 0
        self.welcome: dict[str, Any] = {"sessionId": "s", "message": "welcome", "pingInterval": 18000}
        self.acknowledged: object = True
        self.refusal: dict[str, Any] = {"message": "invalid request data"}
        self.refused: set[str] = set()
        self.connections: list[ServerConnection] = []
        self._threads: list[threading.Thread] = []
        self._server: WebSocketServer = serve(self._converse, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    @property
    def stream_options(self) -> dict[str, str]:
        """Arguments for a `Stream` to this server, which fails if it makes a REST request."""
        refusing = "http://127.0.0.1:1"
        urls = dict.fromkeys(("uta_spot_url", "uta_futures_url", "uta_private_url"), self.url)
        return {"rest_url": refusing, "futures_rest_url": refusing, "proxy": "", **urls}

    def __enter__(self) -> UtaServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        for thread in (self._thread, *self._threads):
            thread.join(10)

    def push(self, *messages: object, connection: int = -1, text: bool = False) -> None:
        """Push messages as KuCoin does, in binary frames; one that is text already is sent as it is."""
        for message in messages:
            frame = message if isinstance(message, str) else json.dumps(message)
            self.connections[connection].send(frame if text else frame.encode())

    def _converse(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self._threads += threading.current_thread(), connection.recv_events_thread
        connection.send(json.dumps(self.welcome).encode())
        try:
            for text in connection:
                assert isinstance(text, str), "commands are text"
                self._answer(connection, json.loads(text))
        except ConnectionClosed:
            pass

    def _answer(self, connection: ServerConnection, command: dict[str, Any]) -> None:
        if command.get("type") == "ping":
            self.pings += 1
            connection.send(json.dumps({"type": "pong", "id": command["id"], "ts": 1790113111261396000}).encode())
            return
        self.commands.append(command)
        said = {*command.get("symbols", ()), command.get("symbol"), command.get("kc-api-key")}
        answer: dict[str, Any] = {"id": command["id"], "result": self.acknowledged}
        if said & self.refused:
            answer = {"id": command["id"], "result": False, **self.refusal}
        connection.send(json.dumps(answer).encode())
