"""Server-sent events: their bytes, their content, and the end of a stream."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kucoin_sync import AuthenticationError, Stream
from kucoin_sync.contrib import sse
from kucoin_sync.contrib.sse import EventStream, encode
from kucoin_sync.testing import KucoinServer

from ..support.streams import gone
from ..support.threads import LIMIT, Task, until
from .parser import EventParser, Received

TICKER = "/market/ticker:BTC-USDT"
MATCH = "/market/match:BTC-USDT"
HOSTILE = [
    "plain",
    "",
    "two\nlines",
    "\r\n\r\ndata: forged\n\nevent: forged\r\rid: 7\n",
    "data: forged",
    ": no comment",
    "separators \u2028\u2029\u0085\x0b\x0c\x1c are no line ends",
    "null \0 and byte order mark \ufeff",
    "emoji 🦀, and half of one \ud83e",
    " leading and trailing blanks  ",
    "x" * 100_000,
]


class Browser:
    """Reads a stream of events on the test's thread."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._parser = EventParser()
        self._waiting: list[Received] = []

    def next(self) -> Received:
        """Return the next event."""
        while not self._waiting:
            self._waiting = self._parser.feed(next(self._events))
        return self._waiting.pop(0)

    def next_data(self) -> Any:
        """Return the data of the next event as KuCoin sent it."""
        return without_symbol(self.next())

    def rest(self) -> list[Received]:
        """Return all bytes until the end."""
        return [*self._waiting, *(event for chunk in self._events for event in self._parser.feed(chunk))]

    @property
    def retry(self) -> int | None:
        return self._parser.retry

    @property
    def comments(self) -> list[str]:
        return self._parser.comments


def without_symbol(got: Received) -> Any:
    """Return the data of an event without the symbol that was added to it."""
    data = json.loads(got.data)
    if isinstance(data, dict):
        assert data.pop("symbol") == "BTC-USDT"
    return data


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_any_text_is_one_event_with_that_data(text: str, size: int) -> None:
    sent = encode(text, "name") + encode("after")
    parser = EventParser()
    got = [event for at in range(0, len(sent), size) for event in parser.feed(sent[at : at + size])]
    expected = re.sub(r"\r\n|\r", "\n", text).replace("\ud83e", "?")
    assert got == [Received("name", expected, ""), Received("message", "after", "")]
    assert parser.comments == []


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=range(len(HOSTILE) - 1))
def test_no_name_and_no_id_can_forge_a_line(text: str) -> None:
    (got,) = EventParser().feed(encode("{}", text, text))
    assert got.data == "{}"
    assert got.event == re.sub(r"[\r\n]", " ", text).replace("\ud83e", "?") or (text == "" and got.event == "message")
    assert got.id in (text.replace("\ud83e", "?"), "")


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    (got,) = EventParser().feed(encode(b'{"a":"\xff\xfe"}'))
    assert got.data == '{"a":"\ufffd\ufffd"}'


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_kucoin_pushes_arrives_as_the_same_json(server: KucoinServer, stream: Stream, text: str) -> None:
    text = text.replace("\ud83e", "")
    browser = Browser(EventStream(stream.subscribe(TICKER)))
    data = {"sequence": "17", "text": text, text: [text]}
    server.publish(TICKER, data, text or "subject")
    got = browser.next()
    assert without_symbol(got) == data
    assert "\n" not in got.data
    assert got.event == re.sub(r"[\r\n]", " ", text or "subject")
    assert got.id == "17"


def test_json_with_line_ends_between_its_tokens_stays_one_line(server: KucoinServer, stream: Stream) -> None:
    browser = Browser(EventStream(stream.subscribe(TICKER)))
    server.wait_subscribed(TICKER)
    server.send_raw(f'{{"type":"message","topic":"{TICKER}","subject":"s","data":{{"a":\r\n1,\n\n"b":\r[2]}}}}')
    got = browser.next()
    assert "\n" not in got.data and "\r" not in got.data
    assert without_symbol(got) == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("topic", "data", "envelope", "id"),
    [
        (TICKER, {"sequence": "15"}, {}, "15"),
        (TICKER, {"sequence": 16}, {}, "16"),
        (TICKER, {"sequenceStart": 3, "sequenceEnd": 5}, {}, "5"),
        (TICKER, {"price": "1"}, {"sn": 99}, "99"),
        (TICKER, {"sequence": "17\nid: 18"}, {}, ""),
        (TICKER, {"sequence": True}, {}, ""),
        (TICKER, ["no", "mapping"], {}, ""),
        ("/uta/trade.SPOT:BTC-USDT", {"s": "BTC-USDT", "E": 18}, {}, "18"),
        ("/uta/obu.SPOT:BTC-USDT_increment@10ms", {"s": "BTC-USDT", "O": 19, "C": 20}, {}, "20"),
        ("/uta/kline.SPOT:BTC-USDT_1min", {"s": "BTC-USDT", "i": "1min", "O": 60, "C": 120}, {}, ""),
        (TICKER, None, {}, ""),
    ],
)
def test_the_id_is_the_sequence(
    server: KucoinServer, stream: Stream, topic: str, data: Any, envelope: dict[str, Any], id: str
) -> None:
    browser = Browser(EventStream(stream.subscribe(topic)))
    server.publish(topic, data, **envelope)
    got = browser.next()
    assert got.id == id
    assert without_symbol(got) == data


