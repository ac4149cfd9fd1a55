"""What a relay says of topics that it is asked to pass on."""

from __future__ import annotations

import pytest

pytest.importorskip("redis")

from kucoin_sync.relay.leadership import objection


@pytest.mark.parametrize(
    ("topic", "private", "complaint"),
    [
        ("/market/match:BTC-USDT", False, ""),
        ("/market/snapshot:USDS", False, ""),
        ("/account/balance", True, ""),
        ("/account/balance", False, "was not told to pass private topics on"),
        ("nonsense", True, "'nonsense' is not a topic"),
        ("/market/match:BTC-USDT,ETH-USDT", True, "one symbol at a time"),
    ],
)
def test_a_relay_says_what_it_has_against_a_topic(topic: str, private: bool, complaint: str) -> None:
    found = objection(topic, private=private)
    assert complaint in found
    assert bool(found) == bool(complaint)
