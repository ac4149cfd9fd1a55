"""Runs of the verification against servers that are reached in part, and runs that are ended early."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import AuthenticationError, Credentials, Stream
from kucoin_sync.testing import KucoinServer
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.plan import topics_of
from kucoin_sync.verify.run import Verification
from kucoin_sync.verify.seen import Seen, TopicSeen

FIRST = "/uta/ticker.SPOT:BTC-USDT"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "SECRET", "PASSPHRASE"):
        monkeypatch.delenv(f"KUCOIN_API_{name}", raising=False)


def states(seen: Seen, prefix: str) -> dict[str, TopicSeen]:
    return {topic.topic: topic for topic in seen.topics if topic.topic.startswith(prefix)}


def test_an_interrupt_ends_the_listening_and_what_was_seen_is_kept(market: KucoinServer) -> None:
    def tell(text: str) -> None:
        if " messages, " in text and not text.startswith("0 "):
            raise KeyboardInterrupt

    with Stream(**market.stream_options) as stream:
        seen = Verification(stream, "uta", 600, tell=tell).run()
    assert seen.seconds < 600
    assert [topic.topic for topic in seen.topics] == list(topics_of("uta"))
    assert sum(topic.messages for topic in seen.topics)
    assert not any(finding.differs for finding in judge(seen))


def test_a_service_that_can_not_be_reached_does_not_keep_the_others_waiting(market: KucoinServer) -> None:
    options: dict[str, Any] = {**market.stream_options, "uta_futures_url": "ws://127.0.0.1:9"}
    with Stream(**options) as stream:
        seen = Verification(stream, "uta", 0.1, timeout=1.5).run()
    futures = [topic for topic in seen.topics if topic.topic in states(seen, "/uta/") and "XBT" in topic.topic]
    assert {topic.state for topic in states(seen, "/uta/trade.SPOT").values()} == {"acked"}
    assert [topic.state for topic in futures][:2] == ["unanswered", "skipped"]
    assert {topic.state for topic in futures[1:]} == {"skipped"}
    found = {finding.about: finding for finding in judge(seen)}
    assert found[futures[0].topic].fact == "ack" and "refused" in found[futures[0].topic].text
    assert not found[futures[1].topic].differs and "not tried, because" in found[futures[1].topic].text


def test_an_account_that_is_not_unified_is_told_once(market: KucoinServer) -> None:
    market.refuse_auth("the account is not unified", times=None)
    with Stream(**market.stream_options) as stream:
        seen = Verification(stream, "uta", 0.1, private=True).run()
    private = [seen for topic, seen in states(seen, "/uta/").items() if "UNIFIED" in topic]
    assert [topic.state for topic in private][:2] == ["refused", "skipped"]
    assert {topic.state for topic in private[1:]} == {"skipped"}
    assert "the account is not unified" in private[0].text
    assert [finding.fact for finding in judge(seen) if finding.differs and finding.about == private[0].topic] == [
        "offered"
    ]


def test_the_topics_of_an_account_need_a_key(market: KucoinServer) -> None:
    options = {**market.stream_options, "credentials": None}
    with Stream(**options) as stream, pytest.raises(AuthenticationError, match="need an API key"):
        Verification(stream, "uta", 60, private=True).run()
    assert market.received == []


def test_a_feed_without_snapshots_is_told_and_no_difference(server: KucoinServer) -> None:
    credentials = Credentials(server.KEY, server.SECRET, server.PASSPHRASE)
    with Stream(**{**server.stream_options, "credentials": credentials}) as stream:
        seen = Verification(stream, "classic", 0.1).run()
    assert all(book.problem.startswith("not compared: no snapshot came: ") for book in seen.books)
    assert not any(finding.differs for finding in judge(seen))
    assert {topic.state for topic in seen.topics} == {"acked"}
