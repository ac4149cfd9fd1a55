"""Decoding updates and snapshots from bytes and from plain data, with numbers as text and text as numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from kucoin_sync.books.codec import (
    Level2Rows,
    WireFuturesLevel2Update,
    WireLevel2Update,
    WireLevel3Event,
    read_futures_level2,
    read_futures_level2_frame,
    read_level2,
    read_level2_frame,
    read_level3,
    read_level3_frame,
    read_snapshot,
)
from kucoin_sync.books.numbers import DecodeErrors
from kucoin_sync.payloads import LevelChange

LEVEL2 = {
    "changes": {"asks": [["67993.3", "1.21427407", "14701689783"]], "bids": [["67990", "0", "14701689784"]]},
    "sequenceEnd": 14701689784,
    "sequenceStart": 14701689783,
    "symbol": "BTC-USDT",
    "time": 1729816425625,
}
FUTURES = {"sequence": 1709400450243, "change": "90631.2,sell,2", "timestamp": 1731897467182}
OPEN_OLD = {
    "sequence": "1545896669148",
    "type": "open",
    "orderId": "5c24c725",
    "symbol": "BTC-USDT",
    "side": "sell",
    "price": "6.00000000000000000000",
    "size": "1",
    "time": "1545914149935808632",
}
MATCH_NEW = {
    "symbol": "KCS-USDT",
    "sequence": 1592995125436,
    "side": "sell",
    "price": "0.96738",
    "size": "0.1",
    "remainSize": "2.9",
    "takerOrderId": "taker",
    "makerOrderId": "maker",
    "tradeId": "trade",
    "ts": 1593487482038606180,
}
DEEP = b'{"changes":' + b"[" * 200_000


def ways(data: Any) -> list[Any]:
    """Return the forms in which a reader may get some data."""
    text = json.dumps(data).encode()
    return [data, text, msgspec.Raw(text)]


def name_of(data: Any) -> str:
    return f"{type(data).__name__} {bytes(data) if isinstance(data, msgspec.Raw) else data!r}"[:60]


def rows(update: WireLevel2Update) -> tuple[list[Any], list[Any]]:
    return update.changes.asks, update.changes.bids


@pytest.mark.parametrize("data", ways(LEVEL2))
def test_a_spot_update_is_read_from_bytes_and_from_plain_data(data: Any) -> None:
    update = read_level2(data)
    assert (update.sequence_start, update.sequence_end) == (14701689783, 14701689784)
    assert rows(update) == ([("67993.3", "1.21427407", 14701689783)], [("67990", "0", 14701689784)])
    assert update.asks == (LevelChange(Decimal("67993.3"), Decimal("1.21427407"), 14701689783),)
    assert update.bids == (LevelChange(Decimal(67990), Decimal(0), 14701689784),)


def test_numbers_may_come_as_text_and_text_as_numbers() -> None:
    loose = (
        b'{"sequenceStart":"7","sequenceEnd":8,"new":1,"changes":{"asks":[[0.10000000000000000001,3,7,"more"]],'
        b'"bids":[["1e-5","2.50","8"],[1E-5,2,8]]}}'
    )
    update = read_level2(loose)
    assert (update.sequence_start, update.sequence_end) == (7, 8)
    assert rows(update) == ([("0.10000000000000000001", "3", 7)], [("1e-5", "2.50", 8), ("1E-5", "2", 8)])
    plain = {"sequenceStart": "7", "sequenceEnd": 8, "changes": {"asks": [[0.5, Decimal("3.0"), 7]]}}
    assert rows(read_level2(plain)) == ([("0.5", "3.0", 7)], [])


@pytest.mark.parametrize("changes", [{}, {"asks": None, "bids": []}])
def test_a_side_without_changes_may_be_absent(changes: Any) -> None:
    for data in ways({**LEVEL2, "changes": changes}):
        assert read_level2(data).changes == Level2Rows()


@pytest.mark.parametrize("data", ways(FUTURES))
def test_a_futures_update_is_read_from_bytes_and_from_plain_data(data: Any) -> None:
    update = read_futures_level2(data)
    assert update.sequence_start == update.sequence_end == 1709400450243
    assert update.change == "90631.2,sell,2"
    assert update.asks == (LevelChange(Decimal("90631.2"), Decimal(2), 1709400450243),)
    assert update.bids == ()


def test_a_futures_update_knows_its_side() -> None:
    update = read_futures_level2({"sequence": "5", "change": "90631.2,buy,0"})
    assert update.bids == (LevelChange(Decimal("90631.2"), Decimal(0), 5),)
    assert update.asks == ()


@pytest.mark.parametrize("data", ways(OPEN_OLD))
def test_an_event_of_the_first_generation_of_level_3_is_read(data: Any) -> None:
    event = read_level3(data, "trade.l3open")
    assert (event.kind, event.sequence_start, event.sequence_end) == ("open", 1545896669148, 1545896669148)
    assert (event.order_id, event.side, event.price, event.size) == ("5c24c725", "sell", "6.00000000000000000000", "1")
    assert event.time_ns == 1545914149935808632


@pytest.mark.parametrize("data", ways(MATCH_NEW))
def test_an_event_of_the_second_generation_of_level_3_is_read(data: Any) -> None:
    event = read_level3(data, "match")
    assert (event.kind, event.sequence_end, event.maker_order_id) == ("match", 1592995125436, "maker")
    assert (event.size, event.remain_size, event.new_size) == ("0.1", "2.9", "")
    assert event.time_ns == 1593487482038606180


def test_the_time_of_an_order_takes_precedence_over_that_of_its_event() -> None:
    assert read_level3({"sequence": 1, "orderId": "a", "orderTime": 5, "ts": 6}, "open").time_ns == 5


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("trade.l3received", "received"),
        ("trade.l3open", "open"),
        ("trade.l3match", "match"),
        ("trade.l3change", "change"),
        ("trade.l3done", "done"),
        ("received", "received"),
        ("open", "open"),
        ("match", "match"),
        ("update", "change"),
        ("done", "done"),
    ],
)
def test_the_subject_determines_the_kind_of_an_event(subject: str, kind: str) -> None:
    assert read_level3({"sequence": 1, "orderId": "a", "makerOrderId": "m"}, subject).kind == kind


def test_without_a_subject_the_type_determines_the_kind() -> None:
    assert read_level3(OPEN_OLD).kind == "open"


@pytest.mark.parametrize("data", ways({**OPEN_OLD, "type": "activated", "sequence": "1545896669149"}))
def test_an_activated_stop_order_has_no_sequence_of_its_own(data: Any) -> None:
    event = read_level3(data, "trade.l3received")
    assert (event.kind, event.sequence_end) == ("activated", 0)


def test_level_3_accepts_numbers_and_nulls_too() -> None:
    event = read_level3(b'{"sequence":"9","orderId":17,"price":0.10000000000000000001,"size":2,"side":null}', "open")
    assert (event.order_id, event.price, event.size, event.side) == ("17", "0.10000000000000000001", "2", "")


def test_a_member_named_kind_is_ignored() -> None:
    assert read_level3(b'{"sequence":1,"orderId":"a","~kind":"done"}', "open").kind == "open"


@pytest.mark.parametrize("subject", ["trade.l3new", "new", "", None])
def test_an_unknown_event_of_level_3_is_refused(subject: str | None) -> None:
    with pytest.raises(ValueError, match="not a known event"):
        read_level3({"sequence": 1, "orderId": "a"}, subject)


@pytest.mark.parametrize(
    ("subject", "data"), [("match", {"orderId": "a"}), ("open", {}), ("done", {"makerOrderId": "m"})]
)
def test_an_event_without_an_order_id_is_refused(subject: str, data: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no order is named"):
        read_level3({"sequence": 1, **data}, subject)


@pytest.mark.parametrize(
    "data",
    [
        *ways(None),
        *ways([]),
        *ways("text"),
        *ways({}),
        *ways({**LEVEL2, "changes": None}),
        *ways({**LEVEL2, "changes": []}),
        *ways({**LEVEL2, "changes": {"asks": [["1", "2"]]}}),
        *ways({**LEVEL2, "changes": {"asks": ["123"]}}),
        *ways({**LEVEL2, "changes": {"asks": [123]}}),
        *ways({**LEVEL2, "changes": {"asks": {"123": 1}}}),
        *ways({**LEVEL2, "changes": {"asks": 5}}),
        *ways({**LEVEL2, "changes": {"asks": [[None, "2", 3]]}}),
        *ways({**LEVEL2, "changes": {"asks": [["1", "2", "x"]]}}),
        *ways({**LEVEL2, "sequenceEnd": None}),
        *ways({**LEVEL2, "sequenceEnd": 1.5}),
        *ways({**LEVEL2, "sequenceEnd": True}),
        *ways({**LEVEL2, "sequenceEnd": "\u0661"}),
        b"",
        b"{",
        b"\xff",
        DEEP,
    ],
    ids=name_of,
)
def test_data_that_is_no_spot_update_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        read_level2(data)


@pytest.mark.parametrize("data", [*ways({}), *ways({"sequence": 1}), *ways({"sequence": 1, "change": None}), b"["])
def test_data_that_is_no_futures_update_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        read_futures_level2(data)


@pytest.mark.parametrize("data", [*ways({"orderId": "a"}), *ways({"sequence": 1, "orderId": []}), *ways([]), b"["])
def test_data_that_is_no_event_of_level_3_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        read_level3(data, "open")


def test_an_error_quotes_only_the_beginning_of_the_data() -> None:
    with pytest.raises(ValueError) as caught:
        read_level2({"changes": "x" * 100_000})
    assert len(str(caught.value)) < 500


SNAPSHOT = {"sequence": "16", "time": 1550653727731, "bids": [["6500.12", "0.45"], ["6500.11", "0.45"]], "asks": []}


@pytest.mark.parametrize("data", ways(SNAPSHOT))
def test_a_snapshot_is_read_from_bytes_and_from_plain_data(data: Any) -> None:
    assert read_snapshot(data) == (16, [["6500.12", "0.45"], ["6500.11", "0.45"]], [])


def test_numbers_of_a_snapshot_stay_exact() -> None:
    snapshot = read_snapshot(b'{"sequence":7,"bids":[[0.10000000000000000001,5]],"asks":null}')
    assert snapshot == (7, [["0.10000000000000000001", "5"]], [])


@pytest.mark.parametrize(
    "data",
    [
        *ways(None),
        *ways({}),
        *ways({**SNAPSHOT, "sequence": None}),
        *ways({**SNAPSHOT, "bids": 5}),
        *ways({**SNAPSHOT, "bids": [5]}),
        *ways({**SNAPSHOT, "bids": ["56"]}),
        *ways({**SNAPSHOT, "bids": "56"}),
        b"[",
    ],
    ids=name_of,
)
def test_data_that_is_no_snapshot_is_refused(data: Any) -> None:
    with pytest.raises(ValueError):
        read_snapshot(data)


def test_updates_of_the_usual_form_are_decoded_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("the slow way was taken"))
    for read, data, cls in (
        (read_level2, LEVEL2, WireLevel2Update),
        (read_futures_level2, FUTURES, WireFuturesLevel2Update),
        (read_level3, OPEN_OLD, WireLevel3Event),
    ):
        assert type(read(json.dumps(data).encode())) is cls


# Whole frames


def frame(data: object, subject: str = "trade.l3open") -> bytes:
    envelope = {"topic": "/a/b:C-D", "type": "message", "subject": subject, "data": data, "channelType": "public"}
    return json.dumps(envelope).encode()


@pytest.mark.parametrize(
    ("read_frame", "read", "data"),
    [
        (read_level2_frame, read_level2, LEVEL2),
        (read_futures_level2_frame, read_futures_level2, FUTURES),
        (read_level3_frame, read_level3, OPEN_OLD),
    ],
)
def test_a_frame_is_decoded_like_its_data(read_frame: Any, read: Any, data: Any) -> None:
    assert read_frame(frame(data)) == read(data)
    for payload_mismatch in (b"{", frame(None), frame({}), frame({**data, "sequence": "x", "sequenceEnd": "x"})):
        with pytest.raises(DecodeErrors):
            read_frame(payload_mismatch)


def test_the_subject_determines_the_kind_of_a_level_3_frame() -> None:
    assert read_level3_frame(frame(OPEN_OLD), "done").kind == "done"
    assert read_level3_frame(frame(OPEN_OLD)).kind == "open"
    with pytest.raises(ValueError, match="not a known event"):
        read_level3_frame(frame(OPEN_OLD), "trade.l3new")
