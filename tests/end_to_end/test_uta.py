"""The UTA feed, end to end, against a small server that speaks it."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import (
    AuthenticationError,
    Credentials,
    InvalidTopic,
    Stream,
    SubscriptionRejected,
    topics,
)
from kucoin_sync.events import Connected, Disconnected, PayloadMismatch, Rejected, Resubscribed, Retrying
from kucoin_sync.net import rest
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

from ..support.streams import FAST, Events
from ..support.threads import until
from ..support.uta import UtaServer

BTC, ETH = "/uta/ticker.SPOT:BTC-USDT", "/uta/ticker.SPOT:ETH-USDT"


@pytest.fixture
def uta_stream(uta: UtaServer, events: Events) -> Iterator[Stream]:
    key = Credentials("the-key", "the-secret", "the-passphrase")
    with Stream(key, **uta.stream_options, limits=FAST, on_event=events) as stream:
        yield stream


def ticker(price: str, symbol: str = "BTC-USDT", time_ns: int = 1787348157834794005) -> dict[str, Any]:
    """Return a push of the spot ticker, with its members in KuCoin's order."""
    data = {"A": "0.8", "B": "0.007", "E": 35866825780, "M": 1787348157830000000, "S": "SELL",
            "a": "78280.6", "b": "78280.5", "l": price, "q": "0.000161", "s": symbol}  # fmt: skip
    return {"T": "ticker.SPOT", "P": time_ns, "d": data}


def commands(uta: UtaServer) -> list[dict[str, Any]]:
    return [{key: value for key, value in command.items() if key != "id"} for command in uta.commands]


def test_a_ticker_comes_without_a_token_in_binary_and_text_frames(uta: UtaServer, uta_stream: Stream) -> None:
    subscription = uta_stream.subscribe(topics.uta.ticker("BTC-USDT", "ETH-USDT"))
    assert commands(uta) == [
        {"action": "SUBSCRIBE", "channel": "ticker", "tradeType": "SPOT", "symbols": ["BTC-USDT", "ETH-USDT"]}
    ]
    for text in (False, True):
        for count in (1, 1, 50):
            pushes = [ticker(f"{n}.5", symbol) for n in range(count) for symbol in ("BTC-USDT", "ETH-USDT")]
            uta.push(*pushes, text=text)
            got = [subscription.get(timeout=10) for _ in pushes]
            assert [message.to_dict() for message in got] == pushes
            assert [message.topic for message in got] == [BTC, ETH] * count
            assert [message.payload.price for message in got] == [Decimal(push["d"]["l"]) for push in pushes]
    stats = uta_stream.stats()
    assert (stats["messages"], stats["unreadable"], stats["unknown_types"], stats["unrouted"]) == (208, 0, 0, 0)
    assert stats["misfits"] == 0


def test_a_message_reads_as_kucoin_writes_it(uta: UtaServer, uta_stream: Stream) -> None:
    subscription = uta_stream.subscribe(BTC)
    uta.push(*(ticker(price) for price in ("70.5", "70.6", "70.7")))
    for price in ("70.5", "70.6", "70.7"):
        message = subscription.get(timeout=10)
        assert message["T"] == message.subject == "ticker.SPOT"
        assert message["d"] is message.data
        assert message["d"]["l"] == price
        assert message["P"] == 1787348157834794005
        assert message.type == "message"
        assert set(message) == {"T", "P", "d"}
        for missing in ("topic", "data", "subject"):
            with pytest.raises(KeyError):
                message[missing]
        for twin in (pickle.loads(pickle.dumps(message)), copy.copy(message), message.with_lost(0)):
            assert (twin, twin.topic, twin.subject, twin.data) == (message, BTC, "ticker.SPOT", message.data)


