"""Clients that were written for KuCoin take the local server for it."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from kucoin_sync.testing.server import KucoinServer

pytestmark = pytest.mark.long  # their installation and first import take longer than most tests

SYMBOL = "BTC-USDT"
TICKER = {
    "sequence": "1545896668986",
    "price": "0.08",
    "size": "0.011",
    "bestAsk": "0.08",
    "bestAskSize": "0.18",
    "bestBid": "0.049",
    "bestBidSize": "0.036",
    "time": 1704873323416,
}
BALANCE = {
    "accountId": "548674591753",
    "currency": "USDT",
    "total": "21.133773386762",
    "available": "20.132773386762",
    "hold": "1.001",
    "availableChange": "-0.5005",
    "holdChange": "0.5005",
    "relationContext": {"symbol": SYMBOL, "orderId": "6721d0632db25b0007071fdc"},
    "relationEvent": "trade.hold",
    "relationEventId": "354689988084000",
    "time": "1730269283892",
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what these clients log on the root logger out of the report."""
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "*")


# KuCoin's own SDK


@pytest.fixture
def sdk(no_proxy: None) -> Callable[[KucoinServer], Any]:
    pytest.importorskip("kucoin_universal_sdk", reason="KuCoin's own SDK is not installed")
    from kucoin_universal_sdk.api import DefaultClient
    from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder, WebSocketClientOptionBuilder

    def make(server: KucoinServer) -> Any:
        options = (
            ClientOptionBuilder()
            .set_key(server.KEY)
            .set_secret(server.SECRET)
            .set_passphrase(server.PASSPHRASE)
            .set_spot_endpoint(server.rest_url)
            .set_futures_endpoint(server.futures_rest_url)
            .set_broker_endpoint(server.rest_url)
            .set_transport_option(TransportOptionBuilder().build())
            .set_websocket_client_option(WebSocketClientOptionBuilder().with_reconnect(False).build())
            .build()
        )
        return DefaultClient(options)

    return make


