"""The UTA feed of a local server with an exchange."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing import Exchange, KucoinServer, local_kucoin
from tests.testing.server_client import TIMEOUT
from tests.testing.test_uta_exchange import FUTURES, SPOT, apply, best, rows
from tests.testing.uta_client import UtaClient, uta_client

ACK = {"id": "1", "result": True}
INCREMENT = "increment@10ms"
BOOK = "/uta/obu.SPOT:BTC-USDT_increment@10ms"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SPOT, FUTURES), levels=60)}


class Book:
    """A book as UTA clients build it, strict about the sequence."""

    def __init__(self, peer: UtaClient, symbol: str) -> None:
        assert peer.subscribe("obu", symbol, depth=INCREMENT) == ACK
        snapshot = peer.recv()
        assert (snapshot["dp"], snapshot["t"]) == (INCREMENT, "snapshot")
        assert snapshot["d"]["O"] == snapshot["d"]["C"]
        self.last = snapshot["d"]["C"]
        self.sides = dict(rows(snapshot["d"]["a"])), dict(rows(snapshot["d"]["b"]))

    def update(self, message: dict[str, Any]) -> None:
        assert (message["dp"], message["t"]) == (INCREMENT, "delta")
        assert message["d"]["O"] == self.last + 1
        self.last = message["d"]["C"]
        apply(self.sides, message["d"])


@pytest.mark.parametrize(("market", "symbol"), [("uta-spot", SPOT), ("uta-futures", FUTURES)])
def test_a_book_follows_the_exchange(server: KucoinServer, market: str, symbol: str) -> None:
    server.step_exchange(100)
    with uta_client(server, market) as peer:
        book = Book(peer, symbol)
        with server.trading() as exchange:
            assert book.sides == best(exchange, symbol)
        for _ in range(20):
            for _ in range(server.step_exchange(20)):
                book.update(peer.recv())
            with server.trading() as exchange:
                assert book.sides == best(exchange, symbol)
        assert peer.is_silent()


def test_a_second_subscriber_joins_the_sequence(server: KucoinServer) -> None:
    with uta_client(server) as one, uta_client(server) as other:
        first = Book(one, SPOT)
        for _ in range(server.step_exchange(50)):
            first.update(one.recv())
        second = Book(other, SPOT)
        assert (second.sides, second.last) == (first.sides, first.last)
        for _ in range(server.step_exchange(50) // 2):
            first.update(one.recv())
            second.update(other.recv())
        assert (second.sides, second.last) == (first.sides, first.last)


def test_a_new_subscription_brings_a_fresh_snapshot_and_a_repeated_one_none(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        Book(peer, SPOT)
        assert peer.subscribe("obu", SPOT, depth=INCREMENT) == ACK
        assert peer.is_silent()
        assert peer.unsubscribe("obu", SPOT, depth=INCREMENT) == ACK
        server.step_exchange(50)
        assert peer.is_silent()
        book = Book(peer, SPOT)
        with server.trading() as exchange:
            assert book.sides == best(exchange, SPOT)


@pytest.mark.parametrize("symbol", ["NO-USDT", FUTURES])
def test_there_is_no_snapshot_of_what_is_not_traded_here(server: KucoinServer, symbol: str) -> None:
    with uta_client(server) as peer:
        assert peer.subscribe("obu", symbol, depth=INCREMENT) == ACK
        server.step_exchange(50)
        assert peer.is_silent()


def test_the_actions_of_a_user_are_pushed_at_once(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        book = Book(peer, SPOT)
        with server.trading() as exchange:
            exchange.place(SPOT, "buy", "0.5", "60000", user="")
        message = peer.recv()
        assert message["d"]["b"] == [["60000", "0.5"]]
        book.update(message)


def test_a_snapshot_can_come_later_or_never(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        server.delay_snapshot(6)
        assert peer.subscribe("obu", SPOT, depth=INCREMENT) == ACK
        deltas = [peer.recv() for _ in range(server.step_exchange(100))]
        assert {delta["t"] for delta in deltas} == {"delta"}
        server.advance(7)
        snapshot = peer.recv()
        assert snapshot["t"] == "snapshot"
        assert snapshot["d"]["C"] == deltas[-1]["d"]["C"]
        server.delay_snapshot(None, BOOK)
        peer.unsubscribe("obu", SPOT, depth=INCREMENT)
        assert peer.subscribe("obu", SPOT, depth=INCREMENT) == ACK
        server.advance(50)
        assert peer.is_silent()


def test_a_late_snapshot_is_not_sent_for_a_subscription_that_has_gone(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        server.delay_snapshot(6, times=2)
        peer.subscribe("obu", SPOT, depth=INCREMENT)
        peer.unsubscribe("obu", SPOT, depth=INCREMENT)
        peer.subscribe("obu", SPOT, depth=INCREMENT)
        peer.subscribe("trade", SPOT)  # when this is answered, the second snapshot has its time
        server.advance(7)
        assert peer.recv()["t"] == "snapshot"
        assert peer.is_silent(), "there is one for the second subscription only"


def test_a_change_can_be_left_out_and_repeated(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        book = Book(peer, SPOT)

        def place(price: str) -> None:
            with server.trading() as exchange:
                exchange.place(SPOT, "buy", "0.5", price, user="")

        server.skip_sequence(BOOK)
        place("60000")
        assert peer.is_silent()
        server.repeat_sequence(BOOK)
        place("60001")
        once, again = peer.recv(), peer.recv()
        assert once["d"] == again["d"]
        assert once["d"]["O"] > book.last + 1
        place("60002")
        assert peer.recv()["d"]["O"] == again["d"]["C"] + 1
        assert peer.is_silent()


def test_a_snapshot_can_be_given() -> None:
    with KucoinServer() as server, uta_client(server) as peer:
        data = {"s": SPOT, "a": [["2", "1"]], "b": [["1", "1"]], "O": 5, "C": 5, "M": 1}
        server.set_snapshot("obu", SPOT, data)
        peer.subscribe("obu", SPOT, depth=INCREMENT)
        message = peer.recv()
        assert message.pop("P") > 10**18
        assert message == {"T": "obu.SPOT", "dp": INCREMENT, "t": "snapshot", "d": data}
        server.publish(BOOK, {"O": 6, "C": 6})
        assert peer.recv()["t"] == "delta"


def test_steps_push_tickers_and_trades(server: KucoinServer) -> None:
    with uta_client(server, "uta-futures") as peer:
        peer.subscribe("ticker", FUTURES)
        peer.subscribe("trade", FUTURES)
        sent = server.step_exchange(300)
        messages = [peer.recv() for _ in range(sent)]
        assert {message["T"] for message in messages} == {"ticker.FUTURES", "trade.FUTURES"}
        assert sent > 20


@pytest.mark.parametrize(
    ("market", "channel", "symbol", "members"),
    [
        ("uta-spot", "kline", SPOT, {"interval": "1min"}),
        ("uta-spot", "obu", SPOT, {"depth": "5"}),
        ("uta-spot", "obu", SPOT, {"depth": "50"}),
        ("uta-spot", "callAuctionInfo", SPOT, {}),
        ("uta-futures", "kline", FUTURES, {"interval": "1week"}),
        ("uta-futures", "obu", FUTURES, {"depth": "5"}),
        ("uta-futures", "mark-price", FUTURES, {}),
        ("uta-futures", "funding-fee", FUTURES, {}),
        ("uta-futures", "funding-fee-all-symbols", None, {}),
    ],
)
def test_a_beat_pushes_the_periodic_feeds(
    server: KucoinServer, market: str, channel: str, symbol: str | None, members: dict[str, Any]
) -> None:
    with uta_client(server, market) as peer:
        peer.subscribe(channel, symbol, **members)
        assert server.beat_exchange() == 1
        assert peer.recv()["T"].startswith(channel)


def test_private_feeds_are_for_the_account(server: KucoinServer) -> None:
    with uta_client(server, "uta") as peer:
        for channel in ("orderAll", "execution", "balance", "positionAll"):
            assert peer.subscribe(channel) == ACK
        with server.trading() as exchange:
            exchange.place(FUTURES, "buy", 1)
        subjects = []
        while not subjects or subjects[-1] != "positionAll.UNIFIED":
            subjects.append(peer.recv()["T"])
        assert subjects[:3] == ["balance.UNIFIED", "orderAll.UNIFIED", "orderAll.UNIFIED"]
        assert set(subjects) == {f"{name}.UNIFIED" for name in ("orderAll", "execution", "balance", "positionAll")}


def test_a_running_exchange_pushes_each_feed_at_its_pace() -> None:
    with KucoinServer(exchange=Exchange((SPOT,))) as server, uta_client(server) as peer:
        for depth in ("5", INCREMENT):
            peer.subscribe("obu", SPOT, depth=depth)
        peer.subscribe("kline", SPOT, interval="1min")
        peer.recv()
        server.run_exchange(rate=100, beat_seconds=0.5)
        kinds: list[str] = []
        while "kline.SPOT" not in kinds or kinds.count("5") < 5 or kinds.count(INCREMENT) < 10:
            message = json.loads(peer.socket.recv(TIMEOUT))
            kinds.append(message.get("dp", message["T"]))
        assert kinds.count("kline.SPOT") < kinds.count("5") < kinds.count(INCREMENT)


@pytest.mark.parametrize(
    ("market", "channel", "symbol", "members"),
    [
        ("uta-spot", "ticker", SPOT, {}),
        ("uta-futures", "trade", FUTURES, {}),
        ("uta-futures", "mark-price", FUTURES, {}),
        ("uta-spot", "obu", SPOT, {"depth": "1"}),
        ("uta", "orderAll", None, {}),
        ("uta", "balance", None, {}),
        ("uta", "execution.lite", None, {}),
        ("uta", "positionAll", None, {}),
    ],
)
def test_the_demonstration_has_messages(market: str, channel: str, symbol: str | None, members: dict[str, Any]) -> None:
    with local_kucoin(SPOT, FUTURES, rate=2_000) as server, uta_client(server, market) as peer:
        assert peer.subscribe(channel, symbol, **members) == ACK
        message = peer.recv()
        assert message["T"].startswith(channel)
        assert isinstance(message["d"], dict)


def test_prices_are_exact(server: KucoinServer) -> None:
    with uta_client(server) as peer:
        book = Book(peer, SPOT)
        with server.trading() as exchange:
            assert min(book.sides[0]) == exchange.level2(SPOT).asks[0][0]
            assert isinstance(min(book.sides[0]), Decimal)
