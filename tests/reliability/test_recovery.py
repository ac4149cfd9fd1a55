"""Trades and candles over a cut: with `recover=True` nothing is missing that was not told, in every way of reading."""

from __future__ import annotations

import pytest

from kucoin_sync import Message, Stream, Subscription, topics
from kucoin_sync.events import RecoveryIncomplete
from kucoin_sync.testing import Exchange, KucoinServer

from ..end_to_end.conftest import Events
from ..support.selection import first
from ..support.threads import LIMIT
from .conftest import MakeServer, MakeStream

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"
SIZES = {SPOT: "0.0001", FUTURES: "1"}
TRADES = (topics.match(SPOT), topics.futures.match(FUTURES), topics.uta.trades(SPOT), topics.uta.trades(FUTURES))
MATCH = TRADES[0]
STRANGER = ""


@pytest.fixture
def server(make_server: MakeServer) -> KucoinServer:
    return make_server(exchange=Exchange((SPOT, FUTURES), seed=3))


@pytest.fixture
def stream(server: KucoinServer, make_stream: MakeStream) -> Stream:
    return make_stream(server)


def trade(server: KucoinServer, symbol: str = SPOT, times: int = 1) -> None:
    """Have strangers trade; each order meets one resting order, or a few."""
    with server.trading() as exchange:
        for n in range(times):
            exchange.place(symbol, "buy" if n % 2 else "sell", SIZES[symbol], user=STRANGER)


def truth(server: KucoinServer, symbol: str = SPOT) -> list[int]:
    with server.trading() as exchange:
        return [each.sequence for each in exchange.trades(symbol)]


def cut(server: KucoinServer) -> None:
    """Cut every connection, and wait until the server has noticed."""
    ended = len(server.ended)
    server.drop_connections()
    assert server.wait_for(lambda server: len(server.ended) > ended, LIMIT)


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


@pytest.mark.parametrize("topic", first(*TRADES))
def test_trades_of_a_cut_are_recovered_in_their_place(
    server: KucoinServer, stream: Stream, events: Events, topic: str
) -> None:
    symbol = topic.partition(":")[2]
    subscription = stream.subscribe(topic, recover=True)
    plain = stream.subscribe(topic)
    trade(server, symbol, 3)
    live = truth(server, symbol)
    cut(server)
    trade(server, symbol, 5)
    missed = truth(server, symbol)[len(live) :]
    server.wait_subscribed(topic, timeout=LIMIT)
    server.lag_rest(0.2)
    trade(server, symbol, 3)
    messages = take(subscription, truth(server, symbol)[-1])
    assert numbers(messages) == truth(server, symbol)
    assert [n for n, message in zip(numbers(messages), messages, strict=True) if message.recovered] == missed
    assert {message.epoch for message in messages} == {1}
    assert not incomplete(events)
    theirs = take(plain, truth(server, symbol)[-1])
    assert numbers(theirs) == [each for each in truth(server, symbol) if each not in missed]
    assert {message.epoch for message in theirs} == {1, 2}
    assert not any(message.recovered for message in theirs)
