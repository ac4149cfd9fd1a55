"""A book never goes back in time, and follows the exchange where it numbers the book anew: live, and in a replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import BookReady, BookRenumbered, BookResyncing, SnapshotFailed
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

from ..support.books_in_time import SCENARIOS, Venue
from ..support.numbering import FEEDS, content
from ..support.streams import Events, MakeStream
from ..support.threads import LIMIT

SHORT = {"stale_snapshot", "numbered_anew_on_a_live_connection", "repeated_blocks"}
CASES = [
    pytest.param(
        scenario,
        feed,
        marks=[] if scenario.__name__ in SHORT and feed in ("level2", "futures") else [pytest.mark.long],
        id=f"{scenario.__name__}-{feed}",
    )
    for scenario in SCENARIOS
    for feed in FEEDS
]


@pytest.mark.parametrize(("scenario", "feed"), CASES)
def test_whatever_comes_a_book_never_goes_back_live_or_in_a_replay(
    server: KucoinServer,
    make_stream: MakeStream,
    tmp_path: Path,
    events: Events,
    scenario: Callable[[Venue], None],
    feed: str,
) -> None:
    for prefix in ("/market/level3", "/spotMarket/level3"):
        server.allow_topic(prefix)
    path = tmp_path / "day.jsonl"
    with make_stream(credentials=None) as stream:
        with Recorder(stream, path):
            venue = Venue(server, stream, feed)
            scenario(venue)
        assert venue.look()
        live, sequence = content(venue.book), venue.book.sequence
        resyncs = venue.book.resyncs
        events.wait(BookReady, resyncs + 1)
    told = [type(event) for event in events.all]
    assert told.count(BookResyncing) == resyncs
    assert told.count(BookReady) == resyncs + 1
    if "numbered_anew" in scenario.__name__ and "before" not in scenario.__name__:
        event = events.wait(BookRenumbered)
        assert event.was > event.sequence
    else:
        assert BookRenumbered not in told
    refused = "stale" in scenario.__name__ or "cached" in scenario.__name__ or scenario.__name__.startswith("snapshot")
    assert not refused or SnapshotFailed in told
    with ReplayStream(path, speed=None) as replay:
        book = replay.book(venue.symbol, **venue.options)
        changes: Any = iter(book)
        before = 0, 0
        assert replay.wait(LIMIT)
        for change in changes:
            known, at = before
            assert change.resyncs > known or not at or change.sequence_start <= at + 1 <= change.sequence_end
            before = change.resyncs, change.sequence_end
        assert (book.ready, book.sequence, content(book)) == (True, sequence, live)
        replay.seek(0)  # which is to go back in time, on purpose
        assert replay.wait(LIMIT)
        assert (book.ready, book.sequence, content(book)) == (True, sequence, live)
