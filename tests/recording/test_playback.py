"""What a replay gives its books, without a thread or a recording."""

from __future__ import annotations

from typing import Any

import msgspec

from kucoin_sync.recording.format import SnapshotLine
from kucoin_sync.recording.playback import Playback
from kucoin_sync.recording.recorded_snapshots import RecordedSnapshots

from ..support.followers import FollowedBook


class Output:
    """A stream with one book."""

    def __init__(self, followed: FollowedBook) -> None:
        self.followed = followed

    def books(self) -> list[tuple[Any, Any]]:
        return [(self.followed.follower, self.followed)]


class Index:
    """A recording index with snapshots of one book."""

    name = "day.jsonl"

    def __init__(self, key: tuple[str, str, str]) -> None:
        self.snapshots = {key: ()}


def test_a_book_gets_the_next_snapshot_even_if_its_own_request_comes_late() -> None:
    followed = FollowedBook("BTC-USDT")
    key = followed.source.market, followed.source.path, followed.source.symbol
    index: Any = Index(key)
    output: Any = Output(followed)
    snapshots = RecordedSnapshots(index, lambda *_: None)
    playback = Playback(output, snapshots, paced=False)
    followed.follower.on_subscribed()  # on the books' thread, which has not yet called `snapshots`
    for sequence in (7, 8):
        data = {"sequence": str(sequence), "time": 1, "bids": [["99", "1"]], "asks": [["101", "1"]]}
        playback.handle_line(SnapshotLine(1, *key, msgspec.Raw(msgspec.json.encode(data))), silent=False)
    assert followed.book.ready
    assert followed.book.sequence == 7
    snapshots.request_snapshot(followed.follower)
    assert (followed.book.sequence, snapshots.waiting()) == (7, [])
