"""The reasons why a relay refuses to pass a topic on."""

from __future__ import annotations

import pytest

pytest.importorskip("redis")

from kucoin_sync.relay.leadership import refusal_reason


@pytest.mark.parametrize(
    ("topic", "private", "reason"),
    [
        ("/market/match:BTC-USDT", False, ""),
        ("/market/snapshot:USDS", False, ""),
        ("/account/balance", True, ""),
        ("/account/balance", False, "does not pass private topics on"),
        ("nonsense", True, "'nonsense' is not a topic"),
        ("/market/match:BTC-USDT,ETH-USDT", True, "one symbol at a time"),
    ],
)
def test_the_reason_why_a_relay_refuses_a_topic(topic: str, private: bool, reason: str) -> None:
    found = refusal_reason(topic, private=private)
    assert reason in found
    assert bool(found) == bool(reason)
