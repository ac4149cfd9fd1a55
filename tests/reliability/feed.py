"""Numbered messages of both feeds, and what tests say about them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

from kucoin_sync import Subscription
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server import Pushed, uta_topics

from ..support.frames import BINARY, TEXT
from ..support.frames import frame as framed
from ..support.selection import first

__all__ = [
    "CANARIES",
    "CLASSIC",
    "ETH",
    "MATCH",
    "TOKEN",
    "UTA",
    "Feed",
    "at_best",
    "numbers",
    "on_both",
    "publish",
    "push",
    "pushed",
    "read",
    "seconds_of",
]

#: Key, secret and passphrase of the account, none of which may be found in anything that the package says.
CANARIES = ("canary-key-5f1c0a", "canary-secret-9b27e4", "canary-passphrase-3d88f2")
#: A connect token, likewise.
TOKEN = "canary-token-7a41d9"
ETH = "/market/ticker:ETH-USDT"
MATCH = "/market/match:OLD-USDT"


class Feed(NamedTuple):
    """What differs between KuCoin's feeds in tests that run on both; the methods below have both forms.

    Attributes:
        market: what events call the public spot connections.
        ticker: begins the topics of tickers, before the symbol.
        eth, match: a ticker and a trade topic.
        private: a private topic.
        plain: a topic whose pushes may have data of any shape, as nothing in it says whose they are.
        futures: a ticker topic of a contract.
        opcode: of the server's frames.
    """

    name: str
    market: str
    ticker: str
    eth: str
    match: str
    private: str
    plain: str
    futures: str
    opcode: int

    def __str__(self) -> str:
        return self.name

    @property
    def btc(self) -> str:
        """Another ticker topic."""
        return f"{self.ticker}:BTC-USDT"

    @property
    def is_uta(self) -> bool:
        return self.name == "uta"

    def push(self, data: bytes, topic: str = "") -> bytes:
        """Return the payload of a push of a topic, `eth` if none is named."""
        return push(data, topic or self.eth)

    def frame(self, payload: bytes) -> bytes:
        """Return a whole frame, as the server sends it."""
        return framed(payload, self.opcode)

    def ack(self, command_id: object = None) -> str:
        """Return an ack; without an id if there is none."""
        members = {} if command_id is None else {"id": command_id}
        return json.dumps({**members, "result": True} if self.is_uta else {**members, "type": "ack"})

    def pong(self, command_id: str) -> str:
        """Return a pong."""
        return json.dumps({"id": command_id, "type": "pong"})

    def error(self, code: int, text: str) -> str:
        """Return an error that answers no command."""
        return json.dumps(
            {"result": False, "message": text} if self.is_uta else {"type": "error", "code": code, "data": text}
        )

    def commands(self, server: KucoinServer, kind: str) -> list[str]:
        """Return the topics of the commands of a kind, in order; of pings and logins, their ids."""
        found = []
        for message, connection, _ in server.received:
            if message.get("op", message.get("type", message.get("action", ""))).lower() != kind:
                continue
            if kind in ("ping", "auth"):
                found.append(message["id"])
            elif "topic" in message:
                found.append(message["topic"])
            else:
                singles = uta_topics.singles_of(message, connection.market)
                found.append(singles[0] + "".join(f",{single.partition(':')[2]}" for single in singles[1:]))
        return found


CLASSIC = Feed(
    "classic", "spot", "/market/ticker", ETH, MATCH, "/account/balance", ETH, "/contractMarket/tickerV2:XBTUSDTM", TEXT
)
UTA = Feed(
    "uta",
    "uta-spot",
    "/uta/ticker.SPOT",
    "/uta/ticker.SPOT:ETH-USDT",
    "/uta/trade.SPOT:OLD-USDT",
    "/uta/balance.UNIFIED",
    "/uta/funding-fee-all-symbols",
    "/uta/ticker.FUTURES:XBTUSDTM",
    BINARY,
)


def on_both(name: str, values: Iterable[Any], uta: Iterable[Any] | None = None) -> pytest.MarkDecorator:
    """Run a test with each value on the classic feed, and on the UTA feed, by default with the first one there.

    Args:
        name: of the parameter; of several, with commas, if the values are tuples.
        values: its values, or those on the classic feed.
        uta: those on the UTA feed if they are others.
    """
    classic = list(values)
    both = [(CLASSIC, value) for value in classic] + [(UTA, value) for value in (classic if uta is None else uta)]
    rows = [(feed, *value) if "," in name else (feed, value) for feed, value in both]
    return pytest.mark.parametrize(
        ("feed", *name.replace(" ", "").split(",")),
        rows[: len(classic)] + first(*rows[len(classic) :]),
        ids=lambda value: value.name if isinstance(value, Feed) else None,
    )


def push(data: bytes, topic: str) -> bytes:
    """Return the payload of a push. On the UTA feed an object gets the symbol of the topic as its first member."""
    channel, _, symbol = topic.partition(":")
    if not channel.startswith("/uta/"):
        return b'{"type":"message","topic":"%b","data":%b}' % (topic.encode(), data)
    if symbol and data.startswith(b"{"):
        data = b'{"s":"%b"%b%b' % (symbol.encode(), b"" if data[1:2] == b"}" else b",", data[1:])
    return b'{"T":"%b","P":1790114460967760880,"d":%b}' % (channel.removeprefix("/uta/").encode(), data)


def pushed(topic: str, data: dict[str, Any]) -> Pushed:
    """Return a push for the server to publish."""
    if not topic.startswith("/uta/"):
        return Pushed(topic, data, "trade.ticker", None, {})
    symbol = topic.partition(":")[2]
    return Pushed(topic, {"s": symbol, **data} if symbol else data)


def publish(server: KucoinServer, sequence: Iterable[int], topic: str = ETH) -> None:
    """Push numbered messages of one length."""
    server.publish_many([pushed(topic, {"n": f"{number:08}"}) for number in sequence])


def read(subscription: Subscription[Any], count: int) -> list[tuple[int, int]]:
    """Return (number, epoch) of the next messages."""
    messages = [subscription.get(timeout=20) for _ in range(count)]
    return [(int(message.data["n"]), message.epoch) for message in messages]


def numbers(subscription: Subscription[Any], count: int) -> list[int]:
    """Return the numbers of the next messages."""
    return [number for number, _ in read(subscription, count)]


def at_best(limit: float, measure: Callable[[], float], tries: int = 5) -> float:
    """Return the first time within `limit` seconds, else the shortest: a busy machine may spoil one, not all."""
    shortest = float("inf")
    for _ in range(tries):
        shortest = min(shortest, measure())
        if shortest <= limit:
            break
    return shortest


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began
