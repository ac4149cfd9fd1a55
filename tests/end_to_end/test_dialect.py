"""A second dialect, end to end: nothing above the protocol knows it, and everything works with it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from kucoin_sync import AuthenticationError, Credentials, InvalidTopic, Stream, SubscriptionRejected
from kucoin_sync.events import Connected, Disconnected, Rejected, Resubscribed
from kucoin_sync.recording import Recorder, ReplayStream

from ..support.streams import FAST, Events
from ..support.threads import until
from ..support.toy import ToyServer, install

BTC, ETH = "/toy/price:BTC-USDT", "/toy/price:ETH-USDT"


@pytest.fixture
def toy(nothing_left_behind: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyServer]:
    with ToyServer() as server:
        install(monkeypatch, server.url)
        yield server


@pytest.fixture
def toy_stream(toy: ToyServer, events: Events) -> Iterator[Stream]:
    """A stream that would fail if it made a REST request."""
    refusing = "http://127.0.0.1:1"
    key = Credentials("the-key", "the-secret", "the-passphrase")
    with Stream(key, rest_url=refusing, futures_rest_url=refusing, limits=FAST, on_event=events) as stream:
        yield stream


def commands(toy: ToyServer) -> list[tuple[str, list[str]]]:
    return [(command["action"], command["symbols"]) for command in toy.commands]


def test_it_streams_without_a_token_from_binary_frames(toy: ToyServer, toy_stream: Stream) -> None:
    subscription = toy_stream.subscribe("/toy/price:BTC-USDT,ETH-USDT")
    assert commands(toy) == [("SUBSCRIBE", ["BTC-USDT", "ETH-USDT"])]
    for count in (1, 1, 50):
        toy.push("price", *range(count), symbol="BTC-USDT")
        toy.push("price", *range(count), symbol="ETH-USDT")
        got = [subscription.get(timeout=10) for _ in range(2 * count)]
        for topic, symbol in ((BTC, "BTC-USDT"), (ETH, "ETH-USDT")):
            assert [each.data for each in got if each.topic == topic] == [{"v": n, "s": symbol} for n in range(count)]
    stats = toy_stream.stats()
    assert (stats["messages"], stats["unreadable"], stats["unknown_types"], stats["unrouted"]) == (104, 0, 0, 0)


def test_a_message_reads_as_its_dialect_writes_it(toy: ToyServer, toy_stream: Stream) -> None:
    subscription = toy_stream.subscribe(BTC)
    toy.push("price", "70.5", "70.6", "70.7", symbol="BTC-USDT")
    for value in ("70.5", "70.6", "70.7"):
        message = subscription.get(timeout=10)
        assert message["d"]["v"] == value
        assert message["d"] is message.data
        assert message["T"] == message.subject == "price"
        assert message.payload == message.data
        assert set(message) == {"P", "T", "d"}
        with pytest.raises(KeyError):
            message["data"]
        for twin in (pickle.loads(pickle.dumps(message)), copy.copy(message), message.with_lost(0)):
            assert (twin, twin.topic, twin.subject, twin.data) == (message, BTC, "price", message.data)


def test_two_subscriptions_get_messages_of_their_own(toy: ToyServer, toy_stream: Stream) -> None:
    one, other = toy_stream.subscribe(BTC), toy_stream.subscribe(BTC)
    toy.push("price", 1, 2, symbol="BTC-USDT")
    for n in (1, 2):
        mine, theirs = one.get(timeout=10), other.get(timeout=10)
        mine.data["v"] = "changed"
        assert theirs.data == {"v": n, "s": "BTC-USDT"}
    assert commands(toy) == [("SUBSCRIBE", ["BTC-USDT"])]


def test_pings_go_at_the_interval_of_the_welcome(toy: ToyServer, toy_stream: Stream, events: Events) -> None:
    toy_stream.subscribe(BTC)
    assert (events.wait(Connected).market, events.wait(Connected).private) == ("toy", False)
    until(lambda: toy.pings > 1 and toy_stream.stats()["pong_latency"] is not None, "no ping came")


def test_it_comes_back_and_subscribes_again(toy: ToyServer, toy_stream: Stream, events: Events) -> None:
    subscription = toy_stream.subscribe(BTC)
    toy.push("price", 1, symbol="BTC-USDT")
    assert subscription.get(timeout=10).epoch == 1
    toy.connections[0].close(1012, "restart")
    assert events.wait(Disconnected).code == 1012
    assert events.wait(Resubscribed).topics == 1
    toy.push("price", 2, symbol="BTC-USDT")
    message = subscription.get(timeout=10)
    assert (message.epoch, message.data["v"]) == (2, 2)
    assert commands(toy) == [("SUBSCRIBE", ["BTC-USDT"])] * 2


def test_it_unsubscribes(toy: ToyServer, toy_stream: Stream) -> None:
    subscription = toy_stream.subscribe(BTC)
    toy_stream.subscribe(ETH)
    subscription.close()
    until(lambda: commands(toy)[2:] == [("UNSUBSCRIBE", ["BTC-USDT"])], "it is not unsubscribed")


def test_a_refused_symbol_is_told_and_the_others_stay(toy: ToyServer, toy_stream: Stream, events: Events) -> None:
    toy.refused.add("BTC-USDT")
    with pytest.raises(SubscriptionRejected, match="invalid request data") as failure:
        toy_stream.subscribe("/toy/price:BTC-USDT,ETH-USDT")
    assert failure.value.topic == BTC
    assert events.wait(Rejected).topic == BTC
    subscription = toy_stream.subscribe(ETH)
    toy.push("price", 1, symbol="ETH-USDT")
    assert subscription.get(timeout=10).data["v"] == 1


def test_its_limits_are_its_own(toy: ToyServer, toy_stream: Stream) -> None:
    toy_stream.subscribe(*(f"/toy/price:C{n}-USDT" for n in range(4)))
    assert len(toy.connections) == 2
    assert sorted(len(symbols) for _, symbols in commands(toy)) == [1, 3]


def test_it_has_no_tunnels(toy_stream: Stream) -> None:
    with toy_stream.tunnel("t") as tunnel, pytest.raises(InvalidTopic, match="can't be subscribed in a tunnel"):
        tunnel.subscribe(BTC)


def test_a_private_connection_logs_in_first(toy: ToyServer, toy_stream: Stream) -> None:
    subscription = toy_stream.subscribe("/toy/talk")
    login, subscribe = toy.commands
    assert (login["op"], login["key"]) == ("login", "the-key")
    assert (subscribe["action"], subscribe["channel"]) == ("SUBSCRIBE", "talk")
    toy.push("talk", "hello")
    assert subscription.get(timeout=10).data == {"v": "hello"}


def test_a_refused_login_is_no_reason_to_try_again(toy: ToyServer, toy_stream: Stream) -> None:
    toy.refused.add("the-key")
    with pytest.raises(AuthenticationError, match="KuCoin refused the login: invalid request data"):
        toy_stream.subscribe("/toy/talk")
    assert len(toy.connections) == 1


def test_it_is_recorded_and_replayed(toy: ToyServer, toy_stream: Stream, tmp_path: Path) -> None:
    subscription = toy_stream.subscribe(BTC)
    with Recorder(toy_stream, tmp_path / "toy.jsonl"):
        toy.push("price", *range(20), symbol="BTC-USDT")
        frames = [subscription.get(timeout=10).raw for _ in range(20)]
    with ReplayStream(tmp_path / "toy.jsonl") as replay:
        messages = list(replay.subscribe(BTC))
    assert [message.raw for message in messages] == frames
    assert [message["d"]["v"] for message in messages] == list(range(20))