def test_a_book_topic_has_one_command_for_each_symbol_and_says_what_a_push_is(
    uta: UtaServer, uta_stream: Stream
) -> None:
    subscription = uta_stream.subscribe(topics.uta.book("BTC-USDT", "ETH-USDT"))
    common = {"action": "SUBSCRIBE", "channel": "obu", "tradeType": "SPOT", "depth": "increment@10ms", "rpiFilter": 0}
    assert commands(uta) == [{**common, "symbol": "BTC-USDT"}, {**common, "symbol": "ETH-USDT"}]
    data = {"C": 7, "M": 1781672136333000000, "O": 5, "a": [], "b": [["65928.9", "0"]], "s": "BTC-USDT"}
    for kind in ("snapshot", "delta", "delta"):
        uta.push({"T": "obu.SPOT", "dp": "increment@10ms", "t": kind, "P": 1781672136338555550, "d": data})
        message = subscription.get(timeout=10)
        assert (message.topic, message.type) == ("/uta/obu.SPOT:BTC-USDT_increment@10ms", kind)
        assert (message.payload.sequence_start, message.payload.sequence_end) == (5, 7)
        assert message.payload.bids == ((Decimal("65928.9"), Decimal(0)),)


@pytest.mark.parametrize(
    "welcome",
    [
        {"sessionId": "s", "message": "welcome", "pingInterval": 400},
        {"sessionId": "s", "data": "welcome", "pingInterval": "400", "pingTimeout": 10000},
        {"op": "welcome", "pingInterval": 400},
        {"type": "welcome", "pingInterval": 400.0},
    ],
)
def test_pings_go_at_the_interval_of_any_welcome(
    uta: UtaServer, uta_stream: Stream, events: Events, welcome: dict[str, Any]
) -> None:
    uta.welcome = welcome
    uta_stream.subscribe(BTC)
    assert (events.wait(Connected).market, events.wait(Connected).private) == ("uta-spot", False)
    until(lambda: uta.pings > 1 and uta_stream.stats()["pong_latency"] is not None, "no ping came")


def test_it_comes_back_and_subscribes_again(uta: UtaServer, uta_stream: Stream, events: Events) -> None:
    subscription = uta_stream.subscribe(BTC)
    uta.push(ticker("1"))
    assert subscription.get(timeout=10).epoch == 1
    uta.connections[0].close(1012, "restart")
    assert events.wait(Disconnected).code == 1012
    assert events.wait(Resubscribed).topics == 1
    uta.push(ticker("2"))
    message = subscription.get(timeout=10)
    assert (message.epoch, message["d"]["l"]) == (2, "2")
    assert commands(uta)[0] == commands(uta)[1]


def test_it_unsubscribes(uta: UtaServer, uta_stream: Stream) -> None:
    subscription = uta_stream.subscribe(BTC)
    uta_stream.subscribe(ETH)
    subscription.close()
    gone = {"action": "UNSUBSCRIBE", "channel": "ticker", "tradeType": "SPOT", "symbols": ["BTC-USDT"]}
    until(lambda: commands(uta)[2:] == [gone], "it is not unsubscribed")


@pytest.mark.parametrize("member", ["message", "reason", "msg"])
def test_a_refused_symbol_is_told_and_the_others_stay(uta: UtaServer, uta_stream: Stream, member: str) -> None:
    uta.acknowledged = "true"
    uta.refused.add("BTC-USDT")
    uta.refusal = {member: "not here"}
    with pytest.raises(SubscriptionRejected, match="not here") as failure:
        uta_stream.subscribe(topics.uta.ticker("BTC-USDT", "ETH-USDT"))
    assert failure.value.topic == BTC
    subscription = uta_stream.subscribe(ETH)
    uta.push(ticker("1", "ETH-USDT"))
    assert subscription.get(timeout=10)["d"]["l"] == "1"