def stop_all(server: KucoinServer, feeds: list[Any]) -> None:
    """Stop feeds of the SDK, all at once because each takes a second.

    The server cuts them first: left to itself the SDK may wait ten seconds on a socket that it has closed.
    """
    server.drop_connections()
    threads = [threading.Thread(target=feed.stop) for feed in feeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.wait_for(lambda s: not s.connections)


def test_kucoins_sdk_streams_public_and_private_topics_of_both_services(sdk: Callable[[KucoinServer], Any]) -> None:
    came: Queue[tuple[str, Any]] = Queue()

    def take(topic: str, subject: str, event: Any) -> None:
        came.put((topic, event))

    with KucoinServer() as server:
        service = sdk(server).ws_service()
        feeds = [
            service.new_spot_public_ws(),
            service.new_spot_private_ws(),
            service.new_futures_public_ws(),
            service.new_futures_private_ws(),
        ]
        spot, spot_private, futures, futures_private = feeds
        for feed in feeds:
            feed.start()
        subscription = spot.ticker([SYMBOL, "ETH-USDT"], take)
        spot_private.account(take)
        futures.ticker_v2("XBTUSDTM", take)
        futures_private.all_position(take)

        assert server.publish(f"/market/ticker:{SYMBOL}", TICKER, "trade.ticker") == 1
        topic, ticker = came.get(timeout=5)
        assert (topic, ticker.price, ticker.time) == (f"/market/ticker:{SYMBOL}", "0.08", 1704873323416)

        assert server.publish("/account/balance", BALANCE, "account.balance", user=server.USER) == 1
        topic, balance = came.get(timeout=5)
        assert (topic, balance.total, balance.relation_context.symbol) == (
            "/account/balance",
            "21.133773386762",
            SYMBOL,
        )

        data = {"symbol": "XBTUSDTM", "sequence": 7, "bestBidPrice": "67000.1", "ts": 1704873323416000000}
        assert server.publish("/contractMarket/tickerV2:XBTUSDTM", data, "tickerV2", sn=7) == 1
        topic, ticker = came.get(timeout=5)
        assert (topic, ticker.best_bid_price) == ("/contractMarket/tickerV2:XBTUSDTM", "67000.1")

        spot.unsubscribe(subscription)
        assert server.publish(f"/market/ticker:{SYMBOL}", TICKER, "trade.ticker") == 0
        assert {connection.private for connection in server.connections} == {True, False}
        stop_all(server, feeds)


def test_kucoins_sdk_is_told_why_a_topic_was_rejected(sdk: Callable[[KucoinServer], Any]) -> None:
    with KucoinServer() as server:
        feed = sdk(server).ws_service().new_spot_public_ws()
        feed.start()
        server.reject_next(404)
        with pytest.raises(TypeError, match="must derive from BaseException"):  # it raises the text of the error
            feed.ticker([SYMBOL], lambda *_: None)
        assert server.received[0].message["topic"] == f"/market/ticker:{SYMBOL}"
        stop_all(server, [feed])


# python-kucoin


@pytest.fixture
def secure_server(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> Iterator[KucoinServer]:
    """A server with a certificate that everything in this process trusts: python-kucoin insists on TLS."""
    trustme = pytest.importorskip("trustme", reason="makes the certificate")
    import ssl

    authority = trustme.CA()
    path = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with KucoinServer(tls=context) as server:
        yield server


async def _bounded(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, 5)


@pytest.mark.parametrize("private", [False, True])
def test_python_kucoin_streams_a_ticker_and_a_balance(secure_server: KucoinServer, private: bool) -> None:
    kucoin = pytest.importorskip("kucoin.client", reason="python-kucoin is not installed")
    sockets = pytest.importorskip("kucoin.asyncio.websockets")
    server = secure_server
    topic, data = ("/account/balance", BALANCE) if private else (f"/market/ticker:{SYMBOL}", TICKER)

    async def stream() -> Any:
        came: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        client = kucoin.Client(server.KEY, server.SECRET, server.PASSPHRASE)
        client.API_URL = server.rest_url
        manager = await sockets.KucoinSocketManager.create(loop, client, came.put, private=private)
        try:
            await loop.run_in_executor(None, server.wait_for, lambda s: s.connections)
            server.send_raw('{"data":"once this came the manager can send"}')
            await _bounded(came.get())
            await manager.subscribe(topic)
            await loop.run_in_executor(None, server.wait_subscribed, topic)
            assert await loop.run_in_executor(None, server.publish, topic, data) == 1
            message = await _bounded(came.get())
            await manager.unsubscribe(topic)
            await loop.run_in_executor(None, server.wait_for, lambda s: not s.connections[0].topics)
            return message
        finally:
            await manager._conn._socket.close()
            await manager._conn.cancel()
            await asyncio.gather(manager._conn._conn, return_exceptions=True)
            client.close_connection()

    message = asyncio.run(stream())
    assert (message["topic"], message["data"]) == (topic, data)
    assert message.get("channelType") == ("private" if private else None)
    assert server.received[0].message["privateChannel"] is private


def test_python_kucoin_asks_for_tokens_and_the_time_of_both_services(secure_server: KucoinServer) -> None:
    kucoin = pytest.importorskip("kucoin.client", reason="python-kucoin is not installed")
    client = kucoin.Client(secure_server.KEY, secure_server.SECRET, secure_server.PASSPHRASE)
    client.API_URL = secure_server.rest_url
    client.FUTURES_API_URL = secure_server.futures_rest_url
    try:
        assert client.get_timestamp() > 1.7e12
        assert client.futures_get_timestamp() > 1.7e12
        for private in (False, True):
            (instance,) = client.get_ws_endpoint(private)["instanceServers"]
            assert instance["endpoint"] == secure_server.endpoint("spot")
            (instance,) = client.futures_get_ws_endpoint(private)["instanceServers"]
            assert instance["endpoint"] == secure_server.endpoint("futures")
    finally:
        client.close_connection()
