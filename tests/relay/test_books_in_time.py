"""The book of a relay's reader never goes back in time, and follows the exchange where it numbers the book anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kucoin_sync.relay import RelayStream
from kucoin_sync.testing import KucoinServer

from ..support.books_in_time import SCENARIOS, Venue
from ..support.numbering import FEEDS

CASES = [
    pytest.param(
        scenario,
        feed,
        marks=[] if scenario.__name__ == "stale_snapshot" and feed == "level2" else [pytest.mark.long],
        id=f"{scenario.__name__}-{feed}",
    )
    for scenario in SCENARIOS
    for feed in FEEDS
]


@pytest.mark.parametrize(("scenario", "feed"), CASES)
def test_whatever_comes_a_readers_book_never_goes_back(
    server: KucoinServer, reader: RelayStream, scenario: Callable[[Venue], None], feed: str
) -> None:
    for prefix in ("/market/level3", "/spotMarket/level3"):
        server.allow_topic(prefix)
    scenario(Venue(server, reader, feed))