def test_a_private_connection_logs_in_first_and_again_after_a_cut(
    uta: UtaServer, uta_stream: Stream, events: Events
) -> None:
    subscription = uta_stream.subscribe(topics.uta.balances())
    uta.connections[0].close(1012, "restart")
    events.wait(Resubscribed)
    login, subscribe, again, back = uta.commands
    for command in (login, again):
        assert (command["op"], command["kc-api-key"]) == ("auth", "the-key")
        key = Credentials("the-key", "the-secret", "the-passphrase")
        signed = key.headers(command["kc-api-timestamp"], "POST", "/api/websocket/users/verify")
        assert command["kc-api-sign"] == signed["KC-API-SIGN"]
        assert command["kc-api-passphrase"] == signed["KC-API-PASSPHRASE"]
    assert subscribe.items() >= {"action": "SUBSCRIBE", "channel": "balance", "accountType": "UNIFIED"}.items()
    assert back.items() >= {"channel": "balance"}.items()
    data = {"c": "USDT", "b": "500.0", "a": "499.97", "h": "0.03", "U": 1771504095649000000}
    uta.push({"T": "balance.UNIFIED", "P": 1771732989773425836, "d": data})
    message = subscription.get(timeout=10)
    assert (message.topic, message.payload.available) == ("/uta/balance.UNIFIED", Decimal("499.97"))


def test_a_refused_login_is_no_reason_to_try_again(uta: UtaServer, uta_stream: Stream) -> None:
    uta.refused.add("the-key")
    with pytest.raises(AuthenticationError, match="KuCoin refused the login: invalid request data"):
        uta_stream.subscribe(topics.uta.orders())
    assert len(uta.connections) == 1


def test_a_login_that_is_refused_after_a_cut_ends_the_subscription(
    uta: UtaServer, uta_stream: Stream, events: Events
) -> None:
    subscription = uta_stream.subscribe(topics.uta.orders())
    uta.refused.add("the-key")
    uta.connections[0].close(1012, "restart")
    with pytest.raises(AuthenticationError, match="KuCoin refused the login: invalid request data"):
        subscription.get(timeout=10)
    assert isinstance(events.wait(Rejected).error, AuthenticationError)
    assert len(uta.connections) == 2


def test_a_public_topic_has_no_messages_of_the_account(uta: UtaServer, uta_stream: Stream) -> None:
    with pytest.raises(InvalidTopic, match="has no messages of the account's own; leave private= away"):
        uta_stream.subscribe(BTC, private=True)
    uta_stream.subscribe(BTC, private=False)
    uta_stream.subscribe(topics.uta.orders(), private=True)
    assert len(uta.connections) == 2


@pytest.mark.parametrize(("symbol", "market"), [("BTC-USDT", "SPOT"), ("XBTUSDTM", "FUTURES")])
def test_a_number_that_can_not_be_read_is_none_and_told(
    uta: UtaServer, uta_stream: Stream, events: Events, symbol: str, market: str
) -> None:
    subscription = uta_stream.subscribe(topics.uta.ticker(symbol))
    odd = ticker("1", symbol)
    odd["T"], odd["d"]["A"] = f"ticker.{market}", "much"
    uta.push(odd)
    payload = subscription.get(timeout=10).payload
    assert (payload.best_ask_size, payload.best_ask, payload.price) == (None, Decimal("78280.6"), Decimal(1))
    event = events.wait(PayloadMismatch)
    assert (event.topic, event.reason) == (f"/uta/ticker.{market}", "'much' stands where a number is usual")
    assert uta_stream.stats()["misfits"] == 1


def test_limits_are_those_of_the_feed(uta: UtaServer, uta_stream: Stream) -> None:
    uta_stream.subscribe(topics.uta.ticker(*(f"C{n}-USDT" for n in range(401))))
    assert sorted(len(command["symbols"]) for command in uta.commands) == [1, 100, 100, 100, 100]
    assert len(uta.connections) == 2


def test_messages_of_unknown_channels_are_counted(uta: UtaServer, uta_stream: Stream) -> None:
    subscription = uta_stream.subscribe(BTC)
    uta.push({"T": "news.SPOT", "P": 1, "d": {"s": "BTC-USDT"}}, ticker("1"))
    assert subscription.get(timeout=10)["d"]["l"] == "1"
    assert uta_stream.stats()["unrouted"] == 1