@pytest.mark.parametrize(
    ("topic", "subject", "data", "sent"),
    [
        (TICKER, "trade.ticker", {"price": "1"}, '{"symbol":"BTC-USDT","price":"1"}'),
        (TICKER, "trade.ticker", {}, '{"symbol":"BTC-USDT"}'),
        (MATCH, "trade.l3match", {"price": "1", "symbol": "BTC-USDT"}, '{"price":"1","symbol":"BTC-USDT"}'),
        ("/market/ticker:all", "KCS-BTC", {"price": "1"}, '{"symbol":"KCS-BTC","price":"1"}'),
        ("/market/snapshot:BTC", "s", {"data": {"symbol": "A-BTC"}}, '{"symbol":"A-BTC","data":{"symbol":"A-BTC"}}'),
        ("/uta/trade.SPOT:BTC-USDT", None, {"s": "BTC-USDT"}, '{"symbol":"BTC-USDT","s":"BTC-USDT"}'),
        ("/contract/announcement", "funding.begin", {"n": 1}, '{"n":1}'),
    ],
)
def test_data_names_the_symbol(
    server: KucoinServer, stream: Stream, topic: str, subject: str | None, data: Any, sent: str
) -> None:
    browser = Browser(EventStream(stream.subscribe(topic)))
    server.publish(topic, data, subject)
    assert browser.next().data == sent


def test_events_have_the_given_name(server: KucoinServer, stream: Stream) -> None:
    for name, expected in (("tick", "tick"), (lambda message: message.topic, TICKER), (lambda _: None, "subject")):
        browser = Browser(EventStream(stream.subscribe(TICKER), event=name))
        server.publish(TICKER, {}, "subject")
        assert browser.next().event == expected


def test_it_begins_at_once_with_the_retry_delay(stream: Stream) -> None:
    events = EventStream(stream.subscribe(TICKER), retry=1.5)
    assert next(events) == b"retry: 1500\n\n"
    events.close()


def test_in_silence_it_sends_comments(server: KucoinServer, stream: Stream) -> None:
    events = EventStream(stream.subscribe(TICKER), keep_alive=0.01)
    chunks = [next(events) for _ in range(3)]
    assert chunks[1:] == [b": nothing new\n\n"] * 2
    parser = EventParser()
    assert parser.feed(b"".join(chunks)) == []
    assert parser.comments == ["nothing new"] * 2
    events.close()
    gone(server, TICKER)


def test_it_refuses_a_keep_alive_that_is_not_positive(stream: Stream) -> None:
    with pytest.raises(ValueError, match="keep_alive is 0"):
        EventStream(stream.subscribe(TICKER), keep_alive=0)


def test_several_subscriptions_are_one_stream_of_events(server: KucoinServer, stream: Stream) -> None:
    events = EventStream(stream.subscribe(TICKER, overflow="latest"), stream.subscribe(MATCH))
    browser = Browser(events)
    for number in range(3):
        server.publish(TICKER, {"n": number}, "ticker")
        assert browser.next_data() == {"n": number}
        server.publish(MATCH, {"n": number}, "match")
        assert browser.next_data() == {"n": number}
    events.close()
    gone(server, TICKER)
    gone(server, MATCH)


