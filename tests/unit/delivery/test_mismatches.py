"""Which payloads with unexpected fields are reported, and how often."""

from __future__ import annotations

import pytest

from kucoin_sync import PayloadMismatch
from kucoin_sync.delivery import mismatches
from kucoin_sync.delivery.mismatches import MismatchReporter
from kucoin_sync.protocol.message import Message

TICKER, MATCH = "/market/ticker:BTC-USDT", "/market/match:BTC-USDT"


@pytest.fixture
def reported() -> list[PayloadMismatch]:
    return []


@pytest.fixture
def reporter(reported: list[PayloadMismatch]) -> MismatchReporter:
    return MismatchReporter(reported.append, lambda: [TICKER])


def unusual(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    monkeypatch.setattr(mismatches, "mismatches_of", lambda message: texts)


def test_each_counts_and_the_first_of_a_topic_is_told(
    reporter: MismatchReporter, reported: list[PayloadMismatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    unusual(monkeypatch, "price is null")
    for topic in (TICKER, TICKER, MATCH):
        reporter.report(Message(topic))
    assert reporter.count == 3
    assert reported == [PayloadMismatch(TICKER, "price is null"), PayloadMismatch(MATCH, "price is null")]


def test_a_long_report_is_cut(
    reporter: MismatchReporter, reported: list[PayloadMismatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    unusual(monkeypatch, "a", "b", "c", "d", "e")
    reporter.report(Message(TICKER))
    assert reported == [PayloadMismatch(TICKER, "a; b; c; and 2 more")]


def test_a_number_counts_for_streams_that_have_such_a_topic(
    reporter: MismatchReporter, reported: list[PayloadMismatch]
) -> None:
    for topic in ("/market/ticker", "/market/match", "/market/ticker"):
        reporter.on_unreadable_number(topic, "price is 'x'")
    assert (reporter.count, reported) == (2, [PayloadMismatch("/market/ticker", "price is 'x'")])


def test_the_topics_that_are_remembered_are_bounded(
    reporter: MismatchReporter, reported: list[PayloadMismatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mismatches, "_MAX_TOPICS", 2)
    unusual(monkeypatch, "price is null")
    for topic in ("/a:A", "/a:B", "/a:C", "/a:C", "/a:A"):
        reporter.report(Message(topic))
    assert [event.topic for event in reported] == ["/a:A", "/a:B", "/a:C", "/a:A"]


def test_a_forked_child_counts_from_0(reporter: MismatchReporter, monkeypatch: pytest.MonkeyPatch) -> None:
    unusual(monkeypatch, "price is null")
    reporter.report(Message(TICKER))
    with reporter._lock:
        reporter.after_fork()
        assert reporter.count == 0
        reporter.report(Message(TICKER))
        assert reporter.count == 1
