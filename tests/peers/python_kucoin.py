"""python-kucoin, which insists on TLS: the server's certificate comes from `__main__`."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kucoin.asyncio import KucoinSocketManager
from kucoin.client import Client

from kucoin_sync.testing import FaultProxy, KucoinServer

TOPIC = "/market/ticker:BTC-USDT"
LONG = 75.0

Messages = list[Any]


class Feed:
    """A manager that has subscribed, what its callback was given, and what becomes of its reader."""

    def __init__(self, server: KucoinServer, work: Callable[[], Awaitable[object]] | None = None) -> None:
        self.server = server
        self.came: Messages = []
        self._work = work

    async def begin(self, *, subscribe: bool = True) -> Feed:
        client = Client(self.server.KEY, self.server.SECRET, self.server.PASSPHRASE)
        client.API_URL = self.server.rest_url
        self.manager = await KucoinSocketManager.create(asyncio.get_running_loop(), client, self._take)
        if subscribe:
            await self.outside(self.server.wait_for, lambda server: server.connections)
            await self.manager.subscribe(TOPIC)  # waits for the socket, a second at a time
            await self.outside(self.server.wait_subscribed, TOPIC)
        return self

    async def _take(self, message: Any) -> None:
        self.came.append(message)
        if self._work is not None:
            await self._work()

    async def outside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something that waits, beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def publish(self, number: int) -> None:
        data = {"sequence": str(number), "price": "0.08"}
        await self.outside(self.server.publish, TOPIC, data, "trade.ticker")

    async def fate(self, timeout: float = LONG) -> str:
        """Return what has become of the reader within `timeout` seconds, and of the connection some seconds later."""
        began = time.monotonic()
        reader = self.manager._conn._conn
        await asyncio.wait([reader], timeout=timeout)
        if not reader.done():
            return f"the reader goes on after {timeout:g} s"
        after = time.monotonic() - began
        await asyncio.sleep(20)
        open_ones = len(self.server.connections)
        return f"the reader ended after {after:.0f} s; 20 s later there are {open_ones} connections"


def server(**options: Any) -> KucoinServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["KUCOIN_PEERS_CERTIFICATE"])
    return KucoinServer(tls=context, **options)


async def the_server_closes() -> str:
    with server() as kucoin:
        feed = await Feed(kucoin).begin()
        await feed.outside(kucoin.close_connections)
        return await feed.fate()


async def a_handshake_is_never_answered() -> str:
    with server() as kucoin:
        kucoin.hang_handshake(times=1)
        return await (await Feed(kucoin).begin(subscribe=False)).fate()


async def the_link_is_dead() -> str:
    with server(ping_interval=2, ping_timeout=6) as kucoin, FaultProxy(*kucoin.address) as proxy:
        kucoin.announce(*proxy.address)
        feed = await Feed(kucoin).begin()
        proxy.to_client.hold()
        proxy.to_server.hold()
        return await feed.fate()


async def a_topic_is_refused() -> str:
    with server() as kucoin:
        feed = await Feed(kucoin).begin()
        kucoin.reject_next(404)
        await feed.manager.subscribe("/market/ticker:ETH-USDT")
        while not feed.came:
            await asyncio.sleep(0.05)
        return f"subscribe returned; the callback got {feed.came[0]}"


async def a_callback_is_slow() -> str:
    with server() as kucoin:
        feed = await Feed(kucoin, lambda: asyncio.sleep(30)).begin()
        await feed.publish(1)
        await asyncio.sleep(25)
        pings = sum(command.message.get("type") == "ping" for command in kucoin.received)
        return f"{pings} pings in the 25 s that one message takes, where 6 are sent otherwise"


async def a_callback_raises() -> str:
    async def fail() -> None:
        raise ValueError

    with server() as kucoin:
        feed = await Feed(kucoin, fail).begin()
        await feed.publish(1)
        return await feed.fate()


SCENARIOS = {
    scenario.__name__: lambda scenario=scenario: asyncio.run(scenario())
    for scenario in (
        the_server_closes, a_handshake_is_never_answered, the_link_is_dead, a_topic_is_refused, a_callback_is_slow,
        a_callback_raises,
    )
}  # fmt: skip
