"""Trades and candles over a cut: with `recover=True` nothing is missing that was not told, in every way of reading."""

from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import InvalidTopic, Message, Stream, Subscription, topics
from kucoin_sync.events import RecoveryIncomplete
from kucoin_sync.net import reconnecting
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.recovery import pacing
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.forks import child
from ..support.selection import first
from ..support.streams import Events
from ..support.threads import LIMIT, until
from ..support.trades import sequences, trade

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"
MATCH = topics.match(SPOT)


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SPOT, FUTURES), seed=3)}


@contextmanager
def cut(server: KucoinServer) -> Iterator[None]:
    """Have no server for a while, so that nothing that happens meanwhile is pushed."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def trade_through_a_cut(server: KucoinServer) -> None:
    """Let 2 trades happen before a cut, 5 during it, and 1 after it."""
    trade(server, times=2)
    with cut(server):
        trade(server, times=5)
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)


def incomplete(events: Events) -> list[RecoveryIncomplete]:
    return [event for event in events.all if isinstance(event, RecoveryIncomplete)]


def sequence_of(message: Message) -> int:
    return int(message.payload.sequence)


def take(subscription: Subscription, until_sequence: int) -> list[Message]:
    """Return the messages up to one with this sequence."""
    messages: list[Message] = []
    while not messages or sequence_of(messages[-1]) != until_sequence:
        messages.append(subscription.get(timeout=LIMIT))
    return messages


def numbers(messages: list[Message]) -> list[int]:
    return [sequence_of(message) for message in messages]


@pytest.mark.parametrize(
    "topic", first(MATCH, topics.futures.match(FUTURES), topics.uta.trades(SPOT), topics.uta.trades(FUTURES))
)
def test_trades_of_a_cut_are_recovered_in_their_place(
    server: KucoinServer, stream: Stream, events: Events, topic: str
) -> None:
    symbol = topic.partition(":")[2]
    subscription = stream.subscribe(topic, recover=True)
    plain = stream.subscribe(topic)
    trade(server, symbol, 3)
    live = sequences(server, symbol)
    with cut(server):
        trade(server, symbol, 5)
    missed = sequences(server, symbol)[len(live) :]
    server.wait_subscribed(topic, timeout=LIMIT)
    server.lag_rest(0.2)
    trade(server, symbol, 3)
    messages = take(subscription, sequences(server, symbol)[-1])
    assert numbers(messages) == sequences(server, symbol)
    assert [n for n, message in zip(numbers(messages), messages, strict=True) if message.recovered] == missed
    assert {message.epoch for message in messages} == {1}
    assert not incomplete(events)
    theirs = take(plain, sequences(server, symbol)[-1])
    assert numbers(theirs) == [each for each in sequences(server, symbol) if each not in missed]
    assert {message.epoch for message in theirs} == {1, 2}
    assert not any(message.recovered for message in theirs)


def test_what_is_recovered_is_the_trade_as_it_was(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(MATCH, recover=True)
    trade_through_a_cut(server)
    messages = take(subscription, sequences(server)[-1])
    with server.trading() as exchange:
        trades = exchange.trades(SPOT)
    assert [
        (int(m["data"]["sequence"]), m.payload.price, m.payload.size, m.data["side"], m.payload.time_ns)
        for m in messages
    ] == [tuple(each) for each in trades]
    recovered = next(message for message in messages if message.recovered)
    assert recovered["data"]["makerOrderId"] is None
    assert recovered.payload.maker_order_id is None
    assert recovered.payload.trade_id == recovered["data"]["sequence"]
    assert type(recovered.payload) is type(messages[0].payload)
    assert pickle.loads(pickle.dumps(recovered)).recovered


@pytest.mark.parametrize("inline", first(False, True))
def test_callbacks_get_what_was_missed_too(server: KucoinServer, stream: Stream, inline: bool) -> None:
    got: list[int] = []
    stream.subscribe(MATCH, recover=True, callback=lambda m: got.append(sequence_of(m)), inline=inline)
    trade_through_a_cut(server)
    until(lambda: got == sequences(server), "not all trades came")


@pytest.mark.parametrize("overflow", first("raise", "drop_newest", "drop_oldest", "latest"))
def test_recovered_messages_overflow_as_others_do(server: KucoinServer, stream: Stream, overflow: str) -> None:
    small = stream.subscribe(MATCH, recover=True, maxsize=2, overflow=overflow)
    large = stream.subscribe(MATCH, recover=True)
    trade(server)
    with cut(server):
        trade(server, times=9)
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)
    take(large, sequences(server)[-1])
    until(lambda: small.pending + small.dropped == len(sequences(server)), "some were neither queued nor counted")
    assert small.pending <= 2


def test_while_rest_is_down_the_stream_goes_on_and_tells_it(
    server: KucoinServer, stream: Stream, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "HOLD_SECONDS", 0.2)
    subscription = stream.subscribe(MATCH, recover=True)
    trade(server)
    last = sequences(server)[-1]
    server.fail_rest("/api/v1/market/histories", 500, "500000", times=None)
    with cut(server):
        trade(server, times=4)
    missed = sequences(server)[sequences(server).index(last) + 1 :]
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)
    messages = take(subscription, sequences(server)[-1])
    assert numbers(messages) == [each for each in sequences(server) if each not in missed]
    event = events.wait(RecoveryIncomplete, timeout=LIMIT)
    after = numbers(messages)[numbers(messages).index(last) + 1]
    assert (event.topic, event.last_sequence, event.first_sequence) == (MATCH, last, after)
    assert "500000" in event.reason
    assert [message.epoch for message in messages if sequence_of(message) <= last][-1] == 1
    assert {message.epoch for message in messages if sequence_of(message) > last} == {2}


@pytest.mark.parametrize(
    ("odd", "lost"), [({"price": 7.5, "side": None, "time": "", "tradeId": 3}, 0), ({"sequence": None}, 1)]
)
def test_an_odd_row_costs_no_more_than_itself(
    odd: dict[str, Any],
    lost: int,
    server: KucoinServer,
    stream: Stream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = stream.subscribe(MATCH, recover=True)
    trade(server)
    usual, live = Exchange.trade_rows, sequences(server)

    def rows(*args: Any, **options: Any) -> list[dict[str, Any]]:
        return [{**row, **odd} if row["sequence"] == str(chosen) else row for row in usual(*args, **options)]

    with cut(server):
        trade(server, times=5)
        missed = sequences(server)[len(live) :]
        chosen = missed[len(missed) // 2]
        monkeypatch.setattr(Exchange, "trade_rows", rows)
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)
    every = sequences(server)
    assert numbers(take(subscription, every[-1])) == [each for each in every if not lost or each != chosen]
    around = every[every.index(chosen) - 1], every[every.index(chosen) + 1]
    assert [(each.last_sequence, each.first_sequence) for each in incomplete(events)] == [around] * lost


def test_more_trades_than_rest_tells_are_told_as_missing(server: KucoinServer, stream: Stream, events: Events) -> None:
    subscription = stream.subscribe(MATCH, recover=True)
    trade(server)
    live = sequences(server)
    server.fail_rest("/api/v1/market/histories", drop=True)
    with cut(server):
        trade(server, times=130)
    rest = sequences(server)[-100:]
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)
    messages = take(subscription, sequences(server)[-1])
    found = numbers(messages)
    event = events.wait(RecoveryIncomplete, timeout=LIMIT)
    assert found[: len(live)] == live
    assert (event.last_sequence, event.first_sequence) == (live[-1], found[len(live)])
    assert found[len(live) :] == sequences(server)[sequences(server).index(event.first_sequence) :]
    assert event.first_sequence >= rest[0]
    assert messages[0].epoch < messages[-1].epoch


def test_a_candle_made_of_the_delivered_trades_is_the_exchanges(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(MATCH, recover=True)
    for _ in range(2):
        trade(server, times=3)
        with cut(server):
            trade(server, times=7)
        server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server)
    payloads = [message.payload for message in take(subscription, sequences(server)[-1])]
    with server.trading() as exchange:
        candle = exchange.candles(SPOT)[-1]
    prices = [payload.price for payload in payloads]
    assert (prices[0], max(prices), min(prices), prices[-1]) == candle[1:5]
    assert sum(payload.size for payload in payloads) == candle.volume
    assert sum(payload.size * payload.price for payload in payloads) == candle.turnover


CANDLES = (topics.candles(SPOT, "1min"), topics.futures.candles(FUTURES, "1min"))


@pytest.mark.parametrize("topic", first(*CANDLES))
def test_candles_that_ended_during_a_cut_are_recovered(server: KucoinServer, stream: Stream, topic: str) -> None:
    symbol = topic.partition(":")[2].rpartition("_")[0]
    subscription = stream.subscribe(topic, recover=True)
    pass_minutes(server, symbol, 1)
    with cut(server):
        pass_minutes(server, symbol, 3)
    server.wait_subscribed(topic, timeout=LIMIT)
    pass_minutes(server, symbol, 2)
    with server.trading() as exchange:
        wanted = {each.start: each for each in exchange.candles(symbol)[-6:]}
    got: dict[int, Message] = {}
    while not got or max(got) < max(wanted):
        message = subscription.get(timeout=LIMIT)
        assert message.payload.start_ns // 10**9 >= max(got, default=0)
        got[message.payload.start_ns // 10**9] = message
    assert got.keys() == wanted.keys()
    for start, candle in wanted.items():
        payload = got[start].payload
        found = (payload.open, payload.high, payload.low, payload.close, payload.volume)
        assert found == candle[1:6], f"the candle of {start} is not that of the exchange"
    assert [got[start].recovered for start in sorted(got)] == [False, True, True, True, False, False]
    assert {message.epoch for message in got.values()} == {1}


def pass_minutes(server: KucoinServer, symbol: str, minutes: int) -> None:
    """Begin so many minutes, trade in each, and push its candle a while after its begin."""
    for _ in range(minutes):
        with server.trading() as exchange:
            exchange.now_ns += 60 * 10**9 - exchange.now_ns % (60 * 10**9) + 5 * 10**9
        trade(server, symbol, 3)
        server.beat_exchange()


@pytest.mark.parametrize(
    "topic", [topics.ticker(SPOT), topics.uta.candles(SPOT, "1min"), topics.futures.candles(FUTURES, "3min")]
)
def test_a_topic_that_can_not_be_recovered_is_an_error(stream: Stream, topic: str) -> None:
    with pytest.raises(InvalidTopic, match="can't be recovered"):
        stream.subscribe(topic, recover=True)


def test_tunnels_and_private_messages_are_not_recovered(stream: Stream) -> None:
    with stream.tunnel("bt1") as tunnel, pytest.raises(InvalidTopic, match="in a tunnel"):
        tunnel.subscribe(MATCH, recover=True)
    with pytest.raises(ValueError, match="public"):
        stream.subscribe(MATCH, recover=True, private=True)


def test_a_recording_has_what_was_recovered_in_its_place(server: KucoinServer, stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    with Recorder(stream, path):
        subscription = stream.subscribe(MATCH, recover=True)
        trade_through_a_cut(server)
        live = take(subscription, sequences(server)[-1])
    with ReplayStream(path, speed=None) as replay:
        recovering, plain = replay.subscribe(MATCH, recover=True), replay.subscribe(MATCH)
        replayed, others = list(recovering), list(plain)
    assert [(m.raw, m.recovered, m.epoch) for m in replayed] == [(m.raw, m.recovered, m.epoch) for m in live]
    assert numbers(others) == [sequence_of(message) for message in live if not message.recovered]


@pytest.mark.parametrize("cuts", first(3, 7))
def test_over_random_cuts_an_epoch_lasts_as_long_as_nothing_is_missing(
    server: KucoinServer,
    stream: Stream,
    events: Events,
    rng: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    cuts: int,
) -> None:
    monkeypatch.setattr(pacing, "HOLD_SECONDS", 2.0)
    monkeypatch.setattr(reconnecting, "_STABLE_SECONDS", 0.0)  # else the pauses grow with each cut
    subscription = stream.subscribe(MATCH, recover=True, maxsize=100_000)
    trade(server)
    for _ in range(cuts):
        server.lag_rest(rng.choice([0.0, 0.3, 1.5]))
        if rng.random() < 0.4:
            server.fail_rest("/api/v1/market/histories", 500, "500000", times=rng.randint(1, 3))
        server.drop_connections()
        trade(server, times=rng.choice([0, 3, 30, 150]))
        server.wait_subscribed(MATCH, timeout=LIMIT)
        trade(server, times=rng.randint(0, 3))
    server.lag_rest(0)
    trade(server)
    messages = take(subscription, sequences(server)[-1])
    found, places = numbers(messages), {each: place for place, each in enumerate(sequences(server))}
    assert found[0] == sequences(server)[0]
    assert found == sorted(set(found))
    for before, after in itertools.pairwise(messages):
        ends = sequence_of(before), sequence_of(after)
        if places[ends[1]] == places[ends[0]] + 1 and after.epoch == before.epoch:
            continue
        until(lambda: ends in holes(events), f"trades between {ends} may be missing, and nobody was told")  # noqa: B023
        assert after.epoch > before.epoch


def holes(events: Events) -> list[tuple[int | None, int | None]]:
    return [(event.last_sequence, event.first_sequence) for event in incomplete(events)]


def test_a_forked_child_recovers_by_itself(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(MATCH, recover=True)
    trade(server)
    take(subscription, sequences(server)[-1])
    with cut(server):
        trade(server, times=2)

    def go_on(say: Callable[[Any], None]) -> None:
        say(subscription.pending)  # its first use, which connects
        say(sequence_of(subscription.get(timeout=LIMIT)))
        say([sequence_of(subscription.get(timeout=LIMIT)) for _ in range(4)])

    with child(go_on) as forked:
        assert forked.hear() == 0, "it has messages of its parent"
        server.wait_subscribed(MATCH, count=2, timeout=LIMIT)
        trade(server)
        here = sequences(server)[-1]
        assert forked.hear() == here
        server.drop_connections()
        trade(server, times=3)
        server.wait_subscribed(MATCH, count=2, timeout=LIMIT)
        trade(server)
        place = sequences(server).index(here) + 1
        assert forked.hear() == sequences(server)[place : place + 4]
