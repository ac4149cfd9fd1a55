"""The sentences about symbols from which nothing comes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kucoin_sync import Message
from kucoin_sync.cli.silence import Silence
from kucoin_sync.events import Connected, Stale


class Silent:
    """A stream that remembers its callbacks by topic, and the topics of closed subscriptions."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[Message | None], object]] = {}
        self.closed: list[str] = []

    def subscribe(self, *topics: str, callback: Callable[[Message | None], object], **_: Any) -> Any:
        self.callbacks |= dict.fromkeys(topics, callback)
        return SimpleNamespace(close=lambda: self.closed.extend(topics))


def watching(*topics: str) -> tuple[Silence, Silent, list[str]]:
    said: list[str] = []
    silence, stream = Silence(said.append), Silent()
    silence.watch(stream, topics)  # type: ignore[arg-type]
    return silence, stream, said


def test_all_silent_symbols_are_named_once_with_suggestions() -> None:
    silence, stream, said = watching("/market/ticker:BTC-USTD,BTC-USDT,ETH-USD", "/market/snapshot:ETH-USD")
    stream.callbacks["/market/ticker:BTC-USDT"](None)
    for topic in ("/market/ticker:BTC-USTD", "/market/ticker:ETH-USD"):
        assert silence.takes(Stale((topic,), 3.0))
    assert said == [
        "nothing has come from BTC-USTD and ETH-USD for 3 s. KuCoin confirms symbols that do not exist, too: "
        "did you mean BTC-USDT and ETH-USDT?"
    ]
    assert silence.text == said[0]


def test_a_symbol_that_is_heard_is_silent_no_longer() -> None:
    silence, stream, _ = watching("/market/snapshot:ETH-USD", "/market/ticker:ETH-USD")
    assert silence.text == ""
    assert silence.takes(Stale(("/market/ticker:ETH-USD",), 3.0))
    assert "ETH-USDT" in silence.text
    assert stream.closed == []
    stream.callbacks["/market/snapshot:ETH-USD"](None)
    assert silence.text == ""
    assert stream.closed == ["/market/snapshot:ETH-USD", "/market/ticker:ETH-USD"], "the first message was enough"
    stream.callbacks["/market/snapshot:ETH-USD"](None)


def test_a_symbol_that_was_heard_is_not_named_when_it_pauses() -> None:
    silence, stream, said = watching("/market/match:BTC-USDT")
    stream.callbacks["/market/match:BTC-USDT"](None)
    assert silence.takes(Stale(("/market/match:BTC-USDT",), 3.0))
    assert said == []


def test_where_a_well_known_symbol_is_silent_the_pace_of_its_topic_is_told() -> None:
    silence, _, said = watching("/contract/announcement:XBTUSDTM")
    silence.takes(Stale(("/contract/announcement:XBTUSDTM",), 3.0))
    assert said[0].endswith(
        "nothing has happened there (/contract/announcement, pushed: every 8 hours), or KuCoin has no such symbol."
    )


def test_without_a_suggestion_the_spelling_is_to_be_checked() -> None:
    silence, _, said = watching(f"/market/match:{','.join(f'Q{n}QQ-USDT' for n in range(7))}")
    silence.takes(Stale(("/market/match:Q0QQ-USDT",), 3.0))
    assert said == [
        "nothing has come from Q0QQ-USDT, Q1QQ-USDT, Q2QQ-USDT, Q3QQ-USDT, Q4QQ-USDT and 2 more for 3 s. "
        "KuCoin confirms symbols that do not exist, too: check the spelling."
    ]


def test_private_topics_and_other_events_are_not_taken() -> None:
    silence, stream, _ = watching("/account/balance", "/market/ticker:BTC-USDT")
    assert [*stream.callbacks] == ["/market/ticker:BTC-USDT"]
    assert not silence.takes(Stale(("/market/ticker:BTC-USDT",), 30.0))
    assert not silence.takes(Connected("spot", False, 1, "localhost"))
