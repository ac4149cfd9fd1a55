"""A venue that differs in one point: each difference is found, and the fact that is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync.verify.facts import FACTS
from kucoin_sync.verify.judge import absent_members, judge, judge_topic, state_of
from kucoin_sync.verify.plan import topics_of
from kucoin_sync.verify.seen import BookSeen, Finding, Seen, StreamSeen, TopicSeen

from .venue import BOOKS, Frames, book_seen, frames_of, topic_seen

TICKER, LEVEL2, MATCH, SNAPSHOT = (
    "/market/ticker:BTC-USDT", "/market/level2:BTC-USDT", "/market/match:BTC-USDT", "/market/snapshot:BTC-USDT",
)  # fmt: skip
DEPTH, FUTURES_LEVEL2 = "/contractMarket/level2Depth5:XBTUSDTM", "/contractMarket/level2:XBTUSDTM"
CANDLES, LEVEL3 = "/market/candles:BTC-USDT_1min", "/spotMarket/level3:BTC-USDT"
UTA_TRADE, UTA_BOOK = "/uta/trade.SPOT:BTC-USDT", "/uta/obu.SPOT:BTC-USDT_increment@10ms"
UTA_FUTURES_BOOK, UTA_TOP = "/uta/obu.FUTURES:XBTUSDTM_increment@10ms", "/uta/obu.SPOT:BTC-USDT_50"


def differing(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.fact, finding.text) for finding in findings if finding.differs}


def in_each(change: Callable[[Any], object]) -> Callable[[Frames], object]:
    """Return a change of the data of each frame."""

    def changed(frames: Frames) -> None:
        for frame in frames:
            change(frame["d" if "d" in frame else "data"])

    return changed


def rename(was: str, now: str) -> Callable[[Frames], object]:
    return in_each(lambda data: data.update({now: data.pop(was)}))


def put(name: str, value: Any) -> Callable[[Frames], object]:
    return in_each(lambda data: data.update({name: value(data[name]) if callable(value) else value}))


def drop(name: str) -> Callable[[Frames], object]:
    return in_each(lambda data: data.pop(name))


DIFFERENCES: dict[str, tuple[str, Callable[[Frames], object], str, str]] = {
    "a member renamed": (TICKER, rename("bestAsk", "askBest"), "known members", "askBest (text) is not a member"),
    "a member renamed, and so missing": (TICKER, rename("bestAsk", "askBest"), "usual members", "bestAsk never comes"),
    "a needed member renamed": (MATCH, rename("tradeId", "id"), "required members", "tradeId never comes"),
    "a number for text": (TICKER, put("price", float), "kinds", "price is number where text is usual"),
    "a number for an id": (MATCH, put("tradeId", 17), "kinds", "tradeId is number where text is usual"),
    "text for a number": (LEVEL2, put("sequenceEnd", str), "kinds", "sequenceEnd is text where number is usual"),
    "text for true or false": (
        SNAPSHOT, in_each(lambda data: data["data"].update(trading="true")), "kinds", "data.trading is text",
    ),
    "sizes of a book as text": (
        DEPTH, put("asks", lambda rows: [[price, str(size)] for price, size in rows]), "kinds", "asks[][1] is text",
    ),
    "an object for a list": (DEPTH, put("bids", {}), "kinds", "bids is object where list is usual"),
    "a list for all of the data": (
        TICKER, lambda frames: [frame.update(data=[frame["data"]]) for frame in frames], "kinds",
        "the data is list where object is usual",
    ),
    "an unknown member": (MATCH, put("feeRate", "0.001"), "known members", "feeRate (text) is not a member of Match"),
    "an unknown member inside": (
        SNAPSHOT, in_each(lambda data: data["data"].update(isNew=True)), "known members", "data.isNew (true or false)",
    ),
    "an unknown column": (
        CANDLES, in_each(lambda data: data["candles"].append("9")), "known members", "candles[7] (text)",
    ),
    "a member that is gone": (UTA_TRADE, drop("ti"), "usual members", "ti never comes"),
    "a word that is unknown": (MATCH, put("side", "short"), "values", 'side is "short"'),
    "a price that is no number": (MATCH, put("price", "n/a"), "values", 'price is "n/a"'),
    "another subject": (
        TICKER, lambda frames: [frame.update(subject="ticker.v3") for frame in frames], "subjects", "'ticker.v3'",
    ),
    "a hole in a book": (LEVEL2, lambda frames: frames.pop(20), "book order", "a hole: after "),
    "a hole in a futures book": (FUTURES_LEVEL2, lambda frames: frames.pop(20), "book order", "a hole: after "),
    "a hole in a book of single orders": (LEVEL3, lambda frames: frames.pop(20), "book order", "a hole: after "),
    "a hole in a book of the UTA feed": (UTA_BOOK, lambda frames: frames.pop(5), "book order", "a hole: after "),
    "an update that comes twice": (LEVEL2, lambda frames: frames.insert(20, frames[20]), "book order", "again"),
    "a sequence that falls": (TICKER, lambda frames: frames.reverse(), "order", "its sequences: after "),
    "no message at all": (TICKER, lambda frames: frames.clear(), "pushes", "it is silent"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_in_the_messages_is_found_and_named(name: str) -> None:
    topic, change, fact, text = DIFFERENCES[name]
    frames = frames_of(topic)
    assert len(frames) >= 2, "a topic without messages proves nothing"
    assert not differing(list(judge_topic(topic_seen(topic, frames), 60)))
    change(frames)
    found = differing(list(judge_topic(topic_seen(topic, frames), 60)))
    assert any(each == fact and text in told for each, told in found), found
    assert len(found) <= 3, "one difference makes few findings"


@pytest.mark.parametrize(
    ("seen", "fact", "text"),
    [
        (TopicSeen(TICKER, "refused", "topic does not exist (code 404)"), "offered", "topic does not exist (code 404)"),
        (TopicSeen(TICKER, "unanswered", "no ack came"), "ack", "it was not confirmed: no ack came"),
    ],
    ids=["refused", "unanswered"],
)
def test_a_topic_that_is_not_confirmed_is_found(seen: TopicSeen, fact: str, text: str) -> None:
    [finding] = judge_topic(seen, 60)
    assert finding.fact == fact and text in finding.text


@pytest.mark.parametrize(
    ("topic", "change", "at", "text"),
    [
        (LEVEL2, lambda frames: frames[-1]["data"]["changes"].update(bids=[["66990", "7", "99999999999"]]), "", "bids"),
        (LEVEL2, lambda frames: frames.pop(-3), "", "can't be kept up to the later snapshot"),
        (UTA_BOOK, lambda frames: frames[0]["d"]["b"][0].__setitem__(1, "77"), "", "the bids have 77 at"),
        (UTA_BOOK, lambda frames: frames[-1]["d"]["a"][0].__setitem__(1, "77"), UTA_TOP, "KuCoin has 77 at"),
        (UTA_FUTURES_BOOK, lambda frames: frames.pop(5), "", "the book can't be kept"),
    ],
    ids=["another size", "a hole", "another snapshot", "other best levels", "a hole in the UTA feed"],
)  # fmt: skip
def test_a_book_that_is_not_kucoins_is_found(topic: str, change: Any, at: str, text: str) -> None:
    found = judge(Seen(60, books=[book_seen(topic, change, at)]))
    assert {finding.fact for finding in found} == {"book"}
    assert any(text in finding.text for finding in found), found


@pytest.mark.parametrize("topic", BOOKS)
def test_a_book_that_is_kucoins_is_equal(topic: str) -> None:
    seen = book_seen(topic)
    assert seen.compared and not seen.differing and not seen.problem
    assert judge(Seen(60, books=[seen])) == []


def test_what_could_not_be_compared_is_a_note_and_a_missing_snapshot_a_difference() -> None:
    [note] = judge(Seen(60, books=[BookSeen(LEVEL2, problem="not compared: there were no two snapshots")]))
    assert not note.differs and "no two snapshots" in note.text
    [finding] = judge(Seen(60, books=[book_seen(UTA_BOOK, lambda frames: frames.pop(0))]))
    assert finding.fact == "book snapshot"
    assert not judge(Seen(3, books=[book_seen(UTA_BOOK, lambda frames: frames.pop(0))]))[0].differs


@pytest.mark.parametrize(
    ("stream", "fact", "text"),
    [
        (StreamSeen(unreadable=2), "frames", "frames that can't be read: 2"),
        (StreamSeen(unknown_types=1), "frames", "of an unknown type"),
        (StreamSeen(unrouted=1), "frames", "that belong to no subscription"),
        (StreamSeen(lost=["disconnected: bye"]), "stays open", "bye"),
        (StreamSeen(notices=["an error: 500"]), "notices", "500"),
    ],
    ids=["unreadable", "unknown type", "unrouted", "cut", "notice"],
)
def test_what_the_stream_counts_is_found(stream: StreamSeen, fact: str, text: str) -> None:
    [finding] = judge(Seen(60, stream=stream))
    assert finding.fact == fact and text in finding.text


def test_a_venue_as_believed_differs_in_nothing() -> None:
    topics = [topic_seen(topic, frames_of(topic)) for topic in topics_of("all")]
    found = judge(Seen(60, topics=topics))
    assert not differing(found)
    assert {finding.about for finding in found} == {"/market/level3:BTC-USDT", "/spotMarket/level3:BTC-USDT"}
    assert all("withdrawn" in finding.text for finding in found)
    assert {state_of(topic) for topic in topics} == {"acked", "silent"}


def test_silence_is_wrong_only_where_messages_are_sure_and_the_time_was_long_enough() -> None:
    for topic, seconds, is_wrong in (
        (TICKER, 5.5, False), (TICKER, 6.5, True), (MATCH, 600, False), ("/uta/callAuctionInfo:BTC-USDT", 600, False),
        ("/contract/announcement", 600, False), ("/uta/funding-fee:XBTUSDTM", 60, False),
    ):  # fmt: skip
        assert bool(list(judge_topic(TopicSeen(topic), seconds))) == is_wrong, topic


def test_a_member_of_another_kind_is_told_once() -> None:
    frames = frames_of(MATCH)
    put("tradeId", 17)(frames)
    [finding] = judge_topic(topic_seen(MATCH, frames), 60)
    assert finding.fact == "kinds"


def test_a_topic_that_was_not_tried_is_a_note() -> None:
    [note] = judge_topic(TopicSeen(TICKER, "skipped", "the network is down"), 60)
    assert not note.differs
    assert note.text == "it was not tried, because the network is down"


def test_a_withdrawn_topic_may_be_refused() -> None:
    assert list(judge_topic(TopicSeen(LEVEL3, "refused", "gone"), 60)) == []


def test_members_that_may_be_absent_are_listed_and_no_difference() -> None:
    topic = "/spotMarket/level2Depth5:BTC-USDT"
    seen = topic_seen(topic, frames_of(topic))
    assert absent_members(seen) == ["Depth: sequence", "Depth: ts"]
    assert list(judge_topic(seen, 60)) == []


def test_every_fact_has_a_sentence_and_a_source() -> None:
    assert all(fact.text.endswith(".") and fact.source for fact in FACTS.values())
