"""One odd field costs no more than itself: every member of every payload, with everything in it that JSON can hold.

For each sample of each topic and subject, each place in its data (members, members of members, cells of rows) gets each
oddity in turn, is left out, or gets a sibling that nobody knows. The payload stays typed; only what is at that place
differs; and what was lost is told.
"""

from __future__ import annotations

import copy
import json
import pickle
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kucoin_sync import InvalidTopic, Message, PayloadMismatch, Stream, payloads, topics
from kucoin_sync.cli import main
from kucoin_sync.payloads import Payload
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.recording.export import export
from kucoin_sync.testing import KucoinServer
from kucoin_sync.topics import TABLE

from ..end_to_end.test_payload_delivery import PUSHES, topic_of
from ..support.recordings import rows_of
from ..support.streams import Events
from ..support.terminal import Terminal
from ..unit.payloads.test_payloads import SHAPES, STATISTICS

NOTHING: Any = object()
ODDITIES: list[Any] = [
    None, "", "much", "1", "1.5", "-1", " BUY ", "2026-01-31T09:30:00Z", "1" * 30, 7, 0, -1, 1.5, 1e300, 10**30, True,
    False, [], [1], ["1"], [["1", "2", "3", "4", "5"]], [None], [[]], [{}], {}, {"a": 1}, {"BTC": None}, NOTHING,
]  # fmt: skip
#: Numbers with more digits than a column of Parquet has.
TOO_LONG = (1e300, 10**30, "1" * 30)
SNAPSHOT = f'{{"sequence":"14691517896","data":{STATISTICS}}}'
#: A name for each sample: topic, subject, JSON text, whether it is private.
CASES = {
    f"{cls.__name__}-{number}": next(
        (topic_of(row), subject, text, row.private)
        for row, subject, other in [*PUSHES, *((row, "*", SNAPSHOT) for row in TABLE)]
        if other == text and cls in row.payloads.values()
    )
    for number, (cls, text) in enumerate([*(shape[:2] for shape in SHAPES), (payloads.Snapshot, SNAPSHOT)])
    # The topic of a push of the UTA feed stands in its data; the unit tests of these payloads have the same walk.
    if not issubclass(cls, (payloads.MarginMode, payloads.CrossLeverage)) and not cls.__name__.startswith("Uta")
}


#: The cases of the normal run; the others are a long walk.
SHORT = ("Ticker-0", "Level2Update-5", "Match-9", "Balance-25")
every_case = pytest.mark.parametrize(
    "case", [case if case in SHORT else pytest.param(case, marks=pytest.mark.long) for case in CASES]
)


def places(data: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in JSON but the outermost."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield (*before, key)
        yield from places(value, (*before, key))


def put(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of JSON with another value at a place, or without that place."""
    data = copy.deepcopy(data)
    holder = data
    for key in place[:-1]:
        holder = holder[key]
    if value is NOTHING:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return data


def differences(one: Any, other: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where two payloads differ, as paths in their JSON."""
    if isinstance(one, msgspec.Struct) and isinstance(other, type(one)):
        in_order = one.__struct_config__.array_like
        for number, (name, key) in enumerate(zip(one.__struct_fields__, one.__struct_encode_fields__, strict=True)):
            yield from differences(getattr(one, name), getattr(other, name), (*before, number if in_order else key))
    elif isinstance(one, tuple | list) and isinstance(other, tuple | list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, (*before, number))
    elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], (*before, key))
    elif one != other:
        yield before


def properties(payload: Payload) -> dict[str, Any]:
    """Return everything that a payload has; none of it may raise."""
    names = [name for name in dir(payload) if not name.startswith("_") and name not in ("extra", "unread")]
    assert payload.to_dict().keys() <= {*names, "extra"}
    return {name: value for name in names if not callable(value := getattr(payload, name))}