def test_lost_messages_are_reported_in_place(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(TICKER, maxsize=2, overflow="drop_oldest")
    for number in range(5):
        server.publish(TICKER, {"n": number}, "s")
    until(lambda: subscription.dropped == 3, "not three were dropped")
    browser = Browser(EventStream(subscription))
    lost = browser.next()
    assert (lost.event, json.loads(lost.data)) == ("lost", {"topic": TICKER, "lost": 3, "epoch": 1})
    assert [browser.next_data(), browser.next_data()] == [{"n": 3}, {"n": 4}]


def test_a_slow_browser_loses_messages_and_not_the_stream(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(TICKER, maxsize=1, overflow="raise")
    for number in range(3):
        server.publish(TICKER, {"n": number}, "s")
    until(lambda: subscription.dropped == 2, "not two were dropped")
    browser = Browser(EventStream(subscription))
    assert browser.next_data() == {"n": 0}
    told = Task(browser.next)  # it takes what is queued before it takes more
    until(lambda: subscription.pending == 0, "the slow consumer was not told")
    while not told.done.wait(0.02):
        server.publish(TICKER, {"n": 3}, "s")
    assert json.loads(told.result().data)["lost"] >= 2


def test_a_reconnect_is_reported_in_place(server: KucoinServer, stream: Stream) -> None:
    browser = Browser(EventStream(stream.subscribe(TICKER, MATCH)))
    server.publish(TICKER, {"n": 1}, "s")
    assert browser.next_data() == {"n": 1}
    server.drop_connections()
    server.wait_for(lambda s: s.ended, LIMIT)
    server.wait_subscribed(TICKER, timeout=LIMIT)
    server.wait_subscribed(MATCH, timeout=LIMIT)
    server.publish(TICKER, {"n": 2}, "s")
    lost = browser.next()
    assert (lost.event, json.loads(lost.data)) == ("lost", {"topic": TICKER, "lost": 0, "epoch": 2})
    assert browser.next_data() == {"n": 2}
    server.publish(MATCH, {"n": 3}, "s")
    assert browser.next_data() == {"n": 3}, "the first message of a topic has nothing before it"


def test_the_epochs_of_the_most_silent_topics_are_forgotten(
    server: KucoinServer, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "_MAX_EPOCHS", 1)
    browser = Browser(EventStream(stream.subscribe(TICKER, MATCH)))
    for number, topic in enumerate((MATCH, TICKER, TICKER)):
        server.publish(topic, {"n": number}, "s")
        assert browser.next_data() == {"n": number}
    server.drop_connections()
    server.wait_for(lambda s: s.ended, LIMIT)
    for topic, names in ((TICKER, ["lost", "s"]), (MATCH, ["s"])):
        server.wait_subscribed(topic, timeout=LIMIT)
        server.publish(topic, {}, "s")
        assert [browser.next().event for _ in names] == names


def test_it_ends_with_the_stream_after_all_pending_messages(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(TICKER)
    browser = Browser(EventStream(subscription))
    server.publish(TICKER, {"n": 1}, "s")
    until(lambda: subscription.pending, "the message did not come")
    stream.close()
    assert [event.event for event in browser.rest()] == ["s"]


def test_closing_wakes_a_waiting_reader(stream: Stream) -> None:
    waiting = Task(Browser(EventStream(stream.subscribe(TICKER), keep_alive=1000)).rest)
    stream.close()
    assert waiting.result() == []


def test_a_later_refusal_of_a_topic_is_reported_and_others_continue(server: KucoinServer, stream: Stream) -> None:
    browser = Browser(EventStream(stream.subscribe(TICKER, MATCH)))
    server.publish(TICKER, {"n": 0}, "s")
    assert browser.next_data() == {"n": 0}
    server.reject_next(404, "no such topic", MATCH)
    server.drop_connections()
    failed = browser.next()
    assert failed.event == "failed"
    assert f"KuCoin rejected the topic '{MATCH}' with code 404" in json.loads(failed.data)["error"]
    server.wait_subscribed(TICKER, timeout=LIMIT)
    server.publish(TICKER, {"n": 1}, "s")
    assert [browser.next().event, browser.next().event] == ["lost", "s"]


def test_a_fatal_error_ends_it_and_only_the_log_tells_which(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    subscription = stream.subscribe(TICKER)
    subscription.message_queue.finish(AuthenticationError("the key of the account is wrong"))
    (failed,) = Browser(EventStream(subscription)).rest()
    assert (failed.event, "account" in failed.data) == ("failed", False)
    assert "a stream of events has ended: the key of the account is wrong" in caplog.text


def test_it_unsubscribes_when_it_is_closed_whether_or_not_it_was_begun(server: KucoinServer, stream: Stream) -> None:
    for steps in (0, 1):
        closed: list[int] = []
        events = EventStream(stream.subscribe(TICKER), on_close=lambda closed=closed: closed.append(1))
        for _ in range(steps):
            next(events)
        server.wait_subscribed(TICKER)
        events.close()
        gone(server, TICKER)
        events.close()
        assert closed == [1]
        assert Browser(events).rest() == []


def test_it_unsubscribes_when_it_was_iterated_to_the_end(stream: Stream) -> None:
    closed: list[int] = []
    subscription = stream.subscribe(TICKER)
    events = EventStream(subscription, on_close=lambda: closed.append(1))
    subscription.close()
    assert Browser(events).rest() == []
    assert closed == [1]
