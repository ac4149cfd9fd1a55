"""Exported tables: their columns, types and values."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from kucoin_sync import InvalidTopic, Message, topics
from kucoin_sync.internal import signals
from kucoin_sync.payloads import Snapshot, reader_for
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.message import Arrival, Origin
from kucoin_sync.recording import RecordingError, ReplayStream, columns
from kucoin_sync.recording.columns import Kind, _payload_columns, columns_of
from kucoin_sync.recording.export import export
from kucoin_sync.topics import TABLE

from ..end_to_end.test_payload_delivery import topic_of
from ..support.recordings import push, write
from ..unit.payloads.test_payloads import SHAPES, STATISTICS

TICKER = {
    "sequence": "14239878885",
    "price": "67000.10",
    "size": "0.00000001",
    "bestAsk": "67000.2",
    "time": 1729757723612,
}
TRADE = {
    "makerOrderId": "m", "price": "0.000000123", "sequence": "7", "side": "buy", "size": "1000000000000.5",
    "symbol": "BTC-USDT", "takerOrderId": "t", "time": "1730000000013736739", "tradeId": "i", "type": "match",
}  # fmt: skip


def message(topic: str, data: object, received_ns: int = 1_700_000_000_000_000_123, subject: str = "s") -> Message:
    frame = msgspec.json.encode({"topic": topic, "type": "message", "subject": subject, "data": data})
    read = decode_message(frame)
    read.raw, read.origin = frame, Origin(Arrival(3, received_ns))
    return read


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern)
def test_every_topic_has_typed_columns(row: object) -> None:
    from kucoin_sync.topics.grammar import build

    argument = {"symbol": "BTC-USDT", "contract": "XBTUSDTM", "currency": "BTC", "market": "BTC", "depth": "5"}
    argument["symbol or contract"] = argument["symbol"]
    value = row.argument.value.rstrip(",…")  # type: ignore[attr-defined]
    columns = columns_of([build(row, *([value.format(type="1min", **argument)] if value else []))])  # type: ignore[arg-type]
    names = [column.name for column in columns]
    assert names[:5] == ["received", "epoch", "topic", "subject", "symbol"]
    assert len(names) > 4
    assert not any(name.startswith("wire_") or name.endswith("_ns") for name in names)


def test_columns_are_typed_by_the_payload() -> None:
    kinds = {column.name: column.kind for column in columns_of(["/market/ticker:BTC-USDT"])}
    assert kinds == {
        "received": Kind.TIME, "epoch": Kind.WHOLE, "topic": Kind.TEXT, "subject": Kind.TEXT,
        "symbol": Kind.TEXT, "sequence": Kind.WHOLE,
        "price": Kind.NUMBER, "size": Kind.NUMBER, "best_bid": Kind.NUMBER, "best_bid_size": Kind.NUMBER,
        "best_ask": Kind.NUMBER, "best_ask_size": Kind.NUMBER, "time": Kind.TIME,
        "rest": Kind.TEXT,
    }  # fmt: skip
    level1 = {column.name: column.kind for column in columns_of(["/spotMarket/level1:BTC-USDT"])}
    assert level1["asks_price"] is level1["bids_size"] is Kind.NUMBER
    assert {column.name: column.kind for column in columns_of(["/market/level2:BTC-USDT"])}["asks"] is Kind.TEXT
    with pytest.raises(InvalidTopic, match="has no columns"):
        columns_of(["/some/topic:BTC-USDT"])


def test_a_column_has_one_type_for_all_topics() -> None:
    kinds: dict[str, set[Kind]] = {}
    for row in TABLE:
        for cls in row.payloads.values():
            for column in _payload_columns(cls):
                kinds.setdefault(column.name, set()).add(column.kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_each_of_two_topics_has_its_own_values_in_the_columns_that_both_have(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cache(lambda cls: tuple(_payload_columns(cls)))
    monkeypatch.setattr(columns, "_payload_columns", made)
    samples = [(cls, text) for cls, text, _ in SHAPES] + [(Snapshot, f'{{"sequence":"7","data":{STATISTICS}}}')]
    topics = {tuple(row.payloads.values()): topic_of(row) for row in TABLE}  # one for each kind of messages
    messages_of: dict[str, list[Any]] = {
        topic: [
            SimpleNamespace(payload=reader_for(cls)(text.encode()).payload) for cls, text in samples if cls in kinds
        ]
        for kinds, topic in topics.items()
    }

    def rows(topic: str, *topics: str) -> list[dict[str, object]]:
        """Return the rows of the messages of a topic in a table of topics."""
        found = columns_of(topics)[5:]  # behind those of the envelope
        return [{each.name: each.value(message) for each in found} for message in messages_of[topic]]

    own = {topic: rows(topic, topic) for topic in messages_of}
    assert all(own.values())
    for first, second in permutations(own, 2):
        for row, row_alone in zip(rows(second, first, second), own[second], strict=True):
            assert {**row, **row_alone} == row, f"{second} behind {first}"


def test_a_nested_value_is_json(tmp_path: Path) -> None:
    topic = "/market/level2:BTC-USDT"
    data = {"sequenceStart": 1, "sequenceEnd": 2, "symbol": "BTC-USDT", "changes": {"bids": [["1.50", "2", "2"]]}}
    export([message(topic, data)], [topic], tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert (row["bids"], row["asks"]) == ('[["1.50","2",2]]', "[]")


def messages() -> Iterator[Message]:
    yield message("/market/ticker:BTC-USDT", TICKER)
    yield message("/market/match:BTC-USDT", TRADE)
    yield message("/market/match:BTC-USDT", {"other": 1})


TOPICS = ["/market/ticker:BTC-USDT", "/market/match:BTC-USDT"]


def test_csv_has_exact_numbers_and_times_to_the_nanosecond(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    done = export(messages(), TOPICS, path)
    assert (done.rows, done.left_out) == (3, 0)
    with open(path, newline="", encoding="utf-8") as file:
        ticker, trade, other = csv.DictReader(file)
    assert (ticker["received"], ticker["epoch"]) == ("2023-11-14T22:13:20.000000123Z", "3")
    assert (ticker["price"], ticker["size"], ticker["sequence"]) == ("67000.10", "0.00000001", "14239878885")
    assert (ticker["time"], ticker["best_bid"], ticker["side"]) == ("2024-10-24T08:15:23.612000000Z", "", "")
    assert (trade["price"], trade["size"], trade["side"]) == ("0.000000123", "1000000000000.5", "buy")
    assert trade["time"] == "2024-10-27T03:33:20.013736739Z"
    assert (ticker["rest"], other["price"], other["rest"]) == ("", "", '{"other":1}')


def test_parquet_has_types(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    assert export(messages(), TOPICS, path).rows == 3
    table = pq.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["price"] == "decimal128(38, 18)"
    assert types["sequence"] == "int64"
    assert types["time"] == types["received"] == "timestamp[ns, tz=UTC]"
    assert types["side"] == "string"
    assert table["price"].to_pylist() == [Decimal("67000.10"), Decimal("0.000000123"), None]
    assert table["sequence"].to_pylist() == [14239878885, 7, None]
    assert [value.value for value in table["received"]] == [1_700_000_000_000_000_123] * 3
    assert table["side"].to_pylist() == [None, "buy", None]


def test_floats_are_chosen(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    topic = "/market/match:BTC-USDT"
    messages = [message(topic, TRADE), message(topic, {**TRADE, "size": None})]
    for name in ("a.csv", "a.parquet"):
        export(messages, [topic], tmp_path / name, floats=True)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["price"], row["size"], row["sequence"]) for row in rows] == [
        ("1.23e-07", "1000000000000.5", "7"), ("1.23e-07", "", "7")
    ]  # fmt: skip
    table = pq.read_table(tmp_path / "a.parquet")
    assert str(table.schema.field("price").type) == "double"
    assert table["size"].to_pylist() == [1000000000000.5, None]


def test_statistics_of_24_hours_have_typed_columns() -> None:
    kinds = {
        column.name: column.kind
        for column in columns_of([topics.snapshot("BTC-USDT"), topics.futures.snapshot("XBTUSDTM")])
    }
    assert {kinds[name] for name in ("high", "volume", "change_rate", "market_change_1h_high", "low_price")} == {
        Kind.NUMBER
    }


def test_parquet_reports_values_that_it_can_not_hold(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    long = message("/market/ticker:BTC-USDT", {**TICKER, "price": "0.1234567890123456789"})
    with pytest.raises(RecordingError, match=r"export to \.csv"):
        export([long], TOPICS, tmp_path / "t.parquet")


def test_an_error_names_the_table_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").touch()
    for name, words in (("t.csv", "already exists"), ("t.xls", "has to end with"), ("no/t.csv", "can't be written")):
        with pytest.raises(RecordingError, match=words):
            export([], TOPICS, tmp_path / name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RecordingError, match=r"pip install 'kucoin-sync\[export\]'"):
        export([], TOPICS, tmp_path / "t.parquet")


def test_messages_may_come_from_a_generator_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's code, called from where nothing is half done: it may wait for a replay as long as it likes."""
    deferred: list[object] = []
    monkeypatch.setattr(signals, "defer", deferred.append)

    def messages() -> Iterator[Message]:
        yield from replay.subscribe("/market/match:BTC-USDT")

    recording = write(tmp_path / "a.jsonl", [push(1)], [push(2)])  # a second later
    with ReplayStream(recording, speed=20.0) as replay:
        assert export(messages(), ["/market/match:BTC-USDT"], tmp_path / "a.csv").rows == 2
    assert not deferred