class Feed:
    """A subscription to one topic of a local KuCoin."""

    def __init__(self, server: KucoinServer, stream: Stream, topic: str, subject: str, *, private: bool) -> None:
        self._subscription = stream.subscribe(topic)
        self._publish: Callable[[Any], int] = lambda data: server.publish(
            topic, msgspec.Raw(json.dumps(data).encode()), subject=subject, user=server.USER if private else None
        )

    def send(self, data: Any) -> Message[Any]:
        assert self._publish(data) == 1
        return self._subscription.get(timeout=20)


@every_case
def test_an_odd_value_costs_its_own_property_only(
    case: str, server: KucoinServer, make_stream: Callable[..., Stream], events: Events
) -> None:
    topic, subject, text, private = CASES[case]
    stream = make_stream()
    feed = Feed(server, stream, topic, subject, private=private)
    sample = json.loads(text)
    whole: Payload = feed.send(sample).payload
    everything = properties(whole)
    told = [event for event in events.all if isinstance(event, PayloadMismatch)]
    assert (whole.extra, told, stream.stats()["misfits"]) == ({}, [], 0)
    walked = lost = 0
    for place in places(sample):
        may_change: set[str] = set()
        for value in ODDITIES:
            odd = put(sample, place, value)
            before = stream.stats()["misfits"]
            message = feed.send(odd)
            payload = message.payload
            said = f"{place} is {'missing' if value is NOTHING else repr(value)[:60]} in {text}"
            assert isinstance(payload, type(whole)), said
            changed = {path for path in differences(whole, payload) if path}
            shorter = value is NOTHING and isinstance(place[-1], int)  # later columns or rows move up
            allowed = place[:-1] if shorter else place
            assert all(path[: len(allowed)] == allowed or allowed[: len(path)] == path for path in changed), said
            # No reading may change more than one field, and its properties with it.
            assert len({path[0] for path in changed}) <= 1, said
            seen = properties(payload)
            may_change |= {name for name in seen if seen[name] != everything[name]}
            assert message.data == odd, said
            walked += 1
            emptied = any(_at(payload, path) in (None, 0) and _at(whole, path) not in (None, 0) for path in changed)
            if emptied and value not in (None, "", 0, NOTHING, []) and not isinstance(value, dict):
                lost += 1
                assert stream.stats()["misfits"] == before + 1, said
        fields = {name for name, key in _fields(whole) if key == place[0]}
        assert may_change & {name for name, _ in _fields(whole)} <= fields, place
    events.wait(PayloadMismatch)
    named = [event.topic for event in events.all if isinstance(event, PayloadMismatch)]
    assert named in ([topic], [topic, topic.partition(":")[0]])  # a ticker's text shows when it is read
    assert walked > 40
    assert lost > 5


def _fields(payload: Any) -> list[tuple[str, str]]:
    return list(zip(payload.__struct_fields__, payload.__struct_encode_fields__, strict=True))