def test_it_is_recorded_and_replayed(uta: UtaServer, uta_stream: Stream, tmp_path: Path) -> None:
    subscription = uta_stream.subscribe(BTC)
    with Recorder(uta_stream, tmp_path / "uta.jsonl"):
        uta.push(*(ticker(f"{n}") for n in range(20)))
        frames = [subscription.get(timeout=10).raw for _ in range(20)]
    with ReplayStream(tmp_path / "uta.jsonl") as replay:
        messages = list(replay.subscribe(BTC))
    assert [message.raw for message in messages] == frames
    assert [message["d"]["l"] for message in messages] == [f"{n}" for n in range(20)]


def test_the_environment_names_the_servers(monkeypatch: pytest.MonkeyPatch, uta: UtaServer) -> None:
    for name, url in uta.stream_options.items():
        if name.startswith("uta_"):
            monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)
    with Stream() as stream:
        stream.subscribe(BTC)
    assert len(uta.connections) == 1


class TestWrongClock:
    """A machine whose clock is an hour off."""

    @pytest.fixture(autouse=True)
    def slow_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = rest.time.time
        monkeypatch.setattr(rest.Rest.__init__, "__kwdefaults__", {
            **rest.Rest.__init__.__kwdefaults__, "clock": lambda: clock() - 3600.0
        })  # fmt: skip

    def test_a_login_is_signed_by_kucoins_clock_once_its_time_is_refused(self, events: Events) -> None:
        with KucoinServer() as server, Stream(**server.stream_options, limits=FAST, on_event=events) as stream:
            stream.subscribe(topics.uta.orders())
            logins = [command.message for command in server.received if command.message.get("op") == "auth"]
            assert len(logins) == 2
            first, second = (int(login["kc-api-timestamp"]) for login in logins)
            assert 3_590_000 < second - first < 3_660_000
            assert "the next login has the time of KuCoin's clock" in str(events.wait(Retrying).error)
            server.drop_connections()
            events.wait(Resubscribed)
            assert len([each for each in server.received if each.message.get("op") == "auth"]) == 3

    def test_a_time_that_is_refused_again_is_an_error(self, uta: UtaServer, uta_stream: Stream) -> None:
        uta.refused.add("the-key")
        uta.refusal = {"message": "Invalid KC-API-TIMESTAMP"}
        with KucoinServer() as server:
            options = {**uta.stream_options, "rest_url": server.rest_url}
            key = Credentials("the-key", "the-secret", "the-passphrase")
            with Stream(key, **options, limits=FAST) as other:
                with pytest.raises(AuthenticationError, match="refused the login: Invalid KC-API-TIMESTAMP") as failure:
                    other.subscribe(topics.uta.orders())
                assert failure.value.code == "400002"
        assert len(uta.connections) == 2


def test_each_order_event_comes_once_where_all_orders_and_those_of_a_symbol_are_wanted(events: Events) -> None:
    with KucoinServer() as server, Stream(**server.stream_options, limits=FAST, on_event=events) as stream:
        everything, some = stream.subscribe(topics.uta.orders()), stream.subscribe(topics.uta.orders("XBTUSDTM"))
        connection = next(each for each in server.connections if "/uta/orderAll.UNIFIED" in each.topics)
        for number in range(5):
            for symbol in ("XBTUSDTM", "BTC-USDT"):
                data = {"s": symbol, "oi": f"{number}", "eT": "OPEN", "U": 1770347465824000000 + number}
                for _ in range(2 if symbol == "XBTUSDTM" else 1):
                    connection.send_raw(json.dumps({"T": "orderAll.UNIFIED", "P": time.time_ns(), "d": data}))
        got = [everything.get(timeout=10).payload for _ in range(10)]
        assert [(each.order_id, each.symbol) for each in got] == [
            (f"{number}", symbol) for number in range(5) for symbol in ("XBTUSDTM", "BTC-USDT")
        ]
        assert [some.get(timeout=10).payload.order_id for _ in range(5)] == [f"{number}" for number in range(5)]
        assert everything.pending == some.pending == 0
