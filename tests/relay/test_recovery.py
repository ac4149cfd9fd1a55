"""A relay recovers once for all its readers what was missed during a cut of its own connection."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import topics
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.relays import MakeReader, MakeRelay
from ..support.threads import LIMIT
from .test_reading import take

SYMBOL = "BTC-USDT"
MATCH = topics.match(SYMBOL)


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SYMBOL,), seed=5)}


def trade(server: KucoinServer, times: int) -> None:
    with server.trading() as exchange:
        for n in range(times):
            exchange.place(SYMBOL, "buy" if n % 2 else "sell", "0.0001", user="")


def truth(server: KucoinServer) -> list[int]:
    with server.trading() as exchange:
        return [each.sequence for each in exchange.trades(SYMBOL)]


def test_the_relay_recovers_once_for_all_its_readers(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay()
    reader, another = make_reader(), make_reader()
    recovering, too = reader.subscribe(MATCH, recover=True), another.subscribe(MATCH, recover=True)
    plain = reader.subscribe(MATCH)
    trade(server, 2)
    live = truth(server)
    assert [int(message.payload.sequence) for message in take(recovering, len(live))] == live
    asked = len(server.requests)
    server.stop()
    trade(server, 5)
    missed = truth(server)[len(live) :]
    server.start()
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server, 1)
    after = truth(server)[len(live) :]
    messages = take(recovering, len(after))
    assert [int(message.payload.sequence) for message in messages] == after
    assert [int(message.payload.sequence) for message in messages if message.recovered] == missed
    assert {message.epoch for message in messages} == {1}
    assert [int(message.payload.sequence) for message in take(too, len(truth(server)))] == truth(server)
    others = take(plain, len(truth(server)) - len(missed))
    assert not any(message.recovered for message in others)
    histories = [each for each in list(server.requests)[asked:] if each.path == "/api/v1/market/histories"]
    assert len(histories) < 10, "each reader asks"
