"""A report: the same messages give the same bytes, and the same findings when it is read."""

from __future__ import annotations

import json

import pytest

from kucoin_sync.protocol.classic import CLASSIC
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.plan import topics_of
from kucoin_sync.verify.report import FORMAT, dump, load
from kucoin_sync.verify.seen import Seen, TopicSeen

from .venue import BOOKS, book_seen, frames_of, session_seen, topic_seen

TICKER = "/market/ticker:BTC-USDT"


def seen() -> Seen:
    topics = [topic_seen(topic, frames_of(topic)) for topic in topics_of("all")]
    frames = frames_of(TICKER)
    for frame in frames:
        frame["data"].update(price=1.5, new="?", bestBid={})
    topics += [topic_seen(TICKER, frames), TopicSeen(TICKER, "refused", "no (code 404)")]
    return Seen(60.0, [session_seen("spot", CLASSIC, clock=9.0)], topics, [book_seen(topic) for topic in BOOKS])


def test_the_same_messages_give_the_same_bytes_and_the_same_findings() -> None:
    written = dump(seen(), "1.2.3")
    assert written == dump(seen(), "1.2.3")
    read = load(written)
    assert judge(read) == judge(seen())
    assert dump(read, "1.2.3") == written
    report = json.loads(written)
    assert list(report) == sorted(report)
    assert report["version"] == "1.2.3" and report["differs"] is True
    assert [each["text"] for each in report["findings"]] == [finding.text for finding in judge(seen())]
    clock = next(each for each in report["findings"] if "clock" in each["text"])
    assert "more than 5 s" in clock["fact"] and clock["source"] == "KuCoin's documentation"


def test_it_has_one_sample_of_each_shape_and_long_lists_are_shortened() -> None:
    topic = "/spotMarket/level2Depth50:BTC-USDT"
    frames = frames_of(topic)
    [shape] = topic_seen(topic, frames).shapes
    assert shape.count == len(frames) > 1
    assert len(shape.sample["asks"]) < len(frames[0]["data"]["asks"])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", json.dumps({"format": FORMAT}).encode()])
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="this is not a report of kucoin-sync verify"):
        load(data)


def test_a_report_of_another_format_is_refused() -> None:
    other = json.loads(dump(Seen(1.0), "1")) | {"format": FORMAT + 1}
    with pytest.raises(ValueError, match=f"has the format {FORMAT + 1}; this version reads {FORMAT}"):
        load(json.dumps(other).encode())
