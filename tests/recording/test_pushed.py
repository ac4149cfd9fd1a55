"""The snapshots that the UTA feed has pushed, found among the frames of a recording."""

from __future__ import annotations

import json

import pytest

from kucoin_sync.recording.format import FrameOrigin, frames_as_text
from kucoin_sync.recording.pushed import has_pushed_snapshots, pushed_snapshots

from ..support.uta_books import push

SNAPSHOT = push("snapshot", 5, 5, bids=[["99", "1"]])


def text_of(*frames: bytes, market: str = "uta-spot") -> bytes:
    return b"".join(frames_as_text(FrameOrigin(7, 1, market, False), [frame]) for frame in frames)


@pytest.mark.parametrize(
    "frame",
    [
        SNAPSHOT,
        json.dumps(json.loads(SNAPSHOT)).encode(),  # with spaces, as KuCoin sends it at times
        SNAPSHOT.replace(b"snapshot", b"Snapshot"),
    ],
)
def test_a_snapshot_is_found(frame: bytes) -> None:
    text = text_of(push("delta", 6, 6), frame)
    assert has_pushed_snapshots(text)
    assert list(pushed_snapshots(text)) == [("uta-spot", "BTC-USDT", 7)]


@pytest.mark.parametrize(
    "frame",
    [
        push("delta", 6, 6),
        SNAPSHOT.replace(b"increment@10ms", b"5"),
        SNAPSHOT.replace(b'"s":"BTC-USDT"', b'"s":5'),
        SNAPSHOT[:-1],
        push("delta", 6, 6, bids=[["snapshot", "1"]]),
    ],
)
def test_other_frames_are_none(frame: bytes) -> None:
    assert list(pushed_snapshots(text_of(frame))) == []


def test_frames_of_the_classic_feed_are_not_looked_into() -> None:
    assert list(pushed_snapshots(text_of(SNAPSHOT, market="spot"))) == []
    assert not has_pushed_snapshots(text_of(b'{"topic":"/market/snapshot:BTC-USDT","data":{}}', market="spot"))