def _at(payload: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        if isinstance(payload, msgspec.Struct):
            names = dict(enumerate(payload.__struct_fields__)) if isinstance(key, int) else None
            payload = getattr(payload, names[key] if names else {k: n for n, k in _fields(payload)}[key])
        else:
            payload = payload[key]
    return payload


@every_case
def test_members_and_columns_that_nobody_knows_are_in_extra_and_change_nothing(
    case: str, server: KucoinServer, make_stream: Callable[..., Stream], events: Events
) -> None:
    topic, subject, text, private = CASES[case]
    stream = make_stream()
    feed = Feed(server, stream, topic, subject, private=private)
    sample = json.loads(text)
    whole = feed.send(sample).payload
    for place in [(), *places(sample)]:
        holder = sample
        for key in place:
            holder = holder[key]
        if isinstance(holder, dict) and place and not isinstance(_at(whole, place), msgspec.Struct):
            continue  # keyed by currency
        if isinstance(holder, dict):
            odd = put({"data": sample}, ("data", *place, "ofTomorrow"), {"a": [1, "", None, 0.1]})["data"]
        elif isinstance(holder, list) and not any(isinstance(each, list) for each in holder) and place[-1] != "markets":
            odd = put({"data": sample}, ("data", *place), [*holder, "one more"])["data"]
        else:
            continue
        payload = feed.send(odd).payload
        assert isinstance(payload, type(whole)), place
        if place and place[-1] in ("siteTypes", "asks", "bids") and not holder:
            continue
        if place[-1:] != ("siteTypes",):
            assert not list(differences(whole, payload)), place
            assert payload == whole
            assert _named(payload.extra, place, holder), (place, payload.extra)
    assert feed.send({**sample, "ofTomorrow": 1}).payload.extra == {"ofTomorrow": 1}
    assert feed.send(sample).payload.extra == {}


def _named(extra: Any, place: tuple[Any, ...], holder: Any) -> bool:
    """Whether the extra has what was added to what is at a place; a list stands there whole."""
    for key in place:
        if isinstance(extra, list):
            return True
        extra = extra[key]
    return extra == {"ofTomorrow": {"a": [1, "", None, 0.1]}} or extra == [*holder, "one more"]


@every_case
def test_a_payload_is_typed_whatever_the_data_are(case: str, server: KucoinServer, stream: Stream) -> None:
    topic, subject, text, _ = CASES[case]
    subscription = stream.subscribe(topic)
    connection = next(each for each in server.connections if topic in each.topics)

    def received(**data: Any) -> Any:
        connection.send_raw(json.dumps({"type": "message", "topic": topic, "subject": subject, **data}))
        return subscription.get(timeout=20).payload

    whole = received(data=json.loads(text))
    for number, data in enumerate([None, [], [1], "much", 7, True, NOTHING, {}]):
        payload = received(**{} if data is NOTHING else {"data": data})
        assert isinstance(payload, type(whole)) and isinstance(payload, Payload)
        for name, value in properties(payload).items():
            empty = value in (None, 0, (), {}, False) or name == "datetime" or isinstance(value, msgspec.Struct)
            assert empty or (name == "hidden" and value), (data, name, value)
        assert payload.extra == ({} if data in (None, [], {}) or data is NOTHING else {"data": data})
        if data != {}:
            assert stream.stats()["misfits"] == number + 1


@pytest.mark.parametrize(
    ("topic", "subject", "data", "expected"),
    [
        ("/margin/position", "debt.ratio", {"type": "FROZEN_FL", "timestamp": 1553846081210},
         {"debt_ratio": None, "time_ns": 1553846081210 * 10**6, "extra": {"type": "FROZEN_FL"}}),
        ("/contract/position:XBTUSDTM", "position.adjustRiskLimit", {},
         {"success": None, "risk_limit_level": None, "msg": None, "extra": {}}),
        ("/market/snapshot:BTC-USDT", "trade.snapshot",
         {"sequence": "7", "data": [{"symbol": "BTC-USDT", "high": 2.5}, {"symbol": "ETH-USDT"}]},
         {"sequence": 7, "symbol": "BTC-USDT",
          "extra": {"data": [{"symbol": "BTC-USDT", "high": 2.5}, {"symbol": "ETH-USDT"}]}}),
        ("/contract/marginMode", "user.config", {"A": "CROSS", "B": None, "C": "ISOLATED", "D": 7},
         {"by_symbol": {"A": "CROSS", "B": None, "C": "ISOLATED", "D": "7"}, "extra": {}}),
        ("/contract/crossLeverage", "user.config", {"A": {"leverage": "8"}, "B": 3, "C": {"leverage": "x"}},
         {"extra": {"B": 3, "C": {"leverage": "x"}}}),
        ("/market/match:BTC-USDT", "trade.l3match",
         {"tradeId": 11067996711960577, "makerOrderId": 1e21, "side": "SELL", "price": None, "size": "0.1"},
         {"trade_id": "11067996711960577", "maker_order_id": "1000000000000000000000", "side": "sell", "price": None,
          "symbol": None, "sequence": None}),
        ("/market/match:BTC-USDT", "trade.l3match", {"sequence": "1" * 30, "time": 2**63},
         {"sequence": int("1" * 30), "time_ns": 0}),
    ],
)  # fmt: skip
def test_what_the_documents_and_others_have_seen(
    topic: str, subject: str, data: Any, expected: dict[str, Any], server: KucoinServer, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe(topic)
    connection = next(each for each in server.connections if topic in each.topics)
    for _ in range(2):
        connection.send_raw(json.dumps({"type": "message", "topic": topic, "subject": subject, "data": data}))
        payload = subscription.get(timeout=20).payload
        assert {name: getattr(payload, name) for name in expected} == expected
    assert events.wait(PayloadMismatch).topic == topic
    assert len([event for event in events.all if isinstance(event, PayloadMismatch)]) == 1
    assert stream.stats()["misfits"] == 2


@pytest.mark.parametrize("word", ["much", "NaN", "Infinity"])
def test_text_that_is_no_number_in_a_ticker_is_told_when_it_is_read(
    word: str, server: KucoinServer, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe("/market/ticker:BTC-USDT")
    for _ in range(2):
        server.publish("/market/ticker:BTC-USDT", {"sequence": "1", "price": "7", "bestAsk": word, "bestBid": "6"})
        payload = subscription.get(timeout=20).payload
        for _ in range(3):  # each message counts once
            assert (payload.best_ask, payload.best_bid, payload.price) == (None, 6, 7)
            assert payload.to_dict()["best_ask"] is None
    events.wait(PayloadMismatch)
    [event] = [event for event in events.all if isinstance(event, PayloadMismatch)]
    assert event == PayloadMismatch("/market/ticker", f"'{word}' stands where a number is usual")
    assert stream.stats()["misfits"] == 2


def test_half_a_character_costs_itself_only(server: KucoinServer, stream: Stream) -> None:
    topic = "/market/match:BTC-USDT"
    subscription = stream.subscribe(topic)
    connection = server.connections[0]
    for number, odd in enumerate(({}, {}, {"tradeId": "a\ud83d", "ofTomorrow": ["\ude00"]}, {}), 1):
        data = {**TRADE, "sequence": str(number), **odd}
        frame = {"topic": topic, "type": "message", "subject": "trade.l3match", "data": data}
        connection.send_raw(json.dumps(frame))
        message = subscription.get(timeout=20)
        payload = message.payload
        assert (payload.sequence, payload.price) == (number, Decimal("7.5"))
        if odd:
            assert (payload.trade_id, payload.extra) == ("a\ufffd", {"ofTomorrow": ["\ufffd"]})
            assert message.to_dict() == {**frame, "data": {**data, "tradeId": "a\ufffd", "ofTomorrow": ["\ufffd"]}}
            assert pickle.loads(pickle.dumps(message)).payload == payload
    assert (stream.stats()["unreadable"], stream.stats()["misfits"]) == (0, 0)


def test_a_payload_with_an_extra_is_equal_hashed_copied_and_shown_like_one_without() -> None:
    read = payloads.reader_for(payloads.PositionStatus)
    text = b'{"type":"LIABILITY","timestamp":1553846081210'
    ends = (b"}", b',"a":1}', b',"a":1,"type":{}}')
    plain, more, odd = (read(text + end).payload for end in ends)
    assert more == plain == more and hash(more) == hash(plain)
    assert odd != plain and odd != more and odd.type is None
    assert [each.extra for each in (plain, more, odd)] == [{}, {"a": 1}, {"a": 1, "type": {}}]
    assert repr(more) == "PositionStatus(type='LIABILITY', time_ns=1553846081210000000, extra={'a': 1})"
    for each in (plain, more, odd):
        for twin in (copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert (twin, twin.extra, isinstance(twin, payloads.PositionStatus)) == (each, each.extra, True)


# Commands


TRADE = {
    "makerOrderId": "m", "price": "7.5", "sequence": "7", "side": "buy", "size": "3", "symbol": "BTC-USDT",
    "takerOrderId": "t", "time": "1730000000013736739", "tradeId": "i", "type": "match",
}  # fmt: skip
TICKER = {"sequence": "1", "price": "7.5", "size": "1", "bestAsk": "8", "bestBid": "7", "time": 1729757723612}
CANDLE = {"symbol": "BTC-USDT", "candles": ["1729839600", "1", "2", "3", "1", "4", "5"], "time": 1729842192785164840}
VIEWS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "trades": (["trades", "BTC-USDT"], "/market/match:BTC-USDT", TRADE),
    "two symbols": (["trades", "BTC-USDT", "ETH-USDT"], "/market/match:BTC-USDT", TRADE),
    "tickers": (["watch", "BTC-USDT"], "/market/ticker:BTC-USDT", TICKER),
    "statistics": (["watch", "BTC-USDT"], "/market/snapshot:BTC-USDT", json.loads(SNAPSHOT)),
    "candles": (["candles", "BTC-USDT", "--type", "1hour"], "/market/candles:BTC-USDT_1hour", CANDLE),
    "short candles": (["candles", "BTC-USDT", "--type", "5s"], "/market/match:BTC-USDT", TRADE),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if name == "trades" else pytest.param(name, marks=pytest.mark.long) for name in VIEWS]
)
def test_a_view_shows_what_can_be_read_and_says_that_something_could_not(name: str, server: KucoinServer) -> None:
    arguments, topic, sample = VIEWS[name]
    where = ["--rest-url", server.rest_url, "--futures-rest-url", server.futures_rest_url]
    frames = [
        [put(sample, place, value) for value in [*ODDITIES, "NaN", "Infinity", "1e400"]] for place in places(sample)
    ]
    count = sum(map(len, frames)) + 1
    every = arguments[0] != "watch"
    with Terminal(*arguments, "--plain", *(["--count", str(count)] if every else []), *where) as terminal:
        server.wait_for(lambda _: any(topic in each.topics for each in server.connections))
        sent = 0
        for burst in frames:
            sent += sum(server.publish(topic, frame, subject="any") for frame in burst)
            if not every:  # the view reads the last one only
                terminal.wait_for(lambda text, sent=sent: f"{sent:,} messages in " in text)  # type: ignore[misc]
        server.publish(topic, sample, subject="any")
        if not every:
            terminal.wait_for(lambda text: f"{count:,} messages in " in text)
            terminal.process.send_signal(signal.SIGINT)
        code = terminal.finish()
        said = terminal.errors()
        assert code == 0, said
        assert said.count("odd data on") in (1, 2)
        assert f"{count:,} messages in " in said
        assert " with unexpected fields" in said


# Tables


@every_case
def test_a_table_has_a_row_for_each_message_and_the_rest_of_it(
    case: str, server: KucoinServer, make_stream: Callable[..., Stream], tmp_path: Path
) -> None:
    topic, subject, text, private = CASES[case]
    stream = make_stream()
    sample = json.loads(text)
    values = [value for value in ODDITIES if value not in TOO_LONG]
    frames = [sample, *(put(sample, place, value) for place in places(sample) for value in values)]
    frames.append({**sample, "ofTomorrow": 7})
    with Recorder(stream, tmp_path / "day.jsonl"):
        feed = Feed(server, stream, topic, subject, private=private)
        for frame in frames:
            feed.send(frame)
    for name in ("table.csv", "table.parquet"):
        with ReplayStream(tmp_path / "day.jsonl", speed=None) as replay:
            done = export(replay.subscribe(topic, maxsize=100_000), [topic], tmp_path / name)
        assert (done.rows, done.left_out) == (len(frames), 0)
        rows = rows_of(tmp_path / name)
        assert len(rows) == len(frames)
        assert not rows[0]["rest"]
        assert json.loads(rows[-1]["rest"]) == {"ofTomorrow": 7}
        first, last = ({key: row[key] for key in row if key not in ("received", "rest")} for row in (rows[0], rows[-1]))
        assert first == last
        assert any(value not in (None, "") for key, value in first.items() if key not in ("epoch", "topic", "subject"))


def test_the_command_tells_how_many_had_something_odd(
    server: KucoinServer, stream: Stream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(stream, tmp_path / "day.jsonl"):
        feed = Feed(server, stream, "/market/match:BTC-USDT", "trade.l3match", private=False)
        for change in ({}, {"price": None}, {"tradeId": 7}, {"ofTomorrow": 1}):
            feed.send({**TRADE, **change})
    table = tmp_path / "trades.csv"
    assert main(["export", str(tmp_path / "day.jsonl"), "--topic", "/market/match:BTC-USDT", "-o", str(table)]) == 0
    told = capsys.readouterr().err
    assert f"4 rows in {table}, 2 with unexpected fields" in told
    assert told.count("odd data on /market/match:BTC-USDT: price is null") == 1


def test_the_command_tells_of_messages_whose_subject_has_no_struct(
    server: KucoinServer, stream: Stream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, table = "/contract/instrument:XBTUSDTM", tmp_path / "table.csv"
    subscription = stream.subscribe(topic)
    with Recorder(stream, tmp_path / "day.jsonl"):
        for subject, price in (("mark.index.price", 1), ("mark.index.price", []), ("new", 1)):
            server.publish(topic, {"granularity": 1000, "indexPrice": 2, "markPrice": price}, subject=subject)
            subscription.get(timeout=20)
    assert main(["export", str(tmp_path / "day.jsonl"), "--topic", topic, "-o", str(table)]) == 0
    told = capsys.readouterr().err
    assert f"2 rows in {table}, 1 with unexpected fields, see the column rest, 1 left out because" in told


# Markets


MARKETS = (
    "BTC", "USDS", "Layer 1", "DePIN", "BRC-20", "NFT-ETF", "Hong-Kong", "VR&AR", "A", "AI-20", "X-Y", "L1&L2",
    "Real-World-Assets", "R&D-20", "Solana (SPL)", "1inch", "Tokenized/Stocks",
)  # fmt: skip


@pytest.mark.parametrize("market", MARKETS)
def test_a_market_is_known_by_its_name_whatever_that_looks_like(
    market: str, server: KucoinServer, stream: Stream
) -> None:
    topic = topics.market_snapshot(market)
    assert topic == f"/market/snapshot:{market}"
    with stream.subscribe(str(topic)) as subscription:
        connection = server.connections[0]
        data = {**json.loads(SNAPSHOT)}
        for under, markets in (("ORDI-USDT", ["Other"]), (market, [market]), ("ORDI-USDT", ["USDS", market])):
            data["data"] = {**data["data"], "symbol": under, "market": markets[0], "markets": markets}
            frame = {"type": "message", "topic": f"/market/snapshot:{under}", "subject": "trade.snapshot", "data": data}
            connection.send_raw(json.dumps(frame))
        assert [subscription.get(timeout=20).payload.symbol for _ in range(2)] == [market, "ORDI-USDT"]
        with pytest.raises(TimeoutError):
            subscription.get(timeout=0)


@pytest.mark.parametrize(
    ("topic", "hint"),
    [("/market/snapshot:btc-usdt", "did you mean BTC-USDT"), ("/market/snapshot:-", "a market such as BTC"),
     ("/market/snapshot:", "a market such as BTC"), ("/market/ticker:BRC-20&", "a symbol such as BTC-USDT")],
)  # fmt: skip
def test_a_mistake_is_still_told(topic: str, hint: str, stream: Stream) -> None:
    with pytest.raises(InvalidTopic, match=hint):
        stream.subscribe(topic)
    with pytest.raises(InvalidTopic):
        topics.market_snapshot("BTC-USDT")
