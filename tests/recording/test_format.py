"""The lines of a recording: every frame is decoded byte for byte as it was encoded."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kucoin_sync.recording import format
from kucoin_sync.recording.format import Batch, FrameOrigin

ORIGIN = FrameOrigin(1_700_000_000_123_456_789, 3, "futures", True)
LINES: list[format.Line] = [
    format.Header(1, "0.1", 5, 1),
    format.Subscribed(6, "spot", False, (("/market/ticker:BTC-USDT", None), ("/market/ticker:BTC-USDT", "bt1"))),
    format.ConnectedLine(7, 1, "spot", False, "host"),
    format.DisconnectedLine(8, 1, "spot", False, 1006, 'a "reason"\n', "gone"),
    format.Lost(9, "spot", ("/market/level2:BTC-USDT",), "gone"),
    format.Dropped(11, 512, "the disk was too slow"),
    format.End(12),
]
any_text = st.text().map(str.encode)
any_object = st.dictionaries(st.text(), st.text() | st.integers() | st.floats()).map(
    lambda each: json.dumps(each).encode()
)
spread = any_object.map(lambda frame: b" \n" + frame.replace(b", ", b",\r\n") + b"\t")


@given(st.lists(any_text | st.binary() | any_object, min_size=1))
@example([b"["])
@example([b""])
@example([b'{"a":"\\n\\u0000\\""}', '{"ü":"\u2028\x85"}'.encode()])
def test_any_frame_is_decoded_byte_for_byte(frames: list[bytes]) -> None:
    text = format.frames_as_text(ORIGIN, frames)
    assert list(format.records(text)) == [Batch(ORIGIN, frames)]


@given(st.lists(any_object, min_size=1))
def test_one_line_pushes_are_decoded_byte_for_byte_with_both_fast_flags(frames: list[bytes]) -> None:
    text = format.frames_as_text(ORIGIN, frames, objects=True, lines=True)
    assert text == format.frames_as_text(ORIGIN, frames)
    assert list(format.records(text)) == [Batch(ORIGIN, frames)]


@given(st.lists(any_object | spread, min_size=1))
def test_pushes_are_decoded_byte_for_byte_with_the_objects_flag(frames: list[bytes]) -> None:
    text = format.frames_as_text(ORIGIN, frames, objects=True)
    assert list(format.records(text)) == [Batch(ORIGIN, frames)]
    assert all(json.loads(line) is not None for line in text.splitlines() if line.startswith(b"["))


def test_an_ordinary_frame_is_written_unchanged_as_a_line() -> None:
    assert format.frames_as_text(ORIGIN, [b'{"a":1}', b"{}"]) == (
        b'[1700000000123456789,3,"futures",true]\n{"a":1}\n{}\n'
    )


@pytest.mark.parametrize("line", LINES, ids=lambda line: type(line).__name__)
def test_each_recorder_line_is_decoded_as_it_was_encoded(line: format.Line) -> None:
    text = format.line_as_text(line)
    assert text.count(b"\n") == 1
    assert list(format.records(text)) == list(format.recorder_lines(text)) == [line]
    assert format.time_of(text) == getattr(line, "at_ns", None)


def test_a_snapshot_keeps_its_json() -> None:
    data = b'{"sequence":"1","bids":[["0.10",1e-8]]}'
    (read,) = format.records(format.line_as_text(format.SnapshotLine(1, "spot", "/p", "BTC-USDT", msgspec.Raw(data))))
    assert isinstance(read, format.SnapshotLine)
    assert bytes(read.data) == data


def test_recorder_lines_are_found_among_frames_and_the_times_at_both_ends() -> None:
    text = b"".join([
        format.frames_as_text(ORIGIN, [b'{"x":["["]}']),
        format.line_as_text(LINES[3]),
        format.frames_as_text(FrameOrigin(20, 1, "spot", False), [b"[1]", b'{"y":1}']),
    ])  # fmt: skip
    assert list(format.recorder_lines(text)) == [LINES[3]]
    assert format.time_of(text) == ORIGIN.received_ns
    assert format.time_of(text, last=True) == 20


def test_frames_that_were_recovered_have_an_origin_of_their_own() -> None:
    origin = format.RecoveredOrigin(30, 2, "spot", False)
    text = format.frames_as_text(ORIGIN, [b"{}"]) + format.frames_as_text(origin, [b'{"a":1}', b"{}"])
    assert text.count(b"\n") == 5
    live, recovered = format.records(text)
    assert (live, recovered) == (Batch(ORIGIN, [b"{}"]), Batch(origin, [b'{"a":1}', b"{}"]))
    assert isinstance(live, Batch) and isinstance(recovered, Batch)
    assert (live.origin.recovered, recovered.origin.recovered) == (False, True)
    assert list(format.recorder_lines(text)) == []
    assert format.time_of(text, last=True) == 30


def test_unknown_and_malformed_lines_are_skipped() -> None:
    before = b'["new",1]\n[1,2]\n["frame","!"]\n["frame","abcde"]\n["lost"]\n{"orphan":1}\n'
    text = before + format.frames_as_text(ORIGIN, [b"{}"]) + b'["end'
    assert list(format.records(text)) == [Batch(ORIGIN, [b"{}"])]
    assert list(format.recorder_lines(text)) == []
    for last in (False, True):
        assert format.time_of(b'{}\n["new",1]\n', last=last) is None
