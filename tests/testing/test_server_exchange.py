"""The simulated exchange behind the local server: its feeds, its snapshots, and the two of them in step."""

import threading
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, Push
from kucoin_sync.testing.server import KucoinServer

from .server_client import Client, client, get

LEVEL2 = "/market/level2:BTC-USDT"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange(("BTC-USDT", "XBTUSDTM"))}


def test_steps_reach_those_who_subscribed(server: KucoinServer, peer: Client) -> None:
    assert server.step_exchange(10) == 0
    peer.subscribe(LEVEL2)
    sent = server.step_exchange(300)
    assert sent > 100
    ends = []
    for _ in range(sent):
        data = peer.recv()["data"]
        assert not ends or data["sequenceStart"] == ends[-1] + 1
        ends.append(data["sequenceEnd"])
    snapshot = get(server, "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT").json()["data"]
    assert int(snapshot["sequence"]) >= ends[-1]
    assert peer.is_silent()


def test_only_what_is_wanted_is_rendered(server: KucoinServer, peer: Client) -> None:
    asked: dict[str, bool] = {}
    assert server._feed is not None
    exchange = server._feed.exchange
    wants = exchange.wants
    assert wants is not None
    exchange.wants = lambda topic: asked.setdefault(topic, wants(topic))  # type: ignore[misc]
    peer.subscribe("/market/snapshot:USDS")
    peer.subscribe("/market/match:BTC-USDT")
    server.step_exchange(5)
    server.beat_exchange()
    assert {topic for topic, wanted in asked.items() if wanted} == {"/market/snapshot:USDS", "/market/match:BTC-USDT"}


def test_a_heartbeat_pushes_the_periodic_feeds(server: KucoinServer, peer: Client) -> None:
    server.step_exchange(100)  # there is no candle before the first trade
    topics = ["/market/ticker:all", "/spotMarket/level2Depth5:BTC-USDT", "/market/candles:BTC-USDT_1min"]
    for topic in topics:
        peer.subscribe(topic)
    assert server.beat_exchange() == 3
    assert {peer.recv()["topic"] for _ in range(3)} == set(topics)


def test_a_topic_with_several_names_comes_once_to_each_subscriber(server: KucoinServer) -> None:
    with client(server) as by_market, client(server) as by_symbol:
        by_market.subscribe("/market/snapshot:USDS")
        by_symbol.subscribe("/market/snapshot:BTC-USDT")
        assert server.beat_exchange() == 2
        assert by_market.recv()["topic"] == "/market/snapshot:USDS"
        assert by_symbol.recv()["topic"] == "/market/snapshot:BTC-USDT"


def test_orders_reach_their_account_in_each_generation_once(server: KucoinServer) -> None:
    with client(server, credentials=server.credentials) as new, client(server, credentials=server.credentials) as old:
        new.subscribe("/spotMarket/tradeOrdersV2", privateChannel=True)
        old.subscribe("/spotMarket/tradeOrders", privateChannel=True)
        with server.trading() as exchange:
            order = exchange.place("BTC-USDT", "buy", "0.01", "1000")
        messages = [new.recv() for _ in range(2)]
        assert [message["data"]["type"] for message in messages] == ["received", "open"]
        assert {message["userId"] for message in messages} == {KucoinServer.USER}
        assert old.recv()["data"]["type"] == "open"
        with server.trading() as exchange:
            assert exchange.cancel(order)
        assert (new.recv()["data"]["type"], old.recv()["data"]["type"]) == ("canceled", "canceled")
        assert new.is_silent()
        assert old.is_silent()


def test_futures_orders_reach_who_wants_those_of_all_contracts(server: KucoinServer) -> None:
    with client(server, "futures", server.credentials) as peer:
        peer.subscribe("/contractMarket/tradeOrders", privateChannel=True)
        with server.trading() as exchange:
            exchange.place("XBTUSDTM", "buy", 2, "1000")
        message = peer.recv()
    assert message["topic"] == "/contractMarket/tradeOrders:XBTUSDTM"
    assert message["userId"] == KucoinServer.USER


def test_what_was_traded_before_an_error_is_pushed_all_the_same(server: KucoinServer) -> None:
    with client(server, credentials=server.credentials) as peer:
        peer.subscribe("/account/balance")

        def trade() -> None:
            with server.trading() as exchange:
                exchange.place("BTC-USDT", "buy", "0.01", "1000")
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            trade()
        assert peer.recv()["topic"] == "/account/balance"


def test_it_trades_at_a_rate_until_it_is_stopped(server: KucoinServer, peer: Client) -> None:
    peer.subscribe("/market/ticker:all")
    peer.subscribe(LEVEL2)
    server.run_exchange(2000)
    server.run_exchange(1000)
    topics = {peer.recv()["topic"] for _ in range(100)}
    assert topics == {"/market/ticker:all", LEVEL2}
    server.stop()
    assert not any(thread.name == "kucoin-server-exchange" for thread in threading.enumerate())
    server.start()
    with client(server) as other:
        other.subscribe(LEVEL2)
        assert other.is_silent()
        server.run_exchange()
        assert other.recv()["topic"] == LEVEL2


def test_snapshots_are_taken_between_two_steps_while_it_trades(server: KucoinServer) -> None:
    server.run_exchange(3000)
    path = "/api/v2/market/orderbook/level3?symbol=BTC-USDT"
    snapshots = [get(server, path).json()["data"] for _ in range(20)]
    server.stop()
    assert len({snapshot["sequence"] for snapshot in snapshots}) > 1
    assert all(snapshot["bids"] and snapshot["asks"] for snapshot in snapshots)
    server.check()


def test_pushes_leave_in_order_whoever_moves_the_exchange(server: KucoinServer, peer: Client) -> None:
    peer.subscribe(LEVEL2)
    server.run_exchange(2000)
    threads = [threading.Thread(target=server.step_exchange, args=(200,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    last = 0
    for _ in range(500):
        data = peer.recv()["data"]
        assert not last or data["sequenceStart"] == last + 1
        last = data["sequenceEnd"]
    for thread in threads:
        thread.join()


def test_an_error_of_the_exchange_is_raised_by_check() -> None:
    class Broken(Exchange):
        def step(self, symbol: str | None = None) -> list[Push]:
            raise ZeroDivisionError(f"mine {symbol}")

    with KucoinServer(exchange=Broken(("BTC-USDT",))) as server:
        server.run_exchange(1000)
        server.wait_for(lambda s: s._state.errors())
        with pytest.raises(ZeroDivisionError, match="mine None"):
            server.check()


def test_a_server_stopped_from_the_exchanges_own_thread_stops() -> None:
    stopped = threading.Event()

    class Stopping(Exchange):
        def step(self, symbol: str | None = None) -> list[Push]:
            server.stop()
            stopped.set()
            return super().step(symbol)

    with KucoinServer(exchange=Stopping(("BTC-USDT",))) as server:
        server.run_exchange(1000)
        assert stopped.wait(5)


@pytest.mark.parametrize("act", ["run_exchange", "step_exchange", "beat_exchange", "trading"])
def test_without_an_exchange_there_is_nothing_to_run(act: str) -> None:
    call: Any = getattr(KucoinServer(), act)
    with pytest.raises(RuntimeError, match="this server has no exchange"):
        call()
