"""A relay recovers once for all its readers what was missed during a cut of its own connection."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import topics
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.relays import MakeReader, MakeRelay
from ..support.threads import LIMIT
from ..support.trades import sequences, trade
from .test_reading import take

SYMBOL = "BTC-USDT"
MATCH = topics.match(SYMBOL)


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SYMBOL,), seed=5)}


def test_the_relay_recovers_once_for_all_its_readers(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay()
    reader, another = make_reader(), make_reader()
    recovering, too = reader.subscribe(MATCH, recover=True), another.subscribe(MATCH, recover=True)
    plain = reader.subscribe(MATCH)
    trade(server, times=2)
    live = sequences(server)
    assert [int(message.payload.sequence) for message in take(recovering, len(live))] == live
    asked = len(server.requests)
    server.stop()
    trade(server, times=5)
    missed = sequences(server)[len(live) :]
    server.start()
    server.wait_subscribed(MATCH, timeout=LIMIT)
    trade(server, times=1)
    after = sequences(server)[len(live) :]
    messages = take(recovering, len(after))
    assert [int(message.payload.sequence) for message in messages] == after
    assert [int(message.payload.sequence) for message in messages if message.recovered] == missed
    assert {message.epoch for message in messages} == {1}
    assert [int(message.payload.sequence) for message in take(too, len(sequences(server)))] == sequences(server)
    others = take(plain, len(sequences(server)) - len(missed))
    assert not any(message.recovered for message in others)
    histories = [each for each in list(server.requests)[asked:] if each.path == "/api/v1/market/histories"]
    assert len(histories) < 10, "each reader asks"
