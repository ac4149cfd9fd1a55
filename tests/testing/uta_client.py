"""An independent peer of the local server's UTA feed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection

from kucoin_sync.testing.server import KucoinServer
from tests.testing.server_client import TIMEOUT, websocket

__all__ = ["UtaClient", "auth_of", "uta_client"]


class UtaClient:
    """A peer that says JSON and hears it in binary frames."""

    def __init__(self, socket: ClientConnection, market: str) -> None:
        self.socket = socket
        self.market = market

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps({"id": "1", **message}))

    def recv(self) -> dict[str, Any]:
        frame = self.socket.recv(TIMEOUT)
        assert isinstance(frame, bytes), "every frame of the server is binary"
        message: dict[str, Any] = json.loads(frame)
        return message

    def ask(self, **message: Any) -> dict[str, Any]:
        self.send(**message)
        return self.recv()

    def subscribe(self, channel: str, symbol: str | None = None, **members: Any) -> dict[str, Any]:
        return self.command("SUBSCRIBE", channel, symbol, **members)

    def unsubscribe(self, channel: str, symbol: str | None = None, **members: Any) -> dict[str, Any]:
        return self.command("UNSUBSCRIBE", channel, symbol, **members)

    def command(self, action: str, channel: str, symbol: str | None = None, **members: Any) -> dict[str, Any]:
        """Send a command with the usual members, those given instead (None: left out), and return the answer."""
        usual: dict[str, Any] = {"action": action, "channel": channel, "symbol": symbol}
        if channel == "balance":
            usual["accountType"] = "UNIFIED"
        elif channel not in ("mark-price", "funding-fee", "funding-fee-all-symbols", "callAuctionInfo"):
            usual["tradeType"] = {"uta-spot": "SPOT", "uta-futures": "FUTURES", "uta": "UNIFIED"}[self.market]
        usual |= members
        return self.ask(**{name: value for name, value in usual.items() if value is not None})

    def login(self, server: KucoinServer, **members: Any) -> dict[str, Any]:
        return self.ask(**{**auth_of(server), **members})

    def is_silent(self) -> bool:
        """Whether nothing is on its way to us: the answer to a ping comes first."""
        return self.ask(type="ping", id="silent?").get("id") == "silent?"


def auth_of(server: KucoinServer, now_ms: int | None = None) -> dict[str, Any]:
    """Return the login that KuCoin's documentation describes, with the first account's key."""
    timestamp = str(int(time.time() * 1000) if now_ms is None else now_ms)

    def sign(text: str) -> str:
        return base64.b64encode(hmac.digest(server.SECRET.encode(), text.encode(), hashlib.sha256)).decode()

    return {
        "id": "a1",
        "op": "auth",
        "kc-api-key": server.KEY,
        "kc-api-timestamp": timestamp,
        "kc-api-sign": sign(f"{timestamp}POST/api/websocket/users/verify"),
        "kc-api-passphrase": sign(server.PASSPHRASE),
    }


@contextmanager
def uta_client(
    server: KucoinServer, market: str = "uta-spot", *, welcome: bool = True, login: bool = True
) -> Iterator[UtaClient]:
    """Connect, take the welcome, and log in on the private service."""
    with websocket(server.endpoint(market)) as socket:
        peer = UtaClient(socket, market)
        if welcome:
            assert peer.recv()["message"] == "welcome"
            if market == "uta" and login:
                assert peer.login(server) == {"id": "a1", "result": True}
        yield peer
